"""Records in the three forms; what can be read back is read back."""

from __future__ import annotations

import dns.rdatatype
import dns.zone
import pytest
import yaml

from provisioner.mail_dns.findings import DnsRecord
from provisioner.mail_dns.zone import dnscontrol, octodns, zone_file

RECORDS = (
    DnsRecord("contoso.com", "TXT", "v=spf1 include:spf.protection.outlook.com -all"),
    DnsRecord("contoso.com", "MX", "0 contoso-com.mail.protection.outlook.com"),
    DnsRecord("_dmarc.contoso.com", "TXT", 'v=DMARC1; p=none; rua=mailto:"odd\\"@contoso.com'),
    DnsRecord("selector1._domainkey.contoso.com", "CNAME", "selector1-contoso-com._domainkey.x.dkim.mail.microsoft"),
    DnsRecord("long.contoso.com", "TXT", "x" * 700),
)


def test_a_zone_file_is_read_back_by_a_dns_library() -> None:
    text = zone_file("contoso.com", RECORDS)
    soa = "contoso.com. 3600 IN SOA ns. host. 1 1 1 1 1\ncontoso.com. 3600 IN NS ns.\n"
    zone = dns.zone.from_text(text + soa, origin="contoso.com", relativize=False)
    found = {
        (name.to_text(True), dns.rdatatype.to_text(rdata.rdtype), _value(rdata))
        for name, _, rdata in zone.iterate_rdatas()
        if rdata.rdtype not in (dns.rdatatype.SOA, dns.rdatatype.NS)
    }
    assert found == {(r.name, r.type, r.value) for r in RECORDS}


def _value(rdata: object) -> str:
    strings = getattr(rdata, "strings", None)
    return b"".join(strings).decode() if strings is not None else str(rdata).removesuffix(".")


def test_octodns_gets_its_names_in_order_and_its_semicolons_escaped() -> None:
    text = octodns("contoso.com", RECORDS)
    zone = yaml.safe_load(text)
    assert list(zone) == ["", "_dmarc", "long", "selector1._domainkey"]
    assert {entry["type"] for entry in zone[""]} == {"MX", "TXT"}
    mx = next(entry for entry in zone[""] if entry["type"] == "MX")
    assert mx["values"] == [{"exchange": "contoso-com.mail.protection.outlook.com.", "preference": 0}]
    assert zone["_dmarc"]["value"] == RECORDS[2].value.replace(";", "\\;")
    assert zone["selector1._domainkey"]["value"].endswith("dkim.mail.microsoft.")


def test_dnscontrol_gets_quoted_arguments() -> None:
    text = dnscontrol("contoso.com", RECORDS)
    assert text.startswith('D_EXTEND("contoso.com",\n')
    assert '  MX("@", 0, "contoso-com.mail.protection.outlook.com.", TTL(3600))' in text
    assert r'TXT("_dmarc", "v=DMARC1; p=none; rua=mailto:\"odd\\\"@contoso.com", TTL(3600))' in text
    assert text.count("(") == text.count(")")


def test_names_and_values_cannot_break_out_of_their_field() -> None:
    hostile = DnsRecord("a\n$INCLUDE x.contoso.com", "TXT", "x\n; y\u0000")
    assert len(zone_file("contoso.com", [hostile]).splitlines()) == 2
    assert yaml.safe_load(octodns("contoso.com", [hostile])) == {
        "a\n$INCLUDE x": {"ttl": 3600, "type": "TXT", "value": "x\n\\; y\0"}
    }


def test_a_record_of_another_zone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fabrikam\.com is not in the zone contoso\.com"):
        octodns("contoso.com", [DnsRecord("fabrikam.com", "TXT", "x")])
