"""The smallest edit of a YAML text after which it means something else. Pure.

What does not change keeps its place, its spelling, its spaces and its comments to the character: only the values, lines
and items that differ are written, in the layout of what stands around them. The result is read again and compared with
what it should mean; where the two differ, or a construct is met that this module does not edit (anchors, merge keys),
there is no edit.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.model import yaml_text
from provisioner.model.runner_commands import commands_in

_BOM = "\ufeff"


class _Unsure(Exception):
    """Something that is not edited in place."""


def edited(text: str, wanted: Mapping[str, Any]) -> str | None:
    """`text` with the fewest changes after which it means `wanted`, whose keys are in their order; None without one."""
    from ruamel.yaml.error import YAMLError

    body, mark = text.removeprefix(_BOM), text[: len(text) - len(text.removeprefix(_BOM))]
    ends = "\r\n" if "\r\n" in body else "\n"
    body = body.replace("\r\n", "\n")
    try:
        new = _Editor(body).written(wanted)
        if plain(yaml_text.round_trip().load(new)) != plain(wanted) or not _shows(new, body):
            return None
    except (_Unsure, YAMLError):
        return None
    return mark + new.replace("\n", ends)


def _shows(new: str, old: str) -> bool:
    """Whether the edit brings nothing in that would act on a terminal or a CI runner; `yaml_text.dump` escapes that."""
    known = set(old.split("\n"))
    added = [line for line in new.split("\n") if line not in known]
    return all(line.isprintable() for line in added) and not commands_in("\n".join(added))


def plain(node: Any) -> Any:
    """A round-trip node as plain Python."""
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(value) for value in node]
    return str(node) if isinstance(node, str) else node


@dataclass(slots=True)
class _Editor:
    """One text, and the edits of it: from, to, and what comes in between."""

    text: str
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    step: int = 2
    padding: str = ""

    def written(self, wanted: Mapping[str, Any]) -> str:
        """The text with all edits. Raises _Unsure, and YAMLError for a text that is not well-formed."""
        from ruamel.yaml import YAML
        from ruamel.yaml.nodes import MappingNode

        old = yaml_text.round_trip().load(self.text)
        root = YAML(typ="rt", pure=True).compose(self.text)
        if not isinstance(root, MappingNode) or root.flow_style or "<<" in old:
            raise _Unsure
        self.step = next((c for c in self._columns(root) if c > 0), 2)
        self.padding = " " if len(re.findall(r"\{ \S", self.text)) > len(re.findall(r"\{\S", self.text)) else ""
        self._mapping(root, old, wanted)
        new, end = [], 0
        for start, stop, words in sorted(self.edits, key=lambda e: e[:2]):
            if start < end:
                raise _Unsure
            new += [self.text[end:start], words]
            end = stop
        return "".join([*new, self.text[end:]])

    def _columns(self, node: Any) -> Iterator[int]:
        """The columns in which the keys of block mappings below a node stand, less that of what holds them."""
        for key, value in node.value:
            if _is_mapping(value) and not value.flow_style and value.value:
                yield value.value[0][0].start_mark.column - key.start_mark.column

    # --- mappings ---------------------------------------------------------------------------------------------------

    def _mapping(self, node: Any, old: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        if node.anchor or len(node.value) != len(old):
            raise _Unsure
        entries = dict(zip(old, node.value, strict=True))
        gone = [name for name in old if name not in wanted]
        for name in gone:
            self._remove(node, list(old).index(name))
        for name, (_, value) in entries.items():
            if name in wanted and plain(old[name]) != plain(wanted[name]):
                self._value(node, entries[name], value, old[name], wanted[name])
        before: str | None = None
        added: dict[str | None, list[str]] = {}
        for name in wanted:
            if name in entries:
                before = name
            else:
                added.setdefault(before, []).append(name)
        for place, names in added.items():
            self._add(node, entries, place, {name: wanted[name] for name in names})

    def _value(self, holder: Any, entry: tuple[Any, Any], node: Any, old: Any, wanted: Any) -> None:
        """The value of a key, or an item: changed inside where both are of one kind, else written anew."""
        if node.anchor:
            raise _Unsure
        if isinstance(old, Mapping) and isinstance(wanted, Mapping) and old and wanted:
            self._mapping(node, old, wanted)
        elif isinstance(old, list) and isinstance(wanted, list) and old and wanted:
            self._list(node, old, wanted)
        elif _is_scalar(node) and not _is_empty(node) and node.style not in {"|", ">"} and not _is_collection(wanted):
            self.edits.append((node.start_mark.index, self._end(node), _scalar(wanted, node.style)))
        elif not _is_scalar(node) and node.flow_style:
            self.edits.append((node.start_mark.index, node.end_mark.index, self._inline(wanted)))
        elif holder.flow_style or entry[0] is entry[1]:
            raise _Unsure
        else:
            self._rewrite(entry, wanted)

    def _rewrite(self, entry: tuple[Any, Any], wanted: Any) -> None:
        """The lines of an entry of a block mapping, anew."""
        key, value = entry
        start, column = self._line(key.start_mark.index), key.start_mark.column
        if self.text[start : key.start_mark.index].strip():
            raise _Unsure
        lines = self._block({key.value: wanted}, column, flow=False)
        spelled = self.text[key.start_mark.index : key.end_mark.index]
        lines[0] = f"{' ' * column}{spelled}{lines[0].lstrip().removeprefix(_scalar(key.value))}"
        self.edits.append((start, self._after(self._end(value)), "".join(f"{line}\n" for line in lines)))

    def _add(self, node: Any, entries: Mapping[str, Any], place: str | None, new: Mapping[str, Any]) -> None:
        """New entries behind an entry, or in front of the first."""
        if not entries:
            raise _Unsure
        first = next(iter(entries.values()))[0].start_mark
        if node.flow_style:
            self._add_in_flow([] if place is None else [entries[place][1]], first.index, self._pairs(new))
            return
        column = first.column
        if self.text[self._line(first.index) : first.index].strip():
            raise _Unsure  # the mapping begins behind the dash of an item
        flow = self._mostly_flow(entries.values())
        lines = self._block(new, column, flow=flow)
        at = self._line(first.index) if place is None else self._behind(self._end(entries[place][1]), column)
        if column == 0 and place is not None and re.search(r"\n[ \t]*\n[^\s#]", self.text):
            lines = [part for line in lines for part in (["", line] if line[:1].strip() else [line])]
        missing = "\n" if at == len(self.text) and not self.text.endswith("\n") else ""
        self.edits.append((at, at, missing + "".join(f"{line}\n" for line in lines)))

    def _add_in_flow(self, before: Sequence[Any], first: int, items: Sequence[str]) -> None:
        words = ", ".join(items)
        if before:
            at = self._end(before[-1])
            self.edits.append((at, at, f", {words}"))
        else:
            self.edits.append((first, first, f"{words}, "))

    @staticmethod
    def _mostly_flow(entries: Any) -> bool:
        """Whether mappings stand in braces in a mapping, so that a new one does too."""
        values = [value for _, value in entries if _is_mapping(value)]
        return bool(values) and all(value.flow_style for value in values)

    # --- lists ------------------------------------------------------------------------------------------------------

    def _list(self, node: Any, old: Sequence[Any], wanted: Sequence[Any]) -> None:
        if len(node.value) != len(old):
            raise _Unsure
        one, two = ([repr(plain(item)) for item in side] for side in (old, wanted))
        for what, a, b, c, d in difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
            if what == "equal":
                continue
            both = min(b - a, d - c)
            for i in range(both):
                item = node.value[a + i]
                self._value(node, (item, item), item, old[a + i], wanted[c + i])
            for i in range(a + both, b):
                self._remove(node, i)
            if d - c > both:
                self._add_items(node, a + both, wanted[c + both : d])

    def _add_items(self, node: Any, at: int, new: Sequence[Any]) -> None:
        """New items in front of the item number `at`, which may be the end."""
        before, first = node.value[:at][-1:], node.value[0].start_mark.index
        if node.flow_style:
            self._add_in_flow(before, first, [self._inline(item) for item in new])
            return
        dash = self.text.rfind("-", 0, first)
        column = dash - self._line(dash)
        place = self._behind(self._end(before[0]), column) if before else self._line(dash)
        lines = [line for item in new for line in self._item(item, column)]
        missing = "\n" if place == len(self.text) and not self.text.endswith("\n") else ""
        self.edits.append((place, place, missing + "".join(f"{line}\n" for line in lines)))

    # --- what goes --------------------------------------------------------------------------------------------------

    def _remove(self, node: Any, number: int) -> None:
        """An entry or an item, with its lines. Lines that are comments stay."""
        parts = [part if isinstance(part, tuple) else (part, part) for part in node.value]
        start, end = parts[number][0].start_mark.index, self._end(parts[number][1])
        if node.flow_style:
            if number + 1 < len(parts):
                end = parts[number + 1][0].start_mark.index
            elif number:
                start = self._end(parts[number - 1][1])
            if "#" in self.text[start:end] and "\n" in self.text[start:end]:
                raise _Unsure
            self.edits.append((start, end, ""))
            return
        if not _is_mapping(node):
            start = self.text.rfind("-", 0, start)
        line = self._line(start)
        if self.text[line:start].strip():
            raise _Unsure
        after = self._after(end)
        kept = "".join(self._comments(line, after, parts[number][1]))
        if not kept and self.text[:line].endswith("\n\n") and self.text[after : after + 1] in {"", "\n"}:
            line -= 1
        self.edits.append((line, after, kept))

    def _comments(self, start: int, end: int, value: Any) -> Iterator[str]:
        """The lines between two places that are comments, and not the words of a text of several lines."""
        texts = [(s.start_mark.index, s.end_mark.index) for s in _scalars(value) if s.style in {"|", ">", '"', "'"}]
        at = start
        for line in self.text[start:end].splitlines(keepends=True):
            inside = any(a < at < b for a, b in texts)
            if line.lstrip().startswith("#") and not inside:
                yield line
            at += len(line)

    # --- places -----------------------------------------------------------------------------------------------------

    def _line(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _after(self, at: int) -> int:
        """The beginning of the line behind a place."""
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1

    def _behind(self, at: int, column: int) -> int:
        """Where an entry goes that follows a place: behind the comments that are indented below what stands there."""
        at = self._after(at)
        place = at
        while at < len(self.text):
            line = self.text[at : self._after(at)]
            bare = line.strip()
            if bare and not (bare.startswith("#") and len(line) - len(line.lstrip()) > column):
                break
            at += len(line)
            place = at if bare else place
        return place

    def _end(self, node: Any) -> int:
        """The place behind the last character of a node: a collection in blocks ends with its last value."""
        if not _is_scalar(node) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._end(last[1] if isinstance(last, tuple) else last)
        start, end = int(node.start_mark.index), int(node.end_mark.index)
        if _is_empty(node):  # its mark is where the next token begins
            return len(self.text[:start].rstrip())
        return start + len(self.text[start:end].rstrip())

    # --- what is written --------------------------------------------------------------------------------------------

    def _block(self, value: Mapping[str, Any], column: int, *, flow: bool) -> list[str]:
        """The lines of a mapping whose keys stand in a column; with `flow` its mappings stand in braces."""
        lines = []
        for name, part in value.items():
            head = f"{' ' * column}{_scalar(name)}:"
            if isinstance(part, Mapping) and part and not flow:
                lines += [head, *self._block(part, column + self.step, flow=False)]
            elif isinstance(part, list) and part and not flow and not self._flow_lists():
                lines += [head, *(line for item in part for line in self._item(item, column + self._offset()))]
            else:
                lines.append(f"{head} {self._inline(part)}")
        return lines

    def _item(self, value: Any, column: int) -> list[str]:
        pad = " " * column
        if not isinstance(value, Mapping) or not value:
            return [f"{pad}- {self._inline(value)}"]
        lines = self._block(value, column + 2, flow=False)
        return [f"{pad}- {lines[0].lstrip()}", *lines[1:]]

    def _flow_lists(self) -> bool:
        """Whether the lists of the text stand in brackets."""
        return re.search(r"[:,{]\s*\[", self.text) is not None and re.search(r"^\s*- ", self.text, re.MULTILINE) is None

    def _offset(self) -> int:
        """How far the dashes of a list are indented below their key."""
        found = re.search(r"^( *)[^\s#-][^\n]*:[ ]*(?:#[^\n]*)?\n( *)- ", self.text, re.MULTILINE)
        return len(found[2]) - len(found[1]) if found else self.step

    def _inline(self, value: Any) -> str:
        if isinstance(value, Mapping):
            return f"{{{self.padding}{', '.join(self._pairs(value))}{self.padding}}}" if value else "{}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self._inline, value))}]"
        return _scalar(value)

    def _pairs(self, value: Mapping[str, Any]) -> list[str]:
        return [f"{_scalar(name)}: {self._inline(part)}" for name, part in value.items()]


def _scalar(value: Any, style: str | None = None) -> str:
    """A value on one line, as it stands in a flow collection too; a text keeps the quotes that were there."""
    from ruamel.yaml.comments import CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

    if isinstance(value, str):
        if style == '"' or not value.isprintable():
            value = DoubleQuotedScalarString(value)
        elif style == "'":
            value = SingleQuotedScalarString(value)
        else:
            value = str(value)
    alone = CommentedSeq([value])
    alone.fa.set_flow_style()
    return yaml_text.dump(alone).strip()[1:-1]


def _is_mapping(node: Any) -> bool:
    from ruamel.yaml.nodes import MappingNode

    return isinstance(node, MappingNode)


def _is_scalar(node: Any) -> bool:
    from ruamel.yaml.nodes import ScalarNode

    return isinstance(node, ScalarNode)


def _is_empty(node: Any) -> bool:
    return _is_scalar(node) and node.start_mark.index == node.end_mark.index


def _is_collection(value: Any) -> bool:
    return isinstance(value, Mapping | list)


def _scalars(node: Any) -> Iterator[Any]:
    if _is_scalar(node):
        yield node
        return
    for part in node.value:
        for one in part if isinstance(part, tuple) else (part,):
            yield from _scalars(one)
