from __future__ import annotations

from typing import Any

import pytest

from provisioner.model import Answer, Undeclared, Unknown
from provisioner.model.picture import Acceptance
from provisioner.resources.domain import Domain, DomainType
from tests.resources.recorded import answer, asked, declared, mistakes, pairs, rows, snapshots

KIND = DomainType()


def test_a_type_implies_that_the_domain_is_accepted() -> None:
    section: dict[str, Any] = {
        "Contoso.com": {"verified": True, "type": "authoritative"},
        "fabrikam.com": {"accepted": True},
        "bücher.example": {},
    }
    assert declared(KIND, section) == {
        "contoso.com": Domain("contoso.com", True, True, "authoritative"),
        "fabrikam.com": Domain("fabrikam.com", None, True),
        "xn--bcher-kva.example": Domain("xn--bcher-kva.example"),
    }


@pytest.mark.parametrize(
    ("section", "identifier"),
    [
        ({"contoso": {}}, "DOMAIN-INVALID"),
        ({"contoso.com": {"verified": False}}, "literal_error"),
        ({"contoso.com": {"type": "Authoritative"}}, "literal_error"),
        ({"contoso.com": {"default": True}}, "extra_forbidden"),
    ],
)
def test_what_is_not_a_word_of_the_language_is_refused(section: Any, identifier: str) -> None:
    assert [found for found, _ in mistakes(KIND, section)] == [identifier]


def test_each_service_is_only_asked_for_what_is_expected_of_it() -> None:
    both = {"contoso.com": Domain("contoso.com", True, True, "authoritative")}
    assert [asked(q) for q in KIND.queries(both, False)] == ["GET /domains", "Get-AcceptedDomain"]
    exchange = {"contoso.com": Domain("contoso.com", None, True)}
    assert [asked(q) for q in KIND.queries(exchange, False)] == ["Get-AcceptedDomain"]
    bare = {"contoso.com": Domain("contoso.com")}
    assert [asked(q) for q in KIND.queries(bare, False)] == ["GET /domains"]
    directory, accepted = KIND.queries({**bare, "fabrikam.com": Domain("fabrikam.com", None, True)}, False)
    assert [set(directory.covers), set(accepted.covers)] == [{"contoso.com"}, {"fabrikam.com"}]
    assert [asked(q) for q in KIND.queries({}, True)] == ["GET /domains", "Get-AcceptedDomain"]
    assert KIND.queries({}, False) == []


def test_both_services_are_read_into_one_domain() -> None:
    keys = ("contoso.com", "FABRIKAM.com", "pending.example", "missing.example")
    wanted = {key: Domain(key, True, True, "authoritative") for key in keys}
    found = answer(KIND, wanted, rows("domains"), rows("accepted-domains"))
    assert found == {
        "contoso.com": Domain("contoso.com", True, True, "authoritative"),
        "FABRIKAM.com": Domain("FABRIKAM.com", True, True, "internal_relay"),
        "pending.example": Domain("pending.example", False, False, None),
    }


SUBDOMAIN = "ci.contoso.com"


def about(
    *, match: bool | None, sending: bool | None = None, verified: bool = True
) -> tuple[list[dict[str, Any]], ...]:
    accepted = {"DomainName": "contoso.com", "DomainType": "Authoritative"}
    more = {"MatchSubDomains": match, "SendingFromDomainDisabled": sending}
    return [{"id": "contoso.com", "isVerified": verified}], [
        {**accepted, **{column: value for column, value in more.items() if value is not None}}
    ]


def test_a_subdomain_is_accepted_with_the_domain_above_it_where_that_matches_subdomains() -> None:
    wanted = {name: Domain(name, True, True) for name in (SUBDOMAIN, "contoso.com")}
    found = answer(KIND, wanted, *about(match=True))
    assert found[SUBDOMAIN] == Domain(SUBDOMAIN, True, True, "authoritative")
    unverified = answer(KIND, wanted, *about(match=True, verified=False))
    assert unverified[SUBDOMAIN] == Domain(SUBDOMAIN, False, True, "authoritative")
    assert SUBDOMAIN not in answer(KIND, wanted, *about(match=False))
    assert SUBDOMAIN not in answer(KIND, wanted, *about(match=None))


@pytest.mark.parametrize("sending", [True, False, None])
def test_a_domain_whose_sending_is_disabled_is_told(sending: bool | None) -> None:
    wanted = Domain("contoso.com", True, True)
    live = answer(KIND, {"contoso.com": wanted}, *about(match=True, sending=sending))["contoso.com"]
    assert [a.rule for a in KIND.advice(wanted, live)] == (["DOMAIN-SENDING-DISABLED"] if sending else [])
    (acceptance,) = KIND.contribution(live)
    allowed = None if sending is None else not sending
    assert acceptance == Acceptance("contoso.com", "authoritative", subdomains=True, sending=allowed)


def test_a_domain_that_only_exchange_lists_is_not_verified() -> None:
    wanted = {"fabrikam.com": Domain("fabrikam.com", True, True)}
    found = answer(KIND, wanted, [], rows("accepted-domains"))
    assert found["fabrikam.com"] == Domain("fabrikam.com", False, True, "internal_relay")


def test_a_service_that_did_not_answer_says_neither_yes_nor_no() -> None:
    wanted = {"contoso.com": Domain("contoso.com", True, True, "authoritative")}
    directory, accepted = KIND.queries(wanted, False)
    alone = KIND.decode(wanted, [(accepted, Answer(tuple(rows("accepted-domains"))))])
    assert alone["contoso.com"] == Domain("contoso.com", None, True, "authoritative")
    alone = KIND.decode(wanted, [(directory, Answer(tuple(rows("domains"))))])
    assert alone["contoso.com"] == Domain("contoso.com", True, None, None)


def test_a_row_without_its_word_is_unknown() -> None:
    wanted = {"contoso.com": Domain("contoso.com", True, True)}
    unclear = [
        answer(KIND, wanted, [{"id": "contoso.com", "isVerified": None}], rows("accepted-domains")),
        answer(KIND, wanted, rows("domains"), [{"DomainName": "contoso.com"}]),
    ]
    assert all(isinstance(found["contoso.com"], Unknown) for found in unclear)


@pytest.mark.parametrize("found", snapshots("accepted_domains"))
def test_a_recorded_tenant_has_its_accepted_domains(found: list[dict[str, Any]]) -> None:
    kinds = {"Authoritative": "authoritative", "InternalRelay": "internal_relay"}
    specs = {row["DomainName"]: Domain(row["DomainName"], None, True, kinds[row["DomainType"]]) for row in found}
    last = found[-1]["DomainName"]
    decoded = answer(KIND, {last: specs[last]}, found)
    assert len(decoded) == len(found) >= 5
    assert decoded[last] == specs[last]


@pytest.mark.parametrize("recorded", pairs("EXOAcceptedDomain"))
def test_recorded_pairs_agree_where_their_verdict_does(recorded: list[dict[str, Any]]) -> None:
    for pair in recorded:
        spec = declared(KIND, {pair["desired"]["Identity"]: {"type": "authoritative"}})["contoso.com"]
        current = [{"DomainName": pair["current"]["Identity"], **pair["current"]}] if pair["current"] else []
        found = answer(KIND, {"contoso.com": spec}, current).get("contoso.com")
        assert (found == spec) is pair["in_desired_state"]


def test_nothing_is_ever_changed() -> None:
    before, after = Domain("contoso.com", False, False), Domain("contoso.com", True, True, "authoritative")
    assert [KIND.steps(before, after), KIND.steps(None, after), KIND.steps(before, None)] == [(), (), ()]
    assert KIND.undeclared(before, "me", True) is Undeclared.KEEP
    assert KIND.needs(after) == ()
    assert KIND.precondition
