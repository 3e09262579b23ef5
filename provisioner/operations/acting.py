"""An action of its own (`rotating`, `migrating`): one write under the tenant's locks, with the journal open.

What such an action sends is not a difference between plan and tenant, so no change set leads to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from provisioner import engine, platforms
from provisioner.changes.changeset import request_document
from provisioner.diagnostics import Diagnostic, InputError, JournalBroken, Locked, ProvisionerError
from provisioner.engine import locking
from provisioner.engine.journal import Journal
from provisioner.model import Cmdlet
from provisioner.operations import journals
from provisioner.operations.context import Context
from provisioner.operations.locks import locks_of
from provisioner.resources.canonical import domain_name
from provisioner.tenant.connect import TenantIdentity


@dataclass(frozen=True, slots=True)
class Acting:
    """An action under way: its journal, and why nothing more may be written, if so."""

    journal: Journal
    lost: list[str]

    def sending(self, kind: str, request: Cmdlet, **facts: str) -> None:
        """Have the journal hold a request that is sent next. Raises Locked, JournalBroken: then it must not be sent."""
        self.journal.record(kind, **facts, request=request_document(request))
        self.journal.flush()
        if self.lost:
            raise Locked(f"nothing was sent: {self.lost[0]}")


@contextlib.contextmanager
def acting(context: Context, identity: TenantIdentity, lock_wait_s: float) -> Iterator[Acting]:
    """The locks of the tenant and its journal, for a run that begins. Raises Locked, InputError.

    An error ends the run in the journal too; any other end is the caller's to record.
    """
    run_id, lost = context.new_run(), list[str]()
    holder = locking.Holder.me(run_id, platforms.user(), context.clock)
    with (
        locking.hold(
            locks_of(context.profile, identity.tenant_id, context.state_folder),
            holder,
            wait_s=lock_wait_s,
            on_wait=lambda other: context.observe(engine.LockAwaited(str(other))),
            on_lost=lost.append,
            clock=context.clock,
        ),
        journals.opened(context, identity.tenant_id, run_id, lost.append) as (_, record),
    ):
        facts = {"actor": holder.actor, "tenant": identity.initial_domain, "tenant_id": identity.tenant_id}
        record.begin((), digest="", owner="", commit="", **facts)
        try:
            yield Acting(record, lost)
        except ProvisionerError as error:
            with contextlib.suppress(JournalBroken):  # the error is told
                record.record("end", error={"kind": error.kind, "text": str(error)})
            raise


def domain_named(text: str) -> str:
    """The domain that a person names. Raises InputError."""
    try:
        return domain_name(text)
    except ValueError as error:
        said = Diagnostic("DOMAIN-INVALID", str(error), "write the whole name, such as contoso.com")
        raise InputError([said]) from error
