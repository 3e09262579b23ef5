"""What a live tenant could answer about a cause, and the part of a plan that corrects it. Pure: it asks nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provisioner.diagnosis.causes import Cause
from provisioner.diagnosis.facts import Facts
from provisioner.model import yaml_text


@dataclass(frozen=True, slots=True)
class AskSmtpAuth:
    """Which of the switches (mailbox, organization, authentication policy, security defaults) blocks SMTP AUTH?"""

    mailbox: str


@dataclass(frozen=True, slots=True)
class AskConnectorFor:
    """Which enabled inbound connector names this address? "" where the text does not name the address.

    `relay`: one that lets mail of the address go to anyone, not only one that knows it.
    """

    ip: str
    relay: bool = False


@dataclass(frozen=True, slots=True)
class AskAcceptedDomain:
    """Is this an accepted domain of the tenant?"""

    domain: str


@dataclass(frozen=True, slots=True)
class AskSendAs:
    """May `mailbox` send as `sender`?"""

    mailbox: str
    sender: str


@dataclass(frozen=True, slots=True)
class AskRejectDirectSend:
    """Does the organization reject direct send?"""


@dataclass(frozen=True, slots=True)
class AskSpf:
    """Does SPF of the domain cover the address?"""

    domain: str
    ip: str


@dataclass(frozen=True, slots=True)
class AskDkim:
    """Does Exchange sign for this domain?"""

    domain: str


@dataclass(frozen=True, slots=True)
class AskRecipient:
    """Does this address exist in the tenant?"""

    address: str


@dataclass(frozen=True, slots=True)
class AskHveAccount:
    """Is this an account of High Volume Email that can send, and which applications may sign in as it?"""

    account: str


@dataclass(frozen=True, slots=True)
class AskTransportRules:
    """Which transport rule of the tenant rejects mail of this sender? "" where the text does not name it."""

    sender: str


@dataclass(frozen=True, slots=True)
class AskOutboundPolicy:
    """Which outbound spam policy holds for this mailbox, and after how many recipients does it stop it?"""

    mailbox: str


Question = (
    AskSmtpAuth
    | AskConnectorFor
    | AskAcceptedDomain
    | AskSendAs
    | AskRejectDirectSend
    | AskSpf
    | AskDkim
    | AskRecipient
    | AskHveAccount
    | AskTransportRules
    | AskOutboundPolicy
)


def plan_for(cause: Cause, facts: Facts) -> tuple[str, tuple[str, ...]]:
    """The plan's part that fixes it, and what is to be filled in. Values come from the text, checked by pattern."""
    builder = _PLANS.get(cause.section)
    return builder(facts) if builder else ("", ())


def _smtp_auth(facts: Facts) -> tuple[str, tuple[str, ...]]:
    mailbox = facts.mailbox or facts.sender
    text = yaml_text.write({"smtp_auth": {"mailboxes": {mailbox or "MAILBOX": "enabled"}}})
    return text, () if mailbox else ("MAILBOX: the address that the device logs in with",)


def _connector(facts: Facts) -> tuple[str, tuple[str, ...]]:
    ip = facts.ip if ":" not in facts.ip else ""
    connector = {
        "type": "on_premises",
        "enabled": True,
        "sender_ip_addresses": [ip or "ADDRESS"],
        "sender_domains": ["*"],
    }
    text = yaml_text.write({"inbound_connectors": {"NAME": connector}})
    lacks = ("NAME: a name of your choice, or that of the existing connector (then write all of its addresses)",)
    return text, lacks if ip else (*lacks, "ADDRESS: the public IPv4 address that the device sends from")


def _send_as(facts: Facts) -> tuple[str, tuple[str, ...]]:
    text = yaml_text.write({"send_as": {facts.mailbox or "MAILBOX": [facts.sender or "ADDRESS"]}})
    lacks = [] if facts.mailbox else ["MAILBOX: the address that the device logs in with"]
    return text, (*lacks, *([] if facts.sender else ["ADDRESS: the From address"]))


def _domain(facts: Facts) -> tuple[str, tuple[str, ...]]:
    text = yaml_text.write({"domains": {facts.domain or "DOMAIN": {"verified": True, "accepted": True}}})
    return text, () if facts.domain else ("DOMAIN: the domain of the sender's address",)


def _dkim(facts: Facts) -> tuple[str, tuple[str, ...]]:
    text = yaml_text.write({"dkim": {facts.domain or "DOMAIN": {"enabled": True, "key_size": 2048}}})
    return text, () if facts.domain else ("DOMAIN: the domain of the From address",)


def _hve_account(facts: Facts) -> tuple[str, tuple[str, ...]]:
    account = facts.mailbox or facts.sender
    text = yaml_text.write({"hve_accounts": {account or "ACCOUNT": {"applications": ["CLIENT-ID"]}}})
    lacks = ("CLIENT-ID: that of the application, or its name, beside those that are allowed already",)
    return text, lacks if account else ("ACCOUNT: the address that the application signs in with", *lacks)


_PLANS: dict[str, Callable[[Facts], tuple[str, tuple[str, ...]]]] = {
    "smtp_auth": _smtp_auth,
    "connector": _connector,
    "send_as": _send_as,
    "domain": _domain,
    "dkim": _dkim,
    "hve_account": _hve_account,
}


_LOGIN_CAUSES = frozenset({"basic-auth-off", "security-defaults", "auth-not-allowed-by-organization", "account-locked"})


def questions_for(cause: Cause, facts: Facts) -> tuple[Question, ...]:
    """What to ask the tenant; a question about a mailbox or domain only where the text names one."""
    mailbox = facts.mailbox or facts.sender
    found: list[Question] = []
    if cause.section == "smtp_auth" or cause.id in _LOGIN_CAUSES:
        found += [AskSmtpAuth(mailbox)]
    elif cause.section == "hve_account":
        found += [AskHveAccount(mailbox)]
    elif cause.section == "connector" and cause.id != "basic-auth-retired":
        found += [AskConnectorFor(facts.ip, relay=cause.id == "relay-denied")]
        found += [AskRejectDirectSend()] if cause.id == "direct-send-rejected" else []
        found += [AskAcceptedDomain(facts.domain)] if facts.domain else []
    elif cause.section == "send_as" and facts.sender:
        found += [AskSendAs(facts.mailbox, facts.sender), AskAcceptedDomain(facts.domain)]
    elif cause.section == "domain" and facts.domain:
        found += [AskAcceptedDomain(facts.domain)]
    elif cause.section in ("spf", "dkim") and facts.domain:
        found += [AskSpf(facts.domain, facts.ip), AskDkim(facts.domain)]
    elif cause.id in ("recipient-rejected", "recipient-unknown") and facts.recipient:
        found += [AskRecipient(facts.recipient)]
    elif cause.id == "transport-rule":
        found += [AskTransportRules(facts.sender)]
    elif cause.id == "account-restricted" and mailbox:
        found += [AskOutboundPolicy(mailbox)]
    return tuple(found)
