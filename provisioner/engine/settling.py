"""Settling: the values of a change that another object names, read once that exists, before the change begins.

A reviewer has seen "(known after apply)" and which object names the value. From then on the change is an ordinary one:
its steps are those that the type derives for the whole object, and the journal records what is sent.
"""

from __future__ import annotations

import dataclasses

from provisioner.diagnostics import TenantError
from provisioner.engine.deriving import derived
from provisioner.engine.events import FAILED, Result
from provisioner.engine.reading import send
from provisioner.engine.run import Run
from provisioner.model import Change, overlay, written


async def settled(run: Run, change: Change) -> Change | Result:
    """The change with all of its values; a Result where they cannot be had."""
    kind = run.kind(change.address)
    queries = kind.pending(change.after) if change.after is not None else ()
    if not queries:
        return change
    try:
        answers = [(query, await send(run.ports, query.request)) for query in queries]
        after = kind.resolved(change.after, answers)
    except (TenantError, ValueError) as error:
        return Result(change.address, change.action, FAILED, f"its value could not be read: {error}")
    if after is None:
        needed = ", ".join(map(str, kind.early(change.after)))
        detail = f"Exchange does not name its value yet: {needed} has to exist, in the plan or in the tenant"
        return Result(change.address, change.action, FAILED, detail)
    before = change.before
    if before is not None and change.observed is not None:
        fields = {name: getattr(change.observed, name) for name in written(after)}
        before = dataclasses.replace(before, **fields)
    goal = after if change.observed is None else overlay(after, change.observed)
    steps, inverse = derived(kind, change.observed, after), derived(kind, goal, change.observed)
    return dataclasses.replace(change, before=before, after=after, steps=steps, inverse=inverse, needs=())
