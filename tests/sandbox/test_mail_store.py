"""Delivered mail in its file: appended, bounded, whole after a crash, unseen before its time."""

from __future__ import annotations

from pathlib import Path

from provisioner.sandbox.clock import Clock
from provisioner.sandbox.mail_store import MailStore


def mail(number: int, time: str = "2026-01-01T00:00:00+00:00") -> dict[str, object]:
    return {"time": time, "subject": f"mail {number}"}


def test_a_delivery_only_appends(tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl"
    store = MailStore(path, Clock())
    store.add(mail(1))
    first, inode = path.read_bytes(), path.stat().st_ino
    store.add(mail(2))
    assert path.read_bytes().startswith(first)
    assert path.stat().st_ino == inode
    assert MailStore(path, Clock()).all() == [mail(1), mail(2)]


def test_the_newest_are_kept_and_the_file_stays_bounded(tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl"
    store = MailStore(path, Clock(), kept=3)
    for number in range(20):
        store.add(mail(number))
        assert len(path.read_bytes().splitlines()) <= 6
    newest = [mail(17), mail(18), mail(19)]
    assert store.all() == newest
    assert MailStore(path, Clock(), kept=3).all() == newest


def test_half_a_line_of_a_killed_process_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl"
    MailStore(path, Clock()).add(mail(1))
    with path.open("ab") as file:
        file.write(b'{"time": "2026-')
    store = MailStore(path, Clock())
    store.add(mail(2))
    assert MailStore(path, Clock()).all() == store.all() == [mail(1), mail(2)]


def test_a_message_is_not_there_before_its_time(tmp_path: Path) -> None:
    clock = Clock()
    store = MailStore(tmp_path / "mail.jsonl", clock)
    store.add(mail(1, "2999-01-01T00:00:00+00:00"))
    assert store.all() == []
    clock.advance(1000 * 366 * 86400.0)
    assert store.all() == [mail(1, "2999-01-01T00:00:00+00:00")]


def test_a_cleared_store_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl"
    store = MailStore(path, Clock())
    store.add(mail(1))
    store.clear()
    assert (store.all(), path.exists()) == ([], False)
    store.add(mail(2))
    assert MailStore(path, Clock()).all() == [mail(2)]
