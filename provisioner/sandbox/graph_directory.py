"""Groups, applications, service principals, directory roles and directory objects in Microsoft Graph.

A group is a row of `tenant.graph["groups"]`, or a mail-enabled group of Exchange, which Entra ID has too. Who is in it
stands with the members (`memberOf`: ids of groups). Applications are made from the tenant's own.

Sources: Learn, "group resource type", "application resource type", "List members", "directoryObject: getByIds".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provisioner.sandbox import enterprise_apps
from provisioner.sandbox.cmdlets.objects import stable_guid
from provisioner.sandbox.graph_calls import Call, Reply, Row, bad_request, context_of, no_segment, not_found
from provisioner.sandbox.graph_expand import Related, objects
from provisioner.sandbox.graph_queries import Queries, selection
from provisioner.sandbox.graph_sets import (
    APPLICATIONS,
    CONTACTS,
    GRANTS,
    GROUPS,
    OBJECTS,
    PRINCIPALS,
    ROLES,
    EntitySet,
    project,
    typed,
)
from provisioner.sandbox.mail_directory import memberships
from provisioner.sandbox.tenant import USERS, user_names
from provisioner.sandbox.tokens import ROLE_TEMPLATES

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Tenant

_READ_DIRECTORY = ("Directory.Read.All", "Directory.ReadWrite.All")
_READ_GROUPS = ("GroupMember.Read.All", "Group.Read.All", "Group.ReadWrite.All", *_READ_DIRECTORY)
_READ_ROLES = ("RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory", *_READ_DIRECTORY)
# Learn, "List oauth2PermissionGrants".
_READ_GRANTS = ("DelegatedPermissionGrant.Read.All", "DelegatedPermissionGrant.ReadWrite.All", *_READ_DIRECTORY)
_READ_OBJECTS = (*_READ_DIRECTORY, "User.Read.All", "Group.Read.All", "Application.Read.All")
_MOST_IDS = 1000


# --- rows ------------------------------------------------------------------------------------------------------------


def groups(tenant: Tenant) -> list[Row]:
    """Every group: those of the directory, and those that only Exchange's rows name."""
    rows = [_group(row) for row in tenant.graph.get("groups") or ()]
    known = {str(row.get("id")).lower() for row in rows}
    for noun in ("DistributionGroup", "UnifiedGroup"):
        for row in tenant.rows(noun):
            mine = _mail_group(tenant, noun, row)
            if str(mine["id"]).lower() not in known:
                rows.append(mine)
    return rows


def _group(row: Mapping[str, Any]) -> Row:
    """A row of the directory, which a seed may have in part."""
    mail = row.get("mail") is not None
    return {"mailEnabled": mail, "securityEnabled": not mail, "groupTypes": [], "displayName": row.get("id"), **row}


def _mail_group(tenant: Tenant, noun: str, row: Mapping[str, Any]) -> Row:
    address = str(row.get("PrimarySmtpAddress") or "")
    security = "SecurityGroup" in str(row.get("RecipientType")) or "Security" in str(row.get("GroupType"))
    return {
        "id": row.get("ExternalDirectoryObjectId") or stable_guid(tenant.tenant_id, "group", address.lower()),
        "displayName": row.get("DisplayName") or row.get("Name"),
        "groupTypes": ["Unified"] if noun == "UnifiedGroup" else [],
        "mail": address,
        "mailEnabled": True,
        "mailNickname": row.get("Alias"),
        "proxyAddresses": list(row.get("EmailAddresses") or ()),
        "securityEnabled": noun == "DistributionGroup" and security,
        "visibility": row.get("AccessType"),
        "createdDateTime": row.get("WhenCreatedUTC"),
    }


def contacts(tenant: Tenant) -> list[Row]:
    """The mail contacts of Exchange, which are organizational contacts of the directory (Learn, "orgContact")."""
    return [
        {
            "id": row.get("ExternalDirectoryObjectId")
            or stable_guid(tenant.tenant_id, "contact", str(row.get("Guid"))),
            "displayName": row.get("DisplayName") or row.get("Name"),
            "mail": row.get("PrimarySmtpAddress"),
            "mailNickname": row.get("Alias"),
            "proxyAddresses": list(row.get("EmailAddresses") or ()),
        }
        for row in tenant.rows("MailContact")
    ]


def groups_of(tenant: Tenant, member: Mapping[str, Any], *, nested: bool) -> list[Row]:
    """The groups that a user or a group is in, of which only the id is known where no row is."""
    direct = [str(name).lower() for name in member.get("memberOf") or ()]
    wanted = memberships(tenant, member) if nested else list(dict.fromkeys(direct))
    rows = {str(row["id"]).lower(): row for row in groups(tenant)} if wanted else {}
    return [_of_type("group", rows.get(name, {"id": name})) for name in wanted]


def _members(tenant: Tenant, group_id: str, *, nested: bool) -> Iterator[Row]:
    """Users, groups and service principals with the group in their `memberOf`."""
    found, waiting = {group_id.lower()}, [group_id.lower()]
    while waiting:
        above = waiting.pop(0)
        for row in tenant.graph.get("groups") or ():
            name = str(row.get("id")).lower()
            if _is_in(row, above) and name not in found:
                found.add(name)
                waiting += [name] if nested else []
                yield _of_type("group", _group(row))
        for row in _written_users(tenant):
            name = str(row.get("id")).lower()
            if _is_in(row, above) and name not in found:
                found.add(name)
                yield _of_type("user", row)
        for app in tenant.apps:
            name = str(app["objectId"]).lower()
            if _is_in(app, above) and name not in found:
                found.add(name)
                yield from _principals(tenant, name)


def _is_in(row: Mapping[str, Any], group_id: str) -> bool:
    return any(str(name).lower() == group_id for name in row.get("memberOf") or ())


def _written_users(tenant: Tenant) -> Iterator[Row]:
    """Users with rows of their own: of the generated ones, those that were changed."""
    yield from tenant.kept(USERS)
    for source in tenant.generated:
        yield from (row for row in source.changed.get(USERS, {}).values() if row is not None)


def _principals(tenant: Tenant, object_id: str) -> Iterator[Row]:
    rows = (row for row in enterprise_apps.principals(tenant) if str(row["id"]).lower() == object_id.lower())
    return (_of_type("servicePrincipal", row) for row in rows)


def _of_type(kind: str, row: Mapping[str, Any]) -> Row:
    """A row as a directory object: with its type."""
    return {"@odata.type": f"#microsoft.graph.{kind}", **{k: v for k, v in row.items() if k not in _RELATIONS}}


# Relationships that a seed writes into a row, by the ids of other objects.
_RELATIONS = frozenset({"manager", "memberOf", "owners", "sponsors"})


def _objects(tenant: Tenant) -> Iterator[Row]:
    """Every directory object but users, which are looked up by their id."""
    yield from (_of_type("group", row) for row in groups(tenant))
    yield from (_of_type("servicePrincipal", row) for row in enterprise_apps.principals(tenant))
    yield from (_of_type("application", row) for row in applications(tenant))
    yield from (_of_type("directoryRole", row) for row in _directory_roles(tenant))


def _object(tenant: Tenant, object_id: str) -> Row | None:
    user = next((row for row in tenant.named(USERS, user_names, object_id) if _same(row, object_id)), None)
    if user is not None:
        return _of_type("user", user)
    return next((row for row in _objects(tenant) if _same(row, object_id)), None)


def named(tenant: Tenant, ids: Iterable[object] | None) -> list[Row]:
    """The objects of these ids, as a seed writes relationships: `owners: [ID]`."""
    found = (_object(tenant, str(name)) for name in ids or ())
    return [one for one in found if one is not None]


def _same(row: Mapping[str, Any], object_id: str) -> bool:
    return str(row.get("id")).lower() == object_id.lower()


def applications(tenant: Tenant) -> list[Row]:
    """The app registrations: their secrets and certificates without the keys, and the permissions that they ask for."""
    return [_application(tenant, app) for app in tenant.apps]


def _application(tenant: Tenant, app: Mapping[str, Any]) -> Row:
    app_id = str(app["appId"])
    return {
        "id": stable_guid("application", app_id),
        "appId": app_id,
        "displayName": app.get("displayName"),
        "identifierUris": [],
        "isFallbackPublicClient": True if app.get("publicClient") is True else None,
        "keyCredentials": [_key(app_id, number, "AsymmetricX509Cert") for number, _ in enumerate(app["certificates"])],
        "passwordCredentials": [
            {
                "keyId": stable_guid(app_id, "secret", str(number)),
                "endDateTime": row.get("notAfter"),
                "secretText": None,
            }
            for number, row in enumerate(app["secrets"])
        ],
        "publisherDomain": tenant.initial_domain,
        "requiredResourceAccess": enterprise_apps.required(app),
        "signInAudience": "AzureADMyOrg",
    }


def _key(app_id: str, number: int, kind: str) -> Row:
    return {"keyId": stable_guid(app_id, "certificate", str(number)), "type": kind, "usage": "Verify", "key": None}


def _directory_roles(tenant: Tenant) -> list[Row]:
    """The roles that somebody holds: those are activated (Learn, "List directoryRoles")."""
    held = {str(row.get("roleDefinitionId")).lower() for row in tenant.graph.get("roleAssignments") or ()}
    return [
        {"id": stable_guid(tenant.tenant_id, "role", template), "displayName": name, "roleTemplateId": template}
        for name, template in ROLE_TEMPLATES.items()
        if template in held
    ]


def _role_members(tenant: Tenant, role: Mapping[str, Any]) -> Iterator[Row]:
    for row in tenant.graph.get("roleAssignments") or ():
        if str(row.get("roleDefinitionId")).lower() == role["roleTemplateId"]:
            found = _object(tenant, str(row.get("principalId")))
            if found is not None:
                yield found


# --- calls -----------------------------------------------------------------------------------------------------------


class Directory:
    """Answers calls about directory objects other than users."""

    SEGMENTS = (
        "groups", "contacts", "applications", "serviceprincipals", "oauth2permissiongrants", "directoryroles",
        "directoryobjects",
    )  # fmt: skip

    def __init__(self, tenant: Tenant, queries: Queries) -> None:
        self._tenant, self._queries = tenant, queries
        self._sets: Mapping[str, tuple[EntitySet, Sequence[str], Callable[[Tenant], list[Row]]]] = {
            "groups": (GROUPS, _READ_GROUPS, groups),
            "contacts": (CONTACTS, ("OrgContact.Read.All", *_READ_DIRECTORY), contacts),
            "applications": (APPLICATIONS, enterprise_apps.READ, applications),
            "oauth2permissiongrants": (GRANTS, _READ_GRANTS, enterprise_apps.grants),
            "serviceprincipals": (PRINCIPALS, enterprise_apps.READ, enterprise_apps.principals),
            "directoryroles": (ROLES, _READ_ROLES, _directory_roles),
        }

    def answer(self, call: Call) -> Reply:
        """Reply to a call below one of SEGMENTS. Raises GraphError."""
        name = call.path[0].lower()
        if name == "directoryobjects":
            return self._directory_objects(call)
        entities, read, rows = self._sets[name]
        call.need(read)
        if len(call.path) == 1:
            return self._queries.listed(call, entities, rows(self._tenant), relations=self._relations(name))
        if len(call.path) == 2 and call.path[1].lower() == "$count":
            return self._queries.counted(call, entities, rows(self._tenant))
        row = _keyed(rows(self._tenant), call.path[1])
        if len(call.path) == 2:
            return self._queries.one(call, entities, row, self._relations(name))
        return self._related(call, name, row)

    def _related(self, call: Call, name: str, row: Row) -> Reply:
        """What one object leads to: members and owners, or application permissions."""
        part = call.path[2].lower()
        relation = next((own for key, own in self._relations(name).items() if key.lower() == part), None)
        if relation is None:
            raise no_segment(call.path[2])
        rows = objects(relation(row))
        if part.startswith("approle"):
            return self._queries.listed(call, _plain(call.path[2]), rows)
        if part == GRANTS.name.lower():
            return self._queries.listed(call, GRANTS, rows)
        return related(call, self._queries, rows)

    def _relations(self, name: str) -> Mapping[str, Related]:
        """What objects of a set lead to, as a path and as $expand."""
        tenant = self._tenant
        relations: Mapping[str, Mapping[str, Related]] = {
            "groups": {
                "members": lambda row: _members(tenant, str(row["id"]), nested=False),
                "transitiveMembers": lambda row: _members(tenant, str(row["id"]), nested=True),
                "memberOf": lambda row: groups_of(tenant, row, nested=False),
                "transitiveMemberOf": lambda row: groups_of(tenant, row, nested=True),
                "owners": lambda row: named(tenant, row.get("owners")),
            },
            "contacts": {},
            "oauth2permissiongrants": {},
            "applications": {"owners": lambda row: named(tenant, self._app(row).get("owners"))},
            "serviceprincipals": {
                "owners": lambda row: named(tenant, self._app(row).get("owners")),
                "memberOf": lambda row: groups_of(tenant, self._app(row), nested=False),
                "transitiveMemberOf": lambda row: groups_of(tenant, self._app(row), nested=True),
                "appRoleAssignments": lambda row: enterprise_apps.assignments(tenant, str(row["id"])),
                "appRoleAssignedTo": lambda row: enterprise_apps.assigned_to(tenant, str(row["id"])),
                "oauth2PermissionGrants": lambda row: enterprise_apps.grants(tenant, str(row["id"])),
            },
            "directoryroles": {"members": lambda row: _role_members(tenant, row)},
        }
        return relations[name]

    def _app(self, row: Row) -> Mapping[str, Any]:
        """The tenant's application behind a row of either kind; an API of Microsoft's has none."""
        return next((app for app in self._tenant.apps if app["appId"] == row["appId"]), {})

    def _directory_objects(self, call: Call) -> Reply:
        call.need(_READ_OBJECTS)
        if len(call.path) == 2 and call.path[1].lower() == "getbyids":
            return self._by_ids(call)
        if len(call.path) != 2:  # the service has no list of them
            raise no_segment(call.path[-1])
        found = _object(self._tenant, call.path[1])
        if found is None:
            raise not_found(call.path[1])
        return self._queries.one(call, OBJECTS, found)

    def _by_ids(self, call: Call) -> Reply:
        ids = call.body.get("ids") if isinstance(call.body, dict) else None
        if not isinstance(ids, list) or not ids or len(ids) > _MOST_IDS:
            raise bad_request(f"'ids' must be a list of 1 to {_MOST_IDS} ids.")
        types = {str(one).lower() for one in call.body.get("types") or ("directoryobject",)}
        found = named(self._tenant, ids)
        kinds = [str(one["@odata.type"]).rpartition(".")[2].lower() for one in found]
        select = selection(call, OBJECTS)
        wanted = [o for o, kind in zip(found, kinds, strict=True) if types & {kind, "directoryobject"}]
        value = [typed(one, project(one, select)) for one in wanted]
        return Reply(200, {"@odata.context": context_of(call, "directoryObjects"), "value": value})


def related(call: Call, queries: Queries, rows: Sequence[Row]) -> Reply:
    """Objects of a relationship, perhaps of one type alone (".../members/microsoft.graph.user"), or their number."""
    rest = [segment.lower() for segment in call.path[3:]]
    kind = next((segment.rpartition(".")[2] for segment in rest if segment.startswith("microsoft.graph.")), "")
    if kind:
        rows = [one for one in rows if str(one["@odata.type"]).rpartition(".")[2].lower() == kind]
    if rest[-1:] == ["$count"]:
        return queries.counted(call, OBJECTS, rows)
    if len(rest) > (1 if kind else 0):
        raise no_segment(call.path[3])
    return queries.listed(call, OBJECTS, rows)


def _keyed(rows: Sequence[Row], key: str) -> Row:
    """The row of an id, or of an alternate key: "appId=…". Raises GraphError."""
    name, equals, value = key.partition("=")
    column = {"appid": "appId", "roletemplateid": "roleTemplateId"}.get(name.lower(), "id") if equals else "id"
    wanted = (value if equals else key).lower()
    for row in rows:
        if str(row.get(column)).lower() == wanted:
            return row
    raise not_found(value if equals else key)


def _plain(name: str) -> EntitySet:
    """A list whose rows are shown as they are."""
    known = frozenset({"id", "appRoleId", "principalId", "principalType", "principalDisplayName", "resourceId"})
    return EntitySet(name, "appRoleAssignment", known | {"resourceDisplayName", "createdDateTime"}, known)
