"""Asking DNS for commands: all questions side by side, none twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

from provisioner import engine
from provisioner.clock import Clock
from provisioner.devices import egress
from provisioner.diagnostics import Severity, TenantIncomplete
from provisioner.mail_dns.check import DomainReport, MailDomain, check_domain, with_policy
from provisioner.mail_dns.dialogue import Answers, DnsAnswer, Questions, Status, pursue, rows
from provisioner.mail_dns.dkim import SELECTORS, check_signing
from provisioner.mail_dns.findings import DnsFinding
from provisioner.mail_dns.mta_sts import Fetched, PolicyHost
from provisioner.mail_dns.mx import at_exchange
from provisioner.mail_dns.records import parse_mx
from provisioner.mail_dns.spf import MOST_LOOKUPS, SpfResult, check_host, survey
from provisioner.mail_dns.spf_syntax import SPF_VERSION
from provisioner.mailflow.picture import contributions
from provisioner.model import (
    Absent,
    Address,
    Change,
    Desired,
    DnsQuery,
    DnsUpdate,
    Finding,
    Observed,
    Present,
    Resource,
    Send,
    Unknown,
    overlay,
)
from provisioner.model.clouds import Cloud
from provisioner.model.picture import Signature
from provisioner.operations.context import Context
from provisioner.resources import TYPES
from provisioner.tenant.dns import DnsResolver
from provisioner.tenant.mta_sts import open_policy_hosts
from provisioner.tenant.ports import Policies, Ports, Resolver
from provisioner.tenant.together import together

_AT_ONCE = 32
_BUDGET_S = 30.0  # for all questions of a command, and a second more for each domain

# What of a domain's records decides about relay and direct send. `dns check` covers DMARC.
_OF_DEVICES = frozenset({"SPF", "MX", "DOMAIN", "DNS"})


async def check_domains(
    asked: Asked,
    domains: Sequence[str],
    targets: Mapping[str, Mapping[str, str] | None],
    egress: Mapping[str, Iterable[str]],
    cloud: Cloud,
    context: Context | None = None,
    hosts: Mapping[str, str] | None = None,
) -> Sequence[DomainReport]:
    """Everything about the mail records of these domains. `egress` are networks that send in their name, by domain,
    `hosts` the endpoints that Exchange names for their mail.

    With a context MTA-STS policies are fetched too, by its profile.
    """
    asked.about(len(domains))
    wanted = (
        MailDomain(
            d, tuple(sorted(egress.get(d, ()))), targets.get(d), cloud.spf_include, mx_host=(hosts or {}).get(d, "")
        )
        for d in domains
    )
    reports = await together(pursue(check_domain(w), asked.all) for w in wanted)
    return reports if context is None else await _with_policies(context, reports)


async def _with_policies(context: Context, reports: Sequence[DomainReport]) -> Sequence[DomainReport]:
    """The reports with the MTA-STS policies of the domains that have one, fetched side by side."""
    hosts = [report.policy_host for report in reports if report.policy_host is not None]
    if not hosts:
        return reports
    budget_s = _BUDGET_S + len(hosts)
    deadline = context.clock.deadline(budget_s)
    fetched: dict[str, Fetched] = {}

    async def fetch(host: PolicyHost, policies: Policies) -> None:
        try:
            async with deadline.timeout():
                fetched[host.domain] = await policies.fetch(host)
        except TimeoutError:
            why = f"the {budget_s:.0f} s for all policies were used up"
            fetched[host.domain] = Fetched(failure=why)

    async with open_policy_hosts(context.profile) as opened:
        policies = engine.watch_policies(opened, context.observe)
        await together(fetch(host, policies) for host in hosts)
    return [with_policy(r, fetched.get(r.domain, Fetched())) for r in reports]


async def dkim_targets(ports: Ports) -> Mapping[str, Mapping[str, str] | None]:
    """The CNAME targets that Exchange names, by domain and selector; None where rows of one domain differ."""
    kind = next(t for t in TYPES if t.name == "dkim")
    answers = [(query, await engine.send(ports, query.request)) for query in kind.queries({}, True)]
    try:
        found = kind.decode({}, answers)
    except ValueError as error:
        raise TenantIncomplete(f"the DKIM configurations could not be read: {error}") from error
    return {domain: None if isinstance(spec, Unknown | Absent) else spec.targets for domain, spec in found.items()}


async def microsoft_mx(asked: Asked, domains: Iterable[str]) -> Mapping[str, str]:
    """The MX host at Microsoft of each domain that has one."""
    questions = {domain: DnsQuery(domain, "MX") for domain in domains}
    answers = await asked.about(len(questions)).all(tuple(questions.values()))
    found = {}
    for domain, question in questions.items():
        exchanges = sorted(map(parse_mx, answers[question].values), key=lambda mx: (mx.preference, mx.host))
        host = next((mx.host for mx in exchanges if at_exchange(mx.host)), "")
        if host:
            found[domain] = host
    return found


async def device_records(asked: Asked, desired: Desired, cloud: Cloud) -> Mapping[str, Sequence[Finding]]:
    """What MX and SPF of each domain lack for the devices that send without signing in, as far as the run looks at it.

    Of a domain that the tenant does not have yet the records are for later: Microsoft names its MX only then.
    """
    networks = {d: n for d, n in egress(desired).items() if Address("domain", d) in desired.resources}
    reports = await check_domains(asked, sorted(networks), {}, networks, cloud)
    return {domain: list(_of_devices(report)) for domain, report in zip(sorted(networks), reports, strict=True)}


def _of_devices(report: DomainReport) -> Iterator[Finding]:
    for found in report.findings:
        if found.id.partition("-")[0] in _OF_DEVICES:
            yield Finding(found.id, _severity(found), found.summary, _hint(found))


def _severity(found: DnsFinding) -> Severity:
    """The severity in a plan: it stops no apply, so it is a warning. `dns check` alone ends with 1 for it."""
    return Severity.WARNING if found.severity is Severity.ERROR else found.severity


def of_tenant(records: Mapping[str, Sequence[Finding]], observed: Observed) -> list[Finding]:
    """The findings about records of the domains that the tenant has, as far as it was read."""
    return [f for domain, found in records.items() if not _lacks(observed, domain) for f in found]


def _lacks(observed: Observed, domain: str) -> bool:
    """Whether the tenant certainly does not accept mail for a domain."""
    there = observed.resources.get(Address("domain", domain))
    return isinstance(there, Absent) or (isinstance(there, Present) and there.spec.accepted is False)


def _hint(found: DnsFinding) -> str:
    """What to do, with the records to publish; "publish it" says nothing beside them."""
    publish = [f"publish {record}" for record in found.publish]
    told = publish and found.hint in {"publish it", "publish one"}
    return "; ".join(publish if told else [found.hint, *publish])


async def answering(asked: Asked, domain: str) -> str:
    """Why DNS does not answer for a domain; "" where it does, be it that there is nothing."""
    question = DnsQuery(domain, "MX")
    answer = (await asked.about(1).all((question,)))[question]
    return answer.reason if answer.failed else ""


async def spf_result(asked: Asked, domain: str, ip: str) -> SpfResult:
    """What the SPF record of a domain says about an address that sends in its name."""
    return await pursue(check_host(ip, f"postmaster@{domain}", domain), asked.about(1).all)


async def signing_records(asked: Asked, desired: Desired, observed: Observed) -> Sequence[Finding]:
    """What DNS has against the CNAME targets of the domains that the plan has sign.

    Exchange names the targets when the configuration is there; of one that is still to be created nothing is said.
    """
    signing = list(_signing(desired, observed))
    if not signing:
        return ()
    asked.about(len(signing))
    checks = (check_signing(s.domain, dict(zip(SELECTORS, s.selectors, strict=True))) for _, s in signing)
    found = await together(pursue(check, asked.all) for check in checks)
    return [
        _of_signing(finding, resource)
        for (resource, _), findings in zip(signing, found, strict=True)
        for finding in findings
    ]


def _signing(desired: Desired, observed: Observed) -> Iterator[tuple[Resource, Signature]]:
    """What the plan has sign and the tenant has a configuration for."""
    types = {t.name: t for t in TYPES if Signature in t.contributes}
    for address, resource in desired.resources.items():
        kind, there = types.get(address.type), observed.resources.get(address)
        if kind is None or not isinstance(there, Present):
            continue
        for wanted in contributions(kind, overlay(resource.spec, there.spec)):
            if isinstance(wanted, Signature):
                yield resource, wanted


def _of_signing(found: DnsFinding, resource: Resource) -> Finding:
    """As the plan reports it."""
    return Finding(
        found.id, _severity(found), found.summary, _hint(found), resource.address, location=resource.location
    )


async def spf_limit(asked: Asked, changes: Iterable[Change]) -> Sequence[Finding]:
    """The SPF records that receivers would reject with permerror once they are published (RFC 7208, 4.6.4).

    One that had too many lookups before and gets no more of them, as when a run is undone, is not among them.
    """
    steps = ((c.address, s.request) for c in changes for s in c.steps if isinstance(s, Send))
    updates = [(a, r) for a, r in steps if isinstance(r, DnsUpdate) and r.only == SPF_VERSION and r.add]
    asked.about(len(updates))
    counts = await together(_lookups(asked, update.name, str(update.add[0])) for _, update in updates)
    found = []
    for (address, update), count in zip(updates, counts, strict=True):
        if count <= MOST_LOOKUPS or any([count <= await _lookups(asked, update.name, old) for old in update.remove]):
            continue
        what = (
            f'{address}: "{update.add[0]}" needs {count} DNS lookups; {MOST_LOOKUPS} are allowed, and apply refuses it'
        )
        hint = "replace includes by the networks that they stand for, or send from a subdomain"
        found.append(Finding("SPF-LOOKUPS", Severity.WARNING, what, hint, address))
    return found


async def _lookups(asked: Asked, domain: str, text: str) -> int:
    """How many lookups a record would need at a domain, with the records of all others as they are."""
    own = DnsQuery(domain, "TXT")

    async def answer(questions: Questions) -> Answers:
        answers = await asked.all(tuple(question for question in questions if question != own))
        return {**answers, own: rows(text)} if own in questions else answers

    return (await pursue(survey(domain), answer)).lookups


def asking(context: Context) -> Asked:
    """Questions without a tenant: to the name servers of the profile."""
    resolver = DnsResolver(context.profile.endpoints.dns_servers, clock=context.clock)
    return Asked(engine.watch_resolver(resolver, context.observe), context.clock)


class Asked:
    """Questions to DNS and their answers: each asked once, a bounded number at a time, within a bounded time."""

    def __init__(self, resolver: Resolver, clock: Clock) -> None:
        self._resolver, self._clock, self._gate = resolver, clock, asyncio.Semaphore(_AT_ONCE)
        self._budget_s, self._deadline = 0.0, clock.deadline(0.0)
        self._answers: dict[DnsQuery, asyncio.Task[DnsAnswer]] = {}

    @property
    def count(self) -> int:
        """How many questions were asked."""
        return len(self._answers)

    def about(self, domains: int) -> Asked:
        """Itself, with a new time limit for questions about so many domains."""
        self._budget_s = _BUDGET_S + domains
        self._deadline = self._clock.deadline(self._budget_s)
        return self

    async def all(self, questions: tuple[DnsQuery, ...]) -> dict[DnsQuery, DnsAnswer]:
        for question in questions:
            if question not in self._answers:
                self._answers[question] = asyncio.create_task(self._one(question))
        return {question: await self._answers[question] for question in questions}

    async def _one(self, question: DnsQuery) -> DnsAnswer:
        async with self._gate:
            try:
                async with self._deadline.timeout():
                    return await self._resolver.look_up(question)
            except TimeoutError:
                return DnsAnswer(Status.FAILED, reason=f"the {self._budget_s:.0f} s for all of DNS were used up")
