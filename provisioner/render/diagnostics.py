"""Diagnostics for a person, with the line and a caret, and as JSON in the shape of Terraform's diagnostics."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from provisioner.diagnostics import Diagnostic, Location
from provisioner.render.escape import visible

ReadLine = Callable[[str, int], str | None]
"""(file, line from 1) -> the line without its end, or None where it cannot be had."""

_COLORS = {"error": "31", "warning": "33", "info": "36"}
_WIDEST = 160


def render(diagnostics: Sequence[Diagnostic], read_line: ReadLine, *, color: bool = False) -> str:
    """`file:line:column: error[ID]: what`, the line, a caret, and how to mend it; a blank line between two."""
    return "\n".join("\n".join(_one(d, read_line, color)) + "\n" for d in diagnostics)


def _one(diagnostic: Diagnostic, read_line: ReadLine, color: bool) -> Iterator[str]:
    word = f"{diagnostic.severity.value}[{diagnostic.id}]"
    if color:
        word = f"\x1b[1;{_COLORS[diagnostic.severity.value]}m{word}\x1b[0m"
    at = diagnostic.location
    where = f"{visible(at.file)}:{at.line}:{at.column}: " if at else ""
    yield f"{where}{word}: {visible(diagnostic.summary)}"
    if at:
        yield from _excerpt(at, diagnostic.length, read_line)
    if diagnostic.mend:
        yield f"  = mend: {visible(diagnostic.mend)}"
    for place, words in diagnostic.related:
        yield f"  = {visible(words)}: {visible(place.file)}:{place.line}:{place.column}"


def _excerpt(at: Location, length: int, read_line: ReadLine) -> Iterator[str]:
    """The line and a caret under the place; of a very long line the part around it."""
    line = read_line(at.file, at.line)
    if line is None:
        return
    start = max(0, at.column - 1 - _WIDEST // 2)
    before, marked = line[start : at.column - 1], line[at.column - 1 : at.column - 1 + length]
    rest = line[at.column - 1 + length :][:_WIDEST]
    gutter = f"{at.line} | "
    blank = " " * (len(gutter) - 2) + "| "
    shown = [_shown(part) for part in (before, marked, rest)]
    yield f"  {gutter}{''.join(shown)}".rstrip()
    yield f"  {blank}{' ' * _width(shown[0])}{'^' * max(1, min(_width(shown[1]), _WIDEST))}"


def _shown(text: str) -> str:
    return visible(text.replace("\t", "    "))


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none (Unicode TR 11)."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def to_json(diagnostics: Sequence[Diagnostic], read_line: ReadLine) -> list[dict[str, Any]]:
    """Objects with severity, summary, detail, address, range and snippet as Terraform has them, and our id."""
    return [_object(d, read_line) for d in diagnostics]


def _object(diagnostic: Diagnostic, read_line: ReadLine) -> dict[str, Any]:
    found: dict[str, Any] = {
        "severity": "error" if diagnostic.severity.value == "error" else "warning",
        "id": diagnostic.id,
        "summary": diagnostic.summary,
        "detail": diagnostic.mend,
    }
    if diagnostic.address:
        found["address"] = diagnostic.address
    if at := diagnostic.location:
        end = at.column + diagnostic.length
        found["range"] = {
            "filename": at.file,
            "start": {"line": at.line, "column": at.column, "byte": 0},
            "end": {"line": at.line, "column": end, "byte": 0},
        }
        line = read_line(at.file, at.line)
        if line is not None:
            found["snippet"] = {"context": None, "code": line[:_WIDEST], "start_line": at.line}
    return found
