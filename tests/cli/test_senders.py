"""`provisioner senders discover` against a tenant of 60 mailboxes: everything that sends is found, and what is missing
is named."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import Shop, open_shop
from tests.senders.december import (
    DOOR,
    ERP,
    ERP_APP,
    FROZEN,
    IDLE,
    LABELS,
    NEWS_APP,
    SCANNERS,
    SITES,
    TICKETS_APP,
    TRUTH,
    seed,
    site_of,
)

pytestmark = pytest.mark.part(0.5)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), seed()) as here:
        yield here


@pytest.fixture(autouse=True)
def as_started(shop: Shop) -> Iterator[None]:
    yield
    shop.reset()


def found(shop: Shop, *options: str, code: int = 0, profile: str = "sandbox") -> dict[str, Any]:
    done = shop.run("--profile", profile, "senders", "discover", "--format", "json", *options)
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def source(document: dict[str, Any], name: str) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in document["sources"] if row["name"] == name)
    return row


def job_in(reason: str) -> str:
    return next(word for word in reason.replace(";", " ").split() if word.count("-") == 4)


def test_every_sender_is_found_with_its_protocol_once_the_report_is_there(shop: Shop) -> None:
    """Asked for, not done yet, done, downloaded by a person, given: then the inventory is the truth."""
    shop.fault(
        "Get-MessageTraceV2", {"status": 400, "body": {"error": {"code": "BadRequest", "message": "x"}}}, times=1
    )
    asked = source(found(shop), "smtp_auth_report")
    assert asked["state"] == "not_read"
    job = job_in(asked["reason"])
    assert f"{job} still runs" in source(found(shop, "--days", "1"), "smtp_auth_report")["reason"]
    assert len(shop.tenant.rows("HistoricalSearch")) == 2, "the second run starts no other search"
    shop.tenant.control("POST", "/clock", {"advance": 7300})
    ready = source(found(shop, "--days", "1"), "smtp_auth_report")
    assert "--report FILE" in ready["reason"]
    assert ready["needs"] == "a person's sign-in in a browser"
    (shop.folder / "report.csv").write_bytes(shop.tenant.bytes_of("GET", f"/historical-searches/{job}"))
    document = found(shop, "--report", "report.csv", "--days", "60")
    assert source(document, "smtp_auth_report")["state"] == "read"
    by_address = {row["address"]: row for row in document["senders"] if row["address"]}
    assert {address: row["protocol"] for address, row in by_address.items()} == TRUTH
    for scanner in SCANNERS:
        row = by_address[scanner]
        assert (row["mailbox"], row["confidence"], row["may_log_in"]) == (scanner, "certain", "allowed")
        assert [place["ip_address"] for place in row["source_addresses"]] == [site_of(scanner)]
        assert row["tls"] == ["1.2"]
    assert by_address[SCANNERS[0]]["recipients"] == "both"
    erp, labels, door = by_address[ERP], by_address[LABELS], by_address[DOOR]
    assert (erp["client_ids"], erp["applications"]) == ([ERP_APP], ["ERP"])
    assert labels["source_addresses"] == [{"ip_address": SITES["plant"], "connector": "plant", "messages": 5}]
    assert (door["source_addresses"][0]["connector"], door["failures"][0]["code"]) == ("", "Failed")


def test_without_a_report_logins_and_traces_tell_and_what_they_leave_open_is_said(shop: Shop) -> None:
    document = found(shop, "--no-search")
    assert not shop.tenant.control("GET", "/dump")["objects"].get("HistoricalSearch")
    by_key = {(row["address"], row["mailbox"]): row for row in document["senders"]}
    scanner = by_key[SCANNERS[3], SCANNERS[3]]
    assert (scanner["protocol"], scanner["confidence"]) == ("client_submission_basic", "likely")
    frozen = by_key["", FROZEN]
    assert (frozen["failures"][0]["code"], frozen["failures"][0]["count"]) == ("50126", 7)
    assert IDLE in document["idle_mailboxes"]
    assert document["idle_connectors"] == ["old"]
    # ERP's mail from a scanner's address, with a login there: the sign-in log cannot tell OAuth.
    assert by_key[LABELS, ""]["protocol"] == "smtp_relay"


def test_applications_that_send_through_graph_are_listed_by_what_allows_them_and_by_their_tokens(shop: Shop) -> None:
    document = found(shop, "--no-search", "--days", "3")
    graph = {row["applications"][0]: row for row in document["senders"] if row["protocol"] == "graph"}
    assert {name: row["client_ids"] for name, row in graph.items()} == {"News": [NEWS_APP], "Tickets": [TICKETS_APP]}
    assert {row["confidence"] for row in graph.values()} == {"possible"}, "no log says what a token was used for"
    assert [place["ip_address"] for place in graph["News"]["source_addresses"]] == ["198.51.100.50"]
    assert [name.partition(" ")[0] for name in document["idle_applications"]] == ["Archive"]
    for name in ("mail_permissions", "graph_sign_ins"):
        assert source(document, name)["state"] == "read"


def test_it_reads_over_remote_powershell_alike(shop: Shop) -> None:
    options = ("--no-search", "--days", "2")
    over_rest, over_psrp = found(shop, *options), found(shop, *options, profile="sandbox-psrp")
    assert over_psrp["senders"] == over_rest["senders"]
    assert [(row["name"], row["state"]) for row in over_psrp["sources"]] == [
        (row["name"], row["state"]) for row in over_rest["sources"]
    ]


def test_each_source_that_is_refused_is_named_with_what_it_lacks(shop: Shop) -> None:
    roles = {
        "https://outlook.office365.com": ["Exchange.ManageAsApp"],
        "https://graph.microsoft.com": ["Organization.Read.All"],
    }
    app = {"displayName": "app", "appRoles": roles, "directoryRoles": ["Security Reader"]}
    shop.tenant.control("POST", "/load", {"sandbox": 1, "apps": [app]})
    document = found(shop, "--days", "1")
    needs = {row["name"]: row["needs"] for row in document["sources"] if row["state"] != "read"}
    assert needs["sign_ins"].startswith("AuditLog.Read.All")
    assert needs["graph_sign_ins"].startswith("AuditLog.Read.All")
    assert needs["mail_permissions"].startswith("Application.Read.All")
    assert document["idle_applications"] == ["0b9ec700-0000-4000-8000-0000000000e4"], "the role was read, consent not"
    assert needs["security_defaults"].startswith("Policy.Read.All")
    assert "Policy.Read.ConditionalAccess" in needs["conditional_access"]
    assert "Start-HistoricalSearch" in needs["smtp_auth_report"]
    shop.fault("Get-MessageTraceV2", {"status": 403})
    shop.tenant.control("POST", "/load", {"sandbox": 1, "settings": {"entra_id_premium": False}})
    nothing = found(shop, "--days", "1", code=5)
    assert nothing["senders"] == []
    needs = source(nothing, "message_traces")["needs"]
    assert "Get-MessageTraceV2" in needs
    assert "ExchangeMessageTrace.Read.All" in needs


def test_traces_come_through_graph_where_no_role_holds_the_cmdlet(shop: Shop) -> None:
    options = ("--no-search", "--days", "2")
    expected = found(shop, *options)
    refused = {"front": "exchange", "match": {"cmdlet": "Get-MessageTraceV2"}, "times": 50, "do": {"status": 403}}
    shop.tenant.control("POST", "/faults", refused)
    over_graph = found(shop, *options)
    assert [(row["address"], row["protocol"]) for row in over_graph["senders"]] == [
        (row["address"], row["protocol"]) for row in expected["senders"]
    ]
    assert source(over_graph, "message_traces")["state"] == source(over_graph, "trace_details")["state"] == "read"
    shop.tenant.control("POST", "/load", {"sandbox": 1, "settings": {"message_trace_provisioned": False}})
    unread = source(found(shop, *options), "message_traces")
    assert (unread["state"], "service principal 8bd644d1-64a1" in unread["needs"]) == ("not_read", True)


def test_a_tenant_without_entra_id_p1_lacks_a_licence_and_beta_that_is_away_leaves_a_part(shop: Shop) -> None:
    beta = {"front": "graph", "match": {"path": "/beta/auditLogs/signIns"}, "times": 9, "do": {"status": 400}}
    shop.tenant.control("POST", "/faults", beta)
    part = source(found(shop, "--no-search", "--days", "1"), "sign_ins")
    assert (part["state"], "interactive sign-ins only" in part["reason"]) == ("partial", True)
    shop.release()
    shop.tenant.control("POST", "/load", {"sandbox": 1, "settings": {"entra_id_premium": False}})
    licence = source(found(shop, "--no-search", "--days", "1"), "sign_ins")
    assert (licence["state"], licence["needs"]) == ("not_read", "a licence with Microsoft Entra ID P1 or P2")


def test_the_table_has_every_sender_and_a_file_gets_what_would_be_printed(shop: Shop) -> None:
    options = ("senders", "discover", "--no-search", "--days")
    table = shop.on_tenant(*options, "3")
    assert all(sender in table.stdout for sender in [*SCANNERS, LABELS, DOOR, FROZEN])
    assert "SMTP AUTH report: not read: no historical search was started" in table.stdout
    written = shop.on_tenant(*options, "2", "--format", "csv", "--out", "senders.csv")
    rows = list(csv.DictReader(io.StringIO((shop.folder / "senders.csv").read_text(encoding="utf-8"))))
    assert {LABELS, DOOR, ERP} <= {row["address"] for row in rows}
    assert written.stdout == ""
    assert f"Wrote {len(rows)} senders to senders.csv" in written.stderr


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"date,subject\n1,2\n", "no column that names a sender"), (b"", "no column that names a sender")],
)
def test_a_report_that_is_none_is_refused_before_the_tenant_is_asked(shop: Shop, content: bytes, word: str) -> None:
    (shop.folder / "other.csv").write_bytes(content)
    seen = shop.tenant.seen()
    done = shop.on_tenant("senders", "discover", "--report", "other.csv")
    assert done.returncode == 3
    assert word in done.stderr
    assert shop.tenant.seen() == seen
    assert shop.on_tenant("senders", "discover", "--report", "missing.csv").returncode == 3
