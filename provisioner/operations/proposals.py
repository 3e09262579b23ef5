"""Whether a proposal for a refused device does what it says: mailflow decides in the tenant as the plan would leave it.

A proposal that leaves the refusal as it is is not made, and one that is not enough says what is left to do.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Sequence

from provisioner import rules
from provisioner.devices import Remedy, attempts
from provisioner.mailflow import Attempt, Decision, decide
from provisioner.mailflow.picture import after, of_observed
from provisioner.model import Address, Desired, Observed, request_key
from provisioner.operations.context import Context
from provisioner.operations.standing import CONNECTORS, changes_of, observe, part_for


async def best(
    context: Context, device: str, desired: Desired, proposals: Sequence[Remedy], seen_ip: str
) -> Remedy | None:
    """The first proposal that holds, with what is left to do after it; as it is without a tenant.

    `seen_ip` is the address that the server saw, which counts more than those that the plan names.
    """
    refusal: Decision | None = None
    for proposed in proposals:
        now, then = await _foreseen(context, device, desired, proposed, seen_ip)
        if then is None or then.allowed is not False:
            return proposed
        if now is None or now.reason != then.reason:
            return dataclasses.replace(proposed, sentence=f"{proposed.sentence}; then {_left(then)}")
        refusal = then
    return Remedy(f"nothing that the plan could change for it lifts this: {_left(refusal)}") if refusal else None


async def _foreseen(
    context: Context, device: str, desired: Desired, proposed: Remedy, seen_ip: str
) -> tuple[Decision | None, Decision | None]:
    """What the tenant decides about the device now, and once the plan is applied with a proposal."""
    if proposed.then is None:
        return None, None
    before, part = part_for(desired, device), part_for(proposed.then, device)
    written = {a: r for a, r in proposed.then.resources.items() if r.spec != _spec(desired, a)}
    part = dataclasses.replace(part, resources={**part.resources, **written})
    questions = {request_key(r): r for r in (*rules.questions(before), *rules.questions(part))}
    observed = await observe(context, part, list(questions.values()), listed=CONNECTORS)
    if observed is None:
        return None, None
    now = _first(before, device, observed, seen_ip, planned=False)
    return now, _first(part, device, observed, seen_ip, planned=True)


def _spec(desired: Desired, address: Address) -> object:
    resource = desired.resources.get(address)
    return resource.spec if resource else None


def _left(refusal: Decision) -> str:
    return f"{refusal.sentence} ({refusal.hint})" if refusal.hint else refusal.sentence


def _first(part: Desired, device: str, observed: Observed, seen_ip: str, *, planned: bool) -> Decision | None:
    """The first refusal of the device's messages, now or once the plan is applied; None for a device without any."""
    picture = of_observed(observed)
    if planned:
        picture = after(picture, changes_of(part, observed))
    found = [decide(picture, one, observed.evidence) for one in _attempts(part, device, seen_ip)]
    return next((decision for decision in found if decision.allowed is False), found[0] if found else None)


def _attempts(part: Desired, device: str, seen_ip: str) -> Sequence[Attempt]:
    found = attempts(part.devices[device], part)
    if not seen_ip or ":" in seen_ip:
        return found
    network = str(ipaddress.ip_network(seen_ip))
    here = (one if one.mailbox else dataclasses.replace(one, network=network) for one in found)
    return tuple(dict.fromkeys(here))
