"""Variables of a plan: declared with a type, given from outside, written as a whole value (`var:NAME`).

There is no templating: a value is one variable or it is itself. What is given wins over the default: the environment
first, then files, then the command line, the later over the earlier (Terraform's order). Secrets are references and
never variables: a value stands in the plan's digest and in the change set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Required

from pydantic import ConfigDict, Field, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from provisioner.diagnostics import Diagnostic, Location
from provisioner.plan.mistakes import unknown_word
from provisioner.plan.yaml_nodes import Node
from provisioner.resources.canonical import domain_name, email_address, sender_network

PREFIX = "var:"
FIXED = frozenset({"provisioner", "tenant", "variables", "include"})
"""Keys whose values are never variables: what a plan is, and the one tenant that it may touch."""

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
        description="Values that are given from outside; written elsewhere as var:NAME.",
        examples=[{"hq_egress": {"type": "ip_network", "default": "203.0.113.10"}}],
    ),
]


@dataclass(frozen=True, slots=True)
class Given:
    """A value from outside, and where it came from. `loose`: nobody minds if no plan declares it (the environment)."""

    value: Any
    origin: str
    loose: bool = False


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
            value, origin, place = given[name].value, given[name].origin, at.head
        elif "default" not in body:
            hint = f"give it one: --var {name}=…, --var-file FILE or PROVISIONER_VAR_{name}"
            found.append(_wrong("VARIABLE-MISSING", f"the variable {name} has no value", hint, at.head))
            continue
        try:
            values[name] = _typed(kind, value)
        except ValueError as error:
            what = f"the variable {name} is of type {kind}: {error} (from {origin})"
            found.append(_wrong("VARIABLE-TYPE", what, _EXAMPLES[kind.removeprefix("list(").rstrip(")")], place))
    for name, item in given.items():
        if name not in declared and not item.loose:
            what = f"{item.origin} gives a value to {name}, which the plan does not declare"
            found.append(Diagnostic("VARIABLE-UNDECLARED", what, unknown_word(name, sorted(declared))))
    return values


def put_in(whole: Node, values: Mapping[str, Any], declared: Mapping[str, Any], found: list[Diagnostic]) -> Node:
    """The plan with every `var:NAME` replaced by its value, at the place where it was written."""

    def replaced(node: Node) -> Node:
        if isinstance(node.children, dict):
            return dataclasses.replace(node, children={name: replaced(child) for name, child in node.children.items()})
        if node.children is not None:
            return dataclasses.replace(node, children=[n for child in node.children for n in spliced(child)])
        value = value_of(node) if _is_use(node) else None
        if isinstance(value, list):
            return dataclasses.replace(node, value=None, children=[_scalar(node, v) for v in value])
        if value is None:
            return dataclasses.replace(node, broken=True) if _is_use(node) else node
        return _scalar(node, value)

    def spliced(node: Node) -> Iterator[Node]:
        """An item of a list; a list variable there stands for all of its items."""
        value = value_of(node) if _is_use(node) else None
        if isinstance(value, list):
            yield from (_scalar(node, v) for v in value)
        else:
            yield replaced(node) if value is None else _scalar(node, value)

    def value_of(node: Node) -> Any:
        name = _name(node)
        if name not in declared and name not in told:
            told.add(name)
            hint = unknown_word(name, sorted(declared)) if declared else "declare it under variables"
            found.append(_wrong("VARIABLE-UNKNOWN", f'there is no variable "{name}"', hint, node))
        return values.get(name)

    told: set[str] = set()
    children = whole.children if isinstance(whole.children, dict) else {}
    return dataclasses.replace(
        whole, children={name: child if name in FIXED else replaced(child) for name, child in children.items()}
    )


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
