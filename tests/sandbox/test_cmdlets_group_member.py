"""Members of groups, and custom attributes of recipients, as the sandbox answers."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

ADMIN = Caller("admin", directory_roles=("Global Reader",))
GROUP_ID = "6f0a3c1e-0000-4000-8000-000000000009"
SEED: dict[str, Any] = {
    "sandbox": 1,
    "mailboxes": ["scan@contoso.com", "fax@contoso.com"],
    "objects": {
        "DistributionGroup": [
            {"Name": "Devices", "PrimarySmtpAddress": "devices@contoso.com", "ExternalDirectoryObjectId": GROUP_ID}
        ],
        "Mailbox": [{"PrimarySmtpAddress": "fax@contoso.com", "CustomAttribute1": "Printer"}],
    },
    "graph": {"users": [{"userPrincipalName": "scan@contoso.com", "memberOf": [GROUP_ID]}]},
}


@pytest.fixture
def tenant() -> Tenant:
    found = Tenant()
    found.merge(load_seed(SEED))
    return found


def addresses(tenant: Tenant, cmdlet: str, **parameters: Any) -> list[str]:
    return [row["PrimarySmtpAddress"] for row in run_cmdlet(tenant, ADMIN, cmdlet, parameters).rows]


def test_the_members_of_a_group_are_listed_as_recipients(tenant: Tenant) -> None:
    assert addresses(tenant, "Get-DistributionGroupMember", Identity="devices@contoso.com") == ["scan@contoso.com"]
    for name in ("nobody@contoso.com", "fax@contoso.com"):
        with pytest.raises(CmdletError, match="couldn't be found"):
            run_cmdlet(tenant, ADMIN, "Get-DistributionGroupMember", {"Identity": name})


def test_recipients_are_filtered_by_custom_attributes_without_case(tenant: Tenant) -> None:
    text = "RecipientType -eq 'UserMailbox' -and CustomAttribute1 -eq 'printer'"
    assert addresses(tenant, "Get-Recipient", Filter=text) == ["fax@contoso.com"]
