"""What is done to one tenant: the ordinary plan, drift and apply, with their outcome as JSON that holds no setting."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from provisioner import platforms
from provisioner.border import about_its_file, leads_out, make_private
from provisioner.changes import changeset
from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Diagnostic, InputError, ProvisionerError, TenantIncomplete
from provisioner.fleet.description import Fleet, FleetTenant
from provisioner.fleet.loop import Runner
from provisioner.fleet.store import Store, StoreGone
from provisioner.fleet.waves import Run
from provisioner.model import Change
from provisioner.model.fleet import ErrorDocument, Kind, Outcome, State
from provisioner.operations.applying import Applied, ApplyOptions, Terms, apply, load_saved
from provisioner.operations.connection import run as run_operation
from provisioner.operations.context import Silent, new_run
from provisioner.operations.drifting import drift
from provisioner.operations.loading import Selection
from provisioner.operations.planning import plan
from provisioner.operations.state import word
from provisioner.plan.variables import Given
from provisioner.settings import Profile

T = TypeVar("T")
_STORE_PAUSE_S = 1.0

Profiles = Callable[[str], Profile]
"""The profile with a name, from the settings of this machine. Raises InputError."""


@dataclass(frozen=True, slots=True)
class OneRun(Silent):
    """The context of one step: `run` is the id of its run in the tenant's journal."""

    run: str = field(default_factory=new_run)

    def new_run(self) -> str:
        return self.run


@dataclass(slots=True)
class Stops:
    """The applies that are under way here, so that they can be asked to begin no further write."""

    _events: dict[object, tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _all: bool = False

    @contextmanager
    def entered(self, run: str) -> Iterator[asyncio.Event]:
        """An event for the apply of a run, in its event loop (`ApplyOptions.stopping`)."""
        event, key = asyncio.Event(), object()
        with self._lock:
            self._events[key] = (run, asyncio.get_running_loop(), event)
            if self._all:
                event.set()
        try:
            yield event
        finally:
            with self._lock:
                del self._events[key]

    def stop(self, run: str = "") -> None:
        """Let what is in flight end, and nothing begin: of one run, or of all for good."""
        with self._lock:
            self._all = self._all or not run
            for of_run, loop, event in self._events.values():
                if not run or run == of_run:
                    loop.call_soon_threadsafe(event.set)

    @property
    def stopped(self) -> bool:
        return self._all


@dataclass(frozen=True, slots=True)
class Hands:
    """What the steps work with. `fault` keeps the traceback of an error that nobody foresaw, and says where.

    `read` runs what only reads. An apply runs in an event loop of its own, which no other tenant holds up.
    """

    fleet: Fleet
    store: Store
    profiles: Profiles
    folder: Path
    clock: Clock = SYSTEM
    fault: Callable[[Exception], str] = lambda _: ""
    stops: Stops = field(default_factory=Stops)
    read: Runner = run_operation

    def context(self, tenant: FleetTenant) -> OneRun:
        """The context in which an operation works on this tenant. Raises InputError for its profile."""
        origin = f"{self.fleet.file.name}, tenants.{tenant.name}.variables"
        given = {name: Given(value, origin) for name, value in tenant.variables.items()}
        return OneRun(self.profiles(tenant.profile), self.folder, given, self.clock, self.fleet.border)

    def ask(self, question: Callable[[], T]) -> T:
        """What the store answers. One that cannot be reached is waited for: a tenant does not fail by that."""
        while True:
            try:
                return question()
            except StoreGone:
                self.clock.pause(_STORE_PAUSE_S)

    # --- the steps ---------------------------------------------------------------------------------------------------

    def plan(self, run: Run, name: str, kind: Kind) -> Outcome:
        """Plan a tenant and save its change set, or look for drift. Never raises what a single command would print."""
        if run.cancelled:
            return {"state": "cancelled", "seconds": 0.0}
        act = self._drift if kind == "drift" else self._plan
        return self._told(name, lambda tenant: act(run, tenant))

    def apply(self, run: Run, name: str, digest: str) -> Outcome:
        """Apply exactly the change set with this digest, as `provisioner apply FILE --expect-digest` does."""
        if run.cancelled:
            return {"state": "cancelled", "seconds": 0.0, "digest": digest}
        return self._told(name, lambda tenant: self._apply(run, tenant, digest))

    def _told(self, name: str, act: Callable[[FleetTenant], Outcome]) -> Outcome:
        """The outcome of an action, with how long it took; an error is an outcome too."""
        began = self.clock.monotonic()
        try:
            outcome = act(self.fleet.tenants[name])
        except KeyError:
            outcome = _failed("input", 3, f"{self.fleet.file.name} of this machine has no tenant {name}")
        except ProvisionerError as error:
            outcome = _failed(error.kind, error.exit_code, _words(error))
        except Exception as error:  # noqa: BLE001 - one tenant's fault must not end the run of the others
            about = about_its_file(error) if isinstance(error, OSError) else None
            if about is not None:
                outcome = _failed(about.kind, about.exit_code, _words(about))
            else:
                place = self.fault(error)
                outcome = _failed("fault", 1, f"a fault of provisioner, {type(error).__name__}. Details: {place}")
        outcome["seconds"] = round(self.clock.monotonic() - began, 3)
        return outcome

    def _plan(self, run: Run, tenant: FleetTenant) -> Outcome:
        found = self.read(plan(self.context(tenant), tenant.plan, Selection(allows=run.allows)))
        document = changeset.to_document(found)
        digest = document["provisioner"]["digest"]
        if found.pending:
            self._keep(run, tenant, digest, json.dumps(document, ensure_ascii=False))
        state: State = "planned" if found.pending else "no_changes"
        outcome: Outcome = {"state": state, "seconds": 0.0, "digest": digest, "changes": _counts(found.pending)}
        if found.errored:
            reasons = [u.reason for u in (*found.unknown.values(), *found.unlisted.values())]
            error = TenantIncomplete(f"the tenant could not be read completely: {reasons[0]}")
            outcome |= {"state": "failed", "error": _error(error)}
        return outcome

    def _drift(self, run: Run, tenant: FleetTenant) -> Outcome:
        found = self.read(drift(self.context(tenant), tenant.plan, Selection(allows=run.allows)))
        outcome: Outcome = {
            "state": "drifted" if found.drifted else "in_sync",
            "seconds": 0.0,
            "changes": _counts(found.found.pending),
            "drifted": [str(item.address) for item in found.drifted],
            "outside": sum(item.outside for item in found.drifted),
        }
        if found.found.errored:
            outcome |= {"state": "failed", "error": _error(TenantIncomplete("the tenant could not be read completely"))}
        return outcome

    def _apply(self, run: Run, tenant: FleetTenant, digest: str) -> Outcome:
        context, selection = self.context(tenant), Selection(allows=run.allows)
        saved = load_saved(context, self._kept(run, tenant, digest), Terms(digest=digest, selection=selection))
        options = ApplyOptions(run.wait_s, run.lock_wait_s, stopping=lambda: self.stops.entered(run.id))
        applied = run_operation(apply(context, saved, selection, options))
        return self._account(context.run, applied)

    def _keep(self, run: Run, tenant: FleetTenant, digest: str, text: str) -> None:
        """Keep a change set for its approval and its apply, before the store has its digest.

        Every worker on an SQLite store finds the file. Those of other machines find it in the shared store alone.
        """
        if self.store.place.shared:
            self.ask(lambda: self.store.keep(digest, text))
        self._write(run, tenant, text)

    def _kept(self, run: Run, tenant: FleetTenant, digest: str) -> Path:
        """The file of a change set that was kept. Who reads it verifies its digest."""
        if self.store.place.shared:
            self._write(run, tenant, self.ask(lambda: self.store.change_set(digest)))
        return self.file_of(run.id, tenant.name)

    def _write(self, run: Run, tenant: FleetTenant, text: str) -> Path:
        """Write a change set, and never through a link of the checkout that the store may lie in."""
        file = self.file_of(run.id, tenant.name)
        if leads_out(file):
            what = f"{file} cannot be written: a link of the checkout leads out of it"
            raise InputError([Diagnostic("FLEET-STORE", what, "remove the link")])
        if not file.parent.is_dir():
            make_private(file.parent)
        platforms.write_whole(file, text.encode())
        return file

    def _account(self, run: str, applied: Applied) -> Outcome:
        results = Counter(r.status for r in applied.outcome.results)
        outcome: Outcome = {
            "state": "applied", "seconds": 0.0, "digest": applied.digest, "run": run, "results": dict(results),
            "changes": _counts(applied.found.pending),
        }  # fmt: skip
        if applied.outcome.converged:
            return outcome
        outcome["state"] = "interrupted" if results["left"] and self.stops.stopped else "incomplete"
        failure = applied.outcome.failure
        first = next((f"{r.address}: {r.detail}" for r in applied.outcome.results if r.detail), "")
        known = str(failure) if isinstance(failure, ProvisionerError) else type(failure).__name__ if failure else first
        outcome["error"] = {"kind": "partial", "exit_code": 8, "message": known}
        return outcome

    def file_of(self, run: str, name: str) -> Path:
        """Where a change set is written; approvals (`provisioner approve`) are looked for beside it."""
        return self.store.place.change_sets(self.folder) / word(run) / f"{word(name)}.json"


def _counts(changes: Iterable[Change]) -> Mapping[str, int]:
    return dict(Counter(change.action.value for change in changes))


def _failed(kind: str, exit_code: int, message: str) -> Outcome:
    return {"state": "failed", "seconds": 0.0, "error": {"kind": kind, "exit_code": exit_code, "message": message}}


def _error(error: ProvisionerError) -> ErrorDocument:
    return {"kind": error.kind, "exit_code": error.exit_code, "message": _words(error)}


def _words(error: ProvisionerError) -> str:
    """The error in one line, with the first of its hints."""
    found = error.diagnostics
    return "; ".join(d.summary for d in found[:3]) or str(error)
