"""Applications in the sandbox: New-, Set-, Remove-ServicePrincipal, mailbox permissions, and what Graph shows."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.enterprise_apps import assignments, principals
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

ADMIN = Caller("app", directory_roles=("Exchange Administrator",))
CLIENT, OBJECT = "6f1c0d1e-0000-4000-8000-000000000001", "6f1c0d1e-0000-4000-8000-000000000002"
BOX = "invoices@contoso.com"


@pytest.fixture
def tenant() -> Tenant:
    found = Tenant()
    app = {"displayName": "erp", "appId": CLIENT, "objectId": OBJECT,
           "appRoles": {"https://outlook.office365.com": ["SMTP.SendAsApp"]}}  # fmt: skip
    found.merge(load_seed({"sandbox": 1, "mailboxes": [BOX, "anna@contoso.com"], "apps": [app]}))
    return found


def run(tenant: Tenant, name: str, **parameters: Any) -> Any:
    return run_cmdlet(tenant, ADMIN, name, parameters)


def refused(tenant: Tenant, name: str, **parameters: Any) -> CmdletError:
    with pytest.raises(CmdletError) as caught:
        run(tenant, name, **parameters)
    return caught.value


def test_an_application_is_registered_with_whatever_ids_it_is_given(tenant: Tenant) -> None:
    (row,) = run(tenant, "New-ServicePrincipal", AppId=CLIENT, ObjectId="anything", DisplayName="ERP").rows
    assert (row["AppId"], row["ObjectId"], row["DisplayName"]) == (CLIENT, "anything", "ERP")
    assert "already exists" in refused(tenant, "New-ServicePrincipal", AppId=CLIENT, ObjectId=OBJECT).message
    assert "ObjectId" in refused(tenant, "New-ServicePrincipal", AppId=OBJECT).message
    run(tenant, "Set-ServicePrincipal", Identity=CLIENT, DisplayName="Billing")
    assert run(tenant, "Get-ServicePrincipal", Identity="Billing").rows[0]["ObjectId"] == "anything"
    assert "Invalid cmdlet parameters" in refused(tenant, "Set-ServicePrincipal", Identity=CLIENT, ObjectId="x").message
    run(tenant, "Remove-ServicePrincipal", Identity="anything")
    assert run(tenant, "Get-ServicePrincipal").rows == []
    old = run(tenant, "New-ServicePrincipal", AppId=CLIENT, ServiceId=OBJECT).rows[0]
    assert old["ObjectId"] == OBJECT


def test_full_access_is_given_once_shown_joined_and_taken_away(tenant: Tenant) -> None:
    run(tenant, "New-ServicePrincipal", AppId=CLIENT, ObjectId=OBJECT)
    right = {"Identity": BOX, "User": OBJECT, "AccessRights": ["FullAccess"]}
    run(tenant, "Add-MailboxPermission", **right, AutoMapping=False)
    run(tenant, "Add-MailboxPermission", **{**right, "AccessRights": ["ReadPermission"]})
    assert "already present" in run(tenant, "Add-MailboxPermission", **right).warnings[0]
    rows = run(tenant, "Get-MailboxPermission", Identity=BOX).rows
    mine = [row for row in rows if row["UserSid"].startswith("S-1-5-21-6") or row["User"].startswith("S-1-5-21")]
    assert [row["AccessRights"] for row in mine] == [["FullAccess, ReadPermission"]]
    assert "Guid" not in mine[0]
    assert {row["User"] for row in rows if row["IsInherited"]}, "inherited rows are there too"
    assert any(row["UserSid"] == "S-1-5-10" for row in rows)
    run(tenant, "Remove-MailboxPermission", **right)
    left = list(tenant.rows("MailboxPermission"))
    assert [row["AccessRights"] for row in left] == [["ReadPermission"]]
    assert "ACE doesn't exist" in run(tenant, "Remove-MailboxPermission", **right).warnings[0]


def test_a_mailbox_may_be_seeded_with_the_rights_of_several(tenant: Tenant) -> None:
    rights = [{"Identity": BOX, "User": user, "AccessRights": ["FullAccess"]} for user in ("anna@contoso.com", "ERP")]
    tenant.merge(load_seed({"sandbox": 1, "objects": {"MailboxPermission": [*rights, rights[0]]}}))
    assert sorted(row["User"] for row in tenant.rows("MailboxPermission")) == ["ERP", "anna@contoso.com"]


def test_what_exchange_refuses_of_mailbox_permissions(tenant: Tenant) -> None:
    right = {"Identity": BOX, "User": OBJECT, "AccessRights": ["FullAccess"]}
    assert "couldn't be found" in refused(tenant, "Add-MailboxPermission", **right).message
    assert "Identity" in refused(tenant, "Get-MailboxPermission").message
    person = {**right, "User": "anna@contoso.com"}
    bad = refused(tenant, "Add-MailboxPermission", **{**person, "AccessRights": ["SendAs"]})
    assert "Unable to match the identifier name SendAs" in bad.message
    assert "couldn't be found" in refused(tenant, "Add-MailboxPermission", **{**person, "Identity": "no@x.com"}).message


def test_graph_shows_applications_and_apis_with_what_was_consented_to(tenant: Tenant) -> None:
    rows = {row["appId"]: row for row in principals(tenant)}
    assert rows[CLIENT]["id"] == OBJECT
    exchange = rows["00000002-0000-0ff1-ce00-000000000000"]
    (granted,) = assignments(tenant, OBJECT)
    assert granted["resourceId"] == exchange["id"]
    (role,) = (role["value"] for role in exchange["appRoles"] if role["id"] == granted["appRoleId"])
    assert role == "SMTP.SendAsApp"
    assert list(assignments(tenant, "nobody")) == []
