"""Locks among real processes, in a real shared folder and on a real git remote."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import InputError, Locked
from provisioner.engine.locking import LIFETIME_S, GitLock, Holder, LocalLock, Lock, PathLock, hold
from tests.clocks import FastClock, until


@pytest.fixture
def remote(tmp_path: Path) -> str:
    place = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(place)], check=True)
    return str(place)


def lock_of(kind: str, tmp_path: Path, remote: str, clock: Clock = SYSTEM) -> Lock:
    match kind:
        case "local":
            return LocalLock(tmp_path / "locks" / "tenant")
        case "path":
            return PathLock(tmp_path / "share" / "tenant.lock", clock)
        case _:
            return GitLock(remote, "tenant", clock)


KINDS = ["local", "path", "git"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_is_refused_by_name_and_gets_it_afterwards(kind: str, tmp_path: Path, remote: str) -> None:
    first, second = (lock_of(kind, tmp_path, remote) for _ in range(2))
    one, two = Holder.me("run-1", "anna"), Holder.me("run-2", "tom")
    with hold([first], one):
        there = second.status()
        assert there is not None
        assert there.id == one.id
        with pytest.raises(Locked, match=r"anna on .* run run-1"), hold([second], two):
            pytest.fail("two hold one lock")
    assert second.status() is None
    with hold([second], two):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_can_wait_for_it(kind: str, tmp_path: Path, remote: str) -> None:
    first, second = (lock_of(kind, tmp_path, remote) for _ in range(2))
    one = Holder.me("run-1", "anna")
    assert first.try_acquire(one) is None
    told: list[Holder] = []
    clock = FastClock()

    def free(holder: Holder) -> None:
        told.append(holder)
        first.release(one)

    with hold([second], Holder.me("run-2", "tom"), wait_s=20, on_wait=free, clock=clock):
        assert [h.actor for h in told] == ["anna"]
    assert clock.waits == [1.0]


def test_a_wait_for_a_lock_ends_with_its_time_and_names_the_holder(tmp_path: Path) -> None:
    first, second = (lock_of("path", tmp_path, "") for _ in range(2))
    assert first.try_acquire(Holder.me("run-1", "anna")) is None
    clock = FastClock()
    with pytest.raises(Locked, match="anna"), hold([second], Holder.me("run-2", "tom"), wait_s=2.5, clock=clock):
        pytest.fail("two hold one lock")
    assert clock.waits == [1.0, 1.0, 0.5]


@pytest.mark.parametrize("kind", ["path", "git"])
def test_an_expired_lock_is_taken_and_its_old_holder_notices(kind: str, tmp_path: Path, remote: str) -> None:
    first, second = (lock_of(kind, tmp_path, remote) for _ in range(2))
    dead = Holder.me("run-1", "anna", FastClock())
    dead = dataclasses.replace(dead, expires=dead.started - 1)
    assert first.try_acquire(dead) is None
    with hold([second], Holder.me("run-2", "tom")), pytest.raises(Locked, match="not ours any more"):
        first.renew(dead.renewed())


@pytest.mark.parametrize("kind", ["path", "git"])
def test_a_renewed_lock_stays_ours(kind: str, tmp_path: Path, remote: str) -> None:
    lock = lock_of(kind, tmp_path, remote)
    me = Holder.me("run-1", "anna")
    assert lock.try_acquire(me) is None
    later = dataclasses.replace(me, expires=me.expires + 60)
    lock.renew(later)
    there = lock.status()
    assert there is not None
    assert there.expires == later.expires
    lock.release(later)
    assert lock.status() is None


@pytest.mark.parametrize("kind", ["path", "git"])
def test_only_the_named_lock_is_broken(kind: str, tmp_path: Path, remote: str) -> None:
    lock = lock_of(kind, tmp_path, remote)
    me = Holder.me("run-1", "anna")
    assert lock.try_acquire(me) is None
    assert not lock.break_("somebody-else")
    assert lock.status() is not None
    assert lock.break_(me.id)
    assert lock.status() is None


def test_a_lock_left_by_a_killed_run_frees_itself(tmp_path: Path) -> None:
    place = tmp_path / "tenant"
    code = (
        "import sys, time, pathlib\n"
        "from provisioner.engine.locking import Holder, LocalLock\n"
        "lock = LocalLock(pathlib.Path(sys.argv[1])); lock.try_acquire(Holder.me('run-1', 'anna'))\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Locked, match="anna"), hold([LocalLock(place)], Holder.me("run-2", "tom")):
            pytest.fail("two hold one lock")
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        with hold([LocalLock(place)], Holder.me("run-2", "tom")):
            pass
    finally:
        child.kill()
        child.communicate()


def test_a_remote_that_is_not_there_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ls-remote failed"):
        GitLock(str(tmp_path / "nowhere.git"), "tenant").try_acquire(Holder.me("run-1", "anna"))


def test_a_place_that_cannot_be_written_is_one_clear_message(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for lock in (LocalLock(blocked / "tenant"), PathLock(blocked / "tenant")):
        with pytest.raises(InputError, match="cannot be used"):
            lock.try_acquire(Holder.me("run-1", "anna"))


def test_a_lock_that_somebody_took_away_is_told_while_it_is_held(tmp_path: Path) -> None:
    told = threading.Event()
    lost: list[str] = []

    def on_lost(text: str) -> None:
        lost.append(text)
        told.set()

    clock = FastClock()
    first, second = Holder.me("run-1", "anna", clock), Holder.me("run-2", "bert", clock)
    lock = PathLock(tmp_path / "tenant.lock", clock)
    with hold([lock], first, on_lost=on_lost, clock=clock):
        assert lock.break_(first.id)
        assert PathLock(tmp_path / "tenant.lock", clock).try_acquire(second.renewed(clock)) is None
        until(lambda: clock.waiting)
        assert not lost, "nothing is noticed before the next beat"
        clock.advance(LIFETIME_S / 3)
        assert told.wait(120)
    assert "not ours any more" in lost[0]


def test_the_heartbeat_keeps_a_lock_beyond_its_lifetime(tmp_path: Path) -> None:
    """Without a beat it would be free for anybody after LIFETIME_S."""
    clock = FastClock()
    lock = lock_of("path", tmp_path, "", clock)
    me = Holder.me("run-1", "anna", clock)
    with hold([lock], me, clock=clock):
        for _ in range(4):
            _beat(lock, clock)
        with pytest.raises(Locked, match="anna"), hold([lock_of("path", tmp_path, "", clock)], me, clock=clock):
            pytest.fail("two hold one lock")


def _beat(lock: Lock, clock: FastClock) -> None:
    """Let the time until the next beat pass, and the holder renew."""
    until(lambda: clock.waiting)
    before = _expiry(lock)
    clock.advance(LIFETIME_S / 3)
    until(lambda: _expiry(lock) > before)


def _expiry(lock: Lock) -> float:
    there = lock.status()
    assert there is not None
    return there.expires
