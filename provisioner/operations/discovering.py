"""Who sends through the tenant: the sources of evidence asked as far as permissions allow, merged into an inventory.

A source that could not be read is named with what it lacks; nothing is concluded from it. Nothing is written, but that
historical searches are started for the reports that come in no other way.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from provisioner import engine
from provisioner.border import read_named
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.mailflow.attempt import Attempt
from provisioner.mailflow.picture import of_observed
from provisioner.mailflow.submission import submitted
from provisioner.model import Answer, Cmdlet, GraphRequest, Observed, Request, Row, Unknown, request_key
from provisioner.model.listing import counted
from provisioner.model.picture import Picture, Relay, SignIn
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.resources import TYPES
from provisioner.resources.canonical import identifier
from provisioner.resources.rows import (
    accepted_domain,
    access_policy,
    authentication_policy,
    cas_mailbox,
    hve_account,
    organization_config,
    recipient,
    rows_of,
    security_defaults,
    service_principal,
    transport_config,
    user,
)
from provisioner.resources.rows.enterprise_application import GRAPH_API
from provisioner.senders import applications, reports, sign_ins, traces
from provisioner.senders.inventory import HVE, OAUTH, SIGNING_IN, Evidence, Inventory, Sender, Source, State
from provisioner.senders.merging import Knowledge, judged, merged
from provisioner.senders.observing import Observation, earliest, moment
from provisioner.tenant.ports import Ports

_READER = "Global Reader (Entra), or View-Only Configuration and View-Only Recipients (Exchange)"
_SWITCHES: Mapping[Evidence, tuple[Request, ...]] = {
    "accepted_domains": (accepted_domain.REQUEST,),
    "high_volume_accounts": (hve_account.LISTING,),
    "mailboxes": (cas_mailbox.LISTING, user.LISTING),
    "organization": (transport_config.REQUEST, organization_config.REQUEST),
    "authentication_policies": (authentication_policy.REQUEST,),
    "security_defaults": (security_defaults.REQUEST,),
    "conditional_access": (access_policy.REQUEST,),
}
_NEEDS: Mapping[Evidence, str] = {
    "security_defaults": "Policy.Read.All (Graph), with admin consent",
    "conditional_access": f"{access_policy.PERMISSION} (Graph), with admin consent",
    "sign_ins": sign_ins.PERMISSION,
    "service_principal_sign_ins": sign_ins.PERMISSION,
    "graph_sign_ins": sign_ins.PERMISSION,
    "smtp_auth_report": reports.ROLE,
    "connector_report": reports.ROLE,
    "message_traces": f"{traces.ROLE}, or {traces.PERMISSION}",
    "trace_details": f"{traces.ROLE.replace('TraceV2', 'TraceDetailV2')}, or {traces.PERMISSION}",
}
USE: frozenset[Evidence] = frozenset({"sign_ins", "smtp_auth_report", "message_traces", "connector_report"})
"""The sources that say who sends; the others say who may."""

_MARGIN = dt.timedelta(hours=1)
"""Before the limit of 90 days: the service counts by its own clock, and the queries take a while."""

_LISTED = frozenset(t.name for t in TYPES if {Relay, SignIn} & set(t.contributes))


@dataclass(frozen=True, slots=True)
class Asking:
    """What to look at: so many days, files of reports, and whether to start historical searches."""

    days: int = traces.DAYS
    files: tuple[Path, ...] = ()
    searches: bool = True


@dataclass(slots=True)
class _Found:
    """What was observed so far, and how each source was read."""

    observations: list[Observation] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def add(self, source: Source, observations: Iterable[Observation] = ()) -> None:
        self.sources.append(source)
        self.observations += observations


async def discover(context: Context, asking: Asking, tenant: Tenant | None = None) -> Inventory:
    """The inventory of the profile's tenant. Raises InputError for a report that cannot be read, before signing in."""
    files = [_report(path) for path in asking.files]
    end = context.clock.now().astimezone(dt.UTC).replace(microsecond=0)
    span = min(dt.timedelta(days=asking.days), dt.timedelta(days=traces.DAYS) - _MARGIN)
    period = _Period(_text(end - span), _text(end))
    async with signed_in(context, tenant) as opened:
        reads = context.profile.reads_at_once
        evidence = [request for requests in _SWITCHES.values() for request in requests]
        observed = await engine.consult(
            (), _LISTED, [*evidence, service_principal.LISTING], TYPES, opened.ports, reads=reads
        )
        found, known = _Found(), _Tenant(observed)
        for source in known.sources():
            found.add(source)
        await _sign_ins(opened.ports, found, known, period, reads)
        idle = await _graph_senders(opened.ports, found, period, reads)
        await _reports(opened.ports, found, files, asking, period)
        await _traces(context, opened.ports, found, known, period)
        inventory = merged(
            found.observations, known.knowledge, found.sources, (opened.identity.initial_domain, *period.ends)
        )
    inventory = dataclasses.replace(inventory, idle_applications=idle)
    return judged(inventory, known.verdicts(inventory.senders))


@dataclass(frozen=True, slots=True)
class _Period:
    begin: str
    end: str

    @property
    def ends(self) -> tuple[str, str]:
        return (self.begin, self.end)

    def last(self, days: int) -> str:
        """The begin of its last days, where it is longer."""
        return max(self.begin, _text(dt.datetime.fromisoformat(self.end) - dt.timedelta(days=days)))


def _text(when: dt.datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


# --- what the tenant has ---------------------------------------------------------------------------------------------


def _listed(
    observed: Observed, listing: Cmdlet, decode: Callable[[Sequence[Row]], Iterable[str]]
) -> frozenset[str] | None:
    """What a listing names; None where it could not be read, or has a row that does not say."""
    answer = observed.evidence.get(request_key(listing))
    try:
        return frozenset(decode(answer.rows)) if isinstance(answer, Answer) else None
    except ValueError:
        return None


def _client_ids(rows: Sequence[Row]) -> Iterator[str]:
    """The ids of the applications that are registered with Exchange. Raises ValueError for a row without one."""
    for row in rows:
        yield identifier(row, "AppId").lower()


class _Tenant:
    """Switches, mailboxes, domains and connectors, as far as they were read."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        rows = rows_of(observed.evidence, cas_mailbox.LISTING)
        self._boxes = [box for box in map(_mailbox, rows) if box is not None]
        people = rows_of(observed.evidence, user.LISTING)
        self._people = [(row, person) for row in people if (person := _person(row)) is not None]
        self._odd = len(rows) - len(self._boxes) + len(people) - len(self._people)
        self.domains = _listed(observed, accepted_domain.REQUEST, accepted_domain.decode)
        self.applications = _listed(observed, service_principal.LISTING, _client_ids)
        accounts = rows_of(observed.evidence, hve_account.LISTING)
        high_volume = frozenset(address for row in accounts for address in recipient.addresses(row))
        self.knowledge = Knowledge(self._names(), self._relays(), self._enabled(), high_volume)

    def _names(self) -> Mapping[str, str]:
        """Every name of a mailbox, and its primary address. Sign-in names are in Get-User, under the same Guid."""
        found = {name: box.primary for box in self._boxes for name in box.names}
        for _, person in self._people:
            if person.id in found and person.sign_in:
                found.setdefault(person.sign_in, found[person.id])
        return found

    def _enabled(self) -> frozenset[str]:
        return frozenset(box.primary for box in self._boxes if box.enabled)

    def _relays(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        objects = of_observed(self._observed, TYPES).every(Relay)
        return tuple(sorted((address.key, tuple(sorted(relay.networks))) for address, relay in objects))

    def sources(self) -> Iterable[Source]:
        """How each switch was read."""
        for name, requests in _SWITCHES.items():
            answers = [self._observed.evidence[request_key(request)] for request in requests]
            if name == "mailboxes" and self._odd:
                answers.append(
                    Unknown(f"{self._odd:,} rows are of a form that this version does not know", "malformed")
                )
            yield _source(name, answers, _NEEDS.get(name, _READER), ("", ""))
        unlisted = [self._observed.unlisted[name] for name in sorted(self._observed.unlisted)]
        relays = sum(1 for _ in of_observed(self._observed, TYPES).every(Relay))
        answers = [*unlisted] if unlisted else [Answer(tuple({} for _ in range(relays)))]
        yield _source("connectors", answers, _READER, ("", ""))

    def verdicts(self, senders: Sequence[Sender]) -> Callable[[Sender], Literal["", "allowed", "blocked", "unknown"]]:
        """What the switches say about the login of a sender."""
        mailboxes = sorted({s.mailbox for s in senders if s.protocol in SIGNING_IN and s.mailbox})
        picture = of_observed(self._observed, TYPES, mailboxes)
        evidence = {**self._observed.evidence, request_key(user.LISTING): self._users(mailboxes)}

        def verdict(sender: Sender) -> Literal["", "allowed", "blocked", "unknown"]:
            if sender.protocol not in SIGNING_IN or not sender.mailbox:
                return ""
            return _verdict(picture, evidence, sender)

        return verdict

    def _users(self, mailboxes: Iterable[str]) -> Answer | Unknown:
        """The users of these mailboxes alone: a decision about each looks through all rows."""
        answer = self._observed.evidence[request_key(user.LISTING)]
        if not isinstance(answer, Answer):
            return answer
        wanted = set(mailboxes)
        return Answer(tuple(row for row, person in self._people if wanted & person.addresses))


@dataclass(frozen=True, slots=True)
class _Mailbox:
    """A mailbox: its primary address, every name of it, and whether its own switch allows SMTP AUTH."""

    primary: str
    names: frozenset[str]
    enabled: bool


def _mailbox(row: Row) -> _Mailbox | None:
    """A row of Get-CASMailbox; None for one that names no mailbox."""
    try:
        return _Mailbox(cas_mailbox.primary(row), cas_mailbox.names(row), row.get(transport_config.SWITCH) is False)
    except ValueError:
        return None


def _person(row: Row) -> user.User | None:
    try:
        return user.decode(row)
    except ValueError:
        return None


def _verdict(
    picture: Picture, evidence: Mapping[str, Answer | Unknown], sender: Sender
) -> Literal["allowed", "blocked", "unknown"]:
    kind = "oauth" if sender.protocol == OAUTH else "basic"
    attempt = Attempt(
        "",
        False,
        authentication=kind,
        mailbox=sender.mailbox,
        application=kind == "oauth" or None,
        hve=sender.protocol == HVE,
    )
    allowed = submitted(picture, attempt, evidence).allowed
    return "unknown" if allowed is None else "allowed" if allowed else "blocked"


def _source(
    name: Evidence, answers: Sequence[Answer | Unknown], needs: str, covers: tuple[str, str], note: str = ""
) -> Source:
    """How a source was read by all its answers; what is missing, and what grants it."""
    failed = [answer for answer in answers if isinstance(answer, Unknown)]
    read = [answer for answer in answers if isinstance(answer, Answer)]
    rows = sum(len(answer.rows) for answer in read)
    if not failed:
        return Source(name, "read", note, "", *covers, rows=rows)
    state: State = "partial" if read else "not_read"
    reason = "; ".join(dict.fromkeys([*(answer.reason for answer in failed), *([note] if note else [])]))
    missing = needs if any(answer.kind in {"permission", "sign_in"} for answer in failed) else ""
    return Source(name, state, reason, missing, *(covers if read else ("", "")), rows=rows)


# --- sign-in logs ----------------------------------------------------------------------------------------------------


async def _sign_ins(ports: Ports, found: _Found, known: _Tenant, period: _Period, reads: int) -> None:
    since = period.last(sign_ins.DAYS)
    plain, kinds, applications = (
        sign_ins.interactive(since),
        sign_ins.every_kind(since),
        sign_ins.of_applications(since),
    )
    answers = await engine.ask([plain, *kinds, applications], ports, reads=reads)

    def told(request: Request) -> Answer | Unknown:
        return answers[request_key(request)]

    users = [told(request) for request in (plain, *kinds)]
    rows = [row for answer in users if isinstance(answer, Answer) for row in answer.rows]
    beta = [answer for answer in users[1:] if isinstance(answer, Answer)]
    note = "" if beta else "v1.0 has interactive sign-ins only; the others are in beta"
    covers = (since, period.end)
    found.add(_licensed(_source("sign_ins", users, sign_ins.PERMISSION, covers, note)), sign_ins.decode(rows))
    tokens = told(applications)
    source = _licensed(_source("service_principal_sign_ins", [tokens], sign_ins.PERMISSION, covers))
    if source.state == "read" and known.applications is None:
        why = "which applications are registered with Exchange could not be read, so that all are listed"
        needs = "a role that holds Get-ServicePrincipal (Global Reader)"
        source = dataclasses.replace(source, state="partial", reason=why, needs=needs)
    found.add(
        source,
        sign_ins.decode_applications(tokens.rows if isinstance(tokens, Answer) else (), known.applications),
    )


def _licensed(source: Source) -> Source:
    """The same, with the licence as what is missing where the service says so."""
    if source.state == "read" or not sign_ins.unlicensed(source.reason):
        return source
    return dataclasses.replace(source, needs=sign_ins.LICENCE)


async def _graph_senders(ports: Ports, found: _Found, period: _Period, reads: int) -> tuple[str, ...]:
    """The applications that may send through Microsoft Graph and use it; those are returned that do not."""
    since = period.last(sign_ins.DAYS)
    tokens = sign_ins.of_applications(since, GRAPH_API)
    answers = await engine.ask([applications.ROLES, applications.RBAC, tokens], ports, reads=reads)
    roles, assigned, seen = (answers[request_key(r)] for r in (applications.ROLES, applications.RBAC, tokens))
    consents, send = roles, frozenset[str]()
    if isinstance(roles, Answer):
        try:
            principal, send = applications.of_graph(roles.rows)
            consents = Answer() if not principal else await _one(ports, applications.granted(principal))
        except ValueError as error:
            consents = Unknown(str(error), "malformed")
    may_send = applications.holders(send, *(a.rows if isinstance(a, Answer) else () for a in (consents, assigned)))
    lacking = [needs for answer, needs in ((consents, applications.NEEDS_CONSENT), (assigned, applications.NEEDS_ROLE))
               if isinstance(answer, Unknown)]  # fmt: skip
    found.add(_source("mail_permissions", [consents, assigned], "; ".join(lacking), ("", "")))
    rows = seen.rows if isinstance(seen, Answer) else ()
    source = _licensed(_source("graph_sign_ins", [seen], sign_ins.PERMISSION, (since, period.end)))
    found.add(source, applications.decode(rows, may_send))
    return applications.idle(rows, may_send)


# --- reports ---------------------------------------------------------------------------------------------------------


def _report(path: Path) -> reports.Report:
    try:
        content = read_named(path, reports.LARGEST_BYTES)
    except OSError as error:
        what = f"--report: {path} cannot be read: {error.strerror or error}"
        raise InputError([Diagnostic("REPORT-INVALID", what, "give the CSV file of a report")]) from None
    return reports.decode(content, str(path))


async def _reports(
    ports: Ports, found: _Found, files: Sequence[reports.Report], asking: Asking, period: _Period
) -> None:
    """Files first; what is in none of them is looked for among the searches, and asked for."""
    for file in files:
        covers = (earliest(*(o.first for o in file.observations)), max((o.last for o in file.observations), default=""))
        state: State = "partial" if file.passed_over else "read"
        reason = f"{file.passed_over:,} rows name no sender" if file.passed_over else ""
        found.add(Source(file.kind, state, reason, "", *covers, rows=file.rows), file.observations)
    given = {file.kind for file in files}
    wanted: Mapping[Evidence, str] = {"smtp_auth_report": reports.SMTP_AUTH, "connector_report": reports.NO_CONNECTOR}
    left = {name: kind for name, kind in wanted.items() if name not in given}
    if not left:
        return
    listed = (await engine.ask([reports.LISTING], ports))[request_key(reports.LISTING)]
    for name, kind in left.items():
        found.add(await _search(ports, name, kind, listed, asking, period))


async def _search(
    ports: Ports, name: Evidence, kind: str, listed: Answer | Unknown, asking: Asking, period: _Period
) -> Source:
    if isinstance(listed, Unknown):
        return _source(name, [listed], _NEEDS[name], ("", ""), _BY_HAND)
    last = reports.newest(listed.rows, kind)
    if last and last.done:
        reason = f"its file is ready: open {last.url} in a browser, and give it with --report FILE"
        return Source(name, "not_read", reason, "a person's sign-in in a browser")
    if last:
        reason = f"historical search {last.job} still runs; it takes 1 to 4 hours: run this command again then"
        return Source(name, "not_read", reason)
    if not asking.searches:
        return Source(name, "not_read", f"no historical search was started; {_BY_HAND}")
    request = reports.search(kind, period.begin, period.end)
    answer = (await engine.ask([request], ports))[request_key(request)]
    if isinstance(answer, Unknown):
        return _source(name, [answer], _NEEDS[name], ("", ""), _BY_HAND)
    job = next((str(row.get("JobId")) for row in answer.rows), "")
    reason = f"asked for as historical search {job}; it takes 1 to 4 hours: run this command again then"
    return Source(name, "not_read", reason)


_BY_HAND = "export it in the Exchange admin center (Reports > Mail flow) as CSV, and give it with --report FILE"


# --- message traces --------------------------------------------------------------------------------------------------


class _Tracing:
    """Message traces through Exchange; through Microsoft Graph where no role of the application holds the cmdlets."""

    def __init__(self, context: Context, ports: Ports) -> None:
        self._context, self._ports = context, ports
        self._graph = False
        self._asked = 0

    async def rows(self, period: _Period) -> tuple[list[Row], str, Unknown | None]:
        """The rows, how far back they reach, and what ended the listing before its end."""
        rows: list[Row] = []
        reached = period.end
        for window in traces.windows(*period.ends):
            self._context.note(f"Reading message traces from {window.begin[:10]} to {window.end[:10]}")
            place: traces.Window | None = window
            while place is not None:
                if self._asked >= traces.MOST_QUERIES:
                    limit = f"{self._asked} queries were made, which reach back to {reached}"
                    return rows, reached, Unknown(limit, "limit")
                answer = await self._page(place)
                if isinstance(answer, Unknown):
                    return rows, reached, answer
                rows += answer.rows
                reached = (moment(answer.rows[-1].get("Received")) if answer.rows else "") or reached
                place = None if self._graph else place.after(answer.rows)
            reached = window.begin
        return rows, reached, None

    async def _page(self, place: traces.Window) -> Answer | Unknown:
        self._asked += 1
        if self._graph:
            return await self._over_graph(place.over_graph)
        answer = await _one(self._ports, place.request)
        if not isinstance(answer, Unknown) or answer.kind != "permission":
            return answer
        other = await self._over_graph(place.over_graph)
        self._graph = isinstance(other, Answer)
        return other if isinstance(other, Answer) else Unknown(f"{answer.reason}; {other.reason}", answer.kind)

    async def details(self, rows: Sequence[Row], domains: frozenset[str] | None) -> tuple[_How, Source]:
        """How the newest message of each sender and address came in, as far as the quota goes."""
        samples = traces.samples(rows, domains)
        asked = list(samples.items())[: traces.MOST_DETAILS]
        self._context.note(f"Reading the details of {counted(len(asked), 'message')}")
        found: dict[traces.Pair, traces.Taken] = {}
        failed: Unknown | None = None
        for pair, row in asked:
            answer = await self._detail(row)
            if isinstance(answer, Unknown):
                failed = answer
                break
            taken = traces.taken(answer.rows)
            if taken is not None:
                found[pair] = taken
        left = len(samples) - len(asked)
        if left and failed is None:
            failed = Unknown(f"{left:,} senders at their addresses have more details than a run may ask for", "limit")
        answers: list[Answer | Unknown] = [Answer(tuple({} for _ in found))] if found or failed is None else []
        answers += [failed] if failed else []
        return found, _source("trace_details", answers, _NEEDS["trace_details"], ("", ""))

    async def _detail(self, row: Row) -> Answer | Unknown:
        if self._graph:
            return await self._over_graph(traces.detail_over_graph(row))
        return await _one(self._ports, traces.detail(row))

    async def _over_graph(self, request: GraphRequest) -> Answer | Unknown:
        answer = await _one(self._ports, request)
        return Answer(tuple(map(traces.of_graph, answer.rows))) if isinstance(answer, Answer) else answer


_How = Mapping[traces.Pair, traces.Taken]


async def _traces(context: Context, ports: Ports, found: _Found, known: _Tenant, period: _Period) -> None:
    tracing = _Tracing(context, ports)
    rows, reached, failure = await tracing.rows(period)
    some = rows or failure is None or reached < period.end
    answers: list[Answer | Unknown] = [Answer(tuple(rows))] if some else []
    answers += [failure] if failure else []
    source = _source("message_traces", answers, _NEEDS["message_traces"], (reached, period.end))
    if traces.SERVICE_PRINCIPAL in source.reason:
        source = dataclasses.replace(source, needs=f"{source.needs}, and {_PROVISIONED}")
    how, details = await tracing.details(rows, known.domains)
    found.add(source, traces.decode(rows, how, known.domains))
    if rows:
        found.add(details)


_PROVISIONED = f"for Graph the service principal {traces.SERVICE_PRINCIPAL} in the tenant"


async def _one(ports: Ports, request: Request) -> Answer | Unknown:
    return (await engine.ask([request], ports))[request_key(request)]
