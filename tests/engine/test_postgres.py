"""Locks and journals in a real PostgreSQL server, across its restarts; and which addresses are taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from provisioner.diagnostics import InputError, Locked
from provisioner.engine import sharing
from provisioner.engine.locking import LIFETIME_S, Holder, hold
from provisioner.engine.postgres import PostgresLock, PostgresShare, secured
from provisioner.engine.sharing import Fetched, Moved
from provisioner.settings import Profile, postgres_fault
from tests import postgres
from tests.clocks import FastClock

REASON = postgres.missing()
served = [pytest.mark.long, pytest.mark.skipif(bool(REASON), reason=REASON)]


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.server() as running:
        yield running


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://db.contoso.com/fleet",
        "postgresql://fleet@db.contoso.com:5433/fleet?sslmode=verify-full",
        "postgresql:///fleet?host=/run/postgresql",
    ],
)
def test_an_address_without_a_password_is_taken_for_journal_and_lock(address: str) -> None:
    assert postgres_fault(address) == ""
    assert Profile(journal=address, lock=address).journal == address


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://fleet:hunter2@db/fleet", "postgresql://db/fleet?password=hunter2", "postgresql:fleet",
        "postgresql://db/fleet?passfile=/home/x/.pgpass", "postgresql://db/fleet?service=hunter2",
        "postgresql://db/fleet?sslkey=key", "postgresql://db/fleet?options=-c%20x", "postgresql://-x/fleet",
    ],
)  # fmt: skip
def test_passwords_and_parameters_that_name_files_are_refused_without_repeating_them(address: str) -> None:
    with pytest.raises(ValueError, match=r"SETTINGS-JOURNAL|postgresql://|of the parameters only") as refused:
        Profile(journal=address)
    reason = postgres_fault(address)
    assert reason
    assert "hunter2" not in reason
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://db/fleet", "postgresql://db/fleet?sslmode=verify-full&sslrootcert=system"),
        ("postgresql://db/fleet?sslrootcert=ca.pem", "postgresql://db/fleet?sslrootcert=ca.pem&sslmode=verify-full"),
        ("postgresql://db/fleet?sslmode=disable", "postgresql://db/fleet?sslmode=disable"),
        ("postgresql://localhost/fleet", "postgresql://localhost/fleet"),
        ("postgresql:///fleet?host=/run/postgresql", "postgresql:///fleet?host=/run/postgresql"),
        ("postgresql:///fleet?host=db", "postgresql:///fleet?host=db&sslmode=verify-full&sslrootcert=system"),
    ],
)
def test_another_machine_must_show_a_certificate_that_is_verified(
    address: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    assert secured(address) == expected


# --- journals --------------------------------------------------------------------------------------------------------


class TestJournal:
    pytestmark = served

    def test_what_one_appends_the_next_one_fetches_after_a_restart_too(self, server: postgres.Server) -> None:
        share = PostgresShare(server.url)
        with share.journal("whole") as first:
            assert first.fetch() == Fetched()
            first.append(b"one\n")
            server.stop()
            with pytest.raises(InputError, match="the journal in PostgreSQL cannot be used"):
                first.append(b"two\n")
            server.start()
            first.append(b"two\n")
        with share.journal("whole") as second:
            assert second.fetch() == Fetched(b"one\ntwo\n")
            second.append(b"\xed\xb2\x80 three\n")
            assert second.fetch() == Fetched(b"one\ntwo\n\xed\xb2\x80 three\n")
        assert "whole" in share.names()

    def test_of_two_that_append_after_the_same_entry_one_is_refused(self, server: postgres.Server) -> None:
        share = PostgresShare(server.url)
        with share.journal("two") as first, share.journal("two") as second:
            first.fetch()
            second.fetch()
            first.append(b"by the first\n")
            for _ in range(2):
                with pytest.raises(Moved, match="another run has written"):
                    second.append(b"by the second\n")
            assert second.fetch().content == b"by the first\n"

    def test_lines_whose_sending_nobody_answered_are_sent_once(self, server: postgres.Server) -> None:
        with PostgresShare(server.url).journal("again") as first, PostgresShare(server.url).journal("again") as same:
            first.fetch()
            same.fetch()
            first.append(b"one\n")
            same.append(b"one\n")
            same.append(b"two\n")
            assert same.fetch().content == b"one\ntwo\n"

    def test_a_journal_that_was_taken_away_is_not_begun_anew(self, server: postgres.Server) -> None:
        import psycopg

        with PostgresShare(server.url).journal("gone") as first:
            first.fetch()
            first.append(b"one\n")
            with psycopg.connect(server.url) as connection:
                connection.execute("DELETE FROM provisioner_journal WHERE name = 'gone'")
            with pytest.raises(Moved):
                first.append(b"two\n")

    @pytest.mark.parametrize("limit", ["LARGEST_BYTES", "MOST_BATCHES"])
    def test_what_is_too_large_is_an_error(
        self, server: postgres.Server, limit: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with PostgresShare(server.url).journal(limit) as first:
            first.fetch()
            first.append(b"one\n")
            first.append(b"two\n")
            for module in (sharing, "provisioner.engine.postgres"):
                name = f"{module}.{limit}" if isinstance(module, str) else f"{module.__name__}.{limit}"
                monkeypatch.setattr(name, 1, raising=False)
            with pytest.raises(InputError, match=r"larger than|at most 1 are read"):
                first.fetch()


# --- locks -----------------------------------------------------------------------------------------------------------


class TestLock:
    pytestmark = served

    def test_the_second_is_refused_by_name_and_gets_it_afterwards(self, server: postgres.Server) -> None:
        first, second = (PostgresLock(server.url, "a") for _ in range(2))
        one, two = Holder.me("run-1", "anna"), Holder.me("run-2", "tom")
        with hold([first], one):
            assert second.status() is not None
            with pytest.raises(Locked, match=r"anna.*run-1"), hold([second], two):
                pass
        with hold([second], two):
            assert (first.status() or one).run == "run-2"
        assert first.status() is None

    def test_a_restart_of_the_server_takes_a_lock_from_nobody(self, server: postgres.Server) -> None:
        lock, one = PostgresLock(server.url, "b"), Holder.me("run-1", "anna")
        assert lock.try_acquire(one) is None
        server.stop()
        with pytest.raises(InputError, match="the lock in PostgreSQL cannot be used"):
            lock.status()
        server.start()
        assert PostgresLock(server.url, "b").try_acquire(Holder.me("run-2", "tom")) == one
        lock.renew(one)
        lock.release(one)
        with pytest.raises(Locked):
            lock.renew(one)

    def test_a_dead_lock_is_taken_when_it_was_seen_unchanged_for_its_lifetime(self, server: postgres.Server) -> None:
        dead = Holder.me("run-1", "anna")
        assert PostgresLock(server.url, "c").try_acquire(dataclasses.replace(dead, expires=0.0)) is None
        clock = FastClock()
        began = clock.monotonic()
        with hold([PostgresLock(server.url, "c")], Holder.me("run-2", "tom"), clock=clock):
            assert clock.monotonic() - began >= LIFETIME_S
            with pytest.raises(Locked):
                PostgresLock(server.url, "c").renew(dead)

    def test_one_that_was_taken_since_it_was_found_dead_is_left_alone(self, server: postgres.Server) -> None:
        lock, dead = PostgresLock(server.url, "d"), Holder.me("run-1", "anna")
        assert lock.try_acquire(dead) is None
        other, third = Holder.me("run-2", "tom"), Holder.me("run-3", "eve")
        assert lock.try_acquire(other, dead) is None
        assert lock.try_acquire(third, dead) == other
        assert (lock.break_(dead.id), lock.break_(other.id), lock.status()) == (False, True, None)
