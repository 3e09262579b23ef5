"""How Exchange decides about an attempt: each path and refusal alone, what wins, and what is not known."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.mailflow.attempt import Attempt, Decision
from provisioner.mailflow.deciding import Naming, decide, naming
from provisioner.model import Absent, Address, Observed, Present
from provisioner.model.picture import (
    ADDRESS,
    ANY,
    CERTIFICATE,
    TLS,
    Acceptance,
    Contribution,
    Doubt,
    Exemption,
    Picture,
    Rejection,
    Relay,
    Restriction,
)
from provisioner.resources.inbound_connector import InboundConnector

NET, ELSEWHERE = "52.202.8.0/28", "8.8.8.8/32"
OWN = frozenset({"contoso.com"})
OUT = Attempt("scan@contoso.com", external=True, network="52.202.8.5/32")
IN = dataclasses.replace(OUT, external=False)
CERT = dataclasses.replace(OUT, network="", certificate="scan.contoso.com")


def tenant(
    rejects: bool | None = False, /, unread: dict[type[Contribution], str] | None = None, **objects: Any
) -> Picture:
    """A tenant that accepts contoso.com; each object is one contribution, or a tuple of them."""
    found: dict[Address, tuple[Contribution, ...]] = {
        Address("connector", name): c if isinstance(c, tuple) else (c,) for name, c in objects.items()
    }
    found[Address("domain", "contoso.com")] = (Acceptance("contoso.com", subdomains=False),)
    if rejects is not None:
        found[Address("organization", "settings")] = (Rejection(rejects),)
    return Picture(found, unread or {}, {Acceptance: frozenset({"fabrikam.com", "a.contoso.com"})})


RELAY = Relay(frozenset({NET}), clear_text=True)
BY_NAME = Relay(certificate="*.contoso.com")
FILTER = (Restriction(ANY, ADDRESS, frozenset({"9.9.9.0/24"})), Exemption(frozenset({"9.9.9.0/24"})))
NARROW = (Restriction(OWN, CERTIFICATE, frozenset({"mx.filter.example"})), Exemption(certificate="mx.filter.example"))
PARTNER = (Restriction(OWN, ADDRESS, frozenset({NET})), Exemption(frozenset({NET}), domains=OWN))
BY_ITS_NAME = (Restriction(OWN, TLS, frozenset({TLS})), Exemption(certificate="gw.bank.example", domains=OWN))
TLS_ONLY = (Restriction(OWN, TLS, frozenset({TLS})), Exemption(domains=OWN))


def at(attempt: Attempt, **values: Any) -> Attempt:
    return dataclasses.replace(attempt, **values)


@pytest.mark.parametrize(
    ("picture", "attempt", "allowed", "path", "reason"),
    [
        # Relay: the source is named, and the mail is the tenant's.
        (tenant(hq=RELAY), OUT, True, "smtp_relay", ""),
        (tenant(hq=RELAY), IN, True, "smtp_relay", ""),
        (tenant(hq=RELAY), at(OUT, network="52.202.8.0/28"), True, "smtp_relay", ""),
        (tenant(hq=RELAY), at(OUT, network="52.202.8.0/24"), False, "smtp_relay", "no_connector"),
        (tenant(hq=RELAY), at(OUT, network=ELSEWHERE), False, "smtp_relay", "no_connector"),
        (tenant(hq=RELAY), at(OUT, network=""), False, "smtp_relay", "no_connector"),
        (tenant(), OUT, False, "smtp_relay", "no_connector"),
        (tenant(hq=Exemption(frozenset({NET}))), OUT, False, "smtp_relay", "no_connector"),
        (tenant(hq=RELAY), at(OUT, sender="x@fabrikam.com"), False, "smtp_relay", "sender_not_accepted"),
        (tenant(hq=RELAY), at(OUT, sender="x@a.contoso.com"), False, "smtp_relay", "sender_not_accepted"),
        (tenant(hq=RELAY), at(OUT, sender="x@unread.example"), None, "smtp_relay", ""),
        (tenant(hq=RELAY), at(OUT, sender=""), False, "smtp_relay", "sender_not_accepted"),
        (tenant(hq=RELAY), at(IN, sender="x@fabrikam.com"), True, "smtp_relay", ""),
        # By certificate: only over TLS; its domain vouches for any sender.
        (tenant(hq=BY_NAME), CERT, True, "smtp_relay", ""),
        (tenant(hq=BY_NAME), at(CERT, sender=""), True, "smtp_relay", ""),
        (tenant(hq=BY_NAME), at(CERT, sender="x@fabrikam.com"), True, "smtp_relay", ""),
        (tenant(hq=BY_NAME), at(CERT, tls=False), False, "smtp_relay", "no_connector"),
        (tenant(hq=BY_NAME), at(CERT, certificate="contoso.com"), False, "smtp_relay", "no_connector"),
        (tenant(hq=Relay(certificate="a.example")), at(CERT, certificate="a.example"), True, "smtp_relay", ""),
        (
            tenant(hq=Relay(certificate="a.example")),
            at(CERT, certificate="a.example", sender="x@fabrikam.com"),
            None,
            "smtp_relay",
            "",
        ),
        # No source says which of two connectors counts, nor what a certificate does for one that does not name it.
        (tenant(hq=BY_NAME, b=RELAY), at(OUT, certificate="scan.contoso.com", sender=""), None, "smtp_relay", ""),
        (tenant(hq=RELAY), at(OUT, certificate="scan.contoso.com", sender=""), None, "smtp_relay", ""),
        (tenant(hq=RELAY), at(OUT, certificate="scan.contoso.com"), True, "smtp_relay", ""),
        (
            tenant(hq=Relay(frozenset({NET}), "mx.contoso.com", clear_text=True)),
            at(OUT, certificate="scan.contoso.com", sender=""),
            None,
            "smtp_relay",
            "",
        ),
        # What is not documented is not certain, unless another connector takes the mail without it.
        (tenant(hq=Relay(frozenset({NET}))), at(OUT, tls=False), None, "smtp_relay", ""),
        (tenant(hq=RELAY), at(OUT, tls=False), True, "smtp_relay", ""),
        (tenant(hq=Relay(frozenset({NET})), b=RELAY), at(OUT, tls=False), True, "smtp_relay", ""),
        (tenant(hq=(RELAY, Doubt("ConnectorType was not returned"))), OUT, None, "smtp_relay", ""),
        (tenant(hq=dataclasses.replace(RELAY, associated=frozenset({"b.example"}))), OUT, False, "smtp_relay",
         "no_connector"),
        (tenant(hq=Relay(frozenset({NET}), associated=OWN)), OUT, True, "smtp_relay", ""),
        (tenant(unread={Relay: "throttled"}), OUT, None, "smtp_relay", ""),
        (tenant(unread={Relay: "throttled"}, hq=RELAY), OUT, True, "smtp_relay", ""),
        # Direct send.
        (tenant(), IN, True, "direct_send", ""),
        (tenant(True), IN, False, "direct_send", "direct_send_rejected"),
        (tenant(True), at(IN, sender="x@fabrikam.com"), True, "direct_send", ""),
        (tenant(True), at(IN, sender=""), True, "direct_send", ""),
        (tenant(True), at(IN, sender="x@unread.example"), None, "direct_send", "direct_send_rejected"),
        (tenant(None), IN, None, "direct_send", ""),
        # Addresses of a partner count with their restriction, its certificate with require_tls.
        (tenant(True, hq=Exemption(frozenset({NET}))), IN, None, "direct_send", "direct_send_rejected"),
        (tenant(True, hq=PARTNER), IN, True, "direct_send", ""),
        (tenant(True, hq=BY_ITS_NAME), at(IN, certificate="gw.bank.example"), True, "direct_send", ""),
        (tenant(True, hq=BY_ITS_NAME[1]), at(IN, certificate="gw.bank.example"), None, "direct_send",
         "direct_send_rejected"),
        (tenant(hq=(TLS_ONLY[0], Exemption(frozenset({NET}), domains=OWN))), at(IN, tls=False), None, "direct_send",
         "tls_required"),
        (tenant(hq=Relay(certificate="*.contoso.com", clear_text=True)), CERT, None, "smtp_relay", ""),
        (tenant(True, hq=Exemption(frozenset({NET}), domains=frozenset({"b.example"}))), IN, False, "direct_send",
         "direct_send_rejected"),
        (tenant(True, hq=RELAY), IN, True, "smtp_relay", ""),
        (tenant(True, unread={Exemption: "throttled"}), IN, None, "direct_send", ""),
        (tenant(unread={Restriction: "throttled"}), IN, None, "direct_send", ""),
        # A partner that restricts its domains.
        (tenant(filter=FILTER), IN, False, "direct_send", "partner_restricts"),
        (tenant(filter=FILTER), at(IN, network="9.9.9.9/32"), True, "direct_send", ""),
        (tenant(True, filter=FILTER), at(IN, network="9.9.9.9/32"), True, "direct_send", ""),
        (tenant(filter=NARROW), IN, False, "direct_send", "partner_restricts"),
        (tenant(filter=NARROW), at(IN, certificate="mx.filter.example"), True, "direct_send", ""),
        (tenant(filter=NARROW), at(IN, certificate="mx.other.example"), False, "direct_send", "partner_restricts"),
        (tenant(filter=NARROW), at(IN, sender="x@fabrikam.com"), True, "direct_send", ""),
        (tenant(filter=FILTER, hq=RELAY), IN, True, "smtp_relay", ""),
        (tenant(filter=FILTER, bank=Exemption(frozenset({NET}))), IN, None, "direct_send", "ambiguous"),
        (tenant(bank=TLS_ONLY), IN, True, "direct_send", ""),
        (tenant(bank=TLS_ONLY), at(IN, tls=False), False, "direct_send", "tls_required"),
        (tenant(bank=TLS_ONLY), at(IN, tls=False, sender="x@fabrikam.com"), True, "direct_send", ""),
        # One that names nobody knows its partner by the domain, and exempts nobody.
        (tenant(filter=FILTER, bank=Exemption(domains=OWN)), IN, None, "direct_send", "ambiguous"),
        (tenant(True, bank=Exemption(domains=OWN)), IN, False, "direct_send", "direct_send_rejected"),
        # It says nothing of mail that is to be relayed.
        (tenant(filter=FILTER), OUT, False, "smtp_relay", "no_connector"),
    ],
)  # fmt: skip
def test_mail_at_the_mx_endpoint(
    picture: Picture, attempt: Attempt, allowed: bool | None, path: str, reason: str
) -> None:
    found = decide(picture, attempt)
    assert (found.allowed, found.path, found.reason) == (allowed, path, reason)
    assert bool(found.missing) is (allowed is None)
    assert bool(found.sentence) is bool(reason)


def test_what_decides_is_named() -> None:
    connector = [Address("connector", name) for name in ("filter", "hq")]
    assert decide(tenant(hq=RELAY), OUT).by == (connector[1],)
    assert decide(tenant(filter=FILTER), IN).by == (connector[0],)
    assert decide(tenant(filter=FILTER, hq=Exemption(frozenset({NET}))), IN).by == tuple(connector)
    assert decide(tenant(True), IN).by == (Address("organization", "settings"),)
    assert decide(tenant(True, hq=PARTNER), IN).by == (connector[1],)


@pytest.mark.parametrize("sending", [True, False, None])
def test_nothing_is_relayed_from_a_domain_whose_sending_is_disabled(sending: bool | None) -> None:
    domain = Address("domain", "contoso.com")
    objects: dict[Address, tuple[Contribution, ...]] = {domain: (Acceptance("contoso.com", sending=sending),)}
    found = decide(Picture({**objects, Address("connector", "hq"): (RELAY,)}), OUT)
    assert (found.allowed, found.reason) == ((False, "sending_disabled") if sending is False else (True, ""))
    assert (domain in found.by) is (sending is False)


@pytest.mark.parametrize(("subdomains", "allowed"), [(True, True), (False, False), (None, None)])
def test_a_subdomain_is_accepted_where_the_domain_says_so(subdomains: bool | None, allowed: bool | None) -> None:
    found = Picture(
        {
            Address("domain", "contoso.com"): (Acceptance("contoso.com", subdomains=subdomains),),
            Address("connector", "hq"): (RELAY,),
        },
        lacking={Acceptance: frozenset({"ci.contoso.com"})},
    )
    assert decide(found, at(OUT, sender="build@ci.contoso.com")).allowed is allowed


# --- whole decisions -------------------------------------------------------------------------------------------------

A, B = Address("connector", "a"), Address("connector", "b")
SETTINGS = Address("organization", "settings")
NO_SOURCE = "no connector of type on_premises that is in force names its address or certificate"
UNREAD = ("all inbound connectors (throttled)",)
EXEMPT = Exemption(frozenset({NET}), domains=OWN)
NAMED = Exemption(certificate="gw.bank.example", domains=OWN)


CONNECTOR = "declare a connector of type on_premises for its address or its certificate"
HINTS = {
    "no_connector": CONNECTOR,
    "direct_send_rejected": f"{CONNECTOR}, or write organization: {{ reject_direct_send: false }}",
    "sender_not_accepted": (
        "add the domain in the Microsoft 365 admin center and verify it, or send from one that is accepted"
    ),
}
"""What is advised about a refusal, by its reason."""


@pytest.mark.parametrize(
    ("picture", "attempt", "decision"),
    [
        (tenant(a=RELAY), OUT, Decision(True, "smtp_relay", (A,))),
        (tenant(), OUT, Decision(False, "smtp_relay", (), "no_connector", "550 5.7.64", NO_SOURCE)),
        (
            tenant(unread={Relay: "throttled"}),
            OUT,
            Decision(
                None, "smtp_relay", missing=UNREAD, possible=("no_connector", "sender_not_accepted", "tls_required")
            ),
        ),
        (
            tenant(b=RELAY, a=RELAY),
            at(OUT, sender="x@fabrikam.com"),
            Decision(
                False,
                "smtp_relay",
                (A, B),
                "sender_not_accepted",
                "550 5.7.64",
                "fabrikam.com is not an accepted domain, and no certificate is of one",
            ),
        ),
        (
            tenant(a=RELAY),
            at(OUT, sender=""),
            Decision(
                False,
                "smtp_relay",
                (A,),
                "sender_not_accepted",
                "550 5.7.64",
                "the null sender is not an accepted domain, and no certificate is of one",
            ),
        ),
        (
            tenant(a=RELAY),
            at(OUT, sender="x@unread.example"),
            Decision(
                None,
                "smtp_relay",
                (A,),
                missing=("whether unread.example makes it mail of the tenant",),
                possible=("no_connector", "sender_not_accepted", "tls_required"),
            ),
        ),
        # A connector that is certain decides before one that is not.
        (tenant(a=Relay(frozenset({NET})), b=RELAY), at(OUT, tls=False), Decision(True, "smtp_relay", (B,))),
        (
            tenant(b=(RELAY, Doubt("ConnectorType was not returned")), a=Relay(frozenset({NET}))),
            at(OUT, tls=False),
            Decision(
                None,
                "smtp_relay",
                (A, B),
                missing=(
                    'connector["a"]: the effect of require_tls on a connector of type on_premises is not documented',
                    'connector["b"]: ConnectorType was not returned',
                ),
                possible=("no_connector", "sender_not_accepted", "tls_required"),
            ),
        ),
        (
            tenant(a=Relay(certificate="*.contoso.com", clear_text=True)),
            CERT,
            Decision(
                None,
                "smtp_relay",
                (A,),
                missing=('connector["a"]: tls_sender_certificate_name counts with require_tls: true',),
                possible=("no_connector", "sender_not_accepted", "tls_required"),
            ),
        ),
        (tenant(), IN, Decision(True, "direct_send")),
        (
            tenant(None),
            IN,
            Decision(None, "direct_send", missing=("RejectDirectSend",), possible=("direct_send_rejected",)),
        ),
        (
            tenant(unread={Restriction: "throttled"}),
            IN,
            Decision(
                None,
                "direct_send",
                missing=UNREAD,
                possible=("partner_restricts", "tls_required", "direct_send_rejected"),
            ),
        ),
        (
            tenant(True, unread={Exemption: "throttled"}),
            IN,
            Decision(
                None,
                "direct_send",
                missing=UNREAD,
                possible=("partner_restricts", "tls_required", "direct_send_rejected"),
            ),
        ),
        (
            tenant(True),
            IN,
            Decision(
                False,
                "direct_send",
                (SETTINGS,),
                "direct_send_rejected",
                "550 5.7.68",
                "the organization rejects direct send",
            ),
        ),
        (
            tenant(True, a=EXEMPT),
            at(IN, sender="x@contoso.com"),
            Decision(
                None,
                "direct_send",
                (SETTINGS,),
                "direct_send_rejected",
                "550 5.7.68",
                "the organization rejects direct send",
                ('whether connector["a"] names the source',),
            ),
        ),
        # A doubtful connector that does not name the source is not a reason for doubt.
        (
            tenant(True, a=EXEMPT),
            at(IN, network=ELSEWHERE),
            Decision(
                False,
                "direct_send",
                (SETTINGS,),
                "direct_send_rejected",
                "550 5.7.68",
                "the organization rejects direct send",
            ),
        ),
        (tenant(True, b=PARTNER, a=PARTNER), IN, Decision(True, "direct_send", (A, B))),
        (
            tenant(b=FILTER, a=FILTER),
            IN,
            Decision(
                False,
                "direct_send",
                (A, B),
                "partner_restricts",
                "550 5.7.51",
                'mail from contoso.com does not meet the restriction of connector["a"] and connector["b"]',
                hint="declare a connector of type on_premises for its address, or add the address to "
                'connector["a"] and connector["b"]',
            ),
        ),
        (
            tenant(b=FILTER, a=PARTNER),
            IN,
            Decision(
                None,
                "direct_send",
                (A, B),
                "ambiguous",
                "",
                "no source says which of these connectors decides",
                ('which of connector["a"] and connector["b"] decides',),
                possible=("partner_restricts",),
            ),
        ),
        # TLS is demanded of those whose mail it is: by domain alone, or by a source that counts.
        (
            tenant(a=TLS_ONLY),
            at(IN, tls=False),
            Decision(False, "direct_send", (A,), "tls_required", "", 'connector["a"] requires TLS'),
        ),
        (
            tenant(b=TLS_ONLY, a=(TLS_ONLY[0], EXEMPT)),
            at(IN, tls=False),
            Decision(False, "direct_send", (B,), "tls_required", "", 'connector["b"] requires TLS'),
        ),
        (
            tenant(a=(TLS_ONLY[0], EXEMPT)),
            at(IN, tls=False),
            Decision(
                None,
                "direct_send",
                (A,),
                "tls_required",
                "",
                'connector["a"] requires TLS',
                ('whether connector["a"] names the source',),
            ),
        ),
        (tenant(a=TLS_ONLY), IN, Decision(True, "direct_send")),
        (tenant(a=TLS_ONLY), at(IN, tls=False, sender="x@fabrikam.com"), Decision(True, "direct_send")),
        (tenant(a=BY_ITS_NAME), at(IN, tls=False), Decision(True, "direct_send")),
        (tenant(a=(*TLS_ONLY[:1], NAMED)), at(IN, certificate="gw.bank.example"), Decision(True, "direct_send", (A,))),
    ],
)
def test_a_decision_names_what_decides_and_what_is_missing(
    picture: Picture, attempt: Attempt, decision: Decision
) -> None:
    assert decide(picture, attempt) == dataclasses.replace(
        decision, hint=decision.hint or HINTS.get(decision.reason, "")
    )


@pytest.mark.parametrize(("recipients", "certain"), [(200, set()), (201, {"too_many_recipients"})])
def test_a_message_from_outside_has_two_hundred_recipients_of_a_domain(recipients: int, certain: set[str]) -> None:
    found = decide(tenant(), at(IN, recipients=recipients))
    assert found.certain == certain
    if certain:
        assert (found.code, found.sentence, found.hint) == (
            "452 4.5.3",
            "a message from outside may have 200 recipients of a domain at most",
            "send several messages",
        )
    assert decide(tenant(hq=RELAY), at(OUT, recipients=201)).allowed is True


def test_whether_a_domain_closed_for_sending_is_closed_within_the_tenant_no_source_says() -> None:
    domain = Address("domain", "contoso.com")
    closed = Picture({domain: (Acceptance("contoso.com", sending=False),), SETTINGS: (Rejection(False),)})
    assert decide(closed, IN) == Decision(
        None,
        "direct_send",
        (domain,),
        "sending_disabled",
        "",
        "sending from contoso.com is disabled (SendingFromDomainDisabled)",
        ("whether SendingFromDomainDisabled of contoso.com holds for mail within the tenant",),
        "Set-AcceptedDomain -Identity contoso.com -SendingFromDomainDisabled $false, or send from another",
    )


def test_every_certain_refusal_is_named_and_every_doubt_besides() -> None:
    both = decide(tenant(True, filter=FILTER), IN)
    assert (both.reason, both.others, both.possible) == ("partner_restricts", ("direct_send_rejected",), ())
    torn = decide(tenant(True, filter=FILTER, bank=Exemption(domains=OWN)), IN)
    assert torn.reason == "direct_send_rejected"
    assert torn.certain == {"direct_send_rejected"}
    assert torn.doubtful == {"ambiguous", "partner_restricts"}


@pytest.mark.parametrize("rejects", [True, False])
def test_with_a_connector_unread_a_partner_s_refusal_is_not_certain(rejects: bool) -> None:
    """The unread connector may take the mail."""
    unread: dict[type[Contribution], str] = dict.fromkeys((Relay, Exemption, Restriction), "throttled")
    assert decide(tenant(rejects, unread=unread, filter=FILTER), IN).allowed is None
    assert decide(tenant(rejects, unread=unread, bank=TLS_ONLY), at(IN, tls=False)).allowed is None
    stranger = at(IN, sender="x@fabrikam.com")
    assert decide(tenant(rejects, unread=unread), stranger).missing == UNREAD
    assert decide(tenant(rejects, unread=unread), OUT).possible == (
        "no_connector", "sender_not_accepted", "tls_required",
    )  # fmt: skip


def test_a_connector_with_address_and_certificate_is_certain_where_both_match() -> None:
    """No source says whether one of the two is enough."""
    both = tenant(hq=Relay(frozenset({NET}), "*.contoso.com"))
    assert decide(both, at(OUT, certificate="scan.contoso.com")).allowed is True
    for attempt in (OUT, CERT):
        found = decide(both, attempt)
        assert found.allowed is None
        assert found.missing == (
            'connector["hq"]: no source says whether its address or its certificate alone is enough',
        )
        assert found.possible == ("no_connector", "sender_not_accepted", "tls_required")
    assert decide(both, at(OUT, certificate="x.example")).allowed is None


# --- which connectors are meant --------------------------------------------------------------------------------------


def connector(name: str, **fields: Any) -> InboundConnector:
    given = {"type": "on_premises", "enabled": True, "sender_ip_addresses": frozenset({NET}), **fields}
    return InboundConnector(name, **given)


def test_connectors_that_name_a_source_are_told_by_what_they_do() -> None:
    specs = [
        connector("b"),
        connector("a"),
        connector("off", enabled=False),
        connector("bank", type="partner"),
        connector("elsewhere", sender_ip_addresses=frozenset({ELSEWHERE})),
        connector("off-elsewhere", enabled=False, sender_ip_addresses=frozenset({ELSEWHERE})),
        connector("odd", type=None),
    ]
    place = {spec.name: Address("inbound_connector", spec.name) for spec in specs}
    declared, others = specs[:1], specs[1:]
    seen = Observed(
        {place["b"]: Present(declared[0]), Address("inbound_connector", "gone"): Absent()},
        {place[spec.name]: spec for spec in others},
    )
    assert naming(seen, OUT) == Naming((place["a"], place["b"]), (place["bank"],), (place["off"],), (place["odd"],))
    assert naming(Observed({}), OUT) == Naming()


def test_a_disabled_connector_is_known_by_its_certificate_too() -> None:
    off = connector("off", enabled=False, sender_ip_addresses=None, tls_sender_certificate_name="*.contoso.com")
    address = Address("inbound_connector", "off")
    seen = Observed({}, {address: off})
    assert naming(seen, CERT).idle == (address,)
    assert naming(seen, at(CERT, tls=False)).idle == ()


def test_objects_that_decide_are_in_order() -> None:
    maybe = (TLS_ONLY[0], EXEMPT)
    found = decide(tenant(b=maybe, a=maybe), at(IN, tls=False))
    assert found.by == (A, B)
    assert found.missing == tuple(f"whether {a} names the source" for a in (A, B))
    assert found.sentence == 'connector["a"] and connector["b"] requires TLS'
    certain = decide(tenant(b=TLS_ONLY, a=TLS_ONLY), at(IN, tls=False))
    assert (certain.allowed, certain.by) == (False, (A, B))
    assert decide(tenant(b=FILTER, a=FILTER), IN).by == (A, B)


def test_relayed_mail_of_a_domain_that_could_not_be_read_may_be_closed_for_sending() -> None:
    unread: dict[type[Contribution], str] = {Acceptance: "throttled"}
    found = decide(tenant(unread=unread, hq=BY_NAME), at(CERT, sender="x@unread.example"))
    assert found == Decision(
        None,
        "smtp_relay",
        (Address("connector", "hq"),),
        missing=("whether sending from unread.example is disabled",),
        possible=("no_connector", "sender_not_accepted", "tls_required", "sending_disabled"),
    )
    assert decide(tenant(unread=unread, hq=BY_NAME), CERT).allowed is True
    assert decide(tenant(unread=unread, hq=BY_NAME), at(CERT, sender="")).allowed is True
