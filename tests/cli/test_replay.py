"""`plan --replay` and `apply --replay`: observed mail is tried against the plan, and what breaks stops apply."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from provisioner.senders import inventory as kinds
from provisioner.senders.inventory import Failure, Inventory, Sender, Sighting, Source, SourceAddress
from tests.cli.shop import Shop, open_shop

CONNECTORS: Mapping[str, Mapping[str, Any]] = {
    "hq": {"SenderIPAddresses": ["52.202.8.242"]},
    "old": {"SenderIPAddresses": ["52.202.9.1"]},
    "certified": {"TlsSenderCertificateName": "mail.contoso.com", "RequireTls": True},
}
SEED: Mapping[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": False}],
        "InboundConnector": [
            {"Name": name, "ConnectorType": "OnPremises", "SenderDomains": ["smtp:*;1"], "Enabled": True, **more}
            for name, more in CONNECTORS.items()
        ],
    },
    "mailboxes": ["erp@contoso.com", "scan@contoso.com"],
}
SEEN = "2026-11-20T08:00:00Z"


def sender(address: str, protocol: kinds.Protocol, *places: SourceAddress, **facts: Any) -> Sender:
    known = {"messages": 40, "days": 10, "last_seen": SEEN, "recipients": "outside", "tls": ("1.2",)}
    return Sender(address, protocol=protocol, source_addresses=places, **{**known, **facts})


def inventory(*senders: Sender) -> Inventory:
    source = Source("sign_ins", "partial", "non-interactive sign-ins were not read", "AuditLog.Read.All")
    return Inventory("contoso.onmicrosoft.com", "2026-08-28T00:00:00Z", "2026-11-26T00:00:00Z", senders, (source,))


OBSERVED = inventory(
    sender("erp@contoso.com", kinds.BASIC, mailbox="erp@contoso.com"),
    sender("scan@contoso.com", kinds.OAUTH, mailbox="scan@contoso.com"),
    sender("mfp@contoso.com", kinds.RELAY, SourceAddress("52.202.8.242", "hq", 40)),
    sender("old@contoso.com", kinds.RELAY, SourceAddress("52.202.9.1", "old", 40)),
    sender("relay@contoso.com", kinds.RELAY, SourceAddress("52.202.10.7", "certified", 40)),
    sender("gone@contoso.com", kinds.RELAY, SourceAddress("52.202.11.7", "", 40)),
    sender(
        "guess@contoso.com",
        kinds.BASIC,
        mailbox="guess@contoso.com",
        messages=None,
        failures=(Failure("50126", "Invalid", 90),),
        known_from=(Sighting("sign_ins", logins=90),),
    ),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("replay"), SEED) as here:
        (here.folder / "seen.json").write_text(json.dumps(kinds.document(OBSERVED)))
        yield here


@pytest.fixture(autouse=True)
def _as_at_the_start(shop: Shop) -> Iterator[None]:
    yield
    shop.reset()


def told(shop: Shop, *arguments: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    done = shop.on_tenant("plan", "p.yaml", "--replay", "seen.json", "--format", "json", *arguments)
    assert done.returncode in {0, 6}, done.stderr
    for finding in json.loads(done.stdout)["provisioner"]["findings"]:
        found.setdefault(finding["rule"], []).append(finding)
    return found


def connectors(shop: Shop) -> set[str]:
    return {row["Name"] for row in json.loads(shop.run("sandbox", "run", "Get-InboundConnector").stdout)["rows"]}


def test_what_would_break_is_named_and_stops_apply_by_every_way(shop: Shop) -> None:
    shop.write(
        "smtp_auth: { organization: disabled }\nabsent: [inbound_connector/old, inbound_connector/certified]\n",
        "p.yaml",
    )
    found = told(shop, "-o", "saved.json")
    breaks = {f["summary"].partition(" ")[0]: f for f in found["REPLAY-BREAKS"]}
    # Nobody declares any of these: they are known by the evidence alone. The certificate's name was never observed.
    assert breaks.keys() == {"erp@contoso.com", "scan@contoso.com", "old@contoso.com", "relay@contoso.com"}
    assert breaks["erp@contoso.com"]["address"] == 'smtp_auth["organization"]'
    assert breaks["old@contoso.com"]["address"] == 'inbound_connector["old"]'
    assert breaks["relay@contoso.com"]["address"] == 'inbound_connector["certified"]'
    assert [f["summary"].partition(":")[0] for f in found["REPLAY-CONTRADICTS"]] == [
        "gone@contoso.com from 52.202.11.7"
    ]

    fresh = ("apply", "p.yaml", "--auto-approve", "--allow", "BLAST-RADIUS")
    stopped = shop.on_tenant(*fresh, "--replay", "seen.json")
    assert (stopped.returncode, connectors(shop)) == (6, {"hq", "old", "certified"}), stopped.stderr
    # A saved change set keeps the mail: the guard stands when it is applied, and when the plan must lead to it.
    for tie in (shop.reviewed("saved.json")[1:], ("--plan", "p.yaml")):
        saved = ("apply", "saved.json", *tie, "--auto-approve", "--allow", "BLAST-RADIUS")
        again = shop.on_tenant(*saved)
        assert (again.returncode, connectors(shop)) == (6, {"hq", "old", "certified"}), again.stderr
        assert "REPLAY-BREAKS" in again.stderr
    done = shop.on_tenant(*saved, "--allow", "REPLAY-BREAKS")
    assert (done.returncode, connectors(shop)) == (0, {"hq"}), done.stderr


def test_what_goes_another_way_is_named(shop: Shop) -> None:
    shop.write(
        "inbound_connectors:\n  branch: { type: on_premises, sender_ip_addresses: [52.202.8.240/29, 52.202.9.1] }\n"
        "absent: [inbound_connector/old]\n",
        "p.yaml",
    )
    found = told(shop)
    assert "REPLAY-BREAKS" not in found
    ways = {f["summary"].partition(" ")[0]: f["summary"] for f in found["REPLAY-CHANGES-WAY"]}
    assert ways.keys() == {"mfp@contoso.com", "old@contoso.com"}
    assert ways["old@contoso.com"].endswith("branch takes it instead of old")
    assert ways["mfp@contoso.com"].endswith(
        "branch would name its source besides hq, and no source says which takes it"
    )


def test_a_plan_that_keeps_every_sender_says_nothing_of_them_and_reports_what_was_not_replayed(shop: Shop) -> None:
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n", "p.yaml")
    done = shop.on_tenant("plan", "p.yaml", "--replay", "seen.json", "--out-sarif", "r.sarif")
    assert done.returncode == 0
    assert "REPLAY-BREAKS" not in done.stdout
    assert "Not replayed: guess@contoso.com: all that was observed of it was refused" in done.stderr
    assert "non-interactive sign-ins were not read; it needs AuditLog.Read.All" in done.stderr
    # Connectors that the plan says nothing of are read too: only one sender's mail contradicts them.
    results = json.loads((shop.folder / "r.sarif").read_text())["runs"][0]["results"]
    odd = [r["message"]["text"] for r in results if r["ruleId"] == "REPLAY-CONTRADICTS"]
    assert [text.partition(" ")[0] for text in odd] == ["gone@contoso.com"]


def test_evidence_that_cannot_be_read_is_one_message(shop: Shop) -> None:
    shop.write("smtp_auth: { organization: disabled }\n", "p.yaml")
    (shop.folder / "other.json").write_text("{}")
    for name in ("none.json", "other.json", "p.yaml"):
        done = shop.on_tenant("plan", "p.yaml", "--replay", name)
        assert (done.returncode, "error[INVENTORY-" in done.stderr) == (3, True)
    (shop.folder / "changes.json").write_text("{}")
    assert shop.run("apply", "changes.json", "--replay", "seen.json").returncode == 3


def test_a_sender_known_by_its_user_name_is_the_mailbox_that_is_changed(shop: Shop) -> None:
    """A sign-in log has the user name; the plan's exclusive section takes the switch of the primary address back."""
    shop.run("sandbox", "run", "Set-TransportConfig", "SmtpClientAuthenticationDisabled=true")
    shop.run("sandbox", "run", "Set-CASMailbox", "Identity=erp@contoso.com", "SmtpClientAuthenticationDisabled=false")
    seen = dataclasses.replace(OBSERVED, senders=OBSERVED.senders[:1])
    Path(shop.folder / "seen-erp.json").write_text(json.dumps(kinds.document(seen)))
    shop.write("smtp_auth: { exclusive: true, mailboxes: { scan@contoso.com: inherit } }\n", "p.yaml")
    done = shop.on_tenant("plan", "p.yaml", "--replay", "seen-erp.json")
    assert "REPLAY-BREAKS" in done.stdout, done.stdout + done.stderr
