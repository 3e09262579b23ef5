"""`provisioner lock …`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from provisioner.cli.groups import Group
from provisioner.cli.options import output_format
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine.locking import GitLock, Lock
from provisioner.engine.postgres import PostgresLock
from provisioner.operations.connection import run, signed_in
from provisioner.operations.locks import locks_of

_tenant = click.option(
    "--tenant-id", metavar="ID", help="The tenant's id. [default: that of the profile, which signs in]"
)


@click.group("lock", cls=Group)
def command() -> None:
    """Show and release the locks that an apply holds."""


@command.command("status")
@_tenant
@output_format
@click.pass_obj
def status(session: Session, tenant_id: str | None, format_: str) -> None:
    """Show who holds the tenant's lock, on this machine and in the shared place of the profile."""
    locks = locks_of(session.profile, _tenant_id(session, tenant_id))
    found = {name: lock.status() for name, lock in zip(_names(locks), locks, strict=True)}
    if format_ == "json":
        shown = {n: {"id": h.id, "holder": str(h)} if h else None for n, h in found.items()}
        session.json(shown)
        return
    for name, holder in found.items():
        session.result(f"{name}: {f'{holder.id}, {holder}' if holder else 'free'}\n")


@command.command("release")
@click.argument("id_", metavar="ID")
@_tenant
@click.pass_obj
def release(session: Session, id_: str, tenant_id: str | None) -> None:
    """Release a shared lock by its id, when its holder is gone and will not come back.

    The lock of this machine cannot be released: it is free as soon as its holder ends, in whatever way.
    """
    locks = locks_of(session.profile, _tenant_id(session, tenant_id))
    for name, lock in zip(_names(locks), locks, strict=True):
        if lock.break_(id_):
            session.note(f"{name} is released.")
            return
    what = f"no shared lock is held as {id_}"
    raise InputError([Diagnostic("LOCK-UNKNOWN", what, "list the locks: provisioner lock status")])


def _names(locks: Sequence[Lock]) -> Sequence[str]:
    """The machine's own comes first (`locks_of`)."""
    return ["this machine", *(_SHARED.get(type(lock), "shared folder") for lock in locks[1:])]


_SHARED: Mapping[type, str] = {GitLock: "shared git ref", PostgresLock: "shared row in PostgreSQL"}


def _tenant_id(session: Session, given: str | None) -> str:
    if given:
        return given

    async def who() -> str:
        async with signed_in(session) as tenant:
            return tenant.identity.tenant_id

    return run(who())
