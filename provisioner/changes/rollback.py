"""The way back from a run: what it did, turned round, as a plan that goes through review like any other. Pure.

A rollback is not a replay of inverse requests. What was there before the run becomes the desired state of exactly the
objects that it changed, and the same planning, rules and guards make a change set of it. What has moved since the run,
and what nothing can bring back, is told and left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.changes.changeset import read_spec
from provisioner.changes.splitting import between
from provisioner.model import (
    Absent,
    Address,
    Desired,
    Observation,
    Present,
    Resource,
    ResourceType,
    Unknown,
    field_names,
    key_of,
    project,
)

Types = Sequence[ResourceType[Any]]


@dataclass(frozen=True, slots=True)
class Undone:
    """One object that a run changed: how the run found it, and how it left it (None: not there).

    `seen`: the run saw it so. Otherwise it was written and not read back, or the run was killed, and the change may not
    have been carried out.
    """

    address: Address
    before: Any | None
    after: Any | None
    seen: bool = True


@dataclass(frozen=True, slots=True)
class Rollback:
    """What is to be brought back, and a sentence for each object that is not."""

    desired: Desired
    left_out: tuple[str, ...] = ()


def undone(deeds: Iterable[Any], types: Types) -> list[Undone]:
    """The objects that a run changed, or may have, each with its state before the first and after the last change.

    Of an object that only sets others, such as a selection of mailboxes, those that it set.
    """
    by_name = {t.name: t for t in types}
    first: dict[Address, Any] = {}
    last: dict[Address, tuple[Any, bool]] = {}
    for deed in deeds:
        address = Address.parse(deed.address)
        kind = by_name.get(address.type)
        if kind is None or not (deed.done or deed.unseen):
            continue
        before, after = read_spec(kind, deed.before), read_spec(kind, deed.after)
        parts = kind.governed(before, after) if kind.governs else {address: (before, after)}
        for part, (earlier, later) in parts.items():
            first.setdefault(part, earlier)
            last[part] = (later, deed.done)
    return [Undone(a, before, *last[a]) for a, before in first.items()]


def rollback(
    done: Sequence[Undone], observed: Mapping[Address, Observation], types: Types, tenant: str, owner: str
) -> Rollback:
    """The plan that undoes a run, by what exists now."""
    by_name = {t.name: t for t in types}
    resources: dict[Address, Resource] = {}
    absent: dict[Address, None] = {}
    left_out: list[str] = []
    for item in done:
        kind, there = by_name[item.address.type], observed.get(item.address)
        if not item.seen and _is(item.before, there):
            continue  # the change was not carried out
        reason = _moved(item, there) or _irreversible(item, kind)
        if reason:
            left_out.append(f"{item.address}: {reason}")
        elif item.before is None:
            absent[item.address] = None
        else:
            if key_of(item.before) != item.address.key:
                left_out.append(f"{item.address}: it keeps its name; before the run it was {key_of(item.before)!r}")
            spec, lost = kind.brought_back(item.before, item.after)
            if lost:
                left_out.append(f"{item.address}: {lost}")
            resources[item.address] = Resource(item.address, _named(spec, item.address.key))
    return Rollback(Desired(tenant, owner, resources, absent=absent, declared_only=True), tuple(left_out))


def in_words(done: Sequence[Undone], types: Types) -> Iterator[str]:
    """What a rollback does to each object, the last change first, as far as nothing has changed since the run."""
    by_name = {t.name: t for t in types}
    for item in reversed(done):
        kind = by_name[item.address.type]
        if reason := _irreversible(item, kind):
            yield f"leave {item.address} as it is: {reason}"
        elif item.before is None:
            yield f"delete {item.address}"
        else:
            _, lost = kind.brought_back(item.before, item.after)
            back = (
                f"create {item.address} again" if item.after is None else f"set {item.address} back to its old values"
            )
            yield f"{back}; {lost}" if lost else back


def _named(spec: Any, key: str) -> Any:
    """An object under its address: a run gives it the name that the plan has for it, and undoing the run keeps that."""
    return dataclasses.replace(spec, **{field_names(spec)[0]: key})


def _is(spec: Any | None, there: Observation | None) -> bool:
    """Whether the tenant has the object so (None: not there)."""
    if isinstance(there, Present):
        return spec is not None and bool(project(there.spec, spec) == spec)
    return isinstance(there, Absent) and spec is None


def _is_half_way(item: Undone, there: Observation | None) -> bool:
    """Whether some writes of a change that took several were carried out, as where the last ones were held back."""
    sides = item.seen is False and item.before is not None and item.after is not None
    return sides and isinstance(there, Present) and between(item.before, item.after, there.spec)


def _moved(item: Undone, there: Observation | None) -> str:
    """Why the object is not as the run left it; "" where it is."""
    if isinstance(there, Unknown):
        return f"it could not be read: {there.reason}"
    if there is None:
        return "it was not read"
    if _is(item.after, there) or _is_half_way(item, there):
        return ""
    if not item.seen:
        return "it is neither as the run found it nor as the run was to leave it"
    if isinstance(there, Absent):
        return "somebody has deleted it since the run"
    return "it was created again since the run" if item.after is None else "it was changed since the run"


def _irreversible(item: Undone, kind: ResourceType[Any]) -> str:
    if item.before is None and not (kind.deletable or kind.revocable):
        return f"an object of type {kind.name} cannot be deleted; disable it in the plan"
    if item.before is not None and item.after is None and not kind.creatable:
        return f"an object of type {kind.name} cannot be created"
    return ""
