"""What one cmdlet returned, as `Get-X | ConvertTo-Json` writes it: which cmdlet that was, told by the columns.

PowerShell writes one object without a list around it, Windows PowerShell 5 wraps a list that it took from a variable in
`{"value": [...], "Count": n}` (PowerShell issue 3153), that of a column too, and both write dates as `/Date(ms)/` or
ISO text. A column that holds a list has a lone text where somebody had joined it, which is taken for a list of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.sandbox.cmdlets.objects import Noun
from provisioner.sandbox.cmdlets.running import NOUNS
from provisioner.sandbox.tenant import Row

_ENOUGH = 0.5
"""The share of a noun's own columns that a row must have to be one of its rows."""


def rows_of(document: Any) -> list[Row] | None:
    """The rows of a listing; None for what is none."""
    document = _unwrapped(document)
    entries = document if isinstance(document, list) else [document]
    if not entries or not all(isinstance(entry, Mapping) and entry for entry in entries):
        return None
    return [{str(name): value for name, value in entry.items()} for entry in entries]


def _unwrapped(value: Any) -> Any:
    """A list without what Windows PowerShell 5 wraps around it."""
    return value["value"] if isinstance(value, Mapping) and set(value) == {"value", "Count"} else value


def converted(document: Any) -> dict[str, Any] | None:
    """A seed's document from such a file; None where its rows are of no kind that is modelled."""
    rows = rows_of(document)
    noun = noun_of(rows[0]) if rows else None
    if rows is None or noun is None:
        return None
    return {"objects": {noun.name: [with_lists(noun, row) for row in rows]}}


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
    """The row with a list of one where a column of lists has a lone text, and with lists that are not wrapped."""
    lists = {column for column, value in noun.columns.items() if isinstance(value, list)}
    plain = {name: _unwrapped(value) for name, value in row.items()}
    return {name: [value] if name in lists and isinstance(value, str) else value for name, value in plain.items()}
