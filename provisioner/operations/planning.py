"""From a plan and a tenant to a change set: the one composition of reading, DNS, planning, journal and checkout.

`plan`, `apply`, `drift`, `doctor`, `provisioner test` and the convergence tests all call `plan`. A rollback, whose
desired state comes from the journal, joins at `preview`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner import engine
from provisioner.changes import changeset, planning, scoping
from provisioner.changes.scoping import Scope
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine import journal
from provisioner.model import (
    Address,
    Basis,
    ChangeSet,
    Desired,
    Drift,
    Finding,
    Observed,
    Present,
    ResourceType,
    Waiver,
    key_of,
    project,
)
from provisioner.model.clouds import cloud_of_mail
from provisioner.model.listing import listed
from provisioner.model.names import caseless
from provisioner.model.picture import SignIn
from provisioner.operations.checkout import commit_of
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.journals import fetched, kept
from provisioner.operations.loading import EVERYTHING, Selection, load_for_tenant
from provisioner.operations.mail_records import Asked, device_records, of_tenant, signing_records, spf_limit
from provisioner.operations.sending import finding_of, gone
from provisioner.resources import TYPES
from provisioner.tenant.connect import check_tenant
from provisioner.tenant.together import both


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan that was read, with the part of it that a selection covers. Nobody has signed in yet."""

    path: Path
    selection: Selection
    desired: Desired


def prepare(context: Context, path: Path, selection: Selection) -> Prepared:
    """Read a plan and report its warnings. Raises InputError for mistakes of the plan and of the selection."""
    scope = selection.scope()
    loaded = load_for_tenant(context, path, selection.waivers())
    context.diagnose(loaded.diagnostics)
    desired = dataclasses.replace(loaded.desired, traffic=selection.traffic)
    return Prepared(path, selection, scoping.narrow(desired, TYPES, scope))


async def plan(
    context: Context, path: Path, selection: Selection = EVERYTHING, tenant: Tenant | None = None
) -> ChangeSet:
    """Read the plan and the tenant, and give the change set.

    Raises InputError before anybody signs in, SignInRefused for another tenant than the plan's, TenantError where
    signing in fails. A read that fails is in the change set.
    """
    prepared = prepare(context, path, selection)
    async with signed_in(context, tenant) as opened:
        return await plan_prepared(context, prepared, opened)


async def plan_prepared(context: Context, prepared: Prepared, tenant: Tenant) -> ChangeSet:
    """The change set of a plan that was read already."""
    desired, scope = prepared.desired, prepared.selection.scope()
    check_tenant(tenant.identity, desired.tenant)
    found, observed = await preview(context, desired, prepared.selection, tenant)
    nothing = [_unmatched(t) for t in scoping.unmatched(scope, desired, observed, found, TYPES)]
    if nothing:
        raise InputError(nothing)
    left = await _left(desired, found, tenant, context) if scope.whole else ()
    lost = gone(found, kept(context, found.tenant_id))
    findings = (*found.findings, *([finding_of(lost, found)] if lost else []))
    return dataclasses.replace(found, commit=commit_of(prepared.path, desired.files), left=left, findings=findings)


async def preview(
    context: Context, desired: Desired, selection: Selection, tenant: Tenant
) -> tuple[ChangeSet, Observed]:
    """The change set of a desired state, and what was observed."""
    scope = selection.scope()
    read, dns = await _read(context, desired, scope, tenant)
    path = await _journal(context, tenant.identity.tenant_id)
    brought = journal.brought(path)
    observed = dataclasses.replace(read, remembered={**_ids(brought), **_ours(path, brought)})
    found = planning.plan(
        desired,
        observed,
        TYPES,
        scope=scope,
        waivers=selection.waivers(),
        tenant_id=tenant.identity.tenant_id,
        created=context.moment(),
        transport=tenant.ports.exchange.transport,
        told=dns,
    )
    crowded = await spf_limit(Asked(tenant.ports.resolver, context.clock), found.pending)
    found = dataclasses.replace(
        found,
        findings=(*found.findings, *crowded),
        expires=context.moment(selection.expires_s),
        drift=tuple(d for d in journal.drift_of(found.changes, brought) if not _set_one_by_one(d, brought)),
    )
    return found, observed


def _set_one_by_one(drift: Drift, brought: Mapping[str, journal.Deed]) -> bool:
    """Whether later runs of ours set all that differs, under the addresses of what it governs: a rollback does."""
    kind = next(t for t in TYPES if t.name == drift.address.type)
    if not kind.governs:
        return False
    ours, live = _understood(kind, drift.before), _understood(kind, drift.after)
    parts = kind.governed(ours, live)
    since = brought[str(drift.address)].time
    deeds = [(brought.get(str(address)), there) for address, (_, there) in parts.items()]
    return 0 < len(parts) == kind.touches(ours, live) and all(
        deed is not None and deed.time > since and deed.after == changeset.fields_document(there)
        for deed, there in deeds
    )


def remembered(context: Context, tenant_id: str) -> Mapping[Address, str]:
    """What the journal of a tenant knows of the objects of earlier runs: ids, and what is ours."""
    path = fetched(context, tenant_id)
    brought = journal.brought(path)
    return {**_ids(brought), **_ours(path, brought)}


def _ids(brought: Mapping[str, journal.Deed]) -> Mapping[Address, str]:
    return {Address.parse(a): d.object_id for a, d in brought.items() if d.object_id}


def _ours(path: Path, brought: Mapping[str, journal.Deed]) -> Mapping[Address, str]:
    """What types remember of what runs did to their objects (`ResourceType.remembered`)."""
    asking = {t.name: t for t in TYPES if t.remembers}
    if not any(Address.parse(a).type in asking for a in brought):
        return {}
    found: dict[Address, list[tuple[Any, Any]]] = {}
    for deed in journal.deeds(path):
        address = Address.parse(deed.address)
        kind = asking.get(address.type)
        if kind is not None and (deed.done or deed.unseen):
            sides = (changeset.read_spec(kind, deed.before), changeset.read_spec(kind, deed.after))
            found.setdefault(address, []).append(sides)
    return {address: asking[address.type].remembered(deeds) for address, deeds in found.items()}


async def _journal(context: Context, tenant_id: str) -> Path:
    """The tenant's journal. Its lines that this version cannot read are told: they count for nothing."""
    if context.profile.journal:  # git or a database far away: a fleet reads other tenants meanwhile
        path = await asyncio.to_thread(fetched, context, tenant_id)
    else:
        path = fetched(context, tenant_id)
    lines = journal.passed_over(path)
    if lines:
        named = listed(map(str, lines))
        context.note(f"{path}: line {named} passed over: edited, cut off, or of a newer version (history verify)")
    return path


async def judge(
    context: Context, basis: Basis, waivers: Sequence[Waiver], tenant: Tenant
) -> tuple[ChangeSet, Observed]:
    """The plan of a change set that was made before, planned again with the tenant and the rules' evidence of now.

    `waivers` are those of this run, besides those that the change set was made with; one whose last day is over counts
    no more. DNS is not asked: what it says blocks nothing, and a step that rests on it waits for it by itself.
    """
    scope, day = Scope(basis.targets, basis.excludes), context.today().isoformat()
    desired = dataclasses.replace(basis.desired, waivers=tuple(_current(basis.desired.waivers, day)))
    reads, purpose = context.profile.reads_at_once, engine.RECHECKING
    observed = await engine.read(
        desired, TYPES, tenant.ports, scope=scope, reads=reads, unmanaged=True, purpose=purpose
    )
    observed = dataclasses.replace(observed, remembered=basis.observed.remembered)
    found = planning.plan(
        desired,
        observed,
        TYPES,
        scope=scope,
        waivers=(*_current(basis.waivers, day), *waivers),
        tenant_id=tenant.identity.tenant_id,
        created=context.moment(),
        transport=tenant.ports.exchange.transport,
    )
    return found, observed


def _current(waivers: Iterable[Waiver], day: str) -> Iterator[Waiver]:
    return (waiver for waiver in waivers if waiver.until is None or waiver.until >= day)


async def _read(
    context: Context, desired: Desired, scope: Scope, tenant: Tenant
) -> tuple[Observed, tuple[Finding, ...]]:
    """The tenant, its requests counted with those to DNS, and the findings about DNS."""
    cloud = cloud_of_mail(context.profile.cloud, desired.tenant)
    asked = Asked(tenant.ports.resolver, context.clock)
    reads = context.profile.reads_at_once
    reading = engine.read(desired, TYPES, tenant.ports, scope=scope, reads=reads, unmanaged=True)
    observed, devices = await both(reading, device_records(asked, desired, cloud))
    signing = await signing_records(asked, desired, observed)
    return dataclasses.replace(observed, requests=observed.requests + asked.count), (
        *of_tenant(devices, observed),
        *signing,
    )


def _unmatched(target: str) -> Diagnostic:
    hint = "correct the address: provisioner plan shows those of the plan; TYPE/* names all of a type"
    return Diagnostic("TARGET-UNMATCHED", f"--target {target}: no resource of the plan matches", hint)


async def _left(desired: Desired, found: ChangeSet, tenant: Tenant, context: Context) -> tuple[Address, ...]:
    """What the journal proves that an earlier plan brought to its state, if no plan declares it and it is still so."""
    types = {t.name: t for t in TYPES}
    deeds = {Address.parse(a): d for a, d in journal.brought(kept(context, found.tenant_id)).items()}
    named = (*desired.resources, *desired.absent, *(c.address for c in found.changes), *_former(found), *_set_by(found))
    spoken_for = {(a.type, caseless(a.key)) for a in named}  # Exchange tells names apart without case
    brought = {a: d.after for a, d in deeds.items() if a.type in types and (a.type, caseless(a.key)) not in spoken_for}
    ours = {a: s for a, fields in brought.items() if (s := _understood(types[a.type], fields)) is not None}
    ours = {a: s for a, s in ours.items() if not _is_default(types[a.type], s)}
    if not ours:
        return ()
    seen = await engine.look(ours, TYPES, tenant.ports, reads=context.profile.reads_at_once)
    return tuple(
        a for a, s in sorted(ours.items()) if isinstance(o := seen.get(a), Present) and project(o.spec, s) == s
    )


def _understood(kind: ResourceType[Any], fields: Mapping[str, Any] | None) -> Any | None:
    """An object as the journal keeps it; None for none, and for one that another version wrote: that proves nothing."""
    try:
        return changeset.read_spec(kind, fields)
    except InputError:
        return None


def _former(found: ChangeSet) -> Iterator[Address]:
    """The addresses that renamed objects have by their present names."""
    return (Address(c.address.type, key_of(c.observed)) for c in found.changes if c.observed is not None)


def _set_by(found: ChangeSet) -> Iterator[Address]:
    """What selections of the plan set: an earlier run may have set it under an address of its own."""
    types = {t.name: t for t in TYPES if t.governs}
    for change in found.changes:
        kind = types.get(change.address.type)
        if kind is not None and change.observed is not None:
            words = kind.contribution(change.observed)
            yield from (Address(kind.governs, word.mailbox) for word in words if isinstance(word, SignIn))


def _is_default(kind: ResourceType[Any], spec: Any) -> bool:
    """What says nothing of its own: a mailbox that follows the organization."""
    return any(isinstance(c, SignIn) and c.switch == "inherit" for c in kind.contribution(spec))
