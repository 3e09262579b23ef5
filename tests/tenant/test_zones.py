"""Which provider has a zone, and what is said where none has it."""

from __future__ import annotations

import asyncio

import dns.flags
import dns.message
import dns.rrset
import pytest

from provisioner.diagnostics import InputError
from provisioner.mail_dns.dialogue import NO_ROWS, DnsAnswer, rows
from provisioner.model import Answer, DnsQuery
from provisioner.settings import DnsProvider
from provisioner.tenant import dns_messages
from provisioner.tenant.zones import READ, Standing, Zones

DNS = {
    DnsQuery("_dmarc.xn--mller-kva.example", "CNAME"): rows("mueller.vendor.example"),
    DnsQuery("xn--mller-kva.example", "SOA"): rows("ns.example admin.example 1 1 1 1 1"),
    DnsQuery("vendor.example", "SOA"): rows("ns.example admin.example 1 1 1 1 1"),
}


class Public:
    """What everybody sees."""

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        return DNS.get(query, NO_ROWS)

    async def query(self, query: DnsQuery) -> Answer:
        raise AssertionError(query)


@pytest.fixture
def zones() -> Zones:
    return Zones({"corp": DnsProvider(server="192.0.2.53", zones=("Müller.example.",))}, Public())


def test_a_zone_is_known_by_each_of_its_spellings(zones: Zones) -> None:
    place = asyncio.run(zones.place("corp", "xn--mller-kva.example", "TXT"))
    assert (place.zone, place.named) == ("xn--mller-kva.example", "corp")


def test_a_record_that_an_alias_takes_to_another_zone_names_both(zones: Zones) -> None:
    with pytest.raises(InputError) as raised:
        asyncio.run(zones.place("corp", "_dmarc.xn--mller-kva.example", "TXT"))
    (found,) = raised.value.diagnostics
    assert found.summary.startswith(
        "mueller.vendor.example, where _dmarc.xn--mller-kva.example leads to, is in the zone vendor"
    )
    assert "add vendor.example to dns.corp.zones" in (found.hint or "")


def test_a_wildcard_that_another_write_takes_from_a_name_meanwhile_is_no_record_of_it(
    zones: Zones, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The selector beside it is written between the two questions, and nothing is at the name any more."""
    asked: list[str] = []

    async def exchange(message: dns.message.Message, _: object) -> dns.message.Message:
        (question,) = message.question
        answer = dns.message.make_response(message)
        answer.flags |= dns.flags.AA
        if len(asked) < len(READ):
            answer.answer = [dns.rrset.from_text(question.name, 60, "IN", "CNAME", "parked.example.")]
        asked.append(str(question.name))
        return answer

    monkeypatch.setattr(dns_messages, "exchange", exchange)

    async def work() -> Standing:
        return await zones.standing(await zones.place("corp", "selector2._domainkey.xn--mller-kva.example", "CNAME"))

    assert asyncio.run(work()) == Standing([])
    assert any("selector2" not in name for name in asked)
