"""`provisioner validate`."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.cli.options import allows, output_format, plan_path
from provisioner.cli.session import Session, read_line
from provisioner.operations.loading import Selection, validate
from provisioner.operations.manual import documented
from provisioner.render.diagnostics import diagnostics_json


@click.command("validate")
@plan_path
@allows
@output_format
@click.pass_obj
def command(session: Session, path: Path, allows: tuple[str, ...], format_: str) -> None:
    """Check a plan (a file or a folder) without a tenant."""
    session.format = format_
    loaded = validate(session, path, Selection(allows=allows))
    desired, told = loaded.desired, loaded.diagnostics
    session.diagnose(told)
    if format_ == "text" and (more := documented(d.id for d in told)):
        session.note(more)
    if format_ == "json":
        facts = {"valid": True, "resources": len(desired.resources), "diagnostics": diagnostics_json(told, read_line)}
        session.json(facts)
    else:
        session.result(f"The plan is valid. Resources: {len(desired.resources)}, files: {len(desired.files)}.\n")
