"""An existing tenant as a plan: a text, or the files of a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from provisioner import engine
from provisioner.border import Border
from provisioner.diagnostics import Diagnostic, InputError, TenantIncomplete
from provisioner.mailflow.picture import of_observed
from provisioner.model import Observed, ResourceType, Unknown
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.loading import EVERYTHING, Selection
from provisioner.plan import document, existing
from provisioner.plan.export import NOTHING_KNOWN, Export, Exported, Known, declared, export_files
from provisioner.plan.export import export as write
from provisioner.plan.proposing import Proposal
from provisioner.resources import TYPES

Type = ResourceType[Any]


async def export(
    context: Context,
    types: Sequence[str] = (),
    selection: Selection = EVERYTHING,
    *,
    owner: str = "",
    old: str | None = None,
    known: Known = NOTHING_KNOWN,
    tenant: Tenant | None = None,
) -> Export:
    """The tenant's resources of these types, all by default, as the text of a plan.

    `old` is the text of a plan whose layout, comments, order and spellings are kept; `known` what else that plan says.
    Raises InputError for an unknown type, TenantIncomplete where a part of the tenant could not be read.
    """
    chosen, scope = _chosen(types), selection.scope()
    async with _surveyed(context, chosen, declared(chosen, old), all_types=not types, tenant=tenant) as seen:
        domain = seen.domain
        found = write(seen.observed, seen.readable, domain, owner=owner, scope=scope, old=old, known=known)
        return dataclasses.replace(found, left_out=(*found.left_out, *seen.notes), proposal=seen.proposal)


async def export_folder(
    context: Context,
    types: Sequence[str] = (),
    selection: Selection = EVERYTHING,
    *,
    old: Mapping[str, str],
    owner: str = "",
    known: Known = NOTHING_KNOWN,
    tenant: Tenant | None = None,
) -> Exported:
    """The same as the files of a folder, whose texts are `old` by name. Raises as `export`."""
    chosen, scope = _chosen(types), selection.scope()
    kept: dict[str, frozenset[str]] = {}
    for text in old.values():
        for name, keys in declared(chosen, text).items():
            kept[name] = kept.get(name, frozenset()) | keys
    async with _surveyed(context, chosen, kept, all_types=not types, tenant=tenant) as seen:
        found = export_files(seen.observed, seen.readable, seen.domain, old, owner=owner, scope=scope, known=known)
        return dataclasses.replace(found, left_out=(*found.left_out, *seen.notes), proposal=seen.proposal)


def known_of(context: Context, path: Path) -> Known:
    """What the plan at a path says by variables and devices; nothing of one that does not exist or has mistakes."""
    if not path.exists():
        return NOTHING_KNOWN
    today, given, border = context.today(), context.variables, Border.of(path)
    desired, _ = document.examine(path, TYPES, today=today, variables=given, border=border)
    own, _ = document.read(path, TYPES, today=today, variables=given, border=border)
    return Known(desired.variables, frozenset(desired.resources.keys() - own.resources.keys()))


def _chosen(types: Sequence[str]) -> tuple[Type, ...]:
    names = [t.name for t in TYPES]
    for name in types:
        if name not in names:
            what = f'--type: there is no type "{name}"'
            raise InputError([Diagnostic("TYPE-UNKNOWN", what, f"types: {', '.join(names)}")])
    return tuple(t for t in TYPES if not types or t.name in types)


@dataclasses.dataclass(frozen=True, slots=True)
class _Survey:
    """What was read of a tenant, the types that could be read, and a sentence for each that could not."""

    observed: Observed
    readable: tuple[Type, ...]
    domain: str
    notes: tuple[str, ...]

    @property
    def proposal(self) -> Proposal:
        return existing.proposal(of_observed(self.observed), self.domain)


@asynccontextmanager
async def _surveyed(
    context: Context,
    chosen: Sequence[Type],
    kept: Mapping[str, frozenset[str]],
    *,
    all_types: bool,
    tenant: Tenant | None,
) -> AsyncIterator[_Survey]:
    async with signed_in(context, tenant) as opened:
        reads = context.profile.reads_at_once
        observed = await engine.survey(chosen, opened.ports, reads=reads, kept=kept)
        failed = {str(a): o.reason for a, o in observed.resources.items() if isinstance(o, Unknown)}
        unread = dict(observed.unlisted)
        skipped = {t.name: unread.pop(t.name) for t in chosen if t.privileged and all_types and t.name in unread}
        failed |= {name: o.reason for name, o in unread.items()}
        for what, reason in failed.items():
            raise TenantIncomplete(f"nothing was written, since {what} could not be read: {reason}")
        readable = tuple(t for t in chosen if t.name not in skipped)
        notes = tuple(f"{name}: could not be read: {o.reason}" for name, o in skipped.items())
        yield _Survey(observed, readable, opened.identity.initial_domain, notes)
