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
        "DynamicDistributionGroup": [
            {
                "Name": "Printers",
                "RecipientFilter": "((RecipientType -eq 'UserMailbox') -and (-not(Name -like 'scan*')))",
            }
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


def test_the_members_of_a_dynamic_group_follow_from_its_filter(tenant: Tenant) -> None:
    assert addresses(tenant, "Get-DynamicDistributionGroupMember", Identity="Printers") == ["fax@contoso.com"]
    assert addresses(tenant, "Get-DynamicDistributionGroup") == ["printers@contoso.onmicrosoft.com"]
    with pytest.raises(CmdletError, match="couldn't be found"):
        run_cmdlet(tenant, ADMIN, "Get-DynamicDistributionGroupMember", {"Identity": "devices@contoso.com"})


@pytest.mark.parametrize(
    ("cmdlet", "parameters", "found"),
    [
        ("Get-Mailbox", {"Filter": "CustomAttribute1 -eq 'printer' -and LitigationHoldEnabled -eq 'False'"}, ["fax"]),
        (
            "Get-Mailbox",
            {"Filter": '{ArchiveGuid -Eq "00000000-0000-0000-0000-000000000000" -AND Alias -like "s*"}'},
            ["scan"],
        ),
        (
            "Get-Mailbox",
            {"RecipientTypeDetails": ["SharedMailbox", "UserMailbox"], "SortBy": "displayname"},
            ["fax", "scan"],
        ),
        ("Get-Mailbox", {"RecipientTypeDetails": "RoomMailbox,EquipmentMailbox"}, []),
        ("Get-Mailbox", {"Anr": "SC"}, ["scan"]),
        ("Get-Mailbox", {"Filter": "WhenCreated -gt '01/31/2020 10:00:00 PM'", "SortBy": "Alias"}, ["fax", "scan"]),
        ("Get-Mailbox", {"Filter": "WhenCreatedUTC -lt '2020-01-31'"}, []),
        ("Get-CASMailbox", {"Filter": "ImapEnabled -eq 'true'", "SortBy": "Name"}, ["fax", "scan"]),
        ("Get-Recipient", {"RecipientType": ["MailUniversalSecurityGroup"]}, ["devices"]),
        ("Get-Recipient", {"Filter": "HiddenFromAddressListsEnabled -eq $false", "Anr": "fax"}, ["fax"]),
        ("Get-DistributionGroup", {"Filter": "Alias -eq 'devices'"}, ["devices"]),
        ("Get-DistributionGroup", {"RecipientTypeDetails": ["RoomList"]}, []),
        ("Get-User", {"Filter": "UserPrincipalName -eq 'fax@contoso.com'"}, ["fax"]),
    ],
)
def test_recipients_are_searched_as_public_tools_do(
    tenant: Tenant, cmdlet: str, parameters: dict[str, Any], found: list[str]
) -> None:
    rows = run_cmdlet(tenant, ADMIN, cmdlet, parameters).rows
    column = "WindowsEmailAddress" if cmdlet == "Get-User" else "PrimarySmtpAddress"
    assert [row[column].partition("@")[0] for row in rows] == found


def test_a_kind_of_recipient_that_nobody_knows_is_refused(tenant: Tenant) -> None:
    with pytest.raises(CmdletError, match="Unable to match the identifier name Printer to a valid enumerator name"):
        run_cmdlet(tenant, ADMIN, "Get-Mailbox", {"RecipientTypeDetails": ["Printer"]})
