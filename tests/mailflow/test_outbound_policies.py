"""Which outbound spam policy holds for a mailbox, and when it stops it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.mailflow import Attempt, decide
from provisioner.mailflow.outbound_policies import policies_of
from provisioner.model import Address, Answer, Unknown, request_key
from provisioner.model.picture import OutboundLimit, Picture, SignIn
from provisioner.resources.rows import outbound_spam

POLICIES, RULES = (request_key(request) for request in (outbound_spam.POLICIES, outbound_spam.RULES))
ERP, ALIAS = "erp@contoso.com", "billing@contoso.com"
MAILBOX: dict[Address, Any] = {Address("smtp_auth", ERP): (SignIn(ERP, "enabled", frozenset({ERP, ALIAS})),)}


def policy(name: str, per_day: int, action: str = "BlockUser") -> dict[str, Any]:
    hours = {"RecipientLimitExternalPerHour": 0, "RecipientLimitInternalPerHour": 0}
    return {"Name": name, "RecipientLimitPerDay": per_day, "ActionWhenThresholdReached": action, **hours}


def rule(name: str, place: int, **columns: Any) -> dict[str, Any]:
    return {"Name": name, "State": "Enabled", "Priority": place, "HostedOutboundSpamFilterPolicy": name, **columns}


def evidence(*rules: dict[str, Any], action: str = "BlockUser") -> dict[str, Answer | Unknown]:
    policies = (policy("Default", 100, action), policy("A", 500), policy("B", 900))
    return {POLICIES: Answer(policies), RULES: Answer(rules)}


@pytest.mark.parametrize(
    ("rules", "holding"),
    [
        ([], [("Default", 100, "")]),
        ([rule("B", 1, From=[ALIAS]), rule("A", 0, SenderDomainIs=["contoso.com"])], [("A", 500, "")]),
        ([rule("A", 0, From=["other@contoso.com"]), rule("B", 1, From=[ERP])], [("B", 900, "")]),
        ([rule("A", 0, From=[ERP], State="Disabled")], [("Default", 100, "")]),
        ([rule("A", 0, From=[ERP], ExceptIfSenderDomainIs=["contoso.com"])], [("Default", 100, "")]),
        ([rule("A", 0, From=[ERP], SenderDomainIs=["fabrikam.com"])], [("Default", 100, "")]),
        (
            [rule("A", 0, FromMemberOf=["Team"]), rule("B", 1, From=[ERP])],
            [("A", 500, f"whether {ERP} is a member of Team"), ("B", 900, f"whether {ERP} is a member of Team")],
        ),
    ],
    ids=str,
)  # fmt: skip
def test_the_first_rule_that_means_the_mailbox_decides(rules: list[Any], holding: list[Any]) -> None:
    found, why = policies_of(Picture(MAILBOX), evidence(*rules), ERP)
    assert [(one.policy, one.limits.per_day, one.missing) for one in found] == holding
    assert why == ""


def test_a_declared_policy_counts_as_the_plan_leaves_it() -> None:
    declared = {Address("outbound_spam_policy", "default"): (OutboundLimit("default", 7),)}
    (found,), _ = policies_of(Picture(MAILBOX | declared), evidence(), ERP)
    assert (found.policy, found.limits.per_day) == ("Default", 7)


def test_what_was_not_read_is_not_decided() -> None:
    assert policies_of(Picture(MAILBOX), {}, ERP) == ([], "")
    assert policies_of(Picture(MAILBOX), {POLICIES: Unknown("no role"), RULES: Answer()}, ERP) == ([], "no role")
    assert policies_of(Picture(MAILBOX), {POLICIES: Answer(({"Name": "Default"},)), RULES: Answer()}, ERP)[1]
    assert policies_of(Picture(MAILBOX), {POLICIES: Answer(), RULES: Answer(({"Name": "A"},))}, ERP)[1]


def test_a_mailbox_that_sends_more_is_stopped_unless_the_policy_only_alerts() -> None:
    attempt = Attempt(ERP, external=True, authentication="oauth", mailbox=ERP, recipients=1, sent_before=100)
    found = decide(Picture(MAILBOX), attempt, evidence())
    assert found.reason == "outbound_limit"
    assert found.sentence == f'the outbound spam policy "Default" stops {ERP} after 100 recipients a day'
    assert "outbound_limit" not in decide(Picture(MAILBOX), attempt, evidence(action="Alert")).certain
    unsure = decide(Picture(MAILBOX), attempt, evidence(rule("A", 0, FromMemberOf=["Team"])))
    assert "outbound_limit" in unsure.doubtful


def test_policies_that_could_not_be_read_leave_only_a_first_recipient_certain() -> None:
    unread: dict[str, Answer | Unknown] = {POLICIES: Unknown("no role"), RULES: Answer()}
    several = decide(Picture(MAILBOX), replace(ATTEMPT, recipients=2), unread)
    assert (several.allowed, several.possible) == (None, ("outbound_limit",))
    assert several.missing == ("the outbound spam policies (no role)",)
    assert "outbound_limit" not in decide(Picture(MAILBOX), replace(ATTEMPT, recipients=1), unread).doubtful


ATTEMPT = Attempt(ERP, external=True, authentication="oauth", mailbox=ERP, recipients=1)
