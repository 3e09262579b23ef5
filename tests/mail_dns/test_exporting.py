"""What is exported for several domains: each record once, in its zone, and other people's zones apart."""

from __future__ import annotations

from typing import Any

from provisioner.mail_dns.check import DomainReport, MailDomain, check_domain
from provisioner.mail_dns.exporting import Exported, export, names_of, zone_of
from tests.mail_dns.name_server import TIMEOUT, NameServer, carry_on

SPF = ("TXT", "v=spf1 include:spf.protection.outlook.com -all")
SOA = ("SOA", "ns.example. host.example. 1 1 1 1 1")


def exported(zone: dict[str, Any], *domains: str) -> Exported:
    server = NameServer()
    server.zone = {"spf.protection.outlook.com": [("TXT", "v=spf1 ip4:40.92.0.0/15 -all")], **zone}
    reports: list[DomainReport] = [carry_on(check_domain(MailDomain(d)), server) for d in domains]
    return export(reports, {name: carry_on(zone_of(name), server) for name in names_of(reports)})


def test_a_record_of_another_zone_takes_no_domain_with_it() -> None:
    found = exported(
        {
            "fabrikam.example": [SOA, ("MX", (0, "x.mail.protection.outlook.com")), SPF],
            "_dmarc.fabrikam.example": [("TXT", "v=DMARC1; p=reject; rua=mailto:d@agency.example")],
            "agency.example": [SOA, ("MX", (0, "mx.agency.example"))],
            "contoso.com": [SOA, ("TXT", "v=spf1 -all"), ("TXT", "MS=ms1")],
        },
        "fabrikam.example",
        "contoso.com",
    )
    assert [z.zone for z in found.zones] == ["contoso.com"]
    assert [(d, str(r)) for d, r in found.foreign] == [
        ("fabrikam.example", "fabrikam.example._report._dmarc.agency.example TXT v=DMARC1;")
    ]
    (contoso,) = found.zones
    assert [r.value for r in contoso.remove] == ["v=spf1 -all"]
    assert contoso.kept[("contoso.com", "TXT")] == ("MS=ms1",)


def test_a_question_that_failed_is_told_beside_the_export() -> None:
    found = exported(
        {"contoso.com": [SOA, ("TXT", "v=spf1 -all")], "_dmarc.contoso.com": [(TIMEOUT, None)]}, "contoso.com"
    )
    assert [finding.id for finding in found.unanswered] == ["DNS-UNANSWERED"]
    (contoso,) = found.zones
    assert not [record for record in contoso.publish if record.name.startswith("_dmarc")]


def test_two_records_of_one_purpose_never_arise() -> None:
    found = exported(
        {"contoso.com": [SOA, SPF, ("TXT", "v=DMARC1; p=reject"), ("TXT", "v=spf1 include:x.example ~all")]},
        "contoso.com",
    )
    (contoso,) = found.zones
    assert sorted(r.name for r in contoso.publish if r.type == "TXT") == ["_dmarc.contoso.com", "contoso.com"]
    assert [r.value for r in contoso.publish if r.name == "_dmarc.contoso.com"] == ["v=DMARC1; p=reject"]


def test_a_delegated_name_is_exported_for_its_own_zone() -> None:
    zone: dict[str, Any] = {
        "contoso.com": [SOA, SPF, ("MX", (0, "x.mail.protection.outlook.com"))],
        "sub.contoso.com": [SPF, ("MX", (0, "x.mail.protection.outlook.com"))],
        "_dmarc.contoso.com": [SOA],
    }
    found = exported(zone, "contoso.com", "sub.contoso.com")
    both = {z.zone: [str(r) for r in z.publish] for z in found.zones}  # one file for both domains
    assert both == {
        "_dmarc.contoso.com": ["_dmarc.contoso.com TXT v=DMARC1; p=none"],
        "contoso.com": ["_dmarc.sub.contoso.com TXT v=DMARC1; p=none"],
    }
    zone["contoso.com"] = zone["contoso.com"][:1]
    found = exported(zone, "contoso.com", "sub.contoso.com")
    assert [z.zone for z in found.zones] == ["_dmarc.contoso.com", "contoso.com"]
    assert not found.foreign
