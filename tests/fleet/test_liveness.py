"""Signs of life at the moments in which one worker looks at another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from provisioner.engine.locking import Holder, LocalLock
from provisioner.fleet import liveness
from provisioner.fleet.liveness import FilePulse, PostgresPulse
from provisioner.fleet.store import Place
from tests.clocks import FastClock


def test_a_worker_that_begins_while_another_looks_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, release = FilePulse(tmp_path, "one"), FilePulse(tmp_path, "two"), LocalLock.release
    begins = [two]

    def released(self: LocalLock, holder: Holder) -> None:
        release(self, holder)
        while begins:
            assert begins.pop().beat()

    monkeypatch.setattr(LocalLock, "release", released)
    with one.declared_dead("two") as dead:
        assert dead
    with one.declared_dead("two") as dead:
        assert not dead, "it has its lock, and the file that others try"
    two.end()
    assert list(tmp_path.iterdir()) == []


class Server:
    """PostgreSQL's advisory locks of sessions: each belongs to a connection until that is closed."""

    def __init__(self) -> None:
        self.holders: dict[int, Connection] = {}

    def connect(self, *_: object, **__: object) -> Connection:
        return Connection(self)


class Connection:
    def __init__(self, server: Server) -> None:
        self.server, self.broken = server, False

    def execute(self, statement: str, parameters: Sequence[int] = ()) -> Any:
        if self.broken:
            raise psycopg.OperationalError
        holders = self.server.holders
        if "FROM pg_locks" in statement:
            return [(key,) for key in holders]
        if "pg_advisory_unlock" in statement:
            del holders[parameters[0]]
        rows = [(holders.setdefault(parameters[0], self) is self,)] if "pg_try_advisory_lock" in statement else []
        return Rows(rows)

    def close(self) -> None:
        self.server.holders = {key: held for key, held in self.server.holders.items() if held is not self}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Rows(list[tuple[bool]]):
    def fetchone(self) -> tuple[bool]:
        return self[0]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(psycopg, "connect", server.connect)
    return server


def pulses(clock: FastClock) -> tuple[PostgresPulse, PostgresPulse]:
    place = Place("postgresql://db/fleet")
    return PostgresPulse(place, "one", clock), PostgresPulse(place, "two", clock)


def lost(pulse: PostgresPulse) -> None:
    """The connection of a worker ends, as all do when the server restarts."""
    pulse._connection.broken = True
    pulse._connection.close()


def test_a_look_takes_no_lock_from_a_worker_that_connects_again(server: Server) -> None:
    one, two = pulses(FastClock())
    assert (one.beat(), two.beat()) == (True, True)
    lost(two)
    with one.declared_dead("two") as dead:
        assert not dead
        assert two.beat(), "it takes its lock again while another one looks"


def test_a_worker_without_its_lock_gives_no_sign_of_life(server: Server) -> None:
    clock = FastClock()
    one, two = pulses(clock)
    assert (one.beat(), two.beat()) == (True, True)
    lost(two)
    with one.declared_dead("two") as dead:
        assert not dead
    clock.pause(liveness.GRACE_S)
    with one.declared_dead("two") as dead:
        assert dead
        assert (two.beat(), two.beat()) == (False, False), "a connection alone is not a sign of life"
    assert two.beat()
