"""The change set that undoes a run of apply, planned by the same path as any other."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from provisioner import engine
from provisioner.changes import rollback as reversal
from provisioner.diagnostics import ChangeSetStale
from provisioner.engine import journal
from provisioner.model import ChangeSet
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.history import Run, find_run, journal_of
from provisioner.operations.loading import EVERYTHING, Selection
from provisioner.operations.planning import preview
from provisioner.resources import TYPES


@dataclass(frozen=True, slots=True)
class Rollback:
    """A change set, and a sentence for each change of the run that it does not undo. `of` is that run."""

    found: ChangeSet
    left_out: tuple[str, ...]
    of: Run


async def rollback(
    context: Context, run: str = "last", selection: Selection = EVERYTHING, tenant: Tenant | None = None
) -> Rollback:
    """The change set that undoes a run, by its id, the beginning of it, or `last`: the newest that changed something.

    Nothing is written.

    What was changed since the run, and what cannot be undone, is left out. Raises InputError for an unknown run,
    ChangeSetStale for a run on another tenant.
    """
    selection.waivers()  # raises before anybody signs in
    async with signed_in(context, tenant) as opened:
        identity = opened.identity
        path = journal_of(context, identity.tenant_id)
        facts = find_run(path, run, changing=True)
        if facts.tenant_id != identity.tenant_id:
            raise ChangeSetStale(f"run {facts.run} was on {facts.tenant}, not on {identity.initial_domain}")
        done = reversal.undone(journal.deeds(path, facts.run), TYPES)
        reads = context.profile.reads_at_once
        seen = await engine.look({u.address: u.after for u in done}, TYPES, opened.ports, reads=reads)
        back = reversal.rollback(done, seen, TYPES, facts.tenant, facts.owner)
        desired = dataclasses.replace(back.desired, undoes=facts.run)
        found, _ = await preview(context, desired, selection, opened)
        used = {f.address for f in found.findings if f.rule == "POLICY-IN-USE" and f.address is not None}
        if not used:
            return Rollback(found, back.left_out, facts)
        # What others have begun to use since stays, so that it does not keep the rest from being undone.
        absent = {a: at for a, at in desired.absent.items() if a not in used}
        found, _ = await preview(context, dataclasses.replace(desired, absent=absent), selection, opened)
        kept = tuple(f"{address}: others have it since the run" for address in sorted(used & desired.absent.keys()))
        return Rollback(found, (*back.left_out, *kept), facts)
