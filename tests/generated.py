"""Generated cases: `scripts/test` tries a seeded 2 % of them, `scripts/test-long` all.

For Hypothesis that is a number of examples (its profiles `short` and `long`), for what a test enumerates `share`.
Neither profile has a deadline: how long an example takes depends on what else the machine does.

Of a test that is repeated for each transport or the like, and marked `one_of("transport")`, `scripts/test` runs one
case, which the seed draws; the dearer transport is drawn more rarely. Of the tests of a module that is marked
`part(0.5)`, because each of them is one more example of the same path, it runs that share, and of each test with cases
at least one. Any other call of pytest runs them all.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

SHARE = 0.02
_EXAMPLES = 1500
_RARE, _RARELY = "psrp", 0.3
"""A case that has this name costs three times as much as those that it is like, and is drawn as often as a third."""
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

    Of what is left, a share of each module marked `part`. What is drawn depends on the seed and the names of the tests
    alone, so that each worker draws the same.
    """
    groups: dict[Hashable, list[pytest.Item]] = defaultdict(list)
    for item in items:
        groups[_group(item)].append(item)
    kept: set[pytest.Item] = set()
    for alike in groups.values():
        marks = list(alike[0].iter_markers("one_of"))
        kept.update(_drawn(alike, max((mark.kwargs.get("cases", 1) for mark in marks), default=1), seed))
    kept -= _left_out([item for item in items if item in kept], seed)
    return [item for item in items if item in kept]


def _left_out(items: Iterable[pytest.Item], seed: int) -> set[pytest.Item]:
    """What is not drawn of the modules marked `part`: of each test with several cases, and of those with one."""
    tests: dict[tuple[str, float], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if (mark := item.get_closest_marker("part")) is not None:
            tests[item.nodeid.partition("[")[0], mark.args[0]].append(item)
    parts: dict[tuple[str, float], list[pytest.Item]] = defaultdict(list)
    for (name, part), cases in tests.items():
        parts[name if len(cases) > 1 else name.partition("::")[0], part] += cases
    out: set[pytest.Item] = set()
    for (_, part), alike in parts.items():
        out |= set(alike) - set(_drawn(alike, math.ceil(part * len(alike)), seed))
    return out


def _drawn(alike: Sequence[pytest.Item], number: int, seed: int) -> list[pytest.Item]:
    """So many of these tests, the dear ones more rarely: by the largest random ** (1 / weight)."""
    if len(alike) <= number:
        return list(alike)
    ordered = sorted(alike, key=lambda item: item.nodeid)
    lots = random.Random(f"{seed} {ordered[0].nodeid}")
    weights = [_RARELY if _RARE in item.nodeid.partition("[")[2] else 1.0 for item in ordered]
    ranks = [lots.random() ** (1 / weight) for weight in weights]
    best = sorted(range(len(ordered)), key=ranks.__getitem__, reverse=True)
    return [ordered[place] for place in best[:number]]


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
