"""`provisioner validate`."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.cli.options import allows, output_format, plan_path
from provisioner.cli.session import Session, read_line
from provisioner.diagnostics import Severity
from provisioner.operations.loading import Selection, validate
from provisioner.operations.manual import documented
from provisioner.render.diagnostics import diagnostics_json


@click.command("validate")
@plan_path
@allows
@output_format
@click.pass_obj
def command(session: Session, path: Path, allows: tuple[str, ...], format_: str) -> int:
    """Check a plan (a file or a folder) without a tenant.

    Exit 3 where a finding would keep it from being applied.
    """
    session.format = format_
    loaded = validate(session, path, Selection(allows=allows), cloud=session.cloud)
    desired, told = loaded.desired, loaded.diagnostics
    session.diagnose(told)
    if format_ == "text" and (more := documented(d.id for d in told)):
        session.note(more)
    valid = not any(d.severity is Severity.ERROR for d in told)
    if format_ == "json":
        facts = {"valid": valid, "resources": len(desired.resources), "diagnostics": diagnostics_json(told, read_line)}
        session.json(facts)
    else:
        counts = f"Resources: {len(desired.resources)}, files: {len(desired.files)}."
        session.result(f"The plan is valid. {counts}\n" if valid else f"The plan is not valid. {counts}\n")
    return 0 if valid else 3
