"""`provisioner graph`."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.border import write_result
from provisioner.changes import changeset
from provisioner.cli.options import ResultFile, allows, excludes, plan_path, targets
from provisioner.cli.session import Session
from provisioner.operations.applying import load_saved
from provisioner.operations.connection import run
from provisioner.operations.loading import Selection
from provisioner.operations.planning import plan
from provisioner.render.graph import FORMATS, drawn


@click.command("graph")
@plan_path
@click.option("--format", "format_", type=click.Choice(FORMATS), default="mermaid", help="How to draw the picture.")
@click.option("-o", "--out", type=ResultFile(), metavar="FILE", help="Write the picture to FILE.")
@targets
@excludes
@allows
@click.pass_obj
def command(
    session: Session,
    path: Path,
    format_: str,
    out: Path | None,
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
    allows: tuple[str, ...],
) -> None:
    """Draw the sending paths, as they are today and as the plan leaves them.

    The picture has sites and devices, their sending methods, connectors and switches, and recipients. What opens is
    green, what closes is red; dashed is what waits until everything that opens is in force. PATH is a plan, or a saved
    change set, which needs no tenant.
    """
    if path.is_file() and changeset.is_changeset(path):
        document = load_saved(session, path).document
    else:
        document = changeset.to_document(run(plan(session, path, Selection(targets, excludes, allows))))
    picture = drawn(format_, document)
    if out is None:
        session.result(picture, data=True)
        return
    write_result(out, picture, "--out")
