"""Public DNS as the tenant sees it: one loopback server, UDP and TCP on the same port number, fed from `public_dns`.

It answers for the whole world (a recursive resolver seen from outside): CNAMEs are followed within the data, a name
that is not there is NXDOMAIN, one without the asked type an empty answer, wildcards stand in (RFC 4592), and what does
not fit a datagram comes truncated, so that the client asks again over TCP. Data is read at each query, never kept.
Updates go to `dns_update`. Each accepted domain is a zone: it has an SOA and an NS record, whatever the seed says.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig

from provisioner.sandbox.dns_update import keyring, refusal, soa, update, zones
from provisioner.sandbox.dns_values import rdata
from provisioner.sandbox.listening import Listening, unavailable
from provisioner.sandbox.public_dns import Records, is_signed, names

if TYPE_CHECKING:
    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.tenant import Tenant

_TTL_S = 300
_PLAIN_UDP_BYTES = 512  # without EDNS (RFC 1035 §4.2.1)
_LONGEST_CHAIN = 8
_SOA = "ns1.sandbox.invalid. hostmaster.sandbox.invalid. 1 3600 600 86400 300"


def find(records: Records, name: str) -> Mapping[str, list[str]] | None:
    """All record types at `name` (lower case, no final dot); empty where only names below exist; None: no such name."""
    if name in records:
        return records[name]
    if any(owner.endswith("." + name) for owner in records):
        return {}
    labels = name.split(".")
    for cut in range(1, len(labels) + 1):
        parent = ".".join(labels[cut:])
        if f"*.{parent}" in records:
            return records[f"*.{parent}"]
        # The closest name that exists ends the search: a wildcard above it does not apply (RFC 4592 §3.3.1).
        if parent in records or any(owner.endswith("." + parent) for owner in records):
            return None
    return None


def respond(records: Records, query: dns.message.Message, known: Collection[str] = ()) -> dns.message.Message:
    """The answer to one query message. `known` are the names of zones."""
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= dns.flags.AA
    if not query.question:
        response.set_rcode(dns.rcode.FORMERR)
        return response
    question = query.question[0]
    try:
        _answer(records, response, question.name, question.rdtype, known)
    except ValueError:
        response.answer.clear()
        response.set_rcode(dns.rcode.SERVFAIL)
    return response


def _answer(
    records: Records,
    response: dns.message.Message,
    name: dns.name.Name,
    wanted: dns.rdatatype.RdataType,
    known: Collection[str],
) -> None:
    for _ in range(_LONGEST_CHAIN):
        owner = name.to_text(omit_final_dot=True).lower()
        here = find(records, owner)
        if owner in known:
            here = {"SOA": [soa(here or {}, owner)], "NS": [f"ns1.{owner}."], **(here or {})}
        if here is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
            break
        if here.get("CNAME") and wanted not in (dns.rdatatype.CNAME, dns.rdatatype.ANY):
            alias = rdata("CNAME", here["CNAME"][0])
            response.answer.append(dns.rrset.from_rdata(name, _TTL_S, alias))
            name = dns.name.from_text(alias.to_text())
            continue
        types = list(here) if wanted == dns.rdatatype.ANY else [dns.rdatatype.to_text(wanted)]
        found = {kind: here[kind] for kind in types if here.get(kind)}
        for kind, texts in found.items():
            rows = [rdata(kind, text) for text in texts]
            response.answer.append(dns.rrset.from_rdata_list(name, _TTL_S, rows))
        if found:
            return
        break
    labels = name.to_text(omit_final_dot=True).lower().split(".")
    above = next((z for n in range(len(labels)) if (z := ".".join(labels[n:])) in known), "")
    zone = dns.name.from_text(above or ".".join(labels[-2:]))
    response.authority.append(dns.rrset.from_text(zone, _TTL_S, "IN", "SOA", _SOA))


def wire(response: dns.message.Message, limit: int) -> bytes:
    """The message in at most `limit` bytes; one that is larger goes out empty with the truncation flag."""
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=limit)


class DnsFront:
    """The listening half: one port number for UDP and TCP."""

    def __init__(self, tenant: Tenant, faults: Faults, secret: str) -> None:
        self._tenant, self._faults, self._keys = tenant, faults, keyring(secret)
        self._tcp: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listening: Listening) -> int:
        """Listen on one port for TCP and UDP and return it. Raises OSError."""
        loop = asyncio.get_running_loop()
        for attempt in range(20):
            listener = (listening if attempt == 0 else Listening(listening.address, listening.ports)).listener("dns")
            address, port = listener.getsockname()
            try:
                self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(address, port))
            except OSError as error:  # the number is free for TCP but taken for UDP: try another
                listener.close()
                if "dns" in listening.ports:
                    raise unavailable("dns", address, port, error) from None
                if attempt == 19:
                    raise
                continue
            self._tcp = await asyncio.start_server(self._stream, sock=listener)
            return int(port)
        raise AssertionError("unreachable")

    async def stop(self) -> None:
        """Close both sockets and drop what is still being answered."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def datagram(self, raw: bytes, reply: asyncio.DatagramTransport, peer: tuple[str, int]) -> None:
        """Answer one datagram in a task of its own, so that a delayed answer holds up no other."""

        async def answer() -> None:
            query = self._parse(raw)
            if isinstance(query, bytes):
                reply.sendto(query, peer)
                return
            response = None if query is None else await self._respond(query)
            if query is not None and response is not None:
                limit = max(query.payload, _PLAIN_UDP_BYTES) if query.edns >= 0 else _PLAIN_UDP_BYTES
                reply.sendto(wire(response, limit), peer)

        task = asyncio.create_task(answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self._tasks.add(task)
        try:
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                query = self._parse(await reader.readexactly(size))
                if isinstance(query, bytes):
                    message = query
                else:
                    response = None if query is None else await self._respond(query)
                    if response is None:
                        break
                    message = wire(response, 65535)
                writer.write(struct.pack("!H", len(message)) + message)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _respond(self, query: dns.message.Message) -> dns.message.Message | None:
        """The answer, or None where a fault wants silence. A fault's `status` is the response code (2 is SERVFAIL)."""
        path = " ".join(f"{row.name.to_text(True)} {dns.rdatatype.to_text(row.rdtype)}" for row in query.question)
        method = dns.opcode.to_text(query.opcode())
        deed = self._faults.take("dns", method=method, path=path)
        await self._faults.wait(deed)
        if query.opcode() == dns.opcode.UPDATE and "status" in deed:  # the server does nothing, whatever it says
            response: dns.message.Message | None = dns.message.make_response(query)
        else:
            response = None if deed.get("close") else self._response(query)
        if response is not None and "status" in deed:
            response.answer.clear()
            response.set_rcode(dns.rcode.Rcode(deed["status"]))
        status = None if response is None else int(response.rcode())
        self._faults.record("dns", method=method, path=path, status=status, executed="status" not in deed)
        return response

    def _response(self, query: dns.message.Message) -> dns.message.Message:
        if query.opcode() == dns.opcode.UPDATE:
            return update(self._tenant, query)
        response = respond(names(self._tenant), query, zones(self._tenant))
        asked = query.flags & dns.flags.AD or query.ednsflags & dns.flags.DO
        owners = [rrset.name.to_text(omit_final_dot=True).lower() for rrset in response.answer]
        if asked and owners and all(is_signed(self._tenant, owner) for owner in owners):
            response.flags |= dns.flags.AD  # as a resolver that validates tells it (RFC 6840, 5.7 and 5.8)
        return response

    def _parse(self, raw: bytes) -> dns.message.Message | bytes | None:
        """A message with its signature verified, or the refusal of a signature; None for what is not DNS."""
        try:
            return dns.message.from_wire(raw, keyring=self._keys)
        except (dns.tsig.BadSignature, dns.tsig.BadTime, dns.tsig.BadKey, dns.message.UnknownTSIGKey) as error:
            refused = refusal(raw, error)
            status = None if refused is None else int(dns.rcode.NOTAUTH)
            self._faults.record("dns", method="UPDATE", path="", status=status, executed=False)
            return refused
        except dns.exception.DNSException:
            return None


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, front: DnsFront) -> None:
        self._front = front
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None:
            self._front.datagram(data, self._transport, addr)
