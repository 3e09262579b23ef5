"""Outbound spam policies: limits, forwarding, and the policy that every tenant has."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.model import Unknown
from provisioner.model.picture import OutboundLimit, Privilege
from provisioner.resources.outbound_spam_policy import OutboundSpamPolicy, OutboundSpamPolicyType
from tests.resources.recorded import answer, declared, mistakes, sent

KIND = OutboundSpamPolicyType()
ROW = {
    "Name": "Default",
    "Enabled": False,
    "RecipientLimitExternalPerHour": 0,
    "RecipientLimitInternalPerHour": 0,
    "RecipientLimitPerDay": 0,
    "ActionWhenThresholdReached": "BlockUserForToday",
    "AutoForwardingMode": "Automatic",
}
LIVE = OutboundSpamPolicy("Default", 0, 0, 0, "block_user_for_today", "automatic")


def test_a_policy_is_found_without_case_and_one_without_its_columns_is_unknown() -> None:
    wanted = declared(KIND, {"default": {"recipient_limit_per_day": 0}})
    assert answer(KIND, wanted, [ROW]) == {"default": dataclasses.replace(LIVE, name="default")}
    assert isinstance(answer(KIND, wanted, [{"Name": "Default"}])["default"], Unknown)
    assert KIND.written_form(LIVE) is None


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ({"recipient_limit_per_day": 10_001}, "less_than_equal"),
        ({"recipient_limit_per_day": -1}, "greater_than_equal"),
        ({"recipient_limit_per_day": True}, "int_type"),
        ({"auto_forwarding_mode": "yes"}, "literal_error"),
        ({"enabled": True}, "extra_forbidden"),
    ],
    ids=str,
)
def test_what_the_service_would_not_take_is_refused(body: dict[str, Any], mistake: str) -> None:
    assert [found for found, _ in mistakes(KIND, {"Default": body})] == [mistake]


def test_what_differs_is_set_in_one_call() -> None:
    there = dataclasses.replace(LIVE, recipient_limit_per_day=500, auto_forwarding_mode="off")
    (step,) = KIND.steps(LIVE, there)
    wire = {"Identity": "Default", "RecipientLimitPerDay": 500, "AutoForwardingMode": "Off"}
    assert sent(step) == ("Set-HostedOutboundSpamFilterPolicy", wire)


@pytest.mark.parametrize(
    ("before", "after", "rules"),
    [
        ({}, {"auto_forwarding_mode": "on"}, ["OUTBOUND-SPAM-FORWARD"]),
        ({"auto_forwarding_mode": "on"}, {}, []),
        ({}, {"recipient_limit_per_day": 500}, ["OUTBOUND-SPAM-LIMIT"]),
        ({"recipient_limit_per_day": 500}, {"recipient_limit_per_day": 400}, ["OUTBOUND-SPAM-LIMIT"]),
        ({"recipient_limit_per_day": 500}, {"recipient_limit_per_day": 600}, []),
        ({"recipient_limit_per_day": 500}, {"recipient_limit_per_day": 0}, []),
    ],
    ids=str,
)
def test_forwarding_and_narrower_limits_are_guarded(
    before: dict[str, Any], after: dict[str, Any], rules: list[str]
) -> None:
    one, other = (dataclasses.replace(LIVE, **values) for values in (before, after))
    assert [guard.rule for guard in KIND.guards(one, other)] == rules
    forwards = other.auto_forwarding_mode == "on"
    limit = OutboundLimit("Default", other.recipient_limit_per_day or 0)
    assert KIND.contribution(other) == ((limit, Privilege("auto_forwarding_mode")) if forwards else (limit,))
