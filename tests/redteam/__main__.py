"""Runs the attacks and prints the table: `python -m tests.redteam [WORD]` (scripts/red-team)."""

from __future__ import annotations

import argparse
import random
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
    parser.add_argument(
        "--all", action="store_true", help="every command line, not only those that read what it attacks"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the other command lines")
    given = parser.parse_args()
    random.seed(given.seed)
    chosen = [one for one in all_attacks() if given.word in f"{one.kind}: {one.name}"]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="red-team-") as folder, open_world(Path(folder)) as world:
        world.tell = lambda line: sys.stdout.write(f"{line}\n") and sys.stdout.flush()
        counts = all_of(world, chosen, every_line=given.all)
    sys.stdout.write(
        "\n".join(table(counts))
        + f"\n{time.monotonic() - began:.0f} s, {time.process_time():.0f} s of processor time\n"
    )
    return 1 if wrong(counts) else 0


if __name__ == "__main__":
    sys.exit(main())
