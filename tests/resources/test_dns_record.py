"""What is published for a domain, what it leads to, and what of a live record stays."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from provisioner.mail_dns.spf_syntax import parse
from provisioner.model import Absent, Address, Answer, DnsQuery, DnsUpdate, Pending, Query, Send, ZoneQuery, overlay
from provisioner.resources.dns_record import DnsRecord, DnsRecordType, spf_term

KIND = DnsRecordType()
INCLUDE = "include:spf.protection.outlook.com"
TARGET = "selector1-contoso-com._domainkey.contoso.a-v1.dkim.mail.microsoft"


def declared(section: dict[str, object]) -> dict[str, DnsRecord]:
    return {d.key: d.spec for d in KIND.declare(section, "")}  # type: ignore[arg-type]


def read(
    wanted: DnsRecord,
    rows: Sequence[tuple[str, str]],
    targets: dict[str, str] | None = None,
    leads_to: Sequence[str] = (),
    above: dict[str, str] | None = None,
) -> DnsRecord | Absent:
    """What is decoded of a zone that has these records at the name, or gives them by a `wildcard`."""
    place = {"zone": "contoso.com", "name": "contoso.com", "spf_include": "spf.protection.outlook.com"}
    records = ({"type": kind, "value": value, "ttl_s": 300} for kind, value in rows if kind != "wildcard")
    wild = ({"wildcard": value} for kind, value in rows if kind == "wildcard")
    zone = Answer((place, *records, *wild, {"leads_to": tuple(leads_to)}))
    dkim = Answer(({"Domain": "contoso.com", **targets},) if targets else ())
    queries = KIND.queries({wanted.key: wanted}, False)

    def answer(query: Query) -> Answer:
        match query.request:
            case ZoneQuery():
                return zone
            case DnsQuery(name=name):
                text = (above or {}).get(name.removeprefix("_dmarc."))
                return Answer(({"value": text},) if text else ())
        return dkim

    answers = [(query, answer(query)) for query in queries]
    found = KIND.decode({wanted.key: wanted}, answers)[wanted.key]
    assert isinstance(found, DnsRecord | Absent)
    return found


def update(
    wanted: DnsRecord, rows: Sequence[tuple[str, str]], leads_to: Sequence[str] = (), **targets: str
) -> DnsUpdate | None:
    """The update that a plan leads to."""
    live = read(wanted, rows, targets, leads_to)
    known = live.known if isinstance(live, Absent) else live
    goal = KIND.meant(wanted, known)
    before = None if isinstance(live, Absent) else live
    steps = KIND.steps(before, goal if before is None else overlay(goal, before))
    if not steps:
        return None
    (step,) = steps
    assert isinstance(step, Send)
    assert isinstance(step.request, DnsUpdate)
    return step.request


def test_a_section_declares_each_record_that_it_publishes() -> None:
    found = declared(
        {"Contoso.COM": {"publish": ["dkim", "spf", "dmarc"], "provider": "corp",
                         "dmarc": {"policy": "reject", "reports": ["d@contoso.com", "e@contoso.com"]}}}
    )  # fmt: skip
    assert list(found) == [f"contoso.com/{p}" for p in ("dkim-selector1", "dkim-selector2", "spf", "dmarc")]
    assert found["contoso.com/dmarc"].tags == frozenset({"p=reject", "rua=mailto:d@contoso.com,mailto:e@contoso.com"})
    assert {spec.provider for spec in found.values()} == {"corp"}
    assert not declared({"contoso.com": {}})


@pytest.mark.parametrize(
    ("live", "add", "remove"),
    [
        ([], f"v=spf1 {INCLUDE} ip4:203.0.113.1 ~all", []),
        (["v=spf1 -all"], f"v=spf1 {INCLUDE} ip4:203.0.113.1 -all", ["v=spf1 -all"]),
        (["v=spf1 ip4:203.0.113.0/24 mx ?all"], f"v=spf1 ip4:203.0.113.0/24 mx {INCLUDE} ?all", None),
        (
            [f"v=spf1 {INCLUDE} ~all", "v=spf1 include:x.example -all"],
            f"v=spf1 {INCLUDE} include:x.example ip4:203.0.113.1 ~all",
            [f"v=spf1 {INCLUDE} ~all", "v=spf1 include:x.example -all"],
        ),
        ([f"V=SPF1 {INCLUDE.upper()} IP4:203.0.113.1 -ALL"], None, None),
        ([f"v=spf1 -{INCLUDE} ip4:203.0.113.1 -all"], f"v=spf1 -{INCLUDE} ip4:203.0.113.1 {INCLUDE} -all", None),
        ([f"v=spf1 ~all {INCLUDE} ip4:203.0.113.1"], f"v=spf1 {INCLUDE} ip4:203.0.113.1 ~all", None),
        (["v=spf1 redirect=_spf.contoso.com"], f"v=spf1 {INCLUDE} ip4:203.0.113.1 redirect=_spf.contoso.com", None),
    ],
)
def test_spf_is_extended(live: list[str], add: str | None, remove: list[str] | None) -> None:
    wanted = DnsRecord("contoso.com/spf", terms=frozenset({"ip4:203.0.113.1"}))
    found = update(wanted, [("TXT", text) for text in [*live, "MS=ms1"]])
    if add is None:
        assert found is None
        return
    assert found is not None
    assert (found.name, found.type, found.add) == ("contoso.com", "TXT", (add,))
    assert list(found.remove) == sorted(live if remove is None else remove)
    assert parse(add)


@pytest.mark.parametrize(
    ("live", "tags", "add"),
    [
        ([], [], "v=DMARC1; p=none"),
        ([], ["p=reject"], "v=DMARC1; p=reject"),
        (["v=DMARC1; p=none; rua=mailto:a@x.example"], [], None),
        (["v=DMARC1; p=none; fo=1; rua=mailto:a@x.io"], ["p=reject"], "v=DMARC1; p=reject; fo=1; rua=mailto:a@x.io"),
        (["v=DMARC1, p=reject, rua=mailto:a@x.example"], [], "v=DMARC1; p=reject; rua=mailto:a@x.example"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], [], "v=DMARC1; p=reject"),
    ],
)  # fmt: skip
def test_dmarc_keeps_what_the_plan_does_not_write(live: list[str], tags: list[str], add: str | None) -> None:
    wanted = DnsRecord("contoso.com/dmarc", tags=frozenset(tags))
    found = update(wanted, [("TXT", text) for text in live])
    assert (found is None) == (add is None)
    if found is not None and add is not None:
        left = {*live} - {*found.remove} | {*map(str, found.add)}
        assert left == {add}


def test_a_selector_that_reaches_its_target_through_an_alias_stays() -> None:
    wanted = DnsRecord("contoso.com/dkim-selector1")
    alias = [("CNAME", "s1.contoso.net")]
    assert update(wanted, alias, ["s1.contoso.net", TARGET], Selector1CNAME=TARGET) is None
    elsewhere = update(wanted, alias, ["s1.contoso.net", "park.example"], Selector1CNAME=TARGET)
    assert elsewhere is not None
    assert elsewhere.remove == ("s1.contoso.net",)


def test_a_record_beside_a_wildcard_keeps_what_the_wildcard_says() -> None:
    wild = [("wildcard", "v=DMARC1; p=reject; rua=mailto:a@x.example"), ("wildcard", "v=spf1 ip4:203.0.113.9 -all")]
    wanted = DnsRecord("contoso.com/dmarc", tags=frozenset())
    live = read(wanted, wild)
    assert isinstance(live, Absent)
    goal = overlay(KIND.meant(wanted, live.known), live.known)
    assert overlay(live.known, goal) == goal, "what is read again before a write leads to the same record"
    dmarc = update(wanted, wild)
    assert dmarc is not None
    assert (dmarc.add, dmarc.remove) == (("v=DMARC1; p=reject; rua=mailto:a@x.example",), ())
    spf = update(DnsRecord("contoso.com/spf", terms=frozenset()), wild)
    assert spf is not None
    assert (spf.add, spf.remove) == ((f"v=spf1 ip4:203.0.113.9 {INCLUDE} -all",), ())


@pytest.mark.parametrize(
    ("above", "tags", "value"),
    [
        ({"contoso.com": "v=DMARC1; p=reject"}, [], "v=DMARC1; p=reject"),
        ({"contoso.com": "v=DMARC1; p=reject; sp=quarantine"}, [], "v=DMARC1; p=quarantine"),
        ({"contoso.com": "v=DMARC1; p=reject", "eu.contoso.com": "v=DMARC1; p=none"}, [], "v=DMARC1; p=reject"),
        ({"contoso.com": "v=DMARC1; p=reject"}, ["p=none"], "v=DMARC1; p=none"),
        ({"contoso.com": "no policy"}, [], "v=DMARC1; p=none"),
    ],
)
def test_a_first_dmarc_record_keeps_the_policy_that_the_domain_inherits(
    above: dict[str, str], tags: list[str], value: str
) -> None:
    wanted = DnsRecord("mail.eu.contoso.com/dmarc", tags=frozenset(tags))
    live = read(wanted, [], above=above)
    assert isinstance(live, Absent)
    assert KIND.meant(wanted, live.known).values == frozenset({value})
    asked = [q.request.name for q in KIND.queries({wanted.key: wanted}, False) if isinstance(q.request, DnsQuery)]
    assert asked == ["_dmarc.eu.contoso.com", "_dmarc.contoso.com"]


def test_a_rollback_brings_a_text_back_in_its_strings() -> None:
    parts = frozenset({'["v=spf1 mx ", "-all"]'})
    before = DnsRecord("contoso.com/spf", values=frozenset({"v=spf1 mx -all"}), strings=parts)
    after = DnsRecord("contoso.com/spf", values=frozenset({f"v=spf1 mx {INCLUDE} -all"}))
    (back,) = KIND.steps(after, before)
    (there,) = KIND.steps(before, after)
    assert isinstance(back, Send)
    assert isinstance(there, Send)
    assert isinstance(back.request, DnsUpdate)
    assert isinstance(there.request, DnsUpdate)
    assert (back.request.strings, there.request.strings) == ((("v=spf1 mx ", "-all"),), ())
    deleted = read(DnsRecord("contoso.com/spf"), [("TXT", "v=spf1 mx -all"), ("TXT", "MS=ms1")])
    assert isinstance(deleted, DnsRecord)
    (again,) = KIND.steps(None, deleted)
    assert isinstance(again, Send)
    assert isinstance(again.request, DnsUpdate)
    assert again.request.ttl_s == 300  # as it was


def test_a_selector_gets_the_target_that_exchange_names_or_waits_for_it() -> None:
    wanted = DnsRecord("contoso.com/dkim-selector1")
    known = update(wanted, [], Selector1CNAME=f"{TARGET}.")
    assert known is not None
    assert (known.name, known.type, known.add) == ("selector1._domainkey.contoso.com", "CNAME", (TARGET,))
    assert KIND.early(wanted) == (Address("dkim", "contoso.com"),)
    pending = update(wanted, [])
    assert pending is not None
    assert pending.add == (Pending('dkim["contoso.com"]', "selector1_cname"),)
    (query,) = KIND.pending(wanted)
    resolved = KIND.resolved(wanted, [(query, Answer(({"Domain": "contoso.com", "Selector1CNAME": TARGET},)))])
    assert resolved is not None
    assert resolved.values == frozenset({TARGET})
    assert KIND.resolved(wanted, [(query, Answer())]) is None
    twice = Answer(tuple({"Domain": "contoso.com", "Selector1CNAME": f"{n}.{TARGET}", "Guid": n} for n in "ab"))
    assert KIND.resolved(wanted, [(query, twice)]) is None, "which of the two is meant cannot be told"
    foreign = DnsRecord("xn--bcher-kva.example/dkim-selector1")
    named = KIND.resolved(foreign, [(query, Answer(({"Domain": "Bücher.example", "Selector1CNAME": TARGET},)))])
    assert named is not None
    assert named.values == frozenset({TARGET})


def test_what_exists_is_only_replaced_with_a_guard() -> None:
    wanted = DnsRecord("contoso.com/dkim-selector1")
    foreign = read(wanted, [("CNAME", "mailer.example")], {"Selector1CNAME": TARGET})
    assert isinstance(foreign, DnsRecord)
    goal = overlay(KIND.meant(wanted, foreign), foreign)
    (guard,) = KIND.guards(foreign, goal)
    assert guard.rule == "DNS-OVERWRITE"
    assert "mailer.example" in guard.summary
    assert not list(KIND.guards(None, goal))
    text = read(wanted, [("TXT", "v=DKIM1; p=x")], {"Selector1CNAME": TARGET})
    assert isinstance(text, Absent)
    assert "no CNAME can stand beside" in text.reason


def test_only_what_the_zone_shows_is_observed() -> None:
    wanted = DnsRecord("contoso.com/spf", values=frozenset({f"v=spf1 {INCLUDE} ~all"}), terms=frozenset())
    assert isinstance(read(wanted, [("TXT", "MS=ms1")]), Absent)  # as after an update that a server ignored


def test_undoing_takes_back_exactly_what_was_there() -> None:
    """Two SPF records come back as two: `values` holds all."""
    wanted = DnsRecord("contoso.com/spf", terms=frozenset())
    live = ["v=spf1 -all", "v=spf1 mx ~all"]
    before = read(wanted, [("TXT", text) for text in live])
    assert isinstance(before, DnsRecord)
    goal = overlay(KIND.meant(wanted, before), before)
    (back,) = KIND.steps(goal, before)
    assert isinstance(back, Send)
    assert isinstance(back.request, DnsUpdate)
    assert (set(back.request.add), back.request.remove) == (set(live), tuple(goal.values or ()))
    assert KIND.meant(before, goal) == before


@pytest.mark.parametrize(
    ("network", "term"),
    [
        ("203.0.113.1/32", "ip4:203.0.113.1"),
        ("203.0.113.0/28", "ip4:203.0.113.0/28"),
        ("10.0.0.1", ""),
        ("2001:db8:1::/48", "ip6:2001:db8:1::/48"),
    ],
)
def test_egress_networks_become_terms(network: str, term: str) -> None:
    assert spf_term(network) == term


def remembered(*steps: tuple[list[str], list[str]]) -> str:
    def spec(values: list[str]) -> DnsRecord | None:
        return DnsRecord("contoso.com/dmarc", values=frozenset(values)) if values else None

    return KIND.remembered([(spec(before), spec(after)) for before, after in steps])


@pytest.mark.parametrize(
    ("known", "now", "then", "ours"),
    [
        (remembered(([], ["a"])), ["a"], ["b"], True),
        (remembered(([], ["a"])), ["a"], [], True),
        (remembered(([], ["a"]), (["a"], ["b"])), ["b"], [], True),
        (remembered(([], ["a"])), ["x"], ["b"], False),  # another person wrote it
        (remembered((["x"], ["xa"])), ["xa"], ["xb"], True),
        (remembered((["x"], ["xa"])), ["xa"], [], False),  # it has what others said before
        (remembered((["x"], ["xa"]), (["xa"], ["x"])), ["x"], ["xa"], False),  # a rollback gave it back
        (remembered((["x"], []), ([], ["a"])), ["a"], [], True),  # created from nothing since
        (remembered((["x"], []), ([], ["x"])), ["x"], [], False),  # a rollback gave it back
        (remembered(), ["a"], ["b"], False),
        ("", ["a"], ["b"], False),
        ('{"ours": 1}', ["a"], ["b"], False),
        ("[]", ["a"], ["b"], False),
    ],
)
def test_ours_is_what_our_runs_brought(known: str, now: list[str], then: list[str], ours: bool) -> None:
    after = DnsRecord("contoso.com/dmarc", values=frozenset(then)) if then else None
    assert KIND.is_ours(DnsRecord("contoso.com/dmarc", values=frozenset(now)), after, known) is ours
