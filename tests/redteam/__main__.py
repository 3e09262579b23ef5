"""Runs the attacks and prints the table: `python -m tests.redteam [WORD]` (scripts/red-team)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.redteam.attacking import all_of, table, wrong
from tests.redteam.attacks import all_attacks
from tests.redteam.world import open_world


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/red-team", description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only attacks whose kind or name holds it")
    given = parser.parse_args()
    chosen = [one for one in all_attacks() if given.word in f"{one.kind}: {one.name}"]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="red-team-") as folder, open_world(Path(folder)) as world:
        world.tell = lambda line: sys.stdout.write(f"{line}\n") and sys.stdout.flush()
        counts = all_of(world, chosen)
    sys.stdout.write("\n".join(table(counts)) + f"\n{time.monotonic() - began:.0f} s\n")
    return 1 if wrong(counts) else 0


if __name__ == "__main__":
    sys.exit(main())
