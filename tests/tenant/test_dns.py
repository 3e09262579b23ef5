"""Questions to DNS as they go out. What servers do amiss is in test_hostile_dns.py."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest

from provisioner.mail_dns.dialogue import NO_ROWS, DnsAnswer
from provisioner.model.name_server import NameServer
from provisioner.tenant import limits
from provisioner.tenant.dns import _Question, _read, _validated


@pytest.mark.parametrize("name", ["contoso.com", "_dmarc.bücher.example", ".", f"{'a' * 63}.example"])
def test_a_question_is_what_dnspython_would_ask(name: str) -> None:
    asked = dns.name.from_text(name)
    question = _Question.of(asked, "TXT")
    for wire, edns in ((question.wire, 0), (question.plain, -1)):
        message = dns.message.from_wire(wire)
        expected = dns.message.make_query(asked, "TXT", id=message.id, use_edns=edns, payload=limits.DNS_UDP_BYTES)
        expected.flags |= dns.flags.AD
        assert wire == expected.to_wire()


@pytest.mark.parametrize(
    ("host", "flags", "told"),
    [
        ("127.0.0.1", dns.flags.AD, True),
        ("127.0.0.53", 0, False),
        ("::1", dns.flags.AD, True),
        ("192.0.2.1", dns.flags.AD, None),
        ("2001:db8::1", dns.flags.AD, None),
    ],
)
def test_only_a_resolver_on_this_machine_is_believed(host: str, flags: int, told: bool | None) -> None:
    message = dns.message.make_response(dns.message.make_query("contoso.com", "MX"))
    message.flags |= flags
    assert _validated(NameServer(host, 53), message) is told


def test_an_alias_is_no_zone_whatever_it_leads_to() -> None:
    """`*.contoso.com CNAME contoso.com` is usual: each name below would otherwise be a zone of its own."""
    soa = dns.rrset.from_text(
        "contoso.com.", 60, "IN", "SOA", "ns1.contoso.com. admin.contoso.com. 1 3600 600 86400 300"
    )
    alias = dns.rrset.from_text("_domainkey.contoso.com.", 60, "IN", "CNAME", "contoso.com.")
    for records, expected in (([soa], False), ([alias, soa], True)):
        message = dns.message.make_response(dns.message.make_query(str(records[0].name), "SOA"))
        message.answer += records
        answer = _read(dns.message.from_wire(message.to_wire()), "SOA")
        assert isinstance(answer, DnsAnswer)
        assert (answer == NO_ROWS) == expected
