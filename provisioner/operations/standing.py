"""How the resources of a part of a plan stand in the tenant, for commands that look and change nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from provisioner import engine
from provisioner.changes import planning
from provisioner.changes.changeset import plain
from provisioner.mailflow.attempt import Decision
from provisioner.mailflow.deciding import ENABLE_CONNECTOR, OF_CONNECTORS
from provisioner.model import Address, Change, Desired, Observed, Present, Request, Resource, Unknown, written
from provisioner.model.devices import CLIENT_SUBMISSION
from provisioner.model.picture import Exemption, Relay
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.resources import TYPES
from provisioner.tenant.connect import check_tenant

CONNECTORS = frozenset(t.name for t in TYPES if {Relay, Exemption} & set(t.contributes))
"""The types whose objects decide about mail at the MX endpoint, declared or not."""


def part_for(desired: Desired, device: str) -> Desired:
    """The part of a plan that one device takes: it alone, also where others take the same."""
    taken = {a: dataclasses.replace(r, devices=(device,)) for a, r in desired.resources.items() if device in r.devices}
    return dataclasses.replace(
        desired,
        resources=taken,
        devices={device: desired.devices[device]},
        choices={device: desired.choices[device]},
    )


async def observe(
    context: Context,
    part: Desired,
    evidence: Sequence[Request] = (),
    tenant: Tenant | None = None,
    *,
    listed: frozenset[str] = frozenset(),
) -> Observed | None:
    """The tenant as far as these resources and questions go, and all objects of the `listed` types; None without a
    profile.

    Raises SignInRefused for another tenant than the plan's.
    """
    if tenant is None and context.profile.tenant is None:
        return None
    async with signed_in(context, tenant) as opened:
        check_tenant(opened.identity, part.tenant)
        narrow = dataclasses.replace(part, owner="", exclusive=listed, absent={})
        reads = context.profile.reads_at_once
        return await engine.read(narrow, TYPES, opened.ports, reads=reads, evidence=evidence)


async def sign_in_name(context: Context, desired: Desired, device: str, tenant: Tenant | None = None) -> str | None:
    """What a device types in as its user: the sign-in name of its mailbox's user, which need not be the address.

    None without a profile, for a device that signs in nowhere, and where the user was not found.
    """
    address = Address("mailbox", desired.devices[device].mailbox)
    if address not in desired.resources or desired.choices[device].method != CLIENT_SUBMISSION:
        return None
    part = dataclasses.replace(part_for(desired, device), resources={address: desired.resources[address]})
    observed = await observe(context, part, (), tenant)
    there = observed.resources.get(address) if observed else None
    return there.spec.sign_in if isinstance(there, Present) else None


def standing(resource: Resource, observed: Observed | None) -> dict[str, Any]:
    """A resource as it is declared, and as it is in the tenant where that was asked.

    `state` is "as declared", "differs", "absent", "unknown: …" or "not asked". `not_in_force` says why an object that
    exists has no effect, "" where it has. A secret is not part of it: nothing returns one.
    """
    there = observed.resources.get(resource.address) if observed else None
    secret = {f.name for f in dataclasses.fields(resource.spec) if f.metadata.get("secret")}
    wanted = {n: plain(v) for n, v in written(resource.spec).items() if n not in secret}
    live: Any = None
    state, idle = "not asked", ""
    if isinstance(there, Present):
        idle = next(t for t in TYPES if t.name == resource.address.type).in_force(resource.spec, there.spec)
        live = {n: plain(getattr(there.spec, n)) for n in wanted}
        state = "as declared" if live == wanted else "differs"
    elif there is not None:
        state = f"unknown: {there.reason}" if isinstance(there, Unknown) else "absent"
    return {"address": resource.address.short, "declared": wanted, "state": state, "live": live, "not_in_force": idle}


def changes_of(part: Desired, observed: Observed) -> Sequence[Change]:
    """What the plan would change of a part of it, whatever else it would do."""
    alone = dataclasses.replace(part, owner="", exclusive=frozenset(), absent={})
    return planning.plan(alone, observed, TYPES).pending


def advised(now: Decision, then: Decision, idle: Sequence[Address] = ()) -> str:
    """What to do about a refusal: to apply the plan where that lifts it, and what is left to do after that.

    `then` is the decision once the plan's changes are made. `idle` are disabled connectors that name the source.
    """
    if now.allowed is not False or now.reason in then.certain:
        return ENABLE_CONNECTOR if idle and now.reason in OF_CONNECTORS else now.hint
    left = f"; then {then.hint}" if then.allowed is False and then.hint else ""
    return f"the plan changes that: provisioner apply{left}"


def lacking(part: Desired, observed: Observed | None) -> Sequence[Address]:
    """What the tenant certainly does not have as it is declared."""
    return [a for a, r in part.resources.items() if standing(r, observed)["state"] in {"differs", "absent"}]
