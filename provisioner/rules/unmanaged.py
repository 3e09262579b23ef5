"""Rules about objects that the plan could declare and does not: what is dangerous, and what overlaps with the plan.

They ask what the objects contribute to the sending picture, whatever type they are of. They never block: nothing that
the plan does made the object, or would remove it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner import mailflow
from provisioner.devices import worked_out_for
from provisioner.model import Address, Change, Desired, Finding, ResourceType, goal_of
from provisioner.model.listing import listed
from provisioner.model.picture import (
    ADDRESS,
    ANY,
    CERTIFICATE,
    NONE,
    TLS,
    Exemption,
    Relay,
    Restriction,
    Scope,
    shared,
)
from provisioner.resources.ownership import HYBRID_WIZARD
from provisioner.rules.catalogue import RULES

Types = Mapping[str, ResourceType[Any]]


def check_unmanaged(
    live: Mapping[Address, Any], desired: Desired, changes: Sequence[Change], types: Types
) -> Iterator[Finding]:
    """All findings about the unmanaged objects. `live` is each of them as it is in the tenant."""
    planned = {c.address: _sources(types[c.address.type], goal_of(c)) for c in changes if live}
    for address, spec in sorted(live.items()):
        kind = types[address.type]
        yield from _relays(kind, address, spec)
        yield from _overlaps(kind, address, spec, planned, desired)


# --- relay for any sender --------------------------------------------------------------------------------------------


def _relays(kind: ResourceType[Any], address: Address, spec: Any) -> Iterator[Finding]:
    """An enabled connector through which any sender may reach anyone, from many addresses or without TLS."""
    for relay in mailflow.contributions(kind, spec):
        if not isinstance(relay, Relay) or "*" not in relay.domains or relay.associated != ANY:
            continue
        ranges = frozenset(network for network in relay.networks if not network.endswith("/32"))
        weaknesses = [f"for the range {_named(ranges)}"] if ranges else []
        if relay.clear_text and (relay.networks or relay.certificate):
            weaknesses.append("without requiring TLS")
        if weaknesses:
            rule, source = RULES["UNMANAGED-RELAY"], "" if ranges else f" for {_named(_all_of(relay))}"
            summary = (
                f"{address} is not declared and relays mail of any sender to any recipient{source} "
                f"{' and '.join(weaknesses)}"
            )
            hint = f"remove it if no system needs it; {_adoption(kind, address, spec)}"
            yield Finding(rule.id, rule.severity, summary, hint, address)


def _all_of(relay: Relay) -> Scope:
    return relay.networks | ({relay.certificate} if relay.certificate else NONE)


# --- the same source twice -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """The senders that a connector names, and the mail that it takes from them."""

    networks: Scope
    certificates: Scope
    domains: Scope
    associated: Scope

    def shared(self, other: _Source) -> Scope:
        """The networks and certificates that both name; none where they take different mail from them."""
        if not shared(self.domains, other.domains) or not shared(self.associated, other.associated):
            return NONE
        return shared(self.networks, other.networks) | shared(self.certificates, other.certificates)


def _sources(kind: ResourceType[Any], spec: Any | None) -> Sequence[_Source]:
    contributions = mailflow.contributions(kind, spec)
    demands = frozenset(c.demand for c in contributions if isinstance(c, Restriction))
    return [_source(c, demands) for c in contributions if isinstance(c, Relay | Exemption)]


def _source(known: Relay | Exemption, demands: frozenset[str]) -> _Source:
    """A relay is not limited to sender domains; what a partner connector names counts with a restriction."""
    certificates: Scope = frozenset({known.certificate}) if known.certificate else NONE
    if isinstance(known, Relay):
        return _Source(known.networks, certificates, ANY, known.associated)
    networks = known.networks if ADDRESS in demands else NONE
    certificates = certificates if demands & {CERTIFICATE, TLS} else NONE
    return _Source(networks, certificates, known.domains, known.associated)


def _overlaps(
    kind: ResourceType[Any],
    address: Address,
    spec: Any,
    planned: Mapping[Address, Sequence[_Source]],
    desired: Desired,
) -> Iterator[Finding]:
    """An enabled connector that names a source of a declared one: which of the two takes the mail is not documented."""
    own = _sources(kind, spec)
    common = {
        other: frozenset(item for one in own for two in sources for item in one.shared(two))
        for other, sources in planned.items()
        if own and sources and other in desired.resources
    }
    others = [other for other, items in common.items() if items]
    if not others:
        return
    rule = RULES["UNMANAGED-OVERLAP"]
    items = frozenset[str]().union(*(common[other] for other in others))
    names = listed([str(other) for other in others])
    summary = (
        f"{address} is not declared and already accepts mail from {_named(items)}, as {names} does in this plan: "
        "it is not certain which of them a message matches"
    )
    at = desired.resources[others[0]].location
    written = [other for other in others if worked_out_for(desired.resources[other], desired) is None]
    hint = _adoption(kind, address, spec, written)
    if kind.made_by(spec) == HYBRID_WIZARD:
        # Its CloudServicesMailEnabled keeps Exchange's headers: mail that matches another connector arrives as external
        # (Learn, "Transport routing in Exchange hybrid deployments").
        hint = f"let the devices use another certificate or address, so that hybrid mail goes on matching it; {hint}"
    yield Finding(rule.id, rule.severity, summary, hint, address, location=at)


# --- words -----------------------------------------------------------------------------------------------------------


def _adoption(kind: ResourceType[Any], address: Address, spec: Any, instead: Sequence[Address] = ()) -> str:
    """How the plan takes the object over, `instead` of what it writes now, or says that it does not want it."""
    ignore = f'list "{address.short}" under ignore'
    if kind.made_by(spec) == HYBRID_WIZARD:
        return f"the Hybrid Configuration Wizard made it: change it with the wizard, or {ignore}"
    if kind.owner_of(spec):
        return f'it belongs to the plan "{kind.owner_of(spec)}": change it there, or {ignore}'
    export = shlex.join(["provisioner", "export", "--target", address.short])
    place = f" in place of {listed([str(other) for other in instead])}" if instead else ""
    return (
        f"to manage it, write it under its name in {kind.section}{place} ({export} shows how); "
        f"to leave it alone, {ignore}"
    )


def _named(sources: Scope) -> str:
    return listed(sorted(source.removesuffix("/32") for source in sources))
