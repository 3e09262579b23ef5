"""Lives all lives, or some, and prints the table: `python -m tests.engine.lifecycle [--least N] [--only WORD]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.engine.lifecycle.scenes import KINDS
from tests.engine.lifecycle.table import Table, filled


def table_of(kind: str, least: int, kept: Path | None) -> Table:
    """All lives of one kind of change; what was kept of an earlier run is not lived again."""
    path = kept / f"{kind}, {least}.json" if kept else None
    if path is not None and path.exists():
        return Table.of_json(json.loads(path.read_text(encoding="utf-8")))
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        table.live(filled(kind, least, Path(folder)), Path(folder))
    if path is not None:
        path.write_text(json.dumps(table.to_json()), encoding="utf-8")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.engine.lifecycle")
    parser.add_argument(
        "--least", type=int, default=20, help="Lives of each cell: fault, kind of request and of change."
    )
    parser.add_argument("--only", default="", help="Only kinds of change whose name holds this word.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kept", type=Path, help="Keep the table of each kind in this folder, and go on from there.")
    given = parser.parse_args()
    kinds = [kind for kind in KINDS if given.only in kind]
    if given.kept:
        given.kept.mkdir(parents=True, exist_ok=True)
    table = Table()
    with ProcessPoolExecutor(given.processes) as pool:
        for part in pool.map(table_of, kinds, [given.least] * len(kinds), [given.kept] * len(kinds)):
            table.add(part)
    sys.stdout.write("\n".join(table.report()) + "\n")
    return 1 if table.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
