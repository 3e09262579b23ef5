"""`provisioner approve`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from provisioner.cli.output import print_plan
from provisioner.cli.session import Session
from provisioner.diagnostics import Declined
from provisioner.operations.applying import Terms, load_saved
from provisioner.operations.approving import approve
from provisioner.render.escape import whole
from provisioner.render.review import asked_about
from provisioner.render.wrapping import wrapped


@click.command("approve")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Sign with this private key, or the public key of one that ssh-agent holds. [default: approval.key of the "
    "profile, else the first of ~/.ssh]",
)
@click.option(
    "--expect-digest", metavar="SHA256", help="Sign without a question, but only the change set with this digest."
)
@click.pass_obj
def command(session: Session, file: Path, key: Path | None, expect_digest: str | None) -> None:
    """Approve a saved change set: sign its digest with an SSH key (ssh-keygen -Y sign).

    The change set is shown first, and you are asked. The signature is written beside it (FILE.….approval), where `apply
    --require-approval N` finds it. It is valid for this change set only: one that was edited has another digest.
    """
    saved = load_saved(session, file)
    digest = saved.document["provisioner"]["digest"]
    Terms(digest=expect_digest).check(str(file), saved.document, session.clock.now())
    if not expect_digest:
        if not session.interactive:
            raise Declined(
                "cannot ask without a terminal, or in CI: give --expect-digest SHA256, the digest that was reviewed"
            )
        print_plan(session, saved.document)
        about = asked_about(saved.document, session.profile_label)
        question = f"Do you approve this change set ({digest}) for {about}? Only 'yes' will be accepted."
        click.echo(f"\n{whole(wrapped(question, session.width(sys.stderr)))}", err=True)
        if not session.says_yes():
            raise Declined("Not approved: nothing was signed.")
    place, fingerprint = approve(session, file, digest, key, terminal=session.interactive)
    session.result(f"{place}\n")
    session.note(
        f"Approved {digest} with the key {fingerprint}. Keep the file beside {file}, or give it with --approval."
    )
