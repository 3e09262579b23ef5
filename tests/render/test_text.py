"""The text for a person: Terraform's lines to the letter, worst news first, and harmless on a terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest

from provisioner.changes import changeset
from provisioner.diagnostics import Severity
from provisioner.model import Action, Address, Change, ChangeSet, Drift, Finding, Unknown, Unmanaged
from provisioner.model.document import ResultDocument
from provisioner.render.review import Shown
from provisioner.render.text import account, render
from provisioner.resources.inbound_connector import InboundConnector
from tests.clocks import costs
from tests.render.documents import HOSTILE, document, empty, unread


def test_the_lines_that_other_programs_look_for_are_exact() -> None:
    lines = render(document()).splitlines()
    assert '  # inbound_connector["hq"] will be updated in-place' in lines
    assert '  # inbound_connector["old"] will be destroyed' in lines
    assert f"Plan: {len(HOSTILE)} to add, 1 to change, 1 to destroy." in lines
    assert render(empty()).splitlines()[-1] == "No changes. Your infrastructure matches the configuration."


def test_a_list_shows_what_comes_and_goes() -> None:
    text = render(document())
    assert '- "192.0.2.1/32"' in text
    assert '+ "192.0.2.3/32"' in text
    assert "# (1 unchanged element hidden)" in text
    assert '~ comment             = "a" -> "b"' in text


def test_the_worst_comes_first() -> None:
    text = render(unread())
    words = [
        "Tenant contoso.onmicrosoft.com",
        "could not be read completely",
        "will be destroyed",
        "will be created",
        "Plan: ",
        "plans/a.yaml:3:5: error[IP-PRIVATE]",
        "plans/a.yaml:3:5: warning[IP-DOCUMENTATION]",
    ]
    places = [text.index(w) for w in words]
    assert places == sorted(places)
    assert "No changes" not in text


def test_nothing_from_the_tenant_moves_the_cursor_or_turns_the_writing() -> None:
    for colored in (False, True):
        text = (
            re.sub("\x1b\\[[0-9;]*m", "", render(document(), Shown(color=colored))) if colored else render(document())
        )
        assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", text)


def test_ten_thousand_changes_are_made_in_time() -> None:
    found = document(10_000)
    with costs(at_most_s=3):
        assert "10001 to change" in render(found)


def result(address: str, action: str, status: str, detail: str = "") -> ResultDocument:
    return {"address": address, "action": action, "status": status, "detail": detail, "warnings": [], "seconds": 1.0}


def test_the_account_says_what_was_done_and_what_was_not() -> None:
    whole = [result("a", "create", "done"), result("b", "update", "already_done")]
    assert account(whole) == (
        "Apply complete! Resources: 1 added, 0 changed, 0 destroyed. 1 of the changes had been made already.\n"
    )
    partly = [
        result("a", "delete", "done"),
        result("b", "update", "failed", "no"),
        result("c", "create", "skipped", "b"),
    ]
    text = account(partly)
    assert "Failed:\n  b: no" in text
    assert "Not begun, because something it needs did not succeed:\n  c: b" in text
    assert text.endswith("Apply incomplete. Resources: 0 added, 0 changed, 1 destroyed. 2 not finished.\n")


@pytest.mark.parametrize(
    ("status", "heading"),
    [
        ("failed", "Failed:"),
        ("unconfirmed", "Sent, but not confirmed:"),
        ("waiting", "Waiting (apply again when it is there):"),
        (
            "held_back",
            "Held back, because it closes a sending path (apply again when what opens one is in force):",
        ),
        ("skipped", "Not begun, because something it needs did not succeed:"),
        ("left", "Not begun, because the run was interrupted:"),
    ],
)
def test_each_way_not_to_finish_has_its_heading(status: str, heading: str) -> None:
    assert account([result("a\nb", "update", status, "why\x1b")]) == (
        f"{heading}\n  a\\u{{a}}b: why\\u{{1b}}\n\n"
        "Apply incomplete. Resources: 0 added, 0 changed, 0 destroyed. 1 not finished.\n"
    )


def test_headings_come_worst_first_and_a_failure_is_red() -> None:
    text = account([result("l", "update", "left"), result("f", "update", "failed")], color=True)
    assert text.index("\x1b[31mFailed:\x1b[0m") < text.index("\x1b[33mNot begun")
    assert account([], color=True).startswith("\x1b[32mApply complete!")


def test_warnings_of_the_service_come_first_but_not_that_nothing_changed() -> None:
    warned = {**result("a", "update", "done"), "warnings": ["watch\nout", "no settings of 'a' have been modified."]}
    text = account([result("b", "update", "done"), warned])  # type: ignore[list-item]
    assert text.splitlines() == [
        "Warning: a: watch\\u{a}out",
        "Apply complete! Resources: 0 added, 2 changed, 0 destroyed.",
    ]


def shown(*changes: Change, **rest: Any) -> str:
    return render(changeset.to_document(ChangeSet("contoso.onmicrosoft.com", "id", "", changes, **rest)))


def test_what_others_changed_and_what_is_left_over_stands_below() -> None:
    drift = (
        Drift(Address("smtp_auth", "a@x"), {"smtp_auth": "enabled"}, {"smtp_auth": "disabled"}, "run-1"),
        Drift(Address("inbound_connector", "gone"), {"comment": "x"}, None, "run-2"),
    )
    assert shown(drift=drift, left=(Address("inbound_connector", "old"),)).splitlines()[2:] == [
        "No changes. Your infrastructure matches the configuration.",
        "",
        "Changed by others since the last apply from here:",
        '  smtp_auth["a@x"] (smtp_auth)',
        '  inbound_connector["gone"] (gone)',
        "",
        "No longer declared, still live (an earlier plan set them; nothing changes them now):",
        '  inbound_connector["old"]',
    ]


FROZEN = Finding("UNDECLARED-FROZEN", Severity.WARNING, "a name could mean one of them")
IMPOSSIBLE = Finding("DOMAIN-UNVERIFIED", Severity.ERROR, "it is not verified", blocks="precondition")


@pytest.mark.parametrize(
    ("rest", "sentence", "note"),
    [
        ({}, "No changes. Your infrastructure matches the configuration.", ""),
        (
            {"complete": False},
            "No changes. Your infrastructure matches the configuration.",
            "Note: only a part of the plan was looked at (--target or --exclude).",
        ),
        (
            {"complete": False, "findings": (FROZEN,)},
            "No changes to what the plan declares.",
            "Note: undeclared objects were left unchanged: a name of the plan could mean one of them "
            "(UNDECLARED-FROZEN).",
        ),
        ({"findings": (IMPOSSIBLE,)}, "Nothing can be planned until the errors below are corrected.", ""),
    ],
)
def test_a_plan_without_changes_says_why(rest: dict[str, Any], sentence: str, note: str) -> None:
    lines = shown(**rest).splitlines()
    assert sentence in lines
    assert (lines[-1] if note else "") == note
    assert any(line.startswith("Note:") for line in lines) is bool(note)


def test_what_could_not_be_read_is_named_and_nothing_is_concluded_from_it() -> None:
    text = shown(
        unknown={Address("dkim", "x.com"): Unknown("thr\nottled")},
        unlisted={"send_as": Unknown("forbidden")},
        complete=False,
    )
    assert text.splitlines()[2:5] == [
        "The tenant could not be read completely. This change set cannot be applied.",
        '  dkim["x.com"]: thr\\u{a}ottled',
        "  undeclared send_as objects: forbidden",
    ]
    assert "No changes" not in text


def test_waivers_are_counted_by_rule_and_reason() -> None:
    waived = [
        Finding("IP-PRIVATE", Severity.ERROR, f"guard {n}", blocks="apply", waived=reason)
        for n, reason in enumerate(["CHG-1", "CHG-1", "CHG-2"])
    ]
    lines = shown(findings=tuple(waived)).splitlines()
    assert lines[-2:] == ["IP-PRIVATE is allowed (2 times): CHG-1", "IP-PRIVATE is allowed: CHG-2"]
    assert not any("guard" in line for line in lines)


def test_unmanaged_objects_are_counted_or_listed() -> None:
    found = changeset.to_document(
        ChangeSet(
            "contoso.onmicrosoft.com",
            "id",
            "",
            (),
            unmanaged=(Unmanaged(Address("inbound_connector", "theirs"), "relays", owner="us/prod"),),
            unmanaged_more={"smtp_auth": 1200},
        )
    )
    assert "1,201 objects of the types that this plan manages are not declared in it" in render(found)
    assert render(found, Shown(unmanaged=True)).splitlines()[-3:] == [
        "Not declared in this plan (nothing changes them):",
        '  inbound_connector["theirs"]: relays (made by plan "us/prod")',
        "  and 1,200 more",
    ]


def test_a_value_that_is_removed_or_changed_shows_both_sides() -> None:
    before, after = InboundConnector("x", comment="a", enabled=True), InboundConnector("x", comment="b", enabled=True)
    updated = shown(Change(Address("inbound_connector", "x"), Action.UPDATE, before, after)).splitlines()
    assert '      ~ comment = "a" -> "b"' in updated
    assert "        # (1 unchanged attribute hidden)" in updated
    deleted = shown(Change(Address("inbound_connector", "x"), Action.DELETE, before, None, reason="absent"))
    assert '      - comment = "a" -> null' in deleted
    assert "  # (absent)" in deleted.splitlines()
