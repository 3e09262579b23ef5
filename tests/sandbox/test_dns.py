"""DNS answers as messages, and asked over UDP and TCP by dnspython's resolver."""

from __future__ import annotations

import socket
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest

from provisioner.sandbox.dns import respond, wire
from provisioner.sandbox.dns_values import rdata
from tests.sandbox.conftest import Running

RECORDS = {
    "contoso.com": {
        "MX": ["0 contoso-com.mail.protection.outlook.com", "10 backup.contoso.com."],
        "TXT": ["v=spf1 include:spf.protection.outlook.com -all", '"two" "strings"'],
    },
    "s1._domainkey.contoso.com": {"CNAME": ["s1-contoso-com._domainkey.contoso.a-v1.dkim.mail.microsoft"]},
    "s1-contoso-com._domainkey.contoso.a-v1.dkim.mail.microsoft": {"TXT": ["v=DKIM1; k=rsa; p=" + "A" * 400]},
    "s2._domainkey.contoso.com": {"CNAME": ["nowhere.example"]},
    "loop.contoso.com": {"CNAME": ["loop.contoso.com"]},
    "*.wild.com": {"CNAME": ["contoso.com"]},
    "a.there.wild.com": {"A": ["192.0.2.1"]},
    "broken.com": {"MX": ["not a record"]},
}


def ask(name: str, kind: str) -> dns.message.Message:
    return respond(RECORDS, dns.message.make_query(name, kind))


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "answers"),
    [
        ("contoso.com", "MX", "NOERROR", 2),
        ("CONTOSO.com", "TXT", "NOERROR", 2),
        ("contoso.com", "A", "NOERROR", 0),
        ("_domainkey.contoso.com", "TXT", "NOERROR", 0),  # only names below it exist
        ("nothing.contoso.com", "TXT", "NXDOMAIN", 0),
        ("wild.com", "TXT", "NOERROR", 0),
        ("b.there.wild.com", "A", "NXDOMAIN", 0),  # there.wild.com exists, so the wildcard above does not apply
        ("broken.com", "MX", "SERVFAIL", 0),
    ],
)
def test_answers_and_their_codes(name: str, kind: str, rcode: str, answers: int) -> None:
    response = ask(name, kind)
    assert dns.rcode.to_text(response.rcode()) == rcode
    assert sum(len(rrset) for rrset in response.answer) == answers
    assert bool(response.authority) == (answers == 0 and rcode != "SERVFAIL")


def test_a_cname_is_answered_and_followed() -> None:
    alias, target = ask("s1._domainkey.contoso.com", "TXT").answer
    assert alias[0].to_text() == "s1-contoso-com._domainkey.contoso.a-v1.dkim.mail.microsoft."
    assert b"".join(target[0].strings).startswith(b"v=DKIM1; k=rsa; p=AAAA")
    assert len(ask("s1._domainkey.contoso.com", "CNAME").answer) == 1


def test_a_dangling_cname_is_shown_with_nxdomain() -> None:
    response = ask("s2._domainkey.contoso.com", "TXT")
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert response.answer[0][0].to_text() == "nowhere.example."


def test_a_wildcard_stands_in_and_a_loop_ends() -> None:
    response = ask("anything.wild.com", "MX")
    assert [rrset.name.to_text() for rrset in response.answer] == ["anything.wild.com.", "contoso.com."]
    assert len(ask("loop.contoso.com", "TXT").answer) <= 8


def test_text_values_keep_their_bytes() -> None:
    def strings(text: str) -> list[bytes]:
        record: Any = rdata("TXT", text)
        return list(record.strings)

    assert strings('say "hi"; \\ and ü') == ['say "hi"; \\ and ü'.encode()]
    assert [len(piece) for piece in strings("x" * 600)] == [255, 255, 90]
    assert strings('"two" "strings"') == [b"two", b"strings"]
    with pytest.raises(ValueError, match=r"MX 'mail\.contoso\.com' is not a DNS record"):
        rdata("MX", "mail.contoso.com")


def test_what_does_not_fit_is_truncated() -> None:
    query = dns.message.make_query("s1._domainkey.contoso.com", "TXT")
    response = respond(RECORDS, query)
    short = dns.message.from_wire(wire(response, 512))
    assert short.flags & dns.flags.TC
    assert short.answer == []


# over sockets


@pytest.fixture(scope="module")
def resolver(sandbox: Running) -> dns.resolver.Resolver:
    host, _, port = sandbox.endpoints["dns"].partition(":")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = [host], int(port), 60
    return resolver


def test_a_resolver_reads_seeded_records(resolver: dns.resolver.Resolver) -> None:
    answer = resolver.resolve("contoso.com", "MX")
    assert [str(row.exchange) for row in answer] == ["contoso-com.mail.protection.outlook.com."]
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve("fabrikam.com", "MX")
    with pytest.raises(dns.resolver.NoAnswer):
        resolver.resolve("contoso.com", "AAAA")


def test_a_long_answer_comes_over_tcp_when_udp_is_too_small(resolver: dns.resolver.Resolver) -> None:
    query = dns.message.make_query("contoso.com", "TXT", use_edns=False)
    over_udp = dns.query.udp(query, "127.0.0.1", port=resolver.port, timeout=60)
    assert over_udp.flags & dns.flags.TC
    answer = resolver.resolve("contoso.com", "TXT")
    assert sorted(len(b"".join(row.strings)) for row in answer) == [46, 1500]


def test_records_published_by_control_show_at_once(sandbox: Running, resolver: dns.resolver.Resolver) -> None:
    name = "selector1._domainkey.contoso.com"
    record = {"name": name + ".", "type": "cname", "values": ["target.example"]}
    assert sandbox.control("POST", "/dns", record).status_code == 204
    assert resolver.resolve(name, "CNAME")[0].to_text() == "target.example."
    assert sandbox.control("POST", "/dns", {**record, "values": []}).status_code == 204
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve(name, "CNAME")


def test_rubbish_gets_no_answer_and_does_no_harm(resolver: dns.resolver.Resolver) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.sendto(b"\x00\x01rubbish", ("127.0.0.1", resolver.port))
        with pytest.raises(TimeoutError):
            client.recvfrom(512)
    with socket.create_connection(("127.0.0.1", resolver.port), timeout=60) as stream:
        stream.sendall(b"\x00\x04abcd")
        assert stream.recv(10) == b""
    assert resolver.resolve("contoso.com", "MX")


def test_faults_strike_dns_and_queries_are_logged(sandbox: Running, resolver: dns.resolver.Resolver) -> None:
    rules = [
        {"front": "dns", "match": {"path": "contoso.com MX"}, "do": {"close": True}},
        {"front": "dns", "match": {"path": "contoso.com MX"}, "do": {"status": 2}},
    ]
    assert sandbox.control("POST", "/faults", rules).status_code == 200
    query = dns.message.make_query("contoso.com", "MX")
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(query, "127.0.0.1", port=resolver.port, timeout=0.3)
    rcodes = [dns.query.udp(query, "127.0.0.1", port=resolver.port, timeout=60).rcode() for _ in range(2)]
    assert rcodes == [dns.rcode.SERVFAIL, dns.rcode.NOERROR]
    entries = sandbox.control("GET", "/requests").json()[-3:]
    assert [(entry["front"], entry["path"], entry["status"]) for entry in entries] == [
        ("dns", "contoso.com MX", status) for status in (None, 2, 0)
    ]
