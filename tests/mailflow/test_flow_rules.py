"""What transport rules do to mail that Exchange takes, as far as their conditions say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.mailflow import Attempt, Decision, compared, decide
from provisioner.mailflow.flow_rules import OF_OPEN_RULES, matters, may_act_on
from provisioner.model import Address, Answer, Effect, Unknown, request_key
from provisioner.model.picture import Acceptance, MailRule, Picture, Rejection, Relay, Route
from provisioner.resources.rows import outbound_connector, transport_rule

KEY = request_key(transport_rule.REQUEST)
DIRECT = Attempt("scan@contoso.com", external=False, network="198.51.100.5/32")
ROW: dict[str, Any] = {
    "Name": "No",
    "State": "Enabled",
    "Mode": "Enforce",
    "Priority": 1,
    "RejectMessageReasonText": "no",
    "RejectMessageEnhancedStatusCode": "5.7.900",
    "Conditions": [],
    "Exceptions": [],
}
NEUTRAL = {"RejectMessageReasonText": None, "RejectMessageEnhancedStatusCode": None}
HINT = "except the sender from the rule, or let a rule before it stop the processing of its mail"
SENTENCE = 'the transport rule "No" rejects mail of scan@contoso.com'
REFUSED = Decision(False, "direct_send", (), "rule_rejects", "550 5.7.900", SENTENCE, hint=HINT)
TENANT: dict[Address, Any] = {
    Address("domain", "contoso.com"): (Acceptance("contoso.com"),),
    Address("organization", "settings"): (Rejection(False),),
}


def rule(**columns: Any) -> dict[str, Any]:
    """A row. The classes of its conditions and exceptions are as many as it has, unless it says otherwise."""
    classes = {
        "Conditions": [n for n in columns if n[:4] in ("From", "Send", "Reci", "Sent")],
        "Exceptions": [n for n in columns if n.startswith("ExceptIf")],
    }
    return {**ROW, **classes, **columns}


def decided(*rows: dict[str, Any], attempt: Attempt = DIRECT, **more: Any) -> Decision:
    objects = {**TENANT, **more.get("objects", {})}
    return decide(Picture(objects, **more.get("picture", {})), attempt, {KEY: Answer(rows)})


@pytest.mark.parametrize(
    ("senders", "domains", "acts"),
    [
        ((), (), True),
        (("scan@contoso.com",), (), True),
        (("fax@contoso.com",), (), False),
        ((), ("contoso.com",), True),
        ((), ("fabrikam.com",), False),
        ((), ("fabrikam.com", "contoso.com"), True),
        (("scan@contoso.com",), ("fabrikam.com",), False),
    ],
)
def test_a_rule_may_act_on_mail_of_the_senders_that_it_names(
    senders: tuple[str, ...], domains: tuple[str, ...], acts: bool
) -> None:
    conditions = transport_rule.Predicates(senders=frozenset(senders), sender_domains=frozenset(domains))
    assert may_act_on(transport_rule.FlowRule("x", 1, conditions=conditions), "scan@contoso.com") is acts


@pytest.mark.parametrize(
    ("rows", "some"),
    [
        ([], False),
        ([rule()], True),
        ([rule(**NEUTRAL)], False),
        ([rule(**NEUTRAL, RouteMessageOutboundConnector="out")], True),
        ([rule(**NEUTRAL, RouteMessageOutboundRequireTls=True)], True),
        ([rule(**NEUTRAL, SetSCL=0)], True),
        ([rule(State="Disabled")], False),
    ],
)
def test_rules_that_do_nothing_to_mail_do_not_matter(rows: list[dict[str, Any]], some: bool) -> None:
    assert matters(Picture(TENANT), {KEY: Answer(tuple(rows))}) is some
    assert matters(Picture(TENANT), {KEY: Unknown("forbidden")}) is False


@pytest.mark.parametrize(("scope", "acts"), [("NotInOrganization", True), ("InOrganization", False)])
def test_mail_of_a_domain_that_is_not_of_the_tenant_comes_from_outside(scope: str, acts: bool) -> None:
    stranger, known = dataclasses.replace(DIRECT, sender="x@elsewhere.example"), frozenset({"elsewhere.example"})
    found = decided(rule(FromScope=scope), attempt=stranger, picture={"lacking": {Acceptance: known}})
    assert ("rule_rejects" in found.certain) is acts
    assert "rule_rejects" not in found.possible
    assert decided(rule(FromScope=scope), attempt=stranger).doubtful == {"rule_rejects"}


def test_a_rule_that_acts_on_a_message_keeps_it_back_whatever_way_it_comes() -> None:
    assert decided(rule()) == REFUSED
    relay = {Address("inbound_connector", "hq"): (Relay(frozenset({"198.51.100.0/28"}), clear_text=True),)}
    assert decided(rule(), objects=relay) == dataclasses.replace(REFUSED, path="smtp_relay")
    signed = dataclasses.replace(DIRECT, authentication="basic", mailbox="scan@contoso.com")
    assert "rule_rejects" in decided(rule(), attempt=signed).certain
    assert "rule_rejects" not in decided(rule(), attempt=dataclasses.replace(signed, sender="")).certain


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, "rule_rejects"),
        ({**NEUTRAL, "DeleteMessage": True}, "rule_deletes"),
        ({**NEUTRAL, "Quarantine": True}, "rule_quarantines"),
        ({**NEUTRAL, "RedirectMessageTo": ["a@contoso.com"]}, "rule_redirects"),
        ({"State": "Disabled"}, ""),
        ({"Mode": "Audit"}, ""),
        ({"From": ["SCAN@contoso.com"]}, "rule_rejects"),
        ({"From": ["other@contoso.com"]}, ""),
        ({"SenderDomainIs": ["Contoso.com"]}, "rule_rejects"),
        ({"SenderDomainIs": ["fabrikam.com", "contoso.com"]}, "rule_rejects"),
        ({"SenderDomainIs": ["oso.com"]}, ""),
        ({"SenderIpRanges": ["198.51.100.1-198.51.100.9"]}, "rule_rejects"),
        ({"SenderIpRanges": ["198.51.101.0/24"]}, ""),
        ({"SentToScope": "InOrganization"}, "rule_rejects"),
        ({"SentToScope": "NotInOrganization"}, ""),
        ({"ExceptIfSenderIpRanges": ["198.51.100.0/24"]}, ""),
        ({"ExceptIfFrom": ["other@contoso.com"]}, "rule_rejects"),
        ({"RecipientDomainIs": ["elsewhere.example"]}, ""),
    ],
    ids=str,
)  # fmt: skip
def test_conditions_and_exceptions_decide(columns: dict[str, Any], reason: str) -> None:
    lacking = {"lacking": {Acceptance: frozenset({"elsewhere.example"})}}
    assert decided(rule(**columns), picture=lacking).reason == reason


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ({"FromScope": "NotInOrganization"}, "whether the mail counts as mail from inside (FromScope)"),
        ({"RecipientDomainIs": ["contoso.com"]}, "the recipient's domain"),
        ({"ExceptIfRecipientDomainIs": ["contoso.com"]}, "the recipient's domain"),
    ],
    ids=str,
)
def test_what_an_attempt_does_not_tell_leaves_it_open(columns: dict[str, Any], missing: str) -> None:
    found = decided(rule(**columns))
    assert (found.allowed, found.reason, found.missing) == (None, "rule_rejects", (missing,))


def test_a_rule_about_the_message_itself_is_named_and_refuses_nothing() -> None:
    found = decided(rule(Conditions=["SubjectContainsWordsPredicate"]))
    assert (found.allowed, found.possible) == (True, ("rule_rejects",))
    assert found.warning == 'the transport rule "No" rejects mail that meets its other conditions'
    assert decided(rule(From=["who is that"])).allowed is True, "a name that is no address"


def test_a_rule_that_comes_first_can_end_the_processing() -> None:
    stops = {**rule(From=["scan@contoso.com"]), "Name": "Devices", "Priority": 0, "StopRuleProcessing": True}
    stops |= NEUTRAL
    assert decided(rule(), stops) == Decision(True, "direct_send")
    assert decided(rule(), {**stops, "Priority": 2}) == REFUSED
    unsure = decided(rule(), {**stops, "Conditions": ["a", "b"]})
    assert unsure.missing == ('whether the rule "Devices" ends the processing before "No"',)


def test_a_rule_counts_as_the_plan_leaves_it() -> None:
    address = Address("transport_rule", "no")
    narrowed = MailRule("No", "rejects", senders=frozenset({"other@contoso.com"}))
    assert decided(rule(), objects={address: (narrowed,)}).allowed is True
    assert decided(rule(), objects={address: ()}).allowed is True, "it is switched off"
    assert decided(rule(), objects={address: (MailRule("No", "rejects"),)}) == dataclasses.replace(
        REFUSED, by=(address,)
    )
    devices = MailRule("Devices", stops=True, senders=frozenset({"scan@contoso.com"}), before=frozenset({"no"}))
    assert decided(rule(), objects={Address("transport_rule", "Devices"): (devices,)}).allowed is True
    last = dataclasses.replace(devices, before=frozenset())
    assert decided(rule(), objects={Address("transport_rule", "Devices"): (last,)}) == REFUSED


def test_rules_that_could_not_be_read_leave_it_open_and_rules_that_nobody_asked_for_do_not() -> None:
    unread = decide(Picture(TENANT), DIRECT, {KEY: Unknown("no role", "permission")})
    assert (unread.allowed, unread.missing) == (None, ("the transport rules (no role)",))
    assert decide(Picture(TENANT), DIRECT, {}).allowed is True
    odd = decide(Picture(TENANT), DIRECT, {KEY: Answer(({"Name": "No"},))})
    assert odd.allowed is None


def test_a_rule_that_keeps_back_more_mail_closes_and_one_that_keeps_back_less_opens() -> None:
    wide, narrow = (MailRule("No", "rejects", senders=frozenset(names)) for names in ((), ("a@contoso.com",)))
    assert compared((narrow,), (wide,)) == compared((), (narrow,)) == {Effect.CLOSES}
    assert compared((wide,), (narrow,)) == compared((narrow,), ()) == {Effect.OPENS}
    assert compared((), (MailRule("Stop", stops=True),)) == {Effect.OPENS}, "later rules do not act on its mail"


# --- what no source decides ------------------------------------------------------------------------------------------

OUTSIDE = Attempt("scan@contoso.com", external=True, network="198.51.100.5/32")
RELAYING: dict[Address, Any] = {
    Address("inbound_connector", "hq"): (Relay(frozenset({"198.51.100.0/28"}), clear_text=True),)
}


def open_ones(*rows: dict[str, Any], attempt: Attempt = DIRECT, **more: Any) -> tuple[bool | None, set[str]]:
    found = decided(*rows, attempt=attempt, **more)
    return found.allowed, set(found.doubtful & OF_OPEN_RULES)


@pytest.mark.parametrize(("scl", "spam"), [(-1, False), (0, False), (4, False), (5, True), ("9", True), (None, False)])
def test_an_scl_that_asks_for_a_verdict_of_spam_is_an_input_to_filtering(scl: object, spam: bool) -> None:
    """New-TransportRule, -SetSCL (2026): "an input to filtering, not a final decision"."""
    row = rule(**NEUTRAL, SetSCL=scl)
    assert open_ones(row) == ((None, {"rule_marks_spam"}) if spam else (True, set()))
    if spam:
        found = decided(row)
        assert found.sentence == f'the transport rule "No" marks mail of scan@contoso.com as spam (SCL {scl})'
        assert found.missing == ("whether filtering follows the SCL of a rule (by default to Junk Email)",)


def test_the_last_scl_counts_and_a_lost_message_has_none() -> None:
    spam, fair = (rule(**NEUTRAL, SetSCL=level) for level in (9, -1))
    assert open_ones(spam, {**fair, "Name": "Later", "Priority": 2}) == (True, set())
    assert open_ones(spam, {**fair, "Name": "Earlier", "Priority": 0}) == (None, {"rule_marks_spam"})
    assert open_ones(spam, {**rule(SetSCL=1, From=["x@contoso.com"], **NEUTRAL), "Name": "Others", "Priority": 2}) == (
        None,
        {"rule_marks_spam"},
    )
    assert open_ones(rule(SetSCL=9)) == (False, set()), "a rejected message is filtered no more"
    assert open_ones(rule(SetSCL=9, Conditions=["SubjectContainsWordsPredicate"], **NEUTRAL)) == (
        True,
        {"rule_marks_spam"},
    )


def test_mail_that_leaves_with_an_scl_is_open_for_another_reason() -> None:
    found = decided(rule(**NEUTRAL, SetSCL=9), attempt=OUTSIDE, objects=RELAYING)
    assert (found.allowed, found.missing) == (
        None,
        ("whether the SCL of a rule counts for mail that leaves the tenant",),
    )


def test_a_rule_that_demands_tls_is_a_warning_for_mail_that_leaves() -> None:
    row = rule(**NEUTRAL, RouteMessageOutboundRequireTls=True)
    assert open_ones(row) == (True, set())
    found = decided(row, attempt=OUTSIDE, objects=RELAYING)
    assert (found.allowed, found.possible) == (True, ("rule_demands_tls",))
    assert (
        "requires TLS for mail of scan@contoso.com: a recipient whose host does not offer TLS does not get it"
        in found.warning
    )


def test_mail_that_is_given_to_a_disabled_connector_is_open() -> None:
    row = rule(**NEUTRAL, RouteMessageOutboundConnector="Out")
    listed = {request_key(outbound_connector.REQUEST): Answer(({"Name": "out", "Enabled": False},))}
    there = {KEY: Answer((row,)), **listed}
    found = decide(Picture(TENANT), DIRECT, there)
    assert (found.allowed, found.reason) == (None, "rule_connector_disabled")
    on = {request_key(outbound_connector.REQUEST): Answer(({"Name": "OUT", "Enabled": True},))}
    assert decide(Picture(TENANT), DIRECT, {**there, **on}).allowed is True
    assert decided(row).allowed is True, "nobody asked for the connectors"


@pytest.mark.parametrize(("words", "reason"), [((), "rule_connector_disabled"), ((Route(hosts=frozenset({"h"})),), "")])
def test_a_connector_counts_as_the_plan_leaves_it(words: Any, reason: str) -> None:
    row = rule(**NEUTRAL, RouteMessageOutboundConnector="out")
    other = {Address("outbound_connector", "other"): (Route(hosts=frozenset({"h"})),)}
    assert decided(row, objects={Address("outbound_connector", "Out"): words, **other}).reason == reason


def test_demanding_tls_closes_and_demanding_it_no_more_opens() -> None:
    bank = frozenset({"bank.example"})
    demands = MailRule("TLS", recipient_domains=bank, tls=True)
    assert compared((), (demands,)) == {Effect.CLOSES}
    assert compared((demands,), (dataclasses.replace(demands, tls=False),)) == {Effect.OPENS}
    assert not compared((demands,), (dataclasses.replace(demands, scl=9),)), "spam is a guard, and no refusal"
