"""Terraform's stream: a line is one line whatever a name holds, and what is said is what the document says."""

from __future__ import annotations

import json

from provisioner.model.document import ResultDocument
from provisioner.render import stream
from tests.render.documents import HOSTILE, document

TIME = "2026-11-23T10:00:00Z"


def test_a_hostile_name_stays_inside_its_line_and_its_value() -> None:
    found = document(0)
    lines = [json.dumps(line, ensure_ascii=False) for line in stream.planned(found, TIME)]
    assert all(len(text.splitlines()) == 1 for text in lines)
    told = [json.loads(text) for text in lines]
    addresses = {line["change"]["resource"]["addr"] for line in told if line["type"] == "planned_change"}
    assert addresses == {c["address"] for c in found["resource_changes"] if c["change"]["actions"] != ["no-op"]}
    for line in told:
        assert not set(line["@message"]) & set("\n\r\x1b\u202e"), "a message is for a terminal"
    assert HOSTILE


def test_the_summary_counts_what_is_planned() -> None:
    found = document(3)
    *planned, summary = list(stream.planned(found, TIME))
    changes = [line for line in planned if line["type"] == "planned_change"]
    counts = summary["changes"]
    assert counts["add"] + counts["change"] + counts["remove"] == len(changes)
    assert counts["operation"] == "plan"


def test_a_failed_change_is_errored_and_says_why() -> None:
    result: ResultDocument = {
        "address": 'x["y"]',
        "action": "update",
        "status": "failed",
        "detail": "no\nway",
        "warnings": [],
        "seconds": 1.6,
    }
    line = stream.finished(result, "x", "y", TIME)
    assert (line["type"], line["@level"], line["hook"]["elapsed_seconds"]) == ("apply_errored", "error", 2)
    assert line["provisioner"]["detail"] == "no\nway"
