"""Options that several commands take."""

from pathlib import Path
from typing import Any

import click

output_format = click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How to print the result."
)
detailed_exitcode = click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="0 no changes, 2 changes, 1 any error (whose class is in the JSON).",
)
targets = click.option(
    "--target", "targets", multiple=True, metavar="ADDRESS", help="Look only at this resource and what it needs."
)
excludes = click.option("--exclude", "excludes", multiple=True, metavar="ADDRESS", help="Leave this resource out.")
allows = click.option(
    "--allow", "allows", multiple=True, metavar="RULE[:PATTERN]", help="Lift a guard by its name, for these resources."
)


def plan_path(function: Any) -> Any:
    """The argument PATH of a plan; plans/ where nothing is said."""
    return click.argument("path", type=click.Path(path_type=Path), default=Path("plans"), required=False)(function)
