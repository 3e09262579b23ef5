"""`provisioner senders`: who sends through a tenant, and the switch-off of passwords, tried on a few of them."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.border import write_result
from provisioner.changes import changeset
from provisioner.cli.groups import Group
from provisioner.cli.options import ResultFile, allows, pair
from provisioner.cli.output import print_plan
from provisioner.cli.plan import exit_code
from provisioner.cli.session import Session
from provisioner.model.listing import counted
from provisioner.operations.connection import run
from provisioner.operations.discovering import USE, Asking, discover
from provisioner.operations.loading import Selection
from provisioner.operations.proposing import propose
from provisioner.operations.rehearsing import POLICY, rehearse, report, ring_of
from provisioner.operations.rehearsing import document as rehearsal_document
from provisioner.operations.replaying import read_inventory
from provisioner.render import senders
from provisioner.senders.inventory import Inventory, document
from provisioner.senders.traces import DAYS


@click.group("senders", cls=Group)
def command() -> None:
    """List who sends mail through a tenant, and rehearse the switch-off of passwords."""


@command.command("discover")
@click.option(
    "--days",
    metavar="N",
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
    help="Read the CSV file of a report: SMTP AUTH clients, or mail without a connector (repeatable).",
)
@click.option(
    "--search/--no-search",
    "searches",
    default=True,
    help="Start the historical searches whose reports are missing, or do not.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "csv", "json", "html"]),
    default="text",
    help="How to print the inventory.",
)
@click.option(
    "-o", "--out", "output", type=click.Path(path_type=Path), metavar="FILE", help="Write the inventory to FILE."
)
@click.option(
    "--inventory",
    "saved",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read a saved inventory (JSON) instead of the tenant.",
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
    help="Write this value in every proposed device whose FIELD was not observed (repeatable).",
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
    """List who sends through the tenant of the profile, and which source shows it.

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
        session.text(text) if format_ == "text" else session.result(text, data=True)
        return
    write_result(output, text, "--out")
    session.note(f"Wrote {counted(len(found.senders), 'sender')} to {output}")
    for line in senders.gaps(document(found)):
        session.note(line)


@command.command("rehearse")
@click.option(
    "--ring",
    "names",
    multiple=True,
    required=True,
    metavar="MAILBOX|FILE",
    help="Take this mailbox, or those of FILE: one on each line, or an inventory (JSON) (repeatable).",
)
@click.option("--policy", default=POLICY, show_default=True, metavar="NAME", help="Use the authentication policy NAME.")
@click.option("-o", "--out", type=ResultFile(), metavar="FILE", help="Save the change set for apply.")
@click.option("--report", "reports_", is_flag=True, help="Show what the sign-in log says since the change.")
@click.option(
    "--since", default="", metavar="TIME", help="With --report: count from TIME, not from the change in the journal."
)
@allows
@click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How to print the result."
)
@click.pass_obj
def rehearse_(
    session: Session,
    names: tuple[str, ...],
    policy: str,
    out: Path | None,
    reports_: bool,
    since: str,
    allows: tuple[str, ...],
    format_: str,
) -> int:
    """Plan the switch-off of passwords for a ring of mailboxes, and report what came of it.

    Without --report: the change set that gives the mailboxes an authentication policy without basic authentication for
    SMTP. Nothing is changed before it is applied, and rollback undoes it. With --report: which of them log in with a
    password since then, are refused, or are silent. Exit 5 where the sign-in log could not be read.
    """
    session.format = format_
    ring = ring_of(names)
    if reports_:
        found = run(report(session, ring, since))
        said = senders.rehearsed(format_, rehearsal_document(found))
        session.text(said) if format_ == "text" else session.result(said, data=True)
        return 0 if found.readable else 5
    planned = changeset.to_document(changes := run(rehearse(session, ring, policy, Selection(allows=allows))))
    print_plan(session, planned)
    if out:
        changeset.save(planned, out)
        digest = planned["provisioner"]["digest"]
        session.note(f"Saved as {out}. To apply exactly this: provisioner apply {out} --expect-digest {digest}")
        session.note("To undo it afterwards: provisioner rollback last -o back.json, and apply that.")
    return exit_code(changes)
