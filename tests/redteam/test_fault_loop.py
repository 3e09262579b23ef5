"""A share of the cases of `python -m tests.redteam.fault_loop`: a fault at one request of plan or apply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.local_tenant import TRANSPORTS
from tests.redteam.fault_deeds import DEEDS, is_slow
from tests.redteam.fault_loop import Loop, Wrong, drawn
from tests.redteam.fault_requests import Entry, asked_in, classes

pytestmark = pytest.mark.one_of("transport")

_FEW, _MANY = 2, 200
"""Cases of each transport in the normal suite and in the long one: all of them take hours, and are the module's own."""
_WAITED_FOR = frozenset({"close", "carried out, then closed", "cut short"})
"""Deeds after which a client of remote PowerShell waits for the host, in real time."""


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with Loop(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_after_a_fault_at_a_request_all_is_accounted_for(loop: Loop, transport: str) -> None:
    count, chosen = drawn(loop, [transport], 1.0)
    assert count > 1_000
    quick = [
        case for case in chosen if case.deed not in _WAITED_FOR and not is_slow(DEEDS[case.asked.front][case.deed])
    ]
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


def entry(front: str, name: str = "", *, write: bool = False, runs: Sequence[str] = (), **parameters: Any) -> Entry:
    cmdlet = name if front in ("exchange", "psrp") else None
    columns = {"method": name if front == "wsman" else "POST", "path": f"/v1.0/{name}?$select=id", "cmdlet": cmdlet}
    return {"front": front, "write": write, "parameters": parameters, **columns, **({"runs": runs} if runs else {})}


LOG = [
    entry("graph", "domains"),
    entry("exchange", "Get-CASMailbox"),
    entry("exchange", "Get-CASMailbox"),
    entry("exchange", "New-InboundConnector", write=True, Name="a", RequireTls=True),
    entry("exchange", "New-InboundConnector", write=True, Name="b", RequireTls=True),
    entry("exchange", "Get-CASMailbox"),
    entry("exchange", "New-InboundConnector", write=True, Name="c", RequireTls=False),
    entry("exchange", "Get-CASMailbox"),
]


def test_a_fault_finds_a_request_by_what_it_is_and_how_many_were_before() -> None:
    found = asked_in(LOG)
    assert [(a.name, a.number) for a in found if a.front == "exchange"] == [
        ("Get-CASMailbox", 0), ("Get-CASMailbox", 1), ("New-InboundConnector", 0), ("New-InboundConnector", 1),
        ("Get-CASMailbox", 2), ("New-InboundConnector", 2), ("Get-CASMailbox", 3),
    ]  # fmt: skip
    assert dict(found[0].match) == {"path": "/domains"}
    one = asked_in([entry("wsman", "Command", runs=["Get-Recipient", "Get-CASMailbox"])])[0]
    assert dict(one.match) == {"method": "Command", "cmdlet": "Get-Recipient"}


def test_requests_of_one_class_differ_in_nothing_but_their_object() -> None:
    found = [[str(a) for _, _, a in members] for members in classes({("apply", "rest"): asked_in(LOG)}, broad=False)]
    reads, writes = "exchange Get-CASMailbox, number", "exchange New-InboundConnector, number"
    assert found == [
        ["graph domains, number 0"],
        [f"{reads} 0", f"{reads} 1"],
        [f"{writes} 0"],
        [f"{writes} 1"],
        [f"{reads} 2"],
        [f"{writes} 2"],
        [f"{reads} 3"],
    ]


def test_what_creates_is_of_another_class_than_what_reads_or_sets() -> None:
    pipelines = ["Get-CASMailbox"], ["Set-CASMailbox"], ["Set-CASMailbox", "New-InboundConnector"]
    log = [entry("wsman", "Receive", runs=runs) for runs in pipelines]
    assert [a.kind for a in asked_in(log)] == ["Receive of reads", "Receive of settings", "Receive of creations"]


def test_every_front_has_deeds_of_its_own() -> None:
    loop = Loop(Path())
    loop.requests = {("plan", "rest"): asked_in(LOG), ("apply", "rest"): asked_in(LOG)}
    cases = loop.cases()
    assert len(set(cases)) == len(cases)
    assert {c.deed for c in cases if c.asked.front == "exchange"} == set(DEEDS["exchange"])
    assert sum(c.deed == "close" for c in cases) == 2 * 2 * len(LOG), "once and for good"
    chosen = loop.representatives()
    assert set(chosen) <= set(cases)
    assert len(set(chosen)) == len(chosen)
    assert {(c.asked.front, c.deed) for c in chosen} == {(c.asked.front, c.deed) for c in cases}
