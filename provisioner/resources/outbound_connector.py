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
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.model import (
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
from provisioner.model.picture import NONE, Contribution, Contributions, Privilege, Route, Scope
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
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
    sender_network,
    texts,
    wildcard_domain,
    wire_network,
    word,
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
class OutboundConnector:
    """A connector. `owner` is the plan that marked it ("" for none). A name is for life: the plan renames nothing.

    `smart_hosts` is empty where MX records decide the route. `tls` is `opportunistic` where `TlsSettings` is null.
    Observed only: `source` and `spellings`, as an inbound connector has them.
    """

    name: str
    type: str | None = None
    enabled: bool | None = None
    recipient_domains: frozenset[str] | None = None
    all_accepted_domains: bool | None = None
    is_transport_rule_scoped: bool | None = None
    smart_hosts: frozenset[str] | None = None
    tls: str | None = None
    tls_domain: str | None = None
    mta_sts_mode: str | None = None
    smtp_dane_mode: str | None = None
    route_all_messages_via_on_premises: bool | None = None
    cloud_services_mail_enabled: bool | None = None
    sender_rewriting_enabled: bool | None = None
    test_mode: bool | None = None
    validation_recipients: frozenset[str] | None = None
    link_for_modified_connector: str | None = at_creation()
    comment: str | None = None
    owner: str | None = None
    source: str | None = read_only()
    spellings: frozenset[str] | None = read_only()
    names: frozenset[str] = known_names()


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
    mend = "write a host name such as mail.contoso.com, or an IPv4 address or CIDR range"
    if ":" in bare:
        mend = "write the host alone: connectors use port 25 and IPv4"
    try:
        return sender_network(bare) if _IPV4_SHAPE.fullmatch(bare) else domain_name(bare)
    except ValueError:
        raise refusal("SMART-HOST-INVALID", f'"{text}" is not a smart host', mend) from None


def _link(text: str) -> str:
    link = text.strip("{}").lower()
    if not _GUID.fullmatch(link):
        raise refusal("LINK-INVALID", f'"{text}" is not a GUID', "leave it out; Microsoft reserves it")
    return link


# --- the wire --------------------------------------------------------------------------------------------------------

_COLUMNS = Columns(
    flags={
        "enabled": "Enabled",
        "all_accepted_domains": "AllAcceptedDomains",
        "is_transport_rule_scoped": "IsTransportRuleScoped",
        "route_all_messages_via_on_premises": "RouteAllMessagesViaOnPremises",
        "cloud_services_mail_enabled": "CloudServicesMailEnabled",
        "sender_rewriting_enabled": "SenderRewritingEnabled",
        "test_mode": "TestMode",
    },
    lists={
        "recipient_domains": Values("RecipientDomains", recipient_domain),
        "smart_hosts": Values("SmartHosts", smart_host, wire_network),
    },
)
_WIRE_WORDS: Mapping[str, tuple[str, Mapping[str, str | None]]] = {
    "tls": (
        "TlsSettings",
        {
            "opportunistic": None,
            "encryption_only": "EncryptionOnly",
            "certificate_validation": "CertificateValidation",
            "domain_validation": "DomainValidation",
        },
    ),
    "mta_sts_mode": ("MtaStsMode", {"opportunistic": "Opportunistic", "none": "None"}),
    "smtp_dane_mode": (
        "SmtpDaneMode",
        {"opportunistic": "Opportunistic", "mandatory": "Mandatory", "none": "None"},
    ),
}
"""Field -> parameter, and what it holds for each word. A null TlsSettings leaves TLS to what the other side offers
(Learn, "How Exchange Online uses TLS to secure email connections")."""

_NO_LINK = "00000000-0000-0000-0000-000000000000"


# --- the plan --------------------------------------------------------------------------------------------------------


@with_config(ConfigDict(extra="forbid"))
class OutboundConnectorBody(TypedDict, total=False):
    """One outbound connector. What is not written is left as it is; a list is the whole list."""

    type: Annotated[
        Literal["on_premises", "partner"],
        Field(description="on_premises: own systems, by smart hosts; partner: everybody else. At creation: partner."),
    ]
    enabled: Annotated[Flag, Field(description="Whether the connector is in force; true at creation.")]
    recipient_domains: Annotated[
        list[Annotated[str, AfterValidator(recipient_domain), Field(examples=["partner.example", "*.contoso.com"])]],
        Field(description="Domains that the connector delivers to; for all of them, *."),
    ]
    all_accepted_domains: Annotated[
        Flag, Field(description="Deliver to every accepted domain of the tenant (on_premises only).")
    ]
    is_transport_rule_scoped: Annotated[
        Flag, Field(description="Only for mail that a transport rule routes here; then it has no domains of its own.")
    ]
    smart_hosts: Annotated[
        list[Annotated[str, AfterValidator(smart_host), Field(examples=["mail.partner.example", "198.51.100.7"])]],
        Field(description="Hosts that the mail is handed to; empty to follow the MX records. Empty at creation."),
    ]
    tls: Annotated[
        Literal["opportunistic", "encryption_only", "certificate_validation", "domain_validation"],
        Field(description="TLS that the receiving host must offer; opportunistic at creation."),
    ]
    tls_domain: Annotated[
        str,
        AfterValidator(certificate_name),
        Field(
            description='Name in the receiving host\'s certificate, with tls: domain_validation; "" for none.',
            examples=["mail.partner.example", "*.partner.example"],
        ),
    ]
    mta_sts_mode: Annotated[
        Literal["opportunistic", "none"], Field(description="MTA-STS validation; opportunistic at creation.")
    ]
    smtp_dane_mode: Annotated[
        Literal["opportunistic", "mandatory", "none"],
        Field(description="SMTP DANE validation; opportunistic at creation."),
    ]
    route_all_messages_via_on_premises: Annotated[
        Flag, Field(description="Centralized mail transport: all mail leaves by the own systems (on_premises only).")
    ]
    cloud_services_mail_enabled: Annotated[
        Flag, Field(description="Keep Exchange's internal headers: hybrid mail flow and add-on services.")
    ]
    sender_rewriting_enabled: Annotated[
        Flag, Field(description="Rewrite senders (SRS) on the way to the own systems (on_premises only).")
    ]
    test_mode: Annotated[Flag, Field(description="Test mode; false at creation.")]
    validation_recipients: Annotated[
        list[EmailText], Field(description="Addresses outside that the admin centre's validation sends to.")
    ]
    link_for_modified_connector: Annotated[
        str, AfterValidator(_link), Field(description="Reserved by Microsoft; at creation only.")
    ]
    comment: Annotated[
        str,
        AfterValidator(unmarked_comment),
        Field(description="Your note; the plan's ownership mark is put behind it.", examples=["Bank, NET-1432"]),
    ]


_ON_PREMISES_ONLY = ("all_accepted_domains", "route_all_messages_via_on_premises", "sender_rewriting_enabled")


def _agree(body: OutboundConnectorBody) -> OutboundConnectorBody:
    """What the service refuses is told before anything is sent."""
    if body.get("type") == "partner":
        for name in _ON_PREMISES_ONLY:
            if body.get(name):
                mend = "write type: on_premises, or leave it out"
                raise refusal("CONNECTOR-ON-PREMISES-ONLY", f"{name} is refused on a partner connector", mend)
    if body.get("type") == "on_premises" and body.get("smart_hosts") == []:
        what = "a connector of type on_premises cannot follow MX records"
        raise refusal("CONNECTOR-SMART-HOSTS", what, "write the smart_hosts of the own systems")
    if (body.get("tls") == "domain_validation") != bool(body.get("tls_domain")):
        what = "tls: domain_validation and tls_domain belong together"
        raise refusal("CONNECTOR-TLS-DOMAIN", what, "write both, or neither")
    return _one_scope(body)


def _one_scope(body: OutboundConnectorBody) -> OutboundConnectorBody:
    """A transport rule or domains, never both and never neither."""
    scoped = body.get("is_transport_rule_scoped")
    domains = body.get("recipient_domains") or body.get("all_accepted_domains")
    if scoped and domains:
        what = "a connector for a transport rule has no domains of its own"
        raise refusal("CONNECTOR-SCOPE", what, "leave out is_transport_rule_scoped, or the domains")
    if not scoped and not domains and body.get("recipient_domains") == []:
        what = "without recipient_domains the connector has no mail to deliver"
        raise refusal("CONNECTOR-SCOPE", what, "write domains, or is_transport_rule_scoped: true")
    return body


def _implied(body: OutboundConnectorBody) -> dict[str, Any]:
    """What follows from what is written, so that the plan shows it and one Set sends it all.

    The service refuses a connector that is for a transport rule and for domains, and a TlsDomain without domain
    validation: to choose the one is to clear the other.
    """
    implied: dict[str, Any] = {}
    if body.get("is_transport_rule_scoped"):
        implied |= {"recipient_domains": [], "all_accepted_domains": False}
    elif body.get("recipient_domains") or body.get("all_accepted_domains"):
        implied["is_transport_rule_scoped"] = False
    if body.get("tls", "domain_validation") != "domain_validation":
        implied["tls_domain"] = ""
    return implied


Body = Annotated[OutboundConnectorBody, AfterValidator(_agree)]
Section = dict[Annotated[str, AfterValidator(connector_name)], Body]


# --- the type --------------------------------------------------------------------------------------------------------


class OutboundConnectorType(BaseType):
    """outbound_connector["to-partner"]. Exchange tells names apart without case, and so do we."""

    name: ClassVar[str] = "outbound_connector"
    section: ClassVar[str] = "outbound_connectors"
    section_type: ClassVar[Any] = Annotated[
        Section,
        Field(
            description="Outbound connectors, by name.",
            examples=[{"to-partner": {"recipient_domains": ["partner.example"], "tls": "certificate_validation"}}],
        ),
    ]
    spec: ClassVar[type[OutboundConnector]] = OutboundConnector
    marks_ownership: ClassVar[bool] = True

    def declare(self, section: Mapping[str, OutboundConnectorBody], owner: str) -> Iterable[Declared]:
        for key, name in declared_names(section):
            body = {**_implied(section[name]), **section[name]}
            values: dict[str, Any] = {n: frozenset(v) if isinstance(v, list) else v for n, v in body.items()}
            yield Declared(key, OutboundConnector(key, owner=owner or None, **values), (name,))

    def queries(self, wanted: Mapping[str, OutboundConnector | None], everything: bool) -> Sequence[Query]:
        """Two listings: the first leaves out the connectors in test mode, the second may hold nothing else.

        Microsoft's page says that -IncludeTestModeConnectors returns only those; its name says otherwise. Both together
        are all connectors either way.
        """
        if not wanted and not everything:
            return ()
        listing: dict[str, Parameter] = {"ResultSize": "Unlimited"}
        both = (listing, {**listing, "IncludeTestModeConnectors": True})
        return tuple(Query(Cmdlet("Get-OutboundConnector", each), frozenset(wanted)) for each in both)

    def decode(
        self, wanted: Mapping[str, OutboundConnector | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, OutboundConnector | Unknown]:
        return decode_listing(wanted, answers, _decode)

    def undeclared(self, observed: OutboundConnector, owner: str, exclusive: bool) -> Undeclared:  # noqa: ARG002
        return fate(observed, owner)

    def owner_of(self, spec: OutboundConnector) -> str | None:
        return spec.owner

    def made_by(self, spec: OutboundConnector) -> str | None:
        return spec.source

    def steps(self, before: OutboundConnector | None, after: OutboundConnector | None) -> Sequence[Step]:
        if after is None:
            return (_send("Remove", {"Identity": before.name, "Confirm": False}),) if before else ()
        if before is None:
            return tuple(_creation(self.completed(after)))
        changes = _changes(before, after)
        return (_send("Set", {"Identity": before.name, **changes}),) if changes else ()

    def completed(self, spec: OutboundConnector) -> OutboundConnector:
        """The type is always sent. New-OutboundConnector's page names no default; new rows are of type Partner."""
        return dataclasses.replace(spec, type=spec.type or "partner")

    def written_form(self, spec: OutboundConnector) -> tuple[tuple[str, ...], Any] | None:
        """What the wizard keeps is not for a plan. The mark is the plan's `owner`, not the connector's."""
        if spec.source == HYBRID_WIZARD:
            return None
        return (spec.name,), written_body(spec, OutboundConnectorBody.__annotations__, ("type",), _DEFAULTS)

    def contribution(self, spec: OutboundConnector) -> Contributions:
        """Where an enabled connector leads mail, and what protection it takes from it."""
        return () if spec.enabled is False else tuple(_contributions(spec))

    def guards(self, before: OutboundConnector | None, after: OutboundConnector | None) -> Iterable[Guard]:
        return _guards(before or _NOTHING, after or _NOTHING)

    def in_force(self, wanted: OutboundConnector, live: OutboundConnector) -> str:
        if wanted.enabled is False or live.enabled is not False:
            return ""
        return "the connector is disabled in the tenant"


_DEFAULTS: Mapping[str, Any] = {
    "enabled": True,
    **dict.fromkeys(
        (*_ON_PREMISES_ONLY, "is_transport_rule_scoped", "cloud_services_mail_enabled", "test_mode"), False
    ),
    **dict.fromkeys(("tls", "mta_sts_mode", "smtp_dane_mode"), "opportunistic"),
    "link_for_modified_connector": _NO_LINK,
}
"""What New-OutboundConnector decides where nothing is said."""


def _send(verb: str, parameters: Mapping[str, Parameter]) -> Send:
    return Send(Cmdlet(f"{verb}-OutboundConnector", parameters))


def _creation(after: OutboundConnector) -> Iterable[Step]:
    """New with everything written that it takes, then Set with what only Set has (ValidationRecipients)."""
    parameters: dict[str, Parameter] = {"Name": after.name}
    if after.type:
        parameters["ConnectorType"] = wire_type(after.type)
    parameters |= _COLUMNS.creation(after)
    if after.smart_hosts:
        parameters["UseMXRecord"] = False
    for name, (parameter, words) in _WIRE_WORDS.items():
        value = words.get(getattr(after, name) or "")
        if value is not None:
            parameters[parameter] = value
    if after.tls_domain:
        parameters["TlsDomain"] = after.tls_domain
    if after.link_for_modified_connector not in (None, _NO_LINK):
        parameters["LinkForModifiedConnector"] = after.link_for_modified_connector
    yield _send("New", parameters)
    if after.validation_recipients:
        yield _send("Set", {"Identity": after.name, "ValidationRecipients": tuple(sorted(after.validation_recipients))})


def _changes(before: OutboundConnector, after: OutboundConnector) -> dict[str, Parameter]:
    """The parameters of one Set: the service checks how they hold together after all of them."""
    changes = _COLUMNS.changes(before, after)
    if differs(before, after, "smart_hosts"):
        changes["UseMXRecord"] = not after.smart_hosts
    for name, (parameter, words) in _WIRE_WORDS.items():
        if differs(before, after, name):
            changes[parameter] = words.get(getattr(after, name))
    if differs(before, after, "tls_domain"):
        changes["TlsDomain"] = after.tls_domain or None
    if differs(before, after, "validation_recipients"):
        # A plain String[]: null empties it.
        changes["ValidationRecipients"] = tuple(sorted(after.validation_recipients or ())) or None
    return changes


def _decode(key: str, row: Row) -> OutboundConnector:
    values = _COLUMNS.decode(row)
    values["smart_hosts"] = _route(row, values["smart_hosts"])
    for name, (parameter, words) in _WIRE_WORDS.items():
        known = {wire.lower(): canonical for canonical, wire in words.items() if wire}
        unset = "opportunistic" if parameter in row and None in words.values() else None
        values[name] = word(row, parameter, known) or unset
    if "TlsDomain" in row:
        values["tls_domain"] = lenient(certificate_name)(str(row["TlsDomain"] or ""))
    recipients = texts(row, "ValidationRecipients")
    values["validation_recipients"] = None if recipients is None else frozenset(map(lenient(email_address), recipients))
    link = row.get("LinkForModifiedConnector")
    values["link_for_modified_connector"] = lenient(_link)(str(link)) if link else None
    return OutboundConnector(key, names=names_of(row), **values)


def _route(row: Row, hosts: frozenset[str] | None) -> frozenset[str] | None:
    """The smart hosts that count: none where MX records decide. None where the columns do not tell the route."""
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
    mend = "make sure that these hosts deliver mail for every domain, or write the recipient_domains that are meant"
    yield Guard("OUTBOUND-ALL-MAIL", summary, mend)
