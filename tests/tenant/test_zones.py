"""Which provider has a zone, and what is said where none has it."""

from __future__ import annotations

import asyncio

import pytest

from provisioner.diagnostics import InputError
from provisioner.mail_dns.dialogue import NO_ROWS, DnsAnswer, rows
from provisioner.model import Answer, DnsQuery
from provisioner.settings import DnsProvider
from provisioner.tenant.zones import Zones

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
