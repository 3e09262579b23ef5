"""A small name server on loopback for these tests, and the resolver that asks it: real sockets, UDP and TCP.

A zone maps a name to its records, `(type, value)`; a name with `TIMEOUT` is silent about types that it does not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset

from provisioner.mail_dns.dialogue import Answers, DnsAnswer, Questions, Status
from provisioner.model import DnsQuery

Zone = Mapping[str, Sequence[tuple[str, Any]]]
TIMEOUT = "TIMEOUT"


class NameServer:
    """Answers for one zone at a time; `zone` may be exchanged between questions. Use it as a context manager."""

    def __init__(self) -> None:
        self.zone: Zone = {}
        self.asked: list[DnsQuery] = []
        self.port = 0

    def __enter__(self) -> Self:
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        for thread in self._threads:
            thread.join(timeout=5)
        self._udp.close()

    def _serve_udp(self) -> None:
        while True:
            wire, peer = self._udp.recvfrom(4096)
            if not wire:
                return
            answer = self._answer(wire, 1232)
            if answer is not None:
                self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection:
                size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
                answer = self._answer(connection.recv(size, socket.MSG_WAITALL), 65535)
                if answer is not None:
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def _answer(self, wire: bytes, most: int) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(DnsQuery(_spelled(question.name), kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        found = self._find(question.name, kind, response)
        if found is None:
            return None
        if not found:
            response.set_rcode(dns.rcode.NXDOMAIN)
        try:
            return response.to_wire(max_size=most, want_shuffle=False)
        except dns.exception.TooBig:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC | dns.flags.RA
            return short.to_wire()

    def _find(self, name: dns.name.Name, kind: str, response: dns.message.Message) -> bool | None:
        """Fill the answer; True when the name is there, None when the server must keep silent."""
        for _ in range(8):
            records = self.zone.get(_spelled(name))
            if records is None:
                return bool(response.answer) or any(n.endswith(f".{_spelled(name)}") for n in self.zone)
            wanted = [value for record_kind, value in records if record_kind == kind]
            if wanted:
                response.answer.append(_rrset(name, kind, wanted))
                return True
            target = next((value for record_kind, value in records if record_kind == "CNAME"), None)
            if target is None:
                return None if (TIMEOUT, None) in records else True
            response.answer.append(_rrset(name, "CNAME", [target]))
            name = _name(str(target))
        return True


def _rrset(name: dns.name.Name, kind: str, values: Sequence[Any]) -> dns.rrset.RRset:
    rdatas = [_rdata(kind, value) for value in values]
    return dns.rrset.from_rdata_list(name, 60, rdatas)


def _rdata(kind: str, value: Any) -> dns.rdata.Rdata:
    rdtype = dns.rdatatype.from_text(kind)
    if kind == "TXT":
        strings = [value] if isinstance(value, str) else list(value)
        wire = b"".join(bytes([len(part)]) + part for text in strings for part in _pieces(text.encode("latin-1")))
        wire = wire or b"\0"
        return dns.rdata.from_wire(dns.rdataclass.IN, rdtype, wire, 0, len(wire))
    if kind == "MX":
        preference, host = value
        wire = int(preference).to_bytes(2, "big") + (_name(host).to_wire() or b"")
        return dns.rdata.from_wire(dns.rdataclass.IN, rdtype, wire, 0, len(wire))
    if kind in ("CNAME", "PTR"):
        wire = _name(value).to_wire() or b""
        return dns.rdata.from_wire(dns.rdataclass.IN, rdtype, wire, 0, len(wire))
    return dns.rdata.from_text("IN", kind, str(value))


def _pieces(text: bytes) -> list[bytes]:
    return [text[i : i + 255] for i in range(0, len(text), 255)] or [b""]


def _name(text: str) -> dns.name.Name:
    labels = [label.encode("latin-1") for label in text.removesuffix(".").split(".")] if text.strip(".") else []
    return dns.name.Name([*labels, b""])


def _spelled(name: dns.name.Name) -> str:
    return ".".join(label.decode("latin-1") for label in name.labels if label).lower()


class Asker:
    """Asks one name server, many questions at once, each at most once; gives the four kinds of answer."""

    def __init__(self, port: int, *, timeout_s: float = 0.4) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [dns.nameserver.Do53Nameserver("127.0.0.1", port)]
        self._resolver.timeout = self._resolver.lifetime = timeout_s
        self._known: dict[DnsQuery, DnsAnswer] = {}

    async def __call__(self, questions: Questions) -> Answers:
        unknown = [q for q in dict.fromkeys(questions) if q not in self._known]
        self._known |= dict(zip(unknown, await asyncio.gather(*map(self._ask, unknown)), strict=True))
        return {question: self._known[question] for question in questions}

    async def _ask(self, query: DnsQuery) -> DnsAnswer:
        try:
            found = await self._resolver.resolve(query.name, query.type, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return DnsAnswer(Status.NO_NAME)
        except dns.exception.DNSException as error:
            return DnsAnswer(Status.FAILED, reason=type(error).__name__)
        if found.rrset is None:
            return DnsAnswer(Status.NO_ROWS)
        return DnsAnswer(Status.ROWS, tuple(_values(found.rrset)), tuple(_strings(found.rrset)))


def _values(rrset: dns.rrset.RRset) -> Iterator[str]:
    for rdata in rrset:
        strings = getattr(rdata, "strings", None)
        if strings is not None:
            yield b"".join(strings).decode("latin-1")
        else:
            yield rdata.to_text() if rdata.to_text().endswith(" .") else rdata.to_text().removesuffix(".")


def _strings(rrset: dns.rrset.RRset) -> Iterator[tuple[str, ...]]:
    for rdata in rrset:
        strings = getattr(rdata, "strings", None)
        if strings is not None:
            yield tuple(text.decode("latin-1") for text in strings)
