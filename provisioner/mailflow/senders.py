"""Whom a sending path is about: senders in groups, and whether two groups can hold the same sender. Pure.

A sender hands mail to the tenant in one of two ways: it signs in to a mailbox, or it brings mail to the MX endpoint
from an address or with a certificate, in the name of a domain. Only a device tells that one sender does both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provisioner.model.devices import Device, Site
from provisioner.model.picture import ANY, NONE, Scope, holds, shared


@dataclass(frozen=True, slots=True)
class Group:
    """The senders that a path, or a refusal, is about. What is not limited is meant as a whole.

    `mailboxes` are those that sign in, or in whose name they do. The others bring mail to the MX endpoint: from
    `networks` or with `certificates`, from anywhere where neither is named, in the name of `domains`. `recipients` are
    the domains of mail that leaves the tenant. `everyone`: no sender is excepted.
    """

    mailboxes: Scope = NONE
    networks: Scope = NONE
    certificates: Scope = NONE
    domains: Scope = ANY
    recipients: Scope = NONE
    everyone: bool = False

    def meets(self, other: Group) -> bool:
        """Whether a sender can be in both groups.

        An address and a certificate may be those of one sender. A mailbox and a connector have a sender in common as
        far as the connector names the domain of the mailbox.
        """
        if self.everyone or other.everyone:
            return True
        if self.recipients or other.recipients:
            return _common(self.recipients, other.recipients)
        if self.mailboxes and other.mailboxes:
            return not self.mailboxes.isdisjoint(other.mailboxes)
        if self.mailboxes or other.mailboxes:
            signs_in, brings = (self, other) if self.mailboxes else (other, self)
            return brings.domains != ANY and any(holds(brings.domains, _domain(m)) for m in signs_in.mailboxes)
        return _common(self.domains, other.domains) and self._same_sources(other)

    def _same_sources(self, other: Group) -> bool:
        if not (self.sources and other.sources):
            return True
        if _common(self.networks, other.networks) or _common(self.certificates, other.certificates):
            return True
        return bool((self.networks and other.certificates) or (self.certificates and other.networks))

    @property
    def sources(self) -> Scope:
        """The networks and names of certificates by which the senders are known."""
        return self.networks | self.certificates


EVERYONE = Group(everyone=True)
Groups = frozenset[Group]
NOBODY: Groups = frozenset()


@dataclass(frozen=True, slots=True)
class Sender:
    """One device with all that it may send by: the mailboxes, networks and certificates that are its own.

    `domains` are those in whose name it sends.
    """

    name: str
    mailboxes: Scope = NONE
    networks: Scope = NONE
    certificates: Scope = NONE
    domains: Scope = NONE

    def is_of(self, group: Group) -> bool:
        """Whether the group holds the device, by what is known of it."""
        if group.everyone:
            return True
        if group.recipients:
            return False
        if group.mailboxes:
            return not group.mailboxes.isdisjoint(self.mailboxes)
        if not _common(group.domains, self.domains):
            return False
        return not group.sources or (
            _common(group.networks, self.networks) or _common(group.certificates, self.certificates)
        )


def sender_of(device: Device, site: Site | None) -> Sender:
    """A device as a sender. The address that it sends from counts as a mailbox: it may sign in to it."""
    addresses = frozenset(filter(None, (device.mailbox, *device.addresses)))
    application = frozenset({device.client_id} if device.client_id else ())
    networks = site.egress_ip_addresses if site else device.sender_ip_addresses
    certificate = frozenset({device.certificate}) if device.certificate else NONE
    domains = frozenset(map(_domain, addresses)).union(device.domains)
    return Sender(device.name, addresses | application, networks, certificate, domains)


@dataclass(frozen=True, slots=True)
class Affected:
    """The senders that a change takes something from, with the devices among them; make it with `affected`.

    `devices` is None where it is not known who sends: then anyone may be concerned.
    """

    groups: Groups
    devices: tuple[Sender, ...] | None

    def concerned(self, others: Groups) -> bool:
        """Whether one of these senders can be among `others`."""
        if not self.groups or not others:
            return False
        if self.devices is None or any(one.meets(other) for one in self.groups for other in others):
            return True
        return any(device.is_of(group) for device in self.devices for group in others)


def affected(groups: Groups, known: Iterable[Sender] | None) -> Affected:
    """The senders of some groups. `known` are the devices that may send, None where that is not known."""
    if known is None:
        return Affected(groups, None)
    return Affected(_merged(groups), tuple(s for s in known if any(s.is_of(group) for group in groups)))


def _merged(groups: Groups) -> Groups:
    """The same senders with all mailboxes in one group, so that thousands of them are compared as a set."""
    if EVERYONE in groups:
        return frozenset({EVERYONE})
    mailboxes = frozenset[str]().union(*(g.mailboxes for g in groups))
    others = frozenset(g for g in groups if not g.mailboxes)
    return others | ({Group(mailboxes)} if mailboxes else NOBODY)


def _common(one: Scope, other: Scope) -> bool:
    return bool(shared(one, other))


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
