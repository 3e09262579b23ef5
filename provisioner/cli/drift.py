"""`provisioner drift`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from provisioner.changes import changeset
from provisioner.cli.options import allows, excludes, output_format, plan_path, targets
from provisioner.cli.plan import exit_code
from provisioner.cli.session import Session
from provisioner.operations.connection import run
from provisioner.operations.drifting import Drift, Drifted, DriftedField, drift
from provisioner.operations.loading import Selection
from provisioner.render.changes import unmanaged_lines
from provisioner.render.escape import visible


@click.command("drift")
@plan_path
@targets
@excludes
@allows
@output_format
@click.pass_obj
def command(
    session: Session,
    path: Path,
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
    allows: tuple[str, ...],
    format_: str,
) -> int:
    """Show where the tenant has drifted from the plan (exit 2), and what others have changed.

    A value that an apply set, by the journal, and that differs now was changed by others since.
    """
    session.format = format_
    found = run(drift(session, path, Selection(targets, excludes, allows)))
    if format_ == "json":
        session.json(_facts(found))
    else:
        session.text("".join(f"{line}\n" for line in _lines(found)))
    return exit_code(found.found) or (2 if found.drifted else 0)


def _facts(drift: Drift) -> dict[str, Any]:
    """The drift as JSON: per field what the plan declares, what is live, and whether it was changed from outside."""
    drifted = [
        {
            "address": str(item.address),
            "state": item.state,
            "fields": [asdict(f) for f in item.fields],
            "outside": item.outside,
            "last_applied": {"run": item.last.run, "time": item.last.time} if item.last else None,
        }
        for item in drift.drifted
    ]
    found = drift.found
    digest = changeset.to_document(found)["provisioner"]["digest"]
    unmanaged = changeset.unmanaged_document(found)
    facts = {"tenant": found.tenant, "complete": found.complete, "digest": digest, "drift": drifted}
    return {**facts, "unmanaged": unmanaged}


_STATES = {
    "missing": "does not exist in the tenant",
    "undeclared": "exists in the tenant, and the plan does not declare it",
    "different": "differs from the plan",
}


def _lines(drift: Drift) -> Iterator[str]:
    for item in drift.drifted:
        yield visible(f"{item.address} {_STATES[item.state]}")
        yield from _details(item)
    if drift.drifted:
        outside = sum(i.outside for i in drift.drifted)
        differ = f"{len(drift.drifted)} objects differ" if len(drift.drifted) > 1 else "1 object differs"
        yield f"{differ} from the plan; changed from outside: {outside}."
    elif drift.found.complete:
        yield "No drift: the tenant is as the plan declares it."
    else:
        yield "No drift in what could be read."
    yield from unmanaged_lines(changeset.unmanaged_document(drift.found))


def _details(item: Drifted) -> Iterator[str]:
    if item.state == "different":
        yield from (visible(_field(f)) for f in item.fields)
    if item.last and item.outside:
        yield f"  changed from outside since run {item.last.run} of {item.last.time}"
    elif item.last:
        yield f"  not applied since the plan changed; run {item.last.run} of {item.last.time} was the last"


def _field(field: DriftedField) -> str:
    declared, live = (json.dumps(side, ensure_ascii=False) for side in (field.declared, field.live))
    return f"  {field.name}: declared {declared}, live {live}{' (from outside)' if field.outside else ''}"
