"""Generated tenants and plans with a fault at a write: no sender is cut off in between. See tests/engine/cut_off."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.engine.cut_off.living import Count, lived

_WORLDS, _FEW, _PARTS = 1000, 8, 10

FOUND = [37, 150, 715, 722, 820, 997]
"""Worlds in which somebody was cut off once, or seemed to be."""


def judged(count: Count, least: int) -> None:
    sys.stdout.write("\n".join(count.report()) + "\n")
    assert not count.wrong, "\n".join(count.wrong)
    assert count.worlds >= least
    assert count.lives == 2 * count.worlds


@pytest.mark.part(0.5)
@pytest.mark.parametrize("number", FOUND)
def test_nobody_is_cut_off_in_a_world_where_somebody_was_once(number: int, tmp_path: Path) -> None:
    judged(lived([number], tmp_path), 1)


def test_nobody_is_cut_off_in_a_few_worlds_drawn_by_the_seed(tmp_path: Path) -> None:
    judged(lived(random.sample(range(_WORLDS), _FEW), tmp_path), _FEW // 2)


@pytest.mark.long
@pytest.mark.parametrize("part", range(_PARTS))
def test_nobody_is_cut_off_in_any_world(part: int, tmp_path: Path) -> None:
    """Of 2,400 numbers at least 1,000 are worlds: others have no plan, change nothing, or need two change sets."""
    judged(lived(range(part, 2400, _PARTS), tmp_path), 1000 // _PARTS)
