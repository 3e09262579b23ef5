"""What IPv6 means for the connectors that know senders by their addresses, which are IPv4 only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.mailflow.asking import reached_by_address, relays_by_address
from provisioner.model import Desired, Finding, Observed, ResourceType, Unknown, request_key
from provisioner.model.listing import listed
from provisioner.resources.rows import ipv6_status, rows_of
from provisioner.rules.catalogue import RULES
from provisioner.rules.unread import not_decided, why_unread


def ipv6_findings(desired: Desired, observed: Observed, types: Mapping[str, ResourceType[Any]]) -> Iterator[Finding]:
    """Domains that take mail over IPv6, while the plan's connectors know their senders by IPv4 addresses.

    A sender that prefers IPv6 meets no connector and is refused (550 5.7.64), or its mail is taken for direct send.
    """
    relays = relays_by_address(desired, tuple(types.values()))
    domains = reached_by_address(desired, tuple(types.values())) if relays else ()
    status = {d: ipv6_status.enabled(rows_of(observed.evidence, ipv6_status.look_up(d))) for d in domains}
    rule = RULES["CONNECTOR-IPV6"]
    unread = {d: why for d in domains if status[d] is None and (why := _unread(d, observed))}
    if unread:
        what, why = f"whether {listed(list(unread))} takes mail over IPv6", next(iter(unread.values()))
        yield not_decided(rule.id, what, ipv6_status.look_up("").name, why, relays[0].location)
    open_ = [d for d in domains if status[d]]
    if not open_:
        return
    first = relays[0]
    takes = "takes" if len(open_) == 1 else "take"
    connectors = listed([str(relay.address) for relay in relays])
    summary = (
        f"{listed(open_)} {takes} mail over IPv6 too, and connectors name IPv4 addresses only ({connectors}): a sender "
        "that connects over IPv6 is not recognized (550 5.7.64)"
    )
    commands = "; ".join(f"Disable-IPv6ForAcceptedDomain -Domain {domain}" for domain in open_[:3])
    fix = f"let the senders connect over IPv4 only, or turn IPv6 off there, which shows within an hour: {commands}"
    yield Finding(rule.id, rule.severity, summary, fix, first.address, rule.blocks, location=first.location)


def _unread(domain: str, observed: Observed) -> Unknown | None:
    """Why the status of a domain is not known; None where it was not asked for, or the domain is not accepted."""
    return why_unread(observed.evidence.get(request_key(ipv6_status.look_up(domain))))
