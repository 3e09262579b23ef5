"""Get-LimitsEnforcementStatus: how many external recipients the tenant reached in 24 hours, and how many it may.

The limit of a tenant follows from its licences: 500 x licences^0.7 + 9,500, and 5,000 for a tenant with trial licences
only (Exchange Team Blog, "Introducing Exchange Online Tenant Outbound Email Limits", 24 February 2025). The cmdlet
answers for the tenant itself, with `ObservedValue`, `Threshold`, `EnforcementEnabled` and `Verdict`; it has no page in
the published reference (Microsoft's CSS-Exchange, Get-TerrlExternalRecipientEstimate; CIPP, Get-CIPPAlertTERRL).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row

REQUEST = Cmdlet("Get-LimitsEnforcementStatus", columns=frozenset({"ObservedValue", "Threshold", "EnforcementEnabled"}))
FIRST_LICENCE = 10_000
_OF_EACH, _POWER, _BASE = 500, 0.7, 9_500


@dataclass(frozen=True, slots=True)
class ExternalLimit:
    """External recipients in the last 24 hours, the most that are allowed, and whether what exceeds them is refused."""

    reached: int
    most: int
    enforced: bool

    @property
    def headroom(self) -> int:
        """How many more it may reach now."""
        return max(0, self.most - self.reached)


def decode(rows: Sequence[Row]) -> ExternalLimit | None:
    """None for an answer that does not say both numbers."""
    row = rows[0] if rows else {}
    reached, most = _count(row.get("ObservedValue")), _count(row.get("Threshold"))
    if reached is None or not most:
        return None
    return ExternalLimit(reached, most, row.get("EnforcementEnabled") is not False)


def _count(value: object) -> int | None:
    """A number of recipients, which some versions of the module give as text."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number >= 0 else None


def licences_for(recipients: int) -> int:
    """How many licences let a tenant reach so many external recipients in 24 hours."""
    return max(1, math.ceil(((recipients - _BASE) / _OF_EACH) ** (1 / _POWER))) if recipients > _BASE else 1
