"""Where the tenant is not as the plan declares it, and what of it was changed from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.changes.changeset import fields_document
from provisioner.engine import journal
from provisioner.engine.journal import Deed
from provisioner.model import Action, Address, Change, ChangeSet
from provisioner.operations.connection import Tenant
from provisioner.operations.context import Context
from provisioner.operations.journals import kept
from provisioner.operations.loading import EVERYTHING, Selection
from provisioner.operations.planning import plan

_STATES = {Action.CREATE: "missing", Action.DELETE: "undeclared", Action.UPDATE: "different"}


@dataclass(frozen=True, slots=True)
class DriftedField:
    """A field whose declared and live values differ, as JSON; `outside`: it was changed since our last apply."""

    name: str
    declared: Any
    live: Any
    outside: bool


@dataclass(frozen=True, slots=True)
class Drifted:
    """A resource that is not as declared. `state` is missing, undeclared or different; `last` is our last apply."""

    address: Address
    state: str
    fields: tuple[DriftedField, ...]
    last: Deed | None

    @property
    def outside(self) -> bool:
        """Whether any of it was changed since an apply from here had brought it to the plan's value."""
        return any(f.outside for f in self.fields)


@dataclass(frozen=True, slots=True)
class Drift:
    """The change set that a plan leads to, and each of its changes as drift."""

    found: ChangeSet
    drifted: tuple[Drifted, ...]


async def drift(context: Context, path: Path, selection: Selection = EVERYTHING, tenant: Tenant | None = None) -> Drift:
    """Plan, and compare with what the journal proves that an apply had brought about. Raises as `plan`."""
    found = await plan(context, path, selection, tenant)
    deeds = journal.brought(kept(context, found.tenant_id))
    outside = {d.address: d.fields for d in found.drift}
    drifted = (_drifted(c, deeds.get(str(c.address)), outside.get(c.address, frozenset())) for c in found.pending)
    return Drift(found, tuple(drifted))


def _drifted(change: Change, deed: Deed | None, outside: frozenset[str]) -> Drifted:
    live = fields_document(change.before) if change.before is not None else {}
    declared = fields_document(change.after) if change.after is not None else {}
    names: Sequence[str] = [n for n in dict.fromkeys((*declared, *live)) if declared.get(n) != live.get(n)]
    fields = tuple(DriftedField(n, declared.get(n), live.get(n), n in outside) for n in names)
    return Drifted(change.address, _STATES[change.action], fields, deed)
