"""A share of the cases of `python -m tests.redteam.fault_loop`: a fault at one request of plan or apply."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_tenant import TRANSPORTS
from tests.redteam.fault_loop import DEEDS, Case, Loop, Wrong, drawn

_FEW, _MANY = 2, 200
"""Cases of each transport in the normal suite and in the long one: all of them take hours, and are the module's own."""
_WAITED_FOR = frozenset({"close", "carried out, then closed", "byte by byte", "cut short"})
"""Deeds after which a client of remote PowerShell waits for the host, in real time."""


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with Loop(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_after_a_fault_at_a_request_all_is_accounted_for(loop: Loop, transport: str) -> None:
    count, chosen = drawn(loop, [transport], 1.0)
    assert count > 1_000
    quick = [case for case in chosen if transport == "rest" or case.deed not in _WAITED_FOR]
    for case in quick[:_FEW]:
        try:
            loop.live(case)
        except Wrong as wrong:
            pytest.fail(f"{case}: {wrong}")


@pytest.mark.long
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_after_many_faults_all_is_accounted_for(loop: Loop, transport: str) -> None:
    _, chosen = drawn(loop, [transport], 1.0)
    for case in chosen[:_MANY]:
        loop.live(case)


def test_every_front_has_deeds_of_its_own() -> None:
    loop = Loop(Path())
    loop.counts = {("rest", "plan"): {"exchange": 2}, ("rest", "apply"): {"graph": 1}}  # type: ignore[dict-item]
    cases = list(loop.cases("rest"))
    assert len(set(cases)) == len(cases)
    assert {(c.command, c.front, c.number) for c in cases} == {
        ("plan", "exchange", 0),
        ("plan", "exchange", 1),
        ("apply", "graph", 0),
    }
    assert {c.deed for c in cases if c.front == "exchange"} == set(DEEDS["exchange"])
    assert Case("plan", "rest", "exchange", 1, "close", True) in cases
