"""Remote domains: by domain, one Set after New, what IsInternal changes besides, what is trusted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.model import Absent
from provisioner.model.picture import ANY, Privilege
from provisioner.resources.remote_domain import RemoteDomain, RemoteDomainType
from tests.resources.recorded import answer, declared, mistakes, sent, snapshots

KIND = RemoteDomainType()
DEFAULT: dict[str, Any] = {
    "Name": "Default",
    "DomainName": "*",
    "IsInternal": False,
    "AllowedOOFType": "External",
    "AutoForwardEnabled": True,
    "TNEFEnabled": None,
    "ContentType": "MimeHtmlText",
    "CharacterSet": "iso-8859-1",
}


def live(**columns: Any) -> Any:
    (found,) = answer(KIND, {}, [{**DEFAULT, **columns}], everything=True).values()
    return found


def test_a_domain_is_one_in_every_spelling_and_the_row_comes_back_under_the_plans() -> None:
    wanted = declared(KIND, {"*": {}, "Partner.Example.": {"tnef": "disabled"}, "*.Com": {}})
    assert list(wanted) == ["default", "partner.example", ".com"]
    found = answer(KIND, wanted, [DEFAULT, {"Name": "P", "DomainName": "PARTNER.example", "TNEFEnabled": False}])
    assert (found["partner.example"].tnef, found["partner.example"].name) == ("disabled", "P")
    assert found["default"].tnef == "inherit"


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        ({"partner": {}}, "REMOTE-DOMAIN-INVALID"),
        ({"mail.*.example": {}}, "REMOTE-DOMAIN-INVALID"),
        ({"*": {"allowed_oof_type": "internal_legacy", "is_internal": False}}, "REMOTE-DOMAIN-OOF"),
        ({"*": {"tnef": True}}, "literal_error"),
        ({"*": {"character_set": "utf-8 "}}, "CHARACTER-SET-INVALID"),
        ({"*": {"domain": "x.example"}}, "extra_forbidden"),
    ],
    ids=str,
)
def test_what_the_service_would_not_take_is_refused(section: dict[str, Any], mistake: str) -> None:
    assert [found for found, _ in mistakes(KIND, section)] == [mistake]


def test_a_new_one_is_named_by_its_domain_and_set_where_it_differs_from_the_service_s_own() -> None:
    wanted = declared(KIND, {"*.partner.example": {"auto_forward_enabled": False, "ndr_enabled": True}})
    new, later = KIND.steps(None, KIND.completed(wanted[".partner.example"]))
    named = {"Name": "partner.example and subdomains", "DomainName": "*.partner.example"}
    assert sent(new) == ("New-RemoteDomain", named)
    assert sent(later)[1] == {"Identity": "partner.example and subdomains", "AutoForwardEnabled": False}
    assert len(KIND.steps(None, KIND.completed(RemoteDomain("x.example")))) == 1


def test_a_name_that_another_domain_has_stops_the_plan() -> None:
    """Names are unique: the service would refuse New-RemoteDomain, after other changes have been made."""
    wanted = declared(KIND, {"partner.example": {}, "other.example": {}})
    found = answer(KIND, wanted, [DEFAULT, {"Name": "Partner.example", "DomainName": "old.example"}])
    assert "other.example" not in found
    assert isinstance(found["partner.example"], Absent)
    assert 'would be "partner.example", which the remote domain of old.example has' in found["partner.example"].reason
    assert "partner.example" not in answer(KIND, {"partner.example": None}, [{"Name": "partner.example"} | DEFAULT])


def test_an_existing_one_is_called_by_its_own_name() -> None:
    there = live(Name="Bank", DomainName="bank.example")
    assert [sent(s) for s in KIND.steps(there, dataclasses.replace(there, tnef="enabled", character_set=""))] == [
        ("Set-RemoteDomain", {"Identity": "Bank", "TNEFEnabled": True, "CharacterSet": None})
    ]
    assert [sent(s) for s in KIND.steps(there, None)] == [
        ("Remove-RemoteDomain", {"Identity": "Bank", "Confirm": False})
    ]
    assert KIND.steps(there, there) == ()


@pytest.mark.parametrize(
    ("before", "after", "writes"),
    [
        ((True, "external"), (False, "external"), [{"IsInternal": False}, {"AllowedOOFType": "External"}]),
        ((True, "internal_legacy"), (False, "none"), [{"IsInternal": False}, {"AllowedOOFType": "None"}]),
        ((True, "internal_legacy"), (False, "internal_legacy"), [{"IsInternal": False}]),
        ((False, "external"), (True, "external"), [{"IsInternal": True}]),
        (
            (False, "none"),
            (True, "internal_legacy"),
            [{"IsInternal": True, "AllowedOOFType": "InternalLegacy"}],
        ),
    ],
    ids=str,
)
def test_what_is_internal_false_changes_besides_is_set_again(before: Any, after: Any, writes: Any) -> None:
    one, other = (RemoteDomain("x.example", is_internal=i, allowed_oof_type=o) for i, o in (before, after))
    steps = [{k: v for k, v in sent(step)[1].items() if k != "Identity"} for step in KIND.steps(one, other)]
    assert [dict(sorted(step.items())) for step in steps] == [dict(sorted(step.items())) for step in writes]


def test_forwarding_and_trust_are_guarded_where_they_begin() -> None:
    closed = live(AutoForwardEnabled=False)
    assert [g.rule for g in KIND.guards(closed, live())] == ["REMOTE-DOMAIN-FORWARD"]
    assert [g.rule for g in KIND.guards(live(), live(TrustedMailInboundEnabled=True))] == ["REMOTE-DOMAIN-TRUST"]
    new = KIND.completed(RemoteDomain("x.example"))
    assert [g.rule for g in KIND.guards(None, new)] == ["REMOTE-DOMAIN-FORWARD"]
    assert not list(KIND.guards(None, dataclasses.replace(new, auto_forward_enabled=False)))
    assert not [*KIND.guards(live(), closed), *KIND.guards(live(IsInternal=True), live(IsInternal=True))]
    assert [g.rule for g in KIND.guards(closed, None)] == ["REMOTE-DOMAIN-FORWARD"], "* decides from then on"
    assert not list(KIND.guards(live(), None))
    assert KIND.contribution(live()) == (Privilege("auto_forward_enabled", ANY),)
    assert KIND.contribution(closed) == ()
    odd = live(AllowedOOFType="InternalLegacy")
    assert [g.rule for g in KIND.guards(live(), odd)] == ["REMOTE-DOMAIN-TRUST"]
    assert Privilege("is_internal", ANY) in KIND.contribution(odd)


@pytest.mark.parametrize("rows", snapshots("remote_domains"))
def test_recorded_rows_are_read_and_what_is_written_of_them_is_so(rows: list[dict[str, Any]]) -> None:
    found = answer(KIND, {}, rows, everything=True)
    assert len(found) == len(rows)
    for key, there in found.items():
        form = KIND.written_form(there)
        again = declared(KIND, {form[0][0]: form[1]})[key] if form else there
        assert {name: getattr(again, name) for name in form[1]} == form[1] if form else key == "default"


def test_names_of_long_domains_stay_apart() -> None:
    """What this tool once sent twice: the first 64 characters were the same."""
    long = ".".join(["a" * 40, "b" * 40, "example"])
    names = []
    for domain in (long, f"*.{long}", f"c{long[1:-7]}sample.example", f"a{long[1:]}.example"):
        (spec,) = declared(KIND, {domain: {}}).values()
        names.append(str(sent(KIND.steps(None, spec)[0])[1]["Name"]))
    assert len(set(names)) == len(names)
    assert {len(name) for name in names} == {64}
