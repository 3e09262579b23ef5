"""Which part of a plan a run looks at: `--target` and `--exclude`. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.model import Address, ChangeSet, Desired, Observed, Present, Resource, ResourceType, matches


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run looks at: `--target` and `--exclude` patterns over `type/key`. Everything, when both are empty."""

    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.targets and not self.excludes

    def holds(self, address: Address, names: Iterable[str] = ()) -> bool:
        """Whether an object is looked at; `names` are its other names, where they are known."""
        if matches(self.excludes, address, names):
            return False
        return not self.targets or matches(self.targets, address, names)


def narrow(desired: Desired, types: Sequence[ResourceType[Any]], scope: Scope) -> Desired:
    """The part of a plan that a scope holds, as far as the plan's own names tell; the rest of it is set aside.

    What a target needs comes along, so that preconditions are checked.
    """
    if scope.whole:
        return desired
    everything = {**desired.set_aside, **desired.resources}
    kept = _with_needs({a for a in everything if scope.holds(a)}, everything, types, scope)
    return dataclasses.replace(
        desired,
        resources={a: r for a, r in everything.items() if a in kept},
        set_aside={a: r for a, r in everything.items() if a not in kept},
        absent={a: at for a, at in desired.absent.items() if scope.holds(a)},
    )


def _with_needs(
    kept: set[Address], resources: Mapping[Address, Resource], types: Sequence[ResourceType[Any]], scope: Scope
) -> set[Address]:
    by_name = {t.name: t for t in types}
    waiting = list(kept)
    while waiting:
        resource = resources[waiting.pop()]
        for need in by_name[resource.address.type].needs(resource.spec):
            if need in resources and need not in kept and not matches(scope.excludes, need):
                kept.add(need)
                waiting.append(need)
    return kept


def bystanders(desired: Desired, listed: Collection[str], scope: Scope) -> Mapping[Address, Resource]:
    """What is set aside and has to be read nevertheless.

    Of types whose undeclared objects are read (`listed`), because a declared object is not an undeclared one, whatever
    the scope; and everything, where a target may name an object by a name that the plan does not write.
    """
    written = (*desired.resources, *desired.absent)
    if any(not any(matches((target,), a) for a in written) for target in scope.targets):
        return desired.set_aside
    return {a: r for a, r in desired.set_aside.items() if a.type in listed}


def rescope(desired: Desired, observed: Observed, types: Sequence[ResourceType[Any]], scope: Scope) -> Desired:
    """The part of a plan that a scope holds when every name of each object is known, as it is once they were read."""
    if scope.whole:
        return desired
    everything = {**desired.set_aside, **desired.resources}
    names = {a: _names(a, observed, types) for a in (*everything, *desired.absent)}
    kept = {a for a in desired.resources if not matches(scope.excludes, a, names[a])}
    more = {a for a in desired.set_aside if a in observed.resources and scope.holds(a, names[a])}
    kept |= {a for a in _with_needs(more, everything, types, scope) if a in observed.resources}
    return dataclasses.replace(
        desired,
        resources={a: r for a, r in everything.items() if a in kept},
        set_aside={a: r for a, r in everything.items() if a not in kept},
        absent={a: at for a, at in desired.absent.items() if not matches(scope.excludes, a, names[a])},
    )


def unmatched(
    scope: Scope, desired: Desired, observed: Observed, found: ChangeSet, types: Sequence[ResourceType[Any]]
) -> Sequence[str]:
    """The targets that name nothing: of the plan, to be gone, or about to be changed for the owner's sake."""
    meant = (*desired.resources, *desired.set_aside, *desired.absent, *(c.address for c in found.changes))
    names = {a: _names(a, observed, types) for a in meant} if scope.targets else {}
    return [t for t in scope.targets if not any(matches((t,), a, names[a]) for a in meant)]


def _names(address: Address, observed: Observed, types: Sequence[ResourceType[Any]]) -> Collection[str]:
    """The known names of an object; none besides its key where it was not read, or is not there."""
    there = observed.resources.get(address)
    spec = there.spec if isinstance(there, Present) else observed.undeclared.get(address)
    return () if spec is None else next(t for t in types if t.name == address.type).names(spec)
