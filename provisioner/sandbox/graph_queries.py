"""Query options of Microsoft Graph over raw rows: $select, $filter, $search, $orderby, $count, $top, and pages; $expand
is in graph_expand.py.

Paging is opaque and lists turn between reads: nothing may rest on the order of rows that nobody ordered. What needs
"advanced query capabilities" (ConsistencyLevel: eventual and $count) is refused without them
(https://learn.microsoft.com/graph/aad-advanced-queries). Free of HTTP.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import quote

from provisioner.sandbox import graph_expand
from provisioner.sandbox.graph_calls import Call, Reply, Row, bad_request, context_of
from provisioner.sandbox.graph_expand import Related, expansions
from provisioner.sandbox.graph_sets import EntitySet, project, typed
from provisioner.sandbox.odata import BadFilter, Predicate, UnsupportedFilter, parse_filter
from provisioner.sandbox.tenant import Tenant

_DEFAULT_PAGE, _LARGEST_PAGE = 100, 999


class Queries:
    """Answers lists from rows, by the query options of a call."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._reads = 0  # turns lists between reads

    def listed(
        self,
        call: Call,
        entities: EntitySet,
        rows: Sequence[Row],
        context: str = "",
        relations: Mapping[str, Related] = MappingProxyType({}),
    ) -> Reply:
        """A page of the rows that the call asks for, with related objects. Raises GraphError."""
        expanded = expansions(call, relations, entities.kind)
        free = not entities.directory
        counting = (free or _eventual(call)) and call.params.get("$count", "").lower() == "true"
        select = selection(call, entities)
        found = self._matching(call, entities, rows, advanced=counting or free)
        body: Row = {"@odata.context": context_of(call, context or entities.name)}
        if counting and "$skiptoken" not in call.params:
            body["@odata.count"] = len(found)
        largest = graph_expand.LARGEST_PAGE if expanded else _LARGEST_PAGE
        page, next_link = self.page(call, found, ordered="$orderby" in call.params, largest=largest)
        if next_link:
            body["@odata.nextLink"] = next_link
        value = [typed(row, project(row, select)) for row in page]
        for one in expanded:
            value = [one.into(row, shown) for row, shown in zip(page, value, strict=True)]
        return Reply(200, {**body, "value": value})

    def counted(self, call: Call, entities: EntitySet, rows: Sequence[Row]) -> Reply:
        """How many rows there are (`/$count`), as text. Raises GraphError."""
        if not _eventual(call):
            raise bad_request("$count is not currently supported.")
        return Reply(200, len(self._matching(call, entities, rows, advanced=True)))

    def one(
        self, call: Call, entities: EntitySet, row: Row, relations: Mapping[str, Related] = MappingProxyType({})
    ) -> Reply:
        """A single row, with related objects. Raises GraphError."""
        _refuse_skip(call)
        shown = typed(row, project(row, selection(call, entities)))
        for one in expansions(call, relations, entities.kind):
            shown = one.into(row, shown)
        return Reply(200, {"@odata.context": context_of(call, entities.name, entity=True), **shown})

    def _matching(self, call: Call, entities: EntitySet, rows: Sequence[Row], *, advanced: bool) -> Sequence[Row]:
        _refuse_skip(call)
        matches = filtering(call.params.get("$filter"), entities, advanced=advanced)
        searched = _search(call, entities)
        if matches is not None:
            rows = [row for row in rows if matches(row)]
        if searched is not None:
            rows = [row for row in rows if searched(row)]
        return _ordered(call, entities, rows, advanced=advanced)

    def page(
        self, call: Call, rows: Sequence[Row], *, ordered: bool = False, largest: int = _LARGEST_PAGE
    ) -> tuple[list[Row], str | None]:
        """Rows of this page and the link to the next. The token is bound to the query that it continues."""
        size = min(_page_size(call.params.get("$top")), largest)
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


def _refuse_skip(call: Call) -> None:
    if "$skip" in call.params:
        raise bad_request("'$skip' is not supported by the service.", "Request_BadRequest")


def _eventual(call: Call) -> bool:
    return call.headers.get("consistencylevel", "").lower() == "eventual"


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
            text,
            known=entities.known,
            filterable=entities.filterable | entities.advanced if advanced else entities.filterable,
            advanced=advanced,
            ordered=entities.ordered,
            kind=entities.kind,
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
        name = entities.property_named(match["property"])
        if name not in entities.searchable:
            raise bad_request(
                f"Unsupported search property '{match['property']}' of resource '{entities.kind}'.",
                "Request_UnsupportedQuery",
            )
        groups[-1].append(_found(str(name), match["text"].lower(), entities))
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
        asked, _, direction = part.strip().partition(" ")
        name = entities.property_named(asked)
        if name is None:
            problem = f"Could not find a property named '{asked}' on type 'microsoft.graph.{entities.kind}'."
            raise bad_request(f"Invalid $orderby clause: {problem}", "BadRequest")
        found.sort(key=functools.partial(_sorting, name), reverse=direction.strip().lower() == "desc")
    return found


def _sorting(name: str, row: Row) -> str:
    return str(row.get(name) or "").lower()


def selection(call: Call, entities: EntitySet | None = None) -> Sequence[str] | None:
    """Columns to answer with; None for the row as it stands. Raises GraphError."""
    default, known, kind = (entities.default, entities.known, entities.kind) if entities else (None, None, "")
    text = call.params.get("$select")
    if not text:
        return default
    names = []
    for asked in (name.strip() for name in text.split(",") if name.strip()):
        name = asked if entities is None else entities.property_named(asked)
        if name is None:
            problem = f"Could not find a property named '{asked}' on type 'microsoft.graph.{kind}'."
            raise bad_request(f"Parsing OData Select and Expand failed: {problem}", "BadRequest")
        names.append(name)
    return [*names, *([] if "id" in names or known is None else ["id"])]
