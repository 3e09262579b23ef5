"""Enterprise applications as Microsoft Graph shows them: service principals, and the application permissions that an
administrator consented to (app role assignments).

Made from the tenant's applications (`apps:` of a seed) at each reading: `objectId` is the id of the service principal,
and `appRoles` are the permissions with consent. The two APIs whose permissions they are, Office 365 Exchange Online and
Microsoft Graph, are service principals too.

Sources: Learn, "servicePrincipal resource type", "List appRoleAssignments granted to a service principal".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.sandbox.cmdlets.objects import stable_guid
from provisioner.sandbox.tenant import Tenant
from provisioner.sandbox.tokens import EXCHANGE, GRAPH

Row = dict[str, Any]

KNOWN = frozenset({
    "id", "appId", "displayName", "appDisplayName", "appRoles", "accountEnabled", "servicePrincipalType",
    "servicePrincipalNames", "appOwnerOrganizationId", "alternativeNames", "appDescription",
    "appRoleAssignmentRequired", "createdDateTime", "deletedDateTime", "description", "homepage", "keyCredentials",
    "loginUrl", "notes", "oauth2PermissionScopes", "passwordCredentials", "preferredSingleSignOnMode", "replyUrls",
    "signInAudience", "tags",
})  # fmt: skip
FILTERABLE = frozenset({
    "id", "appId", "displayName", "accountEnabled", "servicePrincipalNames", "servicePrincipalType", "tags",
})  # fmt: skip
READ = ("Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")

_APIS = {
    EXCHANGE: (
        "00000002-0000-0ff1-ce00-000000000000",
        "Office 365 Exchange Online",
        ("Exchange.ManageAsApp", "SMTP.SendAsApp", "IMAP.AccessAsApp", "POP.AccessAsApp", "Mail.Send"),
    ),
    GRAPH: (
        "00000003-0000-0000-c000-000000000000",
        "Microsoft Graph",
        ("Mail.Send", "Application.Read.All", "User.Read.All", "Organization.Read.All"),
    ),
}

# The ids of permissions, which scripts write into `requiredResourceAccess` and look for in assignments: Learn,
# "Microsoft Graph permissions reference"; those of Exchange Online as its service principal lists them in every tenant.
# The id of a permission that is not here is made up: no public source has that of SMTP.SendAsApp.
_ROLE_IDS = {
    (EXCHANGE, "Exchange.ManageAsApp"): "dc50a0fb-09a3-484d-be87-e023b12c6440",
    (EXCHANGE, "IMAP.AccessAsApp"): "5e5addcd-3e8d-4e90-baf5-964efab2b20a",
    (EXCHANGE, "POP.AccessAsApp"): "cb842b43-da6e-4506-86fe-bb12199c656d",
    (EXCHANGE, "Mail.Send"): "b633e1c5-b582-4048-a93e-9f11b44c7e96",
    (EXCHANGE, "full_access_as_app"): "dc890d15-9560-4a4c-9b7f-a736ec74ec40",
    (GRAPH, "Mail.Send"): "b633e1c5-b582-4048-a93e-9f11b44c7e96",
    (GRAPH, "Application.Read.All"): "9a5d68dd-52b0-4cc2-bd40-abcf448ac30e",
    (GRAPH, "User.Read.All"): "df021288-bdef-4463-88db-98f22de89214",
    (GRAPH, "Organization.Read.All"): "498476ce-e0fe-48b0-b801-37ba7e2685c6",
    (GRAPH, "Directory.Read.All"): "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
    (GRAPH, "Group.Read.All"): "5b567255-7703-4780-807c-7be8301ae99b",
    (GRAPH, "Domain.Read.All"): "dbb9058a-0e50-45d7-ae91-66909b5d4664",
    (GRAPH, "Policy.Read.All"): "246dd0d5-5bd0-4def-940b-0421030a5b68",
}
# The tenant of Microsoft's own applications, by which scripts tell them from the customer's.
_MICROSOFT = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"


def principals(tenant: Tenant) -> list[Row]:
    """Every service principal of the tenant."""
    apis = [
        _principal(
            _api_id(tenant, api), app_id, name, _MICROSOFT, [_role(api, value) for value in _values(tenant, api)]
        )
        for api, (app_id, name, _) in _APIS.items()
    ]
    own = (_principal(app["objectId"], app["appId"], app["displayName"], tenant.tenant_id, []) for app in tenant.apps)
    return [*apis, *own]


def assignments(tenant: Tenant, principal_id: str) -> Iterator[Row]:
    """The application permissions of one service principal."""
    for app in tenant.apps:
        if str(app["objectId"]).lower() != principal_id.lower():
            continue
        for api, values in app.get("appRoles", {}).items():
            for value in values if api in _APIS else ():
                role = _role(api, value)["id"]
                yield {
                    "id": stable_guid(str(app["objectId"]), role),
                    "appRoleId": role,
                    "principalDisplayName": app["displayName"],
                    "principalId": app["objectId"],
                    "principalType": "ServicePrincipal",
                    "resourceDisplayName": _APIS[api][1],
                    "resourceId": _api_id(tenant, api),
                }


def required(app: Mapping[str, Any]) -> list[Row]:
    """The application permissions that an app registration asks for (`requiredResourceAccess`)."""
    asked = {api: values for api, values in app.get("appRoles", {}).items() if api in _APIS and values}
    roles = {api: [{"id": _role(api, value)["id"], "type": "Role"} for value in asked[api]] for api in asked}
    return [{"resourceAppId": _APIS[api][0], "resourceAccess": rows} for api, rows in roles.items()]


def assigned_to(tenant: Tenant, principal_id: str) -> Iterator[Row]:
    """Who holds the application permissions of an API, by the object id of its service principal (Learn, "List
    appRoleAssignments granted for a service principal")."""
    for app in tenant.apps:
        mine = assignments(tenant, str(app["objectId"]))
        yield from (row for row in mine if str(row["resourceId"]).lower() == principal_id.lower())


def grants(tenant: Tenant, principal_id: str = "") -> list[Row]:
    """Delegated permissions with an administrator's consent, of all clients or of one: those of a seed, and `delegated`
    of its applications (Learn, "oAuth2PermissionGrant resource type")."""
    rows: list[Row] = list(tenant.graph.get("oauth2PermissionGrants") or ())
    for app in tenant.apps:
        for api, scopes in (app.get("delegated") or {}).items():
            if api in _APIS:
                resource = _api_id(tenant, api)
                rows.append({
                    "id": stable_guid("grant", str(app["objectId"]), resource),
                    "clientId": app["objectId"],
                    "consentType": "AllPrincipals",
                    "principalId": None,
                    "resourceId": resource,
                    "scope": " ".join(scopes),
                })  # fmt: skip
    return [row for row in rows if not principal_id or str(row.get("clientId")).lower() == principal_id.lower()]


def _values(tenant: Tenant, api: str) -> list[str]:
    """The permissions of an API: those that mail has to do with, and whatever else an application of a seed has."""
    granted = (value for app in tenant.apps for value in app.get("appRoles", {}).get(api, ()))
    return list(dict.fromkeys((*_APIS[api][2], *granted)))


def _api_id(tenant: Tenant, api: str) -> str:
    return stable_guid(tenant.tenant_id, "service-principal", api)


def _role(api: str, value: str) -> Row:
    return {
        "id": _ROLE_IDS.get((api, value)) or stable_guid("app-role", api, value),
        "value": value,
        "displayName": value,
        "allowedMemberTypes": ["Application"],
        "isEnabled": True,
    }


def _principal(principal_id: str, app_id: str, name: str, owner: str, roles: list[Row]) -> Row:
    return {
        "id": principal_id,
        "appId": app_id,
        "displayName": name,
        "appDisplayName": name,
        "appOwnerOrganizationId": owner,
        "accountEnabled": True,
        "servicePrincipalType": "Application",
        "servicePrincipalNames": [app_id],
        "appRoles": roles,
    }
