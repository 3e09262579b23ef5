"""DBOS is loaded as a command of a checkout may load it."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import pytest

from provisioner.fleet import durable

PACKAGE = Path(durable.__file__).parents[1]


def test_what_computes_schedules_is_loaded_without_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def file(executable: str, default: str) -> str:
        started.append(executable)
        return default

    monkeypatch.setattr(platform, "_syscmd_file", file)
    for name in [name for name in sys.modules if name.partition(".")[0] == "croniter"]:
        monkeypatch.delitem(sys.modules, name)
    durable._load_croniter()
    assert started == []
    platform.architecture()
    assert started == [sys.executable], "the function is put back, and it would have started one"


def test_only_one_module_loads_the_engine() -> None:
    loads = re.compile(r"^\s*(from|import) dbos\b", re.MULTILINE)
    assert [p.stem for p in PACKAGE.rglob("*.py") if loads.search(p.read_text(encoding="utf-8"))] == ["durable"]
