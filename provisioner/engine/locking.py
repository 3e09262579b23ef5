"""One apply at a time per tenant.

A local lock always: held by the kernel for the process, so that a killed run frees it at once. Where several machines
apply, a shared one as well: a file in a shared folder, or a ref in a git remote made by a push that must not find it.
The holder of a shared lock changes it again and again as a sign of life. Clocks of two machines differ, so nobody's
word about the time counts: anyone who wants the lock takes it only after having seen it unchanged for a lifetime,
by the monotonic clock of his own machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from provisioner import platforms
from provisioner.border import make_private
from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Diagnostic, InputError, Locked
from provisioner.engine.remote import Git, Rejected, scratch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # "only soft file lock is available": `machine_lock` says it, and takes none
    import filelock

KERNEL_LOCKS = platforms.WINDOWS or filelock.has_fcntl
"""Whether the system locks files for a process. Without fcntl filelock's own choice would be a soft lock."""

LIFETIME_S = 90.0
"""How long a shared lock lives without a sign of its holder, who renews it three times in that time."""

_BEAT_S = LIFETIME_S / 3

_LOOK_S, _WATCH_S = 1.0, 5.0
"""Between two looks at a lock that is waited for, and at one whose holder seems dead."""

_LARGEST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. Times are seconds since the epoch; `id` is what `lock release` asks for.

    `expires` is by the holder's clock: a hint for others, and different at each sign of life.
    """

    id: str
    run: str
    actor: str
    host: str
    pid: int
    started: float
    expires: float

    @classmethod
    def me(cls, run: str, actor: str, clock: Clock = SYSTEM) -> Holder:
        now = clock.now().timestamp()
        return cls(uuid.uuid4().hex[:12], run, actor, socket.gethostname(), os.getpid(), now, now + LIFETIME_S)

    def renewed(self, clock: Clock = SYSTEM) -> Holder:
        return dataclasses.replace(self, expires=clock.now().timestamp() + LIFETIME_S)

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(self.started))
        return f"{self.actor} on {self.host} (pid {self.pid}), run {self.run}, since {since}, lock {self.id}"


class Lock(Protocol):
    """One place where a lock can stand.

    All methods raise InputError where the place cannot be used, or holds something other than a lock: it is never free.
    """

    def try_acquire(self, holder: Holder, dead: Holder | None = None) -> Holder | None:
        """None when it is ours now, otherwise who holds it (a nameless holder where that cannot be read).

        `dead` is a holder whose lock may be taken, if it still stands there as it was seen.
        """

    def renew(self, holder: Holder) -> None:
        """Push the expiry forward. Raises Locked when it is not ours any more."""

    def release(self, holder: Holder) -> None:
        """Let go, if it is still ours."""

    def status(self) -> Holder | None:
        """Who holds it now, if anybody does."""

    def break_(self, id_: str) -> bool:
        """Take the lock with this id away from its holder; False when there is none with it."""

    def freed_by(self, holder: Holder) -> str:
        """How a person frees it whose holder will not."""


@contextlib.contextmanager
def hold(
    locks: Sequence[Lock],
    holder: Holder,
    *,
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] = lambda _: None,
    on_lost: Callable[[str], None] = lambda _: None,
    clock: Clock = SYSTEM,
) -> Iterator[None]:
    """Hold all the locks, in their order, with a heartbeat. Raises Locked when one is not to be had within `wait_s`.

    `on_lost` is told, from another thread, when another party has taken a lock away, or could have, since it was not
    renewed for most of its lifetime: then nothing more may be written.
    """
    held: list[Lock] = []
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(held, holder, ended, on_lost, clock), daemon=True)
    try:
        for lock in locks:
            _acquire(lock, holder, wait_s, on_wait, clock)
            held.append(lock)
            if beat.ident is None:  # also while the next one is waited for, which can take longer than a lifetime
                beat.start()
        yield
    finally:
        ended.set()
        if beat.ident is not None:
            beat.join()  # a sign of life that is under way would bring back a lock that was let go
        for lock in reversed(held):
            # What was done under it is done. A place that is out of reach must not hide that; the lock ends by itself.
            with contextlib.suppress(InputError, OSError, subprocess.SubprocessError):
                lock.release(holder)


def _acquire(lock: Lock, holder: Holder, wait_s: float, on_wait: Callable[[Holder], None], clock: Clock) -> None:
    """The lock, within `wait_s`. One that seems to have expired is watched for its lifetime, however short `wait_s`."""
    deadline = clock.monotonic() + wait_s
    seen: Holder | None = None
    since, lives, told, dead = 0.0, False, False, None
    while other := lock.try_acquire(holder.renewed(clock), dead):
        now = clock.monotonic()
        if other != seen:
            lives = seen is not None
            seen, since = other, now
        still_s = now - since
        if still_s >= LIFETIME_S and dead is None and not isinstance(lock, LocalLock):
            dead = other
            continue
        dead = None
        expired = not lives and other.expires <= clock.now().timestamp() and still_s < LIFETIME_S
        left = max(LIFETIME_S - still_s if expired else 0.0, deadline - now)
        if left <= 0:
            raise Locked(f"the tenant is being changed by {other}; wait for it, or {lock.freed_by(other)}")
        if not told:
            on_wait(other)
            told = True
        clock.pause(min(_WATCH_S if expired else _LOOK_S, left))


def _beat(
    locks: Sequence[Lock], holder: Holder, ended: threading.Event, on_lost: Callable[[str], None], clock: Clock
) -> None:
    """Until the end. A beat that fails is tried again at the next, unless the lock could be taken before that."""
    alive = clock.monotonic()
    while not clock.wait(ended, _BEAT_S):
        failed = ""
        for lock in tuple(locks):
            try:
                lock.renew(holder.renewed(clock))
            except Locked as error:
                on_lost(str(error))
                return
            except (InputError, OSError, subprocess.SubprocessError) as error:
                failed = str(error)
        if not failed:
            alive = clock.monotonic()
        elif clock.monotonic() - alive >= LIFETIME_S - _BEAT_S:
            on_lost(f"the lock could not be renewed, and another run may take it: {failed}")
            return


def machine_lock(path: Path) -> Lock:
    """The lock among the processes of this machine and user.

    Where the system has no file locks of the kernel it is one as in a shared folder: then a killed run is known by its
    missing signs of life only. filelock would take a soft lock there, and say so in a warning of Python alone.
    """
    return LocalLock(path) if KERNEL_LOCKS else PathLock(path)


@dataclass(slots=True)
class LocalLock:
    """A lock among the processes of this machine and user, by the kernel: gone when its process is, however it ended.

    Who holds it is told in a file beside it: on Windows nobody else can read a locked file (LockFileEx).
    """

    path: Path
    _held: filelock.BaseFileLock | None = None

    @property
    def _beside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.holder")

    def try_acquire(self, holder: Holder, dead: Holder | None = None) -> Holder | None:  # noqa: ARG002 - none is dead
        with _place(self.path):
            make_private(self.path.parent)
            held = self._acquired()
            if held is None:
                return self._read() or dataclasses.replace(holder, id="?", run="?", actor="another run", pid=0)
            self._held = held
            _write(self._beside, holder_text(holder))
        return None

    def _acquired(self) -> filelock.BaseFileLock | None:
        """The kernel's lock, or None where another has it. Never a soft one: a file system without locks is refused."""
        lock = filelock.FileLock(
            self.path, mode=0o600, thread_local=False, fallback_to_soft=False, preserve_lock_file=True
        )
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            return None
        return lock

    def renew(self, holder: Holder) -> None:
        """Nothing to do: the kernel knows that we live."""

    def release(self, holder: Holder) -> None:  # noqa: ARG002 - the lock itself is the proof
        if self._held is not None:
            platforms.remove(self._beside)
            self._held.release()
            self._held = None

    def status(self) -> Holder | None:
        if not self.path.exists():
            return None
        with _place(self.path):
            held = self._acquired()
            if held is None:
                return self._read()
            held.release()
        return None

    def break_(self, id_: str) -> bool:  # noqa: ARG002
        """A local lock cannot be stale: end the process instead."""
        return False

    def freed_by(self, holder: Holder) -> str:
        return f"end that process ({holder.pid})" if holder.pid else "end the process that holds it"

    def _read(self) -> Holder | None:
        with contextlib.suppress(OSError, InputError):
            return parse_holder(json.loads(_content(self._beside)), self._beside)
        return None


@dataclass(slots=True)
class PathLock:
    """A lock in a folder that several machines share: a claim of filelock's strict lock, and a record of its holder.

    filelock decides who has it and never takes a claim away. The record, which its holder renews, tells the claim that
    it belongs to; a claim whose record stands still is broken by its own name, so that no later one is.
    """

    path: Path
    _lock: filelock.StrictSoftFileLock | None = None
    _claim: str = ""

    @property
    def _record(self) -> Path:
        return self.path.with_name(f"{self.path.name}.holder")

    def try_acquire(self, holder: Holder, dead: Holder | None = None) -> Holder | None:
        with self._used():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            other, claims = self._look()
            if other and other != dead:
                return other
            self._break(claims)
            lock = self._strict()
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                return self._look()[0] or _nameless(holder.id)
            # Of two that tried at once both may still show a held claim: the lesser token has won.
            self._lock, self._claim = lock, min((c.token for c in lock.claims if c.state == "held"), default="")
            self._tell(holder)
        return None

    def renew(self, holder: Holder) -> None:
        with self._used():
            if not any(c.token == self._claim and c.state == "held" for c in self._strict().claims):
                raise Locked(f"the lock {self.path} is not ours any more: it is held by {self._look()[0] or 'nobody'}")
            self._tell(holder)

    def release(self, holder: Holder) -> None:
        with self._used():
            there, _ = self._look()
            if there and there.id == holder.id:
                platforms.remove(self._record)
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def status(self) -> Holder | None:
        if not self.path.parent.exists():
            return None
        with self._used():
            return self._look()[0]

    def break_(self, id_: str) -> bool:
        with self._used():
            there, claims = self._look()
            if there is None or there.id != id_:
                return False
            self._break(claims)
        return True

    def freed_by(self, holder: Holder) -> str:
        return f"free a dead one: lock release {holder.id}"

    def _strict(self) -> filelock.StrictSoftFileLock:
        return filelock.StrictSoftFileLock(self.path, mode=0o600, thread_local=False)

    def _look(self) -> tuple[Holder | None, Sequence[str]]:
        """Who holds it, and the names of his claims. A claim without its record is somebody's who has just begun."""
        strict = self._strict()
        if occupant := strict.lock_path_occupant:
            raise _unreadable(self.path, f"it is {occupant}")
        token, holder = self._told()
        claims = strict.claims
        if not claims:
            return None, ()
        first = min(claims, key=lambda c: (c.state != "held", c.token))
        names = [c.name for c in claims if c.token == first.token]
        if holder is None or token != first.token:
            holder = dataclasses.replace(_nameless(first.token[:12]), host=first.hostname, pid=first.pid)
        return holder, names

    def _told(self) -> tuple[str, Holder | None]:
        """The claim that the record belongs to, and its holder."""
        try:
            content = _content(self._record)
        except FileNotFoundError:
            return "", None
        try:
            document = json.loads(content)
            token = document.pop("claim")
        except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
            raise _unreadable(self._record, "it holds something else") from None
        return str(token), parse_holder(document, self._record)

    def _tell(self, holder: Holder) -> None:
        _write(self._record, json.dumps({**dataclasses.asdict(holder), "claim": self._claim}).encode())

    def _break(self, claims: Sequence[str]) -> None:
        for name in claims:
            with contextlib.suppress(FileNotFoundError):
                self._strict().force_break(name)

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        with _place(self.path):
            try:
                yield
            except filelock.SoftFileLockProtocolError as error:
                raise _unreadable(self.path, str(error)) from None


def _nameless(id_: str) -> Holder:
    """Somebody who has not said who he is; nothing tells that he lives."""
    return Holder(id_, "?", "another run", "another machine", 0, 0.0, 0.0)


@dataclass(slots=True)
class GitLock:
    """A ref in a git remote: made by a push that must not find it, kept and let go by pushes that must find ours.

    Needs a git client and the right to push to `refs/provisioner/locks/` of the remote; works from any folder.
    """

    remote: str
    name: str
    _ours: str = ""

    @property
    def _ref(self) -> str:
        return f"refs/provisioner/locks/{self.name}"

    def try_acquire(self, holder: Holder, dead: Holder | None = None) -> Holder | None:
        with scratch("lock") as git:
            seen, other = self._look(git)
            if other and other != dead:
                return other
            if self._push(git, holder, expect=seen):
                return None
            return self._look(git)[1] or holder

    def renew(self, holder: Holder) -> None:
        with scratch("lock") as git:
            if not self._push(git, holder, expect=self._ours):
                raise Locked(f"the lock {self._ref} is not ours any more")

    def release(self, holder: Holder) -> None:  # noqa: ARG002 - the object pushed last is the proof
        with scratch("lock") as git, contextlib.suppress(InputError):
            git("push", "--quiet", f"--force-with-lease={self._ref}:{self._ours}", "--", self.remote, f":{self._ref}")

    def status(self) -> Holder | None:
        with scratch("lock") as git:
            return self._look(git)[1]

    def break_(self, id_: str) -> bool:
        with scratch("lock") as git:
            seen, other = self._look(git)
            if other is None or other.id != id_:
                return False
            git("push", "--quiet", f"--force-with-lease={self._ref}:{seen}", "--", self.remote, f":{self._ref}")
            return True

    def freed_by(self, holder: Holder) -> str:
        return f"free a dead one: lock release {holder.id}"

    def _look(self, git: Git) -> tuple[str, Holder | None]:
        """The object that the ref names ("" for none) and the holder that it tells."""
        listed = git("ls-remote", "--", self.remote, self._ref).split()
        if not listed:
            return "", None
        git("fetch", "--quiet", "--depth=1", "--", self.remote, self._ref)
        try:
            document = json.loads(git("cat-file", "-p", "FETCH_HEAD^{tree}:holder"))
        except (ValueError, RecursionError):
            raise _unreadable(self._ref, "it holds something else") from None
        return listed[0], parse_holder(document, self._ref)

    def _push(self, git: Git, holder: Holder, expect: str) -> bool:
        """Push the holder as a commit, if the remote's ref is still what we saw ("" for: must not exist)."""
        blob = git("hash-object", "-w", "--stdin", text=holder_text(holder).decode()).strip()
        tree = git("mktree", text=f"100644 blob {blob}\tholder\n").strip()
        commit = git("commit-tree", tree, "-m", f"lock {self.name}").strip()
        try:
            lease = f"--force-with-lease={self._ref}:{expect}"
            git("push", "--quiet", lease, "--", self.remote, f"{commit}:{self._ref}")
        except Rejected:
            return False
        self._ours = commit
        return True


def _write(path: Path, content: bytes) -> None:
    """Put a file in its place, whole: nobody reads half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    file = platforms.descriptor(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(file, "wb") as stream:  # noqa: PTH123 - made with a mode
        stream.write(content)
    platforms.replace(aside, path)


def holder_text(holder: Holder) -> bytes:
    """A holder as a shared place keeps it."""
    return json.dumps(dataclasses.asdict(holder)).encode()


def _content(path: Path) -> bytes:
    """The content of a lock file, without waiting for a writer of a pipe. Raises OSError."""
    with open(platforms.descriptor(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123
        return file.read(_LARGEST_BYTES)


def parse_holder(document: Any, place: object) -> Holder:
    """The holder that a lock tells. Raises InputError for anything else: nobody knows who may be writing."""
    try:
        holder = Holder(**document)
    except TypeError:
        raise _unreadable(place, "it holds something else") from None
    texts = (holder.id, holder.run, holder.actor, holder.host)
    numbers = (holder.pid, holder.started, holder.expires)
    if not all(isinstance(t, str) for t in texts) or not all(
        type(n) in (int, float) and 0 <= n < _LATEST for n in numbers
    ):
        raise _unreadable(place, "it holds something else")
    return holder


_LATEST = 253402300800.0
"""The end of the year 9999, in seconds since the epoch: no time of a lock is later."""


def _unreadable(place: object, why: str) -> InputError:
    what = f"the lock {place} cannot be read: {why}. Somebody may hold it, so it counts as held"
    return InputError([Diagnostic("LOCK-UNREADABLE", what, "see that no apply is running, then delete it by hand")])


@contextlib.contextmanager
def _place(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"the lock {path} cannot be used: {error.strerror or error}"
        raise InputError([Diagnostic("LOCK-PLACE", what, "make the place writable, or configure another")]) from error
