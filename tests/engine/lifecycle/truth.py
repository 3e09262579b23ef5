"""The tenant as it is, without the engine: each type's own questions, run on the rows, decoded by the type."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import nullcontext
from typing import Any

from provisioner.diagnostics import NotFound
from provisioner.model import Absent, Address, Answer, Change, Query, ResourceType, Unknown, project
from provisioner.resources import TYPES
from tests.engine.lifecycle.port import Service

BY_NAME: dict[str, ResourceType[Any]] = {t.name: t for t in TYPES}


def truth(service: Service, changes: Iterable[Change], *, shown: bool = False) -> dict[Address, Any]:
    """The object of each change as it is, None where there is none; `shown`: as reads see it by now."""
    shown = shown and service.lags
    wanted: dict[str, dict[str, Change]] = {}
    found: dict[Address, Any] = {}
    for change in changes:
        known = None if shown else service.known.get(change.address)
        if known is not None and known[:2] == (service.version, change):
            found[change.address] = known[2]
        else:
            wanted.setdefault(change.address.type, {})[change.address.key] = change
    with nullcontext() if shown else service.without_lag():
        for name, mine in wanted.items():
            seen = _decoded(service, BY_NAME[name], {key: change.after for key, change in mine.items()})
            for key, change in mine.items():
                found[change.address] = seen.get(key)
                if not shown:
                    service.known[change.address] = (service.version, change, seen.get(key))
    return found


def _decoded(service: Service, kind: ResourceType[Any], wanted: dict[str, Any]) -> dict[str, Any]:
    answers = _answers(service, kind.queries(wanted, False))
    for _ in range(2):
        known = [query for query, _ in answers]
        answers += _answers(service, [q for q in kind.follow_up(wanted, False, answers) if q not in known])
    seen = {key: spec for key, spec in kind.decode(wanted, answers).items() if not isinstance(spec, Absent)}
    doubtful = [key for key, spec in seen.items() if isinstance(spec, Unknown)]
    assert not doubtful, f"the harness cannot read {doubtful}"
    return seen


def _answers(service: Service, queries: Collection[Query]) -> list[tuple[Query, Answer]]:
    found = []
    for query in queries:
        try:
            found.append((query, service.told(query.request)))
        except NotFound:
            found.append((query, Answer()))
    return found


def is_after(change: Change, live: Any) -> bool:
    """Whether the live object is as the change leaves it, in the fields that it writes."""
    return _same(live, change.after)


def is_before(change: Change, live: Any) -> bool:
    """Whether the live object is as it was before the change."""
    return _same(live, change.before)


def in_force(change: Change, live: Any) -> bool:
    """Whether a live object that is as the change leaves it has its effect."""
    return live is None or not BY_NAME[change.address.type].in_force(change.after, live)


def _same(live: Any, side: Any) -> bool:
    if live is None or side is None:
        return live is side
    return bool(project(live, side) == side)
