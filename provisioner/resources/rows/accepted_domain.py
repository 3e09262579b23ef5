"""Get-AcceptedDomain: the domains that the tenant accepts mail for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row, Unknown
from provisioner.resources.canonical import by_name, domain_name, lenient
from provisioner.resources.fields import Words

REQUEST = Cmdlet("Get-AcceptedDomain")
COLUMNS = frozenset({"DomainName", "Name", "DomainType"})

KINDS = Words(
    {"authoritative": "Authoritative", "internal_relay": "InternalRelay"}, observed={"external_relay": "ExternalRelay"}
)


@dataclass(frozen=True, slots=True)
class AcceptedDomain:
    """`kind` decides about unknown recipients: authoritative, internal_relay or external_relay."""

    domain: str
    kind: str


def decode(rows: Iterable[Row]) -> Mapping[str, AcceptedDomain | Unknown]:
    """All domains of a listing. Raises ValueError for a row without a name."""
    return {name: _one(name, row) for name, row in by_name(rows, lenient(domain_name), "DomainName", "Name").items()}


def _one(name: str, row: Row | Unknown) -> AcceptedDomain | Unknown:
    if isinstance(row, Unknown):
        return row
    kind = KINDS.read(row, "DomainType")
    return AcceptedDomain(name, kind) if kind else Unknown("Get-AcceptedDomain did not tell DomainType", "malformed")
