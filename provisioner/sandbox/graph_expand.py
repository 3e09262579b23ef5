"""$expand of Microsoft Graph: objects related to a row, inside of it.

What the directory does: one relationship a request, at most 20 objects of it without a link to more, `$select` and (for
managers) `$levels` inside of the parentheses, and a page of 100 rows at most.

Sources: Learn, "Use query parameters", part "expand", and "List manager" (`$levels=max`); Microsoft Graph known issues,
"Some limitations apply to query parameters"; microsoft-graph-docs issue 96 (the refusal of a second relationship).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from provisioner.sandbox.graph_calls import NOT_MODELLED, Call, GraphError, Row, bad_request
from provisioner.sandbox.graph_sets import project, typed

Related = Callable[[Row], Iterable[Row] | Row | None]
"""The objects of a relationship; of one that leads to a single object that object, or None."""

_MOST = 20
LARGEST_PAGE = 100
_NAMED = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expansion:
    """One relationship of a call."""

    name: str
    related: Related
    select: Sequence[str] | None
    levels: int

    def into(self, row: Row, shown: Row) -> Row:
        """The row as it is shown, with its related objects."""
        found = self.related(row)
        if found is None:
            return shown
        if isinstance(found, Mapping):
            return {**shown, self.name: self._one(dict(found), self.levels)}
        return {**shown, self.name: [self._one(one, 1) for one, _ in zip(found, range(_MOST), strict=False)]}

    def _one(self, row: Row, levels: int) -> Row:
        shown = typed(row, project(row, self.select))
        above = self.related(row) if levels > 1 else None
        return {**shown, self.name: self._one(dict(above), levels - 1)} if isinstance(above, Mapping) else shown


def objects(found: Iterable[Row] | Row | None) -> list[Row]:
    """What a relationship leads to, as a list."""
    if found is None:
        return []
    return [dict(found)] if isinstance(found, Mapping) else list(found)


def expansions(call: Call, relations: Mapping[str, Related], kind: str, *, most: int = 1) -> list[Expansion]:
    """What $expand asks for; `relations` are those of the type, `most` how many may be asked at once.

    Raises GraphError.
    """
    parts = _split(call.params.get("$expand", ""), ",")
    if len(parts) > most:
        text = (
            f"The result of parsing $expand contained at least {len(parts)} items, but the maximum allowed is {most}."
        )
        raise bad_request(text, "BadRequest")
    return [_expansion(part, relations, kind) for part in parts]


def _expansion(text: str, relations: Mapping[str, Related], kind: str) -> Expansion:
    match = _NAMED.fullmatch(text)
    name = match[1] if match else text
    known = next((own for own in relations if own.lower() == name.lower()), None)
    if match is None or known is None:
        problem = f"Could not find a property named '{name}' on type 'microsoft.graph.{kind}'."
        raise _lacking(f"Parsing OData Select and Expand failed: {problem}", f"$expand={name} of {kind}")
    select, levels = None, 1
    for option in _split(match[2] or "", ";"):
        word, _, value = option.partition("=")
        if word.strip().lower().lstrip("$") == "select":
            names = [one.strip() for one in value.split(",") if one.strip()]
            select = ["id", *(one for one in names if one != "id")]
        elif word.strip().lower().lstrip("$") == "levels" and (value == "max" or value.isdigit()):
            levels = 1000 if value == "max" else max(1, int(value))
        else:
            raise _lacking("Parsing OData Select and Expand failed.", f"the option {word} inside of $expand")
    return Expansion(known, relations[known], select, levels)


def _lacking(text: str, what: str) -> GraphError:
    error = bad_request(text, "BadRequest")
    error.headers[NOT_MODELLED] = what.encode("ascii", "replace").decode()
    return error


def _split(text: str, mark: str) -> list[str]:
    """The parts between marks that stand outside of parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == mark and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]
