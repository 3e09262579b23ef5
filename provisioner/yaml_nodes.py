"""YAML with the place of every key and value: a safe subset of YAML 1.2, built from the parser's events.

Events and not composed nodes, since composing recurses in C (a hundred thousand brackets end the process) and hides
where an alias stands. Scalars follow the YAML 1.2 core schema: `off`, `no`, `1:30` and `010` stay the words they are.
Anchors, tags, merge keys and several documents are refused: they hide meaning from whoever reviews a plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from provisioner.diagnostics import Diagnostic, Diagnostics, Location

LARGEST_BYTES = 16 * 2**20
DEEPEST = 50

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_OTHER_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS = {"null": None, "Null": None, "NULL": None, "~": None, "": None} | dict.fromkeys(("true", "True", "TRUE"), True)
_WORDS |= dict.fromkeys(("false", "False", "FALSE"), False)


@dataclass(slots=True)
class Node:
    """A value and where it stands. `items` are the entries of a mapping, in order, keys that are no text left out.

    `content` is the Python value of a scalar, a list of nodes, or None for a mapping. `length` is in characters.
    """

    location: Location
    length: int
    content: Any = None
    items: list[tuple[Node, Node]] = field(default_factory=list)
    is_mapping: bool = False

    @property
    def is_list(self) -> bool:
        return isinstance(self.content, list)

    def value(self) -> Any:
        """The plain Python value: dicts, lists and scalars."""
        if self.is_mapping:
            return {key.content: node.value() for key, node in self.items}
        if isinstance(self.content, list):
            return [node.value() for node in self.content]
        return self.content

    def entry(self, key: str) -> tuple[Node, Node] | None:
        """The entry of a mapping with this key."""
        return next((e for e in self.items if e[0].content == key), None)


def load(content: bytes, file: str, found: Diagnostics) -> Node | None:
    """The root node of a file, or None where there is none; every mistake goes to `found`.

    `file` is the path as it shall be shown.
    """
    text = _decode(content, file, found)
    if text is None:
        return None
    builder = _Builder(file, found, text)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if not builder.take(event):
                return None
    except yaml.YAMLError as error:
        found.add(_syntax(error, file, text))
        return None
    if builder.root is None:
        start = Location(file, 1, 1)
        found.add(Diagnostic("YAML-EMPTY", "the file has no content", "write a plan, or take it away", location=start))
    return builder.root


def _decode(content: bytes, file: str, found: Diagnostics) -> str | None:
    start = Location(file, 1, 1)
    if len(content) > LARGEST_BYTES:
        what = f"the file has {len(content):,} bytes; a plan file has at most {LARGEST_BYTES:,}"
        found.add(Diagnostic("YAML-TOO-LARGE", what, "split it into several files of one folder", location=start))
        return None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        found.add(Diagnostic("YAML-ENCODING", "the file is UTF-16", "save it as UTF-8", location=start))
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        binary = b"\0" in content[:8192]
        what = "the file is binary" if binary else f"byte {error.start:,} (0x{content[error.start]:02x}) is not UTF-8"
        mend = "name a YAML file" if binary else "save the file as UTF-8"
        found.add(Diagnostic("YAML-ENCODING", what, mend, location=Location(file, line, column)))
        return None
    return text.replace("\r\n", "\n")


@dataclass(slots=True)
class _Open:
    """A collection under construction; `key` is the key that waits for its value."""

    node: Node
    key: Node | None = None
    keys: dict[str, Node] = field(default_factory=dict)


class _Builder:
    """Takes the parser's events one by one. `take` is False when the rest cannot be made sense of."""

    def __init__(self, file: str, found: Diagnostics, text: str) -> None:
        self.root: Node | None = None
        self._file, self._found, self._text = file, found, text
        self._open: list[_Open] = []
        self._documents = 0

    def take(self, event: Any) -> bool:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    return self._stop(
                        "YAML-MULTIPLE-DOCUMENTS", "a second document begins here", event, "write one per file"
                    )
            case yaml.AliasEvent():
                mend = "write the value out: an alias hides what a reviewer must see"
                return self._stop("YAML-ALIAS", f"*{event.anchor} is an alias", event, mend)
            case yaml.ScalarEvent():
                self._checked(event)
                self._put(self._scalar(event))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._checked(event)
                return self._begin(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
        return True

    def _begin(self, event: Any) -> bool:
        if len(self._open) >= DEEPEST:
            what = f"this is nested more than {DEEPEST} levels deep"
            return self._stop("YAML-TOO-DEEP", what, event, "no part of a plan is that deep")
        mapping = isinstance(event, yaml.MappingStartEvent)
        node = Node(self._at(event), 1, None if mapping else [], is_mapping=mapping)
        self._put(node)
        self._open.append(_Open(node))
        return True

    def _put(self, node: Node) -> None:
        """Where a finished or begun node belongs: the root, an element, a key or a value."""
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if parent.node.is_list:
            parent.node.content.append(node)
        elif parent.key is None:
            parent.key = node
        else:
            self._entry(parent, parent.key, node)
            parent.key = None

    def _entry(self, parent: _Open, key: Node, node: Node) -> None:
        name = key.content
        if key.is_mapping or not isinstance(name, str):
            what = "a key must be a word" if key.is_mapping or key.is_list else f"the key {_shown(name)} is not a text"
            self._add("YAML-KEY", what, key, "put it in quotes" if not (key.is_mapping or key.is_list) else "")
        elif name == "<<":
            self._add("YAML-MERGE-KEY", "<< merges another mapping in", key, "write its entries out")
        elif name in parent.keys:
            first = parent.keys[name].location
            duplicate = Diagnostic(
                "YAML-DUPLICATE-KEY",
                f'"{name}" is written twice',
                "keep one of the two",
                location=key.location,
                length=key.length,
                related=((first, "the first is here"),),
            )
            self._found.add(duplicate)
        else:
            parent.keys[name] = key
            parent.node.items.append((key, node))

    def _scalar(self, event: Any) -> Node:
        end = event.end_mark
        length = end.column - event.start_mark.column if end.line == event.start_mark.line else 1
        value = core_value(event.value) if event.implicit[0] else event.value
        return Node(self._at(event), max(1, length), value)

    def _checked(self, event: Any) -> None:
        """Tags and anchors, each said once where it stands."""
        if event.tag is not None and event.tag != "!":
            self._add_at("YAML-TAG", f"{event.tag} is a tag", event, "leave it out: values speak for themselves")
        if event.anchor is not None:
            self._add_at("YAML-ALIAS", f"&{event.anchor} is an anchor", event, "leave it out: a plan has no aliases")

    def _at(self, event: Any) -> Location:
        return Location(self._file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _add(self, id_: str, what: str, node: Node, mend: str) -> None:
        self._found.add(Diagnostic(id_, what, mend, location=node.location, length=node.length))

    def _add_at(self, id_: str, what: str, event: Any, mend: str) -> None:
        self._found.add(Diagnostic(id_, what, mend, location=self._at(event)))

    def _stop(self, id_: str, what: str, event: Any, mend: str) -> bool:
        self._add_at(id_, what, event, mend)
        return False


def core_value(text: str) -> Any:
    """A plain scalar by the YAML 1.2 core schema (10.3.2), but that 010 stays a word: it is 8 in older YAML."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-")
        return text if len(digits) > 1 and digits.startswith("0") else _number(text, int)
    if _OTHER_INTEGER.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return _number(text, float)
    return text


def _number(text: str, kind: type[int | float]) -> Any:
    """A number, unless it is absurdly long: then it stays a word, for whoever wanted a number to refuse."""
    return kind(text) if len(text) <= 40 else text


def walk(node: Node, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Node, Node]]:
    """Every (path, key node, value node) below a node; an element of a list is its own key node."""
    for key, value in node.items:
        yield (*path, key.content), key, value
        yield from walk(value, (*path, key.content))
    if isinstance(node.content, list):
        for index, value in enumerate(node.content):
            yield (*path, index), value, value
            yield from walk(value, (*path, index))


def _syntax(error: yaml.YAMLError, file: str, text: str) -> Diagnostic:
    """The parser's complaint in one sentence, with the usual slips explained."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        position = getattr(error, "position", 0)
        at = Location(file, text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))
        unit = getattr(error, "character", "")
        shown = f"U+{ord(unit) if isinstance(unit, str) and unit else unit:04X}" if unit != "" else "a character"
        return Diagnostic("YAML-CONTROL", f"{shown} does not belong in a plan", "take it out", location=at)
    at = Location(file, mark.line + 1, mark.column + 1)
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: mark.column + 1] and not line[: mark.column].strip():
        return Diagnostic("YAML-TAB", "the line is indented with a tab", "indent with spaces", location=at)
    problem = str(getattr(error, "problem", None) or "it cannot be read as YAML")
    context = getattr(error, "context", None)
    what = f"{problem} ({context})" if context else problem
    mend = "check the indentation, the colons and the quotes of this line and of the one before it"
    return Diagnostic("YAML-SYNTAX", what, mend, location=at)


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
