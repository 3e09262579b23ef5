"""Terraform's stream: a line is one line whatever a name holds, and what is said is what the document says."""

from __future__ import annotations

import json

import pytest

from provisioner.diagnostics import Diagnostic, Location, Severity
from provisioner.model import Address, Drift, Unknown
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


@pytest.mark.parametrize(
    ("line", "type_", "message"),
    [
        (stream.version(TIME, "1.2.3"), "version", "provisioner 1.2.3"),
        (
            stream.summary({"create": 2, "delete": 1, "no-op": 5}, "plan", TIME),
            "change_summary",
            "Plan: 2 to add, 0 to change, 1 to destroy.",
        ),
        (
            stream.summary({"update": 3}, "apply", TIME),
            "change_summary",
            "Apply complete! Resources: 0 added, 3 changed, 0 destroyed.",
        ),
        (stream.started("a", "t", "k", "create", TIME), "apply_start", "a: Creating..."),
        (stream.started("a", "t", "k", "update", TIME), "apply_start", "a: Modifying..."),
        (stream.started("a\nb", "t", "k", "delete", TIME), "apply_start", "a\\u{a}b: Destroying..."),
        (
            stream.progressed("a", "t", "k", "update", "CNAME", 59.6, TIME),
            "apply_progress",
            "a: Still waiting for DNS... [60s elapsed]",
        ),
    ],
)
def test_each_line_has_terraform_s_type_words_and_time(line: stream.Line, type_: str, message: str) -> None:
    assert (line["type"], line["@message"]) == (type_, message)
    assert (line["@level"], line["@module"], line["@timestamp"]) == ("info", "provisioner.ui", TIME)


def test_the_first_line_names_the_version_of_the_interface_and_ours() -> None:
    line = stream.version(TIME, "1.2.3")
    assert (line["ui"], line["provisioner"]) == ("1.2", {"version": "1.2.3"})


def test_a_hook_names_the_resource_and_what_is_done_to_it() -> None:
    hook = stream.started('dkim["contoso.com"]', "dkim", "contoso.com", "update", TIME)["hook"]
    assert hook == {
        "resource": {
            "addr": 'dkim["contoso.com"]',
            "module": "",
            "resource": 'dkim["contoso.com"]',
            "implied_provider": "provisioner",
            "resource_type": "dkim",
            "resource_name": "contoso.com",
            "resource_key": "contoso.com",
        },
        "action": "update",
    }
    waiting = stream.progressed('dkim["contoso.com"]', "dkim", "contoso.com", "update", "waits for x", 31.2, TIME)
    assert waiting["hook"] == {**hook, "elapsed_seconds": 31}
    assert waiting["provisioner"] == {"detail": "waits for x"}


@pytest.mark.parametrize(
    ("action", "status", "type_", "level", "message"),
    [
        ("create", "done", "apply_complete", "info", "x: Creation complete"),
        ("update", "already_done", "apply_complete", "info", "x: Modifications complete"),
        ("delete", "done", "apply_complete", "info", "x: Destruction complete"),
        ("create", "held_back", "apply_errored", "error", "x: held back"),
        ("create", "unconfirmed", "apply_errored", "error", "x: unconfirmed"),
    ],
)
def test_only_what_is_done_is_complete(action: str, status: str, type_: str, level: str, message: str) -> None:
    result: ResultDocument = {
        "address": "x", "action": action, "status": status, "detail": "", "warnings": ["slow"], "seconds": 0.4,
    }  # fmt: skip
    line = stream.finished(result, "t", "k", TIME)
    assert (line["type"], line["@level"], line["@message"]) == (type_, level, message)
    assert (line["hook"]["id_key"], line["hook"]["id_value"], line["hook"]["elapsed_seconds"]) == ("address", "x", 0)
    assert line["provisioner"] == {"status": status, "detail": "", "warnings": ["slow"]}


def test_drift_comes_first_then_findings_then_what_could_not_be_read() -> None:
    drift = (Drift(Address("smtp_auth", "a@x"), {"smtp_auth": "enabled"}, {"smtp_auth": "disabled"}, "run-1"),)
    unknown = {Address("dkim", "contoso.com"): Unknown("throttled", "throttled")}
    found = document(0, drift=drift, unknown=unknown, unlisted={"send_as": Unknown("forbidden")}, complete=False)
    lines = list(stream.planned(found, TIME))
    kinds = [line["type"] for line in lines]
    assert kinds == ["resource_drift", *["diagnostic"] * 4, *["planned_change"] * (len(kinds) - 6), "change_summary"]
    assert lines[0]["change"]["resource"]["addr"] == 'smtp_auth["a@x"]'
    assert lines[0]["@message"] == 'smtp_auth["a@x"]: Drift detected (update)'
    warned, guarded, unread, unlisted = (line["diagnostic"] for line in lines[1:5])
    assert (warned["severity"], guarded["severity"]) == ("warning", "error")
    assert unread == {
        "severity": "error",
        "summary": 'dkim["contoso.com"] could not be read',
        "detail": "throttled",
        "address": 'dkim["contoso.com"]',
    }
    assert (unlisted["summary"], unlisted["address"]) == ("send_as could not be read", "send_as")
    assert [line["@level"] for line in lines[1:5]] == ["warn", "error", "error", "error"]


def test_a_waived_finding_is_not_a_diagnostic() -> None:
    told = [line["provisioner"]["rule"] for line in stream.planned(document(), TIME) if line["type"] == "diagnostic"]
    assert told == ["IP-DOCUMENTATION", "IP-PRIVATE"]


def test_a_change_carries_its_consequences() -> None:
    lines = {
        line["change"]["resource"]["addr"]: line["provisioner"]["consequences"]
        for line in stream.planned(document(), TIME)
        if line["type"] == "planned_change"
    }
    expected = {c["address"]: c["provisioner"]["consequences"] for c in document()["resource_changes"]}
    assert lines == expected


def test_diagnostics_of_an_error_keep_place_rule_and_address() -> None:
    found = [
        Diagnostic("IP-PRIVATE", "10.0.0.5 is private", "write the public one", location=Location("a.yaml", 3, 5)),
        Diagnostic("OLD", "old\nword", severity=Severity.WARNING, address="x"),
        Diagnostic("", "by the way", severity=Severity.INFO),
    ]
    first, second, third = stream.diagnostics(found, TIME)
    place = {"line": 3, "column": 5}
    assert first["diagnostic"] == {
        "severity": "error",
        "summary": "10.0.0.5 is private",
        "detail": "write the public one",
        "range": {"filename": "a.yaml", "start": place, "end": place},
    }
    assert (first["@level"], first["provisioner"]) == ("error", {"rule": "IP-PRIVATE"})
    assert (second["@level"], second["@message"]) == ("warn", "Warning: old\\u{a}word")
    assert second["diagnostic"]["address"] == "x"
    assert "range" not in second["diagnostic"]
    # Terraform knows errors and warnings only.
    assert (third["@level"], third["diagnostic"]["severity"], third["provisioner"]["rule"]) == ("info", "warning", None)
