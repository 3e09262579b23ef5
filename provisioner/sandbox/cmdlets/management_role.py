"""RBAC for Applications: management scopes, role assignments to applications, and the test of what they allow.

An assignment gives an application a role such as "Application SMTP.SendAsApp" on the recipients of a scope, whose
filter is OPATH (Learn, "Role Based Access Control for Applications in Exchange Online"; MC1158911). Its cmdlet refuses
an application that is not registered, and a role or scope that does not exist. A tenant that was never customized
refuses the first change (Enable-OrganizationCustomization). `Test-ServicePrincipalAuthorization` answers at once,
whatever is cached (same page); its columns are those of its own page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets import errors, mailbox, opath, recipient_search, service_principal
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import (
    Noun,
    Rows,
    create,
    find,
    get,
    remove,
    server,
    set_row,
    shuffled,
    target,
)
from provisioner.sandbox.cmdlets.parameters import boolean, choice, identity, string
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet, remove_cmdlet
from provisioner.sandbox.tenant import Row, Tenant

SCOPE = Noun(
    "ManagementScope",
    {"RecipientFilter": "", "RecipientRoot": None, "ScopeRestrictionType": "RecipientScope", "Exclusive": False},
    container="CN=Scopes,CN=RBAC,CN=Configuration",
)
NOUN = Noun(
    "ManagementRoleAssignment",
    {
        "Role": "",
        "RoleAssignee": "",
        "RoleAssigneeName": "",
        "RoleAssigneeType": "ServicePrincipal",
        "RoleAssignmentDelegationType": "Regular",
        "CustomResourceScope": None,
        "CustomRecipientWriteScope": None,
        "RecipientWriteScope": "Organization",
        "Enabled": True,
    },
    container="CN=Role Assignments,CN=RBAC,CN=Configuration",
)

_ASSIGNEES = (
    "User", "SecurityGroup", "RoleAssignmentPolicy", "MailboxPlan", "ForeignSecurityPrincipal", "RoleGroup",
    "LinkedRoleGroup", "Computer", "ServicePrincipal",
)  # fmt: skip
ROLES = (
    "Application Mail.Send", "Application SMTP.SendAsApp", "Application Mail.Read", "Application Mail.ReadWrite",
    "Application Mail.ReadBasic", "Application MailboxSettings.Read", "Application Exchange Full Access",
)  # fmt: skip


def _properties(tenant: Tenant) -> Mapping[str, opath.Values]:
    """What the filter of a scope compares. MemberOfGroup is of direct members (Learn, Application RBAC)."""

    def groups(row: Row) -> Iterable[object]:
        wanted = str(row.get("ExternalDirectoryObjectId") or "-").lower()
        users = (u for u in tenant.graph.get("users") or () if str(u.get("id")).lower() == wanted)
        mine = {str(name).lower() for user in users for name in user.get("memberOf") or ()}
        rows = (group for noun in ("DistributionGroup", "UnifiedGroup") for group in tenant.visible(noun))
        return [g["DistinguishedName"] for g in rows if str(g.get("ExternalDirectoryObjectId") or "-").lower() in mine]

    return {**recipient_search.FILTERABLE, "memberofgroup": groups}


def _customized(tenant: Tenant) -> None:
    """Raise CmdletError in a tenant that was never customized (text: the service's, in many public threads)."""
    organization = tenant.visible("OrganizationConfig")
    if organization and organization[0].get("IsDehydrated") is True:
        raise errors.invalid(
            "The command you tried to run isn't currently allowed in your organization. To run this command, you first "
            "need to run the command: Enable-OrganizationCustomization."
        )


def _new_scope(call: Call) -> Rows:
    _customized(call.tenant)
    text = str(call.get("RecipientRestrictionFilter"))
    opath.predicate(text, _properties(call.tenant))  # refuses what it cannot read
    return create(call, SCOPE, {"Name": str(call.get("Name")), "RecipientFilter": text})


def _set_scope(call: Call) -> Rows:
    row = target(call, SCOPE)
    text = str(call.get("RecipientRestrictionFilter"))
    opath.predicate(text, _properties(call.tenant))
    set_row(call, SCOPE, row, {"RecipientFilter": text})
    return []


def _remove_scope(call: Call) -> Rows:
    row = target(call, SCOPE)
    users = [r["Name"] for r in call.tenant.rows(NOUN.name) if r.get("CustomResourceScope") == row["Name"]]
    if users:
        raise errors.invalid(f"The scope '{row['Name']}' is used by the role assignment '{users[0]}'.")  # text ours
    return remove(call, SCOPE)


def _role(call: Call) -> str:
    wanted = str(call.get("Role"))
    found = next((role for role in ROLES if role.lower() == wanted.lower()), None)
    if found is None:
        raise errors.not_found(wanted, server(call.tenant))
    return found


def _new(call: Call) -> Rows:
    tenant = call.tenant
    _customized(tenant)
    role, application = _role(call), find(tenant, service_principal.NOUN, str(call.get("App")))
    scope = find(tenant, SCOPE, str(call.get("CustomResourceScope"))) if call.get("CustomResourceScope") else None
    name = str(call.get("Name") or f"{role}-{application['ObjectId']}")[:64]
    return create(call, NOUN, {
        "Name": name,
        "Role": role,
        "RoleAssignee": application["ObjectId"],
        "RoleAssigneeName": application["ObjectId"],
        "CustomResourceScope": scope["Name"] if scope else None,
        "CustomRecipientWriteScope": scope["Name"] if scope else None,
        "RecipientWriteScope": "CustomRecipientScope" if scope else "Organization",
    })  # fmt: skip


def _get(call: Call) -> Rows:
    rows = get(call, NOUN)
    wanted: Row = {}
    if call.get("Role"):
        wanted["Role"] = _role(call)
    if call.given("Delegating"):
        wanted["RoleAssignmentDelegationType"] = "Delegating" if call.get("Delegating") else "Regular"
    wanted |= {name: call.get(name) for name in ("Enabled", "RoleAssigneeType") if call.given(name)}
    rows = [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]
    assignee = str(call.get("RoleAssignee") or "").lower()
    names = ("RoleAssignee", "RoleAssigneeName")
    return [row for row in rows if not assignee or assignee in {str(row[name]).lower() for name in names}]


def assigned(tenant: Tenant, application: Row) -> Iterable[Row]:
    """The assignments of an application, as reads see them."""
    own = {str(application.get(column) or "").lower() for column in ("ObjectId", "AppId")}
    return (row for row in tenant.visible(NOUN.name) if str(row["RoleAssignee"]).lower() in own)


def in_scope(tenant: Tenant, assignment: Mapping[str, Any], owner: Row) -> bool:
    """Whether an assignment is about a mailbox; without a scope it is about every one."""
    name = assignment.get("CustomResourceScope")
    if not name:
        return True
    scope = next((row for row in tenant.visible(SCOPE.name) if row["Name"] == name), None)
    return scope is not None and opath.predicate(str(scope["RecipientFilter"]), _properties(tenant))(owner)


def _test(call: Call) -> Rows:
    tenant = call.tenant
    application = find(tenant, service_principal.NOUN, str(call.get("Identity")))
    owner = find(tenant, mailbox.NOUN, str(call.get("Resource"))) if call.get("Resource") else None
    return shuffled(tenant, [
        {
            "RoleName": row["Role"],
            "GrantedPermissions": str(row["Role"]).removeprefix("Application "),
            "AllowedResourceScope": row.get("CustomResourceScope") or "Organization",
            "ScopeType": row["RecipientWriteScope"],
            "InScope": "Not Run" if owner is None else str(in_scope(tenant, row, owner)),
        }
        for row in assigned(tenant, application)
    ])  # fmt: skip


_FILTER = string("RecipientRestrictionFilter", required=True, stored=False)
CMDLETS = (
    get_cmdlet(SCOPE),
    Cmdlet("New-ManagementScope", (string("Name", required=True, max_length=64), _FILTER), _new_scope),
    Cmdlet("Set-ManagementScope", (identity(), _FILTER), _set_scope),
    Cmdlet("Remove-ManagementScope", (identity(),), _remove_scope),
    Cmdlet(
        "Get-ManagementRoleAssignment",
        (
            identity(required=False),
            string("Role"),
            string("RoleAssignee"),
            choice(
                "RoleAssigneeType",
                "Microsoft.Exchange.Data.Directory.SystemConfiguration.RoleAssigneeType",
                *_ASSIGNEES,
            ),
            boolean("Delegating"),
            boolean("Enabled"),
        ),
        _get,
    ),
    Cmdlet(
        "New-ManagementRoleAssignment",
        (
            string("Name", max_length=64),
            string("App", required=True),
            string("Role", required=True),
            string("CustomResourceScope"),
        ),
        _new,
    ),
    remove_cmdlet(NOUN),
    Cmdlet("Test-ServicePrincipalAuthorization", (identity(), string("Resource")), _test),
)
