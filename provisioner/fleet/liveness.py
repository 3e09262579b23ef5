"""Which workers live: each holds a lock of its own for as long as its process, and anybody can try it.

With PostgreSQL an advisory lock of a session, which the server frees when the connection is gone (postgresql.org,
"Explicit Locking", 13.3.5); with SQLite a lock of the kernel on a file in the state folder. No service is asked, and no
clock of another machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from provisioner import platforms
from provisioner.border import leads_out, make_private
from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine.locking import Holder, Lock, machine_lock
from provisioner.fleet.store import Place
from provisioner.operations.state import word

GRACE_S = 15.0
"""A worker counts as dead once its lock was free at every look for this time: one that lost its connection, as all do
when the server restarts, takes its lock again within a look or two."""


class Pulse(Protocol):
    """The sign of life of this worker."""

    def beat(self) -> bool:
        """Hold the lock, again if need be; False where another one took it, and so declared this worker dead."""

    def declared_dead(self, worker: str) -> contextlib.AbstractContextManager[bool]:
        """Whether another worker is dead. While the block runs its lock is held, so that it cannot come back."""

    def alone(self) -> bool:
        """Whether surely no other worker lives."""

    def silent(self, workers: Iterable[str]) -> frozenset[str]:
        """Which of these workers give no sign of life at this moment, for who only looks."""

    def end(self) -> None:
        """This worker ends."""


def pulse_of(place: Place, worker: str, clock: Clock = SYSTEM) -> Pulse:
    """The sign of life of a worker on a store. Raises InputError where a link of a checkout puts it elsewhere."""
    if place.file:
        folder = place.file.parent / "workers"
        if leads_out(folder / worker):
            what = f"the store {place.file} cannot be used: beside it, workers is a link out of the checkout"
            raise InputError([Diagnostic("FLEET-STORE", what, "remove the link")])
        return FilePulse(folder, worker, clock)
    return PostgresPulse(place, worker, clock)


def machine(folder: Path) -> str:
    """The name of this machine and state folder: whose journals are the same. Made once."""
    file = folder / "fleet" / "machine"
    make_private(file.parent)
    with contextlib.suppress(FileExistsError):
        platforms.write_new(file, uuid.uuid4().hex[:12].encode())
    return file.read_text(encoding="ascii")


# --- SQLite ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class FilePulse:
    """A lock of the machine for each worker, in one folder: the kernel frees it when the process is gone."""

    folder: Path
    worker: str
    clock: Clock = SYSTEM
    _held: Lock | None = None

    def beat(self) -> bool:
        if self._held is None:
            lock = self._lock(self.worker)
            if lock.try_acquire(self._me()) is None:
                self._held = lock
        else:
            self._held.renew(self._me())
        return self._held is not None

    @contextlib.contextmanager
    def declared_dead(self, worker: str) -> Iterator[bool]:
        lock, me = self._lock(worker), self._me()
        if lock.try_acquire(me) is not None:
            yield False
            return
        try:
            yield True
        finally:
            self._let_go(lock, worker)

    def alone(self) -> bool:
        """Whether no other worker has a file whose lock is held."""
        for file in self.folder.glob("*.alive"):
            if file.name != self._file(self.worker).name:
                with self.declared_dead(file.stem) as dead:
                    if not dead:
                        return False
        return True

    def silent(self, workers: Iterable[str]) -> frozenset[str]:
        found = set()
        for worker in workers:
            with self.declared_dead(worker) as dead:
                found |= {worker} if dead else set()
        return frozenset(found)

    def end(self) -> None:
        if self._held is not None:
            self._let_go(self._held, self.worker)
            self._held = None

    def _let_go(self, lock: Lock, worker: str) -> None:
        """Remove the file while its lock is held: afterwards the worker that it belongs to may just have taken it.

        Windows keeps a file that is open. It stays then, and is free.
        """
        with contextlib.suppress(OSError):
            self._file(worker).unlink(missing_ok=True)
        lock.release(self._me())

    def _me(self) -> Holder:
        return Holder.me(self.worker, "a worker of a fleet", self.clock)

    def _file(self, worker: str) -> Path:
        return self.folder / f"{word(worker)}.alive"

    def _lock(self, worker: str) -> Lock:
        return machine_lock(self._file(worker))


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PostgresPulse:
    """An advisory lock for each worker, held by one connection that does nothing else."""

    place: Place
    worker: str
    clock: Clock = SYSTEM
    _connection: Any = None
    _free_since: dict[str, float] = field(default_factory=dict)

    def beat(self) -> bool:
        import psycopg

        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("SELECT 1")
                return True
            self._close()
        try:
            self._connection = psycopg.connect(self.place.url, autocommit=True, **KEEPALIVE)
            if self._try(self.worker):
                return True
        except psycopg.OperationalError:
            self._close()
            return True  # nobody can be declared dead while the server does not answer
        self._close()  # a connection without the lock is not a sign of life
        return False

    @contextlib.contextmanager
    def declared_dead(self, worker: str) -> Iterator[bool]:
        """The lock is tried only once it was free for the grace: to try it earlier could take it from a worker that
        has just lost its connection."""
        import psycopg

        dead = False
        with contextlib.suppress(psycopg.Error):
            dead = self._connection is not None and self._free_for_long(worker) and self._try(worker)
        try:
            yield dead
        finally:
            if dead:
                with contextlib.suppress(psycopg.Error):
                    self._connection.execute("SELECT pg_advisory_unlock(%s)", (key_of(worker),))

    def _free_for_long(self, worker: str) -> bool:
        """Whether the lock was free at each look for the grace. Raises psycopg.Error."""
        now = self.clock.monotonic()
        since = self._free_since.pop(worker, now)
        if key_of(worker) in _held(self._connection):
            return False
        self._free_since[worker] = since
        return now - since >= GRACE_S

    def _try(self, worker: str) -> bool:
        row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (key_of(worker),)).fetchone()
        return bool(row[0])

    def alone(self) -> bool:
        return False  # who lives elsewhere shows only by the work that they have

    def silent(self, workers: Iterable[str]) -> frozenset[str]:
        import psycopg

        keys = {key_of(worker): worker for worker in workers}
        with contextlib.suppress(psycopg.OperationalError):
            with psycopg.connect(self.place.url, autocommit=True) as connection:
                alive = _held(connection)
            return frozenset(worker for key, worker in keys.items() if key not in alive)
        return frozenset()

    def end(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None


def _held(connection: Any) -> frozenset[int]:
    """The keys of the advisory locks that are held (postgresql.org, "pg_locks": two halves of a key of 64 bits)."""
    keys = "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    return frozenset(row[0] for row in connection.execute(keys))


KEEPALIVE: Mapping[str, Any] = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A connection that nobody answers on any more ends after 25 seconds (postgresql.org, "Parameter Key Words")."""


def key_of(worker: str) -> int:
    """The number of a worker's advisory lock: 63 bits of a digest, so that two workers never share one."""
    return int.from_bytes(hashlib.sha256(f"provisioner worker {worker}".encode()).digest()[:8], "big") >> 1
