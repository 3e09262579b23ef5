"""The append-only record of every apply: what was intended, sent, answered and observed.

One file a tenant, JSON lines, each forced to disk before the next thing happens and chained to the one before by
SHA-256, so that a line changed or taken out later shows. A line cut off by a crash is kept and noted, never mended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from provisioner.changes.changeset import fields_document, request_document
from provisioner.diagnostics import Diagnostic, InputError, TenantError
from provisioner.engine.events import Answered, Event, Finished, Sending, Started
from provisioner.model import Change, Drift

Entry = Mapping[str, Any]

_START = "0" * 64


@dataclass(slots=True)
class Journal:
    """An open journal. `record` returns when the line is on disk. Close it, or use it as a context manager."""

    path: Path
    run: str
    _file: int = -1
    _previous: str = _START
    _number: int = 0

    @classmethod
    def open(cls, path: Path, run: str) -> Journal:
        """Open or begin the journal at `path` for the run named `run`. Raises InputError when that is impossible."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            last, whole, previous, number = _tail(path)
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            what = f"the journal {path} cannot be written: {error.strerror or error}"
            mend = "apply writes nothing that it cannot record: make the place writable"
            raise InputError([Diagnostic("JOURNAL-WRITE", what, mend)]) from error
        journal = cls(path, run, file, previous, number)
        if last and not last.endswith(b"\n"):
            os.write(file, b"\n")
        if last and not whole:
            journal.record("torn", bytes=len(last), sha256=hashlib.sha256(last).hexdigest())
        return journal

    def record(self, kind: str, **facts: Any) -> None:
        """Append one line and force it to disk."""
        self._number += 1
        entry = {
            "number": self._number,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "run": self.run,
            "kind": kind,
            **facts,
            "previous": self._previous,
        }
        self._previous = entry["hash"] = _hash(entry)
        os.write(self._file, (json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass"))
        os.fsync(self._file)

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
    """The entries of a journal, oldest first. A torn line is passed over; `verify` speaks of it."""
    for _, entry, _ in _lines(path):
        if entry is not None:
            yield entry


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
    """By address the last thing that was done to an object and seen done."""
    return {deed.address: deed for deed in deeds(path) if deed.done}


def drift_of(changes: Iterable[Change], deeds: Mapping[str, Deed]) -> Sequence[Drift]:
    """What is not as the last run left it, of the objects that a plan looked at. `deeds` are those seen done."""
    found = []
    for change in changes:
        deed = deeds.get(str(change.address))
        if deed is None or deed.after is None:
            continue
        live = None if change.before is None else fields_document(change.before)
        # What the plan does not write any more is not read for it either.
        ours = deed.after if live is None else {**live, **{n: v for n, v in deed.after.items() if n in live}}
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
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            entry = None
            with contextlib.suppress(ValueError):
                entry = json.loads(line.decode("utf-8", "surrogatepass"))
            yield number, entry if isinstance(entry, dict) else None, line


def _tail(path: Path) -> tuple[bytes, bool, str, int]:
    """The last line, whether it is an entry, the hash of the last entry and its number."""
    last, whole, previous, number = b"", True, _START, 0
    if not path.exists():
        return last, whole, previous, number
    for _, entry, line in _lines(path):
        last, whole = line, entry is not None
        if entry is not None:
            previous, number = str(entry.get("hash")), int(entry.get("number", number))
    return last, whole, previous, number
