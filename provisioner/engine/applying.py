"""Applying: exactly one change set, each change as soon as what it needs is in place, and an account of all."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping, Sequence

from provisioner.changes import planning
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
from provisioner.engine.watching import observer_of
from provisioner.model import Action, Address, Change, ChangeSet, Observation
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
) -> Outcome:
    """Carry out exactly this change set, and tell the observers of the ports.

    Everything that it rests on is read first: equal to `before` goes, equal to `after` counts as done, anything else
    raises ChangeSetStale and nothing is written (TenantIncomplete where it cannot be read). What closes a sending path
    is sent last, and held back while anything that opens one is not in force in the tenant (`Openings`).

    `seen` is what the tenant says of every object that is to change, of a caller that has just read it.

    `begun` are changes that an earlier run of this very change set has begun, by its journal: what stands between
    before and after goes on from there. `confirm_s` bounds the reading back of each change, `wait_s` the waiting of
    each for DNS, and for Exchange to see what DNS has; what waits holds up nobody else. When `stop` is set no further
    write begins, and nothing waits: a change that is under way ends between two of its steps.
    """
    began = clock.monotonic()
    stop, gate = stop or asyncio.Event(), asyncio.Semaphore(max(1, writes))
    run = Run(types, ports, reads, confirm_s, wait_s, observer_of(ports), stop, gate, clock)
    changes, made = await recheck(run, changeset.pending, frozenset(begun), seen)
    await _carry_out(run, changes, made, [c for c in changeset.changes if c.action is Action.NO_OP])
    results = tuple(run.results[c.address] for c in changeset.pending)
    return Outcome(results, clock.monotonic() - began)


async def _carry_out(
    run: Run, changes: Sequence[Change], made: Mapping[Address, str], unchanged: Sequence[Change]
) -> None:
    """Every change that is left, each as soon as what it needs is in place."""
    run.ended = {c.address: asyncio.Event() for c in changes}
    needs = planning.dependencies(changes)
    openings, confirmer = Openings(run, changes, unchanged), Confirmer(run)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(confirmer.run())
        async with asyncio.TaskGroup() as writing:
            for change in changes:
                if change.address in made:
                    reason = made[change.address]
                    status = UNCONFIRMED if reason else ALREADY
                    run.end(Result(change.address, change.action, status, reason))
                else:
                    writing.create_task(_one(run, change, needs[change.address], openings, confirmer))
        reading.cancel()


async def _one(run: Run, change: Change, needs: Collection[Address], openings: Openings, confirmer: Confirmer) -> None:
    """One change from what it needs to its result."""
    for need in needs:
        await run.ended[need].wait()
    missing = [str(n) for n in sorted(needs) if run.results[n].status not in {DONE, ALREADY}]
    if missing:
        return run.end(Result(change.address, change.action, SKIPPED, f"it needs {_first(missing)}"))
    closed = await openings.missing(change.address)
    if closed:
        run.tell(HeldBack(change, tuple(closed)))
        return run.end(Result(change.address, change.action, HELD_BACK, f"waits for {_first(closed)}"))
    began = run.clock.monotonic()
    async with run.gate:
        if run.stop.is_set():
            return run.end(Result(change.address, change.action, LEFT, "interrupted before it was begun"))
        run.tell(Started(change))
        sender = Sender(run, change)
        result = await sender.carry_out()
    result = await _confirmed(change, result, confirmer, begun=sender.begun)
    return run.end(dataclasses.replace(result, seconds=run.clock.monotonic() - began))


async def _confirmed(change: Change, result: Result, confirmer: Confirmer, *, begun: bool) -> Result:
    """The result once the tenant has been read back, where there is something to be seen."""
    if result.status == DONE:
        return await confirmer.confirm(change, result)
    if begun and change.action is Action.CREATE:
        # What was created so far must show before the next run plans on it, or it would be created again.
        there = dataclasses.replace(change, after=key_only(change.after))
        await confirmer.confirm(there, Result(change.address, change.action, DONE))
    return result


def _first(words: Sequence[str], most: int = 3) -> str:
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
