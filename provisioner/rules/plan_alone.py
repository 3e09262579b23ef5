"""Rules that need no tenant: what a plan says that cannot be right, or is dangerous whatever is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from provisioner import mailflow
from provisioner.devices import NAMES, at_mx, choose, facts_of, odd_sources, way_of, worked_out_for
from provisioner.mailflow.picture import of_declared
from provisioner.model import Desired, Finding, Observed, Resource, ResourceType, Rule
from provisioner.model.clouds import Cloud
from provisioner.model.devices import DIRECT_SEND, Device
from provisioner.model.listing import listed
from provisioner.model.names import caseless
from provisioner.model.picture import Relay, shared
from provisioner.resources import TYPES
from provisioner.rules.catalogue import RULES, rule_of
from provisioner.rules.external_limit import external_limit_findings

Types = Iterable[ResourceType[Any]]


def lint(desired: Desired, types: Types = TYPES, observed: Observed | None = None) -> Iterator[Finding]:
    """All findings about the plan alone, in the order of its resources. `observed` makes some of them exact."""
    by_name = {t.name: t for t in types}
    for resource in desired.resources.values():
        kind = by_name[resource.address.type]
        for advice in kind.lint(resource.spec):
            if any(name in resource.fields and getattr(resource.spec, name) is None for name in advice.unwritten):
                continue
            rule = rule_of(kind.rules, advice.rule)
            summary = f"{resource.address}: {advice.summary}"
            yield _finding(rule, resource, advice.field, summary, advice.hint)
    yield from _odd_sources(desired)
    yield from _contradictions(desired)
    yield from _same_scope(desired, by_name)
    yield from _lost_devices(desired)
    yield from _risks(desired)
    yield from _named_by_connectors(desired, by_name)
    yield from external_limit_findings(desired, observed)


def _odd_sources(desired: Desired) -> Iterator[Finding]:
    """Addresses of sites and devices that cannot send, in a plan with mistakes; else their connectors tell."""
    if any(choice.method for choice in desired.choices.values()) or not desired.devices:
        return
    for name, location, advice in odd_sources(desired):
        rule = RULES[advice.rule]
        yield Finding(
            rule.id, rule.severity, f"{name}: {advice.summary}", advice.hint, blocks=rule.blocks, location=location
        )


def _lost_devices(desired: Desired) -> Iterator[Finding]:
    """Devices that no method will do for, each with what is in the way."""
    rule = RULES["DEVICE-NO-METHOD"]
    for name, choice in desired.choices.items():
        if choice.method is None:
            device = desired.devices[name]
            written = [device.method] if device.method != "auto" else list(choice.refused)
            why = "; ".join(f"{NAMES[m]}: {choice.refused[m]}" for m in written)
            summary = f"{device.address}: no sending method works ({why})"
            hint = "; or ".join(_possible(choice.advice, device, desired))
            yield Finding(rule.id, rule.severity, summary, hint, blocks=rule.blocks, location=device.location)


def not_offered(desired: Desired, cloud: Cloud) -> Iterator[Finding]:
    """Devices whose method the cloud of a profile does not offer. Of GCC a plan's initial domain says nothing."""
    rule = RULES["DEVICE-NO-METHOD"]
    for name, choice in desired.choices.items():
        device = desired.devices[name]
        way = way_of(device, choice, device.ports, device.sender_ip_addresses, cloud)
        if way.host != "":
            continue
        facts = dataclasses.replace(
            facts_of(device, desired), offers_hve=bool(cloud.hve), offers_legacy_tls=bool(cloud.legacy_smtp)
        )
        other = choose(dataclasses.replace(device, method="auto"), facts)
        hint = f"write method: {other.method}" if other.method else "; or ".join(other.advice)
        summary = f"{device.address}: {way.not_offered}"
        yield Finding(rule.id, rule.severity, summary, hint, blocks=rule.blocks, location=device.location)


def _possible(advice: Sequence[str], device: Device, desired: Desired) -> Iterator[str]:
    """The advice without direct send, where connectors of the plan refuse it, or may: no source says which of several
    partner connectors decides. What the plan does not say, as RejectDirectSend, rules nothing out."""
    direct = [text for text in advice if text.startswith(NAMES[DIRECT_SEND])]
    picture = of_declared(desired.resources.values()) if direct else None
    decisions = [mailflow.decide(picture, a) for a in at_mx(device, desired)] if picture else []
    doubtful = any(d.allowed is not True and d.reason for d in decisions)
    return (text for text in advice if not (doubtful and text in direct))


def _risks(desired: Desired) -> Iterator[Finding]:
    """The weaknesses of the chosen ways, each once with the devices that it is about."""
    rule = RULES["DEVICE-RISK"]
    about: dict[str, list[str]] = {}
    for name, choice in desired.choices.items():
        for warning in choice.warnings:
            about.setdefault(warning, []).append(name)
    for warning, names in about.items():
        summary = f"{listed([desired.devices[n].address for n in names])}: {warning}"
        hint = "; or ".join(desired.choices[names[0]].advice)
        yield Finding(rule.id, rule.severity, summary, hint, location=desired.devices[names[0]].location)


def _named_by_connectors(desired: Desired, types: Mapping[str, ResourceType[Any]]) -> Iterator[Finding]:
    """Connectors that relay for addresses of sites that share them, or whose addresses change (MC1226222)."""
    loose = {s.name: s.egress_ip_addresses for s in desired.sites.values() if s.shared or s.changing}
    for resource in desired.resources.values() if loose else ():
        relays = mailflow.contributions(types[resource.address.type], resource.spec)
        networks = frozenset[str]().union(*(relay.networks for relay in relays if isinstance(relay, Relay)))
        for name, addresses in loose.items():
            if shared(networks, addresses):
                how = "others send from, too" if desired.sites[name].shared else "are not the same tomorrow"
                summary = f"{resource.address} relays for addresses of site/{name}, which {how}"
                hint = "let its devices sign in or show a certificate, and take the addresses out of the connector"
                yield _finding(RULES["CONNECTOR-SHARED-ADDRESS"], resource, "sender_ip_addresses", summary, hint)


def _same_scope(desired: Desired, types: Mapping[str, ResourceType[Any]]) -> Iterator[Finding]:
    """Objects that take mail of the same domains from the same sources: which of them counts is chance."""
    taking = {name for name, kind in types.items() if mailflow.reaches(kind)}
    scopes: dict[object, list[Resource]] = {}
    for resource in desired.resources.values():
        if resource.address.type not in taking:
            continue
        scope = mailflow.reach(types[resource.address.type].contribution(resource.spec))
        if scope:
            scopes.setdefault(scope, []).append(resource)
    for same in scopes.values():
        first, *others = same
        hint = _one_of(desired, same) if others else ""
        for resource in others:
            summary = f"{resource.address} takes mail from the same senders and sources as {first.address}"
            yield _finding(RULES["CONNECTOR-SAME-SCOPE"], resource, "", summary, hint)


def _one_of(desired: Desired, same: Sequence[Resource]) -> str:
    """Which of the connectors to give up: not one that is worked out for devices, which the plan does not write."""
    made = [r for r in same if worked_out_for(r, desired) is not None]
    written = [str(r.address) for r in same if r not in made]
    if made and written:
        needed = listed([desired.devices[name].address for name in made[0].devices])
        return f"take {listed(written)} out of the plan; {made[0].address} is needed by {needed}"
    return "keep one of the two" if len(same) == 2 else f"keep only one of {listed([str(r.address) for r in same])}"


def _contradictions(desired: Desired) -> Iterator[Finding]:
    """A tombstone for what the plan declares, in whatever case: names in Exchange are the same in any."""
    declared = {(a.type, caseless(a.key)): r for a, r in desired.resources.items()}
    for address in desired.absent:
        resource = declared.get((address.type, caseless(address.key)))
        if resource is not None:
            summary = f"{resource.address} is declared, and listed under absent"
            yield _finding(RULES["ABSENT-DECLARED"], resource, "", summary, "take it out of one of the two")


def _finding(rule: Rule, resource: Resource, name: str, summary: str, hint: str) -> Finding:
    at = resource.fields.get(name, resource.location)
    return Finding(rule.id, rule.severity, summary, hint, resource.address, rule.blocks, location=at)
