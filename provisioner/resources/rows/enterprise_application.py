"""Graph `/servicePrincipals`: the enterprise application of a client id, and the permissions that it has with consent.

The object id of the enterprise application is the one that Exchange wants; that of the app registration is another one
(Learn, "Authenticate an IMAP, POP or SMTP connection using OAuth"). Application permissions with admin consent are its
app role assignments, which name a role by id: the API's own service principal tells what the id means (Learn,
"servicePrincipal: List appRoleAssignments"). All of it takes Application.Read.All.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from provisioner.model import GraphRequest, Row
from provisioner.model.names import caseless
from provisioner.resources.canonical import identifier, is_guid

PERMISSION = "Application.Read.All"
EXCHANGE_API, GRAPH_API = "00000002-0000-0ff1-ce00-000000000000", "00000003-0000-0000-c000-000000000000"
"""Application ids of Office 365 Exchange Online and Microsoft Graph, the same in every tenant and cloud."""

SEND_AS_APP = "exchange/SMTP.SendAsApp"
"""Permissions as they are named here: the API, then its role."""

_APIS = {EXCHANGE_API: "exchange", GRAPH_API: "graph"}


def look_up(client_id: str) -> GraphRequest:
    """The enterprise application of a client id; an answer without rows where the tenant has none."""
    condition = quote(f"appId eq '{client_id}'", safe="'")
    return GraphRequest("GET", f"/servicePrincipals?$filter={condition}", columns=frozenset({"appId", "displayName"}))


def named(application: str) -> GraphRequest:
    """The enterprise application of a client id, or those of a name, which need not be one alone."""
    if is_guid(application):
        return look_up(application)
    quoted = application.replace("'", "''")
    condition = quote(f"displayName eq '{quoted}'", safe="'")
    return GraphRequest("GET", f"/servicePrincipals?$filter={condition}", columns=frozenset({"appId", "displayName"}))


def roles_of(api: str) -> GraphRequest:
    """The service principal of an API with the names of its roles."""
    condition = quote(f"appId eq '{api}'", safe="'")
    return GraphRequest("GET", f"/servicePrincipals?$filter={condition}", columns=frozenset({"appId", "appRoles"}))


ROLES = (roles_of(EXCHANGE_API), roles_of(GRAPH_API))


def granted_to(object_id: str) -> GraphRequest:
    """The application permissions of one enterprise application."""
    path = f"/servicePrincipals/{quote(object_id, safe='')}/appRoleAssignments?$top=999"
    return GraphRequest("GET", path, columns=frozenset({"appRoleId", "resourceId"}))


@dataclass(frozen=True, slots=True)
class EnterpriseApplication:
    """`id` is its object id, `client_id` that of the application; both in lower case."""

    id: str
    client_id: str
    name: str

    def is_called(self, name: str) -> bool:
        """Whether a name or client id is its own. Graph compares names without case."""
        return caseless(name) in {caseless(self.client_id), caseless(self.name)}


def decode(rows: Iterable[Row]) -> dict[str, EnterpriseApplication]:
    """By client id. Raises ValueError for a row without ids."""
    found = (
        EnterpriseApplication(
            identifier(row, "id").lower(), identifier(row, "appId").lower(), str(row.get("displayName") or "")
        )
        for row in rows
    )
    return {application.client_id: application for application in found}


def permissions(granted: Iterable[Row], apis: Iterable[Row]) -> frozenset[str]:
    """What the app role assignments of an application allow it, of the APIs whose service principals are given."""
    names = {
        (str(api.get("id")).lower(), str(role.get("id")).lower()): f"{_APIS[str(api['appId']).lower()]}/{role['value']}"
        for api in apis
        for role in api.get("appRoles") or ()
        if role.get("value") and str(api.get("appId")).lower() in _APIS
    }
    held = ((str(row.get("resourceId")).lower(), str(row.get("appRoleId")).lower()) for row in granted)
    return frozenset(names[pair] for pair in held if pair in names)
