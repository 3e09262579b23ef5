"""Rows to decode: recorded from real tenants (read in place, elsewhere) and written by us in the same shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from provisioner.model import Answer, Cmdlet, GraphRequest, Parameter, Query, ResourceType, Send, Step

_ROOT = Path(__file__).parents[2]
_CASES = _ROOT.parent / "shared" / "cases"


def rows(name: str) -> list[dict[str, Any]]:
    """Our own rows: a file of tests/rows."""
    found: list[dict[str, Any]] = json.loads((_ROOT / "tests" / "rows" / f"{name}.json").read_text("utf-8"))
    return found


def case(path: str) -> Any:
    """A file of ../shared/cases; the test is skipped where that folder is missing."""
    file = _CASES / path
    if not file.is_file():
        pytest.skip(f"no recorded cases: {file} is missing")
    if path.endswith(".jsonl"):
        return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    return json.loads(file.read_text("utf-8"))


SNAPSHOTS = (
    "agency-2023-08",
    "tenant-2023-11",
    "tenant-2024-06",
    "tenant-2025-02",
    "tenant-2025-10",
    "tenant-2026-07",
)


def snapshot(name: str) -> dict[str, Any]:
    found: dict[str, Any] = case(f"exchange/snapshots/{name}.json")
    return found


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
