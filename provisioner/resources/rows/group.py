"""Get-DistributionGroup: whether a group takes mail of anybody, or of authenticated senders only, and moderation.

New groups take mail of authenticated senders only (New-DistributionGroup, -RequireSenderAuthenticationEnabled). Mail
that is relayed or sent direct is not authenticated (Microsoft's NDR page of 5.7.133).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import flag
from provisioner.resources.rows import recipient

COLUMNS = recipient.COLUMNS | {"RequireSenderAuthenticationEnabled", "ModerationEnabled"}


@dataclass(frozen=True, slots=True)
class Group:
    """None is not known."""

    authenticated_only: bool | None
    moderated: bool | None


def look_up(address: str) -> Cmdlet:
    """The group of an address."""
    return Cmdlet("Get-DistributionGroup", {"Identity": address}, COLUMNS)


def decode(rows: Iterable[Row], address: str) -> Group | None:
    """The group that has the address: an unknown identity may return others (Learn, Get-DistributionGroup)."""
    for row in rows:
        if address in recipient.addresses(row) | {recipient.form(str(row.get("PrimarySmtpAddress") or ""))}:
            return Group(flag(row, "RequireSenderAuthenticationEnabled"), flag(row, "ModerationEnabled"))
    return None
