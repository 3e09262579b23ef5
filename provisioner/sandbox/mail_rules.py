"""What the MX host says to anyone who brings mail: from where, in whose name, to whom. Decisions only, no I/O.

The answers are those that devices have logged (public issues and Microsoft's NDR pages). In which order several
conditions speak is not published: the order here is ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from provisioner.sandbox.mail_directory import accepted, domain_of, unknown_here
from provisioner.sandbox.public_dns import names
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Row, Tenant

_RELAY_DENIED = "550 5.7.64 TenantAttribution; Relay Access Denied"
_DIRECT_SEND_REJECTED = (
    "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources"
)
_PARTNER_RESTRICTED = (
    "550 5.7.51 TenantInboundAttribution; There is a partner connector configured that matched the message's recipient "
    "domain. The connector had either the RestrictDomainsToIPAddresses or RestrictDomainsToCertificate set"
)
_UNKNOWN_RECIPIENT = "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)"
_TLS_WANTED = "451 5.7.3 STARTTLS is required to send mail"  # as Exchange words it; not seen for this cause
SENDING_DISABLED = "550 5.7.1 Sending from this domain is disabled"  # no published answer: the text is ours
RECIPIENT_DISABLED = "550 5.7.1 Sending to this domain is disabled"  # likewise
_TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients"
_NO_FROM = (
    "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant and include a valid From address"
)
_MOST_OF_A_DOMAIN = 200
"""Envelope recipients of one domain in a message from outside (4.5.3 of Microsoft's NDR table)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who brings mail: its public address, the names in a client certificate that TLS has checked, whether over TLS."""

    ip: str
    certificate: tuple[str, ...] = ()
    tls: bool = False


def identifies(row: Row, source: Source) -> bool:
    """Whether a connector knows a source, by its address or by a name of its certificate."""
    name = str(row.get("TlsSenderCertificateName") or "")
    if name and any(_covers(name, own) for own in source.certificate):
        return True
    return any(holds(str(text), source.ip) for text in row.get("SenderIPAddresses") or ())


def _covers(name: str, certificate: str) -> bool:
    """Whether a TlsSenderCertificateName, `mail.contoso.com` or `*.contoso.com`, means a certificate's name."""
    if name.startswith("*."):
        return folded(certificate).endswith(folded(name)[1:])
    return folded(certificate) == folded(name)


def relay_connector(tenant: Tenant, source: Source, sender: str) -> Row | None:
    """The enabled connector of type OnPremises that knows a source. SenderDomains limits partners only.

    AssociatedAcceptedDomains, where there are any, are the domains of MAIL FROM that may use it (New-InboundConnector).
    """
    found = _enabled(tenant, "OnPremises")
    return next((row for row in found if identifies(row, source) and _associated(row, sender)), None)


def _associated(row: Row, sender: str) -> bool:
    domains = {folded(str(text)) for text in row.get("AssociatedAcceptedDomains") or ()}
    return not domains or domain_of(sender) in domains


def known_connector(tenant: Tenant, source: Source, sender: str) -> Row | None:
    """The connector of either type that knows a source by address or certificate."""
    partners = (row for row in _enabled(tenant, "Partner") if _meant(row, sender) and identifies(row, source))
    return relay_connector(tenant, source, sender) or next(partners, None)


def _enabled(tenant: Tenant, kind: str) -> list[Row]:
    rows = tenant.visible("InboundConnector")
    return [row for row in rows if row.get("Enabled") is not False and row.get("ConnectorType") == kind]


def _meant(row: Row, sender: str) -> bool:
    """Whether a partner's connector is for the sender's domain. Rows keep `smtp:*.contoso.com;1`; no domain is any."""
    spaces = [folded(str(text).rpartition(":")[2].partition(";")[0]) for text in row.get("SenderDomains") or ()]
    domain = domain_of(sender)
    return not spaces or any(
        space in ("*", domain) or (space.startswith("*.") and f".{domain}".endswith(space[1:])) for space in spaces
    )


def _partner_refusal(tenant: Tenant, source: Source, sender: str) -> str | None:
    """What the partners' connectors for the sender's domain ask of a source.

    A restriction rejects the domain's mail from elsewhere, unless one of the connectors takes it. A connector without
    addresses and certificate knows its partner by the domain alone.
    """
    partners = [row for row in _enabled(tenant, "Partner") if _meant(row, sender)]
    taking = [row for row in partners if not _restricted(row, source) and (_bare(row) or identifies(row, source))]
    if not taking and any(_restricted(row, source) for row in partners):
        return _PARTNER_RESTRICTED
    if not source.tls and any(row.get("RequireTls") is True for row in taking):
        return _TLS_WANTED
    return None


def _bare(row: Row) -> bool:
    return bool(row.get("SenderDomains")) and not (row.get("SenderIPAddresses") or row.get("TlsSenderCertificateName"))


def _restricted(row: Row, source: Source) -> bool:
    """Whether a restriction of a partner's connector is not met."""
    name = str(row.get("TlsSenderCertificateName") or "")
    by_ip = row.get("RestrictDomainsToIPAddresses") is True
    by_certificate = row.get("RestrictDomainsToCertificate") is True
    return (by_ip and not any(holds(str(text), source.ip) for text in row.get("SenderIPAddresses") or ())) or (
        by_certificate and not any(_covers(name, own) for own in source.certificate)
    )


@lru_cache(maxsize=10_000)
def holds(text: str, ip: str) -> bool:
    """Whether a stored address, network or range of two addresses holds an address."""
    try:
        address = ipaddress.ip_address(ip)
        first, dash, last = text.partition("-")
        if not dash:
            return address in ipaddress.ip_network(first.strip(), strict=False)
        return int(ipaddress.ip_address(first.strip())) <= int(address) <= int(ipaddress.ip_address(last.strip()))
    except ValueError:
        return False


def recipient_refusal(
    tenant: Tenant, source: Source, sender: str, recipient: str, before: Sequence[str] = ()
) -> str | None:
    """Why the MX host refuses a recipient, after those that it took `before`; None where it takes it."""
    return next(recipient_refusals(tenant, source, sender, recipient, before), None)


def recipient_refusals(
    tenant: Tenant, source: Source, sender: str, recipient: str, before: Sequence[str] = ()
) -> Iterator[str]:
    """Every reason for which the MX host refuses a recipient, in the order in which they speak here.

    SendingFromDomainDisabled stops what the tenant sends (Set-AcceptedDomain); nothing says that it stops mail that
    nobody signed in for and that stays in the tenant, nor that the block list stops mail that is relayed.
    """
    domain = domain_of(recipient)
    inside = accepted(tenant, domain)
    own = relay_connector(tenant, source, sender)
    if inside is None:
        if own is None or not _ours(tenant, own, source, sender):
            yield _RELAY_DENIED
        elif sending_disabled(tenant, sender):
            yield SENDING_DISABLED
        return
    if _blocked(tenant, source.ip):
        yield (
            f"550 5.7.513 Service unavailable, Client host [{source.ip}] blocked by {domain} using Customer Block list "
            "(AS16012607)"
        )
    refusal = _partner_refusal(tenant, source, sender) if own is None else None
    if refusal:
        yield refusal
    organization = tenant.visible("OrganizationConfig")
    rejects = bool(organization and organization[0].get("RejectDirectSend"))
    if rejects and accepted(tenant, domain_of(sender)) and known_connector(tenant, source, sender) is None:
        yield _DIRECT_SEND_REJECTED
    if receiving_disabled(tenant, recipient):
        yield RECIPIENT_DISABLED
    if unknown_here(tenant, recipient):
        yield _UNKNOWN_RECIPIENT
    if sum(domain_of(other) == domain for other in before) >= _MOST_OF_A_DOMAIN:
        yield _TOO_MANY_RECIPIENTS


def sending_disabled(tenant: Tenant, sender: str) -> bool:
    """Whether no mail may be sent from the domain of an address (SendingFromDomainDisabled of Set-AcceptedDomain)."""
    domain = accepted(tenant, domain_of(sender))
    return domain is not None and domain.get("SendingFromDomainDisabled") is True


def receiving_disabled(tenant: Tenant, recipient: str) -> bool:
    """Whether mail to the domain of a recipient is blocked (SendingToDomainDisabled of Set-AcceptedDomain)."""
    domain = accepted(tenant, domain_of(recipient))
    return domain is not None and domain.get("SendingToDomainDisabled") is True


def quarantined(tenant: Tenant, *senders: str) -> bool:
    """Whether a block entry for a sender means one of these addresses: its mail is taken and put into quarantine.

    An entry is an address, a domain (without its subdomains) or `*.domain` (with them); block entries win over allow
    entries. Sources: Microsoft Learn, "Allow or block email using the Tenant Allow/Block List" and "Manage allows and
    blocks in the Tenant Allow/Block List".
    """
    for row in tenant.visible("TenantAllowBlockListItems"):
        if row.get("ListType") != "Sender" or row.get("Action") != "Block":
            continue
        value = folded(str(row.get("Value") or ""))
        for sender in senders:
            domain = domain_of(sender)
            if value in (folded(sender), domain) or (value[:2] == "*." and f".{domain}".endswith(value[1:])):
                return True
    return False


def _ours(tenant: Tenant, connector: Row, source: Source, sender: str) -> bool:
    """Whether relayed mail is the tenant's: the certificate's domain or MAIL FROM's is accepted (since November 2023).

    The domain in the From header no longer counts; a null sender has only the certificate.
    """
    name = str(connector.get("TlsSenderCertificateName") or "")
    matched = [own for own in source.certificate if name and _covers(name, own)]
    parents = (own.removeprefix("*.").split(".", cut)[-1] for own in matched for cut in range(own.count(".") + 1))
    return accepted(tenant, domain_of(sender)) is not None or any(accepted(tenant, name) for name in parents)


def _blocked(tenant: Tenant, ip: str) -> bool:
    """Whether the connection filter blocks an address; its allow list wins over its block list."""
    for row in tenant.visible("HostedConnectionFilterPolicy"):
        allowed = any(holds(str(text), ip) for text in row.get("IPAllowList") or ())
        if not allowed and any(holds(str(text), ip) for text in row.get("IPBlockList") or ()):
            return True
    return False


def message_refusal(tenant: Tenant, source: Source, sender: str, author: str) -> str | None:
    """Why a message that passed the envelope is refused: no author, or nothing vouches for one who asks for that."""
    if not author:
        return _NO_FROM
    domain = domain_of(author)
    if known_connector(tenant, source, sender) is not None or spf(tenant, domain, source.ip) == "pass":
        return None
    if dmarc_policy(tenant, domain) != "reject":
        return None
    return (
        f"550 5.7.509 Access denied, sending domain [{domain}] does not pass DMARC verification and has a DMARC "
        "policy of reject."
    )


def dmarc_policy(tenant: Tenant, domain: str) -> str:
    """What a domain asks to be done with mail that fails DMARC: "none", "quarantine", "reject"; "" without a record."""
    record = next((t for t in _texts(tenant, f"_dmarc.{domain}") if t.lower().startswith("v=dmarc1")), "")
    tags = dict(tag.strip().partition("=")[::2] for tag in record.lower().split(";"))
    return {name.strip(): value.strip() for name, value in tags.items()}.get("p", "none" if record else "")


def doubtful(tenant: Tenant, source: Source, sender: str) -> bool:
    """Whether mail is taken for spoofed: no connector knows the source, and SPF does not cover it."""
    known = known_connector(tenant, source, sender) is not None
    return not known and spf(tenant, domain_of(sender), source.ip) in {"fail", "softfail"}


def spf(tenant: Tenant, domain: str, ip: str, depth: int = 0) -> str:
    """The result of SPF by the tenant's own DNS: ip4, ip6, a, mx, include, redirect and all, which devices need."""
    record = next((t for t in _texts(tenant, domain) if t.lower().startswith("v=spf1")), "")
    if not record or depth > 10:
        return "none" if not record else "permerror"
    results = {"-": "fail", "~": "softfail", "?": "neutral"}
    redirect = ""
    for term in record.split()[1:]:
        if term.lower().startswith("redirect="):
            redirect = term.partition("=")[2]
            continue
        sign, body = (term[0], term[1:]) if term[0] in "+-~?" else ("+", term)
        if any(_matches(tenant, body.lower(), domain, ip, depth)):
            return results.get(sign, "pass")
    return spf(tenant, redirect, ip, depth + 1) if redirect else "neutral"


def _matches(tenant: Tenant, body: str, domain: str, ip: str, depth: int) -> Iterator[bool]:
    kind, _, argument = body.partition(":")
    if kind == "all":
        yield True
    elif kind in ("ip4", "ip6"):
        yield holds(argument, ip)
    elif kind == "include":
        yield spf(tenant, argument, ip, depth + 1) == "pass"
    elif kind in ("a", "mx"):
        hosts = [argument or domain]
        if kind == "mx":
            hosts = [m.split()[-1].rstrip(".") for m in _values(tenant, hosts[0], "MX")]
        yield any(ip in _values(tenant, name, record) for name in hosts for record in ("A", "AAAA"))


def _texts(tenant: Tenant, name: str) -> list[str]:
    return [text.replace('" "', "").strip('"') for text in _values(tenant, name, "TXT")]


def _values(tenant: Tenant, name: str, kind: str) -> list[str]:
    records: Mapping[str, Any] = names(tenant).get(folded(name.rstrip(".")), {})
    return [str(value) for value in records.get(kind, ())]
