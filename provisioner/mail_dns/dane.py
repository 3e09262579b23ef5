"""Inbound SMTP DANE of a domain: how far the way there or back has come, and the next step on it.

The order is Microsoft's (Learn, "How SMTP DANE works", part "Set up inbound SMTP DANE with DNSSEC"): DNSSEC at
Exchange, which names a host below mx.microsoft; that host as a second MX of priority 20; after a test the old MX to 30
and the new one to 0; the old one out; SMTP DANE at Exchange; TLSA records 15 to 30 minutes later. Back: DANE off, the
MX of before in the place of the new one, and DNSSEC off once nobody can have the new one in memory: its host is gone
with that. A smaller number is a higher priority (RFC 5321, 5.1). The service validates 0 or 10 (EX003 for others).
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provisioner.mail_dns.mx import at_exchange
from provisioner.mail_dns.records import MailExchange
from provisioner.mail_dns.tlsa import usable
from provisioner.model.clouds import INITIAL_SUFFIXES

ENABLE_DNSSEC = "Enable-DnssecForVerifiedDomain"
DISABLE_DNSSEC = "Disable-DnssecForVerifiedDomain"
ENABLE_DANE = "Enable-SmtpDaneInbound"
DISABLE_DANE = "Disable-SmtpDaneInbound"

UNKNOWN_TTL_S = 86_400
"""How long others may keep an MX whose time to live nobody has recorded: a day, the longest that is usual."""
_PRIORITIES = (0, 10)


class Kind(enum.StrEnum):
    """Who does the next step: this program (SEND), a person or time (AWAIT), nobody (DONE)."""

    SEND = "send"
    AWAIT = "await"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Move:
    """The next step. `name` is stable; `cmdlet` is what is sent, `until` when a wait ends by itself."""

    kind: Kind
    name: str
    text: str
    cmdlet: str = ""
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """A guard that stands: the rule, what is so, how to fix it."""

    rule: str
    summary: str
    hint: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What Exchange and DNS show of one domain.

    `host` is the one that Exchange names below mx.microsoft, "" before DNSSEC is enabled. `validated` is the verdict of
    a resolver on the MX records, None where none can be believed; `reachable`: the host has an address. `legacy` is the
    MX host of before, as the journal has it. `policy` says why senders with MTA-STS would refuse the MX host that comes
    next, "" where they would not. `named_until`: until when senders may have the host in memory as MX.
    """

    domain: str
    dnssec: bool
    dane: bool
    host: str = ""
    mx: tuple[MailExchange, ...] = ()
    validated: bool | None = None
    reachable: bool = False
    tlsa: tuple[str, ...] = ()
    tlsa_validated: bool | None = None
    legacy: str = ""
    policy: str = ""
    named_until: dt.datetime | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(mx.host for mx in self.mx)


def blocked(found: Standing) -> Iterator[Blocked]:
    """What stands against the way there, wherever on it the domain is."""
    if found.domain.endswith(INITIAL_SUFFIXES):
        what = f"{found.domain} is Microsoft's own zone: its MX cannot be changed"
        yield Blocked("DANE-MX", what, "name a domain of your own")
        return
    others = [host for host in found.hosts if not at_exchange(host)]
    if not found.mx:
        what = f"{found.domain} has no MX record"
        yield Blocked("DANE-MX", what, "publish the MX that Exchange names first (provisioner dns check)")
    elif others:
        what = f"mail for {found.domain} goes to {', '.join(others)} too: DANE of Exchange does not protect it there"
        yield Blocked("DANE-MX", what, "let Exchange's host be the only MX, or have DANE at the service in front")
    if found.validated is not True:
        told = "DNSSEC does not prove its MX records" if found.validated is False else _NOT_KNOWN
        what = f"{found.domain}: {told}, and without DNSSEC no sender uses DANE; with a broken chain senders refuse"
        hint = "sign the zone and publish its DS record at the registrar" if found.validated is False else _RESOLVER
        yield Blocked("DANE-DNSSEC", what, hint)


_NOT_KNOWN = "whether DNSSEC proves its MX records is not known: the name server is not on this machine"
_RESOLVER = "name a resolver on 127.0.0.1 or ::1 that validates, in endpoints.dns_servers"


def forward(found: Standing) -> Move:
    """The next step towards DANE."""
    if not found.dnssec:
        text = f"Exchange makes an MX host of its own for {found.domain}, with DNSSEC. Mail goes on as before"
        return Move(Kind.SEND, "enable-dnssec", text, ENABLE_DNSSEC)
    if not found.reachable:
        return _waits("host", f"{found.host} has no address yet: Exchange makes it, which takes minutes")
    if found.policy:
        return _waits("policy", f"{found.policy}; do that before {found.host} becomes an MX")
    if found.host not in found.hosts:
        text = (
            f"publish {found.domain} MX 20 {found.host} beside the others, with a TTL of 60; "
            f"and lower the TTL of {_listed(found)} to 60"
        )
        return _waits("beside", text)
    return _swapped(found)


def _swapped(found: Standing) -> Move:
    """From both MX records to the new one alone, and DANE."""
    own = min(mx.preference for mx in found.mx if mx.host == found.host)
    others = [mx for mx in found.mx if mx.host != found.host]
    if others and own >= min(mx.preference for mx in others):
        old = ", ".join(f"{found.domain} MX 30 {mx.host}" for mx in others)
        text = (
            f"test {found.host} (Inbound SMTP Email of testconnectivity.microsoft.com); when it takes mail, publish "
            f"{old} and {found.domain} MX 0 {found.host}"
        )
        return _waits("swap", text)
    if others:
        return _waits("old-out", f"mail goes to {found.host} first: take {_listed(found)} out")
    if own not in _PRIORITIES:
        return _waits("priority", f"publish {found.domain} MX 0 {found.host}: Exchange expects 0 or 10, not {own}")
    if not found.dane:
        text = f"Exchange publishes TLSA records for {found.host}: senders that know DANE then demand TLS with its key"
        return Move(Kind.SEND, "enable-dane", text, ENABLE_DANE)
    records = usable(found.tlsa)
    if not records:
        return _waits("tlsa", f"_25._tcp.{found.host} has no TLSA record yet: that takes 15 to 30 minutes")
    if found.tlsa_validated is False:
        return _waits("tlsa", f"DNSSEC does not prove the TLSA record of {found.host}: senders pass over it")
    proof = "proven by DNSSEC" if found.tlsa_validated else "not validated from here"
    return Move(Kind.DONE, "done", f"{found.domain} takes mail with DANE at {found.host} (TLSA {records[0]}, {proof})")


def back(found: Standing, now: dt.datetime) -> Move:
    """The next step away from DANE. The host is given up last, when no sender can have it in memory."""
    if found.dane:
        text = f"Exchange takes the TLSA records of {found.host} back. Mail goes on as before"
        return Move(Kind.SEND, "disable-dane", text, DISABLE_DANE)
    if not found.dnssec:
        return Move(
            Kind.DONE, "done", f"{found.domain} takes mail without DANE, at {', '.join(found.hosts) or 'no MX'}"
        )
    old = found.legacy or "the MX host of before"
    if found.policy:
        return _waits("policy", f"{found.policy}; do that before {old} becomes the MX")
    if not [host for host in found.hosts if host and host != found.host]:
        return _waits("beside", f"publish {found.domain} MX 20 {old} beside {found.host}, and test that it takes mail")
    if found.host in found.hosts:
        text = f"publish {found.domain} MX 0 {old}, then take {found.domain} MX {found.host} out"
        return _waits("new-out", text)
    if found.named_until is not None and now < found.named_until:
        text = f"senders may have {found.host} in memory until {found.named_until:%Y-%m-%d %H:%M} UTC"
        return Move(Kind.AWAIT, "cached", text, until=found.named_until)
    text = f"{found.host} is gone after this. No MX record names it"
    return Move(Kind.SEND, "disable-dnssec", text, DISABLE_DNSSEC)


def _waits(name: str, text: str) -> Move:
    return Move(Kind.AWAIT, name, text)


def _listed(found: Standing) -> str:
    others: Sequence[MailExchange] = [mx for mx in found.mx if mx.host != found.host]
    return ", ".join(f"{found.domain} MX {mx.preference} {mx.host}" for mx in others)
