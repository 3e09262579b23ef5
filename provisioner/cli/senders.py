"""`provisioner senders discover`: who sends through a tenant, from what the service recorded."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.border import write_file
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.operations.connection import run
from provisioner.operations.discovering import USE, Asking, discover
from provisioner.render import senders
from provisioner.senders.inventory import Inventory, document
from provisioner.senders.traces import DAYS


@click.group("senders")
def command() -> None:
    """Who sends mail through a tenant: the evidence that the service recorded, as one inventory."""


@command.command("discover")
@click.option(
    "--days",
    type=click.IntRange(1, DAYS),
    default=DAYS,
    show_default=True,
    help="Look back over this number of days. Sign-in logs keep 30.",
)
@click.option(
    "--report",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Read the CSV file of a report: SMTP AUTH clients, or mail without a connector. May be repeated.",
)
@click.option(
    "--search/--no-search",
    "searches",
    default=True,
    help="Start the historical searches whose reports are missing.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "csv", "json", "html"]),
    default="text",
    help="How to print the inventory.",
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the inventory to FILE.")
@click.pass_obj
def discover_(
    session: Session, days: int, files: tuple[Path, ...], searches: bool, format_: str, output: Path | None
) -> int:
    """List who sends through the tenant of the profile, with what each source could tell.

    Reads sign-in logs, reports, message traces, switches and connectors as far as the profile's permissions go. Nothing
    is changed, except that historical searches are started (--no-search). Exit 0, also where a source could not be
    read: the inventory names it, with the permission that is missing. Exit 5 where none of the sources could be read
    that record who sends.
    """
    session.format = format_
    found = run(discover(session, Asking(days, files, searches)))
    _print(session, found, format_, output)
    return 0 if any(s.state != "not_read" for s in found.sources if s.name in USE) else 5


def _print(session: Session, found: Inventory, format_: str, output: Path | None) -> None:
    text = senders.rendered(format_, document(found))
    if output is None:
        session.result(text, data=format_ != "text")
        return
    try:
        write_file(output, text)
    except OSError as error:
        what = f"--output: {output} cannot be written: {error.strerror or error}"
        raise InputError([Diagnostic("OUT-WRITE", what, "choose another place")]) from error
    session.note(f"Wrote {len(found.senders):,} senders to {output}")
    for line in senders.gaps(document(found)):
        session.note(line)
