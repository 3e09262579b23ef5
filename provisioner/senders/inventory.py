"""The inventory: each sender that was observed, what is known about it, and how well each source could be read.

An inventory holds facts of its sources alone: its dates are theirs, and the same answers make the same file, byte by
byte. `document` and `read` are its JSON form, with a version.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_core import from_json

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model.checking import adapter_of

FORMAT, VERSION = "provisioner-inventory", 1

Protocol = Literal["client_submission_basic", "client_submission_oauth", "client_submission", "smtp_relay",
                   "direct_send", "high_volume_email", "graph", "unknown"]  # fmt: skip
"""How the mail came in. `client_submission` is a login whose kind no source told, basic or OAuth."""
BASIC: Protocol = "client_submission_basic"
OAUTH: Protocol = "client_submission_oauth"
SUBMISSION: Protocol = "client_submission"
RELAY: Protocol = "smtp_relay"
DIRECT: Protocol = "direct_send"
HVE: Protocol = "high_volume_email"
GRAPH: Protocol = "graph"
UNKNOWN: Protocol = "unknown"
SIGNING_IN = frozenset({BASIC, OAUTH, SUBMISSION, HVE})

Recipients = Literal["inside", "outside", "both", "unknown"]
"""Inside: in the tenant's accepted domains."""

Confidence = Literal["certain", "likely", "possible"]
"""Certain: a source states the protocol. Likely: it follows from two sources. Possible: one source leaves it open."""

State = Literal["read", "partial", "not_read"]

Evidence = Literal["sign_ins", "service_principal_sign_ins", "smtp_auth_report", "message_traces", "trace_details",
                   "connector_report", "mailboxes", "organization", "authentication_policies", "security_defaults",
                   "conditional_access", "connectors", "accepted_domains", "high_volume_accounts",
                   "graph_sign_ins", "mail_permissions"]  # fmt: skip
"""A source by its name."""


def ip_address(text: str) -> str:
    """An IPv4 or IPv6 address in canonical form; an IPv4 address that is mapped into IPv6 as itself. "" stays "".

    Sign-in logs give "::ffff:192.0.2.5" for clients of IPv4. Raises ValueError.
    """
    if not text:
        return ""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def unicode_text(text: str) -> str:
    """A text as UTF-8 can hold it: half of a surrogate pair, which JSON of the wire may have, becomes "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _lower(text: str) -> str:
    return text.lower()


Moment = Annotated[str, StringConstraints(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)?$")]
"""A time in UTC to the second, "2026-11-03T08:15:00Z", which sorts as text; "" where it is not known."""
IpAddress = Annotated[str, AfterValidator(ip_address)]
MailAddress = Annotated[str, AfterValidator(_lower)]
Count = Annotated[int, Field(ge=0)]
TlsVersion = Literal["none", "1.0", "1.1", "1.2", "1.3"]


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """A public address that mail or a login came from.

    `connector` is the inbound connector that took the mail, "" where it came without one, and None where no source
    told. `messages` is None where the source counts none (a sign-in log).
    """

    ip_address: IpAddress
    connector: str | None = None
    messages: Count | None = None


@dataclass(frozen=True, slots=True, order=True)
class Failure:
    """What was refused: the service's code ("50126", "Failed"), its words, how often."""

    code: str
    reason: str
    count: Count


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one source counted of a sender. `messages` is None where it counts none; `logins` is of a sign-in log."""

    source: Evidence
    messages: Count | None = None
    logins: Count | None = None
    days: Count = 0
    first_seen: Moment = ""
    last_seen: Moment = ""


@dataclass(frozen=True, slots=True)
class Sender:
    """One sender address with one protocol. A mailbox that logs in with a password and relays is two senders.

    `address` is what the mail says it is from, "" where only a login is known. `mailbox` is the sign-in name that it
    logs in as, and `mailbox_id` its id in the directory; "" where it logs in as nobody or no source told. `messages`
    and `days` are those of the source that covers the most days. `client_ids` are applications of Microsoft Entra.
    `may_log_in` is what the switches say about basic authentication of the mailbox, "" for who does not log in.
    `basis` says in words what the confidence rests on.
    """

    address: MailAddress
    mailbox: MailAddress = ""
    mailbox_id: str = ""
    protocol: Protocol = UNKNOWN
    source_addresses: tuple[SourceAddress, ...] = ()
    tls: tuple[TlsVersion, ...] = ()
    messages: Count | None = None
    days: Count = 0
    recipients: Recipients = "unknown"
    first_seen: Moment = ""
    last_seen: Moment = ""
    failures: tuple[Failure, ...] = ()
    applications: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()
    user_agents: tuple[str, ...] = ()
    known_from: tuple[Sighting, ...] = ()
    confidence: Confidence = "possible"
    basis: tuple[str, ...] = ()
    may_log_in: Literal["", "allowed", "blocked", "unknown"] = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from every other sender; an application of which no mail is known, by its id."""
        nameless = not self.address and not self.mailbox
        return (self.address, self.mailbox, self.protocol, ",".join(self.client_ids) if nameless else "")

    @property
    def ip_addresses(self) -> tuple[str, ...]:
        """The addresses that it sends from."""
        return tuple(dict.fromkeys(s.ip_address for s in self.source_addresses if s.ip_address))

    @property
    def connectors(self) -> tuple[str, ...]:
        """The connectors that took its mail."""
        return tuple(dict.fromkeys(s.connector for s in self.source_addresses if s.connector))


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """How well one source was read.

    `reason` says what is missing where it was not read whole, `needs` what grants it: a permission, a role, a service
    principal or a licence. `begin` and `end` are what it covers; `rows` how many it returned.
    """

    name: Evidence
    state: State
    reason: str = ""
    needs: str = ""
    begin: Moment = ""
    end: Moment = ""
    rows: Count = 0


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that was found out. `begin` and `end` are the period that was asked for.

    `idle_mailboxes` are those whose switch explicitly allows SMTP AUTH, and `idle_connectors` the enabled connectors
    for relay, that no source saw in use; `idle_applications` may send through Microsoft Graph, and no token of
    theirs was seen. They prove nothing where the sources were not read.
    """

    tenant: str
    begin: Moment
    end: Moment
    senders: tuple[Sender, ...] = ()
    sources: tuple[Source, ...] = ()
    idle_mailboxes: tuple[str, ...] = ()
    idle_connectors: tuple[str, ...] = ()
    idle_applications: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every source was read whole."""
        return all(source.state == "read" for source in self.sources)

    def source(self, name: Evidence) -> Source | None:
        """How one source was read; None where it was not asked."""
        return next((s for s in self.sources if s.name == name), None)


def ordered(inventory: Inventory) -> Inventory:
    """The same inventory in the one order that it is written in."""
    return dataclasses.replace(
        inventory,
        senders=tuple(sorted((_ordered(s) for s in inventory.senders), key=lambda s: s.key)),
        sources=tuple(sorted({dataclasses.replace(s, reason=unicode_text(s.reason)) for s in inventory.sources})),
        idle_mailboxes=tuple(sorted({unicode_text(name) for name in inventory.idle_mailboxes})),
        idle_connectors=tuple(sorted({unicode_text(name) for name in inventory.idle_connectors})),
        idle_applications=tuple(sorted({unicode_text(name) for name in inventory.idle_applications})),
    )


def _ordered(sender: Sender) -> Sender:
    return dataclasses.replace(
        sender,
        source_addresses=tuple(sorted(set(sender.source_addresses), key=_place)),
        failures=tuple(sorted(set(sender.failures))),
        tls=tuple(sorted(set(sender.tls))),
        applications=tuple(sorted(set(sender.applications))),
        client_ids=tuple(sorted(set(sender.client_ids))),
        user_agents=tuple(sorted(set(sender.user_agents))),
        known_from=tuple(sorted(set(sender.known_from), key=_rank)),
        basis=tuple(dict.fromkeys(sender.basis)),
    )


def _place(source: SourceAddress) -> tuple[object, ...]:
    """Addresses by number, those of IPv4 first; within one, by connector."""
    address = ipaddress.ip_address(source.ip_address) if source.ip_address else None
    number = (address.version, int(address)) if address else (0, 0)
    return (*number, source.connector is not None, source.connector or "", source.messages or 0)


def _rank(sighting: Sighting) -> tuple[object, ...]:
    return tuple("" if value is None else str(value) for value in dataclasses.astuple(sighting))


# --- JSON ------------------------------------------------------------------------------------------------------------


def document(inventory: Inventory) -> dict[str, Any]:
    """The inventory as a JSON document, in its one order."""
    return {"format": FORMAT, "version": VERSION, **dataclasses.asdict(ordered(inventory))}


def read(text: str, file: str) -> Inventory:
    """An inventory from its JSON. Raises InputError for what is none, or has a version of another release."""
    try:
        parsed = from_json(text)
    except ValueError as error:
        raise _refused(file, f"is not JSON: {error}") from None
    if not isinstance(parsed, Mapping) or parsed.get("format") != FORMAT:
        raise _refused(file, f'is not an inventory of senders (its "format" is not "{FORMAT}")')
    if parsed.get("version") != VERSION:
        raise _refused(file, f"has version {parsed.get('version')!r} of the format; this release reads {VERSION}")
    facts = {name: value for name, value in parsed.items() if name not in {"format", "version"}}
    try:
        found: Inventory = adapter_of(Inventory).validate_python(facts)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise _refused(file, f"{'.'.join(map(str, first['loc'])) or 'the document'}: {first['msg']}") from None
    return ordered(found)


def _refused(file: str, what: str) -> InputError:
    hint = "write it with: provisioner senders discover --format json --out FILE"
    return InputError([Diagnostic("INVENTORY-INVALID", f"{file} {what}", hint)])
