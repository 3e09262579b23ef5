"""A change set that was made before, judged again: what is applied is what follows from the tenant of now.

The plan that it rests on is planned again with a fresh read, evidence included. Another change than those that were
reviewed means that facts have moved (exit 7); a guard or a precondition that nobody has allowed stops it (exit 6).
What changed and leads to neither is nothing to stop for: an unwritten field, the settings of an object that decide
nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner import engine
from provisioner.diagnostics import ChangeSetStale, Severity
from provisioner.model import (
    Absent,
    Action,
    Address,
    Change,
    ChangeSet,
    Finding,
    Observation,
    Observed,
    Present,
    Unknown,
    Waiver,
    consequence,
)
from provisioner.operations.connection import Tenant
from provisioner.operations.context import Context
from provisioner.operations.loading import diagnostic
from provisioner.operations.planning import judge
from provisioner.resources import TYPES


@dataclass(frozen=True, slots=True)
class Judged:
    """The change set with the consequences and findings of now, and what was observed of its objects."""

    found: ChangeSet
    seen: Mapping[Address, Observation]


async def rejudge(
    context: Context, found: ChangeSet, waivers: Sequence[Waiver], tenant: Tenant, begun: Collection[Address]
) -> Judged:
    """The change set judged by the tenant of now; new warnings are reported. Nothing is written.

    `begun` are changes that an earlier run of it began. Raises ChangeSetStale where another change set than this one
    follows now. Where the tenant could not be read, `found` is errored.
    """
    if found.basis is None:
        raise ChangeSetStale("the change set does not say what it was planned from, so that it cannot be judged again")
    fresh, observed = await judge(context, found.basis, waivers, tenant)
    read = {c.address: c.observed for c in fresh.changes}
    unlisted = await _unlisted(found, observed, tenant)
    seen = {c.address: _seen(observed, c.address, read.get(c.address), unlisted) for c in found.changes}
    if fresh.errored:
        return Judged(fresh, seen)
    moved = list(_moved(found, fresh, seen, begun))
    if moved:
        raise ChangeSetStale(
            "the tenant has changed since the plan was made: another change set follows now",
            moved,
            hint="plan again, and have the new change set reviewed",
        )
    context.diagnose([diagnostic(f) for f in _new(found, fresh) if not f.blocks and f.severity is not Severity.INFO])
    return Judged(_renewed(found, fresh), seen)


async def _unlisted(found: ChangeSet, observed: Observed, tenant: Tenant) -> Mapping[Address, Observation]:
    """The objects that are to be changed and that no answer shows, each read by itself.

    A listing passes over mailboxes without a value of their own: an earlier run may have reset them.
    """
    shown = observed.resources.keys() | observed.undeclared.keys()
    missed = {c.address: c.after for c in found.pending if c.after is not None and c.address not in shown}
    return await engine.look(missed, TYPES, tenant.ports) if missed else {}


def _seen(
    observed: Observed, address: Address, changed: Any | None, unlisted: Mapping[Address, Observation]
) -> Observation:
    """What is said about an object; `changed` is what its change of now rests on, whatever name the object has."""
    if changed is not None:
        return Present(changed)
    there = observed.undeclared.get(address)
    known = unlisted.get(address, Absent()) if there is None else Present(there)
    return observed.resources.get(address, known)


def _new(found: ChangeSet, fresh: ChangeSet) -> Iterator[Finding]:
    known = {(f.rule, f.address, f.summary) for f in found.findings}
    return (f for f in fresh.findings if (f.rule, f.address, f.summary) not in known)


def _moved(
    found: ChangeSet, fresh: ChangeSet, seen: Mapping[Address, Observation], begun: Collection[Address]
) -> Iterator[str]:
    """What the plan leads to now and did not, or no longer, each in words.

    What an earlier run began may be half-way: the recheck of the engine judges that. A change of one write cannot be.
    """
    changes = {c.address: c for c in found.changes}
    planned, now = {c.address for c in found.pending}, {c.address: c for c in fresh.pending}
    for address, change in now.items():
        if address not in planned:
            yield f"{address}: {_unplanned(change, changes.get(address), seen)}"
    for change in found.pending:
        current, (state, words) = now.get(change.address), engine.standing_of(change, seen[change.address])
        if isinstance(seen[change.address], Unknown):
            continue  # the recheck of the engine tells it
        if change.address in begun and engine.may_be_half_way(change):
            continue
        if state == "moved":
            yield f"{change.address}: {words}"
        elif state == "before" and current is None:
            yield f"{change.address}: the plan does not {change.action.value} it any more"
        elif state == "before" and current is not None:
            known = (*change.consequences, consequence.NEUTRAL)
            more = [word for word in current.consequences if word not in known]
            if more:
                yield f"{change.address}: it {' and '.join(more)} now, which was not part of the change set"


def _unplanned(change: Change, before: Change | None, seen: Mapping[Address, Observation]) -> str:
    """Why an object needs a change of which nothing was known."""
    if before is not None:
        return engine.standing_of(before, seen[change.address])[1]
    verb = {Action.CREATE: "create", Action.DELETE: "delete"}.get(change.action, "change")
    return f"the plan would {verb} it now: {change.reason}"


def _renewed(found: ChangeSet, fresh: ChangeSet) -> ChangeSet:
    """The reviewed changes with what they do now; where one is done already or half done, as it was planned."""
    now = {c.address: c for c in fresh.pending}
    pending = [_with_effects(c, now.get(c.address)) for c in found.pending]
    planned = {c.address for c in pending}
    unchanged = [c for c in fresh.changes if c.action is Action.NO_OP and c.address not in planned]
    return dataclasses.replace(found, changes=(*pending, *unchanged), findings=fresh.findings)


def _with_effects(change: Change, now: Change | None) -> Change:
    if now is None or now.action is not change.action:
        return change
    return dataclasses.replace(change, observed=now.observed, consequences=now.consequences)
