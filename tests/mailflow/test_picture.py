"""The picture of a tenant: from what was read, from evidence, and with the changes made."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.mailflow import picture as pictures
from provisioner.model import (
    Absent,
    Action,
    Address,
    Answer,
    Change,
    Desired,
    Observation,
    Observed,
    Present,
    Request,
    Resource,
    Unknown,
    request_key,
)
from provisioner.model.picture import ORGANIZATION, Acceptance, Exemption, Rejection, Relay, SignIn
from provisioner.resources import TYPES
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector, InboundConnectorType
from provisioner.resources.organization import Organization
from provisioner.resources.rows import cas_mailbox, organization_config, transport_config
from provisioner.resources.smtp_auth import ORGANIZATION as ORGANIZATION_KEY
from provisioner.resources.smtp_auth import SmtpAuth

NET = frozenset({"52.202.8.0/28"})
HQ, BY_HAND = Address("inbound_connector", "hq"), Address("inbound_connector", "by hand")
RELAY = InboundConnector("hq", type="on_premises", enabled=True, sender_ip_addresses=NET, require_tls=False)
ERP, FAX = "erp@contoso.com", "fax@contoso.com"
SWITCH = "SmtpClientAuthenticationDisabled"


def row(address: str, disabled: bool | None) -> dict[str, Any]:
    return {"Identity": address, "PrimarySmtpAddress": address, SWITCH: disabled}


def test_declared_and_undeclared_objects_contribute_and_what_is_disabled_does_not() -> None:
    found = pictures.of_observed(
        Observed(
            {HQ: Present(RELAY), Address("domain", "contoso.com"): Absent()},
            {BY_HAND: InboundConnector("by hand", type="on_premises", enabled=False, sender_ip_addresses=NET)},
        )
    )
    assert found.every(Relay) == [(HQ, Relay(NET, clear_text=True))]
    assert found.lacking == {Acceptance: frozenset({"contoso.com"})}
    assert found.unread == {}


def test_what_could_not_be_read_leaves_its_words_unknown() -> None:
    one = pictures.of_observed(Observed({HQ: Unknown("throttled")}))
    listing = pictures.of_observed(Observed({}, unlisted={"inbound_connector": Unknown("no role")}))
    assert one.unread[Relay] == 'inbound_connector["hq"]: throttled'
    assert listing.unread[Relay] == listing.unread[Exemption] == "no role"
    assert SignIn not in one.unread


EVIDENCE: list[tuple[Request, list[dict[str, Any]]]] = [
    (transport_config.REQUEST, [{SWITCH: True}]),
    (organization_config.REQUEST, [{"RejectDirectSend": True}]),
    (cas_mailbox.look_up(ERP), [row(ERP, False)]),
    (cas_mailbox.LISTING, [row(FAX, None)]),
]


def test_evidence_stands_in_for_what_nobody_declares() -> None:
    answers = {request_key(request): Answer(tuple(rows)) for request, rows in EVIDENCE}
    found = pictures.of_observed(Observed({}, evidence=answers), TYPES, (ERP, FAX, "none@contoso.com"))
    assert {mailbox: found.switch(mailbox) for mailbox in (ORGANIZATION, ERP, FAX, "none@contoso.com")} == {
        ORGANIZATION: "disabled",
        ERP: "enabled",
        FAX: "inherit",
        "none@contoso.com": None,
    }
    assert [rejection for _, rejection in found.every(Rejection)] == [Rejection(True)]


def test_what_was_read_of_a_declared_object_counts_before_evidence() -> None:
    answers = {request_key(request): Answer(tuple(rows)) for request, rows in EVIDENCE}
    declared = Address("smtp_auth", ERP)
    found = pictures.of_observed(
        Observed({declared: Present(SmtpAuth(ERP, "disabled"))}, evidence=answers), TYPES, [ERP]
    )
    unknown = pictures.of_observed(Observed({declared: Unknown("throttled")}, evidence=answers), TYPES, [ERP])
    assert (found.switch(ERP), unknown.switch(ERP)) == ("disabled", None)


def test_an_answer_that_cannot_be_read_is_no_evidence() -> None:
    answers: dict[str, Answer | Unknown] = {request_key(transport_config.REQUEST): Answer(({},))}
    answers[request_key(organization_config.REQUEST)] = Unknown("no role")
    found = pictures.of_observed(Observed({}, evidence=answers))
    assert found.switch(ORGANIZATION) is None
    assert found.every(Rejection) == ()


def test_the_changes_make_another_picture() -> None:
    before = pictures.of_observed(
        Observed({HQ: Present(RELAY), Address("organization", "settings"): Present(Organization("settings", False))})
    )
    narrow = InboundConnector("hq", enabled=False)
    changes = [
        Change(HQ, Action.UPDATE, InboundConnector("hq", enabled=True), narrow, observed=RELAY),
        Change(BY_HAND, Action.CREATE, None, RELAY),
    ]
    after = pictures.after(before, changes)
    assert [a for a, _ in after.every(Relay)] == [BY_HAND]
    assert [a for a, _ in before.every(Relay)] == [HQ]
    gone = pictures.after(after, [Change(BY_HAND, Action.DELETE, RELAY, None, observed=RELAY)])
    assert gone.every(Relay) == ()


def test_a_declared_object_has_the_values_that_its_creation_sends() -> None:
    specs = (InboundConnector("hq", type="on_premises", sender_ip_addresses=NET), InboundConnector("x"))
    found = pictures.of_declared([Resource(Address("inbound_connector", s.name), s) for s in specs])
    assert found.every(Relay) == [(HQ, Relay(NET, clear_text=False))]


def test_a_word_that_a_type_does_not_announce_is_refused() -> None:
    class Silent(InboundConnectorType):
        contributes = (Relay,)

    silent = Silent()
    assert pictures.contributions(silent, RELAY)
    partner = InboundConnector("hq", type="partner", sender_ip_addresses=NET)
    with pytest.raises(TypeError, match="Exemption, which its `contributes` does not hold"):
        pictures.contributions(silent, partner)


def test_domains_are_accepted_or_lacking() -> None:
    observed = {
        Address("domain", "contoso.com"): Present(Domain("contoso.com", True, True, "authoritative")),
        Address("domain", "fabrikam.com"): Present(Domain("fabrikam.com", True, False)),
    }
    found = pictures.of_observed(Observed(observed))
    assert [c for _, c in found.every(Acceptance)] == [Acceptance("contoso.com", "authoritative")]
    assert found.lacking[Acceptance] == {"fabrikam.com"}


def test_an_answer_that_a_type_cannot_decode_does_not_hide_the_others() -> None:
    kind = next(t for t in TYPES if t.name == "smtp_auth")
    answers: dict[str, Answer | Unknown] = {
        request_key(transport_config.REQUEST): Answer(({SWITCH: "perhaps"},)),
        request_key(cas_mailbox.look_up(ERP)): Answer((row(ERP, True),)),
        request_key(cas_mailbox.look_up("none@contoso.com")): Answer(()),
    }
    found = pictures.witnessed(kind, [ORGANIZATION_KEY, ERP, "none@contoso.com", FAX], answers)
    assert {key: spec and spec.smtp_auth for key, spec in found.items()} == {
        ERP: "disabled",
    }, "a name that no mailbox has as an address may be a sign-in name"
    assert pictures.witnessed(kind, [], answers) == {}


def test_only_what_lacks_an_accepted_domain_is_lacking() -> None:
    """An object that could not be read lacks nothing, and one that does not exist contributes to no other word."""
    seen: dict[Address, Observation] = {
        Address("domain", "contoso.com"): Unknown("throttled"),
        Address("domain", "fabrikam.com"): Absent(),
        HQ: Absent(),
    }
    found = pictures.of_observed(Observed(seen))
    assert found.lacking == {Acceptance: frozenset({"fabrikam.com"})}
    assert found.unread[Acceptance] == 'domain["contoso.com"]: throttled'


def test_the_reads_that_tell_of_one_word() -> None:
    assert pictures.questions_about(SignIn, []) == []
    assert pictures.questions_about(SignIn, [ERP]) == [cas_mailbox.look_up(ERP)]
    assert pictures.questions_about(Rejection, ["settings"]) == [organization_config.REQUEST]


def test_whether_a_plan_declares_an_object_of_a_word() -> None:
    declared = Address("smtp_auth", ERP)
    plan = Desired("contoso", "", {declared: Resource(declared, SmtpAuth(ERP, "enabled"))})
    assert pictures.declared_in(plan, SignIn, ERP)
    assert not pictures.declared_in(plan, SignIn, FAX)
    assert not pictures.declared_in(plan, Rejection, ERP)
    assert not pictures.declared_in(plan, SignIn, ERP, types=())
