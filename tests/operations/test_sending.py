"""Who is known to send: the plan's devices and those that the journal of earlier runs names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from provisioner.engine import journal
from provisioner.mailflow.senders import Sender
from provisioner.model import Basis, ChangeSet, Desired, Observed
from provisioner.model.devices import Device, Site
from provisioner.operations.sending import finding_of, gone, known_senders, recorded, unrecorded

HQ = Site("hq", frozenset({"52.202.8.1/32"}))


def found(
    *devices: str, owner: str = "us", targets: Sequence[str] = (), files: tuple[str, ...] = ("plan.yaml",)
) -> ChangeSet:
    declared = {
        name: Device(name, f"{name}@x.com", "anyone", "1.2", frozenset(), "", site="hq", certificate="mail.x.com")
        for name in devices
    }
    desired = Desired("x.com", owner, {}, sites={"hq": HQ}, devices=declared)
    basis = Basis(desired, Observed({}), targets=tuple(targets))
    return ChangeSet("x.com", "id", owner, (), basis=basis, plan_files=files)


def ran(path: Path, run: str, changes: ChangeSet, *, converged: bool = True, **more: Any) -> None:
    with journal.Journal.open(path, run) as record:
        record.record("begin", digest=run, owner=changes.owner, **recorded(changes), **more)
        record.record("end", converged=converged)


def names(senders: Sequence[Sender] | None) -> list[str] | None:
    return None if senders is None else [sender.name for sender in senders]


def test_without_a_journal_nobody_knows_who_sends(tmp_path: Path) -> None:
    assert known_senders(found("scanner"), tmp_path / "journal.jsonl") is None


def test_a_device_is_kept_with_all_that_it_may_send_by(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", found("scanner"))
    domain = frozenset({"x.com"})
    scanner = Sender("scanner", frozenset({"scanner@x.com"}), HQ.egress_ip_addresses, frozenset({"mail.x.com"}), domain)
    assert known_senders(found(), path) == (scanner,)
    assert known_senders(found("scanner"), path) == (scanner,), "once, where nothing of it has changed"


def test_the_devices_of_the_last_run_that_went_through_count_with_those_of_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", found("forgotten"))
    ran(path, "two", found("old"))
    assert names(known_senders(found("new"), path)) == ["new", "old"]


def test_a_run_that_did_not_go_through_forgets_nobody(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", found("old"), converged=False)
    assert known_senders(found("new"), path) is None, "who sent before it is not known"
    ran(path, "two", found("old"))
    ran(path, "three", found("new"), converged=False)
    assert names(known_senders(found(), path)) == ["old", "new"]


def test_a_run_of_a_part_of_the_plan_forgets_nobody(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", found("new", targets=["smtp_auth/*"]))
    assert known_senders(found("new"), path) is None
    ran(path, "two", found("old"))
    ran(path, "three", found("new", targets=["smtp_auth/*"]))
    assert names(known_senders(found(), path)) == ["old", "new"]


def test_a_rollback_says_nothing_of_who_sends(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", found("old"))
    ran(path, "two", found(files=()))
    assert names(known_senders(found(files=()), path)) == ["old"]


def test_every_plan_of_the_tenant_has_its_devices(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", found("theirs", owner="them"))
    assert known_senders(found("ours"), path) is None
    ran(path, "two", found("ours"))
    assert names(known_senders(found(), path)) == ["theirs", "ours"]


def test_nothing_is_concluded_from_a_journal_that_was_edited(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", found("old"))
    path.write_text(path.read_text().replace("old@x.com", "own@x.com"))
    assert known_senders(found("new"), path) is None


def test_nothing_is_concluded_from_an_entry_of_another_form(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for odd in ([{"name": "x"}], [1], 5):
        with journal.Journal.open(path, "one") as record:
            record.record("begin", digest="one", owner="us", senders=odd, whole=True)
            record.record("end", converged=True)
        assert known_senders(found("new"), path) is None
        path.unlink()


def test_a_run_of_a_version_that_kept_no_senders_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with journal.Journal.open(path, "one") as record:
        record.record("begin", digest="one", owner="us")
        record.record("end", converged=True)
    assert known_senders(found("new"), path) is None


def test_the_devices_of_the_last_run_that_this_plan_has_lost_are_known(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert gone(found(), path) == ()
    ran(path, "one", found("kept", "lost"))
    ran(path, "two", found("theirs", owner="them"))
    assert names(gone(found("kept"), path)) == ["lost"], "what another plan declares is not lost here"
    renamed = dataclasses.replace(Device("new", "lost@x.com", "anyone", "1.2", frozenset(), ""), site="hq")
    renamed = dataclasses.replace(renamed, certificate="mail.x.com")
    plan = found("kept")
    assert plan.basis is not None
    plan.basis.desired.devices["new"] = renamed  # type: ignore[index]
    assert names(gone(plan, path)) == [], "it sends by the same as before, under another name"
    path.write_text(path.read_text().replace("lost@x.com", "last@x.com"))
    assert gone(found("kept"), path) == (), "nothing is concluded from a journal that was edited"


def test_a_run_that_did_not_go_through_is_a_last_run_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", found("lost"), converged=False)
    assert names(gone(found(), path)) == ["lost"]


def test_of_many_lost_devices_ten_are_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran(path, "one", found(*(f"d{n:02}" for n in range(1200))))
    told = finding_of(gone(found(), path), found())
    assert told.summary.startswith("1,200 devices of the last run are no longer in the plan: device/d00, device/d01, ")
    assert told.summary.endswith("device/d09 and 1,190 more. No change takes a path from them")
    assert told.blocks == ""


def test_devices_that_the_journal_does_not_have_as_they_are_must_be_recorded(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert unrecorded(found("scanner"), path)
    assert not unrecorded(found(), path)
    assert not unrecorded(found("scanner", targets=["smtp_auth/*"]), path), "a part of a plan"
    ran(path, "one", found("scanner"))
    assert not unrecorded(found("scanner"), path)
    assert unrecorded(found(), path)
    assert unrecorded(found("scanner", "fax"), path)
    assert not unrecorded(found("fax", files=()), path), "a rollback"
