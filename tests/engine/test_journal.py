"""The journal: whole, chained, and honest about a line that a crash cut off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.diagnostics import InputError, Refused
from provisioner.engine import Answered, Finished, Result, Sending, Started, journal
from provisioner.engine.journal import Journal
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
