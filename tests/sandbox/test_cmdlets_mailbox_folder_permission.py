"""Rights on folders, as the sandbox answers."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.exchange_rest import error_body
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))
CALENDAR, ANN = "hall@contoso.com:\\Calendar", "ann@contoso.com"


@pytest.fixture
def tenant() -> Tenant:
    found = Tenant()
    found.merge(load_seed({"sandbox": 1, "mailboxes": ["hall@contoso.com", ANN]}))
    return found


def run(tenant: Tenant, name: str, **parameters: Any) -> Any:
    return run_cmdlet(tenant, ADMIN, name, {"Identity": CALENDAR, **parameters}).rows


def rights(tenant: Tenant, **parameters: Any) -> dict[str, list[str]]:
    return {row["User"]: row["AccessRights"] for row in run(tenant, "Get-MailboxFolderPermission", **parameters)}


def refusal(tenant: Tenant, name: str, **parameters: Any) -> str:
    with pytest.raises(CmdletError) as refused:
        run(tenant, name, **parameters)
    return str(error_body(refused.value)["error"]["details"][0]["message"])


def test_everybody_sees_when_a_calendar_is_busy_and_nothing_of_other_folders(tenant: Tenant) -> None:
    assert rights(tenant) == {"Default": ["AvailabilityOnly"], "Anonymous": ["None"]}
    assert rights(tenant, Identity="hall@contoso.com:\\inbox")["Default"] == ["None"]
    assert "couldn't be found" in refusal(tenant, "Get-MailboxFolderPermission", Identity="hall@contoso.com:\\Nowhere")


def test_rights_are_added_changed_and_removed(tenant: Tenant) -> None:
    (row,) = run(
        tenant, "Add-MailboxFolderPermission", User=ANN, AccessRights="editor", SharingPermissionFlags="delegate"
    )
    assert (row["FolderName"], row["AccessRights"], row["SharingPermissionFlags"]) == (
        "Calendar",
        ["Editor"],
        "Delegate",
    )
    run(tenant, "Set-MailboxFolderPermission", User=ANN, AccessRights=["ReadItems", "FolderVisible"])
    run(tenant, "Set-MailboxFolderPermission", User="default", AccessRights=["LimitedDetails"])
    assert rights(tenant) == {
        "Default": ["LimitedDetails"],
        "Anonymous": ["None"],
        "ann": ["ReadItems", "FolderVisible"],
    }
    run(tenant, "Remove-MailboxFolderPermission", User=ANN)
    assert set(rights(tenant)) == {"Default", "Anonymous"}


def test_refusals_have_the_words_that_scripts_look_for(tenant: Tenant) -> None:
    run(tenant, "Add-MailboxFolderPermission", User=ANN, AccessRights=["Reviewer"])
    space = "Microsoft.Exchange.Management.StoreTasks"
    assert refusal(tenant, "Add-MailboxFolderPermission", User=ANN, AccessRights=["Editor"]) == (
        f"|{space}.UserAlreadyExistsInPermissionEntryException|An existing permission entry was found for user: ann."
    )
    for name in ("Set-MailboxFolderPermission", "Remove-MailboxFolderPermission"):
        parameters = {"AccessRights": ["Editor"]} if name.startswith("Set") else {}
        said = refusal(tenant, name, User="hall@contoso.com", **parameters)
        assert said.startswith(f"|{space}.UserNotFoundInPermissionEntryException|There is no existing permission entry")
