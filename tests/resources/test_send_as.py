from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioner.model import Answer, Cmdlet, Unknown
from provisioner.resources.send_as import SendAs, SendAsType, pair_of
from tests.recordings import load, recordings
from tests.resources.recorded import answer, asked, declared, mistakes

KIND = SendAsType()
RIGHT = pair_of("erp@contoso.com", "invoices@contoso.com")

# As a real tenant gave them in July 2026, with names of ours.
ROWS: list[dict[str, Any]] = [
    {"Trustee": "NT AUTHORITY\\SELF", "AccessRights": ["SendAs"], "AccessControlType": "Allow",
     "TrusteeSidString": "S-1-5-10", "TrusteeWithPrimarySmtpAddress": ""},
    {"Trustee": "ERP@contoso.com", "AccessRights": ["SendAs"], "AccessControlType": "Allow",
     "TrusteeSidString": "S-1-5-21-1", "TrusteeWithPrimarySmtpAddress": ""},
]  # fmt: skip


def test_each_pair_is_a_resource_whatever_the_case() -> None:
    section = {"ERP@Contoso.com": ["Invoices@contoso.com", "b@contoso.com"]}
    assert declared(KIND, section) == {RIGHT.pair: RIGHT, "erp@contoso.com as b@contoso.com": SendAs(
        "erp@contoso.com as b@contoso.com", "erp@contoso.com", "b@contoso.com")}  # fmt: skip


@pytest.mark.parametrize("section", [{"erp": ["a@contoso.com"]}, {"erp@contoso.com": ["everybody"]}])
def test_what_is_no_address_is_refused(section: Any) -> None:
    assert [found for found, _ in mistakes(KIND, section)] == ["EMAIL-INVALID"]


def test_an_address_is_asked_for_once_however_many_may_send_as_it() -> None:
    other = pair_of("fax@contoso.com", "invoices@contoso.com")
    (query,) = KIND.queries({RIGHT.pair: RIGHT, other.pair: other}, False)
    assert asked(query) == "Get-RecipientPermission invoices@contoso.com"
    assert query.covers == {RIGHT.pair, other.pair}


def test_the_trustee_is_found_in_any_case_and_self_is_nobody() -> None:
    other = pair_of("fax@contoso.com", "invoices@contoso.com")
    assert answer(KIND, {RIGHT.pair: RIGHT, other.pair: other}, ROWS) == {RIGHT.pair: RIGHT}


@pytest.mark.parametrize(
    "change",
    [{"AccessControlType": "Deny"}, {"AccessRights": ["FullAccess"]}, {"AccessRights": []}, {"Trustee": "S-1-5-21-1"}],
)
def test_what_does_not_allow_it_is_no_right(change: dict[str, Any]) -> None:
    assert answer(KIND, {RIGHT.pair: RIGHT}, [ROWS[1] | change]) == {}


def test_the_primary_address_of_the_trustee_will_do() -> None:
    row = ROWS[1] | {"Trustee": "Contoso ERP", "TrusteeWithPrimarySmtpAddress": "erp@contoso.com"}
    assert answer(KIND, {RIGHT.pair: RIGHT}, [row]) == {RIGHT.pair: RIGHT}


@pytest.mark.parametrize("path", recordings("exchange/recipients.json"))
def test_a_recorded_row_is_understood(path: Path) -> None:
    row = load(path)["Get-EXORecipientPermission"]
    assert answer(KIND, {RIGHT.pair: RIGHT}, [row]) == {}
    assert answer(KIND, {RIGHT.pair: RIGHT}, [row | {"Trustee": "erp@contoso.com"}]) == {RIGHT.pair: RIGHT}


def test_giving_and_taking_are_each_other_s_inverse() -> None:
    (give,), (take,) = KIND.steps(None, RIGHT), KIND.steps(RIGHT, None)
    expected = {
        "Identity": "invoices@contoso.com",
        "Trustee": "erp@contoso.com",
        "AccessRights": ("SendAs",),
        "Confirm": False,
    }
    assert [(s.request.name, dict(s.request.parameters)) for s in (give, take)] == [  # type: ignore[union-attr]
        ("Add-RecipientPermission", expected),
        ("Remove-RecipientPermission", expected),
    ]
    assert KIND.steps(RIGHT, RIGHT) == ()


# --- a row under another name ----------------------------------------------------------------------------------------

KEY = RIGHT.pair
ERP: dict[str, Any] = {
    "Name": "ERP", "DisplayName": "Contoso ERP", "PrimarySmtpAddress": "erp@contoso.com", "Guid": "G-1",
    "EmailAddresses": ["SMTP:erp@contoso.com", "smtp:sap@contoso.com", "SIP:x@contoso.com"],
    "WindowsLiveID": "svc-erp@contoso.onmicrosoft.com", "DistinguishedName": "CN=ERP,OU=contoso",
}  # fmt: skip
OTHER: dict[str, Any] = {"Name": "Fax", "DisplayName": "Fax", "PrimarySmtpAddress": "fax@contoso.com", "Guid": "G-2"}


def row(trustee: str, **more: str) -> dict[str, Any]:
    return ROWS[1] | {"Trustee": trustee, "Identity": "invoices"} | more


def seen(rows: list[dict[str, Any]], directory: dict[str, list[dict[str, Any]]], *, revoked: bool = True) -> Any:
    """What is seen of the right, with the look-ups that the rows call for answered from `directory`."""
    wanted = {KEY: None if revoked else RIGHT}
    (query,) = KIND.queries(wanted, False)
    answers = [(query, Answer(tuple(rows)))]
    for more in KIND.follow_up(wanted, False, answers):
        assert isinstance(more.request, Cmdlet)
        name = str(more.request.parameters["Identity"])
        found = directory.get(name, []) if more.request.name == "Get-Recipient" else []
        answers.append((more, Answer(tuple(found))))
    return KIND.decode(wanted, answers).get(KEY)


@pytest.mark.parametrize(
    "trustee",
    ["svc-erp@contoso.onmicrosoft.com", "SAP@contoso.com", "Contoso ERP", "ERP", "CN=ERP,OU=contoso"],
)
def test_the_trustee_is_found_under_each_of_its_names(trustee: str) -> None:
    directory = {"erp@contoso.com": [ERP], trustee.lower(): [ERP]}
    for revoked in (True, False):
        found = seen([ROWS[0], row(trustee)], directory, revoked=revoked)
        assert (found.pair, found.trustee_id) == (KEY, "g-1")
        assert f"{trustee.lower()} as invoices@contoso.com" in KIND.names(found)
    (step,) = KIND.steps(found, None)
    assert step.request.parameters["Trustee"] == "g-1"  # type: ignore[union-attr]


def test_nothing_more_is_asked_where_a_row_has_the_name_or_nobody_has_a_right() -> None:
    for rows in ([ROWS[0]], [ROWS[0], row("ERP@contoso.com"), row("Helpdesk")]):
        wanted = {KEY: None}
        (query,) = KIND.queries(wanted, False)
        assert KIND.follow_up(wanted, False, [(query, Answer(tuple(rows)))]) == []
    german = row("NT-AUTORIT\u00c4T\\SELBST", TrusteeSidString="S-1-5-10")
    assert seen([german], {}) is None


def test_somebody_else_s_right_is_not_this_one() -> None:
    assert seen([row("fax@contoso.com"), row("Fax")], {"erp@contoso.com": [ERP], "fax": [OTHER]}) is None


@pytest.mark.parametrize(
    ("rows", "directory", "named"),
    [
        ([row("S-1-5-21-9")], {"erp@contoso.com": [ERP]}, "S-1-5-21-9"),
        ([row("Fax")], {"erp@contoso.com": [ERP]}, "Fax"),
        ([row("Fax")], {"erp@contoso.com": [ERP], "fax": [OTHER, OTHER | {"Guid": "G-3"}]}, "Fax"),
        ([row("fax@contoso.com")], {}, "erp@contoso.com does not resolve"),
        ([row("fax@contoso.com")], {"erp@contoso.com": [ERP, ERP | {"Guid": "G-9"}]}, "several recipients"),
    ],
)
def test_a_right_that_could_be_this_one_is_unknown_and_never_absent(rows: Any, directory: Any, named: str) -> None:
    found = seen(rows, directory)
    assert isinstance(found, Unknown)
    assert named in found.reason


def test_a_name_that_two_have_does_not_count_as_granted() -> None:
    twins: dict[str, list[dict[str, Any]]] = {
        "erp@contoso.com": [ERP],
        "contoso erp": [ERP, OTHER | {"DisplayName": "Contoso ERP"}],
    }
    assert isinstance(seen([row("Contoso ERP")], twins, revoked=False), Unknown)
    assert seen([row("S-1-5-21-9")], {"erp@contoso.com": [ERP]}, revoked=False) is None


def test_an_answer_about_several_recipients_is_about_none() -> None:
    rows = [row("erp@contoso.com"), row("erp@contoso.com") | {"Identity": "other"}]
    assert isinstance(seen(rows, {}), Unknown)


def test_the_directory_s_rows_count_only_where_they_have_the_name_asked_for() -> None:
    assert isinstance(seen([row("svc-erp@contoso.onmicrosoft.com")], {"erp@contoso.com": [OTHER]}), Unknown)
