"""The comment on a pull request: worst news first, under its budget, and no name ever becomes markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from provisioner.changes import changeset
from provisioner.model import Action, Address, Await, Change, ChangeSet, Record, Ref
from provisioner.render.markdown import BUDGET, escape, marker, render
from provisioner.render.review import Shown
from provisioner.resources.dkim import Dkim
from tests.changes.whole import change_set
from tests.clocks import costs
from tests.render.documents import HOSTILE, document, empty, unread


def test_it_begins_with_the_hidden_line_that_finds_it_again() -> None:
    found = document()
    assert render(found).startswith(marker(found) + "\n")
    found["provisioner"]["tenant"] = "x --> <b>"
    assert "-->" not in marker(found)[:-3]


def test_the_worst_comes_first() -> None:
    text = render(unread())
    order = [
        "could not be read completely",
        "Could not be read",
        "<summary>destroy",
        "<summary>create",
        "#### Findings",
        "IP-PRIVATE",
        "IP-DOCUMENTATION",
        "SMTP-TENANT-WIDE",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_no_name_becomes_markup_a_mention_or_the_end_of_a_fence() -> None:
    text = render(document())
    outside = re.sub(r"(?ms)^(`{3,})diff$.*?^\1$", "", text)
    assert "<script>" not in outside
    assert "@everyone" not in re.sub(r"<summary>.*?</summary>", "", outside)
    assert "[x](http" not in re.sub(r"<summary>.*?</summary>", "", outside)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", text)
    changes = outside.count("<details><summary>") - 1  # and the waived findings
    assert outside.count("<details>") == outside.count("</details>")
    assert changes == len(HOSTILE) + 2, "no fence was closed from inside"


def test_ten_thousand_changes_stay_under_the_budget_and_are_counted() -> None:
    found = document(10_000)
    with costs(at_most_s=3):
        text = render(found)
    assert len(text) < BUDGET
    shown = len(re.findall(r"<summary>(?:create|update|destroy) ", text))
    assert f"**{10_000 + len(HOSTILE) + 2 - shown:,} more changes are not shown here**" in text
    assert found["provisioner"]["digest"].partition(":")[2] in text


def test_nothing_to_do_is_one_sentence() -> None:
    assert "No changes. Your infrastructure matches the configuration." in render(empty())


@pytest.mark.parametrize(
    "text",
    [
        "mail from 192.0.2.40 does not pass SPF of northwind-service.com",
        'inbound_connector["hq-relay"]: it has fixed addresses (203.0.113.10); see smtp_auth',
        "2026-11-26T07:43:17Z",
    ],
)
def test_ordinary_text_stands_as_itself(text: str) -> None:
    """A comment is read in mail too, where entities are not decoded."""
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("[x](http://y)", "&#91;x&#93;(http&#58;//y)"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("@everyone #1 !2 $3$", "&#64;everyone &#35;1 &#33;2 &#36;3&#36;"),
        ("WWW.evil.com", "WWW&#46;evil.com"),
        ("- item", "&#45; item"),
        ("1. item", "1&#46; item"),
        ("_so_ *so* `so` ~so~", "&#95;so&#95; &#42;so&#42; &#96;so&#96; &#126;so&#126;"),
        ("a|b\\c", "a&#124;b&#92;c"),
        ("[x]: http://y", "&#91;x]: http&#58;//y"),
        ("![i][j] [^1] [ ]", "&#33;[i&#93;[j] &#91;^1] &#91; ]"),
    ],
)
def test_what_could_begin_markup_stands_as_an_entity(text: str, written: str) -> None:
    assert escape(text) == written


def test_the_comment_says_what_the_terminal_says(tmp_path: Path) -> None:
    found = changeset.to_document(change_set(tmp_path))
    found["errored"] = False
    text = render(found, Shown(profile="prod", file="changes.json", rules="https://docs.example/rules"))
    assert found["provisioner"]["summary"]["sentence"] in text
    assert "<code>abc123 (modified)</code>" in text
    assert "[SPF-IP-MISSING](https://docs.example/rules/SPF-IP-MISSING.md)" in text
    assert "plan.yaml:3</code>)<br>Fix: publish it" in text
    assert "```mermaid\nflowchart LR\n" in text
    assert "#### Site hq" in text
    heads = [n for n, line in enumerate(text.splitlines()) if line.startswith("#### ")]
    assert all(text.splitlines()[n - 1] == "" for n in heads), "a heading behind an element needs an empty line"


def test_what_a_person_must_do_and_the_exact_command_are_fenced_to_be_copied() -> None:
    records = (
        Record("selector1._domainkey.x.com", "CNAME", "a.b.c"),
        Record("s2.x.com", "CNAME", Ref(0, "Selector2CNAME")),
    )
    waits = Change(Address("dkim", "x.com"), Action.CREATE, None, Dkim("x.com", enabled=True), (Await(records),))
    found = changeset.to_document(ChangeSet("t", "id", "us", (waits,)))
    text = render(found, Shown(file="c.json"))
    assert (
        "```\nselector1._domainkey.x.com. CNAME a.b.c\ns2.x.com. CNAME (known after creation: Selector2CNAME)\n```"
        in text
    )
    assert f"```\nprovisioner apply c.json --expect-digest {found['provisioner']['digest']}\n```" in text
    assert "$ref" not in text
