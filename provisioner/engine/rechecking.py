"""Rechecking: what a change set rests on is read again, and nothing is written where it has moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from provisioner.changes.splitting import between
from provisioner.diagnostics import ChangeSetStale, TenantIncomplete
from provisioner.engine.comparing import may_be_half_way, standing_of, unread
from provisioner.engine.deriving import derived
from provisioner.engine.events import RECHECKING
from provisioner.engine.run import Run
from provisioner.model import Absent, Address, Change, Observation, Present, Unknown, overlay, project


async def recheck(
    run: Run,
    changes: Sequence[Change],
    begun: Collection[Address],
    seen: Mapping[Address, Observation] | None = None,
) -> tuple[Sequence[Change], dict[Address, str]]:
    """The changes as they go on from here, and those that need nothing any more, each with why it is not in force.

    `begun` are changes that an earlier run of this change set began. `seen` is what the tenant says about every object,
    of a caller that has just read it. Raises ChangeSetStale where an object has moved, TenantIncomplete where one
    cannot be read.
    """
    observed = await run.look({c.address: c.after for c in changes}, RECHECKING) if seen is None else seen
    unknown = [f"{a}: {o.reason}" for a, o in observed.items() if isinstance(o, Unknown)]
    lost = ((c.address, unread(c, observed[c.address])) for c in changes)
    unknown += [f"{a}: {', '.join(names)} could not be read" for a, names in lost if names]
    if unknown:
        raise TenantIncomplete("nothing was written: " + "; ".join(unknown[:5]))
    changes = [_resumed(run, c, observed[c.address]) if c.address in begun else c for c in changes]
    standing = {c.address: standing_of(c, observed[c.address]) for c in changes}
    moved = [f"{a}: {words}" for a, (state, words) in standing.items() if state == "moved"]
    as_before = (c for c in changes if standing[c.address][0] == "before")
    moved += [
        f"{c.address}: the object as it is now needs other steps than those that were reviewed"
        for c in as_before
        if not _same_steps(run, c, observed[c.address])
    ]
    lacking = ((c.address, observed[c.address]) for c in changes)
    moved += [f"{a}: {o.reason}" for a, o in lacking if isinstance(o, Absent) and o.reason]
    if moved:
        raise ChangeSetStale(
            f"{len(moved)} of {len(changes)} objects have changed since the plan was made",
            moved,
            hint="plan again, and have the new change set reviewed",
        )
    made = (c for c in changes if standing[c.address][0] == "after")
    return changes, {c.address: run.idle(c, observed[c.address]) for c in made}


def _same_steps(run: Run, change: Change, observation: Observation) -> bool:
    """Whether the live object leads to the steps of the change.

    They rest on more than the written fields: on stored spellings, on the CNAME targets of a DKIM configuration.
    """
    kind = run.kind(change.address)
    live = observation.spec if isinstance(observation, Present) else None
    goal = change.after
    if live is None and goal is not None and isinstance(observation, Absent) and observation.known is not None:
        goal = overlay(observation.known, goal)  # the ids of the parties of a right, as they are now
    return derived(kind, live, goal) == tuple(change.steps)


def _resumed(run: Run, change: Change, observation: Observation) -> Change:
    """A change that was cut off half-way, with the steps that are left; as it is where it is not half-way.

    The first write of a creation may make what the object needs, and not yet the object.
    """
    if change.after is None or not may_be_half_way(change):
        return change
    if isinstance(observation, Absent) and observation.known is not None:
        after = overlay(change.after, observation.known)
        return dataclasses.replace(change, after=after, steps=derived(run.kind(change.address), None, after))
    if not isinstance(observation, Present):
        return change
    live = observation.spec
    # That what was to be created is there at all is the work of the run that began it.
    if change.before is not None and not between(change.before, change.after, live):
        return change
    steps = derived(run.kind(change.address), live, change.after)
    return dataclasses.replace(change, before=project(live, change.after), steps=steps, observed=live)
