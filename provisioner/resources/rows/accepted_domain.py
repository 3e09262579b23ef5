"""Get-AcceptedDomain: the domains that the tenant accepts mail for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row, Unknown
from provisioner.resources.canonical import by_name, domain_name, flag, lenient
from provisioner.resources.fields import Words

COLUMNS = frozenset({
    "DomainName", "Name", "Guid", "DomainType", "MatchSubDomains", "SendingFromDomainDisabled",
    "SendingToDomainDisabled", "OutboundOnly",
})  # fmt: skip
REQUEST = Cmdlet("Get-AcceptedDomain", columns=COLUMNS)

KINDS = Words(
    {"authoritative": "Authoritative", "internal_relay": "InternalRelay"}, observed={"external_relay": "ExternalRelay"}
)


@dataclass(frozen=True, slots=True)
class AcceptedDomain:
    """`kind` decides about unknown recipients: authoritative, internal_relay or external_relay.

    `subdomains`: mail for every subdomain is accepted too (Set-AcceptedDomain, -MatchSubDomains; Learn, "Enable mail
    flow for subdomains in Exchange Online"). `sending_disabled`: no mail may be sent from the domain (-SendingFrom-
    DomainDisabled), `receiving_disabled` that mail to it is blocked (-SendingToDomainDisabled). `outbound_only`: it is
    a domain of systems on premises that use the cloud's protection (-OutboundOnly).
    """

    domain: str
    kind: str
    subdomains: bool | None = None
    sending_disabled: bool | None = None
    receiving_disabled: bool | None = None
    outbound_only: bool | None = None


def decode(rows: Iterable[Row]) -> Mapping[str, AcceptedDomain | Unknown]:
    """All domains of a listing. Raises ValueError for a row without a name."""
    return {name: _one(name, row) for name, row in by_name(rows, lenient(domain_name), "DomainName", "Name").items()}


def above(domain: str, domains: Mapping[str, AcceptedDomain | Unknown]) -> AcceptedDomain | None:
    """The accepted domain that takes the mail of a subdomain too; None for none that certainly does."""
    labels = domain.split(".")
    parents = (domains.get(".".join(labels[cut:])) for cut in range(1, len(labels)))
    return next((p for p in parents if isinstance(p, AcceptedDomain) and p.subdomains), None)


def _one(name: str, row: Row | Unknown) -> AcceptedDomain | Unknown:
    if isinstance(row, Unknown):
        return row
    kind = KINDS.read(row, "DomainType")
    if not kind:
        return Unknown("Get-AcceptedDomain did not return DomainType", "malformed")
    flags = ("MatchSubDomains", "SendingFromDomainDisabled", "SendingToDomainDisabled", "OutboundOnly")
    return AcceptedDomain(name, kind, *(flag(row, column) for column in flags))
