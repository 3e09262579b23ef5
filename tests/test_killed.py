"""An apply killed between any two writes goes on from the same file, and nothing is done twice.

A few of the boundaries are tried here; `scripts/kill-everywhere` tries all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.one_of("transport")
@pytest.mark.parametrize("transport", ["rest", "psrp"])
def test_a_killed_apply_goes_on_from_the_same_file(transport: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "kill-everywhere"), "--transport", transport]
    command += ["--changes", "8", "--every", "20"]  # two boundaries of some 36
    place = {**os.environ, "VIRTUAL_ENV": os.environ.get("VIRTUAL_ENV", sys.prefix)}
    done = subprocess.run(command, env=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 applies of 8 changes killed at as many boundaries, 0 wrong" in done.stdout
