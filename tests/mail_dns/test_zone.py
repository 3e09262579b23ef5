"""Records in each form; what can be read back is read back."""

from __future__ import annotations

import json
from pathlib import Path

import dns.rdatatype
import dns.zone
import yaml
from octodns.provider.yaml import YamlProvider
from octodns.zone import Zone

from provisioner.mail_dns.exporting import ZoneExport
from provisioner.mail_dns.findings import DnsRecord
from provisioner.mail_dns.zone import FORMS, dnscontrol, octodns, plain, zone_file

RECORDS = (
    DnsRecord("contoso.com", "TXT", "v=spf1 include:spf.protection.outlook.com -all"),
    DnsRecord("contoso.com", "MX", "0 contoso-com.mail.protection.outlook.com"),
    DnsRecord("_dmarc.contoso.com", "TXT", 'v=DMARC1; p=none; rua=mailto:"odd\\"@contoso.com'),
    DnsRecord("selector1._domainkey.contoso.com", "CNAME", "selector1-contoso-com._domainkey.x.dkim.mail.microsoft"),
    DnsRecord("long.contoso.com", "TXT", "x" * 700),
)

CONTOSO = ZoneExport(
    "contoso.com",
    RECORDS,
    (DnsRecord("contoso.com", "TXT", "v=spf1 -all"), DnsRecord("_old.contoso.com", "TXT", "x\ny")),
    {("contoso.com", "TXT"): ("MS=ms12345678", "site; verification")},
)


def test_a_zone_file_is_read_back_by_a_dns_library() -> None:
    text = zone_file(CONTOSO)
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
    text = octodns(CONTOSO)
    zone = yaml.safe_load(text)
    assert list(zone) == ["", "_dmarc", "long", "selector1._domainkey"]
    assert {entry["type"] for entry in zone[""]} == {"MX", "TXT"}
    texts = next(entry for entry in zone[""] if entry["type"] == "TXT")
    assert texts["values"] == ["MS=ms12345678", "site\\; verification", RECORDS[0].value]
    mx = next(entry for entry in zone[""] if entry["type"] == "MX")
    assert mx["values"] == [{"exchange": "contoso-com.mail.protection.outlook.com.", "preference": 0}]
    assert zone["_dmarc"]["value"] == RECORDS[2].value.replace(";", "\\;")
    assert zone["selector1._domainkey"]["value"].endswith("dkim.mail.microsoft.")


def test_dnscontrol_gets_quoted_arguments() -> None:
    text = dnscontrol(CONTOSO)
    assert '\nD_EXTEND("contoso.com",\n' in text
    assert '  MX("@", 0, "contoso-com.mail.protection.outlook.com.", TTL(3600))' in text
    assert r'TXT("_dmarc", "v=DMARC1; p=none; rua=mailto:\"odd\\\"@contoso.com", TTL(3600))' in text
    assert text.count("(") == text.count(")")


def test_what_is_to_be_removed_is_a_comment_of_one_line() -> None:
    assert '; remove: contoso.com. 3600 IN TXT "v=spf1 -all"\n' in zone_file(CONTOSO)
    assert '// remove: TXT("@", "v=spf1 -all", TTL(3600))\n' in dnscontrol(CONTOSO)
    assert "# Remove: _old.contoso.com TXT x\\010y\n" in octodns(CONTOSO)
    found = json.loads(plain(CONTOSO))
    assert [r["name"] for r in found["remove"]] == ["contoso.com", "_old.contoso.com"]
    assert found["kept"] == [{"name": "contoso.com", "type": "TXT", "values": ["MS=ms12345678", "site; verification"]}]


def test_the_real_octodns_loads_each_zone(tmp_path: Path) -> None:
    other = ZoneExport("fabrikam.com", (DnsRecord("_dmarc.fabrikam.com", "TXT", "v=DMARC1; p=none"),))
    for found in (CONTOSO, other):
        (tmp_path / f"{found.zone}.yaml").write_text(octodns(found))
    provider = YamlProvider("config", str(tmp_path), escaped_semicolons=True)
    zones = {name: Zone(f"{name}.", []) for name in ("contoso.com", "fabrikam.com")}
    for zone in zones.values():
        provider.populate(zone)
    loaded = {(r.name, r._type) for r in zones["contoso.com"].records}
    assert loaded == {
        ("", "MX"),
        ("", "TXT"),
        ("_dmarc", "TXT"),
        ("selector1._domainkey", "CNAME"),
        ("long", "TXT"),
    }
    (dmarc,) = zones["fabrikam.com"].records
    assert dmarc.values == ["v=DMARC1\\; p=none"]


def test_a_value_that_octodns_would_write_otherwise_is_told() -> None:
    kept = {("contoso.com", "TXT"): ("MS=ms1; x", 'said "yes"', "a\\b", "bücher"), ("contoso.com", "MX"): ("0 bücher",)}
    found = ZoneExport("contoso.com", (), (), kept)
    assert [value for _, value in FORMS["octodns"].lost(found)] == ['said "yes"', "a\\b", "bücher"]
    assert not list(FORMS["zone"].lost(found))


def test_names_and_values_cannot_break_out_of_their_field() -> None:
    hostile = ZoneExport("contoso.com", (DnsRecord("a\n$INCLUDE x.contoso.com", "TXT", "x\n; y\u0000"),))
    assert len(zone_file(hostile).splitlines()) == 2
    assert yaml.safe_load(octodns(hostile)) == {"a\n$INCLUDE x": {"ttl": 3600, "type": "TXT", "value": "x\n\\; y\0"}}
