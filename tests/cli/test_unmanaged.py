"""Objects that nobody declared, over the command line: counted, listed and warned about, and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

COUNT = "of the types that this plan manages"
TEMP = {
    "Name": "migration-temp",
    "ConnectorType": "OnPremises",
    "Enabled": True,
    "SenderDomains": ["smtp:*;1"],
    "SenderIPAddresses": ["81.2.69.160"],
    "RequireTls": False,
    "Comment": "",
}
WIZARD = {
    **TEMP,
    "Name": "Inbound from 1f0c",
    "ConnectorSource": "HybridWizard",
    "SenderIPAddresses": [],
    "TlsSenderCertificateName": "mail.contoso.com",
    "RequireTls": True,
}
MARKED = {**TEMP, "Name": "fax", "SenderIPAddresses": ["81.2.69.170"], "Comment": "[provisioner: fax/prod]"}
MINE = "inbound_connectors: { hq: { type: on_premises, require_tls: true, sender_ip_addresses: [52.202.8.242] } }\n"
ROWS = [TEMP, WIZARD, MARKED]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    objects: dict[str, Any] = {**SEED["objects"], "InboundConnector": ROWS}  # type: ignore[dict-item]
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "objects": objects}) as here:
        yield here


@pytest.fixture(autouse=True)
def before(shop: Shop) -> None:
    """The tenant as it was seeded, and no run in the journal, which would be looked up."""
    shop.reset()
    for journal in (shop.folder / "state").glob("*/journal.jsonl"):
        journal.unlink()


def names(shop: Shop) -> set[str]:
    return {row["Name"] for row in shop.tenant.rows("InboundConnector")}


def test_a_plan_counts_them_lists_them_and_changes_none(shop: Shop) -> None:
    plan = shop.write(MINE)
    shown = shop.on_tenant("plan", plan)
    assert shown.returncode == 0, shown.stderr
    assert f"3 objects {COUNT} are not declared in it: provisioner plan --unmanaged lists them" in shown.stdout
    assert '  inbound_connector["fax"]' not in shown.stdout
    listed = shop.on_tenant("plan", plan, "--unmanaged").stdout
    assert 'inbound_connector["migration-temp"]: relay to any recipient for 81.2.69.160, TLS not required' in listed
    assert "for certificate mail.contoso.com (made by the Hybrid Configuration Wizard)" in listed
    assert '(made by plan "fax/prod")' in listed
    done = shop.on_tenant("apply", plan, "--auto-approve")
    assert done.returncode == 0, done.stderr
    assert names(shop) == {"hq", *(row["Name"] for row in ROWS)}
    again = shop.on_tenant("plan", plan, "--detailed-exitcode")
    assert again.returncode == 0, "what is not declared is not a change"
    assert "No changes." in again.stdout
    assert f"3 objects {COUNT}" in again.stdout


def test_they_cost_no_request(shop: Shop) -> None:
    """A plan of mailboxes asks for no connectors, and one of connectors asks once."""
    plan = shop.write("smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n")
    before = shop.tenant.seen()
    assert COUNT not in shop.on_tenant("plan", plan).stdout
    assert "Get-InboundConnector" not in [r["cmdlet"] for r in shop.tenant.requests(since=before)]
    before = shop.tenant.seen()
    shop.on_tenant("plan", shop.write(MINE))
    assert [r["cmdlet"] for r in shop.tenant.requests(since=before)].count("Get-InboundConnector") == 1


def test_an_open_relay_is_a_warning_that_blocks_nothing(shop: Shop) -> None:
    """Fault O13. The warning is shown also where nothing changes; the exit code is then that of no changes."""
    plan = shop.write(f"ignore: [inbound_connector/fax]\n{MINE}")
    shop.on_tenant("apply", plan, "--auto-approve")
    shown = shop.on_tenant("plan", plan, "--detailed-exitcode")
    assert shown.returncode == 0, shown.stderr
    assert "No changes." in shown.stdout
    assert 'warning[UNMANAGED-RELAY]: inbound_connector["migration-temp"] is not declared' in shown.stdout
    assert shown.stdout.count("UNMANAGED-RELAY") == 1, "the wizard's requires TLS, the other one is ignored"
    target = "inbound_connector/migration-temp"
    exported = shop.on_tenant("export", "--target", target)
    assert "  migration-temp:\n" in exported.stdout
    assert "UNMANAGED" not in shop.on_tenant("plan", shop.write(f"ignore: [inbound_connector/*]\n{MINE}")).stdout


SITE = """sites: { hq: { egress_ip_addresses: [81.2.69.160] } }
devices:
  scanner: { site: hq, from: erp@contoso.com, recipients: anyone, supports: { tls: none, authentication: [] } }
"""


def test_a_connector_for_the_address_of_a_site_is_told_and_can_be_adopted(shop: Shop) -> None:
    """Fault O14. The change set with the warning is saved, shown and applied as it is."""
    plan = shop.write(SITE)
    shown = shop.on_tenant("plan", plan, "-o", "changes.json")
    assert shown.returncode == 0, shown.stderr
    assert 'inbound_connector["site-hq"] will be created' in shown.stdout
    told = 'inbound_connector["migration-temp"] is not declared and already accepts mail from 81.2.69.160, as'
    assert f"warning[UNMANAGED-OVERLAP]: {told}" in shown.stdout
    assert "write it under its name in inbound_connectors" in shown.stdout
    assert told in shop.run("show", "changes.json").stdout
    body = "  migration-temp: { type: on_premises, require_tls: false, sender_ip_addresses: [81.2.69.160] }\n"
    adopted = shop.on_tenant("plan", shop.write(f"{SITE}inbound_connectors:\n{body}"))
    assert adopted.returncode == 0, adopted.stderr
    assert "No changes." in adopted.stdout, "the existing connector serves the device"
    assert "UNMANAGED-OVERLAP" not in adopted.stdout
    applied = shop.on_tenant("apply", *shop.reviewed("changes.json"))
    assert applied.returncode == 0, applied.stderr
    assert names(shop) == {"site-hq", *(row["Name"] for row in ROWS)}


def test_drift_lists_them_without_being_drift(shop: Shop) -> None:
    plan = shop.write(MINE)
    shop.on_tenant("apply", plan, "--auto-approve")
    told = shop.on_tenant("drift", plan)
    assert told.returncode == 0, told.stderr
    assert "No drift" in told.stdout
    assert '  inbound_connector["migration-temp"]: relay' in told.stdout
    facts = json.loads(shop.on_tenant("drift", plan, "--format", "json").stdout)
    assert facts["drift"] == []
    assert facts["unmanaged"]["count"] == 3
    assert [(o["address"], o["made_by"], o["owner"]) for o in facts["unmanaged"]["objects"]] == [
        ('inbound_connector["Inbound from 1f0c"]', "hybrid_wizard", ""),
        ('inbound_connector["fax"]', "", "fax/prod"),
        ('inbound_connector["migration-temp"]', "", ""),
    ]


def test_what_is_ignored_is_not_counted(shop: Shop) -> None:
    plan = shop.write(f"ignore: [inbound_connector/Inbound from *, inbound_connector/migration-temp]\n{MINE}")
    assert f"1 object {COUNT} is not declared in it" in shop.on_tenant("plan", plan).stdout


def test_a_saved_change_set_shows_the_count_and_is_applied(shop: Shop) -> None:
    saved = shop.on_tenant("plan", shop.write(MINE), "-o", "changes.json")
    assert saved.returncode == 0, saved.stderr
    shown = shop.run("show", "changes.json")
    assert shown.returncode == 0, shown.stderr
    assert f"3 objects {COUNT}" in shown.stdout
    for format_ in ("markdown", "html"):
        page = shop.run("show", "changes.json", "--format", format_)
        assert "3 objects of the types that this plan manages are not declared in it" in page.stdout, format_
    document = json.loads((shop.folder / "changes.json").read_text(encoding="utf-8"))
    assert document["provisioner"]["unmanaged"]["count"] == 3
    assert shop.on_tenant("apply", *shop.reviewed("changes.json")).returncode == 0
    assert "hq" in names(shop)
