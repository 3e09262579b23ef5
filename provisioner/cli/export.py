"""`provisioner export`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from provisioner.border import Border, read_ordinary, write_result
from provisioner.cli.options import excludes, targets
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.operations.connection import run
from provisioner.operations.exporting import export
from provisioner.operations.loading import Selection
from provisioner.plan.files import outside
from provisioner.plan.yaml_nodes import LARGEST_BYTES


@click.command("export")
@click.option("--type", "kinds", multiple=True, metavar="TYPE", help="Only this resource type (repeatable).")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to FILE; keep the comments and order already in it.",
)
@click.option("--owner", default="", metavar="NAME", help="The plan's ownership mark.")
@targets
@excludes
@click.pass_obj
def command(
    session: Session,
    kinds: tuple[str, ...],
    out: Path | None,
    owner: str,
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
) -> None:
    """Write what the tenant has as a plan.

    The plan validates, and planning it changes nothing. A FILE that is there keeps its comments, order and spellings.
    """
    selection = Selection(targets, excludes)
    found = run(export(session, kinds, selection, owner=owner, old=_there(out)))
    for sentence in found.left_out:
        session.note(f"Left out: {sentence}")
    if out is None:
        session.result(found.text, data=True)
        return
    write_result(out, found.text, private=False)
    session.note(f"Written to {out}.")


def _there(out: Path | None) -> str | None:
    try:
        if out is None or not os.path.lexists(out):
            return None
        inside = Border.of(out)
        if not inside.admits(out):
            raise InputError([outside(out, inside)])
        return read_ordinary(out, LARGEST_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError([Diagnostic("EXPORT-FILE", f"{out} cannot be read: {why}")]) from error
