"""A fleet's files: `fleet.yaml`, the list of what is approved, and a store that lies in the checkout."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.redteam.attacks.base import LINES, SPECIAL, Made, Make, wrote
from tests.redteam.world import World

STORE = "fleet.sqlite"
"""In the checkout; the command lines name it (`tests/redteam/attacking.py`)."""


def fleets() -> Made:
    for name in ("fleet.yaml", "approved.yaml", STORE):
        for title, make in SPECIAL.items():
            yield f"{name} is {title}", _special(name, make)
        yield f"{name} is not text", _bytes(name, bytes(range(256)) * 99)
        yield f"{name} is empty", _bytes(name, b"")
    for title, edit in _FLEETS.items():
        yield f"a fleet with {title}", _fleet(edit)
    for title, content in _TEXTS.items():
        yield f"fleet.yaml is {title}", _bytes("fleet.yaml", content.encode())
        yield f"approved.yaml is {title}", _bytes("approved.yaml", content.encode())
    for title, value in _APPROVED.items():
        yield f"approved.yaml lists {title}", _bytes("approved.yaml", json.dumps(value).encode())
    for beside in ("-wal", "-shm", "-journal"):
        yield f"the store's {beside} is a link outside", _beside(beside)
    yield "the folder of the workers is a link outside", _workers
    yield "the store is another program's", _other_database
    yield "the store is a link to another program's", _linked_database
    for title, value in _RUNS.items():
        yield f"a store whose run is {title}", _run(value)
    for title, entry in _ENTRIES.items():
        yield f"a store whose run has {title}", _run_with(entry)
    for title, output in _OUTPUTS.items():
        yield f"a store whose works have {title}", _outcome(output)
    for title, make in SPECIAL.items():
        yield f"a change set beside the store is {title}", _change_set(make)
    yield "a change set beside the store acts on a terminal", _change_set(lambda p, _: wrote(p.write_text(LINES)))
    yield "the folder of a run is a link outside", _run_folder
    yield "a store whose works have other names", _sql("UPDATE workflow_status SET workflow_uuid = 'x/' || ?", LINES)


def _special(name: str, make: Callable[[Path, World], None]) -> Make:
    def put(w: World) -> None:
        (w.checkout / name).unlink(missing_ok=True)
        make(w.checkout / name, w)

    return put


def _bytes(name: str, content: bytes) -> Make:
    return lambda w: wrote((w.checkout / name).write_bytes(content))


# --- fleet.yaml and what is approved ---------------------------------------------------------------------------------

_TEXTS = {
    "a list": "[1]",
    "deep": "[" * 20_000,
    "aliases that double": "a0: &a0 [x,x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1},*a{n - 1}]\n" for n in range(1, 60)),
    "a mapping that holds itself": "fleet: 1\ntenants: &a { x: *a }\n",
    "a tag": "!!python/object/apply:os.system ['touch x']\n",
    "an escape": f"{json.dumps(LINES)}: 1\n",
}
_APPROVED = {
    "what is no digest": {"shop": LINES},
    "another digest": {"shop": "sha256:" + "0" * 64},
    "another tenant": {LINES: "sha256:" + "0" * 64},
    "a number": {"shop": 5},
    "a list": {"shop": []},
}
_Edit = Callable[[dict[str, Any]], object]


def _tenant(**values: Any) -> _Edit:
    return lambda fleet: fleet["tenants"]["shop"].update(values)


def _whole(**values: Any) -> _Edit:
    return lambda fleet: fleet.update(values)


_FLEETS: dict[str, _Edit] = {
    **{
        f"the plan {title}": _tenant(plan=plan)
        for title, plan in {
            "outside": "OUTSIDE/far.yaml",
            "outside from here": "../outside/far.yaml",
            "of the environment": "/proc/self/environ",
            "of a device": "/dev/zero",
            "of a zero byte": "a\0b",
            "of a long name": "x" * 5000,
            "of an escape": LINES,
            "of its own file": "fleet.yaml",
            "of a home folder": "~/.ssh/id_rsa",
            "of an empty name": "",
            "of a number": 5,
        }.items()
    },
    **{
        f"the profile {title}": _tenant(profile=profile)
        for title, profile in {"of an escape": LINES, "of a path": "../../outside/far", "of a list": ["mine"]}.items()
    },
    "variables that are references": _tenant(variables={"x": "env:CANARY_VARIABLE", "y": "file:../outside/id_rsa"}),
    "variables of an escape": _tenant(variables={LINES: LINES}),
    "labels of an escape": _tenant(labels={LINES: LINES}),
    "labels that are lists": _tenant(labels={"ring": ["x"]}),
    "a tenant of an escape": lambda fleet: fleet["tenants"].update({LINES: {"plan": "plans", "profile": "mine"}}),
    "a tenant of a path": lambda fleet: fleet["tenants"].update({"../../x": {"plan": "plans", "profile": "mine"}}),
    "a tenant that is a text": lambda fleet: fleet["tenants"].update(shop="plans"),
    "tenants that are a list": _whole(tenants=["shop"]),
    "a key of an escape": _whole(**{LINES: 1}),
    "a version of an escape": _whole(fleet=LINES),
    "too many at once": _whole(at_once=1 << 70),
    "a canary of an escape": _whole(canary={"tenants": [LINES]}),
    "a canary that is a list": _whole(canary=["shop"]),
    "canary failures of an escape": _whole(canary={"tenants": ["shop"], "failures": LINES}),
    "a schedule of an escape": _whole(drift={"schedule": LINES}),
    "a time zone outside": _whole(drift={"schedule": "0 3 * * *", "timezone": "../../../../OUTSIDE/id_rsa"}),
    "a time zone of a device": _whole(drift={"schedule": "0 3 * * *", "timezone": "/dev/zero"}),
    "a time zone of a zero byte": _whole(drift={"schedule": "0 3 * * *", "timezone": "a\0b"}),
}


def _fleet(edit: _Edit) -> Make:
    def make(w: World) -> None:
        fleet: dict[str, Any] = {"fleet": 1, "tenants": {"shop": {"plan": "plans", "profile": "mine"}}}
        edit(fleet)
        text = json.dumps(fleet).replace("OUTSIDE", str(w.outside))
        (w.checkout / "fleet.yaml").write_text(text)

    return make


# --- a store ---------------------------------------------------------------------------------------------------------

_RUNS: dict[str, Any] = {"a number": 5, "a list": [], "empty": {}, "null": None, "an escape": LINES}
_ENTRIES: dict[str, dict[str, Any]] = {
    "an id of a path": {"id": "../../../outside/x"},
    "an id of an escape": {"id": LINES},
    "a kind of an escape": {"kind": LINES},
    "a time of an escape": {"created": LINES},
    "tenants of a path": {"tenants": ["../../../outside/x"]},
    "tenants of an escape": {"tenants": [LINES], "labels": {LINES: {LINES: LINES}}},
    "tenants that are numbers": {"tenants": [5, None]},
    "tenants that are a number": {"tenants": 5},
    "labels that are a list": {"labels": ["x"]},
    "canaries that are others": {"kind": "apply", "canaries": ["x"]},
    "failures of an escape": {"kind": "apply", "canaries": ["shop"], "failures": LINES},
    "retries of an escape": {"retries": {"shop": LINES}},
    "guards of an escape": {"allows": [LINES]},
    "guards that are a number": {"allows": 5},
    "waits of an escape": {"wait_s": LINES, "lock_wait_s": []},
    "approvals that are a list": {"approved": []},
    "approvals of an escape": {"approved": {"everything": True, "tenants": [LINES], "digests": {"shop": LINES}}},
}
_OUTPUTS: dict[str, Any] = {
    "no object": 5,
    "no state": {},
    "a state of an escape": {"state": LINES, "seconds": 1.0},
    "seconds of an escape": {"state": "planned", "seconds": LINES},
    "a digest of an escape": {"state": "planned", "seconds": 1.0, "digest": LINES},
    "a digest of a path": {"state": "planned", "seconds": 1.0, "digest": "../../outside/id_rsa"},
    "changes of an escape": {"state": "planned", "seconds": 1.0, "changes": {LINES: LINES}},
    "changes that are a list": {"state": "planned", "seconds": 1.0, "changes": [5]},
    "drift of an escape": {"state": "drifted", "seconds": 1.0, "drifted": [LINES], "outside": LINES},
    "drift that is a number": {"state": "drifted", "seconds": 1.0, "drifted": 5},
    "an error of an escape": {
        "state": "failed",
        "seconds": 1.0,
        "error": {"kind": LINES, "exit_code": 8, "message": LINES},
    },
    "an error that is a text": {"state": "failed", "seconds": 1.0, "error": LINES},
    "results of an escape": {"state": "applied", "seconds": 1.0, "results": {LINES: 5}, "run": LINES},
}
_saved: dict[str, bytes] = {}


def _real_store(w: World) -> bytes:
    """The store that `fleet plan` makes of the plan of this world."""
    place = w.base / "store.sqlite"
    if str(w.base) not in _saved:
        done = w.shop.run("-C", str(w.checkout), "fleet", "plan", "--store", f"sqlite:{place}", **w.environment)
        assert done.returncode == 0, done.stderr
        with contextlib.closing(sqlite3.connect(place)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
        _saved[str(w.base)] = place.read_bytes()
    return _saved[str(w.base)]


def _edited(change: Callable[[sqlite3.Connection], object]) -> Make:
    """The real store, with a change."""

    def make(w: World) -> None:
        (w.checkout / STORE).write_bytes(_real_store(w))
        with contextlib.closing(sqlite3.connect(w.checkout / STORE)) as database, database:
            change(database)

    return make


def _sql(statement: str, *values: Any) -> Make:
    return _edited(lambda database: database.execute(statement, values))


def _run(document: Any) -> Make:
    return _sql("UPDATE provisioner_fleet_runs SET document = ?", json.dumps(document))


def _run_with(entries: Mapping[str, Any]) -> Make:
    return _sql("UPDATE provisioner_fleet_runs SET document = json_patch(document, ?)", json.dumps(entries))


def _outcome(output: Any) -> Make:
    return _sql("UPDATE workflow_status SET output = ?, serialization = 'provisioner_json'", json.dumps(output))


def _change_set(make: Callable[[Path, World], None]) -> Make:
    """Beside the real store, in the place of the file that its plan made."""

    def put(w: World) -> None:
        (w.checkout / STORE).write_bytes(_real_store(w))
        folder = w.checkout / _run_id(w)
        folder.mkdir()
        make(folder / "shop.json", w)

    return put


def _run_folder(w: World) -> None:
    """Of a run that has not planned yet."""
    _sql("DELETE FROM workflow_status")(w)
    (w.checkout / _run_id(w)).symlink_to(w.outside)


def _run_id(w: World) -> str:
    with contextlib.closing(sqlite3.connect(w.checkout / STORE)) as database:
        ((id_,),) = database.execute("SELECT id FROM provisioner_fleet_runs")
    return str(id_)


def _beside(name: str) -> Make:
    def make(w: World) -> None:
        (w.checkout / STORE).write_bytes(_real_store(w))
        (w.checkout / f"{STORE}{name}").symlink_to(w.outside / ".bashrc")

    return make


def _workers(w: World) -> None:
    (w.checkout / "workers").symlink_to(w.outside)


def _other_database(w: World) -> None:
    _database(w.checkout / STORE)


def _linked_database(w: World) -> None:
    _database(w.outside / "cookies.sqlite")
    (w.checkout / STORE).symlink_to(w.outside / "cookies.sqlite")


def _database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE cookies (name TEXT)")
