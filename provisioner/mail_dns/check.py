"""One pass over the mail records of one domain: what is asked, and what the answers amount to.

`check_domain` is a dialogue (see `dialogue`): the first questions go out together, then what SPF leads to, then what
the first answers made necessary. The same question may come up twice; anyone who answers ought to remember.
DKIM targets are Exchange's own words, given from outside: they cannot be computed (they hold a letter and a hash of
Microsoft's choosing).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.mail_dns.dialogue import NO_ROWS, Answers, Dialogue, DnsAnswer, Status, ask
from provisioner.mail_dns.findings import ERROR, INFO, WARNING, DnsFinding, DnsRecord
from provisioner.mail_dns.mta_sts import Fetched, PolicyHost, record_id, sts_policy_findings
from provisioner.mail_dns.policy_findings import (
    dmarc_findings,
    policy_of,
    report_findings,
    transport_findings,
    undeliverable_reports,
)
from provisioner.mail_dns.records import Dmarc, MailExchange, is_dmarc, is_mta_sts, is_tls_rpt, parse_mx
from provisioner.mail_dns.spf import SpfSurvey, check_host, networks, survey
from provisioner.mail_dns.spf_findings import Passing, is_internal, spf_findings
from provisioner.mail_dns.spf_syntax import Network, SpfSyntaxError, is_spf, parse
from provisioner.mail_dns.tlsa import Protection, protection
from provisioner.model import DnsQuery
from provisioner.model.clouds import CLOUDS, INITIAL_SUFFIXES, MX_SUFFIXES, TAKES_NO_MAIL

SELECTORS = ("selector1", "selector2")
_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_MICROSOFT_TARGET = re.compile(
    r"\._domainkey\.([^.]+)\.(?:onmicrosoft\.com|onmicrosoft\.us|partner\.onmschina\.cn|[^.]+\.dkim\.mail\.microsoft)$"
)


@dataclass(frozen=True, slots=True)
class MailDomain:
    """What is expected of one domain.

    `egress`: addresses or networks that relay or send direct in its name. `dkim`: the CNAME targets that Exchange
    names, by selector (`selector1`, `selector2`); None where they are not known. `spf_include` stands for Exchange, ""
    when the domain never sends through it. `receives`: its mail is meant to arrive in this tenant. `mx_host` is the
    endpoint that Exchange names for its mail (Graph, serviceConfigurationRecords), "" where it is not known.
    """

    domain: str
    egress: tuple[str, ...] = ()
    dkim: Mapping[str, str] | None = None
    spf_include: str = CLOUDS["worldwide"].spf_include
    receives: bool = True
    mx_host: str = ""


@dataclass(frozen=True, slots=True)
class DomainReport:
    """What was found. `exchange_mx` is the host that relay and direct send have to speak to: the one that Exchange
    names, else the one in MX; "" where neither names one.

    `policy_host` is where the MTA-STS policy is to be fetched; None for a domain without MTA-STS. `dane` is what the
    TLSA records of its MX hosts do. `published` are the
    MX, TXT and CNAME values that were read, by the name at which they are published and the type.
    """

    domain: str
    findings: tuple[DnsFinding, ...] = ()
    mx: tuple[MailExchange, ...] = ()
    exchange_mx: str = ""
    spf: str = ""
    spf_lookups: int = 0
    dmarc: Dmarc | None = None
    dkim: Mapping[str, str] = field(default_factory=dict)
    policy_host: PolicyHost | None = None
    dane: Protection = Protection.NONE
    published: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(finding.id for finding in self.findings)


def check_domain(wanted: MailDomain) -> Dialogue[DomainReport]:
    """Ask everything about one domain and say what is wrong. Failed questions become findings, never "absent"."""
    domain = wanted.domain.lower().removesuffix(".")
    first = _first_questions(domain)
    answers: Answers = yield tuple(first.values())
    named = {what: answers[question] for what, question in first.items()}
    if named["MX"].status is Status.NO_NAME and named["TXT"].status is Status.NO_NAME:
        return DomainReport(domain, (_no_name(domain),))
    findings = list(_unanswered(domain, first, named))
    findings += _apex(domain, named["CNAME"])
    told, found = yield from _without_wildcards(domain, named)
    named |= told
    findings += found
    exchanges, found = yield from _exchanges(domain, named["MX"])
    findings += found
    findings += _mx_findings(wanted, domain, exchanges, named["MX"])
    looked = yield from survey(domain)
    uncovered = yield from _uncovered(wanted, domain, named["TXT"], looked)
    passing = yield from _passing(domain, wanted.spf_include, looked)
    findings += spf_findings(domain, named["TXT"], looked, uncovered, wanted.spf_include, passing)
    findings += yield from _dkim(domain, wanted.dkim, named)
    inherited = yield from _inherited(domain, named["_dmarc"])
    findings += dmarc_findings(domain, named["_dmarc"], inherited, named["TXT"])
    policy = policy_of(named["_dmarc"])
    if policy is not None:
        findings += yield from _reports(domain, policy)
    findings += transport_findings(domain, named["_mta-sts"], named["_smtp._tls"])
    policy_host, found = yield from _policy_host(domain, named["_mta-sts"])
    findings += found
    dane, found = yield from protection(domain, [mx.host for mx in exchanges], named["MX"])
    findings += found
    findings += yield from _doubled(domain, findings)
    moved = yield from _aliases(findings)
    return DomainReport(
        domain,
        _worst_first(_moved(finding, moved) for finding in findings),
        exchanges,
        wanted.mx_host or next((mx.host for mx in exchanges if at_exchange(mx.host)), ""),
        next((text for text in named["TXT"].values if is_spf(text)), ""),
        looked.lookups,
        policy,
        {selector: named[selector].values[0] for selector in SELECTORS if named[selector].values},
        policy_host,
        dane,
        {(moved.get(q.name, q.name), q.type): named[what].values for what, q in first.items() if named[what].values},
    )


def with_policy(report: DomainReport, fetched: Fetched) -> DomainReport:
    """The report with what is wrong with the MTA-STS policy of its `policy_host`, if it has one."""
    if report.policy_host is None:
        return report
    hosts = [mx.host for mx in report.mx if mx.host and not _is_address(mx.host)]
    found = sts_policy_findings(report.policy_host, hosts, fetched)
    return dataclasses.replace(report, findings=_worst_first([*report.findings, *found]))


def _worst_first(findings: Iterable[DnsFinding]) -> tuple[DnsFinding, ...]:
    return tuple(sorted(findings, key=lambda f: (ERROR, WARNING, INFO).index(f.severity)))


def at_exchange(host: str) -> bool:
    """Whether this MX host is Microsoft's. The part in front is not the domain with dashes: it can carry a suffix."""
    return host.endswith(MX_SUFFIXES) and host not in TAKES_NO_MAIL


def _first_questions(domain: str) -> dict[str, DnsQuery]:
    questions = {kind: DnsQuery(domain, kind) for kind in ("MX", "TXT", "CNAME")}
    questions |= {below: DnsQuery(f"{below}.{domain}", "TXT") for below in ("_dmarc", "_mta-sts", "_smtp._tls")}
    return questions | {s: DnsQuery(f"{s}._domainkey.{domain}", "CNAME") for s in SELECTORS}


def _no_name(domain: str) -> DnsFinding:
    return DnsFinding(
        "DOMAIN-MISSING",
        ERROR,
        domain,
        f"{domain} is not in DNS at all",
        "register or delegate it, or correct its name",
    )


def _unanswered(
    domain: str, questions: Mapping[str, DnsQuery], answers: Mapping[str, DnsAnswer]
) -> Iterable[DnsFinding]:
    for what, answer in answers.items():
        if answer.failed:
            yield DnsFinding(
                "DNS-UNANSWERED",
                WARNING,
                domain,
                f"{questions[what]} cannot be had: {answer.reason or 'no answer'}; nothing is concluded from it",
                "ask again, or ask another resolver",
            )


def _apex(domain: str, cname: DnsAnswer) -> Iterable[DnsFinding]:
    if cname.values:
        yield DnsFinding(
            "APEX-CNAME",
            ERROR,
            domain,
            f"{domain} is a CNAME to {cname.values[0]}: its MX and TXT records are then those of that name",
            "use A and AAAA records (or your provider's ALIAS) at the top of a domain",
            (),
            (DnsRecord(domain, "CNAME", cname.values[0]),),
        )


def _exchanges(domain: str, answer: DnsAnswer) -> Dialogue[tuple[tuple[MailExchange, ...], list[DnsFinding]]]:
    """The MX hosts in their order, the target in the place of an alias, and what is wrong with an alias."""
    exchanges: list[MailExchange] = []
    findings: list[DnsFinding] = []
    for mx in sorted(map(parse_mx, answer.values), key=lambda mx: (mx.preference, mx.host)):
        named = mx.host and not _is_address(mx.host) and not at_exchange(mx.host) and mx.host not in TAKES_NO_MAIL
        chain = (yield from _alias(mx.host)) if named else ()
        exchanges.append(dataclasses.replace(mx, host=chain[-1]) if chain else mx)
        if chain:
            findings.append(_mx_alias(domain, mx, chain[-1]))
    return tuple(exchanges), findings


def _mx_alias(domain: str, mx: MailExchange, target: str) -> DnsFinding:
    return DnsFinding(
        "MX-CNAME",
        WARNING,
        domain,
        f"the MX host {mx.host} is a CNAME to {target}; an MX record must not name an alias (RFC 2181, 10.3)",
        f"name {target} in the MX record",
        (DnsRecord(domain, "MX", f"{mx.preference} {target}"),),
        (DnsRecord(domain, "MX", f"{mx.preference} {mx.host}"),),
    )


def _mx_findings(
    wanted: MailDomain, domain: str, exchanges: tuple[MailExchange, ...], answer: DnsAnswer
) -> Iterable[DnsFinding]:
    there = {mx: DnsRecord(domain, "MX", f"{mx.preference} {mx.host or '.'}") for mx in exchanges}
    for mx in exchanges:
        if mx.host in TAKES_NO_MAIL:
            yield DnsFinding(
                "MX-SUBMISSION-HOST",
                ERROR,
                domain,
                f"{mx.host} takes logins, not mail for {domain}: what goes there is lost",
                "take this MX record out",
                (),
                (there[mx],),
            )
        elif _is_address(mx.host):
            summary = f"MX names the address {mx.host}; it must name a host"
            yield DnsFinding("MX-ADDRESS", ERROR, domain, summary, "name a host", (), (there[mx],))
    if not wanted.receives or answer.failed:
        return
    hosts = [mx.host for mx in exchanges if mx.host not in TAKES_NO_MAIL]
    yield from _where_mail_goes(wanted, domain, hosts, tuple(there[mx] for mx in exchanges if not mx.host))


def _where_mail_goes(
    wanted: MailDomain, domain: str, hosts: Sequence[str], null: tuple[DnsRecord, ...]
) -> Iterable[DnsFinding]:
    """Whether mail for the domain reaches Exchange. `hosts` may take mail, `null` are its null MX records."""
    hint = f"publish {domain} MX 0 {wanted.mx_host}, which Exchange names" if wanted.mx_host else _UNKNOWN_MX
    record = (DnsRecord(domain, "MX", f"0 {wanted.mx_host}"),) if wanted.mx_host else ()
    named = ", ".join(hosts)
    if null and any(hosts):
        what = f"{domain} has a null MX beside other MX records: senders may take it for a domain without mail"
        yield DnsFinding("MX-NULL", ERROR, domain, f"{what} (RFC 7505, 3)", "take the null MX out", (), null)
    elif null:
        what = f"the MX record of {domain} says that it takes no mail (null MX)"
        yield DnsFinding("MX-NULL", WARNING, domain, what, hint, record, null)
    elif not hosts:
        yield DnsFinding("MX-MISSING", WARNING, domain, f"{domain} has no MX record that takes mail", hint, record)
    elif not any(map(at_exchange, hosts)):
        what = f"mail for {domain} goes to {named}, not to Microsoft: relay and direct send cannot use MX"
        endpoint = wanted.mx_host or "the endpoint that the admin centre shows for the domain"
        yield DnsFinding("MX-ELSEWHERE", WARNING, domain, what, f"point devices to {endpoint}, not to MX")
    elif not all(map(at_exchange, hosts)):
        others = ", ".join(host for host in hosts if not at_exchange(host))
        what = f"{others} stands beside Microsoft's MX: a part of the mail goes there"
        yield DnsFinding("MX-MIXED", WARNING, domain, what, "keep Microsoft's alone, unless a gateway is meant")
    if wanted.mx_host and any(map(at_exchange, hosts)) and wanted.mx_host not in hosts:
        what = f"MX of {domain} names {named}; Exchange names {wanted.mx_host} for its mail"
        fix = f"publish {wanted.mx_host} beside it, test that mail arrives, then take the other out (inbound-dane.md)"
        yield DnsFinding("MX-OTHER-NAME", WARNING, domain, what, fix)


_UNKNOWN_MX = "publish the MX record that the admin centre shows for the domain; its name cannot be computed"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# --- names -----------------------------------------------------------------------------------------------------------

_BELOW = ("_dmarc", "_mta-sts", "_smtp._tls")
_LONGEST_CHAIN = 8


def _alias(name: str) -> Dialogue[tuple[str, ...]]:
    """The chain of CNAMEs that a name leads along; () for a name that is none, or whose chain does not end."""
    chain: list[str] = []
    while len(chain) < _LONGEST_CHAIN:
        answer = yield from ask(chain[-1] if chain else name, "CNAME")
        if not answer.values:
            return tuple(chain)
        target = answer.values[0].lower().removesuffix(".")
        if target in {name, *chain}:
            return ()
        chain.append(target)
    return ()


def _without_wildcards(
    domain: str, named: Mapping[str, DnsAnswer]
) -> Dialogue[tuple[Mapping[str, DnsAnswer], list[DnsFinding]]]:
    """The answers that are to be read without TXT values that a wildcard gives to every name, and what that is called.

    They are not at that name: nothing there can be removed. A policy that a wildcard gives counts, as receivers see it.
    """
    odd = [w for w in _BELOW if named[w].values and not all(_meant(w, text) for text in named[w].values)]
    if not odd:
        return {}, []
    probe = yield from ask(f"_no-such-name.{domain}", "TXT")
    wild = set(probe.values)
    caught = [what for what in odd if wild and wild & set(named[what].values)]
    if not caught:
        return {}, []
    kept = {w: [t for t in named[w].values if t not in wild or _meant(w, t)] for w in caught}
    fresh = {w: DnsAnswer(Status.ROWS, tuple(texts)) if texts else NO_ROWS for w, texts in kept.items()}
    what = f"a wildcard TXT record answers for every name below {domain}, {caught[0]}.{domain} too"
    hint = "publish the records that are missing: they win over the wildcard"
    return fresh, [DnsFinding("TXT-WILDCARD", INFO, domain, what, hint)]


def _meant(what: str, text: str) -> bool:
    """Whether a TXT value means something at its name."""
    valid = {"_dmarc": is_dmarc, "_mta-sts": is_mta_sts, "_smtp._tls": is_tls_rpt}
    return valid[what](text)


def _doubled(domain: str, findings: Sequence[DnsFinding]) -> Dialogue[list[DnsFinding]]:
    """Records whose name has the domain twice, as panels make them that add it by themselves, where one is missing."""
    records = [r for f in findings if f.id in _MAY_BE_DOUBLED and not f.remove for r in f.publish]
    doubled = {DnsQuery(f"{r.name}.{domain}", r.type): r for r in records if r.name.endswith(f".{domain}")}
    if not doubled:
        return []
    answers: Answers = yield tuple(doubled)
    found = [(question.name, record, answers[question].values) for question, record in doubled.items()]
    hits = [(name, record, values) for name, record, values in found if values and not _same_everywhere(found)]
    return [
        DnsFinding(
            "NAME-DOUBLED",
            WARNING,
            domain,
            f"{name} has a {record.type} record: the name has {domain} twice, and nobody asks for it",
            f"enter {record.name.removesuffix(f'.{domain}')} as the name, without the domain",
            (),
            tuple(DnsRecord(name, record.type, value) for value in values),
        )
        for name, record, values in hits
    ]


_MAY_BE_DOUBLED = frozenset({"DMARC-MISSING", "DKIM-CNAME-MISSING"})


def _same_everywhere(found: Sequence[tuple[str, DnsRecord, tuple[str, ...]]]) -> bool:
    """Whether every name has the same values, as a wildcard gives them."""
    return len(found) > 1 and len({values for _, _, values in found}) == 1


def _aliases(findings: Sequence[DnsFinding]) -> Dialogue[Mapping[str, str]]:
    """Where the names of the TXT records to publish lead to that are aliases.

    `_dmarc` is often a CNAME into the zone of a provider: no other record may stand beside it (RFC 1034, 3.6.2).
    """
    names = dict.fromkeys(r.name for f in findings for r in f.publish if r.type == "TXT" and r.name != f.domain)
    moved: dict[str, str] = {}
    for name in names:
        chain = yield from _alias(name)
        if chain:
            moved[name] = chain[-1]
    return moved


def _moved(finding: DnsFinding, moved: Mapping[str, str]) -> DnsFinding:
    """The finding with its records at the names that aliases lead to."""
    concerned = [name for name in moved if any(r.name == name for r in finding.publish)]
    if not concerned:
        return finding
    publish, remove = (
        tuple(dataclasses.replace(r, name=moved.get(r.name, r.name)) for r in records)
        for records in (finding.publish, finding.remove)
    )
    where = "; ".join(f"{name} is a CNAME to {moved[name]}: the record belongs there" for name in concerned)
    return dataclasses.replace(finding, hint=f"{finding.hint} ({where})", publish=publish, remove=remove)


# --- MTA-STS ---------------------------------------------------------------------------------------------------------


def _policy_host(domain: str, record: DnsAnswer) -> Dialogue[tuple[PolicyHost | None, list[DnsFinding]]]:
    """Where the policy is to be fetched, with the addresses of that host; or what is wrong with its name."""
    found = record_id(record.values)
    if found is None:
        return None, []
    name = f"mta-sts.{domain}"
    questions = {kind: DnsQuery(name, kind) for kind in ("A", "AAAA")}
    answers: Answers = yield tuple(questions.values())
    named = {kind: answers[question] for kind, question in questions.items()}
    addresses = tuple(address for kind in questions for address in named[kind].values)
    if addresses:
        return PolicyHost(domain, found, addresses), []
    failed = list(_unanswered(domain, questions, named))
    if failed:
        return None, failed
    what = f"{domain} has the record _mta-sts, and the host {name} has no address: senders cannot fetch the policy"
    hint = f"publish the address of {name} and serve the policy there, or remove the record"
    return None, [DnsFinding("MTA-STS-HOST-MISSING", WARNING, domain, what, hint)]


# --- SPF -------------------------------------------------------------------------------------------------------------


def _uncovered(wanted: MailDomain, domain: str, answer: DnsAnswer, looked: SpfSurvey) -> Dialogue[list[Network]]:
    """The egress networks of which an address does not pass. Private ones never leave the building."""
    egress = [ipaddress.ip_network(text, strict=False) for text in wanted.egress]
    egress = [network for network in dict.fromkeys(egress) if not is_internal(network)]
    if looked.unanswered or answer.failed:
        return []
    if looked.problems or len(looked.records) == 0:
        # Nothing passes while the record is broken; what counts is whether the corrected one would let it through.
        listed = tuple(networks(answer.values))
        return [n for n in egress if not any(n.version == m.version and n.subnet_of(m) for m in listed)]  # type: ignore[arg-type]
    bounds = tuple(networks(looked.records.values()))
    missing = []
    for network in egress:
        for ip in _samples(network, bounds):
            result = yield from check_host(str(ip), f"postmaster@{domain}", domain)
            if result.result not in ("pass", "temperror"):
                missing.append(network)
                break
    return missing


_ALL_OF = 256
"""Every address of a network up to so many is tried: a term such as `a` or `exists` may mean any of them."""


def _samples(network: Network, bounds: Iterable[Network]) -> Sequence[_Ip]:
    """Addresses of a network that stand for all of it: each, or the ends of the parts that the record tells apart."""
    if network.num_addresses <= _ALL_OF:
        listed = [b for b in bounds if b.version == network.version and network.subnet_of(b)]  # type: ignore[arg-type]
        return (network[0], network[-1]) if listed else tuple(network)
    first, last = int(network[0]), int(network[-1])
    inside = [b for b in bounds if b.version == network.version and b.overlaps(network)]
    cuts = {first, last, *(int(b[0]) for b in inside), *(int(b[-1]) for b in inside)}
    near = {at + step for at in cuts for step in (-1, 0, 1)}
    return tuple(network[at - first] for at in sorted(near) if first <= at <= last)


def _passing(domain: str, include: str, looked: SpfSurvey) -> Dialogue[Passing]:
    """How mail of Exchange passes. A record that does not include its name is tried with Exchange's networks."""
    if not include or _includes(looked, include):
        return Passing.INCLUDED
    if looked.problems or not looked.records:
        return Passing.FAILS
    theirs = yield from survey(include)
    wanted = list(dict.fromkeys(networks(theirs.records.values())))
    if not wanted or theirs.unanswered:
        return Passing.FAILS
    for network in wanted:
        for ip in dict.fromkeys((network[0], network[-1])):
            result = yield from check_host(str(ip), f"postmaster@{domain}", domain)
            if result.result != "pass":
                return Passing.FAILS
    listed = tuple(networks(looked.records.values()))
    covered = (any(n.version == m.version and n.subnet_of(m) for m in listed) for n in wanted)  # type: ignore[arg-type]
    return Passing.LISTED if all(covered) else Passing.INCLUDED


def _includes(looked: SpfSurvey, include: str) -> bool:
    """Whether one of the records that are evaluated lets pass what this name lets pass."""
    if include not in looked.includes:
        return False
    for text in looked.records.values():
        try:
            found = parse(text).mechanisms
        except SpfSyntaxError:
            continue
        named = (m for m in found if m.name == "include" and m.target.lower().removesuffix(".") == include)
        if any(m.qualifier == "+" for m in named):
            return True
    return False


# --- DKIM ------------------------------------------------------------------------------------------------------------


def check_signing(domain: str, targets: Mapping[str, str]) -> Dialogue[list[DnsFinding]]:
    """The two selectors of one domain against the targets that Exchange names, and nothing else of it."""
    questions = {s: DnsQuery(f"{s}._domainkey.{domain}", "CNAME") for s in SELECTORS}
    answers: Answers = yield tuple(questions.values())
    named = {selector: answers[question] for selector, question in questions.items()}
    findings = list(_unanswered(domain, questions, named))
    return findings + (yield from _dkim(domain, targets, named))


def _dkim(domain: str, targets: Mapping[str, str] | None, named: Mapping[str, DnsAnswer]) -> Dialogue[list[DnsFinding]]:
    if domain.endswith(INITIAL_SUFFIXES):  # Microsoft signs for them without these CNAMEs
        return []
    if targets is not None and not any(targets.values()):
        summary, hint = f"Exchange signs no mail of {domain}", "declare dkim for it, and apply"
        return [DnsFinding("DKIM-NOT-CONFIGURED", WARNING, domain, summary, hint)]
    findings: list[DnsFinding] = []
    odd = [s for s in SELECTORS if named[s].values and not _is_dkim_target(named[s].values[0].lower())]
    wild = (yield from ask(f"no-such-selector._domainkey.{domain}", "CNAME")).values if odd else ()
    for selector in SELECTORS:
        name, answer = f"{selector}._domainkey.{domain}", named[selector]
        if answer.failed:
            continue
        there = "" if answer.values == wild else next(iter(answer.values), "").lower()
        target = None if targets is None else targets.get(selector, "").lower().removesuffix(".")
        ends = {there}
        if there and not _is_dkim_target(there):
            ends.update((yield from _alias(there)))
        if target is None:
            found = None if any(map(_is_dkim_target, ends)) else _no_dkim(domain, name, there)
        else:
            found = (
                None
                if not target or target in ends
                else (yield from _cname(domain, name, there, target, targets or {}))
            )
        if found is not None:
            findings.append(found)
    return [*findings, _wildcard(domain, wild[0])] if wild else findings


def _wildcard(domain: str, target: str) -> DnsFinding:
    return DnsFinding(
        "DKIM-WILDCARD",
        WARNING,
        domain,
        f"a wildcard CNAME (to {target}) answers for every name below {domain}, selectors too",
        "publish the selectors themselves: they win over the wildcard",
    )


def _is_dkim_target(target: str) -> bool:
    return "._domainkey." in target


def _no_dkim(domain: str, name: str, there: str) -> DnsFinding:
    leads = f"leads to {there}, which is not a DKIM key" if there else "is not there"
    return DnsFinding(
        "DKIM-MISSING",
        WARNING,
        domain,
        f"{name} {leads}",
        "declare dkim for the domain; Exchange then names the target",
    )


def _cname(domain: str, name: str, there: str, target: str, targets: Mapping[str, str]) -> Dialogue[DnsFinding]:
    """What is wrong with a selector that does not lead to its target."""
    publish = (DnsRecord(name, "CNAME", target),)
    if not there:
        texts = yield from ask(name, "TXT")
        if texts.values:
            what = (
                f'{name} is a TXT record ("{_short(texts.values[0])}") where a CNAME belongs; Exchange expects {target}'
            )
            remove = tuple(DnsRecord(name, "TXT", value) for value in texts.values)
            hint = "put the CNAME in its place: Exchange keeps the key, and changes it"
            return DnsFinding("DKIM-TXT", ERROR, domain, what, hint, publish, remove)
    kind, what, hint = _misled(there, target, targets)
    remove = (DnsRecord(name, "CNAME", there),) if there else ()
    return DnsFinding(kind, ERROR, domain, f"{name} {what}; Exchange expects {target}", hint, publish, remove)


def _misled(there: str, target: str, targets: Mapping[str, str]) -> tuple[str, str, str]:
    """Id, what is so, how to fix it."""
    others = {value.lower().removesuffix(".") for value in targets.values()} - {target}
    if not there:
        return "DKIM-CNAME-MISSING", "is not published", "publish it"
    if there in others:
        return "DKIM-CNAME-SWAPPED", f"leads to {there}, the target of the other selector", "exchange the two"
    theirs, ours = _tenant_of(there), _tenant_of(target)
    hint = "point it to the target that Exchange names now"
    if theirs and ours and theirs != ours:
        what = f"leads to {there}, a key of the tenant {theirs} (another one, or an earlier name of {ours})"
        return "DKIM-CNAME-FOREIGN", what, hint
    if theirs:
        return "DKIM-CNAME-OLD", f"leads to {there}, which Exchange does not name any more", hint
    return "DKIM-CNAME-WRONG", f"leads to {there}, which is not one of Microsoft's targets", hint


def _tenant_of(target: str) -> str:
    """The tenant's part of a target, in the form before May 2025 and in the one since; "" for any other name."""
    found = _MICROSOFT_TARGET.search(target)
    return found[1] if found else ""


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"


# --- DMARC -----------------------------------------------------------------------------------------------------------


def _inherited(domain: str, own: DnsAnswer) -> Dialogue[tuple[str, Dmarc] | None]:
    """The policy of the nearest domain above that has one (the tree walk of DMARC), asked only where it matters."""
    if own.failed or policy_of(own) is not None:
        return None
    labels = domain.split(".")
    above = [".".join(labels[i:]) for i in range(1, len(labels) - 1)][-7:]
    if not above:
        return None
    questions = {name: DnsQuery(f"_dmarc.{name}", "TXT") for name in above}
    answers: Answers = yield tuple(questions.values())
    for name in above:
        policy = policy_of(answers.get(questions[name], NO_ROWS))
        if policy is not None and not policy.errors:
            return name, policy
    return None


def _reports(domain: str, policy: Dmarc) -> Dialogue[list[DnsFinding]]:
    """Whether the domains that reports go to have agreed to receive them, and receive mail at all."""
    elsewhere = [name for name in policy.report_domains if not _related(name, domain)]
    agreed = {name: DnsQuery(f"{domain}._report._dmarc.{name}", "TXT") for name in elsewhere}
    hosts = {name: DnsQuery(name, "MX") for name in policy.report_domains}
    questions = (*agreed.values(), *hosts.values())
    if not questions:
        return []
    answers: Answers = yield questions
    found = list(report_findings(domain, {name: answers[question] for name, question in agreed.items()}))
    lost = []
    for name, question in hosts.items():
        named = [parse_mx(value).host for value in answers[question].values]
        missing = answers[question].void and name != domain  # MX-MISSING says it of the domain itself
        if named == [""] or (missing and (yield from _without_address(name))):
            lost.append(name)
    return [*found, *undeliverable_reports(domain, lost)]


def _without_address(name: str) -> Dialogue[bool]:
    """Whether a host has no address, so that a domain without MX takes no mail either (RFC 5321, 5.1)."""
    questions = (DnsQuery(name, "A"), DnsQuery(name, "AAAA"))
    answers: Answers = yield questions
    return all(answers[question].void for question in questions)


def _related(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")
