"""An apply killed between any two writes goes on from the same file, and nothing is done twice.

A few of the boundaries are tried here; `scripts/kill-everywhere` tries all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local_tenant import TRANSPORTS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_killed_apply_goes_on_from_the_same_file(transport: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "kill-everywhere"), "--transport", transport]
    command += ["--changes", "10", "--every", "24"]  # two boundaries of some 44
    place = {**os.environ, "VIRTUAL_ENV": os.environ.get("VIRTUAL_ENV", sys.prefix)}
    done = subprocess.run(command, env=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 wrong" in done.stdout
