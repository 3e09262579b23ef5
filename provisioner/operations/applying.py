"""Carrying out a change set: what keeps it from being applied, the locks, the journal, and the engine in between."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from provisioner import engine, platforms, rules
from provisioner.changes import changeset, verification
from provisioner.diagnostics import (
    ChangeSetStale,
    Declined,
    Diagnostic,
    GuardRefused,
    JournalBroken,
    NotApproved,
    ProvisionerError,
    Severity,
    TenantError,
    TenantIncomplete,
)
from provisioner.engine import Outcome, journal, locking
from provisioner.mailflow.senders import Sender
from provisioner.model import Address, ChangeSet, Cmdlet, DnsUpdate, Secret, Send, Waiver
from provisioner.model.document import ChangeSetDocument
from provisioner.model.listing import counted
from provisioner.operations import journals
from provisioner.operations.approving import NO_DEMAND, Approval, Demand, approvals_of
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.history import applied_by
from provisioner.operations.loading import EVERYTHING, Selection, diagnostic
from provisioner.operations.locks import locks_of
from provisioner.operations.mail_records import Asked, spf_limit
from provisioner.operations.planning import plan_prepared, prepare, remembered
from provisioner.operations.rejudging import Judged, rejudge
from provisioner.operations.sending import known_senders, recorded, unrecorded
from provisioner.resources import TYPES
from provisioner.tenant.credentials import secret_value


@dataclass(frozen=True, slots=True)
class Terms:
    """What a saved change set must be: not older than so many seconds, the very one that was approved, the plan's.

    `plan` is a path: the plan there, planned with `selection`, must lead to this change set. `approval` is who must
    have approved it, besides what the profile demands.
    """

    max_age_s: float | None = None
    digest: str | None = None
    plan: Path | None = None
    selection: Selection = EVERYTHING
    approval: Demand = NO_DEMAND

    def check(self, name: str, document: ChangeSetDocument, now: dt.datetime) -> None:
        """Raise ChangeSetStale where it is another, too old, or past its own date."""
        ours = document["provisioner"]
        wanted = self.digest and f"sha256:{self.digest.lower().removeprefix('sha256:')}"
        if wanted and ours["digest"] != wanted:
            raise ChangeSetStale(f"{name} has the digest {ours['digest']}, which is not the one that was approved")
        age_s = (now - _moment(document["timestamp"])).total_seconds()
        if self.max_age_s is not None and age_s > self.max_age_s:
            raise ChangeSetStale(
                f"{name} was made {_length(age_s)} ago, and --max-age allows {_length(self.max_age_s)}"
            )
        if ours.get("expires") and now > _moment(ours["expires"]):
            raise ChangeSetStale(f"{name} expired at {ours['expires']}: plan again, and have it reviewed")


@dataclass(frozen=True, slots=True)
class Saved:
    """A change set from a file, verified. `approvals` are those of the people who have approved it."""

    name: str
    document: ChangeSetDocument
    found: ChangeSet
    approvals: Sequence[Approval] = ()


def load_saved(context: Context, path: Path, terms: Terms | None = None) -> Saved:
    """A saved change set, verified and within its terms. Nobody signs in for a file that cannot be believed.

    Raises InputError for what is not a change set, ChangeSetStale for one that was edited, is too old or is another,
    NotApproved where too few people have approved it.
    """
    document, found = verification.load(path, TYPES)
    saved = Saved(str(path), document, found)
    if terms is not None:
        terms.check(str(path), document, context.clock.now())
        digest = document["provisioner"]["digest"]
        approvals = approvals_of(context, path, digest, found.commit, terms.approval, terms.plan)
        saved = dataclasses.replace(saved, approvals=approvals)
        if terms.plan is not None:
            _follows(context, saved, terms.plan, terms.selection)
        if approvals:
            _covered(saved, terms.selection)
    return saved


def _covered(saved: Saved, selection: Selection) -> None:
    """Raise NotApproved where the command lifts a guard that the approved change set does not lift."""
    lifted = saved.found.basis.waivers if saved.found.basis else ()
    more = [text for text, waiver in zip(selection.allows, selection.waivers(), strict=True) if waiver not in lifted]
    if more:
        what = f"--allow {more[0]} is not part of the change set that was approved"
        raise NotApproved(what, f"plan with --allow {more[0]}, and have that change set approved")


def _follows(context: Context, saved: Saved, path: Path, selection: Selection) -> None:
    """Raise ChangeSetStale unless the plan at a path leads to this change set, by what the file observed.

    What was observed is compared with the tenant later (`rejudge`). Scope and lifted guards must be those of the
    selection, since the plan does not hold them, and ids of earlier runs those of the journal here.
    """
    if saved.found.basis is not None and saved.found.basis.desired.undoes:
        what = f"{saved.name} undoes a run: no plan leads to it"
        raise ChangeSetStale(what, hint="review it, and apply it by its digest: --expect-digest")
    prepared, given = prepare(context, path, selection), selection.waivers()
    lifted = saved.found.basis.waivers if saved.found.basis else ()
    waivers = [waiver for waiver in lifted if waiver in given]
    scope, ids = selection.scope(), remembered(context, saved.found.tenant_id)
    other = verification.against_plan(saved.document, saved.found, prepared.desired, TYPES, scope, waivers, ids)
    if other:
        raise ChangeSetStale(
            f"{saved.name} is not what {path} leads to. Plan again, or give the options of that plan: --var, --allow, "
            "--target, --exclude",
            other,
        )


def admitted(saved: Saved, selection: Selection) -> Saved:
    """The change set with the waivers of a selection. Raises what keeps it from being applied, as `refuse`."""
    found = saved.found
    found = dataclasses.replace(found, findings=tuple(rules.waive(found.findings, selection.waivers())))
    refuse(found)
    return dataclasses.replace(saved, found=found)


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How to apply. The callbacks are called in the event loop.

    `shown` is given the change set that a plan leads to; `approve` is asked before that very change set is applied,
    and is not asked where nothing changes. `stopping` is entered around the sending of
    writes and gives an event: once it is set, no further write begins.
    """

    wait_s: float = 0.0
    lock_wait_s: float = 0.0
    shown: Callable[[ChangeSet], None] = lambda _: None
    approve: Callable[[ChangeSet], bool] = lambda _: True
    stopping: Callable[[], AbstractContextManager[asyncio.Event]] = lambda: contextlib.nullcontext(asyncio.Event())


DEFAULTS = ApplyOptions()


@dataclass(frozen=True, slots=True)
class Applied:
    """A change set and how its changes ended."""

    found: ChangeSet
    outcome: Outcome
    digest: str
    approvals: Sequence[Approval] = ()


async def apply(
    context: Context,
    what: Path | ChangeSet | Saved,
    selection: Selection = EVERYTHING,
    options: ApplyOptions = DEFAULTS,
    tenant: Tenant | None = None,
) -> Applied:
    """Apply a plan (a path, planned here), or exactly a change set that was planned before.

    Of a selection, a change set that is given takes the waivers only. Raises Declined where `approve` says no,
    NotApproved where the profile requires approvals that `load_saved` has not counted, GuardRefused and
    TenantIncomplete where the change set must not be applied, ChangeSetStale where the tenant has moved, Locked;
    nothing is written then. What goes wrong later is in the outcome.
    """
    _require(context, what)
    if not isinstance(what, Path):
        async with signed_in(context, tenant) as opened:
            return await _given(context, what, selection, options, opened)
    prepared = prepare(context, what, selection)
    async with signed_in(context, tenant) as opened:
        found = await plan_prepared(context, prepared, opened)
        digest = changeset.to_document(found)["provisioner"]["digest"]
        options.shown(found)
        if not (found.pending or found.errored or any(f.blocks and not f.waived for f in found.findings)):
            if unrecorded(found, journals.kept(context, found.tenant_id)):
                return await _carry_out(context, found, digest, options, opened)  # the next plan knows the devices
            return Applied(found, Outcome(()), digest)
        refuse(found)
        if not options.approve(found):
            raise Declined("Apply cancelled: nothing was changed.")
        return await _carry_out(context, found, digest, options, opened)


def _require(context: Context, what: Path | ChangeSet | Saved) -> None:
    """Raise NotApproved where the profile requires more approvals than were counted when this was loaded."""
    wanted = context.profile.approval.require
    if wanted > (len(what.approvals) if isinstance(what, Saved) else 0):
        what_is = f"{what} is a plan" if isinstance(what, Path) else "the change set does not have them"
        hint = "save a change set (plan -o FILE), have it approved (approve FILE), and apply that file"
        raise NotApproved(f"the profile requires {counted(wanted, 'approval')}, and {what_is}", hint)


async def _given(
    context: Context, what: ChangeSet | Saved, selection: Selection, options: ApplyOptions, tenant: Tenant
) -> Applied:
    """Exactly a change set that was planned before, without a question."""
    saved = what if isinstance(what, Saved) else Saved("the change set", changeset.to_document(what), what)
    found, identity = saved.found, tenant.identity
    if found.tenant_id != identity.tenant_id or not identity.is_named(found.tenant):
        raise ChangeSetStale(
            f"{saved.name} was made for {found.tenant} ({found.tenant_id}); this profile signs in to "
            f"{identity.initial_domain} ({identity.tenant_id})"
        )
    found = admitted(saved, selection).found
    digest = saved.document["provisioner"]["digest"]
    approvals = saved.approvals
    return await _carry_out(context, found, digest, options, tenant, waivers=selection.waivers(), approvals=approvals)


def refuse(found: ChangeSet, *, since: str = "") -> None:
    """Raise what keeps a change set from being applied: TenantIncomplete or GuardRefused. `since` ends the sentence."""
    if found.errored:
        reasons = [u.reason for u in (*found.unknown.values(), *found.unlisted.values())]
        raise TenantIncomplete(f"nothing was changed, since the tenant could not be read completely: {reasons[0]}")
    standing = [f for f in found.findings if f.blocks and not f.waived]
    if standing:
        said = [diagnostic(f) for f in standing]
        count = "1 finding stops" if len(standing) == 1 else f"{len(standing)} findings stop"
        raise GuardRefused(f"{count} this apply{since}; nothing was changed", said)


def _find_secrets(found: ChangeSet) -> None:
    """Look whether every secret that the steps need is there; it is read again when it is sent, and kept nowhere."""
    sends = [step.request for change in found.pending for step in change.steps if isinstance(step, Send)]
    values = (v for r in sends if isinstance(r, Cmdlet) for v in r.parameters.values())
    for reference in sorted({v.reference for v in values if isinstance(v, Secret)}):
        secret_value(reference)


async def _check_updates(context: Context, found: ChangeSet, tenant: Tenant) -> None:
    """Look whether DNS can be written as the steps have it, before the first of them is sent.

    Raises InputError where a provider or its secret is missing, GuardRefused for an SPF record beyond the limit.
    """
    for update in (s.request for c in found.pending for s in c.steps if isinstance(s, Send)):
        if isinstance(update, DnsUpdate):
            with contextlib.suppress(TenantError):  # that change fails by itself, if it still does then
                await tenant.ports.publisher.check(update)
    crowded = await spf_limit(Asked(tenant.ports.resolver, context.clock), found.pending)
    if crowded:
        raise GuardRefused(
            "receivers would reject an SPF record; nothing was changed", [diagnostic(f) for f in crowded]
        )


async def _carry_out(
    context: Context,
    found: ChangeSet,
    digest: str,
    options: ApplyOptions,
    tenant: Tenant,
    *,
    waivers: Sequence[Waiver] | None = None,
    approvals: Sequence[Approval] = (),
) -> Applied:
    """Under the locks of the tenant, with the journal open: every event is on disk before the context is told.

    Raises InputError before anything is written where a secret that is to be sent is not where the plan says.

    `waivers` are those of this run for a change set that was made before, which is then judged again.
    """
    _find_secrets(found)
    await _check_updates(context, found, tenant)
    run_id = context.new_run()
    holder = locking.Holder.me(run_id, platforms.user(), context.clock)
    stopping = _Stopping(context, asyncio.get_running_loop())
    with (
        _locks(context, found.tenant_id, holder, options, stopping),
        journals.opened(context, found.tenant_id, run_id, partial(stopping.told, "JOURNAL-LOST")) as (earlier, record),
        options.stopping() as stop,
    ):
        stopping.event = stop
        before = _before(found, earlier, digest, waivers or ())
        facts = {"digest": digest, "actor": holder.actor, **_origin(found), **_approved(approvals), **recorded(found)}
        record.begin(found.pending, **facts)

        async def work() -> Outcome:
            judged = None if waivers is None else await _judged(context, found, waivers, tenant, before)
            await _begun(record)
            return await _engine(context, judged or found, tenant, options, stop, record, before)

        outcome = await _ended(record, work())
    return Applied(found, outcome, digest, approvals)


def _locks(
    context: Context, tenant_id: str, holder: locking.Holder, options: ApplyOptions, stopping: _Stopping
) -> AbstractContextManager[None]:
    if not locking.KERNEL_LOCKS:
        context.note("this system does not lock files for a process: the lock of a killed run ends after 90 seconds")
    return locking.hold(
        locks_of(context.profile, tenant_id, context.state_folder),
        holder,
        wait_s=options.lock_wait_s,
        on_wait=lambda other: context.observe(engine.LockAwaited(str(other))),
        on_lost=partial(stopping.told, "LOCK-LOST"),
        clock=context.clock,
    )


async def _begun(record: journal.Journal) -> None:
    """A shared journal has what this run is about to do. Raises JournalBroken: then nothing is done."""
    try:
        await asyncio.to_thread(record.flush)
    except JournalBroken as error:
        raise JournalBroken(f"nothing was changed: {error}") from error


async def _ended(record: journal.Journal, work: Awaitable[Outcome]) -> Outcome:
    """How it ended, with the end in the journal. Raises what `work` raises: then nothing was written."""
    try:
        outcome = await work
    except ProvisionerError as error:
        with contextlib.suppress(JournalBroken):  # the error is told
            record.record("end", error={"kind": error.kind, "text": str(error)})
        raise
    try:
        record.record("end", converged=outcome.converged)
        await asyncio.to_thread(record.flush)
    except JournalBroken as error:
        return dataclasses.replace(outcome, failure=outcome.failure or error)
    return outcome


async def _judged(
    context: Context, found: ChangeSet, waivers: Sequence[Waiver], tenant: Tenant, before: _Before
) -> Judged:
    """The change set by the tenant of now. Raises what keeps it from being applied: as `refuse`, and ChangeSetStale."""
    try:
        judged = await rejudge(context, found, waivers, tenant, before.begun)
    except ChangeSetStale as error:
        done = applied_by(before.earlier, before.digest)
        if done is None:
            raise
        what = f"run {done.run} of {done.begun} has applied this change set already"
        raise ChangeSetStale(what, error.moved, hint="plan again: there may be nothing left to do") from error
    refuse(judged.found, since=": the tenant is no longer as it was when the plan was made")
    return judged


@dataclass(frozen=True, slots=True)
class _Before:
    """What earlier runs have begun and report who sends, and the waivers of this one; `earlier` is
    the journal."""

    earlier: Path
    digest: str
    begun: Sequence[Address]
    known: Sequence[Sender] | None
    allowed: Sequence[Waiver]


def _before(found: ChangeSet, earlier: Path, digest: str, waivers: Sequence[Waiver]) -> _Before:
    begun = tuple(Address.parse(a) for a in journal.begun(earlier, digest))
    allowed = (*(found.basis.waivers if found.basis else ()), *waivers)
    return _Before(earlier, digest, begun, known_senders(found, earlier), allowed)


async def _engine(
    context: Context,
    what: ChangeSet | Judged,
    tenant: Tenant,
    options: ApplyOptions,
    stop: asyncio.Event,
    record: journal.Journal,
    before: _Before,
) -> Outcome:
    profile = context.profile
    return await engine.apply(
        what.found if isinstance(what, Judged) else what,
        TYPES,
        engine.watch(tenant.ports, record.observe),
        reads=profile.reads_at_once,
        writes=profile.writes_at_once,
        confirm_s=profile.timeouts.confirm_s,
        wait_s=options.wait_s,
        begun=before.begun,
        seen=what.seen if isinstance(what, Judged) else None,
        stop=stop,
        clock=context.clock,
        devices=before.known,
        allowed=before.allowed,
    )


def _origin(found: ChangeSet) -> dict[str, str]:
    """What the journal keeps of where a change set comes from."""
    return {"tenant": found.tenant, "tenant_id": found.tenant_id, "owner": found.owner, "commit": found.commit}


def _approved(approvals: Sequence[Approval]) -> dict[str, Any]:
    return {"approved_by": [dataclasses.asdict(a) for a in approvals]} if approvals else {}


@dataclass(slots=True)
class _Stopping:
    """Told that another run may be writing, or that nothing can be recorded: what is in flight ends, nothing begins."""

    context: Context
    loop: asyncio.AbstractEventLoop
    event: asyncio.Event | None = None

    def told(self, id_: str, reason: str) -> None:
        """From another thread: go on in the loop's own time."""
        self.loop.call_soon_threadsafe(self._stop, id_, reason)

    def _stop(self, id_: str, reason: str) -> None:
        self.context.diagnose([Diagnostic(id_, f"stopping: {reason}", severity=Severity.WARNING)])
        if self.event is not None:
            self.event.set()


def _moment(text: str) -> dt.datetime:
    """A time of a change set, which may be edited. Raises ChangeSetStale for any that names no moment."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ChangeSetStale(f'"{text}" is not a time: the change set does not say when it was made')
    return found


def _length(seconds: float) -> str:
    """A length of time in its largest whole unit."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} seconds"
