"""DMARC as receivers find it: which record holds for a domain, and whether its reports arrive."""

from __future__ import annotations

from provisioner.mail_dns.dialogue import NO_ROWS, Answers, Dialogue, DnsAnswer
from provisioner.mail_dns.findings import DnsFinding
from provisioner.mail_dns.policy_findings import policy_of, report_findings, undeliverable_reports
from provisioner.mail_dns.records import Dmarc, parse_mx
from provisioner.model import DnsQuery


def inherited_policy(domain: str, own: DnsAnswer) -> Dialogue[tuple[str, Dmarc] | None]:
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


def reports(domain: str, policy: Dmarc) -> Dialogue[list[DnsFinding]]:
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
