"""What the journal says about runs: of apply, and of commands that send something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from provisioner.engine import journal
from provisioner.model import Address
from provisioner.operations.history import find_run, runs_of

ROTATED = {"address": 'dkim["contoso.com"]'}


def ran(path: Path, run: str, *entries: tuple[str, dict[str, Any]], **end: Any) -> None:
    with journal.Journal.open(path, run) as record:
        record.record("begin", tenant="contoso.onmicrosoft.com", tenant_id="1")
        for kind, facts in entries:
            record.record(kind, **facts)
        record.record("end", **end)


def test_a_rotation_of_keys_is_told_as_what_it_did(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", ("rotated", {**ROTATED, "status": "done"}), converged=True)
    ran(path, "two", ("rotated", {**ROTATED, "status": "unconfirmed"}), converged=False)
    ran(path, "three", ("dane-sent", {"domain": "contoso.com", "status": "done"}), converged=True)
    told = [run.deeds for run in runs_of(path).values()]
    assert told == [
        'rotated the key of dkim["contoso.com"]',
        'rotated the key of dkim["contoso.com"] (unconfirmed)',
        "changed inbound DANE of contoso.com",
    ]


def test_of_a_run_that_was_cut_off_it_is_told_what_was_about_to_be_sent(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", ("rotating", ROTATED), ("rotated", {**ROTATED, "status": "done"}), converged=True)
    with journal.Journal.open(path, "two") as record:
        record.record("begin", tenant="contoso.onmicrosoft.com", tenant_id="1")
        record.record("dane-sending", domain="contoso.com")
    one, two = runs_of(path).values()
    assert (one.actions, one.ended) == (('rotated the key of dkim["contoso.com"]',), True)
    assert (two.actions, two.ended) == (("changed inbound DANE of contoso.com (unknown)",), False)


def test_a_run_that_broke_off_says_why(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", error={"kind": "stale", "text": "the tenant has changed"})
    ran(path, "two", error="not as this version writes it")
    assert [run.deeds for run in runs_of(path).values()] == [
        "changed nothing (the tenant has changed)",
        "changed nothing",
    ]


def test_the_last_run_to_undo_is_the_last_that_changed_something(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "idle", converged=True)
    assert find_run(path, "last", changing=True).run == "idle", "where none changed anything, it says so of the last"
    change: dict[str, Any] = {"address": str(Address("dkim", "x")), "action": "update"}
    started = ("started", {**change, "before": {}, "after": {}})
    ran(path, "busy", started, ("finished", {**change, "status": "waiting"}))
    ran(path, "later", ("finished", {**change, "status": "already_done"}))
    ran(path, "held", ("finished", {**change, "status": "held_back"}))
    ran(path, "stale", error={"kind": "stale", "text": "another change set follows now"})
    assert find_run(path, "last").run == "stale"
    assert find_run(path, "last", changing=True).run == "busy"
    ran(path, "half", started, ("finished", {**change, "status": "held_back"}))
    assert find_run(path, "last", changing=True).run == "half", "it opened something, and its rest was held back"
