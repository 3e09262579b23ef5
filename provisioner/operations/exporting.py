"""An existing tenant as a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from provisioner import engine
from provisioner.diagnostics import Diagnostic, InputError, TenantIncomplete
from provisioner.model import Unknown
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.loading import EVERYTHING, Selection
from provisioner.plan.export import Export, declared
from provisioner.plan.export import export as write
from provisioner.resources import TYPES


async def export(
    context: Context,
    types: Sequence[str] = (),
    selection: Selection = EVERYTHING,
    *,
    owner: str = "",
    old: str | None = None,
    tenant: Tenant | None = None,
) -> Export:
    """The tenant's resources of these types, all by default, as the text of a plan.

    `old` is the text of a plan whose comments, order and spellings are kept. Raises InputError for an unknown type,
    TenantIncomplete where a part of the tenant could not be read.
    """
    names = [t.name for t in TYPES]
    for name in types:
        if name not in names:
            what = f'--type: there is no type "{name}"'
            raise InputError([Diagnostic("TYPE-UNKNOWN", what, f"types: {', '.join(names)}")])
    chosen = tuple(t for t in TYPES if not types or t.name in types)
    scope = selection.scope()
    async with signed_in(context, tenant) as opened:
        reads = context.profile.reads_at_once
        observed = await engine.survey(chosen, opened.ports, reads=reads, kept=declared(chosen, old))
        failed = {str(a): o.reason for a, o in observed.resources.items() if isinstance(o, Unknown)}
        unread = dict(observed.unlisted)
        skipped = {t.name: unread.pop(t.name) for t in chosen if t.privileged and not types and t.name in unread}
        failed |= {name: o.reason for name, o in unread.items()}
        for what, reason in failed.items():
            raise TenantIncomplete(f"nothing was written, since {what} could not be read: {reason}")
        readable = tuple(t for t in chosen if t.name not in skipped)
        found = write(observed, readable, opened.identity.initial_domain, owner=owner, scope=scope, old=old)
        notes = (f"{name}: could not be read: {o.reason}" for name, o in skipped.items())
        return dataclasses.replace(found, left_out=(*found.left_out, *notes))
