"""`provisioner show`."""

from pathlib import Path

import click

from provisioner.cli.options import plan_format, reports, viewing
from provisioner.cli.output import print_plan, write_reports
from provisioner.cli.session import Session
from provisioner.operations.applying import load_saved


@click.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@plan_format
@reports
@viewing
@click.pass_obj
def command(session: Session, file: Path, format_: str, reports: dict[str, Path]) -> None:
    """Show a saved change set, without a tenant."""
    session.format = format_
    document = load_saved(session, file).document
    write_reports(session, document, reports, file=file)
    if "-" not in map(str, reports.values()):
        print_plan(session, document, file=file)
