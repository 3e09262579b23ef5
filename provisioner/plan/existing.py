"""A tenant's sending paths -> proposed sites and devices: what would have to be asked about each of them. Pure.

A connector that lists addresses says where mail comes from, and a mailbox with SMTP AUTH that something logs in to it;
neither says which device that is. The sites stand, since a site alone changes nothing; the devices are comments until
somebody answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.model import Address
from provisioner.model.picture import Picture, Relay, SignIn
from provisioner.plan.proposing import Entry, Proposal, unused

_FIXED = "Are these egress IP addresses fixed, and the organization's own? If others send from them too: shared: true"
_WHICH = "Which devices send from here? Write one entry for each, with a name of its own"
_WHO = "Which device or application logs in to this mailbox?"


def proposal(picture: Picture, tenant: str) -> Proposal:
    """A site for each connector that lists addresses, and a device for each path whose sender nobody declared."""
    sites: dict[str, Entry] = {}
    devices: dict[str, Entry] = {}
    for address, networks in _relays(picture):
        name = unused(address.key, sites)
        note = (
            f"{address} lists these addresses. A device at this site needs a connector: take that one over or remove it"
        )
        sites[name] = Entry(name, {"egress_ip_addresses": networks}, (note,), (_FIXED,))
        known = unused(f"{name}-device", devices)
        devices[known] = Entry(known, {"site": name}, (f"Mail from {address}",), (), (_WHICH,))
    for address, sign_in in picture.every(SignIn):
        if sign_in.switch == "enabled" and "@" in sign_in.mailbox:
            name = unused(sign_in.mailbox.partition("@")[0], devices)
            body = {"from": sign_in.mailbox}
            devices[name] = Entry(name, body, (f"{address}: SMTP AUTH is enabled for it",), (), (_WHO,))
    title = f"Proposed from the inbound connectors and the SMTP AUTH settings of {tenant}."
    return Proposal(title, tuple(sites.values()), tuple(devices.values()))


def _relays(picture: Picture) -> Iterator[tuple[Address, list[str]]]:
    for address, relay in picture.every(Relay):
        if isinstance(relay.networks, frozenset) and relay.networks:
            yield address, sorted(network.removesuffix("/32") for network in relay.networks)
