"""The way back from a run: what it did, turned round, as a plan that goes through review like any other. Pure.

A rollback is not a replay of inverse requests. What was there before the run becomes the desired state of exactly the
objects that it changed, and the same planning, rules and guards make a change set of it. What has moved since the run,
and what nothing can bring back, is told and left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.changes.changeset import read_spec
from provisioner.model import (
    Absent,
    Address,
    Desired,
    Observation,
    Present,
    Resource,
    ResourceType,
    field_names,
    key_of,
    project,
)

Types = Sequence[ResourceType[Any]]


@dataclass(frozen=True, slots=True)
class Undone:
    """One object that a run changed: how the run found it, and how it left it (None: not there)."""

    address: Address
    before: Any | None
    after: Any | None


@dataclass(frozen=True, slots=True)
class Rollback:
    """What is to be brought back, and a sentence for each object that is not."""

    desired: Desired
    left_out: tuple[str, ...] = ()


def undone(deeds: Iterable[Any], types: Types) -> list[Undone]:
    """The objects that a run changed and saw done, each with its state before the first and after the last change."""
    by_name = {t.name: t for t in types}
    first: dict[Address, Any] = {}
    last: dict[Address, Any] = {}
    for deed in deeds:
        address = Address.parse(deed.address)
        kind = by_name.get(address.type)
        if kind is None or not deed.done:
            continue
        first.setdefault(address, read_spec(kind, deed.before))
        last[address] = read_spec(kind, deed.after)
    return [Undone(a, before, last[a]) for a, before in first.items()]


def rollback(
    done: Sequence[Undone], observed: Mapping[Address, Observation], types: Types, tenant: str, owner: str
) -> Rollback:
    """The plan that undoes a run, by what is there now."""
    by_name = {t.name: t for t in types}
    resources: dict[Address, Resource] = {}
    absent: dict[Address, None] = {}
    left_out: list[str] = []
    for item in done:
        kind = by_name[item.address.type]
        reason = _moved(item, observed.get(item.address)) or _irreversible(item, kind)
        if reason:
            left_out.append(f"{item.address}: {reason}")
        elif item.before is None:
            absent[item.address] = None
        else:
            if key_of(item.before) != item.address.key:
                left_out.append(f"{item.address}: it keeps its name; before the run it was {key_of(item.before)!r}")
            resources[item.address] = Resource(item.address, _named(item.before, item.address.key))
    return Rollback(Desired(tenant, owner, resources, absent=absent, declared_only=True), tuple(left_out))


def _named(spec: Any, key: str) -> Any:
    """An object under its address: a run gives it the name that the plan has for it, and undoing the run keeps that."""
    return dataclasses.replace(spec, **{field_names(spec)[0]: key})


def _moved(item: Undone, there: Observation | None) -> str:
    """Why the object is not as the run left it; "" where it is."""
    if isinstance(there, Present):
        if item.after is None:
            return "somebody has made it again since the run"
        return "" if project(there.spec, item.after) == item.after else "somebody has changed it since the run"
    if isinstance(there, Absent):
        return "" if item.after is None else "somebody has deleted it since the run"
    return "it could not be read"


def _irreversible(item: Undone, kind: ResourceType[Any]) -> str:
    if item.before is None and not kind.deletable:
        return f"a {kind.name} that was created cannot be deleted again; switch it off in the plan"
    if item.before is not None and item.after is None and not kind.creatable:
        return f"a {kind.name} cannot be created"
    return ""
