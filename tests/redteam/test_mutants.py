"""A seeded share of the mutants of every file that is written and read again; with all cases 2,000 of each kind."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.generated import SHARE, whole
from tests.redteam.mutating import READERS, tally

MUTANTS = 2_000


@pytest.mark.parametrize("name", READERS)
def test_a_mutant_is_understood_passed_over_or_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("PROVISIONER_PROFILE", raising=False)
    count = MUTANTS if whole() else round(MUTANTS * SHARE)
    counts, crashes = tally(name, count, random.Random(random.random()), tmp_path)
    assert crashes == []
    assert counts["refused"] + counts["taken"] == count
