"""Inbound connectors: whose mail is taken from which addresses or certificates (relay, partners)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.model import (
    Address,
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Parameter,
    Query,
    Row,
    Send,
    Step,
    Undeclared,
    Unknown,
)
from provisioner.model.picture import (
    ADDRESS,
    ANY,
    CERTIFICATE,
    NONE,
    TLS,
    Contribution,
    Contributions,
    Doubt,
    Exemption,
    Privilege,
    Relay,
    Restriction,
)
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    DomainText,
    EmailText,
    Flag,
    at_creation,
    certificate_name,
    domain_name,
    email_address,
    known_names,
    lenient,
    read_only,
    refusal,
    sender_domain,
    sender_network,
    skip_network,
    wire_network,
)
from provisioner.resources.connectors import (
    Columns,
    Values,
    connector_name,
    declared_names,
    decode_listing,
    differs,
    fate,
    listed,
    names_of,
    wire_type,
    written_body,
)
from provisioner.resources.ownership import HYBRID_WIZARD, unmarked_comment


@dataclass(frozen=True, slots=True)
class InboundConnector:
    """A connector. `owner` is the plan that marked it ("" for none). A name is for life: the plan renames nothing.

    Observed only: `source` is who made it (`hybrid_wizard` is not ours to touch), `spellings` are stored list values
    that are spelled otherwise than we would ("SenderIPAddresses=192.0.2.9/25"), so that they can be removed by name.
    """

    name: str
    type: str | None = None
    enabled: bool | None = None
    sender_ip_addresses: frozenset[str] | None = None
    sender_domains: frozenset[str] | None = None
    require_tls: bool | None = None
    tls_sender_certificate_name: str | None = None
    restrict_domains_to_ip_addresses: bool | None = None
    restrict_domains_to_certificate: bool | None = None
    treat_messages_as_internal: bool | None = None
    cloud_services_mail_enabled: bool | None = None
    associated_accepted_domains: frozenset[str] | None = None
    trusted_organizations: frozenset[str] | None = None
    ef_skip_last_ip: bool | None = None
    ef_skip_ips: frozenset[str] | None = None
    ef_users: frozenset[str] | None = None
    ef_test_mode: bool | None = None
    scan_and_drop_recipients: frozenset[str] | None = None
    client_host_names: frozenset[str] | None = at_creation()
    comment: str | None = None
    owner: str | None = None
    source: str | None = read_only()
    spellings: frozenset[str] | None = read_only()
    names: frozenset[str] = known_names()


# --- the wire --------------------------------------------------------------------------------------------------------

_FLAGS = {
    "enabled": "Enabled",
    "require_tls": "RequireTls",
    "restrict_domains_to_ip_addresses": "RestrictDomainsToIPAddresses",
    "restrict_domains_to_certificate": "RestrictDomainsToCertificate",
    "treat_messages_as_internal": "TreatMessagesAsInternal",
    "cloud_services_mail_enabled": "CloudServicesMailEnabled",
    "ef_skip_last_ip": "EFSkipLastIP",
    "ef_test_mode": "EFTestMode",
}


_LISTS = {
    "sender_ip_addresses": Values("SenderIPAddresses", sender_network, wire_network),
    "sender_domains": Values("SenderDomains", sender_domain),
    "associated_accepted_domains": Values("AssociatedAcceptedDomains", domain_name),
    "trusted_organizations": Values("TrustedOrganizations", domain_name),
    "ef_skip_ips": Values("EFSkipIPs", skip_network, wire_network),
    "ef_users": Values("EFUsers", email_address),
    "scan_and_drop_recipients": Values("ScanAndDropRecipients", email_address),
    "client_host_names": Values("ClientHostNames", domain_name),
}

# Warnings, not errors: in some offers the connector stays disabled whoever asks (Learn, inbound-connector-faq).
_STAYS_DISABLED = ("is created in a disabled state", "enable an inbound connector")

_COLUMNS = Columns(_FLAGS, _LISTS, fixed=frozenset({"client_host_names"}), respelled=frozenset({"sender_domains"}))


# --- the plan --------------------------------------------------------------------------------------------------------


def _not_empty(domains: list[str]) -> list[str]:
    if not domains:
        mend = 'write ["*"] for every domain'
        raise refusal("SENDER-DOMAINS-EMPTY", "a connector needs at least one sender domain", mend)
    return domains


_Network = Annotated[
    str,
    AfterValidator(sender_network),
    Field(
        examples=["198.51.100.7", "198.51.100.0/24"],
        json_schema_extra={"pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?$"},
    ),
]
_SkipNetwork = Annotated[
    str, AfterValidator(skip_network), Field(examples=["198.51.100.7", "198.51.100.1-198.51.100.9"])
]
_SenderDomain = Annotated[str, AfterValidator(sender_domain), Field(examples=["*", "contoso.com", "*.contoso.com"])]


@with_config(ConfigDict(extra="forbid"))
class ConnectorBody(TypedDict, total=False):
    """One inbound connector. What is not written is left as it is; a list is the whole list."""

    type: Annotated[
        Literal["on_premises", "partner"],
        Field(
            description="on_premises: own systems, may relay to anyone; partner: only restricts. At creation: partner"
        ),
    ]
    enabled: Annotated[Flag, Field(description="Whether the connector is in force; true at creation.")]
    sender_ip_addresses: Annotated[
        list[_Network], Field(description="Public IPv4 addresses that the mail comes from: single, or CIDR /24 to /32.")
    ]
    sender_domains: Annotated[
        list[_SenderDomain],
        AfterValidator(_not_empty),
        Field(
            description='Domains of the senders; only partner connectors are limited by it. ["*"] at creation.',
            json_schema_extra={"minItems": 1},
        ),
    ]
    require_tls: Annotated[Flag, Field(description="Refuse mail that comes without TLS; true at creation.")]
    tls_sender_certificate_name: Annotated[
        str,
        AfterValidator(certificate_name),
        Field(description='Name in the sender\'s TLS certificate; "" for none.', examples=["mail.contoso.com"]),
    ]
    restrict_domains_to_ip_addresses: Annotated[
        Flag, Field(description="Refuse mail of the sender domains from any other address (partner).")
    ]
    restrict_domains_to_certificate: Annotated[
        Flag, Field(description="Refuse mail of the sender domains without the named certificate (partner).")
    ]
    treat_messages_as_internal: Annotated[
        Flag, Field(description="Take the mail for internal: it skips the spam filter (on_premises only). Dangerous.")
    ]
    cloud_services_mail_enabled: Annotated[
        Flag, Field(description="Hybrid mail flow: keep Exchange's internal headers. Rarely right.")
    ]
    associated_accepted_domains: Annotated[
        list[DomainText], Field(description="Accepted domains of the tenant that alone may use the connector.")
    ]
    trusted_organizations: Annotated[
        list[DomainText], Field(description="Other Microsoft 365 organizations whose mail is trusted.")
    ]
    ef_skip_last_ip: Annotated[
        Flag, Field(description="Enhanced filtering: skip the last sending address. Then ef_skip_ips is not used.")
    ]
    ef_skip_ips: Annotated[
        list[_SkipNetwork], Field(description="Enhanced filtering: addresses, ranges and CIDR blocks to skip.")
    ]
    ef_users: Annotated[
        list[EmailText], Field(description="Enhanced filtering: only for these recipients; empty for all.")
    ]
    ef_test_mode: Annotated[Flag, Field(description="Reserved by Microsoft.")]
    scan_and_drop_recipients: Annotated[list[EmailText], Field(description="Reserved by Microsoft.")]
    client_host_names: Annotated[list[DomainText], Field(description="Host names of the clients, at creation only.")]
    comment: Annotated[
        str,
        AfterValidator(unmarked_comment),
        Field(description="Your note; the plan's ownership mark is put behind it.", examples=["HQ scanners, NET-1432"]),
    ]


def _agree(body: ConnectorBody) -> ConnectorBody:
    """What the service refuses, or what would cut off a tenant's mail, is told before anything is sent."""
    if body.get("treat_messages_as_internal"):
        what = "treat_messages_as_internal is refused"
        if body.get("type") == "partner":
            mend = "write type: on_premises, or leave it out"
            raise refusal("CONNECTOR-INTERNAL-PARTNER", f"{what} on a partner connector", mend)
        if body.get("cloud_services_mail_enabled"):
            mend = "leave one of the two out"
            raise refusal("CONNECTOR-INTERNAL-HYBRID", f"{what} together with cloud_services_mail_enabled", mend)
    restricts = body.get("restrict_domains_to_ip_addresses") or body.get("restrict_domains_to_certificate")
    if restricts and body.get("type") != "on_premises" and "sender_domains" not in body:
        what = "a restriction to addresses or a certificate needs its sender_domains; for * it refuses all other mail"
        raise refusal("SENDER-DOMAINS-MISSING", what, 'write sender_domains, if need be as ["*"]')
    return body


Body = Annotated[ConnectorBody, AfterValidator(_agree)]
Section = dict[Annotated[str, AfterValidator(connector_name)], Body]


# --- the type --------------------------------------------------------------------------------------------------------


class InboundConnectorType(BaseType):
    """inbound_connector["hq-relay"]. Exchange tells names apart without case, and so do we."""

    name: ClassVar[str] = "inbound_connector"
    section: ClassVar[str] = "inbound_connectors"
    section_type: ClassVar[Any] = Annotated[
        Section,
        Field(
            description="Inbound connectors, by name.",
            examples=[{"hq-relay": {"type": "on_premises", "sender_ip_addresses": ["198.51.100.7"]}}],
        ),
    ]
    spec: ClassVar[type[InboundConnector]] = InboundConnector
    marks_ownership: ClassVar[bool] = True

    def declare(self, section: Mapping[str, ConnectorBody], owner: str) -> Iterable[Declared]:
        for key, name in declared_names(section):
            values: dict[str, Any] = {n: frozenset(v) if isinstance(v, list) else v for n, v in section[name].items()}
            yield Declared(key, InboundConnector(key, owner=owner or None, **values), (name,))

    def queries(self, wanted: Mapping[str, InboundConnector | None], everything: bool) -> Sequence[Query]:
        """One listing: there are few, and a look-up of an unknown name may return all of them anyway."""
        if not wanted and not everything:
            return ()
        return (Query(Cmdlet("Get-InboundConnector", {"ResultSize": "Unlimited"}), frozenset(wanted)),)

    def decode(
        self, wanted: Mapping[str, InboundConnector | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, InboundConnector | Unknown]:
        return decode_listing(wanted, answers, _decode)

    def undeclared(self, observed: InboundConnector, owner: str, exclusive: bool) -> Undeclared:  # noqa: ARG002
        return fate(observed, owner)

    def owner_of(self, spec: InboundConnector) -> str | None:
        return spec.owner

    def made_by(self, spec: InboundConnector) -> str | None:
        return spec.source

    def steps(self, before: InboundConnector | None, after: InboundConnector | None) -> Sequence[Step]:
        if after is None:
            return _removal(before) if before else ()
        if before is None:
            parameters = _creation(self.completed(after))
            return (_send("New-InboundConnector", parameters, enabled=after.enabled is not False),)
        changes = _changes(before, after)
        parameters = {"Identity": before.name, **changes}
        return (_send("Set-InboundConnector", parameters, enabled=changes.get("Enabled") is True),) if changes else ()

    def completed(self, spec: InboundConnector) -> InboundConnector:
        """New-InboundConnector requires SenderDomains, has Partner as its type, and decides RequireTls by the tenant.

        Whether RequireTls has an effect on an OnPremises connector is not documented: the page of
        New-InboundConnector says that it applies to Partner connectors. It is sent, so it is shown.
        """
        return dataclasses.replace(
            spec,
            type=spec.type or "partner",
            sender_domains=spec.sender_domains or frozenset({"*"}),
            require_tls=True if spec.require_tls is None else spec.require_tls,
        )

    def needs(self, spec: InboundConnector) -> Sequence[Address]:
        """Domains that must be accepted ones: the associated, and that of an own system's certificate."""
        domains = set(spec.associated_accepted_domains or ())
        if spec.type == "on_premises" and spec.tls_sender_certificate_name:
            domains.add(spec.tls_sender_certificate_name.removeprefix("*."))
        return tuple(Address("domain", d) for d in sorted(domains))

    def written_form(self, spec: InboundConnector) -> tuple[tuple[str, ...], Any] | None:
        """What the wizard keeps is not for a plan. The mark is the plan's `owner`, not the connector's."""
        if spec.source == HYBRID_WIZARD:
            return None
        body = written_body(spec, ConnectorBody.__annotations__, ("type", "require_tls"), _DEFAULTS)
        return (spec.name,), body

    def contribution(self, spec: InboundConnector) -> Contributions:
        """What an enabled connector accepts or refuses; a disabled one has no effect, whatever it says."""
        return () if spec.enabled is False else tuple(_contributions(spec))

    def guards(self, before: InboundConnector | None, after: InboundConnector | None) -> Iterable[Guard]:
        had, has = (() if c is None else self.contribution(c) for c in (before, after))
        return _restriction_guards(had, has)

    def in_force(self, wanted: InboundConnector, live: InboundConnector) -> str:
        """Exchange creates connectors disabled in some offers and leaves them so (Learn, inbound-connector-faq)."""
        if wanted.enabled is False or live.enabled is not False:
            return ""
        return "the connector is disabled in the tenant"


_DEFAULTS: Mapping[str, Any] = {
    "enabled": True,
    "restrict_domains_to_ip_addresses": False,
    "restrict_domains_to_certificate": False,
    "treat_messages_as_internal": False,
    "cloud_services_mail_enabled": False,
    "ef_skip_last_ip": False,
    "ef_test_mode": False,
}
"""What New-InboundConnector decides where nothing is said."""


def _removal(before: InboundConnector) -> Sequence[Step]:
    return (Send(Cmdlet("Remove-InboundConnector", {"Identity": before.name, "Confirm": False})),)


def _send(cmdlet: str, parameters: Mapping[str, Parameter], *, enabled: bool) -> Send:
    return Send(Cmdlet(cmdlet, parameters), blocked_on=_STAYS_DISABLED if enabled else ())


def _creation(after: InboundConnector) -> dict[str, Parameter]:
    """Everything that is written in a completed object."""
    parameters: dict[str, Parameter] = {"Name": after.name}
    if after.type is not None:
        parameters["ConnectorType"] = wire_type(after.type)
    if after.tls_sender_certificate_name:
        parameters["TlsSenderCertificateName"] = after.tls_sender_certificate_name
    return parameters | _COLUMNS.creation(after)


def _changes(before: InboundConnector, after: InboundConnector) -> dict[str, Parameter]:
    """The parameters of Set for what differs and is known in `after`."""
    changes = _COLUMNS.changes(before, after)
    if differs(before, after, "tls_sender_certificate_name"):
        changes["TlsSenderCertificateName"] = after.tls_sender_certificate_name or None
    return changes


def _decode(key: str, row: Row) -> InboundConnector:
    values = _COLUMNS.decode(row)
    if "TlsSenderCertificateName" in row:
        certificate = row["TlsSenderCertificateName"] or ""
        values["tls_sender_certificate_name"] = lenient(certificate_name)(str(certificate))
    return InboundConnector(key, names=names_of(row), **values)


# --- sending paths ---------------------------------------------------------------------------------------------------

_SKIPS = ("ef_skip_ips", "ef_users", "trusted_organizations")
_PRIVILEGES = ("treat_messages_as_internal", "cloud_services_mail_enabled")


def _contributions(connector: InboundConnector) -> Iterator[Contribution]:
    """What an enabled connector adds to the sending picture.

    One of type OnPremises relays for its addresses and certificate. One of type Partner refuses mail of its sender
    domains that does not meet its restrictions (Set-InboundConnector, -RestrictDomainsToIPAddresses,
    -RestrictDomainsToCertificate, -RequireTls), and exempts its sources from RejectDirectSend.
    """
    networks = connector.sender_ip_addresses or NONE
    certificate = connector.tls_sender_certificate_name or ""
    domains, associated = connector.sender_domains or ANY, connector.associated_accepted_domains or ANY
    if connector.type == "partner":
        yield from _restrictions(connector)
        if networks or certificate:
            yield Exemption(networks, certificate, domains, associated)
    else:
        yield Relay(networks, certificate, domains, associated, not connector.require_tls)
        if connector.type is None:
            yield Doubt("ConnectorType was not returned")
    for name in _SKIPS:
        if getattr(connector, name):
            yield Privilege(name, getattr(connector, name))
    for name in _PRIVILEGES:
        if getattr(connector, name):
            yield Privilege(name)


def _restrictions(connector: InboundConnector) -> Iterator[Restriction]:
    domains, certificate = connector.sender_domains or ANY, connector.tls_sender_certificate_name
    if connector.restrict_domains_to_ip_addresses:
        yield Restriction(domains, ADDRESS, connector.sender_ip_addresses or NONE)
    if connector.restrict_domains_to_certificate:
        yield Restriction(domains, CERTIFICATE, frozenset({certificate}) if certificate else NONE)
    if connector.require_tls:
        yield Restriction(domains, TLS, frozenset({TLS}))


_UNLESS = {ADDRESS: "these addresses", CERTIFICATE: "this certificate"}


def _restriction_guards(before: Contributions, after: Contributions) -> Iterator[Guard]:
    """A partner connector that begins to refuse mail, or refuses more of it, is allowed by name only."""
    had = [c for c in before if isinstance(c, Restriction)]
    for restriction in after:
        if not isinstance(restriction, Restriction) or restriction.demand not in _UNLESS:
            continue
        if any(other.covers(restriction) for other in had):
            continue
        whose = "every domain" if "*" in restriction.domains else listed(restriction.domains)
        what, sources = _UNLESS[restriction.demand], listed(restriction.sources) or "none"
        summary = f"mail from {whose} is refused (550 5.7.51) unless it comes from {what}: {sources}"
        mend = "make sure that every other system that sends for these domains has a connector of its own"
        yield Guard("PARTNER-RESTRICTS", summary, mend)
