"""Text that comes from a tenant or a plan, made harmless for where it is printed.

Names in a tenant are written by anybody. What moves a terminal's cursor, turns the writing direction or ends a line
must never reach a terminal, a comment or a page as itself.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what does not print: control, format (bidirectional marks), surrogates, line ends."""


def prints(unit: str) -> bool:
    """Whether one character shows as itself and does nothing else."""
    return unicodedata.category(unit) not in _HIDDEN


def visible(text: str) -> str:
    r"""Text on one line: what does not print stands as its code, `\u{202e}`. Plain text comes back as it is."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if prints(c) else f"\\u{{{ord(c):x}}}" for c in text)
