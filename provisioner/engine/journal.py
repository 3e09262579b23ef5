"""The append-only record of every apply: what was intended, sent, answered and observed.

One file a tenant, JSON lines, each forced to disk before the next thing happens and chained to the one before by
SHA-256, so that a line changed or taken out later shows. A line cut off by a crash is kept and noted, never repaired.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from provisioner import platforms
from provisioner.border import make_private
from provisioner.changes.changeset import fields_document, write_document
from provisioner.diagnostics import Diagnostic, InputError, JournalBroken, TenantError
from provisioner.engine.events import Answered, Event, Finished, Sending, Started
from provisioner.engine.sharing import Pushing
from provisioner.model import Address, Change, Drift

Entry = Mapping[str, Any]

_START = "0" * 64


@dataclass(slots=True)
class Journal:
    """An open journal. `record` returns when the line is on disk. Close it, or use it as a context manager.

    A line that could not be written whole is the last one: the next run accounts for it (`open`). Where the journal is
    shared, each line is also given to `share` once it is on disk.
    """

    path: Path
    run: str
    share: Pushing | None = None
    _file: int = -1
    _previous: str = _START
    _number: int = 0
    _broken: bool = False

    @classmethod
    def open(cls, path: Path, run: str, *, after: Path | None = None, share: Pushing | None = None) -> Journal:
        """Open or begin the journal at `path` for the run named `run`. Raises InputError when that is impossible.

        `after` is another journal that this one continues: it holds what was fetched of a shared one.
        """
        try:
            make_private(path.parent)
            last, whole, previous, number = _tail(after or path)
            file = platforms.descriptor(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            what = f"the journal {path} cannot be written: {error.strerror or error}"
            hint = "apply writes nothing that it cannot record: make the place writable"
            raise InputError([Diagnostic("JOURNAL-WRITE", what, hint)]) from error
        journal = cls(path, run, share, file, previous, number)
        if last and not last.endswith(b"\n") and after is None:
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
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
        self._write(line)
        self._previous, self._number = entry["hash"], self._number + 1
        if self.share is not None:
            self.share.add(line)

    def begin(self, changes: Iterable[Change], **facts: Any) -> None:
        """Record what this run is about to do, each change with its whole before and after.

        Of a shared journal the lines of a run that is killed may be lost but this one: `flush` has it sent before the
        first write, and anyone who reads it counts what has no end as begun.
        """
        planned = [{"address": str(c.address), "action": c.action.value, **_sides(c)} for c in changes]
        self.record("begin", **facts, changes=planned, **({} if self.share is None else {"shared": True}))

    def flush(self) -> None:
        """Wait until a shared journal has every line. Raises JournalBroken."""
        if self.share is not None:
            self.share.flush()

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
                self.record("started", address=str(change.address), action=change.action.value, **_sides(change))
            case Sending(change, step, request):
                self.record("sending", address=str(change.address), step=step, request=write_document(request))
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


def _sides(change: Change) -> dict[str, Any]:
    return {
        "before": None if change.before is None else fields_document(change.before),
        "after": None if change.after is None else fields_document(change.after),
    }


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


def missing(path: Path, after: Path) -> bytes | None:
    """The whole lines of a run's own file that the journal `after` lacks; None where they do not follow it."""
    known = {line for _, _, line in _lines(after)}
    lines = [(entry, line) for _, entry, line in _lines(path) if line not in known and line.endswith(b"\n")]
    _, _, previous, _ = _tail(after)
    for entry, _ in lines:
        if entry is None or entry.get("previous") != previous:
            return None
        previous = _link(entry)
    return b"".join(line for _, line in lines)


def verify(path: Path) -> Verdict:
    """Check the chain from the first line to the last."""
    faults: list[str] = []
    previous, count, torn = _START, 0, 0
    for number, entry, _ in _lines(path):
        if entry is None:
            torn = number
            continue
        if torn and entry.get("kind") != "torn":
            faults.append(f"line {torn} is not an entry, and no later entry accounts for it")
        torn = 0
        count += 1
        if entry.get("previous") != previous:
            faults.append(f"line {number} does not follow the line before it: something was changed or taken out")
        if entry.get("hash") != _hash({k: v for k, v in entry.items() if k != "hash"}):
            faults.append(f"line {number} was changed after it was written")
        previous = _link(entry)
    if torn:
        faults.append(f"line {torn} is torn: a run ended while it was being written")
    return Verdict(count, tuple(faults))


def begun(path: Path, digest: str) -> dict[str, int]:
    """The addresses that runs of the change set with this digest began to write and did not finish.

    Each with how many steps are known to be sent; what of them was carried out only a new read can tell. Of a run of a
    shared journal that has no end, every change that it began with may have been sent (`Journal.begin`). A change that
    was seen done is not among them: what became of it since is not that run's doing.
    """
    runs: set[str] = set()
    sent: dict[str, int] = {}
    unclear: dict[str, set[str]] = {}
    for entry in entries(path) if path.exists() else ():
        if entry["kind"] == "begin" and entry.get("digest") == digest:
            runs.add(entry["run"])
            unclear[entry["run"]] = {c["address"] for c in entry.get("changes", ())} if _may_lack(entry) else set()
        elif entry["run"] not in runs:
            continue
        elif entry["kind"] == "sending":
            sent[entry["address"]] = max(sent.get(entry["address"], 0), entry["step"] + 1)
        elif entry["kind"] == "finished" and entry["status"] in {"done", "already_done"}:
            sent.pop(entry["address"], None)
            for addresses in unclear.values():
                addresses.discard(entry["address"])
        elif entry["kind"] == "end":
            unclear[entry["run"]] = set()
    return {**{address: 0 for addresses in unclear.values() for address in sorted(addresses)}, **sent}


def _may_lack(begin: Entry) -> bool:
    """Whether lines of a run may have been lost on the way to a shared journal."""
    return begin.get("shared") is True


def _is_known(entry: Entry) -> bool:
    """Whether an entry has what is read of its kind. Kinds of a newer version are read for nothing, and stand."""
    texts = {"run", "time", "kind"} | _TEXTS.get(str(entry.get("kind")), frozenset())
    if not all(isinstance(entry.get(name), str) for name in texts):
        return False
    if entry["kind"] == "started" and not _has_sides(entry):
        return False
    if entry["kind"] == "begin" and not _are_changes(entry.get("changes", [])):
        return False
    if entry["kind"] == "sending" and type(entry.get("step")) is not int:
        return False
    return "address" not in texts or _is_address(entry["address"])


def _has_sides(entry: Entry) -> bool:
    """Whether an entry has both of a change's sides, or, in those of an older version, none."""
    sides = [entry[name] for name in ("before", "after") if name in entry]
    return len(sides) != 1 and all(side is None or isinstance(side, dict) for side in sides)


def _are_changes(value: Any) -> bool:
    """Whether a value is the list of changes that a run begins with."""
    return isinstance(value, list) and all(
        isinstance(c, dict)
        and isinstance(c.get("action"), str)
        and {"before", "after"} <= set(c)
        and _has_sides(c)
        and _is_address(c.get("address"))
        for c in value
    )


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(Address.parse(value))
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

    @property
    def unseen(self) -> bool:
        """Whether its writes were carried out, or some of them, or none, and nobody has looked."""
        return self.status in _UNSEEN


def deeds(path: Path, run: str | None = None) -> Iterator[Deed]:
    """What runs did, oldest first, of all or of one. A change that was begun and never ended has the status "begun".

    So has every change that a run of a shared journal began with, where its end is missing. Runs follow each other
    under the tenant's lock: what has not ended when the next one begins never will.
    """
    open_: dict[tuple[str, str], Entry] = {}
    for entry in entries(path) if path.exists() else ():
        if entry["kind"] == "begin":
            yield from _never_ended(open_, run)
            planned = entry.get("changes", ()) if _may_lack(entry) else ()
            facts = {"run": entry["run"], "time": entry["time"]}
            open_ = {(entry["run"], c["address"]): {**c, **facts, "kind": "begin"} for c in planned}
            continue
        key = (entry["run"], entry.get("address", ""))
        if entry["kind"] == "started" and "after" in entry:
            open_[key] = entry
        elif entry["kind"] == "finished" and key in open_:
            began = open_.pop(key)
            if began["kind"] == "started" and run in {None, entry["run"]}:
                yield _deed(began, entry)
        elif entry["kind"] == "end":
            open_ = {k: began for k, began in open_.items() if k[0] != entry["run"] or began["kind"] == "started"}
    yield from _never_ended(open_, run)


def _never_ended(began: Mapping[tuple[str, str], Entry], run: str | None) -> Iterator[Deed]:
    return (_deed(entry, {"status": "begun"}) for (whose, _), entry in began.items() if run in {None, whose})


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


_UNSEEN = frozenset({"begun", "unconfirmed", "waiting", "left", "failed", "held_back"})
"""How a change may have ended whose writes were carried out, or some of them, and not seen all the same.

Of a change that is held back, what it opens may have been written before.
"""


def drift_of(changes: Iterable[Change], deeds: Mapping[str, Deed]) -> Sequence[Drift]:
    """What is not as the last run left it, of the objects that a plan looked at. `deeds` are those seen done.

    A value that a later run sent and could not see is ours too: nobody else is blamed for it. Fields that are not
    compared do not count: some say how an object looks beside the plan, which is another one than before.
    """
    found = []
    for change in changes:
        deed = deeds.get(str(change.address))
        if deed is None or deed.after is None:
            continue
        live = None if change.before is None else _compared(change.before)
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


def _compared(spec: Any) -> dict[str, Any]:
    """The written fields of an object that a comparison looks at, as JSON."""
    passed_over = {f.name for f in dataclasses.fields(spec) if not f.compare}
    return {name: value for name, value in fields_document(spec).items() if name not in passed_over}


def _acceptance(answer: Any) -> dict[str, Any]:
    return {"ok": True, "warnings": list(answer.warnings), "request_ids": list(answer.request_ids)}


def _refusal(error: TenantError) -> dict[str, Any]:
    return {"ok": False, "error": {"kind": error.kind, "text": str(error), "request_id": error.request_id}}


def _hash(entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None, bytes]]:
    """(line number from 1, entry or None for a line that is not an entry, the line) for every line with content."""
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            entry = None
            with contextlib.suppress(ValueError, RecursionError):
                entry = json.loads(line.decode("utf-8", "surrogatepass"))
            yield number, entry if isinstance(entry, dict) else None, line


def _opened(path: Path) -> BinaryIO:
    """The journal to be read. Raises InputError for what is not an ordinary file: reading a pipe would not end."""
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
            previous, number = _link(entry), _number(entry) or number
    return last, whole, previous, number


def _link(entry: Entry) -> str:
    """The hash that the next entry names. A journal may be edited: what is not a hash is not carried on."""
    text = entry.get("hash")
    return text if isinstance(text, str) and _HASH.fullmatch(text) else _START


def _number(entry: Entry) -> int:
    number = entry.get("number")
    return number if type(number) is int and 0 < number < _LARGEST_NUMBER else 0


_HASH = re.compile(r"[0-9a-f]{64}")
_LARGEST_NUMBER = 1 << 53
