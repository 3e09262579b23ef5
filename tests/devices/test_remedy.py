"""What fixes a refusal, by cause and by what the device could do instead."""

from __future__ import annotations

import dataclasses

import pytest

from provisioner.devices import Remedy, expand, remedy
from provisioner.model import Address, Desired
from provisioner.model.devices import Device, Site

DEVICE = Device(
    "erp 1",
    sender="erp@contoso.com",
    recipients="anyone",
    tls="1.2",
    authentication=frozenset({"basic"}),
    mailbox="erp@contoso.com",
    method="client_submission",
)
HQ = Site("hq", frozenset({"203.0.113.10/32"}))


def fixes(cause: str, *, lacking: tuple[Address, ...] = (), seen_ip: str = "", **changes: object) -> Remedy | None:
    device = dataclasses.replace(DEVICE, **changes)  # type: ignore[arg-type]
    plan = Desired("contoso.onmicrosoft.com", "team", {}, devices={device.name: device}, sites={"hq": HQ})
    desired, _ = expand(plan)
    return remedy(device, desired, cause, seen_ip=seen_ip, lacking=lacking)


def test_what_the_plan_has_is_to_be_applied() -> None:
    found = fixes("smtp-auth-off-tenant", lacking=(Address("smtp_auth", "erp@contoso.com"),))
    assert found is not None
    assert "provisioner apply" in found.sentence
    assert found.plan == ""


def test_what_no_apply_can_give_is_not_promised() -> None:
    found = fixes("relay-denied", lacking=(Address("domain", "contoso.com"),))
    assert found is not None
    assert "no plan can create" in found.sentence


def test_what_was_applied_takes_its_time() -> None:
    found = fixes("smtp-auth-off-mailbox")
    assert found is not None
    assert "until it is in force" in found.sentence


@pytest.mark.parametrize("cause", ["security-defaults", "basic-auth-off", "basic-auth-retired", "conditional-access"])
def test_without_passwords_oauth_comes_first(cause: str) -> None:
    found = fixes(cause, authentication=frozenset({"basic", "oauth"}), site="hq")
    assert found is not None
    assert found.plan == "devices:\n  erp 1:\n    supports:\n      authentication: [oauth]\n"


def test_an_address_that_is_covered_or_unknown_proposes_none() -> None:
    assert fixes("relay-denied", site="hq", seen_ip="203.0.113.10") is None
    assert fixes("relay-denied", site="hq") is None
    assert fixes("relay-denied", seen_ip="203.0.113.10") is None


def test_an_own_address_is_added_to_the_device() -> None:
    found = fixes("relay-denied", sender_ip_addresses=frozenset({"203.0.113.7/32"}), seen_ip="203.0.113.8")
    assert found is not None
    assert found.plan.endswith("sender_ip_addresses: [203.0.113.7, 203.0.113.8]\n")


def test_what_has_nothing_to_do_with_the_plan_has_no_remedy() -> None:
    assert fixes("wrong-credentials") is None
    assert fixes("recipient-unknown") is None


def test_without_passwords_the_next_best_method_is_named_with_its_reasons() -> None:
    found = fixes("security-defaults", site="hq")
    assert found is not None
    assert found.sentence.startswith("send by SMTP relay: ")
    assert found.plan == "devices:\n  erp 1:\n    method: smtp_relay\n"


def test_without_passwords_and_without_another_method_it_says_what_to_change() -> None:
    found = fixes("security-defaults")
    assert found is not None
    assert found.sentence.startswith("it can send in no other way as it is declared; or ")
    assert found.plan == ""


def test_rejected_direct_send_goes_through_a_connector_where_the_address_is_fixed() -> None:
    found = fixes("direct-send-rejected", method="direct_send", recipients="internal", mailbox=None, site="hq")
    assert found is not None
    assert "a connector" in found.sentence
    assert found.plan == "devices:\n  erp 1:\n    method: smtp_relay\n"


def test_rejected_direct_send_from_no_fixed_address_is_allowed_again() -> None:
    found = fixes("direct-send-rejected", method="direct_send", recipients="internal", mailbox=None)
    assert found is not None
    assert found.plan == "organization:\n  reject_direct_send: false\n"


@pytest.mark.parametrize(("site", "plan"), [("hq", "recipients: anyone\n    method: smtp_relay\n"), (None, "")])
def test_direct_send_that_was_to_leave_the_organization_needs_another_method(site: str | None, plan: str) -> None:
    found = fixes(
        "relay-denied", method="direct_send", recipients="internal", mailbox=None, authentication=frozenset(), site=site
    )
    assert found is not None
    assert found.sentence.startswith("direct send reaches the organization's own recipients only")
    assert ("SMTP relay reaches anyone" in found.sentence) is bool(plan)
    assert found.plan.endswith(plan)
    assert bool(found.plan) is bool(plan)


def test_an_address_is_added_to_the_site_of_the_device() -> None:
    found = fixes("relay-denied", site="hq", seen_ip="203.0.113.9", method="smtp_relay")
    assert found is not None
    assert found.plan == "sites:\n  hq:\n    egress_ip_addresses: [203.0.113.10, 203.0.113.9]\n"
    assert "203.0.113.9, which the plan does not name" in found.sentence
    assert fixes("relay-denied", site="hq", seen_ip="2001:db8::1", method="smtp_relay") is None
