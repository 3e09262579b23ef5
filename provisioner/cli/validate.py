"""`provisioner validate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from provisioner.cli.options import allows, output_format, plan_path
from provisioner.cli.session import Session, read_line


@click.command("validate")
@plan_path
@allows
@output_format
@click.pass_obj
def command(session: Session, path: Path, allows: tuple[str, ...], format_: str) -> None:
    """Check a plan (a file or a folder) without a tenant."""
    from provisioner import rules
    from provisioner.diagnostics import Diagnostic
    from provisioner.plan import document
    from provisioner.render.diagnostics import diagnostics_json
    from provisioner.resources import TYPES

    session.format = format_
    waivers = [rules.parse_allow(a) for a in allows]
    desired, warnings = document.load(
        path, TYPES, today=session.today(), waivers=waivers, variables=session.variables, border=session.border
    )
    findings = rules.waive(rules.lint(desired), (*desired.waivers, *waivers))
    noted = [Diagnostic(f.rule, f.summary, f.mend, f.severity, f.location) for f in findings if not f.waived]
    # A guard is for apply to refuse: here it is only shown.
    told = [*warnings, *noted]
    session.diagnose(told)
    if format_ == "json":
        facts = {"valid": True, "resources": len(desired.resources), "diagnostics": diagnostics_json(told, read_line)}
        session.result(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    else:
        session.result(f"The plan is valid. Resources: {len(desired.resources)}, files: {len(desired.files)}.\n")
