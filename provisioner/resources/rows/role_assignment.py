"""Graph `/roleManagement/directory/roleAssignments`: who holds which directory role, by ids.

Conditional Access names built-in roles, whose definitions have the id of their template, and holds for roles in the
whole directory: it is "not enforced for other role types, including administrative unit-scoped roles or custom roles"
(Learn, "Conditional Access: Users, groups, agents, and workload identities"). A role that a group holds is that of its
members, and its assignment names the group (Learn, "Use Microsoft Entra groups to manage role assignments"). The whole
list is asked for, as the page's first request does (Learn, "List unifiedRoleAssignments").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from provisioner.model import GraphRequest, Row

PERMISSION = "RoleManagement.Read.Directory"
"""The least privileged Graph permission that suffices."""

COLUMNS = frozenset({"principalId", "roleDefinitionId", "directoryScopeId"})
REQUEST = GraphRequest("GET", "/roleManagement/directory/roleAssignments")

_EVERYWHERE = "/"


def of(rows: Iterable[Row], principals: Collection[str]) -> tuple[Row, ...]:
    """The assignments to these users and groups, without what is not decoded."""
    mine = (row for row in rows if str(row.get("principalId")).lower() in principals)
    return tuple({name: value for name, value in row.items() if name in COLUMNS} for row in mine)


def decode(rows: Iterable[Row], principals: Collection[str]) -> frozenset[str]:
    """The roles that these users and groups hold in the whole directory; all ids in lower case."""
    whole = (row for row in of(rows, principals) if row.get("directoryScopeId") == _EVERYWHERE)
    return frozenset(str(row["roleDefinitionId"]).lower() for row in whole if row.get("roleDefinitionId"))
