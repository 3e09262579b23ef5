"""Variables of a plan: declared with a type, given from outside, written as a whole value (`var:NAME`) or in a text.

`var:NAME` stands for a whole value of any type, `${NAME}` for a part of a text or of a key. There is nothing else: no
expressions, no functions. What is given wins over the default: the environment first, then files (`*.auto.yaml` of the
folder, then those that are named), then the command line, the later over the earlier (Terraform's order). Secrets are
references and never variables: a value stands in the plan's digest and in the change set.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Required

from pydantic import ConfigDict, Field, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from provisioner.diagnostics import Diagnostic, Location, Severity
from provisioner.plan.mistakes import unknown_word
from provisioner.plan.yaml_nodes import Node
from provisioner.resources.canonical import domain_name, email_address, sender_network

PREFIX = "var:"
FIXED = frozenset({"provisioner", "tenant", "variables", "include"})
"""Keys whose values are never variables: what a plan is, and the one tenant that it may touch."""

PART = re.compile(r"\$(\$?)\{([^{}]*)\}")
"""A variable in a text; `$${NAME}` is the text `${NAME}`."""

Kind = Literal[
    "string", "integer", "boolean", "ip_network", "domain", "email",
    "list(string)", "list(integer)", "list(ip_network)", "list(domain)", "list(email)",
]  # fmt: skip


@with_config(ConfigDict(extra="forbid"))
class VariableBody(TypedDict, total=False):
    """One variable. Without a default it must be given."""

    type: Required[Annotated[Kind, Field(description="What a value must be.")]]
    default: Annotated[Any, Field(description="The value where none is given.")]
    description: Annotated[str, Field(description="What it is for.")]


Variables = Annotated[
    dict[str, VariableBody],
    Field(
        description="Values that are given from outside; written elsewhere as var:NAME, or as ${NAME} in a text.",
        examples=[{"hq_egress": {"type": "ip_network", "default": "203.0.113.10"}}],
    ),
]


@dataclass(frozen=True, slots=True)
class Given:
    """A value from outside, and where it came from. `loose`: nobody minds if no plan declares it (the environment).

    `node` is its place in a file of values (`*.auto.yaml`).
    """

    value: Any
    origin: str
    loose: bool = False
    node: Node | None = None


def settle(
    whole: Node, declared: Mapping[str, Any], given: Mapping[str, Given], found: list[Diagnostic]
) -> dict[str, Any]:
    """The value of every declared variable that has a right one; what is wrong goes to `found`."""
    section = whole.child("variables")
    values: dict[str, Any] = {}
    for name, body in declared.items():
        at = (section.child(name) if section else None) or whole
        kind, value, origin = body["type"], body.get("default"), "its default"
        place = at.child("default") or at
        if name in given:
            value, origin, place = given[name].value, given[name].origin, given[name].node or at.head
        elif "default" not in body:
            hint = (
                f"give it one: {name} in a file *.auto.yaml of the plan's folder, --var {name}=…, --var-file FILE or "
                f"PROVISIONER_VAR_{name}"
            )
            found.append(_wrong("VARIABLE-MISSING", f"the variable {name} has no value", hint, at.head))
            continue
        try:
            values[name] = _typed(kind, value)
        except ValueError as error:
            told = "" if name in given and given[name].node else f" (from {origin})"
            what = f"the variable {name} is of type {kind}: {error}{told}"
            found.append(_wrong("VARIABLE-TYPE", what, _EXAMPLES[kind.removeprefix("list(").rstrip(")")], place))
    for name, item in given.items():
        if name not in declared and not item.loose:
            what = f"{item.origin} gives a value to {name}, which the plan does not declare"
            what = f"the plan declares no variable {name}" if item.node else what
            said = Diagnostic("VARIABLE-UNDECLARED", what, unknown_word(name, sorted(declared)))
            where = item.node
            found.append(dataclasses.replace(said, location=where.location, length=where.length) if where else said)
    return values


def put_in(whole: Node, values: Mapping[str, Any], declared: Mapping[str, Any], found: list[Diagnostic]) -> Node:
    """The plan with every variable replaced by its value, at the place where it was written.

    Names that are not declared, and declared ones that nothing uses, go to `found`.
    """
    filling = _Filling(values, declared, found)
    children = whole.children if isinstance(whole.children, dict) else {}
    filled = {name: child if name in FIXED else filling.replaced(child) for name, child in children.items()}
    section = whole.child("variables")
    for name in declared:
        at = section.child(name) if section else None
        if name not in filling.used and at is not None:
            what, hint = f"nothing uses the variable {name}", f"write var:{name} or ${{{name}}}, or remove it"
            found.append(dataclasses.replace(_wrong("VARIABLE-UNUSED", what, hint, at.head), severity=Severity.WARNING))
    return dataclasses.replace(whole, children=filled)


def literal(value: Any) -> Any:
    """A value as a plan writes it where none of its texts and keys is to be taken for one with variables.

    A whole text that begins with `var:` cannot be written.
    """
    if isinstance(value, dict):
        return {literal(name): literal(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [literal(part) for part in value]
    return PART.sub(lambda part: f"${part[0]}", value) if isinstance(value, str) else value


class _Filling:
    """One pass over a plan that puts values in the places of variables."""

    def __init__(self, values: Mapping[str, Any], declared: Mapping[str, Any], found: list[Diagnostic]) -> None:
        self._values, self._declared, self._found = values, declared, found
        self.used: set[str] = set()

    def replaced(self, node: Node) -> Node:
        if isinstance(node.children, dict):
            return dataclasses.replace(node, children=self._keyed(node.children))
        if node.children is not None:
            return dataclasses.replace(node, children=[n for child in node.children for n in self._spliced(child)])
        if not _is_use(node):
            return self._with_parts(node)
        value = self._value_of(_name(node), node)
        if isinstance(value, list):
            return dataclasses.replace(node, value=None, children=[_scalar(node, v) for v in value])
        return dataclasses.replace(node, broken=True) if value is None else _scalar(node, value)

    def _spliced(self, node: Node) -> Iterator[Node]:
        """An item of a list; a list variable there stands for all of its items."""
        value = self._value_of(_name(node), node) if _is_use(node) else None
        if isinstance(value, list):
            yield from (_scalar(node, v) for v in value)
        else:
            yield self.replaced(node) if value is None else _scalar(node, value)

    def _keyed(self, children: Mapping[str, Node]) -> dict[str, Node]:
        """The entries of a mapping; two keys that become one are a mistake."""
        filled: dict[str, Node] = {}
        for name, child in children.items():
            head = child.head
            key = self._text(name, head) if PART.search(name) else name
            if key is None:
                continue
            if key in filled:
                what = f'"{key}" is written twice: "{name}" stands for it too'
                self._found.append(_wrong("YAML-DUPLICATE-KEY", what, "keep one of the two", head))
                continue
            entry = self.replaced(child)
            filled[key] = entry if key == name else dataclasses.replace(entry, key=dataclasses.replace(head, text=key))
        return filled

    def _with_parts(self, node: Node) -> Node:
        """A scalar whose text may hold variables."""
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        text = self._text(node.value, node)
        return dataclasses.replace(node, broken=True) if text is None else _scalar(node, text)

    def _text(self, text: str, node: Node) -> str | None:
        """A text with the values of its variables; None where one has none, which is told."""
        whole = True

        def value(part: re.Match[str]) -> str:
            nonlocal whole
            if part[1]:
                return part[0][1:]
            known = self._value_of(part[2].strip(), node)
            if isinstance(known, list | bool):
                kind = self._declared[part[2].strip()]["type"]
                what = f"the variable {part[2].strip()} is of type {kind}, which cannot be a part of a text"
                self._found.append(_wrong("VARIABLE-TYPE", what, "write it as a whole value: var:NAME", node))
            whole = whole and known is not None and not isinstance(known, list | bool)
            return str(known)

        filled = PART.sub(value, text)
        return filled if whole else None

    def _value_of(self, name: str, node: Node) -> Any:
        if name not in self._declared and name not in self.used:
            bare = name.removeprefix("var.").removeprefix(PREFIX)
            hint = unknown_word(name, sorted(self._declared)) if self._declared else "declare it under variables"
            hint = f"write ${{{bare}}}" if bare in self._declared else hint
            self._found.append(_wrong("VARIABLE-UNKNOWN", f'there is no variable "{name}"', hint, node))
        self.used.add(name)
        return self._values.get(name)


def _is_use(node: Node) -> bool:
    return node.children is None and isinstance(node.value, str) and node.value.startswith(PREFIX)


def _name(node: Node) -> str:
    return str(node.value).removeprefix(PREFIX).strip()


def _scalar(node: Node, value: Any) -> Node:
    return dataclasses.replace(node, value=value, text=str(value))


# --- types -----------------------------------------------------------------------------------------------------------


def _typed(kind: str, value: Any) -> Any:
    """A value in the form of its type. Raises ValueError saying what it is not."""
    if kind.startswith("list("):
        inner = kind.removeprefix("list(").removesuffix(")")
        items = _items(value)
        return [_typed(inner, item) for item in items]
    return _READERS[kind](value)


def _items(value: Any) -> Sequence[Any]:
    """A list, or on a command line its items between commas. An empty item is a mistake, as of an unset variable."""
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",")]
        if "" in parts:
            raise ValueError("an item is empty" if len(parts) > 1 else "it is empty; an empty list is [] in a file")
        return parts
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is not a whole number")
    try:
        return int(value)
    except ValueError:
        raise ValueError(f'"{value}" is not a whole number') from None


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ValueError(f"{value!r} is neither true nor false")


def _of(form: Callable[[str], str], what: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        text = _text(value).strip()
        try:
            form(text)
        except PydanticCustomError as error:
            raise ValueError(error.message()) from None
        except ValueError:
            raise ValueError(f'"{text}" is no {what}') from None
        return text

    return read


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _text,
    "integer": _integer,
    "boolean": _boolean,
    "ip_network": _of(sender_network, "IP address or range"),
    "domain": _of(domain_name, "domain"),
    "email": _of(email_address, "email address"),
}
_EXAMPLES: Mapping[str, str] = {
    "string": "write a text",
    "integer": "write a number such as 200",
    "boolean": "write true or false",
    "ip_network": "write 203.0.113.10 or 203.0.113.0/28",
    "domain": "write contoso.com",
    "email": "write erp@contoso.com",
}


def _wrong(id_: str, what: str, hint: str, node: Node) -> Diagnostic:
    place: Location = node.location
    return Diagnostic(id_, what, hint, location=place, length=node.length)
