"""The Publisher port by DNS UPDATE (RFC 2136) with TSIG (RFC 8945), through dnspython.

The primary that the settings name is read right before each update, and the update holds what was read as its
prerequisite (RFC 2136, 2.4): where another person has changed the set meanwhile, the server does nothing. Values
are added and deleted one by one, so that the others of a set stay. A server may ignore an update and say that all went
well (3.4.2.2: a CNAME beside other data), so that its answer is never taken for success: the zone is read back.

Zones are read without the key: a job that plans need not have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.diagnostics import (
    Diagnostic,
    InputError,
    PermissionMissing,
    Refused,
    TenantError,
    Unavailable,
    Unclear,
)
from provisioner.mail_dns.dialogue import Status
from provisioner.model import Answer, DnsQuery, DnsUpdate, ZoneQuery
from provisioner.model.name_server import NameServer, parse_server
from provisioner.tenant.credentials import secret_value
from provisioner.tenant.ports import Resolver

if TYPE_CHECKING:
    import dns.message
    import dns.name
    import dns.rdata
    import dns.rrset
    import dns.tsig

    from provisioner.settings import DnsProvider


@dataclass(frozen=True, slots=True)
class _Record:
    """A record as a server has it: `data` keeps the strings that a TXT value is split into."""

    type: str
    value: str
    ttl_s: int
    data: dns.rdata.Rdata


_ANSWER_S = 8.0
_LONGEST_CHAIN = 8
_MOST_SERVERS = 8
_READ = ("TXT", "CNAME", "A", "AAAA", "MX")
"""What is read at a name: the types that a record of ours could meet there."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a record is: its owner name once aliases were followed, its zone, and the provider that has the zone."""

    owner: str
    zone: str
    provider: DnsProvider
    named: str


class ZonePublisher:
    """Publishes in zones whose primary takes DNS UPDATE. `resolver` finds aliases and zones as everybody sees them."""

    def __init__(self, providers: Mapping[str, DnsProvider], resolver: Resolver, spf_include: str) -> None:
        self._providers, self._resolver, self._include = providers, resolver, spf_include
        self._zones: dict[str, str] = {}

    async def read(self, query: ZoneQuery) -> Answer:
        """The records at a name by the primary, and which of the zone's other servers do not have the same."""
        place = await self._place(query.provider, query.name, query.type)
        primary = parse_server(place.provider.server)
        found = await self._records(primary, place, _READ)
        rows: list[Mapping[str, object]] = [
            {"zone": place.zone, "name": place.owner, "provider": place.named, "spf_include": self._include},
            *({"type": record.type, "value": record.value, "ttl_s": record.ttl_s} for record in found),
        ]
        rows += [{"server": server, "problem": words} for server, words in await self._others(place, query.type, found)]
        return Answer(tuple(rows))

    async def update(self, update: DnsUpdate) -> Answer:
        """One update, with the set as it was read just before as its prerequisite."""
        if update.pending:
            raise Refused("a value is not known yet: nothing was sent", str(update))
        place = await self._place(update.provider, update.name, update.type)
        primary, key = parse_server(place.provider.server), _key(place)
        found = await self._records(primary, place, _READ)
        _check_unchanged(update, place, found)
        answer = await self._sent(primary, _message(update, place, found, key), update)
        _judge(answer, update, place)
        lame = [f"{server}: {words}" for server, words in await self._lame(place)]
        return Answer(warnings=tuple(lame))

    # --- where -------------------------------------------------------------------------------------------------------

    async def _place(self, named: str, name: str, kind: str) -> _Place:
        """Raises InputError where no provider has the zone, TenantError where DNS does not tell the zone."""
        owner = name.lower().removesuffix(".")
        if kind != "CNAME":
            owner = await self._owner(owner)
        zone = await self._zone(owner if kind != "CNAME" else owner.partition(".")[2])
        chosen, provider = self._provider(named, zone, name)
        return _Place(owner, zone, provider, chosen)

    async def _owner(self, name: str) -> str:
        """Where the CNAMEs of a name end: a record published beside one would be ignored."""
        seen = [name]
        while len(seen) <= _LONGEST_CHAIN:
            answer = await self._resolver.look_up(DnsQuery(seen[-1], "CNAME"))
            if answer.failed:
                raise Unavailable(answer.reason, f"{seen[-1]} CNAME")
            if not answer.values:
                return seen[-1]
            seen.append(answer.values[0].lower().removesuffix("."))
        raise Refused(f"the CNAMEs of {name} do not end", f"{name} CNAME")

    async def _zone(self, name: str) -> str:
        """The zone of a name, by the SOA records above it: a delegated `_domainkey` is a zone of its own."""
        labels = name.split(".")
        for number in range(len(labels) - 1):
            candidate = ".".join(labels[number:])
            if candidate not in self._zones:
                answer = await self._resolver.look_up(DnsQuery(candidate, "SOA"))
                if answer.failed:
                    raise Unavailable(answer.reason, f"{candidate} SOA")
                self._zones[candidate] = candidate if answer.status is Status.ROWS else ""
            if self._zones[candidate]:
                return candidate
        raise Refused(f"DNS names no zone of {name}", f"{name} SOA", hint="delegate the domain first")

    def _provider(self, named: str, zone: str, name: str) -> tuple[str, DnsProvider]:
        known = {n: p for n, p in self._providers.items() if not p.zones or _covers(p.zones, zone)}
        if named and named in known:
            return named, known[named]
        if named and named not in self._providers:
            if "*" in known:
                return "*", known["*"]
            what = f'the plan publishes by the DNS provider "{named}", which the profile does not have'
            have = ", ".join(sorted(self._providers)) or "none"
            fix = f"add dns.{named} to the profile (it has: {have})"
            raise InputError([Diagnostic("DNS-PROVIDER", what, fix)])
        if named:
            what = f'{name} is in the zone {zone}, which is not one of the zones of the DNS provider "{named}"'
            fix = f"name the provider of {zone} in the section dns, or add the zone to dns.{named}.zones"
            raise InputError([Diagnostic("DNS-ZONE", what, fix)])
        if len(known) != 1:
            have = ", ".join(sorted(known)) or "none"
            what = f"{name} is in the zone {zone}, and the DNS providers of the profile for it are: {have}"
            fix = "name one with `provider` in the section dns" if known else "add a [profiles.….dns.NAME] table"
            raise InputError([Diagnostic("DNS-PROVIDER", what, fix)])
        return next(iter(known.items()))

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _records(self, server: NameServer, place: _Place, kinds: Sequence[str]) -> list[_Record]:
        """The records of these types at the owner name, by a server that has the zone. Raises TenantError."""
        answers = await _all(self._ask(server, place, kind) for kind in kinds)
        found = {(r.type, r.value): r for answer in answers for r in _rows(answer, place.owner)}
        return [found[key] for key in sorted(found)]

    async def _ask(self, server: NameServer, place: _Place, kind: str) -> dns.message.Message:
        import dns.flags
        import dns.message
        import dns.rcode

        query = dns.message.make_query(place.owner, kind, flags=0)
        answer = await self._exchange(server, query, f"{place.owner} {kind}")
        code = answer.rcode()
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise Unavailable(f"{server} answers {dns.rcode.to_text(code)} for {place.zone}", f"{place.owner} {kind}")
        if not answer.flags & dns.flags.AA:
            what = f"{server} is not authoritative for {place.zone}"
            raise Refused(
                what, f"{place.owner} {kind}", hint=f"name a server of {place.zone} in dns.{place.named}.server"
            )
        return answer

    async def _exchange(self, server: NameServer, message: dns.message.Message, call: str) -> dns.message.Message:
        """Over TCP: whole, and not from anybody who guesses an id. Raises Unavailable."""
        import dns.asyncquery
        import dns.exception

        try:
            return await dns.asyncquery.tcp(message, server.host, timeout=_ANSWER_S, port=server.port)
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise Unavailable(f"{server} does not answer properly: {_words(error)}", call) from None

    async def _servers(self, place: _Place) -> list[tuple[str, NameServer]]:
        """The zone's authoritative servers but the primary of the settings, by name."""
        primary = parse_server(place.provider.server)
        if place.provider.read_from is not None:
            return [(s, parse_server(s)) for s in place.provider.read_from if parse_server(s) != primary]
        answer = await self._resolver.look_up(DnsQuery(place.zone, "NS"))
        found: list[tuple[str, NameServer]] = []
        for host in answer.values[:_MOST_SERVERS]:
            addresses = [await self._resolver.look_up(DnsQuery(host, kind)) for kind in ("A", "AAAA")]
            found += [(host, NameServer(ip, 53)) for a in addresses for ip in a.values[:1]][:1]
        return [(host, server) for host, server in found if server != primary]

    async def _others(self, place: _Place, kind: str, wanted: Sequence[_Record]) -> list[tuple[str, str]]:
        """The servers that answer for the zone with other values than the primary. A lame one answers nobody."""
        mine = {record.value for record in wanted if record.type == kind}

        async def differs(host: str, server: NameServer) -> tuple[str, str] | None:
            try:
                theirs = {r.value for r in await self._records(server, place, (kind,)) if r.type == kind}
            except TenantError:
                return None
            return None if theirs == mine else (host, f"it does not show the records of {place.owner} {kind} yet")

        found = await asyncio.gather(*(differs(*server) for server in await self._servers(place)))
        return [words for words in found if words is not None]

    async def _lame(self, place: _Place) -> list[tuple[str, str]]:
        """The servers that the zone names and that do not answer for it: worth a warning, and nothing to wait for."""

        async def looked(host: str, server: NameServer) -> tuple[str, str] | None:
            try:
                await self._ask(server, place, "SOA")
            except TenantError as error:
                return host, f"it does not answer for {place.zone} ({error.summary})"
            return None

        found = await asyncio.gather(*(looked(*server) for server in await self._servers(place)))
        return [words for words in found if words is not None]

    # --- writing -----------------------------------------------------------------------------------------------------

    async def _sent(self, server: NameServer, message: dns.message.Message, update: DnsUpdate) -> dns.message.Message:
        """Raises PermissionMissing for a key that the server does not take, Unclear where no answer came."""
        import dns.asyncquery
        import dns.exception
        import dns.tsig

        try:
            return await dns.asyncquery.tcp(message, server.host, timeout=_ANSWER_S, port=server.port)
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadTime) as error:
            fix = "correct key_name, algorithm and secret of the DNS provider, and the clock of this machine"
            raise PermissionMissing(
                f"{server} does not accept the key: {_words(error)}", str(update), hint=fix
            ) from None
        except ConnectionRefusedError as error:
            raise Unavailable(f"{server} does not answer: {_words(error)}", str(update)) from None
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise Unclear(f"{server} gave no clear answer: {_words(error)}", str(update)) from None


async def _all(asked: Iterable[Awaitable[dns.message.Message]]) -> list[dns.message.Message]:
    """Every answer. Raises the first error, once no question is under way any more: its connection would stay open."""
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def _covers(zones: Sequence[str], zone: str) -> bool:
    return zone in {z.lower().removesuffix(".") for z in zones}


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _key(place: _Place) -> dns.tsig.Key | None:
    """The TSIG key, made from the reference in the moment of sending. Raises InputError for one that is no Base64."""
    import binascii

    import dns.tsig

    provider = place.provider
    if provider.secret is None:
        return None
    try:
        return dns.tsig.Key(provider.key_name, secret_value(provider.secret), provider.algorithm)
    except (binascii.Error, ValueError):
        what = f"the secret of the DNS provider {place.named} is not Base64"
        raise InputError([Diagnostic("DNS-KEY", what, "write the key as the server's configuration has it")]) from None


def _rows(answer: dns.message.Message, owner: str) -> list[_Record]:
    """The records of the owner name itself: what a CNAME leads to is not there."""
    import dns.name
    import dns.rdatatype

    name = dns.name.from_text(owner)
    rrsets = (rrset for rrset in answer.answer if rrset.name == name)
    return [_Record(dns.rdatatype.to_text(r.rdtype), _text(data), int(r.ttl), data) for r in rrsets for data in r]


def _text(rdata: dns.rdata.Rdata) -> str:
    strings = getattr(rdata, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("utf-8", "surrogateescape")
    return str(rdata).lower().removesuffix(".")


def _check_unchanged(update: DnsUpdate, place: _Place, found: Sequence[_Record]) -> None:
    """Raises Refused where the set is not as the change found it: what it removes is gone, or one of its kind came."""
    there = {record.value for record in found if record.type == update.type}
    gone = sorted(set(update.remove) - there)
    new = sorted(v for v in there - set(update.remove) - set(map(str, update.add)) if _of_kind(update, v))
    beside = sorted({r.type for r in found if r.type != update.type and "CNAME" in (r.type, update.type)})
    problems = [f'"{value}" is no longer there' for value in gone] + [f'"{value}" was added' for value in new]
    problems += [f"there are {kind} records, and no CNAME can stand beside them" for kind in beside]
    if problems:
        what = f"{place.owner} {update.type} has changed since the plan: {'; '.join(problems)}. Nothing was written"
        raise Refused(what, str(update), hint="plan again")


def _of_kind(update: DnsUpdate, value: str) -> bool:
    """Whether a value is of the purpose of an update, of which there may be one only."""
    return update.type == "CNAME" or (bool(update.only) and value.lower().startswith(update.only))


def _message(
    update: DnsUpdate, place: _Place, found: Sequence[_Record], key: dns.tsig.Key | None
) -> dns.message.Message:
    """The update: the set as it was read as prerequisite, then values out and in (RFC 2136, 2.4.1 to 2.4.5, 2.5)."""
    import dns.rdataset
    import dns.update

    message = dns.update.UpdateMessage(place.zone)
    there = [record for record in found if record.type == update.type]
    if there:
        message.present(_absolute(place.owner), *(record.data for record in there))
    elif update.type == "CNAME":
        message.absent(_absolute(place.owner))  # no name at all: a CNAME beside anything else would be ignored
    else:
        message.absent(_absolute(place.owner), update.type)
        message.absent(_absolute(place.owner), "CNAME")
    for record in there:
        if record.value in update.remove:
            message.delete(_absolute(place.owner), record.data)
    # All records of a set have one TTL (RFC 2181, 5.2): a value takes that of the set that it comes to.
    ttl_s = min((record.ttl_s for record in there), default=update.ttl_s)
    for value in map(str, update.add):
        message.add(_absolute(place.owner), ttl_s, _rdata(update.type, value))
    if key is not None:
        message.use_tsig(key)
    return message


def _absolute(name: str) -> dns.name.Name:
    import dns.name

    return dns.name.from_text(name)


def _rdata(kind: str, value: str) -> dns.rdata.Rdata:
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

    if kind == "CNAME":
        return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.CNAME, f"{value.removesuffix('.')}.")
    raw = value.encode("utf-8", "surrogateescape")
    pieces = [raw[at : at + 255] for at in range(0, len(raw), 255)] or [b""]
    text = " ".join('"' + "".join(f"\\{byte:03d}" for byte in piece) + '"' for piece in pieces)
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, text)


def _judge(answer: dns.message.Message, update: DnsUpdate, place: _Place) -> None:
    """Raises what a response code means (RFC 2136, 2.2)."""
    import dns.rcode

    code = answer.rcode()
    word = dns.rcode.to_text(code)
    if code == dns.rcode.NOERROR:
        return
    if code in (dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXRRSET):
        what = f"{place.owner} {update.type} was changed while it was being written ({word}): nothing was written"
        raise Refused(what, str(update), hint="plan again")
    if code in (dns.rcode.REFUSED, dns.rcode.NOTAUTH):
        fix = f"allow the key {place.provider.key_name or '(none is set)'} to update {place.owner} on the server"
        raise PermissionMissing(
            f"{place.provider.server} refuses the update of {place.zone} ({word})", str(update), hint=fix
        )
    if code == dns.rcode.SERVFAIL:
        raise Unclear(f"{place.provider.server} failed at the update ({word})", str(update))
    raise Refused(f"{place.provider.server} does not accept the update ({word})", str(update))
