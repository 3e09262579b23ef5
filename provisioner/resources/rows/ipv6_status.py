"""Get-IPv6StatusForAcceptedDomain: whether a domain takes mail over IPv6 too. It tells one domain at a time.

Where it is enabled, DNS has IPv6 addresses for the domain's MX endpoint as well (cmdlet page); since October 2024 that
is the default (MC835648). A connector names IPv4 addresses only (Set-InboundConnector, -SenderIPAddresses).
"""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.model import Cmdlet, Row

COLUMNS = frozenset({"Status"})
MOST = 10
"""Domains that are asked about: each costs a request."""


def look_up(domain: str) -> Cmdlet:
    """The status of one accepted domain."""
    return Cmdlet("Get-IPv6StatusForAcceptedDomain", {"Domain": domain}, COLUMNS)


def enabled(rows: Sequence[Row]) -> bool | None:
    """Whether the domain takes mail over IPv6; None where the answer does not say."""
    status = str(rows[0].get("Status") or "").lower() if rows else ""
    return {"enabled": True, "disabled": False}.get(status)
