"""Rows to decode: recorded from real tenants and written by us in the same shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from provisioner.model import Answer, Cmdlet, GraphRequest, Parameter, Query, ResourceType, Send, Step
from provisioner.sandbox.exports import rows_of
from tests.recordings import load, recordings

_ROOT = Path(__file__).parents[2]
SNAPSHOTS = recordings("exchange/snapshots/*.json")


def rows(name: str) -> list[dict[str, Any]]:
    """Our own rows: a file of tests/rows."""
    found: list[dict[str, Any]] = json.loads((_ROOT / "tests" / "rows" / f"{name}.json").read_text("utf-8"))
    return found


def pairs(resource: str) -> list[Any]:
    """What a configuration wants of one kind of resource and what was read of it: one test parameter a file."""
    return [
        pytest.param([row for row in load(file.values[0]) if row["resource"] == resource], id=file.id)
        for file in recordings("diff-pairs.jsonl")
    ]


def snapshots(key: str) -> list[Any]:
    """The rows that each export has under that key: one test parameter each export that has any."""
    return [
        pytest.param(rows_of(found[key]), id=file.id)
        for file in SNAPSHOTS
        if rows_of((found := load(file.values[0])).get(key))
    ]


def answer(
    kind: ResourceType[Any], wanted: dict[str, Any], *found: list[dict[str, Any]], everything: bool = False
) -> Any:
    """Decode these rows as the answers to the queries of the type, in their order."""
    queries = kind.queries(wanted, everything)
    assert len(queries) == len(found)
    return kind.decode(wanted, [(q, Answer(tuple(r))) for q, r in zip(queries, found, strict=True)])


def declared(kind: ResourceType[Any], section: Any, owner: str = "") -> dict[str, Any]:
    """What a section declares, by key."""
    valid = TypeAdapter(kind.section_type).validate_python(section)
    return {d.key: d.spec for d in kind.declare(valid, owner)}


def mistakes(kind: ResourceType[Any], section: Any) -> list[tuple[str, tuple[str | int, ...]]]:
    """The ids and places of everything that is wrong with a section."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind.section_type).validate_python(section)
    return [(e["type"], e["loc"]) for e in caught.value.errors()]


def sent(step: Step) -> tuple[str, dict[str, Parameter]]:
    """A step that sends a cmdlet, as its name and parameters."""
    assert isinstance(step, Send)
    assert isinstance(step.request, Cmdlet)
    return step.request.name, dict(step.request.parameters)


def asked(query: Query) -> str:
    """A query's request in short: `Get-CASMailbox erp@contoso.com`, `GET /domains`."""
    request = query.request
    if isinstance(request, Cmdlet):
        return " ".join([request.name, *map(str, request.parameters.values())])
    assert isinstance(request, GraphRequest)
    return str(request)
