"""What a store holds is read back, and what is no store, or was written by somebody else, is a mistake."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.diagnostics import InputError
from provisioner.fleet.description import Fleet, FleetTenant
from provisioner.fleet.durable import _outcome
from provisioner.fleet.liveness import pulse_of
from provisioner.fleet.store import Place, Store
from provisioner.fleet.waves import Approved, Run
from provisioner.fleet.work import Hands
from provisioner.settings import Profile

RUN = Run(
    "58a0a0bae989",
    "apply",
    "2026-11-26T20:26:56.000001Z",
    ("contoso", "fabrikam.example_2"),
    {"contoso": {"ring": "canary"}, "fabrikam.example_2": {}},
    frozenset({"contoso"}),
    0.1,
    Approved(tenants=frozenset({"contoso"}), digests={"contoso": "sha256:0"}),
    {"contoso": 1},
    allows=("BLAST-RADIUS",),
    wait_s=5.0,
)


def nobody(name: str) -> Profile:
    raise AssertionError(name)


def refused(text: str, folder: Path) -> str:
    with pytest.raises(InputError) as error:
        Place.parse(text, folder)
    (found,) = error.value.diagnostics
    assert found.id == "FLEET-STORE"
    return found.summary


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout beside a database of another program."""
    with contextlib.closing(sqlite3.connect(tmp_path / "cookies.sqlite")) as database, database:
        database.execute("CREATE TABLE cookies (name TEXT)")
    folder = tmp_path / "checkout"
    (folder / ".git").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("beside", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("target", ["../cookies.sqlite", "../none.sqlite"])
def test_no_link_of_a_checkout_is_followed_out_of_it(checkout: Path, beside: str, target: str) -> None:
    (checkout / f"f.sqlite{beside}").symlink_to(target)
    assert "a link of the checkout leads out of it" in refused(f"sqlite:{checkout}/f.sqlite", checkout)


def test_nor_is_that_of_the_folder_in_which_workers_give_signs_of_life(checkout: Path) -> None:
    (checkout / "workers").symlink_to("..")
    place = Place.parse(f"sqlite:{checkout}/f.sqlite", checkout)
    with pytest.raises(InputError, match="workers is a link out of the checkout"):
        pulse_of(place, "one")


def test_nor_is_that_of_the_folder_of_a_run(checkout: Path) -> None:
    tenant = FleetTenant("contoso", checkout / "plan.yaml", "mine")
    with contextlib.closing(Store(Place.parse(f"sqlite:{checkout}/f.sqlite", checkout))) as opened:
        hands = Hands(Fleet(checkout / "fleet.yaml", {"contoso": tenant}), opened, nobody, checkout)
        assert hands._write(RUN, tenant, "{}") == checkout / RUN.id / "contoso.json"
        shutil.rmtree(checkout / RUN.id)
        (checkout / RUN.id).symlink_to("..")
        with pytest.raises(InputError, match=r"contoso\.json cannot be written: a link of the checkout"):
            hands._write(RUN, tenant, "{}")


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text("fleet: 1\n")
    assert refused(f"sqlite:{tmp_path}/fleet.yaml", tmp_path).endswith("fleet.yaml is not an SQLite database")
    assert "cannot be used" in refused(f"sqlite:{tmp_path}", tmp_path)


def test_a_file_that_is_empty_or_missing_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "missing"):
        assert Place.parse(f"sqlite:{tmp_path}/{name}", tmp_path).file == tmp_path / name


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(Place.parse(f"sqlite:{tmp_path}/f.sqlite", tmp_path))) as opened:
        opened.create()
        yield opened


def test_a_run_is_read_as_it_was_saved_and_changed(store: Store) -> None:
    store.add(RUN)
    assert store.run() == store.run("58a0") == RUN
    assert store.change(RUN.id, cancelled=True).cancelled
    assert store.run().cancelled


def edited(store: Store, document: str) -> None:
    """One run, with another document."""
    store.add(RUN)
    assert store.place.file
    with contextlib.closing(sqlite3.connect(store.place.file)) as database, database:
        database.execute("UPDATE provisioner_fleet_runs SET document = ?", (document,))


@pytest.mark.parametrize("document", ["5", "[]", "{}", "null", '"x"', "no JSON", '{"id": "58a0a0bae989"}'])
def test_a_row_that_is_no_run_is_told(store: Store, document: str) -> None:
    edited(store, document)
    with pytest.raises(InputError, match="run 58a0a0bae989 of the store is damaged"):
        store.run()


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "another"},
        {"kind": "delete"},
        {"created": "yesterday"},
        {"created": "0001-01-01T00:00:00+05:00"},
        {"tenants": ["../../x"]},
        {"tenants": [5]},
        {"labels": ["x"]},
        {"canaries": 5},
        {"failures": "some"},
        {"failures": -1},
        {"retries": {"contoso": "x"}},
        {"allows": 5},
        {"wait_s": []},
        {"approved": []},
    ],
    ids=str,
)
def test_a_run_with_an_entry_that_cannot_be_is_told(store: Store, entry: dict[str, Any]) -> None:
    store.add(RUN)
    with store._begun() as connection:
        text = connection.exec_driver_sql("SELECT document FROM provisioner_fleet_runs").scalar_one()
    edited(store, json.dumps({**json.loads(text), **entry}))
    with pytest.raises(InputError, match="damaged"):
        store.change(RUN.id, cancelled=True)


# --- outcomes --------------------------------------------------------------------------------------------------------


def test_an_outcome_that_no_worker_has_written_is_none() -> None:
    whole: dict[str, Any] = {"state": "planned", "seconds": 1.5, "digest": "sha256:0", "changes": {"create": 1}}
    entries: list[dict[str, Any]] = [
        {"state": "x"},
        {"seconds": "x"},
        {"digest": 5},
        {"changes": [5]},
        {"drifted": 5},
        {"error": "x"},
        {"results": {"applied": "x"}},
    ]
    rows: list[Any] = [None, 5, [], {}, *({**whole, **entry} for entry in entries)]
    assert [row for row in rows if _outcome(row) is not None] == []
    assert _outcome(whole) == whole
