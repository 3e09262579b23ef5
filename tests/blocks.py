"""The blocks of code in a page, and the commands of a session in one. Standard library only: scripts/follow-readme runs
it before anything is installed.

A block of `console` is a session and runs in a test: a line after "$ " is a command, with "# exit N" behind it where it
does not end with 0, and the lines below are some of its output, in which … stands for any text. A block with a title
(`title="plans/devices.yaml"`) is a file that the commands of the page use. `sh`, `text` and no language illustrate.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(r"(?ms)^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^ *```$")


@dataclass(frozen=True)
class Block:
    """One block of a page. `title` is the name of the file that it is, "" for none; `line` is its first."""

    language: str
    title: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """One command of a session: what is typed, how it ends, and what it prints among other lines."""

    typed: str
    code: int
    prints: tuple[str, ...]

    def missing(self, output: str) -> list[str]:
        """The lines that the page shows and the output does not have."""
        lines = [line.strip() for line in output.splitlines()]
        return [shown for shown in self.prints if not any(_pattern(shown).fullmatch(line) for line in lines)]


def _pattern(shown: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in shown.split("…")))


def blocks(page: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start("text")) + 1
        yield Block(found["language"], found["title"] or "", textwrap.dedent(found["text"]), line)


def commands(session: str) -> Iterator[Command]:
    for part in re.split(r"(?m)^\$ ", session)[1:]:
        typed, *prints = part.splitlines()
        typed, _, comment = typed.partition(" # ")
        code = re.fullmatch(r"exit (\d+)", comment.strip())
        yield Command(typed.strip(), int(code[1]) if code else 0, tuple(p.strip() for p in prints if p.strip()))
