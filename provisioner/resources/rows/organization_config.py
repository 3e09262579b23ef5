"""Get-OrganizationConfig: what the organization decides about sending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import flag, text_of

COLUMNS = frozenset({"DefaultAuthenticationPolicy", "RejectDirectSend", "SendFromAliasEnabled"})
REQUEST = Cmdlet("Get-OrganizationConfig", columns=COLUMNS)


@dataclass(frozen=True, slots=True)
class OrganizationConfig:
    """`default_authentication_policy` is the policy of users without one of their own, "" for none."""

    reject_direct_send: bool | None = None
    default_authentication_policy: str | None = None


def decode(rows: Sequence[Row]) -> OrganizationConfig:
    """The one row of the organization."""
    row: Row = rows[0] if rows else {}
    return OrganizationConfig(flag(row, "RejectDirectSend"), text_of(row, "DefaultAuthenticationPolicy"))
