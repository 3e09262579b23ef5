"""Reading and applying: the only room that knows both resource types and ports.

`read` asks what all types want to know, each question once, concurrently. `apply` reads again what a change set rests
on, refuses if it has moved, carries out the steps of each change, and reads back until each change shows. Whoever
wants to watch (progress, journal) is told each event before and after the fact.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner import rules
from provisioner.changes import planning
from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import ChangeSetStale, NotFound, Refused, TenantError, TenantIncomplete, Unclear
from provisioner.model import (
    Absent,
    Action,
    Address,
    Answer,
    Await,
    Change,
    ChangeSet,
    Cmdlet,
    Desired,
    DnsQuery,
    Effect,
    GraphRequest,
    Observation,
    Observed,
    Parameter,
    Present,
    Query,
    Ref,
    Request,
    ResourceType,
    Row,
    Send,
    Unknown,
    field_names,
    project,
    request_key,
    written,
)
from provisioner.tenant.ports import Ports

Types = Sequence[ResourceType[Any]]
Wanted = dict[str, dict[str, Any]]
"""Type name -> key -> spec, or None for a tombstone."""


# --- reading ---------------------------------------------------------------------------------------------------------


async def read(
    desired: Desired,
    types: Types,
    ports: Ports,
    *,
    scope: planning.Scope | None = None,
    reads: int = 4,
    progress: Callable[[int, int], None] | None = None,
    evidence: Sequence[Request] | None = None,
) -> Observed:
    """What the tenant says of everything that the plan speaks of. Never raises for a failed read: that is Unknown.

    `reads` is how many requests may be under way at once; `progress` is told (answered, asked). `evidence` is what is
    asked besides; what the rules want to know of the plan, if it is not given.
    """
    scope = scope or planning.Scope()
    claims = desired.exclusive | {t.name for t in types if t.marks_ownership and desired.owner}
    listed = {name for name in claims if _may_touch(scope, name)}
    wanted: Wanted = {}
    for address, resource in {**planning.bystanders(desired, listed, scope), **desired.resources}.items():
        wanted.setdefault(address.type, {})[address.key] = resource.spec
    for address in desired.absent:
        wanted.setdefault(address.type, {}).setdefault(address.key, None)
    asked = rules.questions(desired) if evidence is None else evidence
    return await _read(wanted, listed, types, ports, reads, progress, asked)


async def survey(types: Types, ports: Ports, *, reads: int = 4) -> Observed:
    """Everything that the tenant has of these types, as far as it can be read: all of it is "undeclared"."""
    wanted: Wanted = {t.name: dict.fromkeys(t.singletons) for t in types if t.singletons}
    return await _read(wanted, {t.name for t in types}, types, ports, reads, resolve=False)


async def look(
    addresses: Collection[Address], types: Types, ports: Ports, *, reads: int = 4
) -> Mapping[Address, Observation]:
    """What the tenant says of single objects, whether a plan declares them or not."""
    wanted: Wanted = {}
    for address in addresses:
        wanted.setdefault(address.type, {})[address.key] = None
    return (await _read(wanted, (), types, ports, reads)).resources


async def ask(requests: Sequence[Request], ports: Ports, *, reads: int = 4) -> Mapping[str, Answer | Unknown]:
    """The answers to questions, by `request_key`; what failed is Unknown with its reason."""
    answers = await _ask(requests, ports, reads, None)
    return {key: _evidence(answer) for key, answer in answers.items()}


def _may_touch(scope: planning.Scope, type_name: str) -> bool:
    """Whether undeclared objects of a type can matter: not when every target names another type."""
    return not scope.targets or any(t.partition("/")[0] in {type_name, "*"} for t in scope.targets)


async def _read(
    wanted: Wanted,
    listed: Collection[str],
    types: Types,
    ports: Ports,
    reads: int,
    progress: Callable[[int, int], None] | None = None,
    evidence: Sequence[Request] = (),
    *,
    resolve: bool = True,
) -> Observed:
    """What the tenant has of the wanted objects, and of all others of the listed types.

    `resolve`: names that the first answers do not settle are asked for too. A survey, whose names are those of the
    tenant, has none.
    """
    asked = {
        t.name: tuple(t.queries(wanted.get(t.name, {}), t.name in listed))
        for t in types
        if wanted.get(t.name) or t.name in listed
    }
    requests = [*(q.request for queries in asked.values() for q in queries), *evidence]
    answers = await _ask(requests, ports, reads, progress)
    if resolve:
        read = [t for t in types if t.name in asked]
        more = {t.name: _follow_up(t, wanted, t.name in listed, asked[t.name], answers) for t in read}
        new = [q.request for queries in more.values() for q in queries if request_key(q.request) not in answers]
        answers |= await _ask(new, ports, reads, None) if new else {}
        asked = {name: (*queries, *more[name]) for name, queries in asked.items()}
    resources: dict[Address, Observation] = {}
    undeclared: dict[Address, Any] = {}
    unlisted: dict[str, Unknown] = {}
    for kind in types:
        if kind.name not in asked:
            continue
        ours = wanted.get(kind.name, {})
        seen, failed = _decode(kind, ours, asked[kind.name], answers)
        for key in ours:
            address = Address(kind.name, key)
            reason = failed.get(key)
            resources[address] = reason or (Present(seen[key]) if key in seen else Absent())
        if kind.name in listed:
            whole = failed.get("*")
            if whole:
                unlisted[kind.name] = whole
            else:
                undeclared.update({Address(kind.name, k): s for k, s in seen.items() if k not in ours})
    told = {key: _evidence(answers[key]) for key in map(request_key, evidence)}
    return Observed(resources, undeclared, unlisted, len(answers), told)


def _follow_up(
    kind: ResourceType[Any],
    wanted: Wanted,
    everything: bool,
    queries: Sequence[Query],
    answers: Mapping[str, Answer | TenantError],
) -> Sequence[Query]:
    """What a type wants to know besides, after its first answers; nothing, where it cannot read them."""
    try:
        return kind.follow_up(wanted.get(kind.name, {}), everything, _good(queries, answers))
    except ValueError:
        return ()  # `decode` meets the same answer, and says so


def _good(queries: Sequence[Query], answers: Mapping[str, Answer | TenantError]) -> list[tuple[Query, Answer]]:
    """The queries that were answered, with their answers; NotFound is one where the object may be missing."""
    found = [(query, answers[request_key(query.request)]) for query in queries]
    missing = [(q, Answer() if isinstance(a, NotFound) and q.may_be_missing else a) for q, a in found]
    return [(query, answer) for query, answer in missing if isinstance(answer, Answer)]


def _evidence(answer: Answer | TenantError) -> Answer | Unknown:
    """That there is no such object is an answer without rows."""
    if isinstance(answer, NotFound):
        return Answer()
    return answer if isinstance(answer, Answer) else Unknown(str(answer), answer.kind)


async def _ask(
    requests: Sequence[Request], ports: Ports, reads: int, progress: Callable[[int, int], None] | None
) -> dict[str, Answer | TenantError]:
    """Each distinct request once; a failure is kept as the answer."""
    distinct = {request_key(r): r for r in requests}
    gate = asyncio.Semaphore(max(1, reads))
    answered = 0

    async def ask(request: Request) -> Answer | TenantError:
        nonlocal answered
        async with gate:
            try:
                return await send(ports, request)
            except TenantError as error:
                return error
            finally:
                answered += 1
                if progress:
                    progress(answered, len(distinct))

    results = await asyncio.gather(*(ask(r) for r in distinct.values()))
    return dict(zip(distinct, results, strict=True))


def _decode(
    kind: ResourceType[Any],
    wanted: Mapping[str, Any],
    queries: Sequence[Query],
    answers: Mapping[str, Answer | TenantError],
) -> tuple[Mapping[str, Any], dict[str, Unknown]]:
    """What was seen by key, and the wanted keys that nothing can be said of; "*" stands for the undeclared ones."""
    good = _good(queries, answers)
    failed: dict[str, Unknown] = {}
    for query in queries:
        answer = answers[request_key(query.request)]
        missing = isinstance(answer, NotFound) and query.may_be_missing
        if isinstance(answer, TenantError) and not missing:
            unknown = Unknown(str(answer), answer.kind)
            failed.update(dict.fromkeys(query.covers, unknown))
            failed["*"] = unknown
    try:
        decoded = kind.decode(wanted, good)
    except ValueError as error:
        unknown = Unknown(f"an answer has a form that this version does not know: {error}", "malformed")
        return {}, dict.fromkeys((*wanted, "*"), unknown)
    odd = {k: s for k, s in decoded.items() if isinstance(s, Unknown)}
    failed.update({k if k in wanted else "*": u for k, u in odd.items()})
    return {k: s for k, s in decoded.items() if k not in odd}, failed


async def send(ports: Ports, request: Request) -> Answer:
    """Send a request through the port that takes its kind."""
    match request:
        case Cmdlet():
            return await ports.exchange.run(request)
        case GraphRequest():
            return await ports.directory.send(request)
        case DnsQuery():
            return await ports.resolver.query(request)


# --- applying --------------------------------------------------------------------------------------------------------

DONE, ALREADY, FAILED, SKIPPED = "done", "already_done", "failed", "skipped"
WAITING, UNCONFIRMED, LEFT, HELD_BACK = "waiting", "unconfirmed", "left", "held_back"


@dataclass(frozen=True, slots=True)
class Result:
    """How one change ended. `status` is one of the words above, `detail` says why where it is not plain success."""

    address: Address
    action: Action
    status: str
    detail: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The account of an apply: a result for every change that does something."""

    results: tuple[Result, ...]
    seconds: float = 0.0

    @property
    def converged(self) -> bool:
        return all(r.status in {DONE, ALREADY} for r in self.results)


@dataclass(frozen=True, slots=True)
class Started:
    change: Change


@dataclass(frozen=True, slots=True)
class Sending:
    """Told before a write leaves; an observer that must remember has done so when it returns."""

    change: Change
    step: int
    request: Cmdlet | GraphRequest


@dataclass(frozen=True, slots=True)
class Answered:
    change: Change
    step: int
    request: Cmdlet | GraphRequest
    answer: Answer | TenantError


@dataclass(frozen=True, slots=True)
class Waiting:
    """Told before each pause of a change that waits for DNS: for what, and how long it has and will at most."""

    change: Change
    detail: str
    waited_s: float
    left_s: float


@dataclass(frozen=True, slots=True)
class Finished:
    result: Result


Event = Started | Sending | Answered | Waiting | Finished
Observer = Callable[[Event], None]


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
    is sent last, and held back while anything that opens one is not in force in the tenant (`_Openings`).

    `begun` are changes that an earlier run of this very change set has begun, by its journal: what stands between
    before and after goes on from there. `confirm_s` bounds the reading back of each change, `wait_s` the waiting of
    each for DNS, and for Exchange to see what DNS has; what waits holds up nobody else. When `stop` is set no further
    write begins, and nothing waits.
    """
    began = clock.monotonic()
    stop, gate = stop or asyncio.Event(), asyncio.Semaphore(max(1, writes))
    run = _Run(types, ports, reads, confirm_s, wait_s, observer, stop, gate, clock)
    changes, done = await run.recheck(changeset.pending, frozenset(begun))
    await run.carry_out(changes, done, [c for c in changeset.changes if c.action is Action.NO_OP])
    results = tuple(run.results[c.address] for c in changeset.pending)
    return Outcome(results, clock.monotonic() - began)


@dataclass(slots=True)
class _Run:
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
    openings: _Openings = field(init=False)

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
        if not _between(change, observation.spec):
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
        self.openings = _Openings(self, changes, unchanged)
        confirmer = _Confirmer(self)
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

    async def _one(self, change: Change, needs: Collection[Address], confirmer: _Confirmer) -> None:
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
            there = dataclasses.replace(change, after=_key_only(change.after))
            await confirmer.confirm(there, Result(change.address, change.action, DONE))
        return self._end(dataclasses.replace(result, seconds=self.clock.monotonic() - began))

    async def _steps(self, change: Change) -> Result:
        """Carry out the steps in turn. The result says DONE when all went through; that is still to be confirmed."""
        answers: list[Answer] = []
        warnings: list[str] = []
        blocked = ""
        patience = _Patience(self, change)
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

    async def _await(self, step: Await, answers: Sequence[Answer], patience: _Patience) -> str:
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
        observed = await _read(wanted, (), self.types, self.ports, self.reads)
        return dict(observed.resources)

    def _end(self, result: Result) -> None:
        self.results[result.address] = result
        self.ended[result.address].set()
        self.observer(Finished(result))


class _Openings:
    """Open before you close: what must be in force in the tenant before a change that closes a sending path is sent.

    That is every declared object that opens one, changed by this run or not: the run may be a later one, in which what
    opens needs no change and has no effect all the same. The tenant is read once for each stage, just before it.
    """

    def __init__(self, run: _Run, changes: Sequence[Change], unchanged: Sequence[Change]) -> None:
        self._run = run
        self._stages = planning.stages(changes)
        self._changes = [c for c in changes if c.after is not None and self._opens(c)]
        self._unchanged = [c for c in unchanged if c.after is not None and self._opens(c)]
        self._looks: dict[planning.Stage, asyncio.Task[list[str]]] = {}

    def _opens(self, change: Change) -> bool:
        """Whether a change opens a sending path; of an unchanged object, whether it is one or is meant to be."""
        kind, goal = self._run.kind(change.address), planning.goal_of(change)
        if change.action is not Action.NO_OP:
            return Effect.OPENS in kind.effects(change.observed, goal)
        return Effect.OPENS in kind.effects(None, goal) or bool(kind.in_force(change.after, goal))

    async def missing(self, address: Address) -> Sequence[str]:
        """What this change has to wait for and why, each in words; nothing where it may be sent."""
        stage = self._stages[address]
        if stage is planning.Stage.FREE:
            return ()
        if stage not in self._looks:
            self._looks[stage] = asyncio.create_task(self._look(stage))
        return await self._looks[stage]

    async def _look(self, stage: planning.Stage) -> list[str]:
        before = [c for c in self._changes if self._stages[c.address] < stage]
        for change in before:
            await self._run.ended[change.address].wait()
        needed = [*before, *self._unchanged]
        observed = await self._run._look(needed)
        found = ((c.address, self._lack(c, observed[c.address])) for c in needed)
        return [f"{address} ({reason})" for address, reason in found if reason]

    def _lack(self, change: Change, observation: Observation) -> str:
        result = self._run.results.get(change.address)
        if result and result.status not in {DONE, ALREADY}:
            words = result.status.replace("_", " ")
            return f"{words}: {result.detail}" if result.detail else words
        state, words = standing_of(change, observation)
        if state != "after":
            return words
        return self._run.idle(change, observation)


class _Patience:
    """How long one change waits for what others do, from the first time that it has to."""

    def __init__(self, run: _Run, change: Change) -> None:
        self._run, self._change = run, change
        self._began: float | None = None
        self._pause_s = 1.0

    async def lasts(self, detail: str) -> bool:
        """Pause before the next look, and say so; False when the time is up or the run was interrupted."""
        now = self._run.clock.monotonic()
        self._began = now if self._began is None else self._began
        left = self._began + self._run.wait_s - now
        if left <= 0 or self._run.stop.is_set():
            return False
        self._run.observer(Waiting(self._change, detail, now - self._began, left))
        async with self._run.aside():
            await self._run.pause(min(self._pause_s, left))
        self._pause_s = min(self._pause_s * 2, 30.0)
        return not self._run.stop.is_set()


class _Confirmer:
    """Reads changes back until they show: one loop for all of them, so that a listing serves many at once."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._pending: dict[Address, tuple[Change, float, asyncio.Future[str]]] = {}
        self._news = asyncio.Event()

    async def confirm(self, change: Change, result: Result) -> Result:
        """DONE when the change shows in time, otherwise UNCONFIRMED and what is seen instead.

        A result with a detail was answered with a warning that it will not take effect: it is looked at once.
        """
        patience = 0.0 if result.detail else self._run.confirm_s
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._pending[change.address] = (change, self._run.clock.monotonic() + patience, future)
        self._news.set()
        seen = await future
        if not seen:
            return dataclasses.replace(result, detail="")
        detail = f"{result.detail} ({seen})" if result.detail else f"not confirmed: {seen}"
        return dataclasses.replace(result, status=UNCONFIRMED, detail=detail)

    async def run(self) -> None:
        """Until cancelled."""
        pause = 0.2
        while True:
            if not self._pending:
                self._news.clear()
                await self._news.wait()
                pause = 0.2
            if await self._round():
                pause = 0.2
            if self._pending:
                await self._run.clock.sleep(pause)
                pause = min(pause * 1.6, 5.0)

    async def _round(self) -> bool:
        """Look once at all that is pending; True when something was settled."""
        batch = list(self._pending.values())
        observed = await self._run._look([change for change, _, _ in batch])
        settled = False
        for change, deadline, future in batch:
            state, words = standing_of(change, observed[change.address])
            if state == "after":
                words = self._run.idle(change, observed[change.address])
            if words and self._run.clock.monotonic() < deadline:
                continue
            del self._pending[change.address]
            future.set_result(words)
            settled = True
        return settled


def standing_of(change: Change, observation: Observation) -> tuple[str, str]:
    """Where a change stands by what is there now: "before", "after" or "moved", and what is seen, in words."""
    if isinstance(observation, Unknown):
        return "moved", f"it cannot be read: {observation.reason}"
    live = observation.spec if isinstance(observation, Present) else None
    if _equal(live, change.after):
        return "after", ""
    if _equal(live, change.before):
        return "before", "it is as it was before"
    return "moved", _difference(live, change.after if change.before is None else change.before)


def _first(words: Sequence[str], most: int = 3) -> str:
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _key_only(spec: Any) -> Any:
    """A spec that says nothing but which object it is: its first field, by convention the key."""
    _, *others = field_names(spec)
    return dataclasses.replace(spec, **dict.fromkeys(others))


def _between(change: Change, live: Any) -> bool:
    """Whether a live object has in each written field the value of before or of after.

    A creation has no before; that its object is there at all is then the work of the run that began it.
    """
    if change.before is None:
        return True
    sides = (written(change.before), written(change.after))
    return all(getattr(live, n) in (sides[0].get(n), sides[1].get(n)) for n in {**sides[0], **sides[1]})


def _equal(live: Any, side: Any) -> bool:
    """Whether the live object is this side of a change, in the fields that the side writes."""
    if live is None or side is None:
        return live is side
    return bool(project(live, side) == side)


def _difference(live: Any, expected: Any) -> str:
    if live is None:
        return "it is not there any more"
    if expected is None:
        return "it is there now"
    names = [n for n, v in written(expected).items() if getattr(live, n) != v]
    return "; ".join(f"{n} is {_plain(getattr(live, n))}, not {_plain(getattr(expected, n))}" for n in names)


def _plain(value: Any) -> str:
    if isinstance(value, frozenset):
        return "[" + ", ".join(sorted(map(str, value))) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


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
