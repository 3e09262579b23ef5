"""Outbound connectors: which mail leaves by which hosts, and how safely (smart hosts, partners, hybrid, add-ons).

The plan says some things once that the service has in two columns: smart hosts, or none for MX records, decide
`UseMXRecord`; a connector is either for a transport rule or for domains; `tls_domain` belongs to one kind of TLS.
Columns, parameters and limits: Get-/New-/Set-OutboundConnector in the PowerShell reference (2026).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from provisioner.diagnostics import Severity
from provisioner.model import Guard, Parameter, Query, Row, Rule
from provisioner.model.listing import listed
from provisioner.model.picture import NONE, Contribution, Contributions, Privilege, Route, Scope
from provisioner.resources import fields
from provisioner.resources.canonical import (
    domain_name,
    known_names,
    read_only,
    refusal,
    sender_network,
    wildcard_domain,
    wire_network,
)
from provisioner.resources.connectors import (
    CONNECTOR_NAME,
    EMAIL,
    ConnectorType,
    certificate,
    comment_column,
    source_column,
    type_column,
)
from provisioner.resources.fields import BOOLEAN, Text, Texts, Words, column

# --- canonical forms -------------------------------------------------------------------------------------------------

_IPV4_SHAPE = re.compile(r"[0-9.]+(?:/[0-9]+)?")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STORED_DOMAIN = re.compile(r"smtp:(.*);[0-9]+", re.IGNORECASE)


def recipient_domain(text: str) -> str:
    """A domain that mail goes to: `contoso.com`, `*.contoso.com` or `*`. Raises RECIPIENT-DOMAIN-INVALID.

    Old rows hold the address space of Exchange Server ("smtp:contoso.com;1"), which the service reads as the domain.
    """
    stored = _STORED_DOMAIN.fullmatch(text)
    plain = stored[1] if stored else text
    if plain == "*":
        return plain
    return wildcard_domain(plain, text, "RECIPIENT-DOMAIN-INVALID", "write contoso.com, *.contoso.com or *")


def smart_host(text: str) -> str:
    """A host that mail is handed to: a DNS name, or an IPv4 address or CIDR range as `sender_network` makes it.

    "[192.0.2.5]", as Exchange Server prints it, is the address. There are no ports: the service uses 25
    (office-docs-powershell issue 5599). Raises SMART-HOST-INVALID.
    """
    bare = text.removeprefix("[").removesuffix("]")
    hint = "write a host name such as mail.contoso.com, or an IPv4 address or CIDR range"
    if ":" in bare:
        hint = "write the host alone: connectors use port 25 and IPv4"
    try:
        return sender_network(bare) if _IPV4_SHAPE.fullmatch(bare) else domain_name(bare)
    except ValueError:
        raise refusal("SMART-HOST-INVALID", f'"{text}" is not a smart host', hint) from None


def _link(text: str) -> str:
    """A Guid, without braces. Raises LINK-INVALID."""
    link = text.strip("{}").lower()
    if not _GUID.fullmatch(link):
        raise refusal("LINK-INVALID", f'"{text}" is not a GUID', "leave it out; Microsoft reserves it")
    return link


# --- fields ----------------------------------------------------------------------------------------------------------

_RECIPIENT_DOMAIN = Text(
    recipient_domain, "`contoso.com`, `*.contoso.com`, `*`", examples=("partner.example", "*.contoso.com")
)
_SMART_HOST = Text(
    smart_host,
    "host names, IPv4 addresses and CIDR ranges; no ports",
    examples=("mail.partner.example", "198.51.100.7"),
    wire=wire_network,
)
_LINK = Text(_link, "GUID", empty="00000000-0000-0000-0000-000000000000")
# A null TlsSettings leaves TLS to what the other side offers (Learn, "How Exchange Online uses TLS to secure email
# connections").
_TLS = Words(
    {
        "opportunistic": None,
        "encryption_only": "EncryptionOnly",
        "certificate_validation": "CertificateValidation",
        "domain_validation": "DomainValidation",
    }
)
_MTA_STS = Words({"opportunistic": "Opportunistic", "none": "None"})
_DANE = Words({"opportunistic": "Opportunistic", "mandatory": "Mandatory", "none": "None"})


@dataclass(frozen=True, slots=True)
class OutboundConnector:
    """A connector. `owner` is the plan that marked it ("" for none), `owner_key` its key there ("" in old marks).

    `smart_hosts` is empty where MX records decide the route. `tls` is `opportunistic` where `TlsSettings` is null.
    Observed only: `source` and `spellings`, as an inbound connector has them.
    """

    name: str
    type: str | None = type_column(
        "on_premises: own systems, by smart hosts; partner: everybody else. At creation: partner."
    )
    enabled: bool | None = column(
        "Enabled", BOOLEAN, "Whether the connector is in force; true at creation.", default=True
    )
    recipient_domains: frozenset[str] | None = column(
        "RecipientDomains",
        Texts(_RECIPIENT_DOMAIN),
        "Domains that the connector delivers to; for all of them, *.",
    )
    all_accepted_domains: bool | None = column(
        "AllAcceptedDomains",
        BOOLEAN,
        "Deliver to every accepted domain of the tenant (on_premises only).",
        default=False,
    )
    is_transport_rule_scoped: bool | None = column(
        "IsTransportRuleScoped",
        BOOLEAN,
        "Only for mail that a transport rule routes here; then it has no domains of its own.",
        default=False,
    )
    smart_hosts: frozenset[str] | None = column(
        "SmartHosts",
        Texts(_SMART_HOST),
        "Hosts that the mail is handed to; empty to follow the MX records. Empty at creation.",
    )
    tls: str | None = column(
        "TlsSettings",
        _TLS,
        "TLS that the receiving host must offer; opportunistic at creation.",
        default="opportunistic",
    )
    tls_domain: str | None = column(
        "TlsDomain",
        certificate("mail.partner.example", "*.partner.example"),
        'Name in the receiving host\'s certificate, with tls: domain_validation; "" for none.',
    )
    mta_sts_mode: str | None = column(
        "MtaStsMode", _MTA_STS, "MTA-STS validation; opportunistic at creation.", default="opportunistic"
    )
    smtp_dane_mode: str | None = column(
        "SmtpDaneMode", _DANE, "SMTP DANE validation; opportunistic at creation.", default="opportunistic"
    )
    route_all_messages_via_on_premises: bool | None = column(
        "RouteAllMessagesViaOnPremises",
        BOOLEAN,
        "Centralized mail transport: all mail leaves by the own systems (on_premises only).",
        default=False,
    )
    cloud_services_mail_enabled: bool | None = column(
        "CloudServicesMailEnabled",
        BOOLEAN,
        "Keep Exchange's internal headers: hybrid mail flow and add-on services.",
        default=False,
    )
    sender_rewriting_enabled: bool | None = column(
        "SenderRewritingEnabled",
        BOOLEAN,
        "Rewrite senders (SRS) on the way to the own systems (on_premises only).",
        default=False,
    )
    test_mode: bool | None = column("TestMode", BOOLEAN, "Test mode; false at creation.", default=False)
    validation_recipients: frozenset[str] | None = column(
        "ValidationRecipients",
        Texts(EMAIL, plain=True),
        "Addresses outside that the admin centre's validation sends to.",
        cmdlets=("Set",),
    )
    link_for_modified_connector: str | None = column(
        "LinkForModifiedConnector",
        _LINK,
        "Reserved by Microsoft; at creation only.",
        default=_LINK.empty,
        cmdlets=("New",),
    )
    comment: str | None = comment_column("Bank, NET-1432")
    owner: str | None = None
    owner_key: str | None = None
    source: str | None = source_column()
    spellings: frozenset[str] | None = read_only()
    names: frozenset[str] = known_names()


# --- what goes together ----------------------------------------------------------------------------------------------

_ON_PREMISES_ONLY = ("all_accepted_domains", "route_all_messages_via_on_premises", "sender_rewriting_enabled")


def _agree(connector: OutboundConnector) -> None:
    """What the service refuses is told before anything is sent."""
    if connector.type == "partner":
        for name in _ON_PREMISES_ONLY:
            if getattr(connector, name):
                hint = "write type: on_premises, or leave it out"
                raise refusal("CONNECTOR-ON-PREMISES-ONLY", f"{name} is refused on a partner connector", hint)
    if connector.type == "on_premises" and connector.smart_hosts == frozenset():
        what = "a connector of type on_premises cannot follow MX records"
        raise refusal("CONNECTOR-SMART-HOSTS", what, "write the smart_hosts of the own systems")
    if (connector.tls == "domain_validation") != bool(connector.tls_domain):
        what = "tls: domain_validation and tls_domain belong together"
        raise refusal("CONNECTOR-TLS-DOMAIN", what, "write both, or neither")
    _one_scope(connector)


def _one_scope(connector: OutboundConnector) -> None:
    """A transport rule or domains, never both and never neither."""
    scoped = connector.is_transport_rule_scoped
    domains = connector.recipient_domains or connector.all_accepted_domains
    if scoped and domains:
        what = "a connector for a transport rule has no domains of its own"
        raise refusal("CONNECTOR-SCOPE", what, "leave out is_transport_rule_scoped, or the domains")
    if not scoped and not domains and connector.recipient_domains == frozenset():
        what = "without recipient_domains the connector has no mail to deliver"
        raise refusal("CONNECTOR-SCOPE", what, "write domains, or is_transport_rule_scoped: true")


_DESCRIPTION = "One outbound connector. What is not written is left as it is; a list is the whole list."


class OutboundConnectorType(ConnectorType[OutboundConnector]):
    """outbound_connector["to-partner"]."""

    name: ClassVar[str] = "outbound_connector"
    section: ClassVar[str] = "outbound_connectors"
    section_type: ClassVar[Any] = fields.section(
        CONNECTOR_NAME,
        fields.entry(OutboundConnector, "OutboundConnectorBody", _DESCRIPTION, _agree),
        "Outbound connectors, by name.",
        {"to-partner": {"recipient_domains": ["partner.example"], "tls": "certificate_validation"}},
    )
    spec: ClassVar[type[OutboundConnector]] = OutboundConnector
    noun: ClassVar[str] = "OutboundConnector"
    decisive: ClassVar[frozenset[str]] = frozenset({"type", "recipient_domains", "smart_hosts"})
    more_columns: ClassVar[frozenset[str]] = frozenset({"UseMXRecord"})
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Route, Privilege)
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "OUTBOUND-ALL-MAIL", Severity.ERROR, "apply", "An outbound connector begins to take mail to every domain."
        ),
    )

    def implied(self, spec: OutboundConnector) -> OutboundConnector:
        """With what follows from what is written, so that the plan shows it and one Set sends it all.

        The service refuses a connector that is for a transport rule and for domains, and a TlsDomain without domain
        validation: to choose the one is to clear the other.
        """
        if spec.is_transport_rule_scoped:
            spec = dataclasses.replace(spec, recipient_domains=frozenset(), all_accepted_domains=False)
        elif spec.recipient_domains or spec.all_accepted_domains:
            spec = dataclasses.replace(spec, is_transport_rule_scoped=False)
        return spec if spec.tls in (None, "domain_validation") else dataclasses.replace(spec, tls_domain="")

    def queries(self, wanted: Mapping[str, OutboundConnector | None], everything: bool) -> Sequence[Query]:
        """Two listings: the first leaves out the connectors in test mode, the second may hold nothing else.

        Microsoft's page says that -IncludeTestModeConnectors returns only those; its name says otherwise. Both together
        are all connectors either way.
        """
        listing = super().queries(wanted, everything)
        tests: dict[str, Parameter] = {"ResultSize": "Unlimited", "IncludeTestModeConnectors": True}
        return (*listing, *(Query(self.listing(tests), q.covers) for q in listing))

    def values(self, row: Row) -> dict[str, Any]:
        found = super().values(row)
        return {**found, "smart_hosts": _route(row, found["smart_hosts"])}

    def creation(self, after: OutboundConnector) -> dict[str, Parameter]:
        return super().creation(after) | ({"UseMXRecord": False} if after.smart_hosts else {})

    def changes(self, before: OutboundConnector, after: OutboundConnector) -> dict[str, Parameter]:
        follows_mx = {"UseMXRecord": not after.smart_hosts} if fields.differs(before, after, "smart_hosts") else {}
        return super().changes(before, after) | follows_mx

    def contribution(self, spec: OutboundConnector) -> Contributions:
        """Where an enabled connector leads mail, and what protection it takes from it."""
        return () if spec.enabled is False else tuple(_contributions(spec))

    def guards(self, before: OutboundConnector | None, after: OutboundConnector | None) -> Iterable[Guard]:
        return _guards(before or _NOTHING, after or _NOTHING)


def _route(row: Row, hosts: frozenset[str] | None) -> frozenset[str] | None:
    """The smart hosts that count: none where MX records decide. None where the columns do not say the route."""
    follows_mx = row.get("UseMXRecord")
    if follows_mx is True:
        return frozenset()
    return (hosts or None) if follows_mx is False else None


# --- where mail goes -------------------------------------------------------------------------------------------------

_NOTHING = OutboundConnector("", enabled=False)
"""A connector without effect: what a creation starts from and a deletion ends with."""

_BY_RULE, _ACCEPTED = "mail of transport rules", "accepted domains"
_DEMANDS: Mapping[str, Scope] = {
    "encryption_only": frozenset({"TLS"}),
    "certificate_validation": frozenset({"TLS", "a valid certificate"}),
    "domain_validation": frozenset({"TLS", "a valid certificate"}),
}


def _contributions(connector: OutboundConnector) -> Iterator[Contribution]:
    """What an enabled connector adds to the sending picture.

    Smart hosts are given mail that MX records would lead elsewhere. What a connector demands of the receiving host
    (TLS, its certificate, DANE) holds mail back that would have been delivered without it (New-OutboundConnector,
    -TlsSettings, -SmtpDaneMode).
    """
    mail = _mail(connector)
    yield Route(mail, connector.smart_hosts or NONE, _demands(connector))
    weaker = {
        "cloud_services_mail_enabled": connector.cloud_services_mail_enabled,
        "mta_sts_mode": connector.mta_sts_mode == "none",
        "smtp_dane_mode": connector.smtp_dane_mode == "none",
    }
    for name, given in weaker.items():
        if given and mail:
            yield Privilege(name, mail)


def _mail(connector: OutboundConnector) -> Scope:
    """Which mail the connector takes, by the domain of its recipients or otherwise."""
    more = {
        _BY_RULE: connector.is_transport_rule_scoped,
        _ACCEPTED: connector.all_accepted_domains,
        "*": connector.route_all_messages_via_on_premises,
    }
    return (connector.recipient_domains or frozenset()) | {name for name, given in more.items() if given}


def _demands(connector: OutboundConnector) -> Scope:
    if connector.enabled is False:
        return frozenset()
    demands = _DEMANDS.get(connector.tls or "", frozenset())
    name = {f"the name {connector.tls_domain}"} if connector.tls_domain else frozenset()
    return demands | name | ({"DANE"} if connector.smtp_dane_mode == "mandatory" else frozenset())


def _guards(before: OutboundConnector, after: OutboundConnector) -> Iterator[Guard]:
    """A connector that begins to take all mail, or gives it to other hosts or under other demands."""
    if after.enabled is False or "*" not in _mail(after):
        return
    hosts, demands = after.smart_hosts or frozenset(), _demands(after)
    same = before.enabled is not False and "*" in _mail(before) and before.smart_hosts == after.smart_hosts
    if (same and not demands - _demands(before)) or not (hosts or demands):
        return
    whose = f"is given to {listed(hosts)}" if hosts else "follows MX records"
    only = f", and only where the host offers {listed(demands)}" if demands else ""
    summary = f"mail to every domain outside {whose}{only}"
    hint = "make sure that these hosts deliver mail for every domain, or write the recipient_domains that are meant"
    yield Guard("OUTBOUND-ALL-MAIL", summary, hint)
