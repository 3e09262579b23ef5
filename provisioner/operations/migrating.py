"""Inbound DANE of a domain, there and back: an action of its own in steps, never a difference between plan and tenant.

Exchange and DNS show how far a domain has come; `mail_dns.dane` says what is next. What Exchange does is sent under the
tenant's locks and with the journal open, once, and only what the tenant shows afterwards counts. MX records are a
person's: the command says which to publish, and waits. What nobody shows any more is in the journal: the MX host of
before, and how long senders may have the new one in memory. Guards: `DANE-MX`, `DANE-DNSSEC`, `DANE-MX-CACHED`,
`DANE-MTA-STS`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from provisioner import engine, rules
from provisioner.diagnostics import (
    ChangeSetStale,
    Declined,
    Diagnostic,
    GuardRefused,
    InputError,
    Locked,
    Severity,
    TenantError,
    TenantIncomplete,
    Unclear,
)
from provisioner.engine import journal
from provisioner.mail_dns import dane
from provisioner.mail_dns.dane import Blocked, Kind, Move, Standing
from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.mail_dns.mta_sts import Fetched, PolicyHost, record_id, sts_policy_findings
from provisioner.mail_dns.mx import at_exchange
from provisioner.mail_dns.records import parse_mx
from provisioner.model import Address, Cmdlet, DnsQuery, Waiver
from provisioner.model.clouds import SIGNED_MX_SUFFIX
from provisioner.operations import journals
from provisioner.operations.acting import Acting, acting, domain_named
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.mail_records import Asked
from provisioner.resources.rows import inbound_dane
from provisioner.rules import RULES
from provisioner.tenant.mta_sts import open_policy_hosts
from provisioner.tenant.ports import Ports

_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 60.0
_POLICY_S = 30.0
_SHORTEST_TTL_S = 3600
"""A resolver that has an answer in memory tells what is left of its TTL: less than an hour is not believed."""
_LONGEST_TTL_S = 2**31 - 1
"""RFC 2181, 8."""
_LAST_YEAR = 9000
"""The longest TTL after it is still a time."""
_OBSERVED = "dane-observed"


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """`back`: away from DANE. `wait_s`: how long to wait for what others do. `approve` is asked before each step that
    is sent; `told` hears each step that others do; `waivers` are the guards that this run lifts."""

    back: bool = False
    wait_s: float = 0.0
    lock_wait_s: float = 0.0
    waivers: Sequence[Waiver] = ()
    approve: Callable[[Move], bool] = lambda _: True
    told: Callable[[Move], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Migrated:
    """How far the domain has come: what Exchange and DNS show, the next step, and what this run sent."""

    standing: Standing
    move: Move
    sent: tuple[str, ...] = ()
    detail: str = ""


async def migrate(
    context: Context, domain: str, options: MigrateOptions | None = None, tenant: Tenant | None = None
) -> Migrated:
    """Take a domain to inbound DANE, or back, as far as it comes within the time. Called again, it goes on from there.

    Raises InputError for a domain that the tenant does not accept, GuardRefused where a guard stands, Declined where
    `approve` says no, ChangeSetStale where somebody was quicker, TenantIncomplete where something could not be read.
    """
    options = options or MigrateOptions()
    run = _Run(context, domain_named(domain), options)
    async with signed_in(context, tenant) as opened:
        return await run.to_the_end(opened)


async def standing_of(
    context: Context, domain: str, *, back: bool = False, tenant: Tenant | None = None
) -> tuple[Standing, Move]:
    """How far a domain has come, and the next step: reads, and writes nothing, the journal neither."""
    run = _Run(context, domain_named(domain), MigrateOptions(back=back))
    async with signed_in(context, tenant) as opened:
        run.recall(opened.identity.tenant_id)
        found = await run.read(opened.ports)
        return found, run.next(found)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What Exchange and DNS showed at one moment: the MX hosts, the host that Exchange names, and the TTL of the MX."""

    mx: tuple[str, ...]
    host: str
    ttl_s: int
    back: bool
    at: dt.datetime

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Seen:
        """What an entry of the journal says. Raises ValueError for one that is not of this form: it may be edited."""
        mx, host, ttl_s, back, at = (entry.get(name) for name in ("mx", "host", "ttl_s", "back", "at"))
        texts = isinstance(mx, list) and all(isinstance(text, str) for text in (*mx, host, at))
        if not (texts and type(ttl_s) is int and 0 <= ttl_s <= _LONGEST_TTL_S and type(back) is bool):
            raise ValueError("it does not say what was seen")
        moment = dt.datetime.fromisoformat(str(at))
        if moment.tzinfo is None or moment.year > _LAST_YEAR:
            raise ValueError("its time is not one")
        return cls(tuple(mx or ()), str(host), ttl_s, back, moment)

    @property
    def facts(self) -> dict[str, Any]:
        """As the journal keeps it."""
        at = self.at.astimezone(dt.UTC).isoformat()
        return {"mx": list(self.mx), "host": self.host, "ttl_s": self.ttl_s, "back": self.back, "at": at}


@dataclass(slots=True)
class _Remembered:
    """What the journal knows of a domain: the MX host of before, the TTL with which the new one was an MX, and since
    when it is none."""

    legacy: str = ""
    ttl_s: int = 0
    absent_since: dt.datetime | None = None

    def learn(self, seen: _Seen) -> None:
        """One observation. Only on the way back its absence counts: before that a person may have published it."""
        old = [name for name in seen.mx if at_exchange(name) and not name.endswith(SIGNED_MX_SUFFIX)]
        self.legacy = old[0] if old else self.legacy
        if seen.host and seen.host in seen.mx:
            self.ttl_s = max(self.ttl_s, seen.ttl_s, _SHORTEST_TTL_S)
        if seen.host and seen.host not in seen.mx and seen.back:
            self.absent_since = self.absent_since or seen.at
        else:
            self.absent_since = None

    def named_until(self, now: dt.datetime) -> dt.datetime:
        """Until when senders may have the host in memory: its TTL after it was seen to be gone; else a day."""
        return (self.absent_since or now) + dt.timedelta(seconds=self.ttl_s or dane.UNKNOWN_TTL_S)


class _Run:
    """One call of the command: reads, decides, sends what is Exchange's, and waits for what is not."""

    def __init__(self, context: Context, domain: str, options: MigrateOptions) -> None:
        self._context, self._domain, self._options = context, domain, options
        self._known = _Remembered()
        self._noted: tuple[Any, ...] = ()
        self._sent: list[str] = []
        self._last: _Seen | None = None

    async def to_the_end(self, opened: Tenant) -> Migrated:
        ends = self._context.clock.monotonic() + self._options.wait_s
        pause_s, last = _PAUSE_S, ""
        self.recall(opened.identity.tenant_id)
        while True:
            found = await self.read(opened.ports)
            move = self.next(found)
            self._refuse(found, move)
            if move.kind is Kind.SEND:
                found, detail = await self._do(opened, move)
                if detail:
                    return Migrated(found, move, tuple(self._sent), detail)
                continue
            self._note(opened, found)
            left = ends - self._context.clock.monotonic()
            if move.kind is Kind.DONE or left <= 0:
                return Migrated(found, self.next(found), tuple(self._sent))
            if move.text != last:
                self._options.told(move)
                pause_s, last = _PAUSE_S, move.text
            await self._context.clock.sleep(min(pause_s, left))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def next(self, found: Standing) -> Move:
        return dane.back(found, self._context.clock.now()) if self._options.back else dane.forward(found)

    # --- what there is -----------------------------------------------------------------------------------------------

    def recall(self, tenant_id: str) -> None:
        """Learn what the journal has of the domain."""
        path = journals.fetched(self._context, tenant_id)
        if path.exists():
            for entry in journal.entries(path):
                if entry.get("kind") == _OBSERVED and entry.get("domain") == self._domain:
                    self._recall(entry)

    def _recall(self, entry: Mapping[str, Any]) -> None:
        try:
            self._known.learn(_Seen.of(entry))
        except ValueError as error:
            self._context.note(f"an entry of the journal about {self._domain} is passed over: {error}")

    async def read(self, ports: Ports) -> Standing:
        """Exchange and DNS. Raises TenantIncomplete where one of them does not say: nothing is concluded from that."""
        try:
            enabled = inbound_dane.dane((await ports.exchange.run(inbound_dane.DOMAINS)).rows, self._domain)
            if enabled is None:
                what = f"the tenant has no accepted domain {self._domain}"
                raise InputError([Diagnostic("DOMAIN-UNKNOWN", what, "add it in the admin center, and verify it")])
            told = await ports.exchange.run(inbound_dane.status(self._domain))
            dnssec, host = inbound_dane.dnssec(told.rows)
        except ValueError as error:
            raise TenantIncomplete(f"the state of {self._domain} could not be read: {error}") from error
        if dnssec and not host:
            raise TenantIncomplete(f"Exchange does not return the MX host of {self._domain}")
        return await self._with_dns(ports, Standing(self._domain, dnssec, enabled, host))

    async def _with_dns(self, ports: Ports, found: Standing) -> Standing:
        asked = Asked(ports.resolver, self._context.clock).about(2)
        mx_query = DnsQuery(self._domain, "MX")
        of_host = [DnsQuery(found.host, kind) for kind in ("A", "AAAA")] if found.host else []
        tlsa_query = [DnsQuery(f"_25._tcp.{found.host}", "TLSA")] if found.dane else []
        answers = await asked.all((mx_query, *of_host, *tlsa_query))
        mx = _told(answers[mx_query], mx_query)
        exchanges = tuple(sorted(map(parse_mx, mx.values), key=lambda one: (one.preference, one.host)))
        self._learn(found.host, [one.host for one in exchanges], mx.ttl_s)
        tlsa = _told(answers[tlsa_query[0]], tlsa_query[0]) if tlsa_query else None
        found = dataclasses.replace(
            found,
            mx=exchanges,
            validated=mx.validated,
            reachable=any(answers[query].values for query in of_host),
            tlsa=tlsa.values if tlsa else (),
            tlsa_validated=tlsa.validated if tlsa else None,
            legacy=self._known.legacy,
            named_until=self._until(),
        )
        return dataclasses.replace(found, policy=await self._policy(asked, found))

    def _learn(self, host: str, hosts: Iterable[str], ttl_s: int) -> None:
        self._last = _Seen(tuple(hosts), host, ttl_s, self._options.back, self._context.clock.now())
        self._known.learn(self._last)

    def _until(self) -> dt.datetime | None:
        now = self._context.clock.now()
        lifted = rules.lifted("DANE-MX-CACHED", Address("accepted_domain", self._domain), self._options.waivers)
        return None if lifted else self._known.named_until(now)

    async def _policy(self, asked: Asked, found: Standing) -> str:
        """Why senders that keep to the domain's MTA-STS policy would refuse the host that is to be its MX next."""
        host = (found.legacy if self._options.back else found.host) if found.dnssec else ""
        address = Address("accepted_domain", self._domain)
        if not host or rules.lifted("DANE-MTA-STS", address, self._options.waivers):
            return ""
        record = DnsQuery(f"_mta-sts.{self._domain}", "TXT")
        named = record_id(_told((await asked.all((record,)))[record], record).values)
        if named is None:
            return ""
        questions = tuple(DnsQuery(f"mta-sts.{self._domain}", kind) for kind in ("A", "AAAA"))
        answers = await asked.all(questions)
        addresses = tuple(address for question in questions for address in answers[question].values)
        at = PolicyHost(self._domain, named, addresses)
        fetched = await self._fetched(at)
        for finding in sts_policy_findings(at, [host], fetched):
            refuses = finding.id == "MTA-STS-MX" and finding.severity is Severity.ERROR
            if refuses or finding.id == "MTA-STS-UNANSWERED":
                return f"{finding.summary}: {finding.hint}"
        return ""

    async def _fetched(self, at: PolicyHost) -> Fetched:
        try:
            async with (
                self._context.clock.deadline(_POLICY_S).timeout(),
                open_policy_hosts(self._context.profile) as opened,
            ):
                return await engine.watch_policies(opened, self._context.observe).fetch(at)
        except TimeoutError:
            return Fetched(failure=f"no answer within {_POLICY_S:.0f} s")

    # --- what is done ------------------------------------------------------------------------------------------------

    def _refuse(self, found: Standing, move: Move) -> None:
        """Raise GuardRefused where a guard stands that this run does not lift. The way back is always open."""
        if self._options.back or move.kind is Kind.DONE:
            return
        address = Address("accepted_domain", self._domain)
        left = [
            guard
            for guard in dane.blocked(found)
            if RULES[guard.rule].blocks == "precondition"
            or not rules.lifted(guard.rule, address, self._options.waivers)
        ]
        if left:
            raise GuardRefused(f"{left[0].rule} stops this; nothing was changed", list(map(_diagnostic, left)))

    def _note(self, opened: Tenant, found: Standing) -> None:
        """Keep in the journal what DNS shows, where it shows something else than before."""
        shown = (found.host, found.mx)
        if found.dnssec and shown != self._noted:
            with contextlib.suppress(Locked), self._acting(opened) as act:  # another run: the next look may note it
                self._record_seen(act)
                act.journal.record("end", converged=False)
                self._noted = shown

    def _acting(self, opened: Tenant) -> AbstractContextManager[Acting]:
        return acting(self._context, opened.identity, self._options.lock_wait_s)

    def _record_seen(self, act: Acting) -> None:
        if self._last is not None:
            act.journal.record(_OBSERVED, domain=self._domain, **self._last.facts)

    async def _do(self, opened: Tenant, move: Move) -> tuple[Standing, str]:
        """Send one step once, under the locks, and read back. Returns what the tenant shows, and why not, if not."""
        if not self._options.approve(move):
            raise Declined("Cancelled: nothing was changed.")
        with self._acting(opened) as act:
            again = await self.read(opened.ports)
            self._refuse(again, move)
            if self.next(again) != move:
                raise ChangeSetStale(f"{self._domain} was changed since it was shown: nothing was sent")
            self._record_seen(act)
            request = Cmdlet(move.cmdlet, {"DomainName": self._domain})
            act.sending("dane-sending", request, domain=self._domain)
            unclear = ""
            try:
                await opened.ports.exchange.run(request)
            except Unclear as error:
                unclear = str(error)
            except TenantError as error:
                act.journal.record("dane-sent", domain=self._domain, status="failed", detail=str(error))
                raise
            self._sent.append(move.cmdlet)
            after, detail = await self._read_back(opened.ports, again, move)
            detail = "; ".join(filter(None, (unclear, detail))) if detail else ""
            status = "unconfirmed" if detail else "done"
            act.journal.record("dane-sent", domain=self._domain, status=status, detail=detail)
            act.journal.record("end", converged=not detail)
        return after, detail

    async def _read_back(self, ports: Ports, before: Standing, move: Move) -> tuple[Standing, str]:
        """What the tenant shows, once the step shows or the time for that is over."""
        clock, pause_s = self._context.clock, _PAUSE_S
        ends = clock.monotonic() + self._context.profile.timeouts.confirm_s
        after, detail = before, ""
        while True:
            try:
                after = await self.read(ports)
                detail = "the tenant does not show it yet" if self.next(after).cmdlet == move.cmdlet else ""
            except (TenantError, TenantIncomplete) as error:
                detail = f"the tenant could not be read: {error}"
            left = ends - clock.monotonic()
            if not detail or left <= 0:
                return after, detail
            await clock.sleep(min(pause_s, left))
            pause_s *= 2


def _told(answer: DnsAnswer, question: DnsQuery) -> DnsAnswer:
    """An answer that tells something. Raises TenantIncomplete for a failure: it is never "not there"."""
    if answer.failed:
        raise TenantIncomplete(f"{question} could not be read: {answer.reason or 'no answer'}")
    return answer


def _diagnostic(guard: Blocked) -> Diagnostic:
    return Diagnostic(guard.rule, guard.summary, guard.hint)
