"""What Exchange Online says to whoever sends: who may sign in, as whom, to whom, from where. Decisions only, no I/O.

The answers are those that devices have logged (smtp-responses; public issues and Microsoft's NDR pages). In which order
several switches speak is not published: the order here is ours.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.sandbox import passwords
from provisioner.sandbox.cmdlets import mailbox as mailboxes
from provisioner.sandbox.tenant import Row, Tenant

_UNSUCCESSFUL = "535 5.7.139 Authentication unsuccessful, "
BAD_CREDENTIALS = _UNSUCCESSFUL + "the user credentials were incorrect."
BAD_TOKEN = "535 5.7.3 Authentication unsuccessful"  # noqa: S105 - an answer
_SECURITY_DEFAULTS = (
    _UNSUCCESSFUL + "user is locked by your organization's security defaults policy. Contact your administrator."
)
_BASIC_DISABLED = _UNSUCCESSFUL + "basic authentication is disabled."
_SWITCHED_OFF = (
    _UNSUCCESSFUL + "SmtpClientAuthentication is disabled for the {scope}. "
    "Visit https://aka.ms/smtp_auth_disabled for more information."
)
_RETIRED = "550 5.7.30 Basic authentication is not supported for Client Submission."
NOT_SIGNED_IN = "530 5.7.57 Client not authenticated to send mail."
TOO_MANY_CONNECTIONS = (
    "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."
)
TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients"
QUOTA = "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"
RELAY_DENIED = "550 5.7.64 TenantAttribution; Relay Access Denied"
DIRECT_SEND_REJECTED = (
    "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources"
)
UNKNOWN_RECIPIENT = "550 5.4.1 Recipient address rejected: Access denied."
TLS_WANTED = "451 5.7.3 STARTTLS is required to send mail"  # wording not published: ours


def owner_of(tenant: Tenant, address: str) -> Row | None:
    """The mailbox that an address or a sign-in name means."""
    wanted = address.lower()
    for row in tenant.visible(mailboxes.NOUN.name):
        if wanted in _addresses(row):
            return row
    return None


def _addresses(row: Row) -> set[str]:
    proxies = (str(p).partition(":")[2] for p in row.get("EmailAddresses") or ())
    return {str(row.get(c) or "").lower() for c in ("PrimarySmtpAddress", "UserPrincipalName")} | {
        p.lower() for p in proxies
    }


def password_refusal(tenant: Tenant, user: str, password: str) -> str | None:
    """Why a sign-in with a password is refused; None where it is not."""
    row = owner_of(tenant, user)
    kept = tenant.settings.get("passwords", {}).get(str(row["PrimarySmtpAddress"]).lower() if row else "")
    if row is None or not passwords.matches(password, kept):
        return BAD_CREDENTIALS
    if tenant.graph.get("securityDefaults", {}).get("isEnabled"):
        return _SECURITY_DEFAULTS
    if not _policy_allows(tenant, row):
        return _BASIC_DISABLED
    off = tenant.settings.get("basic_smtp_auth_retired_from")
    if off and tenant.clock.now().date() >= dt.date.fromisoformat(str(off)):
        return _RETIRED
    return switch_refusal(tenant, row)


def switch_refusal(tenant: Tenant, row: Row) -> str | None:
    """The mailbox's own word counts before the organization's; both hold for OAuth too."""
    own = next((r.get("SmtpClientAuthenticationDisabled") for r in tenant.visible("CASMailbox") if _same(r, row)), None)
    if own is True:
        return _SWITCHED_OFF.format(scope="Mailbox")
    transport = tenant.visible("TransportConfig")
    if own is None and transport and transport[0].get("SmtpClientAuthenticationDisabled") is True:
        return _SWITCHED_OFF.format(scope="Tenant")
    return None


def _same(one: Row, other: Row) -> bool:
    return str(one.get("PrimarySmtpAddress")).lower() == str(other.get("PrimarySmtpAddress")).lower()


def _policy_allows(tenant: Tenant, row: Row) -> bool:
    """Whether the authentication policy of the user, or the organization's default one, lets passwords in."""
    users = {str(u["Identity"]).lower(): u.get("AuthenticationPolicy") for u in tenant.visible("User")}
    organization = tenant.visible("OrganizationConfig")
    default = organization[0].get("DefaultAuthenticationPolicy") if organization else None
    policy = users.get(str(row["Identity"]).lower()) or default
    for found in tenant.visible("AuthenticationPolicy"):
        if policy and str(policy).lower() in {str(found.get(c)).lower() for c in ("Name", "Identity", "Guid")}:
            return found.get("AllowBasicAuthSmtp") is not False
    return True


def send_as_refusal(tenant: Tenant, user: str, sender: str) -> str | None:
    """Why a mailbox may not send in a name; None where it is its own, or it holds Send As on its owner."""
    row, owner = owner_of(tenant, user), owner_of(tenant, sender)
    if row is not None and owner is not None and _same(row, owner):
        return None
    names = _addresses(owner) | {str(owner["Identity"]).lower()} if owner is not None else set()
    trustee = str(row.get("UserPrincipalName") or row["PrimarySmtpAddress"]).lower() if row is not None else ""
    for right in tenant.visible("RecipientPermission"):
        if str(right["Identity"]).lower() in names and str(right["Trustee"]).lower() == trustee:
            return None
    return (
        f"554 5.2.252 SendAsDenied; {user} not allowed to send as {sender}; "
        "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied"
    )


# --- mail from outside -----------------------------------------------------------------------------------------------


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


def accepted(tenant: Tenant, domain: str) -> Row | None:
    """The accepted domain of this name."""
    for row in tenant.visible("AcceptedDomain"):
        if str(row.get("DomainName") or row.get("Name")).lower() == domain.lower():
            return row
    return None


def connector_for(tenant: Tenant, ip: str, certificate: str, kind: str | None = None) -> Row | None:
    """The enabled inbound connector (of a ConnectorType) that an address or a certificate's name belongs to."""
    for row in tenant.visible("InboundConnector"):
        if row.get("Enabled") is False or (kind and row.get("ConnectorType") != kind):
            continue
        name = str(row.get("TlsSenderCertificateName") or "")
        if name and certificate and _covers(name, certificate):
            return row
        if any(holds(str(text), ip) for text in row.get("SenderIPAddresses") or ()):
            return row
    return None


def _covers(name: str, certificate: str) -> bool:
    if name.startswith("*."):
        return certificate.lower().endswith(name[1:].lower())
    return certificate.lower() == name.lower()


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
    tenant: Tenant, ip: str, certificate: str, sender: str, recipient: str, *, tls: bool
) -> str | None:
    """Why the MX host refuses a recipient; None where it takes it."""
    own = connector_for(tenant, ip, certificate, "OnPremises")
    partner = connector_for(tenant, ip, certificate, "Partner")
    any_ = own or partner
    # RequireTls speaks of partners only (exchange-objects, InboundConnector).
    if own is None and partner is not None and partner.get("RequireTls") is True and not tls:
        return TLS_WANTED
    inside = accepted(tenant, domain_of(recipient))
    ours = accepted(tenant, domain_of(sender))
    if inside is None:
        return None if own is not None and ours is not None else RELAY_DENIED
    organization = tenant.visible("OrganizationConfig")
    rejects = bool(organization and organization[0].get("RejectDirectSend"))
    if rejects and ours is not None and any_ is None:
        return DIRECT_SEND_REJECTED
    if inside.get("DomainType") == "Authoritative" and owner_of(tenant, recipient) is None:
        return UNKNOWN_RECIPIENT
    return None


def dmarc_refusal(tenant: Tenant, ip: str, certificate: str, header_from: str) -> str | None:
    """Why a message that passed the envelope is refused: nothing vouches for its author, who asks for that."""
    domain = domain_of(header_from)
    if connector_for(tenant, ip, certificate) is not None or spf(tenant, domain, ip) == "pass":
        return None
    record = next((t for t in _texts(tenant, f"_dmarc.{domain}") if t.lower().startswith("v=dmarc1")), "")
    tags = dict(tag.strip().partition("=")[::2] for tag in record.lower().split(";"))
    if {name.strip(): value.strip() for name, value in tags.items()}.get("p") != "reject":
        return None
    return (
        f"550 5.7.509 Access denied, sending domain [{domain}] does not pass DMARC verification and has a DMARC "
        "policy of reject."
    )


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
        names = [argument or domain]
        if kind == "mx":
            names = [m.split()[-1].rstrip(".") for m in _values(tenant, names[0], "MX")]
        yield any(ip in _values(tenant, name, record) for name in names for record in ("A", "AAAA"))


def _texts(tenant: Tenant, name: str) -> list[str]:
    return [text.replace('" "', "").strip('"') for text in _values(tenant, name, "TXT")]


def _values(tenant: Tenant, name: str, kind: str) -> list[str]:
    records: Mapping[str, Any] = tenant.dns.get(name.lower().rstrip("."), {})
    return [str(value) for value in records.get(kind, ())]
