"""What the devices of a plan take: resources, merged with those that the plan declares itself.

A sign-in takes the mailbox's SMTP AUTH exception, its user, and Send As where the From address is another; that of an
application its service principal and FullAccess to the mailbox too. A relay
takes a connector that names where it comes from: one for each site, one for each certificate, one for a device with
addresses of its own; a declared connector that covers the addresses serves as well. High Volume Email takes an account.
All take a From domain of ours.
What the plan says otherwise in another place is a mistake that names both places.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.devices.attempts import signs_in_as_application
from provisioner.devices.choice import TRANSPORT, choose, facts_of
from provisioner.diagnostics import Diagnostic, Location, Severity
from provisioner.mailflow import Attempt, decide
from provisioner.mailflow.picture import of_declared
from provisioner.model import Address, Advice, Desired, Resource
from provisioner.model.devices import (
    CLIENT_SUBMISSION,
    DIRECT_SEND,
    GRAPH,
    HIGH_VOLUME_EMAIL,
    ROLE_ASSIGNMENT,
    SMTP_RELAY,
    THIRD_PARTY,
    Choice,
    Device,
)
from provisioner.model.names import caseless
from provisioner.model.picture import Picture
from provisioner.resources.application_role_assignment import assignment_of
from provisioner.resources.dns_record import SPF, DnsRecordType, spf_term
from provisioner.resources.domain import Domain
from provisioner.resources.hve_account import HveAccount
from provisioner.resources.inbound_connector import InboundConnector, InboundConnectorType
from provisioner.resources.mailbox import Mailbox
from provisioner.resources.mailbox_permission import permission_of
from provisioner.resources.send_as import pair_of
from provisioner.resources.service_principal import ServicePrincipal
from provisioner.resources.smtp_auth import ORGANIZATION, SmtpAuth

_CONNECTOR = "inbound_connector"


def expand(desired: Desired) -> tuple[Desired, Sequence[Diagnostic]]:
    """The plan with what its devices take, how each is to send, and what contradicts itself.

    A device that no method will do for takes nothing; the rule DEVICE-NO-METHOD mentions it.
    """
    if not desired.devices:
        return desired, ()
    work = _Expansion(desired, dict(desired.resources))
    for device in desired.devices.values():
        choice = choose(device, facts_of(device, desired))
        work.choices[device.name] = choice
        if choice.method is not None:
            work.take(device, choice)
    work.connect()
    expanded = dataclasses.replace(desired, resources=work.resources, choices=work.choices)
    return dataclasses.replace(expanded, resources=_with_senders(expanded)), work.found


def _with_senders(desired: Desired) -> Mapping[Address, Resource]:
    """The plan's objects, where an SPF record that it publishes names the networks that send for its domain."""
    resources = dict(desired.resources)
    for domain, networks in egress(desired).items():
        address = Address(DnsRecordType.name, f"{domain}/{SPF}")
        record = resources.get(address)
        if record is not None and record.spec.terms is not None:
            terms = frozenset(filter(None, map(spf_term, networks)))
            resources[address] = dataclasses.replace(
                record, spec=dataclasses.replace(record.spec, terms=record.spec.terms | terms)
            )
    return resources


def lost(desired: Desired) -> Desired:
    """A plan with mistakes, with the choices of the devices that no method works for: one pass names them too."""
    choices = {device.name: choose(device, facts_of(device, desired)) for device in desired.devices.values()}
    return dataclasses.replace(desired, choices={name: c for name, c in choices.items() if c.method is None})


def odd_sources(desired: Desired) -> Iterator[tuple[str, Location | None, Advice]]:
    """What is wrong with addresses of sites and devices, whatever they are used for: of which one, and where."""
    kind = InboundConnectorType()
    sources = [(f"site/{s.name}", s.location, s.egress_ip_addresses) for s in desired.sites.values()]
    for device in desired.devices.values():
        at = device.fields.get("sender_ip_addresses", device.location)
        sources.append((device.address, at, device.sender_ip_addresses))
    for name, location, networks in sources:
        spec = InboundConnector(name, type="on_premises", sender_ip_addresses=networks)
        yield from ((name, location, advice) for advice in kind.lint(spec) if networks)


def worked_out_for(resource: Resource, desired: Desired) -> Device | None:
    """The first device that a resource was worked out for; None for one that the plan writes itself."""
    devices = (desired.devices[name] for name in resource.devices if name in desired.devices)
    return next((d for d in devices if resource.location is not None and d.location == resource.location), None)


def egress(desired: Desired) -> Mapping[str, frozenset[str]]:
    """The networks that send in the name of each domain without signing in: what SPF of the domain must let through."""
    found: dict[str, set[str]] = {}
    for device in desired.devices.values():
        choice = desired.choices.get(device.name)
        if choice is None or choice.method not in {SMTP_RELAY, DIRECT_SEND, THIRD_PARTY}:
            continue
        site = desired.sites.get(device.site or "")
        sources = site.fixed if site else device.sender_ip_addresses
        for domain in device.domains:
            found.setdefault(domain, set()).update(sources)
    return {domain: frozenset(networks) for domain, networks in found.items()}


@dataclass(frozen=True, slots=True)
class _Source:
    """What one connector of ours would name: addresses or a certificate, whose they are, and where that is written."""

    name: str
    comment: str
    addresses: frozenset[str]
    certificate: str
    location: Location | None


def _admitting(spec: InboundConnector, source: _Source, missing: frozenset[str]) -> str:
    """What makes a declared connector accept mail from a source that it should name and does not."""
    lacks = []
    if spec.type not in {None, "on_premises"}:
        lacks.append("write type: on_premises")
    if spec.enabled is False:
        lacks.append("write enabled: true")
    if source.certificate and spec.tls_sender_certificate_name != source.certificate:
        lacks.append(f"write tls_sender_certificate_name: {source.certificate}")
    unnamed = sorted(n.removesuffix("/32") for n in missing - (spec.sender_ip_addresses or frozenset()))
    if unnamed:
        lacks.append(f"add {', '.join(unnamed)} to its sender_ip_addresses")
    return f"give the declared connector another name, or {' and '.join(lacks)} there" if lacks else _RENAME


_RENAME = "give the declared connector another name"


@dataclass(slots=True)
class _Expansion:
    """One expansion under way: `resources` grows, connectors come last, when it is known who shares them."""

    desired: Desired
    resources: dict[Address, Resource]
    choices: dict[str, Choice] = field(default_factory=dict)
    found: list[Diagnostic] = field(default_factory=list)
    sharing: dict[tuple[frozenset[str], str], tuple[_Source, list[Device]]] = field(default_factory=dict)

    def take(self, device: Device, choice: Choice) -> None:
        """What the device takes by itself; a relay is noted for `connect`."""
        for domain in device.domains:
            self._domain(domain, device)
        if choice.method == CLIENT_SUBMISSION:
            self._switch(device)
            if device.legacy_tls:
                self._add(TRANSPORT, self.resources[TRANSPORT].spec, device)
            application = signs_in_as_application(device, choice.authentication) is True
            self._user(device, application=application)
            if application and device.client_id:
                self._application(device)
            for sender in device.addresses:
                if sender != device.mailbox:
                    right = pair_of(device.mailbox, sender)
                    self._add(Address("send_as", right.pair), right, device)
        elif choice.method == HIGH_VOLUME_EMAIL:
            self._add(Address("hve_account", device.account), HveAccount(device.account), device)
        elif choice.method == GRAPH and device.client_id and device.mailbox:
            self._add(Address("service_principal", device.client_id), ServicePrincipal(device.client_id), device)
            self._user(device, application=True)
            self._role("Mail.Send", device)
        elif choice.method == SMTP_RELAY:
            source = self._source(device)
            self.sharing.setdefault((source.addresses, source.certificate), (source, []))[1].append(device)

    # --- single resources --------------------------------------------------------------------------------------

    def _add(self, address: Address, spec: Any, device: Device, fields: Mapping[str, Location] | None = None) -> None:
        """A resource for a device; where it exists already, the device is one more that needs it."""
        there = self.resources.get(address)
        if there is None:
            self.resources[address] = Resource(address, spec, device.location, fields or {}, (device.name,))
        elif device.name not in there.devices:
            self.resources[address] = dataclasses.replace(there, devices=(*there.devices, device.name))

    def _domain(self, name: str, device: Device) -> None:
        """The domain of a From address, verified and accepted, whatever else the plan expects of it."""
        address = Address("domain", name)
        self._add(address, Domain(name, verified=True, accepted=True), device)
        there = self.resources[address]
        spec = dataclasses.replace(there.spec, verified=True, accepted=True)
        if spec != there.spec:
            self.resources[address] = dataclasses.replace(there, spec=spec)

    def _user(self, device: Device, *, application: bool) -> None:
        """The mailbox's user. An application signs in to a mailbox whose user may not, such as a shared mailbox.

        Source: Learn, "Authenticate an IMAP, POP or SMTP connection using OAuth", client credentials.
        """
        address, person = Address("mailbox", device.mailbox), None if application else True
        self._add(address, Mailbox(device.mailbox, person, person), device)
        there = self.resources[address]
        spec = Mailbox(device.mailbox, there.spec.enabled or person, there.spec.licensed or person)
        if spec != there.spec:
            self.resources[address] = dataclasses.replace(there, spec=spec)

    def _application(self, device: Device) -> None:
        """The application in Exchange, and its right on the mailbox. Consent in Entra ID is not ours to give."""
        self._add(Address("service_principal", device.client_id), ServicePrincipal(device.client_id), device)
        if device.access == ROLE_ASSIGNMENT:
            self._role("SMTP.SendAsApp", device)
            return
        right = permission_of(device.client_id, device.mailbox)
        self._add(Address("mailbox_permission", right.pair), right, device)

    def _role(self, permission: str, device: Device) -> None:
        """A role of the application, on the mailboxes of all devices that use it."""
        role = assignment_of(device.client_id, permission, [device.mailbox])
        address = Address("application_role_assignment", role.assignment)
        self._add(address, role, device)
        there = self.resources[address]
        mailboxes = (there.spec.mailboxes or frozenset()) | {device.mailbox}
        if mailboxes != there.spec.mailboxes:
            self.resources[address] = dataclasses.replace(
                there, spec=dataclasses.replace(there.spec, mailboxes=mailboxes)
            )

    def _switch(self, device: Device) -> None:
        """SMTP AUTH on for the mailbox. A plan that says otherwise in smtp_auth contradicts itself."""
        address = Address("smtp_auth", device.mailbox)
        there = self.resources.get(address)
        if there is not None and not self._lets_in(there):
            what = f"{device.address} signs in as {device.mailbox}, for which SMTP AUTH is to be {there.spec.smtp_auth}"
            hint = " or ".join(["write enabled there", *self._other_methods(device)])
            self._conflict(device, "mailbox", what, hint, there.location)
            return
        self._add(address, SmtpAuth(device.mailbox, "enabled"), device)

    def _other_methods(self, device: Device) -> Iterator[str]:
        """The other methods that would do for a device, as its plan would write them."""
        for method in (SMTP_RELAY, DIRECT_SEND):
            other = choose(dataclasses.replace(device, method=method), facts_of(device, self.desired))
            if other.method is not None:
                yield f"write method: {method} for the device"

    def _lets_in(self, switch: Resource) -> bool:
        """Whether a declared switch, and the organization's where it inherits, let an application sign in."""
        whole = self.resources.get(Address("smtp_auth", ORGANIZATION))
        picture = of_declared([switch, *([whole] if whole else [])])
        attempt = Attempt("", False, authentication="oauth", mailbox=switch.address.key, application=True)
        return decide(picture, attempt).allowed is True

    # --- connectors ---------------------------------------------------------------------------------------------

    def _source(self, device: Device) -> _Source:
        """How Exchange can tell this device: by certificate, or by the addresses of its site or its own."""
        if device.certificate and device.modern_tls:
            name = device.certificate.replace("*.", "any.")
            comment = f"Devices with the certificate {device.certificate}"
            at = device.fields.get("certificate", device.location)
            return _Source(f"certificate-{name}", comment, frozenset(), device.certificate, at)
        site = self.desired.sites.get(device.site or "")
        if site is not None:
            return _Source(f"site-{site.name}", f"Devices at {site.name}", site.egress_ip_addresses, "", site.location)
        at = device.fields.get("sender_ip_addresses", device.location)
        return _Source(f"device-{device.name}", f"Device {device.name}", device.sender_ip_addresses, "", at)

    def connect(self) -> None:
        """A connector for every source that no declared one covers."""
        names = {caseless(a.key): r for a, r in self.resources.items() if a.type == _CONNECTOR}
        picture = of_declared(self.resources.values())
        made = False
        for source, devices in self.sharing.values():
            missing = self._left_over(source, devices, picture)
            if missing is None:
                continue
            clash = names.get(caseless(source.name))
            if clash is not None:
                what = (
                    f"{devices[0].address} needs a connector {source.name}, and the plan declares another of that name"
                )
                self._conflict(devices[0], "site", what, _admitting(clash.spec, source, missing), clash.location)
                continue
            made = True
            self._connector(source, missing, devices)
        if made and not self.desired.owner:
            self._tell_ownerless()

    def _left_over(self, source: _Source, devices: Sequence[Device], picture: Picture) -> frozenset[str] | None:
        """The addresses that no declared connector admits; None where declared ones know all, or the certificate."""
        missing, served = set(source.addresses), set[tuple[Address, str]]()
        decided = functools.cache(lambda attempt: decide(picture, attempt))  # devices of a domain are alike
        for network in sorted(source.addresses) or ("",):
            for device, domain in ((one, domain) for one in devices for domain in one.domains):
                attempt = Attempt(f"@{domain}", True, network, source.certificate)
                found = decided(attempt)
                if not found.allowed:
                    continue
                missing.discard(network)
                plain = device.tls == "none" and not decided(dataclasses.replace(attempt, tls=False)).allowed
                for address in found.by:
                    if (address, device.name) not in served:
                        self._serve(self.resources[address], device, plain)
                        served.add((address, device.name))
        return frozenset(missing) if missing or (source.certificate and not served) else None

    def _serve(self, resource: Resource, device: Device, plain: bool) -> None:
        """A declared connector that a device uses. It must admit it: without TLS, where that is all it can do."""
        if plain:
            what = f"{device.address} does not support TLS, which {resource.address} requires of everyone"
            at = resource.fields.get("require_tls", resource.location)
            self._conflict(device, "supports", what, "write require_tls: false there", at)
        self._add(resource.address, resource.spec, device)

    def _connector(self, source: _Source, addresses: frozenset[str], devices: Sequence[Device]) -> None:
        spec = InboundConnector(
            source.name,
            type="on_premises",
            enabled=True,
            sender_ip_addresses=addresses or None,
            sender_domains=frozenset({"*"}),
            require_tls=bool(source.certificate) or all(d.modern_tls for d in self._senders(addresses)),
            tls_sender_certificate_name=source.certificate or None,
            comment=source.comment,
            owner=self.desired.owner or None,
            owner_key=source.name if self.desired.owner else None,
        )
        fields = {"sender_ip_addresses": source.location} if source.location else {}
        for device in devices:
            self._add(Address(_CONNECTOR, source.name), spec, device, fields)

    def _senders(self, addresses: frozenset[str]) -> Sequence[Device]:
        """Every device that sends from one of these networks: a connector names an address, not a device."""
        at_mx = [d for d in self.desired.devices.values() if self.choices[d.name].method in {SMTP_RELAY, DIRECT_SEND}]
        return [d for d in at_mx if facts_of(d, self.desired).sources & addresses]

    # --- mistakes -----------------------------------------------------------------------------------------------

    def _conflict(self, device: Device, part: str, what: str, hint: str, other: Location | None) -> None:
        at = device.fields.get(part, device.location)
        related = ((other, "what it contradicts"),) if other else ()
        self.found.append(
            Diagnostic("DEVICE-CONFLICT", what, hint, location=at, address=device.address, related=related)
        )

    def _tell_ownerless(self) -> None:
        what = "the plan names no owner: connectors that it makes for devices stay when the last device is gone"
        self.found.append(Diagnostic("DEVICE-OWNERLESS", what, "write owner: and a name", Severity.WARNING))
