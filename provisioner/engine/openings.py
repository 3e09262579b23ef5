"""Open before you close: what a closing change has to wait for, by what the tenant has just before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.changes import ordering, splitting
from provisioner.engine.comparing import standing_of
from provisioner.engine.events import ALREADY, DONE, OPENINGS
from provisioner.engine.run import Run
from provisioner.mailflow import promises
from provisioner.mailflow.senders import Affected, Groups, Sender, affected
from provisioner.model import (
    Absent,
    Action,
    Address,
    Change,
    ChangeSet,
    Observation,
    Present,
    ResourceType,
    Unknown,
    overlay,
)
from provisioner.model.picture import Contributions

_NEITHER = "; it waits for this one too: change one of the two first, in a plan of its own"
"""No order keeps everybody's path, so that applying again does not help."""


@dataclass(frozen=True, slots=True)
class _Object:
    """An object of the plan, changed by this run or not, or outside of its scope; `wanted` is None for one to go."""

    address: Address
    kind: ResourceType[Any]
    wanted: Any | None
    live: Any | None
    outside: bool = False

    @property
    def goal(self) -> Any | None:
        """The whole object that the plan leads to."""
        return self.wanted if self.wanted is None or self.live is None else overlay(self.wanted, self.live)


class _Around:
    """The restrictions of all objects, so that what another one refuses is nobody's loss and nobody's promise."""

    def __init__(self, objects: Collection[_Object]) -> None:
        self._now = [(o.address, r) for o in objects for r in promises.restrictions(o.kind, o.live)]
        self._final = [(o.address, r) for o in objects for r in promises.restrictions(o.kind, o.goal)]

    def now(self, address: Address) -> Contributions:
        return tuple(restriction for other, restriction in self._now if other != address)

    def final(self, address: Address) -> Contributions:
        return tuple(restriction for other, restriction in self._final if other != address)


class Openings:
    """What must be in force in the tenant before a change that takes a path from senders is sent.

    That is every path that the whole plan promises to these senders, whether this run makes it or not: it may be a
    later run, in which the object needs no change, or one of `--target`, which changes a part of the plan. The tenant
    is read once all changes that open such a path have ended, for all closing changes that are ready then.
    """

    def __init__(
        self, run: Run, changes: Sequence[Change], changeset: ChangeSet, known: Collection[Sender] | None
    ) -> None:
        self._run, self._known = run, known
        objects = {o.address: o for o in _objects(run, changes, changeset)}
        self._around = _Around(objects.values())
        mine = [objects[c.address] for c in changes]
        loses = {o.address: promises.loses(o.kind, o.live, o.goal, self._around.now(o.address)) for o in mine}
        gains = {o.address: promises.gains(o.kind, o.live, o.goal, self._around.final(o.address)) for o in mine}
        self._loses = {a: groups for a, groups in loses.items() if groups}
        everyone = self._affected(*self._loses.values())
        self._opening = {a: groups for a, groups in gains.items() if everyone.concerned(groups)}
        self._promised = {a: groups for a, o in objects.items() if everyone.concerned(groups := self._promise(o))}
        self._objects = {a: o for a, o in objects.items() if a in self._promised}
        self._later = _later(ordering.dependencies(changes))
        apart = {c.address for c in changes if splitting.opens_apart(run.kind(c.address), c)}
        self._at_once = (self._opening.keys() & self._loses.keys()) - apart
        self._next: asyncio.Task[Mapping[Address, tuple[Groups, str]]] | None = None

    def _promise(self, found: _Object) -> Groups:
        return promises.promised(found.kind, found.wanted, found.live, self._around.final(found.address))

    def closes(self, address: Address) -> bool:
        """Whether a change takes a path from somebody."""
        return address in self._loses

    def apart(self, address: Address) -> bool:
        """Whether all that a change opens is in force before it closes anything."""
        return address not in self._at_once

    async def missing(self, address: Address) -> Sequence[str]:
        """What this change has to wait for and why, each in words; nothing where it may be sent."""
        if address not in self._loses:
            return ()
        for other in self._before(address):
            await self._run.opened[other].wait()
        if self._next is None:
            self._next = asyncio.create_task(self._look())
        lacking = await self._next
        passed, concerned = {*self._later[address], *({address} & self._at_once)}, self._concerned(address)
        return [
            f"{a} ({words}{_NEITHER if self._waits(a, address) else ''})"
            for a, (groups, words) in lacking.items()
            if a not in passed and concerned(a, groups)
        ]

    def _waits(self, one: Address, other: Address) -> bool:
        """Whether of two changes that each open and close in one write the first waits for the other one."""
        return {one, other} <= self._at_once and self._concerned(one)(other, self._opening[other])

    def _affected(self, *groups: Groups) -> Affected:
        return affected(frozenset().union(*groups), self._known)

    def _concerned(self, address: Address) -> Callable[[Address, Groups], bool]:
        """Whether a path that another object gives to some senders is one of those that this change affects.

        Where it is not known who sends, all are; but of two changes that each open and close in one write neither
        could ever be first, so that these are compared by what they name.
        """
        all_of_it = self._affected(self._loses[address])
        named = affected(self._loses[address], self._known or ())

        def concerned(other: Address, groups: Groups) -> bool:
            return (named if {address, other} <= self._at_once else all_of_it).concerned(groups)

        return concerned

    def _before(self, address: Address) -> Iterable[Address]:
        """The changes of this run that open a path first.

        A change that opens and closes in one write comes before what only closes. Two such changes that each close
        what the other opens wait for nobody: neither can be first, and what the tenant has holds both back.
        """
        both = address in self._at_once
        for other in self._opening.keys() - {address, *self._later[address]}:
            if not both or other not in self._at_once or other in self._chain(address):
                yield other

    def _chain(self, address: Address) -> Collection[Address]:
        """The changes of one write that have to come before this one, which is such a change too."""
        found: set[Address] = set()
        waiting = [address]
        while waiting:
            one = waiting.pop()
            concerned = self._concerned(one)
            more = {a for a in self._at_once - {one} if concerned(a, self._opening[a])}
            waiting += more - found
            found |= more
        return () if address in found else found

    async def _look(self) -> Mapping[Address, tuple[Groups, str]]:
        """The declared objects that do not give every sender the promised path now, with the reason."""
        self._next = None
        observed = await self._run.look({a: o.wanted for a, o in self._objects.items()}, OPENINGS)
        lacking = {a: self._lack(found, observed[a]) for a, found in self._objects.items()}
        return {a: (groups, words) for a, (groups, words) in lacking.items() if groups}

    def _lack(self, found: _Object, observation: Observation) -> tuple[Groups, str]:
        if isinstance(observation, Unknown):
            return self._promised[found.address], f"it cannot be read: {observation.reason}"
        live = observation.spec if isinstance(observation, Present) else None
        groups = promises.lacking(found.kind, found.wanted, live, self._around.final(found.address))
        return groups, self._words(found, observation) if groups else ""

    def _words(self, found: _Object, observation: Observation) -> str:
        """Why it is not in force: how its change ended, or else what the tenant shows."""
        result = self._run.results.get(found.address)
        if result and result.status not in {DONE, ALREADY}:
            words = result.status.replace("_", " ")
            return f"{words}: {result.detail}" if result.detail else words
        declared = Change(found.address, Action.NO_OP, found.wanted, found.wanted)
        words = "the tenant does not have it"
        if found.wanted is None:
            words = "it still exists"
        elif not isinstance(observation, Absent):
            _, moved = standing_of(declared, observation)
            words = moved or self._run.idle(declared, observation) or "it is not in force"
        return f"{words}; outside --target and --exclude" if found.outside else words


def _objects(run: Run, changes: Sequence[Change], changeset: ChangeSet) -> Iterator[_Object]:
    """What the plan declares or takes away, with what is outside the scope of the run and was not read for it."""
    changed = {c.address for c in changes}
    for change in (*changes, *(c for c in changeset.changes if c.address not in changed)):
        yield _Object(change.address, run.kind(change.address), change.after, change.observed)
    known = changed | {c.address for c in changeset.changes}
    for address, resource in changeset.basis.desired.set_aside.items() if changeset.basis else ():
        kind = run.kind(address)
        if not kind.precondition and address not in known:
            yield _Object(address, kind, kind.completed(resource.spec), None, outside=True)


def _later(graph: Mapping[Address, Collection[Address]]) -> Mapping[Address, Collection[Address]]:
    """By change those that need it, directly or by others: they cannot be in force before it."""
    found: dict[Address, set[Address]] = {a: set() for a in graph}
    for address in graph:
        waiting = list(graph[address])
        while waiting:
            need = waiting.pop()
            if address not in found[need]:
                found[need].add(address)
                waiting += graph[need]
    return found
