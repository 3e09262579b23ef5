"""RFC 7208 against a name server in memory: conformance suites, ours and the public one, and single cases."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from provisioner.mail_dns.spf import SpfResult, SpfSurvey, check_host, survey
from tests.mail_dns.name_server import TIMEOUT, NameServer, Zone, carry_on
from tests.recordings import recordings


def _zone(zonedata: dict[str, Any]) -> Zone:
    """The suite's zones: SPF stands for a TXT record too, unless the name has TXT records of its own."""
    zone: dict[str, list[tuple[str, Any]]] = {}
    for name, entries in zonedata.items():
        records: list[tuple[str, Any]] = []
        pairs = [(TIMEOUT, None) if entry == TIMEOUT else next(iter(entry.items())) for entry in entries]
        has_txt = any(kind == "TXT" for kind, _ in pairs)
        for kind, value in pairs:
            if kind == "SPF" and not has_txt:
                records.append(("TXT", value))
            elif kind != "SPF" and (kind, value) != ("TXT", "NONE"):
                records.append((kind, value))
        zone[name.lower()] = records
    return zone


CASES = [
    pytest.param(scenario, case, id=f"{file.id}-{name}")
    for file in recordings("dns/rfc7208-tests.yml")
    for scenario in yaml.load_all(file.values[0].read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    for name, case in scenario["tests"].items()
]


@pytest.fixture
def server() -> NameServer:
    return NameServer()


def check(server: NameServer, zone: Zone, ip: str, sender: str, helo: str = "mail.example.com") -> SpfResult:
    server.zone = zone
    server.asked.clear()
    dialogue = check_host(ip, sender, helo, receiver="mx.receiver.example", now=1_700_000_000)
    return carry_on(dialogue, server)


def look_round(server: NameServer, zone: Zone, domain: str) -> SpfSurvey:
    server.zone = zone
    return carry_on(survey(domain), server)


@pytest.mark.parametrize(("scenario", "case"), CASES)
def test_the_conformance_suite_gives_its_results(
    server: NameServer, scenario: dict[str, Any], case: dict[str, Any]
) -> None:
    result = check(server, _zone(scenario["zonedata"]), case["host"], case["mailfrom"] or "", str(case["helo"]))
    expected = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert result.result in expected, result
    if "explanation" in case:
        assert (result.explanation or "DEFAULT") == case["explanation"]


def txt(*texts: Any, **more: Any) -> list[tuple[str, Any]]:
    return [("TXT", text) for text in texts] + list(more.items())


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("V=SPF1 IP4:192.0.2.1 -ALL", "pass"),
        ("v=spf1 +ip4:192.0.2.0/31 -all", "pass"),
        ("v=spf1 ip4:192.0.2.2/31 -all", "fail"),
        ("v=spf1 ip4:192.000.2.1 -all", "permerror"),
        ("v=spf1 ip4:192.0.2.1/ -all", "permerror"),
        ("v=spf1 ip6:2001:db8::/32 ?all", "neutral"),
        ("v=spf1 ip6:fe80::1%eth0 -all", "permerror"),
        ("v=spf1 a/0 ~all", "softfail"),
        ("v=spf1 include:example.net/24 -all", "permerror"),
        ("v=spf1 include -all", "permerror"),
        ("v=spf1 exists -all", "permerror"),
        ("v=spf1 ptr/24 -all", "permerror"),
        ("v=spf1 include: example.net -all", "permerror"),
        ("v=spf1 redirect= ", "permerror"),
        ("v=spf1 exp= -all", "permerror"),
        ("v=spf1 -all exp=a.example exp=b.example", "permerror"),
        ("v=spf1 redirect=a.example redirect=a.example", "permerror"),
        ("v=spf1 -all accredit=%{z}", "permerror"),
        ("v=spf1 -all accredit=%{c}", "fail"),
        ("v=spf1 +accredit=x -all", "permerror"),
        ("v=spf1 exists:%{d0}.example -all", "permerror"),
        ("v=spf1 exists:%{d1R}.nowhere.example -all", "fail"),
        ("v=spf1 exists:%{d9999999999}.nowhere.example -all", "fail"),
        ("v=spf1 exists:%{d.-+,/_=}.nowhere.example -all", "fail"),
        ("v=spf1 exists:%{d;}.nowhere.example -all", "permerror"),
        ("v=spf1 exists:%{d}com -all", "permerror"),
        ("v=spf1 a:nowhere.example. -all", "fail"),
        ("v=spf1\tip4:192.0.2.1 -all", "none"),
        ("v=spf10 -all", "none"),
        (" v=spf1 -all", "none"),
        ("v=spf1", "neutral"),
        ("v=spf1  ", "neutral"),
        ("v=spf1 \tip4:192.0.2.1", "permerror"),
    ],
)
def test_the_grammar_of_a_record(server: NameServer, record: str, result: str) -> None:
    zone = {"example.com": txt(record), "example.net": txt("v=spf1 -all")}
    assert check(server, zone, "192.0.2.1", "a@example.com").result == result


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("v=spf1 ?all", "neutral"),
        ("v=spf1 +all", "pass"),
        ("v=spf1 ~all", "neutral"),
        ("v=spf1 -all", "neutral"),
        ("v=spf1 nonsense", "permerror"),
        ("no record at all", "permerror"),
    ],
)
def test_include_follows_its_table(server: NameServer, inner: str, outer: str) -> None:
    zone = {"example.com": txt("v=spf1 include:in.example"), "in.example": txt(inner)}
    assert check(server, zone, "192.0.2.1", "a@example.com").result == outer


def test_an_include_that_cannot_be_asked_for_is_a_temperror(server: NameServer) -> None:
    zone: Zone = {"example.com": txt("v=spf1 include:in.example +all"), "in.example": [(TIMEOUT, None)]}
    result = check(server, zone, "192.0.2.1", "a@example.com")
    assert (result.result, result.domain) == ("temperror", "in.example")


@pytest.mark.parametrize(("terms", "result"), [(10, "neutral"), (11, "permerror")])
def test_ten_terms_may_look_up_over_all_records_together(server: NameServer, terms: int, result: str) -> None:
    inner = " ".join(["a:host.example"] * (terms - 2))
    zone: Zone = {
        "example.com": txt("v=spf1 include:in.example a:host.example ip4:192.0.2.9"),
        "in.example": txt(f"v=spf1 {inner}"),
        "host.example": [("A", "192.0.2.2")],
    }
    assert check(server, zone, "192.0.2.1", "a@example.com").result == result


def test_an_eleventh_term_that_is_not_reached_does_no_harm(server: NameServer) -> None:
    zone = {"example.com": txt(f"v=spf1 ip4:192.0.2.1 {'a:host.example ' * 11}-all")}
    assert check(server, zone, "192.0.2.1", "a@example.com").result == "pass"


@pytest.mark.parametrize(("names", "result"), [(2, "fail"), (3, "permerror")])
def test_two_empty_answers_are_allowed(server: NameServer, names: int, result: str) -> None:
    terms = " ".join(f"{'a' if i % 2 else 'exists'}:nothing{i}.example" for i in range(names))
    zone = {"example.com": txt(f"v=spf1 {terms} -all"), "nothing0.example": txt("no address")}
    found = check(server, zone, "192.0.2.1", "a@example.com")
    assert (found.result, found.voids) == (result, names)


@pytest.mark.parametrize(("hosts", "result"), [(10, "pass"), (11, "permerror")])
def test_an_mx_term_takes_ten_hosts(server: NameServer, hosts: int, result: str) -> None:
    zone: dict[str, list[tuple[str, Any]]] = {"example.com": txt("v=spf1 mx -all")}
    for i in range(hosts):
        zone["example.com"].append(("MX", (i, f"mx{i}.example")))
        zone[f"mx{i}.example"] = [("A", f"192.0.2.{i + 1}")]
    assert check(server, zone, "192.0.2.10", "a@example.com").result == result


def _ptr_zone(record: str, names: int) -> Zone:
    zone: dict[str, list[tuple[str, Any]]] = {"example.com": txt(record)}
    zone["1.2.0.192.in-addr.arpa"] = [("PTR", f"host{i}.example.com") for i in range(names)]
    zone[f"host{names - 1}.example.com"] = [("A", "192.0.2.1")]
    return zone


def test_ptr_looks_at_the_first_ten_names_and_forgets_the_rest(server: NameServer) -> None:
    assert check(server, _ptr_zone("v=spf1 ptr -all", 10), "192.0.2.1", "a@example.com").result == "pass"
    assert check(server, _ptr_zone("v=spf1 ptr -all", 40), "192.0.2.1", "a@example.com").result == "fail"
    assert sum(query.type == "A" for query in server.asked) <= 10


def test_ptr_wants_a_whole_label(server: NameServer) -> None:
    zone: Zone = {
        "example.com": txt("v=spf1 ptr:other.example -all"),
        "1.2.0.192.in-addr.arpa": [("PTR", "another.example")],
        "another.example": [("A", "192.0.2.1")],
    }
    assert check(server, zone, "192.0.2.1", "a@example.com").result == "fail"


def test_a_ptr_that_cannot_be_asked_for_does_not_match(server: NameServer) -> None:
    zone: Zone = {"example.com": txt("v=spf1 ptr ~all"), "1.2.0.192.in-addr.arpa": [(TIMEOUT, None)]}
    assert check(server, zone, "192.0.2.1", "a@example.com").result == "softfail"


def test_a_redirect_takes_the_explanation_of_where_it_leads(server: NameServer) -> None:
    zone = {
        "example.com": txt("v=spf1 redirect=other.example exp=mine.example"),
        "other.example": txt("v=spf1 -all exp=why.%{d}"),
        "why.other.example": txt("%{s} from %{c} at %{r}, %{t}, not for %{o}%_%%"),
        "mine.example": txt("the wrong text"),
    }
    result = check(server, zone, "192.0.2.1", "ann@example.com")
    assert result.result == "fail"
    assert (
        result.explanation == "ann@example.com from 192.0.2.1 at mx.receiver.example, 1700000000, not for example.com %"
    )


def test_an_included_record_has_no_say_in_the_explanation(server: NameServer) -> None:
    zone = {
        "example.com": txt("v=spf1 include:in.example -all exp=mine.example"),
        "in.example": txt("v=spf1 -all exp=theirs.example"),
        "mine.example": txt("mine"),
        "theirs.example": txt("theirs"),
    }
    assert check(server, zone, "192.0.2.1", "a@example.com").explanation == "mine"


@pytest.mark.parametrize(
    "texts", [["two", "texts"], ["caf\xe9"], ["%"], ["%{x}"], ["a\ttab"], []], ids=lambda texts: repr(texts)
)
def test_a_broken_explanation_is_none_at_all(server: NameServer, texts: list[str]) -> None:
    zone = {"example.com": txt("v=spf1 -all exp=why.example"), "why.example": txt(*texts)}
    result = check(server, zone, "192.0.2.1", "a@example.com")
    assert (result.result, result.explanation) == ("fail", "")


def test_redirect_to_a_domain_without_a_record_is_a_permerror(server: NameServer) -> None:
    zone = {"example.com": txt("v=spf1 redirect=other.example"), "other.example": txt("something else")}
    assert check(server, zone, "192.0.2.1", "a@example.com").result == "permerror"


def test_two_records_are_a_permerror_and_other_text_is_none_of_our_business(server: NameServer) -> None:
    zone = {
        "example.com": txt("v=spf1 -all", "v=spf1 +all"),
        "example.net": txt("MS=ms1", "v=spf1 -all", "v=spf2.0/pra"),
    }
    assert check(server, zone, "192.0.2.1", "a@example.com").result == "permerror"
    assert check(server, zone, "192.0.2.1", "a@example.net").result == "fail"


def test_a_bounce_is_judged_by_its_helo(server: NameServer) -> None:
    zone: Zone = {"mail.example.com": txt("v=spf1 exists:%{l}.%{o}.seen.example -all")}
    zone = {**zone, "postmaster.mail.example.com.seen.example": [("A", "127.0.0.2")]}
    assert check(server, zone, "192.0.2.1", "").result == "pass"


def test_an_ipv4_address_in_ipv6_dress_is_ipv4(server: NameServer) -> None:
    zone = {"example.com": txt("v=spf1 ip6:::ffff:192.0.2.1 ip4:192.0.2.1 -all")}
    assert check(server, zone, "::ffff:192.0.2.1", "a@example.com").term == "ip4:192.0.2.1"


def test_a_domain_in_another_script_is_asked_for_in_its_ascii_form(server: NameServer) -> None:
    zone = {"xn--bcher-kva.example": txt("v=spf1 -all")}
    assert check(server, zone, "192.0.2.1", "a@bücher.example").result == "fail"


def test_a_record_longer_than_a_datagram_is_read(server: NameServer) -> None:
    terms = " ".join(f"ip4:198.51.100.{i % 250}" for i in range(120))
    zone = {"example.com": txt(f"v=spf1 {terms} ip4:192.0.2.1 -all")}
    assert check(server, zone, "192.0.2.1", "a@example.com").result == "pass"


def test_records_that_include_one_another_end(server: NameServer) -> None:
    zone = {"a.example": txt("v=spf1 include:b.example"), "b.example": txt("v=spf1 include:a.example")}
    assert check(server, zone, "192.0.2.1", "a@a.example").result == "permerror"
    found = look_round(server, zone, "a.example")
    assert found.problems == (("b.example", "include:a.example leads in a circle"),)


def test_a_survey_counts_what_nobody_may_reach(server: NameServer) -> None:
    zone: Zone = {
        "example.com": txt(
            "v=spf1 ip4:192.0.2.1 include:in.example mx a:gone.example exists:%{i}.x.example -all a:late.example"
        ),
        "in.example": txt("v=spf1 a:host.example redirect=end.example"),
        "end.example": txt("v=spf1 ip4:198.51.100.0/24 ~all"),
        "host.example": [("AAAA", "2001:db8::1")],
    }
    found = look_round(server, zone, "example.com")
    assert found.lookups == 6
    assert found.voids == ("mx of example.com", "a:gone.example of example.com")
    assert found.includes == {"in.example"}
    assert set(found.records) == {"example.com", "in.example", "end.example"}
    assert found.problems == ()


def test_a_survey_of_an_endless_zone_stops(server: NameServer) -> None:
    zone: Zone = {f"{i}.example": txt(f"v=spf1 include:{i + 1}.example a:{i}.host.example") for i in range(500)}
    found = look_round(server, zone, "0.example")
    assert found.lookups <= 62
    assert "60 or more terms need DNS lookups; 10 are allowed" in dict(found.problems)["0.example"]


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.300"):
        next(check_host("192.0.2.300", "a@example.com", "mail.example.com"))
