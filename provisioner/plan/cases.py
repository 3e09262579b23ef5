"""Tests of plans: cases in YAML, and whether what a plan did on the sandbox is what a case expects. Pure.

A case says what the tenant is (`given`), which plan, and what is expected: the changes, findings, and after an apply
the rows of the tenant. docs/plan-tests.md shows the language.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Required

from pydantic import ConfigDict, Field, ValidationError, with_config
from typing_extensions import TypedDict

from provisioner.border import Border, read_ordinary
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model import Address, ChangeSet
from provisioner.model.checking import adapter_of
from provisioner.plan.files import outside
from provisioner.plan.mistakes import mistakes
from provisioner.plan.yaml_nodes import LARGEST_BYTES, parse

VERSION = 1


@with_config(ConfigDict(extra="forbid"))
class CmdletBody(TypedDict, total=False):
    """A cmdlet that is run in the tenant as its administrator."""

    cmdlet: Required[str]
    parameters: dict[str, Any]


@with_config(ConfigDict(extra="forbid"))
class GivenBody(TypedDict, total=False):
    """The tenant before the plan."""

    seeds: Annotated[list[str], Field(description="Seeds or exports, seen from this file.")]
    tenant: Annotated[dict[str, Any], Field(description="A seed written here.")]
    run: Annotated[list[CmdletBody], Field(description="What somebody did in it before.")]


@with_config(ConfigDict(extra="forbid"))
class RowBody(CmdletBody, total=False):
    """What a Get- cmdlet must return after the apply: one row with these properties, or none at all."""

    has: dict[str, Any]
    none: Literal[True]


@with_config(ConfigDict(extra="forbid"))
class ExpectBody(TypedDict, total=False):
    """What must come of it. What is not written is not looked at; changes, if written, are all of them."""

    changes: dict[str, Literal["create", "update", "delete"]]
    findings: list[str]
    applies: Annotated[bool, Field(description="false: a guard or a precondition keeps it from being applied.")]
    after: list[RowBody]


@with_config(ConfigDict(extra="forbid"))
class CaseBody(TypedDict, total=False):
    """One case. `plan` is a path seen from this file, or the text of a plan."""

    given: GivenBody
    plan: Required[str]
    variables: dict[str, Any]
    allow: list[str]
    expect: Required[ExpectBody]


@with_config(ConfigDict(extra="forbid"))
class FileBody(TypedDict):
    """A file of cases."""

    provisioner_test: Literal[1]
    cases: dict[str, CaseBody]


@dataclass(frozen=True, slots=True)
class Case:
    """A case with the file that it stands in."""

    file: Path
    name: str
    body: CaseBody


@dataclass(slots=True)
class Result:
    """What happened on the sandbox. `refused` are the rules that keep it from being applied; rows as they came."""

    planned: ChangeSet
    refused: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    rows: Sequence[Sequence[Mapping[str, Any]]] = field(default_factory=list)


def load(file: Path, border: Border) -> list[Case]:
    """The cases of a file inside of a border. Raises InputError with every mistake and its place."""
    if not border.admits(file):
        raise InputError([outside(file, border)])
    try:
        parsed = parse(read_ordinary(file, LARGEST_BYTES + 1), file.as_posix())
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror or error}"
        raise InputError([Diagnostic("TEST-FILE", what, "name a *.test.yaml file, or a folder with some")]) from error
    if parsed.diagnostics and not border.holds(file):
        raise InputError([_unquoted(file)])
    if parsed.diagnostics or parsed.root is None:
        raise InputError(parsed.diagnostics or [Diagnostic("TEST-FILE", f"{file} holds nothing")])
    adapter = adapter_of(FileBody)
    try:
        body = adapter.validate_python(parsed.root.content(), strict=True)
    except ValidationError as error:
        if not border.holds(file):
            raise InputError([_unquoted(file)]) from None
        schema = adapter.json_schema()
        raise InputError(list(mistakes(error, parsed.root, schema, "the test file", lambda _: None))) from None
    return [Case(file, name, case) for name, case in body["cases"].items()]


def _unquoted(file: Path) -> Diagnostic:
    return Diagnostic("TEST-FILE", f"{file} is not a test file; it is outside of the checkout and not quoted")


def judge(case: Case, result: Result) -> Iterator[str]:
    """What is not as the case expects; nothing where all of it is."""
    expect = case.body["expect"]
    if "changes" in expect:
        yield from _changes(expect["changes"], result.planned)
    found = {f.rule for f in result.planned.findings if not f.waived}
    for rule in expect.get("findings", ()):
        if rule not in found:
            yield f"{rule} was expected and not found (found: {', '.join(sorted(found)) or 'nothing'})"
    applies = expect.get("applies", True)
    if applies and result.refused:
        yield f"it cannot be applied: {', '.join(result.refused)}"
    if not applies and not result.refused:
        yield "it can be applied, and it was expected that it cannot"
    yield from (f"not finished: {sentence}" for sentence in result.unfinished)
    yield from (f"still planned after the apply: {address}" for address in result.left)
    for wanted, rows in zip(expect.get("after", ()), result.rows, strict=False):
        yield from _rows(wanted, rows)


def _changes(expected: Mapping[str, str], planned: ChangeSet) -> Iterator[str]:
    wanted = {Address.parse(text): action for text, action in expected.items()}
    there = {c.address: c.action.value for c in planned.pending}
    for address, action in wanted.items():
        if there.get(address) != action:
            yield f"{address.short}: {action} was expected, {there.get(address, 'no change')} is planned"
    for address in there.keys() - wanted.keys():
        yield f"{address.short}: {there[address]} is planned and was not expected"


def _rows(wanted: RowBody, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if wanted.get("none"):
        if rows:
            yield f"{wanted['cmdlet']} returns {len(rows)} rows where none was expected"
        return
    if not rows:
        yield f"{wanted['cmdlet']} returns nothing"
        return
    for name, value in wanted.get("has", {}).items():
        if rows[0].get(name) != value:
            yield f"{wanted['cmdlet']}: {name} is {rows[0].get(name)!r}, and {value!r} was expected"
