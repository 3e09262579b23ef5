"""What a script of PowerShell is once it is read: statements, pipelines and expressions as a tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class UnmodelledError(Exception):
    """A part of the language that the sandbox does not know."""


class SyntaxFaultError(Exception):
    """A script that PowerShell does not take either; the text is its parser's."""


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any


@dataclass(frozen=True, slots=True)
class Text:
    """A text in double quotes: texts, and expressions between them."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    target: Any
    name: Any


@dataclass(frozen=True, slots=True)
class Method:
    target: Any
    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Index:
    target: Any
    index: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator and its one or two operands."""

    operator: str
    operands: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Items:
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    pairs: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """{ … }: statements that are run later."""

    statements: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """( … ), $( … ) and @( … ): statements whose output is a value; `many` makes a list of it always."""

    statements: tuple[Any, ...]
    many: bool


@dataclass(frozen=True, slots=True)
class Cast:
    type: str
    operand: Any


@dataclass(frozen=True, slots=True)
class Argument:
    """`-Name`, `-Name:value` or a value by itself; `splat` is @name."""

    name: str | None
    value: Any = None
    splat: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    name: Any
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    elements: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    target: Any
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class If:
    cases: tuple[tuple[Any, tuple[Any, ...]], ...]
    otherwise: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ForEach:
    name: str
    over: Any
    body: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class While:
    """while, do and for; `after` runs the body before the first condition, `until` turns the condition round."""

    condition: Any
    body: tuple[Any, ...]
    step: tuple[Any, ...] = ()
    after: bool = False
    until: bool = False


@dataclass(frozen=True, slots=True)
class Try:
    body: tuple[Any, ...]
    catch: tuple[Any, ...] | None
    finally_: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """return, throw, break, continue."""

    kind: str
    value: Any
