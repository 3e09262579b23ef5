"""The journal: whole, chained, and honest about a line that a crash cut off."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.diagnostics import InputError, JournalBroken, Refused
from provisioner.engine import Answered, Finished, Result, Sending, Started, journal
from provisioner.engine.journal import Journal
from provisioner.engine.sharing import Pushing
from provisioner.model import Action, Address, Answer, Change, Cmdlet, Secret
from provisioner.resources.smtp_auth import SmtpAuth

CHANGE = Change(
    Address("smtp_auth", "a@x.com"), Action.UPDATE, SmtpAuth("a@x.com", "inherit"), SmtpAuth("a@x.com", "enabled")
)
CMDLET = Cmdlet("Set-CASMailbox", {"Identity": "a@x.com", "Password": Secret("env:PASSWORD")})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "state" / "journal.jsonl"
    for run in ("one", "two"):
        with Journal.open(place, run) as record:
            record.record("begin", digest=f"sha256:{run}")
            record.observe(Started(CHANGE))
            record.observe(Sending(CHANGE, 0, CMDLET))
            record.observe(Answered(CHANGE, 0, CMDLET, Answer(request_ids=("r-1",))))
            record.observe(Finished(Result(CHANGE.address, CHANGE.action, "done" if run == "two" else "waiting")))
    return place


def test_a_journal_verifies_across_runs_and_tells_what_happened(path: Path) -> None:
    assert journal.verify(path) == journal.Verdict(10)
    kinds = [(e["run"], e["kind"]) for e in journal.entries(path)]
    assert kinds[:5] == [("one", k) for k in ("begin", "started", "sending", "answered", "finished")]
    assert journal.begun(path, "sha256:one") == {'smtp_auth["a@x.com"]': 1}
    assert journal.begun(path, "sha256:two") == {}, "it was seen done"
    assert journal.begun(path, "sha256:three") == {}


def test_a_secret_stands_there_as_its_reference(path: Path) -> None:
    sent = next(e for e in journal.entries(path) if e["kind"] == "sending")
    assert sent["request"]["parameters"]["Password"] == {"$secret": "env:PASSWORD"}


def test_a_refusal_is_recorded_with_its_kind_and_request(path: Path) -> None:
    with Journal.open(path, "three") as record:
        record.observe(Answered(CHANGE, 0, CMDLET, Refused("no", "Set-CASMailbox", request_id="r-9")))
    last = list(journal.entries(path))[-1]
    assert last["error"] == {"kind": "refused", "text": "Set-CASMailbox: no [request r-9]", "request_id": "r-9"}


@given(st.integers(0, 9), st.data())
def test_a_line_changed_taken_out_or_put_twice_shows(
    tmp_path_factory: pytest.TempPathFactory, line: int, data: st.DataObject
) -> None:
    place = tmp_path_factory.mktemp("journal") / "j.jsonl"
    with Journal.open(place, "one") as record:
        for number in range(10):
            record.record("note", text=f"entry {number}")
    lines = place.read_text().splitlines(keepends=True)
    how = data.draw(st.sampled_from(["change", "remove", "double"]))
    if how == "remove" and line == 9:
        return  # the end may always be missing: what was never written cannot be told from what was cut off
    if how == "change":
        lines[line] = json.dumps({**json.loads(lines[line]), "text": "forged"}) + "\n"
    elif how == "remove":
        del lines[line]
    else:
        lines.insert(line, lines[line])
    place.write_text("".join(lines))
    assert journal.verify(place).faults


def test_a_line_that_lacks_only_its_end_is_whole(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    assert journal.verify(path) == journal.Verdict(10)
    with Journal.open(path, "three") as record:
        record.record("begin", digest="sha256:three")
    assert journal.verify(path) == journal.Verdict(11)


@pytest.mark.parametrize("keep", [1, 20, -2])
def test_a_torn_line_is_kept_noted_and_does_not_stop_the_next_run(path: Path, keep: int) -> None:
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole.removesuffix(last) + last[:keep])
    assert "torn" in " ".join(journal.verify(path).faults)
    with Journal.open(path, "three") as record:
        record.record("begin", digest="sha256:three")
    assert journal.verify(path).faults == ()
    assert [e["kind"] for e in journal.entries(path)][-2:] == ["torn", "begin"]


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot be written"):
        Journal.open(tmp_path / "state" / "journal.jsonl", "one")


# --- what cannot be written ------------------------------------------------------------------------------------------


def test_a_write_that_takes_a_part_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:7]))
    place = tmp_path / "j.jsonl"
    with Journal.open(place, "one") as record:
        record.record("begin", digest="sha256:x")
        record.record("end", converged=True)
    assert journal.verify(place) == journal.Verdict(2)


def test_a_full_disk_is_an_error_now_and_ever_after_and_the_next_run_accounts_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "j.jsonl"
    with Journal.open(place, "one") as record:
        record.record("begin", digest="sha256:x")
        room = [20]
        write = os.write

        def full(file: int, line: bytes) -> int:
            if not room[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = write(file, line[: room[0]])
            room[0] -= written
            return written

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(JournalBroken, match="No space left on device"):
                record.observe(Sending(CHANGE, 0, CMDLET))
        torn = place.read_bytes()
        with pytest.raises(JournalBroken, match="could not be written before"):
            record.observe(Sending(CHANGE, 0, CMDLET))
        assert place.read_bytes() == torn, "nothing is written behind half a line"
    assert journal.passed_over(place) == [2]
    with Journal.open(place, "two") as record:
        record.record("begin", digest="sha256:y")
    assert journal.verify(place) == journal.Verdict(3)
    assert journal.passed_over(place) == []


# --- lines that this version did not write ---------------------------------------------------------------------------

STRANGE = {
    "empty": {},
    "list": [],
    "no run": {"kind": "started", "time": "t", "address": 'smtp_auth["a@x.com"]', "action": "update"},
    "a number for a run": {"kind": "begin", "run": 5, "time": "t"},
    "no address": {"kind": "finished", "run": "one", "time": "t", "status": "done"},
    "an address of another form": {"kind": "finished", "run": "one", "time": "t", "address": "x", "status": "done"},
    "half of the sides": {"kind": "started", "run": "one", "time": "t", "address": "t/k", "action": "a", "after": {}},
    "a text for a side": {"kind": "started", "run": "one", "time": "t", "address": "t/k", "action": "a", "after": "",
                          "before": None},
    "a text for a step": {"kind": "sending", "run": "one", "time": "t", "address": "t/k", "step": "1"},
}  # fmt: skip


@pytest.mark.parametrize("line", [*map(json.dumps, STRANGE.values()), "[" * 100_000], ids=[*STRANGE, "deep"])
def test_a_strange_line_is_passed_over_and_told(path: Path, line: str) -> None:
    before = (journal.brought(path), journal.begun(path, "sha256:one"), list(journal.entries(path)))
    with path.open("a") as file:
        file.write(line + "\n")
    assert (journal.brought(path), journal.begun(path, "sha256:one"), list(journal.entries(path))) == before
    assert journal.passed_over(path) == [11]


def test_a_kind_of_a_newer_version_is_no_fault(path: Path) -> None:
    with Journal.open(path, "three") as record:
        record.record("approved", by="anna")
    assert journal.passed_over(path) == []
    assert [e["kind"] for e in journal.entries(path)][-1] == "approved"


def test_a_pipe_in_the_place_of_the_journal_is_refused_at_once(tmp_path: Path) -> None:
    place = tmp_path / "j.jsonl"
    os.mkfifo(place)
    with pytest.raises(InputError, match="not an ordinary file"):
        list(journal.entries(place))
    with pytest.raises(InputError, match="not an ordinary file"):
        Journal.open(place, "one")


# --- what was sent and not seen --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["unconfirmed", "failed", "waiting", "left", "held_back", None])
def test_what_a_later_run_sent_and_did_not_see_is_blamed_on_nobody(path: Path, status: str | None) -> None:
    again = dataclasses.replace(CHANGE, before=CHANGE.after, after=SmtpAuth("a@x.com", "disabled"))
    with Journal.open(path, "three") as record:
        record.observe(Started(again))
        record.observe(Sending(again, 0, CMDLET))
        if status:
            record.observe(Finished(Result(again.address, again.action, status)))
    brought = journal.brought(path)

    def drift(live: str) -> list[str]:
        seen = dataclasses.replace(again, before=SmtpAuth("a@x.com", live))
        return [str(d.address) for d in journal.drift_of([seen], brought)]

    assert (drift("enabled"), drift("disabled"), drift("inherit")) == ([], [], ['smtp_auth["a@x.com"]'])


@pytest.mark.parametrize("status", ["skipped"])
def test_what_was_never_sent_explains_nothing(path: Path, status: str) -> None:
    again = dataclasses.replace(CHANGE, before=CHANGE.after, after=SmtpAuth("a@x.com", "disabled"))
    with Journal.open(path, "three") as record:
        record.observe(Started(again))
        record.observe(Finished(Result(again.address, again.action, status)))
    seen = dataclasses.replace(again, before=SmtpAuth("a@x.com", "disabled"))
    assert len(journal.drift_of([seen], journal.brought(path))) == 1


# --- a journal that is shared ----------------------------------------------------------------------------------------

OTHER = dataclasses.replace(
    CHANGE, address=Address("smtp_auth", "b@x.com"), before=None, after=SmtpAuth("b@x.com", "enabled")
)


class Sent:
    """What a run has sent to a shared journal."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.flushed = 0

    def add(self, line: bytes) -> None:
        self.lines.append(line)

    def flush(self) -> None:
        self.flushed += 1


def shared_run(path: Path, tmp_path: Path, run: str, *, keep: int = 99) -> Sent:
    """A run that began both changes and saw one done; of its lines `keep` have arrived."""
    sent = Sent()
    own = tmp_path / "unsent" / f"{run}.jsonl"
    with Journal.open(own, run, after=path, share=cast("Pushing", sent)) as record:
        record.begin([CHANGE, OTHER], digest="sha256:shared")
        record.flush()
        for change in (CHANGE, OTHER):
            record.observe(Started(change))
            record.observe(Sending(change, 0, CMDLET))
        record.observe(Finished(Result(CHANGE.address, CHANGE.action, "done")))
    assert own.read_bytes() == b"".join(sent.lines)
    path.write_bytes(path.read_bytes() + b"".join(sent.lines[:keep]))
    return sent


def test_a_run_continues_the_journal_that_was_fetched(path: Path, tmp_path: Path) -> None:
    sent = shared_run(path, tmp_path, "three")
    assert (len(sent.lines), sent.flushed) == (6, 1)
    assert journal.verify(path) == journal.Verdict(16)
    begin = json.loads(sent.lines[0])
    assert (begin["number"], begin["shared"]) == (11, True)
    inherit, on, other = (
        {"identity": name, "smtp_auth": value}
        for name, value in (("a@x.com", "inherit"), ("a@x.com", "enabled"), ("b@x.com", "enabled"))
    )
    assert begin["changes"] == [
        {"address": 'smtp_auth["a@x.com"]', "action": "update", "before": inherit, "after": on},
        {"address": 'smtp_auth["b@x.com"]', "action": "update", "before": None, "after": other},
    ]


@pytest.mark.parametrize(
    ("keep", "begun", "statuses"),
    [
        (1, {'smtp_auth["a@x.com"]': 0, 'smtp_auth["b@x.com"]': 0}, ["begun", "begun"]),
        (3, {'smtp_auth["a@x.com"]': 1, 'smtp_auth["b@x.com"]': 0}, ["begun", "begun"]),
        (6, {'smtp_auth["b@x.com"]': 1}, ["done", "begun"]),
    ],
)
def test_what_a_run_without_an_end_began_with_counts_as_begun(
    path: Path, tmp_path: Path, keep: int, begun: dict[str, int], statuses: list[str]
) -> None:
    shared_run(path, tmp_path, "three", keep=keep)
    assert journal.begun(path, "sha256:shared") == begun
    assert [d.status for d in journal.deeds(path, "three")] == statuses
    assert {d.address for d in journal.deeds(path, "three")} == {str(CHANGE.address), str(OTHER.address)}
    assert next(d for d in journal.deeds(path, "three") if d.status == "begun").unseen


def test_a_run_of_this_machine_alone_has_all_its_lines(path: Path) -> None:
    with Journal.open(path, "three") as record:
        record.begin([CHANGE, OTHER], digest="sha256:own")
        record.flush()
        record.observe(Started(CHANGE))
        record.observe(Sending(CHANGE, 0, CMDLET))
    assert "shared" not in list(journal.entries(path))[10]
    assert journal.begun(path, "sha256:own") == {str(CHANGE.address): 1}
    assert [(d.address, d.status) for d in journal.deeds(path, "three")] == [(str(CHANGE.address), "begun")]


def test_what_a_run_with_an_end_did_not_write_is_not_begun(path: Path, tmp_path: Path) -> None:
    sent = Sent()
    with Journal.open(tmp_path / "own", "three", after=path, share=cast("Pushing", sent)) as record:
        record.begin([CHANGE, OTHER], digest="sha256:shared")
        record.record("end", error={"kind": "stale", "text": "it has moved"})
    path.write_bytes(path.read_bytes() + b"".join(sent.lines))
    assert journal.begun(path, "sha256:shared") == {}
    assert list(journal.deeds(path, "three")) == []


def test_what_was_not_ended_when_the_next_run_began_comes_before_it(path: Path, tmp_path: Path) -> None:
    shared_run(path, tmp_path, "three", keep=1)
    later = dataclasses.replace(CHANGE, before=CHANGE.after, after=SmtpAuth("a@x.com", "disabled"))
    with Journal.open(path, "four") as record:
        record.begin([later], digest="sha256:four")
        record.observe(Started(later))
        record.observe(Finished(Result(later.address, later.action, "done")))
    last = [(d.run, d.address, d.status) for d in journal.deeds(path)][-3:]
    assert last == [
        ("three", str(CHANGE.address), "begun"),
        ("three", str(OTHER.address), "begun"),
        ("four", str(CHANGE.address), "done"),
    ]
    assert journal.brought(path)[str(CHANGE.address)].tried == ()


@pytest.mark.parametrize(
    "changes",
    [
        "x", {}, [5], [{"address": "x", "action": "update", "before": None, "after": None}],
        [{"address": 5, "action": "update", "before": None, "after": None}],
        [{"address": "t/k", "action": 5, "before": None, "after": None}],
        [{"address": "t/k", "action": "update", "after": None}], [{"address": "t/k", "action": "update"}],
        [{"address": "t/k", "action": "update", "before": [], "after": None}],
    ],
)  # fmt: skip
def test_a_beginning_of_another_form_is_passed_over(path: Path, changes: object) -> None:
    with Journal.open(path, "three") as record:
        record.record("begin", digest="sha256:shared", changes=changes, shared=True)
    assert journal.passed_over(path) == [11]
    assert journal.begun(path, "sha256:shared") == {}


@pytest.mark.parametrize(
    ("hash_", "number"), [("x" * 10_000, 10**3000), (5, "7"), (None, -1), ("F" * 64, True), ("0" * 65, 1 << 53)]
)
def test_a_link_or_a_number_of_another_form_is_not_carried_on(path: Path, hash_: object, number: object) -> None:
    last = {"kind": "note", "run": "r", "time": "t", "hash": hash_, "number": number}
    path.write_text(path.read_text() + json.dumps(last) + "\n")
    with Journal.open(path, "three") as record:
        record.record("note")
    added = json.loads(path.read_text().splitlines()[-1])
    assert (added["number"], added["previous"]) == (11, "0" * 64)


def test_what_a_run_could_not_send_is_found_while_it_still_follows(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    sent = shared_run(path, tmp_path, "three", keep=2)
    own = tmp_path / "unsent" / "three.jsonl"
    assert journal.missing(own, path) == b"".join(sent.lines[2:])
    own.write_bytes(own.read_bytes() + b'{"torn')
    assert journal.missing(own, path) == b"".join(sent.lines[2:])
    path.write_bytes(before + b"".join(sent.lines))
    assert journal.missing(own, path) == b""
    path.write_bytes(
        before + sent.lines[0] + b'{"kind": "note", "run": "x", "time": "t", "hash": "' + b"a" * 64 + b'"}\n'
    )
    assert journal.missing(own, path) is None
    own.write_bytes(b"[]\n")
    assert journal.missing(own, path) is None
