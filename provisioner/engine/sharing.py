"""A journal that several machines share, in a folder or in a git ref: batches of lines, each under the next number.

A batch is put where nothing may be yet, so that nobody overwrites what another run has written: who finds the number
taken stops (`Moved`). What is fetched was written by others. It is bounded in size and number; what has another form is
passed over by name.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from provisioner import platforms
from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Diagnostic, InputError, JournalBroken
from provisioner.engine.remote import Git, Rejected, scratch

LARGEST_BYTES = 64 << 20
MOST_BATCHES = 100_000
"""What is read of a shared journal at most: a larger one is an error, not a part of it."""

_TRIES, _PAUSE_S, _BETWEEN_S = 3, 2.0, 1.0
"""A batch is sent so often, with so much time in between; the next one not before a second has passed."""

_NAME = re.compile(r"([0-9]{10})\.jsonl")
_LAST = 10**10 - 1


@dataclass(frozen=True, slots=True)
class Fetched:
    """The lines of a shared journal, and the names of what lies there and is not a batch."""

    content: bytes = b""
    strange: tuple[str, ...] = ()


class Moved(InputError):
    """Another run has written to the journal since it was fetched."""


class Remote(Protocol):
    """One tenant's journal in the shared place. All methods raise InputError where the place cannot be used."""

    def fetch(self) -> Fetched:
        """All that is there. Raises InputError for more than is read."""

    def append(self, lines: bytes) -> None:
        """Add a batch after what was fetched. Raises Moved where another party was first.

        The same lines may be given again where it is not known what became of them.
        """


class Share(Protocol):
    """A place for the journals of several tenants."""

    def names(self) -> Sequence[str]:
        """The names of those that are there."""

    def journal(self, name: str) -> AbstractContextManager[Remote]:
        """The one with a name; it need not exist."""


# --- in a folder -----------------------------------------------------------------------------------------------------

_SUFFIX = ".journal"


@dataclass(frozen=True, slots=True)
class FolderShare:
    """A folder for each tenant in a folder that several machines share."""

    folder: Path

    def names(self) -> Sequence[str]:
        with _place(self.folder):
            return sorted(p.name.removesuffix(_SUFFIX) for p in self.folder.glob(f"*{_SUFFIX}") if p.is_dir())

    @contextlib.contextmanager
    def journal(self, name: str) -> Iterator[Remote]:
        yield FolderJournal(self.folder / f"{name}{_SUFFIX}")


@dataclass(slots=True)
class FolderJournal:
    """Batches as files. Each is written whole under another name and then gets its own, which overwrites nothing."""

    folder: Path
    _next: int = 1

    def fetch(self) -> Fetched:
        with _place(self.folder):
            try:
                names = sorted(entry.name for entry in os.scandir(self.folder) if not entry.name.startswith("."))
            except FileNotFoundError:
                return Fetched()
            batches = [name for name in names if _NAME.fullmatch(name)]
            check_count(len(batches))
            content, strange = bytearray(), [name for name in names if not _NAME.fullmatch(name)]
            for name in batches:
                lines = _read(self.folder / name, LARGEST_BYTES - len(content))
                if lines is None:
                    strange.append(name)
                else:
                    content += lines
                if len(content) > LARGEST_BYTES:
                    raise too_large()
        self._next = _after(batches)
        return Fetched(bytes(content), tuple(strange))

    def append(self, lines: bytes) -> None:
        with _place(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            place = self.folder / _name(self._next)
            try:
                platforms.write_new(place, lines)
            except FileExistsError:
                if _read(place, len(lines)) != lines:
                    raise moved(str(self.folder)) from None
        self._next += 1


def _read(path: Path, most: int) -> bytes | None:
    """The content of an ordinary file, of a larger one a byte more than `most`; None for anything else."""
    try:
        file = platforms.descriptor(path, os.O_RDONLY, follow=False)
    except OSError:
        if path.is_symlink() or not path.is_file():
            return None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    with open(file, "rb") as stream:  # noqa: PTH123 - opened with flags
        return stream.read(most + 1)


# --- in a git ref ----------------------------------------------------------------------------------------------------

PREFIX = "refs/provisioner/journal"
"""Where the refs of journals lie, unless the setting says otherwise. No branch: no pipeline starts for it."""


@dataclass(frozen=True, slots=True)
class GitShare:
    """A ref for each tenant in a git remote. Needs a git client and the right to push below `prefix`."""

    remote: str
    prefix: str = PREFIX

    def names(self) -> Sequence[str]:
        with scratch("journal") as git:
            lines = git("ls-remote", "--", self.remote, f"{self.prefix}/*").splitlines()
        return sorted(line.partition("\t")[2].removeprefix(f"{self.prefix}/") for line in lines)

    @contextlib.contextmanager
    def journal(self, name: str) -> Iterator[Remote]:
        with scratch("journal") as git:
            yield GitJournal(git, self.remote, f"{self.prefix}/{name}")


@dataclass(slots=True)
class GitJournal:
    """Batches as the files of a commit. Each push must find the commit that was fetched or pushed last."""

    git: Git
    remote: str
    ref: str
    _seen: str = ""
    _tree: list[str] = field(default_factory=list)
    _next: int = 1
    _pending: tuple[bytes, str, str] = (b"", "", "")

    def fetch(self) -> Fetched:
        if not self._remote_commit():
            return Fetched()
        self.git("fetch", "--quiet", "--depth=1", "--", self.remote, self.ref)
        self._seen = self.git("rev-parse", "FETCH_HEAD^{commit}").strip()
        self._tree = self.git("ls-tree", "-z", "--full-tree", self._seen).split("\0")[:-1]
        entries = [_entry(line) for line in self._tree]
        blobs = {name: id_ for kind, id_, name in entries if kind == "blob" and _NAME.fullmatch(name)}
        check_count(len(blobs))
        self._next = _after(blobs)
        content = self._contents([blobs[name] for name in sorted(blobs)])
        return Fetched(content, tuple(name for _, _, name in entries if name not in blobs))

    def _remote_commit(self) -> str:
        """What the ref names, "" for none."""
        return (self.git("ls-remote", "--", self.remote, self.ref).split() or [""])[0]

    def _contents(self, ids: Sequence[str]) -> bytes:
        """The blobs one after the other. Their sizes are asked first: nothing that is too large is read."""
        asked = "".join(f"{id_}\n" for id_ in ids).encode()
        sizes = self.git.raw("cat-file", "--batch-check=%(objectsize)", content=asked).split()
        if sum(map(int, sizes)) > LARGEST_BYTES:
            raise too_large()
        answer, content, at = self.git.raw("cat-file", "--batch", content=asked), bytearray(), 0
        for size in map(int, sizes):
            begin = answer.index(b"\n", at) + 1
            content += answer[begin : begin + size]
            at = begin + size + 1
        return bytes(content)

    def append(self, lines: bytes) -> None:
        if self._pending[0] != lines:
            self._pending = (lines, *self._committed(lines))
        _, line, commit = self._pending
        try:
            lease = f"--force-with-lease={self.ref}:{self._seen}"
            self.git("push", "--quiet", lease, "--", self.remote, f"{commit}:{self.ref}")
        except Rejected as error:
            there = self._remote_commit()
            if there == self._seen:
                raise InputError(error.diagnostics) from None  # refused, and nobody else has written
            if there != commit:  # an earlier push that nobody answered may have been carried out
                raise moved(f"{self.remote} {self.ref}") from None
        self._seen, self._pending = commit, (b"", "", "")
        self._tree.append(line)
        self._next += 1

    def _committed(self, lines: bytes) -> tuple[str, str]:
        """The line of the tree for a batch, and a commit with it, which follows the one that was seen."""
        blob = self.git.raw("hash-object", "-w", "--stdin", content=lines).decode().strip()
        line = f"100644 blob {blob}\t{_name(self._next)}"
        text = "".join(f"{entry}\0" for entry in (*self._tree, line))
        tree = self.git("mktree", "-z", text=text).strip()
        parent = ("-p", self._seen) if self._seen else ()
        return line, self.git("commit-tree", tree, *parent, "-m", "Add entries of an apply").strip()


def _entry(line: str) -> tuple[str, str, str]:
    """The type, the object id and the name of `MODE TYPE ID<tab>NAME` (git-ls-tree(1))."""
    facts, _, name = line.partition("\t")
    mode, kind, id_ = facts.split()
    return kind if mode.startswith("100") else "link", id_, name


# --- both ------------------------------------------------------------------------------------------------------------


def _name(number: int) -> str:
    if number > _LAST:
        raise InputError(
            [Diagnostic("JOURNAL-NAMES", "the shared journal has no number left for a batch", _BEGIN_ANEW)]
        )
    return f"{number:010d}.jsonl"


def _after(names: Iterable[str]) -> int:
    return max((int(name.partition(".")[0]) for name in names), default=0) + 1


def check_count(batches: int) -> None:
    """Raise InputError for more batches than are read."""
    if batches > MOST_BATCHES:
        what = f"the shared journal has {batches:,} batches, and at most {MOST_BATCHES:,} are read"
        raise InputError([Diagnostic("JOURNAL-SIZE", what, _BEGIN_ANEW)])


_BEGIN_ANEW = "keep a copy of it (provisioner history export), and begin another: name another folder or ref"


def too_large() -> InputError:
    """The error of a journal that is larger than what is read."""
    what = f"the shared journal is larger than {LARGEST_BYTES >> 20} MiB, which is the most that is read"
    return InputError([Diagnostic("JOURNAL-SIZE", what, _BEGIN_ANEW)])


def moved(place: str) -> Moved:
    """The error of an append where another party was first."""
    what = f"another run has written to the shared journal {place} since this one began"
    return Moved([Diagnostic("JOURNAL-MOVED", what, "set lock to the same place, so that one run waits for the other")])


@contextlib.contextmanager
def _place(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"the shared journal {folder} cannot be used: {error.strerror or error}"
        raise InputError([Diagnostic("JOURNAL-PLACE", what, "make the folder writable, or name another")]) from error


class Pushing:
    """Sends the lines that a run records, in batches, from a thread of its own.

    What cannot be sent after three tries breaks the run off: `on_broken` is told in that thread, and `add` and `flush`
    raise JournalBroken from then on.
    """

    def __init__(
        self, remote: Remote, on_broken: Callable[[str], None] = lambda _: None, clock: Clock = SYSTEM
    ) -> None:
        self._remote, self._on_broken, self._clock = remote, on_broken, clock
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._waiting: list[bytes] = []
        self._busy = self._closed = False
        self._error: JournalBroken | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, line: bytes) -> None:
        """Send a line with the next batch. Raises JournalBroken."""
        with self._changed:
            self._raise()
            self._waiting.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything is sent. Raises JournalBroken."""
        self._hurry.set()
        with self._changed:
            self._changed.wait_for(lambda: self._error or not (self._waiting or self._busy))
            self._hurry.clear()
            self._raise()

    def close(self) -> bool:
        """Send what is left, and end; whether all was sent."""
        with contextlib.suppress(JournalBroken):
            self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._hurry.set()
        self._thread.join()
        return self._error is None

    def _raise(self) -> None:
        if self._error is not None:
            raise JournalBroken(str(self._error))

    def _work(self) -> None:
        while (batch := self._batch()) is not None:
            error = self._sent(batch)
            with self._changed:
                self._busy, self._error = False, error
                self._changed.notify_all()
            if error is not None:
                self._on_broken(str(error))
                return
            self._clock.wait(self._hurry, _BETWEEN_S)

    def _batch(self) -> bytes | None:
        """What is to be sent next; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batch, self._waiting = b"".join(self._waiting), []
            self._busy = bool(batch)
            return batch or None

    def _sent(self, batch: bytes) -> JournalBroken | None:
        """Send a batch, several times if need be; what went wrong in the end."""
        for left in reversed(range(_TRIES)):
            try:
                self._remote.append(batch)
                return None
            except Moved as error:
                return JournalBroken(str(error))
            except InputError as error:
                if not left:
                    return JournalBroken(f"the shared journal cannot be written: {error}")
                self._clock.pause(_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - a thread that ended unheard would be waited for for ever
                return JournalBroken(f"the shared journal cannot be written: {type(error).__name__}: {error}")
        return None
