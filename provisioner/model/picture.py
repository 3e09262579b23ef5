"""The sending picture in words: what the objects of a tenant add to the ways in which mail is accepted or refused.

Every resource type turns its objects into these words (`ResourceType.contribution`); `mailflow` alone says what they
mean together. The words are frozen and canonical, so that two pictures can be compared: addresses in lower case,
networks in CIDR, domains as the connectors write them (`contoso.com`, `*.contoso.com`, `*`).
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from provisioner.model.names import caseless

if TYPE_CHECKING:
    from provisioner.model import Address

# --- scopes ----------------------------------------------------------------------------------------------------------

Scope = frozenset[str]
"""Networks, domains or names that a contribution is about."""

ANY: Scope = frozenset({"*"})
NONE: Scope = frozenset()


def within(inner: Scope, outer: Scope) -> bool:
    """Whether every network, domain or name of `inner` is covered by one of `outer`."""
    return all(item in outer or any(wide in outer for wide in _wider(item)) for item in inner)


def holds(scope: Scope, item: str) -> bool:
    """Whether a network, domain or name lies in a scope."""
    return within(frozenset({item}), scope)


def shared(one: Scope, other: Scope) -> Scope:
    """What two scopes have in common: of two items of which one covers the other, the narrower."""
    return frozenset(item for scope, of in ((one, other), (other, one)) for item in scope if holds(of, item))


@functools.lru_cache(maxsize=8192)  # two full lists of a connection filter, before a change and after it
def _wider(item: str) -> tuple[str, ...]:
    """Everything that covers an item: `*` any, `*.contoso.com` what ends in `.contoso.com`, a network its parts.

    A scope is asked for these, never gone through: lists of a thousand networks are compared item by item.
    """
    name = item.removeprefix("*")
    dots = (place for place, letter in enumerate(name) if letter == ".")
    return ("*", *(f"*{name[place:]}" for place in dots), *_networks_around(item))


def _networks_around(item: str) -> Iterator[str]:
    """The networks that hold a network. A single address may be written without /32."""
    if not item[:1].isdigit():
        return
    try:
        network = ipaddress.IPv4Network(item)
    except ValueError:
        return
    address = int(network.network_address)
    yield from (str(network.network_address), str(network)) if network.prefixlen == 32 else ()
    for length in range(network.prefixlen):
        bits = 32 - length
        yield f"{ipaddress.IPv4Address(address >> bits << bits)}/{length}"


# --- mail that arrives at the MX endpoint ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Relay:
    """An enabled inbound connector of type OnPremises: mail from its sources may go to anyone.

    A source is known by its network or by the name in its TLS certificate; "" names none. `domains` are SenderDomains,
    which limit Partner connectors only (New-InboundConnector, -SenderDomains). `associated` are the accepted domains
    whose mail may use the connector, ANY where none is written (-AssociatedAcceptedDomains). `clear_text`: RequireTls
    is off; its effect on this type of connector is not documented (-RequireTls: Partner only).
    """

    networks: Scope = NONE
    certificate: str = ""
    domains: Scope = ANY
    associated: Scope = ANY
    clear_text: bool = False


@dataclass(frozen=True, slots=True)
class Exemption:
    """An enabled Partner connector for these sender domains: RejectDirectSend lets the sources through that it names.

    One that names neither addresses nor a certificate exempts nobody, and knows its partner by the domain alone. What
    it names counts with a restriction: SenderIPAddresses applies to a Partner connector only with
    RestrictDomainsToIPAddresses, TlsSenderCertificateName with RequireTls (New-InboundConnector).

    Source: Exchange Team Blog, "Introducing more control over Direct Send in Exchange Online", 28 April 2025: mail that
    matches an inbound connector of either type, by address or certificate, is not direct send.
    """

    networks: Scope = NONE
    certificate: str = ""
    domains: Scope = ANY
    associated: Scope = ANY


ADDRESS, CERTIFICATE, TLS = "address", "certificate", "TLS"


@dataclass(frozen=True, slots=True)
class Restriction:
    """An enabled Partner connector refuses mail of these sender domains that does not meet a demand.

    `demand` is ADDRESS, CERTIFICATE or TLS, `sources` what meets it: networks, names in certificates, {"TLS"}. With `*`
    as a domain all other mail to the tenant is refused (Set-InboundConnector, -RestrictDomainsToIPAddresses,
    -RestrictDomainsToCertificate, -RequireTls; Microsoft's NDR page for 550 5.7.51).
    """

    domains: Scope
    demand: str
    sources: Scope

    def covers(self, other: Restriction) -> bool:
        """Whether this restriction refuses everything that the other one refuses."""
        same = self.demand == other.demand
        return same and within(other.domains, self.domains) and within(self.sources, other.sources)


@dataclass(frozen=True, slots=True)
class Privilege:
    """What an object spares some of its mail: spam filtering, the removal of headers, a protection. More is exposure.

    `name` is the field that grants it, `mail` the addresses, domains or recipients that it is granted to.
    """

    name: str
    mail: Scope = ANY


@dataclass(frozen=True, slots=True)
class Rejection:
    """The organization's RejectDirectSend (Set-OrganizationConfig).

    `rejects`: anonymous mail whose MAIL FROM domain is an accepted domain is refused unless it matches an inbound
    connector by address or certificate (Exchange Team Blog, 28 April 2025).
    """

    rejects: bool


@dataclass(frozen=True, slots=True)
class LegacyTls:
    """The organization's AllowLegacyTLSClients (Set-TransportConfig).

    `taken`: the host for legacy TLS takes client submission over TLS 1.0 and 1.1. The setting's null refuses it there
    as $false does (MicrosoftDocs/OfficeDocs-Exchange issue 2943).
    """

    taken: bool


@dataclass(frozen=True, slots=True)
class FromAlias:
    """The organization's SendFromAliasEnabled (Set-OrganizationConfig).

    `kept`: an alias that a mailbox sends from stays in From. Else the cmdlet's page says that the primary address takes
    its place, and the Exchange Team that this never held for SMTP AUTH ("Sending From Email Aliases", 25 January 2022).
    """

    kept: bool


@dataclass(frozen=True, slots=True)
class AddressFilter:
    """The connection filter: mail from `spared` networks is not filtered for spam, mail from `refused` ones is refused.

    An address on both of its lists is spared (Learn, "Configure connection filtering").
    """

    spared: Scope = NONE
    refused: Scope = NONE


@dataclass(frozen=True, slots=True)
class MailRule:
    """A transport rule that is in force, and decides what becomes of mail.

    `fate` is what it does to the mail (rejects, deletes, quarantines, redirects), "" for nothing; `stops` is
    StopRuleProcessing. `scl` is SetSCL, None for none, `connector` the outbound connector that gets the mail, `tls`
    that mail to the outside leaves over TLS only. The conditions are those that a plan can write, of which an empty one
    is none; `before` are the rules that it has to come before (New-TransportRule).
    """

    name: str
    fate: str = ""
    stops: bool = False
    senders: Scope = NONE
    sender_domains: Scope = NONE
    networks: Scope = NONE
    recipient_domains: Scope = NONE
    before: Scope = NONE
    scl: int | None = None
    connector: str = ""
    tls: bool = False

    @property
    def spares(self) -> bool:
        """Whether it only keeps mail from the rules that follow, which may keep it back."""
        return self.stops and not self.fate

    def covers(self, other: MailRule) -> bool:
        """Whether it keeps back or spares all mail that the other one does, as far as these conditions say."""
        same = self.spares if other.spares else bool(self.fate)
        return same and other.before <= self.before and self.spans(other)

    def spans(self, other: MailRule) -> bool:
        """Whether it acts on all mail that the other one acts on, as far as these conditions say."""
        names = ("senders", "sender_domains", "networks", "recipient_domains")
        pairs = ((getattr(self, name), getattr(other, name)) for name in names)
        return all(not own or (its and its <= own) for own, its in pairs)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An accepted domain of the tenant (Get-AcceptedDomain).

    `subdomains`: mail for its subdomains is accepted too (-MatchSubDomains). `sending`: mail may be sent from it; False
    is SendingFromDomainDisabled, `receiving` the same for SendingToDomainDisabled. `kind` is authoritative,
    internal_relay or external_relay. `outbound_only` is OutboundOnly: a domain of systems on premises. None is not
    known. `managed`: the plan sets these values, which then count before what else is known of the domain.
    """

    domain: str
    kind: str | None = None
    subdomains: bool | None = None
    sending: bool | None = None
    receiving: bool | None = None
    outbound_only: bool | None = field(default=None, compare=False)
    managed: bool = field(default=False, compare=False, repr=False)


# --- mail that is signed in for --------------------------------------------------------------------------------------

ORGANIZATION = ""
"""The name under which the organization's own SMTP AUTH switch stands among those of mailboxes."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """The SMTP AUTH switch of a mailbox, or of the ORGANIZATION: enabled, disabled, or (mailboxes) inherit.

    A mailbox's own value wins over the organization's (Set-CASMailbox, -SmtpClientAuthenticationDisabled). `addresses`
    are all names of the mailbox, as far as they were read: it may send as each of its own addresses.
    """

    mailbox: str
    switch: str
    addresses: Scope = field(default=NONE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """An authentication policy: whether it lets passwords in for SMTP (New-AuthenticationPolicy, -AllowBasicAuthSmtp).

    `names` are all its names in lower case. `holders` are the mailboxes that have it, ORGANIZATION where it is the
    default of all that have none of their own; None where they were not read.
    """

    name: str
    smtp: bool | None = None
    names: Scope = field(default=NONE, compare=False, repr=False)
    holders: Scope | None = field(default=None, compare=False, repr=False)

    def is_called(self, name: str) -> bool:
        """Whether a name means this policy."""
        return caseless(name) in {caseless(self.name), *map(caseless, self.names)}


@dataclass(frozen=True, slots=True)
class PolicyOf:
    """The authentication policy of a mailbox, or the ORGANIZATION's default one; "" for none.

    A mailbox's own wins over the organization's (Set-OrganizationConfig, -DefaultAuthenticationPolicy). `smtp` is
    whether the policy lets passwords in for SMTP, None where that is not known. `addresses` are all names of the
    mailbox, as far as they were read.
    """

    mailbox: str
    policy: str
    smtp: bool | None = None
    addresses: Scope = field(default=NONE, compare=False, repr=False)


_MOST_A_DAY = 10_000
"""Recipients of a mailbox in a day, whatever a policy says (Exchange Online limits)."""


@dataclass(frozen=True, slots=True)
class OutboundLimit:
    """What an outbound spam policy lets a mailbox send; 0 stands for the limit of the service.

    `blocks`: who exceeds a limit is stopped; else administrators are told.
    """

    policy: str
    per_day: int = 0
    external_per_hour: int = 0
    internal_per_hour: int = 0
    blocks: bool = True

    @property
    def most(self) -> tuple[int, int, int]:
        """The recipients after which a mailbox is stopped, by the day, and by the hour outside and inside."""
        if not self.blocks:
            return (_MOST_A_DAY,) * 3
        limits = (self.per_day, self.external_per_hour, self.internal_per_hour)
        day, outside, inside = (limit or _MOST_A_DAY for limit in limits)
        return day, outside, inside


@dataclass(frozen=True, slots=True)
class Account:
    """The user of a mailbox: whether it may sign in, and whether it has Exchange Online. None is not known.

    `user_id` is its id in Entra ID, by which policies name it, `sign_in` its sign-in name; "" where it was not read.
    """

    mailbox: str
    enabled: bool | None = None
    licensed: bool | None = None
    user_id: str = field(default="", compare=False, repr=False)
    sign_in: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SendRight:
    """The right to send in the name of another address (Add-RecipientPermission, SendAs).

    `through` names the groups that hold it, where the trustee has it only as a member of one; "" for its own. `member`:
    it certainly is one.
    """

    trustee: str
    sender: str
    through: str = ""
    member: bool = False


@dataclass(frozen=True, slots=True)
class HighVolume:
    """An account of High Volume Email (New-MailUser, -HVEAccount): it signs in at a host of its own.

    `billing`: whether a valid billing policy lets it send (Get-HVEAccountBillingPolicy). `applications` are the ids of
    those that may sign in as it (Add-HVEAppAccess), under every id that is known of them. None is not known. `user_id`
    is the id of its user in Entra ID, "" where it was not read.
    """

    account: str
    billing: bool | None = None
    applications: Scope | None = None
    user_id: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Registration:
    """An application that Exchange knows and whose tokens it can take (New-ServicePrincipal), by its client id.

    `object_id` is that of its enterprise application, "" where it was not read.

    `permissions` are its application permissions with admin consent in Entra ID ("exchange/SMTP.SendAsApp"), None where
    they were not read.
    """

    application: str
    permissions: Scope | None = field(default=None, compare=False)
    object_id: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class MailboxRight:
    """FullAccess of an application to a mailbox (Add-MailboxPermission): it may sign in as the mailbox over SMTP."""

    application: str
    mailbox: str


@dataclass(frozen=True, slots=True)
class AppRole:
    """A role of RBAC for Applications on some mailboxes (New-ManagementRoleAssignment, -App, -CustomResourceScope).

    `role` is its permission: "SMTP.SendAsApp" or "Mail.Send". `mailboxes` are those of which it is known; `others` says
    where further ones may be: a group, or a scope that is not of a plan; "" where there are none.
    """

    application: str
    role: str
    mailboxes: Scope
    others: str = ""


# --- mail that leaves ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """An enabled outbound connector: which mail it takes, the smart hosts that get it, what they must offer.

    Without `hosts` the mail follows MX records as it would without the connector. Mail whose host does not meet the
    `demands` is kept back, and dropped after 24 hours (New-OutboundConnector, -TlsSettings, -SmtpDaneMode).
    """

    mail: Scope = NONE
    hosts: Scope = NONE
    demands: Scope = NONE


@dataclass(frozen=True, slots=True)
class Signature:
    """DKIM signing of a domain is enabled. `selectors` are the CNAME targets that Exchange named, "" for none.

    It opens no sending path. Without it, receivers refuse mail where DMARC demands a signature (RFC 9989, 5.3).
    """

    domain: str
    selectors: tuple[str, str] = ("", "")


# --- the picture -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Doubt:
    """A value that decides what the object contributes was not returned. What rests on the object is not certain."""

    reason: str


Contribution = (
    Relay
    | Exemption
    | Restriction
    | Privilege
    | Rejection
    | LegacyTls
    | FromAlias
    | AddressFilter
    | MailRule
    | Acceptance
    | SignIn
    | PasswordPolicy
    | PolicyOf
    | OutboundLimit
    | Account
    | SendRight
    | HighVolume
    | Registration
    | MailboxRight
    | AppRole
    | Route
    | Signature
    | Doubt
)

Contributions = tuple[Contribution, ...]
W = TypeVar("W", bound=Contribution)


@dataclass(frozen=True, slots=True)
class Picture:
    """What all objects of a tenant contribute, by address.

    `unread` are the words of which the tenant may hold more than the picture shows, each with the reason: an object, or
    all objects of a type that contributes them, could not be read. `lacking` are the keys of objects that were read and
    do not contribute a word.
    """

    objects: Mapping[Address, Contributions]
    unread: Mapping[type[Contribution], str] = field(default_factory=dict)
    lacking: Mapping[type[Contribution], frozenset[str]] = field(default_factory=dict)
    _by_word: Mapping[Any, Sequence[tuple[Address, Any]]] = field(init=False, repr=False, compare=False)
    _switches: Mapping[str, str] = field(init=False, repr=False, compare=False)
    _policies: Mapping[str, PolicyOf] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sorted once: a tenant has many mailboxes, and the plan many devices."""
        by_word: dict[type[Contribution], list[tuple[Address, Any]]] = {}
        for address, contributions in self.objects.items():
            for contribution in contributions:
                by_word.setdefault(type(contribution), []).append((address, contribution))
        domains = by_word.get(Acceptance, [])
        managed = {a.domain for _, a in domains if a.managed}
        if managed:
            by_word[Acceptance] = [(at, a) for at, a in domains if a.managed or a.domain not in managed]
        object.__setattr__(self, "_by_word", by_word)
        object.__setattr__(self, "_switches", {s.mailbox: s.switch for _, s in by_word.get(SignIn, ())})
        held = [p for _, p in by_word.get(PolicyOf, ())]
        by_name = {name: p for p in held for name in p.addresses} | {p.mailbox: p for p in held}
        object.__setattr__(self, "_policies", by_name)

    def every(self, word: type[W]) -> Sequence[tuple[Address, W]]:
        """All contributions of a word, each with the address of its object."""
        return self._by_word.get(word, ())

    def switch(self, mailbox: str) -> str | None:
        """The SMTP AUTH switch of a mailbox or of the ORGANIZATION; None for not known."""
        return self._switches.get(mailbox)

    def policy_of(self, *names: str) -> PolicyOf | None:
        """The policy of the mailbox with one of these names, or of the ORGANIZATION; None for not known."""
        return next((self._policies[name] for name in names if name in self._policies), None)

    def lacks(self, word: type[Contribution], key: str) -> bool:
        """Whether the object of this key was read, or is left by a change, without contributing a word."""
        return key in self.lacking.get(word, ())
