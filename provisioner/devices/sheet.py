"""What to type into a device, and who depends on basic authentication: plain documents, for every form of output.

No sheet holds a password: where one is needed, the sheet says whose it is.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.devices.afterwards import afterwards
from provisioner.devices.choice import (
    CONNECTIONS,
    HVE_RECIPIENTS_PER_MESSAGE,
    MESSAGES_PER_MINUTE,
    MOST_RECIPIENTS_PER_MESSAGE,
    NAMES,
    RECIPIENTS_PER_DAY,
    RECIPIENTS_PER_MESSAGE,
    TENANT_EXTERNAL,
    choose,
    facts_of,
    without_password,
)
from provisioner.devices.way import Way, way_of
from provisioner.mailflow.basic_authentication import BASIC_ENDS
from provisioner.mailflow.picture import of_declared
from provisioner.model import Address, Desired
from provisioner.model.clouds import Cloud
from provisioner.model.devices import (
    CLIENT_SUBMISSION,
    DIRECT_SEND,
    GRAPH,
    HIGH_VOLUME_EMAIL,
    NOT_SMTP_HERE,
    ROLE_ASSIGNMENT,
    SIGNING_IN,
    SMART_HOST,
    SMTP_RELAY,
    Choice,
    Device,
)
from provisioner.model.picture import ORGANIZATION, SignIn

Document = dict[str, Any]

NO_COPY = "no copy appears in Sent Items: the device has to keep what it must prove"
"""Learn, "How to set up a multifunction device or application to send email", the comparison of the methods."""

_MAY_ARRIVE = "an alias may arrive as the primary address (SendFromAliasEnabled): probe --send shows which From arrived"
_LEGACY_HOST = "the host for TLS 1.0 and 1.1, which other hosts refuse (421 4.7.66)"

_TO_ONE_DOMAIN = 200  # envelope recipients of one domain in a message from outside (452 4.5.3)


def summary(device: Device, desired: Desired) -> Document:
    """One line about a device: what it is, how it sends, since when and why not otherwise."""
    choice = choose(device, facts_of(device, desired))
    return {
        "device": device.name,
        "description": device.description,
        "site": device.site,
        "from": ", ".join(device.senders),
        "recipients": device.recipients,
        "method": choice.method,
        "method_name": NAMES[choice.method] if choice.method else "",
        "authentication": choice.authentication,
        "mailbox": {CLIENT_SUBMISSION: device.mailbox, HIGH_VOLUME_EMAIL: device.account}.get(choice.method or "", ""),
        "why": list(choice.reasons),
        "refused": [{"method": m, "method_name": NAMES[m], "why": why} for m, why in choice.refused.items()],
        "warnings": list(choice.warnings),
        "advice": list(choice.advice),
        "after": list(afterwards(device, choice, desired)),
    }


def sheet(
    device: Device,
    desired: Desired,
    mx: Mapping[str, str],
    cloud: Cloud,
    sign_in: str | None = None,
    today: datetime.date | None = None,
    tenant_id: str = "",
) -> Document:
    """The settings sheet. `mx` holds the host at Microsoft that takes mail, by domain, as far as it is known.

    `cloud` is the one whose hosts the tenant's mail takes, `sign_in` the name that the mailbox's user signs in with,
    None where it is not known; `tenant_id` the tenant's id, "" likewise. `today` is the sheet's date, which changes
    nothing else in it.
    """
    facts = facts_of(device, desired)
    choice = choose(device, facts)
    document = {**summary(device, desired), "about": _about(device, desired, today)}
    if choice.method is None:
        return {**document, "settings": [], "from_rules": [], "limits": [], "check": []}
    if choice.method in NOT_SMTP_HERE:
        rows = [{"name": n, "value": v, "note": note} for n, v, note in _elsewhere(device, desired, cloud)]
        checks = list(choice.advice)  # all that there is to advise
        return {**document, "advice": [], "settings": rows, "from_rules": [], "limits": [], "check": checks}
    way = way_of(device, choice, facts.ports, facts.sources, cloud)
    return {
        **document,
        "settings": [
            {"name": n, "value": v, "note": note}
            for n, v, note in _settings(device, desired, way, choice, mx, cloud, sign_in, tenant_id)
        ],
        "from_rules": list(_from_rules(device, choice, desired)),
        "limits": list(_limits(choice)),
        "check": [*_checks(way, mx), *_consent(device, way)],
    }


def _about(device: Device, desired: Desired, today: datetime.date | None) -> list[dict[str, str]]:
    """Where the sheet belongs: what a technician has to know who finds it beside a device."""
    facts = {
        "Site": device.site or "",
        "Tenant": desired.tenant,
        "Ask": ", ".join(filter(None, (device.owner or desired.owner, device.ticket))),
        "Replace by": device.until,
        "Date": today.isoformat() if today else "",
    }
    return [{"name": name, "value": value} for name, value in facts.items() if value]


def _settings(
    device: Device,
    desired: Desired,
    way: Way,
    choice: Choice,
    mx: Mapping[str, str],
    cloud: Cloud,
    sign_in: str | None,
    tenant_id: str,
) -> Iterator[tuple[str, str, str]]:
    host = mx.get(way.domain, "") if way.host is None else way.host
    note = "the name, not an IP address"
    if way.legacy_tls:
        note += f"; {_LEGACY_HOST}"
    if not host:
        unknown = f"the host of {way.domain} at Microsoft, which DNS does not show: with --profile the tenant names it"
        note = unknown if way.host is None else way.not_offered
    yield "Server", host, note
    either = choice.method == CLIENT_SUBMISSION and way.port == 587 and 25 in facts_of(device, desired).ports
    also = "; 25 works too" if either and not way.legacy_tls else ""  # no page says so of the host for legacy TLS
    yield "Port", str(way.port), f"465 is not offered{also}" if way.user else ""
    yield "Encryption", *_encryption(device, choice)
    if way.user:
        yield "User", *_user(way.user, sign_in, choice)
        if way.authentication == "oauth":
            yield from _oauth(device, desired.tenant, tenant_id, cloud)
        else:
            yield "Authentication", "user and password (LOGIN)", "PLAIN is not offered (504 5.7.4)"
            whose = "that of the account"
            if choice.method == CLIENT_SUBMISSION:
                whose = "that of the user, or an app password where per-user MFA is on"
            yield "Password", "", f"{whose}; it is kept in no plan and on no sheet"
    else:
        yield "Authentication", "none", "no user and no password: leave both empty"
    yield (
        "From",
        ", ".join(device.senders),
        "* stands for any name" if len(device.addresses) < len(device.senders) else "",
    )


def _elsewhere(device: Device, desired: Desired, cloud: Cloud) -> Iterator[tuple[str, str, str]]:
    """What is set at a device that hands no mail to Exchange over SMTP itself.

    Source: Learn, "user: sendMail" and "Role Based Access Control for Applications in Exchange Online".
    """
    if device.method == SMART_HOST:
        yield "Server", device.via, "the name or address that this relay server has in your own network"
        yield "Port, encryption, authentication", "", "as the relay server asks for them"
    elif device.method == GRAPH:
        mailbox = device.mailbox or "MAILBOX"
        yield "Request", f"POST {cloud.graph}/v1.0/users/{mailbox}/sendMail", "or the product's own setting for Graph"
        yield "Authority", f"{cloud.authority}/{desired.tenant}", ""
        yield "Client id", device.client_id, "" if device.client_id else _OF_REGISTRATION
        yield "Scope", f"{cloud.graph}/.default", ""
        yield "Permission", "Application Mail.Send", f"a role of RBAC for Applications, limited to {mailbox}"
    else:
        yield "Server", "", "the service's own; see its documentation"
    yield "From", ", ".join(device.senders), ""


def _oauth(device: Device, tenant: str, tenant_id: str, cloud: Cloud) -> Iterator[tuple[str, str, str]]:
    """What a device needs to get its token (Learn, "Authenticate an IMAP, POP or SMTP connection using OAuth")."""
    yield "Authentication", "OAuth 2.0 (XOAUTH2)", _WHOSE_TOKEN[device.oauth]
    yield "Authority", f"{cloud.authority}/{tenant_id or tenant}", ""
    yield "Tenant", tenant_id or tenant, f"the id of {tenant}" if tenant_id else "or its id, the Directory (tenant) ID"
    yield "Client id", device.client_id, "" if device.client_id else _OF_REGISTRATION
    scopes = {"application": cloud.mail_scope, "user": cloud.delegated_mail_scope}
    for whose, scope in scopes.items():
        if device.oauth in {whose, ""}:
            yield "Scope" if device.oauth else f"Scope ({whose})", scope, ""


_OF_REGISTRATION = "the Application (client) ID of the app registration"
_WHOSE_TOKEN = {
    "application": "client credentials; the secret is kept in no plan and on no sheet",
    "user": "somebody signs in at the device as the user above, in a browser or with a code",
    "": "as an application or as a user: see the manual, and write oauth in the plan",
}


def _user(mailbox: str, sign_in: str | None, choice: Choice) -> tuple[str, str]:
    """The name to type in is the UPN of the mailbox's user (Learn, "Authenticate an … SMTP connection using OAuth")."""
    if sign_in is None:
        if choice.method == HIGH_VOLUME_EMAIL:
            return mailbox, "the address of the account"
        return mailbox, "or the sign-in name of its user, where that is another: look in the tenant"
    return sign_in, "" if sign_in == mailbox else f"the sign-in name of {mailbox}"


def _encryption(device: Device, choice: Choice) -> tuple[str, str]:
    if choice.method in SIGNING_IN:
        version = device.tls if device.legacy_tls else "1.2 or later"
        return f"STARTTLS, TLS {version}", "also called explicit TLS; not SSL"
    if device.tls == "none":
        return "none", "the device does not support TLS: its mail is readable on the way"
    if not device.modern_tls:
        # Exchange Online ended TLS 1.0 and 1.1 (Learn, "TLS 1.0 and 1.1 deprecation for Office 365").
        return (
            "none",
            f"Exchange refuses TLS {device.tls}: STARTTLS only if the device goes on in clear text without it",
        )
    if device.certificate and choice.method == SMTP_RELAY:
        return "STARTTLS, TLS 1.2 or later", f"with its certificate {device.certificate}, by which it is known"
    return "STARTTLS", "where the device can be set to it"


def _from_rules(device: Device, choice: Choice, desired: Desired) -> Iterator[str]:
    """What may stand in From. Whether an alias stays there is described in two ways (Exchange Team Blog, 2022;
    Set-OrganizationConfig, -SendFromAliasEnabled), and a refusal in neither.
    """
    if choice.method == CLIENT_SUBMISSION:
        rights = (r.spec for a, r in desired.resources.items() if a.type == "send_as")
        others = sorted({spec.sender for spec in rights if spec.trustee == device.mailbox} | {*device.addresses})
        yield f"{device.mailbox} and the aliases of this mailbox"
        yield from (f"{sender}, as which it may send (Send As)" for sender in others if sender != device.mailbox)
        organization = desired.resources.get(Address("organization", "settings"))
        if organization and organization.spec.send_from_alias_enabled:
            yield "an alias stays in From: the plan switches SendFromAliasEnabled on"
        else:
            yield _MAY_ARRIVE
        yield "another From address is refused after the message (554 5.2.252)"
        return
    if choice.method == HIGH_VOLUME_EMAIL:
        yield f"{device.account}, the address of the High Volume Email account"
        yield "recipients in the organization only (550 5.5.105)"
        return
    domains = " or ".join(device.domains)
    yield f"any address in {domains}, or in another accepted domain of the tenant; it needs no mailbox"
    yield "what counts is the envelope sender (MAIL FROM), which must not be empty"
    if choice.method == DIRECT_SEND:
        yield "recipients in the organization only"


def _limits(choice: Choice) -> Iterator[str]:
    if choice.method == CLIENT_SUBMISSION:
        yield f"{RECIPIENTS_PER_DAY:,} recipients in 24 hours"
        yield f"{MESSAGES_PER_MINUTE} messages a minute; what is above is delayed"
        yield f"{CONNECTIONS} connections at once (432 4.3.2)"
        yield "a copy of each message stays in Sent Items: set a retention, or the mailbox fills up (554 5.2.2)"
        most = f"{MOST_RECIPIENTS_PER_MESSAGE:,}"
        yield f"{RECIPIENTS_PER_MESSAGE} recipients a message; up to {most} where the mailbox allows it"
    elif choice.method == HIGH_VOLUME_EMAIL:
        yield f"{HVE_RECIPIENTS_PER_MESSAGE} recipients and 10 MB a message"
        yield "no limit a day; billed by recipients"
        yield NO_COPY
    elif choice.method == SMTP_RELAY:
        first = f"{TENANT_EXTERNAL:,} with one licence, more with more"
        yield f"the external recipients a day of the whole tenant: {first} (550 5.7.233)"
        yield "not meant for bulk mail"
        yield NO_COPY
    else:
        yield "throttled like any sender on the internet (451 4.7.500)"
        yield f"{_TO_ONE_DOMAIN} recipients of one domain a message (452 4.5.3)"
        yield NO_COPY


def _checks(way: Way, mx: Mapping[str, str]) -> Iterator[str]:
    """What to look at before anything else, in this order."""
    target = way.host or mx.get(way.domain) or f"the host of {way.domain} at Microsoft"
    yield f"port {way.port} to {target} is open from where the device stands"
    if way.starttls:
        yield f"the device's clock is right, and TLS {way.tls if way.legacy_tls else '1.2'} is switched on"
    if way.legacy_tls:
        yield "AllowLegacyTLSClients of the tenant is $true (Get-TransportConfig)"
    if way.source_addresses and not way.user:
        addresses = ", ".join(a.removesuffix("/32") for a in way.source_addresses)
        yield f"the address that it comes from on the internet is one of {addresses}"
        yield f"SPF of {way.domain} lets these addresses send (provisioner dns check)"
    if way.port == 25:
        yield "the provider does not block port 25, as Azure and many others do"
    if way.method == HIGH_VOLUME_EMAIL:
        yield f"{way.user} is a High Volume Email account (Get-MailUser -HVEAccount), with a valid billing policy"
        yield "the account's authentication policy and the security defaults let it sign in"
    elif way.user:
        yield f"nothing forbids {way.user} to sign in (provisioner explain smtp_auth/{way.user})"


def _consent(device: Device, way: Way) -> Iterator[str]:
    """What OAuth takes besides the settings (Learn, "Authenticate an IMAP, POP or SMTP connection using OAuth")."""
    if way.authentication != "oauth":
        return
    if way.method == HIGH_VOLUME_EMAIL:
        yield "the application has Mail.Send of Office 365 Exchange Online (application permission) with admin consent"
        yield f"it may use {way.user}: Add-HVEAppAccess with the object id of the enterprise application"
        return
    if device.oauth == "application" and device.access == ROLE_ASSIGNMENT:
        yield "Exchange knows it: New-ServicePrincipal with the object id of the enterprise application"
        yield f"it has the role Application SMTP.SendAsApp on {way.user}: Test-ServicePrincipalAuthorization tells"
        return
    if device.oauth != "user":
        who = "" if device.oauth else "for an application: "
        yield f"{who}it has SMTP.SendAsApp of Office 365 Exchange Online (application permission) with admin consent"
        yield f"{who}Exchange knows it: New-ServicePrincipal with the object id of the enterprise application"
        yield f"{who}it holds FullAccess to {way.user}: Add-MailboxPermission"
    if device.oauth != "application":
        who = "" if device.oauth else "for a person: "
        yield f"{who}the user or an administrator has consented to SMTP.Send (delegated permission)"


# --- basic authentication --------------------------------------------------------------------------------------------


def report(desired: Desired, today: datetime.date) -> Document:
    """Who depends on basic authentication, and what each should move to. `today` counts the days left, no more."""
    rows = [_row(device, desired) for device in desired.devices.values() if _depends(device, desired)]
    signing = {d.mailbox for n, d in desired.devices.items() if _method(desired, n) == CLIENT_SUBMISSION}
    switches = of_declared(desired.resources.values()).every(SignIn)
    enabled = {s.mailbox for _, s in switches if s.switch == "enabled"} - {ORGANIZATION}
    return {
        "ends": BASIC_ENDS.isoformat(),
        "days_left": max(0, (BASIC_ENDS - today).days),
        "devices": len(desired.devices),
        "depending": sorted(rows, key=lambda r: (r["site"] or "", r["device"])),
        "undeclared_mailboxes": sorted(enabled - signing),
    }


def _depends(device: Device, desired: Desired) -> bool:
    """Whether it signs in with a password."""
    choice = choose(device, facts_of(device, desired))
    return choice.method == CLIENT_SUBMISSION and choice.authentication == "basic"


def _method(desired: Desired, name: str) -> str | None:
    choice = desired.choices.get(name)
    return choice.method if choice else None


def _row(device: Device, desired: Desired) -> Document:
    facts = facts_of(device, desired)
    then = choose(without_password(device), facts)
    if then.method is not None:
        move, how = NAMES[then.method], "; ".join([*then.reasons, *then.warnings])
    else:
        move, how = "", "; or ".join(choose(device, facts).advice)
    return {
        "device": device.name,
        "site": device.site or "",
        "from": ", ".join(device.senders),
        "mailbox": device.mailbox,
        "recipients": device.recipients,
        "messages_per_day": device.messages_per_day or None,
        "move_to": move,
        "how": how,
    }
