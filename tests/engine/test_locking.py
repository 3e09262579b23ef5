"""Locks among real processes, in a real shared folder and on a real git remote."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from provisioner.diagnostics import InputError, Locked
from provisioner.engine import locking
from provisioner.engine.locking import LIFETIME_S, GitLock, Holder, LocalLock, Lock, PathLock, hold, machine_lock
from tests.clocks import FastClock, until


@pytest.fixture
def remote(tmp_path: Path) -> str:
    place = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(place)], check=True)
    return str(place)


def lock_of(kind: str, tmp_path: Path, remote: str) -> Lock:
    match kind:
        case "local":
            return LocalLock(tmp_path / "locks" / "tenant")
        case "path":
            return PathLock(tmp_path / "share" / "tenant.lock")
        case _:
            return GitLock(remote, "tenant")


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


SKEW_S = [-3600.0, -120.0, 0.0, 120.0, 3600.0]
"""How far the clock of who wants the lock is ahead of the holder's."""


def left_by(lock: Lock, skew_s: float, clock: FastClock) -> Holder:
    """A lock whose last sign of life says, by the clock of its holder, that it lives LIFETIME_S from now."""
    holder = Holder.me("run-1", "anna", clock)
    holder = dataclasses.replace(holder, started=holder.started - skew_s, expires=holder.expires - skew_s)
    assert lock.try_acquire(holder) is None
    return holder


def test_a_lock_that_is_held_is_renewed_while_another_one_is_waited_for(tmp_path: Path) -> None:
    clock, first, second = FastClock(), PathLock(tmp_path / "first"), PathLock(tmp_path / "second")
    anna = Holder.me("run-1", "anna", clock)
    assert second.try_acquire(anna) is None
    signs: set[float] = set()

    def look() -> None:
        second.renew(anna.renewed(clock))
        held = first.status()
        signs.add(held.expires if held else 0.0)

    for beat in range(1, 8):
        clock.after(beat * LIFETIME_S / 3, look)
    clock.after(3 * LIFETIME_S, lambda: second.release(anna))
    with hold([first, second], Holder.me("run-2", "tom", clock), wait_s=4 * LIFETIME_S, clock=clock):
        assert len(signs) > 2


@pytest.mark.parametrize(("kind", "skew_s"), [*(("path", skew_s) for skew_s in SKEW_S), ("git", 120.0)])
def test_a_dead_lock_is_taken_when_it_was_seen_unchanged_for_its_lifetime(
    kind: str, tmp_path: Path, remote: str, skew_s: float
) -> None:
    first, second = (lock_of(kind, tmp_path, remote) for _ in range(2))
    clock = FastClock()
    dead = left_by(first, skew_s, clock)
    with hold([second], Holder.me("run-2", "tom", clock), wait_s=2 * LIFETIME_S, clock=clock):
        assert sum(clock.waits) >= LIFETIME_S
        with pytest.raises(Locked, match="not ours any more"):
            first.renew(dead.renewed(clock))


@pytest.mark.parametrize("skew_s", SKEW_S)
def test_a_holder_that_lives_is_never_robbed_whatever_its_clock_says(tmp_path: Path, skew_s: float) -> None:
    first, second = (lock_of("path", tmp_path, "") for _ in range(2))
    last = [left_by(first, skew_s, FastClock())]

    def beat(_: float) -> None:
        if sum(clock.waits) // (LIFETIME_S / 3) > len(last) - 1:
            last.append(dataclasses.replace(last[-1], expires=last[-1].expires + LIFETIME_S / 3))
            first.renew(last[-1])

    clock = FastClock(beat)
    with (
        pytest.raises(Locked, match="anna"),
        hold([second], Holder.me("run-2", "tom", clock), wait_s=4 * LIFETIME_S, clock=clock),
    ):
        pytest.fail("two hold one lock")
    assert first.status() == last[-1]


def test_a_lock_that_seems_expired_is_watched_without_being_asked_to_wait(tmp_path: Path) -> None:
    first, second = (lock_of("path", tmp_path, "") for _ in range(2))
    clock = FastClock()
    left_by(first, 86_400.0, clock)
    with hold([second], Holder.me("run-2", "tom", clock), clock=clock):
        assert LIFETIME_S <= sum(clock.waits) < LIFETIME_S + 10


def test_one_that_was_taken_since_it_was_found_dead_is_left_alone(tmp_path: Path) -> None:
    first, second, third = (PathLock(tmp_path / "tenant.lock") for _ in range(3))
    clock = FastClock()
    dead = left_by(first, 0.0, clock)
    fresh = Holder.me("run-2", "tom", clock)
    assert second.try_acquire(fresh, dead) is None
    assert third.try_acquire(Holder.me("run-3", "eve", clock), dead) == fresh
    assert third.status() == fresh


def test_of_many_that_find_one_dead_at_once_one_takes_it(tmp_path: Path) -> None:
    clock = FastClock()
    first = PathLock(tmp_path / "tenant.lock")
    dead = left_by(first, 0.0, clock)
    locks = [PathLock(tmp_path / "tenant.lock") for _ in range(8)]
    holders = [Holder.me(f"run-{n}", "tom", clock) for n in range(8)]
    begun, others = threading.Barrier(8), dict[str, Holder | None]()

    def take(lock: PathLock, holder: Holder) -> None:
        begun.wait()
        others[holder.id] = lock.try_acquire(holder, dead)

    threads = [threading.Thread(target=take, args=pair) for pair in zip(locks, holders, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [id_ for id_, other in others.items() if other is None]
    assert len(winners) == 1
    there = locks[0].status()
    assert there is not None
    assert there.id == winners[0]
    with pytest.raises(Locked, match="not ours any more"):
        first.renew(dead)


def test_a_claim_that_nobody_stands_by_is_taken_after_a_lifetime(tmp_path: Path) -> None:
    """Its holder was killed before he said who he is."""
    place = tmp_path / "tenant.lock"
    earlier, record = PathLock(place), tmp_path / "tenant.lock.holder"
    assert earlier.try_acquire(Holder.me("run-0", "anna")) is None
    left = record.read_bytes()
    earlier.release(Holder.me("run-0", "anna"))
    record.write_bytes(left)  # it speaks of another claim
    killed = filelock.StrictSoftFileLock(place, thread_local=False)
    killed.acquire(blocking=False)
    there = PathLock(place).status()
    assert there is not None
    assert (there.actor, there.pid) == ("another run", os.getpid())
    clock = FastClock()
    with hold([PathLock(place)], Holder.me("run-2", "tom", clock), clock=clock):
        assert sum(clock.waits) >= LIFETIME_S


STRANGE = [
    b"", b"{}", b"[]", b"null", b"\xff", b"[" * 50_000,
    *(json.dumps({**dataclasses.asdict(Holder("i", "r", "a", "h", 1, 0.0, 0.0)), **odd}).encode()
      for odd in ({"expires": "soon"}, {"expires": 1e300}, {"expires": float("nan")}, {"pid": None}, {"actor": ["x"]},
                  {"id": 5}, {"more": 1}, {"started": True})),
]  # fmt: skip


@pytest.mark.parametrize("content", STRANGE)
def test_a_lock_that_cannot_be_read_is_never_free(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "tenant.lock"
    place.write_bytes(content)
    clock = FastClock()
    with (
        pytest.raises(InputError, match="counts as held"),
        hold([PathLock(place)], Holder.me("run-2", "tom", clock), wait_s=1000, clock=clock),
    ):
        pytest.fail("nobody knows who holds it")
    assert place.read_bytes() == content


@pytest.mark.parametrize("content", STRANGE)
def test_a_record_that_cannot_be_read_is_never_free(tmp_path: Path, content: bytes) -> None:
    lock = PathLock(tmp_path / "tenant.lock")
    assert lock.try_acquire(Holder.me("run-1", "anna")) is None
    (tmp_path / "tenant.lock.holder").write_bytes(content)
    with pytest.raises(InputError, match="counts as held"), hold([PathLock(lock.path)], Holder.me("run-2", "tom")):
        pytest.fail("nobody knows who holds it")


@pytest.mark.parametrize("name", ["held-v1-x.claim", "strange"])
def test_a_claim_of_another_form_is_never_free(tmp_path: Path, name: str) -> None:
    lock = PathLock(tmp_path / "tenant.lock")
    with hold([lock], Holder.me("run-1", "anna")):
        pass
    (tmp_path / "tenant.lock.filelock" / "claims" / name).write_text("x")
    with pytest.raises(InputError, match="counts as held"), hold([lock], Holder.me("run-2", "tom")):
        pytest.fail("nobody knows who holds it")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_in_the_place_of_a_lock_is_an_error_at_once(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "tenant.lock")
    with pytest.raises(InputError), hold([PathLock(tmp_path / "tenant.lock")], Holder.me("run-2", "tom")):
        pytest.fail("nobody knows who holds it")


def test_a_system_without_locks_of_the_kernel_gets_no_soft_lock_unsaid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(machine_lock(tmp_path / "lock"), LocalLock)
    monkeypatch.setattr(locking, "KERNEL_LOCKS", False)
    assert isinstance(machine_lock(tmp_path / "lock"), PathLock)


def test_a_file_system_without_locks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", missing)
    with pytest.raises(InputError, match="Function not implemented"):
        LocalLock(tmp_path / "lock").try_acquire(Holder.me("run-1", "anna"))


def test_a_lock_of_this_machine_is_freed_by_the_end_of_its_process(tmp_path: Path) -> None:
    first, second = LocalLock(tmp_path / "tenant"), LocalLock(tmp_path / "tenant")
    with (
        hold([first], Holder.me("run-1", "anna")),
        pytest.raises(Locked, match=rf"end that process \({os.getpid()}\)"),
        hold([second], Holder.me("run-2", "tom")),
    ):
        pytest.fail("two hold one lock")


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


def test_a_place_that_went_away_hides_neither_the_outcome_nor_the_other_locks(tmp_path: Path) -> None:
    share, local = tmp_path / "share", LocalLock(tmp_path / "locks" / "tenant")
    with hold([local, PathLock(share / "tenant.lock")], Holder.me("run-1", "anna")):
        share.rename(tmp_path / "away")
        share.write_text("not a folder")
    assert local.status() is None


def test_a_lock_that_somebody_took_away_is_told_while_it_is_held(tmp_path: Path) -> None:
    told = threading.Event()
    lost: list[str] = []

    def on_lost(text: str) -> None:
        lost.append(text)
        told.set()

    clock = FastClock()
    first, second = Holder.me("run-1", "anna", clock), Holder.me("run-2", "bert", clock)
    lock = PathLock(tmp_path / "tenant.lock")
    with hold([lock], first, on_lost=on_lost, clock=clock):
        assert lock.break_(first.id)
        assert PathLock(tmp_path / "tenant.lock").try_acquire(second.renewed(clock)) is None
        until(lambda: clock.waiting)
        assert not lost, "nothing is noticed before the next beat"
        clock.advance(LIFETIME_S / 3)
        assert told.wait(120)
    assert "not ours any more" in lost[0]


def test_a_lock_that_others_may_take_before_the_next_beat_counts_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may reach a shared place that this machine does not reach any more."""
    clock, told, beats = FastClock(), threading.Event(), threading.Semaphore(0)
    lost: list[str] = []

    def out_of_reach(self: PathLock, holder: Holder) -> None:
        beats.release()
        raise OSError(errno.EHOSTUNREACH, "no route to host")

    def on_lost(text: str) -> None:
        lost.append(text)
        told.set()

    monkeypatch.setattr(PathLock, "renew", out_of_reach)
    me = Holder.me("run-1", "anna", clock)
    with hold([PathLock(tmp_path / "tenant.lock")], me, on_lost=on_lost, clock=clock):
        for _ in range(2):
            assert not lost, "one beat may fail"
            until(lambda: clock.waiting)
            clock.advance(LIFETIME_S / 3)
            assert beats.acquire(timeout=120)
        assert told.wait(120)
    assert "another run may take it: [Errno" in lost[0]


def test_the_heartbeat_keeps_a_lock_beyond_its_lifetime(tmp_path: Path) -> None:
    """Without a beat it would be free for anybody after LIFETIME_S."""
    clock = FastClock()
    lock = lock_of("path", tmp_path, "")
    me = Holder.me("run-1", "anna", clock)
    with hold([lock], me, clock=clock):
        for _ in range(4):
            _beat(lock, clock)
        with pytest.raises(Locked, match="anna"), hold([lock_of("path", tmp_path, "")], me, clock=clock):
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
