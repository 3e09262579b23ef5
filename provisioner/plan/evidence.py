"""An inventory of observed senders -> proposed sites and devices. Pure.

What was observed is written: how a sender was accepted, the newest TLS that it spoke, whether it mailed the outside,
from which egress address. What was not observed is asked for. That an address is fixed and the organization's own was
not observed either, unless a connector of the tenant names it already: a site stands only then, since a connector would
let every sender behind the address in (MC1226222: shared and changing addresses).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.model import Desired
from provisioner.model.devices import GRAPH, HIGH_VOLUME_EMAIL
from provisioner.model.listing import counted
from provisioner.model.picture import holds
from provisioner.plan.proposing import Entry, Proposal, unused
from provisioner.resources.canonical import email_address, sender_network
from provisioner.senders import inventory as kinds
from provisioner.senders.inventory import Inventory, Sender, SourceAddress
from provisioner.senders.traffic import accepted

MOST_ADDRESSES = 5
"""A sender that was seen from more addresses has no fixed one: a person on the move, or a service in a cloud."""

_AUTHENTICATION = {kinds.BASIC: ["basic"], kinds.OAUTH: ["oauth"]}
_METHOD = {kinds.GRAPH: GRAPH, kinds.HVE: HIGH_VOLUME_EMAIL}
_RECIPIENTS = {"inside": "organization", "outside": "anyone", "both": "anyone"}
_HOW = {
    kinds.BASIC: "client submission with a password",
    kinds.OAUTH: "client submission with OAuth",
    kinds.SUBMISSION: "client submission",
    kinds.RELAY: "SMTP relay",
    kinds.DIRECT: "direct send",
    kinds.HVE: "High Volume Email",
    kinds.GRAPH: "Microsoft Graph",
    kinds.UNKNOWN: "a protocol that no source told",
}

_FIXED = (
    "Is this address fixed, and the organization's own? Only then let the site stand. If others send from it too "
    "(CGNAT, a provider's pool): shared: true"
)
_NAME = "Which place is this? Give it a better name, here and at its devices"
_ABROAD = "method: if this is a service that sends in our name from its own servers, write method: third_party"


def proposal(inventory: Inventory, declared: Desired | None = None) -> Proposal:
    """What the inventory proposes for a plan that declares so much already."""
    proposing = _Proposing(inventory, declared or Desired("", "", {}))
    proposing.all()
    title = (
        f"Proposed from the senders of {inventory.tenant} observed from {inventory.begin[:10]} to {inventory.end[:10]}."
    )
    devices = tuple(device for device, _ in proposing.devices)
    return Proposal(title, tuple(proposing.sites.values()), devices, (), tuple(proposing.left))


def entries(senders: Sequence[Sender], inventory: Inventory, declared: Desired) -> list[tuple[Entry, Sender]]:
    """The devices that these senders of an inventory would be, each with its sender."""
    proposing = _Proposing(inventory, declared)
    for sender in senders:
        proposing.one(sender)
    return proposing.devices


@dataclasses.dataclass
class _Proposing:
    inventory: Inventory
    declared: Desired
    sites: dict[str, Entry] = dataclasses.field(default_factory=dict)
    devices: list[tuple[Entry, Sender]] = dataclasses.field(default_factory=list)
    left: list[str] = dataclasses.field(default_factory=list)

    def all(self) -> None:
        """Every sender: proposed, or told why not."""
        for source in self.inventory.sources:
            if source.state != "read":
                state = "was not read" if source.state == "not_read" else "was read in part"
                self.left.append(f"who is known from {source.name} alone: it {state} ({source.reason or source.needs})")
        for sender in self.inventory.senders:
            self.one(sender)
        self.left += [f"{m}: may log in with SMTP AUTH, and no source saw it" for m in self.inventory.idle_mailboxes]
        idle = self.inventory.idle_applications
        self.left += [f"{a}: may send through Microsoft Graph, and no source saw it get a token" for a in idle]

    def one(self, sender: Sender) -> None:
        """One device for each place that a sender was seen at; one without a place where it has too many, or none."""
        who = sender.address or sender.mailbox or (called(sender) if sender.client_ids else "the null sender")
        if not accepted(sender):
            codes = ", ".join(f"{f.count:,} times {f.code}" for f in sender.failures)
            self.left.append(f"{who}: all that was observed of it was refused ({codes})")
            return
        if not (sender.address or sender.mailbox) and sender.client_ids:
            self.left.append(f"{who}: {AS_WHOM}")
            return
        if not _is_address(who):
            self.left.append(f"{who}: not the address of a device")
            return
        places = list(_by_address(sender))
        if not 0 < len(places) <= MOST_ADDRESSES:
            self.devices.append((self._device(sender, None, None, places), sender))
            return
        for place in places:
            self.devices.append((self._device(sender, place, self._site(place), []), sender))

    def _site(self, place: SourceAddress) -> tuple[str, bool]:
        """The site of an address, by name, and whether it stands: declared, or named by a connector of the tenant."""
        network = sender_network(place.ip_address)
        for name, site in self.declared.sites.items():
            if holds(site.egress_ip_addresses, network):
                return name, True
        known = next((n for n, s in self.sites.items() if s.body["egress_ip_addresses"] == [place.ip_address]), None)
        name = known or unused(f"site-{place.ip_address}", (*self.sites, *self.declared.sites))
        connector = place.connector or self._connector_of(place.ip_address)
        note = (f"the connector {connector} took mail from this address",) if connector else ()
        self.sites[name] = Entry(
            name,
            {"egress_ip_addresses": [place.ip_address]},
            note,
            (_NAME,),
            () if connector else (_FIXED,),
        )
        return name, bool(connector)

    def _connector_of(self, address: str) -> str:
        """A connector that took any sender's mail from an address."""
        places = (s for sender in self.inventory.senders for s in sender.source_addresses if s.ip_address == address)
        return next((place.connector for place in places if place.connector), "")

    def _device(
        self,
        sender: Sender,
        place: SourceAddress | None,
        site: tuple[str, bool] | None,
        places: Sequence[SourceAddress],
    ) -> Entry:
        body = dict(_body(sender))
        name = (sender.address or sender.mailbox).partition("@")[0][:40]
        questions = list(_questions(sender, body))
        confirmed: dict[str, Any] = {}
        networks: frozenset[str] = frozenset()
        if place and site and site[1]:
            body, networks = {"site": site[0], **body}, frozenset({sender_network(place.ip_address)})
        elif site:
            confirmed["site"] = site[0]
            questions.append(f"site: {place.ip_address if place else ''} is its address only if the site stands")
        if places:
            count = len(places)
            questions.append(
                f"site: it was seen from {count:,} addresses; has it one that is fixed, such as a relay's?"
            )
        name = unused(name, (device.name for device, _ in self.devices))
        return Entry(name, body, tuple(_notes(sender, place)), tuple(questions), (), confirmed, networks)


def _by_address(sender: Sender) -> Iterator[SourceAddress]:
    """The IPv4 addresses of a sender, each once, with the connector that took its mail where one did.

    A connector names no IPv6 address (Set-InboundConnector).
    """
    found: dict[str, SourceAddress] = {}
    for place in sender.source_addresses:
        if place.ip_address and ipaddress.ip_address(place.ip_address).version == 4:
            known = found.get(place.ip_address)
            if known is None or (place.connector and not known.connector):
                found[place.ip_address] = place
    yield from found.values()


def _body(sender: Sender) -> Iterator[tuple[str, Any]]:
    """The fields of a device that were observed."""
    if sender.address:
        yield "from", sender.address
    if sender.mailbox and sender.mailbox != sender.address:
        yield "mailbox", sender.mailbox
    if sender.recipients in _RECIPIENTS:
        yield "recipients", _RECIPIENTS[sender.recipients]
    if sender.protocol in _METHOD:
        yield "method", _METHOD[sender.protocol]
    if sender.protocol != kinds.GRAPH and (abilities := dict(_abilities(sender))):
        yield "supports", abilities
    if sender.protocol == kinds.OAUTH and (oauth := _oauth(sender)):
        yield "oauth", oauth
    if average := _average(sender):
        yield "messages_per_day", average


def _average(sender: Sender) -> int:
    """Messages on an average day, by the source that counted the most; 0 for not counted."""
    counts = [(sender.messages or 0, sender.days), *((s.messages or 0, s.days) for s in sender.known_from)]
    return max((math.ceil(messages / days) for messages, days in counts if days), default=0)


def _abilities(sender: Sender) -> Iterator[tuple[str, Any]]:
    if set(sender.tls) - {"none"}:  # who sent in clear text may be able to do more
        yield "tls", max(sender.tls, key=lambda version: ("none", "1.0", "1.1", "1.2", "1.3").index(version))
    if sender.protocol in _AUTHENTICATION:
        yield "authentication", _AUTHENTICATION[sender.protocol]


def _oauth(sender: Sender) -> Mapping[str, str]:
    """Whose token it gets: an application's where its own sign-ins were seen."""
    if not any(s.source == "service_principal_sign_ins" for s in sender.known_from):
        return {}
    return {"sign_in": "application"} | ({"client_id": sender.client_ids[0]} if len(sender.client_ids) == 1 else {})


def _questions(sender: Sender, body: Mapping[str, Any]) -> Iterator[str]:
    if sender.recipients == "inside":
        yield "recipients: only internal recipients were seen; write anyone if it is to reach others too"
    if sender.protocol == kinds.OAUTH and "oauth" not in body:
        yield "oauth: does an application sign in (with a secret or certificate of its own), or a person?"
    if not sender.address:
        yield f"from: {sender.mailbox} signs in; its own address is usual"
    if sender.tls == ("none",):
        yield "supports.tls: it sent in clear text; can it speak TLS?"
    if len(sender.tls) > 1:
        yield f"supports.tls: {' and '.join(sender.tls)} were seen; do several systems send as it?"
    if sender.protocol == kinds.BASIC:
        yield "supports.authentication: can it sign in with OAuth too (see its manual)? Then: [basic, oauth]"
    if sender.protocol in {kinds.DIRECT, kinds.UNKNOWN}:
        yield _ABROAD


def _notes(sender: Sender, place: SourceAddress | None) -> Iterator[str]:
    parts = [f"sends by {_HOW[sender.protocol]}"]
    if sender.messages is not None:
        parts.append(f"{counted(sender.messages, 'message')} in {counted(sender.days, 'day')}")
    if sender.last_seen:
        parts.append(f"last seen {sender.last_seen[:10]}")
    if place:
        parts.append(f"from {place.ip_address}")
    yield ", ".join(parts)
    sources = ", ".join(dict.fromkeys(s.source for s in sender.known_from))
    yield f"{sender.confidence}: known from {sources or 'the inventory'}" + "".join(f"; {b}" for b in sender.basis)
    if sender.user_agents or sender.applications:
        yield f"calls itself {', '.join((*sender.applications, *sender.user_agents)[:3])}"
    if _average(sender):
        yield "messages_per_day is the average: a busy day has more"
    if sender.may_log_in == "blocked":
        yield "by the switches it may not log in any more"


AS_WHOM = "an application whose From address is not known: ask who runs it, and write the device by hand"


def called(sender: Sender) -> str:
    """An application by its name and client id."""
    name, ids = ", ".join(sender.applications), ", ".join(sender.client_ids)
    how = f"sends by {_HOW[sender.protocol]}"
    return f"{name} ({ids}, {how})" if name else f"{ids} ({how})"


def _is_address(text: str) -> bool:
    try:
        return bool(email_address(text))
    except ValueError:
        return False


def answered(proposed: Proposal, given: Mapping[str, Any]) -> Proposal:
    """The proposal with a person's answers for every device that does not state the field."""
    devices = tuple(dataclasses.replace(device, body=_with(device.body, given)) for device in proposed.devices)
    return dataclasses.replace(proposed, devices=devices)


def _with(body: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    supports = {**given.get("supports", {}), **body.get("supports", {})}
    whole = {**given, **body, **({"supports": supports} if supports else {})}
    return {name: value for name, value in whole.items() if name != "supports" or body.get("method") != GRAPH}
