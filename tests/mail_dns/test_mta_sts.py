"""MTA-STS policies: the file read as RFC 8461 says, and compared with the MX records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.mail_dns.mta_sts import Fetched, PolicyHost, admitting, parse_policy, record_id, sts_policy_findings

HOST = PolicyHost("contoso.com", "20260101", ("192.0.2.1",))
MX = ("contoso-com.mail.protection.outlook.com",)
ANY = "*.mail.protection.outlook.com"
GOOD = "version: STSv1\r\nmode: enforce\r\nmx: *.mail.protection.outlook.com\r\nmax_age: 604800\r\n"


def ids(text: str = GOOD, exchanges: tuple[str, ...] = MX, kind: str = "text/plain; charset=utf-8") -> list[str]:
    return [f.id for f in sts_policy_findings(HOST, exchanges, Fetched(200, kind, text))]


def test_a_policy_that_names_the_mx_hosts_is_in_order() -> None:
    assert ids() == ids(GOOD.replace("\r\n", "\n").strip()) == ids(GOOD.replace(": ", ":\t")) == []


@pytest.mark.parametrize(
    ("policy", "errors"),
    [
        (GOOD + "note: anything: at all\nmode: none\nversion: x\n", ()),  # the first counts
        (GOOD.replace("*.mail", "*.MAIL"), ()),
        ("version: STSv1\nmode: none\nmax_age: 0", ()),
        (GOOD.replace("version", "Version"), ("version must be STSv1",)),
        (GOOD.replace("STSv1", "stsv1"), ("version must be STSv1",)),
        (GOOD.replace("enforce", "Enforce"), ("mode must be enforce, testing or none",)),
        (GOOD.replace("mode:", "mode :"), ("line 2 is not NAME: VALUE", "mode must be enforce, testing or none")),
        (GOOD.replace("604800", "1w"), ("max_age must be a number of seconds",)),
        (GOOD.replace("604800", "31557601"), ("max_age must be at most 31557600 seconds",)),
        (GOOD.replace(ANY, "mail.*.com"), ('mx "mail.*.com" is not a host, nor *. and a domain',)),
        (GOOD.replace(ANY, "192.0.2.1"), ('mx "192.0.2.1" is not a host, nor *. and a domain',)),
        (GOOD.replace("mx:", "mxs:"), ("mx is missing",)),
    ],
)  # fmt: skip
def test_what_makes_a_policy_void(policy: str, errors: tuple[str, ...]) -> None:
    assert parse_policy(policy).errors == errors
    assert ("MTA-STS-POLICY-SYNTAX" in ids(policy)) is bool(errors)


def test_an_asterisk_stands_for_one_label() -> None:
    assert admitting("a.b.example") == {"a.b.example", "*.b.example"}
    for pattern, wrong in (("mail.protection.outlook.com", True), ("*.protection.outlook.com", True), (MX[0], False)):
        found = ids(GOOD.replace("*.mail.protection.outlook.com", pattern))
        assert ("MTA-STS-MX" in found) is wrong


def test_an_mx_host_that_is_not_named_is_an_error_where_the_policy_is_enforced() -> None:
    for mode, severity in (("enforce", "error"), ("testing", "warning")):
        policy = Fetched(200, "text/plain", GOOD.replace("enforce", mode))
        found = {f.id: f for f in sts_policy_findings(HOST, (*MX, "mx.gateway.example"), policy)}
        assert found["MTA-STS-MX"].severity == severity
        assert 'add the line "mx: mx.gateway.example"' in found["MTA-STS-MX"].hint
        assert "change the id of _mta-sts.contoso.com (now 20260101)" in found["MTA-STS-MX"].hint


def test_what_is_only_worth_a_word() -> None:
    assert ids(GOOD.replace("enforce", "testing")) == ["MTA-STS-TESTING"]
    assert ids(GOOD.replace("enforce", "none")) == ["MTA-STS-NONE"]
    assert ids(GOOD.replace("604800", "3600")) == ["MTA-STS-AGE"]
    assert ids(GOOD + "mx: old.example.com\n") == ["MTA-STS-MX-UNUSED"]
    assert ids(GOOD + "mx: old.example.com\n", exchanges=()) == [], "the MX records are not known"
    assert ids(GOOD + "id: 20250101\n") == ["MTA-STS-ID"]
    assert ids(kind="text/html") == ids(kind="") == ["MTA-STS-POLICY-SYNTAX"]


@pytest.mark.parametrize(
    ("fetched", "id_"),
    [
        (Fetched(failure="no answer within 20 s"), "MTA-STS-UNANSWERED"),
        (Fetched(503), "MTA-STS-UNANSWERED"),
        (Fetched(403), "MTA-STS-UNANSWERED"),
        (Fetched(404), "MTA-STS-POLICY-MISSING"),
        (Fetched(301, location="https://www.contoso.com/"), "MTA-STS-POLICY-REDIRECT"),
        (Fetched(200, "text/plain", too_large=True), "MTA-STS-POLICY-LARGE"),
    ],
)
def test_only_an_answer_is_concluded_from(fetched: Fetched, id_: str) -> None:
    (found,) = sts_policy_findings(HOST, MX, fetched)
    assert found.id == id_
    assert found.severity == "warning"
    assert ("nothing is concluded" in found.summary) is (id_ == "MTA-STS-UNANSWERED")


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (("v=STSv1; id=20260101;",), "20260101"),
        (("v=STSv1;id=1", "another text"), "1"),
        (("v=stsv1; id=1",), None),
        (("v=STSv1; id=2026-01-01",), None),
        (("v=STSv1; id=1", "v=STSv1; id=2"), None),
        ((), None),
    ],
)
def test_the_id_is_that_of_the_only_record(texts: tuple[str, ...], found: str | None) -> None:
    assert record_id(texts) == found


@given(st.text(alphabet="vmxode:sionSTv1 \t\r\n*.-enforce09", max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert all(f.summary and f.hint for f in sts_policy_findings(HOST, MX, Fetched(200, "text/plain", text)))


def test_a_hostile_policy_is_told_in_few_words() -> None:
    text = GOOD + "".join(f"mx: host-{n}.example.com\n" for n in range(5_000))
    (unused,) = sts_policy_findings(HOST, MX, Fetched(200, "text/plain", text))
    assert "and 4,995 more" in unused.summary
    assert len(unused.summary) < 500
    assert parse_policy("x" * 60_000 + ":" + " " * 60_000).errors
    assert len("".join(parse_policy(":\n" * 30_000).errors)) < 500
