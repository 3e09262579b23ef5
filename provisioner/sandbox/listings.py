"""What cmdlets returned, as `Get-X | ConvertTo-Json` or the admin API writes it: which one is told by the columns.

PowerShell writes one object without a list around it, Windows PowerShell 5 wraps a list that it took from a variable in
`{"value": [...], "Count": n}` (PowerShell issue 3153), that of a column too, an enumeration of a remote session in
`{"value": 1, "Value": "OnPremises"}`, and both write dates as `/Date(ms)/` or ISO text. The admin API's answer has its
rows under `value`, beside keys with `@`. A column that holds a list has a lone text where somebody joined it, or where
ConvertTo-Json went no deeper (its -Depth is 2 unless told otherwise), and then only the name of the list's type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from provisioner.sandbox.cmdlets.objects import Noun
from provisioner.sandbox.cmdlets.running import NOUNS
from provisioner.sandbox.tenant import Row

_ENOUGH = 0.5
"""The share of a noun's own columns that a row must have to be one of its rows."""
_CUT = re.compile(r"(?:System\.(?:Collections\.|Object\[)|Microsoft\.Exchange\.Data\.MultiValuedProperty)")


def rows_of(document: Any) -> list[Row] | None:
    """The rows of a listing; None for what is none."""
    document = _unwrapped(document)
    entries = [entry for entry in (document if isinstance(document, list) else [document]) if entry is not None]
    if not entries or not all(isinstance(entry, Mapping) and entry for entry in entries):
        return None
    return [{str(name): value for name, value in entry.items() if "@" not in str(name)} for entry in entries]


def _unwrapped(value: Any) -> Any:
    """A value without what Windows PowerShell 5 or the admin API wraps around it."""
    if not isinstance(value, Mapping) or "value" not in value:
        return value
    others = {str(name) for name in value if name != "value" and "@" not in str(name)}
    if others == {"Value"}:
        return value["Value"]
    wrapped = others == {"Count"} or others == {"DisplayHint", "DateTime"}
    return value["value"] if wrapped or (not others and isinstance(value["value"], list)) else value


def converted(document: Any) -> dict[str, Any] | None:
    """A seed's document from such a file; None where its rows are of no kind that is modelled. Raises ValueError."""
    several = _by_cmdlet(document)
    if several is not None:
        return {"objects": several}
    rows = rows_of(document)
    noun = noun_of(rows[0]) if rows else None
    if rows is None or noun is None:
        return None
    return {"objects": {noun.name: [with_lists(noun, row) for row in rows]}}


def _by_cmdlet(document: Any) -> dict[str, list[Row]] | None:
    """The rows of a file that names the cmdlet of each listing (`@{ InboundConnector = Get-InboundConnector; … }`)."""
    if not isinstance(document, Mapping) or not document:
        return None
    names = {name.lower(): noun for name, noun in NOUNS.items()}
    keys = {key: str(key).lower().removeprefix("get-") for key in document}
    nouns = {key: names.get(name) or names.get(name.removesuffix("s")) for key, name in keys.items()}
    if not all(nouns.values()):
        return None
    found: dict[str, list[Row]] = {}
    for key, noun in nouns.items():
        if noun is not None and (rows := rows_of(document[key])):
            found.setdefault(noun.name, []).extend(with_lists(noun, row) for row in rows)
    return found or None


def noun_of(row: Row) -> Noun | None:
    """The kind of object that has most of these columns, as a share of its own; of equals, the one with more."""
    names = {name.lower() for name in row}
    scored = []
    for noun in NOUNS.values():
        own = {column.lower() for column in noun.columns}
        shared = len(own & names)
        if own and shared >= max(2, _ENOUGH * len(own)):
            scored.append((shared / len(own), shared, noun.name))
    return NOUNS[max(scored)[2]] if scored else None


def with_lists(noun: Noun, row: Row) -> Row:
    """The row under the columns' own spelling, with lists where they belong. Raises ValueError for a cut list."""
    spelled = {column.lower(): column for column in noun.columns}
    camel = all(name[:1].islower() for name in row)  # as programs that are not PowerShell write it
    found: Row = {}
    for name, value in row.items():
        column = spelled.get(name.lower(), name[:1].upper() + name[1:] if camel else name)
        plain = _unwrapped(value)
        found[column] = _listed(column, plain) if isinstance(noun.columns.get(column), list) else plain
    return found


def _listed(column: str, value: Any) -> Any:
    if value == {}:
        return []
    if not isinstance(value, str):
        return value
    if _CUT.match(value):
        raise ValueError(f"{column} holds {value!r} where its entries were: export with ConvertTo-Json -Depth 4")
    parts = re.split(r"[\s,]+", value.strip())
    return parts if len(parts) > 1 and all(re.search(r"[.@:*]", part) for part in parts) else [value]
