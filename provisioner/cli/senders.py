"""`provisioner senders discover`: who sends through a tenant, from what the service recorded."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.border import write_file
from provisioner.cli.options import pair
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.operations.connection import run
from provisioner.operations.discovering import USE, Asking, discover
from provisioner.operations.proposing import propose
from provisioner.operations.replaying import read_inventory
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
@click.option(
    "--inventory",
    "saved",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read a saved inventory (JSON), and ask no tenant.",
)
@click.option(
    "--propose",
    "place",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write sites and devices for the senders to this file, or to senders.yaml of this folder.",
)
@click.option(
    "--default",
    "defaults",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Your answer for every proposed device of which the field was not observed (repeatable).",
)
@click.option("--overwrite", is_flag=True, help="Replace the proposed file if it exists.")
@click.pass_obj
def discover_(
    session: Session,
    days: int,
    files: tuple[Path, ...],
    searches: bool,
    format_: str,
    output: Path | None,
    saved: Path | None,
    place: Path | None,
    defaults: tuple[str, ...],
    *,
    overwrite: bool,
) -> int:
    """List who sends through the tenant of the profile, with what each source could tell.

    Reads sign-in logs, reports, message traces, switches and connectors as far as the profile's permissions go. Nothing
    is changed, except that historical searches are started (--no-search). Exit 0, also where a source could not be
    read: the inventory names it, with the permission that is missing. Exit 5 where none of the sources could be read
    that record who sends.

    With --propose the senders become sites and devices of a plan: what was observed is written, and a comment asks a
    person for the rest. No file is overwritten without --overwrite.
    """
    session.format = format_
    found = read_inventory(saved) if saved else run(discover(session, Asking(days, files, searches)))
    if place is None or output is not None:
        _print(session, found, format_, output)
    if place is not None:
        propose(session, found, place, dict(pair("--default", text) for text in defaults), overwrite=overwrite)
    return 0 if saved or any(s.state != "not_read" for s in found.sources if s.name in USE) else 5


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
