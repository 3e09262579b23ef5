"""Generated tenants and plans with a fault at a write: no sender is cut off in between. See tests/engine/cut_off."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.engine.cut_off.living import Count, lived
from tests.engine.cut_off.topics import MIXED, TOPICS

_WORLDS, _FEW, _PARTS = 1000, 8, 10
_OF_A_TOPIC = 100

FOUND = [
    *(("", number) for number in (37, 150, 715, 722, 820, 997)),
    ("connection_filter", 11),
    ("accepted_domain", 39),
    ("accepted_domain", 64),
    ("authentication_policy", 4),
    ("hve_account", 10),
    ("mailbox_selection", 4),
    ("applications", 14),
    ("outbound_spam_policy", 1),
    ("transport_rule", 266),
    ("mixed", 64),
    ("mixed", 4011),
]
"""Worlds in which somebody was cut off once, or seemed to be, or would be by a planted bug: topic and number."""


def judged(count: Count, least: int) -> None:
    sys.stdout.write("\n".join(count.report()) + "\n")
    assert not count.wrong, "\n".join(count.wrong)
    assert count.worlds >= least
    assert count.lives == 2 * count.worlds


@pytest.mark.part(0.5)
@pytest.mark.parametrize(("topic", "number"), FOUND)
def test_nobody_is_cut_off_in_a_world_where_somebody_was_once(topic: str, number: int, tmp_path: Path) -> None:
    judged(lived([number], tmp_path, topic), 1)


def test_nobody_is_cut_off_in_a_few_worlds_drawn_by_the_seed(tmp_path: Path) -> None:
    judged(lived(random.sample(range(_WORLDS), _FEW), tmp_path), _FEW // 2)


def test_nobody_is_cut_off_in_a_few_worlds_about_a_type(tmp_path: Path) -> None:
    """A type that the seed draws, and several in one world."""
    found = lived([random.randrange(_WORLDS)], tmp_path, random.choice(sorted(TOPICS)))
    found.add(lived(random.sample(range(_WORLDS), 3), tmp_path, MIXED))
    judged(found, 1)


@pytest.mark.long
@pytest.mark.parametrize("topic", [*TOPICS, MIXED])
def test_nobody_is_cut_off_in_any_world_about_a_type(topic: str, tmp_path: Path) -> None:
    judged(lived(range(_OF_A_TOPIC), tmp_path, topic), _OF_A_TOPIC // 2)


@pytest.mark.long
@pytest.mark.parametrize("part", range(_PARTS))
def test_nobody_is_cut_off_in_any_world(part: int, tmp_path: Path) -> None:
    """Of 2,400 numbers at least 1,000 are worlds: others have no plan, change nothing, or need two change sets."""
    judged(lived(range(part, 2400, _PARTS), tmp_path), 1000 // _PARTS)
