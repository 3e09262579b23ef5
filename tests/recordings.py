"""Recordings: what the service, its users and public DNS answer, as files that tests read.

Ours lie in `tests/rows/recordings` and are always there. Those of real tenants lie in `../shared/cases`, in the same
tree and the same shapes, and are read in place in addition where that folder exists.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[1]
_PLACES = {"ours": _ROOT / "tests" / "rows" / "recordings", "shared": _ROOT.parent / "shared" / "cases"}


def recordings(pattern: str, *, ours: bool = True) -> list[Any]:
    """The files of that path, or pattern, in both places: one test parameter each, a `Path`.

    Raises FileNotFoundError where there are none of ours, so that no test passes because it read nothing; `ours=False`
    is for what we keep in another form.
    """
    found = [(name, path) for name, place in _PLACES.items() for path in sorted(place.glob(pattern))]
    if ours and not any(name == "ours" for name, _ in found):
        raise FileNotFoundError(f"tests/rows/recordings/{pattern}")
    return [pytest.param(path, id=f"{name}-{path.stem}") for name, path in found]


def entries(pattern: str, column: str, text: str = "") -> list[Any]:
    """The rows of those files whose `column` contains the text: one test parameter each.

    Raises LookupError where none of ours has it.
    """
    found = [
        pytest.param(row, id=f"{file.id}-{row[column]}"[:80])
        for file in recordings(pattern)
        for row in load(file.values[0])
        if text in row[column]
    ]
    if not any(str(row.id).startswith("ours-") for row in found):
        raise LookupError(f"no row of tests/rows/recordings/{pattern} has {text!r} as its {column}")
    return found


def load(path: Path) -> Any:
    """The document of a JSON file, or the rows of one with a document a line."""
    text = path.read_text("utf-8-sig")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return json.loads(text)
