"""`provisioner rollback`."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.changes import changeset
from provisioner.cli.options import ResultFile, allows, complete_runs, plan_format, reports, viewing
from provisioner.cli.output import print_plan, write_reports
from provisioner.cli.session import Session
from provisioner.operations.connection import run
from provisioner.operations.loading import Selection
from provisioner.operations.undoing import rollback


@click.command("rollback")
@click.argument("run_", metavar="[RUN]", default="last", shell_complete=complete_runs)
@click.option("-o", "--out", type=ResultFile(), metavar="FILE", required=True, help="Save the change set for apply.")
@viewing
@reports
@allows
@plan_format
@click.pass_obj
def command(
    session: Session, run_: str, out: Path, reports: dict[str, Path], allows: tuple[str, ...], format_: str
) -> None:
    """Create the change set that undoes a run. Nothing is changed before you apply it.

    RUN is the id of a run, the beginning of an id, or `last`, the newest run that changed something. What was changed
    since the run, and what cannot be undone, is reported and left unchanged.
    """
    session.format = format_
    back = run(rollback(session, run_, Selection(allows=allows)))
    document = changeset.to_document(back.found)
    session.note(f"Rollback of run {back.of.run} of {back.of.begun} by {back.of.actor}, which {back.of.deeds}.")
    changeset.save(document, out)
    write_reports(session, document, reports, file=out)
    if "-" not in map(str, reports.values()):
        print_plan(session, document, file=out)
    for sentence in back.left_out:
        session.note(f"Not undone: {sentence}")
    if not back.found.pending:
        session.note(f"Saved as {out}. There is nothing to carry out.")
        return
    digest = document["provisioner"]["digest"]
    session.note(f"Saved as {out}. To carry it out: provisioner apply {out} --expect-digest {digest}")
