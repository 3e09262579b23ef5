"""DMARC of one domain: which policy holds for it and for the names below it, and whether its reports arrive."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.mail_dns.dialogue import LONGEST_NAME, NO_ROWS, Answers, Dialogue, DnsAnswer
from provisioner.mail_dns.findings import DnsFinding
from provisioner.mail_dns.policy_findings import (
    dmarc_findings,
    lost_reports,
    refused_reports,
    unfollowed_reports,
)
from provisioner.mail_dns.records import is_dmarc, parse_dmarc, parse_mx
from provisioner.mail_dns.tree_walk import Walk, policy_of, tree_walk
from provisioner.model import DnsQuery


def check_dmarc(domain: str, own: DnsAnswer, at_apex: DnsAnswer) -> Dialogue[list[DnsFinding]]:
    """What is wrong with DMARC. `own` are the TXT records of `_dmarc`, `at_apex` those of the domain itself.

    The names above are asked only where they matter: without a policy of its own, or with words about subdomains.
    """
    policy = policy_of(own)
    matters = not own.failed and (policy is None or {"sp", "np"} & policy.tags.keys())
    walked = (yield from tree_walk(domain)) if matters else Walk(domain)
    findings = list(dmarc_findings(domain, own, at_apex, walked))
    if policy is not None:
        findings += yield from _refused(domain, policy.report_domains)
        findings += yield from _lost(domain, policy.report_domains)
    return findings


def _refused(domain: str, names: Sequence[str]) -> Dialogue[list[DnsFinding]]:
    """What is wrong with the agreement of other organizations to receive the reports. `names` have the addresses."""
    elsewhere = [name for name in names if name != domain]
    # Most addresses are at another company, which has agreed: the walks are for the others.
    agreed = yield from _agreements(domain, [name for name in elsewhere if not _related(name, domain)])
    foreign = yield from _of_others(domain, [name for name in elsewhere if not agreed.get(name)])
    agreed |= yield from _agreements(domain, [name for name in foreign if name not in agreed])
    return [
        *refused_reports(domain, [name for name in foreign if agreed[name] == ()]),
        *unfollowed_reports(domain, [name for name in elsewhere if _sent_on(name, agreed.get(name) or ())]),
    ]


def _lost(domain: str, names: Sequence[str]) -> Dialogue[list[DnsFinding]]:
    """The domains of report addresses that receive no mail."""
    questions = {name: DnsQuery(name, "MX") for name in names}
    answers: Answers = (yield tuple(questions.values())) if questions else {}
    lost = []
    for name, question in questions.items():
        named = [parse_mx(value).host for value in answers[question].values]
        missing = answers[question].void and name != domain  # MX-MISSING says it of the domain itself
        if named == [""] or (missing and (yield from _without_address(name))):
            lost.append(name)
    return list(lost_reports(domain, lost))


def _agreements(domain: str, names: Sequence[str]) -> Dialogue[dict[str, tuple[str, ...] | None]]:
    """The records with which these domains agree to receive the reports of a domain (RFC 9990, 4).

    None where the question failed. A name that is too long for DNS has none.
    """
    questions = {name: DnsQuery(f"{domain}._report._dmarc.{name}", "TXT") for name in names}
    asked = {name: question for name, question in questions.items() if len(question.name) <= LONGEST_NAME}
    answers: Answers = (yield tuple(asked.values())) if asked else {}
    return {
        name: None if answer.failed else tuple(filter(is_dmarc, answer.values))
        for name, question in questions.items()
        for answer in (answers.get(question, NO_ROWS),)
    }


def _of_others(domain: str, names: Sequence[str]) -> Dialogue[list[str]]:
    """Those of these domains that are of another organization. One that cannot be told is not among them."""
    if not names:
        return []
    ours = yield from tree_walk(domain)
    others = []
    for name in names:
        theirs = yield from tree_walk(name)
        if not ours.failed and not theirs.failed and ours.organization != theirs.organization:
            others.append(name)
    return others


def _sent_on(name: str, agreement: Sequence[str]) -> bool:
    """Whether the record that agrees names another host in its place, to which no report may go (RFC 9990, 4)."""
    records = map(parse_dmarc, agreement)
    return any("rua" in record.tags and set(record.report_domains) - {name} for record in records)


def _without_address(name: str) -> Dialogue[bool]:
    """Whether a host has no address, so that a domain without MX takes no mail either (RFC 5321, 5.1)."""
    questions = (DnsQuery(name, "A"), DnsQuery(name, "AAAA"))
    answers: Answers = yield questions
    return all(answers[question].void for question in questions)


def _related(one: str, other: str) -> bool:
    """Whether one name is above the other: nearly always one organization, so that no record is asked for first."""
    return one.endswith(f".{other}") or other.endswith(f".{one}")
