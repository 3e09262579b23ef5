"""The map in docs/architecture.md is the source tree."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "provisioner"
_ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def test_the_map_names_every_package_and_top_level_module_and_nothing_else() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    modules = {p.name for p in PACKAGE.glob("*.py")}
    assert set(_ROW.findall(page)) == folders | modules


def test_the_top_of_the_package_has_at_most_six_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 6


def test_every_package_opens_with_a_paragraph() -> None:
    short = [p for p in PACKAGE.rglob("__init__.py") if not p.read_text(encoding="utf-8").startswith('"""')]
    assert short == []
