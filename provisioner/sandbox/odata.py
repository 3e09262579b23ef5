"""The part of OData's query language that Graph answers for users: $filter as a predicate over raw rows.

Grammar: `eq`, `ne`, `in`, `startswith`, `endswith`, `and`, `or`, `not`, parentheses, `any`, `/$count`; `ge`, `gt`, `le`
and `lt` for the dates of logs.
Strings compare without case, as the directory does, and properties are named in any case. What needs "advanced query
capabilities" is refused without them (https://learn.microsoft.com/graph/aad-advanced-queries).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from provisioner.sandbox.clock import stored_time

Row = Mapping[str, Any]
Predicate = Callable[[Row], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<date>\d{4}-\d\d-\d\d(?:T[\d:.]+Z?)?)|(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})|(?P<number>-?\d+)"
    r"|(?P<word>[A-Za-z_$][\w$]*(?:/[A-Za-z_$][\w$]*)*)|(?P<mark>[(),:]))"
)
_OPERATOR = "Filter operator '{}' is not supported."  # microsoft-graph-docs-contrib issues 1071 and 9043
_LACKS = (
    "Operator '{}' is not supported because the required parameters might be missing. Try adding $count=true query "
    "parameter and ConsistencyLevel:eventual header. Refer to https://aka.ms/graph-docs/advanced-queries for more "
    "information"
)  # Learn, "Advanced query capabilities on Microsoft Entra ID objects", "Error handling", about endsWith


class BadFilter(ValueError):
    """A filter that does not parse or names no property: Graph answers 400 with code BadRequest."""


class UnsupportedFilter(ValueError):
    """A well-formed filter that the directory does not serve: 400 with code Request_UnsupportedQuery."""


def parse_filter(
    text: str,
    *,
    known: frozenset[str],
    filterable: frozenset[str],
    advanced: bool,
    ordered: frozenset[str] = frozenset(),
    kind: str = "user",
) -> Predicate:
    """Predicate of one $filter text.

    `known` are all properties of the type, `filterable` those that may be filtered on, `ordered` those that compare
    with `ge` and its kin, `kind` is the type's name in refusals, `advanced` whether the request carries
    `ConsistencyLevel: eventual` and `$count=true`. Raises BadFilter or UnsupportedFilter.
    """
    parser = _Parser(text, known, filterable, advanced, ordered)
    parser.kind = kind
    predicate = parser.expression()
    parser.end()
    return predicate


class _Parser:
    def __init__(
        self, text: str, known: frozenset[str], filterable: frozenset[str], advanced: bool, ordered: frozenset[str]
    ) -> None:
        self._text, self._known, self._filterable, self._advanced = text, known, filterable, advanced
        self._ordered = ordered
        self.kind = "user"
        self._names = {name.lower(): name for name in known}
        self._tokens = self._split(text)
        self._at = 0
        self._variable: str | None = None  # the range variable inside any(x: ...)

    def _split(self, text: str) -> list[tuple[str, str, int]]:
        tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise self._syntax(at)
            tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        return tokens

    def _syntax(self, position: int) -> BadFilter:
        return BadFilter(f"Invalid filter clause: Syntax error at position {position} in '{self._text}'.")

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", len(self._text))

    def _next(self, kind: str | None = None, value: str | None = None) -> str:
        token = self._peek()
        if token[0] == "end" or (kind and token[0] != kind) or (value and token[1].lower() != value):
            raise self._syntax(token[2])
        self._at += 1
        return token[1]

    def _take(self, word: str) -> bool:
        if self._peek()[1].lower() == word and self._peek()[0] in {"word", "mark"}:
            self._at += 1
            return True
        return False

    def end(self) -> None:
        if self._peek()[0] != "end":
            raise self._syntax(self._peek()[2])

    def expression(self) -> Predicate:
        parts = [self._conjunction()]
        while self._take("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def _conjunction(self) -> Predicate:
        parts = [self._term()]
        while self._take("and"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _term(self) -> Predicate:
        if self._take("not"):
            self._require_advanced(_LACKS.format("not"))
            negated = self._term()
            return lambda row: not negated(row)
        if self._take("("):
            inner = self.expression()
            self._next("mark", ")")
            return inner
        name = self._next("word")
        if name.lower() in {"startswith", "endswith"}:
            return self._affix(name.lower())
        if name.lower().endswith("/any"):
            return self._any(name[:-4])
        return self._comparison(name)

    def _affix(self, function: str) -> Predicate:
        if function == "endswith":
            self._require_advanced(_LACKS.format("endsWith"))
        self._next("mark", "(")
        read = self._property(self._next("word"))
        self._next("mark", ",")
        wanted = str(self._literal()).lower()
        self._next("mark", ")")
        if function == "startswith":
            return lambda row: str(read(row) or "").lower().startswith(wanted)
        return lambda row: str(read(row) or "").lower().endswith(wanted)

    def _any(self, collection: str) -> Predicate:
        read = self._property(collection)
        self._next("mark", "(")
        self._variable = self._next("word")
        self._next("mark", ":")
        inner = self.expression()
        self._next("mark", ")")
        self._variable = None
        # Items of a collection of plain values are put under the empty name, which the bare variable reads.
        return lambda row: any(inner(item if isinstance(item, Mapping) else {"": item}) for item in read(row) or [])

    def _comparison(self, name: str) -> Predicate:
        name = self._names.get(name.lower(), name)
        counting = name.endswith("/$count")
        read = self._property(name.removesuffix("/$count"))
        if counting:
            self._require_advanced(_LACKS.format("$count"))
        word = self._next("word").lower()
        if word == "in":
            return self._membership(read)
        if word in _ORDERING and self._ordered & {name, name.partition("/")[0]}:
            return _ordering(word, read, str(self._literal()))
        if word not in {"eq", "ne"}:
            raise UnsupportedFilter(_OPERATOR.format(word))
        if word == "ne" and not counting:
            self._require_advanced(_OPERATOR.format("NotEqualsMatch"))
        wanted = _folded(self._literal())

        def equal(row: Row) -> bool:
            value = read(row)
            return bool(_folded(len(value or []) if counting else value) == wanted)

        return equal if word == "eq" else lambda row: not equal(row)

    def _membership(self, read: Callable[[Row], Any]) -> Predicate:
        self._next("mark", "(")
        wanted = {_folded(self._literal())}
        while self._take(","):
            wanted.add(_folded(self._literal()))
        self._next("mark", ")")
        if len(wanted) > 15:
            raise UnsupportedFilter(
                "Too many child clauses specified in search filter expression containing 'OR' operators."
            )
        return lambda row: _folded(read(row)) in wanted

    def _property(self, path: str) -> Callable[[Row], Any]:
        if self._variable is not None:
            head, _, rest = path.partition("/")
            if head != self._variable:
                raise BadFilter(f"Invalid filter clause: Could not find a property named '{head}'.")
            return lambda row: row.get(rest)
        path = self._names.get(path.lower(), path)
        head = path.partition("/")[0]  # the whole is a property of its own, or lies inside of one
        head = self._names.get(head.lower(), head)
        if not self._known & {path, head}:
            message = f"Could not find a property named '{path}' on type 'microsoft.graph.{self.kind}'."
            raise BadFilter(f"Invalid filter clause: {message}")
        if not self._filterable & {path, head}:
            resource = self.kind[:1].upper() + self.kind[1:]
            about = f"property '{path}' of resource '{resource}'."
            message = f"Unsupported or invalid query filter clause specified for {about}"
            raise UnsupportedFilter(message)
        return lambda row: _within(row, "/".join([head, *path.split("/")[1:]]))

    def _literal(self) -> Any:
        kind, text, position = self._peek()
        self._at += 1
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind in {"guid", "date"}:
            return text
        if kind == "number":
            return int(text)
        if text in {"true", "false", "null"}:
            return {"true": True, "false": False, "null": None}[text]
        raise self._syntax(position)

    def _require_advanced(self, refusal: str) -> None:
        if not self._advanced:
            raise UnsupportedFilter(refusal)


_ORDERING: Mapping[str, Callable[[Any, Any], bool]] = {
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}


def _ordering(word: str, read: Callable[[Row], Any], wanted: str) -> Predicate:
    """Dates compare as moments, whatever their fraction."""
    limit, compare = stored_time(wanted) or stored_time(f"{wanted}T00:00:00Z"), _ORDERING[word]

    def fits(row: Row) -> bool:
        moment = stored_time(read(row))
        return moment is not None and limit is not None and bool(compare(moment, limit))

    return fits


def _within(row: Row, path: str) -> Any:
    """A property, also one inside of another: "status/errorCode"."""
    value: Any = row
    for part in path.split("/"):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
