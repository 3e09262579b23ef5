"""Many words, and numbers of things, in one sentence."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from provisioner.model.listing import counted, listed


@pytest.mark.parametrize(
    ("words", "most", "text"),
    [
        ([], 3, ""),
        (["b"], 3, "b"),
        (["c", "a", "b"], 3, "c, a, b"),
        (["c", "a", "b", "d"], 3, "c, a, b and 1 more"),
        (["x"] * 1003, 3, "x, x, x and 1,000 more"),
        (frozenset({"c", "a", "b"}), 2, "a, b and 1 more"),
        ({"b", "a"}, 3, "a, b"),
    ],
)
def test_the_first_words_are_listed_and_the_rest_counted(words: Collection[str], most: int, text: str) -> None:
    assert listed(words, most) == text


def test_five_are_listed_unless_a_caller_wants_another_number() -> None:
    assert listed(iter("abcdef")) == "a, b, c, d, e and 1 more"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 boxes of mail"), (1, "1 box of mail"), (2000, "2,000 boxes of mail")]
)
def test_things_are_counted_in_the_number_that_they_have(count: int, text: str) -> None:
    assert counted(count, "box of mail", "boxes of mail") == text


def test_a_plural_has_an_s_unless_it_is_given() -> None:
    assert [counted(n, "tenant") for n in (0, 1, 2)] == ["0 tenants", "1 tenant", "2 tenants"]
