"""The append-only record of every apply: what was intended, sent, answered and observed.

One file a tenant, JSON lines, each forced to disk before the next thing happens and chained to the one before by
SHA-256, so that a line changed or taken out later shows. A line cut off by a crash is kept and noted, never mended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from provisioner import platforms
from provisioner.border import make_private
from provisioner.changes.changeset import fields_document, request_document
from provisioner.diagnostics import Diagnostic, InputError, JournalBroken, TenantError
from provisioner.engine.events import Answered, Event, Finished, Sending, Started
from provisioner.model import Address, Change, Drift

Entry = Mapping[str, Any]

_START = "0" * 64


@dataclass(slots=True)
class Journal:
    """An open journal. `record` returns when the line is on disk. Close it, or use it as a context manager.

    A line that could not be written whole is the last one: the next run accounts for it (`open`).
    """

    path: Path
    run: str
    _file: int = -1
    _previous: str = _START
    _number: int = 0
    _broken: bool = False

    @classmethod
    def open(cls, path: Path, run: str) -> Journal:
        """Open or begin the journal at `path` for the run named `run`. Raises InputError when that is impossible."""
        try:
            make_private(path.parent)
            last, whole, previous, number = _tail(path)
            file = platforms.descriptor(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            what = f"the journal {path} cannot be written: {error.strerror or error}"
            mend = "apply writes nothing that it cannot record: make the place writable"
            raise InputError([Diagnostic("JOURNAL-WRITE", what, mend)]) from error
        journal = cls(path, run, file, previous, number)
        if last and not last.endswith(b"\n"):
            journal._write(b"\n")
        if last and not whole:
            journal.record("torn", bytes=len(last), sha256=hashlib.sha256(last).hexdigest())
        return journal

    def record(self, kind: str, **facts: Any) -> None:
        """Append one line and force it to disk. Raises JournalBroken where that fails, and ever after."""
        entry = {
            "number": self._number + 1,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "run": self.run,
            "kind": kind,
            **facts,
            "previous": self._previous,
        }
        entry["hash"] = _hash(entry)
        self._write((json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass"))
        self._previous, self._number = entry["hash"], self._number + 1

    def _write(self, line: bytes) -> None:
        """All of it, to the disk: a write may take a part only (POSIX, write(2))."""
        if self._broken:
            raise JournalBroken(f"the journal {self.path} could not be written before")
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            self._broken = True
            raise JournalBroken(f"the journal {self.path} cannot be written: {error.strerror or error}") from error

    def observe(self, event: Event) -> None:
        """An observer of `engine.apply`: what is intended is on disk before it is sent."""
        match event:
            case Started(change):
                sides = {
                    "before": None if change.before is None else fields_document(change.before),
                    "after": None if change.after is None else fields_document(change.after),
                }
                self.record("started", address=str(change.address), action=change.action.value, **sides)
            case Sending(change, step, request):
                self.record("sending", address=str(change.address), step=step, request=request_document(request))
            case Answered(change, step, _, answer):
                facts = _refusal(answer) if isinstance(answer, TenantError) else _acceptance(answer)
                self.record("answered", address=str(change.address), step=step, **facts)
            case Finished(result):
                facts = {"status": result.status, "detail": result.detail, "warnings": list(result.warnings)}
                facts |= {"object_id": result.object_id} if result.object_id else {}
                self.record("finished", address=str(result.address), action=result.action.value, **facts)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: how many entries stand, and a sentence for each thing that is wrong."""

    entries: int
    faults: tuple[str, ...] = ()


def entries(path: Path) -> Iterator[Entry]:
    """The entries of a journal, oldest first. A line that is none is passed over (`passed_over`)."""
    for _, entry, _ in _lines(path):
        if entry is not None and _is_known(entry):
            yield entry


def passed_over(path: Path) -> Sequence[int]:
    """The numbers of the lines that say nothing to this version: newer, edited, or torn and not accounted for."""
    found: list[int] = []
    torn = 0
    for number, entry, _ in _lines(path) if path.exists() else ():
        if torn and (entry is None or entry.get("kind") != "torn"):
            found.append(torn)
        torn = number if entry is None else 0
        if entry is not None and not _is_known(entry):
            found.append(number)
    return [*found, torn] if torn else found


def verify(path: Path) -> Verdict:
    """Check the chain from the first line to the last."""
    faults: list[str] = []
    previous, count, torn = _START, 0, 0
    for number, entry, _ in _lines(path):
        if entry is None:
            torn = number
            continue
        if torn and entry.get("kind") != "torn":
            faults.append(f"line {torn} is no entry, and no later entry accounts for it")
        torn = 0
        count += 1
        if entry.get("previous") != previous:
            faults.append(f"line {number} does not follow the line before it: something was changed or taken out")
        if entry.get("hash") != _hash({k: v for k, v in entry.items() if k != "hash"}):
            faults.append(f"line {number} was changed after it was written")
        previous = str(entry.get("hash"))
    if torn:
        faults.append(f"line {torn} is torn: a run ended while it was being written")
    return Verdict(count, tuple(faults))


def begun(path: Path, digest: str) -> dict[str, int]:
    """The addresses that runs of the change set with this digest began to write and did not finish.

    Each with how many steps were sent; what of them was carried out is for a reading of the tenant to say. A change
    that was seen done is not among them: what became of it since is none of that run's doing.
    """
    runs: set[str] = set()
    sent: dict[str, int] = {}
    for entry in entries(path) if path.exists() else ():
        if entry["kind"] == "begin" and entry.get("digest") == digest:
            runs.add(entry["run"])
        elif entry["kind"] == "sending" and entry["run"] in runs:
            sent[entry["address"]] = max(sent.get(entry["address"], 0), entry["step"] + 1)
        elif entry["kind"] == "finished" and entry["run"] in runs and entry["status"] in {"done", "already_done"}:
            sent.pop(entry["address"], None)
    return sent


def _is_known(entry: Entry) -> bool:
    """Whether an entry has what is read of its kind. Kinds of a newer version are read for nothing, and stand."""
    texts = {"run", "time", "kind"} | _TEXTS.get(str(entry.get("kind")), frozenset())
    if not all(isinstance(entry.get(name), str) for name in texts):
        return False
    if entry["kind"] == "started":
        sides = [entry[name] for name in ("before", "after") if name in entry]
        if len(sides) == 1 or not all(side is None or isinstance(side, dict) for side in sides):
            return False
    if entry["kind"] == "sending" and type(entry.get("step")) is not int:
        return False
    try:
        return "address" not in texts or bool(Address.parse(entry["address"]))
    except ValueError:
        return False


_TEXTS: Mapping[str, frozenset[str]] = {
    "started": frozenset({"address", "action"}),
    "sending": frozenset({"address"}),
    "finished": frozenset({"address", "status"}),
}
"""The texts of an entry by its kind, besides those that each has."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What one run did to one object: its fields before and after (None: it was not there), and how it ended.

    `object_id` is the id that the object keeps when it is renamed, "" where it is not known.
    """

    run: str
    time: str
    address: str
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    status: str
    detail: str = ""
    object_id: str = ""
    tried: tuple[Mapping[str, Any], ...] = ()
    """Of the last deed that was seen done: what later ones would have left, which were not seen."""

    @property
    def done(self) -> bool:
        return self.status == "done"


def deeds(path: Path, run: str | None = None) -> Iterator[Deed]:
    """What runs did, oldest first, of all or of one. A change that was begun and never ended has the status "begun"."""
    open_: dict[tuple[str, str], Entry] = {}
    for entry in entries(path) if path.exists() else ():
        if run is not None and entry["run"] != run:
            continue
        key = (entry["run"], entry.get("address", ""))
        if entry["kind"] == "started" and "after" in entry:
            open_[key] = entry
        elif entry["kind"] == "finished" and key in open_:
            yield _deed(open_.pop(key), entry)
    for entry in open_.values():
        yield _deed(entry, {"status": "begun"})


def _deed(started: Entry, finished: Entry) -> Deed:
    return Deed(
        started["run"],
        started["time"],
        started["address"],
        started["action"],
        started["before"],
        started["after"],
        str(finished["status"]),
        str(finished.get("detail", "")),
        str(finished.get("object_id", "")),
    )


def brought(path: Path) -> dict[str, Deed]:
    """By address the last thing that was done to an object and seen done, with what was tried since (`Deed.tried`)."""
    found: dict[str, Deed] = {}
    for deed in deeds(path):
        if deed.done:
            found[deed.address] = deed
        elif deed.after is not None and deed.address in found and deed.status in _UNSEEN:
            last = found[deed.address]
            found[deed.address] = dataclasses.replace(last, tried=(*last.tried, deed.after))
    return found


_UNSEEN = frozenset({"begun", "unconfirmed", "waiting", "left", "failed"})
"""How a change may have ended whose writes were carried out, or some of them, and not seen."""


def drift_of(changes: Iterable[Change], deeds: Mapping[str, Deed]) -> Sequence[Drift]:
    """What is not as the last run left it, of the objects that a plan looked at. `deeds` are those seen done.

    A value that a later run sent and could not see is ours too: nobody else is blamed for it.
    """
    found = []
    for change in changes:
        deed = deeds.get(str(change.address))
        if deed is None or deed.after is None:
            continue
        live = None if change.before is None else fields_document(change.before)
        # What the plan does not write any more is not read for it either.
        ours = deed.after if live is None else {**live, **{n: v for n, v in deed.after.items() if n in live}}
        if live is not None:
            ours = {
                **ours,
                **{n: v for tried in deed.tried for n, v in tried.items() if n in ours and live.get(n) == v},
            }
        drift = Drift(change.address, ours, live, deed.run)
        if drift.fields:
            found.append(drift)
    return found


def _acceptance(answer: Any) -> dict[str, Any]:
    return {"ok": True, "warnings": list(answer.warnings), "request_ids": list(answer.request_ids)}


def _refusal(error: TenantError) -> dict[str, Any]:
    return {"ok": False, "error": {"kind": error.kind, "text": str(error), "request_id": error.request_id}}


def _hash(entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None, bytes]]:
    """(line number from 1, entry or None for a line that is no entry, the line) for every line with content."""
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            entry = None
            with contextlib.suppress(ValueError, RecursionError):
                entry = json.loads(line.decode("utf-8", "surrogatepass"))
            yield number, entry if isinstance(entry, dict) else None, line


def _opened(path: Path) -> BinaryIO:
    """The journal to be read. Raises InputError for what is no ordinary file: a pipe would be waited for for ever."""
    try:
        file = open(platforms.descriptor(path, os.O_RDONLY), "rb")  # noqa: PTH123, SIM115
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        why = "it is not an ordinary file"
    except OSError as error:
        why = error.strerror or str(error)
    raise InputError([Diagnostic("JOURNAL-READ", f"the journal {path} cannot be read: {why}", "move it away")])


def _tail(path: Path) -> tuple[bytes, bool, str, int]:
    """The last line, whether it is an entry, the hash of the last entry and its number."""
    last, whole, previous, number = b"", True, _START, 0
    if not path.exists():
        return last, whole, previous, number
    for _, entry, line in _lines(path):
        last, whole = line, entry is not None
        if entry is not None:
            previous = str(entry.get("hash"))
            number = entry["number"] if type(entry.get("number")) is int else number
    return last, whole, previous, number
