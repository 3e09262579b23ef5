"""What the tenant says to a diagnosis, from objects as a plan reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from provisioner.diagnosis.evidence import Evidence, Needed, conclude, needed
from provisioner.diagnosis.questions import (
    AskAcceptedDomain,
    AskConnectorFor,
    AskDkim,
    AskOutboundPolicy,
    AskRecipient,
    AskRejectDirectSend,
    AskSendAs,
    AskSmtpAuth,
    AskTransportRules,
    Question,
)
from provisioner.model import Absent, Address, Answer, Observed, Present, Request, Unknown, request_key
from provisioner.resources.dkim import Dkim
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.organization import Organization
from provisioner.resources.rows import accepted_domain, outbound_spam, recipient, transport_rule
from provisioner.resources.send_as import SendAs, pair_of
from provisioner.resources.smtp_auth import SmtpAuth

IP = "198.51.100.77"
ERP, INVOICES = "erp@contoso.com", "invoices@contoso.com"
REFUSED = Unknown("Forbidden", "permission")


def said(question: Question, observed: Observed) -> tuple[str, str]:
    (evidence,) = conclude(question, observed)
    return evidence.speaks, evidence.sentence


def connectors(*specs: InboundConnector) -> Observed:
    return Observed({}, {Address("inbound_connector", spec.name): spec for spec in specs})


def answers(*rows: tuple[Request, Sequence[Mapping[str, Any]] | Unknown]) -> Observed:
    told = {request_key(r): a if isinstance(a, Unknown) else Answer(tuple(a)) for r, a in rows}
    return Observed({}, evidence=told)


# --- connectors ------------------------------------------------------------------------------------------------------


def connector(name: str, **fields: Any) -> InboundConnector:
    usual = {"type": "on_premises", "enabled": True, "sender_ip_addresses": frozenset({f"{IP}/32"})}
    return InboundConnector(name, **{**usual, **fields})


def test_a_partner_connector_does_not_relay_but_knows_the_address() -> None:
    there = connectors(connector("bank", type="partner"))
    speaks, sentence = said(AskConnectorFor(IP, relay=True), there)
    assert (speaks, "it is a partner connector, which does not relay" in sentence) == ("yes", True)
    assert said(AskConnectorFor(IP), there) == ("no", f'the connector "bank" names {IP} and is enabled')


@pytest.mark.parametrize("order", [1, -1])
def test_an_enabled_connector_counts_before_a_disabled_and_a_partner_one(order: int) -> None:
    specs = [connector("a", enabled=False), connector("b", type="partner"), connector("c")][::order]
    assert said(AskConnectorFor(IP, relay=True), connectors(*specs)) == (
        "no",
        f'the connector "c" names {IP} and is enabled',
    )


def test_a_disabled_connector_is_to_be_enabled() -> None:
    (evidence,) = conclude(AskConnectorFor(IP, relay=True), connectors(connector("hq", enabled=False)))
    assert (evidence.speaks, evidence.plan) == ("yes", "inbound_connectors:\n  hq:\n    enabled: true\n")


@pytest.mark.parametrize(
    ("address", "speaks"),
    [(IP, "no"), ("198.51.100.127", "no"), ("198.51.100.128", "yes"), ("2001:db8::1", "yes"), ("", "unknown")],
)
def test_a_network_names_its_addresses(address: str, speaks: str) -> None:
    there = connectors(connector("hq", sender_ip_addresses=frozenset({"198.51.100.0/25"})))
    assert said(AskConnectorFor(address, relay=True), there)[0] == speaks


@pytest.mark.parametrize("missing", ["sender_ip_addresses", "type"])
def test_a_column_that_did_not_come_is_not_known(missing: str) -> None:
    assert said(AskConnectorFor(IP, relay=True), connectors(connector("hq", **{missing: None})))[0] == "unknown"


def test_connectors_that_cannot_be_listed_are_not_known() -> None:
    unlisted = Observed({}, unlisted={"inbound_connector": REFUSED})
    assert said(AskConnectorFor(IP), unlisted) == ("unknown", "the tenant could not be asked: Forbidden")


# --- rules and limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "sender", "speaks"),
    [
        ({}, ERP, "yes"),
        ({}, "", "yes"),
        ({"From": [INVOICES]}, ERP, "no"),
        ({"From": [INVOICES]}, "", "yes"),
        ({"RejectMessageReasonText": None, "DeleteMessage": True}, ERP, "no"),
        ({"State": "Disabled"}, ERP, "no"),
        ({"Priority": None}, ERP, "unknown"),
    ],
    ids=str,
)
def test_a_transport_rule_rejects_or_another_organization_s_does(
    columns: dict[str, Any], sender: str, speaks: str
) -> None:
    row = {
        "Name": "No",
        "State": "Enabled",
        "Priority": 0,
        "RejectMessageReasonText": "no",
        "Conditions": [],
        **columns,
    }
    assert said(AskTransportRules(sender), answers((transport_rule.REQUEST, [row])))[0] == speaks


def test_the_outbound_policy_of_a_mailbox_is_named_with_its_limit() -> None:
    policy = {"Name": "Default", "RecipientLimitPerDay": 500, "ActionWhenThresholdReached": "BlockUser",
              "RecipientLimitExternalPerHour": 0, "RecipientLimitInternalPerHour": 0}  # fmt: skip
    there = answers((outbound_spam.POLICIES, [policy]), (outbound_spam.RULES, []))
    stops = f'the outbound spam policy "Default" stops {ERP} after 500 recipients a day'
    assert said(AskOutboundPolicy(ERP), there) == ("yes", stops)
    no_limit = answers((outbound_spam.POLICIES, [policy | {"RecipientLimitPerDay": 0}]), (outbound_spam.RULES, []))
    assert said(AskOutboundPolicy(ERP), no_limit)[0] == "unknown"
    assert said(AskOutboundPolicy(ERP), answers((outbound_spam.POLICIES, REFUSED)))[0] == "unknown"


# --- objects ---------------------------------------------------------------------------------------------------------

RIGHT = Address("send_as", pair_of(ERP, INVOICES).pair)
SETTINGS = Address("organization", "settings")
SIGNING = Address("dkim", "contoso.com")


@pytest.mark.parametrize(
    ("question", "address", "observation", "speaks"),
    [
        (AskSendAs(ERP, INVOICES), RIGHT, Present(pair_of(ERP, INVOICES)), "no"),
        (AskSendAs(ERP, INVOICES), RIGHT, Absent(), "yes"),
        (AskSendAs(ERP, INVOICES), RIGHT, Unknown("it may be the right", "ambiguous"), "unknown"),
        (AskSendAs(ERP, INVOICES), RIGHT, Absent(f"{ERP} is a mail contact", "write a mailbox"), "yes"),
        (AskSendAs(ERP, INVOICES), RIGHT, Absent(known=SendAs(RIGHT.key)), "yes"),
        (AskRejectDirectSend(), SETTINGS, Present(Organization("settings", True)), "yes"),
        (AskRejectDirectSend(), SETTINGS, Present(Organization("settings", False)), "no"),
        (AskRejectDirectSend(), SETTINGS, Present(Organization("settings")), "unknown"),
        (AskDkim("contoso.com"), SIGNING, Present(Dkim("contoso.com", True)), "no"),
        (AskDkim("contoso.com"), SIGNING, Present(Dkim("contoso.com", False)), "yes"),
        (AskDkim("contoso.com"), SIGNING, Present(Dkim("contoso.com")), "unknown"),
        (AskDkim("contoso.com"), SIGNING, Absent(), "yes"),
        (AskDkim("contoso.com"), SIGNING, REFUSED, "unknown"),
    ],
)
def test_the_object_decides(question: Question, address: Address, observation: Any, speaks: str) -> None:
    assert needed(question).objects == {address}
    assert said(question, Observed({address: observation}))[0] == speaks


def test_a_right_is_proposed_where_it_lacks_and_its_holder_is_known() -> None:
    (evidence,) = conclude(AskSendAs(ERP, INVOICES), Observed({RIGHT: Absent()}))
    assert evidence.plan == f"send_as:\n  {ERP}: [{INVOICES}]\n"
    assert said(AskSendAs("", INVOICES), Observed({}))[0] == "unknown"


def test_a_right_of_a_group_is_not_denied_to_its_members() -> None:
    known = SendAs(RIGHT.key, names=frozenset({f"helpdesk team as {INVOICES}"}))
    (evidence,) = conclude(AskSendAs(ERP, INVOICES), Observed({RIGHT: Absent(known=known)}))
    assert evidence.speaks == "unknown"
    assert "helpdesk team has one, which holds for its members" in evidence.sentence
    assert "check that it is a member of helpdesk team" in evidence.hint


# --- rows ------------------------------------------------------------------------------------------------------------

DOMAINS = [{"DomainName": "Contoso.com", "DomainType": "Authoritative"}]
MAILBOX = recipient.mailbox(ERP)


@pytest.mark.parametrize(
    ("domain", "rows", "speaks"),
    [
        ("contoso.com", DOMAINS, "no"),
        ("fabrikam.com", DOMAINS, "yes"),
        ("ci.contoso.com", DOMAINS, "yes"),
        ("ci.contoso.com", [{**DOMAINS[0], "MatchSubDomains": True}], "no"),
        ("contoso.com", [{"DomainType": "Authoritative"}], "unknown"),
        ("contoso.com", REFUSED, "unknown"),
    ],
)
def test_a_domain_is_accepted_or_not(domain: str, rows: Any, speaks: str) -> None:
    assert said(AskAcceptedDomain(domain), answers((accepted_domain.REQUEST, rows)))[0] == speaks


@pytest.mark.parametrize(
    ("rows", "speaks"),
    [
        ([{"PrimarySmtpAddress": "ERP@contoso.com"}], "no"),
        ([{"PrimarySmtpAddress": "svc@contoso.com", "EmailAddresses": ["smtp:erp@contoso.com"]}], "no"),
        ([{"PrimarySmtpAddress": "somebody@contoso.com"}], "yes"),  # every mailbox came back, none is this one
        ([], "yes"),
        (REFUSED, "unknown"),
    ],
)
def test_a_recipient_is_there_under_each_of_its_addresses(rows: Any, speaks: str) -> None:
    there = answers((accepted_domain.REQUEST, DOMAINS), (MAILBOX, rows))
    assert said(AskRecipient(ERP), there)[0] == speaks


def test_a_recipient_of_another_domain_is_hosted_elsewhere() -> None:
    there = answers((accepted_domain.REQUEST, DOMAINS), (recipient.mailbox("bob@fabrikam.com"), []))
    expected = ("unknown", "fabrikam.com is not an accepted domain; its recipients are hosted elsewhere")
    assert said(AskRecipient("bob@fabrikam.com"), there) == expected


# --- sign-in ---------------------------------------------------------------------------------------------------------


def test_the_mailbox_s_switch_is_the_one_that_a_plan_reads() -> None:
    wanted = needed(AskSmtpAuth(ERP))
    mailbox, organization = Address("smtp_auth", ERP), Address("smtp_auth", "organization")
    assert wanted.objects == {mailbox, organization}
    off = {mailbox: Present(SmtpAuth(ERP, "disabled")), organization: Present(SmtpAuth("organization", "disabled"))}
    evidence: Sequence[Evidence] = conclude(AskSmtpAuth(ERP), Observed(off))
    assert (evidence[0].speaks, evidence[0].plan) == ("yes", f"smtp_auth:\n  mailboxes:\n    {ERP}: enabled\n")
    gone = conclude(AskSmtpAuth(ERP), Observed({**off, mailbox: Absent()}))
    assert [e.sentence for e in gone] == [f"the tenant has no mailbox {ERP}"]


def test_nothing_is_asked_where_the_text_told_too_little() -> None:
    questions: tuple[Question, ...] = (AskSmtpAuth(""), AskAcceptedDomain(""), AskDkim(""), AskSendAs("", INVOICES))
    assert [needed(question) for question in questions] == [Needed()] * len(questions)
