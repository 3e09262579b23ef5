from __future__ import annotations

from typing import Any

import pytest

from provisioner.resources.rows import recipient_permission
from provisioner.resources.rows.recipient_permission import SendAsRight, decode

ROW: dict[str, Any] = {"Trustee": "ERP@contoso.com", "AccessRights": ["SendAs"], "AccessControlType": "Allow"}


def test_a_right_goes_by_every_name_of_its_trustee() -> None:
    row = ROW | {"Trustee": "Scan Service", "TrusteeWithPrimarySmtpAddress": "Scan@contoso.com"}
    assert decode([row]) == [SendAsRight(frozenset({"scan service", "scan@contoso.com"}), "Scan Service", own=False)]


@pytest.mark.parametrize("rights", [["SendAs"], "SendAs", ["ReadPermission, SendAs"], [1], ["1"]])
def test_the_right_to_send_as_has_several_spellings(rights: Any) -> None:
    assert len(decode([ROW | {"AccessRights": rights}])) == 1
    assert len(decode([ROW | {"AccessRights": rights, "AccessControlType": None}])) == 1


@pytest.mark.parametrize(
    "change", [{"AccessControlType": "Deny"}, {"AccessRights": ["FullAccess"]}, {"AccessRights": []}]
)
def test_what_does_not_allow_to_send_as_is_not_a_right(change: dict[str, Any]) -> None:
    assert decode([ROW | change]) == []


@pytest.mark.parametrize(
    "trustee", [{"Trustee": "NT AUTHORITY\\SELF"}, {"Trustee": "NT-AUTORITÄT\\SELBST", "TrusteeSidString": "S-1-5-10"}]
)
def test_the_right_of_a_mailbox_for_itself_is_known_in_every_language(trustee: dict[str, Any]) -> None:
    assert [right.own for right in decode([ROW | trustee])] == [True]


@pytest.mark.parametrize("column", ["AccessRights", "Trustee"])
def test_a_row_without_rights_or_trustee_says_nothing(column: str) -> None:
    with pytest.raises(ValueError, match=column):
        decode([{name: value for name, value in ROW.items() if name != column}])


def test_whom_the_rows_are_about() -> None:
    rows = [ROW | {"Identity": "Invoices"}, ROW | {"Identity": "invoices"}, ROW]
    assert recipient_permission.recipients(rows) == {"invoices"}


@pytest.mark.parametrize(
    "change",
    [{"AccessControlType": {"of": "another form"}}, {"AccessRights": {"of": "another form"}}, {"AccessRights": [{}]}],
)
def test_a_row_of_an_unknown_form_is_not_taken_for_a_row_that_grants_nothing(change: dict[str, Any]) -> None:
    """It may grant the right: whoever reads it as absent would plan to grant it, or find it already taken away."""
    with pytest.raises(ValueError, match=r"AccessControlType|AccessRights"):
        decode([ROW | change])
