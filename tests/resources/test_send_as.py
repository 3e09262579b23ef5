from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
