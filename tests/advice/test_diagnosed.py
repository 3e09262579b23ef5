"""Each advice of `diagnose` and `explain`, carried out: what it was about is gone, and every advice comes to an end."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.advice import explained
from tests.advice.diagnosed import _PATTERNS, Case, asked, cases, combined, follow
from tests.advice.worlds import World, pieces
from tests.generated import share

pytestmark = pytest.mark.impure
_COMBINATIONS = 200


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: f"{case.name} {case.question}")
def test_an_advice_takes_away_what_it_is_about(case: Case, tmp_path: Path) -> None:
    for seed in range(3):
        follow(case, tmp_path, random.Random(seed))


def test_the_advice_about_several_reasons_comes_to_an_end(tmp_path: Path) -> None:
    for number in share(range(_COMBINATIONS)):
        assert follow(combined(number), tmp_path, random.Random(number))


def test_every_advice_that_is_read_is_given() -> None:
    """A pattern that no case needs is one that nobody tries."""
    given = {e.hint for case in cases() for e in asked(case.question, World("", {}, case.done).service()) if e.hint}
    of_groups = {"check that it is a member of (.+), or give it the right under send_as"}
    assert {p for p in _PATTERNS if not any(re.fullmatch(p, hint) for hint in given)} <= of_groups


@pytest.mark.parametrize("world", [w for w in pieces() if "devices" in w.plan], ids=lambda world: world.name)
def test_what_explain_advises_takes_away_the_refusal(world: World, tmp_path: Path) -> None:
    explained.follow(world, tmp_path)
