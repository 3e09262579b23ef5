"""Who can send, by the sandbox's own mail rules: mail at the MX endpoint, sign-ins, and a device that may do both."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provisioner.sandbox.mail_directory import owner_of
from provisioner.sandbox.mail_rules import (
    Source,
    _bare,
    _enabled,
    _meant,
    _restricted,
    identifies,
    recipient_refusal,
)
from provisioner.sandbox.submission_rules import mailbox_refusals, send_as_refusal
from provisioner.sandbox.tenant import Tenant
from tests.engine.cut_off.worlds import BOXES, World, certificates, networks

INSIDE, OUTSIDE = "box3@contoso.com", "somebody@outside.example"
STRANGER = "203.0.113.77"
FROM = ("a@contoso.com", "a@fabrikam.com", "a@sub.fabrikam.com", "a@sub.contoso.com", "a@bank.example",
        "a@eu.bank.example", "a@fund.example", "a@elsewhere.example", "")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attempt:
    """One message: handed to the MX endpoint by `source`, or signed in for as `mailbox`."""

    sender: str
    recipient: str
    source: Source | None = None
    mailbox: str = ""

    def passes(self, tenant: Tenant) -> bool:
        """Whether the sandbox takes it, or refuses it for what no source decides."""
        if self.source is not None:
            refusal = recipient_refusal(tenant, self.source, self.sender, self.recipient)
            return refusal is None or _undecided(tenant, self.source, refusal)
        owner = owner_of(tenant, self.mailbox)
        if owner is None or any(mailbox_refusals(tenant, owner)):
            return False
        return send_as_refusal(tenant, self.mailbox, self.sender) is None

    def torn(self, tenant: Tenant) -> bool:
        """Whether one partner's connector restricts the source and another takes it: no source says which counts."""
        if self.source is None:
            return False
        partners = [row for row in _enabled(tenant, "Partner") if _meant(row, self.sender)]
        restricted = [row for row in partners if _restricted(row, self.source)]
        taking = (r for r in partners if r not in restricted and (_bare(r) or identifies(r, self.source)))
        return bool(restricted) and any(taking)


def _undecided(tenant: Tenant, source: Source, refusal: str) -> bool:
    """Whether the sandbox had to choose: of several connectors that relay for a source it takes one.

    And addresses count for a partner's connector only with RestrictDomainsToIPAddresses (New-InboundConnector,
    -SenderIPAddresses), so that without, nothing says whether its RequireTls is about the source.
    """
    enabled = [r for r in tenant.visible("InboundConnector") if r.get("Enabled") is not False]
    known = [row for row in enabled if identifies(row, source)]
    if refusal.startswith("451"):
        partners = [row for row in known if row.get("ConnectorType") == "Partner" and row.get("RequireTls") is True]
        return any(row.get("RestrictDomainsToIPAddresses") is not True for row in partners)
    return len([row for row in known if row.get("ConnectorType") == "OnPremises"]) > 1


Ways = tuple[Attempt, ...]
"""One sender, by all the ways in which it may send the same message."""


def senders(found: World) -> Sequence[Ways]:
    """Both ends and the neighbours of every network, each certificate, mailbox, domain and subdomain, a stranger."""
    sources = [Source(address, tls=tls) for address in _addresses(found) for tls in (False, True)]
    names = dict.fromkeys(certificates(found))
    sources += [Source(STRANGER, (name,), tls=True) for name in names]
    sources += [Source(next(iter(_ends(network))), (name,), tls=True) for network in networks(found) for name in names]
    ways: list[Ways] = [
        (Attempt(sender, recipient, source),)
        for source in dict.fromkeys(sources)
        for sender in FROM
        for recipient in (INSIDE, OUTSIDE)
    ]
    ways += [(Attempt(sender, OUTSIDE, mailbox=box),) for box in BOXES for sender in BOXES]
    return [*ways, *_of_devices(found)]


class Able:
    """Those of some senders who can send now. A state of the tenant that was judged before is not judged again."""

    def __init__(self, among: Sequence[Ways]) -> None:
        self._among = among
        self._known: dict[str, frozenset[Ways]] = {}

    def now(self, tenant: Tenant) -> frozenset[Ways]:
        state = repr([tenant.visible(noun) for noun in sorted(tenant.objects)])
        if state not in self._known:
            can = (ways for ways in self._among if any(attempt.passes(tenant) for attempt in ways))
            self._known[state] = frozenset(can)
        return self._known[state]


def certain(tenant: Tenant, among: Sequence[Ways]) -> frozenset[Ways]:
    """Those who can send now by what sources say."""
    return frozenset(w for w in among if any(a.passes(tenant) and not a.torn(tenant) for a in w))


def _addresses(found: World) -> Iterator[str]:
    addresses = {STRANGER: None}
    for network in networks(found):
        addresses.update(dict.fromkeys(_ends(network)))
        whole = ipaddress.ip_network(network)
        addresses.update({str(whole[0] - 1): None, str(whole[-1] + 1): None})
    return iter(addresses)


def _ends(network: str) -> tuple[str, str]:
    whole = ipaddress.ip_network(network)
    return str(whole[0]), str(whole[-1])


def _of_devices(found: World) -> Iterator[Ways]:
    """A device from each end of each of its networks; it signs in, or brings its mail itself."""
    for device in found.devices:
        (box,) = device.mailboxes
        for network in sorted(device.networks):
            for address in _ends(network):
                yield Attempt(box, OUTSIDE, Source(address, tls=True)), Attempt(box, OUTSIDE, mailbox=box)
