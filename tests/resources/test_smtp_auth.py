from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from provisioner.model import Absent, Address, Answer, Query, Undeclared, Unknown
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
    mailboxes = {"ERP@Contoso.com": "enabled", "Contoso Fax": "enabled", "old@contoso.com": "inherit"}
    section = {"organization": "disabled", "mailboxes": mailboxes}
    assert declared(KIND, section) == {
        ORGANIZATION: SmtpAuth(ORGANIZATION, "disabled"),
        "erp@contoso.com": SmtpAuth("erp@contoso.com", "enabled"),
        "contoso fax": SmtpAuth("contoso fax", "enabled"),
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
    by_address = "Get-CASMailbox EmailAddresses -eq 'm{}@contoso.com' Unlimited"
    assert [asked(q) for q in looked_up] == [by_address.format(n) for n in range(5)]
    assert all(len(q.covers) == 1 for q in looked_up)
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
    assert set(found) == {"nobody@contoso.com", "reports@contoso.com"}
    assert isinstance(found["nobody@contoso.com"], Unknown), "it may be a sign-in name: nobody has looked"
    assert isinstance(found["reports@contoso.com"], SmtpAuth)


def test_a_mailbox_is_found_by_any_of_its_addresses_and_comes_back_under_the_wanted_one() -> None:
    keys = wanted("orders@contoso.com")
    for found in (
        answer(KIND, keys, rows("cas-mailboxes")[:1]),
        answer(KIND, keys, rows("cas-mailboxes"), everything=True),
    ):
        guid = rows("cas-mailboxes")[0]["Guid"]
        assert found["orders@contoso.com"] == SmtpAuth("orders@contoso.com", "enabled", "erp@contoso.com", id=guid)
        assert "erp@contoso.com" not in found


def test_an_address_of_another_protocol_is_no_address() -> None:
    row = {"PrimarySmtpAddress": "a@contoso.com", "EmailAddresses": ["SIP:b@contoso.com"], COLUMN: None}
    assert isinstance(answer(KIND, wanted("b@contoso.com"), [row])["b@contoso.com"], Unknown)


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
            assert isinstance(there, Unknown)  # nothing came: that is not a state of an organization
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


def resolved(
    keys: tuple[str, ...],
    rows: list[dict[str, Any]],
    people: list[dict[str, Any]],
    *,
    everything: bool,
    said: Any = None,
) -> Any:
    """What is seen of the mailboxes, where lookups of recipients are answered from `people`.

    `said` gets all questions. A lookup finds nothing but what it asks for.
    """
    answers: list[tuple[Query, Answer]] = []
    queries = list(KIND.queries(wanted(*keys), everything))
    for _ in range(3):
        for query in queries:
            text = asked(query).lower()
            listing = "-eq" not in text
            of = {"get-recipient": people, "get-casmailbox": rows}.get(text.partition(" ")[0], [])
            answers.append((query, Answer(tuple(r for r in of if listing or _is_named(r, text)))))
            if said is not None:
                said.append(asked(query))
        known = [query for query, _ in answers]
        queries = [q for q in KIND.follow_up(wanted(*keys), everything, answers) if q not in known]
    assert not queries
    return KIND.decode(wanted(*keys), answers)


def _is_named(row: dict[str, Any], text: str) -> bool:
    names = [row.get(c, "") for c in ("PrimarySmtpAddress", "Guid", "WindowsLiveID", "DisplayName", "Alias")]
    names += [a.partition(":")[2] for a in row.get("EmailAddresses", ()) if a.lower().startswith("smtp:")]
    return any(f"'{name.lower()}'" in text for name in names if name)


def person(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The row of Get-Recipient for a mailbox."""
    return {**row, "RecipientType": "UserMailbox", "RecipientTypeDetails": "UserMailbox", **more}


SIGN_IN = "scanner01@contoso.onmicrosoft.com"


def test_an_undeclared_mailbox_has_every_name_that_is_its_own() -> None:
    found = resolved((), [SCAN, BEA], [person(SCAN, WindowsLiveID=SIGN_IN)], everything=True)
    both = {"mfp@xn--bcher-kva.example", "mfp@b\u00fccher.example"}
    own = {"scan@contoso.com", SIGN_IN, "g-1"}
    assert set(KIND.names(found["scan@contoso.com"])) == both | own


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize(
    "name", ["s@contoso.com", "MFP 3", "8a68c198-be28-4a30-83e9-bffb760c65ba", "8a68c198-0000-4a30-83e9-bffb760c65ba"]
)
def test_a_mailbox_is_declared_by_sign_in_name_display_name_and_id(name: str, everything: bool) -> None:
    guid = "8a68c198-be28-4a30-83e9-bffb760c65ba"
    row = SCAN | {"Guid": guid, "DisplayName": "MFP 3"}
    entra = {
        "ExternalDirectoryObjectId": "8a68c198-0000-4a30-83e9-bffb760c65ba",
        "Alias": "8a68c198-0000-4a30-83e9-bffb760c65ba",
    }
    people = [person(row, WindowsLiveID="s@contoso.com", **entra)]
    found = resolved((name.lower(),), [row, BEA], people, everything=everything)
    assert found[name.lower()] == SmtpAuth(name.lower(), "enabled", "scan@contoso.com", id=guid)
    assert "scan@contoso.com" not in found, "it is the same mailbox"


def test_an_address_is_not_the_sign_in_or_display_name_of_another() -> None:
    bookings = BEA | {"Guid": "G-3", "DisplayName": "scan@contoso.com", "PrimarySmtpAddress": "b@contoso.com"}
    people = [person(SCAN), person(BEA, WindowsLiveID="scan@contoso.com"), person(bookings)]
    for everything in (True, False):
        found = resolved(("scan@contoso.com",), [SCAN, BEA, bookings], people, everything=everything)
        assert found["scan@contoso.com"].id == "g-1"
    (step,) = KIND.steps(found["scan@contoso.com"], SmtpAuth("scan@contoso.com", "disabled", id="g-1"))
    assert sent(step) == ("Set-CASMailbox", {"Identity": "g-1", COLUMN: True})


def test_other_names_are_asked_for_only_where_they_decide() -> None:
    def more(keys: tuple[str, ...], rows: list[dict[str, Any]], everything: bool) -> list[str]:
        said: list[str] = []
        resolved(keys, rows, list(map(person, rows)), everything=everything, said=said)
        return said[1:]

    inherits = BEA | {COLUMN: None}
    by_name = "(EmailAddresses -eq '{0}' -or WindowsLiveID -eq '{0}')"
    assert more(("scan@contoso.com",), [SCAN], False) == []
    assert more(("scan@contoso.com",), [SCAN, inherits], True) == []
    assert more(("nobody@contoso.com",), [], False) == [
        f"Get-Recipient {by_name.format('nobody@contoso.com')} Unlimited"
    ]
    by_id = "Get-Recipient (Name -eq 'g-2' -or DisplayName -eq 'g-2' -or Alias -eq 'g-2') Unlimited"
    assert more(("scan@contoso.com",), [SCAN, BEA], True) == [by_id]
    many = [BEA | {"PrimarySmtpAddress": f"m{n}@contoso.com", "Guid": f"G-{n}"} for n in range(101)]
    assert more((), many, True) == ["Get-Recipient Unlimited"]
    assert len(more((), many[:100], True)) == 5


def test_an_address_that_two_mailboxes_have_is_unknown() -> None:
    found = resolved(("scan@contoso.com",), [SCAN, SCAN | {"Guid": "G-7"}], [], everything=False)
    assert isinstance(found["scan@contoso.com"], Unknown)


@pytest.mark.parametrize(
    ("kind", "details", "said", "fix"),
    [
        ("MailContact", "MailContact", "is a mail contact, not a mailbox", "a contact cannot sign in"),
        ("MailUser", "MailUser", "is a mail user, not a mailbox", "the host of High Volume Email"),
        ("MailUser", "GuestMailUser", "is a guest, not a mailbox", "the host of High Volume Email"),
        ("MailUniversalDistributionGroup", "MailUniversalDistributionGroup", "is a distribution group", "send_as"),
        ("MailUniversalSecurityGroup", "MailUniversalSecurityGroup", "is a mail-enabled security group", "send_as"),
        ("MailUniversalDistributionGroup", "GroupMailbox", "is a Microsoft 365 group", "send_as"),
        ("PublicFolder", "PublicFolder", "is a mail-enabled public folder", "write the address of a mailbox"),
    ],
)
def test_what_is_no_mailbox_is_told_by_its_kind(kind: str, details: str, said: str, fix: str) -> None:
    row = {"PrimarySmtpAddress": "x@contoso.com", "RecipientType": kind, "RecipientTypeDetails": details, "Guid": "G-5"}
    for everything in (True, False):
        found = resolved(("x@contoso.com",), [BEA], [row, person(BEA)], everything=everything)["x@contoso.com"]
        assert isinstance(found, Absent)
        assert said in found.reason
        assert fix in found.fix


def test_a_name_that_nobody_has_or_several_have_is_told() -> None:
    nobody = resolved(("x@contoso.com",), [BEA], [], everything=False)["x@contoso.com"]
    assert isinstance(nobody, Absent)
    assert "no recipient has this address or name" in nobody.reason
    twins = [{"DisplayName": "Sam Poe", "Guid": f"G-{n}", "PrimarySmtpAddress": f"s{n}@contoso.com"} for n in (7, 8)]
    several = resolved(("sam poe",), [], list(map(person, twins)), everything=False)["sam poe"]
    assert isinstance(several, Unknown)
    assert several.reason == (
        "sam poe is a name of several recipients (s7@contoso.com, a user mailbox; s8@contoso.com, a user mailbox): "
        "write the primary address"
    )


@pytest.mark.parametrize(
    ("written", "form", "fix"),
    [
        ("mailto:scan@contoso.com", "a link", "write scan@contoso.com"),
        ("<Fax@contoso.com>", "an address in angle brackets", "write fax@contoso.com"),
        ("Fax <fax@contoso.com>", "a display name with its address", "write fax@contoso.com"),
        ("SMTP:Fax@contoso.com", "a proxy address", "write fax@contoso.com"),
        ("CONTOSO\\fax", "a logon name", "sign-in name"),
        ("erp", "an alias or a logon name", "such as erp@contoso.com"),
        ("'fax@contoso.com'", "an address in quotes", "write fax@contoso.com"),
        (" fax@contoso.com", "spaces around it", "write fax@contoso.com"),
        ("fax.contoso.com", "is not an e-mail address", "write one address"),
        ("fax@contoso", "its domain is wrong", "write one address"),
    ],
)
def test_a_form_that_was_copied_is_named_with_what_to_write(written: str, form: str, fix: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(KIND.section_type).validate_python({"mailboxes": {written: "enabled"}})
    (error,) = caught.value.errors()
    assert (error["type"], form in error["msg"], fix in error["ctx"]["hint"]) == ("EMAIL-INVALID", True, True)
