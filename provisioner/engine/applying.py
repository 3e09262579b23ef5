"""Applying: exactly one change set, each change as soon as what it needs is in place, and an account of all."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from provisioner import rules
from provisioner.changes import ordering
from provisioner.clock import SYSTEM, Clock
from provisioner.engine.comparing import key_only
from provisioner.engine.confirming import Confirmer
from provisioner.engine.events import (
    ALREADY,
    DONE,
    HELD_BACK,
    LEFT,
    SKIPPED,
    UNCONFIRMED,
    HeldBack,
    Outcome,
    Result,
    Started,
)
from provisioner.engine.openings import Openings
from provisioner.engine.reading import Types
from provisioner.engine.rechecking import recheck
from provisioner.engine.run import Run
from provisioner.engine.sending import Sender
from provisioner.engine.settling import settled
from provisioner.engine.watching import observer_of
from provisioner.mailflow import senders
from provisioner.model import Action, Address, Change, ChangeSet, Confirm, Observation, Waiver, key_of
from provisioner.model.listing import listed
from provisioner.tenant.ports import Ports


async def apply(
    changeset: ChangeSet,
    types: Types,
    ports: Ports,
    *,
    reads: int = 4,
    writes: int = 4,
    confirm_s: float = 120.0,
    wait_s: float = 0.0,
    begun: Collection[Address] = (),
    seen: Mapping[Address, Observation] | None = None,
    stop: asyncio.Event | None = None,
    clock: Clock = SYSTEM,
    devices: Collection[senders.Sender] | None = None,
    allowed: Sequence[Waiver] = (),
) -> Outcome:
    """Carry out exactly this change set, and tell the observers of the ports.

    Everything that it rests on is read first: equal to `before` goes, equal to `after` counts as done, anything else
    raises ChangeSetStale and nothing is written (TenantIncomplete where it cannot be read). What takes a path from
    senders is held back while one that the plan promises to them is not in force in the tenant (`Openings`). `devices`
    are those that may send, None where that is not known: then every path may be any sender's. `allowed` are the
    waivers of the run; only CLOSE-BEFORE-OPEN counts here.

    `seen` is what the tenant says about every object that is to change, of a caller that has just read it.

    `begun` are changes that an earlier run of this very change set has begun, by its journal: what stands between
    before and after goes on from there. `confirm_s` bounds the reading back of each change, `wait_s` the waiting of
    each for DNS, and for Exchange to see what DNS has; what waits holds up nobody else. When `stop` is set no further
    write begins, and nothing waits: a change that is under way ends between two of its steps.
    """
    began = clock.monotonic()
    stop, gate = stop or asyncio.Event(), asyncio.Semaphore(max(1, writes))
    run = Run(types, ports, reads, confirm_s, wait_s, observer_of(ports), stop, gate, clock)
    run.renamed = {c.address: s for c in changeset.pending if (s := c.observed) and key_of(s) != c.address.key}
    changes, made = await recheck(run, changeset.pending, frozenset(begun), seen)
    run.begin(changes)
    openings = Openings(run, changes, changeset, devices)
    await _carry_out(run, changes, made, _Gate(run, openings, tuple(allowed)))
    results = tuple(run.results[c.address] for c in changeset.pending)
    return Outcome(results, clock.monotonic() - began, run.failure)


@dataclass(frozen=True, slots=True)
class _Gate:
    """What a closing change has to pass."""

    run: Run
    openings: Openings
    allowed: Sequence[Waiver]

    async def passed(self, change: Change) -> tuple[Result | None, tuple[str, ...]]:
        """The result of a change that is held back, or None; with a warning where it is let through all the same."""
        missing = await self.openings.missing(change.address)
        if not missing:
            return None, ()
        if rules.lifted(rules.CLOSE_BEFORE_OPEN, change.address, self.allowed):
            return None, (f"sent although {listed(missing, 3)} is not in force: {rules.CLOSE_BEFORE_OPEN} is allowed",)
        self.run.tell(HeldBack(change, tuple(missing)))
        return Result(change.address, change.action, HELD_BACK, f"waits for {listed(missing, 3)}"), ()


async def _carry_out(run: Run, changes: Sequence[Change], made: Mapping[Address, str], gate: _Gate) -> None:
    """Every change that is left, each as soon as what it needs is in place."""
    needs = ordering.dependencies(changes)
    confirmer = Confirmer(run)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(confirmer.run())
        async with asyncio.TaskGroup() as writing:
            for change in changes:
                if change.address in made:
                    reason = made[change.address]
                    status = UNCONFIRMED if reason else ALREADY
                    run.end(Result(change.address, change.action, status, reason))
                else:
                    writing.create_task(_one(run, change, needs[change.address], gate, confirmer))
        reading.cancel()


async def _one(run: Run, change: Change, needs: Collection[Address], gate: _Gate, confirmer: Confirmer) -> None:
    """One change from what it needs to its result."""
    early = frozenset() if change.after is None else frozenset(run.kind(change.address).early(change.after))
    for need in needs:
        await (run.begun if need in early else run.ended)[need].wait()
    missing = [str(n) for n in sorted(needs) if not _in_place(run, n, early=n in early)]
    if missing:
        return run.end(Result(change.address, change.action, SKIPPED, f"it needs {listed(missing, 3)}"))
    began = run.clock.monotonic()
    try:
        whole = await settled(run, change)
        if isinstance(whole, Change):
            result = await _parts_in_turn(run, whole, gate, confirmer)
        else:
            result = whole
    except Exception as error:  # noqa: BLE001 - whatever it is, the other changes end in order, and all are accounted for
        result = run.broken(change, error)
    return run.end(dataclasses.replace(result, seconds=run.clock.monotonic() - began))


def _in_place(run: Run, need: Address, *, early: bool) -> bool:
    """Whether what a change needs is done, or, where it only reads values of it, exists."""
    if early and need in run.made:
        return True
    return need in run.results and run.results[need].status in {DONE, ALREADY}


async def _parts_in_turn(run: Run, change: Change, gate: _Gate, confirmer: Confirmer) -> Result:
    """What a change opens, seen in force, then what it closes, or all of it at once."""
    sender, warnings = Sender(run, change), list[str]()
    for part in _parts(change, closes=gate.openings.closes(change.address)):
        if part.closes:
            held, allowed = await gate.passed(change)
            warnings += allowed
            if held:
                return dataclasses.replace(held, warnings=tuple(warnings))
        async with run.writing():
            if run.stop.is_set():
                return Result(change.address, change.action, LEFT, sender.interrupted, tuple(warnings))
            if not sender.begun:
                run.tell(Started(change))
            result = await sender.carry_out(part.steps)
        result = await _confirmed(part.shows, result, confirmer, begun=sender.begun)
        warnings += result.warnings
        if result.status != DONE:
            break
        if gate.openings.apart(change.address):
            run.has_opened(change)
    return dataclasses.replace(result, warnings=tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Part:
    """Steps of a change that are confirmed together: `shows` is the change with what the tenant then has."""

    steps: range
    shows: Change
    closes: bool


def _parts(change: Change, *, closes: bool) -> Sequence[_Part]:
    """What a change opens and what it closes, where the two are apart; else the whole change."""
    last = len(change.steps)
    for number, step in enumerate(change.steps):
        if isinstance(step, Confirm):
            opened = dataclasses.replace(change, after=step.shows)
            return (_Part(range(number), opened, closes=False), _Part(range(number, last), change, closes))
    return (_Part(range(last), change, closes),)


async def _confirmed(change: Change, result: Result, confirmer: Confirmer, *, begun: bool) -> Result:
    """The result once the tenant has been read back, where there is something to be seen."""
    if result.status == DONE:
        return await confirmer.confirm(change, result)
    if begun and change.action is Action.CREATE:
        # What was created so far must show before the next run plans on it, or it would be created again.
        there = dataclasses.replace(change, after=key_only(change.after))
        await confirmer.confirm(there, Result(change.address, change.action, DONE))
    return result
