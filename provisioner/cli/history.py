"""`provisioner history …`: the journal of applies, to read, to check and to take elsewhere. Needs no tenant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from provisioner.changes import rollback
from provisioner.cli.groups import Group
from provisioner.cli.options import complete_runs, output_format
from provisioner.cli.session import Session
from provisioner.diagnostics import InputError
from provisioner.engine import journal
from provisioner.operations.history import Run, find_journal, find_run, runs_of
from provisioner.render.escape import visible
from provisioner.resources import TYPES

tenant_id = click.option(
    "--tenant-id", metavar="ID", help="Read the journal of this tenant; by default that of the profile's tenant."
)


@click.group("history", cls=Group)
def command() -> None:
    """Show, verify and export the journal of applies: what was intended, sent, answered and read back."""


@command.command("list")
@tenant_id
@output_format
@click.pass_obj
def list_(session: Session, tenant_id: str | None, format_: str) -> None:
    """List the runs, newest first."""
    runs = list(runs_of(_journal(session, tenant_id)).values())[::-1]
    if format_ == "json":
        session.json([asdict(r) for r in runs])
        return
    for run in runs:
        commit = f"  commit {run.commit[:12]}" if run.commit else ""
        ended = "" if run.ended else "  (no end: killed, or still running)"
        session.text(visible(f"{run.run}  {run.begun}  {run.actor}  {run.deeds}{commit}{ended}") + "\n")
    if not runs:
        session.note("The journal has no run yet.")


@command.command("show")
@click.argument("run", default="last", shell_complete=complete_runs)
@tenant_id
@output_format
@click.pass_obj
def show(session: Session, run: str, tenant_id: str | None, format_: str) -> None:
    """Show what a run did, when and by whom, and what a rollback would do.

    RUN is the id of a run, the beginning of an id, or `last`.
    """
    path = _journal(session, tenant_id)
    facts = find_run(path, run)
    deeds = list(journal.deeds(path, facts.run))
    if format_ == "json":
        done = [
            {"address": d.address, "action": d.action, "status": d.status, "before": d.before, "after": d.after}
            for d in deeds
        ]
        session.json({**asdict(facts), "changes": done})
        return
    lines = [f"Run {facts.run} of {facts.begun} by {facts.actor} on {facts.tenant}: {facts.deeds}"]
    lines += [] if facts.ended else ["  it has no end: it was killed, or is still running"]
    lines += [f"  plan as of commit {facts.commit}"] if facts.commit else []
    lines += [f"  change set {facts.digest}"] if facts.digest else []
    lines += [f"  approved by {a['principal']} ({a['key']})" for a in facts.approved_by]
    for deed in deeds:
        lines += _told(deed)
    lines += list(_way_back(facts, deeds))
    session.text("".join(f"{visible(line)}\n" for line in lines))


_DONE = {"create": "created", "update": "changed", "delete": "deleted"}


def _told(deed: journal.Deed) -> Iterator[str]:
    """What happened to one object, with the fields that differ."""
    status = deed.status.replace("_", " ")
    yield f"  {deed.address}: {_DONE.get(deed.action, deed.action) if deed.done else f'{deed.action}, {status}'}"
    before, after = deed.before or {}, deed.after or {}
    names = [n for n in dict.fromkeys((*before, *after)) if before.get(n) != after.get(n)]
    if deed.action == "create":
        yield from (f"      {n} = {_json(after[n])}" for n in names)
    else:
        yield from (f"      {n} = {_json(before.get(n))} -> {_json(after.get(n))}" for n in names)
    if deed.detail:
        yield f"      {deed.detail}"


def _way_back(facts: Run, deeds: Sequence[journal.Deed]) -> Iterator[str]:
    """What a rollback would do, by the journal alone: it leaves alone what was changed since."""
    made = [deed for deed in deeds if deed.done]
    if not made:
        why = "a rollback undoes changes of apply only" if facts.actions else "no change was confirmed"
        yield f"There is nothing to roll back: {why}."
        return
    yield f"A rollback (provisioner rollback {facts.run} -o FILE) would do this, where nothing was changed since:"
    try:
        yield from (f"  {sentence}" for sentence in rollback.in_words(rollback.undone(made, TYPES), TYPES))
    except (InputError, ValueError) as error:
        yield f"  not known: {error}"


@command.command("verify")
@tenant_id
@click.pass_obj
def verify(session: Session, tenant_id: str | None) -> int:
    """Verify that no line of the journal was changed or removed (exit 1 where one was)."""
    path = _journal(session, tenant_id)
    verdict = journal.verify(path)
    for fault in verdict.faults:
        session.say(f"{path}: {fault}")
    session.result(f"{path}: {verdict.entries:,} entries, {'NOT ' if verdict.faults else ''}as they were written\n")
    return 1 if verdict.faults else 0


@command.command("export")
@tenant_id
@click.pass_obj
def export(session: Session, tenant_id: str | None) -> None:
    """Print the entries of the journal, one JSON object on each line."""
    for entry in journal.entries(_journal(session, tenant_id)):
        session.json(entry, indent=None)


def _journal(session: Session, tenant_id: str | None) -> Path:
    chosen = bool(session.chosen)
    return find_journal(session, tenant_id, chosen=chosen)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
