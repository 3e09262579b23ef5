"""From evidence to a plan: what is proposed validates, and the report compares the plan with what was observed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from provisioner.senders import inventory as kinds
from provisioner.senders.inventory import Failure, Inventory, Sender, Sighting, Source, SourceAddress
from tests.cli.shop import Shop, open_shop

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": ["erp@contoso.com", "scan@contoso.com"],
}
INVENTORY = Inventory(
    "contoso.onmicrosoft.com",
    "2026-08-28T00:00:00Z",
    "2026-11-26T00:00:00Z",
    (
        Sender("erp@contoso.com", "erp@contoso.com", protocol=kinds.BASIC, tls=("1.2",), recipients="both", messages=90,
               days=30, source_addresses=(SourceAddress("52.202.8.242"),), last_seen="2026-11-20T08:00:00Z"),
        Sender("mfp@contoso.com", protocol=kinds.RELAY, source_addresses=(SourceAddress("52.202.9.1", "hq", 40),)),
        Sender("new@contoso.com", "new@contoso.com", protocol=kinds.OAUTH, tls=("1.3",), recipients="inside"),
        Sender("guess@contoso.com", "guess@contoso.com", protocol=kinds.BASIC,
               failures=(Failure("50126", "Invalid", 9),), known_from=(Sighting("sign_ins", logins=9),)),
    ),
    (Source("connector_report", "not_read", "the role Global Reader is missing"),),
)  # fmt: skip
PLAN = """owner: us
sites: { hq: { egress_ip_addresses: [52.202.8.242] } }
devices:
  erp: { site: hq, from: erp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [basic] } }
  old: { from: scan@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [oauth] } }
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("proposals"), SEED) as here:
        (here.folder / "seen.json").write_text(json.dumps(kinds.document(INVENTORY)))
        here.write(PLAN)
        yield here


def rows(shop: Shop, *arguments: str) -> dict[str, dict[str, Any]]:
    done = shop.run(*arguments, "devices", "report", "plan.yaml", "--inventory", "seen.json", "--format", "json")
    assert done.returncode == 0, done.stderr
    return {row["sender"]: row for row in json.loads(done.stdout)["evidence"]["rows"]}


def test_the_report_compares_plan_evidence_and_tenant(shop: Shop) -> None:
    found = rows(shop, "--profile", "sandbox")
    assert {sender: row["state"] for sender, row in found.items()} == {
        "erp@contoso.com": "declared and used",
        "scan@contoso.com": "declared and silent",
        "mfp@contoso.com": "used and undeclared",
        "new@contoso.com": "used and undeclared",
    }
    assert found["erp@contoso.com"]["recommended"] == "smtp_relay"
    assert "it still uses client submission: set it to SMTP relay" in found["erp@contoso.com"]["advice"]
    assert found["erp@contoso.com"]["tenant"].startswith("refused today: no connector")
    assert found["scan@contoso.com"]["tenant"].startswith("refused today: SMTP AUTH is disabled")
    assert found["new@contoso.com"]["recommended"] == "client_submission"
    assert "supports.authentication" in found["mfp@contoso.com"]["advice"]
    assert not rows(shop)["erp@contoso.com"]["tenant"]


def test_every_form_of_the_report_names_every_sender(shop: Shop) -> None:
    for form in ("text", "csv", "html"):
        done = shop.run("devices", "report", "plan.yaml", "--inventory", "seen.json", "--format", form)
        assert done.returncode == 0
        for word in ("erp@contoso.com", "scan@contoso.com", "mfp@contoso.com", "new@contoso.com"):
            assert word in done.stdout
        assert "guess@contoso.com" not in done.stdout
        assert form == "csv" or "the role Global Reader is missing" in done.stdout


def test_a_proposal_of_a_saved_inventory_validates_and_is_never_overwritten(shop: Shop) -> None:
    line = ("senders", "discover", "--inventory", "seen.json", "--propose")
    first = shop.run(*line, "plans")
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    written = (shop.folder / "plans/senders.yaml").read_text(encoding="utf-8")
    assert shop.run("validate").returncode == 0
    assert "\n  # mfp:\n" in written, "what it can do was not observed"
    again = shop.run(*line, "plans")
    assert (again.returncode, "OUT-EXISTS" in again.stderr) == (3, True)
    assert (shop.folder / "plans/senders.yaml").read_text(encoding="utf-8") == written
    # In another file of the same plan only what is not declared yet is proposed.
    more = shop.run(*line, "plans/more.yaml", "--default", "recipients=anyone")
    assert "the plan declares device/erp already" in more.stderr
    assert shop.run("validate").returncode == 0


def test_evidence_of_the_tenant_itself_is_read_for_a_number_of_days(shop: Shop) -> None:
    done = shop.on_tenant("devices", "report", "plan.yaml", "--inventory", "30d", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["evidence"]["rows"]
    assert {row["state"] for row in rows} == {"declared and silent"}
    replayed = shop.on_tenant("plan", "plan.yaml", "--replay", "2d")
    assert (replayed.returncode, "Replaying the mail of 0 senders" in replayed.stderr) == (0, True)
    assert shop.on_tenant("plan", "plan.yaml", "--replay", "91d").returncode == 3
