"""`provisioner show`."""

from pathlib import Path

import click

from provisioner.cli.options import output_format
from provisioner.cli.output import print_plan
from provisioner.cli.session import Session


@click.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@output_format
@click.pass_obj
def command(session: Session, file: Path, format_: str) -> None:
    """Show a saved change set, without a tenant."""
    from provisioner import changeset

    session.format = format_
    print_plan(session, changeset.load(file))
