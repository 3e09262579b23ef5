"""Rules that need no tenant: what a plan says that cannot be right, or is dangerous whatever is there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from provisioner.devices import NAMES
from provisioner.model import Desired, Finding, Resource
from provisioner.resources.dkim import Dkim
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.rules.catalogue import RULES

# RFC 5737 and RFC 6890. Python's is_private holds them too, but they deserve words of their own.
_DOCUMENTATION = tuple(
    ipaddress.IPv4Network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "233.252.0.0/24")
)
_SHARED = ipaddress.IPv4Network("100.64.0.0/10")  # RFC 6598, carrier-grade NAT
_WIDEST_PREFIX = 24  # Set-InboundConnector, -SenderIPAddresses


def lint(desired: Desired) -> Iterator[Finding]:
    """All findings about the plan alone, in the order of its resources."""
    for resource in desired.resources.values():
        match resource.spec:
            case InboundConnector():
                yield from _connector(resource, resource.spec)
            case Dkim():
                yield from _dkim(resource, resource.spec)
    yield from _contradictions(desired)
    yield from _same_scope(desired)
    yield from _lost_devices(desired)
    yield from _risks(desired)


def _lost_devices(desired: Desired) -> Iterator[Finding]:
    """Devices that no method will do for, each with what is in the way."""
    rule = RULES["DEVICE-NO-METHOD"]
    for name, choice in desired.choices.items():
        if choice.method is None:
            device = desired.devices[name]
            written = [device.method] if device.method != "auto" else list(choice.refused)
            why = "; ".join(f"{NAMES[m]}: {choice.refused[m]}" for m in written)
            summary = f"{device.address}: no method will do ({why})"
            mend = "; or ".join(choice.advice)
            yield Finding(rule.id, rule.severity, summary, mend, blocks=rule.blocks, location=device.location)


def _risks(desired: Desired) -> Iterator[Finding]:
    """The weaknesses of the chosen ways, each once with the devices that it is about."""
    rule = RULES["DEVICE-RISK"]
    about: dict[str, list[str]] = {}
    for name, choice in desired.choices.items():
        for warning in choice.warnings:
            about.setdefault(warning, []).append(name)
    for warning, names in about.items():
        summary = f"{listed([desired.devices[n].address for n in names])}: {warning}"
        mend = "; or ".join(desired.choices[names[0]].advice)
        yield Finding(rule.id, rule.severity, summary, mend, location=desired.devices[names[0]].location)


def listed(words: Sequence[str], most: int = 3) -> str:
    """A few of the words, and how many more there are."""
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _same_scope(desired: Desired) -> Iterator[Finding]:
    """Connectors of one type for the same domains, addresses and certificate: which of them counts is chance."""
    first: dict[tuple[object, ...], Resource] = {}
    for resource in desired.resources.values():
        spec = resource.spec
        if not isinstance(spec, InboundConnector) or spec.enabled is False or not spec.sender_domains:
            continue
        addresses = spec.sender_ip_addresses or frozenset()
        scope = (spec.type, spec.sender_domains, addresses, spec.tls_sender_certificate_name or "")
        other = first.setdefault(scope, resource)
        if other is not resource:
            summary = f"{resource.address} takes mail from the same senders and sources as {other.address}"
            yield _finding("CONNECTOR-SAME-SCOPE", resource, "", summary, "keep one of the two")


def _contradictions(desired: Desired) -> Iterator[Finding]:
    """A tombstone for what the plan declares, in whatever case: names in Exchange are the same in any."""
    declared = {(a.type, a.key.lower()): r for a, r in desired.resources.items()}
    for address in desired.absent:
        resource = declared.get((address.type, address.key.lower()))
        if resource is not None:
            summary = f"{resource.address} is declared, and listed under absent"
            yield _finding("ABSENT-DECLARED", resource, "", summary, "take it out of one of the two")


def _connector(resource: Resource, spec: InboundConnector) -> Iterator[Finding]:
    for text in sorted(spec.sender_ip_addresses or ()):
        finding = _network(resource, text)
        if finding:
            yield finding
    if spec.treat_messages_as_internal:
        summary = f"{resource.address}: mail from this connector is taken for internal and skips the spam filter"
        yield _finding("TREAT-AS-INTERNAL", resource, "treat_messages_as_internal", summary, "leave it out")
    if spec.tls_sender_certificate_name and spec.require_tls is False:
        summary = f"{resource.address}: a certificate name only counts when TLS is required"
        mend = "write require_tls: true"
        yield _finding("CERTIFICATE-UNUSED", resource, "tls_sender_certificate_name", summary, mend)
    elif spec.tls_sender_certificate_name and spec.type == "partner" and not spec.restrict_domains_to_certificate:
        summary = f"{resource.address}: the certificate name alone restricts nothing on a partner connector"
        mend = "write restrict_domains_to_certificate: true, if others must not send for these domains"
        yield _finding("CERTIFICATE-UNUSED", resource, "tls_sender_certificate_name", summary, mend)


def _network(resource: Resource, text: str) -> Finding | None:
    network = ipaddress.IPv4Network(text)
    name = "sender_ip_addresses"
    if network.prefixlen < _WIDEST_PREFIX:
        summary = f"{resource.address}: {text} is {network.num_addresses:,} addresses; Exchange Online takes /24 to /32"
        mend = "write the addresses that send, or split the range into /24s if every one of them is yours"
        return _finding("IP-RANGE-WIDE", resource, name, summary, mend)
    if any(network.overlaps(documentation) for documentation in _DOCUMENTATION):
        summary = f"{resource.address}: {text} is reserved for documentation (RFC 5737): no mail comes from there"
        return _finding(
            "IP-DOCUMENTATION", resource, name, summary, "write the public address that the site sends from"
        )
    if not network.is_global or network.overlaps(_SHARED):
        summary = f"{resource.address}: {text} is not a public address: mail from the internet never comes from there"
        mend = "write the public address that the firewall translates to"
        return _finding("IP-PRIVATE", resource, name, summary, mend)
    return None


def _dkim(resource: Resource, spec: Dkim) -> Iterator[Finding]:
    if spec.key_size == 1024:
        summary = f"{resource.address}: a key of 1024 bits is weak"
        yield _finding("DKIM-KEY-1024", resource, "key_size", summary, "write key_size: 2048")


def _finding(rule_id: str, resource: Resource, name: str, summary: str, mend: str) -> Finding:
    rule = RULES[rule_id]
    at = resource.fields.get(name, resource.location)
    return Finding(rule.id, rule.severity, summary, mend, resource.address, rule.blocks, location=at)
