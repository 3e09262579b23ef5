"""What can't be the whole answer to a read, whichever transport carried it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from provisioner.diagnostics import Malformed, NotFound, Refused, Unavailable, Unclear
from provisioner.model import Cmdlet, Needed, Row
from provisioner.tenant import limits
from provisioner.tenant.exchange_answers import Reduced, error_by_type


def check_rows(cmdlet: Cmdlet, rows: Sequence[Row]) -> None:
    """Look at these rows as all that a read has."""
    reduced = Reduced(cmdlet)
    reduced.take(rows)
    reduced.check()


@pytest.mark.parametrize("row", [{}, {"Enabled": True}, {"Name": None, "Identity": ""}], ids=str)
def test_a_row_without_an_identifier_spoils_the_listing(row: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="1 of 2 rows have none of Identity, Name, Guid, Id"):
        check_rows(Cmdlet("Get-InboundConnector"), [{"Name": "relay"}, row])


@pytest.mark.parametrize("column", ["Identity", "Name", "Guid", "Id"])
def test_one_identifier_is_enough(column: str) -> None:
    check_rows(Cmdlet("Get-InboundConnector"), [{column: "relay"}])


@pytest.mark.parametrize("cmdlet", ["Get-TransportConfig", "Get-OrganizationConfig"])
def test_what_every_tenant_has_once_has_one_row(cmdlet: str) -> None:
    check_rows(Cmdlet(cmdlet), [{"Name": "x"}])
    for rows in ([], [{"Name": "x"}, {"Name": "y"}]):
        with pytest.raises(Malformed, match=f"{len(rows)} rows"):
            check_rows(Cmdlet(cmdlet), rows)


def test_a_list_is_empty_only_where_it_can_be() -> None:
    check_rows(Cmdlet("Get-InboundConnector"), [])
    with pytest.raises(Malformed, match="at least one"):
        check_rows(Cmdlet("Get-AcceptedDomain"), [])


def test_the_output_of_a_write_is_not_judged() -> None:
    check_rows(Cmdlet("Set-TransportConfig"), [])
    check_rows(Cmdlet("New-InboundConnector"), [{}])


RECIPIENT: dict[str, Any] = {"Name": "erp", "EmailAddresses": [], "PrimarySmtpAddress": None, "RecipientType": "User"}
ASKED = Cmdlet("Get-Recipient", columns=frozenset({"Name", "DisplayName", "EmailAddresses", "PrimarySmtpAddress"}))


@pytest.mark.parametrize("column", ["EmailAddresses", "PrimarySmtpAddress"])
def test_rows_that_lack_what_was_asked_for_and_every_row_has_are_no_answer(column: str) -> None:
    row = {name: value for name, value in RECIPIENT.items() if name != column}
    with pytest.raises(Malformed, match=f"1 of 2 rows lack {column}, which every row has"):
        check_rows(ASKED, [RECIPIENT, row])


def test_rows_may_lack_what_was_not_asked_for_and_what_not_every_row_has() -> None:
    check_rows(ASKED, [RECIPIENT])
    check_rows(Cmdlet("Get-Recipient", columns=frozenset({"Name"})), [{"Name": "erp"}])
    check_rows(Cmdlet("Get-InboundConnector", columns=frozenset({"Name", "SenderDomains"})), [{"Name": "relay"}])


def test_a_test_without_its_verdict_is_no_answer() -> None:
    asked = Cmdlet("Test-ServicePrincipalAuthorization", columns=frozenset({"RoleName", "InScope"}))
    check_rows(asked, [])
    with pytest.raises(Malformed, match="1 of 1 rows lack InScope"):
        check_rows(asked, [{"RoleName": "Application SMTP.SendAsApp"}])


# --- rows that are reduced while they arrive ------------------------------------------------------------------------


def _named(rows: Sequence[Row], names: frozenset[str]) -> Sequence[Row]:
    return [row for row in rows if str(row["Name"]).lower() in names]


def _none(_rows: Sequence[Row], _names: frozenset[str]) -> Sequence[Row]:
    return ()


def test_rows_that_nobody_needs_are_counted_and_not_kept() -> None:
    cmdlet = Cmdlet("Get-CASMailbox", {}, frozenset({"Name", "Enabled"}), Needed(_named, frozenset({"a", "c"})))
    reduced = Reduced(cmdlet)
    for page in (["A", "b"], ["c", "d", "e"]):
        reduced.take([{"Name": name, "Enabled": True, "Other": 1, "Name@data.type": "x"} for name in page])
    reduced.check()
    assert reduced.rows == [{"Name": "A", "Enabled": True}, {"Name": "c", "Enabled": True}]
    assert (reduced.passed, reduced.count) == (3, 5)


def test_a_row_that_is_not_kept_is_checked_all_the_same() -> None:
    reduced = Reduced(Cmdlet("Get-CASMailbox", {}, frozenset({"Name"}), Needed(_none)))
    reduced.take([{"Name": "a"}, {"Enabled": True}])
    with pytest.raises(Malformed, match="1 of 2 rows have none of"):
        reduced.check()
    with pytest.raises(Malformed, match="a row is not an object but str"):
        reduced.take(["a"])


def test_a_row_that_lacks_a_column_is_noticed_although_nobody_needs_it() -> None:
    """Whether it is needed is told by the very names that it lacks."""
    asked = Cmdlet("Get-CASMailbox", {}, frozenset({"EmailAddresses"}), Needed(_none))
    reduced = Reduced(asked)
    reduced.take([{"Name": "a", "EmailAddresses": []}, {"Name": "b"}])
    with pytest.raises(Malformed, match="1 of 2 rows lack EmailAddresses"):
        reduced.check()


def test_the_limit_of_rows_counts_those_that_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_ROWS", 2)
    reduced = Reduced(Cmdlet("Get-CASMailbox", needed=Needed(_none)))
    reduced.take([{"Name": "a"}, {"Name": "b"}])
    with pytest.raises(Malformed, match="more than 2 rows"):
        reduced.take([{"Name": "c"}])
    assert reduced.rows == []


# --- errors ---------------------------------------------------------------------------------------------------------

_AD = "Microsoft.Exchange.Data.Directory."


@pytest.mark.parametrize(
    ("type_", "message", "kind"),
    [
        (f"{_AD}ADTransientException", "Active Directory operation did not succeed. Try again later.", Unclear),
        ("Microsoft.Exchange.Data.DataSourceTransientException", "The server is busy.", Unclear),
        ("System.TimeoutException", "The operation has timed out.", Unclear),
        (
            "System.Exception",
            "A server side error has occurred because of which the operation could not be completed. Please try again "
            "after some time. If the problem still persists, please reach out to MS support.",
            Unclear,
        ),
        (
            f"{_AD}ADOperationException",
            "Active Directory operation failed on AM0P. This error could have been caused by user input or by the "
            "Active Directory server being unavailable. Please retry at a later time.",
            Unclear,
        ),
        (f"{_AD}SuitabilityDirectoryException", "No suitable domain controller.", Unavailable),
        (
            f"{_AD}ADOperationException",
            "Active Directory operation failed on AM0P. This error is not retriable. Access is denied.",
            Refused,
        ),
        (
            f"{_AD}ADScopeException",
            "'x' isn't within your current write scopes. Can't perform save operation.",
            Refused,
        ),
        (
            "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException",
            "Der Vorgang konnte nicht ausgeführt werden, da das Objekt 'x' auf 'DC1' nicht gefunden wurde.",
            NotFound,
        ),
        (
            "Microsoft.Exchange.ManagementTasks.ValidationException",
            "CNAME record does not exist for this config. Return and retry this step later.",
            Refused,
        ),
    ],
)
def test_a_trouble_that_passes_is_not_taken_for_a_refusal(type_: str, message: str, kind: type) -> None:
    for status in (400, 500):
        error = error_by_type(Cmdlet("New-InboundConnector"), type_, message, status=status)
        assert type(error) is kind, (status, error)
