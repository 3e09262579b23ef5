"""The text for a person: Terraform's lines to the letter, worst news first, and harmless on a terminal."""

from __future__ import annotations

import re

from provisioner.model.document import ResultDocument
from provisioner.render.text import account, render
from tests.clocks import costs
from tests.render.documents import HOSTILE, document, empty, unread


def test_the_lines_that_other_programs_look_for_are_exact() -> None:
    lines = render(document()).splitlines()
    assert '  # inbound_connector["hq"] will be updated in-place' in lines
    assert '  # inbound_connector["old"] will be destroyed' in lines
    assert f"Plan: {len(HOSTILE)} to add, 1 to change, 1 to destroy." in lines
    assert render(empty()) == "No changes. Your infrastructure matches the configuration.\n"


def test_a_list_shows_what_comes_and_goes() -> None:
    text = render(document())
    assert '- "192.0.2.1/32"' in text
    assert '+ "192.0.2.3/32"' in text
    assert "# (1 unchanged element hidden)" in text
    assert '~ comment             = "a" -> "b"' in text


def test_the_worst_comes_first() -> None:
    text = render(unread())
    words = [
        "could not be read completely",
        "Error[IP-PRIVATE]",
        "Warning[IP-DOCUMENTATION]",
        "will be destroyed",
        "will be created",
    ]
    places = [text.index(w) for w in words]
    assert places == sorted(places)
    assert "No changes" not in text


def test_nothing_from_the_tenant_moves_the_cursor_or_turns_the_writing() -> None:
    for colored in (False, True):
        text = re.sub("\x1b\\[[0-9;]*m", "", render(document(), color=colored)) if colored else render(document())
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
