"""What pydantic says about a part of a plan, in the words of somebody who writes plans: where, what, how to fix it.

The canonical functions of the resource types raise errors that carry our own id and hint; these pass through. The rest
(unknown and missing keys, wrong types, words that are not in a list) is told here, the same way for every type.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from provisioner.diagnostics import Diagnostic, Location
from provisioner.plan.yaml_nodes import Node

Schema = Mapping[str, Any]
Naming = Callable[[Sequence[str | int]], str | None]
"""The address of the resource that a path of keys and indexes leads into, if it leads into one."""

_YES = frozenset({"yes", "on", "y", "true", "enabled", "enable"})
_NO = frozenset({"no", "off", "n", "false", "disabled", "disable"})

_SAME = {
    **dict.fromkeys(("external", "outside", "everyone", "everybody", "all", "any"), "anyone"),
    **dict.fromkeys(("internal", "inside", "tenant", "org"), "organization"),
}
"""Other words for those of `recipients` of a device."""

_EXPECTED = {
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "dataclass_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "none_required": "nothing",
}


def mistakes(error: ValidationError, node: Node, schema: Schema, name: str, naming: Naming) -> Iterator[Diagnostic]:
    """A diagnostic for each place that is wrong below `node`, which stands for `name` and was checked by `schema`."""
    found: dict[tuple[Location | None, str], Diagnostic] = {}
    for entry in error.errors(include_url=False, include_input=False):
        path = (*entry["loc"], *entry.get("ctx", {}).get("at", ()))
        place = _Place.of(node, schema, path, entry["type"])
        if place.node.broken:
            continue
        diagnostic = dataclasses.replace(_told(entry, place, name), address=naming(path))
        # The branches of a union complain one by one about one value: the first speaks for all of them.
        found.setdefault((diagnostic.location, diagnostic.id + str(place.lost)), diagnostic)
    yield from found.values()


def fields_of(schema: Schema) -> frozenset[str]:
    """The fields of what a schema describes, where it is a mapping of known ones."""
    return frozenset(_resolved(schema, schema).get("properties", {}))


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant: blind to case, `-` and `_`, so that Exchange's own spelling is found."""
    by_form = {_form(k): k for k in known}
    near = difflib.get_close_matches(_form(word), by_form, n=1, cutoff=0.65)
    ends = [form for form in by_form if len(form) >= 4 and _form(word).endswith(form)]  # ConnectorType
    return by_form[near[0]] if near else by_form[ends[0]] if len(ends) == 1 else None


def unknown_word(word: str, known: Sequence[str]) -> str:
    """How to fix a word that is not a known one."""
    near = did_you_mean(word, known)
    if near:
        return f'did you mean "{near}"?'
    return f"known here: {', '.join(known)}" if known else "take it out"


def _form(word: str) -> str:
    return word.replace("_", "").replace("-", "").replace(" ", "").lower()


# --- places ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where pydantic's path leads: the deepest node on it and its schema, and the schema `around` it.

    `named` is the nearest node that has a key, `holder` the nearest of those that hold it; `lost` the last part of a
    path to what is missing.
    """

    node: Node
    schema: Schema
    around: Schema
    named: Node
    holder: Node
    on_key: bool
    lost: str

    @classmethod
    def of(cls, node: Node, root: Schema, path: Sequence[str | int], kind: str) -> _Place:
        """Parts that are not keys of the plan are names of a union's branches, and skipped."""
        schema = around = _resolved(root, root)
        holder = named = node
        missing = kind == "missing"
        for part in path[:-1] if missing else path:
            below = node.child(part)
            if below is not None:
                around, holder = schema, named
                node, schema = below, _below(schema, root, part)
                named = node if node.key is not None else named
        lost = str(path[-1]) if missing and path else ""
        return cls(node, schema, around, named, holder, bool(path) and path[-1] == "[key]", lost)

    @property
    def allowed(self) -> Sequence[Any]:
        """The values that the schema lists, if it lists any."""
        return self.schema.get("enum") or ([self.schema["const"]] if "const" in self.schema else [])

    @property
    def lost_value(self) -> str:
        """What may be written for what is missing; "" where anything may."""
        values = self.schema.get("properties", {}).get(self.lost, {}).get("enum", ())
        return " or ".join(_written(v) for v in values)


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root.get("$defs", {})[schema["$ref"].rpartition("/")[2]]
    for branch in schema.get("anyOf", ()):
        resolved = _resolved(branch, root)
        if "properties" in resolved or "items" in resolved:
            return resolved
    return schema


def _below(schema: Schema, root: Schema, part: str | int) -> Schema:
    below = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
    below = below or schema.get("additionalProperties")
    return _resolved(below, root) if isinstance(below, Mapping) else {}


# --- words -----------------------------------------------------------------------------------------------------------


def _told(entry: Any, place: _Place, name: str) -> Diagnostic:
    kind = entry["type"]
    subject = _name(place.named) or name
    if kind == "extra_forbidden":
        key, known = place.node.head, list(place.around.get("properties", ()))
        if is_indented_oddly(key.text):
            return indented_oddly(key)
        what = f'"{key.text}" is not a field of {_name(place.holder) or name}'
        return _at(key, "KEY-UNKNOWN", what, unknown_word(key.text, known))
    if kind == "missing":
        what = f'"{place.lost}" is missing in {subject}'
        hint = f"write {place.lost}: {place.lost_value}" if place.lost_value else f"add {place.lost} with its value"
        return _at(place.node.head, "KEY-MISSING", what, hint)
    if kind in _EXPECTED:
        expected, node = _EXPECTED[kind], place.node
        what = f"{subject}: expected {expected}, found {_found(node)}"
        switch = "enabled" in place.schema.get("properties", {}) and isinstance(node.value, bool)
        hint = f"write {{ enabled: {node.text.lower()} }}" if switch else _hint_type(expected, node)
        return _at(node, "VALUE-TYPE", what, hint)
    if kind in {"literal_error", "enum"}:
        return _none_of(place, subject)
    least, most = (place.schema.get(bound) for bound in ("minimum", "maximum"))
    if kind in {"greater_than_equal", "less_than_equal"} and None not in (least, most):
        limits = f"a number from {least:,} to {most:,}"
        return _at(
            place.node, "VALUE-INVALID", f"{subject}: expected {limits}, found {place.node.text}", f"write {limits}"
        )
    node = place.node.head if place.on_key or place.node.children is not None else place.node
    if kind.isupper():
        return _at(node, kind, entry["msg"], str(entry.get("ctx", {}).get("hint", "")))
    message = entry["msg"]
    return _at(node, "VALUE-INVALID", f"{subject}: {message[:1].lower()}{message[1:]}", "write another value")


def _hint_type(expected: str, node: Node) -> str:
    value, text = node.value, node.text
    scalar = node.children is None
    if expected == "true or false" and scalar:
        return _hint_flag(value)
    if expected == "text" and scalar:
        return f'put it in quotes: "{text}"' if value is not None else 'write "" for none, or leave it out'
    if expected == "a list":
        entries = [part.strip() for part in text.split(",")]
        if scalar and isinstance(value, str) and len(entries) > 1 and all(map(_ENTRY.fullmatch, entries)):
            return f"write a list: [{', '.join(entries)}]"
        if scalar and value is not None:
            return f"write a list: [{text if node.plain else json.dumps(text, ensure_ascii=False)}]"
        return "write a list: [a, b], or [] for none" if scalar else "write entries that start with a dash"
    if expected == "a mapping":
        glued = _GLUED.match(text) if scalar and node.plain else None
        if glued:
            return f"put a space behind the colon: {glued[1]}: {glued[2]}"
        return "write names and colons, without dashes" if not scalar else "write its fields below it, or {} for none"
    if expected.endswith("number") and isinstance(value, str) and text.isdigit():
        return f"write {text}, without quotes"
    return f"write {expected}" if scalar else f"write {expected}, without brackets or dashes"


_ENTRY = re.compile(r"[\w.@/+\-]+")
_GLUED = re.compile(r"([A-Za-z_][\w.@\-]*):(\S.*)")
_ODD_SPACES = ("\u00a0", "\u2002", "\u2003", "\u2007", "\u202f", "\u3000")


def indented_oddly(key: Node) -> Diagnostic:
    """A key with a space in front that YAML takes for a letter, as it is pasted from a web page."""
    what = "what looks like a space in front of this key is none for YAML (a no-break space, pasted from a web page)"
    return _at(key, "YAML-SYNTAX", what, "replace the spaces at the beginning of the line")


def is_indented_oddly(name: str) -> bool:
    """Whether a key begins with a space that YAML takes for a letter."""
    return name[:1] in _ODD_SPACES


def _hint_flag(value: Any) -> str:
    word = str(value).lower()
    if isinstance(value, str) and word in {"true", "false"}:
        return f"write {word}, without quotes"
    if word in _YES or value == 1:
        return "write true"
    return "write false" if word in _NO or value == 0 else "write true or false, or leave it out"


def _none_of(place: _Place, subject: str) -> Diagnostic:
    node, allowed = place.node, place.allowed
    words = [_written(v) for v in allowed]
    listed = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    what = f"{subject}: expected {listed or 'another value'}, found {_found(node)}"
    return _at(node, "VALUE-NOT-ALLOWED", what, _hint_choice(node, allowed, words))


def _hint_choice(node: Node, allowed: Sequence[Any], words: Sequence[str]) -> str:
    written = node.text
    if node.children is not None:
        return f"write one of {', '.join(words)}"
    if written in words:
        return f'write "{written}", in quotes' if written in allowed else f"write {written}, without quotes"
    switch = "enabled" if written.lower() in _YES else "disabled" if written.lower() in _NO else ""
    if switch in words:
        return f"write {switch}"
    same = _SAME.get(written.lower(), "")
    if same in words:
        return f"write {same}"
    near = None if isinstance(node.value, int | float) else did_you_mean(written, words)
    if near:
        return f'did you mean "{near}"?'
    return f"write {words[0]}, or leave it out" if len(words) == 1 else f"write one of {', '.join(words)}"


def _found(node: Node) -> str:
    if node.children is not None:
        return "a mapping" if isinstance(node.children, dict) else "a list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return node.text
    if isinstance(node.value, str):
        return f'"{node.value}"' if len(node.value) <= 40 else f'"{node.value[:39]}…"'
    return f"the number {node.text}"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _name(node: Node) -> str:
    return node.key.text if node.key is not None else ""


def _at(node: Node, identifier: str, what: str, hint: str) -> Diagnostic:
    """At the node; what is not there is shown at its key."""
    if node.children is None and node.value is None:
        node = node.head
    return Diagnostic(identifier, what, hint, location=node.location, length=node.length)
