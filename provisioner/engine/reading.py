"""Reading: each question of all types once, concurrently, and what the answers say about each object.

A failed read does not raise: it is Unknown, with its reason. Only an endpoint that is not trusted ends what is being
planned, since each of its reads would fail, and for one reason.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner import rules
from provisioner.changes import scoping
from provisioner.diagnostics import NotFound, PermissionMissing, Refused, TenantError, Untrusted
from provisioner.engine.events import PLANNING, ReadingFinished, ReadingStarted
from provisioner.engine.watching import observer_of
from provisioner.model import (
    Absent,
    Address,
    Answer,
    Cmdlet,
    Desired,
    DnsQuery,
    DnsUpdate,
    GraphRequest,
    Observation,
    Observed,
    Present,
    Query,
    Request,
    ResourceType,
    Unknown,
    ZoneQuery,
    request_key,
    tells,
    united,
)
from provisioner.model.picture import Acceptance, Relay
from provisioner.tenant.ports import Ports
from provisioner.tenant.together import together

Types = Sequence[ResourceType[Any]]
_FOLLOW_UPS = 2
"""So many rounds of reading may follow the first: names are resolved, then what they mean is read by its id."""

Wanted = dict[str, dict[str, Any]]
"""Type name -> key -> spec, or None for a tombstone."""


@dataclass(slots=True)
class Costs:
    """What reading costs, learned from the answers: pages by `request_key`, and the requests of the last reading."""

    pages: dict[str, int] = field(default_factory=dict)
    last: int = 1

    def cheaper(self, queries: Iterable[Query]) -> Sequence[Query]:
        """The queries, with the lookups instead of each listing that is known to have more pages."""
        return tuple(part for query in queries for part in self._of(query))

    def _of(self, query: Query) -> Sequence[Query]:
        pages = self.pages.get(request_key(query.request), 0)
        return query.parts if query.parts and len(query.parts) < pages else (query,)

    def learn(self, answers: Mapping[str, Answer | TenantError]) -> None:
        """How many pages each listing had."""
        found = {key: answer.requests for key, answer in answers.items() if isinstance(answer, Answer)}
        self.pages |= found
        self.last = max(1, sum(found.values()))


async def read(
    desired: Desired,
    types: Types,
    ports: Ports,
    *,
    scope: scoping.Scope | None = None,
    reads: int = 4,
    evidence: Sequence[Request] | None = None,
    unmanaged: bool = False,
    purpose: str = PLANNING,
) -> Observed:
    """What the tenant says about everything that the plan mentions. A failed read is Unknown; raises Untrusted only.

    `reads` is how many requests may be under way at once. `evidence` is what is asked besides; what the rules want to
    know of the plan, if it is not given. `unmanaged`: undeclared objects are kept wherever the same requests return
    them anyway. `desired` must then be the whole plan, or they could be declared ones.
    """
    scope = scope or scoping.Scope()
    claims = desired.exclusive | {t.name for t in types if t.marks_ownership and desired.owner}
    listed = {name for name in claims if _may_touch(scope, name)} if not desired.declared_only else set()
    if desired.traffic:
        listed |= {t.name for t in types if {Relay, Acceptance} & set(t.contributes)}
    wanted: Wanted = {}
    for address, resource in {**scoping.bystanders(desired, listed, scope), **desired.resources}.items():
        wanted.setdefault(address.type, {})[address.key] = resource.spec
    for address in desired.absent:
        wanted.setdefault(address.type, {}).setdefault(address.key, None)
    asked = rules.questions(desired) if evidence is None else evidence
    unmanaged = unmanaged and scope.whole and not desired.declared_only
    others = [t for t in types if unmanaged and t.name not in listed]  # of what is listed, all are kept anyway
    free = {t.name for t in others if _lists_anyway(t, wanted.get(t.name, {}))}
    found = await read_wanted(wanted, listed, types, ports, reads, asked, free=free, purpose=purpose)
    more = rules.further_questions(desired, found)
    if not more:
        return found
    told = {key: _evidence(answer) for key, answer in (await _ask(more, ports, reads, purpose)).items()}
    return dataclasses.replace(found, evidence={**found.evidence, **told}, requests=found.requests + len(told))


def _lists_anyway(kind: ResourceType[Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the reads for the declared objects are those for all objects. Preconditions are never managed."""
    return bool(wanted) and not kind.precondition and kind.queries(wanted, True) == kind.queries(wanted, False)


async def survey(
    types: Types, ports: Ports, *, reads: int = 4, kept: Mapping[str, Collection[str]] | None = None
) -> Observed:
    """Everything that the tenant has of these types, as far as it can be read: all of it is "undeclared".

    `kept`: type -> keys of objects that are wanted even where they say nothing, such as a mailbox without an override.
    """
    wanted: Wanted = {t.name: dict.fromkeys(t.singletons) for t in types if t.singletons}
    listed = {t.name for t in types}
    return await read_wanted(wanted, listed, types, ports, reads, resolve=False, kept=kept or {})


async def look(
    objects: Mapping[Address, Any], types: Types, ports: Ports, *, reads: int = 4
) -> Mapping[Address, Observation]:
    """What the tenant says about single objects, whether a plan declares them or not.

    Each is read for the state that it is compared with (None: not there), since some answers mean something only beside
    it: a transport rule is seen to come before the rules that its state names.
    """
    return (await read_wanted(_by_type(objects), (), types, ports, reads)).resources


async def consult(
    objects: Collection[Address],
    listed: Collection[str],
    evidence: Sequence[Request],
    types: Types,
    ports: Ports,
    *,
    reads: int = 4,
) -> Observed:
    """What the tenant says without a plan: of single objects, of all objects of the listed types, and besides."""
    return await read_wanted(_by_type(dict.fromkeys(objects)), listed, types, ports, reads, evidence)


def _by_type(objects: Mapping[Address, Any]) -> Wanted:
    wanted: Wanted = {}
    for address, spec in objects.items():
        wanted.setdefault(address.type, {})[address.key] = spec
    return wanted


async def ask(requests: Sequence[Request], ports: Ports, *, reads: int = 4) -> Mapping[str, Answer | Unknown]:
    """The answers to questions, by `request_key`; what failed is Unknown with its reason."""
    answers = await _ask(requests, ports, reads)
    return {key: _evidence(answer) for key, answer in answers.items()}


def _may_touch(scope: scoping.Scope, type_name: str) -> bool:
    """Whether undeclared objects of a type can matter: not when every target names another type."""
    return not scope.targets or any(t.partition("/")[0] in {type_name, "*"} for t in scope.targets)


async def read_wanted(
    wanted: Wanted,
    listed: Collection[str],
    types: Types,
    ports: Ports,
    reads: int,
    evidence: Sequence[Request] = (),
    *,
    resolve: bool = True,
    purpose: str = PLANNING,
    free: Collection[str] = (),
    kept: Mapping[str, Collection[str]] = {},
    costs: Costs | None = None,
) -> Observed:
    """What the tenant has of the wanted objects, and of all others of the listed types.

    `free` are types whose other objects are kept as far as the same answers show them: else nothing is missing.
    `resolve`: names that the first answers do not settle are asked for too. A survey, whose names are those of the
    tenant, has none; only what a type lists by parts is asked for. `costs` choose listings or lookups, and learn.
    `kept` as for `survey`.
    """
    costs = costs or Costs()
    asked = {name: costs.cheaper(queries) for name, queries in _queries(types, wanted, listed, kept).items()}
    requests = united([*(query.request for queries in asked.values() for query in queries), *evidence])
    ask = functools.partial(_ask, ports=ports, reads=reads, purpose=purpose)
    answers = _trusted(await ask(requests.values()), purpose)
    further = [t for t in types if t.name in asked and (resolve or t.listed_in_parts)]
    asked = {**asked, **await _resolve(wanted, listed, further, asked, answers, requests, ask)}
    costs.learn(answers)
    resources: dict[Address, Observation] = {}
    undeclared: dict[Address, Any] = {}
    unlisted: dict[str, Unknown] = {}
    passed: dict[str, int] = {}
    for kind in (t for t in types if t.name in asked):
        ours = wanted.get(kind.name, {})
        seen, failed = _decode(kind, ours, asked[kind.name], answers)
        resources |= {Address(kind.name, key): _observed(seen.get(key, Absent()), failed.get(key)) for key in ours}
        whole = failed.get("*")
        if whole and kind.name in listed:
            unlisted[kind.name] = whole
        elif kind.name in listed or kind.name in free:
            others = {k: s for k, s in seen.items() if k not in ours and not isinstance(s, Absent)}
            undeclared.update({Address(kind.name, k): s for k, s in others.items()})
            passed[kind.name] = kind.passed_over(_good(asked[kind.name], answers))
    told = {key: _evidence(answers[key]) for key in map(request_key, evidence)}
    others = {name: count for name, count in passed.items() if count}
    return Observed(resources, undeclared, unlisted, len(answers), told, others)


def _queries(
    types: Types, wanted: Wanted, listed: Collection[str], kept: Mapping[str, Collection[str]]
) -> Mapping[str, Sequence[Query]]:
    """What is asked first, for each type of which something is wanted."""
    return {
        t.name: t.queries({**dict.fromkeys(kept.get(t.name, ())), **wanted.get(t.name, {})}, t.name in listed)
        for t in types
        if wanted.get(t.name) or t.name in listed
    }


def _observed(seen: Any, failed: Unknown | None) -> Observation:
    """What is known of a wanted object by what was seen of it, which says nothing where reading it failed."""
    return failed or (seen if isinstance(seen, Absent) else Present(seen))


async def _resolve(
    wanted: Wanted,
    listed: Collection[str],
    types: Types,
    asked: Mapping[str, Sequence[Query]],
    answers: dict[str, Answer | TenantError],
    requests: Mapping[str, Request],
    ask: Callable[[Iterable[Request]], Awaitable[Mapping[str, Answer | TenantError]]],
) -> Mapping[str, Sequence[Query]]:
    """Ask what the answers call for, and add it to them; the queries of these types with those that were added."""
    for _ in range(_FOLLOW_UPS):
        more = {t.name: _follow_up(t, wanted, t.name in listed, asked[t.name], answers) for t in types}
        asked = {name: _joined(asked[name], queries) for name, queries in more.items()}
        new = _unanswered((q.request for queries in more.values() for q in queries), requests)
        if not new:
            break
        answers |= await ask(new)
        requests = united([*requests.values(), *new])
    return asked


def _joined(queries: Sequence[Query], more: Sequence[Query]) -> tuple[Query, ...]:
    """The queries with those that are not among them yet."""
    return (*queries, *(query for query in more if query not in queries))


def _unanswered(requests: Iterable[Request], asked: Mapping[str, Request]) -> Sequence[Request]:
    """Those that no answer tells: not asked yet, or for fewer columns, which are then asked for together."""
    found = united(requests)
    known = {key: asked[key] for key in found.keys() & asked.keys()}
    return [
        *(request for key, request in found.items() if key not in known),
        *(united([known[key], found[key]])[key] for key in sorted(known) if not tells(known[key], found[key])),
    ]


def _follow_up(
    kind: ResourceType[Any],
    wanted: Wanted,
    everything: bool,
    queries: Sequence[Query],
    answers: Mapping[str, Answer | TenantError],
) -> Sequence[Query]:
    """What a type wants to know besides, after its first answers; nothing, where it cannot read them."""
    try:
        return kind.follow_up(wanted.get(kind.name, {}), everything, _good(queries, answers))
    except ValueError:
        return ()  # `decode` meets the same answer, and says so


def _good(queries: Sequence[Query], answers: Mapping[str, Answer | TenantError]) -> list[tuple[Query, Answer]]:
    """The queries that were answered, with their answers; NotFound is one where the object may be missing."""
    found = [(query, answers[request_key(query.request)]) for query in queries]
    missing = [(q, Answer(missing=True) if isinstance(a, NotFound) and q.may_be_missing else a) for q, a in found]
    return [(query, answer) for query, answer in missing if isinstance(answer, Answer)]


def _passes(query: Query, error: TenantError) -> bool:
    """Whether a failure is one that the query allows for: nothing is unknown because of it."""
    missing = query.may_be_missing and isinstance(error, NotFound)
    return missing or (query.may_be_refused and isinstance(error, PermissionMissing | Refused))


def _evidence(answer: Answer | TenantError) -> Answer | Unknown:
    """That there is no such object is an answer without rows."""
    if isinstance(answer, NotFound):
        return Answer()
    return answer if isinstance(answer, Answer) else _unknown(answer)


def _unknown(error: TenantError) -> Unknown:
    """The reason with what to do about it: where a permission is missing, which one."""
    return Unknown(f"{error}. Fix: {error.hint}" if error.hint else str(error), error.kind)


async def _ask(
    requests: Iterable[Request], ports: Ports, reads: int, purpose: str = PLANNING
) -> dict[str, Answer | TenantError]:
    """Each distinct request once; a failure is kept as the answer."""
    distinct = united(requests)
    asked = tuple(distinct.values())
    gate, tell = asyncio.Semaphore(max(1, reads)), observer_of(ports)

    async def ask(request: Request) -> Answer | TenantError:
        async with gate:
            try:
                return await send(ports, request)
            except TenantError as error:
                return error

    tell(ReadingStarted(asked, purpose))
    failed = len(asked)
    try:
        answers = await together(map(ask, asked))
        failed = sum(not isinstance(_evidence(answer), Answer) for answer in answers)
    finally:
        tell(ReadingFinished(asked, failed))
    return dict(zip(distinct, answers, strict=True))


def _trusted(answers: dict[str, Answer | TenantError], purpose: str) -> dict[str, Answer | TenantError]:
    """The answers. For planning, raises the first error of an endpoint that is not trusted."""
    for answer in answers.values():
        if isinstance(answer, Untrusted) and purpose == PLANNING:
            raise answer
    return answers


def _decode(
    kind: ResourceType[Any],
    wanted: Mapping[str, Any],
    queries: Sequence[Query],
    answers: Mapping[str, Answer | TenantError],
) -> tuple[Mapping[str, Any], dict[str, Unknown]]:
    """What was seen by key, and the wanted keys that nothing can be said about; "*" stands for the undeclared ones."""
    good = _good(queries, answers)
    failed: dict[str, Unknown] = {}
    for query in queries:
        answer = answers[request_key(query.request)]
        if isinstance(answer, TenantError) and not _passes(query, answer):
            unknown = _unknown(answer)
            failed.update(dict.fromkeys(query.covers, unknown))
            failed["*"] = unknown
    try:
        decoded = kind.decode(wanted, good)
    except ValueError as error:
        unknown = Unknown(f"an answer has a form that this version does not know: {error}", "malformed")
        return {}, dict.fromkeys((*wanted, "*"), unknown)
    odd = {k: s for k, s in decoded.items() if isinstance(s, Unknown)}
    failed.update({k if k in wanted else "*": u for k, u in odd.items()})
    return {k: s for k, s in decoded.items() if k not in odd}, failed


async def send(ports: Ports, request: Request) -> Answer:
    """Send a request through the port that takes its kind."""
    match request:
        case Cmdlet():
            return await ports.exchange.run(request)
        case GraphRequest():
            return await ports.directory.send(request)
        case DnsQuery():
            return await ports.resolver.query(request)
        case ZoneQuery():
            return await ports.publisher.read(request)
        case DnsUpdate():
            return await ports.publisher.update(request)
