"""What runs have kept: change sets, journals, locks."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provisioner.engine.locking import Holder, PathLock
from tests.redteam.attacks.base import (
    LINES,
    SPECIAL,
    Made,
    Make,
    in_state,
    link_beside,
    real_change_set,
    sparse,
    tenant_of,
    wrote,
)
from tests.redteam.world import World

# --- saved change sets, the journal, locks ----------------------------------------------------------------------------


def change_sets() -> Made:
    def saved(edit: Callable[[Any], Any]) -> Make:
        def make(w: World) -> None:
            from provisioner.changes import changeset

            document = edit(copy.deepcopy(real_change_set(w)))
            if isinstance(document, dict) and isinstance(document.get("provisioner"), dict):
                with contextlib.suppress(ValueError, RecursionError):
                    document["provisioner"]["digest"] = changeset.digest(document)
            (w.checkout / "changes.json").write_text(json.dumps(document), encoding="utf-8")

        return make

    def content(text: str | bytes) -> Make:
        raw = text if isinstance(text, bytes) else text.encode()
        return lambda w: wrote((w.checkout / "changes.json").write_bytes(raw))

    def put(value: Any, *path: Any) -> Callable[[Any], Any]:
        def edit(document: Any) -> Any:
            holder = document
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = value
            return document

        return edit

    first = ("resource_changes", 0)
    foreign = {
        "send": {"cmdlet": "Set-TransportConfig", "parameters": {"SmtpClientAuthenticationDisabled": False}},
        "waits_on": [],
        "blocked_on": [],
    }
    secret = {"$secret": "file:OUTSIDE/id_rsa"}
    for title, edit in {
        "a foreign step": put([foreign], *first, "provisioner", "steps"),
        "a secret in a step": put(
            [{"send": {"cmdlet": "x", "parameters": {"Comment": secret}}}], *first, "provisioner", "steps"
        ),
        "a secret as a value": put({"comment": secret}, *first, "change", "after"),
        "no findings": put([], "provisioner", "findings"),
        "other fields shown": put([], *first, "provisioner", "fields"),
        "changes that are a number": put(5, "resource_changes"),
        "changes that are null": put(None, "resource_changes"),
        "a change that is a text": put(["x"], "resource_changes"),
        "a change without its change": put([{"address": "x"}], "resource_changes"),
        "no basis": put(None, "provisioner", "basis"),
        "a basis of another shape": put([], "provisioner", "basis"),
        "a time that is none": put(LINES, "timestamp"),
        "a tenant that acts on a terminal": put(LINES, "provisioner", "tenant"),
        "an id that acts on a terminal": put(LINES, "provisioner", "tenant_id"),
        "an address that acts on a terminal": put(LINES, *first, "index"),
        "a type that acts on a terminal": put(LINES, *first, "type"),
        "a commit that acts on a terminal": put(LINES, "provisioner", "plan", "commit"),
        "files that act on a terminal": put([LINES], "provisioner", "plan", "files"),
        "a format that acts on a terminal": put(LINES, "provisioner", "format"),
        "a version that acts on a terminal": put(LINES, "provisioner", "version"),
        "variables that act on a terminal": put({LINES: {"value": LINES}}, "variables"),
        "findings that act on a terminal": put(
            [
                {
                    "rule": LINES,
                    "severity": "warning",
                    "summary": LINES,
                    "hint": LINES,
                    "mend": LINES,
                    "address": None,
                    "location": None,
                }
            ],
            "provisioner",
            "findings",
        ),
        "places outside": put(
            [
                {
                    "rule": "X",
                    "severity": "warning",
                    "summary": "x",
                    "hint": "",
                    "mend": "",
                    "address": None,
                    "location": {"file": "OUTSIDE/far.yaml", "line": 1, "column": 1},
                }
            ],
            "provisioner",
            "findings",
        ),
        "surrogates": put("\ud800", "provisioner", "owner"),
        "a number without end": put(10**4000, "provisioner", "requests", "read"),
        "a number that is none": put(float("nan"), "provisioner", "requests", "read"),
        "an infinite number": put(float("inf"), "provisioner", "format"),
        "patterns that match slowly": put(["inbound_connector/" + "*a" * 40 + "b"], "provisioner", "basis", "ignore"),
        "our part is a list": put([], "provisioner"),
        "an expiry that is none": put(LINES, "provisioner", "expires"),
    }.items():
        yield title, saved(edit)
    yield "nesting without end", content("[" * 200_000)
    yield "mappings without end", content('{"provisioner":' * 50_000)
    yield "no UTF-8", content(b'{"provisioner": "\xff\xfe"}')
    yield "nothing", content("")
    yield "a half", content('{"format_version": "1.2", "resou')
    yield "another program's", content('{"format_version": "1.2", "resource_changes": []}')
    yield "a digest that is a number", content('{"provisioner": {"format": 2, "digest": 5}}')
    for title, make in {
        "a link outside": lambda p, w: p.symlink_to(w.outside / "far.json"),
        "a link to the environment": lambda p, _: p.symlink_to("/proc/self/environ"),
        "a device": lambda p, _: p.symlink_to("/dev/zero"),
        "a pipe": lambda p, _: os.mkfifo(p),
        "a folder": lambda p, _: p.mkdir(),
        "as big as a disk": lambda p, _: sparse(p),
    }.items():
        yield title, _in_place_of_changes(make)


def _in_place_of_changes(make: Callable[[Path, World], None]) -> Make:
    def put(w: World) -> None:
        (w.checkout / "changes.json").unlink()
        make(w.checkout / "changes.json", w)

    return put


def journals() -> Made:
    run: dict[str, Any] = {"run": "r1", "time": "2026-01-01T00:00:00.000Z"}
    address = 'inbound_connector["x"]'
    began = {**run, "kind": "begin", "digest": "d"}
    started = {**run, "kind": "started", "address": address, "action": "create", "before": None}
    done = {**run, "kind": "finished", "address": address, "status": "done", "action": "create"}

    def lines(*entries: Any) -> Make:
        return in_state("journal.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries).encode())

    def ended(after: Any) -> Make:
        return lines(began, {**started, "after": after}, {**done, "object_id": "x"})

    for title, make in {
        "an empty entry": lines({}),
        "a list": lines([]),
        "a number": lines(5),
        "a word": lines("x"),
        "an entry of a newer version": lines({**run, "kind": "newer", "x": 1}),
        "an address of a newer version": lines(
            began, {**started, "address": 'new_type["x"]', "after": {}}, {**done, "address": 'new_type["x"]'}
        ),
        "a field of a newer version": ended({"name": "x", "new_field": 1}),
        "a list of objects in a field": ended({"name": "x", "sender_ip_addresses": [{}]}),
        "another shape in a field": ended({"name": 5, "sender_ip_addresses": "x", "enabled": []}),
        "no fields": ended({}),
        "names that act on a terminal": ended({"name": LINES, "comment": LINES}),
        "words that act on a terminal": lines(
            {**began, "actor": LINES, "commit": LINES, "digest": LINES, "run": LINES},
            {**started, "run": LINES, "after": {}},
            {**done, "run": LINES, "detail": LINES},
        ),
        "a step that is negative": lines(began, {**run, "kind": "sending", "address": address, "step": -5}),
        "a run without a beginning": lines({**started, "after": {}}, done),
        "a secret": ended({"name": "x", "comment": {"$secret": "file:OUTSIDE/id_rsa"}}),
        "nesting without end": in_state("journal.jsonl", b"[" * 200_000 + b"\n"),
        "a line without end": in_state("journal.jsonl", b"x" * 5_000_000),
        "no text": in_state("journal.jsonl", bytes(range(256)) * 9),
        "zero bytes": in_state("journal.jsonl", b"\0" * 4096),
        "numbers that are none": in_state("journal.jsonl", b'{"run": NaN, "kind": Infinity, "number": 1e999}\n'),
        "a number without end": in_state("journal.jsonl", b'{"number": ' + b"9" * 10_000 + b"}\n"),
    }.items():
        yield title, make
    for title, special in SPECIAL.items():
        yield title, in_state("journal.jsonl", special if "outside" not in title else link_beside)


def locks() -> Made:
    holder: dict[str, Any] = {
        "id": "i",
        "run": "r",
        "actor": "a",
        "host": "h",
        "pid": 1,
        "started": 0.0,
        "expires": 0.0,
    }

    def shared(make: Make) -> Make:
        def put(w: World) -> None:
            text = w.own_settings.read_text().replace(
                '[profiles."mine"]\n', '[profiles."mine"]\nlock = "path:locks"\n', 1
            )
            w.own_settings.write_text(text.replace('"path:locks"', json.dumps(f"path:{w.checkout / 'locks'}")))
            make(w)

        return put

    def file(content: bytes | Callable[[Path, World], None], *, held: bool = False) -> Make:
        """The file of the lock; with `held` the record beside it, of a lock that somebody holds."""

        def put(w: World) -> None:
            (w.checkout / "locks").mkdir()
            path = w.checkout / "locks" / f"{tenant_of(w)}.lock"
            if held:
                w.lock = PathLock(path)  # kept, since a lock that nobody refers to is let go
                w.lock.try_acquire(Holder.me("r", "a"))
                path = path.with_name(f"{path.name}.holder")
                path.unlink()
            if callable(content):
                content(path, w)
            else:
                path.write_bytes(content)

        return shared(put)

    for title, value in {
        "an expiry that is a text": {**holder, "expires": "x"},
        "an expiry without end": {**holder, "expires": 1e300},
        "an expiry that is none": {**holder, "expires": float("nan")},
        "words that act on a terminal": {
            **holder,
            "actor": LINES,
            "host": LINES,
            "id": LINES,
            "run": LINES,
            "expires": 9e9,
        },
        "a process that is a text": {**holder, "pid": "1"},
        "more than a lock has": {**holder, "x": 1},
        "less than a lock has": {"id": "i"},
        "a list": [],
        "a number": 5,
        "null": None,
        "times before all": {**holder, "started": -1e18},
    }.items():
        yield title, file(json.dumps({**value, "claim": "x"} if isinstance(value, dict) else value).encode(), held=True)
    yield "nesting without end", file(b"[" * 200_000)
    yield "nothing", file(b"")
    yield "no text", file(bytes(range(256)))
    for title, special in SPECIAL.items():
        yield title, file(special)
        yield f"the record is {title}", file(special, held=True)
        yield f"the local lock is {title}", in_state("lock", special if "outside" not in title else link_beside)
