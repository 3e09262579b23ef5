"""Lives of generated tenants and plans with a fault at one request: see tests/engine/lifecycle."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from provisioner import engine
from provisioner.resources import TYPES
from tests.engine.lifecycle.faults import FAULTS
from tests.engine.lifecycle.running import Life, quick_journals
from tests.engine.lifecycle.scenes import KINDS, held_scene, scene
from tests.engine.lifecycle.table import Table, everything, filled

_PARTS = 6
"""Parts of the share of all lives. Each has a sixth of all pairs of a fault and a kind of request, one life of each."""
_LEAST = 20
"""Lives of each cell of the long run: fault × kind of request × kind of change."""

FOUND = [
    ("outbound_connector create, two writes", 0, "stopped", "write 1"),
    ("outbound_connector create, two writes", 0, "killed after", "write 1"),
    ("send_as delete", 0, "odd rows", "rechecking"),
    ("inbound_connector delete", 0, "not found", "planning"),
    ("dkim create, waits for DNS", 7, "stopped", "DNS"),
    ("send_as delete", 19, "throttled to the end", "rechecking"),
    ("hve_account delete", 0, "throttled to the end", "rechecking"),
    ("service_principal delete", 0, "refused", "rechecking"),
    ("hve_account update, opens", 0, "odd rows", "rechecking"),
    ("application_role_assignment create, two writes", 0, "killed after", "write 1"),
    ("application_role_assignment update, closes", 0, "unclear, not carried out", "openings"),
    ("application_role_assignment update, closes", 11, "lost connection", "planning"),
    ("remote_domain update, closes in two writes", 0, "killed after", "write 1"),
    ("organization update, two writes", 6, "throttled to the end", "planning"),
    ("mailbox_selection update, closes", 5, "odd rows", "planning"),
    ("mailbox_selection update, closes", 9, "malformed", "openings"),
    ("remote_domain update, neutral", 15, "not found", "openings"),
    ("transport_rule update, moved", 0, "unclear, not carried out", "step that reads"),
    ("mailbox_selection update, opens", 3, "odd rows", "rechecking"),
    ("connection_filter update, opens and closes", 5, "malformed", "openings"),
]
"""Lives that were wrong once, or nearly."""


def test_of_two_changes_that_wait_for_each_other_neither_is_sent_and_both_say_so(tmp_path: Path) -> None:
    life = Life(held_scene(tmp_path), tmp_path)
    found = life._plan()
    assert found is not None
    work = engine.apply(found, TYPES, life.service.ports, writes=4, confirm_s=1.0, clock=life.service.clock)
    results = {str(r.address): r for r in asyncio.run(work).results}
    assert [*results] == ['accepted_domain["sign1.example"]', 'connection_filter["default"]']
    for (_, result), other in zip(results.items(), reversed(results), strict=True):
        assert result.status == "held_back"
        assert result.detail.startswith(f"waits for {other} (")
        assert "it waits for this one too: change one of the two first" in result.detail
    assert not any(passage.writes for passage in life.service.log)


@pytest.mark.part(0.5)
@pytest.mark.parametrize(("kind", "variant", "fault", "label"), FOUND)
def test_what_a_life_once_showed_to_be_wrong_stays_right(
    kind: str, variant: int, fault: str, label: str, tmp_path: Path
) -> None:
    around = scene(kind, variant, tmp_path)
    chosen = next(f for f in FAULTS if f.name == fault)
    with quick_journals():
        sound = Life(around, tmp_path)
        sound.live()
        suited = [p.number for p in sound.service.log if p.purpose == label and chosen.suits(p.request)]
        assert suited
        for at in suited:
            assert Life(around, tmp_path, chosen, at).live()


@pytest.mark.parametrize(
    "kind",
    [
        "inbound_connector update, closes",
        "outbound_connector delete",
        "organization update, two writes",
        "remote_domain delete",
        "transport_rule create",
        "mailbox_selection update, closes",
    ],
)
def test_an_object_that_another_client_changes_after_the_plan_is_not_overwritten(kind: str, tmp_path: Path) -> None:
    changed = next(f for f in FAULTS if f.moves)
    with quick_journals():
        assert Life(scene(kind, 0, tmp_path), tmp_path, changed).live() == "stale"


@pytest.mark.parametrize("part", range(_PARTS))
def test_a_share_of_all_lives_converges_or_gives_one_clear_account(part: int, tmp_path: Path) -> None:
    """Each part has other kinds of change, and of their lives a share that is drawn once and for all.

    The share has lives of every kind or nearly: each cell takes one of a kind that has the fewest so far.
    """
    random_, by_cell, taken = random.Random(part), defaultdict(list), Counter[str]()
    for lot in everything([part], tmp_path, sorted(KINDS)[part::_PARTS]):
        if lot.fault != "none":
            by_cell[lot.fault, lot.label].append(lot)
    cells = sorted(sorted(by_cell)[part::_PARTS], key=lambda cell: len(by_cell[cell]))
    spread, each = Counter(lot.kind for cell in cells for lot in by_cell[cell]), []
    for cell in cells:
        random_.shuffle(by_cell[cell])
        each.append(min(by_cell[cell], key=lambda lot: (taken[lot.kind], spread[lot.kind])))
        taken[each[-1].kind] += 1
    table = Table()
    table.live(each, tmp_path)
    assert table.lives == len(each) >= len({lot.fault for lot in each}) > len(FAULTS) // 3
    assert len(taken) >= len(sorted(KINDS)[part::_PARTS]) - 1
    assert not table.wrong, "\n".join(table.report())


@pytest.mark.long
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_all_lives_of_a_kind_of_change(kind: str, tmp_path: Path) -> None:
    """Every fault at every kind of request, often; the table goes to standard output (pytest -rP)."""
    table = Table()
    table.live(filled(kind, _LEAST, tmp_path), tmp_path)
    sys.stdout.write("\n".join(table.report()) + "\n")
    assert not table.wrong
    assert table.fewest() >= _LEAST
