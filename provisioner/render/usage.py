"""A plan beside the evidence of use: the document -> text and CSV. The page is that of the report (templates/)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from provisioner.render.escape import csv_cell, visible
from provisioner.render.sheets import USED_COLUMNS

Document = Mapping[str, Any]


def usage_text(document: Document) -> str:
    """The comparison for a terminal."""
    lines = [f"Evidence of use from {visible(document['begin'])} to {visible(document['end'])}:"]
    for state, rows in groupby(sorted(document["rows"], key=lambda r: r["state"]), key=lambda r: r["state"]):
        several = list(rows)
        lines += ["", f"{state[:1].upper()}{state[1:]} ({len(several):,}):"]
        for row in several:
            lines += _lines(row)
    if document["unread"]:
        lines += ["", "Not read, or only in part (what no source saw may be used all the same):"]
        lines += [f"  {visible(reason)}" for reason in document["unread"]]
    return "\n".join(lines) + "\n"


def _lines(row: Document) -> Iterator[str]:
    facts = [row["uses"].replace("_", " "), *row["ip_addresses"][:3]]
    if row["messages"] is not None:
        facts.append(f"{row['messages']:,} messages")
    facts.append(f"last seen {row['last_seen']}" if row["last_seen"] else "")
    said = ", ".join(filter(None, facts))
    name = f"{row['device']} ({row['sender']})" if row["device"] else row["sender"]
    yield f"  {visible(name)}{f': {visible(said)}' if said else ''}"
    if row["recommended"]:
        yield f"    should use {row['recommended'].replace('_', ' ')}"
    yield f"    {visible(row['advice'])}"
    if row["tenant"]:
        yield f"    tenant: {visible(row['tenant'])}"


def usage_csv(document: Document) -> str:
    """A line for each row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(USED_COLUMNS)
    for row in document["rows"]:
        writer.writerow([csv_cell(_value(row[name])) for name in USED_COLUMNS])
    return out.getvalue()


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else value
