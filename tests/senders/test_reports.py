"""CSV reports in the forms that people have: UTF-16 and UTF-8, columns in any spelling, rows that name nobody."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.diagnostics import InputError
from provisioner.senders.inventory import BASIC, OAUTH, SUBMISSION
from provisioner.senders.observing import counted
from provisioner.senders.reports import NO_CONNECTOR, SMTP_AUTH, decode, newest, search

_HISTORICAL = (
    '"date","senderName","senderDomain","authMethod","original_client_ip","tls_version","tls_cipher","message_count",'
    '"message_id"\r\n'
    '"2026-11-03","scan","Contoso.com","Basic","203.0.113.9","TLS1.2","X","1","<a@contoso.com>"\r\n'
    '"2026-11-04","scan","contoso.com","Basic","203.0.113.9","TLS1.2","X","1","<b@contoso.com>"\r\n'
    '"2026-11-04","erp","contoso.com","OAuth","::ffff:203.0.113.10","TLS1.3","X","1","<c@contoso.com>"\r\n'
)
_EXPORT = (
    "Sender address,Domain,Authentication protocol,TLS 1.0,TLS1.1,TLS 1.2,Messages,Something new\n"
    'scan@contoso.com,contoso.com,Basic,3,0,"1,197","1,200",x\n'
    "odd,,Basic,0,0,1,1,y\n"
)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8", "utf-8-sig"])
def test_the_file_of_a_historical_search_is_read_in_every_encoding(encoding: str) -> None:
    report = decode(_HISTORICAL.encode(encoding), "report.csv")
    erp, scan = sorted(counted(report.observations), key=lambda o: o.sender)
    assert (report.kind, report.rows, report.passed_over) == ("smtp_auth_report", 3, 0)
    assert (scan.sender, scan.protocol, scan.ip_address, scan.tls) == ("scan@contoso.com", BASIC, "203.0.113.9", "1.2")
    assert (scan.messages, scan.first, scan.last) == (2, "2026-11-03T00:00:00Z", "2026-11-04T00:00:00Z")
    assert (erp.protocol, erp.ip_address, erp.tls) == (OAUTH, "203.0.113.10", "1.3")


def test_the_export_of_the_admin_center_counts_by_sender_and_by_tls_version() -> None:
    report = decode(_EXPORT.encode(), "export.csv")
    assert (report.rows, report.passed_over) == (2, 1)
    assert sum(o.messages for o in report.observations) == 1200
    assert {o.tls for o in report.observations if o.tls} == {"1.0", "1.2"}


def test_a_report_without_an_authentication_is_the_one_about_connectors() -> None:
    text = "date,direction,connector_name,sender_address,recipient_address,original_client_ip\n"
    text += "11/3/2026 8:15,Received,No connector,door@contoso.com,a@contoso.com,198.51.100.4:2525\n"
    report = decode(text.encode(), "connectors.csv")
    (found,) = report.observations
    assert report.kind == "connector_report"
    assert (found.sender, found.connector, found.ip_address) == ("door@contoso.com", "", "198.51.100.4")


def test_an_authentication_that_nobody_knows_is_a_login_of_an_unknown_kind() -> None:
    text = "Sender address,Authentication protocol\nscan@contoso.com,NTLM\n"
    assert decode(text.encode(), "x.csv").observations[0].protocol == SUBMISSION


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"date,subject\n1,2\n", b"\x00" * 40, b'"' * 200_001])
def test_what_is_no_report_is_refused_with_its_name(content: bytes) -> None:
    with pytest.raises(InputError, match=r"x\.csv") as refused:
        decode(content, "x.csv")
    assert refused.value.diagnostics[0].id == "REPORT-INVALID"


@given(st.binary(max_size=300), st.sampled_from([b"", b"sender_address,date,message_count\n", b"\xff\xfe"]))
def test_any_bytes_are_a_report_or_refused(content: bytes, head: bytes) -> None:
    with contextlib.suppress(InputError):
        decode(head + content, "x.csv")


def test_a_search_names_its_period_and_asks_for_what_had_no_connector() -> None:
    asked = search(NO_CONNECTOR, "2026-08-25T00:00:00Z", "2026-11-23T00:00:00Z")
    assert asked.parameters["ReportTitle"] == "provisioner senders ConnectorReport 2026-08-25 2026-11-23"
    assert asked.parameters["ConnectorType"] == "NoConnector"
    assert not asked.repeatable
    assert "ConnectorType" not in search(SMTP_AUTH, "2026-08-25T00:00:00Z", "2026-11-23T00:00:00Z").parameters


def test_the_search_that_counts_is_our_last_one_and_rather_one_that_is_done() -> None:
    def row(job: str, status: str, day: int, title: str = "provisioner senders SmtpCSReport") -> dict[str, str]:
        date = f"2026-11-{day:02d}T08:00:00Z"
        return {"JobId": job, "Status": status, "SubmitDate": date, "ReportTitle": title, "ReportType": SMTP_AUTH}

    rows = [row("1", "Done", 1), row("2", "Done", 3), row("3", "InProgress", 5), row("4", "Done", 6, "of somebody")]
    found = newest(rows, SMTP_AUTH)
    assert found is not None
    assert (found.job, found.done) == ("2", True)
    assert newest(rows, NO_CONNECTOR) is None


_ONE = """Sender address,Domain,Authentication Type,Messages
Scanner <SMTP:scan@contoso.com>,contoso.com,AUTH LOGIN,1200.0
"""


@pytest.mark.parametrize(
    "text",
    [
        _ONE,
        _ONE.replace(",", ";"),
        _ONE.replace(",", "\t"),
        "sep=;\r\n" + _ONE.replace(",", ";"),  # Excel
        "#TYPE System.Management.Automation.PSCustomObject\n" + _ONE,  # Export-Csv of Windows PowerShell
        "SMTP AUTH clients report\nfrom 1 September, to 26 November\n\n" + _ONE,
        _ONE.replace("1200.0", "1\u00a0200"),
    ],
)
def test_a_report_that_a_spreadsheet_or_a_script_has_saved_is_read(text: str) -> None:
    (found,) = decode(text.encode(), "report.csv").observations
    assert (found.sender, found.protocol, found.messages) == ("scan@contoso.com", BASIC, 1200)


def test_a_workbook_is_told_as_that() -> None:
    with pytest.raises(InputError, match="save the sheet as CSV"):
        decode(b"PK\x03\x04\x14", "report.xlsx")
