"""Historical searches: they take hours, and their files have what the service is known to write."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest

from provisioner.sandbox.clock import wire_time
from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.cmdlets.historical_search import report
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

_ADMINISTRATOR = Caller("app", directory_roles=("Exchange Administrator",))
_READER = Caller("reader", directory_roles=("Global Reader",))


def _trace(**more: Any) -> dict[str, Any]:
    return {"_DaysAgo": 20, "SenderAddress": "erp@contoso.com", "RecipientAddress": "anna@contoso.com", **more}


def _tenant() -> Tenant:
    tenant = Tenant()
    traces = [
        _trace(_Authentication="Basic", _Tls="TLS1.2", FromIP="203.0.113.9"),
        _trace(_Authentication="Basic", _Tls="TLS1.2", FromIP="203.0.113.9", RecipientAddress="ben@contoso.com"),
        _trace(_Connector="hq", FromIP="203.0.113.10", Subject="relayed"),
        _trace(FromIP="198.51.100.4", Subject="direct"),
    ]
    tenant.merge(load_seed({"sandbox": 1, "objects": {"MessageTrace": traces}}))
    return tenant


def _asked(tenant: Tenant, kind: str, caller: Caller = _ADMINISTRATOR, **more: Any) -> dict[str, Any]:
    now = tenant.clock.now()
    span = {"StartDate": wire_time(now - dt.timedelta(days=90)), "EndDate": wire_time(now)}
    parameters = {"ReportTitle": "senders", "ReportType": kind, **span, **more}
    (row,) = run_cmdlet(tenant, caller, "Start-HistoricalSearch", parameters).rows
    return row


def _file(tenant: Tenant, job: str) -> list[dict[str, str]]:
    found = report(tenant, job)
    assert found is not None
    assert found[1][:2] == b"\xff\xfe", "UTF-16 with its mark"
    return list(csv.DictReader(io.StringIO(found[1].decode("utf-16"))))


def test_a_search_is_done_after_two_hours_and_has_its_address_then() -> None:
    tenant = _tenant()
    job = _asked(tenant, "SmtpCSReport", NotifyAddress=["it@contoso.com"])
    assert (job["Status"], job["FileUrl"]) == ("InProgress", "")
    assert report(tenant, job["JobId"]) is None
    tenant.clock.advance(7201)
    (done,) = run_cmdlet(tenant, _READER, "Get-HistoricalSearch", {"JobId": job["JobId"]}).rows
    assert (done["Status"], done["Rows"]) == ("Done", 1)
    assert job["JobId"] in done["FileUrl"]


def test_the_smtp_auth_report_has_a_line_for_each_message_that_was_submitted() -> None:
    tenant = _tenant()
    job = _asked(tenant, "SmtpCSReport")
    tenant.clock.advance(7201)
    (line,) = _file(tenant, job["JobId"])
    assert (line["senderName"], line["senderDomain"], line["authMethod"]) == ("erp", "contoso.com", "Basic")
    assert (line["original_client_ip"], line["tls_version"], line["message_count"]) == ("203.0.113.9", "TLS1.2", "1")


def test_the_connector_report_has_what_came_without_a_connector() -> None:
    tenant = _tenant()
    job = _asked(tenant, "ConnectorReport", ConnectorType="NoConnector", Direction="Received")
    tenant.clock.advance(7201)
    (line,) = _file(tenant, job["JobId"])
    assert (line["sender_address"], line["original_client_ip"]) == ("erp@contoso.com", "198.51.100.4")


def test_a_reader_starts_none_and_after_ten_days_it_is_gone() -> None:
    tenant = _tenant()
    with pytest.raises(CmdletError, match="not recognized"):
        _asked(tenant, "SmtpCSReport", _READER)
    _asked(tenant, "SmtpCSReport")
    tenant.clock.advance(11 * 86_400)
    assert run_cmdlet(tenant, _READER, "Get-HistoricalSearch", {}).rows == []
