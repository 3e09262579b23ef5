"""The sending paths of two pictures: which open, which close, and who really gains or loses a way."""

from __future__ import annotations

import pytest

from provisioner.mailflow import paths
from provisioner.mailflow.paths import CLOSES, KEPT, OPENS, compare
from provisioner.model import Address
from provisioner.model.picture import (
    ADDRESS,
    ORGANIZATION,
    Contribution,
    Exemption,
    HighVolume,
    MailboxRight,
    Picture,
    PolicyOf,
    Rejection,
    Relay,
    Restriction,
    SendRight,
    SignIn,
)


def picture(**words: Contribution | tuple[Contribution, ...]) -> Picture:
    """Objects by key, each with what it contributes."""
    made = {Address("thing", key): w if isinstance(w, tuple) else (w,) for key, w in words.items()}
    return Picture(made)


def relay(*networks: str, certificate: str = "") -> Relay:
    return Relay(frozenset(networks), certificate)


ON, OFF = SignIn(ORGANIZATION, "enabled"), SignIn(ORGANIZATION, "disabled")


def test_a_network_that_another_connector_takes_over_loses_nothing() -> None:
    found = compare(picture(a=relay("192.0.2.0/24")), picture(b=relay("192.0.2.0/24")))
    assert sorted((p.through.key, state) for p, state in found.states.items() if p.through) == [
        ("a", CLOSES),
        ("b", OPENS),
    ]
    assert (found.admitted, found.stopped) == (frozenset(), frozenset())


def test_a_wider_network_admits_and_a_member_of_it_is_not_stopped() -> None:
    found = compare(picture(a=relay("192.0.2.7/32")), picture(a=relay("192.0.2.0/24")))
    assert found.admitted == {(paths.NETWORK, "192.0.2.0/24")}
    assert found.stopped == frozenset()
    back = compare(picture(a=relay("192.0.2.0/24")), picture(a=relay("192.0.2.7/32")))
    assert not back.admitted
    assert back.stopped == {(paths.NETWORK, "192.0.2.0/24")}


def test_a_mailbox_keeps_its_way_when_its_own_switch_takes_over() -> None:
    before = picture(org=ON, erp=SignIn("erp@x", "inherit"), fax=SignIn("fax@x", "inherit"))
    after = picture(org=OFF, erp=SignIn("erp@x", "enabled"), fax=SignIn("fax@x", "inherit"))
    found = compare(before, after)
    assert found.admitted == frozenset()
    assert found.stopped == {(paths.MAILBOX, "fax@x"), (paths.INHERITING, "")}


def test_a_policy_takes_the_password_and_leaves_the_token() -> None:
    free, barred = (PolicyOf("erp@x", "block", smtp) for smtp in (True, False))
    found = compare(picture(erp=SignIn("erp@x", "enabled"), p=free), picture(erp=SignIn("erp@x", "enabled"), p=barred))
    assert {(p.way, state) for p, state in found.states.items()} == {("password", CLOSES), ("OAuth", KEPT)}
    assert found.stopped == {(paths.MAILBOX, "erp@x")}


def test_the_organization_s_policy_counts_where_a_mailbox_has_none() -> None:
    barred = PolicyOf(ORGANIZATION, "block", False)
    for own, ways in ((PolicyOf("erp@x", ""), {"OAuth"}), (PolicyOf("erp@x", "free", True), {"OAuth", "password"})):
        found = paths.paths(picture(erp=SignIn("erp@x", "enabled"), p=own, d=barred), {})
        assert {p.way for p in found} == ways


@pytest.mark.parametrize(("rejects", "stopped"), [(False, frozenset()), (True, {(paths.NETWORK, "192.0.2.1/32")})])
def test_a_partner_s_source_needs_its_connector_where_direct_send_is_rejected(
    rejects: bool, stopped: frozenset[tuple[str, str]]
) -> None:
    partner = Exemption(frozenset({"192.0.2.1/32"}), domains=frozenset({"p.com"}))
    found = compare(picture(r=Rejection(rejects), p=partner), picture(r=Rejection(rejects), p=()))
    assert found.stopped == stopped


def test_mail_of_a_restricted_domain_loses_its_way_from_elsewhere() -> None:
    refuses = Restriction(frozenset({"p.com"}), ADDRESS, frozenset({"192.0.2.1/32"}))
    found = compare(picture(p=()), picture(p=refuses))
    assert [(p.kind, p.sender, str(p.through), s) for p, s in found.states.items()] == [
        (paths.DOMAIN, "p.com", 'thing["p"]', CLOSES)
    ]
    assert compare(picture(p=refuses), picture(p=())).admitted == {(paths.DOMAIN, "p.com")}


def test_direct_send_opens_and_closes_with_its_switch() -> None:
    found = compare(picture(o=Rejection(False)), picture(o=Rejection(True)))
    assert found.stopped == {(paths.DIRECT, "")}


@pytest.mark.parametrize(
    ("word", "kind", "sender"),
    [
        (MailboxRight("app", "a@x"), paths.APPLICATION, "app as a@x"),
        (SendRight("a@x", "b@x"), paths.RIGHT, "a@x as b@x"),
        (HighVolume("h@x", True), paths.ACCOUNT, "h@x"),
        (relay(certificate="mail.x"), paths.CERTIFICATE, "mail.x"),
    ],
)
def test_every_other_word_that_lets_somebody_send_is_a_path(word: Contribution, kind: str, sender: str) -> None:
    assert compare(picture(a=()), picture(a=word)).admitted == {(kind, sender)}
    assert compare(picture(a=word), picture(a=())).stopped == {(kind, sender)}


def test_an_account_without_billing_has_no_path() -> None:
    assert paths.paths(picture(a=HighVolume("h@x", False)), {}) == frozenset()
