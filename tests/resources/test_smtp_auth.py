from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from provisioner.model import Address, Answer, Undeclared, Unknown
from provisioner.resources.rows.transport_config import SWITCH as COLUMN
from provisioner.resources.smtp_auth import ORGANIZATION, SmtpAuth, SmtpAuthType
from tests.recordings import load, recordings
from tests.resources.recorded import answer, asked, declared, mistakes, pairs, rows, sent, snapshots

KIND = SmtpAuthType()
ADDRESSES = st.sampled_from(["erp@contoso.com", "orders@contoso.com", "reports@contoso.com", "old-fax@contoso.com"])


def wanted(*keys: str) -> dict[str, Any]:
    return {key: SmtpAuth(key, "enabled") for key in keys}


# --- the plan --------------------------------------------------------------------------------------------------------


def test_a_section_declares_the_organization_and_its_mailboxes() -> None:
    section = {"organization": "disabled", "mailboxes": {"ERP@Contoso.com": "enabled", "old@contoso.com": "inherit"}}
    assert declared(KIND, section) == {
        ORGANIZATION: SmtpAuth(ORGANIZATION, "disabled"),
        "erp@contoso.com": SmtpAuth("erp@contoso.com", "enabled"),
        "old@contoso.com": SmtpAuth("old@contoso.com", "inherit"),
    }
    assert declared(KIND, {}) == {}


def test_a_mailbox_in_two_spellings_comes_twice_so_that_both_places_can_be_named() -> None:
    section = TypeAdapter(KIND.section_type).validate_python(
        {"mailboxes": {"ERP@contoso.com": "enabled", "erp@contoso.com": "disabled"}}
    )
    found = [(d.key, d.path) for d in KIND.declare(section, "")]
    assert found == [
        ("erp@contoso.com", ("mailboxes", "ERP@contoso.com")),
        ("erp@contoso.com", ("mailboxes", "erp@contoso.com")),
    ]


def test_exclusive_is_off_unless_it_is_written() -> None:
    assert KIND.exclusive({"exclusive": True})
    assert not KIND.exclusive({})


@pytest.mark.parametrize(
    ("section", "identifier", "place"),
    [
        ({"organization": "inherit"}, "literal_error", ("organization",)),
        ({"organization": None}, "literal_error", ("organization",)),
        ({"exclusive": "true"}, "bool_type", ("exclusive",)),
        ({"mailboxes": {"erp": "enabled"}}, "EMAIL-INVALID", ("mailboxes", "erp", "[key]")),
        ({"mailboxes": {"erp@contoso.com": "on"}}, "literal_error", ("mailboxes", "erp@contoso.com")),
        ({"mailboxes": {"erp@contoso.com": None}}, "literal_error", ("mailboxes", "erp@contoso.com")),
        ({"mailboxes": {"erp@contoso.com": True}}, "literal_error", ("mailboxes", "erp@contoso.com")),
        ({"mailbox": {}}, "extra_forbidden", ("mailbox",)),
    ],
)
def test_what_is_not_a_word_of_the_language_is_refused(section: Any, identifier: str, place: tuple[str, ...]) -> None:
    assert mistakes(KIND, section) == [(identifier, place)]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_the_organization_is_only_asked_for_when_it_is_declared() -> None:
    assert [asked(q) for q in KIND.queries(wanted(ORGANIZATION), False)] == ["Get-TransportConfig"]
    assert [asked(q) for q in KIND.queries({}, False)] == []


def test_few_mailboxes_are_looked_up_and_many_are_listed() -> None:
    five = wanted(*(f"m{n}@contoso.com" for n in range(5)))
    looked_up = KIND.queries(five, False)
    assert [asked(q) for q in looked_up] == [f"Get-CASMailbox m{n}@contoso.com" for n in range(5)]
    assert all(q.may_be_missing and len(q.covers) == 1 for q in looked_up)
    six = {**five, **wanted("m5@contoso.com")}
    for keys, everything in ((six, False), (five, True), ({}, True)):
        (listing,) = KIND.queries(keys, everything)
        assert asked(listing) == "Get-CASMailbox Unlimited"
        assert listing.covers == set(keys)
        assert not listing.may_be_missing


def test_false_is_enabled_true_is_disabled_and_null_is_inherit() -> None:
    found = answer(KIND, {}, rows("cas-mailboxes")[:3], everything=True)
    assert {key: spec.smtp_auth for key, spec in found.items()} == {
        "erp@contoso.com": "enabled",
        "old-fax@contoso.com": "disabled",
        "reports@contoso.com": "inherit",
    }


@pytest.mark.parametrize("value", ["True", 1, "", []])
def test_a_row_without_a_clear_word_is_unknown_and_never_a_state(value: Any) -> None:
    silent = rows("cas-mailboxes")[3]
    for row in (silent, {**silent, COLUMN: value}):
        found = answer(KIND, wanted("silent@contoso.com"), [row])
        assert isinstance(found["silent@contoso.com"], Unknown)


@pytest.mark.parametrize("path", recordings("exchange/recipients.json"))
def test_a_recorded_mailbox_of_another_property_set_is_unknown(path: Path) -> None:
    row = load(path)["Get-EXOCASMailbox"]
    found = answer(KIND, wanted(row["PrimarySmtpAddress"]), [row])
    assert isinstance(found[row["PrimarySmtpAddress"]], Unknown)


def test_a_look_up_that_returns_every_mailbox_finds_only_the_one_that_was_asked_for() -> None:
    everybody = rows("cas-mailboxes")
    found = answer(KIND, wanted("nobody@contoso.com", "reports@contoso.com"), everybody, everybody)
    assert list(found) == ["reports@contoso.com"]


def test_a_mailbox_is_found_by_any_of_its_addresses_and_comes_back_under_the_wanted_one() -> None:
    keys = wanted("orders@contoso.com")
    for found in (
        answer(KIND, keys, rows("cas-mailboxes")[:1]),
        answer(KIND, keys, rows("cas-mailboxes"), everything=True),
    ):
        assert found["orders@contoso.com"] == SmtpAuth("orders@contoso.com", "enabled", "erp@contoso.com")
        assert "erp@contoso.com" not in found


def test_an_address_of_another_protocol_is_no_address() -> None:
    row = {"PrimarySmtpAddress": "a@contoso.com", "EmailAddresses": ["SIP:b@contoso.com"], COLUMN: None}
    assert answer(KIND, wanted("b@contoso.com"), [row]) == {}


def test_a_sign_in_name_finds_a_mailbox_unless_it_is_the_address_of_another() -> None:
    signs_in = {"PrimarySmtpAddress": "a@contoso.com", "UserPrincipalName": "U@contoso.com", COLUMN: True}
    has_it = {"PrimarySmtpAddress": "u@contoso.com", COLUMN: False}
    assert answer(KIND, wanted("u@contoso.com"), [signs_in])["u@contoso.com"].smtp_auth == "disabled"
    for listing in ([signs_in, has_it], [has_it, signs_in]):
        found = answer(KIND, wanted("u@contoso.com"), listing, everything=True)
        assert found["u@contoso.com"].smtp_auth == "enabled"
        assert found["a@contoso.com"].smtp_auth == "disabled"


@given(st.permutations(rows("cas-mailboxes")), st.sets(ADDRESSES))
def test_the_order_of_rows_and_addresses_never_matters(listing: list[dict[str, Any]], keys: set[str]) -> None:
    turned = [{**row, "EmailAddresses": row["EmailAddresses"][::-1]} for row in listing]
    straight = answer(KIND, wanted(*sorted(keys)), rows("cas-mailboxes"), everything=True)
    assert answer(KIND, wanted(*sorted(keys)), turned, everything=True) == straight
    assert set(straight) >= keys


@pytest.mark.parametrize("recorded", snapshots("transport_config"))
def test_recorded_organizations_are_understood(recorded: list[dict[str, Any]]) -> None:
    state, other = ("disabled", "enabled") if recorded[0][COLUMN] else ("enabled", "disabled")
    found = answer(KIND, wanted(ORGANIZATION), recorded)
    assert found == {ORGANIZATION: SmtpAuth(ORGANIZATION, state)}
    assert KIND.steps(found[ORGANIZATION], SmtpAuth(ORGANIZATION, state)) == ()
    assert len(KIND.steps(found[ORGANIZATION], SmtpAuth(ORGANIZATION, other))) == 1


@pytest.mark.parametrize("recorded", pairs("EXOTransportConfig"))
def test_recorded_pairs_with_equal_switches_need_nothing(recorded: list[dict[str, Any]]) -> None:
    for pair in recorded:
        there = answer(KIND, wanted(ORGANIZATION), [pair["current"]] if pair["current"] else [])[ORGANIZATION]
        if pair["current"] is None:
            assert isinstance(there, Unknown)  # nothing came: that is no state of an organization
        else:
            assert KIND.steps(there, SmtpAuth(ORGANIZATION, "disabled")) == ()


@pytest.mark.parametrize("found", [[], [{"Name": "Transport Settings"}], [{COLUMN: None}]])
def test_an_organization_that_does_not_tell_is_unknown(found: list[dict[str, Any]]) -> None:
    assert isinstance(answer(KIND, wanted(ORGANIZATION), found)[ORGANIZATION], Unknown)


# --- changing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "value"), [("enabled", False), ("disabled", True), ("inherit", None)])
def test_the_wire_says_the_opposite_and_null_for_inherit(word: str, value: bool | None) -> None:
    key = "erp@contoso.com"
    (step,) = KIND.steps(SmtpAuth(key, "other"), SmtpAuth(key, word))
    assert sent(step) == ("Set-CASMailbox", {"Identity": key, COLUMN: value})
    stored = [{"PrimarySmtpAddress": key, COLUMN: value}]
    assert answer(KIND, wanted(key), stored)[key] == SmtpAuth(key, word, key)


def test_the_organization_is_set_by_its_own_cmdlet() -> None:
    before, after = SmtpAuth(ORGANIZATION, "enabled"), SmtpAuth(ORGANIZATION, "disabled")
    assert sent(KIND.steps(before, after)[0]) == ("Set-TransportConfig", {COLUMN: True})
    assert sent(KIND.steps(after, before)[0]) == ("Set-TransportConfig", {COLUMN: False})


def test_nothing_is_sent_for_what_is_so_already_or_not_written() -> None:
    here = SmtpAuth("erp@contoso.com", "enabled", "erp@contoso.com")
    assert KIND.steps(here, SmtpAuth("erp@contoso.com", "enabled")) == ()
    assert KIND.steps(here, SmtpAuth("erp@contoso.com")) == ()
    assert KIND.steps(here, None) == ()
    assert KIND.needs(here) == ()


@pytest.mark.parametrize(
    ("word", "exclusive", "becomes"),
    [
        ("enabled", True, "inherit"),
        ("disabled", True, "inherit"),
        ("inherit", True, Undeclared.KEEP),
        ("enabled", False, Undeclared.KEEP),
    ],
)
def test_only_an_exclusive_section_takes_an_override_back(word: str, exclusive: bool, becomes: str) -> None:
    verdict = KIND.undeclared(SmtpAuth("x@contoso.com", word, "x@contoso.com"), "me", exclusive)
    assert getattr(verdict, "smtp_auth", verdict) == becomes


def test_an_exclusive_section_never_touches_the_organization() -> None:
    assert KIND.undeclared(SmtpAuth(ORGANIZATION, "enabled"), "me", True) is Undeclared.KEEP
    assert Address(KIND.name, ORGANIZATION).short == "smtp_auth/organization"


# --- names -----------------------------------------------------------------------------------------------------------

SCAN: dict[str, Any] = {
    "PrimarySmtpAddress": "Scan@contoso.com", "Guid": "G-1", COLUMN: False,
    "EmailAddresses": ["SMTP:Scan@contoso.com", "smtp:mfp@xn--bcher-kva.example", "SIP:sip@contoso.com"],
}  # fmt: skip
BEA: dict[str, Any] = {"PrimarySmtpAddress": "bea@contoso.com", "Guid": "G-2", COLUMN: True}


def resolved(keys: tuple[str, ...], rows: list[dict[str, Any]], users: dict[str, str], *, everything: bool) -> Any:
    """What is seen of the mailboxes, where the look-ups are answered with the sign-in names of `users` (by Guid)."""
    (query,) = KIND.queries(wanted(*keys), everything)
    answers = [(query, Answer(tuple(rows)))]
    for more in KIND.follow_up(wanted(*keys), everything, answers):
        found = [{"Guid": g, "UserPrincipalName": u} for g, u in users.items() if asked(more).lower()[9:] in (g, u)]
        answers.append((more, Answer(tuple(found))))
    return KIND.decode(wanted(*keys), answers)


def test_an_undeclared_mailbox_has_every_name_that_is_its_own() -> None:
    found = resolved((), [SCAN, BEA], {"g-1": "scanner01@contoso.onmicrosoft.com"}, everything=True)
    both = {"mfp@xn--bcher-kva.example", "mfp@b\u00fccher.example"}
    own = {"scan@contoso.com", "scanner01@contoso.onmicrosoft.com", "g-1"}
    assert set(KIND.names(found["scan@contoso.com"])) == both | own


def test_a_declared_sign_in_name_finds_its_mailbox() -> None:
    for everything in (True, False):
        found = resolved(("s@contoso.com",), [SCAN], {"g-1": "s@contoso.com"}, everything=everything)
        assert found == {"s@contoso.com": SmtpAuth("s@contoso.com", "enabled", "scan@contoso.com")}


def test_sign_in_names_are_asked_for_only_where_they_decide() -> None:
    def more(keys: tuple[str, ...], rows: list[dict[str, Any]], everything: bool) -> list[str]:
        (query,) = KIND.queries(wanted(*keys), everything)
        return [asked(q) for q in KIND.follow_up(wanted(*keys), everything, [(query, Answer(tuple(rows)))])]

    inherits = BEA | {COLUMN: None}
    assert more(("scan@contoso.com",), [SCAN], False) == []
    assert more(("scan@contoso.com",), [SCAN, inherits], True) == []
    assert more(("nobody@contoso.com",), [], False) == []
    assert more(("scan@contoso.com",), [SCAN, BEA], True) == ["Get-User g-2"]
    many = [BEA | {"PrimarySmtpAddress": f"m{n}@contoso.com", "Guid": f"G-{n}"} for n in range(9)]
    assert more((), many, True) == ["Get-User Unlimited"]


def test_an_address_that_two_mailboxes_have_is_unknown() -> None:
    found = resolved(("scan@contoso.com",), [SCAN, SCAN | {"Guid": "G-7"}], {}, everything=False)
    assert isinstance(found["scan@contoso.com"], Unknown)
