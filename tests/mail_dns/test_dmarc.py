"""DMARC by RFC 9989 to 9991: each rule beside what is found, and what may not be found."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.mail_dns.dmarc import check_dmarc
from provisioner.mail_dns.findings import DnsFinding
from provisioner.model import DnsQuery
from tests.mail_dns.name_server import TIMEOUT, NameServer, carry_on

RUA = "rua=mailto:agg@contoso.com"
MX = {"contoso.com": [("MX", (0, "mx.contoso.com"))]}


def check(domain: str, records: dict[str, Any]) -> list[DnsFinding]:
    """The findings about a domain; a text is a TXT record."""
    server = NameServer()
    server.zone = {**MX, **{n: [("TXT", r)] if isinstance(r, str) else r for n, r in records.items()}}
    own: DnsAnswer = server.answer(DnsQuery(f"_dmarc.{domain}", "TXT"))
    return carry_on(check_dmarc(domain, own, DnsAnswer(own.status)), server)


def ids(found: list[DnsFinding]) -> set[str]:
    return {finding.id for finding in found}


@pytest.mark.parametrize(
    ("record", "expected", "words"),
    [
        # 4.7: t=y takes a policy back by one level, and does nothing to none.
        (f"v=DMARC1; p=reject; t=y; {RUA}", {"DMARC-TESTING"}, "receivers apply quarantine and not reject"),
        (f"v=DMARC1; p=quarantine; t=y; {RUA}", {"DMARC-TESTING"}, "receivers apply none and not quarantine"),
        # 4.10.1: a policy that cannot be read.
        (f"v=DMARC1; p=drop; {RUA}", {"DMARC-SYNTAX"}, "receivers act as for p=none"),
        (f"v=DMARC1; p=reject; np=drop; {RUA}", {"DMARC-SYNTAX"}, "receivers act as for p=none"),
        ("v=DMARC1; p=drop", {"DMARC-SYNTAX"}, "receivers ignore the record"),
        (f"v=DMARC1; {RUA}", {"DMARC-NONE", "DMARC-TAG"}, "it is taken as none"),
        ("v=DMARC1", {"DMARC-NONE", "DMARC-TAG", "DMARC-NO-REPORTS"}, "receivers ignore a record without p and rua"),
        # 4.7 and 4.10.2: a company that calls itself a public suffix.
        (f"v=DMARC1; p=reject; psd=y; {RUA}", {"DMARC-PSD"}, "an organization of its own"),
        (f"v=DMARC1; p=reject; psd=n; {RUA}", set(), ""),
        # 4.7 and 4.8: fo.
        (f"v=DMARC1; p=reject; fo=1; {RUA}", {"DMARC-TAG"}, "fo is ignored without ruf"),
        (f"v=DMARC1; p=reject; fo=1:d:s; ruf=mailto:f@contoso.com; {RUA}", set(), ""),
        (f"v=DMARC1; p=reject; fo=0:1; ruf=mailto:f@contoso.com; {RUA}", {"DMARC-TAG-VALUE"}, "each once"),
        (f"v=DMARC1; p=reject; fo=d:d; ruf=mailto:f@contoso.com; {RUA}", {"DMARC-TAG-VALUE"}, "each once"),
        # 4.7: URIs of other schemes are valid, and ignored by those who do not know them; reports need rua.
        (f"v=DMARC1; p=reject; {RUA},https://contoso.com/d", {"DMARC-TAG"}, "receivers need to know mailto: only"),
        ("v=DMARC1; p=reject; ruf=mailto:f@contoso.com", {"DMARC-NO-REPORTS"}, "rua"),
        (f"v=DMARC1; p=reject; {RUA}?subject=x", set(), ""),
        # A.6 and C.5.2: the removed tags.
        (f"v=DMARC1; p=reject; pct=20; {RUA}", {"DMARC-TAG"}, "write t=y to test the policy"),
        (f"v=DMARC1; p=reject; pct=100; rf=afrf; ri=86400; {RUA}", {"DMARC-TAG"}, "removed from DMARC"),
    ],
)
def test_the_tags_of_rfc_9989(record: str, expected: set[str], words: str) -> None:
    found = check("contoso.com", {"_dmarc.contoso.com": record})
    assert ids(found) == expected
    assert words in " ".join(f"{finding.summary} {finding.hint}" for finding in found)


def test_the_policy_of_the_organization_holds_and_not_that_of_a_name_between() -> None:
    above = {"_dmarc.contoso.com": f"v=DMARC1; p=reject; sp=quarantine; t=y; {RUA}"}
    between = {"_dmarc.eu.contoso.com": "v=DMARC1; p=none"}
    (found,) = check("mail.eu.contoso.com", {**above, **between})
    assert (found.id, found.summary.partition("; ")[2]) == ("DMARC-INHERITED", "none of contoso.com holds for it")
    (suffix,) = check("contoso.bank", {"_dmarc.bank": f"v=DMARC1; p=reject; psd=y; {RUA}"})
    assert suffix.summary.endswith("reject of bank holds for it")
    assert ids(check("eu.contoso.com", {"_dmarc.contoso.com": "v=DMARC1; p=drop"})) == {"DMARC-MISSING"}


def test_nothing_is_concluded_from_a_name_above_that_cannot_be_asked() -> None:
    """A first p=none of its own would replace the policy that it has by inheritance."""
    found = check("mail.contoso.com", {"_dmarc.contoso.com": [(TIMEOUT, None)]})
    assert ids(found) == {"DNS-UNANSWERED"}
    assert "_dmarc.contoso.com" in found[0].summary


def test_several_or_broken_records_name_the_policy_that_holds_in_their_place() -> None:
    above = {"_dmarc.contoso.com": f"v=DMARC1; p=reject; {RUA}"}
    two = [("TXT", "v=DMARC1; p=none"), ("TXT", "v=DMARC1; p=quarantine")]
    (several,) = check("eu.contoso.com", {**above, "_dmarc.eu.contoso.com": two})
    (broken,) = check("eu.contoso.com", {**above, "_dmarc.eu.contoso.com": "v=dmarc1; p=none"})
    assert (several.id, broken.id) == ("DMARC-MULTIPLE", "DMARC-SYNTAX")
    for found in (several, broken):
        assert found.summary.endswith("reject of contoso.com holds for it")


def test_words_about_subdomains_count_at_the_organization_only() -> None:
    """Section 4.7, sp: what a subdomain says about the names below it is not read."""
    record = f"v=DMARC1; p=reject; sp=none; {RUA}"
    apart = check("eu.contoso.com", {"_dmarc.eu.contoso.com": record, "_dmarc.contoso.com": record})
    assert ids(apart) == {"DMARC-TAG"}
    assert "sp and np of eu.contoso.com are ignored" in apart[0].summary
    alone = check("contoso.com", {"_dmarc.contoso.com": f"{record}; psd=n", "_dmarc.com": record})
    assert ids(alone) == {"DMARC-SUBDOMAINS"}


OTHER = {"other.example": [("MX", (0, "mx.other.example"))]}


@pytest.mark.parametrize(
    ("domain", "rua", "records", "refused"),
    [
        ("contoso.com", "other.example", {}, True),
        ("contoso.com", "other.example", {"contoso.com._report._dmarc.other.example": "v=DMARC1"}, False),
        ("contoso.com", "other.example", {"contoso.com._report._dmarc.other.example": "v=dmarc1"}, True),
        ("contoso.com", "other.example", {"contoso.com._report._dmarc.other.example": [(TIMEOUT, None)]}, False),
        # The agreement names an address at another host: no report at all; at its own host that one gets them.
        ("contoso.com", "other.example", {"contoso.com._report._dmarc.other.example": f"v=DMARC1; {RUA}"}, True),
        (
            "contoso.com",
            "other.example",
            {"contoso.com._report._dmarc.other.example": "v=DMARC1; rua=mailto:x@other.example"},
            False,
        ),
        # One organization by the walk: beside and above.
        ("eu.contoso.com", "us.contoso.com", {"_dmarc.contoso.com": "v=DMARC1; p=none"}, False),
        ("eu.contoso.com", "contoso.com", {"_dmarc.contoso.com": "v=DMARC1; p=none"}, False),
        ("contoso.com", "reports.contoso.com", {}, False),
        # Two: no policy above them, or one that says so.
        ("eu.contoso.com", "us.contoso.com", {}, True),
        ("eu.contoso.com", "contoso.com", {}, True),
        ("eu.contoso.com", "contoso.com", {"eu.contoso.com._report._dmarc.contoso.com": "v=DMARC1"}, False),
        ("contoso.com", "reports.contoso.com", {"_dmarc.reports.contoso.com": "v=DMARC1; psd=n"}, True),
        ("eu.contoso.com", "us.contoso.com", {"_dmarc.contoso.com": [(TIMEOUT, None)]}, False),
    ],
)
def test_reports_need_the_agreement_of_another_organization(
    domain: str, rua: str, records: dict[str, Any], refused: bool
) -> None:
    """RFC 9990, 4: the organizations are compared, and the record that agrees is read."""
    policy = {f"_dmarc.{domain}": f"v=DMARC1; p=reject; rua=mailto:agg@{rua}"}
    mail = {name: [("MX", (0, "mx.contoso.com"))] for name in ("us.contoso.com", "reports.contoso.com")}
    found = check(domain, {**OTHER, **mail, **policy, **records})
    assert ids(found) == ({"DMARC-REPORTS-REFUSED"} if refused else set())


def test_an_agreement_whose_name_would_be_too_long_cannot_be_given() -> None:
    long = ".".join(["a" * 63] * 3 + ["b" * 40, "example"])
    policy = {"_dmarc.contoso.com": f"v=DMARC1; p=reject; rua=mailto:agg@{long}"}
    (found,) = check("contoso.com", {**policy, long: [("MX", (0, "mx.contoso.com"))]})
    assert (found.id, found.publish) == ("DMARC-REPORTS-REFUSED", ())
    assert "shorter" in found.hint
