"""What one pass over a domain's DNS finds: published zones and records as other tools judge them, and cases of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from provisioner.mail_dns.check import DomainReport, MailDomain, check_domain
from provisioner.mail_dns.dialogue import DnsAnswer, Status, replay
from provisioner.mail_dns.findings import DnsFinding
from provisioner.mail_dns.mta_sts import PolicyHost
from provisioner.mail_dns.records import is_dmarc, parse_dmarc
from provisioner.mail_dns.spf_syntax import is_spf
from tests.mail_dns.name_server import TIMEOUT, NameServer, Zone, carry_on
from tests.recordings import entries

ZONES = "dns/zones.json"
EXCHANGE = {"spf.protection.outlook.com": [("TXT", "v=spf1 ip4:40.92.0.0/15 -all")]}
GOOD_MX = ("MX", (0, "contoso-com.mail.protection.outlook.com"))
TARGETS = {s: f"{s}-contoso-com._domainkey.contoso.a-v1.dkim.mail.microsoft" for s in ("selector1", "selector2")}


@pytest.fixture
def server() -> NameServer:
    return NameServer()


def look(server: NameServer, zone: dict[str, Any], wanted: MailDomain) -> DomainReport:
    server.zone = {**EXCHANGE, **zone}
    server.asked.clear()
    return carry_on(check_domain(wanted), server)


def contoso(**instead: Any) -> dict[str, Any]:
    """A domain with nothing wrong; a keyword replaces the TXT of a place (`spf`, `dmarc`) or whole names."""
    zone: dict[str, Any] = {
        "contoso.com": [GOOD_MX, ("TXT", instead.pop("spf", "v=spf1 include:spf.protection.outlook.com -all"))],
        "_dmarc.contoso.com": [("TXT", instead.pop("dmarc", "v=DMARC1; p=reject; rua=mailto:dmarc@contoso.com"))],
        **{f"{s}._domainkey.contoso.com": [("CNAME", target)] for s, target in TARGETS.items()},
    }
    return {**zone, **instead}


def finding(report: DomainReport, name: str) -> DnsFinding:
    return next(f for f in report.findings if f.id == name)


def _published(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The origin of a recorded zone, and its records for the name server."""
    origin = entry["zone"]["origin"]
    zone: dict[str, Any] = {}
    for record in entry["zone"]["records"]:
        name = origin if record["name"] == "@" else f"{record['name']}.{origin}"
        value: Any = record["value"].replace("…", "id=20260101T000000;")
        if record["type"] == "MX":
            preference, _, host = value.partition(" ")
            value = (int(preference), host)
        zone.setdefault(name, []).append((record["type"], value))
    return origin, zone


def _mx(zone: dict[str, Any], name: str) -> str:
    """The host of the first MX record of a name."""
    host = next(value[1] for kind, value in zone[name] if kind == "MX")
    return str(host).removesuffix(".")


@pytest.mark.parametrize("entry", entries(ZONES, "title", "root without DKIM"))
def test_a_published_zone_with_a_wildcard_lacks_dkim_at_its_root(server: NameServer, entry: dict[str, Any]) -> None:
    origin, zone = _published(entry)
    (sub,) = {name.removesuffix(f".{origin}") for name in zone if any(k == "MX" for k, _ in zone[name])} - {origin}
    wild = [("CNAME", "sites.webhost.example")]
    del zone[f"*.{origin}"]
    zone |= {f"{name}._domainkey.{origin}": wild for name in ("selector1", "selector2", "no-such-selector")}
    report = look(server, zone, MailDomain(origin))
    assert report.ids == {"DKIM-MISSING", "DKIM-WILDCARD", "DMARC-NONE", "DMARC-TAG", "DMARC-NO-REPORTS"}
    assert report.exchange_mx == _mx(zone, origin)
    below = look(server, zone, MailDomain(f"{sub}.{origin}"))
    assert below.ids == {"DMARC-INHERITED"}
    assert finding(below, "DMARC-INHERITED").summary.endswith(f"none of {origin} holds for it")


@pytest.mark.parametrize("entry", entries(ZONES, "title", "new SMTP DANE/DNSSEC style MX"))
def test_a_published_zone_with_the_new_names_is_all_right(server: NameServer, entry: dict[str, Any]) -> None:
    origin, zone = _published(entry)
    zone[f"{origin}._report._dmarc.example.com"] = [("TXT", "v=DMARC1")]
    zone["example.com"] = [("MX", (10, "mail.example.com"))]
    zone[f"mta-sts.{origin}"] = [("A", "192.0.2.1")]  # the recording has no addresses
    report = look(server, zone, MailDomain(origin))
    assert report.findings == ()
    assert report.exchange_mx == _mx(zone, origin)


@pytest.mark.parametrize("entry", entries(ZONES, "title", "classic target names"))
def test_a_zone_with_classic_targets_lacks_dmarc(server: NameServer, entry: dict[str, Any]) -> None:
    origin, zone = _published(entry)
    assert look(server, zone, MailDomain(origin)).ids == {"DMARC-MISSING"}


@pytest.mark.parametrize("entry", entries(ZONES, "title", "a guide's second MX"))
def test_the_submission_host_is_no_mx(server: NameServer, entry: dict[str, Any]) -> None:
    origin, zone = _published(entry)
    found = finding(look(server, zone, MailDomain(origin)), "MX-SUBMISSION-HOST")
    (preference,) = [value[0] for kind, value in zone[origin] if kind == "MX" and value[1] == "smtp.office365.com."]
    assert [str(r) for r in found.remove] == [f"{origin} MX {preference} smtp.office365.com"]


# --- record sets, ours and those of another checker ------------------------------------------------------------------

# Where the other checker only warns and the RFC leaves no doubt, or the set is about something else than the records.
STRICTER = {
    "testTextAfterExpValueWarns": "a word that is not a mechanism is a syntax error (RFC 7208, 4.6.1)",
    "testRedirectTargetDnsException": "the set's warning is our SPF-UNANSWERED or, as here without a zone, an error",
    "testDMARCCheckDmarcParseError": "p=invalid is an error of the record; the set expects it inside a result",
}
# Where the other checker refuses and the RFC does not: syntax errors after the version fall back to defaults (RFC 9989,
# 4.8; RFC 7489, 6.3), and a record without p is one of p=none (RFC 9989, 4.7), also in the view of its later versions.
LENIENT = {
    "testDMARCInvalidFoValue": "DMARC-TAG-VALUE",
    "testDMARCSyntaxError": "DMARC-TAG-VALUE",
    "testRFC9989InvalidTValue": "DMARC-TAG-VALUE",
    "fo is no word": "DMARC-TAG-VALUE",
    "t is no word": "DMARC-TAG-VALUE",
    "no policy": "DMARC-TAG",
    "testUnrelatedRecordRaises": "DMARC-TAG",
    "testUnrelatedRecordsBecomeUnverifiedDestination": "DMARC-TAG",
}
# What the mocked DNS of the set answered.
ELSEWHERE: Zone = {
    **{f"10.{i}.example.com": [("A", "192.0.2.1")] for i in range(3)},
    "_spf.salesforce.com": [("TXT", "v=spf1 exists:%{i}._spf.mta.salesforce.com -all")],
    "spf.constantcontact.com": [("TXT", "v=spf1 ip4:192.0.2.0/28 -all")],
    "_spf.elasticemail.com": [("TXT", "v=spf1 ip4:192.0.2.16/28 -all")],
    "servers.mcsv.net": [("TXT", "v=spf1 ip4:192.0.2.32/28 -all")],
    "_spf.google.com": [("TXT", "v=spf1 include:_netblocks.google.com include:_netblocks2.google.com ~all")],
    "_netblocks.google.com": [("TXT", "v=spf1 ip4:192.0.2.48/28 ~all")],
    "_netblocks2.google.com": [("TXT", "v=spf1 ip4:192.0.2.64/28 ~all")],
    "service-now.com": [("TXT", "v=spf1 ip4:192.0.2.80/28 -all")],
    "example.com._spf.example.com": [("TXT", "v=spf1 -all")],
    "example.com": [("A", "192.0.2.9")],
}
REFUSAL = {
    "SPFTooManyDNSLookups": {"SPF-LOOKUPS", "SPF-INCLUDED"},
    "SPFSyntaxError": {"SPF-SYNTAX", "SPF-SPACE"},
    "SPFError": {"SPF-MULTIPLE"},
    "SPFRecordNotFound": {"SPF-MISSING", "SPF-LOOKALIKE"},
    "SPFTooManyVoidDNSLookups": {"SPF-VOID"},
    "SPFRedirectLoop": {"SPF-INCLUDED"},
    "InvalidDMARCReportURI": {"DMARC-SYNTAX"},
    "InvalidDMARCTagValue": {"DMARC-SYNTAX"},
    "DMARCSyntaxError": {"DMARC-SYNTAX"},
    "MultipleDMARCRecords": {"DMARC-MULTIPLE"},
    "UnrelatedTXTRecordFoundAtDMARC": {"DMARC-SYNTAX"},
    "UnverifiedDMARCURIDestination": {"DMARC-SYNTAX"},
}
# Several records that the source tries one after the other, not together.
ONE_BY_ONE = {"testDMARCMixedFormatting", "testInvalidDMARCURI"}


@pytest.mark.parametrize("row", entries("dns/spf-dmarc-records.jsonl", "test"))
def test_record_sets_are_refused_and_accepted_as_elsewhere(server: NameServer, row: dict[str, Any]) -> None:
    sets = [[record] for record in row["records"]] if row["test"] in ONE_BY_ONE else [row["records"]]
    for records in sets:
        place = "_dmarc.example.com" if "test_dmarc.py" in row["source"] else "example.com"
        zone: dict[str, list[tuple[str, Any]]] = {name: list(entries) for name, entries in ELSEWHERE.items()}
        zone.setdefault(place, []).extend(("TXT", record) for record in records)
        if row["test"] == "testTooManyMxRecords":
            zone[place] += [("MX", (i, f"mx{i}.example.com")) for i in range(11)]
        wanted = MailDomain("example.com", spf_include="", receives=False)
        kind = "DMARC-" if place.startswith("_dmarc") else "SPF-"
        found = look(server, zone, wanted).findings
        errors = {f.id for f in found if f.severity == "error" and f.id.startswith(kind)}
        errors -= {"SPF-ALL-PASS"}
        if row["test"] in LENIENT:
            assert LENIENT[row["test"]] in {f.id for f in found}
            assert not errors, (records, errors)
        elif row["refused_as"]:
            assert errors & REFUSAL[row["refused_as"][0]], (records, errors)
        elif row["test"] in STRICTER:
            assert errors, records
        else:
            assert not errors, (records, errors)


# --- cases of ours ---------------------------------------------------------------------------------------------------


def test_nothing_is_found_where_nothing_is_wrong(server: NameServer) -> None:
    report = look(server, contoso(), MailDomain("contoso.com", dkim=TARGETS))
    assert report.findings == ()
    assert report.dkim == TARGETS
    assert (report.spf_lookups, report.exchange_mx) == (1, GOOD_MX[1][1])


def test_an_egress_address_that_spf_does_not_name_gets_the_exact_record(server: NameServer) -> None:
    wanted = MailDomain("contoso.com", egress=("203.0.113.10", "203.0.113.64/28", "40.92.1.1", "192.168.3.4"))
    report = look(server, contoso(), wanted)
    assert [f.id for f in report.findings] == ["SPF-IP-MISSING", "SPF-IP-MISSING"]
    assert [r.value for r in finding(report, "SPF-IP-MISSING").publish] == [
        "v=spf1 include:spf.protection.outlook.com ip4:203.0.113.10 ip4:203.0.113.64/28 -all"
    ]


@pytest.mark.parametrize(
    ("published", "name", "proposed"),
    [
        ("v=spf1 -all", "SPF-EXCHANGE-MISSING", "v=spf1 include:spf.protection.outlook.com -all"),
        (
            "v=spf1 ~all include:spf.protection.outlook.com",
            "SPF-EXCHANGE-MISSING",
            "v=spf1 include:spf.protection.outlook.com ~all",
        ),
        (
            "v=spf1 include: spf.protection.outlook.com -all",
            "SPF-SPACE",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1 include:spf.protection.outlook.com~all",
            "SPF-SYNTAX",
            "v=spf1 include:spf.protection.outlook.com ~all",
        ),
        (
            "v=spf1 include:spf.protection.outlook.com-all",
            "SPF-SYNTAX",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1 ip4=203.0.113.1 include:spf.protection.outlook.com -all",
            "SPF-EQUALS-SIGN",
            "v=spf1 ip4:203.0.113.1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1 a:203.0.113.1 include:spf.protection.outlook.com -all",
            "SPF-SYNTAX",
            "v=spf1 ip4:203.0.113.1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1 include:spf.protection.outlook.com +all",
            "SPF-ALL-PASS",
            "v=spf1 include:spf.protection.outlook.com ~all",
        ),
        (
            "v=spf1 include:spf.protection.outlook.com",
            "SPF-ALL-MISSING",
            "v=spf1 include:spf.protection.outlook.com ~all",
        ),
        (
            '"v=spf1 include:spf.protection.outlook.com -all"',
            "SPF-LOOKALIKE",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1include:spf.protection.outlook.com -all",
            "SPF-LOOKALIKE",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        (
            "\u201cv=spf1 include:spf.protection.outlook.com -all\u201d",
            "SPF-LOOKALIKE",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1\u00a0include:spf.protection.outlook.com -all",
            "SPF-LOOKALIKE",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1 include:spf.protection.outlook.com \u2013all",
            "SPF-SYNTAX",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1 include:spf.protection.outlook.com - all",
            "SPF-SYNTAX",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1 include:spf.protection.outlook.com -all.",
            "SPF-SYNTAX",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        (
            "v=spf1 include:spf.protection.outlook.com.com -all",
            "SPF-EXCHANGE-MISSING",
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
    ],
)
def test_a_wrong_spf_record_gets_the_right_one(server: NameServer, published: str, name: str, proposed: str) -> None:
    report = look(server, contoso(spf=published), MailDomain("contoso.com", dkim=TARGETS))
    assert finding(report, name).publish[0].value == proposed
    assert look(server, contoso(spf=proposed), MailDomain("contoso.com", dkim=TARGETS)).ids == frozenset()


@pytest.mark.parametrize(
    "published",
    [
        "v=spf1 ipv4:203.0.113.1 include:spf.protection.outlook.com -all",
        "v=spf1 include:spf.protection.outlook.com -all;",
        "v=spf1 include:spf.protection.outlook.com-all",
        "v=spf1 ip4:mail.contoso.com include:spf.protection.outlook.com -all",
    ],
)
def test_a_wrong_record_that_includes_exchange_is_not_said_to_lack_it(server: NameServer, published: str) -> None:
    """Nobody could follow the advice to add what is there."""
    assert look(server, contoso(spf=published), MailDomain("contoso.com", dkim=TARGETS)).ids == {"SPF-SYNTAX"}


def test_two_spf_records_become_one(server: NameServer) -> None:
    zone = contoso()
    zone["contoso.com"] = [GOOD_MX, ("TXT", "v=spf1 ip4:203.0.113.1 -all"), ("TXT", "v=spf1 include:old.example ~all")]
    found = finding(look(server, zone, MailDomain("contoso.com", dkim=TARGETS)), "SPF-MULTIPLE")
    assert found.publish[0].value == (
        "v=spf1 include:old.example ip4:203.0.113.1 include:spf.protection.outlook.com ~all"
    )
    assert len(found.remove) == 2


def test_strings_that_are_glued_without_a_space_are_told(server: NameServer) -> None:
    split = ["v=spf1 ip4:203.0.113.1", "include:spf.protection.outlook.com -all"]
    found = finding(look(server, contoso(spf=split), MailDomain("contoso.com")), "SPF-SPLIT")
    assert found.publish[0].value == " ".join(split)


@pytest.mark.parametrize(
    ("published", "name"),
    [
        ("v=spf1 include:spf.protection.outlook.com ptr -all", "SPF-PTR"),
        ("v=spf1 include:spf.protection.outlook.com ?all", "SPF-ALL-NEUTRAL"),
        ("v=spf1 include:spf.protection.outlook.com -all ip4:203.0.113.4", "SPF-AFTER-ALL"),
        ("v=spf1 include:spf.protection.outlook.com ip4:10.1.2.3 -all", "SPF-PRIVATE"),
        ("v=spf1 ip4:0.0.0.0/0 include:spf.protection.outlook.com -all", "SPF-ALL-PASS"),
        ("v=spf1 include:spf.protection.outlook.com include:gone.example -all", "SPF-INCLUDED"),
        ("v=spf1 include:spf.protection.outlook.com a:x.example a:y.example mx:z.example -all", "SPF-VOID"),
        ("v=spf1 include:spf.protection.outlook.com " + "a:contoso.com " * 10 + "-all", "SPF-LOOKUPS"),
    ],
)
def test_a_doubtful_spf_record_is_told(server: NameServer, published: str, name: str) -> None:
    assert name in look(server, contoso(spf=published), MailDomain("contoso.com", dkim=TARGETS)).ids


@pytest.mark.parametrize(
    ("there", "name"),
    [
        (("A", "192.0.2.1"), "DKIM-CNAME-MISSING"),
        (("TXT", "v=DKIM1; p=MIIB"), "DKIM-TXT"),
        (("CNAME", TARGETS["selector2"]), "DKIM-CNAME-SWAPPED"),
        (("CNAME", "selector1-contoso-com._domainkey.contoso.onmicrosoft.com"), "DKIM-CNAME-OLD"),
        (("CNAME", "selector1-contoso-com._domainkey.contoso.b-v1.dkim.mail.microsoft"), "DKIM-CNAME-OLD"),
        (("CNAME", "selector1-contoso-com._domainkey.fabrikam.onmicrosoft.com"), "DKIM-CNAME-FOREIGN"),
        (("CNAME", "selector1-contoso-com._domainkey.fabrikam.a-v1.dkim.mail.microsoft"), "DKIM-CNAME-FOREIGN"),
        (("CNAME", "selector1._domainkey.mailer.example"), "DKIM-CNAME-WRONG"),
        (("CNAME", "key.mailer.example"), "DKIM-CNAME-WRONG"),
    ],
)
def test_a_selector_that_is_not_as_exchange_wants_it(server: NameServer, there: tuple[str, str], name: str) -> None:
    zone = contoso(**{"selector1._domainkey.contoso.com": [there]})
    report = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert report.ids == {name}
    assert [str(r) for r in finding(report, name).publish] == [
        f"selector1._domainkey.contoso.com CNAME {TARGETS['selector1']}"
    ]


def test_the_initial_domain_needs_no_selectors_of_anybody(server: NameServer) -> None:
    """Microsoft signs for it, and nobody could publish anything below it."""
    zone = {"contoso.onmicrosoft.com": contoso()["contoso.com"]}
    report = look(server, zone, MailDomain("contoso.onmicrosoft.com", dkim=TARGETS))
    assert not [f for f in report.findings if f.id.startswith("DKIM")]


def test_case_and_trailing_dot_of_a_target_do_not_matter(server: NameServer) -> None:
    loud = {selector: f"{target.upper()}." for selector, target in TARGETS.items()}
    assert look(server, contoso(), MailDomain("contoso.com", dkim=loud)).findings == ()


@pytest.mark.parametrize(
    ("records", "ids"),
    [
        ([("MX", (10, "mx.gateway.example"))], {"MX-ELSEWHERE"}),
        ([GOOD_MX, ("MX", (32767, "ms64983159.msv1.invalid"))], set()),
        ([("MX", (32767, "ms64983159.msv1.invalid"))], {"MX-MISSING"}),
        ([GOOD_MX, ("MX", (20, "backup.example"))], {"MX-MIXED"}),
        ([("MX", (0, ""))], {"MX-NULL", "DMARC-REPORTS-LOST"}),
        ([], {"MX-MISSING"}),
        ([("MX", (0, "203.0.113.1"))], {"MX-ADDRESS", "MX-ELSEWHERE"}),
    ],
)
def test_mx_records_that_lead_elsewhere(server: NameServer, records: list[Any], ids: set[str]) -> None:
    zone = contoso()
    zone["contoso.com"] = [*records, ("TXT", "v=spf1 include:spf.protection.outlook.com -all")]
    assert look(server, zone, MailDomain("contoso.com", dkim=TARGETS)).ids == ids


def test_a_cname_at_the_top_is_told(server: NameServer) -> None:
    zone = contoso() | {"contoso.com": [("CNAME", "web.example")], "web.example": contoso()["contoso.com"]}
    assert look(server, zone, MailDomain("contoso.com", dkim=TARGETS)).ids == {"APEX-CNAME"}


@pytest.mark.parametrize(
    ("record", "ids"),
    [
        ("v=DMARC1; p=none; rua=mailto:a@contoso.com", {"DMARC-NONE"}),
        ("v=DMARC1; p=reject; t=y; rua=mailto:a@contoso.com", {"DMARC-TESTING"}),
        ("v=DMARC1; p=reject; sp=none; rua=mailto:a@contoso.com", {"DMARC-SUBDOMAINS"}),
        ("v=DMARC1; p=reject", {"DMARC-NO-REPORTS"}),
        ("v=DMARC1; p=reject; rua=mailto:a@elsewhere.example", {"DMARC-REPORTS-REFUSED", "DMARC-REPORTS-LOST"}),
        ("v=DMARC1; p=reject; np=none; rua=mailto:a@contoso.com", {"DMARC-SUBDOMAINS"}),
        ("v=DMARC1; p=reject; adkim=strict; rua=mailto:a@contoso.com", {"DMARC-TAG-VALUE"}),
        ("v=DMARC1; p=reject; rua=mailto:a@contoso.com!10m", {"DMARC-TAG"}),
        ("v=DMARC1; rua=mailto:a@contoso.com", {"DMARC-NONE", "DMARC-TAG"}),
        ("v = DMARC1 ; p = Reject ; rua=mailto:a@contoso.com", set()),
        ("V=DMARC1; P=reject; RUA=mailto:a@contoso.com", set()),
        ("v=Dmarc1; p=quarantine; rua=mailto:a@contoso.com", {"DMARC-SYNTAX"}),
        ("  v=DMARC1; p=quarantine; rua=mailto:a@contoso.com", {"DMARC-SYNTAX"}),
        ("v=DMARC1, p=reject", {"DMARC-SYNTAX"}),
        ("v=DMARC1; p=block; rua=mailto:a@contoso.com", {"DMARC-SYNTAX"}),
    ],
)
def test_dmarc_records(server: NameServer, record: str, ids: set[str]) -> None:
    assert look(server, contoso(dmarc=record), MailDomain("contoso.com", dkim=TARGETS)).ids == ids


OWNERS = "v=DMARC1; p=reject; rua=mailto:agg@contoso.com"


@pytest.mark.parametrize(
    ("broken", "meant"),
    [
        ("v=DMARC1, p=reject, rua=mailto:agg@contoso.com", OWNERS),
        ("v=DMARC1\\; p=reject\\; rua=mailto:agg@contoso.com", OWNERS),
        ("v=DMARC1; p=reject; rua=agg@contoso.com", OWNERS),
        ("rua=mailto:agg@contoso.com; v=DMARC1; p=reject", OWNERS),
        ("v=DMARC1 | p=reject | rua=mailto:agg@contoso.com", OWNERS),
        ('"v=DMARC1; p=reject; rua=mailto:agg@contoso.com"', OWNERS),
        ("v=Dmarc1; p=reject; rua=mailto:agg@contoso.com", OWNERS),
        ("v=DMARC1 p=reject rua=mailto:agg@contoso.com", OWNERS),
        ("dmarc1; p=reject; rua=mailto:agg@contoso.com", OWNERS),
        ("  v=DMARC1; p=reject; rua=mailto:agg@contoso.com", OWNERS),
        ("v=DMARC1; p=block; sp=reject; rua=mailto:agg@contoso.com", OWNERS.replace("reject", "none; sp=reject")),
        ("v=DMARC1; p=reject; p=none", "v=DMARC1; p=reject"),
        ("my dmarc", "v=DMARC1; p=none"),
    ],
)
def test_a_broken_dmarc_record_keeps_what_its_owner_wrote(server: NameServer, broken: str, meant: str) -> None:
    found = finding(look(server, contoso(dmarc=broken), MailDomain("contoso.com", dkim=TARGETS)), "DMARC-SYNTAX")
    assert [r.value for r in found.publish] == [meant]
    assert [r.value for r in found.remove] == [broken]  # with its spaces, and nowhere without them
    assert broken in found.summary or "is wrong" in found.summary


def test_no_report_address_is_invented(server: NameServer) -> None:
    zone = contoso(**{"_mta-sts.contoso.com": [("TXT", "v=STSv1; id=1")], "mta-sts.contoso.com": [("A", "192.0.2.1")]})
    del zone["_dmarc.contoso.com"]
    report = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert {"DMARC-MISSING", "TLS-RPT-MISSING"} <= report.ids
    assert [r.value for f in report.findings for r in f.publish] == ["v=DMARC1; p=none"]


def test_one_value_is_proposed_for_one_name_and_purpose(server: NameServer) -> None:
    zone = contoso()
    zone["contoso.com"] = [*zone["contoso.com"], ("TXT", "v=DMARC1; p=reject")]
    del zone["_dmarc.contoso.com"]
    report = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert [r.value for f in report.findings for r in f.publish] == ["v=DMARC1; p=reject"]


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ("ip4:40.92.0.0/15", "SPF-EXCHANGE-LISTED"),
        ("ip4:40.92.0.0/16", "SPF-EXCHANGE-MISSING"),
        ("?include:spf.protection.outlook.com", "SPF-EXCHANGE-MISSING"),
        ("include:spf.protection.office365.us", "SPF-EXCHANGE-CLOUD"),
        ("include:%{i}._ip.vali.example", ""),
        ("-all redirect=spf.protection.outlook.com", "SPF-AFTER-ALL"),
        ("redirect=_spf.contoso.com", ""),
        ("include:spf.protection.outlook.com ~all rr=e rp=40", ""),
    ],
)
def test_exchange_passes_or_not_by_evaluation(server: NameServer, listed: str, name: str) -> None:
    zone = contoso(spf=f"v=spf1 {listed}" + ("" if "all" in listed or "redirect" in listed else " -all"))
    zone |= {f"{ip}._ip.vali.example": [("TXT", "v=spf1 +all")] for ip in ("40.92.0.0", "40.93.255.255")}
    zone["_spf.contoso.com"] = [("TXT", "v=spf1 include:spf.protection.outlook.com -all")]
    zone["spf.protection.office365.us"] = [("TXT", "v=spf1 ip4:198.51.100.0/24 -all")]
    found = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert name in found.ids if name else not found.ids
    if name == "SPF-EXCHANGE-CLOUD":
        assert not any(f.publish for f in found.findings)
    if name == "SPF-AFTER-ALL":
        assert "remove one of the two" in finding(found, name).hint


def test_each_address_of_an_egress_network_has_to_pass(server: NameServer) -> None:
    spf = "v=spf1 include:spf.protection.outlook.com ip4:81.2.70.8/30 ip4:81.2.70.14/31 -all"
    report = look(server, contoso(spf=spf), MailDomain("contoso.com", egress=("81.2.70.8/29",), dkim=TARGETS))
    assert report.ids == {"SPF-IP-MISSING"}


def test_an_alias_as_mx_is_told_with_exchange_as_its_target(server: NameServer) -> None:
    zone = contoso(**{"mail-in.contoso.com": [("CNAME", GOOD_MX[1][1])]})
    zone["contoso.com"] = [("MX", (5, "mail-in.contoso.com")), *zone["contoso.com"][1:]]
    report = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert report.ids == {"MX-CNAME"}
    assert report.exchange_mx == GOOD_MX[1][1]


def test_a_selector_may_lead_to_its_target_by_an_alias(server: NameServer) -> None:
    zone = contoso(**{"selector1._domainkey.contoso.com": [("CNAME", "s1.alias.example")]})
    zone["s1.alias.example"] = [("CNAME", TARGETS["selector1"])]
    assert look(server, zone, MailDomain("contoso.com", dkim=TARGETS)).findings == ()
    assert look(server, zone, MailDomain("contoso.com")).findings == ()


def test_what_a_wildcard_answers_is_not_to_be_removed(server: NameServer) -> None:
    below = ("selector1._domainkey", "selector2._domainkey", "no-such-selector._domainkey")
    zone = contoso(**{f"{name}.contoso.com": [("CNAME", "parking.example")] for name in below})
    report = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert report.ids == {"DKIM-CNAME-MISSING", "DKIM-WILDCARD"}
    assert not any(f.remove for f in report.findings)
    names = ("_dmarc", "_mta-sts", "_smtp._tls", "_no-such-name")
    zone = contoso(**{f"{name}.contoso.com": [("TXT", "v=spf1 -all dmarc")] for name in names})
    report = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert report.ids == {"DMARC-MISSING", "TXT-WILDCARD"}
    assert not any(f.remove for f in report.findings)


def test_records_at_a_wrong_name_are_noticed(server: NameServer) -> None:
    zone = contoso(dmarc="v=spf1 -all", **{"_dmarc.contoso.com.contoso.com": [("TXT", "v=DMARC1; p=reject")]})
    assert look(server, zone, MailDomain("contoso.com", dkim=TARGETS)).ids == {
        "SPF-PLACE",
        "DMARC-MISSING",
        "NAME-DOUBLED",
    }


def test_a_record_behind_an_alias_is_proposed_where_the_alias_leads(server: NameServer) -> None:
    zone = contoso(**{"_dmarc.contoso.com": [("CNAME", "contoso.dmarc.example")]})
    zone["contoso.dmarc.example"] = [("TXT", "v=DMARC1, p=reject")]
    found = finding(look(server, zone, MailDomain("contoso.com", dkim=TARGETS)), "DMARC-SYNTAX")
    assert [str(r) for r in found.publish] == ["contoso.dmarc.example TXT v=DMARC1; p=reject"]
    assert [r.name for r in found.remove] == ["contoso.dmarc.example"]


def test_a_record_beside_a_wildcard_alias_is_proposed_at_its_own_name(server: NameServer) -> None:
    """`*.contoso.com CNAME park.example`: what were published where it leads would answer for every name."""
    parked = {name: [("CNAME", "park.example")] for name in ("_dmarc.contoso.com", "_no-such-name.contoso.com")}
    zone = contoso(**parked, **{"park.example": [("A", "192.0.2.1")]})
    found = finding(look(server, zone, MailDomain("contoso.com", dkim=TARGETS)), "DMARC-MISSING")
    assert [r.name for r in found.publish] == ["_dmarc.contoso.com"]


@pytest.mark.parametrize(
    ("records", "name"),
    [
        (["V=STSv1; id=1"], "MTA-STS-SYNTAX"),
        ([" v=STSv1; id=1"], "MTA-STS-SYNTAX"),
        (["v=stsv1; id=1"], "MTA-STS-SYNTAX"),
    ],
)
def test_versions_have_the_case_that_their_rfc_says(server: NameServer, records: list[str], name: str) -> None:
    zone = contoso(**{"_mta-sts.contoso.com": [("TXT", text) for text in records]})
    assert name in look(server, zone, MailDomain("contoso.com", dkim=TARGETS)).ids
    reports = contoso(**{"_smtp._tls.contoso.com": [("TXT", "v=TLSRPTV1; rua=mailto:a@contoso.com")]})
    assert "TLS-RPT-SYNTAX" in look(server, reports, MailDomain("contoso.com", dkim=TARGETS)).ids


def test_mta_sts_and_tls_rpt_are_read_where_they_are(server: NameServer) -> None:
    zone = contoso(**{"_mta-sts.contoso.com": [("TXT", "v=STSv1; id=2026-01-01")]})
    assert look(server, zone, MailDomain("contoso.com", dkim=TARGETS)).ids == {"MTA-STS-SYNTAX", "TLS-RPT-MISSING"}
    zone = contoso(**{"_mta-sts.contoso.com": [("TXT", "v=STSv1; id=20260101")]})
    found = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert found.ids == {"MTA-STS-HOST-MISSING", "TLS-RPT-MISSING"}
    assert found.policy_host is None
    zone["mta-sts.contoso.com"] = [("A", "192.0.2.1"), ("AAAA", "2001:db8::1")]
    found = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert found.policy_host == PolicyHost("contoso.com", "20260101", ("192.0.2.1", "2001:db8::1"))
    zone["mta-sts.contoso.com"] = [(TIMEOUT, None)]
    assert look(server, zone, MailDomain("contoso.com", dkim=TARGETS)).ids == {"DNS-UNANSWERED", "TLS-RPT-MISSING"}
    zone = contoso(**{"_smtp._tls.contoso.com": [("TXT", "v=TLSRPTv1; rua=tls@contoso.com")]})
    assert look(server, zone, MailDomain("contoso.com", dkim=TARGETS)).ids == {"TLS-RPT-SYNTAX"}


def test_silence_is_not_absence(server: NameServer) -> None:
    zone = contoso(**{"_dmarc.contoso.com": [(TIMEOUT, None)], "contoso.com": [GOOD_MX, (TIMEOUT, None)]})
    report = look(server, zone, MailDomain("contoso.com", egress=("203.0.113.1",), dkim=TARGETS))
    assert report.ids == {"DNS-UNANSWERED"}
    assert any("contoso.com TXT" in f.summary for f in report.findings)


def test_a_domain_that_is_not_there_has_one_finding(server: NameServer) -> None:
    report = replay(check_domain(MailDomain("nowhere.example")), lambda _: DnsAnswer(Status.NO_NAME))
    assert [f.id for f in report.findings] == ["DOMAIN-MISSING"]


def test_no_question_is_sent_twice(server: NameServer) -> None:
    look(server, contoso(), MailDomain("contoso.com", egress=("203.0.113.1", "203.0.113.2"), dkim=TARGETS))
    assert len(server.asked) == len(set(server.asked))


def test_every_proposed_record_is_itself_right(server: NameServer) -> None:
    wrong = [
        "v=spf1 include: x.example +all",
        "v=spf1 ipv4:203.0.113.1",
        "v=spf1 all",
        "spf1 mx -all",
        "v=spf1 mx, -all",
    ]
    for text in wrong:
        report = look(
            server, contoso(spf=text, dmarc="v=DMARC1; p=x"), MailDomain("contoso.com", egress=("203.0.113.9",))
        )
        for record in (r for f in report.findings for r in f.publish):
            if is_dmarc(record.value):
                assert not parse_dmarc(record.value).errors
            else:
                assert is_spf(record.value), record
                assert " +all" not in record.value


def test_every_finding_is_documented() -> None:
    room = Path(__file__).parents[2]
    source = "".join(path.read_text(encoding="utf-8") for path in (room / "provisioner" / "mail_dns").glob("*.py"))
    ids = set(re.findall(r'"((?:SPF|MX|DANE|DKIM|DMARC|TLS-RPT|MTA-STS|APEX|DNS|DOMAIN|NAME|TXT)-[A-Z-]+)"', source))
    ids |= {f"{kind}-{what}" for kind in ("MTA-STS", "TLS-RPT") for what in ("SYNTAX", "MULTIPLE")}
    documented = set(re.findall(r"`([A-Z-]+-[A-Z-]+)`", (room / "docs" / "mail-dns.md").read_text(encoding="utf-8")))
    guards = {"DANE-MX", "DANE-DNSSEC"}  # of the migration: rules, with pages of their own
    assert documented - {"MTA-STS"} == ids - {"MTA-STS", "TLS-RPT"} - guards


def test_a_null_mx_beside_another_is_taken_out_and_the_other_kept(server: NameServer) -> None:
    """RFC 7505, 3: the null MX is the only MX record of a domain that takes no mail."""
    report = look(
        server,
        {**contoso(), "contoso.com": [GOOD_MX, ("MX", (0, ".")), ("TXT", "v=spf1 -all")]},
        MailDomain("contoso.com"),
    )
    found = finding(report, "MX-NULL")
    assert [str(record) for record in found.remove] == ["contoso.com MX 0 ."]
    assert "beside" in found.summary
    assert "RFC 7505, 3" in found.summary


@pytest.mark.parametrize("rua", ["mailto:d@contoso.com", "mailto:d@parked.example"])
def test_reports_to_a_domain_with_a_null_mx_are_lost(server: NameServer, rua: str) -> None:
    zone = contoso(dmarc=f"v=DMARC1; p=reject; rua={rua}")
    zone["contoso.com"] = [("MX", (0, ".")), ("TXT", "v=spf1 -all")]
    zone["parked.example"] = [("MX", (0, "."))]
    zone["contoso.com._report._dmarc.parked.example"] = [("TXT", "v=DMARC1;")]
    report = look(server, zone, MailDomain("contoso.com"))
    assert rua.partition("@")[2] in finding(report, "DMARC-REPORTS-LOST").summary


NEW = "contoso-com.o-v1.mx.microsoft"


@pytest.mark.parametrize(
    ("hosts", "ids"),
    [
        ([NEW], set()),
        (["contoso-com.mail.protection.outlook.com", NEW], set()),
        (["contoso-com.mail.protection.outlook.com"], {"MX-OTHER-NAME"}),
        ([], {"MX-MISSING"}),
        (["mx.gateway.example"], {"MX-ELSEWHERE"}),
    ],
)
def test_mx_is_compared_with_the_host_that_exchange_names(server: NameServer, hosts: list[str], ids: set[str]) -> None:
    zone = contoso()
    zone["contoso.com"] = [*(("MX", (10, h)) for h in hosts), ("TXT", "v=spf1 include:spf.protection.outlook.com -all")]
    report = look(server, zone, MailDomain("contoso.com", dkim=TARGETS, mx_host=NEW))
    assert report.ids == ids
    assert report.exchange_mx == NEW
    if "MX-MISSING" in ids:
        assert [str(r) for r in finding(report, "MX-MISSING").publish] == [f"contoso.com MX 0 {NEW}"]
    for found in report.findings:
        assert NEW in f"{found.summary} {found.hint}"


def test_a_target_with_the_domain_behind_it_is_told_as_that(server: NameServer) -> None:
    """Panels of DNS put the domain behind a target that has no dot at its end."""
    glued = {f"{s}._domainkey.contoso.com": [("CNAME", f"{target}.contoso.com")] for s, target in TARGETS.items()}
    mx = ("MX", (0, f"{GOOD_MX[1][1]}.contoso.com"))
    zone = contoso(**{"contoso.com": [mx, ("TXT", "v=spf1 include:spf.protection.outlook.com -all")], **glued})
    report = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert report.ids == {"MX-ELSEWHERE", "DKIM-CNAME-WRONG"}
    assert (
        "which is contoso-com.mail.protection.outlook.com with contoso.com behind it"
        in finding(report, "MX-ELSEWHERE").summary
    )
    assert "the target with contoso.com behind it" in finding(report, "DKIM-CNAME-WRONG").summary
    assert all("with a dot at its end" in f.hint for f in report.findings)


def test_a_missing_policy_is_the_one_at_the_doubled_name(server: NameServer) -> None:
    record = "v=DMARC1; p=reject; rua=mailto:dmarc@contoso.com"
    zone = contoso(**{"_dmarc.contoso.com": [], "_dmarc.contoso.com.contoso.com": [("TXT", record)]})
    report = look(server, zone, MailDomain("contoso.com", dkim=TARGETS))
    assert report.ids == {"DMARC-MISSING", "NAME-DOUBLED"}
    assert [str(r) for r in finding(report, "DMARC-MISSING").publish] == [f"_dmarc.contoso.com TXT {record}"]


@pytest.mark.parametrize(
    ("published", "proposed"),
    [
        (
            "v=DMARC1; p=reject; rua=mailto:a@contoso.com;mailto:b@contoso.com",
            "p=reject; rua=mailto:a@contoso.com,mailto:b@contoso.com",
        ),
        ("v=DMARC1; p:reject; rua:mailto:a@contoso.com", "p=reject; rua=mailto:a@contoso.com"),
        ("v=DMARC1; p=reject; rua=mailto:a@contoso.com.", "p=reject; rua=mailto:a@contoso.com"),
        ("v=DMARC1; p=reject; rua=mailto:<a@contoso.com>", "p=reject; rua=mailto:a@contoso.com"),
        ("v=DMARC1; p=reject; rua=mailto:a@contoso.com -all", "p=reject; rua=mailto:a@contoso.com"),
        ("v=DMARC1;\u00a0p=reject; rua=mailto:a@contoso.com", "p=reject; rua=mailto:a@contoso.com"),
        ("v=DMARC1; p=quarentine; rua=mailto:a@contoso.com", "p=quarantine; rua=mailto:a@contoso.com"),
    ],
)
def test_a_wrong_dmarc_record_keeps_what_its_owner_meant(server: NameServer, published: str, proposed: str) -> None:
    report = look(server, contoso(dmarc=published), MailDomain("contoso.com", dkim=TARGETS))
    assert [r.value for r in finding(report, "DMARC-SYNTAX").publish] == [f"v=DMARC1; {proposed}"]
