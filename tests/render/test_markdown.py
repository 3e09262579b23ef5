"""The comment on a pull request: worst news first, under its budget, and no name ever becomes markup."""

from __future__ import annotations

import re

from provisioner.render.markdown import BUDGET, marker, render
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
        "IP&#45;PRIVATE",
        "IP&#45;DOCUMENTATION",
        "destroy",
        "create",
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
    assert outside.count("<details>") == outside.count("</details>") == len(HOSTILE) + 2, (
        "no fence was closed from inside"
    )


def test_ten_thousand_changes_stay_under_the_budget_and_are_counted() -> None:
    found = document(10_000)
    with costs(at_most_s=3):
        text = render(found)
    assert len(text) < BUDGET
    shown = text.count("<details>")
    assert f"**{10_000 + len(HOSTILE) + 2 - shown:,} more changes are not shown here**" in text
    assert found["provisioner"]["digest"].partition(":")[2] in text


def test_nothing_to_do_is_one_sentence() -> None:
    assert "No changes. Your infrastructure matches the configuration." in render(empty())
