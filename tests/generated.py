"""Generated cases: `scripts/test` tries a seeded 2 % of them, `scripts/test-long` all.

For Hypothesis that is a number of examples (its profiles `short` and `long`), for what a test enumerates `share`.
Neither profile has a deadline: how long an example takes depends on what else the machine does.

Of a test that is repeated for each transport or the like, and marked `one_of("transport")`, `scripts/test` runs one
case, which the seed draws. Any other call of pytest runs them all.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

SHARE = 0.02
_EXAMPLES = 1500
T = TypeVar("T")


def register_profiles() -> None:
    """Make `short` and `long` known to Hypothesis; `short` holds unless --hypothesis-profile says otherwise."""
    for name, examples in (("short", round(SHARE * _EXAMPLES)), ("long", _EXAMPLES)):
        settings.register_profile(
            name, max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        )
    settings.load_profile("short")


def whole() -> bool:
    """Whether all cases are tried."""
    return settings.get_current_profile_name() == "long"


def share(cases: Iterable[T]) -> Iterator[T]:
    """All cases, or those that the seed of this run draws (pytest-randomly seeds `random` for each test)."""
    every = whole()
    return (case for case in cases if every or random.random() < SHARE)


def drawn(items: Iterable[pytest.Item], seed: int) -> list[pytest.Item]:
    """The tests without those of which other cases are drawn: of each group that `one_of` names one, or `cases`.

    What is drawn depends on the seed and the name of the test alone, so that each worker draws the same.
    """
    groups: dict[Hashable, list[pytest.Item]] = defaultdict(list)
    for item in items:
        groups[_group(item)].append(item)
    kept: set[pytest.Item] = set()
    for alike in groups.values():
        marks = list(alike[0].iter_markers("one_of"))
        number = max((mark.kwargs.get("cases", 1) for mark in marks), default=1)
        alike.sort(key=lambda item: item.nodeid)
        kept.update(random.Random(f"{seed} {alike[0].nodeid}").sample(alike, min(number, len(alike))))
    return [item for item in items if item in kept]


def _group(item: pytest.Item) -> Hashable:
    """What a test's cases have in common: its name, and the very values that it is given but for those of `one_of`."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return item.nodeid
    repeated = {name for mark in item.iter_markers("one_of") for name in mark.args}
    given = item.callspec.params
    if not repeated & given.keys():
        return item.nodeid
    rest = tuple((name, id(given[name])) for name in sorted(given.keys() - repeated))
    return item.nodeid.partition("[")[0], rest
