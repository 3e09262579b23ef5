"""Locks among real processes, in a real shared folder and on a real git remote."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provisioner.diagnostics import InputError, Locked
from provisioner.locking import GitLock, Holder, LocalLock, Lock, PathLock, hold


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

    def free(holder: Holder) -> None:
        told.append(holder)
        first.release(one)

    with hold([second], Holder.me("run-2", "tom"), wait_s=20, on_wait=free):
        assert [h.actor for h in told] == ["anna"]


@pytest.mark.parametrize("kind", ["path", "git"])
def test_an_expired_lock_is_taken_and_its_old_holder_notices(kind: str, tmp_path: Path, remote: str) -> None:
    first, second = (lock_of(kind, tmp_path, remote) for _ in range(2))
    dead = dataclasses.replace(Holder.me("run-1", "anna"), expires=time.time() - 1)
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
        "from provisioner.locking import Holder, LocalLock\n"
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


def test_a_lock_that_somebody_took_away_is_told_while_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.locking.LIFETIME_S", 0.3)
    lost: list[str] = []
    first, second = Holder.me("run-1", "anna"), Holder.me("run-2", "bert")
    lock = PathLock(tmp_path / "tenant.lock")
    with hold([lock], first, on_lost=lost.append):
        assert lock.break_(first.id)
        assert PathLock(tmp_path / "tenant.lock").try_acquire(second.renewed()) is None
        deadline = time.monotonic() + 5
        while not lost and time.monotonic() < deadline:
            time.sleep(0.02)
    assert lost
    assert "not ours any more" in lost[0]
