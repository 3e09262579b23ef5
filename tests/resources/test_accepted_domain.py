"""Accepted domains as a plan sets them: what is sent, what is guarded, and what counts in the picture."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.model import Address, Links
from provisioner.model.picture import Acceptance, Picture
from provisioner.resources.accepted_domain import AcceptedDomain, AcceptedDomainType
from provisioner.resources.domain import Domain, DomainType
from tests.resources.recorded import answer, declared, mistakes, sent, snapshots

KIND = AcceptedDomainType()
LIVE = AcceptedDomain("contoso.com", "authoritative", False, False, False, False)


def changed(**values: Any) -> AcceptedDomain:
    return dataclasses.replace(LIVE, **values)


def test_only_what_differs_is_set_and_the_way_back_is_the_same_call() -> None:
    there = changed(match_sub_domains=True, type="internal_relay")
    (step,) = KIND.steps(LIVE, there)
    wire = {"Identity": "contoso.com", "MatchSubDomains": True, "DomainType": "InternalRelay"}
    assert sent(step) == ("Set-AcceptedDomain", wire)
    (back,) = KIND.steps(there, LIVE)
    assert sent(back)[1] == {"Identity": "contoso.com", "MatchSubDomains": False, "DomainType": "Authoritative"}
    assert KIND.steps(LIVE, LIVE) == KIND.steps(None, LIVE) == KIND.steps(LIVE, None) == ()


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        ({"contoso": {}}, "DOMAIN-INVALID"),
        ({"contoso.com": {"type": "external_relay"}}, "literal_error"),
        ({"contoso.com": {"sending_disabled": True}}, "extra_forbidden"),
    ],
    ids=str,
)
def test_what_the_service_would_not_take_is_refused(section: dict[str, Any], mistake: str) -> None:
    assert [found for found, _ in mistakes(KIND, section)] == [mistake]


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ({"type": "internal_relay"}, ["ACCEPTED-DOMAIN-RELAY"]),
        ({"sending_from_disabled": True}, ["ACCEPTED-DOMAIN-BLOCKED"]),
        ({"sending_to_disabled": True, "sending_from_disabled": True}, ["ACCEPTED-DOMAIN-BLOCKED"] * 2),
        ({"match_sub_domains": True, "outbound_only": True}, []),
    ],
    ids=str,
)
def test_what_is_dangerous_is_guarded_where_it_begins(values: dict[str, Any], rules: list[str]) -> None:
    there = changed(**values)
    assert [guard.rule for guard in KIND.guards(LIVE, there)] == rules
    assert not [*KIND.guards(there, there), *KIND.guards(there, LIVE)]


def test_what_the_plan_sets_counts_before_what_was_read_of_the_domain() -> None:
    read = Address("domain", "contoso.com"), (Acceptance("contoso.com", "authoritative", sending=False),)
    other = Address("domain", "fabrikam.com"), (Acceptance("fabrikam.com"),)
    ours = Address("accepted_domain", "contoso.com"), KIND.contribution(LIVE)
    assert {a.domain: a.sending for _, a in Picture(dict([read, other, ours])).every(Acceptance)} == {
        "contoso.com": True,
        "fabrikam.com": None,
    }
    assert len(Picture(dict([read, other])).every(Acceptance)) == 2


def test_a_type_that_the_plan_sets_is_no_precondition() -> None:
    spec = Domain("contoso.com", True, True, "internal_relay")
    wanted = {Address("accepted_domain", "contoso.com"): changed(type="internal_relay")}
    assert DomainType().linked(spec, Links(wanted)) == dataclasses.replace(spec, type=None)
    assert DomainType().linked(spec, Links({})) is spec
    assert DomainType().linked(spec, Links(dict.fromkeys(wanted, LIVE))) is spec


@pytest.mark.parametrize("rows", snapshots("accepted_domains"))
def test_recorded_rows_are_read_and_exported_as_far_as_they_are_special(rows: list[dict[str, Any]]) -> None:
    found = answer(KIND, {}, rows, everything=True)
    assert len(found) == len(rows)
    for key, there in found.items():
        form = KIND.written_form(there)
        again = declared(KIND, {key: form[1]})[key] if form else AcceptedDomain(key)
        goal = dataclasses.replace(there, **{n: v for n, v in dataclasses.asdict(again).items() if v is not None})
        assert goal == there


@pytest.mark.parametrize("written", ["bücher.example", "xn--bcher-kva.example"])
@pytest.mark.parametrize("stored", ["Bücher.example", "XN--bcher-kva.example"])
def test_a_domain_is_the_same_in_unicode_and_in_a_labels(stored: str, written: str) -> None:
    """It is set by the name that the service has for it."""
    wanted = declared(KIND, {written: {"match_sub_domains": True}})
    row = {"DomainName": stored, "DomainType": "Authoritative", "MatchSubDomains": False}
    seen = answer(KIND, wanted, [row])
    live, goal = seen["xn--bcher-kva.example"], wanted["xn--bcher-kva.example"]
    assert isinstance(live, AcceptedDomain)
    (step,) = KIND.steps(live, dataclasses.replace(live, match_sub_domains=goal.match_sub_domains))
    identity = stored if "ü" in stored else "xn--bcher-kva.example"
    assert sent(step) == ("Set-AcceptedDomain", {"Identity": identity, "MatchSubDomains": True})
