"""DBOS as a fleet uses it: loaded without a program, silent, with JSON for its rows alone; and `Works`, its records.

What works on them is in `worker`.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import itertools
import json
import logging
import platform
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa


def _load_croniter() -> None:
    """Load what DBOS computes schedules with, and start no program for it.

    While it is imported, croniter asks `platform.architecture` about the interpreter, which runs `file -b`. Without an
    executable to look at, that function answers by the size of a pointer (docs.python.org, "platform").
    """
    asked = platform.architecture
    platform.architecture = functools.partial(asked, "")
    try:
        importlib.import_module("croniter")
    finally:
        platform.architecture = asked


_load_croniter()

from dbos import DBOS, DBOSClient, EnqueueOptions, Serializer, error  # noqa: E402 - after croniter
from dbos._serialization import DBOSDefaultSerializer  # noqa: E402

from provisioner.diagnostics import Diagnostic, InputError  # noqa: E402
from provisioner.fleet.description import NAME  # noqa: E402
from provisioner.fleet.store import GONE, Place, StoreGone, engine_of  # noqa: E402
from provisioner.fleet.waves import Look, Run, Work, look  # noqa: E402
from provisioner.model.checking import adapter_of  # noqa: E402
from provisioner.model.fleet import Outcome  # noqa: E402

__all__ = [
    "APPLICATION", "APPLY", "DBOS", "NIGHTLY", "PLAN", "QUEUE", "VERSION", "DBOSException", "Json", "Works", "silence",
]  # fmt: skip

DBOSException = error.DBOSException

P = ParamSpec("P")
T = TypeVar("T")

QUEUE, PLAN, APPLY, NIGHTLY = "tenants", "plan", "apply", "nightly"
APPLICATION = "exchange-provisioner"
VERSION = "fleet-1"
"""Of the workflows: another one where their steps change, since a run goes on with the steps that it began with."""

_TOGETHER = 100
"""Works that are begun in one transaction."""


class Json(Serializer):
    """What the engine records, as JSON and never as pickled objects. Of an error its class alone."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=_as_json)

    def deserialize(self, text: str) -> Any:
        value = json.loads(text)
        return RuntimeError(value["error"]) if isinstance(value, dict) and set(value) == {"error"} else value

    def name(self) -> str:
        return "provisioner_json"


def _refuse(_: str) -> Any:
    raise ValueError("a pickled row of the store is not read")


# The engine reads a row as the row itself says, and would unpickle one that says "py_pickle": who may write to the
# store could run code in each worker. It offers no setting for that.
DBOSDefaultSerializer.deserialize = _refuse  # type: ignore[method-assign,assignment]


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.datetime) else {"error": type(value).__name__}


def _enqueued(run: Run, seen: Look) -> Iterator[tuple[EnqueueOptions, Sequence[str]]]:
    """What is due in a run, as the engine takes it: with ids that follow from the tenant and the number of the try."""
    for name, number, digest in seen.due:
        options: EnqueueOptions = {
            "workflow_name": PLAN if digest is None else APPLY,
            "queue_name": QUEUE,
            "workflow_id": f"{run.id}/{name}/{number}",
            "queue_partition_key": name,
            "app_version": VERSION,
        }
        yield options, [run.id, name, run.kind if digest is None else digest]


_ID = re.compile(f"[^/]+/(?P<tenant>{NAME})/(?P<number>[0-9]{{1,9}})")
"""How `_enqueued` makes the ids of works."""


def _outcome(recorded: Any) -> Outcome | None:
    """What a work has recorded; None for what no worker of ours has written."""
    try:
        outcome: Outcome = adapter_of(Outcome).validate_python(recorded)
    except ValueError:
        return None
    return outcome


def silence() -> None:
    """The engine's own log goes nowhere: it would add a handler for standard error, and may name addresses."""
    log = logging.getLogger("dbos")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    log.propagate = False
    log.setLevel(logging.CRITICAL)


# --- what the engine has ---------------------------------------------------------------------------------------------


def _answered(method: Callable[Concatenate[Works, P], T]) -> Callable[Concatenate[Works, P], T]:
    """A question to the store that raises StoreGone where the store goes away meanwhile."""

    @functools.wraps(method)
    def asked(works: Works, /, *arguments: P.args, **options: P.kwargs) -> T:
        try:
            return method(works, *arguments, **options)
        except GONE as error:
            raise StoreGone(works.place, error) from error

    return asked


@dataclass(slots=True)
class Works:
    """The engine's records, for who looks at a run or begins its work. Needs no worker."""

    place: Place
    client: DBOSClient
    engine: sa.Engine | None = None

    @classmethod
    @contextmanager
    def of(cls, place: Place) -> Iterator[Works]:
        """Raises InputError where the store was never used."""
        if place.file and not place.file.exists():
            what, hint = f"there is no store {place.file} yet", "begin a run: provisioner fleet plan"
            raise InputError([Diagnostic("FLEET-RUN", what, hint)])
        with cls.prepared(place) as works:
            yield works

    @classmethod
    @contextmanager
    def prepared(cls, place: Place) -> Iterator[Works]:
        """The same for a store that a worker makes ready."""
        silence()
        engine = engine_of(place) if place.file else None
        client = DBOSClient(
            system_database_url=place.url,
            system_database_engine=engine,
            serializer=Json(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )
        try:
            yield cls(place, client, engine)
        finally:
            client.destroy()
            if engine is not None:
                engine.dispose()

    @_answered
    def of_run(
        self, run: Run, cut_off: Container[str] = (), returned: Container[str] = ()
    ) -> Mapping[str, Sequence[Work]]:
        """The works of a run by tenant, each sequence in the order of their numbers. What is returned is queued."""
        found: dict[str, list[Work]] = {}
        for row in self.client.list_workflows(workflow_id_prefix=f"{run.id}/", load_input=False):
            if (id_ := _ID.fullmatch(row.workflow_id)) is None:
                continue
            outcome = _outcome(row.output) if row.status == "SUCCESS" else None
            status = "ENQUEUED" if row.workflow_id in returned else row.status
            work = Work(int(id_["number"]), status, outcome, row.workflow_id in cut_off, row.name == APPLY)
            found.setdefault(id_["tenant"], []).append(work)
        return {name: sorted(works, key=lambda w: w.number) for name, works in found.items()}

    @_answered
    def under_way(self, run: Run) -> Mapping[str, Sequence[str]]:
        """The ids of the works of a run that a worker has, by worker."""
        found: dict[str, list[str]] = {}
        for row in self.client.list_workflows(
            workflow_id_prefix=f"{run.id}/", status="PENDING", load_input=False, load_output=False
        ):
            found.setdefault(row.executor_id or "", []).append(row.workflow_id)
        return found

    @_answered
    def begun(self, id_: str) -> Mapping[str, str] | None:
        """Where an apply began, by what its worker recorded before; None for what has written nothing yet."""
        steps = self.client.list_workflow_steps(id_)
        begun = next((step["output"] for step in steps if step["function_name"] == "begin"), None)
        known = begun if isinstance(begun, dict) else {}
        return None if begun is None else {"machine": "", "journal": "own", **known}

    def look(self, run: Run, cut_off: Container[str] = (), returned: Container[str] = ()) -> Look:
        return look(run, self.of_run(run, cut_off, returned))

    def made(self) -> bool:
        """Whether a worker has made the store ready."""
        try:
            self.client.list_workflows(limit=1)
        except sa.exc.DBAPIError:
            return False
        return True

    def make(self) -> bool:
        """Make an SQLite store ready before a worker is there; a shared one is made by the engine, as it is set up."""
        if self.place.file:
            DBOS.migrate(self.place.url)
        return self.place.file is not None

    @_answered
    def begin(self, run: Run, seen: Look) -> None:
        """Begin what is due. What was begun already, by whomever, stays as it is.

        In SQLite many at once: a transaction costs as much as the record. In a shared database each by itself, so that
        workers which begin the same ones do not wait for each other.
        """
        if self.engine is None:
            for options, arguments in _enqueued(run, seen):
                self.client.enqueue(options, *arguments)
            return
        due = iter(_enqueued(run, seen))
        while some := list(itertools.islice(due, _TOGETHER)):
            with self.engine.begin() as connection:
                for options, arguments in some:
                    self.client.enqueue_in_transaction(connection, options, *arguments)

    @_answered
    def every_under_way(self) -> Mapping[str, Sequence[str]]:
        """The ids of the works that workers have, by worker."""
        found: dict[str, list[str]] = {}
        for row in self.client.list_workflows(status="PENDING", load_input=False, load_output=False):
            if row.executor_id:
                found.setdefault(row.executor_id, []).append(row.workflow_id)
        return found

    @_answered
    def give_back(self, id_: str, worker: str) -> None:
        """Return the work of a dead worker to the queue, unless another worker has it by now.

        The engine's public `resume_workflow` does not ask who has the work: where two workers notice the death at the
        same moment, it would let the second one take the work from the first.
        """
        self.client._sys_db.reenqueue_for_recovery(id_, [worker], QUEUE)

    @_answered
    def cancel(self, run: Run) -> None:
        """Take what has not begun out of the queue."""
        queued = self.client.list_workflows(
            workflow_id_prefix=f"{run.id}/", status=["ENQUEUED", "DELAYED"], load_input=False, load_output=False
        )
        if queued:
            self.client.cancel_workflows([row.workflow_id for row in queued])
