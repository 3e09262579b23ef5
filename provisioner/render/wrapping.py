"""Long lines of a text broken at spaces, for a terminal's width. A word is never broken: a long one stands alone."""

from __future__ import annotations

import re
import unicodedata

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_MARGIN = re.compile(r"((?:\x1b\[[0-9;]*m)?\s*(?:# |= hint: |[-+~>] |[^\s\x1b][^\x1b]*?(?:\x1b\[0m)? {2,})?)")
"""What a line goes on below: its indentation and its sign, or the label that two spaces end."""
_LEAST = 20


def wrapped(text: str, width: int | None) -> str:
    """The text with every line at most `width` columns wide as far as its words allow; None leaves it as it is.

    What a line goes on with is indented as its beginning, and a comment stays one.
    """
    if width is None:
        return text
    return "\n".join("\n".join(_line(line, max(width, _LEAST))) for line in text.split("\n"))


def columns(text: str) -> int:
    """The columns that a terminal gives to a text: two for wide characters, none for combining ones and colours."""
    plain = _COLOR.sub("", text)
    return len(plain) if plain.isascii() else sum(map(_width, plain))


def _width(unit: str) -> int:
    if unicodedata.combining(unit) or unicodedata.category(unit) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(unit) in {"W", "F"} else 1


def _line(line: str, width: int) -> list[str]:
    if columns(line) <= width:
        return [line]
    found = _MARGIN.match(line)
    begin = _COLOR.sub("", found.group(1)) if found else ""
    indent = " " * (len(begin) - len(begin.lstrip()))
    margin = f"{indent}# " if begin.endswith("# ") else " " * min(len(begin) + (0 if begin.strip() else 4), width // 3)
    lines: list[str] = []
    current = ""
    for word in re.split(r"(?<=\S) ", line):
        alone = not lines and _COLOR.sub("", current).strip() == begin.strip()  # a label stays beside its first word
        if current.strip() and not alone and columns(f"{current} {word}") > width:
            lines.append(current)
            current = margin + word.lstrip()
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current]
