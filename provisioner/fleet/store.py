"""What a fleet keeps beside the engine's own tables: runs, change sets by digest, and the place of both.

SQLite in the state folder, with the change sets as files beside it, or a PostgreSQL that several machines share.
Neither holds settings: a worker has those of its own machine.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired

import sqlalchemy as sa
from pydantic import AfterValidator, Field
from sqlalchemy.dialects import postgresql
from typing_extensions import TypedDict

from provisioner.border import Border, make_private, read_ordinary
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine.postgres import secured
from provisioner.fleet.description import NAME
from provisioner.fleet.waves import Approved, Run
from provisioner.model.checking import adapter_of
from provisioner.model.fleet import Kind
from provisioner.settings import postgres_fault

SQLITE, POSTGRES = "sqlite", "postgresql"

_TABLES = sa.MetaData()
_RUNS = sa.Table(
    "provisioner_fleet_runs",
    _TABLES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("created", sa.String(40), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)
_CHANGE_SETS = sa.Table(
    "provisioner_fleet_change_sets",
    _TABLES,
    sa.Column("digest", sa.String(80), primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is: `url` for SQLAlchemy and the engine, `file` of SQLite."""

    url: str
    file: Path | None = None

    @classmethod
    def parse(cls, text: str, folder: Path) -> Place:
        """`sqlite:PATH` or `postgresql://…` without a password; "" for SQLite in a folder. Raises InputError."""
        kind, _, rest = text.partition(":")
        if not text or kind == SQLITE:
            file = Path(rest).expanduser() if rest else folder / "fleet" / "fleet.sqlite"
            file = file if file.is_absolute() else Path.cwd() / file
            _check(file)
            return cls(f"sqlite:///{file}", file)
        if kind != POSTGRES:
            raise _wrong(
                "--store names no kind of store that is known", "write sqlite:PATH or postgresql://HOST/DATABASE"
            )
        if reason := postgres_fault(text):
            raise _wrong("--store is not an address that can be used", reason)
        return cls(secured(text))

    @property
    def shared(self) -> bool:
        """Whether several machines may use it."""
        return self.file is None

    def change_sets(self, folder: Path) -> Path:
        """The folder of the files of change sets: beside an SQLite store, otherwise in a machine's state folder."""
        return self.file.parent if self.file else folder / "fleet"

    @property
    def sqlalchemy_url(self) -> str:
        return self.url if self.file else self.url.replace("postgresql://", "postgresql+psycopg://", 1)


def _wrong(what: str, hint: str) -> InputError:
    return InputError([Diagnostic("FLEET-STORE", what, hint)])


_BEGINNING = b"SQLite format 3\0"
_OTHER = "name the file of a store, or one that does not exist, with --store"


def _check(file: Path) -> None:
    """Raise InputError for a file that is not a database, and where a link of a checkout leads out of it.

    SQLite follows links, also those of the files that it keeps beside the database (sqlite.org, "Temporary Files Used
    By SQLite"). Those are not opened here: closing a file releases the locks that this process has on it (sqlite.org,
    "How To Corrupt An SQLite Database File", 2.2).
    """
    for path in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal"))):
        if not Border.of(path).holds(path):
            raise _wrong(f"the store {path} cannot be used: a link of the checkout leads out of it", _OTHER)
    try:
        status = file.stat()
        is_new = stat.S_ISREG(status.st_mode) and not status.st_size  # another worker may be about to fill it
        begin = b"" if is_new else read_ordinary(file, len(_BEGINNING))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise _wrong(f"the store {file} cannot be used: {getattr(error, 'strerror', None) or error}", _OTHER) from error
    if begin not in {b"", _BEGINNING}:
        raise _wrong(f"{file} is not an SQLite database", _OTHER)


class Store:
    """An open store. All methods raise StoreGone where it cannot be reached for now."""

    def __init__(self, place: Place) -> None:
        self.place = place
        if place.file:
            make_private(place.file.parent)
        self._engine = engine_of(place)

    def create(self) -> None:
        """Make the tables where they are missing."""
        with self._begun() as connection:
            if self.place.shared:  # two that create a table at once: one would fail
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7236001)"))
            _TABLES.create_all(connection)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except GONE as error:
            raise StoreGone(self.place, error) from error

    # --- runs --------------------------------------------------------------------------------------------------------

    def add(self, run: Run) -> None:
        """Begin a run. One with its id stays as it is."""
        with self._begun() as connection:
            if connection.execute(sa.select(_RUNS.c.id).where(_RUNS.c.id == run.id)).first() is None:
                values = {"id": run.id, "created": run.created, "document": _run_text(run)}
                connection.execute(_RUNS.insert().values(values))

    def run(self, id_: str = "") -> Run:
        """A run by its id or the beginning of it, or the newest. Raises InputError where there is none."""
        found = sa.select(_RUNS.c.id, _RUNS.c.document).order_by(_RUNS.c.created.desc(), _RUNS.c.id).limit(2)
        if id_:
            found = found.where(_RUNS.c.id.startswith(id_, autoescape=True))
        try:
            with self._begun() as connection:
                rows = connection.execute(found).all()
        except (StoreGone, sa.exc.ProgrammingError) as error:
            if "no such table" not in str(error.__cause__ or error) and "UndefinedTable" not in str(error):
                raise
            rows = []
        if not rows or (id_ and len(rows) > 1):
            if not id_:
                what = "the store has no run yet"
                raise InputError([Diagnostic("FLEET-RUN", what, "begin one: provisioner fleet plan")])
            what = f'"{id_}" is the beginning of several runs' if rows else f'the store has no run "{id_}"'
            hint = "name the whole id; without one, the newest run is meant: provisioner fleet status"
            raise InputError([Diagnostic("FLEET-RUN", what, hint)])
        return _run(rows[0].id, rows[0].document)

    def newest(self, prefix: str) -> str:
        """The id of the newest run whose id begins so, "" for none."""
        ids = sa.select(_RUNS.c.id).where(_RUNS.c.id.startswith(prefix, autoescape=True)).order_by(_RUNS.c.id.desc())
        with self._begun() as connection:
            row = connection.execute(ids.limit(1)).first()
        return str(row.id) if row else ""

    def change(self, id_: str, **values: Any) -> Run:
        """A run with other values; what is approved, and what is tried again, is added to what was."""
        with self._begun() as connection:
            chosen = sa.select(_RUNS.c.id, _RUNS.c.document).where(_RUNS.c.id == id_).with_for_update()
            row = connection.execute(chosen).one()
            run = _run(row.id, row.document)
            if "approved" in values:
                values["approved"] = run.approved | values["approved"]
            if "retries" in values:
                values["retries"] = {**run.retries, **values["retries"]}
            run = dataclasses.replace(run, **values)
            connection.execute(_RUNS.update().where(_RUNS.c.id == id_).values(document=_run_text(run)))
        return run

    # --- change sets -------------------------------------------------------------------------------------------------

    def keep(self, digest: str, document: str) -> None:
        """Save a change set under its digest, in a shared store."""
        with self._begun() as connection:
            insert = postgresql.insert(_CHANGE_SETS).values(digest=digest, document=document)
            connection.execute(insert.on_conflict_do_nothing())

    def change_set(self, digest: str) -> str:
        """A change set by its digest, as it was saved. Who reads it verifies it. Raises InputError."""
        with self._begun() as connection:
            row = connection.execute(sa.select(_CHANGE_SETS.c.document).where(_CHANGE_SETS.c.digest == digest)).first()
        if row is None:
            raise InputError([Diagnostic("FLEET-CHANGE-SET", f"the store has no change set {digest}", "plan again")])
        return str(row.document)


GONE = (sa.exc.OperationalError, sa.exc.InterfaceError)
"""What SQLAlchemy raises where a database cannot be reached, or goes away in the middle of a question."""


class StoreGone(InputError):
    """The store cannot be reached, for now."""

    def __init__(self, place: Place, error: sa.exc.DBAPIError) -> None:
        where = place.file or place.url
        why = str(error.orig).strip().splitlines()
        what = f"the store {where} cannot be used: {why[0] if why else type(error.orig).__name__}"
        super().__init__([Diagnostic("FLEET-STORE", what, "check --store, and that its server runs")])


def engine_of(place: Place) -> sa.Engine:
    """Connections to a store."""
    if place.file is None:
        return sa.create_engine(place.sqlalchemy_url, pool_pre_ping=True)
    engine = sa.create_engine(place.sqlalchemy_url)
    sa.event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _: object) -> None:
    """A writer waits for another, and readers for none (sqlite.org, "Write-Ahead Logging").

    With `synchronous=NORMAL` nothing is lost when a process dies, and the file stays whole when the power fails; then
    the last records may be missing, and what they said is done again: a plan is made again, and an apply finds in the
    tenant's own journal what was written (sqlite.org, "PRAGMA synchronous").
    """
    connection.isolation_level = "IMMEDIATE"
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


# --- a run as JSON ---------------------------------------------------------------------------------------------------


def _run_text(run: Run) -> str:
    approved = run.approved
    document = {
        "id": run.id,
        "kind": run.kind,
        "created": run.created,
        "tenants": list(run.tenants),
        "labels": {name: dict(labels) for name, labels in run.labels.items()},
        "canaries": sorted(run.canaries),
        "failures": run.failures,
        "retries": dict(run.retries),
        "cancelled": run.cancelled,
        "allows": list(run.allows),
        "wait_s": run.wait_s,
        "lock_wait_s": run.lock_wait_s,
        "approved": {
            "everything": approved.everything, "tenants": sorted(approved.tenants), "digests": dict(approved.digests),
        },
    }  # fmt: skip
    return json.dumps(document, ensure_ascii=False)


def _run(id_: str, document: str) -> Run:
    """A run as it was saved. Raises InputError for a row that no worker has written."""
    try:
        values: _RunDocument = adapter_of(_RunDocument).validate_json(document)
    except ValueError as error:
        raise _damaged(id_) from error
    if values["id"] != id_:
        raise _damaged(id_)
    approved = values["approved"]
    return Run(
        values["id"],
        values["kind"],
        values["created"],
        tuple(values["tenants"]),
        values["labels"],
        frozenset(values["canaries"]),
        values["failures"],
        Approved(approved["everything"], frozenset(approved["tenants"]), approved["digests"]),
        values.get("retries", {}),
        values["cancelled"],
        tuple(values["allows"]),
        values["wait_s"],
        values["lock_wait_s"],
    )


def _damaged(id_: str) -> InputError:
    return _wrong(f"run {id_} of the store is damaged", "name another run, or begin a new one: provisioner fleet plan")


def _moment(text: str) -> str:
    """A time with its zone. Raises ValueError."""
    try:
        dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(text) from error
    return text


class _ApprovedDocument(TypedDict):
    everything: bool
    tenants: list[str]
    digests: dict[str, str]


class _RunDocument(TypedDict):
    id: Annotated[str, Field(pattern="^[A-Za-z0-9-]{1,32}$")]
    kind: Kind
    created: Annotated[str, AfterValidator(_moment)]
    tenants: list[Annotated[str, Field(pattern=f"^{NAME}$")]]
    labels: dict[str, dict[str, str]]
    canaries: list[str]
    failures: Annotated[float, Field(ge=0, le=1)]
    retries: NotRequired[dict[str, int]]
    cancelled: bool
    allows: list[str]
    wait_s: float
    lock_wait_s: float
    approved: _ApprovedDocument
