"""From an inventory to the mail that a plan is tried against: what was accepted, from each source. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from provisioner.model.traffic import Traffic
from provisioner.resources.canonical import sender_network
from provisioner.senders import inventory as kinds
from provisioner.senders.inventory import Inventory, Sender

_AUTHENTICATION: Mapping[str, str] = {kinds.BASIC: "basic", kinds.OAUTH: "oauth", kinds.SUBMISSION: "any"}


def traffic(inventory: Inventory) -> tuple[tuple[Traffic, ...], tuple[str, ...]]:
    """The mail that can be tried, and a sentence for each sender that cannot."""
    found: list[Traffic] = []
    left: list[str] = []
    for sender in inventory.senders:
        reason = _untried(sender)
        if reason:
            who = sender.address or sender.mailbox or ", ".join((*sender.applications, *sender.client_ids))
            left.append(f"{who}: {reason}")
        else:
            found += _of(sender)
    return tuple(sorted(set(found), key=lambda t: (t.name, t.authentication, t.network, t.connector or ""))), tuple(
        left
    )


def _untried(sender: Sender) -> str:
    """Why nothing can be said about a sender; "" where something can."""
    if not accepted(sender):
        return "all that was observed of it was refused"
    if sender.protocol == kinds.GRAPH:
        return "it sends through Microsoft Graph, which no change of a plan touches"
    if sender.protocol == kinds.UNKNOWN:
        return "by which protocol it sends is not known"
    if sender.protocol in {kinds.RELAY, kinds.DIRECT} and not any(map(_network, sender.ip_addresses)):
        return "the IPv4 address that it sends from is not known"
    return ""


def accepted(sender: Sender) -> bool:
    """Whether any of its mail or of its logins was accepted."""
    seen = max([sender.messages or 0, *((s.messages or s.logins or 0) for s in sender.known_from)])
    refused = sum(failure.count for failure in sender.failures)
    return seen > refused or not refused


def _of(sender: Sender) -> Iterator[Traffic]:
    of_all = Traffic(
        sender.address,
        tls=sender.tls != ("none",),
        recipients=sender.recipients,
        messages=sender.messages,
        seen=sender.last_seen,
    )
    if sender.protocol in kinds.SIGNING_IN:
        hve = sender.protocol == kinds.HVE
        authentication = "any" if hve else _AUTHENTICATION[sender.protocol]
        mailbox = sender.mailbox or sender.address
        yield dataclasses.replace(of_all, mailbox=mailbox, authentication=authentication, hve=hve)
        return
    for source in sender.source_addresses:
        network = _network(source.ip_address)
        if network:
            yield dataclasses.replace(of_all, network=network, connector=source.connector)


def _network(ip_address: str) -> str:
    """The canonical network of an address; "" for IPv6, which no connector names (Set-InboundConnector)."""
    try:
        return sender_network(ip_address)
    except ValueError:
        return ""
