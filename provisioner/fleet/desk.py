"""What the commands do with a fleet and its store: begin a run, go on with one, work on it, look at it."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.fleet.description import Fleet
from provisioner.fleet.durable import Works
from provisioner.fleet.liveness import pulse_of
from provisioner.fleet.loop import one_loop
from provisioner.fleet.reporting import report
from provisioner.fleet.runs import run_over
from provisioner.fleet.store import Place, Store
from provisioner.fleet.waves import NOTHING, Approved, Look, Run, look
from provisioner.fleet.work import Hands, Profiles
from provisioner.fleet.worker import Worker
from provisioner.model.fleet import OPEN, FleetReport, Kind
from provisioner.operations.context import new_run
from provisioner.operations.loading import Selection


@dataclass(frozen=True, slots=True)
class Terms:
    """How a run is done: what is approved, which guards are lifted, and how long each apply waits.

    A wait that is None is that of the run, for a new one that of `Run`.
    """

    approved: Approved = NOTHING
    allows: tuple[str, ...] = ()
    wait_s: float | None = None
    lock_wait_s: float | None = None

    @property
    def waits(self) -> Mapping[str, Any]:
        """The waits that are said, in seconds, as fields of `Run`."""
        named = {"wait_s": self.wait_s, "lock_wait_s": self.lock_wait_s}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker has of its machine: the settings, the state folder, the time, and where to report."""

    profiles: Profiles
    folder: Path
    clock: Clock = SYSTEM
    note: Callable[[str], None] = lambda _: None
    fault: Callable[[Exception], str] = lambda _: ""
    stopping: Callable[[threading.Event], AbstractContextManager[None]] = field(
        default=lambda _: contextlib.nullcontext()
    )
    """Entered while there is work: sets the event when the process is asked to end."""


@contextmanager
def seen(store: str, folder: Path) -> Iterator[Desk]:
    """A desk to look at runs. Raises InputError where the store was never used."""
    place = Place.parse(store, folder)
    with Works.of(place) as works, contextlib.closing(Store(place)) as opened:
        yield Desk(opened, works)


@contextmanager
def opened(store: str, folder: Path) -> Iterator[Desk]:
    """A desk to work at; the store is made where it is missing."""
    place = Place.parse(store, folder)
    with contextlib.closing(Store(place)) as made:
        made.create()
        with Works.prepared(place) as works:
            yield Desk(made, works)


@dataclass(frozen=True, slots=True)
class Desk:
    """A store, and the engine's records in it."""

    store: Store
    works: Works

    def begin(self, fleet: Fleet, kind: Kind, selects: Sequence[str], terms: Terms, clock: Clock = SYSTEM) -> Run:
        """A new run over the tenants of a fleet. Raises InputError for what it cannot be."""
        run = run_over(fleet, kind, selects, clock.now(), id_=new_run())
        approved = _checked(terms, run.tenants)
        run = dataclasses.replace(run, approved=approved, allows=terms.allows, **terms.waits)
        self.store.add(run)
        return run

    def resume(self, id_: str, terms: Terms, *, retry: bool) -> Run:
        """A run that goes on, with more approvals and other waits; `retry` tries again what has failed until now.

        With an approval, a run that only planned applies from now on.
        """
        run = self.store.run(id_)
        approved = _checked(terms, run.tenants)
        kind: Kind = "apply" if run.kind == "plan" and approved != NOTHING else run.kind
        lifted = tuple(dict.fromkeys((*run.allows, *terms.allows)))
        works = self.works.of_run(run) if self.works.made() else {}
        retries = {name: found[-1].number for name, found in works.items() if found[-1].failed} if retry else {}
        bound = _bound(approved, look(run, works), retries)
        values = {"approved": bound, "kind": kind, "allows": lifted, "retries": retries}
        return self.store.change(run.id, **values, **terms.waits)

    def cancel(self, id_: str) -> Run:
        """A run of which nothing more begins. Raises InputError for one that has finished."""
        found = self.report(id_)
        if found["state"] == "finished":
            what = f"run {found['run']} has finished: there is nothing to cancel"
            raise InputError([Diagnostic("FLEET-RUN", what, "look at it: provisioner fleet report")])
        run = self.store.change(found["run"], cancelled=True)
        self.works.cancel(run)
        return run

    def work(self, fleet: Fleet, run: Run, workers: int, here: Surroundings) -> FleetReport:
        """Work on a run until it is settled, or until the process is asked to end."""
        ended = threading.Event()
        with self._worker(fleet, workers, here) as worker, here.stopping(ended), worker.working():
            worker.work_off(run.id, ended)
        return self.report(run.id)

    def serve(
        self,
        fleet: Fleet,
        selects: Sequence[str],
        workers: int,
        here: Surroundings,
        told: Callable[[FleetReport], None],
    ) -> None:
        """Look for drift by the fleet's schedule, until the process is asked to end."""
        if not fleet.schedule:
            hint = 'write drift: { schedule: "0 3 * * *" }'
            raise InputError([Diagnostic("FLEET-SCHEDULE", f"{fleet.file} has no schedule for drift", hint)])
        fleet.selected(selects)
        ended = threading.Event()
        with self._worker(fleet, workers, here) as worker, here.stopping(ended), worker.working():
            worker.serve(selects, ended, lambda id_: told(self.report(id_)))

    @contextmanager
    def _worker(self, fleet: Fleet, workers: int, here: Surroundings) -> Iterator[Worker]:
        with one_loop(workers) as read:
            hands = Hands(fleet, self.store, here.profiles, here.folder, here.clock, here.fault, read=read)
            yield Worker(hands, self.works, workers, here.note)

    def report(self, id_: str) -> FleetReport:
        """The report of a run, by its id or the newest. An apply of a dead worker is cut off."""
        run = self.store.run(id_)
        by_worker = self.works.under_way(run)
        silent = pulse_of(self.store.place, "onlooker").silent(by_worker) if by_worker else frozenset()
        left = {id_: self.works.begun(id_) for worker in silent for id_ in by_worker[worker]}
        cut_off = {id_ for id_, begun in left.items() if begun}
        return report(run, self.works.look(run, cut_off, left.keys() - cut_off))


def _bound(approved: Approved, seen: Look, retries: Container[str]) -> Approved:
    """What a run that goes on approves: the change sets that its tenants have, since those can have been reviewed.

    A tenant that has none yet is approved by its name where its plan is under way, or is now made again.
    """
    names = seen.standing if approved.everything else approved.tenants
    planned = {name: seen.standing[name].digest for name in names if seen.standing[name].digest}
    coming = (n for n in names if n not in planned and (n in retries or seen.standing[n].state in OPEN))
    return Approved(tenants=frozenset(coming), digests={**planned, **approved.digests})


def _checked(terms: Terms, names: Sequence[str]) -> Approved:
    """What is approved. Raises InputError for a tenant that the run does not have, and an unknown rule."""
    Selection(allows=terms.allows).waivers()
    unknown = sorted(terms.approved.tenants - set(names))
    if unknown:
        what = f"--approve {unknown[0]}: the run has no such tenant"
        raise InputError([Diagnostic("FLEET-APPROVED", what, "provisioner fleet status lists them")])
    return terms.approved
