"""Deriving: the steps of a change come from its resource type, asked about the object at its address.

The last check before a write. A change set is verified when it is loaded, and compared with the tenant before anything
is sent; here, where steps are sent, it is made sure once more that a request is one that the type has for this object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from provisioner.changes.splitting import steps_of
from provisioner.model import (
    Change,
    Cmdlet,
    DnsUpdate,
    ResourceType,
    Secret,
    Send,
    Step,
    ZoneQuery,
    goal_of,
    key_of,
    overlay,
    written,
)


def derived(kind: ResourceType[Any], live: Any | None, after: Any | None) -> tuple[Step, ...]:
    """What turns the live object into what a change leads to."""
    goal = after if live is None or after is None else overlay(after, live)
    return steps_of(kind, live, goal)


def foreign(kind: ResourceType[Any], change: Change, number: int) -> str:
    """Why a step of a change may not be sent; "" where it is the type's own for the object of the change."""
    goal = goal_of(change)
    objects = [spec for spec in (change.observed, goal) if spec is not None]
    renamed = [spec for spec in objects if key_of(spec) != change.address.key]
    if any(spec is goal or goal is None or not kind.object_id(spec) for spec in renamed):
        return "it is a step for another object"
    own = derived(kind, change.observed, change.after)
    step = change.steps[number]
    if own[number : number + 1] != (step,):
        return f"it is not the step that {kind.name} derives for this object"
    if not isinstance(step, Send):
        return ""
    if isinstance(step.request, DnsUpdate):
        return _foreign_update(kind, change, step.request)
    if _noun(step.request) not in _nouns(kind, change):
        return f"{kind.name} writes only what it reads, which {step.request.name} does not"
    known = {secret for spec in objects for secret in _secrets(spec)}
    if any(isinstance(value, Secret) and value not in known for value in step.request.parameters.values()):
        return "it names a secret that the object does not have"
    return ""


def _foreign_update(kind: ResourceType[Any], change: Change, update: DnsUpdate) -> str:
    """Why an update of DNS may not be sent: a type writes the names and types that it reads for this very object."""
    if update.pending:
        return "a value of it is not known yet"
    queries = kind.queries({change.address.key: change.after}, False)
    read = {(q.request.name, q.request.type) for q in queries if isinstance(q.request, ZoneQuery)}
    if (update.name, update.type) not in read or update.type not in {"TXT", "CNAME"}:
        return f"{kind.name} writes only what it reads, which {update.name} {update.type} is not"
    return ""


def _secrets(spec: Any) -> Iterator[Secret]:
    """The secrets that an object names, in fields that hold references."""
    names = {f.name for f in dataclasses.fields(spec) if f.metadata.get("secret")}
    for name, value in written(spec).items():
        if isinstance(value, Secret) or name in names:
            yield value if isinstance(value, Secret) else Secret(value)


def _nouns(kind: ResourceType[Any], change: Change) -> set[str]:
    """The nouns of Exchange that the type reads its objects with, one by one or by a listing: InboundConnector.

    Of a part of an object that is read by another cmdlet than it is written by, the type says so (`more_nouns`).
    """
    wanted = {change.address.key: change.after}
    queries = (*kind.queries(wanted, False), *kind.queries(wanted, True))
    return {_noun(query.request) for query in queries if isinstance(query.request, Cmdlet)} | kind.more_nouns


def _noun(request: Cmdlet) -> str:
    return request.name.partition("-")[2]
