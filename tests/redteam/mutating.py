"""Files that we write and read again, changed in thousands of ways: each is understood, passed over or refused.

A mutant has another value, one less or one more, somewhere in its document. Whoever reads it may raise InputError, or
ChangeSetStale; anything else is a crash. `tally` counts.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from provisioner.border import Border
from provisioner.changes import changeset, verification
from provisioner.changes.rollback import undone
from provisioner.diagnostics import ChangeSetStale, InputError
from provisioner.engine import journal
from provisioner.engine.locking import Holder, PathLock
from provisioner.operations import history, sandboxes
from provisioner.operations.sending import known_senders
from provisioner.plan import cases
from provisioner.render.formats import FORMATS, rendered
from provisioner.resources import TYPES
from provisioner.settings.files import find_profile, profile_toml
from tests.changes.whole import change_set

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    5,
    1 << 70,
    10**400,
    1.5,
    -0.0,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    "x",
    "\ud800",
    "\x1b]8;;x\x07\n::error::x",
    "x" * 5000,
    "0",
    "null",
    "env:HOME",
    "file:/etc/passwd",
    [],
    [[]],
    [None],
    ["x"],
    [{}],
    {},
    {"": ""},
    {"x": None},
    {"$secret": "file:/etc/passwd"},
    {"$ref": {"step": 0}},
    {"$delta": 1},
    'inbound_connector["x"]',
    "2026-99-99",
    "1e999",
    "*" * 60,
    [1, "1", 1.0, True],
    {"a": {"a": {"a": {"a": {"a": {}}}}}},
)
"""Values that a document of ours does not have in most places."""

Reader = Callable[[Any, Path], None]


def mutants(document: Any, draw: random.Random) -> Iterator[tuple[str, Any]]:
    """Without end: the document with one to three mistakes, and where they are."""
    while True:
        made, places = copy.deepcopy(document), []
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            path = _somewhere(made, draw)
            made = _changed(made, path, draw)
            places.append(".".join(map(str, path)) or "$")
        yield ", ".join(places), made


def _somewhere(value: Any, draw: random.Random) -> tuple[Any, ...]:
    """A path, by a walk that may end at any depth."""
    path: tuple[Any, ...] = ()
    while isinstance(value, dict | list) and value and (not path or draw.random() < 0.85):
        step = draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))
        path, value = (*path, step), value[step]
    return path


def _changed(document: Any, path: tuple[Any, ...], draw: random.Random) -> Any:
    if not path:
        return copy.deepcopy(draw.choice(ODD))
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    match draw.randrange(6):
        case 0:
            del holder[path[-1]]
        case 1 if isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        case 1:
            holder[draw.choice(("x", "", "name", "provisioner"))] = copy.deepcopy(draw.choice(ODD))
        case 2 if isinstance(holder, dict):
            holder[f"{path[-1]}x"] = holder.pop(path[-1])
        case _:
            holder[path[-1]] = copy.deepcopy(draw.choice(ODD))
    return document


# --- who reads -------------------------------------------------------------------------------------------------------


def _read_change_set(document: Any, folder: Path) -> None:
    """With a digest that fits, or it would only be another file; what is taken can be shown in every format."""
    if isinstance(document, dict) and isinstance(document.get("provisioner"), dict):
        document["provisioner"]["digest"] = changeset.digest(document)
    path = folder / "changes.json"
    path.write_text(json.dumps(document))
    try:
        taken, _ = verification.load(path, TYPES)
    except InputError as error:
        _check_told(error)
        raise
    for name in FORMATS:
        rendered(name, taken)


def _check_told(error: InputError) -> None:
    """A refusal for a value of the wrong shape says where it stands, as a JSON path."""
    for told in error.diagnostics:
        if not told.id.startswith("CHANGESET-") or (told.id == "CHANGESET-SHAPE" and "$" not in told.summary):
            raise ValueError(f"{told.id} says nothing of the place: {told.summary}") from error


_planned = functools.cache(change_set)
"""Made once for a folder: planning it takes longer than reading a mutant."""


def _read_journal(document: Any, folder: Path) -> None:
    path = folder / "journal.jsonl"
    lines = document if isinstance(document, list) else [document]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    brought = journal.brought(path)
    found = _planned(folder)
    journal.drift_of(found.changes, brought)
    known_senders(found, path)
    undone(list(journal.deeds(path)), TYPES)
    journal.passed_over(path)
    journal.verify(path)
    journal.begun(path, "d")
    for run in history.runs_of(path).values():
        json.dumps(dataclasses.asdict(run))
    history.find_run(path, "last")


def _held(folder: Path) -> Any:
    """The record of a lock that is held."""
    if folder not in _locks:
        _locks[folder] = PathLock(folder / "x.lock")
        _locks[folder].try_acquire(Holder.me("r", "a"))
    return json.loads((folder / "x.lock.holder").read_text())


_locks: dict[Path, PathLock] = {}
"""Kept, since a lock that nobody refers to is let go."""


def _read_lock(document: Any, folder: Path) -> None:
    """It is held whatever its record says: by a holder whose name is a line of text, or by nobody knows whom."""
    (folder / "x.lock.holder").write_text(json.dumps(document))
    found = PathLock(folder / "x.lock").status()
    assert str(found), "a lock that is held is never free"
    assert found is not None


def _read_settings(document: Any, folder: Path) -> None:
    if not isinstance(document, dict):
        document = {"x": document}
    try:
        text = profile_toml("p", document)
    except (TypeError, AttributeError):
        return
    (folder / "provisioner.toml").write_text(text.replace("NaN", "nan").replace("Infinity", "inf"), "utf-8", "replace")
    find_profile("p", folder)


def _read_endpoints(document: Any, folder: Path) -> None:
    (folder / "endpoints.json").write_text(json.dumps(document))
    sandboxes.find(folder)


def _read_cases(document: Any, folder: Path) -> None:
    """JSON is YAML, but for what a plan language does not know."""
    (folder / "x.test.yaml").write_text(json.dumps(document), "utf-8", "replace")
    cases.load(folder / "x.test.yaml", Border.of(folder))


def _read_seed(document: Any, folder: Path) -> None:
    from provisioner.sandbox.server import apply_seed
    from provisioner.sandbox.tenant import Tenant

    try:
        apply_seed(Tenant(), document)
    except ValueError as error:
        raise InputError([]) from error


READERS: Mapping[str, Reader] = {
    "change set": _read_change_set,
    "journal": _read_journal,
    "lock": _read_lock,
    "settings": _read_settings,
    "endpoints": _read_endpoints,
    "tests of plans": _read_cases,
    "seed": _read_seed,
}


def base(name: str, folder: Path) -> Any:
    """A sound document of each kind."""
    return json.loads(json.dumps(_BASES[name](folder)))


_ADDRESS = 'inbound_connector["x"]'
_RUN = {"run": "r", "time": "2026-01-01T00:00:00.000Z"}
_FIELDS = {"name": "x", "sender_ip_addresses": ["203.0.113.9/32"], "comment": "c", "enabled": True}

_BASES: Mapping[str, Callable[[Path], Any]] = {
    "change set": lambda folder: changeset.to_document(_planned(folder)),
    "journal": lambda _: [
        {
            **_RUN,
            "kind": "begin",
            "digest": "d",
            "actor": "a",
            "commit": "c",
            "tenant": "t",
            "tenant_id": "i",
            "owner": "o",
        },
        {**_RUN, "kind": "started", "address": _ADDRESS, "action": "update", "before": _FIELDS, "after": _FIELDS},
        {**_RUN, "kind": "sending", "address": _ADDRESS, "step": 0, "request": {"cmdlet": "x", "parameters": {}}},
        {**_RUN, "kind": "answered", "address": _ADDRESS, "step": 0, "ok": True, "warnings": [], "request_ids": []},
        {
            **_RUN,
            "kind": "finished",
            "address": _ADDRESS,
            "action": "update",
            "status": "done",
            "detail": "",
            "warnings": [],
            "object_id": "g",
        },
        {**_RUN, "kind": "end", "converged": True},
    ],
    "lock": _held,
    "settings": lambda _: {
        "tenant": "contoso.onmicrosoft.com",
        "cloud": "worldwide",
        "exchange": "rest",
        "lock": "path:/srv/locks",
        "credential": {"kind": "client_secret", "client_id": "c", "secret": "env:X"},
        "endpoints": {"graph": "https://127.0.0.1:1", "dns_servers": ["127.0.0.1"]},
        "timeouts": {"request_s": 5.0, "retry_s": 1.0},
        "concurrency": {"reads": 2},
        "psrp": {"endpoint": "https://127.0.0.1:1", "user": "u", "runspaces": 2},
    },
    "endpoints": lambda folder: {
        "pid": 4,
        "started": "x",
        "initial_domain": "contoso.onmicrosoft.com",
        "control": "https://127.0.0.1:1",
        "ca": str(folder / "ca.pem"),
        "control_token_file": str(folder / "token"),
        "dns": "127.0.0.1:1",
        "app": {"client_id": "c", "secret_file": str(folder / "secret")},
    },
    "tests of plans": lambda _: {
        "provisioner_test": 1,
        "cases": {
            "one": {
                "plan": "plan.yaml",
                "variables": {"x": 1},
                "allow": ["BLAST-RADIUS"],
                "given": {"seeds": ["s"], "tenant": {}, "run": [{"cmdlet": "Get-X", "parameters": {"a": 1}}]},
                "expect": {
                    "changes": {"smtp_auth/a@contoso.com": "create"},
                    "findings": [],
                    "applies": True,
                    "after": [{"cmdlet": "Get-X", "has": {"a": 1}}],
                },
            }
        },
    },
    "seed": lambda _: {
        "sandbox": 1,
        "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
        "lag_s": 1.0,
        "clock_offset_s": 0,
        "objects": {
            "AcceptedDomain": [{"DomainName": "contoso.com"}],
            "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
            "InboundConnector": [
                {
                    "Name": "x",
                    "ConnectorType": "OnPremises",
                    "SenderIPAddresses": ["203.0.113.9"],
                    "SenderDomains": ["*"],
                }
            ],
        },
        "mailboxes": [
            "a@contoso.com",
            {"address": "b@contoso.com", "aliases": ["c@contoso.com"]},
            {"count": 2, "domain": "contoso.com"},
        ],
        "dns": {"contoso.com": {"TXT": ["v=spf1 -all"]}},
        "graph": {"users": []},
        "settings": {"shuffle": False},
        "apps": [{"name": "x"}],
    },
}


def tally(name: str, count: int, draw: random.Random, folder: Path) -> tuple[Counter[str], list[str]]:
    """How many mutants of a kind were taken, refused and crashed at, and a line for each crash."""
    READERS[name](base(name, folder), folder)  # the sound one is taken
    counts: Counter[str] = Counter()
    crashes: list[str] = []
    every = mutants(base(name, folder), draw)
    for _ in range(count):
        where, made = next(every)
        try:
            READERS[name](made, folder)
        except (InputError, ChangeSetStale):
            counts["refused"] += 1
        except Exception as error:
            counts["crashes"] += 1
            crashes.append(f"{name}: {where}: {type(error).__name__}: {str(error)[:200]}")
        else:
            counts["taken"] += 1
    return counts, crashes
