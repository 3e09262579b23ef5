"""One layout for the files of a plan: the same values, comments and order, with other spaces between them. Pure.

What is settled: two spaces for each level, lists indented below their key, `{ key: value }` and `[item, item]`, one
blank line at most, no spaces at the end of a line, one line end at the end of the file. What an author aligned (values,
comments) and every spelling (quotes, several lines) stays. The tokens of the file are moved, and never written anew;
the result is read again and compared, so that a file means afterwards what it meant before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.plan.yaml_nodes import LOADER, Node, parse

_STEP = 2
_OPEN = (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)
_CLOSE = (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def formatted(content: bytes, file: str) -> str:
    """The text of a file in the one layout, with the line ends that it has.

    Raises InputError where the file is not well-formed, or where its layout cannot be changed without its meaning.
    """
    parsed = parse(content, file)
    if parsed.diagnostics or parsed.root is None:
        raise InputError(parsed.diagnostics or [Diagnostic("YAML-EMPTY", f"{file} is empty", "write a plan")])
    text = content.decode("utf-8").removeprefix("\ufeff")
    ends = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    layout = _Layout(text)
    new = layout.written()
    again = parse(new.encode("utf-8"), file)
    same = again.root is not None and not again.diagnostics and _means(again.root) == _means(parsed.root)
    if not same or _Layout(new).comments() != layout.comments():
        what = f"{file} has a layout that cannot be changed without changing its meaning; it is left as it is"
        raise InputError([Diagnostic("FORMAT-UNSAFE", what, "write long texts in quotes, and one key on each line")])
    return new.replace("\n", ends)


def _means(node: Node) -> Any:
    """Values with their spelling: `010` and `10` are not the same to a reader."""
    if isinstance(node.children, dict):
        return [(name, _means(child)) for name, child in node.children.items()]
    if node.children is not None:
        return [_means(child) for child in node.children]
    return type(node.value), node.value, node.text


@dataclass(frozen=True, slots=True)
class _Block:
    """A block collection: the column in which its entries stand, and the one that they get."""

    old: int
    new: int
    sequence: bool
    implied: bool = False
    """A list whose dashes stand in the column of its key: the scanner does not say where it ends."""


@dataclass(slots=True)
class _Piece:
    """A token with text of its own, between `start` and `end`, and where it stands."""

    start: int
    end: int
    token: Any
    blocks: tuple[_Block, ...]
    flow: int


@dataclass(slots=True)
class _Layout:
    """One pass over the tokens of a text that is known to be well-formed."""

    text: str
    out: list[str] = field(default_factory=list)
    line: str = ""
    moved: int = 0
    """By how many columns the present line begins further to the right than before."""

    def written(self) -> str:
        previous: _Piece | None = None
        for piece in self._pieces():
            self._between(previous, piece)
            self._put(piece)
            previous = piece
        self._between(previous, None)
        self._end_line()
        while self.out and not self.out[-1]:
            self.out.pop()
        return "\n".join(self.out) + "\n"

    def comments(self) -> Sequence[str]:
        found: list[str] = []
        end = 0
        for piece in self._pieces():
            found += _comments(self.text[end : piece.start])
            end = piece.end
        return [*found, *_comments(self.text[end:])]

    # --- tokens ------------------------------------------------------------------------------------------------------

    def _pieces(self) -> Iterator[_Piece]:
        blocks: list[_Block] = []
        flow = 0
        for token in yaml.scan(self.text, Loader=LOADER):
            start, end = token.start_mark.index, token.end_mark.index
            if isinstance(token, yaml.BlockMappingStartToken | yaml.BlockSequenceStartToken):
                new = blocks[-1].new + _STEP if blocks else 0
                blocks.append(_Block(token.start_mark.column, new, isinstance(token, yaml.BlockSequenceStartToken)))
                continue
            if isinstance(token, yaml.BlockEndToken | yaml.KeyToken) and blocks and blocks[-1].implied and not flow:
                blocks.pop()
            if isinstance(token, yaml.BlockEndToken):
                blocks.pop()
            if isinstance(token, yaml.BlockEntryToken) and not blocks[-1].sequence:
                blocks.append(_Block(token.start_mark.column, blocks[-1].new + _STEP, sequence=True, implied=True))
            flow -= isinstance(token, _CLOSE)
            if start != end:
                yield _Piece(start, self._end_of(token, start, end), token, tuple(blocks), flow)
            flow += isinstance(token, _OPEN)

    def _end_of(self, token: Any, start: int, end: int) -> int:
        """Line ends behind a text of several lines (`|`, `>`) belong to what follows."""
        if isinstance(token, yaml.ScalarToken) and token.style in {"|", ">"}:
            return start + len(self.text[start:end].rstrip(" \n"))
        return end

    # --- what stands between them ------------------------------------------------------------------------------------

    def _between(self, before: _Piece | None, after: _Piece | None) -> None:
        """The spaces, line ends and comments between two tokens (None: the start or the end of the file)."""
        gap = self.text[before.end if before else 0 : after.start if after else len(self.text)]
        if before is not None and "\n" not in gap:
            if "#" in gap:
                self._comment_behind(gap, before.end)
            elif after is not None:
                self.line += _blanks(before, after, gap)
            return
        first, *rest = gap.split("\n") if before is not None else ["", *gap.split("\n")]
        if first.strip():
            self._comment_behind(first, before.end if before else 0)
        if before is not None:
            self._end_line()
        lines = rest if after is None else rest[:-1]
        for line in lines:
            self._line_of_comment(line, before, after)
        if after is not None:
            self._begin(after)

    def _comment_behind(self, gap: str, end: int) -> None:
        """A comment at the end of a line keeps its column where there is room."""
        column = end - self.text.rfind("\n", 0, end) - 1 + len(gap) - len(gap.lstrip())
        self.line += " " * max(1, column + self.moved - len(self.line)) + gap.strip()

    def _line_of_comment(self, line: str, before: _Piece | None, after: _Piece | None) -> None:
        if not line.strip():
            if self.out and self.out[-1]:
                self.out.append("")
            return
        column = len(line) - len(line.lstrip())
        self.out.append(" " * self._column_of_comment(column, before, after) + line.strip())

    def _column_of_comment(self, column: int, before: _Piece | None, after: _Piece | None) -> int:
        """That of what follows or of the block that it stands in; a comment belongs to what has its column."""
        inside = before.flow + isinstance(before.token, _OPEN) if before is not None else 0
        if before is not None and before.blocks and inside:
            return before.blocks[-1].new + _STEP * inside
        if after is not None and column == self._column(after.start):
            return self._new_column(after)
        around = [block for block in before.blocks if block.old <= column] if before else []
        if around:
            return around[-1].new
        return self._new_column(after) if after is not None else 0

    def _begin(self, piece: _Piece) -> None:
        new, old = self._new_column(piece), self._column(piece.start)
        self.line, self.moved = " " * new, new - old

    def _new_column(self, piece: _Piece) -> int:
        """Where the first token of a line stands."""
        if not piece.blocks:
            return 0
        block = piece.blocks[-1]
        if piece.flow or isinstance(piece.token, _CLOSE):
            return block.new + _STEP * piece.flow
        return block.new if self._column(piece.start) == block.old else block.new + _STEP

    def _column(self, index: int) -> int:
        return index - self.text.rfind("\n", 0, index) - 1

    def _end_line(self) -> None:
        if self.line:
            self.out.append(self.line.rstrip(" "))
        self.line = ""

    # --- the tokens themselves ---------------------------------------------------------------------------------------

    def _put(self, piece: _Piece) -> None:
        text = self.text[piece.start : piece.end]
        first, *rest = text.split("\n")
        self.line += first
        if not rest:
            return
        least = piece.blocks[-1].new + _STEP if piece.blocks else 0
        block = isinstance(piece.token, yaml.ScalarToken) and piece.token.style in {"|", ">"}
        indents = [len(line) - len(line.lstrip(" ")) for line in rest if line.strip()]
        shift = least - indents[0] if block and indents else self.moved
        for line in rest:
            self._end_line() if self.line else self.out.append("")
            indent = len(line) - len(line.lstrip(" "))
            new = indent + shift if block else max(indent + shift, least)
            self.line = " " * new + line.lstrip(" ") if line.strip() else ""


def _blanks(before: _Piece, after: _Piece, gap: str) -> str:
    """The spaces between two tokens of one line; what is wider than needed may be an alignment, and stays."""
    opens, closes = before.token, after.token
    if isinstance(closes, yaml.FlowEntryToken | yaml.ValueToken):
        return ""
    if isinstance(opens, yaml.FlowMappingStartToken):
        return "" if isinstance(closes, yaml.FlowMappingEndToken) else " "
    if isinstance(opens, yaml.FlowSequenceStartToken) or isinstance(closes, yaml.FlowSequenceEndToken):
        return ""
    if isinstance(closes, yaml.FlowMappingEndToken) or isinstance(opens, yaml.BlockEntryToken):
        return " "
    return gap.replace("\t", " ") or " "


def _comments(gap: str) -> Iterator[str]:
    yield from (line.strip() for line in gap.split("\n") if line.strip())
