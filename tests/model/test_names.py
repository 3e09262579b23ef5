"""Names are compared without case, letter by letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.model.names import caseless


@pytest.mark.parametrize(
    ("one", "other"), [("HQ Relay", "hq relay"), ("Größe", "GRÖSSE".replace("SS", "ß")), ("Ελλάς", "ΕΛΛΆΣ"), ("ω", "Ω")]
)
def test_names_that_differ_in_case_are_one(one: str, other: str) -> None:
    assert caseless(one) == caseless(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "Strasse"),
        ("Straße", "STRASSE"),
        ("ﬁeld", "field"),
        ("ſite", "site"),
        ("ısik", "isik"),
        ("\u212a", "K"),
    ],
)
def test_names_that_full_case_folding_would_take_for_one_are_two(one: str, other: str) -> None:
    assert caseless(one) != caseless(other)


@given(st.text())
def test_the_form_of_a_form_is_the_form(name: str) -> None:
    assert caseless(caseless(name)) == caseless(name)
    assert len(caseless(name)) == len(name)
