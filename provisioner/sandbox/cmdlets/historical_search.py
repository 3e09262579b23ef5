"""Historical searches: Start-HistoricalSearch, Get-HistoricalSearch, and the files that they make.

A search runs for hours (Learn: 1 to 4; setting `historical_search_s`, by the tenant's clock), 250 may be started a day,
they show for ten days, and a file has at most 100,000 rows. FileUrl opens in a browser, after a sign-in of a person: no
page or public script downloads it otherwise. `report` is the file that the browser would save: UTF-16, as public
scripts read it; `SmtpCSReport_<title>_<job>.csv`.

SmtpCSReport is not in the cmdlet's published list of report types; its columns are those that a public script reads
(March 2026). Of ConnectorReport public scripts read `sender_address`, the fourth column; the others are not published.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from provisioner.sandbox import message_traces
from provisioner.sandbox.clock import stored_time, wire_time
from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.message_trace import moment
from provisioner.sandbox.cmdlets.objects import Rows
from provisioner.sandbox.cmdlets.parameters import array, choice, string
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Row, Tenant

KEPT_AS = "HistoricalSearch"

_TYPES = (
    "ATPReport", "ATPV2", "ATPDocument", "ConnectorReport", "DLP", "Malware", "MessageTrace", "MessageTraceDetail",
    "OutboundSecurityReport", "P2SecurityReport", "SPAM", "SmtpCSReport", "Spoof", "TransportRule", "UnifiedDLP",
)  # fmt: skip
_USUAL_S, _MOST_A_DAY, _MOST_ROWS = 7200.0, 250, 100_000
_DAY = dt.timedelta(days=1)
_WITH_FILE = frozenset({"SmtpCSReport", "ConnectorReport"})


def _start(call: Call) -> Rows:
    tenant, now = call.tenant, call.tenant.clock.now()
    start, end = moment(call, "StartDate"), moment(call, "EndDate")
    if start is None or end is None:
        raise errors.missing_parameters(["StartDate", "EndDate"])
    if start >= end:
        raise errors.invalid("The StartDate can't be later than the EndDate.")
    if start < now - 91 * _DAY:
        raise errors.invalid("Invalid StartDate value. The StartDate can't be older than 90 days from today.")
    today = [row for row in tenant.rows(KEPT_AS) if (stored_time(row["SubmitDate"]) or now) > now - _DAY]
    if len(today) >= _MOST_A_DAY:
        raise errors.invalid("You've reached the maximum number of historical searches for today.")
    row: Row = {
        "JobId": str(uuid.uuid4()),
        "SubmitDate": wire_time(now, whole_seconds=True),
        "ReportTitle": call.get("ReportTitle"),
        "ReportType": call.get("ReportType"),
        "StartDate": wire_time(start, whole_seconds=True),
        "EndDate": wire_time(end, whole_seconds=True),
        "NotifyAddress": _texts(call.get("NotifyAddress")),
        "ConnectorType": call.get("ConnectorType") or "",
        "Direction": call.get("Direction") or "All",
    }
    call.add(KEPT_AS, row)
    return [_shown(tenant, row)]


def _texts(value: Any) -> list[str]:
    return list(getattr(value, "values", ()) or getattr(value, "add", ()))


def _get(call: Call) -> Rows:
    wanted, now = call.get("JobId"), call.tenant.clock.now()
    rows = [row for row in call.tenant.rows(KEPT_AS) if (stored_time(row["SubmitDate"]) or now) > now - 10 * _DAY]
    found = [row for row in rows if not wanted or row["JobId"].lower() == str(wanted).lower()]
    if wanted and not found:
        raise errors.not_found(str(wanted), "historical searches")
    return [_shown(call.tenant, row) for row in sorted(found, key=lambda row: row["SubmitDate"], reverse=True)]


def _due(tenant: Tenant, row: Row) -> dt.datetime:
    submitted = stored_time(row["SubmitDate"]) or tenant.clock.now()
    return submitted + dt.timedelta(seconds=float(tenant.settings.get("historical_search_s") or _USUAL_S))


def _shown(tenant: Tenant, row: Row) -> Row:
    due = _due(tenant, row)
    done = due <= tenant.clock.now()
    url = f"https://admin.protection.outlook.com/ExtendedReport/Download?Type=OnDemandReport&RequestID={row['JobId']}"
    return {
        **row,
        "Status": "Done" if done else "InProgress",
        "ReportStatusDescription": "Complete – Ready for download" if done else "In progress",
        "JobProgress": 100 if done else 0,
        "Rows": len(list(_lines(tenant, row))) if done else 0,
        "FileUrl": url if done else "",
        "CompletionDate": wire_time(due, whole_seconds=True) if done else None,
        "EstimatedCompletionTime": wire_time(due, whole_seconds=True),
        "ErrorCode": "",
        "ErrorDescription": "",
    }


# --- files -----------------------------------------------------------------------------------------------------------

_SMTP_COLUMNS = (
    "date", "senderName", "senderDomain", "authMethod", "original_client_ip", "tls_version", "tls_cipher",
    "message_count", "message_id",
)  # fmt: skip
_CONNECTOR_COLUMNS = (
    "date", "direction", "connector_name", "sender_address", "recipient_address", "message_id", "network_message_id",
    "original_client_ip", "tls_version",
)  # fmt: skip


def report(tenant: Tenant, job_id: str) -> tuple[str, bytes] | None:
    """Name and bytes of the file of a search that is done; None where there is none."""
    for row in tenant.rows(KEPT_AS):
        if row["JobId"].lower() == job_id.lower() and _due(tenant, row) <= tenant.clock.now():
            columns = _SMTP_COLUMNS if row["ReportType"] == "SmtpCSReport" else _CONNECTOR_COLUMNS
            text = io.StringIO()
            writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
            writer.writerows([columns, *_lines(tenant, row)])
            return f"{row['ReportType']}_{row['ReportTitle']}_{row['JobId']}.csv", text.getvalue().encode("utf-16")
    return None


def _lines(tenant: Tenant, row: Row) -> Iterator[list[str]]:
    if row["ReportType"] not in _WITH_FILE:
        return
    made = _submissions if row["ReportType"] == "SmtpCSReport" else _without_connector
    traces = (t for t in message_traces.kept(tenant) if row["StartDate"] <= t["Received"] <= row["EndDate"])
    for number, line in enumerate(made(traces)):
        if number >= _MOST_ROWS:
            return
        yield line


def _submissions(traces: Iterable[Row]) -> Iterator[list[str]]:
    """A line for each message that was submitted with a login, whatever its recipients."""
    seen: set[str] = set()
    for trace in traces:
        if trace.get("_Authentication") and trace["MessageTraceId"] not in seen:
            seen.add(trace["MessageTraceId"])
            name, _, domain = str(trace["SenderAddress"]).partition("@")
            tls = str(trace.get("_Tls") or "")
            yield [
                trace["Received"][:10], name, domain, trace["_Authentication"], trace["FromIP"], tls,
                "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" if tls else "", "1", trace["MessageId"],
            ]  # fmt: skip


def _without_connector(traces: Iterable[Row]) -> Iterator[list[str]]:
    """A line for each recipient of what came in without a connector and without a login."""
    for trace in traces:
        if not trace.get("_Authentication") and not trace.get("_Connector"):
            yield [
                trace["Received"], "Received", "No connector", trace["SenderAddress"], trace["RecipientAddress"],
                trace["MessageId"], trace["MessageTraceId"], trace["FromIP"], str(trace.get("_Tls") or ""),
            ]  # fmt: skip


CMDLETS = (
    Cmdlet(
        "Start-HistoricalSearch",
        (
            *(string(n, stored=False, required=True) for n in ("ReportTitle", "StartDate", "EndDate")),
            choice(
                "ReportType",
                "Microsoft.Exchange.Management.HistoricalSearchReportType",
                *_TYPES,
                stored=False,
                required=True,
            ),
            *(string(n, stored=False) for n in ("ConnectorType", "DeliveryStatus", "Direction", "OriginalClientIP")),
            *(string(n, stored=False) for n in ("Locale", "SmtpSecurityError", "TLSUsed", "Url", "BlockStatus")),
            *(array(n) for n in ("MessageID", "NotifyAddress", "RecipientAddress", "SenderAddress", "TransportRule")),
        ),
        _start,
    ),
    Cmdlet("Get-HistoricalSearch", (string("JobId", stored=False),), _get),
)
