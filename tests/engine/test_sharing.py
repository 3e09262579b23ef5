"""A journal in a shared place: whole, bounded, and never overwritten; and what sends a run's records there."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provisioner.diagnostics import Diagnostic, InputError, JournalBroken
from provisioner.engine import remote as remotes
from provisioner.engine import sharing
from provisioner.engine.sharing import Fetched, FolderShare, GitShare, Moved, Pushing, Remote, Share
from tests.clocks import FastClock, until

NAME = "d9b6def0"


@pytest.fixture(params=["folder", "git"])
def share(request: pytest.FixtureRequest, tmp_path: Path) -> Share:
    place = tmp_path / "shared"
    if request.param == "folder":
        return FolderShare(place)
    subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True)
    return GitShare(str(place))


def test_what_one_appends_the_next_one_fetches(share: Share) -> None:
    assert share.names() == []
    with share.journal(NAME) as first:
        assert first.fetch() == Fetched()
        first.append(b"one\n")
        first.append(b"two\nthree\n")
    with share.journal(NAME) as second:
        assert second.fetch() == Fetched(b"one\ntwo\nthree\n")
        second.append(b"\xed\xb2\x80 four\n")
    with share.journal(NAME) as third:
        assert third.fetch() == Fetched(b"one\ntwo\nthree\n\xed\xb2\x80 four\n")
    assert share.names() == [NAME]
    with share.journal("other") as other:
        assert other.fetch() == Fetched()


@pytest.mark.parametrize("empty", [True, False])
def test_of_two_that_append_after_the_same_entry_one_is_refused(share: Share, empty: bool) -> None:
    with share.journal(NAME) as first, share.journal(NAME) as second:
        if not empty:
            first.fetch()
            first.append(b"one\n")
        second.fetch()
        first.append(b"by the first\n")
        for _ in range(2):
            with pytest.raises(Moved, match="another run has written"):
                second.append(b"by the second\n")
        first.append(b"again\n")
        assert second.fetch().content.endswith(b"by the first\nagain\n")
        second.append(b"by the second\n")
        with pytest.raises(Moved):
            first.append(b"late\n")


def test_a_journal_that_was_taken_away_is_not_begun_anew(share: Share, tmp_path: Path) -> None:
    with share.journal(NAME) as first:
        first.fetch()
        first.append(b"one\n")
        if isinstance(share, GitShare):
            ref = f"refs/provisioner/journal/{NAME}"
            subprocess.run(["git", "-C", str(tmp_path / "shared"), "update-ref", "-d", ref], check=True)
            with pytest.raises(Moved):
                first.append(b"two\n")


def test_lines_whose_sending_nobody_answered_are_sent_once(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have arrived, and the answer was lost."""
    failure = InputError([Diagnostic("X", "the network is gone")])
    with share.journal(NAME) as first:
        first.fetch()
        first.append(b"one\n")
        with monkeypatch.context() as patch:
            _lose_the_answer(patch, failure)
            with pytest.raises(InputError, match=r"gone|cannot be used"):
                first.append(b"two\n")
        first.append(b"two\n")
        first.append(b"three\n")
        assert first.fetch().content == b"one\ntwo\nthree\n"


def _lose_the_answer(patch: pytest.MonkeyPatch, failure: InputError) -> None:
    raw, link = remotes.Git.raw, os.link

    def answerless(git: remotes.Git, *arguments: str, content: bytes = b"") -> bytes:
        done = raw(git, *arguments, content=content)
        if arguments[0] == "push":
            raise failure
        return done

    def linked(*places: Path) -> None:
        link(*places)
        raise OSError("Input/output error")

    patch.setattr(remotes.Git, "raw", answerless)
    patch.setattr(os, "link", linked)


# --- what others have put there --------------------------------------------------------------------------------------


def test_what_is_no_batch_in_a_folder_is_passed_over_by_name(tmp_path: Path) -> None:
    share = FolderShare(tmp_path)
    with share.journal(NAME) as remote:
        remote.fetch()
        remote.append(b"one\n")
        place = tmp_path / f"{NAME}.journal"
        (tmp_path / "secret").write_text("of another file\n")
        (place / "0000000002.jsonl").symlink_to(tmp_path / "secret")
        os.mkfifo(place / "0000000003.jsonl")
        (place / "0000000004.jsonl").mkdir()
        (place / "notes.txt").write_text("hello")
        (place / ".half-written").write_text("{")
        found = remote.fetch()
        assert found.content == b"one\n"
        assert sorted(found.strange) == ["0000000002.jsonl", "0000000003.jsonl", "0000000004.jsonl", "notes.txt"]
        remote.append(b"two\n")
        assert (place / "0000000005.jsonl").read_bytes() == b"two\n"


def test_what_is_no_batch_in_a_ref_is_passed_over_by_name_and_kept(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    git = ["git", "-C", str(place)]
    subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True)

    def run(*arguments: str, text: str = "") -> str:
        return subprocess.run([*git, *arguments], input=text, text=True, check=True, capture_output=True).stdout.strip()

    blob = run("hash-object", "-w", "--stdin", text="one\n")
    tree = run(
        "mktree",
        text=f"100644 blob {blob}\t0000000001.jsonl\n120000 blob {blob}\t0000000002.jsonl\n"
        f"100644 blob {blob}\tnot\x01es\n040000 tree {run('mktree')}\t0000000003.jsonl\n",
    )
    who = ["-c", "user.name=x", "-c", "user.email=x@x"]
    commit = subprocess.run(
        [*git, *who, "commit-tree", tree, "-m", "x"], text=True, check=True, capture_output=True
    ).stdout.strip()
    run("update-ref", f"refs/provisioner/journal/{NAME}", commit)
    with GitShare(str(place)).journal(NAME) as remote:
        found = remote.fetch()
        assert found.content == b"one\n"
        assert sorted(found.strange) == ["0000000002.jsonl", "0000000003.jsonl", "not\x01es"]
        remote.append(b"two\n")
        assert remote.fetch().content == b"one\ntwo\n"


@pytest.mark.parametrize("limit", ["LARGEST_BYTES", "MOST_BATCHES"])
def test_what_is_too_large_is_an_error_and_nothing_is_read_in_part(
    share: Share, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    with share.journal(NAME) as remote:
        remote.fetch()
        for _ in range(3):
            remote.append(b"x" * 10 + b"\n")
        monkeypatch.setattr(sharing, limit, {"LARGEST_BYTES": 33, "MOST_BATCHES": 3}[limit])
        assert len(remote.fetch().content) == 33
        monkeypatch.setattr(sharing, limit, {"LARGEST_BYTES": 32, "MOST_BATCHES": 2}[limit])
        with pytest.raises(InputError, match="shared journal"):
            remote.fetch()


def test_the_last_number_is_the_last(tmp_path: Path) -> None:
    place = tmp_path / f"{NAME}.journal"
    place.mkdir()
    (place / "9999999999.jsonl").write_text("x\n")
    with FolderShare(tmp_path).journal(NAME) as remote:
        remote.fetch()
        with pytest.raises(InputError, match="no number left"):
            remote.append(b"one\n")


def test_a_ref_that_is_no_commit_is_an_error(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True)
    blob = subprocess.run(
        ["git", "-C", str(place), "hash-object", "-w", "--stdin"], input=b"x", check=True, capture_output=True
    ).stdout.decode()
    ref = f"refs/provisioner/journal/{NAME}"
    subprocess.run(["git", "-C", str(place), "update-ref", ref, blob.strip()], check=True)
    with GitShare(str(place)).journal(NAME) as remote, pytest.raises(InputError, match="git"):
        remote.fetch()


def test_a_push_that_a_hook_of_the_remote_declines_is_told_as_that(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True)
    hook = place / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with GitShare(str(place)).journal(NAME) as remote:
        remote.fetch()
        with pytest.raises(InputError, match="pre-receive hook declined") as caught:
            remote.append(b"one\n")
    assert not isinstance(caught.value, Moved)


def test_a_ref_of_ones_own_choice(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True)
    with GitShare(str(place), "refs/heads/journal").journal(NAME) as remote:
        remote.fetch()
        remote.append(b"one\n")
    branches = subprocess.run(["git", "-C", str(place), "branch"], check=True, capture_output=True, text=True).stdout
    assert branches.split() == [f"journal/{NAME}"]
    assert GitShare(str(place), "refs/heads/journal").names() == [NAME]
    assert GitShare(str(place)).names() == []


# --- what sends a run's records --------------------------------------------------------------------------------------


class Place:
    """A remote whose answers a test decides."""

    def __init__(self, answer: Callable[[int], None] = lambda _: None) -> None:
        self.batches: list[bytes] = []
        self.tries = 0
        self._answer = answer

    def fetch(self) -> Fetched:
        return Fetched(b"".join(self.batches))

    def append(self, lines: bytes) -> None:
        self.tries += 1
        self._answer(self.tries)
        self.batches.append(lines)


@contextmanager
def pushing(remote: Remote, told: list[str] | None = None, clock: FastClock | None = None) -> Iterator[Pushing]:
    found = Pushing(remote, (told if told is not None else []).append, clock or FastClock())
    try:
        yield found
    finally:
        found.close()


def fail(times: int, error: Exception) -> Callable[[int], None]:
    def answer(number: int) -> None:
        if number <= times:
            raise error

    return answer


AWAY = InputError([Diagnostic("JOURNAL-GIT", "the network is gone")])


def test_after_a_flush_everything_is_there_in_order() -> None:
    place = Place()
    with pushing(place) as sender:
        sender.flush()
        for number in range(50):
            sender.add(f"{number}\n".encode())
        sender.flush()
        assert b"".join(place.batches) == b"".join(f"{number}\n".encode() for number in range(50))
        sender.add(b"last\n")
    assert place.batches[-1].endswith(b"last\n")


def test_what_comes_while_a_batch_is_sent_goes_together() -> None:
    going, go_on = threading.Event(), threading.Event()

    def answer(number: int) -> None:
        if number == 1:
            going.set()
            go_on.wait(60)

    place = Place(answer)
    with pushing(place) as sender:
        sender.add(b"one\n")
        assert going.wait(60)
        sender.add(b"two\n")
        sender.add(b"three\n")
        go_on.set()
        sender.flush()
    assert place.batches == [b"one\n", b"two\nthree\n"]


def test_a_batch_is_tried_three_times() -> None:
    place, clock = Place(fail(2, AWAY)), FastClock()
    with pushing(place, clock=clock) as sender:
        sender.add(b"one\n")
        sender.flush()
    assert (place.batches, place.tries, clock.waits) == ([b"one\n"], 3, [2.0, 2.0])


@pytest.mark.parametrize(
    ("error", "tries", "words"),
    [
        (AWAY, 3, "the network is gone"),
        (Moved([Diagnostic("JOURNAL-MOVED", "another run has written")]), 1, "another run has written"),
        (RuntimeError("a fault"), 1, "RuntimeError: a fault"),
    ],
)
def test_what_cannot_be_sent_breaks_the_run_off(error: Exception, tries: int, words: str) -> None:
    place, told = Place(fail(99, error)), list[str]()
    sender = Pushing(place, told.append, FastClock())
    sender.add(b"one\n")
    until(lambda: told)
    for ask in (sender.flush, lambda: sender.add(b"two\n"), sender.flush):
        with pytest.raises(JournalBroken, match=words):
            ask()
    assert not sender.close()
    assert (place.tries, len(told)) == (tries, 1)
    assert words in told[0]


def test_at_the_end_it_says_whether_all_was_sent() -> None:
    sender = Pushing(Place(), clock=FastClock())
    sender.add(b"one\n")
    assert sender.close()
