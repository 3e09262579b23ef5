"""`provisioner export`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from provisioner.border import read_named, write_result
from provisioner.cli.options import excludes, targets
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.operations.connection import run
from provisioner.operations.exporting import export, export_folder, known_of
from provisioner.operations.loading import Selection
from provisioner.operations.proposing import written
from provisioner.plan.export import NOTHING_KNOWN, Export, Exported
from provisioner.plan.files import as_seen, is_plan_file
from provisioner.plan.yaml_nodes import LARGEST_BYTES


@click.command("export")
@click.option("--type", "kinds", multiple=True, metavar="TYPE", help="Only this resource type (repeatable).")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write to a file, or to the files of a folder; change only what differs in them.",
)
@click.option(
    "--out-dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write to the files of DIR, each section where it already stands; create DIR if needed.",
)
@click.option(
    "--propose",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write FILE with proposed sites and devices, for connectors and for mailboxes with SMTP AUTH.",
)
@click.option("--owner", default="", metavar="NAME", help="The plan's ownership mark; by default that of the file.")
@targets
@excludes
@click.pass_obj
def command(
    session: Session,
    kinds: tuple[str, ...],
    out: Path | None,
    folder: Path | None,
    propose: Path | None,
    owner: str,
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
) -> None:
    """Write the objects of the tenant as a plan.

    The plan is valid, and planning it shows no changes. In files that exist, only the values that differ are rewritten:
    layout, comments, order and spellings stay. Objects that the plan's devices need are not written a second time.
    """
    if out is not None and folder is not None:
        raise click.UsageError("give --out or --out-dir, not both")
    if propose is not None and os.path.lexists(propose):
        what = f"{as_seen(propose)} exists, and is not overwritten"
        raise InputError([Diagnostic("OUT-EXISTS", what, "name another file for --propose")])
    selection = Selection(targets, excludes)
    folder = out if out is not None and out.is_dir() else folder
    found: Export | Exported
    if folder is not None:
        old = _texts(folder)
        known = known_of(session, folder) if old else NOTHING_KNOWN
        found = files = run(export_folder(session, kinds, selection, owner=owner, old=old, known=known))
        _told(session, found.left_out)
        _write_folder(session, folder, old, files)
    else:
        text = _there(out)
        known = known_of(session, out) if out is not None and text and text.strip() else NOTHING_KNOWN
        found = one = run(export(session, kinds, selection, owner=owner, old=text, known=known))
        _told(session, found.left_out)
        _write_file(session, out, text, one)
    if propose is not None and found.proposal is not None:
        written(session, found.proposal, propose)


def _told(session: Session, left_out: Sequence[str]) -> None:
    for sentence in left_out:
        session.note(f"Left out: {sentence}")


def _write_file(session: Session, out: Path | None, old: str | None, found: Export) -> None:
    if out is None:
        session.result(found.text, data=True)
    elif old == found.text:
        session.note(f"{as_seen(out)} is up to date.")
    else:
        write_result(out, found.text, private=False)
        session.note(f"Written to {as_seen(out)}.")


def _write_folder(session: Session, folder: Path, old: Mapping[str, str], found: Exported) -> None:
    changed = {name: text for name, text in found.texts.items() if text != old.get(name)}
    for name, text in changed.items():
        write_result(folder / name, text, private=False, folders=True)
        session.note(f"{'Changed' if name in old else 'Written'}: {as_seen(folder / name)}")
    if not changed:
        session.note(f"{as_seen(folder)} is up to date.")


def _plans(folder: Path) -> list[Path]:
    """The plan files of a folder, by name; none of one that does not exist."""
    if not folder.exists():
        return []
    try:
        return sorted(p for p in folder.iterdir() if is_plan_file(p.name) and not p.is_dir())
    except OSError as error:
        what = f"{as_seen(folder)} cannot be read: {error.strerror or error}"
        raise InputError([Diagnostic("EXPORT-FILE", what, "name a folder")]) from error


def _texts(folder: Path) -> dict[str, str]:
    texts = ((path.name, _there(path)) for path in _plans(folder))
    return {name: text for name, text in texts if text is not None}


def _there(out: Path | None) -> str | None:
    try:
        if out is None or not os.path.lexists(out):
            return None
        return read_named(out, LARGEST_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError([Diagnostic("EXPORT-FILE", f"{as_seen(out or Path())} cannot be read: {why}")]) from error
