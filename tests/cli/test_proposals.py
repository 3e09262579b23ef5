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
