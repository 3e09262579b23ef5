"""`provisioner show`."""

from pathlib import Path

import click

from provisioner.cli.options import plan_format, reports
from provisioner.cli.output import print_plan, write_reports
from provisioner.cli.session import Session


@click.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@plan_format
@reports
@click.pass_obj
def command(session: Session, file: Path, format_: str, reports: dict[str, Path]) -> None:
    """Show a saved change set, without a tenant."""
    from provisioner.changes import verification
    from provisioner.resources import TYPES

    session.format = format_
    document, _ = verification.load(file, TYPES)
    write_reports(session, document, reports)
    if "-" not in map(str, reports.values()):
        print_plan(session, document)
