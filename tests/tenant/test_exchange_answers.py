"""What can't be the whole answer to a read, whichever transport carried it."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.diagnostics import Malformed
from provisioner.model import Cmdlet
from provisioner.tenant.exchange_answers import check_rows


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
