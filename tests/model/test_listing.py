"""Many words in one sentence."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from provisioner.model.listing import listed


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
