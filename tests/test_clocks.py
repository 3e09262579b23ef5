"""The bound on processor time that other tests use: it finds what is slow, and not a machine that is."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.clocks import costs, yardstick

pytestmark = pytest.mark.skipif(sys.gettrace() is not None, reason="where coverage is measured, the time is not")


def test_work_over_its_limit_is_found() -> None:
    with pytest.raises(AssertionError, match=r"s of processor time, where .* s are allowed"):
        _work(8, at_most_s=0.02)


def test_a_machine_that_is_slow_is_allowed_what_it_needs() -> None:
    _work(2, at_most_s=0.02, worth=lambda: 20 * yardstick())


def test_an_error_in_the_block_stays_what_it_is() -> None:
    with pytest.raises(LookupError, match="its own"), costs(at_most_s=0):
        raise LookupError("its own")


def _work(times: int, at_most_s: float, worth: Callable[[], float] = yardstick) -> None:
    with costs(at_most_s, worth):
        for _ in range(times):
            yardstick()
