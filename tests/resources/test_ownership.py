from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.resources.ownership import comment_on_wire, split_comment

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20).map(str.strip)


@pytest.mark.parametrize(
    ("text", "comment", "owner", "key"),
    [
        ("", "", "", ""),
        ("HQ scanners", "HQ scanners", "", ""),
        ("[provisioner: me]", "", "me", ""),
        ("HQ [3rd floor] [provisioner: me]", "HQ [3rd floor]", "me", ""),
        ("HQ [3rd floor] [provisioner: me [hq]]", "HQ [3rd floor]", "me", "hq"),
        ("x [provisioner: other] [provisioner: me]", "x [provisioner: other]", "me", ""),
        ("x [provisioner: other [a]] [provisioner: me [b]]", "x [provisioner: other [a]]", "me", "b"),
        ("[provisioner: me] was here", "[provisioner: me] was here", "", ""),
        ("[provisioner: me [hq]] was here", "[provisioner: me [hq]] was here", "", ""),
        ("a\nb [provisioner: team %5Ba%5D]", "a\nb", "team [a]", ""),
        ("[provisioner: team %5Ba%5D [the %5Bb%5D]]", "", "team [a]", "the [b]"),
        ("x[provisioner: me]", "x[provisioner: me]", "", ""),
        ("[provisioner: me [a] [b]]", "[provisioner: me [a] [b]]", "", ""),
    ],
)
def test_only_a_mark_at_the_very_end_counts(text: str, comment: str, owner: str, key: str) -> None:
    assert split_comment(text) == (comment, owner, key)
    assert comment_on_wire(comment, owner, key) == text


NAMES = st.text(min_size=1, max_size=20).filter(lambda name: name.isprintable() or "\n" in name)


@given(TEXTS, NAMES, st.just("") | NAMES)
def test_text_and_mark_come_apart_again(comment: str, owner: str, key: str) -> None:
    assert split_comment(comment_on_wire(comment, owner, key)) == (comment, owner, key)


def test_without_an_owner_there_is_no_mark() -> None:
    assert comment_on_wire("HQ", "", "hq") == "HQ"
