"""What a plan says about the things that send: sites, devices, and the method that was chosen for each. Plain data.

How they are written is in devices/sections, how a method is chosen in devices/choice, what it takes in
devices/expansion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from provisioner.diagnostics import Location

CLIENT_SUBMISSION, SMTP_RELAY, DIRECT_SEND = "client_submission", "smtp_relay", "direct_send"
HIGH_VOLUME_EMAIL = "high_volume_email"
METHODS = (CLIENT_SUBMISSION, SMTP_RELAY, HIGH_VOLUME_EMAIL, DIRECT_SEND)
GRAPH, THIRD_PARTY, SMART_HOST = "graph", "third_party", "smart_host"
NOT_SMTP_HERE = (GRAPH, THIRD_PARTY, SMART_HOST)
"""Ways that hand no mail to Exchange over SMTP: a plan writes them, and nothing chooses them. A device that is written
with `via` has SMART_HOST."""
SIGNING_IN = (CLIENT_SUBMISSION, HIGH_VOLUME_EMAIL)
"""The methods that authenticate with a user name."""

ALL_PORTS = frozenset({25, 587})
LEGACY_TLS = frozenset({"1.0", "1.1"})
"""The versions that Exchange Online takes for client submission at one host of their own alone."""
IMPLICIT_TLS = 465
"""The port of TLS without STARTTLS (RFC 8314), which Exchange Online does not offer."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place with an internet connection of its own.

    `egress_ip_addresses` are canonical networks; `shared` says that other organizations send from them too, `changing`
    that they are not the same tomorrow (a provider's pool, CGNAT, SD-WAN, satellite); `ports` are the TCP ports that
    its firewall lets out.
    """

    name: str
    egress_ip_addresses: frozenset[str]
    shared: bool = False
    ports: frozenset[int] = ALL_PORTS
    description: str = ""
    location: Location | None = None
    changing: bool = False

    @property
    def fixed(self) -> frozenset[str]:
        """The networks that it sends from on any day."""
        return frozenset() if self.changing else self.egress_ip_addresses


def is_pattern(sender: str) -> bool:
    """Whether a From address stands for all of its domain: "*@contoso.com"."""
    return sender.startswith("*@")


MAILBOX_PERMISSION, ROLE_ASSIGNMENT = "mailbox_permission", "role_assignment"
"""How an application gets at a mailbox: FullAccess to it, or a role of RBAC for Applications."""


@dataclass(frozen=True, slots=True)
class Application:
    """What sends with a token of its own.

    `send_as` are the mailboxes that it signs in as, `access` how it gets at them; `scope` is the "group" or "existing"
    scope of a role. `display_name` is None where the plan does not say what Exchange shows.
    """

    name: str
    client_id: str
    send_as: tuple[str, ...] = ()
    access: str = MAILBOX_PERMISSION
    display_name: str | None = None
    scope: tuple[tuple[str, str], ...] = ()
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """What sends, whom it mails, what it can do, how much.

    `sender` is its From address, or "*@contoso.com" for any of a domain; `other_senders` are further ones. `tls` is the
    newest version that it speaks ("none" for no TLS); `authentication` holds "basic" and "oauth", as far
    as it can sign in to Exchange; `other_mechanisms` are those that it can use and Exchange does not offer ("plain",
    "cram-md5"). `mailbox` is the user it signs in as, "" when there is none. `method` is "auto", one of METHODS
    or of NOT_SMTP_HERE; `via` is the device that it hands its mail to, with SMART_HOST.
    `oauth` says whose token it gets: "application", "user" or, where the plan does not say, "". `client_id` is that of
    the application, `application` its name in the plan where it has one, `access` how it gets at the mailbox. `owner`,
    `ticket` and `until` (the day by which it is to be replaced, ISO 8601) are for people; they decide nothing.
    """

    name: str
    sender: str
    recipients: str
    tls: str
    authentication: frozenset[str]
    mailbox: str
    site: str | None = None
    sender_ip_addresses: frozenset[str] = frozenset()
    certificate: str = ""
    ports: frozenset[int] = ALL_PORTS
    method: str = "auto"
    messages_per_day: int = 0
    messages_per_minute: int = 0
    recipients_per_message: int = 1
    connections: int = 1
    description: str = ""
    other_mechanisms: frozenset[str] = frozenset()
    other_senders: tuple[str, ...] = ()
    via: str = ""
    oauth: str = ""
    client_id: str = ""
    application: str = ""
    access: str = MAILBOX_PERMISSION
    owner: str = ""
    ticket: str = ""
    until: str = ""
    location: Location | None = None
    fields: Mapping[str, Location] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """How it is named on a command line and in messages."""
        return f"device/{self.name}"

    @property
    def recipients_per_day(self) -> int:
        """What the sending limits count: a message to three people is three."""
        return self.messages_per_day * self.recipients_per_message

    @property
    def senders(self) -> tuple[str, ...]:
        """All its From addresses and patterns."""
        return (self.sender, *self.other_senders)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those of them that are one address."""
        return tuple(sender for sender in self.senders if not is_pattern(sender))

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that it sends in the name of, in the order of its From addresses."""
        return tuple(dict.fromkeys(sender.rpartition("@")[2] for sender in self.senders))

    @property
    def account(self) -> str:
        """The High Volume Email account that it signs in as: HVE accounts are not mailboxes (Learn, "High volume")."""
        return self.mailbox or self.sender

    @property
    def modern_tls(self) -> bool:
        """TLS 1.2 or later, which is what the service takes."""
        return self.tls in {"1.2", "1.3"}

    @property
    def legacy_tls(self) -> bool:
        """TLS 1.0 or 1.1 at most, which the service takes at one host, where the organization allows it."""
        return self.tls in LEGACY_TLS


@dataclass(frozen=True, slots=True)
class Choice:
    """How a device should send, and why. `method` is None where nothing will do.

    `refused` says about every other method why not. `warnings` name no device, so that equal ones can be told once.
    `advice` is what would be better, or what would do where nothing does.
    """

    method: str | None
    authentication: str
    reasons: tuple[str, ...]
    refused: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
