"""Rotating the DKIM keys of a domain: an action of its own, never a difference between plan and tenant.

A rotation is not idempotent: it is sent once, under the tenant's locks and with the journal open, and only what the
tenant shows afterwards counts as done. Guards: `DKIM-ROTATING`, `DKIM-ROTATE-DNS` (`resources.dkim`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from provisioner import rules
from provisioner.diagnostics import (
    ChangeSetStale,
    Declined,
    Diagnostic,
    GuardRefused,
    InputError,
    TenantError,
    TenantIncomplete,
    Unclear,
)
from provisioner.model import Address, Cmdlet, DnsQuery, Finding, Waiver
from provisioner.model.clouds import INITIAL_SUFFIXES
from provisioner.operations.acting import Acting, acting, domain_named
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.resources.rows import dkim_rotation
from provisioner.resources.rows.dkim_rotation import Rotation
from provisioner.rules import RULES
from provisioner.tenant.ports import Ports

_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class RotateOptions:
    """`approve` is asked before the keys are rotated; `waivers` are the guards that this run lifts."""

    key_size: int = 2048
    lock_wait_s: float = 0.0
    waivers: Sequence[Waiver] = ()
    approve: Callable[[Rotation], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Rotated:
    """The keys before and after. `confirmed` is False where the tenant does not show the new key."""

    before: Rotation
    after: Rotation
    confirmed: bool
    detail: str = ""


async def rotate(
    context: Context, domain: str, options: RotateOptions | None = None, tenant: Tenant | None = None
) -> Rotated:
    """Give the selector of a domain that does not sign a new key, which signs four days later.

    Raises InputError for a domain without a signing configuration, GuardRefused where a guard stands, Declined where
    `approve` says no, ChangeSetStale where somebody rotated meanwhile, TenantIncomplete where the state cannot be read,
    Refused and others where the service refuses. The journal tells what was sent.
    """
    options = options or RotateOptions()
    name = domain_named(domain)
    async with signed_in(context, tenant) as opened:
        before = await _read(context, opened.ports, name)
        await _refuse(opened.ports, before, options.waivers)
        if not options.approve(before):
            raise Declined("Rotation cancelled: nothing was changed.")
        with acting(context, opened.identity, options.lock_wait_s) as act:
            if await _read(context, opened.ports, name) != before:
                raise ChangeSetStale(f"the keys of {name} were changed since they were shown: nothing was sent")
            return await _rotated(context, opened.ports, before, options, act)


async def _read(context: Context, ports: Ports, domain: str) -> Rotation:
    try:
        answer = await ports.exchange.run(dkim_rotation.REQUEST)
        found = dkim_rotation.decode(answer.rows, domain, context.clock.now())
    except ValueError as error:
        raise TenantIncomplete(f"the keys of {domain} could not be read: {error}") from error
    if found is None:
        what = f"the tenant has no DKIM signing configuration for {domain}"
        hint = f"declare it first: dkim: {{ {domain}: {{ enabled: true }} }}"
        raise InputError([Diagnostic("DKIM-UNKNOWN", what, hint)])
    return found


# --- guards ----------------------------------------------------------------------------------------------------------


async def _refuse(ports: Ports, found: Rotation, waivers: Sequence[Waiver]) -> None:
    """Raise GuardRefused where a guard stands that this run does not lift."""
    address = Address("dkim", found.domain)
    findings = [*_standing(found, address), *[f async for f in _unpublished(ports, found, address)]]
    left = [f for f in findings if f.blocks == "precondition" or not rules.lifted(f.rule, address, waivers)]
    if left:
        said = [Diagnostic(f.rule, f.summary, f.hint) for f in left]
        raise GuardRefused(f"{left[0].rule} stops this rotation; nothing was changed", said)


def _standing(found: Rotation, address: Address) -> Iterator[Finding]:
    if not found.enabled:
        summary = f"{address} is disabled: only the keys of a domain that signs can be rotated"
        yield _finding("PRECONDITION", summary, "enable it first (dkim, enabled: true)", address)
    if found.pending:
        summary = f"{address} is being rotated: {found.next} signs from {shown(found)} on, {found.signing} until then"
        yield _finding("DKIM-ROTATING", summary, f"wait until {shown(found)}", address)


async def _unpublished(ports: Ports, found: Rotation, address: Address) -> AsyncIterator[Finding]:
    """Whether the selector that gets the new key is published. Microsoft signs for its own domains without that."""
    host, target = f"{found.resting}._domainkey.{found.domain}", found.targets.get(found.resting, "")
    if found.domain.endswith(INITIAL_SUFFIXES):
        return
    try:
        rows = (await ports.resolver.query(DnsQuery(host, "CNAME"))).rows
        published = [str(row["value"]).rstrip(".").lower() for row in rows]
        missing = "" if target.lower() in published else f"{host} CNAME {target} is not published"
    except TenantError as error:
        missing = f"whether {host} CNAME {target} is published could not be asked ({error.summary})"
    if missing:
        summary = f"{address}: {missing}, and {found.resting} would sign in four days: receivers would find no key"
        yield _finding("DKIM-ROTATE-DNS", summary, f"publish {host} CNAME {target}", address)


def _finding(rule: str, summary: str, hint: str, address: Address) -> Finding:
    known = RULES[rule]
    return Finding(rule, known.severity, summary, hint, address, known.blocks)


def shown(found: Rotation) -> str:
    """When the next selector signs, in UTC."""
    return f"{found.due:%Y-%m-%d %H:%M} UTC"


# --- the write -------------------------------------------------------------------------------------------------------


async def _rotated(context: Context, ports: Ports, before: Rotation, options: RotateOptions, act: Acting) -> Rotated:
    """Send once, and read back. Raises what the service refuses with, once the journal has it."""
    address, record = str(Address("dkim", before.domain)), act.journal
    request = Cmdlet("Rotate-DkimSigningConfig", {"Identity": before.domain, "KeySize": options.key_size})
    act.sending("rotating", request, address=address)
    unclear = ""
    try:
        await ports.exchange.run(request)
    except Unclear as error:
        unclear = str(error)
    except TenantError as error:
        record.record("rotated", address=address, status="failed", detail=str(error))
        raise
    after, detail = await _read_back(context, ports, before)
    confirmed = after.created != before.created and after.next == before.resting
    status = "done" if confirmed else "unconfirmed"
    detail = "; ".join(filter(None, (unclear, detail)))
    record.record("rotated", address=address, status=status, detail=detail, due=after.due.isoformat())
    record.record("end", converged=confirmed)
    return Rotated(before, after, confirmed, detail)


async def _read_back(context: Context, ports: Ports, before: Rotation) -> tuple[Rotation, str]:
    """What the tenant shows of the keys, once it shows a new one or the time for that is over; why not, if not."""
    ends = context.clock.monotonic() + context.profile.timeouts.confirm_s
    found, detail, pause_s = before, "", _PAUSE_S
    while True:
        try:
            found, detail = await _read(context, ports, before.domain), ""
        except (TenantError, TenantIncomplete) as error:
            detail = f"the tenant could not be read: {error}"
        left = ends - context.clock.monotonic()
        if found.created != before.created or left <= 0:
            return found, detail
        await context.clock.sleep(min(pause_s, left))
        pause_s *= 2
