"""One pass over the mail records of one domain: what is asked, and what the answers amount to.

`check_domain` is a dialogue (see `dialogue`): the first questions go out together, then what SPF leads to, then what
the first answers made necessary. The same question may come up twice; anyone who answers ought to remember.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.mail_dns.dialogue import Answers, Dialogue, DnsAnswer, Status
from provisioner.mail_dns.dkim import SELECTORS, dkim_findings
from provisioner.mail_dns.dmarc import check_dmarc
from provisioner.mail_dns.findings import ERROR, INFO, WARNING, DnsFinding, DnsRecord, unanswered
from provisioner.mail_dns.mta_sts import Fetched, PolicyHost, record_id, sts_policy_findings
from provisioner.mail_dns.mx import at_exchange, exchanges_of, is_address, mx_findings
from provisioner.mail_dns.names import aliases, doubled, moved_to, with_doubled_policy, without_wildcards
from provisioner.mail_dns.policy_findings import transport_findings
from provisioner.mail_dns.records import Dmarc, MailExchange
from provisioner.mail_dns.spf import SpfSurvey, check_host, networks, survey
from provisioner.mail_dns.spf_findings import Passing, is_internal, spf_findings
from provisioner.mail_dns.spf_syntax import Network, SpfSyntaxError, is_spf, parse
from provisioner.mail_dns.tlsa import Protection, protection
from provisioner.mail_dns.tree_walk import policy_of
from provisioner.model import DnsQuery
from provisioner.model.clouds import CLOUDS

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


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
    findings = list(unanswered(domain, first, named))
    findings += _apex(domain, named["CNAME"])
    told, found = yield from without_wildcards(domain, named)
    named |= told
    findings += found
    exchanges, found = yield from exchanges_of(domain, named["MX"])
    findings += found
    findings += mx_findings(domain, exchanges, named["MX"], wanted.mx_host if wanted.receives else None)
    looked = yield from survey(domain)
    uncovered = yield from _uncovered(wanted, domain, named["TXT"], looked)
    passing = yield from _passing(domain, wanted.spf_include, looked)
    findings += spf_findings(domain, named["TXT"], looked, uncovered, wanted.spf_include, passing)
    findings += yield from dkim_findings(domain, wanted.dkim, named)
    findings += yield from check_dmarc(domain, named["_dmarc"], named["TXT"])
    findings += transport_findings(domain, named["_mta-sts"], named["_smtp._tls"])
    policy_host, found = yield from _policy_host(domain, named["_mta-sts"])
    findings += found
    dane, found = yield from protection(domain, [mx.host for mx in exchanges], named["MX"])
    findings += found
    twice = yield from doubled(domain, findings)
    findings = [*(with_doubled_policy(finding, twice) for finding in findings), *twice]
    moved = yield from aliases(findings)
    return DomainReport(
        domain,
        _worst_first(moved_to(finding, moved) for finding in findings),
        exchanges,
        wanted.mx_host or next((mx.host for mx in exchanges if at_exchange(mx.host)), ""),
        next((text for text in named["TXT"].values if is_spf(text)), ""),
        looked.lookups,
        policy_of(named["_dmarc"]),
        {selector: named[selector].values[0] for selector in SELECTORS if named[selector].values},
        policy_host,
        dane,
        {(moved.get(q.name, q.name), q.type): named[what].values for what, q in first.items() if named[what].values},
    )


def with_policy(report: DomainReport, fetched: Fetched) -> DomainReport:
    """The report with what is wrong with the MTA-STS policy of its `policy_host`, if it has one."""
    if report.policy_host is None:
        return report
    hosts = [mx.host for mx in report.mx if mx.host and not is_address(mx.host)]
    found = sts_policy_findings(report.policy_host, hosts, fetched)
    return dataclasses.replace(report, findings=_worst_first([*report.findings, *found]))


def _worst_first(findings: Iterable[DnsFinding]) -> tuple[DnsFinding, ...]:
    return tuple(sorted(findings, key=lambda f: (ERROR, WARNING, INFO).index(f.severity)))


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
    failed = list(unanswered(domain, questions, named))
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
