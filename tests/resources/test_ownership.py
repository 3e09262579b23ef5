from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.resources.ownership import comment_on_wire, split_comment

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20).map(str.strip)


@pytest.mark.parametrize(
    ("text", "comment", "owner"),
    [
        ("", "", ""),
        ("HQ scanners", "HQ scanners", ""),
        ("[provisioner: me]", "", "me"),
        ("HQ [3rd floor] [provisioner: me]", "HQ [3rd floor]", "me"),
        ("x [provisioner: other] [provisioner: me]", "x [provisioner: other]", "me"),
        ("[provisioner: me] was here", "[provisioner: me] was here", ""),
        ("a\nb [provisioner: team %5Ba%5D]", "a\nb", "team [a]"),
        ("x[provisioner: me]", "x[provisioner: me]", ""),
    ],
)
def test_only_a_mark_at_the_very_end_counts(text: str, comment: str, owner: str) -> None:
    assert split_comment(text) == (comment, owner)
    assert comment_on_wire(comment, owner) == text


@given(TEXTS, st.text(min_size=1, max_size=20).filter(lambda owner: owner.isprintable() or "\n" in owner))
def test_text_and_mark_come_apart_again(comment: str, owner: str) -> None:
    assert split_comment(comment_on_wire(comment, owner)) == (comment, owner)
