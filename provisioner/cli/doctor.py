"""`provisioner doctor`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from provisioner.changes import changeset
from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.model.listing import counted
from provisioner.operations.connection import run
from provisioner.operations.examining import OK, PROBLEM, WARNING, Examination, doctor
from provisioner.render.escape import visible


@click.command("doctor")
@plan_path
@output_format
@click.pass_obj
def command(session: Session, path: Path, format_: str) -> int:
    """Check that everything a run needs is in place, and that the plan's mailboxes can sign in.

    It checks the profile, the folder for journal and locks, the plan, the sign-in, the permissions in Exchange and in
    the directory, DNS, and the findings of `plan`. For each mailbox that a device signs in to, it names the setting
    that blocks the sign-in. Nothing is changed. Exit 0 where no check fails (warnings are allowed), 1 otherwise.
    """
    session.format = format_
    found = run(doctor(session, path))
    if format_ == "json":
        session.json(_facts(found))
    else:
        session.text("".join(f"{line}\n" for line in _lines(found, color=session.colored(sys.stdout))))
    return 0 if found.healthy else 1


def _facts(found: Examination) -> dict[str, object]:
    digest = changeset.to_document(found.found)["provisioner"]["digest"] if found.found else None
    return {"checks": [asdict(c) for c in found.checks], "digest": digest}


_COLORS = {OK: "32", WARNING: "33", PROBLEM: "31"}


def _lines(found: Examination, *, color: bool) -> Iterator[str]:
    """A line for each check and one for its hint, then how many checks found something."""
    for check in found.checks:
        painted = f"\x1b[{_COLORS[check.state]}m{check.state}\x1b[0m" if color else check.state
        yield f"{painted}{' ' * (9 - len(check.state))}{visible(f'{check.what}: {check.sentence}')}"
        if check.hint and check.state != OK:
            yield visible(f"         = hint: {check.hint}")
    states = Counter(check.state for check in found.checks)
    yield ""
    if not (states[PROBLEM] or states[WARNING]):
        yield "Everything is in place."
        return
    counts = (counted(n, word) for word in (PROBLEM, WARNING) if (n := states[word]))
    yield f"{', '.join(counts)}."
