"""Text that comes from a tenant, a server or a plan, made harmless for where it is printed.

Names in a tenant are written by anybody. What moves a terminal's cursor, turns the writing direction or ends a line
must never reach a terminal, a comment or a page as itself.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from provisioner.model.runner_commands import COMMAND, LINE_COMMAND

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what does not print: control, format (bidirectional marks), surrogates, line ends."""


def prints(unit: str) -> bool:
    """Whether one character shows as itself and does nothing else."""
    return unicodedata.category(unit) not in _HIDDEN


_ODD_ASCII = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_NO_COLOR = re.compile(r"\x1b(?!\[[0-9;]*m)")


def visible(text: str) -> str:
    r"""Text on one line: what does not print stands as its code, `\u{202e}`. Plain text comes back as it is.

    So does text that has been through here before. A command to a CI runner is broken in the same way.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(c if prints(c) else _code(c) for c in text)
    return COMMAND.sub(r"#\\u{23}", text)


def commands_at(text: str, number: int) -> bool:
    """Whether a command to a runner begins with the character of this number."""
    return text[number] == "#" and COMMAND.match(text, number) is not None


def json_text(value: Any, *, indent: int | None = 1) -> str:
    """A value as JSON in which what does not print, or is a command to a runner, stands as an escape of JSON's own."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    odd = {ord(c): json.dumps(c)[1:-1] for c in set(text) if not prints(c) and c != "\n"}
    return COMMAND.sub(r"#\\u0023", text.translate(odd))


def csv_cell(value: Any) -> str:
    """A cell of CSV that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    text = visible(str(value))
    return f"'{text}" if text.lstrip()[:1] in {"=", "+", "-", "@"} else text


def whole(text: str, *, color: bool = False, commands: bool = False) -> str:
    """A whole output at its exit, whatever made it: lines and tabs stay, and the codes of colours where `color`.

    Everything in it should have been escaped where its medium is known; this is the wall behind that. `commands`: what
    a runner obeys is meant, or was seen to.
    """
    if not text.isascii() or _ODD_ASCII.search(text):
        odd = {ord(c): _code(c) for c in set(text) if not prints(c) and c not in "\n\t\x1b"}
        text = (
            _NO_COLOR.sub(lambda _: _code("\x1b"), text) if color else text.replace("\x1b", _code("\x1b"))
        ).translate(odd)
    return text if commands else COMMAND.sub(r"#\\u{23}", LINE_COMMAND.sub(r"\1\\u{3a}:", text))


def _code(unit: str) -> str:
    return f"\\u{{{ord(unit):x}}}"
