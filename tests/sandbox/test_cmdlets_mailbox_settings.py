"""Set-Mailbox, as the sandbox answers."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

ADMIN = Caller("admin", directory_roles=("Exchange Recipient Administrator",))
ERP, FAX = "erp@contoso.com", "fax@contoso.com"


@pytest.fixture
def tenant() -> Tenant:
    found = Tenant()
    found.merge(load_seed({"sandbox": 1, "settings": {"shuffle": False}, "mailboxes": [ERP, FAX]}))
    return found


def change(tenant: Tenant, **parameters: Any) -> dict[str, Any]:
    run_cmdlet(tenant, ADMIN, "Set-Mailbox", {"Identity": ERP, **parameters})
    return dict(run_cmdlet(tenant, ADMIN, "Get-Mailbox", {"Identity": ERP}).rows[0])


def test_values_are_stored_in_the_form_that_get_shows(tenant: Tenant) -> None:
    row = change(tenant, CustomAttribute3="printer", MaxSendSize="25MB", RecipientLimits="100")
    assert row["CustomAttribute3"] == "printer"
    assert (row["MaxSendSize"], row["RecipientLimits"]) == ("25 MB (26,214,400 bytes)", "100")
    assert change(tenant, ForwardingSmtpAddress="a@else.example")["ForwardingSmtpAddress"] == "smtp:a@else.example"
    assert change(tenant, ForwardingSmtpAddress=None)["ForwardingSmtpAddress"] is None
    assert change(tenant, Type="Shared")["RecipientTypeDetails"] == "SharedMailbox"
    assert change(tenant, GrantSendOnBehalfTo={"Add": [FAX]})["GrantSendOnBehalfTo"] == ["fax"]


def test_addresses_are_changed_everywhere(tenant: Tenant) -> None:
    row = change(tenant, EmailAddresses={"Add": ["mfp@contoso.com"]})
    assert row["EmailAddresses"] == [f"SMTP:{ERP}", "smtp:mfp@contoso.com"]
    row = change(tenant, WindowsEmailAddress="mfp@contoso.com")
    assert (row["PrimarySmtpAddress"], row["EmailAddresses"][1:]) == ("mfp@contoso.com", [f"smtp:{ERP}"])
    (access,) = run_cmdlet(tenant, ADMIN, "Get-CASMailbox", {"Identity": "mfp@contoso.com"}).rows
    assert access["PrimarySmtpAddress"] == "mfp@contoso.com"
    assert "mfp@contoso.com" in {user.get("mail") for user in tenant.graph["users"]}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"EmailAddresses": {"Add": [FAX]}}, 'The proxy address "smtp:fax@contoso.com" is already being used by'),
        ({"MaxSendSize": "151MB"}, "Valid values are 0 to 150 MB"),
        ({"RecipientLimits": "1001"}, "Valid values are 1 to 1000"),
        ({"ForwardingAddress": "nobody"}, "object 'nobody' couldn't be found"),
        ({"Type": "Printer"}, "Unable to match the identifier name Printer"),
    ],
)
def test_what_does_not_hold_is_refused(tenant: Tenant, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(CmdletError) as refused:
        change(tenant, **parameters)
    assert said in refused.value.message
