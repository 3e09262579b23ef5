"""`provisioner drift`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.options import allows, excludes, output_format, plan_path, targets
from provisioner.cli.plan import exit_code
from provisioner.cli.session import Session
from provisioner.operations.planning import Selection, read_plan
from provisioner.operations.state import journal_path

if TYPE_CHECKING:
    from provisioner.engine.journal import Deed
    from provisioner.model import Change


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
    """Tell what in the tenant is not as the plan declares it (exit 2), and what was changed from outside.

    What the journal proves that an apply from here had brought to the plan's value, somebody else has changed since.
    """
    session.format = format_
    from provisioner.engine import journal

    found = read_plan(session, path, Selection(targets, excludes, allows))
    deeds = journal.brought(journal_path(found.tenant_id))
    outside = {d.address: d.fields for d in found.drift}
    drifted = [_entry(c, deeds.get(str(c.address)), outside.get(c.address, frozenset())) for c in found.pending]
    code = exit_code(found)
    if format_ == "json":
        facts = {"tenant": found.tenant, "complete": found.complete, "drift": drifted}
        session.result(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    else:
        session.result("".join(f"{line}\n" for line in _lines(drifted, found.complete)))
    return code or (2 if drifted else 0)


def _entry(change: Change, deed: Deed | None, outside: frozenset[str]) -> dict[str, Any]:
    """A change as drift: per field what the plan declares, what is there, and whether it was changed from outside."""
    from provisioner.changes.changeset import fields_document

    live = fields_document(change.before) if change.before is not None else {}
    declared = fields_document(change.after) if change.after is not None else {}
    names = [n for n in dict.fromkeys((*declared, *live)) if declared.get(n) != live.get(n)]
    fields = [
        {
            "name": n,
            "declared": declared.get(n),
            "live": live.get(n),
            "outside": n in outside,
        }
        for n in names
    ]
    return {
        "address": str(change.address),
        "state": {"create": "missing", "delete": "undeclared", "update": "different"}[change.action.value],
        "fields": fields,
        "outside": any(f["outside"] for f in fields),
        "last_applied": {"run": deed.run, "time": deed.time} if deed else None,
    }


_STATES = {
    "missing": "is not there",
    "undeclared": "is there, and the plan does not declare it",
    "different": "is different",
}


def _lines(drifted: list[dict[str, Any]], complete: bool) -> Iterator[str]:
    from provisioner.render.escape import visible

    for item in drifted:
        yield visible(f"{item['address']} {_STATES[item['state']]}")
        if item["state"] == "different":
            yield from (visible(_field(f)) for f in item["fields"])
        last = item["last_applied"]
        if item["outside"]:
            yield f"  changed from outside since run {last['run']} of {last['time']}"
        elif last:
            yield f"  not applied since the plan changed; run {last['run']} of {last['time']} was the last"
    if drifted:
        outside = sum(i["outside"] for i in drifted)
        yield f"{len(drifted)} of the plan's objects differ, {outside} of them changed from outside."
    else:
        yield "No drift: the tenant is as the plan declares it." if complete else "No drift in what could be read."


def _field(field: Mapping[str, Any]) -> str:
    declared, live = (json.dumps(field[side], ensure_ascii=False) for side in ("declared", "live"))
    return f"  {field['name']}: declared {declared}, live {live}{' (from outside)' if field['outside'] else ''}"
