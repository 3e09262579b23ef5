"""From a path to a change set: what `plan` and `apply` have in common."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from provisioner.diagnostics import Diagnostic, Severity
from provisioner.operations.checkout import commit_of
from provisioner.operations.context import Context
from provisioner.operations.mail_records import Asked, device_records, signing_records
from provisioner.operations.state import journal_path

if TYPE_CHECKING:
    from provisioner.changes.planning import Scope
    from provisioner.model import Address, ChangeSet, Desired
    from provisioner.tenant.connect import TenantIdentity
    from provisioner.tenant.ports import Ports

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line says of scope and waivers."""

    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()
    expires_s: float = 7 * 86400.0


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the one asynchronous part of a command; of a group of errors the first ours counts."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def make_plan(
    context: Context, path: Path, selection: Selection, ports: Ports, identity: TenantIdentity
) -> ChangeSet:
    """Read the plan and the tenant, and give the change set. Raises InputError, SignInRefused."""
    from provisioner import engine, rules
    from provisioner.changes import planning
    from provisioner.engine import journal
    from provisioner.model.clouds import cloud_of_mail
    from provisioner.plan import document
    from provisioner.resources import TYPES
    from provisioner.tenant.connect import check_tenant

    waivers = [rules.parse_allow(a) for a in selection.allows]
    desired, warnings = document.load(
        path, TYPES, today=context.today(), waivers=waivers, variables=context.variables, border=context.border
    )
    context.diagnose(warnings)
    check_tenant(identity, desired.tenant)
    scope = scope_of(selection)
    desired = planning.narrow(desired, TYPES, scope)
    cloud = cloud_of_mail(context.profile.cloud, desired.tenant)
    asked = Asked(ports.resolver, context.clock)
    with context.progress("Reading the tenant") as progress:
        reading = engine.read(
            desired, TYPES, ports, scope=scope, reads=context.profile.reads_at_once, progress=progress
        )
        observed, told = await asyncio.gather(reading, device_records(asked, desired, cloud))
        signing = await signing_records(asked, desired, observed)
    found = planning.plan(
        desired,
        observed,
        TYPES,
        scope=scope,
        waivers=waivers,
        tenant_id=identity.tenant_id,
        created=context.moment(),
        transport=ports.exchange.transport,
        told=(*told, *signing),
    )
    context.diagnose([_unmatched(t) for t in planning.unmatched(scope, desired, observed, found, TYPES)])
    left = await _left(desired, found, ports, context) if scope.whole else ()
    drift = journal.drift_of(found.changes, journal.brought(journal_path(identity.tenant_id, context.state_folder)))
    return dataclasses.replace(
        found,
        commit=commit_of(path, desired.files),
        expires=context.moment(selection.expires_s),
        requests=found.requests + asked.count,
        left=left,
        drift=tuple(drift),
    )


def _unmatched(target: str) -> Diagnostic:
    mend = "provisioner plan shows the addresses; TYPE/* names all of a type"
    return Diagnostic("TARGET-UNMATCHED", f"--target {target} names nothing of the plan", mend, Severity.WARNING)


async def _left(desired: Desired, found: ChangeSet, ports: Ports, context: Context) -> tuple[Address, ...]:
    """What the journal proves that an earlier plan brought to its state, if no plan declares it and it is still so."""
    from provisioner import engine
    from provisioner.changes import changeset
    from provisioner.engine import journal
    from provisioner.model import Address, Present, project
    from provisioner.resources import TYPES

    types = {t.name: t for t in TYPES}
    deeds = {
        Address.parse(a): d for a, d in journal.brought(journal_path(found.tenant_id, context.state_folder)).items()
    }
    spoken_for = {*desired.resources, *desired.absent, *(c.address for c in found.changes)}
    ours = {
        a: changeset.read_spec(types[a.type], d.after)
        for a, d in deeds.items()
        if d.after is not None and a.type in types and a not in spoken_for
    }
    ours = {a: s for a, s in ours.items() if not _is_default(s)}
    if not ours:
        return ()
    seen = await engine.look(list(ours), TYPES, ports, reads=context.profile.reads_at_once)
    return tuple(
        a for a, s in sorted(ours.items()) if isinstance(o := seen.get(a), Present) and project(o.spec, s) == s
    )


def _is_default(spec: Any) -> bool:
    """What says nothing of its own: a mailbox that follows the organization."""
    return getattr(spec, "smtp_auth", None) == "inherit"


async def with_tenant(context: Context, work: Callable[[Ports, TenantIdentity], Coroutine[Any, Any, T]]) -> T:
    """Sign in, find out whose tenant it is, and do the work there."""
    from provisioner.operations.watching import watched
    from provisioner.tenant.connect import connect, identify

    def waiting(call: str, seconds: float, reason: str) -> None:
        context.note(f"{call}: {reason}; trying again in {seconds:.0f} s")

    async with connect(context.profile, on_wait=waiting, clock=context.clock) as opened:
        ports = watched(opened, context)
        return await work(ports, await identify(ports))


def scope_of(selection: Selection) -> Scope:
    """Targets and excludes as patterns over `type/key`, in whichever form they were written."""
    from provisioner.changes.planning import Scope

    return Scope(tuple(_patterns("--target", selection.targets)), tuple(_patterns("--exclude", selection.excludes)))


def _patterns(option: str, texts: Sequence[str]) -> Sequence[str]:
    import difflib

    from provisioner.diagnostics import InputError
    from provisioner.model import Address
    from provisioner.resources import TYPES

    names = [t.name for t in TYPES]
    patterns = []
    for text in texts:
        try:
            address = Address.parse(text)
        except ValueError as error:
            raise InputError([Diagnostic("ADDRESS-INVALID", f"{option}: {error}")]) from None
        if address.type not in names and address.type != "*":
            near = difflib.get_close_matches(address.type, names, 1)
            mend = f'did you mean "{near[0]}"?' if near else f"types: {', '.join(names)}"
            raise InputError([Diagnostic("TYPE-UNKNOWN", f'{option}: there is no type "{address.type}"', mend)])
        patterns.append(address.short)
    return patterns


def read_plan(context: Context, path: Path, selection: Selection) -> ChangeSet:
    """The change set of a plan against the tenant of the profile."""
    validate_first(context, path, selection)

    async def work(ports: Ports, identity: TenantIdentity) -> ChangeSet:
        return await make_plan(context, path, selection, ports, identity)

    return run(with_tenant(context, work))


def validate_first(context: Context, path: Path, selection: Selection) -> None:
    """Say what is wrong with plan and command line before anybody has to sign in."""
    from provisioner import rules
    from provisioner.plan import document
    from provisioner.resources import TYPES

    waivers = [rules.parse_allow(a) for a in selection.allows]
    document.load(
        path, TYPES, today=context.today(), waivers=waivers, variables=context.variables, border=context.border
    )
    scope_of(selection)
