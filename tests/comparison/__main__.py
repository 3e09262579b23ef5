"""`python -m tests.comparison zones`: see scripts/compare-checkdmarc; `… speed`: see scripts/benchmark-dns."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.comparison.comparing import Statement, compare
from tests.comparison.running import VERSION, checkdmarc, name_server, ours, say, theirs
from tests.comparison.speed import measure
from tests.comparison.zones import cases, served

RECORDED = Path(__file__).parents[1] / "rows" / "recordings" / "dns" / "checkdmarc.json"
_OF_OURS = ("own", "ours-")


def compare_zones(record: bool) -> int:
    """Print every zone side by side. 1 where a difference has no reason."""
    known = cases()
    domains = list(dict.fromkeys(case.domain for case in known))
    with (
        tempfile.TemporaryDirectory() as place,
        checkdmarc(Path(place)) as python,
        name_server(served(), Path(place)) as server,
    ):
        theirs_found, _ = theirs(python, server.port, domains)
        ours_found, _ = ours(server.port, domains, Path(place))
    if record:
        kept = {c.domain: _kept(theirs_found[c.domain]) for c in known if c.id.startswith(_OF_OURS)}
        RECORDED.write_text(json.dumps({"checkdmarc": VERSION, "found": kept}, indent=1, sort_keys=True) + "\n")
    statements: list[Statement] = []
    for case in known:
        found = list(compare(case.id, ours_found[case.domain], theirs_found[case.domain]))
        statements += found
        say(f"{case.id}  {case.domain}  {case.title}")
        for statement in found:
            mark = "=" if statement.agreed else "≠"
            say(f"  {mark} {statement.aspect}: {statement.text}")
            if not statement.agreed:
                say(f"      {statement.reason or 'NO REASON IS KNOWN'}")
    return _sum(len(known), statements)


def _kept(found: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """What is compared of the answers of checkdmarc."""
    columns = ("valid", "error", "warnings", "dns_lookups")
    return {aspect: {c: said[c] for c in columns if c in said} for aspect, said in found.items()}


def _sum(zones: int, statements: list[Statement]) -> int:
    agreed = sum(statement.agreed for statement in statements)
    unexplained = sum(statement.unexplained for statement in statements)
    explained = len(statements) - agreed - unexplained
    counts = f"{agreed} agree, {explained} differ with a reason, {unexplained} differ without one"
    say(f"\n{zones} zones, {len(statements)} statements: {counts}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["zones"]:
        sys.exit(compare_zones("--record" in sys.argv))
    if sys.argv[1:] == ["speed"]:
        sys.exit(measure())
    raise SystemExit(__doc__)
