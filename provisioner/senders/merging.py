"""From observations to senders. In whatever order the sources were read, the same inventory comes out, and no
observation is lost: each is counted for exactly one sender.

A sender is one address with one protocol. What a source states is believed; what follows from two sources (a login and
mail from one address) is called likely, and says so; what one source leaves open stays unknown.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from provisioner.senders.inventory import (
    BASIC,
    DIRECT,
    GRAPH,
    HVE,
    OAUTH,
    RELAY,
    SIGNING_IN,
    SUBMISSION,
    UNKNOWN,
    Confidence,
    Evidence,
    Failure,
    Inventory,
    Protocol,
    Recipients,
    Sender,
    Sighting,
    Source,
    SourceAddress,
    ordered,
    unicode_text,
)
from provisioner.senders.observing import Observation, counted, earliest


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the tenant says about addresses. `mailboxes` has every name and id of a mailbox, and its primary address.

    `relays` are the enabled connectors for relay with their networks; `enabled` the mailboxes whose own switch allows
    SMTP AUTH; `high_volume` the addresses of HVE accounts.
    """

    mailboxes: Mapping[str, str] = field(default_factory=dict)
    relays: tuple[tuple[str, tuple[str, ...]], ...] = ()
    enabled: frozenset[str] = frozenset()
    high_volume: frozenset[str] = frozenset()

    def primary(self, *names: str) -> str:
        """The primary address of the mailbox that goes by one of these names; the first name where none does."""
        found = (self.mailboxes[name] for name in names if name in self.mailboxes)
        return unicode_text(next(found, names[0] if names else ""))


@dataclass(frozen=True, slots=True, order=True)
class _Key:
    address: str
    mailbox: str
    protocol: Protocol
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class _Placed:
    """An observation with whose it is, and why, where that is a conclusion."""

    key: _Key
    observation: Observation
    basis: str = ""


def merged(
    observations: Iterable[Observation],
    knowledge: Knowledge,
    sources: Iterable[Source],
    period: tuple[str, str, str],
) -> Inventory:
    """The inventory. `period` is the tenant, and the begin and end of what was asked for."""
    everything, every_source = counted(observations), tuple(sources)
    placed = _placed(everything, knowledge)
    days = {source.name: _days(source) for source in every_source}
    by_key: dict[_Key, list[_Placed]] = {}
    for entry in placed:
        by_key.setdefault(entry.key, []).append(entry)
    senders = [_sender(key, entries, days) for key, entries in sorted(by_key.items())]
    tenant, begin, end = period
    idle = knowledge.enabled - {sender.mailbox for sender in senders if sender.protocol in SIGNING_IN}
    used = {name for sender in senders for name in sender.connectors}
    addresses = {ip for sender in senders for ip in sender.ip_addresses}
    idle_connectors = [
        name for name, networks in knowledge.relays if name not in used and not _any(addresses, networks)
    ]
    return ordered(
        Inventory(tenant, begin, end, tuple(senders), every_source, tuple(sorted(idle)), tuple(idle_connectors))
    )


def judged(
    inventory: Inventory, verdict: Callable[[Sender], Literal["", "allowed", "blocked", "unknown"]]
) -> Inventory:
    """The inventory with what the switches say about each login."""
    senders = tuple(dataclasses.replace(sender, may_log_in=verdict(sender)) for sender in inventory.senders)
    return ordered(dataclasses.replace(inventory, senders=senders))


# --- whose an observation is -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Logins:
    """Who logs in from where: `addresses` by mailbox, `mailboxes` by address."""

    addresses: Mapping[str, frozenset[str]]
    mailboxes: Mapping[str, frozenset[str]]

    def only(self, ip: str) -> str:
        """The one mailbox that logs in from an address; "" where it is none or several."""
        found = self.mailboxes.get(ip, frozenset())
        return next(iter(found)) if len(found) == 1 else ""


def _placed(observations: Sequence[Observation], knowledge: Knowledge) -> Sequence[_Placed]:
    """Each observation with the sender that it is counted for: reports first, then mail, then logins."""
    logins = _logins(observations, knowledge)
    found = [_of_report(o, knowledge, logins) for o in observations if o.source == "smtp_auth_report"]
    reported = _places(found, lambda key: key.address)
    outside = frozenset((o.sender, o.ip_address) for o in observations if o.recipients == "outside")
    mail = [o for o in observations if o.source in {"message_traces", "connector_report"}]
    told = _told(mail)
    found += [_of_mail(o, told, reported, outside, knowledge, logins) for o in mail]
    by_mailbox, by_protocol = _places(found, lambda key: key.mailbox), _places(found, lambda key: key.protocol)
    found += [_of_login(o, knowledge, by_mailbox) for o in observations if o.source == "sign_ins"]
    applications = (o for o in observations if o.source == "service_principal_sign_ins")
    found += [_of_application(o, by_protocol.get(OAUTH, {})) for o in applications]
    return [*found, *(_of_graph(o) for o in observations if o.source == "graph_sign_ins")]


_Places = Mapping[str, Mapping[_Key, frozenset[str]]]
"""Senders with the addresses that they were seen at, by a part of the key."""


def _places(placed: Iterable[_Placed], part: Callable[[_Key], str]) -> _Places:
    found: dict[str, dict[_Key, set[str]]] = {}
    for entry in placed:
        found.setdefault(part(entry.key), {}).setdefault(entry.key, set()).add(entry.observation.ip_address)
    return {name: {key: frozenset(ips) for key, ips in keys.items()} for name, keys in found.items()}


def _logins(observations: Iterable[Observation], knowledge: Knowledge) -> _Logins:
    """By successful and refused logins alike: a device whose password has expired is the same device."""
    pairs = {(knowledge.primary(o.login, o.login_id), o.ip_address) for o in observations if o.source == "sign_ins"}
    addresses: dict[str, set[str]] = {}
    mailboxes: dict[str, set[str]] = {}
    for mailbox, ip in pairs:
        if mailbox and ip:
            addresses.setdefault(mailbox, set()).add(ip)
            mailboxes.setdefault(ip, set()).add(mailbox)
    return _Logins(
        {mailbox: frozenset(ips) for mailbox, ips in addresses.items()},
        {ip: frozenset(names) for ip, names in mailboxes.items()},
    )


def _of_report(o: Observation, knowledge: Knowledge, logins: _Logins) -> _Placed:
    if o.sender in knowledge.high_volume:
        return _Placed(_Key(o.sender, o.sender, HVE), o)
    if o.sender in knowledge.mailboxes:
        return _Placed(_Key(o.sender, knowledge.primary(o.sender), o.protocol), o)
    if o.sender in logins.addresses:
        return _Placed(_Key(o.sender, o.sender, o.protocol), o)
    return _Placed(_Key(o.sender, "", o.protocol), o)


def _told(mail: Iterable[Observation]) -> Mapping[tuple[str, str], str]:
    """The connector that one source names for a pair of sender and address, for the rows that do not name it."""
    named: dict[tuple[str, str], set[str]] = {}
    for o in mail:
        if o.connector is not None:
            named.setdefault((o.sender, o.ip_address), set()).add(o.connector)
    return {pair: next(iter(names)) for pair, names in named.items() if len(names) == 1}


def _of_mail(
    o: Observation,
    told: Mapping[tuple[str, str], str],
    reported: _Places,
    outside: frozenset[tuple[str, str]],
    knowledge: Knowledge,
    logins: _Logins,
) -> _Placed:
    """Mail with a source address: relayed, submitted with a login from there, or sent direct."""
    connector = o.connector if o.connector is not None else told.get((o.sender, o.ip_address))
    if connector:
        return _Placed(_Key(o.sender, "", RELAY), o)
    if o.sender in knowledge.high_volume:
        return _Placed(_Key(o.sender, o.sender, HVE), o)
    submitted = sorted(key for key, ips in reported.get(o.sender, {}).items() if _same_place(o, ips))
    if submitted:
        return _Placed(submitted[0], o)
    own = knowledge.primary(o.sender)
    if o.ip_address in logins.addresses.get(own, ()):
        return _Placed(_Key(o.sender, own, BASIC), o, f"{own} logs in from {o.ip_address}")
    other = logins.only(o.ip_address)
    if other:
        return _Placed(_Key(o.sender, other, BASIC), o, f"{other} logs in from {o.ip_address}, and nobody else does")
    if connector is None:
        relays = [name for name, networks in knowledge.relays if _any({o.ip_address}, networks)]
        if relays:
            return _Placed(_Key(o.sender, "", RELAY), o, f"{o.ip_address} is in the connector {' or '.join(relays)}")
        return _Placed(_Key(o.sender, "", UNKNOWN), o, "no source tells how its mail came in")
    if (o.sender, o.ip_address) in outside:
        why = "it reached external recipients without a connector, which needs a login"
        return _Placed(_Key(o.sender, "", SUBMISSION), o, why)
    return _Placed(_Key(o.sender, "", DIRECT), o, "its mail came without a connector, and no login from there is known")


def _same_place(o: Observation, ips: frozenset[str]) -> bool:
    """Whether mail came from where the report saw its sender; a report without addresses does not say otherwise."""
    return o.ip_address in ips or ips <= {""}


def _of_login(o: Observation, knowledge: Knowledge, by_mailbox: _Places) -> _Placed:
    """A login belongs to the mail of its mailbox from the same address, else to any of its mail."""
    mailbox = knowledge.primary(o.login, o.login_id)
    known = by_mailbox.get(mailbox, {})
    alike = sorted(key for key in known if key.protocol in {BASIC, SUBMISSION, HVE})
    here = [key for key in alike if o.ip_address in known[key]]
    own = [key for key in alike if key.address == mailbox]
    for candidates in (here, own, alike):
        if candidates:
            return _Placed(candidates[0], o)
    if mailbox in knowledge.high_volume:
        return _Placed(_Key(mailbox, mailbox, HVE), o)
    return _Placed(_Key("", mailbox, BASIC), o, "only its logins are known: which From address it uses is not")


def _of_application(o: Observation, submitting: Mapping[_Key, frozenset[str]]) -> _Placed:
    """A token belongs to mail that was submitted with OAuth from the same address."""
    here = sorted(key for key, ips in submitting.items() if o.ip_address and o.ip_address in ips)
    if here:
        return _Placed(here[0], o, f"the application got a token at {o.ip_address}")
    why = "the application gets tokens for Exchange; whether it sends mail is not known"
    return _Placed(_Key("", "", OAUTH, o.client_id), o, why)


def _of_graph(o: Observation) -> _Placed:
    why = "the application may send through Microsoft Graph and gets tokens for it; whether and as whom is not known"
    return _Placed(_Key("", "", GRAPH, o.client_id), o, why)


def _any(addresses: Iterable[str], networks: Iterable[str]) -> bool:
    """Whether one of the addresses is in one of the networks. Text that is not a network holds nothing."""
    spaces = [space for space in map(_network, networks) if space is not None]
    return any(ipaddress.ip_address(address) in space for address in addresses if address for space in spaces)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


# --- what is known of a sender ---------------------------------------------------------------------------------------


def _sender(key: _Key, placed: Sequence[_Placed], days: Mapping[Evidence, int]) -> Sender:
    seen = [entry.observation for entry in placed]
    sightings = tuple(_sighting(name, seen, days.get(name, 0)) for name in sorted({o.source for o in seen}))
    best = max(
        (s for s in sightings if s.messages is not None),
        key=lambda s: (s.days, s.messages or 0, s.source),
        default=None,
    )
    ids = {o.login_id for o in seen if o.login_id}
    confidence = _confidence(key, placed)
    return Sender(
        key.address,
        key.mailbox,
        next(iter(ids)) if len(ids) == 1 else "",
        key.protocol,
        _source_addresses(seen),
        tuple({o.tls for o in seen if o.tls is not None}),
        best.messages if best else None,
        best.days if best else 0,
        _recipients(seen),
        earliest(*(o.first for o in seen)),
        max((o.last for o in seen), default=""),
        _failures(seen),
        tuple({o.application for o in seen if o.application}),
        tuple({o.client_id for o in seen if o.client_id}),
        tuple({o.user_agent for o in seen if o.user_agent}),
        sightings,
        confidence,
        tuple(sorted({entry.basis for entry in placed if entry.basis} | set(_stated(seen)))),
    )


_STATED: Mapping[Evidence, str] = {
    "smtp_auth_report": "the SMTP AUTH report states its authentication",
    "sign_ins": "the sign-in log has its logins over SMTP",
}


def _stated(seen: Iterable[Observation]) -> Iterable[str]:
    sources = {o.source for o in seen}
    named = sorted({o.connector for o in seen if o.connector})
    yield from (text for source, text in _STATED.items() if source in sources)
    yield from (f"the message trace names the connector {name}" for name in named)


def _confidence(key: _Key, placed: Sequence[_Placed]) -> Confidence:
    """Certain where a source states the protocol, likely where it follows from two, else possible."""
    sources = {entry.observation.source for entry in placed}
    if key.protocol in {BASIC, OAUTH, HVE} and "smtp_auth_report" in sources:
        return "certain"
    if key.protocol == BASIC and "sign_ins" in sources:
        return "likely" if any(e.observation.source == "message_traces" for e in placed) else "certain"
    if key.protocol == RELAY:
        return "certain" if any(entry.observation.connector for entry in placed) else "likely"
    if key.protocol in {BASIC, HVE} or (key.protocol == DIRECT and sources):
        return "likely"
    return "possible"


def _source_addresses(seen: Sequence[Observation]) -> tuple[SourceAddress, ...]:
    """Each address, with the connector where one is told; how many messages, by the source that counted most."""
    told: dict[str, set[str]] = {}
    for o in seen:
        if o.connector is not None:
            told.setdefault(o.ip_address, set()).add(o.connector)
    places: dict[tuple[str, str | None], dict[Evidence, int]] = {}
    for o in seen:
        if not o.ip_address:
            continue
        names = told.get(o.ip_address, set())
        connector = next(iter(names)) if o.connector is None and len(names) == 1 else o.connector
        counts = places.setdefault((o.ip_address, connector), {})
        if o.source not in _UNCOUNTED:
            counts[o.source] = counts.get(o.source, 0) + o.messages
    return tuple(
        SourceAddress(ip, connector, max(counts.values()) if counts else None)
        for (ip, connector), counts in places.items()
    )


_UNCOUNTED: frozenset[Evidence] = frozenset({"sign_ins", "service_principal_sign_ins", "graph_sign_ins"})
"""Sources that count logins and no messages."""


def _sighting(name: Evidence, seen: Iterable[Observation], days: int) -> Sighting:
    own = [o for o in seen if o.source == name]
    first, last = earliest(*(o.first for o in own)), max((o.last for o in own), default="")
    if name in _UNCOUNTED:
        return Sighting(name, None, sum(o.logins for o in own), days, first, last)
    return Sighting(name, sum(o.messages for o in own), None, days, first, last)


def _recipients(seen: Iterable[Observation]) -> Recipients:
    found = {o.recipients for o in seen} - {""}
    if len(found) == 2:
        return "both"
    return "inside" if "inside" in found else "outside" if "outside" in found else "unknown"


def _failures(seen: Iterable[Observation]) -> tuple[Failure, ...]:
    counts: dict[tuple[str, str], int] = {}
    for o in seen:
        if o.code:
            counts[o.code, o.reason] = counts.get((o.code, o.reason), 0) + o.failures
    return tuple(Failure(code, reason, count) for (code, reason), count in counts.items())


def _days(source: Source) -> int:
    """How many days a source covers, a part of one counted whole."""
    if not source.begin or not source.end:
        return 0
    span = dt.datetime.fromisoformat(source.end) - dt.datetime.fromisoformat(source.begin)
    return max(0, -(-int(span.total_seconds()) // 86_400))
