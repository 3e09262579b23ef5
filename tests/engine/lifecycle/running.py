"""One life: plan and apply with a fault at one request, then further runs until the plan is empty."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from provisioner import engine
from provisioner.changes import planning
from provisioner.diagnostics import ChangeSetStale, TenantIncomplete
from provisioner.engine import Event, Outcome, journal
from provisioner.model import Address, ChangeSet
from provisioner.resources import TYPES
from tests.engine.lifecycle.checking import SUCCESS, Stopped, Watch, Wrong, check_plan, check_same, demand
from tests.engine.lifecycle.faults import CONFIRM_S, Scripted
from tests.engine.lifecycle.memory import Morning, Planned, State, state
from tests.engine.lifecycle.port import Killed, Service, born, kept
from tests.engine.lifecycle.scenes import EVERY_GUARD, PASSWORD, Scene

_RUNS = 5
_DIGEST = "sha256:lifecycle"


@contextmanager
def quick_journals() -> Iterator[None]:
    """Without forcing to disk: that a journal survives is for tests that kill a process. And a password of accounts."""
    with mock.patch.object(os, "fsync", _at_once), mock.patch.dict(os.environ, {PASSWORD: "Lifecycle-1-Word"}):
        yield


def _at_once(_: int) -> None:
    """Takes the place of `os.fsync`."""


@dataclass
class Life:
    """A scene with a fault at request `at`. `told` is how the run that it struck ended, in a word or two.

    The one without a fault comes first and is lived whole; of the others is lived what none of the scene has shown yet.
    """

    scene: Scene
    folder: Path
    fault: Scripted | None = None
    at: int = -1
    told: str = ""
    runs: int = 0
    service: Service = field(init=False)

    def __post_init__(self) -> None:
        self.memory = self.scene.memory
        self.path = self.folder / "journal.jsonl"
        self.path.unlink(missing_ok=True)
        mornings = self.memory.mornings[:1] if self.at < 0 else self.memory.mornings
        morning = next((m for m in reversed(mornings) if len(m.passages) <= max(0, self.at)), None)
        self.service = self.scene.service() if morning is None else self._begun(morning)
        self.begins = None if morning is None else morning.state
        self.service.fault, self.service.at = self.fault, self.at
        self.service.journal_size = lambda: self.path.stat().st_size if self.path.exists() else 0

    def _begun(self, morning: Morning) -> Service:
        """The service with the run of the sound life in which the fault strikes about to begin."""
        service, self.runs = born(morning.tenant, self.scene.seed), morning.runs
        service.recall(morning.passages, morning.turns)
        if morning.journal is not None:
            self.path.write_bytes(morning.journal)
        return service

    def live(self) -> str:
        """Go through it. Raises Wrong, with what was wrong; gives how the run that was struck ended."""
        random.seed(self.scene.seed)  # the jitter of the retries
        passed: dict[State, str] = {}
        for _ in range(_RUNS):
            before, began, spent = len(self.service.log), self.begins or state(self.service), self._spent()
            self.begins = None
            self._keep(began)
            if spent and self.fault is not None and began in self.memory.right:
                break
            ended = self._run(began)
            if spent:
                passed[began] = ended
            if self._struck_since(before) or self.fault is None or self.fault.moves:
                self.told = self.told or ended
            if ended == "nothing to do":
                break
            self._next_day()
        else:
            raise Wrong(f"it does not converge: {ended}")
        self.memory.right |= passed
        return self.told or "not struck"

    def _spent(self) -> bool:
        """Whether nothing will strike any more."""
        if self.fault is None:
            return True
        return bool(self.runs) if self.fault.moves else self.at < len(self.service.log)

    def _keep(self, began: State) -> None:
        """Of the sound life, keep where each run begins."""
        if self.fault is None and all(len(m.passages) != len(self.service.log) for m in self.memory.mornings):
            journal_ = self.path.read_bytes() if self.path.exists() else None
            passages, turns = tuple(self.service.log), self.service.random.getstate()
            morning = Morning(kept(self.service.tenant), began, passages, turns, journal_, self.runs)
            self.memory.mornings.append(morning)

    def _struck_since(self, number: int) -> bool:
        return number <= self.at < len(self.service.log)

    # --- one run ----------------------------------------------------------------------------------------------------

    def _run(self, began: State) -> str:
        """Plan, and apply what is planned. In a word or two, how it ended."""
        since = len(self.service.log)
        known = self.memory.plans.get(began)
        if known is not None and not since <= self.at < since + len(known.passages):
            self.service.recall(known.passages, known.turns)
            return self._carry_out(known.found, since)
        found = self._plan()
        if found is None:
            return "killed"
        lied = bool(self.fault and self.fault.lies and self._struck_since(since))
        check_plan(self.scene.desired, found, self.service, self.service.log[since:], lied=lied)
        if known is not None and not lied:
            check_same(found, known.found)
        if not self._struck_since(since):
            asked = tuple(self.service.log[since:])
            self.memory.plans[began] = Planned(found, asked, self.service.random.getstate())
        elif known is not None and found == known.found and began in self.memory.right:
            return self.memory.right[began]  # the fault has left no trace: what follows was lived already
        return self._carry_out(found, since, lied=lied)

    def _carry_out(self, found: ChangeSet, since: int, *, lied: bool = False) -> str:
        if found.errored:
            demand(self._struck_since(since), f"it could not be read: {found.unknown or found.unlisted}")
            return "unknown"
        if any(f.blocks and not f.waived for f in found.findings):
            demand(lied, f"the plan is refused: {[f.summary for f in found.findings if f.blocks and not f.waived]}")
            return "refused"
        if not found.pending:
            return "nothing to do"
        ended = self._apply(found, since)
        if ended == "killed":
            self.service.dead = False
            again = self._apply(found, len(self.service.log), resumed=True)
            return f"killed, then {again}"
        return ended

    def _plan(self) -> ChangeSet | None:
        ports = engine.watch(self.service.ports, self.service.observe)
        desired = self.scene.desired
        try:
            observed = _ran(engine.read(desired, TYPES, ports))
        except Killed:
            self.service.dead = False
            return None
        return planning.plan(desired, observed, TYPES, waivers=EVERY_GUARD, transport="rest")

    def _apply(self, found: ChangeSet, since: int, *, resumed: bool = False) -> str:
        self.runs += 1
        if self.fault is not None and self.fault.moves and self.runs == 1:
            self.scene.move(self.service)
        run = f"run{self.runs}"
        watch = Watch(self.service, found, self.path, run, since, resumed)
        begun = [Address.parse(a) for a in journal.begun(self.path, _DIGEST)] if resumed else []
        outcome, error = None, None
        if self.scene.published == "while waiting":
            self.service.clock.after(30.0, lambda: self.scene.publish(self.service))
        self.service.arriving = watch.arriving
        with journal.Journal.open(self.path, run) as record:
            record.record("begin", digest=_DIGEST)
            try:
                outcome = _ran(self._engine(found, watch, record, begun))
            except (ChangeSetStale, TenantIncomplete) as refusal:
                error = refusal
            except Killed:
                pass
        watch.check(outcome, error)
        demand(self.service.most_writing <= self.scene.writes, f"{self.service.most_writing} writes at once")
        if error is not None:
            return "stale" if isinstance(error, ChangeSetStale) else "unknown"
        if outcome is None:
            return "killed"
        words = sorted({r.status for r in outcome.results} - SUCCESS)
        return ", ".join(words) if words else "converged"

    async def _engine(
        self, found: ChangeSet, watch: Watch, record: journal.Journal, begun: Sequence[Address]
    ) -> Outcome:
        stop = asyncio.Event()
        self.service.stop = _Marked(stop, watch)  # type: ignore[assignment]

        def observe(event: Event) -> None:
            if not self.service.dead:
                record.observe(event)
                watch.observe(event)

        ports = engine.watch(self.service.ports, observe, self.service.observe)
        return await engine.apply(
            found,
            TYPES,
            ports,
            writes=self.scene.writes,
            confirm_s=CONFIRM_S,
            wait_s=self.scene.wait_s,
            begun=begun,
            stop=stop,
            clock=self.service.clock,
        )

    # --- between runs -----------------------------------------------------------------------------------------------

    def _next_day(self) -> None:
        """What a person does after a run that did not go through: publishes records, has a connector enabled."""
        self.service.stop = None
        self.service.settle()
        self.scene.publish(self.service)
        kept = {a.key for a, r in self.scene.desired.resources.items() if getattr(r.spec, "enabled", None) is None}
        self.service.version += 1
        for row in self.service.tenant.rows("InboundConnector"):
            row["Enabled"] = row["Enabled"] or row["Name"] in kept


class _Marked:
    """The event that interrupts a run, with a mark among the events that the engine tells."""

    def __init__(self, event: asyncio.Event, watch: Watch) -> None:
        self._event, self._watch = event, watch

    def set(self) -> None:
        self._watch.events.append(Stopped())  # type: ignore[arg-type]
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()


def _ran(work: Any) -> Any:
    """Run to its end in a loop of its own; of a group of exceptions the one that ended it."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found = list(_leaves(group))
    return next((e for e in found if isinstance(e, Killed)), found[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
