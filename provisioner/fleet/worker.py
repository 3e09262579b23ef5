"""A worker: the workflows around the steps of `work`, the queue, and what it does at each look.

A tenant's plan and its apply are two workflows with ids that follow from the run, the tenant and the number of the
try, so that beginning one twice begins it once. The approval lies between them: what waits for a person holds neither a
place in the queue nor a thread, and no process. Which one begins next is decided by `waves`, from the store alone, at
each look of any worker.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine.locking import LIFETIME_S
from provisioner.fleet.description import Fleet
from provisioner.fleet.durable import (
    APPLICATION,
    APPLY,
    DBOS,
    NIGHTLY,
    PLAN,
    QUEUE,
    VERSION,
    DBOSException,
    Json,
    Works,
    silence,
)
from provisioner.fleet.liveness import GRACE_S, Pulse, machine, pulse_of
from provisioner.fleet.reporting import report
from provisioner.fleet.runs import run_over
from provisioner.fleet.store import StoreGone
from provisioner.fleet.waves import Look, Run
from provisioner.fleet.work import Hands
from provisioner.model.fleet import Kind, Outcome
from provisioner.render.fleet import summary

SCHEDULED = "drift-"
"""How the ids of runs begin that the schedule began."""

_LOOK_S, _IDLE_S, _SERVE_S, _RECENT_S, _DAY_S = 0.25, 0.02, 1.0, 1.0, 86_400
_RECORDED_S = 0.2  # by when the engine has recorded a work that has ended
_POLL_S, _SOON_S, _RARELY_S, _AHEAD = 0.1, 0.02, 1.0, 16
"""How often the engine asks for tenants to work on. A question costs as much as a part of a plan, so a worker that is
alone claims `_AHEAD` tenants for each that it works on, and asks rarely while it has enough of them."""

_TELL_S = 30.0
"""How often a worker says how far its run is."""

_LOOK_SHARE, _LONGEST_PAUSE_S = 100, 10.0
"""A whole look at a run takes at most one part in so many of a worker's time, but one is taken after 10 seconds."""


class _NotBegun(BaseException):
    """A work that was claimed, and is not begun since the worker ends.

    The engine records no outcome for an exception that is not an Exception: the next worker takes the work as one of a
    worker that died.
    """


# --- a worker --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Worker:
    """A process that works on tenants, `workers` at once."""

    hands: Hands
    works: Works
    workers: int
    note: Callable[[str], None] = lambda _: None
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _pulse: Pulse = field(init=False)
    _machine: str = field(init=False)
    _cut_off: set[str] = field(default_factory=set)
    _runs: dict[str, tuple[Run, float]] = field(default_factory=dict)
    _doing: set[str] = field(default_factory=set)
    _left: dict[str, float] = field(default_factory=dict)
    _asks_rarely: bool = False
    _told: float = field(init=False)
    _running: int = 0
    _ended_at: float = -math.inf
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _places: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._machine, self._told = machine(self.hands.folder), self.hands.clock.monotonic()
        self._places = threading.Semaphore(self._at_once)
        self._pulse = pulse_of(self.hands.store.place, self.id, self.hands.clock)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Work on what is in the queue until the block ends; then what is under way ends."""
        while not self._pulse.beat():  # another worker looks whether this one lives, for a moment
            self.hands.clock.pause(_IDLE_S)
        silence()
        self._launch()
        try:
            yield
        finally:
            # What is under way here, of this run or of another, ends and is recorded; without any there is no wait.
            DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=_DAY_S if self._running else 0)
            self._pulse.end()

    def _launch(self) -> None:
        store = self.hands.store
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": store.place.url,
                "system_database_engine": self.works.engine,
                "executor_id": self.id,
                "application_version": VERSION,
                "serializer": Json(),
                "enable_otlp": False,
                "log_level": "CRITICAL",
                "max_executor_threads": _AHEAD * self.workers + 4,
                "scheduler_polling_interval_sec": 5.0,
                "notification_listener_polling_interval_sec": 0.04,  # asks nothing here; to end waits for it
                "use_listen_notify": False,
            }
        )
        DBOS.workflow(name=PLAN)(self._plan_workflow())
        DBOS.workflow(name=APPLY)(self._apply_workflow())
        DBOS.workflow(name=NIGHTLY)(self._nightly_workflow())
        try:
            early = self.works.made() or self.works.make()
            if early:  # the engine looks for new queues once a second
                self._register(self.works.client.register_queue)
            DBOS.launch()
        except Exception as error:
            raise InputError(
                [Diagnostic("FLEET-STORE", f"the store cannot be used: {type(error).__name__}", "check --store")]
            ) from error
        if not early:
            self._register(DBOS.register_queue)
        if not self._pulse.alone():  # one that began at the same moment has seen this one, or is seen now
            self._register(DBOS.register_queue)

    def _register(self, register: Callable[..., object]) -> None:
        """Say how the queue is worked off, for all workers on the store.

        A worker that is alone bounds itself and claims many tenants in one transaction, some of them ahead. With a
        limit over all workers the engine claims each tenant in a transaction of its own.
        """
        alone = self._pulse.alone()
        register(
            QUEUE,
            global_concurrency=None if alone else self.hands.fleet.at_once,
            worker_concurrency=_AHEAD * self._at_once if alone else self._at_once,
            partition_concurrency=1,
            polling_interval_sec=_SOON_S if alone else _POLL_S,
            on_conflict="always_update",
        )

    def _ask(self, *, rarely: bool) -> None:
        """Ask for tenants rarely or soon from now on, where this worker is alone."""
        if rarely == self._asks_rarely:
            return
        self._asks_rarely = rarely
        if self._pulse.alone() and (queue := self.works.client.retrieve_queue(QUEUE)):
            queue.set_polling_interval_sec(_RARELY_S if rarely else _SOON_S)

    @property
    def _at_once(self) -> int:
        return min(self.workers, self.hands.fleet.at_once)

    def _plan_workflow(self) -> Callable[[str, str, Kind], Outcome]:
        """A workflow without a step: its outcome is recorded once, and planning again after a crash changes nothing."""

        def plan(run: str, name: str, kind: Kind) -> Outcome:
            with self._busy():
                return self.hands.plan(self._recent(run), name, kind)

        return plan

    def _apply_workflow(self) -> Callable[[str, str, str], Outcome]:
        def apply(run: str, name: str, digest: str) -> Outcome:
            with self._busy():
                DBOS.run_step({"name": "begin"}, lambda: {"machine": self._machine, "journal": self._journal(name)})
                return DBOS.run_step({"name": "apply"}, lambda: self.hands.apply(self._run(run), name, digest))

        return apply

    def _run(self, id_: str) -> Run:
        """A run as it is now."""
        return self.hands.ask(lambda: self.hands.store.run(id_))

    def _recent(self, id_: str) -> Run:
        """A run as it was at most a moment ago: many plans begin within one, and a plan changes nothing."""
        run, read = self._runs.get(id_, (None, 0.0))
        if run is None or self.hands.clock.monotonic() - read > _RECENT_S:
            read = self.hands.clock.monotonic()
            run = self._run(id_)
            self._runs[id_] = run, read
        return run

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """A workflow runs here, once it is its turn."""
        id_ = str(DBOS.workflow_id)
        with self._counting:
            self._running += 1
            self._doing.add(id_)
        try:
            with self._places:
                if self.hands.stops.stopped:
                    raise _NotBegun
                yield
        finally:
            with self._counting:
                self._running -= 1
                self._doing.discard(id_)
                self._ended_at = self.hands.clock.monotonic()

    def _nightly_workflow(self) -> Callable[[str, list[str]], None]:
        """Begins a run that looks for drift. The engine starts one at each time of the schedule, on any worker."""

        def nightly(when: str, selects: list[str]) -> None:
            moment = dt.datetime.fromisoformat(when).astimezone(dt.UTC)
            run = run_over(self.hands.fleet, "drift", selects, moment, id_=f"{SCHEDULED}{moment:%Y%m%dT%H%M%SZ}")
            DBOS.run_step({"name": "begin"}, lambda: self.hands.store.add(run))

        return nightly

    def _journal(self, name: str) -> str:
        """Whether other machines have the journal of a tenant."""
        with contextlib.suppress(InputError, KeyError):
            return "shared" if self.hands.profiles(self.hands.fleet.tenants[name].profile).journal else "own"
        return "own"

    # --- by schedule -------------------------------------------------------------------------------------------------

    def serve(self, selects: Sequence[str], ended: threading.Event, settled: Callable[[str], None]) -> None:
        """Look for drift by the fleet's schedule until asked to end; `settled` is told each run that is through."""
        fleet, through, turn = self.hands.fleet, "", 0
        self._ask(rarely=True)
        while not ended.wait(_SERVE_S):
            try:
                if turn % 60 == 0:  # another worker that ended has taken the schedule away
                    self._schedule(fleet, selects)
                turn += 1
                if (id_ := self.hands.store.newest(SCHEDULED)) and id_ != through and self._look(id_):
                    through = id_
                    settled(id_)
            except StoreGone as error:
                self.note(f"{error}; trying again")
        self.hands.stops.stop()
        with contextlib.suppress(Exception):  # it would only begin a run that waits for the next worker
            DBOS.delete_schedule(NIGHTLY)

    def _schedule(self, fleet: Fleet, selects: Sequence[str]) -> None:
        schedule: Any = {
            "schedule_name": NIGHTLY,
            "workflow_name": NIGHTLY,
            "schedule": fleet.schedule,
            "cron_timezone": fleet.timezone,
            "context": list(selects),
        }
        try:
            self.works.client.apply_schedules([schedule])
        except DBOSException as error:
            raise InputError([Diagnostic("FLEET-SCHEDULE", f"drift.schedule: {error}", "correct it")]) from error

    # --- until a run is settled --------------------------------------------------------------------------------------

    def work_off(self, run_id: str, ended: threading.Event) -> None:
        """Work until the run is settled, or asked to end: then what is in flight ends, and nothing begins."""
        gone, looked, pause_s = False, -math.inf, _LOOK_S
        while not ended.is_set():
            began = self.hands.clock.monotonic()
            try:
                if self._has_enough:
                    self._ask(rarely=True)
                if began - looked >= pause_s or self._settles(looked):
                    if self._look(run_id):
                        return
                    looked = began
                    took_s = self.hands.clock.monotonic() - began
                    pause_s = min(max(_LOOK_S, _LOOK_SHARE * took_s), _LONGEST_PAUSE_S)
                gone = False
            except StoreGone as error:
                if not gone:
                    self.note(f"{error}; trying again")
                gone = True
            ended.wait(_LOOK_S if gone else _IDLE_S)
        self.hands.stops.stop()

    @property
    def _has_enough(self) -> bool:
        """Whether it has a tenant for each place."""
        return self._running >= self._at_once

    def _settles(self, looked: float) -> bool:
        """Whether the last work here has ended since a look, or so shortly before that its end was not recorded."""
        return not self._running and self._ended_at > looked - _RECORDED_S

    def _look(self, run_id: str) -> bool:
        """One look: dead workers, cancellation, what is due. Whether the run is settled."""
        if not self._pulse.beat():
            self.hands.stops.stop()
            raise InputError(
                [Diagnostic("FLEET-DECLARED-DEAD", "another worker took this one for dead", "start it again")]
            )
        run = self.hands.store.run(run_id)
        if run.cancelled:
            self.hands.stops.stop(run_id)
        self._recover()
        seen = self.works.look(run, self._cut_off)
        self.works.begin(run, seen)
        if not seen.settled:
            queued = any(standing.state == "queued" for standing in seen.standing.values())
            self._ask(rarely=self._has_enough or not queued)
            self._tell(run, seen)
        return seen.settled

    def _tell(self, run: Run, seen: Look) -> None:
        """Say now and then how far the run is."""
        now = self.hands.clock.monotonic()
        if now - self._told >= _TELL_S:
            self._told = now
            self.note(f"run {run.id}: {summary(report(run, seen))}")

    def _recover(self) -> None:
        """Return the work of dead workers to the queue, but for applies that may go on only where they began."""
        found = dict(self.works.every_under_way())
        self._take_up(found.pop(self.id, ()))
        for worker, ids in found.items():
            with self._pulse.declared_dead(worker) as dead:
                for id_ in ids if dead else ():
                    self._take_over(id_, worker)

    def _take_over(self, id_: str, worker: str) -> None:
        """Return one work of a dead worker to the queue, if it may go on here."""
        begun = self.works.begun(id_)
        shared = begun is not None and begun["journal"] == "shared"
        if begun is not None and not shared and begun["machine"] != self._machine:
            self._cut_off.add(id_)
            return
        self.works.give_back(id_, worker)
        if shared:
            wait = f"it waits until the lock of the dead worker has expired, {LIFETIME_S:.0f} seconds at most"
            self.note(f"{id_.split('/')[1]}: the apply of a worker that died goes on; {wait}")

    def _take_up(self, mine: Sequence[str]) -> None:
        """Return works to the queue that are this worker's by the store, and are not done here.

        Where the store goes away while the engine records who has a work, the engine takes it for another worker's, and
        waits for an outcome that nobody brings.
        """
        now = self.hands.clock.monotonic()
        left = [id_ for id_ in mine if id_ not in self._doing]
        self._left = {id_: self._left.get(id_, now) for id_ in left}
        for id_, since in self._left.items():
            if now - since >= GRACE_S:
                self.works.give_back(id_, self.id)
