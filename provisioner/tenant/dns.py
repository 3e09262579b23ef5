"""DNS questions, bounded in time and size, against servers that may be broken or hostile.

dnspython reads and writes the messages; the sockets are ours. Its resolver takes messages of up to 64 KB with any
number of records, calls a CNAME without its end "no such record", and names a failure by a Python class. Here an answer
is looked at only if it comes from where it was asked, with the question's id and words, and is of a size that real ones
have; a failure is told with its reason and the server, and never taken for "not there".

DNSSEC is validated by a resolver, not here: each question asks for its verdict (the AD bit, RFC 6840, 5.7), and the
verdict is believed only from a resolver on loopback, where nobody in between can write it (RFC 7672, 2.2; RFC 4035,
4.9.3). Of any other it is not known whether an answer is proven.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import secrets
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.clock import SYSTEM, Clock, Deadline
from provisioner.diagnostics import Unavailable
from provisioner.mail_dns.dialogue import NO_NAME, NO_ROWS, DnsAnswer, Status
from provisioner.model import Answer, DnsQuery
from provisioner.model.name_server import NameServer, parse_server
from provisioner.tenant import limits

if TYPE_CHECKING:
    import dns.message

_HEADER = struct.Struct("!6H")
_QR, _TC, _AA, _RD, _AD, _RCODE = 0x8000, 0x0200, 0x0400, 0x0100, 0x0020, 0x000F
_FORMERR = 1
_IN, _OPT = 1, 41
_EDNS = struct.pack("!BHHIH", 0, _OPT, limits.DNS_UDP_BYTES, 0, 0)


class _Failed(Exception):
    """No usable answer, and why; `silent` when nothing came at all, `refused` by RCODE 5. Never leaves this module."""

    def __init__(self, reason: str, *, silent: bool = False, refused: bool = False) -> None:
        self.reason, self.silent, self.refused = reason, silent, refused
        super().__init__(reason)


class DnsResolver:
    """The Resolver port. `servers` are `ip` or `ip:port`; the system's are used where none is given."""

    def __init__(
        self, servers: Sequence[str], lifetime_s: float = limits.DNS_LIFETIME_S, clock: Clock = SYSTEM
    ) -> None:
        self._servers, self._lifetime_s, self._clock = tuple(servers), lifetime_s, clock
        self._silences, self._heard = 0, False

    async def query(self, query: DnsQuery) -> Answer:
        """The records of that very name and type. Raises Unavailable when no server gives a proper answer."""
        found = await self.look_up(query)
        if found.failed:
            raise Unavailable(found.reason, str(query))
        return Answer(tuple({"value": value} for value in found.values))

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        """As `query`, but telling apart what SPF has to: rows, none, no such name, or a failure with its reason."""
        patient = self._heard or self._silences < limits.DNS_SILENCES
        lifetime_s = self._lifetime_s if patient else min(self._lifetime_s, limits.DNS_SILENT_LIFETIME_S)
        try:
            answer = await self._follow(query, self._clock.deadline(lifetime_s))
        except _Failed as failure:
            self._silences += failure.silent
            self._heard |= not failure.silent
            return DnsAnswer(Status.REFUSED if failure.refused else Status.FAILED, reason=failure.reason)
        self._heard = True
        return answer

    async def _follow(self, query: DnsQuery, deadline: Deadline) -> DnsAnswer:
        """Ask, and ask again for where a CNAME leads when a server stops half-way."""
        import dns.exception
        import dns.name

        try:
            name = dns.name.from_text(query.name)
        except (dns.exception.DNSException, ValueError) as error:
            raise _Failed(f"the name cannot be asked for: {type(error).__name__}") from None
        validated: bool | None = True
        for _ in range(limits.DNS_MOST_ALIASES + 1):
            server, message = await self._answered(name, query.type, deadline)
            answer = _read(message, query.type)
            validated = _validated(server, message) and validated
            if isinstance(answer, DnsAnswer):
                return dataclasses.replace(answer, validated=validated)
            name = answer
        raise _Failed(f"more than {limits.DNS_MOST_ALIASES} CNAMEs, one leading to the next")

    async def _answered(
        self, name: dns.name.Name, kind: str, deadline: Deadline
    ) -> tuple[NameServer, dns.message.Message]:
        """A proper answer and the server that gave it. One that answers amiss is not asked again; a silent one is."""
        servers = deque(_addresses(self._servers))
        question = _Question.of(name, kind)
        silent, refused, reason = True, True, "no time was left to ask"
        while servers and deadline.left_s > 0:
            server = servers.popleft()
            try:
                return server, await _ask(server, question, deadline)
            except TimeoutError:
                refused = False
                reason = f"no answer from {server}" if silent else reason
                servers.append(server)
            except _Failed as failure:
                silent, refused, reason = False, refused and failure.refused, f"{server}: {failure.reason}"
                if failure.silent:
                    servers.append(server)
        raise _Failed(reason, silent=silent, refused=refused and not silent)


# --- servers ---------------------------------------------------------------------------------------------------------


def _addresses(servers: Sequence[str]) -> list[NameServer]:
    if servers:
        try:
            return [parse_server(server) for server in servers]
        except ValueError as error:
            raise _Failed(f"endpoints.dns_servers: {error}") from None
    import dns.exception
    import dns.resolver

    try:
        system = dns.resolver.Resolver()
    except dns.exception.DNSException:
        raise _Failed("this machine has no name server; name one in endpoints.dns_servers") from None
    return [NameServer(str(server), system.port) for server in system.nameservers]


# --- one question to one server --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Question:
    """A question as it goes out, with EDNS (RFC 6891, 6.1.2) and, for servers that do not know it, without.

    Written here and not by dnspython, which takes a quarter of the time of a whole question for it.
    """

    wire: bytes
    plain: bytes

    @classmethod
    def of(cls, name: dns.name.Name, kind: str) -> _Question:
        import dns.rdatatype

        asked = (name.to_wire() or b"") + struct.pack("!2H", dns.rdatatype.from_text(kind), _IN)
        number = secrets.randbits(16)
        plain = _HEADER.pack(number, _RD | _AD, 1, 0, 0, 0) + asked
        return cls(_HEADER.pack(number, _RD | _AD, 1, 0, 0, 1) + asked + _EDNS, plain)

    def is_answered_by(self, wire: bytes) -> bool:
        """Whether a message is an answer to this: its id, and its question but for case."""
        if len(wire) < _HEADER.size or wire[:2] != self.plain[:2]:
            return False
        _, flags, questions, *_ = _HEADER.unpack_from(wire)
        if not flags & _QR:
            return False
        if questions == 0:
            return bool(flags & _RCODE)  # a server that could not read the question need not repeat it
        asked = self.plain[_HEADER.size :]
        return questions == 1 and wire[_HEADER.size : _HEADER.size + len(asked)].lower() == asked.lower()


async def _ask(server: NameServer, question: _Question, deadline: Deadline) -> dns.message.Message:
    """Raises TimeoutError when nothing that answers came, _Failed for an answer that is none."""
    wire = await _by_udp(server, question, question.wire, deadline)
    if _flags(wire) & _RCODE == _FORMERR:
        wire = await _by_udp(server, question, question.plain, deadline)
    if _flags(wire) & _TC:
        try:
            wire = await _by_tcp(server, question, deadline)
        except TimeoutError:
            raise _Failed("the answer is truncated, and over TCP it does not come in time", silent=True) from None
    return _parsed(wire)


async def _by_udp(server: NameServer, question: _Question, wire: bytes, deadline: Deadline) -> bytes:
    loop = asyncio.get_running_loop()
    listener = _Listener(question, loop.create_future())
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: listener, remote_addr=(server.host, server.port))
    except OSError as error:
        raise _Failed(f"cannot be reached: {error.strerror or error}") from None
    try:
        transport.sendto(wire)
        async with deadline.timeout(limits.DNS_TRY_S):
            return await listener.answer
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        raise _Failed(f"cannot be reached: {error.strerror or error}") from None
    finally:
        transport.close()


class _Listener(asyncio.DatagramProtocol):
    """Waits for the datagram that answers. The socket is connected, so nothing comes from elsewhere."""

    def __init__(self, question: _Question, answer: asyncio.Future[bytes]) -> None:
        self._question, self.answer = question, answer

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.answer.done() and self._question.is_answered_by(data):
            self.answer.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def _by_tcp(server: NameServer, question: _Question, deadline: Deadline) -> bytes:
    async with deadline.timeout(limits.DNS_TRY_S):
        try:
            reader, writer = await asyncio.open_connection(server.host, server.port)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise _Failed(f"truncated, and TCP cannot be had: {error.strerror or error}") from None
        try:
            writer.write(len(question.wire).to_bytes(2, "big") + question.wire)
            await writer.drain()
            size = int.from_bytes(await reader.readexactly(2), "big")
            if size > limits.DNS_MOST_BYTES:
                raise _Failed(f"an answer of {size:,} bytes; at most {limits.DNS_MOST_BYTES:,} are read")
            wire = await reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _Failed("the TCP connection ended before the answer did") from None
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                writer.transport.abort()
    if not question.is_answered_by(wire):
        raise _Failed("over TCP an answer to another question came")
    if _flags(wire) & _TC:
        raise _Failed("the answer is truncated over TCP too")
    return wire


def _flags(wire: bytes) -> int:
    return int(_HEADER.unpack_from(wire)[1])


def _parsed(wire: bytes) -> dns.message.Message:
    import dns.exception
    import dns.message
    import dns.rcode

    _, flags, _, *counts = _HEADER.unpack_from(wire)
    if len(wire) > limits.DNS_MOST_BYTES or sum(counts) > limits.DNS_MOST_RECORDS:
        raise _Failed(f"an answer of {sum(counts):,} records and {len(wire):,} bytes; that is too large to be read")
    code = flags & _RCODE
    if code not in (0, 3):
        raise _Failed(f"answers {dns.rcode.to_text(dns.rcode.Rcode(code))}", refused=code == dns.rcode.REFUSED)
    try:
        return dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError, IndexError, struct.error) as error:
        raise _Failed(f"the answer is not proper DNS ({type(error).__name__})") from None


# --- what an answer says ---------------------------------------------------------------------------------------------


def _read(message: dns.message.Message, kind: str) -> DnsAnswer | dns.name.Name:
    """What a proper answer says, or the name to ask for next. Raises _Failed for CNAMEs that go in a circle."""
    import dns.exception
    import dns.message
    import dns.rcode
    import dns.rdatatype

    if not isinstance(message, dns.message.QueryMessage):
        raise _Failed("the answer is not proper DNS")
    if message.rcode() == dns.rcode.NXDOMAIN:
        return NO_NAME
    try:
        found = message.resolve_chaining()
    except dns.message.ChainTooLong:
        raise _Failed("its CNAMEs lead in a circle or never end") from None
    except dns.exception.DNSException as error:
        raise _Failed(f"the answer is not proper DNS ({type(error).__name__})") from None
    if kind == "SOA" and found.canonical_name != message.question[0].name:
        return NO_ROWS  # no alias is the top of a zone, and where it leads to is another name's zone (RFC 2181, 6.1)
    if found.answer:
        return _rows(list(found.answer), kind, found.minimum_ttl)
    types = {rrset.rdtype for rrset in message.authority}
    final = dns.rdatatype.SOA in types
    if not final and found.canonical_name != message.question[0].name:
        return found.canonical_name
    if not final and dns.rdatatype.NS in types and not message.flags & _AA:
        raise _Failed("refers to other servers instead of answering: it does not resolve for us")
    return NO_ROWS


def _validated(server: NameServer, message: dns.message.Message) -> bool | None:
    """Whether the resolver says that DNSSEC proves the answer; None where it is not on this machine."""
    if not ipaddress.ip_address(server.host.partition("%")[0]).is_loopback:
        return None
    return bool(message.flags & _AD)


def _rows(records: Sequence[object], kind: str, ttl_s: int) -> DnsAnswer:
    pieces = tuple(map(_pieces, records)) if kind == "TXT" else ()
    return DnsAnswer(Status.ROWS, tuple(map(_text, records)), pieces, ttl_s=ttl_s)


def _pieces(record: object) -> tuple[str, ...]:
    """The single strings of a TXT record."""
    return tuple(s.decode("utf-8", "replace") for s in getattr(record, "strings", ()))


def _text(record: object) -> str:
    """A record's text: strings of a TXT joined, names without the trailing dot (the root alone is ".")."""
    strings = getattr(record, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("utf-8", "replace")
    text = str(record)
    return text if text.endswith(" .") else text.removesuffix(".")
