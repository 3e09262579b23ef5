from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.model import Address, Await, Record, Ref, Send, Step, Undeclared, Unknown, create_only, project
from provisioner.resources.dkim import Dkim, DkimType
from tests.recordings import entries
from tests.resources.recorded import answer, asked, declared, mistakes, pairs, rows, sent, snapshots

KIND = DkimType()
CONTOSO = "contoso.com"


def seen() -> dict[str, Dkim]:
    found: dict[str, Dkim] = answer(KIND, {CONTOSO: None}, rows("dkim-configs"))
    return found


def published(*targets: str | Ref) -> Await:
    names = (f"selector{n}._domainkey.{CONTOSO}" for n in (1, 2))
    return Await(tuple(Record(name, "CNAME", target) for name, target in zip(names, targets, strict=True)))


# --- the plan --------------------------------------------------------------------------------------------------------


def test_a_section_declares_domains() -> None:
    section = {"Contoso.com": {"enabled": True, "key_size": 2048}, "fabrikam.com": {"body_canonicalization": "simple"}}
    assert declared(KIND, section) == {
        CONTOSO: Dkim(CONTOSO, True, 2048),
        "fabrikam.com": Dkim("fabrikam.com", body_canonicalization="simple"),
    }


@pytest.mark.parametrize(
    ("section", "identifier"),
    [
        ({"contoso": {}}, "DOMAIN-INVALID"),
        ({CONTOSO: {"enabled": "enabled"}}, "bool_type"),
        ({CONTOSO: {"enabled": None}}, "bool_type"),
        ({CONTOSO: {"key_size": 4096}}, "literal_error"),
        ({CONTOSO: {"key_size": "2048"}}, "literal_error"),
        ({CONTOSO: {"header_canonicalization": "Relaxed"}}, "literal_error"),
        ({CONTOSO: {"selector1_cname": "x.example"}}, "extra_forbidden"),
        ({CONTOSO: True}, "dict_type"),
    ],
)
def test_what_is_not_a_word_of_the_language_is_refused(section: Any, identifier: str) -> None:
    assert [found for found, _ in mistakes(KIND, section)] == [identifier]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_configurations_are_listed_and_never_looked_up() -> None:
    (query,) = KIND.queries({CONTOSO: None, "fabrikam.com": None}, False)
    assert (asked(query), query.covers) == ("Get-DkimSigningConfig", frozenset({CONTOSO, "fabrikam.com"}))
    assert KIND.queries({}, False) == ()


def test_a_row_is_read_into_canonical_form() -> None:
    found = seen()
    assert found[CONTOSO] == Dkim(
        CONTOSO,
        False,
        2048,
        "relaxed",
        "relaxed",
        "selector1-contoso-com._domainkey.Contoso0.a-v1.dkim.mail.microsoft",
        "selector2-contoso-com._domainkey.Contoso0.a-v1.dkim.mail.microsoft",
    )
    assert found["fabrikam.com"].key_size == 1024  # half-rotated: the weaker key still signs or verifies
    assert found["fabrikam.com"].header_canonicalization == "simple"


def test_a_domain_comes_back_under_the_wanted_spelling() -> None:
    found = answer(KIND, {"FABRIKAM.com": None}, rows("dkim-configs"))
    assert found["FABRIKAM.com"].domain == "FABRIKAM.com"
    assert "fabrikam.com" not in found


def test_an_answer_without_the_switch_is_unknown_where_the_plan_writes_it() -> None:
    row = {name: value for name, value in rows("dkim-configs")[0].items() if name != "Enabled"}
    for broken in (row, {**row, "Enabled": None}):
        assert isinstance(answer(KIND, {CONTOSO: Dkim(CONTOSO, True)}, [broken])[CONTOSO], Unknown)
        assert answer(KIND, {CONTOSO: Dkim(CONTOSO, key_size=2048)}, [broken])[CONTOSO].enabled is None


@pytest.mark.parametrize("recorded", snapshots("dkim_config"))
def test_recorded_configurations_are_understood_to_the_last_field(recorded: list[dict[str, Any]]) -> None:
    found = answer(KIND, {}, recorded, everything=True)
    assert set(found) == {row["Domain"] for row in recorded}
    for row in recorded:
        spec = found[row["Domain"]]
        assert (spec.enabled, spec.key_size) == (row["Enabled"], 2048)
        assert spec.selector1_cname == row["Selector1CNAME"]
        assert None not in dataclasses.astuple(spec)
        assert KIND.steps(spec, spec) == ()


@pytest.mark.parametrize("recorded", pairs("EXODkimSigningConfig"))
def test_recorded_pairs_agree_where_their_verdict_does(recorded: list[dict[str, Any]]) -> None:
    create, same, _ = recorded
    desired = same["desired"]
    body = {
        "enabled": desired["Enabled"],
        "key_size": desired["KeySize"],
        "header_canonicalization": desired["HeaderCanonicalization"].lower(),
        "body_canonicalization": desired["BodyCanonicalization"].lower(),
    }
    wanted = declared(KIND, {CONTOSO: body})
    assert CONTOSO not in answer(KIND, wanted, [create["current"]])
    assert project(answer(KIND, wanted, [same["current"]])[CONTOSO], wanted[CONTOSO]) == wanted[CONTOSO]


# --- changing --------------------------------------------------------------------------------------------------------


def test_creation_goes_disabled_then_waits_for_the_targets_that_came_back_then_enables() -> None:
    new, wait, enable = KIND.steps(None, Dkim(CONTOSO, True, 1024, "simple", "relaxed"))
    assert sent(new) == (
        "New-DkimSigningConfig",
        {
            "DomainName": CONTOSO,
            "Enabled": False,
            "KeySize": 1024,
            "HeaderCanonicalization": "Simple",
            "BodyCanonicalization": "Relaxed",
        },
    )
    assert wait == published(Ref(0, "Selector1CNAME"), Ref(0, "Selector2CNAME"))
    assert sent(enable) == ("Set-DkimSigningConfig", {"Identity": CONTOSO, "Enabled": True})


@pytest.mark.parametrize("wanted", [Dkim(CONTOSO, False), Dkim(CONTOSO)])
def test_creation_without_enabling_waits_for_nothing_and_takes_the_longer_key(wanted: Dkim) -> None:
    (new,) = KIND.steps(None, wanted)
    assert sent(new)[1] == {"DomainName": CONTOSO, "Enabled": False, "KeySize": 2048}


def test_enabling_waits_for_the_targets_that_the_row_holds() -> None:
    before = seen()[CONTOSO]
    wait, enable = KIND.steps(before, dataclasses.replace(before, enabled=True))
    assert wait == published(str(before.selector1_cname), str(before.selector2_cname))
    assert sent(enable) == ("Set-DkimSigningConfig", {"Identity": CONTOSO, "Enabled": True})


@pytest.mark.parametrize("recorded", entries("exchange/service-errors.json", "what", "CNAMEs are seen"))
def test_the_refusal_before_dns_means_not_yet(recorded: dict[str, Any]) -> None:
    before = seen()[CONTOSO]
    enable = KIND.steps(before, dataclasses.replace(before, enabled=True))[-1]
    assert isinstance(enable, Send)
    assert any(fragment in recorded["text"] for fragment in enable.waits_on)


def test_without_targets_the_service_is_asked_at_once() -> None:
    before = Dkim(CONTOSO, False)
    (enable,) = KIND.steps(before, dataclasses.replace(before, enabled=True))
    assert sent(enable)[1] == {"Identity": CONTOSO, "Enabled": True}


def test_below_an_initial_domain_there_is_nothing_to_publish() -> None:
    before = seen()["contoso.onmicrosoft.com"]
    assert [type(s) for s in KIND.steps(before, dataclasses.replace(before, enabled=True))] == [Send]
    assert [type(s) for s in KIND.steps(None, Dkim("contoso.onmicrosoft.com", True))] == [Send, Send]


def test_what_does_not_depend_on_dns_goes_first() -> None:
    before = seen()[CONTOSO]
    first, wait, enable = KIND.steps(before, dataclasses.replace(before, enabled=True, body_canonicalization="simple"))
    assert sent(first)[1] == {"Identity": CONTOSO, "BodyCanonicalization": "Simple"}
    assert isinstance(wait, Await)
    assert sent(enable)[1] == {"Identity": CONTOSO, "Enabled": True}


def test_disabling_is_one_request() -> None:
    before = seen()["fabrikam.com"]
    (step,) = KIND.steps(before, dataclasses.replace(before, enabled=False, header_canonicalization="relaxed"))
    assert sent(step)[1] == {"Identity": "fabrikam.com", "Enabled": False, "HeaderCanonicalization": "Relaxed"}


def test_the_key_size_is_never_set_later() -> None:
    before = seen()[CONTOSO]
    assert KIND.steps(before, dataclasses.replace(before, key_size=1024)) == ()
    assert create_only(Dkim) == {"key_size"}


def test_undoing_a_creation_only_switches_off() -> None:
    (step,) = KIND.steps(Dkim(CONTOSO, True), None)
    assert sent(step)[1] == {"Identity": CONTOSO, "Enabled": False}
    assert KIND.steps(Dkim(CONTOSO, False), None) == ()
    assert KIND.steps(None, None) == ()
    assert not KIND.deletable


def test_undoing_is_the_same_with_the_arguments_exchanged() -> None:
    before = seen()[CONTOSO]
    after = dataclasses.replace(before, enabled=True, header_canonicalization="simple")
    (undo,) = KIND.steps(after, before)
    assert sent(undo)[1] == {"Identity": CONTOSO, "Enabled": False, "HeaderCanonicalization": "Relaxed"}


def test_no_step_ever_rotates_keys_or_removes_them() -> None:
    states = [None, *seen().values(), Dkim(CONTOSO, True, 1024), Dkim(CONTOSO, False, 2048)]
    steps: list[Step] = [step for before in states for after in states for step in KIND.steps(before, after)]
    names = {step.request.name for step in steps if isinstance(step, Send) and hasattr(step.request, "name")}
    assert names == {"New-DkimSigningConfig", "Set-DkimSigningConfig"}
    awaited = [r.value for step in steps if isinstance(step, Await) for r in step.records]
    known = {s for spec in seen().values() for s in (spec.selector1_cname, spec.selector2_cname)}
    assert all(isinstance(value, Ref) or value in known for value in awaited)  # read, never computed


def test_signing_needs_its_domain_and_is_never_taken_away_unasked() -> None:
    assert KIND.needs(Dkim(CONTOSO)) == (Address("domain", CONTOSO),)
    assert KIND.undeclared(seen()[CONTOSO], "me", True) is Undeclared.KEEP


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        (Dkim("contoso.mail.onmicrosoft.com", True), {"DKIM-COEXISTENCE"}),
        (Dkim("contoso.mail.onmicrosoft.com", False), set()),
        (Dkim("contoso.onmicrosoft.com", True), set()),
        (Dkim("mail.contoso.com", True), set()),
        (Dkim("contoso.com", True, 1024), {"DKIM-KEY-1024"}),
        (Dkim("contoso.com", True, 2048), set()),
    ],
)
def test_what_a_plan_should_say_otherwise(spec: Dkim, rules: set[str]) -> None:
    assert {advice.rule for advice in DkimType().lint(spec)} == rules


def test_no_advice_about_keys_is_refused_by_another_rule() -> None:
    """CREATE-ONLY tells of any key_size that differs from the live one; so no advice asks to write one."""
    (advice,) = DkimType().lint(Dkim("contoso.com", True, 1024))
    assert "leave key_size out" in advice.hint
    assert "twice, four days apart" in advice.hint


def test_the_coexistence_domain_is_not_for_a_plan() -> None:
    """It is enabled in real tenants, and a plan that declares it so is refused (DKIM-COEXISTENCE)."""
    assert KIND.written_form(Dkim("contoso.mail.onmicrosoft.com", enabled=True)) is None
    assert KIND.written_form(Dkim("contoso.com", enabled=True, key_size=1024)) == (
        ("contoso.com",),
        {"enabled": True, "key_size": 1024},
    )
    assert KIND.written_form(Dkim("contoso.com", key_size=2048, header_canonicalization="simple")) == (
        ("contoso.com",),
        {"enabled": False, "header_canonicalization": "simple"},
    )
