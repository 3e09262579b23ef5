"""`provisioner doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from provisioner.changes import changeset
from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.operations.connection import run
from provisioner.operations.examining import OK, Check, Examination, doctor
from provisioner.render.escape import visible


@click.command("doctor")
@plan_path
@output_format
@click.pass_obj
def command(session: Session, path: Path, format_: str) -> int:
    """Check that everything a run needs is in place, and that the plan's mailboxes can sign in.

    The profile, the folder for journal and locks, the plan, the sign-in, what may be read in Exchange and in the
    directory, DNS, what plan finds; and for each mailbox that a device signs in to the one switch that blocks it.
    Nothing is changed. Exit 0 where nothing is wrong (warnings may stand), 1 otherwise.
    """
    session.format = format_
    found = run(doctor(session, path))
    if format_ == "json":
        session.json(_facts(found))
    else:
        session.result("".join(f"{line}\n" for check in found.checks for line in _lines(check)))
    return 0 if found.healthy else 1


def _facts(found: Examination) -> dict[str, object]:
    digest = changeset.to_document(found.found)["provisioner"]["digest"] if found.found else None
    return {"checks": [asdict(c) for c in found.checks], "digest": digest}


def _lines(check: Check) -> Iterator[str]:
    yield visible(f"{check.state:<8} {check.what}: {check.sentence}")
    if check.hint and check.state != OK:
        yield visible(f"         {check.hint}")
