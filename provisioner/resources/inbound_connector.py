"""Inbound connectors: whose mail is taken from which addresses or certificates (relay, partners)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from provisioner.diagnostics import Severity
from provisioner.model import Address, Advice, Guard, Row, Rule
from provisioner.model.listing import listed
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
    Scope,
)
from provisioner.resources import fields
from provisioner.resources.canonical import (
    known_names,
    read_only,
    refusal,
    sender_domain,
    sender_network,
    skip_network,
    texts,
    wire_network,
    without_cost,
)
from provisioner.resources.connectors import (
    CONNECTOR_NAME,
    DOMAIN,
    EMAIL,
    ConnectorType,
    certificate,
    comment_column,
    source_column,
    type_column,
)
from provisioner.resources.fields import BOOLEAN, WIDENS, Text, Texts, column

_NETWORK = Text(
    sender_network,
    "IPv4 addresses and CIDR blocks /24 to /32",
    examples=("198.51.100.7", "198.51.100.0/24"),
    pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?$",
    wire=wire_network,
)
_SKIPPED = Text(
    skip_network,
    "IPv4 addresses, CIDR blocks and ranges (`192.0.2.1-192.0.2.9`)",
    examples=("198.51.100.7", "198.51.100.1-198.51.100.9"),
    wire=wire_network,
)
_SENDER_DOMAIN = Text(
    sender_domain, "`contoso.com`, `*.contoso.com`, `*`", examples=("*", "contoso.com", "*.contoso.com")
)
_SENDER_DOMAINS = Texts(
    _SENDER_DOMAIN,
    ("SENDER-DOMAINS-EMPTY", "a connector needs at least one sender domain", 'write ["*"] for every domain'),
    respelled=True,
)


@dataclass(frozen=True, slots=True)
class InboundConnector:
    """A connector. `owner` is the plan that marked it ("" for none), `owner_key` its key there ("" in old marks).

    Observed only: `source` is who made it (`hybrid_wizard` is not ours to touch), `spellings` are stored list values
    that are spelled otherwise than we would ("SenderIPAddresses=192.0.2.9/25"), so that they can be removed by name.

    New requires SenderDomains, and decides RequireTls by the tenant. Whether RequireTls has an effect on an OnPremises
    connector is not documented: the page of New-InboundConnector says that it applies to Partner connectors. It is
    sent, so it is shown.
    """

    name: str
    type: str | None = type_column(
        "on_premises: own systems, may relay to anyone; partner: only restricts. At creation: partner"
    )
    enabled: bool | None = column(
        "Enabled", BOOLEAN, "Whether the connector is in force; true at creation.", default=True
    )
    sender_ip_addresses: frozenset[str] | None = column(
        "SenderIPAddresses",
        Texts(_NETWORK),
        "Public IPv4 addresses that the mail comes from: single, or CIDR /24 to /32.",
    )
    sender_domains: frozenset[str] | None = column(
        "SenderDomains",
        _SENDER_DOMAINS,
        'Domains of the senders; only partner connectors are limited by it. ["*"] at creation.',
        sent=ANY,
    )
    require_tls: bool | None = column(
        "RequireTls", BOOLEAN, "Refuse mail that comes without TLS; true at creation.", sent=True
    )
    tls_sender_certificate_name: str | None = column(
        "TlsSenderCertificateName",
        certificate("mail.contoso.com"),
        'Name in the sender\'s TLS certificate; "" for none.',
    )
    restrict_domains_to_ip_addresses: bool | None = column(
        "RestrictDomainsToIPAddresses",
        BOOLEAN,
        "Refuse mail of the sender domains from any other address (partner).",
        default=False,
    )
    restrict_domains_to_certificate: bool | None = column(
        "RestrictDomainsToCertificate",
        BOOLEAN,
        "Refuse mail of the sender domains without the named certificate (partner).",
        default=False,
    )
    treat_messages_as_internal: bool | None = column(
        "TreatMessagesAsInternal",
        BOOLEAN,
        "Take the mail for internal: it skips the spam filter (on_premises only). Dangerous.",
        default=False,
        paths=WIDENS,
    )
    cloud_services_mail_enabled: bool | None = column(
        "CloudServicesMailEnabled",
        BOOLEAN,
        "Hybrid mail flow: keep Exchange's internal headers. Rarely right.",
        default=False,
        paths=WIDENS,
    )
    associated_accepted_domains: frozenset[str] | None = column(
        "AssociatedAcceptedDomains", Texts(DOMAIN), "Accepted domains of the tenant that alone may use the connector."
    )
    trusted_organizations: frozenset[str] | None = column(
        "TrustedOrganizations",
        Texts(DOMAIN),
        "Other Microsoft 365 organizations whose mail is trusted.",
        paths=WIDENS,
    )
    ef_skip_last_ip: bool | None = column(
        "EFSkipLastIP",
        BOOLEAN,
        "Enhanced filtering: skip the last sending address. Then ef_skip_ips is not used.",
        default=False,
    )
    ef_skip_ips: frozenset[str] | None = column(
        "EFSkipIPs",
        Texts(_SKIPPED),
        "Enhanced filtering: addresses, ranges and CIDR blocks to skip.",
        paths=WIDENS,
    )
    ef_users: frozenset[str] | None = column(
        "EFUsers", Texts(EMAIL), "Enhanced filtering: only for these recipients; empty for all.", paths=WIDENS
    )
    ef_test_mode: bool | None = column("EFTestMode", BOOLEAN, "Reserved by Microsoft.", default=False)
    scan_and_drop_recipients: frozenset[str] | None = column(
        "ScanAndDropRecipients", Texts(EMAIL), "Reserved by Microsoft."
    )
    client_host_names: frozenset[str] | None = column(
        "ClientHostNames", Texts(DOMAIN), "Host names of the clients, at creation only.", cmdlets=("New",)
    )
    comment: str | None = comment_column("HQ scanners, NET-1432")
    owner: str | None = None
    owner_key: str | None = None
    source: str | None = source_column()
    spellings: frozenset[str] | None = read_only()
    names: frozenset[str] = known_names()


def _agree(connector: InboundConnector) -> None:
    """What the service refuses, or what would cut off a tenant's mail, is told before anything is sent."""
    if connector.treat_messages_as_internal:
        what = "treat_messages_as_internal is refused"
        if connector.type == "partner":
            hint = "write type: on_premises, or leave it out"
            raise refusal("CONNECTOR-INTERNAL-PARTNER", f"{what} on a partner connector", hint)
        if connector.cloud_services_mail_enabled:
            hint = "leave one of the two out"
            raise refusal("CONNECTOR-INTERNAL-HYBRID", f"{what} together with cloud_services_mail_enabled", hint)
    restricts = connector.restrict_domains_to_ip_addresses or connector.restrict_domains_to_certificate
    if restricts and connector.type != "on_premises" and connector.sender_domains is None:
        what = "a restriction to addresses or a certificate needs its sender_domains; for * it refuses all other mail"
        raise refusal("SENDER-DOMAINS-MISSING", what, 'write sender_domains, if need be as ["*"]')


_DESCRIPTION = "One inbound connector. What is not written is left as it is; a list is the whole list."


_RULES = (
    Rule("CONNECTOR-EMPTIED", Severity.ERROR, "apply", "A connector would no longer admit any source."),
    Rule("CONNECTOR-TYPE-CHANGES", Severity.WARNING, "", "Exchange may refuse another type for an existing connector."),
    Rule("CONNECTOR-TYPE-MISSING", Severity.INFO, "", "A connector names senders, but not its type."),
    Rule("CONNECTOR-WITHOUT-SENDERS", Severity.INFO, "", "A connector names neither an address nor a certificate."),
    Rule("CERTIFICATE-WILDCARD", Severity.WARNING, "", "A wildcard certificate identifies an own system."),
    Rule("CERTIFICATE-UNUSED", Severity.INFO, "", "A certificate is named, but nothing makes the connector use it."),
    Rule("IP-COVERED", Severity.INFO, "", "An address is part of another entry of the same list."),
    Rule("IP-DOCUMENTATION", Severity.WARNING, "", "An address is reserved for documentation (RFC 5737)."),
    Rule("IP-PRIVATE", Severity.ERROR, "apply", "An address can never be the source of mail from the internet."),
    Rule("IP-RANGE-WIDE", Severity.ERROR, "input", "A range is wider than the /24 that Exchange Online accepts."),
    Rule(
        "PARTNER-RESTRICTS", Severity.ERROR, "apply", "A partner connector would refuse all other mail of its domains."
    ),
    Rule("TREAT-AS-INTERNAL", Severity.WARNING, "", "Mail from the connector skips the spam filter."),
)


class InboundConnectorType(ConnectorType[InboundConnector]):
    """inbound_connector["hq-relay"]."""

    name: ClassVar[str] = "inbound_connector"
    section: ClassVar[str] = "inbound_connectors"
    section_type: ClassVar[Any] = fields.section(
        CONNECTOR_NAME,
        fields.entry(InboundConnector, "ConnectorBody", _DESCRIPTION, _agree),
        "Inbound connectors, by name.",
        {"hq-relay": {"type": "on_premises", "sender_ip_addresses": ["198.51.100.7"]}},
    )
    spec: ClassVar[type[InboundConnector]] = InboundConnector
    noun: ClassVar[str] = "InboundConnector"
    decisive: ClassVar[frozenset[str]] = frozenset(
        {
            "type",
            "sender_ip_addresses",
            "sender_domains",
            "tls_sender_certificate_name",
            "restrict_domains_to_ip_addresses",
            "restrict_domains_to_certificate",
            "associated_accepted_domains",
        }
    )
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Relay, Exemption, Restriction, Privilege, Doubt)
    rules: ClassVar[tuple[Rule, ...]] = _RULES
    # Warnings, not errors: in some offers the connector stays disabled for every caller (Learn, inbound-connector-faq).
    stays_disabled: ClassVar[tuple[str, ...]] = ("is created in a disabled state", "enable an inbound connector")

    def values(self, row: Row) -> dict[str, Any]:
        """As for every connector, without costs of address spaces, which a plan cannot set."""
        stored = texts(row, "SenderDomains")
        plain = None if stored is None else list(map(without_cost, stored))
        found = super().values(row if stored is None else {**row, "SenderDomains": plain})
        costly = {f"SenderDomains={text}" for text in stored or () if without_cost(text) != text}
        return {**found, "spellings": (found["spellings"] or frozenset()) | costly or None}

    def unwritable(self, spec: InboundConnector) -> Iterable[str]:
        costly = sorted(s.partition("=")[2] for s in spec.spellings or () if s.startswith("SenderDomains="))
        return [f"the cost of {text} in sender_domains is left as it is until the list changes" for text in costly]

    def needs(self, spec: InboundConnector) -> Sequence[Address]:
        """Domains that must be accepted ones: the associated, and that of an own system's certificate."""
        domains = set(spec.associated_accepted_domains or ())
        if spec.type == "on_premises" and spec.tls_sender_certificate_name:
            domains.add(spec.tls_sender_certificate_name.removeprefix("*."))
        return tuple(Address("domain", d) for d in sorted(domains))

    def contribution(self, spec: InboundConnector) -> Contributions:
        """What an enabled connector accepts or refuses; a disabled one has no effect, whatever it says."""
        return () if spec.enabled is False else tuple(_contributions(spec))

    def lint(self, spec: InboundConnector) -> Iterable[Advice]:
        for text in sorted(spec.sender_ip_addresses or ()):
            yield from _odd_network(text)
        yield from _covered(spec)
        if spec.treat_messages_as_internal:
            summary = "mail from this connector is taken for internal and skips the spam filter"
            yield Advice("TREAT-AS-INTERNAL", summary, "leave it out", "treat_messages_as_internal")
        yield from _unused_certificate(spec)
        yield from _wildcard(spec)
        yield from _without_effect(spec)

    def advice(self, wanted: InboundConnector, live: InboundConnector) -> Iterable[Advice]:
        """An administrator's tenant refuses another type since 2024 (Learn Q&A 1622346); the page of
        Set-InboundConnector has -ConnectorType all the same. So the change is planned, and may fail."""
        if None not in (wanted.type, live.type) and wanted.type != live.type:
            summary = f"the connector is of type {live.type}, and Exchange may refuse to make it {wanted.type}"
            hint = (
                f"if it does, write it under another name and list {self.name}/{live.name} under absent: apply deletes "
                "the old one once the new one is in force"
            )
            yield Advice("CONNECTOR-TYPE-CHANGES", summary, hint, "type")

    def guards(self, before: InboundConnector | None, after: InboundConnector | None) -> Iterable[Guard]:
        had, has = (() if c is None else self.contribution(c) for c in (before, after))
        return (*_restriction_guards(had, has), *_emptied(had, has))


# --- what cannot be right whatever the tenant has ---------------------------------------------------------------------

# RFC 5737 and RFC 6890. Python's is_private holds them too, but they deserve words of their own.
_DOCUMENTATION = tuple(
    ipaddress.IPv4Network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "233.252.0.0/24")
)
_SHARED = ipaddress.IPv4Network("100.64.0.0/10")  # RFC 6598, carrier-grade NAT
_WIDEST_PREFIX = 24  # Set-InboundConnector, -SenderIPAddresses


def _covered(spec: InboundConnector) -> Iterator[Advice]:
    """Addresses that another entry of the list holds already."""
    networks = sorted(map(ipaddress.IPv4Network, spec.sender_ip_addresses or ()))
    for inner in networks:
        outer = next((n for n in networks if n != inner and inner.subnet_of(n)), None)
        if outer is not None:
            summary = f"{wire_network(str(inner))} is part of {outer}, which the list has too"
            yield Advice("IP-COVERED", summary, "keep one of the two", "sender_ip_addresses")


def _odd_network(text: str) -> Iterator[Advice]:
    """What is wrong with an address that a plan writes; nothing where it can be the source of mail."""
    network = ipaddress.IPv4Network(text)
    name = "sender_ip_addresses"
    if network.prefixlen < _WIDEST_PREFIX:
        summary = f"{text} is {network.num_addresses:,} addresses; Exchange Online takes /24 to /32"
        count = 2 ** (_WIDEST_PREFIX - network.prefixlen)
        hint = f"write the addresses that send, or the {count:,} networks of /24 in it if every one of them is yours"
        yield Advice("IP-RANGE-WIDE", summary, hint, name)
    elif any(network.overlaps(documentation) for documentation in _DOCUMENTATION):
        summary = f"{text} is reserved for documentation (RFC 5737): no mail comes from there"
        yield Advice("IP-DOCUMENTATION", summary, "write the public address that the site sends from", name)
    elif not network.is_global or network.overlaps(_SHARED):
        summary = f"{text} is not a public address: mail from the internet never comes from there"
        yield Advice("IP-PRIVATE", summary, "write the public address that the firewall translates to", name)


def _wildcard(spec: InboundConnector) -> Iterator[Advice]:
    """A certificate counts before MAIL FROM and the recipient when Exchange asks whose mail it is (MC1226222)."""
    name = spec.tls_sender_certificate_name or ""
    if spec.type == "on_premises" and name.startswith("*."):
        summary = f"a host that shows {name} has mail for other tenants of Microsoft 365 attributed to this one, too"
        hint = f"give the sending system a certificate of its own, such as relay.{name[2:]}, and name that one"
        yield Advice("CERTIFICATE-WILDCARD", summary, hint, "tls_sender_certificate_name")


def _unused_certificate(spec: InboundConnector) -> Iterator[Advice]:
    name = "tls_sender_certificate_name"
    if spec.tls_sender_certificate_name and spec.require_tls is False:
        yield Advice(
            "CERTIFICATE-UNUSED", "a certificate name only counts when TLS is required", "write require_tls: true", name
        )
    elif spec.tls_sender_certificate_name and spec.type == "partner" and not spec.restrict_domains_to_certificate:
        summary = "the certificate name alone restricts nothing on a partner connector"
        hint = (
            "write restrict_domains_to_certificate: true, if others must not send for these domains (apply then asks "
            f"for --allow PARTNER-RESTRICTS:inbound_connector/{spec.name})"
        )
        yield Advice("CERTIFICATE-UNUSED", summary, hint, name)


def _without_effect(spec: InboundConnector) -> Iterator[Advice]:
    """A connector that relays for nobody, as far as the plan says: New-InboundConnector makes Partner of no type."""
    senders = spec.sender_ip_addresses or spec.tls_sender_certificate_name
    restricts = spec.restrict_domains_to_ip_addresses or spec.restrict_domains_to_certificate
    if spec.type is None and senders and not restricts:
        summary = (
            "the type is not written: a new connector is then a partner's, and nobody may relay through it (5.7.64)"
        )
        yield Advice("CONNECTOR-TYPE-MISSING", summary, "write type: on_premises, if devices are to relay through it")
    elif spec.type == "on_premises" and spec.enabled is not False and not senders:
        summary = "neither an address nor a certificate is written: where the tenant has none either, nobody may relay"
        missing = ("sender_ip_addresses", "tls_sender_certificate_name")
        yield Advice("CONNECTOR-WITHOUT-SENDERS", summary, f"write {' or '.join(missing)}", unwritten=missing)


# --- sending paths ---------------------------------------------------------------------------------------------------


def _contributions(connector: InboundConnector) -> Iterator[Contribution]:
    """What an enabled connector adds to the sending picture.

    One of type OnPremises relays for its addresses and certificate. One of type Partner refuses mail of its sender
    domains that does not meet its restrictions (Set-InboundConnector, -RestrictDomainsToIPAddresses,
    -RestrictDomainsToCertificate, -RequireTls), and exempts its sources from RejectDirectSend.
    """
    networks = connector.sender_ip_addresses or NONE
    certificate = connector.tls_sender_certificate_name or ""
    domains, associated = _senders(connector), connector.associated_accepted_domains or ANY
    if connector.type == "partner":
        yield from _restrictions(connector)
        yield Exemption(networks, certificate, domains, associated)
    else:
        yield Relay(networks, certificate, domains, associated, not connector.require_tls)
        if connector.type is None:
            yield Doubt("ConnectorType was not returned")
    for name, admitted in fields.widening(connector).items():
        yield Privilege(name) if admitted is True else Privilege(name, admitted)


def _senders(connector: InboundConnector) -> Scope:
    """A wildcard among sender domains means a domain and all subdomains (New-InboundConnector, -SenderDomains).

    The cost of a stored form, `smtp:contoso.com;5`, does not change which mail is meant.
    """
    domains = frozenset(map(_without_cost, connector.sender_domains or ANY))
    return domains | {domain.removeprefix("*.") for domain in domains}


def _without_cost(domain: str) -> str:
    kind, stored, rest = domain.partition(":")
    return rest.rpartition(";")[0] if stored and kind == "smtp" and ";" in rest else domain


def _restrictions(connector: InboundConnector) -> Iterator[Restriction]:
    domains, certificate = _senders(connector), connector.tls_sender_certificate_name
    if connector.restrict_domains_to_ip_addresses:
        yield Restriction(domains, ADDRESS, connector.sender_ip_addresses or NONE)
    if connector.restrict_domains_to_certificate:
        yield Restriction(domains, CERTIFICATE, frozenset({certificate}) if certificate else NONE)
    if connector.require_tls:
        yield Restriction(domains, TLS, frozenset({TLS}))


_UNLESS = {ADDRESS: "these addresses", CERTIFICATE: "this certificate"}


def _emptied(before: Contributions, after: Contributions) -> Iterator[Guard]:
    """A relay that loses its last address and certificate: most often an empty list or variable, seldom meant."""
    relayed = any(isinstance(c, Relay) and (c.networks or c.certificate) for c in before)
    if relayed and any(isinstance(c, Relay) and not (c.networks or c.certificate) for c in after):
        summary = "its last address or certificate is taken away: nobody may relay through it any more (550 5.7.64)"
        hint = "check that the list is meant to be empty; to end the connector, take it out or write enabled: false"
        yield Guard("CONNECTOR-EMPTIED", summary, hint)


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
        hint = "make sure that every other system that sends for these domains has a connector of its own"
        yield Guard("PARTNER-RESTRICTS", summary, hint)
