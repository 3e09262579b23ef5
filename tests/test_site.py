"""The site shows every page of docs/. That links lead somewhere is tested with the pages, and by scripts/site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def pages(part: Any) -> Iterator[str]:
    """The pages that a navigation names, in its order."""
    if isinstance(part, str):
        yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from pages(inner)


def test_the_navigation_names_every_page_once() -> None:
    navigation = yaml.safe_load((ROOT / ".mkdocs" / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    there = {p.relative_to(DOCS).as_posix() for p in (*DOCS.glob("*.md"), *DOCS.glob("reference/*.md"))}
    assert Counter(pages(navigation)) == Counter({"index.md", *there})  # README.md is index.md


def test_every_rule_is_reached_from_the_navigation() -> None:
    table = (DOCS / "reference" / "rules.md").read_text(encoding="utf-8")
    assert [p.name for p in (DOCS / "rules").glob("*.md") if f"(../rules/{p.name})" not in table] == []
