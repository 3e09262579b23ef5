"""Renamed connectors, over the command line: the tenant keeps the object, and mail goes on all the time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

pytestmark = [pytest.mark.one_of("profile"), pytest.mark.part(0.5)]

PROFILES = ("sandbox", "sandbox-psrp")
RELAY = """owner: mail/prod
inbound_connectors:
  %s: { type: on_premises, sender_ip_addresses: [52.202.8.242], require_tls: false, comment: Scanners }
"""
SITE = """owner: mail/prod
sites: { %s: { egress_ip_addresses: [52.202.8.242] } }
devices:
  mfp: { site: %s, from: mfp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [] } }
"""
OUTBOUND = "owner: mail/prod\noutbound_connectors:\n  %s: { type: partner, recipient_domains: [bank.example] }\n"
QUICK = {"PROVISIONER_TIMEOUTS__CONFIRM_S": "0.4"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "dns": {"contoso.com": {}}}) as here:
        yield here


@pytest.fixture
def shop(opened: Shop) -> Shop:
    opened.reset()
    for journal in (opened.folder / "state").glob("*/journal.jsonl"):
        journal.unlink()
    return opened


def apply(shop: Shop, profile: str = "sandbox", *what: str) -> tuple[int, list[str]]:
    """The exit code, and the cmdlets that wrote, in order."""
    since = shop.tenant.seen()
    found = shop.run("--profile", profile, "apply", *(what or ("plan.yaml", "--auto-approve")), **QUICK)
    assert found.returncode in {0, 6, 7, 8}, found.stderr
    return found.returncode, [w["cmdlet"] for w in shop.tenant.writes(since=since)]


def planned(shop: Shop, *options: str) -> dict[str, Any]:
    found = shop.on_tenant("plan", "plan.yaml", "--format", "json", *options)
    assert found.returncode in {0, 6}, found.stderr
    document: dict[str, Any] = json.loads(found.stdout)
    return document


def pending(document: dict[str, Any]) -> list[tuple[str, str]]:
    changes = [c for c in document["resource_changes"] if c["change"]["actions"] != ["no-op"]]
    return [(c["change"]["actions"][0], c["address"]) for c in changes]


def is_settled(shop: Shop) -> bool:
    return shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0


def only(shop: Shop, noun: str = "InboundConnector") -> dict[str, Any]:
    (row,) = shop.tenant.rows(noun)
    return row


@pytest.mark.part(1)
@pytest.mark.parametrize("profile", PROFILES)
def test_a_connector_renamed_by_hand_is_named_again_and_neither_made_nor_removed(shop: Shop, profile: str) -> None:
    shop.write(RELAY % "hq")
    assert apply(shop, profile)[0] == 0
    before = only(shop)
    assert before["Comment"] == "Scanners [provisioner: mail/prod [hq]]"
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", Name="HQ (new firewall)")
    said = shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode")
    assert said.returncode == 2
    assert 'it is renamed from "HQ (new firewall)": its ownership mark names this key' in said.stdout
    (change,) = planned(shop)["resource_changes"]
    assert change["previous_address"] == 'inbound_connector["HQ (new firewall)"]'
    assert change["provisioner"]["consequences"] == ["neutral"]
    drift = shop.on_tenant("drift", "plan.yaml")
    assert (drift.returncode, "name" in drift.stdout) == (2, True)
    code, writes = apply(shop, profile)
    assert (code, writes) == (0, ["Set-InboundConnector"])
    assert (only(shop)["Name"], only(shop)["Guid"]) == ("hq", before["Guid"])
    assert is_settled(shop)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("new", ["a-relay", "z-relay"])
def test_a_key_renamed_in_the_plan_renames_the_connector(shop: Shop, new: str, profile: str) -> None:
    shop.write(RELAY % "m-relay")
    assert apply(shop, profile)[0] == 0
    guid = only(shop)["Guid"]
    shop.write(RELAY % new)
    code, writes = apply(shop, profile)
    assert (code, writes) == (0, ["Set-InboundConnector"])
    row = only(shop)
    assert (row["Name"], row["Guid"], row["Comment"]) == (new, guid, f"Scanners [provisioner: mail/prod [{new}]]")
    assert is_settled(shop)


def test_a_renamed_site_keeps_its_connector(shop: Shop) -> None:
    shop.write(SITE % ("north", "north"))
    assert apply(shop)[0] == 0
    guid = only(shop)["Guid"]
    shop.write(SITE % ("south", "south"))
    document = planned(shop)
    assert pending(document) == [("update", 'inbound_connector["site-south"]')]
    assert not any(f["blocks"] for f in document["provisioner"]["findings"])
    assert apply(shop)[0] == 0
    assert (only(shop)["Name"], only(shop)["Guid"]) == ("site-south", guid)
    assert is_settled(shop)


def test_an_outbound_connector_is_renamed_alike(shop: Shop) -> None:
    shop.write(OUTBOUND % "to-bank")
    assert apply(shop)[0] == 0
    shop.tenant.cmdlet("Set-OutboundConnector", Identity="to-bank", Name="Bank")
    assert apply(shop)[1] == ["Set-OutboundConnector"]
    shop.write(OUTBOUND % "bank-2")
    assert apply(shop)[1] == ["Set-OutboundConnector"]
    assert only(shop, "OutboundConnector")["Name"] == "bank-2"
    assert is_settled(shop)


def test_the_journal_knows_a_connector_whose_name_mark_and_addresses_were_changed(shop: Shop) -> None:
    shop.write(RELAY % "hq")
    assert apply(shop)[0] == 0
    guid = only(shop)["Guid"]
    shop.tenant.cmdlet(
        "Set-InboundConnector", Identity="hq", Name="Firewall", Comment="by hand", SenderIPAddresses=["52.202.8.9"]
    )
    said = shop.on_tenant("plan", "plan.yaml").stdout
    assert 'it is renamed from "Firewall": the journal knows it by its Guid' in said
    assert apply(shop)[1] == ["Set-InboundConnector"] * 2, (
        "the address of the plan is added before the other is removed"
    )
    row = only(shop)
    assert (row["Name"], row["Guid"], row["SenderIPAddresses"]) == ("hq", guid, ["52.202.8.242"])
    assert row["Comment"] == "Scanners [provisioner: mail/prod [hq]]"


def test_an_old_mark_stays_as_it_is_until_something_else_is_written(shop: Shop) -> None:
    shop.tenant.cmdlet(
        "New-InboundConnector", Name="hq", ConnectorType="OnPremises", SenderDomains=["*"], RequireTls=False,
        SenderIPAddresses=["52.202.8.242"], Comment="Scanners [provisioner: mail/prod]",
    )  # fmt: skip
    shop.write(RELAY % "hq")
    assert is_settled(shop)
    shop.write((RELAY % "hq").replace("comment: Scanners", "comment: Printers"))
    assert "mail/prod [hq]" not in only(shop)["Comment"]
    assert apply(shop)[0] == 0
    assert only(shop)["Comment"] == "Printers [provisioner: mail/prod [hq]]"
    assert is_settled(shop)


def test_an_old_mark_on_a_name_that_is_not_declared_is_kept_while_something_is_missing(shop: Shop) -> None:
    for name, address in (("one", "52.202.8.240/28"), ("two", "52.202.8.0/24")):
        shop.tenant.cmdlet(
            "New-InboundConnector", Name=name, ConnectorType="OnPremises", SenderDomains=["*"], RequireTls=False,
            SenderIPAddresses=[address], Comment="[provisioner: mail/prod]",
        )  # fmt: skip
    shop.write(RELAY % "hq")
    document = planned(shop)
    assert pending(document) == [("create", 'inbound_connector["hq"]')]
    assert [f["rule"] for f in document["provisioner"]["findings"]].count("RENAMED-UNCLEAR") == 2
    assert apply(shop)[1] == ["New-InboundConnector"]
    assert {r["Name"] for r in shop.tenant.rows("InboundConnector")} == {"hq", "one", "two"}


@pytest.mark.part(1)
def test_a_replaced_connector_outlives_a_replacement_that_is_refused(shop: Shop) -> None:
    shop.write(RELAY % "hq")
    assert apply(shop)[0] == 0
    shop.write(
        "owner: mail/prod\ninbound_connectors:\n"
        "  cert: { type: on_premises, require_tls: true, tls_sender_certificate_name: mail.contoso.com }\n"
    )
    shop.tenant.control("POST", "/load", {"sandbox": 1, "settings": {"inbound_connectors_created_disabled": True}})
    code, writes = apply(shop, "sandbox", "plan.yaml", "--auto-approve", "--allow", "BLAST-RADIUS")
    assert (code, writes) == (8, ["New-InboundConnector"])
    assert {r["Name"]: r["Enabled"] for r in shop.tenant.rows("InboundConnector")} == {"hq": True, "cert": False}


def test_a_saved_rename_is_applied_as_it_was_reviewed_and_is_stale_once_the_name_is_another(shop: Shop) -> None:
    shop.write(RELAY % "hq")
    assert apply(shop)[0] == 0
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", Name="Firewall")
    assert shop.on_tenant("plan", "plan.yaml", "-o", "change.json").returncode == 0
    shop.tenant.cmdlet("Set-InboundConnector", Identity="Firewall", Name="Headquarters")
    saved = shop.reviewed("change.json")
    assert apply(shop, "sandbox", *saved) == (7, [])
    shop.tenant.cmdlet("Set-InboundConnector", Identity="Headquarters", Name="Firewall")
    assert apply(shop, "sandbox", *saved)[1] == ["Set-InboundConnector"]
    assert apply(shop, "sandbox", *saved) == (0, [])
    assert is_settled(shop)


def test_what_is_exported_after_a_rename_by_hand_plans_empty(shop: Shop) -> None:
    shop.write(RELAY % "hq")
    assert apply(shop)[0] == 0
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", Name="Firewall")
    found = shop.on_tenant("export", "--owner", "mail/prod", "-o", "plan.yaml")
    assert found.returncode == 0, found.stderr
    assert pending(planned(shop)) == []
    assert "Firewall:" in (shop.folder / "plan.yaml").read_text()


def test_ignore_and_protect_go_by_the_key_too(shop: Shop) -> None:
    shop.write(RELAY % "hq")
    assert apply(shop)[0] == 0
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", Name="Firewall")
    for header in ("ignore", "protect"):
        shop.write(f"owner: mail/prod\n{header}: [inbound_connector/hq]\nsmtp_auth: {{ organization: disabled }}\n")
        assert pending(planned(shop)) == []
    shop.write("owner: mail/prod\nsmtp_auth: { organization: disabled }\n")
    assert pending(planned(shop)) == [("delete", 'inbound_connector["Firewall"]')]


# --- marks of an older version, which name no key --------------------------------------------------------------------

OLD_MARKS = """owner: mail/prod
inbound_connectors:
  hq: { type: on_premises, sender_ip_addresses: [52.202.8.242], require_tls: false, comment: Scanners }
  depot: { type: on_premises, sender_ip_addresses: [54.84.80.162], require_tls: false }
outbound_connectors:
  bank: { type: partner, recipient_domains: [bank.example] }
"""


def old_mark(shop: Shop, name: str, address: str, **more: Any) -> str:
    """A connector that an older version made."""
    usual = {"ConnectorType": "OnPremises", "SenderDomains": ["*"], "RequireTls": False}
    mark = {"Comment": f"{more.pop('Comment', '')} [provisioner: mail/prod]".strip()}
    rows = shop.tenant.cmdlet(
        "New-InboundConnector", Name=name, SenderIPAddresses=[address], **{**usual, **mark, **more}
    )["rows"]
    return str(rows[0]["Guid"])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.one_of("shape", cases=2)
@pytest.mark.parametrize("shape", ["another sender", "equal body", "as declared", "both"])
def test_a_plan_is_empty_after_an_apply_beside_old_marks_and_missing_connectors(
    shop: Shop, profile: str, shape: str
) -> None:
    """A connector whose mark names no key goes, is renamed or stays in the first apply, and not in a later one."""
    shop.write(OLD_MARKS)
    guid = ""
    if shape in {"another sender", "both"}:
        old_mark(shop, "Old branch", "93.184.216.9")
    if shape in {"equal body", "both"}:
        guid = old_mark(shop, "HQ scanners", "52.202.8.242", Comment="Scanners")
    if shape == "as declared":
        guid = old_mark(shop, "hq", "52.202.8.242", Comment="Scanners")
    code, writes = apply(shop, profile, "plan.yaml", "--auto-approve", "--allow", "BLAST-RADIUS")
    assert code == 0
    assert ("Remove-InboundConnector" in writes) is (shape in {"another sender", "both"})
    rows = {row["Name"]: row for row in shop.tenant.rows("InboundConnector")}
    assert rows.keys() == {"hq", "depot"}
    assert not guid or rows["hq"]["Guid"] == guid
    assert len(shop.tenant.rows("OutboundConnector")) == 1
    for again in PROFILES:
        assert shop.run("--profile", again, "plan", "plan.yaml", "--detailed-exitcode").returncode == 0
    assert apply(shop, profile) == (0, [])


@pytest.mark.parametrize("profile", PROFILES)
def test_an_old_mark_that_may_be_a_missing_connector_waits_and_is_told(shop: Shop, profile: str) -> None:
    """It has a sender of the missing one and another body. It is kept, told, and gone once that is certain."""
    shop.write(OLD_MARKS)
    old_mark(shop, "Headquarters", "52.202.8.242", RequireTls=True)
    said = shop.run("--profile", profile, "plan", "plan.yaml", "--detailed-exitcode")
    assert (said.returncode, "RENAMED-UNCLEAR" in said.stdout) == (2, True)
    code, writes = apply(shop, profile)
    assert (code, "Remove-InboundConnector" in writes) == (0, False)
    assert {row["Name"] for row in shop.tenant.rows("InboundConnector")} == {"Headquarters", "hq", "depot"}
    assert apply(shop, profile, "plan.yaml", "--auto-approve", "--allow", "BLAST-RADIUS")[0] == 0
    assert {row["Name"] for row in shop.tenant.rows("InboundConnector")} == {"hq", "depot"}
    assert is_settled(shop)


# --- what looks and changes nothing ----------------------------------------------------------------------------------


def test_explain_and_the_sheet_show_a_renamed_connector_as_absent_until_apply(shop: Shop) -> None:
    """They look at what the plan names; only a plan recognises the object under its other name."""
    shop.write(SITE % ("hq", "hq"))
    assert apply(shop)[0] == 0
    shop.tenant.cmdlet("Set-InboundConnector", Identity="site-hq", Name="Firewall")

    def state(name: str) -> dict[str, Any]:
        found = json.loads(shop.on_tenant(*name.split(), "plan.yaml", "--format", "json").stdout)
        return next(r for r in found["resources"] if r["address"] == "inbound_connector/site-hq")

    explained = state("explain device/mfp")
    assert (explained["state"], explained["live"]) == ("absent", None)
    document = json.loads(shop.on_tenant("explain", "device/mfp", "plan.yaml", "--format", "json").stdout)
    assert [(s["allowed"], s["by"]) for s in document["sending"]] == [(True, ["inbound_connector/Firewall"])]
    assert state("explain inbound_connector/site-hq")["state"] == "absent"
    assert shop.on_tenant("devices", "show", "mfp", "plan.yaml").returncode == 0
    assert apply(shop) == (0, ["Set-InboundConnector"])
    assert state("explain device/mfp")["state"] == "as declared"
