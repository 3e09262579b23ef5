"""What lies between two sets of contributions: each word compared on its own axes."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from provisioner.mailflow import compared, consequences, reach, reaches
from provisioner.mailflow.consequences import closed, opened
from provisioner.mailflow.senders import EVERYONE, Group, affected
from provisioner.model import Action, Effect
from provisioner.model.picture import (
    ADDRESS,
    ANY,
    CERTIFICATE,
    ORGANIZATION,
    TLS,
    Acceptance,
    Account,
    AddressFilter,
    Contribution,
    Doubt,
    Exemption,
    HighVolume,
    LegacyTls,
    MailRule,
    OutboundLimit,
    PasswordPolicy,
    PolicyOf,
    Privilege,
    Rejection,
    Relay,
    Restriction,
    Route,
    SendRight,
    Signature,
    SignIn,
)
from provisioner.resources import TYPES

ERP = "erp@contoso.com"
OPENS, CLOSES, BOTH, NOTHING = {Effect.OPENS}, {Effect.CLOSES}, {Effect.OPENS, Effect.CLOSES}, set[Effect]()
NET, OTHER = frozenset({"52.202.8.0/24"}), frozenset({"8.8.8.0/24"})
ONE = frozenset({"52.202.8.9/32"})
BANK, FUND = frozenset({"bank.example"}), frozenset({"fund.example"})
HOST = frozenset({"mx.bank.example"})
BELOW = frozenset({"*.bank.example"})

KEEPS = MailRule("keep", "rejects", senders=frozenset({ERP}))
SPARES = MailRule("spare", stops=True, senders=frozenset({ERP}), before=frozenset({"keep"}))


def switch(word: str, mailbox: str = "erp@contoso.com") -> SignIn:
    return SignIn(mailbox, word)


@pytest.mark.parametrize(
    ("before", "after", "effects"),
    [
        # Authentication policies: of a mailbox, of the organization, and what a policy says. A new one has nobody.
        ([], [PolicyOf(ERP, "x", False)], CLOSES),
        ([PolicyOf(ERP, "")], [PolicyOf(ERP, "x", True)], OPENS),
        ([PolicyOf(ERP, "x", True)], [PolicyOf(ERP, "")], CLOSES),
        ([PolicyOf(ERP, "x", False)], [PolicyOf(ERP, "")], OPENS),
        ([PolicyOf(ERP, "x", False)], [PolicyOf(ERP, "y", False)], NOTHING),
        ([PolicyOf(ERP, "x", True)], [PolicyOf(ERP, "y", None)], BOTH),
        ([PolicyOf(ORGANIZATION, "")], [PolicyOf(ORGANIZATION, "x", True)], NOTHING),
        ([PolicyOf(ORGANIZATION, "")], [PolicyOf(ORGANIZATION, "x", False)], CLOSES),
        ([PolicyOf(ORGANIZATION, "x", False)], [PolicyOf(ORGANIZATION, "")], OPENS),
        ([], [PasswordPolicy("x", True)], NOTHING),
        ([PasswordPolicy("x", True)], [], NOTHING),
        ([PasswordPolicy("x", True)], [PasswordPolicy("x", False)], CLOSES),
        ([PasswordPolicy("x", False)], [PasswordPolicy("x", True)], OPENS),
        ([PasswordPolicy("x", None)], [PasswordPolicy("x", True)], OPENS),
        ([PasswordPolicy("x", True)], [PasswordPolicy("x", False, holders=frozenset())], NOTHING),
        # Transport rules: one keeps mail back, another one before it spares some of that.
        ([], [KEEPS], CLOSES),
        ([KEEPS], [dataclasses.replace(KEEPS, senders=frozenset())], CLOSES),
        ([KEEPS], [dataclasses.replace(KEEPS, before=frozenset({"spare"}))], CLOSES),
        ([], [SPARES], OPENS),
        ([SPARES], [dataclasses.replace(SPARES, networks=NET)], CLOSES),
        ([SPARES], [dataclasses.replace(SPARES, before=frozenset({"keep", "others"}))], OPENS),
        ([SPARES], [dataclasses.replace(SPARES, senders=frozenset({"scan@contoso.com"}))], BOTH),
        ([dataclasses.replace(KEEPS, stops=True)], [KEEPS], NOTHING),
        # Outbound spam policies: 0 is the service's limit; a policy that only tells administrators stops nobody.
        ([OutboundLimit("Default")], [OutboundLimit("Default", 500)], CLOSES),
        ([OutboundLimit("Default", 500)], [OutboundLimit("default", 900)], OPENS),
        ([OutboundLimit("Default", 500, 20)], [OutboundLimit("Default", 400, 30)], BOTH),
        ([OutboundLimit("Default", 500, blocks=False)], [OutboundLimit("Default", 500)], CLOSES),
        ([OutboundLimit("Default", 0)], [OutboundLimit("Default", 10_000)], NOTHING),
        ([OutboundLimit("Default", 500)], [OutboundLimit("Default", 500)], NOTHING),
        # Legacy TLS opens where it is taken; null and $false are one.
        ([LegacyTls(False)], [LegacyTls(True)], OPENS),
        ([LegacyTls(True)], [LegacyTls(False)], CLOSES),
        ([], [LegacyTls(False)], NOTHING),
        # Relay: its sources may send to anyone.
        ([], [Relay(NET)], OPENS),
        ([Relay(NET)], [Relay(NET)], NOTHING),
        ([Relay(NET)], [Relay(ONE)], CLOSES),
        ([Relay(NET)], [Relay(OTHER)], BOTH),
        ([Relay(NET)], [Relay(NET, "mail.contoso.com")], OPENS),
        ([Relay(certificate="*.contoso.com")], [Relay(certificate="a.contoso.com")], CLOSES),
        ([Relay(NET, domains=BANK)], [Relay(NET)], OPENS),
        ([Relay(NET)], [Relay(NET, associated=BANK)], CLOSES),
        ([Relay(NET)], [Relay(NET, clear_text=True)], OPENS),
        # Without an address and a certificate a connector lets nobody in.
        ([], [Relay()], NOTHING),
        ([Relay(clear_text=True)], [], NOTHING),
        # A partner's connector relays for nobody, but its sources are not direct send.
        ([], [Exemption(NET)], OPENS),
        ([Exemption(NET)], [], CLOSES),
        ([Exemption(NET)], [Relay(NET)], OPENS),
        ([Relay(NET)], [Exemption(NET)], CLOSES),
        # A restriction refuses; its sources could send before.
        ([], [Restriction(ANY, ADDRESS, NET), Exemption(NET)], CLOSES),
        ([Restriction(ANY, ADDRESS, NET), Exemption(NET)], [], OPENS),
        ([Restriction(BANK, TLS, frozenset({TLS}))], [Restriction(FUND, TLS, frozenset({TLS}))], BOTH),
        ([], [Restriction(BANK, TLS, frozenset({TLS})), Exemption(NET)], BOTH),
        # Privileges.
        ([], [Privilege("ef_skip_ips", NET)], OPENS),
        ([Privilege("ef_skip_ips", NET)], [Privilege("ef_skip_ips", ONE)], CLOSES),
        ([Privilege("ef_skip_ips", NET)], [Privilege("ef_users", NET)], BOTH),
        # The connection filter.
        ([AddressFilter()], [AddressFilter(ONE)], OPENS),
        ([AddressFilter(NET)], [AddressFilter(NET | ONE)], NOTHING),
        ([AddressFilter(NET)], [AddressFilter(refused=OTHER)], CLOSES),
        ([AddressFilter(refused=NET)], [AddressFilter(ONE, OTHER)], BOTH),
        # Switches.
        ([switch("disabled")], [switch("enabled")], OPENS),
        ([switch("disabled")], [switch("inherit")], OPENS),
        ([switch("inherit")], [switch("enabled")], OPENS),
        ([switch("enabled")], [switch("inherit")], CLOSES),
        ([switch("inherit")], [switch("disabled")], CLOSES),
        ([], [switch("enabled")], OPENS),
        ([], [switch("inherit")], CLOSES),
        ([switch("disabled", ORGANIZATION)], [switch("enabled", ORGANIZATION)], OPENS),
        ([switch("enabled", "a@contoso.com")], [switch("enabled", "a@contoso.com")], NOTHING),
        # Direct send.
        ([Rejection(False)], [Rejection(True)], CLOSES),
        ([Rejection(True)], [Rejection(False)], OPENS),
        ([], [Rejection(False)], OPENS),
        ([], [Rejection(True)], CLOSES),
        # Rights and domains.
        ([], [SendRight("erp@contoso.com", "bills@contoso.com")], OPENS),
        ([SendRight("erp@contoso.com", "bills@contoso.com")], [], CLOSES),
        ([], [Acceptance("contoso.com")], OPENS),
        ([Acceptance("x.example")], [Acceptance("x.example", "authoritative", False, True, True)], NOTHING),
        ([Acceptance("x.example")], [Acceptance("x.example", subdomains=True)], OPENS),
        ([Acceptance("x.example")], [Acceptance("x.example", sending=False)], CLOSES),
        ([Acceptance("x.example", receiving=False)], [Acceptance("x.example", receiving=True)], OPENS),
        ([Acceptance("x.example", "internal_relay")], [Acceptance("x.example", "authoritative")], CLOSES),
        # Signing opens nothing; its end can have mail refused.
        ([], [Signature("contoso.com")], NOTHING),
        ([Signature("contoso.com")], [], CLOSES),
        ([Signature("contoso.com", ("a", "b"))], [Signature("contoso.com", ("c", "d"))], NOTHING),
        # Mail that leaves.
        ([], [Route(BANK, HOST)], OPENS),
        ([Route(BANK)], [Route(BANK, HOST)], OPENS),
        ([Route(BANK, HOST)], [Route(BANK | FUND, HOST)], OPENS),
        ([], [Route(BANK)], NOTHING),
        ([], [Route(BANK, demands=frozenset({TLS}))], CLOSES),
        ([Route(BANK, demands=frozenset({TLS}))], [], OPENS),
        ([Route(BANK, HOST)], [Route(BANK, HOST, frozenset({TLS}))], CLOSES),
        ([], [Route(BANK, HOST, frozenset({TLS}))], OPENS),
        # A demand holds mail back: more of it closes, and so does the same demand for more mail along MX records.
        ([Route(BANK, demands=frozenset({TLS}))], [Route(BANK, demands=frozenset({TLS, "DANE"}))], CLOSES),
        ([Route(BANK, demands=frozenset({TLS}))], [Route(BANK | FUND, demands=frozenset({TLS}))], CLOSES),
        ([Route(BANK | FUND, demands=frozenset({TLS}))], [Route(BANK, demands=frozenset({TLS}))], OPENS),
        ([Route(BANK)], [Route(BANK | FUND)], NOTHING),
        ([Route(BANK, HOST, frozenset({TLS}))], [Route(BANK | FUND, HOST, frozenset({TLS}))], OPENS),
        ([Route(BANK, HOST, frozenset({TLS}))], [Route(BANK, HOST)], OPENS),
        # An account is a precondition, a doubt is nothing that opens.
        ([], [Account("erp@contoso.com", True, True)], NOTHING),
        ([], [Doubt("ConnectorType was not returned")], NOTHING),
    ],
)
def test_two_sets_are_compared(before: list[Contribution], after: list[Contribution], effects: set[Effect]) -> None:
    assert compared(before, after) == effects


EVERY: tuple[Contribution, ...] = (
    Relay(NET, "mail.contoso.com", BANK, BANK, True),
    Exemption(OTHER, "", BANK),
    Restriction(BANK, ADDRESS, NET),
    Privilege("ef_users", BANK),
    Rejection(True),
    AddressFilter(NET, OTHER),
    switch("enabled"),
    SendRight("a@contoso.com", "b@contoso.com"),
    Acceptance("contoso.com", "authoritative"),
    Route(BANK, HOST, frozenset({TLS})),
    Signature("contoso.com"),
)


@pytest.mark.parametrize("pair", list(itertools.permutations(EVERY, 2)))
def test_the_order_and_the_way_back_say_the_same(pair: tuple[Contribution, Contribution]) -> None:
    one, other = pair
    assert compared([one, other], [other, one]) == NOTHING
    assert compared([one], [one]) == NOTHING
    if not any(isinstance(c, Signature | SignIn | Rejection) for c in pair):
        turned = {Effect.OPENS: Effect.CLOSES, Effect.CLOSES: Effect.OPENS}
        assert compared([other], [one]) == {turned[e] for e in compared([one], [other])}


@pytest.mark.parametrize(
    ("action", "found", "words"),
    [
        (Action.NO_OP, NOTHING, ()),
        (Action.UPDATE, NOTHING, ("neutral",)),
        (Action.CREATE, OPENS, ("widens exposure",)),
        (Action.UPDATE, BOTH, ("widens exposure", "can stop mail")),
        (Action.DELETE, NOTHING, ("deletes",)),
        (Action.DELETE, CLOSES, ("deletes", "can stop mail")),
    ],
)
def test_consequences_are_told_worst_first(action: Action, found: set[Effect], words: tuple[str, ...]) -> None:
    assert consequences(action, found) == words


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([Relay(NET)], [Relay(NET)], True),
        ([Relay(NET)], [Relay(NET, clear_text=True)], True),
        ([Relay(NET)], [Relay(ONE)], False),
        ([Relay(NET)], [Relay(NET, domains=BANK)], False),
        ([Relay(NET)], [Exemption(NET)], False),
        ([Exemption(NET)], [Exemption(NET), Restriction(ANY, ADDRESS, NET)], True),
        ([Restriction(BANK, TLS, frozenset({TLS}))], [Restriction(BANK, TLS, frozenset({TLS}))], True),
        ([Restriction(BANK, TLS, frozenset({TLS}))], [Restriction(FUND, TLS, frozenset({TLS}))], False),
    ],
)
def test_two_objects_take_mail_from_the_same_sources(
    one: list[Contribution], other: list[Contribution], same: bool
) -> None:
    assert (reach(one) == reach(other)) is same


def test_what_takes_no_mail_reaches_nothing() -> None:
    assert reach([]) is reach([Relay()]) is reach([switch("enabled")]) is None


def test_only_the_objects_of_connectors_have_a_reach() -> None:
    assert [kind.name for kind in TYPES if reaches(kind)] == ["inbound_connector"]


MAIL = frozenset({"mail.contoso.com"})


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        # Only what is new of a list.
        ([], [Relay(NET, "mail.contoso.com")], {Group(networks=NET, certificates=MAIL)}),
        ([Relay(NET)], [Relay(NET | OTHER)], {Group(networks=OTHER)}),
        ([Relay(NET)], [Relay(ONE)], set()),
        ([Relay(NET, associated=BANK)], [Relay(NET, associated=BANK | FUND)], {Group(networks=NET, domains=FUND)}),
        ([Relay(NET)], [Relay(NET, clear_text=True)], {Group(networks=NET)}),
        ([], [Exemption(NET, domains=BANK)], {Group(networks=NET, domains=BANK)}),
        ([Relay(NET, associated=BANK | ANY)], [Relay(NET | OTHER, associated=BANK | ANY)], {Group(networks=OTHER)}),
        # A restricting partner's connector is a path for its sources, and closes the others'.
        ([], [Restriction(ANY, ADDRESS, NET), Exemption(NET)], {Group(networks=NET)}),
        # What is refused no more.
        ([Restriction(ANY, ADDRESS, NET)], [], {EVERYONE}),
        ([Restriction(BANK, ADDRESS, NET)], [], {Group(domains=BANK)}),
        ([Restriction(BANK | FUND, ADDRESS, NET)], [Restriction(FUND, ADDRESS, NET)], {Group(domains=BANK)}),
        ([Restriction(BANK, ADDRESS, NET)], [Restriction(BANK, ADDRESS, NET | OTHER)],
         {Group(networks=OTHER, domains=BANK)}),
        ([Restriction(ANY, CERTIFICATE, MAIL)], [Restriction(ANY, CERTIFICATE, MAIL | {"b.example"})],
         {Group(certificates=frozenset({"b.example"}))}),
        ([Restriction(BANK, ADDRESS, NET)], [Restriction(BANK, CERTIFICATE, MAIL)], {Group(domains=BANK)}),
        # Privileges are about the senders of their connector.
        ([Relay(NET)], [Relay(NET), Privilege("ef_users", BANK)], {Group(networks=NET)}),
        ([], [Privilege("ef_users", BANK)], {EVERYONE}),
        ([AddressFilter()], [AddressFilter(ONE)], {Group(networks=ONE)}),
        ([AddressFilter(refused=NET | OTHER)], [AddressFilter(refused=NET)], {Group(networks=OTHER)}),
        # Switches, rights, domains.
        ([switch("disabled")], [switch("inherit")], {Group(frozenset({"erp@contoso.com"}))}),
        ([switch("disabled", ORGANIZATION)], [switch("enabled", ORGANIZATION)], {EVERYONE}),
        ([Rejection(True)], [Rejection(False)], {EVERYONE}),
        ([], [SendRight("a@x.com", "b@x.com")], {Group(frozenset({"a@x.com", "b@x.com"}))}),
        ([], [Acceptance("bank.example")], {Group(domains=BANK)}),
        # RejectDirectSend is about accepted domains: a subdomain that is none may send as before.
        ([Acceptance("bank.example", subdomains=True)], [Acceptance("bank.example")], {Group(domains=BELOW)}),
        ([Route(BANK)], [Route(BANK, HOST)], {Group(recipients=BANK)}),
        ([Route(BANK, demands=frozenset({TLS}))], [], {Group(recipients=BANK)}),
    ],
)  # fmt: skip
def test_a_change_opens_a_path_for_these_senders(
    before: list[Contribution], after: list[Contribution], groups: set[Group]
) -> None:
    assert opened(before, after) == groups
    if not any(isinstance(c, SignIn | Rejection) for c in (*before, *after)):
        assert closed(after, before) == groups, "the way back closes it for the same"


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        ([Relay(NET | OTHER)], [Relay(NET)], {Group(networks=OTHER)}),
        ([], [Restriction(BANK, ADDRESS, NET), Exemption(NET)], {Group(domains=BANK)}),
        ([switch("enabled")], [switch("inherit")], {Group(frozenset({"erp@contoso.com"}))}),
        ([switch("enabled", ORGANIZATION)], [switch("disabled", ORGANIZATION)], {EVERYONE}),
        ([Rejection(False)], [Rejection(True)], {EVERYONE}),
        ([Signature("bank.example")], [], {Group(domains=BANK)}),
        ([], [Signature("bank.example")], set()),
        ([Relay(NET)], [Relay(NET, clear_text=True)], set()),
    ],
)
def test_a_change_takes_a_path_from_these_senders(
    before: list[Contribution], after: list[Contribution], groups: set[Group]
) -> None:
    assert closed(before, after) == groups


@pytest.mark.parametrize(
    ("before", "after", "whose"),
    [
        (PolicyOf(ERP, "x", True), PolicyOf(ERP, "y", True), {Group(frozenset({ERP}))}),
        (PolicyOf(ERP, "x", True), PolicyOf(ERP, ""), {Group(frozenset({ERP}))}),
        (PolicyOf(ORGANIZATION, "x", True), PolicyOf(ORGANIZATION, "y", True), {EVERYONE}),
        (PolicyOf(ERP, "x", True), PolicyOf(ERP, "y", False), set()),
        (PolicyOf(ERP, "x", True), PolicyOf(ERP, "X", True), set()),
    ],
)
def test_who_leaves_a_policy_has_a_path_by_the_next_one(before: PolicyOf, after: PolicyOf, whose: set[Group]) -> None:
    """The first policy may cease to admit the password: that has to wait for the next one."""
    assert opened([before], [after]) == whose
    assert compared([before], [after]) <= {Effect.CLOSES}, "for a reviewer nothing opens"


@pytest.mark.parametrize("passing_on", ["internal_relay", "external_relay"])
def test_mail_to_an_account_waits_for_it_where_its_domain_passes_on_no_more(passing_on: str) -> None:
    relay, own = (Acceptance("contoso.com", kind) for kind in (passing_on, "authoritative"))
    taken = affected(closed([relay], [own]), ())
    assert taken.concerned(opened([], [HighVolume("news@contoso.com", True)]))
    assert not taken.concerned(opened([], [HighVolume("news@fabrikam.com", True)]))


@pytest.mark.parametrize(("billing", "sends"), [(True, True), (None, True), (False, False)])
def test_an_account_sends_unless_its_billing_is_known_to_be_invalid(billing: bool | None, sends: bool) -> None:
    news = "news@contoso.com"
    assert (Group(frozenset({news})) in opened([], [HighVolume(news, billing)])) is sends


def test_a_policy_is_about_those_that_have_it() -> None:
    def change(holders: frozenset[str] | None) -> object:
        return closed([PasswordPolicy("x", True)], [PasswordPolicy("x", False, holders=holders)])

    assert change(frozenset({ERP})) == {Group(frozenset({ERP}))}
    assert change(frozenset({ERP, ORGANIZATION})) == change(None) == {EVERYONE}
    assert closed([], [PolicyOf(ERP, "x", False)]) == {Group(frozenset({ERP}))}
    assert closed([], [PolicyOf(ORGANIZATION, "x", False)]) == {EVERYONE}
