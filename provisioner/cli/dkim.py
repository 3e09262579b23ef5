"""`provisioner dkim rotate`."""

from __future__ import annotations

from typing import Any

import click

from provisioner.cli.groups import Group
from provisioner.cli.options import allows, duration, output_format
from provisioner.cli.session import Session
from provisioner.diagnostics import ApplyIncomplete, Declined
from provisioner.operations.connection import run
from provisioner.operations.loading import Selection
from provisioner.operations.rotating import Rotated, RotateOptions, rotate, shown
from provisioner.render.escape import visible
from provisioner.resources.rows.dkim_rotation import Rotation


@click.group("dkim", cls=Group)
def command() -> None:
    """Rotate the DKIM keys of a domain. Signing itself is declared in the plan (section dkim)."""


@command.command("rotate")
@click.argument("domain", metavar="DOMAIN")
@click.option("--auto-approve", is_flag=True, help="Rotate without a question.")
@click.option(
    "--key-size",
    type=click.Choice(["1024", "2048"]),
    default="2048",
    show_default=True,
    help="Length of the new key, in bits.",
)
@click.option(
    "--lock-wait", "lock_wait_s", default="0", metavar="TIME", help="Wait up to TIME for another apply to finish."
)
@allows
@output_format
@click.pass_obj
def rotate_(
    session: Session,
    domain: str,
    auto_approve: bool,
    key_size: str,
    lock_wait_s: str,
    allows: tuple[str, ...],
    format_: str,
) -> int:
    """Give a new key to the selector of a domain that does not sign now. It begins to sign four days later.

    Until then the other selector signs, and another rotation is refused. Both keys are new after two rotations, four
    days apart.
    """
    session.format = format_

    def approve(found: Rotation) -> bool:
        if format_ == "text":
            session.text(_before(found, key_size))
        return _approved(session, auto_approve=auto_approve)

    options = RotateOptions(int(key_size), duration(lock_wait_s), Selection((), (), allows).waivers(), approve)
    done = run(rotate(session, domain, options))
    if format_ == "json":
        session.json(_document(done))
    else:
        session.text(_account(done))
    return 0 if done.confirmed else ApplyIncomplete.exit_code


def _approved(session: Session, *, auto_approve: bool) -> bool:
    if auto_approve:
        return True
    if not session.interactive:
        raise Declined("cannot ask without a terminal, or in CI: use --auto-approve")
    click.echo("\nDo you want to rotate the keys? Only 'yes' will be accepted to approve.", err=True)
    return session.says_yes()


def _before(found: Rotation, key_size: str) -> str:
    new, bits = found.resting, found.key_sizes.get(found.resting, 0)
    return (
        f"{visible(found.domain)}: {found.signing} signs ({found.key_sizes.get(found.signing, 0)} bits).\n"
        f"{new} gets a new key of {key_size} bits (it has {bits}) and signs four days later.\n"
    )


def _account(done: Rotated) -> str:
    domain, after = visible(done.after.domain), done.after
    if not done.confirmed:
        why = f" ({visible(done.detail)})" if done.detail else ""
        return f"{domain}: the rotation was sent, and the tenant does not show the new key yet{why}.\n"
    weak = [s for s, size in after.key_sizes.items() if size < 2048 and s != after.next]
    more = f"{weak[0]} still has a key of {after.key_sizes[weak[0]]} bits: rotate again after that.\n" if weak else ""
    return (
        f"{domain}: {after.next} has a new key of {after.key_sizes.get(after.next, 0)} bits. "
        f"It signs from {shown(after)} on, {after.signing} until then.\n{more}"
    )


def _document(done: Rotated) -> dict[str, Any]:
    after = done.after
    return {
        "domain": after.domain,
        "confirmed": done.confirmed,
        "detail": done.detail,
        "signing": after.signing,
        "next": after.next,
        "due": after.due.isoformat(),
        "key_sizes": dict(after.key_sizes),
    }
