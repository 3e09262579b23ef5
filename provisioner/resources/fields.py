"""One declaration for each field of a canonical object, and everything that follows from it.

A spec (frozen dataclass) declares a field with `column`: its column on the wire, the form of its values, what it means.
From these declarations come the entry of the plan's section and its JSON schema (`entry`, `described`), what a plan
declares (`declared`) and an export writes (`written_body`), values of a row (`decoded`), the parameters of New and Set
(`completed`, `creation`, `changes`), the columns that a query needs (`wire_names`) and the table on
docs/plan-language.md (`table`).

What follows from several columns, or needs thought, is code in the type.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, LiteralString, Protocol, TypeVar
from typing import Literal as _Literal

import pydantic
from pydantic import AfterValidator, ConfigDict
from typing_extensions import TypedDict

from provisioner.model import Delta, Parameter, Row, Secret
from provisioner.resources.canonical import (
    Canonical,
    Flag,
    flag,
    lenient,
    refusal,
    secret_reference,
    text_of,
    texts,
    word,
)

S = TypeVar("S")


# --- forms of values -------------------------------------------------------------------------------------------------


class Form(Protocol):
    """How one kind of value is written in a plan, stored in a row, and sent."""

    @property
    def schema(self) -> Any:
        """What pydantic validates a written value against."""

    @property
    def values(self) -> str:
        """The legal values, for the docs."""

    def read(self, row: Row, column: str) -> Any:
        """The canonical value; None where the row does not have the column."""

    def sent(self, value: Any) -> Parameter:
        """The parameter for a canonical value; None or () for none."""

    def change(self, before: Any, value: Any, stored: Collection[str]) -> Parameter:
        """The parameter of Set for a value that differs; an empty Delta where nothing has to be sent.

        `stored` are the texts of this column that are stored otherwise than we would send them.
        """


class _Single:
    """A form of one value, which Set takes as New does."""

    def sent(self, value: Any) -> Any:
        return value

    def change(self, _before: Any, value: Any, _stored: Collection[str]) -> Any:
        return self.sent(value)


@dataclass(frozen=True)
class Boolean(_Single):
    """A switch. `required`: a plan can only demand that it is on."""

    required: bool = False

    @property
    def schema(self) -> Any:
        return literal((True,)) if self.required else Flag

    @property
    def values(self) -> str:
        return "`true`" if self.required else "boolean"

    def read(self, row: Row, column: str) -> bool | None:
        return flag(row, column)


BOOLEAN = Boolean()
REQUIRED = Boolean(required=True)


@dataclass(frozen=True)
class Words(_Single):
    """An enumeration: canonical word -> value on the wire, null for one. `observed` are words that no plan writes."""

    wire: Mapping[Any, str | int | None]
    observed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def schema(self) -> Any:
        return literal(tuple(self.wire))

    @property
    def values(self) -> str:
        return ", ".join(f"`{word}`" for word in self.wire)

    def read(self, row: Row, column: str) -> str | None:
        known = {str(w).lower(): word for word, w in {**self.wire, **self.observed}.items() if w is not None}
        unset = next((word for word, w in self.wire.items() if w is None), None) if column in row else None
        return word(row, column, known) or unset

    def sent(self, value: Any) -> Any:
        return self.wire.get(value, value)


@dataclass(frozen=True)
class Tristate(_Single):
    """A switch with a third state, which is null on the wire: enabled, disabled, inherit."""

    words: Mapping[bool | None, str] = dataclasses.field(
        default_factory=lambda: {True: "enabled", False: "disabled", None: "inherit"}
    )

    @property
    def schema(self) -> Any:
        return literal(tuple(self.words.values()))

    @property
    def values(self) -> str:
        return ", ".join(f"`{word}`" for word in self.words.values())

    def read(self, row: Row, column: str) -> str | None:
        value = row.get(column, "")
        return self.words[value] if value is None or isinstance(value, bool) else None

    def sent(self, value: Any) -> Any:
        return next(wire for wire, word in self.words.items() if word == value)


TRISTATE = Tristate()


@dataclass(frozen=True)
class Number(_Single):
    """A number within limits."""

    least: int
    most: int

    @property
    def schema(self) -> Any:
        return Annotated[int, pydantic.Strict(), pydantic.Field(ge=self.least, le=self.most)]

    @property
    def values(self) -> str:
        return f"{self.least:,} to {self.most:,}"

    def read(self, row: Row, column: str) -> int | None:
        value = row.get(column)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Text(_Single):
    """A text with a canonical form; `wire` makes what is sent of it, where it is `nullable` null for `empty`."""

    canonical: Canonical
    values: str
    examples: tuple[str, ...] = ()
    pattern: str = ""
    wire: Canonical = str
    empty: str | None = ""
    nullable: bool = True

    @property
    def schema(self) -> Any:
        more: Any = {"pattern": self.pattern} if self.pattern else None
        shown = pydantic.Field(examples=list(self.examples) or None, json_schema_extra=more)
        return Annotated[str, AfterValidator(self.canonical), shown]

    def read(self, row: Row, column: str) -> str | None:
        stored = text_of(row, column)
        if stored is None:
            return None
        return lenient(self.canonical)(stored) if row[column] else self.empty

    def sent(self, value: Any) -> Parameter:
        return None if value == self.empty and self.nullable else self.wire(value)


@dataclass(frozen=True)
class Texts:
    """A multi-valued column of texts, as a set.

    `needs_one`: the refusal of an empty list, for what can never be emptied. `respelled`: the stored form is always
    another than the sent one. `plain`: a String[] that null empties; over REST, [] leaves any list as it is.
    """

    item: Text
    needs_one: tuple[LiteralString, str, str] | None = None
    respelled: bool = False
    plain: bool = False

    @property
    def schema(self) -> Any:
        if self.needs_one is None:
            return list[self.item.schema]  # type: ignore[name-defined]
        shown = pydantic.Field(json_schema_extra={"minItems": 1})
        return Annotated[list[self.item.schema], AfterValidator(self._not_empty), shown]  # type: ignore[name-defined]

    @property
    def values(self) -> str:
        return f"list of {self.item.values}{'; at least one' if self.needs_one else ''}"

    def _not_empty(self, written: list[str]) -> list[str]:
        if not written and self.needs_one:
            raise refusal(*self.needs_one)
        return written

    def read(self, row: Row, column: str) -> frozenset[str] | None:
        stored = texts(row, column)
        return None if stored is None else frozenset(map(lenient(self.item.canonical), stored))

    def sent(self, value: Any) -> tuple[str, ...]:
        return tuple(sorted(map(self.item.wire, value)))

    def change(self, before: Any, value: Any, stored: Collection[str]) -> Parameter:
        if value or self.plain:
            return self.sent(value) or None
        return self._removal(before or frozenset(), stored)

    def _removal(self, values: frozenset[str], stored: Collection[str]) -> Delta:
        """What takes these entries away, by the names under which they are stored."""
        form = lenient(self.item.canonical)
        named = {s: form(s) for s in stored if form(s) in values}
        return Delta(remove=tuple(sorted({*named, *map(self.item.wire, values - set(named.values()))})))

    def odd(self, stored: Collection[str]) -> frozenset[str]:
        """The stored texts of every value that is not, or not only, stored as we would send it."""
        form = lenient(self.item.canonical)
        respelled = {form(text) for text in stored if text != self.item.wire(form(text))}
        return frozenset(text for text in stored if form(text) in respelled) if not self.respelled else frozenset()


@dataclass(frozen=True, slots=True)
class Reference(_Single):
    """A secret, by its reference: the service takes it and never gives it back, so that it is compared with nothing."""

    @property
    def schema(self) -> Any:
        return Annotated[str, AfterValidator(secret_reference), pydantic.Field(examples=["env:HVE_PASSWORD"])]

    @property
    def values(self) -> str:
        return "`env:NAME` or `file:PATH`"

    def read(self, _row: Row, _column: str) -> None:
        return None

    def sent(self, value: Any) -> Any:
        return Secret(value)


REFERENCE = Reference()


def literal(values: tuple[Any, ...]) -> Any:
    """The type of exactly these values."""
    form: Any = _Literal
    return form[values]


# --- declarations ----------------------------------------------------------------------------------------------------

_BOTH = frozenset({"New", "Set"})

WIDENS = "widens"
"""Of a field that admits more the more it holds: `true` more than `false`, one entry more than without it."""


@dataclass(frozen=True, slots=True)
class Column:
    """What is declared of a field. `cmdlets` are those that take it; of neither, it is only ever observed.

    `default` is what New decides where nothing is said; `sent` what our creation says where the plan does not.
    """

    name: str
    form: Form
    description: str
    default: Any
    sent: Any
    cmdlets: frozenset[str]
    paths: str

    @property
    def written(self) -> bool:
        """Whether a plan may write it."""
        return bool(self.cmdlets)


def column(
    name: str,
    form: Form,
    description: str = "",
    *,
    default: Any = None,
    sent: Any = None,
    cmdlets: Iterable[str] = _BOTH,
    paths: str = "",
    half_way: Collection[Any] = (),
) -> Any:
    """A field of a spec, for `field: type = column("WireName", FORM, "…")`.

    `half_way` are values that the service gives the field between two writes of one change.
    """
    taken = frozenset(cmdlets)
    declaration = Column(name, form, description, default, sent, taken, paths)
    secret = isinstance(form, Reference)
    marks = {"read_only": not taken, "create_only": taken == {"New"}, "secret": secret, "half_way": frozenset(half_way)}
    return dataclasses.field(default=None, compare=not secret, metadata={"column": declaration, **marks})


def columns(spec: Any) -> Mapping[str, Column]:
    """The declarations of a spec, or of its dataclass, by field."""
    return _columns(spec if isinstance(spec, type) else type(spec))


@functools.cache
def _columns(spec: type[Any]) -> Mapping[str, Column]:
    return {f.name: f.metadata["column"] for f in dataclasses.fields(spec) if "column" in f.metadata}


def _written(spec: Any) -> Mapping[str, Column]:
    return {name: c for name, c in columns(spec).items() if c.written}


def wire_names(spec: Any) -> frozenset[str]:
    """The columns that the fields of a spec are read from."""
    return frozenset(c.name for c in columns(spec).values())


# --- the plan --------------------------------------------------------------------------------------------------------


def entry(
    spec: Callable[..., S],
    name: str,
    description: str,
    check: Callable[[S], None] | None = None,
    more: Mapping[str, Any] = {},
) -> Any:
    """What pydantic validates one entry of a section against; `check` refuses what does not go together.

    `more` are keys of the entry that are not fields of the object, with their types.
    """
    body = _body(spec, name, description, more)

    def checked(written: dict[str, Any]) -> dict[str, Any]:
        if check is not None:
            check(declared(spec, "", {name: value for name, value in written.items() if name not in more}))
        return written

    return Annotated[body, AfterValidator(checked)]


def section(key: Any, body: Any, description: str, example: Mapping[str, Any]) -> Any:
    """What pydantic validates a section of entries by key against."""
    return Annotated[dict[key, body], pydantic.Field(description=description, examples=[example])]


def _body(spec: Any, name: str, description: str, more: Mapping[str, Any]) -> Any:
    """A TypedDict of the fields that a plan may write, by name; its name and description appear in the schema."""
    fields = {n: Annotated[c.form.schema, pydantic.Field(description=c.description)] for n, c in _written(spec).items()}
    members = {"__annotations__": {**fields, **more}, "__doc__": description, "__module__": spec.__module__}
    body = types.new_class(name, (TypedDict,), {"total": False}, lambda namespace: namespace.update(members))
    return pydantic.with_config(ConfigDict(extra="forbid"))(body)


def declared(spec: Callable[..., S], key: str, body: Mapping[str, Any], **more: Any) -> S:
    """The object that a validated entry declares; lists are sets. The key is the first field of every spec."""
    values = {n: frozenset(v) if isinstance(v, list) else v for n, v in body.items()}
    return spec(key, **values, **more)


def written_body(spec: Any) -> dict[str, Any]:
    """The entry of a plan that declares `spec`: its fields without what is empty, and without what New decides.

    What our creation always says is written whatever it is.
    """
    body: dict[str, Any] = {}
    for name, declaration in _written(spec).items():
        value = getattr(spec, name)
        decided = declaration.sent is None and value == declaration.default
        if value not in (None, frozenset(), "") and not decided:
            body[name] = sorted(value) if isinstance(value, frozenset) else value
    return body


# --- the wire --------------------------------------------------------------------------------------------------------


def decoded(spec: Any, row: Row) -> dict[str, Any]:
    """The fields of a row. Missing ones are None."""
    return {name: c.form.read(row, c.name) for name, c in columns(spec).items()}


def respelled(spec: Any, row: Row) -> frozenset[str]:
    """`Column=text` for every stored text that has to be removed by its own spelling."""
    lists = [
        (c.name, c.form.odd(texts(row, c.name) or ())) for c in columns(spec).values() if isinstance(c.form, Texts)
    ]
    return frozenset(f"{name}={text}" for name, odd in lists for text in odd)


def completed(spec: S) -> S:
    """A declared object with every value that its creation sends although the plan does not write it."""
    missing = {n: c.sent for n, c in columns(spec).items() if getattr(spec, n) in (None, frozenset())}
    return dataclasses.replace(spec, **{n: v for n, v in missing.items() if v is not None})  # type: ignore[type-var]


def sent(spec: Any, names: Collection[str]) -> dict[str, Parameter]:
    """Some written fields as parameters."""
    return {
        c.name: c.form.sent(v) for n, c in columns(spec).items() if n in names and (v := getattr(spec, n)) is not None
    }


def creation(after: Any, *, late: bool = False) -> dict[str, Parameter]:
    """The parameters of New for what is written; `late` those of the Set that follows, which New does not take.

    An empty list or text is what New makes of none.
    """
    taken = {n: c for n, c in columns(after).items() if c.written and (c.cmdlets == {"Set"}) == late}
    sent = {c.name: c.form.sent(v) for n, c in taken.items() if (v := getattr(after, n)) is not None}
    return {name: value for name, value in sent.items() if value not in (None, (), "")}


def changes(before: Any, after: Any, spellings: Iterable[str] = ()) -> dict[str, Parameter]:
    """The parameters of Set for what differs and is known in `after`; `spellings` are those of `respelled`."""
    found: dict[str, Parameter] = {}
    for name, declaration in columns(after).items():
        if "Set" in declaration.cmdlets and differs(before, after, name):
            prefix = f"{declaration.name}="
            stored = {s.removeprefix(prefix) for s in spellings if s.startswith(prefix)}
            found[declaration.name] = declaration.form.change(getattr(before, name), getattr(after, name), stored)
    return {name: value for name, value in found.items() if value != Delta()}


def differs(before: Any, after: Any, name: str) -> bool:
    """Whether a field is known in `after` and another than in `before`."""
    value = getattr(after, name)
    return value is not None and value != getattr(before, name)


# --- sending paths ---------------------------------------------------------------------------------------------------


def widening(spec: Any) -> dict[str, Any]:
    """The values of the fields that widen, where they hold something."""
    return {n: value for n, c in columns(spec).items() if c.paths == WIDENS and (value := getattr(spec, n))}


# --- the docs --------------------------------------------------------------------------------------------------------


def table(spec: Any, *, created: bool = True) -> str:
    """The fields of a type as a Markdown table: what docs/plan-language.md shows. `created`: the type has a New."""
    heads = ("field", "values", *(("at creation",) if created else ()), "on the wire", "meaning")
    rows = [(f"`{name}`", *_cells(c, created=created)) for name, c in _written(spec).items()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, ("---",) * len(heads), *rows))


def _cells(declaration: Column, *, created: bool) -> tuple[str, ...]:
    form = declaration.form
    only = "" if declaration.cmdlets == _BOTH else f", `{'`, `'.join(sorted(declaration.cmdlets))}` only"
    clears = isinstance(form, Text) and form.nullable and "Set" in declaration.cmdlets
    null = ", `$null` for none" if clears else ""
    creation = (_at_creation(declaration),) if created else ()
    return form.values, *creation, f"`{declaration.name}`{null}{only}", declaration.description


def _at_creation(declaration: Column) -> str:
    if declaration.sent is not None:
        return f"{_word(declaration.sent)}, always sent"
    if declaration.default is not None:
        return f"{_word(declaration.default)} (Exchange's)"
    return "empty" if isinstance(declaration.form, Texts) else "none"


def _word(value: Any) -> str:
    if isinstance(value, frozenset):
        return f"`{json.dumps(sorted(value))}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
