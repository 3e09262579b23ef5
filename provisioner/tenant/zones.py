"""Zones as their own authoritative servers have them: where a record is, what stands there, and who does not show it.

Shared by everything that publishes. Zones are read without a key: a job that plans need not have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.diagnostics import Diagnostic, InputError, Refused, TenantError, Unavailable
from provisioner.mail_dns.dialogue import Status
from provisioner.mail_dns.names import sibling
from provisioner.model import DnsQuery, DnsUpdate
from provisioner.model.name_server import NameServer, parse_server
from provisioner.tenant import dns_messages
from provisioner.tenant.ports import Resolver
from provisioner.tenant.together import together

if TYPE_CHECKING:
    import dns.message
    import dns.rdata

    from provisioner.settings import DnsProvider


@dataclass(frozen=True, slots=True)
class Record:
    """A record as a server has it: `data` keeps the strings that a TXT value is split into."""

    type: str
    value: str
    ttl_s: int
    data: dns.rdata.Rdata

    @property
    def strings(self) -> tuple[str, ...]:
        """The strings of a TXT value that is split otherwise than after 255 bytes, as we split it; () for others."""
        strings: tuple[bytes, ...] = getattr(self.data, "strings", ())
        if all(len(string) == LONGEST_STRING for string in strings[:-1]):
            return ()
        return tuple(string.decode("utf-8", "surrogateescape") for string in strings)


LONGEST_STRING = 255
"""Bytes of one string of a TXT record (RFC 1035, 3.3)."""
_LONGEST_CHAIN = 8
_MOST_SERVERS = 8
_LOOKS = 3
READ = ("TXT", "CNAME", "A", "AAAA", "MX")
"""What is read at a name: the types that a record of ours could meet there."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a server answers with for an owner name: the `records` that are there, or, where the name is not there,
    those that a `wildcard` gives to it and to every other name (RFC 4592). A record that is added wins over these.
    """

    records: Sequence[Record] = ()
    wildcard: Sequence[Record] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is: its owner name once aliases were followed, its zone, and the provider that has the zone."""

    owner: str
    zone: str
    provider: DnsProvider
    named: str


class Zones:
    """Finds zones by `resolver`, as everybody sees them, and reads them at the servers that have them."""

    def __init__(self, providers: Mapping[str, DnsProvider], resolver: Resolver) -> None:
        self._providers, self._resolver = providers, resolver
        self._zones: dict[str, str] = {}

    # --- where -------------------------------------------------------------------------------------------------------

    async def place(self, named: str, name: str, kind: str) -> Place:
        """Raises InputError where no provider has the zone, TenantError where DNS does not show the zone."""
        owner = name.lower().removesuffix(".")
        if kind != "CNAME":
            owner = await self._owner(owner)
        zone = await self._zone(owner if kind != "CNAME" else owner.partition(".")[2])
        record = name if owner == name.lower().removesuffix(".") else f"{owner}, where {name} leads to,"
        chosen, provider = self._provider(named, zone, record)
        return Place(owner, zone, provider, chosen)

    async def _owner(self, name: str) -> str:
        """Where the CNAMEs of a name end: a record published beside one would be ignored.

        A CNAME that a wildcard gives to every name is not at the name, and is not followed.
        """
        seen = [name]
        while len(seen) <= _LONGEST_CHAIN:
            target = await self._alias(seen[-1])
            if not target or target == await self._alias(sibling(seen[-1])):
                return seen[-1]
            seen.append(target)
        raise Refused(f"the CNAMEs of {name} do not end", f"{name} CNAME")

    async def _alias(self, name: str) -> str:
        """The target of the CNAME at a name; "" for none. Raises Unavailable."""
        answer = await self._resolver.look_up(DnsQuery(name, "CNAME"))
        if answer.failed:
            raise Unavailable(answer.reason, f"{name} CNAME")
        return answer.values[0].lower().removesuffix(".") if answer.values else ""

    async def leads_to(self, name: str) -> Sequence[str]:
        """The names that the CNAME at a name leads along; fewer where they cannot be asked or go in a circle."""
        chain: list[str] = []
        while len(chain) < _LONGEST_CHAIN:
            answer = await self._resolver.look_up(DnsQuery(chain[-1] if chain else name, "CNAME"))
            target = answer.values[0].lower().removesuffix(".") if answer.values else ""
            if not target or target in chain:
                break
            chain.append(target)
        return chain

    async def texts(self, name: str) -> Sequence[str]:
        """The TXT values that everybody sees at a name, wherever they are. Raises Unavailable."""
        answer = await self._resolver.look_up(DnsQuery(name, "TXT"))
        if answer.failed:
            raise Unavailable(answer.reason, f"{name} TXT")
        return answer.values

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

    def _provider(self, named: str, zone: str, record: str) -> tuple[str, DnsProvider]:
        """The provider of a zone, and its name. `record` are the words for what is in the zone."""
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
            what = f'{record} is in the zone {zone}, which is not one of the zones of the DNS provider "{named}"'
            fix = (
                f"add {zone} to dns.{named}.zones; or, where another provider has it, write it into the zones of that "
                "one and no `provider` in the section dns; or take the record out of `publish`"
            )
            raise InputError([Diagnostic("DNS-ZONE", what, fix)])
        for likely in (
            {n: p for n, p in known.items() if p.zones},  # a plan that is undone names no provider
            {n: p for n, p in known.items() if n != "*"},
            known,
        ):
            if len(likely) == 1:
                return next(iter(likely.items()))
        have = ", ".join(sorted(known)) or "none"
        what = f"{record} is in the zone {zone}, and the DNS providers of the profile for it are: {have}"
        fix = f"name one with `provider` in the section dns, or write {zone} into the zones of one in the settings"
        raise InputError([Diagnostic("DNS-PROVIDER", what, fix if known else "add a [profiles.….dns.NAME] table")])

    # --- reading -----------------------------------------------------------------------------------------------------

    async def standing(self, place: Place) -> Standing:
        """What stands at the owner name: by the primary of the settings, or by the first server that answers.

        Raises TenantError.
        """
        if place.provider.server is not None:
            return await self._standing(parse_server(place.provider.server), place, READ)
        failed: TenantError | None = None
        for _, server in await self._servers(place):
            try:
                return await self._standing(server, place, READ)
            except TenantError as error:
                failed = failed or error
        raise failed or Unavailable(f"DNS names no server of {place.zone}", f"{place.owner} (authoritative)")

    async def _standing(self, server: NameServer, place: Place, kinds: Sequence[str]) -> Standing:
        """The records of these types at the owner name, by a server that has the zone. Raises TenantError.

        A record that is written beside the name takes the wildcard from both (RFC 4592, section 2.2.1): where that
        happens between the two questions, the name is asked for again.
        """
        found = await self._records(server, place, place.owner, kinds)
        for _ in range(_LOOKS):
            if not found or place.owner == place.zone:
                break
            types = sorted({record.type for record in found})
            wild = await self._records(server, place, sibling(place.owner), types)
            if {(r.type, r.value) for r in found} == {(r.type, r.value) for r in wild}:
                return Standing(wildcard=found)
            before, found = found, await self._records(server, place, place.owner, kinds)
            if found == before:
                break
        return Standing(found)

    async def _records(self, server: NameServer, place: Place, name: str, kinds: Sequence[str]) -> list[Record]:
        """What a server answers with for these types at a name of the zone. Raises TenantError."""
        answers = await together(self._ask(server, place, kind, name) for kind in kinds)
        found = {(r.type, r.value): r for answer in answers for r in _rows(answer, name)}
        return [found[key] for key in sorted(found)]

    async def _ask(self, server: NameServer, place: Place, kind: str, name: str = "") -> dns.message.Message:
        """The answer of a server that has the zone, about its owner name or another one. Raises TenantError."""
        import dns.flags
        import dns.message
        import dns.rcode

        query = dns.message.make_query(name or place.owner, kind, flags=0)
        answer = await self._exchange(server, query, f"{place.owner} {kind}")
        code = answer.rcode()
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise Unavailable(f"{server} answers {dns.rcode.to_text(code)} for {place.zone}", f"{place.owner} {kind}")
        if not answer.flags & dns.flags.AA:
            what = f"{server} is not authoritative for {place.zone}"
            key = "server" if place.provider.server is not None else "read_from"
            raise Refused(
                what, f"{place.owner} {kind}", hint=f"name a server of {place.zone} in dns.{place.named}.{key}"
            )
        return answer

    async def _exchange(self, server: NameServer, message: dns.message.Message, call: str) -> dns.message.Message:
        """Over TCP: whole, and not from anybody who guesses an id. Raises Unavailable."""
        import dns.exception

        try:
            return await dns_messages.exchange(message, server)
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise Unavailable(f"{server} does not answer properly: {words(error)}", call) from None

    async def _servers(self, place: Place) -> list[tuple[str, NameServer]]:
        """The zone's authoritative servers but the primary of the settings, by name."""
        primary = parse_server(place.provider.server) if place.provider.server is not None else None
        if place.provider.read_from is not None:
            return [(s, parse_server(s)) for s in place.provider.read_from if parse_server(s) != primary]
        answer = await self._resolver.look_up(DnsQuery(place.zone, "NS"))
        found: list[tuple[str, NameServer]] = []
        for host in answer.values[:_MOST_SERVERS]:
            addresses = [await self._resolver.look_up(DnsQuery(host, kind)) for kind in ("A", "AAAA")]
            found += [(host, NameServer(ip, 53)) for a in addresses for ip in a.values[:1]][:1]
        return [(host, server) for host, server in found if server != primary]

    async def differing(self, place: Place, kind: str, wanted: Sequence[Record]) -> list[tuple[str, str]]:
        """The servers that answer for the zone with other values than were found. A lame one answers nobody."""
        mine = {record.value for record in wanted if record.type == kind}

        async def differs(host: str, server: NameServer) -> tuple[str, str] | None:
            try:
                there = await self._standing(server, place, (kind,))
                theirs = {record.value for record in there.records if record.type == kind}
            except TenantError:
                return None
            return None if theirs == mine else (host, f"it does not show the records of {place.owner} {kind} yet")

        found = await together([differs(*server) for server in await self._servers(place)])
        return [words for words in found if words is not None]

    async def lame(self, place: Place) -> list[tuple[str, str]]:
        """The servers that the zone names and that do not answer for it: worth a warning, and nothing to wait for."""

        async def looked(host: str, server: NameServer) -> tuple[str, str] | None:
            try:
                await self._ask(server, place, "SOA")
            except TenantError as error:
                return host, f"it does not answer for {place.zone} ({error.summary})"
            return None

        found = await together([looked(*server) for server in await self._servers(place)])
        return [words for words in found if words is not None]


def _covers(zones: Sequence[str], zone: str) -> bool:
    """Whether a zone is among these, which may be written as people read them (`müller.example`)."""
    return zone in {".".join(map(_a_label, z.lower().removesuffix(".").split("."))) for z in zones}


def _a_label(label: str) -> str:
    """A label as DNS has it; one that has no such form stays, and matches nothing."""
    if label.isascii():
        return label
    import idna

    try:
        return idna.encode(label, uts46=True).decode("ascii")
    except UnicodeError:
        return label


def words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _rows(answer: dns.message.Message, owner: str) -> list[Record]:
    """The records of the owner name itself: what a CNAME leads to is not there.

    Raises Refused for a name below a DNAME, where nothing can be written (RFC 6672, 2.4).
    """
    import dns.name
    import dns.rdatatype

    name = dns.name.from_text(owner)
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.DNAME and name.is_subdomain(rrset.name) and name != rrset.name:
            above = rrset.name.to_text(omit_final_dot=True)
            what = f"{owner} is below {above}, which is a DNAME to {_text(rrset[0])}: no record can be at {owner}"
            raise Refused(what, f"{owner} (authoritative)", hint="publish the record there, or remove the DNAME")
    rrsets = (rrset for rrset in answer.answer if rrset.name == name)
    return [Record(dns.rdatatype.to_text(r.rdtype), _text(data), int(r.ttl), data) for r in rrsets for data in r]


def _text(rdata: dns.rdata.Rdata) -> str:
    strings = getattr(rdata, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("utf-8", "surrogateescape")
    return str(rdata).lower().removesuffix(".")


def check_unchanged(update: DnsUpdate, place: Place, found: Iterable[tuple[str, str]]) -> None:
    """Raises Refused where the set is not as the change found it: what it removes is gone, or one of its kind came."""
    found = list(found)
    there = {value for kind, value in found if kind == update.type}
    known = {*update.remove, *update.keep}
    gone = sorted(known - there)
    new = sorted(v for v in there - known - set(map(str, update.add)) if _of_kind(update, v))
    beside = sorted({kind for kind, _ in found if kind != update.type and "CNAME" in (kind, update.type)})
    problems = [f'"{value}" is no longer there' for value in gone] + [f'"{value}" was added' for value in new]
    problems += [f"there are {kind} records, and no CNAME can stand beside them" for kind in beside]
    if problems:
        what = f"{place.owner} {update.type} has changed since the plan: {'; '.join(problems)}. Nothing was written"
        raise Refused(what, str(update), hint="plan again")


def _of_kind(update: DnsUpdate, value: str) -> bool:
    """Whether a value is of the purpose of an update, of which there may be one only."""
    return update.type == "CNAME" or (bool(update.only) and value.lower().startswith(update.only))
