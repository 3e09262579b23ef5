"""Outbound connectors from the command line: what a plan makes of them, and what it must never touch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

ROUTE = {"UseMXRecord": False, "SmartHosts": ["mail.contoso.com"], "ConnectorType": "OnPremises"}
CONNECTORS: list[dict[str, Any]] = [
    {"Name": "Outbound to 0a1b", **ROUTE, "RecipientDomains": ["contoso.com"], "ConnectorSource": "HybridWizard"},
    {"Name": "theirs", "RecipientDomains": ["a.example"], "Comment": "Bank [provisioner: other/plan]"},
    {"Name": "trial", "RecipientDomains": ["b.example"], "TestMode": True},
    {"Name": "signatures", **ROUTE, "IsTransportRuleScoped": True},
    {"Name": "spare", "UseMXRecord": True, "ConnectorType": "Partner", "IsTransportRuleScoped": True},
]
RULES = [
    {"Name": "Sign what leaves", "RouteMessageOutboundConnector": "signatures"},
    {"Name": "Sign spares", "RouteMessageOutboundConnector": "spare"},
]
OBJECTS = {**SEED["objects"], "OutboundConnector": CONNECTORS, "TransportRule": RULES}  # type: ignore[dict-item]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("outbound"), {**SEED, "objects": OBJECTS}) as here:
        yield here


@pytest.fixture(autouse=True)
def calm(shop: Shop) -> Iterator[None]:
    yield
    shop.tenant.control("DELETE", "/faults")
    shop.tenant.control("POST", "/reset")


def stored(shop: Shop, name: str) -> dict[str, Any] | None:
    return next((row for row in shop.tenant.rows("OutboundConnector") if row["Name"] == name), None)


def test_a_connector_is_created_changed_and_deleted_when_it_leaves_the_plan(shop: Shop) -> None:
    owner = "owner: mail/prod\n"
    plan = shop.write(owner + "outbound_connectors: { to-bank: { recipient_domains: [bank.example] } }\n")
    first = shop.on_tenant("apply", plan, "--auto-approve")
    assert (first.returncode, 'outbound_connector["to-bank"]' in first.stdout) == (0, True)
    assert "Plan: 1 to add, 0 to change, 0 to destroy." in first.stdout
    made = stored(shop, "to-bank")
    assert made is not None
    assert (made["RecipientDomains"], made["Comment"]) == (["bank.example"], "[provisioner: mail/prod [to-bank]]")
    shop.write(owner + "outbound_connectors: { to-bank: { smart_hosts: [mx.bank.example], tls: encryption_only } }\n")
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    changed = stored(shop, "to-bank")
    assert changed is not None
    assert (changed["UseMXRecord"], changed["SmartHosts"], changed["TlsSettings"]) == (
        False, ["mx.bank.example"], "EncryptionOnly",
    )  # fmt: skip
    assert shop.on_tenant("plan", plan, "--detailed-exitcode").returncode == 0
    shop.write(owner)
    assert shop.on_tenant("apply", plan, "--auto-approve", "--allow", "BLAST-RADIUS").returncode == 0
    assert stored(shop, "to-bank") is None
    assert len(shop.tenant.rows("OutboundConnector")) == len(CONNECTORS), "nothing else was touched"


def test_what_the_wizard_made_or_another_plan_has_marked_is_refused(shop: Shop) -> None:
    before = shop.tenant.rows("OutboundConnector")
    plan = shop.write(
        "owner: mail/prod\n"
        'outbound_connectors: { theirs: { smart_hosts: [a.example], recipient_domains: ["*"] } }\n'
        'absent: ["outbound_connector/Outbound to 0a1b"]\n'
    )
    done = shop.on_tenant("apply", plan, "--auto-approve")
    assert done.returncode == 6
    guards = set(re.findall(r"[A-Z]+(?:-[A-Z]+)+", done.stdout + done.stderr))
    assert {"HYBRID-CONNECTOR", "OWNER-FOREIGN", "OUTBOUND-ALL-MAIL"} <= guards
    assert shop.tenant.rows("OutboundConnector") == before


def test_a_connector_in_test_mode_is_seen_and_not_made_twice(shop: Shop) -> None:
    plan = shop.write("outbound_connectors: { trial: { comment: seen } }\n")
    done = shop.on_tenant("apply", plan, "--auto-approve")
    assert (done.returncode, "0 added, 1 changed, 0 destroyed" in done.stdout) == (0, True)
    assert [row["Comment"] for row in shop.tenant.rows("OutboundConnector") if row["Name"] == "trial"] == ["seen"]


def test_a_connector_that_a_transport_rule_names_stays_and_the_refusal_is_told(shop: Shop) -> None:
    plan = shop.write("absent: [outbound_connector/signatures]\n")
    done = shop.on_tenant("apply", plan, "--auto-approve")
    assert done.returncode == 6
    assert 'the transport rule "Sign what leaves" still names it' in done.stdout + done.stderr
    done = shop.on_tenant("apply", plan, "--auto-approve", "--allow", "CONNECTOR-IN-USE")
    assert done.returncode == 8
    assert "is used by the transport rule 'Sign what leaves'" in done.stdout + done.stderr
    assert stored(shop, "signatures") is not None


@pytest.mark.parametrize("gone", [
    "outbound_connectors: { spare: { enabled: false } }\n",
    "absent: [outbound_connector/spare]\n",
])  # fmt: skip
def test_a_rule_lets_go_of_a_connector_before_that_goes(shop: Shop, gone: str) -> None:
    """The tenant refuses the other order."""
    rule = 'transport_rules: { Sign spares: { route_message_outbound_connector: "", set_scl: 0 } }\n'
    done = shop.on_tenant("apply", shop.write(rule + gone), "--auto-approve", "--allow", "BLAST-RADIUS")
    assert done.returncode == 0, done.stdout + done.stderr
    spare = stored(shop, "spare")
    assert spare is None or spare["Enabled"] is False


def test_a_listing_that_fails_is_unknown_and_plans_nothing(shop: Shop) -> None:
    plan = shop.write("outbound_connectors: { fresh: { recipient_domains: [c.example] } }\n")
    shop.fault("Get-OutboundConnector", {"status": 403})
    done = shop.on_tenant("apply", plan, "--auto-approve")
    assert done.returncode not in {0, 2}
    assert 'outbound_connector["fresh"]' in done.stdout + done.stderr
    assert stored(shop, "fresh") is None
