"""Get-HostedConnectionFilterPolicy: addresses from which all incoming mail is refused, or not filtered for spam.

Mail from an address on the IP Block List is rejected, and the IP Allow List wins over it (Learn, "Configure connection
filtering"). Both lists hold IPv4 addresses, CIDR blocks /24 to /32 and ranges of two addresses.
"""

from __future__ import annotations

import bisect
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import texts

COLUMNS = frozenset({"Name", "IPAllowList", "IPBlockList"})
REQUEST = Cmdlet("Get-HostedConnectionFilterPolicy", columns=COLUMNS)
SET = "Set-HostedConnectionFilterPolicy"


@dataclass(frozen=True, slots=True)
class ConnectionFilter:
    """The two lists of the tenant's one policy, as networks."""

    allowed: tuple[IPv4Network, ...] = ()
    blocked: tuple[IPv4Network, ...] = ()

    @property
    def refused(self) -> tuple[IPv4Network, ...]:
        """The networks whose mail is refused: those that are blocked, without what is allowed."""
        allowed = self._disjoint()
        return tuple(left for block in self.blocked for left in _left(block, allowed))

    def blocks(self, network: str) -> bool:
        """Whether mail from an address of this network is refused: one that is blocked and not allowed."""
        own, allowed = IPv4Network(network), self._disjoint()
        both = (own if own.prefixlen >= block.prefixlen else block for block in self.blocked if own.overlaps(block))
        return any(_left(part, allowed) for part in both)

    def _disjoint(self) -> Sequence[IPv4Network]:
        """What is allowed, in order and without overlaps."""
        return list(ipaddress.collapse_addresses(self.allowed))


def decode(rows: Sequence[Row]) -> ConnectionFilter | None:
    """The lists of all rows; None where no row has both. Raises ValueError for an entry of an unknown form."""
    listed = [(texts(row, "IPAllowList"), texts(row, "IPBlockList")) for row in rows]
    if not listed or any(allowed is None or blocked is None for allowed, blocked in listed):
        return None
    return ConnectionFilter(
        tuple(n for allowed, _ in listed for n in networks(allowed or ())),
        tuple(n for _, blocked in listed for n in networks(blocked or ())),
    )


def networks(entries: Iterable[str]) -> Iterator[IPv4Network]:
    """The entries as networks. Raises ValueError for one of an unknown form."""
    for entry in entries:
        first, dash, last = entry.partition("-")
        if dash:
            yield from ipaddress.summarize_address_range(IPv4Address(first.strip()), IPv4Address(last.strip()))
        else:
            yield IPv4Network(entry.strip(), strict=False)


def _left(network: IPv4Network, allowed: Sequence[IPv4Network]) -> Sequence[IPv4Network]:
    """What of a network is not allowed. `allowed` are in order and disjoint: only its neighbours are looked at."""
    left = [network]
    first = max(bisect.bisect_right(allowed, network) - 1, 0)
    for one in itertools.islice(allowed, first, None):
        if one.network_address > network.broadcast_address:
            break
        left = [rest for part in left for rest in _without(part, one)]
    return left


def _without(network: IPv4Network, other: IPv4Network) -> Iterable[IPv4Network]:
    """What is left of a network without another one."""
    if not network.overlaps(other):
        return (network,)
    return () if network.subnet_of(other) else network.address_exclude(other)
