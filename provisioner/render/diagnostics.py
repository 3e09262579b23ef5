"""Diagnostics for people (the line, a caret, how to fix it) and for programs (Terraform's JSON diagnostics, with ids).

Lines of a plan are quoted as they are read by `read_line(file, line)`: the line, counted from 1, with its end, or None.
Everything quoted is escaped: what a plan holds must not move a terminal's cursor or turn the writing direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from provisioner.diagnostics import Diagnostic, Location, Severity
from provisioner.render.escape import visible
from provisioner.render.wrapping import columns, wrapped

ReadLine = Callable[[str, int], str | None]

_WIDEST = 160
"""Columns of a quoted line. A longer one is cut around the place that the caret points at."""

_LONGEST = 500
"""Characters of a line in JSON, before the place and behind it."""

_COLORS = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.INFO: "\x1b[1;36m"}
_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def render_diagnostics(
    diagnostics: Iterable[Diagnostic], read_line: ReadLine, color: bool, width: int | None = None
) -> str:
    """Each as `file:line:column: error[ID]: what`, the line with a caret, `= hint:`, and the places related to it.

    Sentences are wrapped to `width` columns; a quoted line never is, since the caret points at its columns.
    """
    return "\n".join(_one(d, read_line, color, width) for d in diagnostics)


def _one(diagnostic: Diagnostic, read_line: ReadLine, color: bool, width: int | None) -> str:
    def painted(text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if color else text

    at = diagnostic.location
    place = f"{_place(at)}: " if at else ""
    head = painted(f"{diagnostic.severity}[{diagnostic.id}]", _COLORS[diagnostic.severity])
    out = [wrapped(f"{place}{head}: {painted(visible(diagnostic.summary), _BOLD)}", width)]
    margin = ""
    quoted = _quoted(at, diagnostic.length, read_line) if at else None
    if at and quoted:
        margin = " " * len(str(at.line))
        line, caret = quoted
        out.append(f"  {painted(f'{at.line} |', _DIM)} {line}")
        out.append(f"  {margin} {painted('|', _DIM)} {painted(caret, _COLORS[diagnostic.severity])}")
    hint = diagnostic.hint.splitlines()
    for number, text in enumerate(hint):
        label = "= hint: " if number == 0 else "        "
        line = f"  {margin} {painted(label, _DIM)}{visible(text)}" if margin else f"  {label}{visible(text)}"
        out.append(wrapped(line, width))
    out += [
        f"  {margin}{' ' if margin else ''}= {_place(place)}: {visible(word)}" for place, word in diagnostic.related
    ]
    return "\n".join(out) + "\n"


def diagnostics_json(diagnostics: Iterable[Diagnostic], read_line: ReadLine | None = None) -> list[dict[str, Any]]:
    """The shape of `terraform validate -json` (its `diagnostics`), each with our `id`.

    Columns are counted from 1 in characters, `byte` from 0 in the file as it is stored; without `read_line` neither
    bytes nor snippets can be told. Texts are as they are: the reader escapes for its own medium.
    """
    offsets = _Offsets(read_line) if read_line else None
    return [_document(d, read_line, offsets) for d in diagnostics]


def _document(diagnostic: Diagnostic, read_line: ReadLine | None, offsets: _Offsets | None) -> dict[str, Any]:
    related = [f"{place}: {word}" for place, word in diagnostic.related]
    document: dict[str, Any] = {
        "severity": str(diagnostic.severity),
        "id": diagnostic.id,
        "summary": diagnostic.summary,
        "detail": "\n".join([*([diagnostic.hint] if diagnostic.hint else []), *related]),
    }
    if diagnostic.address:
        document["address"] = diagnostic.address
    at = diagnostic.location
    if at is None:
        return document
    end = Location(at.file, at.line, at.column + diagnostic.length)
    points = [{"line": p.line, "column": p.column} | (offsets.of(p) if offsets else {}) for p in (at, end)]
    document["range"] = {"filename": at.file, "start": points[0], "end": points[1]}
    text = read_line(at.file, at.line) if read_line else None
    if text is not None:
        code, start, _ = _near(_bare(text, at.line), at.column - 1, _LONGEST)
        document["snippet"] = {
            "context": None,
            "code": code,
            "start_line": at.line,
            "highlight_start_offset": start,
            "highlight_end_offset": min(start + diagnostic.length, len(code)),
            "values": [],
        }
    return document


class _Offsets:
    """Bytes in front of each line of each file, as far as asked for."""

    def __init__(self, read_line: ReadLine) -> None:
        self._read_line = read_line
        self._starts: dict[str, list[int]] = {}

    def of(self, place: Location) -> dict[str, int]:
        """The offset of a place, or nothing for one that is not there."""
        starts = self._starts.setdefault(place.file, [0])
        while len(starts) < place.line:
            line = self._read_line(place.file, len(starts))
            if line is None:
                return {}
            starts.append(starts[-1] + _size(line))
        line = self._read_line(place.file, place.line) or ""
        mark = "\ufeff" if place.line == 1 and line.startswith("\ufeff") else ""
        return {"byte": starts[place.line - 1] + _size(mark + _bare(line, place.line)[: place.column - 1])}


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _place(at: Location) -> str:
    return visible(str(at))


def _bare(line: str, number: int) -> str:
    """A line without its end, and the first without a byte order mark: columns are counted behind it."""
    text = line.rstrip("\r\n")
    return text.removeprefix("\ufeff") if number == 1 else text


def _near(line: str, start: int, most: int) -> tuple[str, int, bool]:
    """A line, or what of a long one stands near a place; where the place is in it, and whether its beginning is cut.

    A line with a thousand mistakes would be repeated a thousand times.
    """
    start = min(start, len(line))
    first = max(start - most, 0) if len(line) > 2 * most else 0
    return line[first : start + most] if len(line) > 2 * most else line, start - first, first > 0


def _quoted(at: Location, length: int, read_line: ReadLine) -> tuple[str, str] | None:
    """The line as it can be shown, and what stands below it: a caret for each column of the place."""
    text = read_line(at.file, at.line)
    if text is None:
        return None
    near, start, cut = _near(_bare(text, at.line), at.column - 1, _WIDEST)
    pieces = [" " * 4 if c == "\t" else visible(c) for c in near]
    pieces, start = _cut(pieces, start)
    if cut and pieces[0] != "…":
        pieces, start = ["…", *pieces], start + 1
    before = sum(map(columns, pieces[:start]))
    marked = sum(map(columns, pieces[start : start + max(length, 1)]))
    return "".join(pieces).rstrip(), " " * before + "^" * max(marked, 1)


def _cut(pieces: Sequence[str], start: int) -> tuple[list[str], int]:
    if sum(map(columns, pieces)) <= _WIDEST:
        return list(pieces), start
    first = max(start - _WIDEST // 4, 0)
    window, used = [], 0
    for piece in pieces[first:]:
        used += columns(piece)
        if used > _WIDEST:
            window.append("…")
            break
        window.append(piece)
    return (["…", *window], start - first + 1) if first else (window, start)
