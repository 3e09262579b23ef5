"""Graph `/policies/identitySecurityDefaultsEnforcementPolicy`: the security defaults of Entra ID.

Where they are on, passwords are refused for SMTP AUTH (Learn, "Security defaults in Microsoft Entra ID").
"""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.model import GraphRequest, Row
from provisioner.resources.canonical import flag

REQUEST = GraphRequest("GET", "/policies/identitySecurityDefaultsEnforcementPolicy")


def decode(rows: Sequence[Row]) -> bool | None:
    """Whether they are on."""
    return flag(rows[0], "isEnabled") if rows else None
