"""A small name server in memory for these tests: what it answers goes through DNS messages, and over no network.

A zone maps a name to its records, `(type, value)`; a name with `TIMEOUT` is silent about types that it does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset

from provisioner.mail_dns.dialogue import NO_NAME, NO_ROWS, Dialogue, DnsAnswer, Status, replay
from provisioner.model import DnsQuery

Zone = Mapping[str, Sequence[tuple[str, Any]]]
TIMEOUT = "TIMEOUT"
T = TypeVar("T")


class NameServer:
    """Answers for one zone at a time; `zone` may be exchanged between questions. It notes what it is asked."""

    def __init__(self) -> None:
        self.zone: Zone = {}
        self.asked: list[DnsQuery] = []

    def answer(self, question: DnsQuery) -> DnsAnswer:
        """One of the four kinds of answer, by way of DNS messages."""
        try:
            query = dns.message.make_query(question.name, question.type)
        except dns.exception.DNSException as error:
            return DnsAnswer(Status.FAILED, reason=type(error).__name__)
        wire = self.respond(query.to_wire())
        if wire is None:
            return DnsAnswer(Status.FAILED, reason="silence")
        asked, message = query.question[0], dns.message.from_wire(wire)
        if message.rcode() == dns.rcode.NXDOMAIN:
            return NO_NAME
        assert isinstance(message, dns.message.QueryMessage)
        found = dns.resolver.Answer(asked.name, asked.rdtype, asked.rdclass, message)
        if found.rrset is None:
            return NO_ROWS
        return DnsAnswer(Status.ROWS, tuple(_values(found.rrset)), tuple(_strings(found.rrset)))

    def respond(self, wire: bytes) -> bytes | None:
        """The message that answers a message; None where it is silent."""
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
        return response.to_wire(max_size=65535, want_shuffle=False)

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
        wire = b"".join(bytes([len(part)]) + part for text in strings for part in _pieces(text.encode()))
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


def carry_on(dialogue: Dialogue[T], server: NameServer) -> T:
    """Carry a dialogue on to its end, asking each question at most once, as the commands do."""
    known: dict[DnsQuery, DnsAnswer] = {}

    def answer(question: DnsQuery) -> DnsAnswer:
        if question not in known:
            known[question] = server.answer(question)
        return known[question]

    return replay(dialogue, answer)


def _values(rrset: dns.rrset.RRset) -> Iterator[str]:
    for rdata in rrset:
        strings = getattr(rdata, "strings", None)
        if strings is not None:
            yield b"".join(strings).decode("utf-8", "replace")
        else:
            yield rdata.to_text() if rdata.to_text().endswith(" .") else rdata.to_text().removesuffix(".")


def _strings(rrset: dns.rrset.RRset) -> Iterator[tuple[str, ...]]:
    for rdata in rrset:
        strings = getattr(rdata, "strings", None)
        if strings is not None:
            yield tuple(text.decode("utf-8", "replace") for text in strings)
