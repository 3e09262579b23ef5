"""Who can send, by the sandbox's own mail rules: mail at the MX endpoint, sign-ins, and a device that may do both."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.tenant import Tenant
from tests.engine.cut_off.attempts import Attempt, Ways
from tests.engine.cut_off.topics import BOXES, OUTSIDE
from tests.engine.cut_off.worlds import World, certificates, networks

STRANGER = "203.0.113.77"
FROM = ("a@contoso.com", "a@fabrikam.com", "a@sub.fabrikam.com", "a@sub.contoso.com", "a@bank.example",
        "a@eu.bank.example", "a@fund.example", "a@elsewhere.example", "")  # fmt: skip


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
        for recipient in found.recipients
    ]
    ways += [(Attempt(sender, OUTSIDE, mailbox=box),) for box in BOXES for sender in BOXES]
    return [*ways, *_of_devices(found), *found.moving]


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
