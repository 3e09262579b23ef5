"""Applying: read again what a change set rests on, refuse if it has moved, carry out the steps of each change."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.changes import planning
from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import ChangeSetStale, NotFound, Refused, TenantError, TenantIncomplete, Unclear
from provisioner.engine.confirming import Confirmer, between, key_only, standing_of
from provisioner.engine.events import (
    ALREADY,
    DONE,
    FAILED,
    HELD_BACK,
    LEFT,
    SKIPPED,
    UNCONFIRMED,
    WAITING,
    Answered,
    Finished,
    Observer,
    Outcome,
    Result,
    Sending,
    Started,
)
from provisioner.engine.openings import Openings
from provisioner.engine.reading import Types, Wanted, read_wanted, send
from provisioner.engine.waiting import Patience
from provisioner.model import (
    Action,
    Address,
    Answer,
    Await,
    Change,
    ChangeSet,
    Cmdlet,
    DnsQuery,
    GraphRequest,
    Observation,
    Parameter,
    Present,
    Ref,
    ResourceType,
    Row,
    Send,
    Unknown,
    project,
)
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
    observer: Observer = lambda _: None,
    stop: asyncio.Event | None = None,
    clock: Clock = SYSTEM,
) -> Outcome:
    """Carry out exactly this change set.

    Everything that it rests on is read first: equal to `before` goes, equal to `after` counts as done, anything else
    raises ChangeSetStale and nothing is written (TenantIncomplete where it cannot be read). What closes a sending path
    is sent last, and held back while anything that opens one is not in force in the tenant (`Openings`).

    `begun` are changes that an earlier run of this very change set has begun, by its journal: what stands between
    before and after goes on from there. `confirm_s` bounds the reading back of each change, `wait_s` the waiting of
    each for DNS, and for Exchange to see what DNS has; what waits holds up nobody else. When `stop` is set no further
    write begins, and nothing waits.
    """
    began = clock.monotonic()
    stop, gate = stop or asyncio.Event(), asyncio.Semaphore(max(1, writes))
    run = Run(types, ports, reads, confirm_s, wait_s, observer, stop, gate, clock)
    changes, done = await run.recheck(changeset.pending, frozenset(begun))
    await run.carry_out(changes, done, [c for c in changeset.changes if c.action is Action.NO_OP])
    results = tuple(run.results[c.address] for c in changeset.pending)
    return Outcome(results, clock.monotonic() - began)


@dataclass(slots=True)
class Run:
    """One apply under way."""

    types: Types
    ports: Ports
    reads: int
    confirm_s: float
    wait_s: float
    observer: Observer
    stop: asyncio.Event
    gate: asyncio.Semaphore
    clock: Clock
    results: dict[Address, Result] = field(default_factory=dict)
    ended: dict[Address, asyncio.Event] = field(default_factory=dict)
    openings: Openings = field(init=False)

    async def recheck(
        self, changes: Sequence[Change], begun: Collection[Address]
    ) -> tuple[Sequence[Change], dict[Address, str]]:
        """The changes as they go on from here, and those that need nothing any more; raises when something moved.

        With each of those stands why it is not in force, "" where it is.
        """
        observed = await self._look(changes)
        unknown = [f"{a}: {o.reason}" for a, o in observed.items() if isinstance(o, Unknown)]
        if unknown:
            raise TenantIncomplete("nothing was written: " + "; ".join(unknown[:5]))
        changes = [self._resumed(c, observed[c.address]) if c.address in begun else c for c in changes]
        standing = {c.address: standing_of(c, observed[c.address]) for c in changes}
        moved = [f"{a}: {words}" for a, (state, words) in standing.items() if state == "moved"]
        as_before = (c for c in changes if standing[c.address][0] == "before")
        moved += [
            f"{c.address}: the object as it is now needs other steps than those that were reviewed"
            for c in as_before
            if not self._same_steps(c, observed[c.address])
        ]
        if moved:
            raise ChangeSetStale(f"{len(moved)} of {len(changes)} objects moved since the plan was made", moved)
        made = (c for c in changes if standing[c.address][0] == "after")
        return changes, {c.address: self.idle(c, observed[c.address]) for c in made}

    def _same_steps(self, change: Change, observation: Observation) -> bool:
        """Whether the live object leads to the steps of the change.

        They rest on more than the written fields: on stored spellings, on the CNAME targets of a DKIM configuration.
        """
        kind = self.kind(change.address)
        live = observation.spec if isinstance(observation, Present) else None
        goal = change.after if live is None or change.after is None else planning.overlay(change.after, live)
        return tuple(kind.steps(live, goal)) == tuple(change.steps)

    def _resumed(self, change: Change, observation: Observation) -> Change:
        """A change that was cut off half-way, with the steps that are left; as it is where it is not half-way.

        What takes one write has no half-way: it is before or after, or somebody else was there.
        """
        writes = sum(isinstance(s, Send) for s in change.steps)
        if writes < 2 or change.after is None or not isinstance(observation, Present):
            return change
        if not between(change, observation.spec):
            return change
        kind = self.kind(change.address)
        live, goal = observation.spec, planning.overlay(change.after, observation.spec)
        steps = tuple(kind.steps(live, goal))
        return dataclasses.replace(change, before=project(live, change.after), steps=steps, observed=live)

    def idle(self, change: Change, observation: Observation) -> str:
        """Why an object that is as the change leaves it is not in force; "" where it is, or is gone as it should be."""
        if not isinstance(observation, Present):
            return ""
        return self.kind(change.address).in_force(change.after, observation.spec)

    def kind(self, address: Address) -> ResourceType[Any]:
        return next(t for t in self.types if t.name == address.type)

    async def carry_out(
        self, changes: Sequence[Change], done: Mapping[Address, str], unchanged: Sequence[Change]
    ) -> None:
        """Every change that is left, each as soon as what it needs is there."""
        self.ended = {c.address: asyncio.Event() for c in changes}
        needs = planning.dependencies(changes)
        self.openings = Openings(self, changes, unchanged)
        confirmer = Confirmer(self)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(confirmer.run())
            async with asyncio.TaskGroup() as writing:
                for change in changes:
                    if change.address in done:
                        reason = done[change.address]
                        status = UNCONFIRMED if reason else ALREADY
                        self._end(Result(change.address, change.action, status, reason))
                    else:
                        writing.create_task(self._one(change, needs[change.address], confirmer))
            reading.cancel()

    async def _one(self, change: Change, needs: Collection[Address], confirmer: Confirmer) -> None:
        for need in needs:
            await self.ended[need].wait()
        missing = [str(n) for n in sorted(needs) if self.results[n].status not in {DONE, ALREADY}]
        if missing:
            return self._end(Result(change.address, change.action, SKIPPED, f"it needs {_first(missing)}"))
        closed = await self.openings.missing(change.address)
        if closed:
            return self._end(Result(change.address, change.action, HELD_BACK, f"waits for {_first(closed)}"))
        began = self.clock.monotonic()
        async with self.gate:
            if self.stop.is_set():
                return self._end(Result(change.address, change.action, LEFT, "interrupted before it was begun"))
            self.observer(Started(change))
            result = await self._steps(change)
        if result.status == DONE:
            result = await confirmer.confirm(change, result)
        elif result.status == WAITING and change.action is Action.CREATE:
            # What was created so far must show before the next run plans on it, or it would be created again.
            there = dataclasses.replace(change, after=key_only(change.after))
            await confirmer.confirm(there, Result(change.address, change.action, DONE))
        return self._end(dataclasses.replace(result, seconds=self.clock.monotonic() - began))

    async def _steps(self, change: Change) -> Result:
        """Carry out the steps in turn. The result says DONE when all went through; that is still to be confirmed."""
        answers: list[Answer] = []
        warnings: list[str] = []
        blocked = ""
        patience = Patience(self, change)
        for number, step in enumerate(change.steps):
            if isinstance(step, Await):
                unmet = await self._await(step, answers, patience)
                if unmet:
                    return Result(change.address, change.action, WAITING, unmet, tuple(warnings))
                answers.append(Answer())
                continue
            answer = await self._send(change, number, step, answers)
            while isinstance(answer, Result) and answer.status == WAITING and await patience.lasts(answer.detail):
                answer = await self._send(change, number, step, answers)
            if isinstance(answer, Result):
                return dataclasses.replace(answer, warnings=(*warnings, *answer.warnings))
            answers.append(answer)
            warnings.extend(answer.warnings)
            blocked = next((w for w in answer.warnings if _has(step.blocked_on, w)), blocked)
        return Result(change.address, change.action, DONE, blocked, tuple(warnings))

    async def _send(self, change: Change, number: int, step: Send, answers: Sequence[Answer]) -> Answer | Result:
        """One write. A Result when the change cannot go on."""
        try:
            request = resolve(step.request, answers)
        except LookupError as error:
            return Result(change.address, change.action, FAILED, str(error))
        self.observer(Sending(change, number, request))
        try:
            answer = await send(self.ports, request)
        except TenantError as error:
            self.observer(Answered(change, number, request, error))
            return self._refusal(change, number, step, error)
        self.observer(Answered(change, number, request, answer))
        return answer

    def _refusal(self, change: Change, number: int, step: Send, error: TenantError) -> Answer | Result:
        if isinstance(error, NotFound) and change.action is Action.DELETE:
            return Answer()
        if isinstance(error, Refused) and _has(step.waits_on, error.summary):
            return Result(change.address, change.action, WAITING, error.summary)
        if isinstance(error, Unclear) and number == len(change.steps) - 1:
            # It is not sent again: reading back tells whether it was carried out.
            return Answer(warnings=(f"no clear answer came ({error}); the tenant was read instead",))
        if isinstance(error, Unclear):
            detail = f"{error}; it may have been carried out: plan again, which goes on from what is there"
            return Result(change.address, change.action, UNCONFIRMED, detail)
        mend = f": {error.mend}" if error.mend else ""
        return Result(change.address, change.action, FAILED, f"{error}{mend}")

    async def _await(self, step: Await, answers: Sequence[Answer], patience: Patience) -> str:
        """ "" once all records are published; otherwise what must be published, after the patience for it."""
        try:
            records = [(r.name, r.type, str(_value(r.value, answers))) for r in step.records]
        except LookupError as error:
            return f"{error}, which has to be published: apply again, which reads it"
        while True:
            async with self.aside():
                unmet = [words for words in await asyncio.gather(*(self._lacks(*r) for r in records)) if words]
            if not unmet:
                return "interrupted; what it needs is published in DNS" if self.stop.is_set() else ""
            detail = "publish in DNS: " + "; ".join(unmet)
            if not await patience.lasts(detail):
                return detail

    async def _lacks(self, name: str, kind: str, value: str) -> str:
        """ "" where the record is published; otherwise the record, and what stands there instead."""
        wanted = f"{name} {kind} {value}"
        try:
            found = (await send(self.ports, DnsQuery(name, kind))).rows
            if any(_same_record(str(row["value"]), value) for row in found):
                return ""
            if not found and kind == "CNAME":
                texts = (await send(self.ports, DnsQuery(name, "TXT"))).rows
                found, kind = texts, "a TXT record:"
        except TenantError as error:
            return f"{wanted} (DNS could not be asked: {error.summary})"
        others = ", ".join(str(row["value"]) for row in found)
        if not others:
            return wanted
        return f"{wanted} (now {kind} {others})" if kind != "CNAME" else f"{wanted} (now {others})"

    @contextlib.asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """While a change pauses, its place among the writes is another's."""
        self.gate.release()
        try:
            yield
        finally:
            await self.gate.acquire()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the run is interrupted."""
        waits = [asyncio.ensure_future(self.clock.sleep(seconds)), asyncio.ensure_future(self.stop.wait())]
        try:
            ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in ended:
                wait.result()
        finally:
            for wait in waits:
                wait.cancel()

    async def _look(self, changes: Sequence[Change]) -> dict[Address, Observation]:
        wanted: Wanted = {}
        for change in changes:
            wanted.setdefault(change.address.type, {})[change.address.key] = change.after
        observed = await read_wanted(wanted, (), self.types, self.ports, self.reads)
        return dict(observed.resources)

    def _end(self, result: Result) -> None:
        self.results[result.address] = result
        self.ended[result.address].set()
        self.observer(Finished(result))


def _first(words: Sequence[str], most: int = 3) -> str:
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def resolve(request: Cmdlet | GraphRequest, answers: Sequence[Answer]) -> Cmdlet | GraphRequest:
    """The request with every reference to an earlier answer replaced. Raises LookupError where an answer lacks it."""
    if isinstance(request, GraphRequest):
        return request
    return Cmdlet(request.name, {n: _value(p, answers) for n, p in request.parameters.items()})


def _value(parameter: Parameter, answers: Sequence[Answer]) -> Parameter:
    if not isinstance(parameter, Ref):
        return parameter
    rows: tuple[Row, ...] = answers[parameter.step].rows if parameter.step < len(answers) else ()
    if not rows or rows[0].get(parameter.property) is None:
        raise LookupError(f"the answer to step {parameter.step + 1} has no {parameter.property}")
    value: Parameter = rows[0][parameter.property]
    return value


def _same_record(found: str, wanted: str) -> bool:
    return found.rstrip(".").lower() == wanted.rstrip(".").lower()


def _has(fragments: Sequence[str], text: str) -> bool:
    return any(f.lower() in text.lower() for f in fragments)
