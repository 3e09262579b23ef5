"""Options that several commands take."""

from pathlib import Path
from typing import Any

import click

from provisioner.cli.output import FORMATS, STREAM

output_format = click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How to print the result."
)
plan_format = click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="text", help="How to print the change set."
)
live_plan_format = click.option(
    "--format", "format_", type=click.Choice((*FORMATS, STREAM)), default="text", help="How to print the change set."
)
apply_format = click.option(
    "--format", "format_", type=click.Choice(["text", "json", STREAM]), default="text", help="How to print the result."
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


def reports(function: Any) -> Any:
    """`--out-markdown FILE` and the like, as one argument `reports`: format -> path."""
    import functools

    @functools.wraps(function)
    def gathered(*arguments: Any, **options: Any) -> Any:
        wanted = {name: options.pop(f"out_{name}") for name in _REPORTS}
        return function(*arguments, reports={n: p for n, p in wanted.items() if p is not None}, **options)

    for name in reversed(_REPORTS):
        help_ = f"Write it as {_REPORT_NAMES.get(name, name)} too (- for standard output)."
        gathered = click.option(f"--out-{name}", type=click.Path(path_type=Path), metavar="FILE", help=help_)(gathered)
    return gathered


_REPORTS = tuple(name for name in FORMATS if name != "text")
_REPORT_NAMES = {
    "json": "Terraform's plan JSON",
    "markdown": "Markdown for a pull request's comment",
    "html": "one HTML page",
    "powershell": "a PowerShell script",
    "github": "GitHub workflow annotations",
    "gitlab": "GitLab's Terraform report",
    "junit": "JUnit XML",
    "sarif": "SARIF",
}


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `30m`, `12h` or `7d`. Raises UsageError for anything else."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    if not number.replace(".", "", 1).isdigit():
        raise click.UsageError(f'"{text}" is no length of time: write 90s, 30m, 12h or 7d')
    return float(number) * unit
