"""Message traces: what the service keeps of every message for 90 days, and what its details say. No transport in here.

A row is one recipient of one message, as Get-MessageTraceV2 gives it (public captures, 2026). Columns that begin with
"_" are the sandbox's own and never leave: `_Connector` (the inbound connector that took it, "" for none),
`_Authentication` ("Basic" or "OAuth" for a login), `_Tls` ("TLS1.2", "" without), `_Login`, `_Folder`, `_Reason` (of a
failure), `_Due` (when it is delivered), `_Results` (its header Authentication-Results). A seed has rows
as `objects: { MessageTrace: [...] }`, whole or terse.

Settings: `message_trace_delay_s`, after which a message shows (Microsoft states none; minutes are usual);
`message_trace_quota`, queries in five minutes (Learn, Get-MessageTraceV2: 100).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from provisioner.sandbox.clock import stored_time, wire_time
from provisioner.sandbox.tenant import Row, Tenant

KEPT_AS = "MessageTrace"
COLUMNS = (
    "MessageTraceId", "MessageId", "Received", "SenderAddress", "RecipientAddress", "FromIP", "ToIP", "Subject",
    "Status", "Size",
)  # fmt: skip
LARGEST, USUAL = 5000, 1000

_DAY = dt.timedelta(days=1)
_LONGEST, _OLDEST, _USUAL_SPAN = 10 * _DAY, 90 * _DAY, 2 * _DAY
_KEPT_ROWS = 200_000
_WINDOW_S = 300
_QUOTA = 100
_STATUS_OF_FOLDER = {"junk": "FilteredAsSpam", "quarantine": "Quarantined", "bounced": "Failed"}
_TLS_NAMES = {"TLSv1": "TLS1.0", "TLSv1.1": "TLS1.1", "TLSv1.2": "TLS1.2", "TLSv1.3": "TLS1.3"}
_SERVER = "AM0PR07MB3831.eurprd07.prod.outlook.com"
_EDGE = "AM0EPF0001CA17.mail.protection.outlook.com"


class TraceRefused(Exception):
    """A query that is refused, in the service's words (a public emulation measured in October 2026)."""

    def __init__(self, text: str, *, throttled: bool = False) -> None:
        super().__init__(text)
        self.text, self.throttled = text, throttled


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. Addresses may be `*@contoso.com`; an empty set asks for nothing special."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None
    senders: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    message_ids: frozenset[str] = frozenset()
    trace_id: str = ""
    from_ip: str = ""
    to_ip: str = ""
    subject: tuple[str, str] = ("", "")
    starting_recipient: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that one of the SMTP ports took; `folders` says for each recipient where it went."""

    sender: str
    folders: Mapping[str, str]
    from_ip: str
    message_id: str
    subject: str
    size: int
    tls: str = ""
    connector: str = ""
    authentication: str = ""
    login: str = ""
    due: dt.datetime | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    results: str = ""


def record(tenant: Tenant, taken: Taken) -> str:
    """Keep a message that was taken; its trace id."""
    trace_id, now = str(uuid.uuid4()), tenant.clock.now()
    rows = tenant.kept(KEPT_AS)
    for recipient, folder in taken.folders.items():
        rows.append({
            "MessageTraceId": trace_id,
            "MessageId": taken.message_id or f"<{trace_id}@{_SERVER}>",
            "Received": wire_time(now),
            "SenderAddress": taken.sender.lower(),
            "RecipientAddress": recipient.lower(),
            "FromIP": taken.from_ip,
            "ToIP": "",
            "Subject": taken.subject,
            "Status": _STATUS_OF_FOLDER.get(folder, "Delivered"),
            "Size": taken.size,
            "_Connector": taken.connector,
            "_Authentication": taken.authentication,
            "_Tls": _TLS_NAMES.get(taken.tls, ""),
            "_Login": taken.login,
            "_Folder": folder,
            "_Reason": taken.reasons.get(recipient, ""),
            "_Results": taken.results,
            **({"_Due": wire_time(taken.due)} if taken.due and taken.due > now else {}),
        })  # fmt: skip
    del rows[: max(0, len(rows) - _KEPT_ROWS)]
    tenant.changed()
    return trace_id


def complete(tenant: Tenant, row: Mapping[str, Any]) -> Row:
    """A row of a seed with every column; ids follow from what it says, so that a seed gives the same ids twice."""
    sender, recipient = str(row.get("SenderAddress", "")).lower(), str(row.get("RecipientAddress", "")).lower()
    received = str(row.get("Received", wire_time(tenant.clock.now())))
    known_by = "/".join((tenant.tenant_id, "trace", received, sender, str(row.get("Subject", ""))))
    trace_id = str(row.get("MessageTraceId") or uuid.uuid5(uuid.NAMESPACE_URL, known_by))
    whole = {
        "MessageTraceId": trace_id,
        "MessageId": f"<{trace_id}@{_SERVER}>",
        "FromIP": "",
        "ToIP": "",
        "Subject": "",
        "Status": "Delivered",
        "Size": 4096,
        "_Connector": "",
        "_Authentication": "",
        "_Tls": "",
        "_Login": "",
        **row,
        "Received": wire_time(stored_time(received) or tenant.clock.now()),
        "SenderAddress": sender,
        "RecipientAddress": recipient,
    }
    whole.setdefault("_Folder", next((f for f, s in _STATUS_OF_FOLDER.items() if s == whole["Status"]), "inbox"))
    return whole


# --- listing ---------------------------------------------------------------------------------------------------------


def kept(tenant: Tenant) -> Iterator[Row]:
    """Every row that shows by now, newest first; for one moment by recipient."""
    delay = dt.timedelta(seconds=float(tenant.settings.get("message_trace_delay_s") or 0))
    now = tenant.clock.now()
    latest, oldest = wire_time(now - delay), wire_time(now - _OLDEST)
    rows = (row for row in tenant.rows(KEPT_AS) if oldest <= row["Received"] <= latest)
    by_recipient = sorted(rows, key=lambda row: (row["RecipientAddress"], row["MessageTraceId"]))
    for row in sorted(by_recipient, key=lambda row: row["Received"], reverse=True):
        due = stored_time(row.get("_Due"))
        yield row if due is None or due <= now else {**row, "Status": "Pending"}


def found(tenant: Tenant, query: Query) -> list[Row]:
    """All rows that a query asks for. Raises TraceRefused."""
    start, end = _span(tenant, query)
    first, last = wire_time(start), wire_time(end)
    return [row for row in kept(tenant) if first <= row["Received"] <= last and _fits(row, query, last)]


def _span(tenant: Tenant, query: Query) -> tuple[dt.datetime, dt.datetime]:
    now = tenant.clock.now()
    if query.start is None:
        end = query.end or now
        return end - _USUAL_SPAN, end
    if query.end is None:
        raise TraceRefused("EndDate is required when a StartDate is entered.")
    if query.start > query.end:
        raise TraceRefused("The StartDate can't be later than the EndDate.")
    if query.end - query.start > _LONGEST + dt.timedelta(seconds=1):
        raise TraceRefused("The interval between StartDate and EndDate can't be longer than 10 days.")
    if query.start.date() < (now - _OLDEST).date():
        raise TraceRefused("Invalid StartDate value. The StartDate can't be older than 90 days from today.")
    return query.start, query.end


def _fits(row: Row, query: Query, last: str) -> bool:
    # The page before ended at this moment with this recipient, whose row comes again (public captures).
    if row["Received"] == last and row["RecipientAddress"] < query.starting_recipient.lower():
        return False
    return (
        _addressed(row["SenderAddress"], query.senders)
        and _addressed(row["RecipientAddress"], query.recipients)
        and (not query.statuses or str(row["Status"]).lower() in query.statuses)
        and (not query.message_ids or row["MessageId"] in query.message_ids)
        and (not query.trace_id or str(row["MessageTraceId"]).lower() == query.trace_id.lower())
        and (not query.from_ip or row["FromIP"] == query.from_ip)
        and (not query.to_ip or row["ToIP"] == query.to_ip)
        and _titled(str(row["Subject"]), *query.subject)
    )


def _addressed(address: str, wanted: Iterable[str]) -> bool:
    spaces = [text.lower() for text in wanted]
    return not spaces or any(address == w or (w.startswith("*@") and address.endswith(w[1:])) for w in spaces)


def _titled(subject: str, kind: str, wanted: str) -> bool:
    if not wanted:
        return True
    have, want = subject.lower(), wanted.lower()
    return {"contains": want in have, "startswith": have.startswith(want), "endswith": have.endswith(want)}[kind]


def shown(row: Mapping[str, Any]) -> Row:
    """The columns of a row that leave the service."""
    return {column: row[column] for column in COLUMNS}


def count_query(tenant: Tenant, kind: str) -> None:
    """Count a query of one kind (lists and details have a quota each). Raises TraceRefused over the quota."""
    now = tenant.clock.now().timestamp()
    queries = tenant.settings.setdefault("message_trace_queries", {})
    recent = [at for at in queries.get(kind, ()) if at > now - _WINDOW_S]
    if len(recent) >= int(tenant.settings.get("message_trace_quota") or _QUOTA):
        text = "Your recent queries have surpassed the permitted limit, please try again later."
        raise TraceRefused(text, throttled=True)
    queries[kind] = [*recent, now]


# --- details ---------------------------------------------------------------------------------------------------------


def details(tenant: Tenant, trace_id: str, recipient: str) -> list[Row]:
    """The events of one recipient of a message, in the columns of Get-MessageTraceDetailV2; none for an unknown one."""
    for row in kept(tenant):
        if row["MessageTraceId"].lower() == trace_id.lower() and row["RecipientAddress"] == recipient.lower():
            return [_event(row, *event) for event in _events(row)]
    return []


def _event(row: Row, seconds: float, event: str, action: str, detail: str, data: str) -> Row:
    received = stored_time(row["Received"]) or dt.datetime.now(dt.UTC)
    return {
        "MessageTraceId": row["MessageTraceId"],
        "MessageId": row["MessageId"],
        "Date": wire_time(received + dt.timedelta(seconds=seconds)),
        "Event": event,
        "Action": action,
        "Detail": detail,
        "Data": data,
    }


_FOLDERS = {"quarantine": "QuarantinedEmailSecured", "junk": "JunkEmail"}


def _events(row: Row) -> Iterator[tuple[float, str, str, str, str]]:
    """Seconds after it was received, event, action, detail and data. Wording: the same public emulation."""
    yield 0, "Receive", "", f"Message received by: {_SERVER}", _received(row)
    if row["Status"] == "Pending":
        return
    folder = str(row.get("_Folder"))
    if folder in _FOLDERS:
        held = folder == "quarantine"
        facts = {"DI": "SQ" if held else "SJ", "SCL": 8 if held else 6, "SFV": "SPM", "CIP": row["FromIP"]}
        action = "Quarantine" if held else ""
        yield 4, "Spam", action, f"Spam confidence level: {facts['SCL']}", _data(facts)
        where = f"The message was successfully delivered to the folder: DefaultFolderType:{_FOLDERS[folder]}"
        yield 5, "Deliver", "", where, _data({"MailboxServer": _SERVER})
        return
    yield 1, "Submit", "", "The message was submitted.", _data({"RcptCount": 1, "ServerHostName": _SERVER})
    if row["Status"] == "Failed":
        reason = row.get("_Reason") or (
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"
        )
        text = f"Reason: [{{LED={reason}}};{{MSG=}};{{FQDN=}};{{IP=}};{{LRT=}}]"
        yield 2, "Fail", "", text, _data({"ServerHostName": _SERVER})
    elif folder == "external":
        domain = str(row["RecipientAddress"]).rpartition("@")[2]
        text = f"Message sent to mx.{domain} at 203.0.113.5 using TLS1.2"
        yield 2, "Send external", "", text, _data({"ServerHostName": _SERVER})
    else:
        yield 2, "Deliver", "", "The message was successfully delivered.", _data({"MailboxServer": _SERVER})


def _received(row: Row) -> str:
    """The data of the Receive event: who connected, by which receive connector, and what took the message.

    `S:InboundConnectorData=Name=…` names the inbound connector: public scripts read it there. TLS as it was captured.
    """
    custom = [f"S:ProxyHop1={_EDGE}(10.1.1.1)"]
    version = str(row.get("_Tls") or "")
    if version:
        custom.append(f"S:tlsversion=SP_PROT_{version.replace('.', '_')}_SERVER")
        custom.append("S:tlscipher=CALG_AES_256")
    if row.get("_Connector"):
        custom.append(f"S:InboundConnectorData=Name={row['_Connector']};ConnectorType=OnPremises")
    host = _SERVER.partition(".")[0]
    kind = "Client Proxy" if row.get("_Authentication") else "Default"
    facts = {"ConnectorId": f"{host}\\{kind} {host}", "ClientIP": row["FromIP"], "ServerHostName": _SERVER}
    return _data(facts, {"CustomData": ";".join(custom)}, {"SequenceNumber": "0"})


def _data(
    facts: Mapping[str, Any], blobs: Mapping[str, str] | None = None, longs: Mapping[str, str] | None = None
) -> str:
    parts = [
        f'<MEP Name="{name}" {"Integer" if isinstance(value, int) else "String"}="{escape(str(value))}" />'
        for name, value in facts.items()
    ]
    parts += [f'<MEP Name="{name}" Blob="{escape(value)}" />' for name, value in (blobs or {}).items()]
    parts += [f'<MEP Name="{name}" Long="{escape(value)}" />' for name, value in (longs or {}).items()]
    return f"<root>{''.join(parts)}</root>"
