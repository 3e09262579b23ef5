"""Generated cases: `scripts/test` tries a seeded 2 % of them, `scripts/test-long` all.

For Hypothesis that is a number of examples (its profiles `short` and `long`), for what a test enumerates `share`.
Neither profile has a deadline: how long an example takes depends on what else the machine does.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

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
