"""Microsoft Graph, v1.0 and beta alike, as far as mail administration reads it: users, groups, applications, directory
objects, domains with their DNS records, the organization, subscribed SKUs, the security defaults, the policies of
Conditional Access, roles, sign-ins, message traces.

Rows are raw Graph JSON kept in `tenant.graph`. `GraphService.answer` is free of HTTP, so that the front and the items
of a batch (graph_front.py) take the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from provisioner.sandbox.graph_calls import Call, Reply, Row, context_of, no_segment, not_allowed, with_id
from provisioner.sandbox.graph_directory import Directory, named
from provisioner.sandbox.graph_expand import Related, expansions
from provisioner.sandbox.graph_logs import directory_audits_answer, message_traces_answer, sign_ins_answer
from provisioner.sandbox.graph_policies import Policies
from provisioner.sandbox.graph_queries import Queries, filtering, selection
from provisioner.sandbox.graph_send import Sending
from provisioner.sandbox.graph_sets import EntitySet, project
from provisioner.sandbox.graph_users import Users, skus
from provisioner.sandbox.tokens import ROLE_TEMPLATES

if TYPE_CHECKING:
    from provisioner.sandbox.mail_store import MailStore
    from provisioner.sandbox.tenant import Tenant

_READ_DOMAINS = ("Domain.Read.All", "Domain.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
_READ_ORGANIZATION = (
    "Organization.Read.All",
    "Organization.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
)
# https://learn.microsoft.com/graph/api/rbacapplication-list-roleassignments, "Permissions" (directory, application).
_READ_ROLES = (
    "RoleManagement.Read.Directory", "RoleManagement.Read.All", "Directory.Read.All",
    "RoleManagement.ReadWrite.Directory", "Directory.ReadWrite.All",
)  # fmt: skip

_READ_SETTINGS = (
    "GroupSettings.Read.All",
    "GroupSettings.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
)

# What is POST and changes no row (Learn, "directoryObject resource type", "user: sendMail").
ACTIONS = frozenset({"getbyids", "getmembergroups", "checkmembergroups", "sendmail"})


class GraphService:
    """Answers calls from the tenant's rows."""

    def __init__(self, tenant: Tenant, store: MailStore | None = None) -> None:
        self._tenant = tenant
        self._queries = Queries(tenant)
        users, directory = Users(tenant, self._queries, Sending(tenant, store)), Directory(tenant, self._queries)
        self.user_info = users.info
        # By the first segment, and the number of segments where that matters.
        self._rooms: Mapping[str, Callable[[Call], Reply]] = {
            "users": users.answer,
            "me": users.me,
            **dict.fromkeys(Policies.SEGMENTS, Policies(tenant, self._queries).answer),
            **dict.fromkeys(Directory.SEGMENTS, directory.answer),
        }
        self._routes: Mapping[tuple[str, int], Callable[[Call], Reply]] = {
            ("domains", 1): self._domains,
            ("domains", 2): self._domain,
            ("domains", 3): self._domain_records,
            ("organization", 1): lambda call: self._plain_list(call, "organization"),
            ("organization", 2): lambda call: self._plain_row(call, "organization"),
            ("subscribedskus", 1): lambda call: self._plain_list(call, "subscribedSkus"),
            ("subscribedskus", 2): lambda call: self._plain_row(call, "subscribedSkus"),
            ("auditlogs", 2): self._logs,
            ("groupsettings", 1): self._group_settings,
            ("settings", 1): self._group_settings,
            ("admin", 4): lambda call: message_traces_answer(tenant, call),
            ("admin", 6): lambda call: message_traces_answer(tenant, call),
            ("rolemanagement", 3): self._roles,
            ("rolemanagement", 4): self._role,
        }

    def answer(self, call: Call) -> Reply:
        """Reply to one call. Raises GraphError."""
        if not call.path:
            raise no_segment("")
        first = call.path[0].lower()
        route = self._rooms.get(first) or self._routes.get((first, len(call.path)))
        if route is None:
            raise no_segment(call.path[0])
        if len(call.path) == 2 and call.path[1].lower() == "delta":  # not an object of that name
            raise no_segment(call.path[1])
        if not (call.method == "GET" or _writes(call) or (call.method == "POST" and call.path[-1].lower() in ACTIONS)):
            raise not_allowed(call)
        return route(call)

    def _rows(self, name: str) -> list[Row]:
        rows: list[Row] = self._tenant.graph.get(name) or []
        return rows

    # domains

    def _domains(self, call: Call) -> Reply:
        call.need(_READ_DOMAINS)
        select = selection(call)
        rows = [project(_without_children(row), select) for row in self._rows("domains")]
        return Reply(200, {"@odata.context": context_of(call, "domains"), "value": rows})

    def _domain(self, call: Call) -> Reply:
        call.need(_READ_DOMAINS)
        row = project(_without_children(self._find(call.path[1], "domains")), selection(call))
        return Reply(200, {"@odata.context": context_of(call, "domains", entity=True), **row})

    def _domain_records(self, call: Call) -> Reply:
        child = {
            "serviceconfigurationrecords": "serviceConfigurationRecords",
            "verificationdnsrecords": "verificationDnsRecords",
        }
        name = child.get(call.path[2].lower())
        if name is None:
            raise no_segment(call.path[2])
        call.need(_READ_DOMAINS)
        domain = self._find(call.path[1], "domains")
        records = [_typed_record(row) for row in domain.get(name) or []]
        return Reply(200, {"@odata.context": context_of(call, f"domains('{domain['id']}')/{name}"), "value": records})

    # the rest

    def _plain_list(self, call: Call, name: str) -> Reply:
        call.need(_READ_ORGANIZATION)
        select = selection(call)
        rows = [project(row, select) for row in self._as_rows(name)]
        return Reply(200, {"@odata.context": context_of(call, name), "value": rows})

    def _plain_row(self, call: Call, name: str) -> Reply:
        call.need(_READ_ORGANIZATION)
        row = project(self._find(call.path[1], name), selection(call))
        return Reply(200, {"@odata.context": context_of(call, name, entity=True), **row})

    def _as_rows(self, name: str) -> list[Row]:
        rows = skus(self._tenant) if name == "subscribedSkus" else self._tenant.graph.get(name) or []
        return [rows] if isinstance(rows, dict) else rows

    def _find(self, key: str, name: str) -> Row:
        return with_id(self._as_rows(name), key)

    def _logs(self, call: Call) -> Reply:
        if call.path[1].lower() == "directoryaudits":
            return directory_audits_answer(self._tenant, self._queries, call)
        return sign_ins_answer(self._tenant, call)

    def _group_settings(self, call: Call) -> Reply:
        """Settings of the directory, in beta `/settings` (Learn, "List groupSettings"); a new tenant has none."""
        call.need(_READ_SETTINGS)
        return Reply(200, {"@odata.context": context_of(call, call.path[0]), "value": self._rows("groupSettings")})

    def _role(self, call: Call) -> Reply:
        """One assignment or one role, by its id (Learn, "Get unifiedRoleDefinition")."""
        context = context_of(call, f"roleManagement/directory/{call.path[2]}", entity=True)
        row = with_id(self._of_roles(call), call.path[3])
        return Reply(200, {"@odata.context": context, **project(row, selection(call))})

    def _of_roles(self, call: Call) -> list[Row]:
        """Who holds which role, or which built-in roles there are (Learn, "List unifiedRoleAssignments" and "List
        unifiedRoleDefinitions", directory provider)."""
        kind = call.path[2].lower()
        if call.path[1].lower() != "directory" or kind not in {"roleassignments", "roledefinitions"}:
            raise no_segment(call.path[1])
        call.need(_READ_ROLES)
        return self._rows("roleAssignments") if kind == "roleassignments" else _role_definitions()

    def _roles(self, call: Call) -> Reply:
        found = self._of_roles(call)
        expanded = expansions(call, self._of_assignment(), "unifiedRoleAssignment", most=2)
        matches = filtering(call.params.get("$filter"), _ASSIGNMENTS, advanced=False)
        rows = [row for row in found if matches is None or matches(row)]
        page, next_link = self._queries.page(call, rows)
        body: Row = {"@odata.context": context_of(call, f"roleManagement/directory/{call.path[2]}")}
        if next_link:
            body["@odata.nextLink"] = next_link
        select = selection(call)
        value = [project(row, select) for row in page]
        for one in expanded:
            value = [one.into(row, shown) for row, shown in zip(page, value, strict=True)]
        return Reply(200, {**body, "value": value})

    def _of_assignment(self) -> Mapping[str, Related]:
        """Who holds a role, and which (Learn, "unifiedRoleAssignment resource type", "Relationships")."""
        definitions = {row["id"]: row for row in _role_definitions()}
        return {
            "principal": lambda row: next(iter(named(self._tenant, [row.get("principalId")])), None),
            "roleDefinition": lambda row: definitions.get(row.get("roleDefinitionId")),
        }


_OF_ROLES = frozenset({
    "id", "principalId", "roleDefinitionId", "directoryScopeId", "displayName", "templateId", "isBuiltIn", "isEnabled",
})  # fmt: skip
_ASSIGNMENTS = EntitySet("roleAssignments", "unifiedRoleAssignment", _OF_ROLES, _OF_ROLES)


def _role_definitions() -> list[Row]:
    return [
        {"id": template, "templateId": template, "displayName": name, "isBuiltIn": True, "isEnabled": True}
        for name, template in ROLE_TEMPLATES.items()
    ]


def _writes(call: Call) -> bool:
    return call.method == "PATCH" and call.path[0].lower() == "users" and len(call.path) == 2


def _without_children(row: Row) -> Row:
    return {
        key: value for key, value in row.items() if key not in {"serviceConfigurationRecords", "verificationDnsRecords"}
    }


def _typed_record(row: Row) -> Row:
    """A DNS record with the `@odata.type` that the typed clients need, whatever spelling the seed had."""
    kind = str(
        row.get("@odata.type") or f"microsoft.graph.domainDns{str(row.get('recordType', '')).capitalize()}Record"
    )
    return {"@odata.type": "#" + kind.lstrip("#"), **{key: value for key, value in row.items() if key != "@odata.type"}}
