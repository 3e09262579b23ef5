"""The places of `scripts/plant-bugs`: each bug that it plants still has exactly one, and its tests are there."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def bugs() -> Sequence[Any]:
    loader = importlib.machinery.SourceFileLoader("plant_bugs", str(ROOT / "scripts" / "plant-bugs"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # its dataclass looks itself up there
    loader.exec_module(module)
    found: Sequence[Any] = module.BUGS
    return found


@pytest.mark.parametrize("bug", bugs(), ids=lambda bug: bug.name)
def test_every_bug_has_one_place_and_its_tests(bug: Any) -> None:
    assert (ROOT / bug.file).read_text(encoding="utf-8").count(bug.old) == 1
    assert bug.new != bug.old
    assert all((ROOT / test.partition("::")[0]).exists() for test in bug.tests.split() if not test.startswith("-"))


def test_names_are_told_apart() -> None:
    names = [bug.name for bug in bugs()]
    assert len(set(names)) == len(names)
