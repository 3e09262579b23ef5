"""From a tenant to its plan with a fault on the way, and who can send after every request."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from provisioner import engine
from provisioner.changes import planning
from provisioner.diagnostics import ChangeSetStale, TenantIncomplete
from provisioner.engine import Event, Outcome
from provisioner.model import Answer, ChangeSet, Cmdlet, Waiver
from provisioner.resources import TYPES
from provisioner.sandbox.tenant import Tenant
from tests.engine.cut_off.attempts import Ways
from tests.engine.cut_off.sending import Able, certain, senders
from tests.engine.cut_off.worlds import World, world
from tests.engine.lifecycle.faults import CONFIRM_S, FAULTS, Scripted
from tests.engine.lifecycle.port import Killed, Passage, Service
from tests.engine.lifecycle.running import _ran
from tests.engine.lifecycle.scenes import EVERY_GUARD, PASSWORD

_RUNS = 4
_MOST = 80
"""Senders of one world that are watched after every write, drawn from all that can send before and after."""
_ALLOWED = (Waiver("CLOSE-BEFORE-OPEN"),)
_DONE = {"done", "already_done"}


@dataclass
class Life:
    """One way from the tenant to the plan. `seen` has who can send after each request that may change it."""

    world: World
    able: Able | None = None
    fault: Scripted | None = None
    at: int = -1
    service: Service = field(init=False)
    seen: list[tuple[str, frozenset[Ways]]] = field(default_factory=list)
    status: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.service = self.world.service()
        self.service.fault, self.service.at = self.fault, self.at
        execute = self.service.execute

        def executed(cmdlet: Cmdlet) -> Answer:
            answer = execute(cmdlet)
            if self.able and (not cmdlet.reads or self.service.tenant._pending):
                parameters = {n: v for n, v in cmdlet.parameters.items() if n != "Confirm"}
                self.seen.append((f"{cmdlet} {parameters}", self.able.now(self.service.tenant)))
            return answer

        self.service.execute = executed  # type: ignore[method-assign]

    def live(self, *, allowed: Sequence[Waiver] = ()) -> str:
        """Run until nothing is left, or a few times. In a word, how it ended."""
        for _ in range(_RUNS):
            ended = self._run(allowed)
            if ended in {"nothing to do", "refused"}:
                return ended
            self._next_day()
        return ended

    def _run(self, allowed: Sequence[Waiver]) -> str:
        self.service.dead = False
        try:
            found = self._plan()
            if found.errored:
                return "unknown"
            if any(f.blocks and not f.waived for f in found.findings):
                return "refused"
            if not found.pending:
                return "nothing to do"
            outcome = self._apply(found, allowed)
        except Killed:
            self.service.dead = False
            return "killed"
        except (ChangeSetStale, TenantIncomplete):
            return "stale"
        self.status.update(r.status for r in outcome.results)
        return "converged" if outcome.converged else "incomplete"

    def _plan(self) -> ChangeSet:
        ports = engine.watch(self.service.ports, self.service.observe)
        observed = _ran(engine.read(self.world.desired, TYPES, ports))
        return planning.plan(self.world.desired, observed, TYPES, waivers=EVERY_GUARD, transport="rest")

    def _apply(self, found: ChangeSet, allowed: Sequence[Waiver]) -> Outcome:
        async def applied() -> Outcome:
            self.service.stop = asyncio.Event()
            ports = engine.watch(self.service.ports, self._observe, self.service.observe)
            return await engine.apply(
                found,
                TYPES,
                ports,
                confirm_s=CONFIRM_S,
                stop=self.service.stop,
                clock=self.service.clock,
                devices=self.world.known,
                allowed=allowed,
            )

        outcome: Outcome = _ran(applied())
        return outcome

    def _observe(self, _: Event) -> None:
        """Nothing is told: the port sees what matters."""

    def _next_day(self) -> None:
        """What lags is there, and what Exchange kept disabled against the plan is enabled."""
        self.service.stop = None
        self.service.settle()
        wanted = {
            a.key: getattr(r.spec, "enabled", None)
            for a, r in self.world.desired.resources.items()
            if a.type == "inbound_connector"
        }
        for row in self.service.tenant.rows("InboundConnector"):
            row["Enabled"] = row["Enabled"] or wanted.get(row["Name"], False) is None

    @property
    def writes(self) -> Sequence[Passage]:
        return [p for p in self.service.log if p.writes]


@dataclass
class Count:
    """What was lived, and what was wrong: each with the world, the fault and the sender that was cut off."""

    worlds: int = 0
    lives: int = 0
    writes: int = 0
    senders: int = 0
    kept: int = 0
    watched: int = 0
    moved: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Count) -> None:
        for name in ("worlds", "lives", "writes", "senders", "kept", "watched", "moved"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.ended += other.ended
        self.faults += other.faults
        self.wrong += other.wrong

    def report(self) -> Iterator[str]:
        yield f"{self.worlds:,} tenants with their change sets, {self.lives:,} lives, {self.writes:,} writes"
        yield f"{self.senders:,} senders, {self.kept:,} of them can send before and after, {self.watched:,} watched"
        yield f"{self.moved:,} senders with several ways need another one after than before"
        yield "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        yield "ended: " + ", ".join(f"{name} {count}" for name, count in sorted(self.ended.items()))
        yield f"{len(self.wrong)} senders or lives wrong"
        yield from self.wrong[:40]


def lived(numbers: Iterable[int], folder: Path, topic: str = "") -> Count:
    """The worlds of these numbers about a topic, each without a fault and with one. Some numbers have no world."""
    count = Count()
    with mock.patch.dict(os.environ, {PASSWORD: "Lifecycle-1-Word"}):
        for number in numbers:
            found = world(number, folder, topic)
            if found is not None:
                _one(found, count)
    return count


def _one(found: World, count: Count) -> None:
    among = senders(found)
    goal = Life(found)
    before = certain(goal.service.tenant, among)
    if [goal._run(_ALLOWED), goal._run(_ALLOWED)] != ["converged", "nothing to do"]:
        return  # refused by the tenant, nothing to change, or more than one change set
    kept = sorted(certain(goal.service.tenant, tuple(before)), key=str)
    choose = random.Random(f"fault {found.topic} {found.number}" if found.topic else f"fault {found.number}")
    watched = choose.sample(kept, min(_MOST, len(kept)))
    several = set(kept).intersection(found.moving)
    watched += sorted(several.difference(watched), key=str)
    start = found.service().tenant
    count.moved += sum(not _shared(ways, start, goal.service.tenant) for ways in several)
    able = Able(watched)  # both lives pass through the same states
    sound = Life(found, able)
    count.ended[sound.live()] += 1
    count.worlds += 1
    count.senders += len(among)
    count.kept += len(kept)
    count.watched += len(watched)
    _judge(sound, watched, "no fault", count)
    struck = choose.choice([p for p in sound.service.log if p.writes or p.purpose == "openings"] or sound.service.log)
    fault = choose.choice([f for f in FAULTS if f.suits(struck.request) and not f.moves and not f.lies])
    life = Life(found, able, fault, struck.number)
    ended = life.live()
    count.ended[ended] += 1
    count.faults[fault.name] += 1
    _judge(life, watched, f"{fault.name} at {struck.number} ({struck.request})", count)
    if sound.status.keys() <= _DONE and life.status.total() and ended != "nothing to do":
        count.wrong.append(f"{found.name}, {fault.name} at {struck.number}: it does not converge")


def _shared(ways: Ways, before: Tenant, after: Tenant) -> bool:
    """Whether a sender can go on in the same way."""
    return any(attempt.passes(before) and attempt.passes(after) for attempt in ways)


def _judge(life: Life, watched: Sequence[Ways], fault: str, count: Count) -> None:
    count.lives += 1
    count.writes += len(life.writes)
    for words, could in life.seen:
        lost = set(watched) - could
        if lost:
            first = min(lost, key=str)
            known = "known senders" if life.world.known is not None else "no journal"
            count.wrong.append(
                f"{life.world.name} ({known}), {fault}: after {words} {len(lost)} are cut off, as {first}"
            )
            return
