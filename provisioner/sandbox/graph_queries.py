"""Query options of Microsoft Graph over raw rows: $select, $filter, $search, $orderby, $count, $top, and pages.

Paging is opaque and lists turn between reads: nothing may rest on the order of rows that nobody ordered. What needs
"advanced query capabilities" (ConsistencyLevel: eventual and $count) is refused without them
(https://learn.microsoft.com/graph/aad-advanced-queries). Free of HTTP.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from provisioner.sandbox.graph_calls import NOT_MODELLED, Call, Reply, Row, bad_request, context_of
from provisioner.sandbox.odata import BadFilter, Predicate, UnsupportedFilter, parse_filter
from provisioner.sandbox.tenant import Tenant

_DEFAULT_PAGE, _LARGEST_PAGE = 100, 999
_COLLECTIONS = frozenset({
    "addIns", "alternativeNames", "appRoles", "assignedLicenses", "assignedPlans", "businessPhones", "groupTypes",
    "identifierUris", "imAddresses", "keyCredentials", "licenseAssignmentStates", "oauth2PermissionScopes",
    "otherMails", "passwordCredentials", "provisionedPlans", "proxyAddresses", "replyUrls", "requiredResourceAccess",
    "resourceBehaviorOptions", "resourceProvisioningOptions", "servicePrincipalNames", "tags",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class EntitySet:
    """A collection of one type: its properties, those that may be filtered on, those shown without $select.

    `default` None shows a row as it is kept. Of `words` each word is searched, of any other property the beginning
    (Learn, "Use the $search query parameter", "Using $search on directory object collections").
    """

    name: str
    kind: str
    known: frozenset[str]
    filterable: frozenset[str]
    default: tuple[str, ...] | None = None
    searchable: frozenset[str] = frozenset({"displayName", "description", "mail", "mailNickname"})
    words: frozenset[str] = frozenset({"displayName", "description"})


class Queries:
    """Answers lists from rows, by the query options of a call."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._reads = 0  # turns lists between reads

    def listed(self, call: Call, entities: EntitySet, rows: Sequence[Row], context: str = "") -> Reply:
        """A page of the rows that the call asks for. Raises GraphError."""
        counting = _eventual(call) and call.params.get("$count", "").lower() == "true"
        select = selection(call, entities)
        found = self._matching(call, entities, rows, advanced=counting)
        body: Row = {"@odata.context": context_of(call, context or entities.name)}
        if counting and "$skiptoken" not in call.params:
            body["@odata.count"] = len(found)
        page, next_link = self.page(call, found, ordered="$orderby" in call.params)
        if next_link:
            body["@odata.nextLink"] = next_link
        return Reply(200, {**body, "value": [_typed(row, project(row, select)) for row in page]})

    def counted(self, call: Call, entities: EntitySet, rows: Sequence[Row]) -> Reply:
        """How many rows there are (`/$count`), as text. Raises GraphError."""
        if not _eventual(call):
            raise bad_request("$count is not currently supported.")
        return Reply(200, len(self._matching(call, entities, rows, advanced=True)))

    def one(self, call: Call, entities: EntitySet, row: Row) -> Reply:
        """A single row. Raises GraphError."""
        _refuse_others(call)
        shown = _typed(row, project(row, selection(call, entities)))
        return Reply(200, {"@odata.context": context_of(call, entities.name, entity=True), **shown})

    def _matching(self, call: Call, entities: EntitySet, rows: Sequence[Row], *, advanced: bool) -> Sequence[Row]:
        _refuse_others(call)
        matches = filtering(call.params.get("$filter"), entities, advanced=advanced)
        searched = _search(call, entities)
        if matches is not None:
            rows = [row for row in rows if matches(row)]
        if searched is not None:
            rows = [row for row in rows if searched(row)]
        return _ordered(call, entities, rows, advanced=advanced)

    def page(self, call: Call, rows: Sequence[Row], *, ordered: bool = False) -> tuple[list[Row], str | None]:
        """Rows of this page and the link to the next. The token is bound to the query that it continues."""
        size = _page_size(call.params.get("$top"))
        query = {key: value for key, value in sorted(call.params.items()) if key != "$skiptoken"}
        digest = zlib.crc32(json.dumps(query).encode())
        start, turn = 0, 0 if ordered else self._turn(len(rows))
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


def _refuse_others(call: Call) -> None:
    """Refuse what the directory does not serve, and say so of what the sandbox alone lacks."""
    if "$skip" in call.params:
        raise bad_request("'$skip' is not supported by the service.", "Request_BadRequest")
    if call.params.get("$expand"):
        error = bad_request("Parsing OData Select and Expand failed.", "BadRequest")
        error.headers[NOT_MODELLED] = "the query option $expand"
        raise error


def _eventual(call: Call) -> bool:
    return call.headers.get("consistencylevel", "").lower() == "eventual"


def _typed(row: Row, shown: Row) -> Row:
    """With the type first, in collections of objects of several types."""
    return {"@odata.type": row["@odata.type"], **shown} if "@odata.type" in row else shown


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


def filtering(text: str | None, entities: EntitySet, *, advanced: bool) -> Predicate | None:
    """Predicate of a $filter; None without one. Raises GraphError."""
    if text is None:
        return None
    try:
        return parse_filter(
            text, known=entities.known, filterable=entities.filterable, advanced=advanced, kind=entities.kind
        )
    except BadFilter as error:
        raise bad_request(str(error), "BadRequest") from None
    except UnsupportedFilter as error:
        raise bad_request(str(error), "Request_UnsupportedQuery") from None


_CLAUSE = re.compile(r'\s*"(?P<property>\w+):(?P<text>[^"]*)"\s*(?P<joint>AND|OR|$)')


def _search(call: Call, entities: EntitySet) -> Callable[[Row], bool] | None:
    """Predicate of a $search: `"displayName:printer" AND "mail:hq"`; AND goes before OR. Raises GraphError."""
    text = call.params.get("$search")
    if text is None:
        return None
    if not _eventual(call):
        raise bad_request(
            "Request with $search query parameter only works through MSGraph with a special request header: "
            "'ConsistencyLevel: eventual'",
            "Request_UnsupportedQuery",
        )
    groups: list[list[Callable[[Row], bool]]] = [[]]
    at = 0
    while at < len(text):
        match = _CLAUSE.match(text, at)
        if match is None:  # the wording is ours
            raise bad_request(f'Syntax error in $search at position {at}: a clause is "property:text".', "BadRequest")
        if match["property"] not in entities.searchable:
            raise bad_request(
                f"Unsupported search property '{match['property']}' of resource '{entities.kind}'.",
                "Request_UnsupportedQuery",
            )
        groups[-1].append(_found(match["property"], match["text"].lower(), entities))
        if match["joint"] == "OR":
            groups.append([])
        at = match.end()
    return lambda row: any(all(part(row) for part in group) for group in groups)


def _found(name: str, wanted: str, entities: EntitySet) -> Callable[[Row], bool]:
    if name not in entities.words:
        return lambda row: str(row.get(name) or "").lower().startswith(wanted)
    words = _words(wanted)
    return lambda row: all(any(own.startswith(word) for own in _words(str(row.get(name) or ""))) for word in words)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _ordered(call: Call, entities: EntitySet, rows: Sequence[Row], *, advanced: bool) -> Sequence[Row]:
    """Sorted by $orderby. Together with $filter or $search it is an advanced query. Raises GraphError."""
    text = call.params.get("$orderby")
    if not text:
        return rows
    if not advanced and {"$filter", "$search"} & set(call.params):
        raise bad_request("Sorting not supported for current query.", "Request_UnsupportedQuery")
    found = list(rows)
    for part in reversed(text.split(",")):
        name, _, direction = part.strip().partition(" ")
        if name not in entities.known:
            problem = f"Could not find a property named '{name}' on type 'microsoft.graph.{entities.kind}'."
            raise bad_request(f"Invalid $orderby clause: {problem}", "BadRequest")
        found.sort(key=lambda row: str(row.get(name) or "").lower(), reverse=direction.strip().lower() == "desc")
    return found


def selection(call: Call, entities: EntitySet | None = None) -> Sequence[str] | None:
    """Columns to answer with; None for the row as it stands. Raises GraphError."""
    default, known, kind = (entities.default, entities.known, entities.kind) if entities else (None, None, "")
    text = call.params.get("$select")
    if not text:
        return default
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if known is not None and name not in known:
            problem = f"Could not find a property named '{name}' on type 'microsoft.graph.{kind}'."
            raise bad_request(f"Parsing OData Select and Expand failed: {problem}", "BadRequest")
    return [*names, *([] if "id" in names or known is None else ["id"])]


def project(row: Row, select: Sequence[str] | None) -> Row:
    """The columns of a row that were asked for; of a list that lacks, an empty one."""
    if select is None:
        return row
    return {name: row.get(name, [] if name in _COLLECTIONS else None) for name in select}
