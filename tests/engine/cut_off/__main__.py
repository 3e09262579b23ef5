"""Lives in many worlds and prints the counts.

python -m tests.engine.cut_off [--worlds N] [--first N] [--topic NAME]
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.engine.cut_off.living import Count, lived
from tests.engine.cut_off.topics import MIXED, TOPICS

_PART = 25


def part(first: int, topic: str) -> Count:
    with tempfile.TemporaryDirectory() as folder:
        return lived(range(first, first + _PART), Path(folder), topic)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.engine.cut_off")
    parser.add_argument("--worlds", type=int, default=1000, help="Live until so many worlds were tried.")
    parser.add_argument("--first", type=int, default=0, help="The number of the first world.")
    parser.add_argument("--topic", choices=("", *TOPICS, MIXED), default="", help="What the worlds are about.")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    count = Count()
    with ProcessPoolExecutor(given.processes) as pool:
        for first in itertools.count(given.first, _PART * given.processes * 4):
            starts = range(first, first + _PART * given.processes * 4, _PART)
            for found in pool.map(functools.partial(part, topic=given.topic), starts):
                if count.worlds < given.worlds:
                    count.add(found)
            if count.worlds >= given.worlds:
                break
    sys.stdout.write("\n".join(count.report()) + "\n")
    return 1 if count.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
