"""Compares `mailflow` with the sandbox on all generated tenants and prints the table: `python -m tests.mailflow`."""

from __future__ import annotations

import argparse
import sys

from tests.mailflow.comparing import ALL, OPEN, tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mailflow")
    parser.add_argument("--tenants", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0, help="The seed of the first tenant.")
    given = parser.parse_args()
    found = tally(range(given.first, given.first + given.tenants))
    sys.stdout.write("\n".join(found.report()) + "\n")
    few = min(*(found.reasons[name] for name in ALL), *(found.undecided[name] for name in OPEN)) < 100
    return 1 if found.wrong or few else 0


if __name__ == "__main__":
    sys.exit(main())
