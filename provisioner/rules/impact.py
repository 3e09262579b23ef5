"""What the changes, and the tenant as it is, mean for the plan's devices: who cannot send, and who loses its way.

Two pictures of the tenant are compared, as it is and as it will be; a device that could send in the first and cannot in
the second loses its way. What the plan does not speak of and nobody read is in neither.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from provisioner.devices import choose, facts_of
from provisioner.diagnostics import Location
from provisioner.mailflow.verdict import ORGANIZATION_CONFIG, Switches, Verdict, judge, rejects_direct_send, switches_of
from provisioner.model import Action, Address, Change, Desired, Finding, Observed, Present, request_key
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, SMTP_RELAY, Device
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.organization import SETTINGS
from provisioner.resources.smtp_auth import ORGANIZATION
from provisioner.rules.catalogue import RULES

Connectors = Mapping[Address, InboundConnector]


def device_findings(desired: Desired, observed: Observed, changes: Sequence[Change]) -> Iterator[Finding]:
    """All findings about devices that need the tenant."""
    if not desired.devices:
        return
    pending = {c.address: c for c in changes if c.action is not Action.NO_OP}
    yield from _sign_ins(desired, observed, pending)
    yield from _rejected(desired, observed, pending)
    yield from _relays_lost(desired, observed, pending)
    yield from _direct_send_lost(desired, pending)


# --- signing in ------------------------------------------------------------------------------------------------------


def _sign_ins(desired: Desired, observed: Observed, pending: Mapping[Address, Change]) -> Iterator[Finding]:
    """The verdict on every sign-in once the changes are made: what forbids it, told once with all it forbids."""
    blocked: dict[Verdict, list[Device]] = {}
    unknown: dict[tuple[str, ...], list[Device]] = {}
    for device in _by_method(desired, CLIENT_SUBMISSION):
        now = switches_of(device.mailbox, observed)
        authentication = desired.choices[device.name].authentication
        verdict = judge(after(now, device.mailbox, pending), authentication)
        if verdict.allowed is not False:
            if verdict.unknown:
                unknown.setdefault(verdict.unknown, []).append(device)
        elif verdict.blocked_by in {"mailbox", "organization"} and judge(now, authentication).allowed:
            yield _loses(device, verdict.sentence, _switch_change(device, pending))
        else:
            blocked.setdefault(dataclasses.replace(verdict, unknown=()), []).append(device)
    for verdict, devices in blocked.items():
        summary = f"{_listed(devices)} cannot sign in: {verdict.sentence}"
        yield _finding("SMTP-AUTH-BLOCKED", summary, verdict.mend, devices[0].location)
    for names, devices in unknown.items():
        summary = f"whether {_listed(devices)} can sign in is not certain: {' and '.join(names)} could not be read"
        mend = "grant the application the permission (Policy.Read.All for the security defaults), or look yourself"
        yield _finding("SMTP-AUTH-UNKNOWN", summary, mend, devices[0].location)


def after(now: Switches, mailbox: str, pending: Mapping[Address, Change]) -> Switches:
    """The switches as they will be: as now, but for what the pending changes say."""
    own = pending.get(Address("smtp_auth", mailbox))
    whole = pending.get(Address("smtp_auth", ORGANIZATION))
    return dataclasses.replace(
        now,
        mailbox=own.after.smtp_auth if own and own.after else now.mailbox,
        organization=whole.after.smtp_auth if whole and whole.after else now.organization,
    )


def _switch_change(device: Device, pending: Mapping[Address, Change]) -> Address | None:
    for key in (device.mailbox, ORGANIZATION):
        if Address("smtp_auth", key) in pending:
            return Address("smtp_auth", key)
    return None


# --- relays ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Way:
    """What tells Exchange that mail is of this device: its networks, or its certificate."""

    networks: frozenset[str]
    certificate: str

    def open_by(self, connectors: Iterable[InboundConnector]) -> bool:
        """Whether connectors let all of it in."""
        relaying = [c for c in connectors if c.type == "on_premises" and c.enabled is not False]
        if self.certificate and any(c.tls_sender_certificate_name == self.certificate for c in relaying):
            return True
        named = [ipaddress.IPv4Network(n) for c in relaying for n in c.sender_ip_addresses or () if _is_network(n)]
        return bool(self.networks) and all(
            any(ipaddress.IPv4Network(network).subnet_of(n) for n in named) for network in self.networks
        )


def _is_network(text: str) -> bool:
    """Whether a stored address has a form that we know."""
    try:
        ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return True


def _relays_lost(desired: Desired, observed: Observed, pending: Mapping[Address, Change]) -> Iterator[Finding]:
    touched = [a for a in pending if a.type == "inbound_connector"]
    if not touched:
        return
    before = _connectors(observed)
    behind = _changed(before, pending)
    for device in _by_method(desired, SMTP_RELAY):
        site = desired.sites.get(device.site or "")
        way = _Way(site.egress_ip_addresses if site else device.sender_ip_addresses, device.certificate)
        if way.open_by(before.values()) and not way.open_by(behind.values()):
            cause = next((a for a in touched if a in before and not way.open_by(_without(before, a))), touched[0])
            yield _loses(device, f"{cause} no longer lets it in, and no other connector does", cause)


def _connectors(observed: Observed) -> dict[Address, InboundConnector]:
    """Every connector that was seen, declared or not."""
    seen = {a: o.spec for a, o in observed.resources.items() if isinstance(o, Present)}
    return {a: s for a, s in {**seen, **observed.undeclared}.items() if isinstance(s, InboundConnector)}


def _changed(connectors: Connectors, pending: Mapping[Address, Change]) -> dict[Address, InboundConnector]:
    """The connectors with every change made."""
    changed = dict(connectors)
    for address, change in pending.items():
        if address.type != "inbound_connector":
            continue
        if change.after is None:
            changed.pop(address, None)
            continue
        given = {n: v for n in InboundConnector.__dataclass_fields__ if (v := getattr(change.after, n)) is not None}
        there = changed.get(address)
        changed[address] = dataclasses.replace(there, **given) if there else change.after
    return changed


def _without(connectors: Connectors, address: Address) -> list[InboundConnector]:
    return [spec for a, spec in connectors.items() if a != address]


# --- direct send -----------------------------------------------------------------------------------------------------


def _rejected(desired: Desired, observed: Observed, pending: Mapping[Address, Change]) -> Iterator[Finding]:
    """Devices that are to send direct in a tenant that refuses it, and that the plan does not change."""
    devices = list(_by_method(desired, DIRECT_SEND))
    if not devices or Address("organization", SETTINGS) in pending:
        return
    rejects = rejects_direct_send(observed)
    if rejects is None and request_key(ORGANIZATION_CONFIG) in observed.evidence:
        summary = f"whether {_listed(devices)} can use direct send is not known: RejectDirectSend could not be read"
        mend = "give the application a role that may run Get-OrganizationConfig (Global Reader), and plan again"
        yield _finding("DIRECT-SEND-UNKNOWN", summary, mend, devices[0].location)
    if not rejects:
        return
    summary = f"{_listed(devices)} would be refused: the organization rejects direct send (550 5.7.68)"
    mend = "give them a fixed address for SMTP relay, or write organization: { reject_direct_send: false }"
    yield _finding("DIRECT-SEND-REJECTED", summary, mend, devices[0].location)


def _direct_send_lost(desired: Desired, pending: Mapping[Address, Change]) -> Iterator[Finding]:
    """Devices for which direct send is the way as long as the organization does not reject it."""
    address = Address("organization", SETTINGS)
    change = pending.get(address)
    if change is None or change.after is None or not change.after.reject_direct_send:
        return
    for device in desired.devices.values():
        facts = dataclasses.replace(facts_of(device, desired), reject_direct_send=False)
        if choose(device, facts).method != DIRECT_SEND:
            continue
        lost = _loses(device, "direct send is rejected from then on", address)
        choice = desired.choices.get(device.name)
        advice = "; or ".join(choice.advice) if choice else ""
        yield dataclasses.replace(lost, mend=advice or lost.mend)


# --- findings --------------------------------------------------------------------------------------------------------


def _by_method(desired: Desired, method: str) -> Iterator[Device]:
    return (desired.devices[name] for name, choice in desired.choices.items() if choice.method == method)


def _listed(devices: Sequence[Device], most: int = 5) -> str:
    more = f" and {len(devices) - most:,} more" if len(devices) > most else ""
    return ", ".join(d.address for d in devices[:most]) + more


def _loses(device: Device, why: str, cause: Address | None) -> Finding:
    rule = RULES["DEVICE-LOSES-WAY"]
    summary = f"{device.address} loses its way of sending: {why}"
    mend = "give it another way first, or take it out of the plan if it is gone"
    return Finding(rule.id, rule.severity, summary, mend, cause, rule.blocks, location=device.location)


def _finding(identifier: str, summary: str, mend: str, location: Location | None) -> Finding:
    rule = RULES[identifier]
    return Finding(rule.id, rule.severity, summary, mend, blocks=rule.blocks, location=location)
