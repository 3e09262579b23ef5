"""Questions to DNS as they go out. What servers do amiss is in test_hostile_dns.py."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import pytest

from provisioner.tenant import limits
from provisioner.tenant.dns import _Question


@pytest.mark.parametrize("name", ["contoso.com", "_dmarc.bücher.example", ".", f"{'a' * 63}.example"])
def test_a_question_is_what_dnspython_would_ask(name: str) -> None:
    asked = dns.name.from_text(name)
    question = _Question.of(asked, "TXT")
    for wire, edns in ((question.wire, 0), (question.plain, -1)):
        message = dns.message.from_wire(wire)
        expected = dns.message.make_query(asked, "TXT", id=message.id, use_edns=edns, payload=limits.DNS_UDP_BYTES)
        expected.flags |= dns.flags.AD
        assert wire == expected.to_wire()
