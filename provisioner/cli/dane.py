"""`provisioner dane enable|disable|status`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from provisioner.cli.groups import Group
from provisioner.cli.options import allows, duration, output_format
from provisioner.cli.session import Session
from provisioner.diagnostics import ApplyIncomplete, Declined
from provisioner.mail_dns.dane import Blocked, Kind, Move, Standing, blocked
from provisioner.operations.connection import run
from provisioner.operations.loading import Selection
from provisioner.operations.migrating import Migrated, MigrateOptions, migrate, standing_of
from provisioner.render.escape import visible


@click.group("dane", cls=Group)
def command() -> None:
    """Enable or disable inbound SMTP DANE with DNSSEC for a domain. You publish the MX records yourself."""


_wait = click.option(
    "--wait", "wait", default="0", metavar="TIME", help="Wait up to TIME for DNS records and for the service."
)
_auto_approve = click.option("--auto-approve", is_flag=True, help="Send changes without a question.")
_lock_wait = click.option(
    "--lock-wait", default="0", metavar="TIME", help="Wait up to TIME for another apply to finish."
)


@command.command("enable")
@click.argument("domain", metavar="DOMAIN")
@_auto_approve
@_wait
@_lock_wait
@allows
@output_format
@click.pass_obj
def enable(session: Session, /, domain: str, format_: str, **given: Any) -> int:
    """Enable DNSSEC and SMTP DANE for the mail of a domain, in the order in which no mail is lost.

    Each call continues from the state of Exchange and DNS. Exit 8 while you have to publish a record, or while a
    change is not visible yet.
    """
    return _migrate(session, domain, format_, back=False, **given)


@command.command("disable")
@click.argument("domain", metavar="DOMAIN")
@_auto_approve
@_wait
@_lock_wait
@allows
@output_format
@click.pass_obj
def disable(session: Session, /, domain: str, format_: str, **given: Any) -> int:
    """Disable SMTP DANE and DNSSEC of a domain. Its MX host is released when no sender can have it cached any more."""
    return _migrate(session, domain, format_, back=True, **given)


@command.command("status")
@click.argument("domain", metavar="DOMAIN")
@output_format
@click.pass_obj
def status(session: Session, domain: str, format_: str) -> None:
    """Show the state of inbound DANE of a domain, and the next step. Changes nothing."""
    session.format = format_
    found, move = run(standing_of(session, domain))
    guards = [] if move.kind is Kind.DONE else list(blocked(found))
    if format_ == "json":
        session.json({**_document(found, move), "blocked": [asdict(guard) for guard in guards]})
    else:
        session.text(_shown(found) + "".join(map(_before, guards)) + _next(move))


def _migrate(
    session: Session,
    domain: str,
    format_: str,
    *,
    back: bool,
    auto_approve: bool,
    wait: str,
    lock_wait: str,
    allows: tuple[str, ...],
) -> int:
    session.format = format_

    def approve(move: Move) -> bool:
        if format_ == "text":
            session.text(f"{move.cmdlet}: {visible(move.text)}.\n")
        return _approved(session, auto_approve=auto_approve)

    def told(move: Move) -> None:
        session.note(visible(f"Waiting: {move.text}."))

    waivers = Selection((), (), allows).waivers()
    options = MigrateOptions(back, duration(wait), duration(lock_wait), waivers, approve, told)
    done = run(migrate(session, domain, options))
    if format_ == "json":
        session.json({**_document(done.standing, done.move), "sent": list(done.sent), "detail": done.detail})
    else:
        session.text(_account(done))
    return 0 if done.move.kind is Kind.DONE else ApplyIncomplete.exit_code


def _approved(session: Session, *, auto_approve: bool) -> bool:
    if auto_approve:
        return True
    if not session.interactive:
        raise Declined("cannot ask without a terminal, or in CI: use --auto-approve")
    click.echo("\nDo you want to send this? Only 'yes' will be accepted to approve.", err=True)
    return session.says_yes()


def _account(done: Migrated) -> str:
    sent = "".join(f"Sent: {cmdlet}\n" for cmdlet in done.sent)
    if done.detail:
        return f"{sent}{visible(done.move.cmdlet)} was sent and is not confirmed: {visible(done.detail)}.\n"
    return sent + _shown(done.standing) + _next(done.move)


def _shown(found: Standing) -> str:
    switches = {True: "enabled", False: "disabled"}
    mx = ", ".join(f"{one.preference} {one.host or '.'}" for one in found.mx) or "none"
    proof = {True: "proven by DNSSEC", False: "not proven by DNSSEC", None: "not validated from here"}[found.validated]
    host = f" at {found.host}" if found.host else ""
    lines = (
        f"{found.domain}: DNSSEC {switches[found.dnssec]}{host}, DANE {switches[found.dane]}",
        f"  MX: {mx} ({proof})",
    )
    return "".join(f"{visible(line)}\n" for line in lines)


def _before(guard: Blocked) -> str:
    """A guard that stops `dane enable`."""
    return f"Fix first: {visible(guard.summary)} ({guard.rule}): {visible(guard.hint)}.\n"


def _next(move: Move) -> str:
    return f"{'Done' if move.kind is Kind.DONE else 'Next'}: {visible(move.text)}.\n"


def _document(found: Standing, move: Move) -> dict[str, Any]:
    return {
        "domain": found.domain,
        "dnssec": found.dnssec,
        "dane": found.dane,
        "host": found.host,
        "mx": [{"preference": one.preference, "host": one.host} for one in found.mx],
        "validated": found.validated,
        "tlsa": list(found.tlsa),
        "tlsa_validated": found.tlsa_validated,
        "next": {"kind": move.kind.value, "name": move.name, "text": move.text, "cmdlet": move.cmdlet},
    }
