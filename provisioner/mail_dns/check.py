"""One pass over the mail records of one domain: what is asked, and what the answers amount to.

`check_domain` is a dialogue (see `dialogue`): the first questions go out together, then what SPF leads to, then what
the first answers made necessary. The same question may come up twice; whoever answers ought to remember.
DKIM targets are Exchange's own words, given from outside: they cannot be computed (they hold a letter and a hash of
Microsoft's choosing).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from provisioner.mail_dns.dialogue import NO_ROWS, Answers, Dialogue, DnsAnswer, Status, ask
from provisioner.mail_dns.findings import ERROR, INFO, WARNING, DnsFinding, DnsRecord
from provisioner.mail_dns.mta_sts import Fetched, PolicyHost, record_id, sts_policy_findings
from provisioner.mail_dns.policy_findings import dmarc_findings, policy_of, report_findings, transport_findings
from provisioner.mail_dns.records import Dmarc, MailExchange, parse_mx
from provisioner.mail_dns.spf import SpfSurvey, check_host, networks, survey
from provisioner.mail_dns.spf_findings import is_internal, spf_findings
from provisioner.mail_dns.spf_syntax import Network, is_spf
from provisioner.model import DnsQuery
from provisioner.model.clouds import CLOUDS, INITIAL_SUFFIXES, MX_SUFFIXES, TAKES_NO_MAIL

SELECTORS = ("selector1", "selector2")

_MICROSOFT_TARGET = re.compile(
    r"\._domainkey\.([^.]+)\.(?:onmicrosoft\.com|onmicrosoft\.us|partner\.onmschina\.cn|[^.]+\.dkim\.mail\.microsoft)$"
)


@dataclass(frozen=True, slots=True)
class MailDomain:
    """What is expected of one domain.

    `egress`: addresses or networks that relay or send direct in its name. `dkim`: the CNAME targets that Exchange
    names, by selector (`selector1`, `selector2`); None where they are not known. `spf_include` stands for Exchange, ""
    when the domain never sends through it. `receives`: its mail is meant to arrive in this tenant.
    """

    domain: str
    egress: tuple[str, ...] = ()
    dkim: Mapping[str, str] | None = None
    spf_include: str = CLOUDS["worldwide"].spf_include
    receives: bool = True


@dataclass(frozen=True, slots=True)
class DomainReport:
    """What was found. `exchange_mx` is the host that relay and direct send have to speak to, "" where MX names none.

    `policy_host` is where the MTA-STS policy is to be fetched; None for a domain without MTA-STS.
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
    exchanges = tuple(sorted(map(parse_mx, named["MX"].values), key=lambda mx: (mx.preference, mx.host)))
    findings += _mx_findings(wanted, domain, exchanges, named["MX"])
    looked = yield from survey(domain)
    uncovered = yield from _uncovered(wanted, domain, named["TXT"], looked)
    findings += spf_findings(domain, named["TXT"], looked, uncovered, wanted.spf_include)
    findings += yield from _dkim(domain, wanted.dkim, named)
    inherited = yield from _inherited(domain, named["_dmarc"])
    findings += dmarc_findings(domain, named["_dmarc"], inherited, named["TXT"])
    policy = policy_of(named["_dmarc"])
    if policy is not None:
        findings += yield from _reports(domain, policy)
    findings += transport_findings(domain, named["_mta-sts"], named["_smtp._tls"])
    policy_host, found = yield from _policy_host(domain, named["_mta-sts"])
    findings += found
    return DomainReport(
        domain,
        _worst_first(findings),
        exchanges,
        next((mx.host for mx in exchanges if at_exchange(mx.host)), ""),
        next((text for text in named["TXT"].values if is_spf(text)), ""),
        looked.lookups,
        policy,
        {selector: named[selector].values[0] for selector in SELECTORS if named[selector].values},
        policy_host,
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
    if any(not mx.host for mx in exchanges):
        summary = f"the MX record of {domain} says that it takes no mail (null MX)"
        yield DnsFinding("MX-NULL", WARNING, domain, summary, _mend_mx(), (), tuple(there.values()))
    elif not hosts:
        yield DnsFinding("MX-MISSING", WARNING, domain, f"{domain} has no MX record that takes mail", _mend_mx())
    elif not any(map(at_exchange, hosts)):
        yield DnsFinding(
            "MX-ELSEWHERE",
            WARNING,
            domain,
            f"mail for {domain} goes to {', '.join(hosts)}, not to Microsoft: relay and direct send cannot use MX",
            "point devices to the endpoint that the admin centre shows for the domain, not to MX",
        )
    elif not all(map(at_exchange, hosts)):
        others = ", ".join(host for host in hosts if not at_exchange(host))
        yield DnsFinding(
            "MX-MIXED",
            WARNING,
            domain,
            f"{others} stands beside Microsoft's MX: a part of the mail goes there",
            "keep Microsoft's alone, unless a gateway is meant",
        )


def _mend_mx() -> str:
    return "publish the MX record that the admin centre shows for the domain; its name cannot be computed"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
    mend = f"publish the address of {name} and serve the policy there, or remove the record"
    return None, [DnsFinding("MTA-STS-HOST-MISSING", WARNING, domain, what, mend)]


# --- SPF -------------------------------------------------------------------------------------------------------------


def _uncovered(wanted: MailDomain, domain: str, answer: DnsAnswer, looked: SpfSurvey) -> Dialogue[list[Network]]:
    """The egress networks whose first or last address does not pass. Private ones never leave the building."""
    egress = [ipaddress.ip_network(text, strict=False) for text in wanted.egress]
    egress = [network for network in dict.fromkeys(egress) if not is_internal(network)]
    if looked.unanswered or answer.failed:
        return []
    if looked.problems or len(looked.records) == 0:
        # Nothing passes while the record is broken; what counts is whether the mended one would let it through.
        listed = tuple(networks(answer.values))
        return [n for n in egress if not any(n.version == m.version and n.subnet_of(m) for m in listed)]  # type: ignore[arg-type]
    missing = []
    for network in egress:
        for ip in dict.fromkeys((network[0], network[-1])):
            result = yield from check_host(str(ip), f"postmaster@{domain}", domain)
            if result.result not in ("pass", "temperror"):
                missing.append(network)
                break
    return missing


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
        summary, mend = f"Exchange signs no mail of {domain}", "declare dkim for it, and apply"
        return [DnsFinding("DKIM-NOT-CONFIGURED", WARNING, domain, summary, mend)]
    findings: list[DnsFinding] = []
    suspicious = False
    for selector in SELECTORS:
        name, answer = f"{selector}._domainkey.{domain}", named[selector]
        if answer.failed:
            continue
        there = answer.values[0].lower() if answer.values else ""
        if targets is None:
            found = None if _is_dkim_target(there) else _no_dkim(domain, name, there)
        else:
            target = targets.get(selector, "").lower().removesuffix(".")
            found = None if not target or there == target else (yield from _cname(domain, name, there, target, targets))
        if found is not None:
            findings.append(found)
            suspicious |= bool(there) and not _is_dkim_target(there)
    if suspicious:
        findings += yield from _wildcard(domain)
    return findings


def _wildcard(domain: str) -> Dialogue[list[DnsFinding]]:
    probe = yield from ask(f"no-such-selector._domainkey.{domain}", "CNAME")
    if not probe.values:
        return []
    return [
        DnsFinding(
            "DKIM-WILDCARD",
            WARNING,
            domain,
            f"a wildcard CNAME (to {probe.values[0]}) answers for every name below {domain}, selectors too",
            "publish the selectors themselves: they win over the wildcard",
        )
    ]


def _is_dkim_target(target: str) -> bool:
    return "._domainkey." in target


def _no_dkim(domain: str, name: str, there: str) -> DnsFinding:
    leads = f"leads to {there}, which is no DKIM key" if there else "is not there"
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
            mend = "put the CNAME in its place: Exchange keeps the key, and changes it"
            return DnsFinding("DKIM-TXT", ERROR, domain, what, mend, publish, remove)
    kind, what, mend = _misled(there, target, targets)
    remove = (DnsRecord(name, "CNAME", there),) if there else ()
    return DnsFinding(kind, ERROR, domain, f"{name} {what}; Exchange expects {target}", mend, publish, remove)


def _misled(there: str, target: str, targets: Mapping[str, str]) -> tuple[str, str, str]:
    """Id, what is so, how to mend it."""
    others = {value.lower().removesuffix(".") for value in targets.values()} - {target}
    if not there:
        return "DKIM-CNAME-MISSING", "is not published", "publish it"
    if there in others:
        return "DKIM-CNAME-SWAPPED", f"leads to {there}, the target of the other selector", "exchange the two"
    theirs, ours = _tenant_of(there), _tenant_of(target)
    mend = "point it to the target that Exchange names now"
    if theirs and ours and theirs != ours:
        what = f"leads to {there}, a key of the tenant {theirs} (another one, or an earlier name of {ours})"
        return "DKIM-CNAME-FOREIGN", what, mend
    if theirs:
        return "DKIM-CNAME-OLD", f"leads to {there}, which Exchange does not name any more", mend
    return "DKIM-CNAME-WRONG", f"leads to {there}, which is none of Microsoft's targets", mend


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
    elsewhere = [name for name in policy.report_domains if not _related(name, domain)]
    questions = {name: DnsQuery(f"{domain}._report._dmarc.{name}", "TXT") for name in elsewhere}
    if not questions:
        return []
    answers: Answers = yield tuple(questions.values())
    return list(report_findings(domain, {name: answers[question] for name, question in questions.items()}))


def _related(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")
