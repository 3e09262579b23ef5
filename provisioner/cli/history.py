"""`provisioner history …`: the journal of applies, to read, to check and to take elsewhere. Needs no tenant."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from provisioner.cli.options import output_format
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.operations.state import journal_path, journals, state_folder

tenant_id = click.option("--tenant-id", metavar="ID", help="Whose journal, where there are several.")


@click.group("history")
def command() -> None:
    """Show, check and export the journal of applies: what was intended, sent, answered and seen."""


@command.command("list")
@tenant_id
@output_format
@click.pass_obj
def list_(session: Session, tenant_id: str | None, format_: str) -> None:
    """The runs, newest first."""
    runs = list(reversed(runs_of(find_journal(tenant_id)).values()))
    if format_ == "json":
        session.result(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
        return
    from provisioner.render.escape import visible

    for run in runs:
        counts = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in run["results"].items()) or "nothing done"
        commit = f"  {run['commit'][:12]}" if run["commit"] else ""
        session.result(visible(f"{run['run']}  {run['begun']}  {run['actor']}  {counts}{commit}") + "\n")
    if not runs:
        session.note("No run yet.")


@command.command("show")
@click.argument("run", default="last")
@tenant_id
@output_format
@click.pass_obj
def show(session: Session, run: str, tenant_id: str | None, format_: str) -> None:
    """What one run did (its id or the beginning of it; `last` is the newest)."""
    from provisioner.engine import journal

    path = find_journal(tenant_id)
    facts = find_run(path, run)
    deeds = list(journal.deeds(path, facts["run"]))
    if format_ == "json":
        done = [
            {"address": d.address, "action": d.action, "status": d.status, "before": d.before, "after": d.after}
            for d in deeds
        ]
        session.result(json.dumps({**facts, "changes": done}, indent=1, ensure_ascii=False) + "\n")
        return
    from provisioner.render.escape import visible

    lines = [f"Run {facts['run']} of {facts['begun']} by {facts['actor']}", f"  change set {facts['digest']}"]
    lines += [f"  plan as of commit {facts['commit']}"] if facts["commit"] else []
    for deed in deeds:
        lines.append(f"  {deed.address}: {deed.action}, {deed.status.replace('_', ' ')}")
        before, after = deed.before or {}, deed.after or {}
        names = [n for n in dict.fromkeys((*before, *after)) if before.get(n) != after.get(n)]
        lines += [f"      {n} = {_json(before.get(n))} -> {_json(after.get(n))}" for n in names]
        lines += [f"      {deed.detail}"] if deed.detail else []
    session.result("".join(f"{visible(line)}\n" for line in lines))


@command.command("verify")
@tenant_id
@click.pass_obj
def verify(session: Session, tenant_id: str | None) -> int:
    """Check that no line was changed or taken out (exit 1 where one was)."""
    from provisioner.engine import journal

    path = find_journal(tenant_id)
    verdict = journal.verify(path)
    for fault in verdict.faults:
        click.echo(f"{path}: {fault}", err=True)
    session.result(f"{path}: {verdict.entries:,} entries, {'not ' if verdict.faults else ''}as they were written\n")
    return 1 if verdict.faults else 0


@command.command("export")
@tenant_id
@click.pass_obj
def export(session: Session, tenant_id: str | None) -> None:
    """Print the journal's entries, a JSON object a line."""
    from provisioner.engine import journal

    for entry in journal.entries(find_journal(tenant_id)):
        session.result(json.dumps(entry, ensure_ascii=False) + "\n")


# --- finding -----------------------------------------------------------------------------------------------------


def find_journal(tenant_id: str | None) -> Path:
    """The journal that is meant. Raises InputError where there is none, or more than one."""
    if tenant_id:
        path = journal_path(tenant_id)
        if not path.exists():
            raise _amiss("JOURNAL-NONE", f"nothing was ever applied to {tenant_id} from here", f"looked for {path}")
        return path
    known = journals()
    if not known:
        where = f"journals lie in {state_folder()}; PROVISIONER_STATE_DIR names another place"
        raise _amiss("JOURNAL-NONE", "nothing was ever applied from here", where)
    if len(known) > 1:
        names = ", ".join(p.parent.name for p in known)
        raise _amiss("JOURNAL-SEVERAL", f"there are journals of {len(known)} tenants: {names}", "say --tenant-id")
    return known[0]


def find_run(path: Path, run: str) -> Mapping[str, Any]:
    """A run by its id, the beginning of it, or `last`. Raises InputError."""
    runs = runs_of(path)
    found = list(runs)[-1:] if run == "last" else [r for r in runs if r.startswith(run)]
    if len(found) != 1:
        what = f'{len(found)} runs begin with "{run}"' if found else f'there is no run "{run}"'
        raise _amiss("RUN-UNKNOWN", what, "provisioner history list shows them")
    return runs[found[0]]


def runs_of(path: Path) -> dict[str, dict[str, Any]]:
    """The runs of a journal by id, oldest first: who, when, from which commit, and how many changes ended how."""
    from provisioner.engine import journal

    runs: dict[str, dict[str, Any]] = {}
    results: dict[str, Counter[str]] = {}
    for entry in journal.entries(path):
        if entry["kind"] == "begin":
            runs[entry["run"]] = {
                "run": entry["run"],
                "begun": entry["time"],
                "actor": entry.get("actor", ""),
                "commit": entry.get("commit", ""),
                "digest": entry.get("digest", ""),
                "tenant": entry.get("tenant", ""),
                "tenant_id": entry.get("tenant_id", ""),
                "owner": entry.get("owner", ""),
            }
        elif entry["kind"] == "finished":
            results.setdefault(entry["run"], Counter())[entry["status"]] += 1
    return {name: {**facts, "results": dict(results.get(name, {}))} for name, facts in runs.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _amiss(id_: str, what: str, mend: str) -> InputError:
    return InputError([Diagnostic(id_, what, mend)])
