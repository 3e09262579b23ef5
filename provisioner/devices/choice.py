"""Which method a device should use, by rules that can be read and are told with the answer.

The facts are Microsoft's comparison of client submission, SMTP relay and direct send ("How to set up a multifunction
device or application to send email"), the sending limits of Exchange Online, and the announcement of 27 January 2026 on
basic authentication for client submission (MC786329): from the end of December 2026 it is off by default in existing
tenants (an administrator can turn it on again), and new tenants do not have it; the day of its removal is to be named
in the second half of 2027.

So a date proves nothing about a tenant, and nothing here knows today's date: the same plan gives the same methods on
any day. The end of basic authentication is a warning with its date.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from provisioner.mailflow import high_volume, submission
from provisioner.mailflow.basic_authentication import BASIC_ENDING, HVE_BASIC_ENDING
from provisioner.mailflow.deciding import rejects_direct_send
from provisioner.mailflow.picture import of_declared
from provisioner.model import Address, Desired
from provisioner.model.clouds import INITIAL_SUFFIXES, cloud_of_mail
from provisioner.model.devices import (
    ALL_PORTS,
    CLIENT_SUBMISSION,
    DIRECT_SEND,
    GRAPH,
    HIGH_VOLUME_EMAIL,
    IMPLICIT_TLS,
    METHODS,
    NOT_SMTP_HERE,
    SIGNING_IN,
    SMART_HOST,
    SMTP_RELAY,
    THIRD_PARTY,
    Choice,
    Device,
    is_pattern,
)
from provisioner.resources.rows import external_limit

RECIPIENTS_PER_DAY = submission.MOST_RECIPIENTS_A_DAY
MESSAGES_PER_MINUTE = 30  # per mailbox; what is above is delayed
CONNECTIONS = 3  # per mailbox, at once
RECIPIENTS_PER_MESSAGE, MOST_RECIPIENTS_PER_MESSAGE = submission.DEFAULT_RECIPIENTS, submission.MOST_RECIPIENTS
INITIAL_DOMAIN_EXTERNAL = 100  # external recipients in 24 hours from all *.onmicrosoft.com senders together
TENANT_EXTERNAL = external_limit.FIRST_LICENCE  # of a tenant with one licence; it grows with the licences
HVE_RECIPIENTS_PER_MESSAGE = high_volume.RECIPIENTS

NAMES = {
    CLIENT_SUBMISSION: "client submission",
    SMTP_RELAY: "SMTP relay",
    HIGH_VOLUME_EMAIL: "High Volume Email",
    GRAPH: "Microsoft Graph",
    THIRD_PARTY: "a service of others",
    SMART_HOST: "a relay server",
    DIRECT_SEND: "direct send",
}
"""The methods as people call them."""


_ONLY_465 = "Exchange offers no TLS without STARTTLS (port 465), and the device can do nothing else"

LEGACY_TLS_WEAK = (
    "TLS 1.0 and 1.1 do not protect the password and the mail, and Microsoft may end the host for legacy TLS"
)

TRANSPORT = Address("transport_config", "settings")
"""Where the plan allows TLS 1.0 and 1.1."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the choice rests on besides the device itself.

    `sources` are the fixed addresses that its mail comes from, `shared` says that others send from them too, `ports`
    what its network lets out. `reject_direct_send` is the organization's setting, None where the plan does not say.
    `offers_hve` is false in a cloud without High Volume Email, as far as the plan's initial domain tells the cloud;
    `pays_hve` says that the plan names a billing policy for the device's account of it. `offers_legacy_tls` is
    false in a cloud without a host for TLS 1.0 and 1.1, likewise; `allows_legacy_tls` says that the plan enables it.
    """

    sources: frozenset[str] = frozenset()
    shared: bool = False
    ports: frozenset[int] = frozenset({25, 587})
    reject_direct_send: bool | None = None
    offers_hve: bool = True
    pays_hve: bool = False
    offers_legacy_tls: bool = True
    allows_legacy_tls: bool = False


def facts_of(device: Device, desired: Desired) -> Facts:
    """What the plan says about the device's surroundings."""
    site = desired.sites.get(device.site or "")
    organization = desired.resources.get(Address("organization", "settings"))
    account = desired.resources.get(Address("hve_account", device.account))
    transport = desired.resources.get(TRANSPORT)
    cloud = cloud_of_mail("worldwide", desired.tenant)
    return Facts(
        site.fixed if site else device.sender_ip_addresses,
        site.shared if site else False,
        device.ports & (site.ports | {IMPLICIT_TLS}) if site else device.ports,
        rejects_direct_send(of_declared([organization])) if organization else None,
        bool(cloud.hve),
        bool(account and account.spec.billing_policy),
        bool(cloud.legacy_smtp),
        bool(transport and submission.takes_legacy_tls(of_declared([transport]))),
    )


@dataclass(slots=True)
class _Assessment:
    """One method for one device. `obstacles` rule it out; `doubts` keep `auto` from it, and are warnings if written."""

    reasons: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def choose(device: Device, facts: Facts) -> Choice:
    """The method of a device: the one that it names, if that can work, or the best of those that can."""
    if device.method in NOT_SMTP_HERE:
        return _written(device)
    assessed = {method: _ASSESS[method](device, facts) for method in METHODS}
    if device.method == "auto":
        # What is only delayed is still signed in for: mail that is sent direct is taken for forged.
        ranking = sorted(_ranking(device), key=lambda m: (m == DIRECT_SEND, bool(assessed[m].doubts)))
        method = next((m for m in ranking if not assessed[m].obstacles), None)
    else:
        method = device.method if not assessed[device.method].obstacles else None
    refused = {m: "; ".join([*a.obstacles, *a.doubts]) for m, a in assessed.items() if a.obstacles or a.doubts}
    if method is None:
        return Choice(None, "none", (), refused, advice=tuple(_advice(device, facts, None)))
    refused.pop(method, None)
    for other in METHODS:
        if other != method and other not in refused:
            refused[other] = _passed_over(device, method, other)
    taken = assessed[method]
    reasons = [*(["the plan says so"] if device.method != "auto" else []), *taken.reasons]
    authentication = _authentication(device) if method in SIGNING_IN else "none"
    return Choice(
        method,
        authentication,
        tuple(reasons),
        {m: refused[m] for m in METHODS if m in refused},
        (*taken.doubts, *taken.warnings),
        tuple(_advice(device, facts, method)),
    )


def _written(device: Device) -> Choice:
    """A way that leads to Exchange by other means than the device's own SMTP: it is recorded, and not judged."""
    reasons = ["the plan says so"]
    warnings: list[str] = []
    advice: list[str] = []
    if device.method == SMART_HOST:
        reasons = [f"it hands its mail to device/{device.via}, whose own way out counts"]
    elif device.method == GRAPH:
        reasons.append("Microsoft Graph takes mail without SMTP, from software that can be changed")
        if not device.client_id:
            warnings.append(
                "it takes the role Application Mail.Send, limited to its mailbox by RBAC for Applications: name its "
                "application, and the plan assigns it"
            )
    else:
        reasons.append("its mail leaves from servers of others, and not through Exchange")
        if not device.sender_ip_addresses:
            warnings.append("whether SPF lets the service send is not checked: write its sender_ip_addresses")
        advice.append("DKIM signatures of the service for the domain, so that DMARC passes")
        advice.append("where the organization rejects direct send: a partner connector that names its servers")
    return Choice(
        device.method,
        "oauth" if device.method == GRAPH else "none",
        tuple(reasons),
        dict.fromkeys(METHODS, "the plan names another way"),
        tuple(warnings),
        tuple(advice),
    )


def without_password(device: Device) -> Device:
    """The device as it would have to send if no password were accepted."""
    return dataclasses.replace(device, method="auto", authentication=device.authentication - {"basic"})


def _ranking(device: Device) -> tuple[str, ...]:
    """OAuth before everything; a fixed address before a password, which ends; unauthenticated mail last."""
    if "oauth" in device.authentication:
        return (CLIENT_SUBMISSION, SMTP_RELAY, HIGH_VOLUME_EMAIL, DIRECT_SEND)
    return (SMTP_RELAY, CLIENT_SUBMISSION, HIGH_VOLUME_EMAIL, DIRECT_SEND)


def _passed_over(device: Device, method: str, other: str) -> str:
    if device.method != "auto":
        return "the plan names another method"
    why = {
        (CLIENT_SUBMISSION, SMTP_RELAY): "possible, but a sign-in with OAuth needs no fixed address and no port 25",
        (CLIENT_SUBMISSION, DIRECT_SEND): "possible, but authenticated mail is not treated as spoofed",
        (SMTP_RELAY, CLIENT_SUBMISSION): "possible, but it rests on a password, and basic authentication ends",
        (SMTP_RELAY, DIRECT_SEND): "possible, but Exchange knows who sends where a connector names the address",
        (HIGH_VOLUME_EMAIL, DIRECT_SEND): "possible, but authenticated mail is not treated as spoofed",
    }
    if other == HIGH_VOLUME_EMAIL:
        return "possible, but it needs an account and a billing policy of its own"
    return why[method, other]


def _authentication(device: Device) -> str:
    return "oauth" if "oauth" in device.authentication else "basic" if "basic" in device.authentication else "none"


# --- the methods -----------------------------------------------------------------------------------------------------


def _client_submission(device: Device, facts: Facts) -> _Assessment:
    found = _Assessment()
    if device.legacy_tls and facts.offers_legacy_tls:
        _legacy_tls(device, facts, found)
    elif not device.modern_tls:
        found.obstacles.append(_no_modern_tls(device))
    if facts.ports == {IMPLICIT_TLS}:
        found.obstacles.append(_ONLY_465)
    elif not facts.ports & ALL_PORTS:
        found.obstacles.append("neither port 587 nor port 25 is open to it")
    found.obstacles += _no_sign_in(device)
    if not device.mailbox:
        found.obstacles.append("it requires a mailbox, and there is none")
    found.obstacles += _any_sender(device)
    found.obstacles += _mailbox_limits(device)
    found.obstacles += _initial_domain(device)
    _mailbox_pace(device, found)
    if device.authentication == {"basic"}:
        found.warnings.append(BASIC_ENDING)
    found.reasons.append(f"it can sign in to {device.mailbox} with {_sign_in(device)} over TLS {device.tls}")
    if device.recipients == "anyone":
        found.reasons.append("authenticated mail may reach external recipients")
    return found


def _legacy_tls(device: Device, facts: Facts, found: _Assessment) -> None:
    """Learn, "Opt in to the Exchange Online endpoint for legacy TLS clients using SMTP AUTH"."""
    if facts.allows_legacy_tls:
        found.doubts.append(LEGACY_TLS_WEAK)
        found.reasons.append("the plan allows TLS 1.0 and 1.1 at the host for legacy TLS (allow_legacy_tls_clients)")
    else:
        allow = (
            "transport_config: { allow_legacy_tls_clients: enabled } would allow it, where the cloud has a host for it"
        )
        found.obstacles.append(f"{_no_modern_tls(device)} ({allow})")


def _no_modern_tls(device: Device) -> str:
    return f"it requires TLS 1.2 or later, and the device supports {_tls(device)}"


def _no_sign_in(device: Device) -> Iterator[str]:
    if not device.authentication and device.other_mechanisms:
        able = " and ".join(sorted(word.upper() for word in device.other_mechanisms))
        yield f"it requires LOGIN or XOAUTH2, and the device supports {able} alone (504 5.7.4)"
    elif not device.authentication:
        yield "it requires authentication, and the device has none"


def _any_sender(device: Device) -> Iterator[str]:
    """Send As is a right on one address (Add-RecipientPermission)."""
    patterns = [sender for sender in device.senders if is_pattern(sender)]
    if patterns:
        yield f"who signs in may send only in names that a right is given for, and not as any ({', '.join(patterns)})"


def _high_volume(device: Device, facts: Facts) -> _Assessment:
    """Learn, "Manage high volume emails for Microsoft 365": inside recipients, port 587, TLS 1.2, no daily limit."""
    found = _Assessment()
    if not facts.offers_hve:
        found.obstacles.append("the cloud of this tenant does not offer it")
    if device.recipients == "anyone":
        found.obstacles.append("it reaches the organization's own recipients only, and the device sends to anyone")
    if not device.modern_tls:
        found.obstacles.append(_no_modern_tls(device))
    if facts.ports == {IMPLICIT_TLS}:
        found.obstacles.append(_ONLY_465)
    elif 587 not in facts.ports:
        found.obstacles.append("it takes mail on port 587 only, which is closed to it")
    found.obstacles += _no_sign_in(device)
    if device.other_senders or is_pattern(device.sender):
        found.obstacles.append("its account has one address, and the device sends in other names too")
    if device.recipients_per_message > HVE_RECIPIENTS_PER_MESSAGE:
        found.obstacles.append(
            f"a message may have {HVE_RECIPIENTS_PER_MESSAGE} recipients at most, and it has "
            f"{device.recipients_per_message:,}"
        )
    found.reasons.append(f"it sends to the organization only, and can sign in with {_sign_in(device)}")
    found.reasons.append("High Volume Email has no daily limit")
    if not facts.pays_hve:
        found.warnings.append(
            f"it needs a High Volume Email account {device.account} (a mail user of its own, New-MailUser -HVEAccount) "
            "with a billing policy: its mail is billed by recipients"
        )
    if device.authentication == {"basic"}:
        found.warnings.append(HVE_BASIC_ENDING)
    return found


def _sign_in(device: Device) -> str:
    return "OAuth" if "oauth" in device.authentication else "a password"


def _mailbox_limits(device: Device) -> Iterator[str]:
    """What the service refuses, however long one waits."""
    if device.recipients_per_day > RECIPIENTS_PER_DAY:
        yield f"a mailbox may reach {RECIPIENTS_PER_DAY:,} recipients a day, and it has {device.recipients_per_day:,}"
    if device.recipients_per_message > MOST_RECIPIENTS_PER_MESSAGE:
        most = f"{MOST_RECIPIENTS_PER_MESSAGE:,}"
        yield f"a message may have {most} recipients at most, and it has {device.recipients_per_message:,}"


def _mailbox_pace(device: Device, found: _Assessment) -> None:
    """What is delayed or tried again, and what an administrator can raise."""
    if device.messages_per_minute > MESSAGES_PER_MINUTE:
        found.doubts.append(
            f"a mailbox sends {MESSAGES_PER_MINUTE} messages a minute, what is above is delayed; "
            f"it has {device.messages_per_minute:,}"
        )
    if device.connections > CONNECTIONS:
        found.doubts.append(
            f"a mailbox takes {CONNECTIONS} connections at once, further ones are refused for the moment; "
            f"it opens {device.connections:,}"
        )
    if RECIPIENTS_PER_MESSAGE < device.recipients_per_message <= MOST_RECIPIENTS_PER_MESSAGE:
        found.warnings.append(
            f"a message may have {RECIPIENTS_PER_MESSAGE} recipients unless an administrator raises the limit of the "
            f"mailbox (to {MOST_RECIPIENTS_PER_MESSAGE:,} at most)"
        )


def _initial_domain(device: Device) -> Iterator[str]:
    """A sender in the initial domain hardly reaches anyone outside."""
    if _from_initial_domain(device) and _external(device) > INITIAL_DOMAIN_EXTERNAL:
        yield (
            f"all senders in an initial domain together reach {INITIAL_DOMAIN_EXTERNAL} external recipients a day, "
            f"and it has {device.recipients_per_day:,}: send from a domain of your own"
        )


def _from_initial_domain(device: Device) -> bool:
    return any(sender.endswith(INITIAL_SUFFIXES) for sender in device.senders)


def _external(device: Device) -> int:
    """How many recipients outside it may have in a day."""
    return device.recipients_per_day if device.recipients == "anyone" else 0


def _smtp_relay(device: Device, facts: Facts) -> _Assessment:
    found = _Assessment()
    by_address, why_not = _relay_by_address(facts)
    by_certificate = bool(device.certificate) and device.modern_tls
    if not by_address and not by_certificate:
        found.obstacles.append(why_not)
        if device.certificate:
            found.obstacles.append(f"its certificate counts only over TLS 1.2 or later, and it speaks {_tls(device)}")
    found.obstacles += _port_25(facts)
    found.obstacles += _initial_domain(device)
    if _external(device) > TENANT_EXTERNAL:
        found.warnings.append(
            f"more than {TENANT_EXTERNAL:,} external recipients a day are beyond what a small tenant may reach, and "
            "connectors are not meant for bulk mail"
        )
    if by_certificate:
        found.reasons.append(f"its certificate {device.certificate} identifies it to Exchange")
    elif by_address:
        found.reasons.append(f"it has fixed IP addresses ({', '.join(_short(facts))}) that a connector can list")
    if device.recipients == "anyone":
        found.reasons.append("relay through a connector may reach external recipients")
    return found


def _port_25(facts: Facts) -> Iterator[str]:
    if facts.ports == {IMPLICIT_TLS}:
        yield _ONLY_465
    elif 25 not in facts.ports:
        yield "the MX endpoint accepts mail on port 25 only, which is blocked"


def _relay_by_address(facts: Facts) -> tuple[bool, str]:
    if not facts.sources:
        return False, "it requires a fixed public IP address or a client certificate, and the device has neither"
    if facts.shared:
        return False, "other organizations send from its addresses too: a connector would relay their mail too"
    return True, ""


def _tls(device: Device) -> str:
    return "no TLS" if device.tls == "none" else f"TLS {device.tls}"


def _short(facts: Facts) -> list[str]:
    shown = [network.removesuffix("/32") for network in sorted(facts.sources)]
    return shown if len(shown) <= 3 else [*shown[:3], f"and {len(shown) - 3} more"]


def _direct_send(device: Device, facts: Facts) -> _Assessment:
    found = _Assessment()
    if device.recipients == "anyone":
        found.obstacles.append("it reaches the organization's own recipients only, and the device sends to anyone")
    found.obstacles += _port_25(facts)
    if facts.reject_direct_send:
        found.obstacles.append("the plan has the organization reject direct send")
    found.warnings.append("direct send is filtered like other mail from the internet; Microsoft advises against it")
    if not facts.sources:
        found.warnings.append("without a fixed address SPF cannot name it, so its mail looks forged")
    found.reasons.append("it sends to the organization only, and needs neither a sign-in nor a connector for that")
    return found


_ASSESS: dict[str, Callable[[Device, Facts], _Assessment]] = {
    CLIENT_SUBMISSION: _client_submission,
    SMTP_RELAY: _smtp_relay,
    HIGH_VOLUME_EMAIL: _high_volume,
    DIRECT_SEND: _direct_send,
}


# --- what would be better --------------------------------------------------------------------------------------------


def _advice(device: Device, facts: Facts, method: str | None) -> Iterator[str]:
    """What to move to, or what would do where no method does."""
    if method == CLIENT_SUBMISSION and device.authentication == {"basic"}:
        yield from _after_basic(device)
    if method == DIRECT_SEND:
        yield from _after_direct_send(device, facts)
    if method == HIGH_VOLUME_EMAIL and not facts.pays_hve:
        yield "High Volume Email needs an entry under hve_accounts: billing_policy, and password to make the account"
    elif method == HIGH_VOLUME_EMAIL and device.authentication == {"basic"}:
        yield _WITH_OAUTH
    if method is not None:
        return
    if device.method != "auto":
        other = choose(dataclasses.replace(device, method="auto"), facts).method
        yield from [_without_the_method(other)] if other else []
    if _from_initial_domain(device) and _external(device) > INITIAL_DOMAIN_EXTERNAL:
        yield "give it a From address in a domain of your own"
    if device.recipients == "anyone" and device.recipients_per_day > RECIPIENTS_PER_DAY:
        yield "send bulk mail to the outside by Azure Communication Services Email, which is made for it"
    if facts.ports == {IMPLICIT_TLS}:
        yield "use a relay server in its network that accepts TLS on port 465 and sends on with STARTTLS"
    elif not device.modern_tls and 25 not in facts.ports:
        yield "use newer firmware with TLS 1.2, or a relay server on the site's network that sends for it"
    elif not facts.sources or facts.shared:
        yield _FIXED_ADDRESS
    if facts.shared and not device.authentication:
        yield "for a service that sends from its own servers: write method: third_party, and set up DKIM there"
    if 25 not in facts.ports and facts.ports != {IMPLICIT_TLS}:
        yield "open port 25 to Microsoft's MX, or use a relay server at a site where it is open"


def _without_the_method(other: str) -> str:
    if other == HIGH_VOLUME_EMAIL:
        return (
            "High Volume Email would do, from an address that is not that of a mailbox: leave the method out, and "
            "write the account under hve_accounts"
        )
    return f"{NAMES[other]} would do: leave the method out"


_FIXED_ADDRESS = "give it a fixed public IP address of its own (or that of a relay server with one), for SMTP relay"


def _after_direct_send(device: Device, facts: Facts) -> Iterator[str]:
    """A device that sends direct could be one that Exchange knows."""
    if device.method != "auto":
        other = choose(dataclasses.replace(device, method="auto"), facts).method
        yield from [_without_the_method(other)] if other and other != DIRECT_SEND else []
    if not facts.sources or facts.shared:
        yield _FIXED_ADDRESS


_WITH_OAUTH = "use firmware that signs in with OAuth, with an application and its consent (see the settings sheet)"


def _after_basic(device: Device) -> Iterator[str]:
    yield _WITH_OAUTH
    yield "give it a site with a fixed address, or a certificate: then it sends by SMTP relay, without a password"
    if _hve(device):
        yield "use High Volume Email, for mail to the organization only"


def _hve(device: Device) -> bool:
    """Whether High Volume Email takes it: internal recipients, TLS, a sign-in, 50 recipients a message."""
    few = device.recipients_per_message <= HVE_RECIPIENTS_PER_MESSAGE
    return device.recipients == "organization" and device.modern_tls and bool(device.authentication) and few
