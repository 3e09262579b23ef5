"""Microsoft Graph v1.0 as far as mail administration reads it: users and licences, domains with their DNS records, the
organization, subscribed SKUs, the security defaults, the policies of Conditional Access, role assignments, service
principals with the permissions that they have, sign-ins (beta too), message traces, `$batch`.

Rows are raw Graph JSON kept in `tenant.graph`. `GraphService.answer` is free of HTTP, so that the front and the items
of a batch take the same way. Paging is opaque and lists turn between reads: nothing may rest on the order of rows.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

from starlette.responses import Response

from provisioner.sandbox import access_policies, enterprise_apps
from provisioner.sandbox.faults import facts
from provisioner.sandbox.graph_calls import (
    NOT_MODELLED,
    Call,
    GraphError,
    Reply,
    Row,
    bad_request,
    context_of,
    no_segment,
    not_found,
    throttled,
)
from provisioner.sandbox.graph_logs import message_traces_answer, sign_ins_answer
from provisioner.sandbox.graph_mail import messages_answer
from provisioner.sandbox.mail_directory import memberships
from provisioner.sandbox.odata import BadFilter, Predicate, UnsupportedFilter, parse_filter
from provisioner.sandbox.tenant import USERS, user_names
from provisioner.sandbox.throttle import OverQuota
from provisioner.sandbox.tokens import GRAPH, InvalidToken, TokenVerifier

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.tenant import Tenant

# What a user answers without $select (https://learn.microsoft.com/graph/api/user-list, "default set of properties").
_USER_DEFAULT = (
    "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation",
    "preferredLanguage", "surname", "userPrincipalName", "id",
)  # fmt: skip
_USER_KNOWN = frozenset(_USER_DEFAULT) | {
    "accountEnabled", "ageGroup", "assignedLicenses", "assignedPlans", "city", "companyName", "country",
    "createdDateTime", "creationType", "deletedDateTime", "department", "employeeId", "externalUserState", "faxNumber",
    "imAddresses", "isResourceAccount", "lastPasswordChangeDateTime", "legalAgeGroupClassification",
    "licenseAssignmentStates",
    "mailNickname", "onPremisesImmutableId", "onPremisesLastSyncDateTime", "onPremisesSyncEnabled", "otherMails",
    "passwordPolicies", "passwordProfile", "postalCode", "provisionedPlans", "proxyAddresses", "securityIdentifier",
    "showInAddressList", "signInSessionsValidFromDateTime", "state", "streetAddress", "usageLocation", "userType",
}  # fmt: skip
_USER_FILTERABLE = frozenset({
    "accountEnabled", "assignedLicenses", "city", "companyName", "country", "createdDateTime", "department",
    "displayName", "employeeId", "givenName", "id", "jobTitle", "mail", "mailNickname", "onPremisesSyncEnabled",
    "proxyAddresses", "surname", "usageLocation", "userPrincipalName", "userType",
})  # fmt: skip
_USER_WRITABLE = frozenset({
    "accountEnabled", "businessPhones", "city", "companyName", "country", "department", "displayName", "employeeId",
    "givenName", "jobTitle", "mailNickname", "mobilePhone", "officeLocation", "otherMails", "postalCode",
    "preferredLanguage", "state", "streetAddress", "surname", "usageLocation", "userPrincipalName", "userType",
})  # fmt: skip
_COLLECTIONS = frozenset({
    "assignedLicenses", "assignedPlans", "businessPhones", "imAddresses", "licenseAssignmentStates", "otherMails",
    "provisionedPlans", "proxyAddresses",
})  # fmt: skip

_READ_USERS = ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
_WRITE_USERS = ("User.ReadWrite.All", "Directory.ReadWrite.All")
_READ_DOMAINS = ("Domain.Read.All", "Domain.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
_READ_ORGANIZATION = (
    "Organization.Read.All",
    "Organization.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
)
_READ_POLICIES = ("Policy.Read.All",)
# https://learn.microsoft.com/graph/api/conditionalaccessroot-list-policies, "Permissions" (application).
_READ_ACCESS = ("Policy.Read.ConditionalAccess", "Policy.Read.All", "Policy.ReadWrite.ConditionalAccess")

# What is modelled of beta: the rest is asked of v1.0.
_IN_BETA = frozenset({"auditlogs"})

# https://learn.microsoft.com/graph/api/rbacapplication-list-roleassignments, "Permissions" (directory, application).
_READ_ROLES = (
    "RoleManagement.Read.Directory", "RoleManagement.Read.All", "Directory.Read.All",
    "RoleManagement.ReadWrite.Directory", "Directory.ReadWrite.All",
)  # fmt: skip

_DEFAULT_PAGE, _LARGEST_PAGE, _LARGEST_BATCH = 100, 999, 20

_SECURITY_DEFAULTS: Row = {
    "id": "00000000-0000-0000-0000-000000000005",
    "displayName": "Security Defaults",
    "description": "Security defaults is a set of basic identity security mechanisms recommended by Microsoft. When "
    "enabled, these recommendations will be automatically enforced in your organization. Administrators and users will "
    "be better protected from common identity related attacks.",
    "isEnabled": False,
}


class GraphService:
    """Answers calls from the tenant's rows."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._reads = 0  # turns lists between reads
        self._routes: Mapping[tuple[str, int], Callable[[Call], Reply]] = {
            ("users", 1): self._users,
            ("users", 2): self._user,
            ("users", 3): self._of_user,
            ("domains", 1): self._domains,
            ("domains", 2): self._domain,
            ("domains", 3): self._domain_records,
            ("organization", 1): lambda call: self._plain_list(call, "organization"),
            ("organization", 2): lambda call: self._plain_row(call, "organization"),
            ("subscribedskus", 1): lambda call: self._plain_list(call, "subscribedSkus"),
            ("subscribedskus", 2): lambda call: self._plain_row(call, "subscribedSkus"),
            ("policies", 2): self._security_defaults,
            ("identity", 3): self._access_policies,
            ("identity", 4): self._access_policy,
            ("auditlogs", 2): lambda call: sign_ins_answer(tenant, call),
            ("admin", 4): lambda call: message_traces_answer(tenant, call),
            ("admin", 6): lambda call: message_traces_answer(tenant, call),
            ("rolemanagement", 3): self._role_assignments,
            ("serviceprincipals", 1): self._principals,
            ("serviceprincipals", 2): self._principal,
            ("serviceprincipals", 3): self._app_role_assignments,
        }

    def answer(self, call: Call) -> Reply:
        """Reply to one call. Raises GraphError."""
        if not call.path:
            raise no_segment("")
        route = self._routes.get((call.path[0].lower(), len(call.path)))
        if route is None or (call.beta and call.path[0].lower() not in _IN_BETA):
            raise no_segment(call.path[0])
        writable = route == self._user and call.method == "PATCH"
        if call.method != "GET" and not writable:
            raise GraphError(405, "BadRequest", "Specified HTTP method is not allowed for the request target.")
        return route(call)

    def _rows(self, name: str) -> list[Row]:
        rows: list[Row] = self._tenant.graph.get(name) or []
        return rows

    # users

    def _users(self, call: Call) -> Reply:
        call.need(_READ_USERS)
        advanced = call.headers.get("consistencylevel", "").lower() == "eventual"
        counting = advanced and call.params.get("$count", "").lower() == "true"
        select = _selection(call, _USER_DEFAULT, _USER_KNOWN)
        matches = _user_filter(call.params.get("$filter"), advanced=counting)
        rows = [row for row in self._tenant.rows(USERS) if matches(row)] if matches else self._tenant.rows(USERS)
        body: Row = {"@odata.context": context_of(call, "users")}
        if counting and "$skiptoken" not in call.params:
            body["@odata.count"] = len(rows)
        page, next_link = self._page(call, rows)
        if next_link:
            body["@odata.nextLink"] = next_link
        body["value"] = [_project(row, select) for row in page]
        return Reply(200, body)

    def _user(self, call: Call) -> Reply:
        if call.path[1] == "$count":
            return self._user_count(call)
        call.need(_WRITE_USERS if call.method == "PATCH" else _READ_USERS)
        user = self._find_user(call.path[1])
        if call.method == "PATCH":
            return self._patch_user(call, user)
        select = _selection(call, _USER_DEFAULT, _USER_KNOWN)
        return Reply(200, {"@odata.context": context_of(call, "users", entity=True), **_project(user, select)})

    def _user_count(self, call: Call) -> Reply:
        call.need(_READ_USERS)
        if call.headers.get("consistencylevel", "").lower() != "eventual":
            raise bad_request("$count is not currently supported.")
        matches, users = _user_filter(call.params.get("$filter"), advanced=True), self._tenant.rows(USERS)
        return Reply(200, len(users) if matches is None else sum(map(matches, users)))

    def _find_user(self, name: str) -> Row:
        for row in self._tenant.named(USERS, user_names, name):
            return row
        raise not_found(name)

    def _patch_user(self, call: Call, user: Row) -> Reply:
        if not isinstance(call.body, dict):
            raise bad_request(
                "Unable to read JSON request payload. Please ensure Content-Type header is set.", "BadRequest"
            )
        changes = {key: value for key, value in call.body.items() if "@odata." not in key}
        for key in changes:
            if key not in _USER_KNOWN:
                text = f"Property '{key}' does not exist as a declared property or extension property."
                raise bad_request(text)
            if key not in _USER_WRITABLE:
                raise bad_request(f"Property '{key}' is read-only and cannot be set.")
        if "accountEnabled" in changes and not isinstance(changes["accountEnabled"], bool):
            raise bad_request("Cannot convert the value of property 'accountEnabled' to the type 'Edm.Boolean'.")
        self._tenant.update(USERS, user, changes)
        return Reply(204)

    def _of_user(self, call: Call) -> Reply:
        parts: Mapping[str, Callable[[Call], Reply]] = {
            "licensedetails": self._license_details,
            "transitivememberof": self._memberships,
            "messages": lambda call: messages_answer(self._tenant, call),
        }
        part = parts.get(call.path[2].lower())
        if part is None:
            raise no_segment(call.path[2])
        return part(call)

    def _memberships(self, call: Call) -> Reply:
        """Direct and nested groups (Learn, "List a user's memberships (direct and transitive)")."""
        call.need(_READ_USERS)
        user = self._find_user(call.path[1])
        rows: list[Row] = [{"id": name} for name in memberships(self._tenant, user)]
        page, next_link = self._page(call, rows)
        body: Row = {"@odata.context": context_of(call, "directoryObjects")}
        if next_link:
            body["@odata.nextLink"] = next_link
        return Reply(200, {**body, "value": [{"@odata.type": "#microsoft.graph.group", **row} for row in page]})

    def _license_details(self, call: Call) -> Reply:
        call.need(_READ_USERS)
        user = self._find_user(call.path[1])
        skus = {str(sku.get("skuId")): sku for sku in self._rows("subscribedSkus")}
        held = [skus[str(row["skuId"])] for row in user.get("assignedLicenses") or [] if str(row.get("skuId")) in skus]
        value = [
            {
                "id": base64.urlsafe_b64encode(f"{user['id']}{sku['skuId']}".encode()).decode().rstrip("="),
                "skuId": sku["skuId"],
                "skuPartNumber": sku.get("skuPartNumber"),
                "servicePlans": sku.get("servicePlans", []),
            }
            for sku in held
        ]
        return Reply(200, {"@odata.context": context_of(call, f"users('{user['id']}')/licenseDetails"), "value": value})

    # domains

    def _domains(self, call: Call) -> Reply:
        call.need(_READ_DOMAINS)
        select = _selection(call, None, None)
        rows = [_project(_without_children(row), select) for row in self._rows("domains")]
        return Reply(200, {"@odata.context": context_of(call, "domains"), "value": rows})

    def _domain(self, call: Call) -> Reply:
        call.need(_READ_DOMAINS)
        row = _project(_without_children(self._find(call.path[1], "domains")), _selection(call, None, None))
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
        select = _selection(call, None, None)
        rows = [_project(row, select) for row in self._as_rows(name)]
        return Reply(200, {"@odata.context": context_of(call, name), "value": rows})

    def _plain_row(self, call: Call, name: str) -> Reply:
        call.need(_READ_ORGANIZATION)
        row = _project(self._find(call.path[1], name), _selection(call, None, None))
        return Reply(200, {"@odata.context": context_of(call, name, entity=True), **row})

    def _as_rows(self, name: str) -> list[Row]:
        rows = self._tenant.graph.get(name) or []
        return [rows] if isinstance(rows, dict) else rows

    def _find(self, key: str, name: str) -> Row:
        for row in self._as_rows(name):
            if str(row.get("id", "")).lower() == key.lower():
                return row
        raise not_found(key)

    def _security_defaults(self, call: Call) -> Reply:
        if call.path[1].lower() != "identitysecuritydefaultsenforcementpolicy":
            raise no_segment(call.path[1])
        call.need(_READ_POLICIES)
        row = {**_SECURITY_DEFAULTS, **(self._tenant.graph.get("securityDefaults") or {})}
        context = context_of(call, "policies/identitySecurityDefaultsEnforcementPolicy", entity=True)
        return Reply(200, {"@odata.context": context, **row})

    def _access_policies(self, call: Call) -> Reply:
        _need_access_segment(call)
        select = _selection(call, None, None)
        page, next_link = self._page(call, self._rows(access_policies.KEPT_AS))
        body: Row = {"@odata.context": context_of(call, "identity/conditionalAccess/policies")}
        if next_link:
            body["@odata.nextLink"] = next_link
        return Reply(200, {**body, "value": [_project(row, select) for row in page]})

    def _access_policy(self, call: Call) -> Reply:
        _need_access_segment(call)
        row = _project(self._find(call.path[3], access_policies.KEPT_AS), _selection(call, None, None))
        return Reply(
            200, {"@odata.context": context_of(call, "identity/conditionalAccess/policies", entity=True), **row}
        )

    def _role_assignments(self, call: Call) -> Reply:
        """Who holds which role (Learn, "List unifiedRoleAssignments", directory provider)."""
        if [part.lower() for part in call.path[1:]] != ["directory", "roleassignments"]:
            raise no_segment(call.path[1])
        call.need(_READ_ROLES)
        page, next_link = self._page(call, self._rows("roleAssignments"))
        body: Row = {"@odata.context": context_of(call, "roleManagement/directory/roleAssignments")}
        if next_link:
            body["@odata.nextLink"] = next_link
        return Reply(200, {**body, "value": page})

    # enterprise applications

    def _principals(self, call: Call) -> Reply:
        call.need(enterprise_apps.READ)
        select = _selection(call, None, None)
        known, filterable = enterprise_apps.KNOWN, enterprise_apps.FILTERABLE
        matches = _filter(call.params.get("$filter"), known, filterable, advanced=False)
        rows = [row for row in enterprise_apps.principals(self._tenant) if matches is None or matches(row)]
        return self._listed(call, "servicePrincipals", [_project(row, select) for row in rows])

    def _principal(self, call: Call) -> Reply:
        call.need(enterprise_apps.READ)
        row = _project(self._find_principal(call.path[1]), _selection(call, None, None))
        return Reply(200, {"@odata.context": context_of(call, "servicePrincipals", entity=True), **row})

    def _app_role_assignments(self, call: Call) -> Reply:
        listings = {"approleassignments": enterprise_apps.assignments, "approleassignedto": enterprise_apps.assigned_to}
        listing = listings.get(call.path[2].lower())
        if listing is None:
            raise no_segment(call.path[2])
        call.need(enterprise_apps.READ)
        found = str(self._find_principal(call.path[1])["id"])
        select = _selection(call, None, None)
        rows = [_project(row, select) for row in listing(self._tenant, found)]
        return self._listed(call, call.path[2], rows)

    def _find_principal(self, key: str) -> Row:
        for row in enterprise_apps.principals(self._tenant):
            if str(row["id"]).lower() == key.lower():
                return row
        raise not_found(key)

    def _listed(self, call: Call, name: str, rows: list[Row]) -> Reply:
        """A page of rows as a collection answers it."""
        page, next_link = self._page(call, rows)
        body: Row = {"@odata.context": context_of(call, name)}
        if next_link:
            body["@odata.nextLink"] = next_link
        return Reply(200, {**body, "value": page})

    # paging

    def _page(self, call: Call, rows: Sequence[Row]) -> tuple[list[Row], str | None]:
        """Rows of this page and the link to the next. The token is bound to the query that it continues."""
        size = _page_size(call.params.get("$top"))
        query = {key: value for key, value in sorted(call.params.items()) if key != "$skiptoken"}
        digest = zlib.crc32(json.dumps(query).encode())
        start, turn = 0, self._turn(len(rows))
        if "$skiptoken" in call.params:
            start, turn = _read_skip_token(call.params["$skiptoken"], digest)
        if start == 0 and self._tenant.settings.get("graph_empty_pages") and "$skiptoken" not in call.params and rows:
            return [], _next_link(call, query, (0, turn, digest))
        end = start + size
        page = [rows[(turn + index) % len(rows)] for index in range(start, min(end, len(rows)))]
        return page, _next_link(call, query, (end, turn, digest)) if end < len(rows) else None

    def _turn(self, length: int) -> int:
        if length < 2 or not self._tenant.settings.get("shuffle", True):
            return 0
        self._reads += 1
        return self._reads * 7919 % length


def _page_size(top: str | None) -> int:
    if top is None:
        return _DEFAULT_PAGE
    if not top.isdigit() or not 1 <= int(top) <= _LARGEST_PAGE:
        text = f"Invalid page size specified: '{top}'. Must be between 1 and {_LARGEST_PAGE} inclusive."
        raise bad_request(text)
    return int(top)


def _next_link(call: Call, query: Mapping[str, str], position: tuple[int, int, int]) -> str:
    token = base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")
    parts = [f"{key}={quote(value, safe='$,')}" for key, value in query.items()] + [f"$skiptoken={token}"]
    return f"{call.base}/{'/'.join(quote(part) for part in call.path)}?{'&'.join(parts)}"


def _read_skip_token(token: str, digest: int) -> tuple[int, int]:
    try:
        start, turn, of_query = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, binascii.Error, TypeError):
        start, turn, of_query = 0, 0, None
    if of_query != digest:
        text = "The specified page token value has expired and can no longer be included in your request."
        raise bad_request(text, "Directory_ExpiredPageToken")
    return int(start), int(turn)


def _user_filter(text: str | None, *, advanced: bool) -> Predicate | None:
    return _filter(text, _USER_KNOWN, _USER_FILTERABLE, advanced=advanced)


def _filter(text: str | None, known: frozenset[str], filterable: frozenset[str], *, advanced: bool) -> Predicate | None:
    if text is None:
        return None
    try:
        return parse_filter(text, known=known, filterable=filterable, advanced=advanced)
    except BadFilter as error:
        raise bad_request(str(error), "BadRequest") from None
    except UnsupportedFilter as error:
        raise bad_request(str(error), "Request_UnsupportedQuery") from None


def _selection(call: Call, default: Sequence[str] | None, known: frozenset[str] | None) -> Sequence[str] | None:
    """Columns to answer with; None for the row as it stands."""
    text = call.params.get("$select")
    if not text:
        return default
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if known is not None and name not in known:
            problem = f"Could not find a property named '{name}' on type 'microsoft.graph.user'."
            raise bad_request(f"Parsing OData Select and Expand failed: {problem}", "BadRequest")
    return [*names, *([] if "id" in names or known is None else ["id"])]


def _project(row: Row, select: Sequence[str] | None) -> Row:
    if select is None:
        return row
    return {name: row.get(name, [] if name in _COLLECTIONS else None) for name in select}


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


class _GraphFront:
    """The ASGI side: authentication, headers, batches."""

    def __init__(self, tenant: Tenant, faults: Faults, verifier: TokenVerifier) -> None:
        self._tenant, self._faults, self._verifier = tenant, faults, verifier
        self._service = GraphService(tenant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        from starlette.requests import Request

        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        ids = self._request_ids(request.headers)
        headers = {"request-id": ids["request-id"], "client-request-id": ids["client-request-id"]}
        try:
            reply = await self._reply(request, ids)
        except GraphError as error:
            reply = Reply(error.status, error.body(ids))
            headers |= error.headers
            if NOT_MODELLED in error.headers:
                facts(request.scope)["not_modelled"] = error.headers[NOT_MODELLED]
        if reply.status == 401:
            authority = self._verifier.authority(str(request.url.hostname))
            headers["WWW-Authenticate"] = (
                f'Bearer realm="", authorization_uri="{authority}/common/oauth2/authorize", '
                'client_id="00000003-0000-0000-c000-000000000000"'
            )
        if reply.body is None:
            return Response(None, reply.status, headers)
        if isinstance(reply.body, int):
            return Response(str(reply.body), reply.status, headers, "text/plain")
        content_type = (
            "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
        )
        return Response(json.dumps(reply.body, ensure_ascii=False), reply.status, headers, content_type)

    async def _reply(self, request: Request, ids: Mapping[str, str]) -> Reply:
        try:
            claims = self._verifier.claims(request.headers.get("authorization"), GRAPH)
        except InvalidToken as refusal:
            raise GraphError(401, "InvalidAuthenticationToken", refusal.text) from None
        columns = facts(request.scope)
        columns |= {"caller": claims["appid"], "write": request.method == "PATCH"}
        # The SDK asks for `/v1.0//users`; the service forgives the second slash, so empty segments are dropped.
        segments = _split_path(request.scope.get("raw_path", b"").decode("ascii") or request.url.path)
        if not segments or segments[0] not in {"v1.0", "beta"}:
            raise bad_request(f"Invalid version: {segments[0] if segments else ''}", "BadRequest")
        base = f"{request.url.scheme}://{request.url.netloc}/{segments[0]}"
        call = Call(
            method=request.method,
            path=segments[1:],
            params=dict(parse_qsl(request.scope["query_string"].decode("ascii"), keep_blank_values=True)),
            headers={key.lower(): value for key, value in request.headers.items()},
            body=_json(await request.body()),
            base=base,
            roles=frozenset(claims.get("roles", [])) | frozenset(str(claims.get("scp") or "").split()),
            application=str(claims["appid"]),
        )
        if call.path == ("$batch",):
            return self._batch(call, ids, columns)
        try:
            with self._tenant.throttle.running("graph", str(claims["appid"])):
                await asyncio.sleep(float(self._tenant.settings.get("graph_latency_s", 0)))
                return self._service.answer(call)
        except OverQuota as over:
            columns["throttled"] = over.quota
            raise throttled(over.retry_after_s) from None

    def _request_ids(self, headers: Mapping[str, str]) -> dict[str, str]:
        given = headers.get("client-request-id")
        request_id = str(uuid.uuid4())
        date = self._tenant.clock.now().strftime("%Y-%m-%dT%H:%M:%S")
        return {"date": date, "request-id": request_id, "client-request-id": given or request_id}

    # $batch

    def _batch(self, call: Call, ids: Mapping[str, str], columns: Row) -> Reply:
        """Each item with a status of its own. Answers come in reverse order: a client must match them by id.

        Faults strike single items too; the log's entry of the batch lists the items.
        """
        if call.method != "POST":
            raise GraphError(405, "BadRequest", "Specified HTTP method is not allowed for the request target.")
        items = call.body.get("requests") if isinstance(call.body, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise bad_request("Invalid batch payload format.", "BadRequest")
        if len(items) > _LARGEST_BATCH:
            raise bad_request(
                f"Number of batch request steps exceeds the maximum value of {_LARGEST_BATCH}.", "BadRequest"
            )
        names = [str(item.get("id", "")) for item in items]
        if "" in names or len({name.lower() for name in names}) < len(names):
            raise bad_request("Every request in a batch needs an id of its own.", "BadRequest")
        methods = [str(item.get("method", "")).upper() for item in items]
        columns["parameters"] = {n: f"{m} {item.get('url')}" for n, m, item in zip(names, methods, items, strict=True)}
        columns["write"] = "PATCH" in methods
        done: dict[str, Row] = {}
        for name, item in zip(names, items, strict=True):
            done[name] = self._batch_item(call, name, item, done, ids, columns)
        return Reply(200, {"responses": [done[name] for name in reversed(names)]})

    def _batch_item(
        self, call: Call, name: str, item: Row, done: Mapping[str, Row], ids: Mapping[str, str], columns: Row
    ) -> Row:
        headers = {"Content-Type": "application/json"}
        try:
            for needed in item.get("dependsOn") or []:
                if str(needed) not in done or done[str(needed)]["status"] >= 400:
                    text = "The request depends on another one that failed or comes later."
                    raise GraphError(424, "FailedDependency", text)
            asked = _item_call(call, item)
            self._strike(asked)
            self._tenant.throttle.admit("graph", asked.application)
            reply = self._service.answer(asked)
        except OverQuota as over:
            refused = throttled(over.retry_after_s)
            reply = Reply(refused.status, refused.body(ids))
            headers |= refused.headers
        except GraphError as error:
            reply = Reply(error.status, error.body(ids))
            headers |= error.headers
            if NOT_MODELLED in error.headers:
                columns["not_modelled"] = error.headers[NOT_MODELLED]
        response: Row = {"id": name, "status": reply.status, "headers": headers}
        return response if reply.body is None else {**response, "body": reply.body}

    def _strike(self, call: Call) -> None:
        """Raise what a scripted fault wants of one item: a status with headers is all that an item can have."""
        deed = self._faults.take("graph", method=call.method, path="/v1.0/" + "/".join(call.path))
        if "status" in deed:
            code = {429: "TooManyRequests", 503: "serviceNotAvailable"}.get(int(deed["status"]), "generalException")
            raise GraphError(int(deed["status"]), code, "Please retry again later.", deed.get("headers"))


def _need_access_segment(call: Call) -> None:
    """Raise where the path is not the one of Conditional Access policies, or the token may not read them."""
    segments = [part.lower() for part in call.path[1:3]]
    if segments != ["conditionalaccess", "policies"]:
        raise no_segment(call.path[1])
    call.need(_READ_ACCESS)


def _item_call(call: Call, item: Row) -> Call:
    url, method = item.get("url"), str(item.get("method", "")).upper()
    if not isinstance(url, str) or not method:
        raise bad_request("Invalid batch payload format.", "BadRequest")
    if "://" in url:  # the documentation wants relative addresses; an absolute one names no segment
        raise no_segment(url.partition("/")[0])
    path, _, query = url.partition("?")
    headers = {str(key).lower(): str(value) for key, value in (item.get("headers") or {}).items()}
    return Call(
        method=method,
        path=_split_path(path),
        params=dict(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        body=item.get("body"),
        base=call.base,
        roles=call.roles,
        application=call.application,
    )


def _split_path(path: str) -> tuple[str, ...]:
    return tuple(unquote(part) for part in path.partition("?")[0].split("/") if part)


def _json(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        raise bad_request("Unable to read JSON request payload.", "BadRequest") from None


def graph_app(tenant: Tenant, faults: Faults, verifier: TokenVerifier) -> ASGIApp:
    """Graph as an ASGI application."""
    return faults.wrap(_GraphFront(tenant, faults, verifier), "graph")
