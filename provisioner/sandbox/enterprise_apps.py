"""Enterprise applications as Microsoft Graph shows them: service principals, and the application permissions that an
administrator consented to (app role assignments).

Made from the tenant's applications (`apps:` of a seed) at each reading: `objectId` is the id of the service principal,
and `appRoles` are the permissions with consent. The two APIs whose permissions they are, Office 365 Exchange Online and
Microsoft Graph, are service principals too. The ids of app roles are ours: clients find them by `value`.

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


def principals(tenant: Tenant) -> list[Row]:
    """Every service principal of the tenant."""
    apis = [
        _principal(_api_id(tenant, api), app_id, name, [_role(api, value) for value in _values(tenant, api)])
        for api, (app_id, name, _) in _APIS.items()
    ]
    return [*apis, *(_principal(app["objectId"], app["appId"], app["displayName"], []) for app in tenant.apps)]


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


def _values(tenant: Tenant, api: str) -> list[str]:
    """The permissions of an API: those that mail has to do with, and whatever else an application of a seed has."""
    granted = (value for app in tenant.apps for value in app.get("appRoles", {}).get(api, ()))
    return list(dict.fromkeys((*_APIS[api][2], *granted)))


def _api_id(tenant: Tenant, api: str) -> str:
    return stable_guid(tenant.tenant_id, "service-principal", api)


def _role(api: str, value: str) -> Row:
    return {
        "id": stable_guid("app-role", api, value),
        "value": value,
        "displayName": value,
        "allowedMemberTypes": ["Application"],
        "isEnabled": True,
    }


def _principal(principal_id: str, app_id: str, name: str, roles: list[Row]) -> Row:
    return {
        "id": principal_id,
        "appId": app_id,
        "displayName": name,
        "appDisplayName": name,
        "accountEnabled": True,
        "servicePrincipalType": "Application",
        "servicePrincipalNames": [app_id],
        "appRoles": roles,
    }
