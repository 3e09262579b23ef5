"""YAML with the place of every key and value: bytes of one file -> a tree of nodes, and what is wrong with it.

A safe subset of YAML 1.2: UTF-8, one document, mappings with text as keys, lists, scalars. Words that older YAML would
bend (`off`, `1:30`, `010`, dates) stay words. What hides meaning from a reviewer is refused: anchors, aliases, merge
keys, tags, control characters and characters that turn the writing direction.

The tree is built from libyaml's events and not from PyYAML's node graph: composing recurses in C, so that a deep file
ends the process, and it follows aliases. Here every limit holds while the file is being read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from provisioner.diagnostics import Diagnostic, Location

LARGEST_BYTES = 16 * 2**20
MOST_VALUES = 500_000
DEEPEST = 64

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it; the pure one is twenty times slower and takes tabs less often."""

Scalar = str | int | float | bool | None


@dataclass(slots=True, eq=False)
class Node:
    """One value and its place, counted from 1. A scalar has no `children`: its `value` is what its `text` means.

    `key` is the node of the key that it stands under. A broken node was complained about: what it holds says nothing.
    """

    file: str
    line: int
    column: int
    length: int = 1
    value: Scalar = None
    text: str = ""
    children: dict[str, Node] | list[Node] | None = None
    key: Node | None = None
    plain: bool = False
    broken: bool = False

    @property
    def location(self) -> Location:
        return Location(self.file, self.line, self.column)

    @property
    def head(self) -> Node:
        """What names the node: its key, or itself in a list."""
        return self.key or self

    def child(self, part: object) -> Node | None:
        """The node under a key, or at an index."""
        if isinstance(self.children, dict):
            return self.children.get(part) if isinstance(part, str) else None
        if isinstance(self.children, list) and isinstance(part, int) and part < len(self.children):
            return self.children[part]
        return None

    def find(self, path: Sequence[str | int]) -> Node | None:
        """The node at the end of a path of keys and indexes."""
        node: Node | None = self
        for part in path:
            node = node.child(part) if node else None
        return node

    def content(self) -> Any:
        """The same without places: dict, list, str, int, float, bool, None."""
        if isinstance(self.children, dict):
            return {name: child.content() for name, child in self.children.items()}
        if self.children is not None:
            return [child.content() for child in self.children]
        return self.value


@dataclass(frozen=True, slots=True)
class Parsed:
    """`root` is the mapping of the document, or None. Incomplete: it ends before a mistake that could not be passed."""

    root: Node | None
    diagnostics: tuple[Diagnostic, ...]
    complete: bool = True


def parse(content: bytes, file: str) -> Parsed:
    """Read one file. Never raises for what it holds."""
    text = _decoded(content, file)
    if isinstance(text, Diagnostic):
        return Parsed(None, (text,), complete=False)
    builder = _Builder(file)
    complete = True
    try:
        for event in yaml.parse(text, Loader=LOADER):
            builder.take(event)
    except _Stop:
        complete = False
    except yaml.YAMLError as error:
        complete = False
        builder.diagnostics.append(_syntax(error, file, lines(text), builder.open_bracket))
    root = builder.root
    if complete and not builder.diagnostics and (root is None or root.children == {}):
        builder.diagnostics.append(_empty(file))
    elif root is not None and not isinstance(root.children, dict):
        builder.diagnostics += [] if builder.diagnostics else [_not_mapping(root)]
        root = None
    if root is not None and builder.between_keys and isinstance(root.children, dict) and root.children:
        root.children.popitem()  # it may owe its end to the mistake
    return Parsed(root, tuple(builder.diagnostics), complete)


def lines(text: str) -> list[str]:
    """The lines of a text as YAML counts them, without their ends."""
    return re.split(r"\r\n|\r|\n", text)


# --- bytes -----------------------------------------------------------------------------------------------------------

# The last two groups turn the writing direction: in review a line would read otherwise than it counts.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


def _decoded(content: bytes, file: str) -> str | Diagnostic:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _encoding(content, 0, file, "the file is UTF-16", "save it as UTF-8")
    if (at := content.find(b"\0")) >= 0:
        what = f"the file is not text: byte {at:,} is NUL"
        return _encoding(content, at, file, what, "name a YAML file, in UTF-8")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"the file is not UTF-8: byte {error.start:,} is 0x{content[error.start]:02x}"
        return _encoding(content, error.start, file, what, "save it as UTF-8")
    text = text.removeprefix("\ufeff")
    if found := _FORBIDDEN.search(text):
        before = lines(text[: found.start()])
        code = f"U+{ord(found[0]):04X}"
        hint = f'take it out, or write it as an escape in double quotes: "\\u{ord(found[0]):04x}"'
        return Diagnostic(
            "YAML-CONTROL-CHARACTER",
            f"a character that does not show: {code}",
            hint,
            location=Location(file, len(before), len(before[-1]) + 1),
        )
    return text


def _encoding(content: bytes, at: int, file: str, what: str, hint: str) -> Diagnostic:
    before = lines(content[:at].decode("utf-8", "replace").removeprefix("\ufeff"))
    return Diagnostic("YAML-ENCODING", what, hint, location=Location(file, len(before), len(before[-1]) + 1))


def _empty(file: str) -> Diagnostic:
    hint = "write what it should declare, or remove the file"
    return Diagnostic("YAML-EMPTY", "the file declares nothing", hint, location=Location(file, 1, 1))


def _not_mapping(root: Node) -> Diagnostic:
    what = "a list" if root.children is not None else "a single value"
    hint = "start with a key and a colon: provisioner: 1"
    return Diagnostic(
        "YAML-NOT-MAPPING", f"a plan is a mapping of keys to values; this is {what}", hint, location=root.location
    )


# --- scalars ---------------------------------------------------------------------------------------------------------

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMERIC = frozenset("+-.0123456789")
# Leading zeros (octal in YAML 1.1) and more digits than any count has (telephone and serial numbers) stay words.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_OTHER_BASE = re.compile(r"0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(?=[0-9]*[.eE])(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def resolve(text: str) -> Scalar:
    """What a plain scalar means: the core schema of YAML 1.2, where numbers have no leading zeros."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if len(text) <= 40 and _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _SPECIAL.fullmatch(text) else text


# --- the tree --------------------------------------------------------------------------------------------------------


class _Stop(Exception):
    """Nothing after this can be read; the reason is among the diagnostics."""


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come; of a mapping, the key whose value comes next."""

    node: Node
    in_brackets: bool
    key: Node | None = None


class _Builder:
    """Events in, nodes and diagnostics out."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.diagnostics: list[Diagnostic] = []
        self._open: list[_Open] = []
        self._anchors: set[str] = set()
        self._documents = 0
        self._values = 0

    @property
    def between_keys(self) -> bool:
        """Whether reading ended in the outermost mapping, behind a value."""
        return len(self._open) == 1 and self._open[0].key is None

    @property
    def open_bracket(self) -> Node | None:
        """The innermost collection in brackets whose end has not come."""
        return next((o.node for o in reversed(self._open) if o.in_brackets), None)

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._attach(self._scalar(event))
            case yaml.MappingStartEvent():
                self._start(event, {})
            case yaml.SequenceStartEvent():
                self._start(event, [])
            case yaml.CollectionEndEvent():
                closed = self._open.pop()
                if self._open:
                    self._attach(closed.node)
            case yaml.AliasEvent():
                self._attach(self._alias(event))
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    what = "a second document starts here; a plan is one document"
                    self._complain("YAML-MULTIPLE-DOCUMENTS", what, "put it into a file of its own", self._node(event))
                    raise _Stop

    def _node(self, event: Any, length: int = 1) -> Node:
        mark = event.start_mark
        return Node(self.file, mark.line + 1, mark.column + 1, length)

    def _scalar(self, event: Any) -> Node:
        start, end = event.start_mark, event.end_mark
        node = self._node(event, max(end.column - start.column, 1) if start.line == end.line else 1)
        self._count(node)
        node.plain = bool(event.implicit[0])
        node.text = event.value
        node.value = resolve(event.value) if node.plain else event.value
        self._refuse_extras(event, node)
        return node

    def _start(self, event: Any, children: dict[str, Node] | list[Node]) -> None:
        node = self._node(event)
        node.children = children
        self._count(node)
        if len(self._open) >= DEEPEST:
            what = f"more than {DEEPEST} levels of nesting"
            self._complain("YAML-TOO-DEEP", what, "no plan nests so deep: look for brackets too many", node)
            raise _Stop
        self._refuse_extras(event, node)
        if not self._open:
            self.root = node
        self._open.append(_Open(node, bool(event.flow_style)))

    def _count(self, node: Node) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            hint = "split the plan: one file holds what one team reviews"
            self._complain("YAML-TOO-LARGE", f"more than {MOST_VALUES:,} values in one file", hint, node)
            raise _Stop

    def _refuse_extras(self, event: Any, node: Node) -> None:
        """Anchors and tags, on whatever they stand."""
        if event.anchor is not None:
            self._anchors.add(event.anchor)
            what = f"an anchor, &{event.anchor}: anchors and aliases hide from a reviewer what is meant"
            hint = "write the value where it is used; text that starts with & goes into quotes"
            self._complain("YAML-ALIAS", what, hint, node)
        if event.tag is not None:
            hint = "take the tag away; text goes into quotes"
            self._complain("YAML-TAG", f"a tag, {_short_tag(event.tag)}: a plan has none", hint, node)
            node.broken = True

    def _alias(self, event: Any) -> Node:
        node = self._node(event, len(event.anchor) + 1)
        node.broken = True
        key = self._open[-1].key if self._open else None
        # An alias of an anchor that was complained about is not a second mistake, and `<<: *x` is one, at its key.
        if event.anchor not in self._anchors and not (key and _merges(key)):
            what = f"an alias, *{event.anchor}: anchors and aliases hide from a reviewer what is meant"
            hint = f'if it is text, put it in quotes: "*{event.anchor}"'
            self._complain("YAML-ALIAS", what, hint, node)
        return node

    def _attach(self, node: Node) -> None:
        if not self._open:
            self.root = None if node.plain and node.value is None and not node.broken else node
            return
        innermost = self._open[-1]
        if isinstance(innermost.node.children, list):
            innermost.node.children.append(node)
        elif innermost.key is None:
            innermost.key = node
        else:
            key, innermost.key = innermost.key, None
            self._pair(innermost.node, key, node)

    def _pair(self, mapping: Node, key: Node, value: Node) -> None:
        if key.broken or not isinstance(mapping.children, dict):
            return None
        if key.children is not None:
            kind = "a mapping" if isinstance(key.children, dict) else "a list"
            hint = "write a name and a colon; text that starts with a bracket goes into quotes"
            return self._complain("KEY-NOT-TEXT", f"{kind} as a key", hint, key)
        if _merges(key):
            hint = "write the fields out, where they belong"
            return self._complain("YAML-MERGE-KEY", "a merge key, <<: it hides what is meant", hint, key)
        name = key.value if isinstance(key.value, str) else self._forced(key)
        first = mapping.children.get(name)
        if first is not None and first.key is not None:
            related = ((first.key.location, "the first one"),)
            what, hint = f'the key "{name}" stands here twice', "keep one of the two"
            return self._complain("YAML-DUPLICATE-KEY", what, hint, key, related)
        value.key = key
        mapping.children[name] = value
        return None

    def _forced(self, key: Node) -> str:
        """The text of a key that YAML takes for something else."""
        if key.value is None:
            self._complain("KEY-NOT-TEXT", "a key is missing in front of the colon", "write a name", key)
        else:
            what = f"the key {key.text} is {'a number' if not isinstance(key.value, bool) else 'no text'}"
            self._complain("KEY-NOT-TEXT", what, f'put it in quotes: "{key.text}"', key)
        return key.text

    def _complain(
        self, identifier: str, what: str, hint: str, node: Node, related: tuple[tuple[Location, str], ...] = ()
    ) -> None:
        found = Diagnostic(identifier, what, hint, location=node.location, length=node.length, related=related)
        self.diagnostics.append(found)


def _merges(key: Node) -> bool:
    return key.plain and key.value == "<<"


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


# --- what the parser says --------------------------------------------------------------------------------------------

_INDENTED_BY_TAB = re.compile(r" *\t")


def _syntax(error: yaml.YAMLError, file: str, source: Sequence[str], bracket: Node | None) -> Diagnostic:
    """The parser's complaint in the words of somebody who writes plans."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    context = str(getattr(error, "context", None) or "")
    opened = getattr(error, "context_mark", None)
    at = (mark.line, mark.column) if mark else (0, 0)
    start = (opened.line, opened.column) if opened else at
    tabs = [n for n, line in enumerate(source) if _INDENTED_BY_TAB.match(line)]
    if at[0] in tabs and ("tab character" in problem or "cannot start any token" in problem):
        return _tab(file, at[0], tabs, source)
    if bracket and at[0] + 1 >= len(source) and "node content" in problem:
        problem = "',' or '}'" if isinstance(bracket.children, dict) else "',' or ']'"
        start = (bracket.line - 1, bracket.column - 1)
    what, hint, (line, column) = _explained(problem, context, at, start, source)
    if bare := _bare_variable(source, start[0], at[0]):
        what, hint, (line, column) = (
            "a variable stands without quotes between brackets",
            'write "scanner@${domain}"',
            bare,
        )
    identifier = "YAML-TAG" if "tag" in context.split() or "tag handle" in problem else "YAML-SYNTAX"
    line = min(line, len(source) - 1)
    related = ((Location(file, at[0] + 1, at[1] + 1), "noticed here"),) if line < at[0] else ()
    return Diagnostic(identifier, what, hint, location=Location(file, line + 1, column + 1), related=related)


_VARIABLE = re.compile(r"[\[{,][^\"'\[\]{},]*\$\{")


def _bare_variable(source: Sequence[str], first: int, last: int) -> tuple[int, int] | None:
    """Where `${NAME}` is written between brackets as plain text, which its own braces end."""
    lines = ((number, _VARIABLE.search(source[number])) for number in range(first, min(last + 1, len(source))))
    return next(((number, match.end() - 2) for number, match in lines if match), None)


def _tab(file: str, line: int, tabs: Sequence[int], source: Sequence[str]) -> Diagnostic:
    others = [str(n + 1) for n in tabs if n != line]
    more = " and more" if len(others) > 10 else ""
    also = f" (so {'do lines' if others[1:] else 'does line'} {', '.join(others[:10])}{more})" if others else ""
    column = source[line].index("\t")
    return Diagnostic(
        "YAML-SYNTAX",
        f"this line is indented with a tab{also}; YAML takes spaces only",
        "use two spaces for each level",
        location=Location(file, line + 1, column + 1),
    )


_At = tuple[int, int]


def _explained(problem: str, context: str, at: _At, start: _At, source: Sequence[str]) -> tuple[str, str, _At]:
    """What, how to fix it, and where (counted from 0). Unknown complaints are passed on as they are."""
    line = source[at[0]] if at[0] < len(source) else ""
    unit = line[at[1] : at[1] + 1]
    for sign, noun in (("*", "an alias"), ("&", "an anchor"), ("!", "a tag")):
        if noun in context:
            text = _token(source[start[0]], start[1])
            return f"text that starts with {sign} stands without quotes", f'put it in quotes: "{text}"', start
    if "cannot start any token" in problem:
        return f"text that starts with {unit} stands without quotes", "put it in quotes", at
    if "values are not allowed" in problem:
        return _colon(line, at)
    if "',' or ']'" in problem or "',' or '}'" in problem:
        closing = "]" if "]" in problem else "}"
        return "a bracket that is not closed", f"close it with {closing}, or look for a comma too few", start
    if "quoted scalar" in context and ("end of stream" in problem or "document indicator" in problem):
        return "a quote that is not closed", "close it where the text ends", start
    if "escape" in problem:
        return (
            "a backslash in double quotes that starts no escape",
            "use single quotes, or write the backslash twice",
            at,
        )
    if "block collection" in context and not line[: at[1]].strip():
        return "a key among list entries", "indent it, or take the - away", at
    if "expected key" in problem or "<block end>" in problem or "'-' indicator" in problem:
        return _misplaced(line, at)
    for fragment, what, hint in _COMPLAINTS:
        if fragment in problem:
            return what, hint, at
    return f"not YAML: {problem}", "look at this line and the one above it", at


_COMPLAINTS = (
    ("tag handle", "a tag: a plan has none", "put text that starts with ! in quotes"),
    ("find expected ':'", "a key without a colon", "write a colon and a space behind it"),
    (
        "entries are not allowed",
        "a list entry on the line of its key",
        "start it on a line of its own, or write [a, b]",
    ),
    ("keys are not allowed", "a question mark where no key can start", "put text that starts with ? in quotes"),
    ("node content", "a value is missing, or a bracket or comma is too many", "put text that is meant in quotes"),
    ("incompatible YAML", "a %YAML line of another version", "take the line out: a plan is YAML 1.2"),
    ("document start", "something stands behind the end of the document", "start with a key and a colon"),
    ("comment or line break", "text behind the | or > of a block", "start the text on the next line"),
    ("indentation indicators", "text behind the | or > of a block", "start the text on the next line"),
)


def _colon(line: str, at: _At) -> tuple[str, str, _At]:
    if ": " in line[: at[1]]:
        return "a second colon in one line", 'put text that holds ": " in quotes', at
    column = len(line) - len(line.lstrip(" "))
    what = "a key where none can stand: the line above is not finished, or this one is indented too far"
    return what, "align the key with those beside it, and give each its colon", (at[0], column)


def _misplaced(line: str, at: _At) -> tuple[str, str, _At]:
    before = line[: at[1]]
    if not before.strip():
        if line[at[1] :].startswith("- "):
            return "a list entry among keys", "indent it below its key, or give it a key", at
        if line[at[1] : at[1] + 1] in {"]", "}"}:
            return "a closing bracket that nothing opened", "take it out", at
        return "the indentation fits none of the levels above", "align it with the keys beside it", at
    if before.rstrip()[-1] in "'\"":
        return "text behind a closing quote", "write a quote within single quotes twice: 'it''s'", at
    return "text that belongs to nothing", "look for a bracket, a comma or a quote too many", at


def _token(line: str, column: int) -> str:
    found = re.match(r"[^\s,\]}]*", line[column:])
    return found[0] if found else ""
