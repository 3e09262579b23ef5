"""`provisioner lint`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from provisioner.cli.options import allows, plan_path
from provisioner.cli.session import Session, read_line
from provisioner.diagnostics import Diagnostic, Severity
from provisioner.operations.loading import Selection, lint
from provisioner.operations.manual import documented
from provisioner.render import reports
from provisioner.render.diagnostics import diagnostics_json

_FORMATS = ("text", "json", "github", "sarif")


@click.command("lint")
@plan_path
@allows
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="text", help="How to print the findings.")
@click.option("--strict-dates", is_flag=True, help="Exit 3 where the day of a device or a waiver has passed.")
@click.pass_obj
def command(session: Session, path: Path, allows: tuple[str, ...], format_: str, *, strict_dates: bool) -> int:
    """Check a plan with the rules that need no tenant: mistakes, and what is dangerous in any tenant.

    Exit 3 where something would keep the plan from being planned or applied; warnings alone are exit 0. Days change no
    exit code unless --strict-dates is given.
    """
    session.format = format_
    selection = Selection(allows=allows)
    said = lint(session, path, selection, strict_dates=strict_dates, cloud=session.cloud).diagnostics
    _print(session, said, format_)
    return 3 if any(d.severity is Severity.ERROR for d in said) else 0


def _print(session: Session, said: Sequence[Diagnostic], format_: str) -> None:
    if format_ == "text":
        session.diagnose(said)
        if more := documented(d.id for d in said):
            session.note(more)
        session.note(f"{len(said)} finding{'s' if len(said) > 1 else ''}." if said else "Nothing found.")
    elif format_ == "json":
        session.json(diagnostics_json(said, read_line))
    else:
        write = reports.github_findings if format_ == "github" else reports.sarif_findings
        session.result(write(reports.of_diagnostics(said)), commands=format_ == "github", data=True)
