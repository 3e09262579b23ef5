"""Follow all advice: of every piece, and of generated combinations. Prints how many of which rule were followed."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.advice.following import Count, follow_all, follow_each
from tests.advice.worlds import combined, pieces


def main() -> int:
    """0 where every advice did what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=400, help="Follow the advice of this many combinations.")
    arguments = parser.parse_args()
    counts: dict[str, Count] = {}
    wrong: list[str] = []
    steps = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Each in the order of the tests: what is right here does not fail there.
        worlds = [*((1, piece) for piece in pieces()), *((n, combined(n)) for n in range(arguments.worlds))]
        for seed, world in worlds:
            try:
                follow_each(world, folder, counts)
                steps += follow_all(world, folder, random.Random(seed))
            except AssertionError as error:
                wrong.append(str(error) or repr(error))
    table = [f"{r:28} followed {c.followed:6,}   by hand {c.by_hand:6,}" for r, c in sorted(counts.items())]
    total = sum(count.followed for count in counts.values())
    table.append(f"{len(worlds):,} worlds, {len(counts)} rules, {total:,} ways followed alone, {steps:,} in turn")
    sys.stdout.write("\n".join([*table, f"{len(wrong)} wrong", *wrong]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
