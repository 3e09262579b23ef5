"""Asking DNS for commands: all questions side by side, none twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from provisioner.cli.session import Session

if TYPE_CHECKING:
    from provisioner.mail_dns.check import DomainReport
    from provisioner.mail_dns.dialogue import DnsAnswer
    from provisioner.mail_dns.spf import SpfResult
    from provisioner.model import Desired, DnsQuery, Finding
    from provisioner.tenant.dns import DnsResolver

_AT_ONCE = 32

# What of a domain's records decides about relay and direct send. DKIM and DMARC are the affair of `dns check`.
_OF_DEVICES = frozenset({"SPF", "MX", "DOMAIN", "DNS"})


async def check_domains(
    session: Session,
    domains: Sequence[str],
    targets: Mapping[str, Mapping[str, str]],
    egress: Mapping[str, Iterable[str]],
) -> Sequence[DomainReport]:
    """Everything about the mail records of these domains. `egress` are networks that send in their name, by domain."""
    from provisioner.mail_dns.check import MailDomain, check_domain
    from provisioner.mail_dns.dialogue import pursue

    asked = _asked(session)
    wanted = (MailDomain(d, egress=tuple(sorted(egress.get(d, ()))), dkim=targets.get(d)) for d in domains)
    return await asyncio.gather(*(pursue(check_domain(w), asked.all) for w in wanted))


async def microsoft_mx(session: Session, domains: Iterable[str]) -> Mapping[str, str]:
    """The MX host at Microsoft of each domain that has one."""
    from provisioner.mail_dns.check import at_exchange
    from provisioner.mail_dns.records import parse_mx
    from provisioner.model import DnsQuery

    questions = {domain: DnsQuery(domain, "MX") for domain in domains}
    answers = await _asked(session).all(tuple(questions.values()))
    found = {}
    for domain, question in questions.items():
        exchanges = sorted(map(parse_mx, answers[question].values), key=lambda mx: (mx.preference, mx.host))
        host = next((mx.host for mx in exchanges if at_exchange(mx.host)), "")
        if host:
            found[domain] = host
    return found


async def device_records(session: Session, desired: Desired) -> Sequence[Finding]:
    """What MX and SPF lack for the devices that send without signing in, as far as the run looks at their domains."""
    from provisioner.devices import egress
    from provisioner.model import Address, Finding

    networks = {d: n for d, n in egress(desired).items() if Address("domain", d) in desired.resources}
    reports = await check_domains(session, sorted(networks), {}, networks)
    return [
        Finding(f.id, f.severity, f.summary, "; ".join([f.mend, *(f"publish {r}" for r in f.publish)]))
        for report in reports
        for f in report.findings
        if f.id.partition("-")[0] in _OF_DEVICES
    ]


async def answering(session: Session, domain: str) -> str:
    """Why DNS does not answer for a domain; "" where it does, be it that there is nothing."""
    from provisioner.mail_dns.dialogue import Status
    from provisioner.model import DnsQuery

    question = DnsQuery(domain, "MX")
    answer = (await _asked(session).all((question,)))[question]
    return answer.reason if answer.status is Status.FAILED else ""


async def spf_result(session: Session, domain: str, ip: str) -> SpfResult:
    """What the SPF record of a domain says of an address that sends in its name."""
    from provisioner.mail_dns.dialogue import pursue
    from provisioner.mail_dns.spf import check_host

    return await pursue(check_host(ip, f"postmaster@{domain}", domain), _asked(session).all)


def _asked(session: Session) -> _Asked:
    from provisioner.tenant.dns import DnsResolver
    from provisioner.tenant.retry import Retry

    return _Asked(DnsResolver(session.profile.endpoints.dns_servers, Retry()))


class _Asked:
    """Questions and their answers, each asked once, so many at a time."""

    def __init__(self, resolver: DnsResolver) -> None:
        self._resolver, self._gate = resolver, asyncio.Semaphore(_AT_ONCE)
        self._answers: dict[DnsQuery, asyncio.Task[DnsAnswer]] = {}

    async def all(self, questions: tuple[DnsQuery, ...]) -> dict[DnsQuery, DnsAnswer]:
        for question in questions:
            if question not in self._answers:
                self._answers[question] = asyncio.create_task(self._one(question))
        return {question: await self._answers[question] for question in questions}

    async def _one(self, question: DnsQuery) -> DnsAnswer:
        async with self._gate:
            return await self._resolver.look_up(question)
