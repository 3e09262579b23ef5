"""`provisioner schema`."""

import click

from provisioner.cli.session import Session
from provisioner.plan.schema import schema
from provisioner.resources import TYPES


@click.command("schema")
@click.pass_obj
def command(session: Session) -> None:
    """Print the JSON Schema of the plan language, for editors and for checks without this tool."""
    session.json(schema(TYPES))
