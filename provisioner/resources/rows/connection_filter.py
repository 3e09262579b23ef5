"""Get-HostedConnectionFilterPolicy: addresses from which all incoming mail is refused, or not filtered for spam.

Mail from an address on the IP Block List is rejected, and the IP Allow List wins over it (Learn, "Configure connection
filtering"). Both lists hold IPv4 addresses, CIDR blocks /24 to /32 and ranges of two addresses.
"""

from __future__ import annotations

import ipaddress
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
        return tuple(left for block in self.blocked for left in self._left(block))

    def blocks(self, network: str) -> bool:
        """Whether mail from an address of this network is refused."""
        return any(self._not_allowed(IPv4Network(network), block) for block in self.blocked)

    def _not_allowed(self, network: IPv4Network, block: IPv4Network) -> bool:
        """Whether an address of both is left that no entry of the allow list holds."""
        if not network.overlaps(block):
            return False
        return bool(self._left(network if network.prefixlen >= block.prefixlen else block))

    def _left(self, network: IPv4Network) -> Sequence[IPv4Network]:
        left = [network]
        for allowed in self.allowed:
            left = [rest for part in left for rest in _without(part, allowed)]
        return left


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


def _without(network: IPv4Network, other: IPv4Network) -> Iterable[IPv4Network]:
    """What is left of a network without another one."""
    if not network.overlaps(other):
        return (network,)
    return () if network.subnet_of(other) else network.address_exclude(other)
