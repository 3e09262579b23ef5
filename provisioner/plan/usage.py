"""A plan beside the evidence of use: devices that are used, those that no source saw, senders that nobody declared.

Each row says what to do: what a device is to be set to, what a sender that is not declared should use. `devices`
chooses, and `mailflow` says whether the tenant takes it today, where the tenant was read. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from provisioner import devices
from provisioner.devices import sections
from provisioner.devices.choice import NAMES, Facts
from provisioner.mailflow.deciding import decide
from provisioner.mailflow.picture import Evidence
from provisioner.model import Desired
from provisioner.model.devices import (
    ALL_PORTS,
    CLIENT_SUBMISSION,
    DIRECT_SEND,
    GRAPH,
    HIGH_VOLUME_EMAIL,
    SMTP_RELAY,
    Choice,
    Device,
    is_pattern,
)
from provisioner.model.picture import Picture, holds
from provisioner.plan import evidence
from provisioner.plan.proposing import Entry, unanswered
from provisioner.resources.canonical import sender_network
from provisioner.senders import inventory as kinds
from provisioner.senders.inventory import Inventory, Sender
from provisioner.senders.traffic import accepted

USED, SILENT, UNDECLARED = "declared and used", "declared and silent", "used and undeclared"

_METHOD = {
    kinds.BASIC: CLIENT_SUBMISSION,
    kinds.OAUTH: CLIENT_SUBMISSION,
    kinds.SUBMISSION: CLIENT_SUBMISSION,
    kinds.RELAY: SMTP_RELAY,
    kinds.DIRECT: DIRECT_SEND,
    kinds.HVE: HIGH_VOLUME_EMAIL,
    kinds.GRAPH: GRAPH,
}
_AUTHENTICATION = {kinds.BASIC: "basic", kinds.OAUTH: "oauth"}

Document = dict[str, Any]


def usage(desired: Desired, inventory: Inventory, tenant: tuple[Picture, Evidence] | None = None) -> Document:
    """The comparison as a document. `tenant` is the picture of the tenant as it is, and what was read besides."""
    senders = [s for s in inventory.senders if accepted(s)]
    by_device = {name: [s for s in senders if _is_of(s, device, desired)] for name, device in desired.devices.items()}
    declared = {s.key for found in by_device.values() for s in found}
    rows = [row for name, found in by_device.items() for row in _declared(desired.devices[name], found, desired)]
    if tenant is not None:
        rows = [_with_standing(row, desired, *tenant) for row in rows]
    undeclared = [s for s in senders if s.key not in declared]
    unread = [f"{s.name}: {s.reason or s.needs}" for s in inventory.sources if s.state != "read"]
    return {
        "begin": inventory.begin[:10],
        "end": inventory.end[:10],
        "unread": unread,
        "rows": [*rows, *_undeclared(undeclared, inventory, desired)],
    }


def _is_of(sender: Sender, device: Device, desired: Desired) -> bool:
    """Whether a sender is a device: by its address or mailbox, and by its site where other devices share the name."""
    if not _named(sender, device):
        return False
    rivals = [d for d in desired.devices.values() if d.name != device.name and _named(sender, d)]
    if not rivals:
        return True
    return _at_home(sender, device, desired) or not any(_at_home(sender, rival, desired) for rival in rivals)


def _named(sender: Sender, device: Device) -> bool:
    if device.client_id and device.client_id in sender.client_ids:
        return True
    if sender.mailbox and sender.mailbox in {device.mailbox, *device.addresses}:
        return True
    domain = sender.address.rpartition("@")[2]
    patterns = [s.removeprefix("*@") for s in device.senders if is_pattern(s)]
    return sender.address in device.addresses or bool(domain and domain in patterns)


def _at_home(sender: Sender, device: Device, desired: Desired) -> bool:
    """Whether it was seen from an address of the device's own."""
    site = desired.sites.get(device.site or "")
    networks = site.egress_ip_addresses if site else device.sender_ip_addresses
    return any(holds(networks, sender_network(a)) for a in sender.ip_addresses if ":" not in a)


def _declared(device: Device, found: Sequence[Sender], desired: Desired) -> Iterator[Document]:
    choice = desired.choices.get(device.name)
    if not found:
        why = "no source saw it: find out whether it is still there; if not, remove it from the plan"
        yield _row(SILENT, device, None, choice, why)
    for sender in found:
        yield _row(USED, device, sender, choice, _advice(device, sender, choice))


def _advice(device: Device, sender: Sender, choice: Choice | None) -> str:
    """What is to be done at a device that is used."""
    if choice is None or choice.method is None:
        return "no sending method works for it: provisioner devices show says why"
    uses = _METHOD.get(sender.protocol)
    how = _AUTHENTICATION.get(sender.protocol, choice.authentication)
    if uses != choice.method:
        method = NAMES[uses] if uses else "an unknown protocol"
        return f"it still uses {method}: set it to {NAMES[choice.method]} (provisioner devices show {device.name})"
    if uses == CLIENT_SUBMISSION and how != choice.authentication:
        return f"it still signs in with {_words(how)}: set it to {_words(choice.authentication)}"
    return "; ".join(choice.advice) if choice.authentication == "basic" else "as planned"


def _words(authentication: str) -> str:
    return "a password" if authentication == "basic" else "OAuth"


def _undeclared(senders: Sequence[Sender], inventory: Inventory, desired: Desired) -> Iterator[Document]:
    """What each sender that nobody declared should use: by what was observed, as far as that is enough to choose."""
    for entry, sender in evidence.entries(senders, inventory, desired):
        questions = unanswered(entry)
        if questions:
            asked = ", ".join(dict.fromkeys(q.partition(":")[0] for q in questions))
            yield _row(UNDECLARED, None, sender, None, f"declare it, and find out first: {asked}")
            continue
        device, facts = _device(entry, desired)
        choice = devices.choose(device, facts)
        why = "; ".join([*choice.reasons, *choice.advice] if choice.method else choice.advice)
        yield _row(UNDECLARED, None, sender, choice, f"declare it: {why}")
    for sender in senders:
        if sender.client_ids and not (sender.address or sender.mailbox):
            yield _row(UNDECLARED, None, sender, None, evidence.AS_WHOM)


def _device(entry: Entry, desired: Desired) -> tuple[Device, Facts]:
    """The device that a proposal stands for, with the addresses of its site if that is known to be its own."""
    body = dict(entry.body)
    site = desired.sites.get(body.pop("site", ""))
    device = sections.device(entry.name, body, None, {})
    networks = site.egress_ip_addresses if site else entry.networks
    return device, Facts(networks, bool(site and site.shared), device.ports & (site.ports if site else ALL_PORTS))


def _row(state: str, device: Device | None, sender: Sender | None, choice: Choice | None, advice: str) -> Document:
    return {
        "state": state,
        "device": device.name if device else "",
        "sender": _who(sender) if sender else ", ".join(device.senders) if device else "",
        "uses": sender.protocol if sender else "",
        "ip_addresses": list(sender.ip_addresses) if sender else [],
        "messages": sender.messages if sender else None,
        "last_seen": sender.last_seen[:10] if sender else "",
        "recommended": choice.method or "" if choice else "",
        "advice": advice,
        "tenant": "",
    }


def _who(sender: Sender) -> str:
    return sender.address or sender.mailbox or evidence.called(sender)


def _with_standing(row: Document, desired: Desired, picture: Picture, evidence_: Evidence) -> Document:
    """Whether the tenant takes the mail of a declared device by its method today."""
    device = desired.devices[row["device"]]
    decisions = [decide(picture, attempt, evidence_) for attempt in devices.attempts(device, desired)]
    refused = next((d for d in decisions if d.allowed is False), None)
    unknown = next((d for d in decisions if d.allowed is None), None)
    if refused is not None:
        words = f"refused today: {refused.sentence}"
    elif unknown is not None:
        words = f"not known: {' and '.join(unknown.missing) or unknown.reason}"
    else:
        words = "accepted today" if decisions else ""
    return {**row, "tenant": words}
