"""plan, doctor and explain say what the tenant decides about a device's mail, and why (the sandbox judges)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from provisioner.sandbox.mail_rules import Source, recipient_refusal
from provisioner.sandbox.tenant import Tenant
from tests.cli.shop import SEED, Shop, open_shop

UPS = """
inbound_connectors:
  legacy: { type: on_premises, sender_ip_addresses: [54.84.80.160/29] }
devices:
  ups:
    from: ups@contoso.com
    recipients: anyone
    sender_ip_addresses: [54.84.80.162]
    supports: { tls: "1.2", authentication: [] }
"""
BADGE = """
devices:
  badge:
    from: badge@contoso.com
    recipients: organization
    sender_ip_addresses: [52.202.8.250]
    method: direct_send
    supports: { tls: "1.2", authentication: [] }
"""
LEGACY = {
    "Name": "legacy",
    "ConnectorType": "OnPremises",
    "Enabled": False,
    "RequireTls": False,
    "SenderDomains": ["smtp:*;1"],
    "SenderIPAddresses": ["54.84.80.160/29"],
}
LOCKDOWN = {
    "Name": "filter",
    "ConnectorType": "Partner",
    "Enabled": True,
    "SenderDomains": ["smtp:*;1"],
    "SenderIPAddresses": ["195.130.217.0/24"],
    "RestrictDomainsToIPAddresses": True,
    "RequireTls": True,
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    objects: dict[str, Any] = {**SEED["objects"], "InboundConnector": [LEGACY]}  # type: ignore[dict-item]
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "objects": objects}) as here:
        here.write(UPS)
        here.write(BADGE, "badge.yaml")
        yield here


@pytest.fixture(autouse=True)
def anew(shop: Shop) -> Iterator[None]:
    yield
    shop.reset()


def load(shop: Shop, **objects: list[dict[str, Any]]) -> None:
    shop.tenant.control("POST", "/load", {"sandbox": 1, "objects": objects})


def judged(shop: Shop, ip: str, sender: str, recipient: str) -> str:
    """What the sandbox's own rules answer."""
    tenant = Tenant()
    tenant.load_json(shop.tenant.control("GET", "/dump"))
    answer = recipient_refusal(tenant, Source(ip, tls=True), sender, recipient) or ""
    return " ".join(answer.split()[:2])


def sending(shop: Shop, device: str, plan: str = "plan.yaml") -> dict[str, Any]:
    document = json.loads(shop.on_tenant("explain", f"device/{device}", plan, "--format", "json").stdout)
    (decision,) = document["sending"]
    return dict(decision)


def test_a_device_behind_a_disabled_connector_cannot_relay(shop: Shop) -> None:
    """Case c62: `enabled` is not written, so that the plan changes nothing."""
    planned = shop.on_tenant("plan", "plan.yaml")
    assert planned.returncode == 0
    assert (
        'warning[DEVICE-CANNOT-SEND]: device/ups cannot send: inbound_connector["legacy"] names its source, but is '
        "disabled in the tenant (550 5.7.64)" in " ".join(planned.stdout.split())
    )
    doctor = shop.on_tenant("doctor", "plan.yaml")
    assert "device/ups cannot send" in " ".join(doctor.stdout.split())
    explained = " ".join(shop.on_tenant("explain", "device/ups", "plan.yaml").stdout.split())
    assert "mail from 54.84.80.162 is refused: no connector of type on_premises that is in force" in explained
    assert "inbound_connector/legacy names it, but is disabled in the tenant" in explained
    assert judged(shop, "54.84.80.162", "ups@contoso.com", "x@fabrikam.com") == "550 5.7.64"


def test_an_enabled_connector_is_named_as_what_lets_it_in(shop: Shop) -> None:
    load(shop, InboundConnector=[{**LEGACY, "Enabled": True}])
    assert "DEVICE-CANNOT-SEND" not in shop.on_tenant("plan", "plan.yaml").stdout
    found = sending(shop, "ups")
    assert (found["allowed"], found["by"], found["idle"]) == (True, ["inbound_connector/legacy"], [])
    text = shop.on_tenant("explain", "device/ups", "plan.yaml").stdout
    assert "mail from 54.84.80.162 is accepted: SMTP relay, inbound_connector/legacy" in text
    assert judged(shop, "54.84.80.162", "ups@contoso.com", "x@fabrikam.com") == ""


def test_a_connector_of_another_type_than_the_plan_thinks_is_looked_at(shop: Shop) -> None:
    """The plan does not write `type`: what decides is what the tenant has."""
    load(shop, InboundConnector=[{**LEGACY, "Enabled": True, "ConnectorType": "Partner"}])
    shop.write(UPS.replace("type: on_premises, ", "type: partner, "), "partner.yaml")
    found = sending(shop, "ups")
    assert (found["allowed"], found["code"]) == (False, "550 5.7.64")
    assert judged(shop, "54.84.80.162", "ups@contoso.com", "x@fabrikam.com") == "550 5.7.64"


def test_a_partner_connector_that_nobody_declared_shuts_direct_send_out(shop: Shop) -> None:
    assert judged(shop, "52.202.8.250", "badge@contoso.com", "erp@contoso.com") == ""
    assert sending(shop, "badge", "badge.yaml")["allowed"] is True
    load(shop, InboundConnector=[LEGACY, LOCKDOWN])
    found = sending(shop, "badge", "badge.yaml")
    assert (found["allowed"], found["code"], found["by"]) == (False, "550 5.7.51", ["inbound_connector/filter"])
    assert judged(shop, "52.202.8.250", "badge@contoso.com", "erp@contoso.com") == "550 5.7.51"


def test_mail_from_a_connector_s_address_is_relayed_whatever_the_device_was_meant_to_do(shop: Shop) -> None:
    """Exchange decides by the source address and not by the method of the plan (fault O9)."""
    load(shop, InboundConnector=[{**LEGACY, "Enabled": True, "SenderIPAddresses": ["52.202.8.250"]}])
    found = sending(shop, "badge", "badge.yaml")
    assert (found["allowed"], found["path"], found["by"]) == (True, "smtp_relay", ["inbound_connector/legacy"])


def test_a_mailbox_that_does_not_exist_is_told_as_such(shop: Shop) -> None:
    """Not as one that may or may not be able to sign in (fault I13)."""
    text = shop.on_tenant("explain", "smtp_auth/nobody@contoso.com", "plan.yaml").stdout
    assert "nobody@contoso.com cannot sign in with a password: the tenant has no such mailbox" in text
    assert "not known" not in text


def test_block_lists_are_named(shop: Shop) -> None:
    blocks = [{"Name": "Default", "IPBlockList": ["52.202.8.250"], "IPAllowList": []}]
    load(shop, HostedConnectionFilterPolicy=blocks)
    planned = " ".join(shop.on_tenant("plan", "badge.yaml").stdout.split())
    assert "device/badge cannot send: the connection filter refuses mail from 52.202.8.250" in planned
    assert judged(shop, "52.202.8.250", "badge@contoso.com", "erp@contoso.com") == "550 5.7.513"


def test_conditional_access_is_named_as_what_blocks_a_password(shop: Shop) -> None:
    policy = {
        "id": "33333333-0000-4000-8000-000000000003",
        "displayName": "Block legacy",
        "state": "enabled",
        "conditions": {
            "clientAppTypes": ["other"],
            "applications": {"includeApplications": ["All"]},
            "users": {"includeUsers": ["All"]},
        },
        "grantControls": {"builtInControls": ["block"]},
    }
    shop.tenant.control("POST", "/load", {"sandbox": 1, "graph": {"conditionalAccessPolicies": [policy]}})
    shop.write(
        "devices:\n  erp:\n    from: erp@contoso.com\n    recipients: anyone\n"
        '    supports: { tls: "1.2", authentication: [basic] }\n',
        "erp.yaml",
    )
    what = 'the Conditional Access policy "Block legacy" refuses passwords for SMTP'
    assert what in " ".join(shop.on_tenant("plan", "erp.yaml").stdout.split())
    doctor = shop.on_tenant("doctor", "erp.yaml")
    assert (doctor.returncode, what in " ".join(doctor.stdout.split())) == (1, True), "what plan finds"
    explained = shop.on_tenant("explain", "device/erp", "erp.yaml").stdout
    assert "blocked by: organization, conditional_access" in explained
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    assert what in " ".join(shop.on_tenant("explain", "device/erp", "erp.yaml").stdout.split())


def test_explain_advises_what_lifts_the_refusal_of_one_of_several_devices(shop: Shop) -> None:
    """Two devices of a site take one connector, which the tenant does not have yet; and rejected direct send."""
    both = "".join(
        f'  {name}: {{ site: hq, from: {name}@contoso.com, recipients: anyone, supports: {{ tls: "1.2", '
        "authentication: [] } }\n"
        for name in ("fax", "scan")
    )
    shop.write(f"sites: {{ hq: {{ egress_ip_addresses: [52.202.8.9] }} }}\ndevices:\n{both}", "both.yaml")
    for name in ("fax", "scan"):
        done = shop.run("--profile", "sandbox", "explain", f"device/{name}", "both.yaml", "--format", "json")
        assert done.returncode == 0, done.stderr
        (told,) = json.loads(done.stdout)["sending"]
        assert (told["reason"], told["hint"]) == ("no_connector", "the plan changes that: provisioner apply")
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)
    done = shop.run("--profile", "sandbox", "explain", "device/badge", "badge.yaml", "--format", "json")
    (told,) = json.loads(done.stdout)["sending"]
    assert told["hint"].endswith("or write organization: { reject_direct_send: false }")
