"""What must hold in every run, judged by the port's log, the journal and the rows: never by the engine's own word."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner import engine, mailflow
from provisioner.changes import ordering
from provisioner.changes.changeset import request_document
from provisioner.diagnostics import (
    ChangeSetStale,
    NotFound,
    PermissionMissing,
    Refused,
    TenantError,
    TenantIncomplete,
    Throttled,
    Unavailable,
    Unclear,
)
from provisioner.engine import Event, Finished, Outcome, Result, Started, Waiting, journal
from provisioner.model import (
    Action,
    Address,
    Answer,
    Change,
    ChangeSet,
    Cmdlet,
    Confirm,
    Desired,
    Effect,
    GraphRequest,
    Ref,
    Request,
    Send,
    goal_of,
    overlay,
    request_key,
)
from provisioner.resources.rows import enterprise_application
from tests.engine.lifecycle.port import Passage, Service
from tests.engine.lifecycle.truth import BY_NAME, in_force, is_after, is_before, truth

SUCCESS = frozenset({"done", "already_done"})
UNTOUCHED = frozenset({"skipped", "left", "held_back"})


class Wrong(AssertionError):
    """An invariant does not hold."""


def demand(holds: object, words: str) -> None:
    if not holds:
        raise Wrong(words)


# --- a plan ----------------------------------------------------------------------------------------------------------


def check_plan(desired: Desired, found: ChangeSet, service: Service, asked: Sequence[Passage], *, lied: bool) -> None:
    """Unknown never became a change, and every change is one that the tenant calls for."""
    changes = {c.address: c for c in found.changes}
    both = changes.keys() & found.unknown.keys()
    demand(not both, f"{sorted(map(str, both))} could not be read, and a change was planned")
    for address in _not_answered(desired, asked):
        demand(address in found.unknown, f"a read for {address} failed, and it is not unknown")
    named = {*changes, *found.unknown, *(c.address for c in found.checks), *(f.address for f in found.findings)}
    lost = [str(a) for a in desired.resources if a not in named]
    demand(not lost, f"the plan does not mention {lost}")
    if lied:
        return
    live = truth(service, changes.values(), shown=True)
    for address, change in changes.items():
        there = live[address]
        fits = {
            Action.NO_OP: is_after(change, there),
            Action.CREATE: there is None,
            Action.UPDATE: there is not None and not is_after(change, there),
            Action.DELETE: there is not None,
        }[change.action]
        demand(fits, f"{address}: {change.action} is planned, and the tenant has {there}")


def check_same(found: ChangeSet, sound: ChangeSet) -> None:
    """A read that fails, or whose answer has an unknown form, plans nothing else than a sound one: it plans nothing."""
    actions = {c.address: c.action for c in sound.changes}
    other = [f"{c.address}: {c.action}" for c in found.changes if c.action is not actions.get(c.address)]
    demand(not other, f"{other} is planned because a read failed")


def _told(passage: Passage) -> bool:
    """Whether a read was answered, or may go without an answer.

    Who may not test the scope of a role, does without (docs/settings.md, roles). Consent is read to be told: it is
    never ours to give, and no object of a plan is in force or not because of it.
    """
    request = passage.request
    untested = _name(request).startswith("Test-") and isinstance(passage.answer, PermissionMissing | Refused)
    consent = isinstance(request, GraphRequest) and (
        request.path in {role.path for role in enterprise_application.ROLES}
        or request.path.partition("?")[0].endswith("/appRoleAssignments")
    )
    return untested or consent or not isinstance(passage.answer, TenantError)


def _not_answered(desired: Desired, asked: Sequence[Passage]) -> Iterator[Address]:
    """The declared objects whose own question was not answered.

    A type asks for single objects or for all: the questions that were not all put are not its own, though another type
    may have put one of them. A question that a follow-up puts again, for more columns, counts by its last answer, but
    not where that says that there is nothing: evidence may be missing, and what was read stays.
    """
    last: dict[str, Passage] = {}
    for passage in asked:
        earlier = last.get(request_key(passage.request))
        if earlier is None or isinstance(earlier.answer, TenantError) or not isinstance(passage.answer, NotFound):
            last[request_key(passage.request)] = passage
    wanted: dict[str, dict[str, Any]] = {}
    for address, resource in desired.resources.items():
        wanted.setdefault(address.type, {})[address.key] = resource.spec
    for address in desired.absent:
        wanted.setdefault(address.type, {}).setdefault(address.key, None)
    for name, keys in wanted.items():
        for everything in (False, True):
            queries = BY_NAME[name].queries(keys, everything)
            for query in queries if last.keys() >= {request_key(q.request) for q in queries} else ():
                answer = last[request_key(query.request)].answer
                missing = isinstance(answer, NotFound) and query.may_be_missing
                if isinstance(answer, TenantError) and not missing:
                    yield from (Address(name, key) for key in query.covers)


# --- an apply --------------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Stands beside one apply: judges each write as it arrives and each result as it is told, and all of it after.

    `run` is the run's name in the journal, `since` the number of the first request that the change set rests on,
    `resumed` says that an earlier run of the same change set was cut off.
    """

    service: Service
    found: ChangeSet
    path: Path
    run: str
    since: int
    resumed: bool = False
    began: int = 0
    events: list[Event] = field(default_factory=list)
    openers: Mapping[Address, tuple[Change, int]] = field(default_factory=dict)
    stages: Mapping[Address, ordering.Stage] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = len(self.service.log)
        self.changes = {c.address: c for c in self.found.pending}
        self.stages = ordering.stages(self.changes.values())
        self.openers = {c.address: (c, self._turn_of_opener(c)) for c in self.found.changes if _opens(c)}
        self.moved = self._moved()

    def _turn_of_opener(self, change: Change) -> int:
        """0 for what opens before anything closes, 1 for what opens and closes in one write."""
        return 0 if change.action is Action.NO_OP or _middle(change) else int(self.stages[change.address])

    def _turn(self, address: Address) -> int:
        """When a change closes: 0 for never, 1 where the same write opens, 2 after all that opens."""
        stage = self.stages[address]
        return 2 if _middle(self.changes[address]) else int(stage)

    def _moved(self) -> bool:
        live = truth(self.service, self.changes.values(), shown=True)
        return any(not is_before(c, live[a]) and not is_after(c, live[a]) for a, c in self.changes.items())

    @property
    def struck(self) -> bool:
        """Whether the fault has struck since the plan was made."""
        return self.service.fault is not None and self.since <= self.service.at < len(self.service.log)

    @property
    def passages(self) -> Sequence[Passage]:
        return self.service.log[self.began :]

    # --- as it happens ----------------------------------------------------------------------------------------------

    def arriving(self, passage: Passage) -> None:
        """A write arrives. What is wrong is kept: an exception would be taken for the tenant's."""
        try:
            self._judge_write(passage)
        except Wrong as wrong:
            self.faults.append(str(wrong))

    def observe(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Finished):
            try:
                self._judge_result(event.result)
            except Wrong as wrong:
                self.faults.append(str(wrong))

    def _judge_write(self, passage: Passage) -> None:
        address = passage.address
        demand(address in self.changes, f"{passage.request} belongs to no change")
        assert address is not None
        change = self.changes[address]
        demand(not passage.stopped, f"{address}: {passage.request} was sent after the run was interrupted")
        if self.service.log[self.began : passage.number]:
            earlier = [p for p in self.service.log[self.began : passage.number] if p.address == address]
            demand(all(p.step <= passage.step for p in earlier), f"{address}: the steps are out of order")
        live = truth(self.service, [change], shown=True)[address]
        if change.action is Action.CREATE and _name(passage.request) == _first_cmdlet(change):
            demand(live is None, f"{address} was created although the tenant shows it")
        middle, turn = _middle(change), self._turn(address)
        if not turn or (middle and not is_after(middle, live)):
            return
        demand(not self._unseen(turn, change), f"{address} closes, and was sent although its openers could not be read")
        lacking = [str(a) for a in self._not_in_force(turn, address)]
        demand(not lacking, f"{address} closes, and was sent although {lacking} are not in force")

    def _needed(self, turn: int, closing: Address) -> Sequence[Change]:
        """What has to be in force before a change closes."""
        return [c for c, own in self.openers.values() if own < turn and c.address != closing]

    def _unseen(self, turn: int, closing: Change) -> bool:
        """Whether what is needed could not be read, at the last look before this write.

        A question for nothing but the closing object is not about that.
        """
        if not self.struck_at(engine.OPENINGS):
            return False
        asked = request_key(self.service.log[self.service.at].request)
        looks = [p for p in self.service.log[self.service.at :] if p.purpose == engine.OPENINGS and p.answer]
        if _told(next(p for p in reversed(looks) if request_key(p.request) == asked)):
            return False
        queries = BY_NAME[closing.address.type].queries({closing.address.key: closing.after}, False)
        own = asked in {request_key(query.request) for query in queries}
        types = {c.address.type for c in self._needed(turn, closing.address)}
        return not own or closing.address.type in types

    def _not_in_force(self, turn: int, closing: Address) -> Sequence[Address]:
        needed = self._needed(turn, closing)
        live = truth(self.service, needed, shown=True)
        return [c.address for c in needed if not (_has_opened(c, live[c.address]) and in_force(c, live[c.address]))]

    def _judge_result(self, result: Result) -> None:
        """What a status claims of the tenant, at the moment when it is told."""
        change = self.changes[result.address]
        live = truth(self.service, [change])[change.address]
        lags = self.service.tenant._pending
        shown = truth(self.service, [change], shown=True)[change.address] if lags else live
        shows = is_after(change, shown) and in_force(change, shown)
        mine = [p for p in self.passages if p.address == change.address and p.writes]
        if result.status in SUCCESS and not self._believed_a_lie(result):
            demand(shows, f"{change.address}: {result.status}, and the tenant shows {shown}")
        if result.status == "already_done":
            demand(not mine, f"{change.address}: already done, and something was sent")
        if result.status in UNTOUCHED:
            sent = [p for p in mine if result.status != "left" or p.stopped]
            if result.status == "held_back" and _middle(change):
                sent = [p for p in mine if p.step]  # what opens was sent, or was there from an earlier run
            demand(not sent, f"{change.address}: {result.status}, and something was sent")
        if result.status == "done":
            demand(self._was_read(change, mine), f"{change.address}: done, and it was not read back")
        if result.status == "failed" and not _takes_several(change):
            demand(is_before(change, live), f"{change.address}: failed, and the tenant has {live}")
        if result.status == "waiting":
            demand(not is_after(change, live), f"{change.address}: waiting, and the tenant has {live}")
        if result.status == "held_back":
            turn = self._turn(change.address)
            why = self.struck or self._not_in_force(turn, change.address) or self._unfinished(turn)
            demand(why, f"{change.address} was held back, and every opener is in force")
        if result.status == "unconfirmed":
            why = not shows or self.struck_at(engine.READING_BACK) or self._unclear_on_the_way(change, mine)
            demand(why, f"{change.address}: unconfirmed, and the tenant shows it")
            idle = is_after(change, shown) and not in_force(change, shown)
            demand(mine or idle, f"{change.address}: unconfirmed, and nothing was sent")
            demand(not (self.struck and self._is("shows late")), f"{change.address}: unconfirmed, and it shows in time")
        refused = [p for p in mine if type(p.answer) in _REFUSALS and not _not_yet(p)]
        demand(not refused or result.status == "failed", f"{change.address}: {result.status}, and it was refused")
        if result.status == "left":
            stopped = self.service.stop is not None and self.service.stop.is_set()
            demand(stopped, f"{change.address}: left, and nobody interrupted the run")

    def _believed_a_lie(self, result: Result) -> bool:
        """A complete answer without the object is believed: a deletion has nothing to do then."""
        fault, at = self.service.fault, self.service.at
        lied = fault is not None and fault.lies and self.struck and self.service.log[at].purpose == engine.RECHECKING
        return lied and result.status == "already_done" and result.action is Action.DELETE

    def _was_read(self, change: Change, mine: Sequence[Passage]) -> bool:
        """Whether a good answer came after the last write, to a question of the change's type."""
        last = max((p.number for p in mine), default=self.began)
        queries = BY_NAME[change.address.type].queries({change.address.key: change.after}, False)
        missing = {str(q.request): q.may_be_missing for q in queries}
        for passage in self.service.log[last:]:
            asked = str(passage.request)
            if passage.purpose != engine.READING_BACK or asked not in missing:
                continue
            odd = passage.number == self.service.at and self._is("odd rows") and change.action is not Action.DELETE
            absent = isinstance(passage.answer, NotFound) and missing[asked]
            if (isinstance(passage.answer, Answer) and not odd) or absent:
                return True
        return False

    def struck_at(self, purpose: str) -> bool:
        """Whether the fault has struck a request of this purpose."""
        return self.struck and self.service.log[self.service.at].purpose == purpose

    def _unclear_on_the_way(self, change: Change, mine: Sequence[Passage]) -> bool:
        """Whether no clear answer came to a write before the last one."""
        return any(isinstance(p.answer, Unclear) and p.step < len(change.steps) - 1 for p in mine)

    def _is(self, name: str) -> bool:
        return self.service.fault is not None and self.service.fault.name == name

    def _unfinished(self, turn: int) -> bool:
        ended = {e.result.address: e.result.status for e in self.events if isinstance(e, Finished)}
        return any(own < turn and ended.get(a, "done") not in SUCCESS for a, (_, own) in self.openers.items())

    # --- afterwards -------------------------------------------------------------------------------------------------

    def check(self, outcome: Outcome | None, error: Exception | None) -> None:
        """The account, the log and the journal agree; None and no error for a run that was killed."""
        demand(not self.faults, "; ".join(self.faults[:3]))
        writes = [p for p in self.passages if p.writes]
        if error is not None:
            demand(not writes, f"{type(error).__name__}, and something was written")
            if isinstance(error, ChangeSetStale):
                lied = self.struck and self.service.fault is not None and self.service.fault.lies
                demand((self.moved and not self.resumed) or lied, f"stale, and nothing has moved: {error.moved}")
            else:
                demand(isinstance(error, TenantIncomplete) and self.struck, f"it ended with {error!r}")
        elif self.moved and not self.resumed and outcome is not None:
            raise Wrong("an object has moved since it was planned, and the change set was applied")
        self._check_sends(writes)
        self._check_journal(outcome, killed=outcome is None and error is None)
        if outcome is not None:
            self._check_account(outcome)

    def _check_sends(self, writes: Sequence[Passage]) -> None:
        """Nothing is sent twice but what was certainly not carried out, or may be repeated."""
        succeeded: Counter[tuple[Address | None, int]] = Counter()
        for passage in writes:
            key = (passage.address, passage.step)
            demand(not succeeded[key], f"{passage.request} of {passage.address} was sent again after it had succeeded")
            succeeded[key] += isinstance(passage.answer, Answer)
            surely_not = {"Throttled", "Unavailable"}
            if not _repeatable(passage.request):
                again = passage.outcomes[:-1]
                demand(set(again) <= surely_not, f"{passage.request} was sent again after {again}")
                demand(passage.effects <= 1, f"{passage.request} was carried out {passage.effects} times")
            change = self.changes.get(passage.address) if passage.address else None
            left = self.resumed and change and _takes_several(change)  # the steps that are left are others
            demand(change and (left or _is_step(change, passage)), f"{passage.request} is not what the plan shows")
        self._check_repeats(writes)

    def _check_repeats(self, writes: Sequence[Passage]) -> None:
        """A step is sent again only where its refusal means "not yet"."""
        tried: dict[tuple[Address | None, int], Passage] = {}
        for passage in writes:
            earlier = tried.get((passage.address, passage.step))
            if earlier is not None and passage.address is not None:
                demand(_not_yet(earlier), f"{passage.request} was sent again after {earlier.answer!r}")
            tried[passage.address, passage.step] = passage

    def _check_account(self, outcome: Outcome) -> None:
        """Every change has one status, and every status but success its reason."""
        told = [e.result for e in self.events if isinstance(e, Finished)]
        demand([r.address for r in outcome.results] == [*self.changes], "the account does not name every change once")
        demand(len(told) == len(outcome.results), "not every change has ended once")
        demand({r.address: r for r in told} == {r.address: r for r in outcome.results}, "the events tell other results")
        demand(outcome.converged == all(r.status in SUCCESS for r in outcome.results), "converged is said wrongly")
        for result in outcome.results:
            demand(result.action is self.changes[result.address].action, f"{result.address}: another action")
            if not self.struck and not self.resumed and not self._idle():
                demand(result.status in {*SUCCESS, "waiting"}, f"{result}, and nothing went wrong")
            if result.status not in SUCCESS:
                demand(result.detail, f"{result.address}: {result.status} without a reason")
        begun = Counter(e.change.address for e in self.events if isinstance(e, Started))
        demand(max(begun.values(), default=0) <= 1, "a change was begun twice")
        stopped = next((n for n, e in enumerate(self.events) if isinstance(e, Stopped)), None)
        if stopped is not None:
            demand(not any(isinstance(e, Waiting) for e in self.events[stopped:]), "it waits although interrupted")
            fresh = [str(e.change.address) for e in self.events[stopped:] if isinstance(e, Started)]
            demand(not fresh, f"{fresh} was begun although the run was interrupted")

    def _idle(self) -> bool:
        """Whether something that is as declared has no effect, so that closing changes have to wait."""
        idle = (c for c, _ in self.openers.values() if c.action is Action.NO_OP)
        return any(not in_force(c, c.observed) for c in idle)

    def _check_journal(self, outcome: Outcome | None, *, killed: bool) -> None:
        """What the journal says was intended, sent and answered is what arrived at the port."""
        verdict = journal.verify(self.path)
        demand(not verdict.faults, f"the journal: {verdict.faults}")
        entries = [(e, at) for e, at in _entries(self.path) if e["run"] == self.run]
        intended = [(e["address"], e["step"], e["request"], at) for e, at in entries if e["kind"] == "sending"]
        steps = [p for p in self.passages if p.address is not None]
        arrived = [(str(p.address), p.step, request_document(_sent(p.request))) for p in steps]
        demand([i[:3] for i in intended][: len(arrived)] == arrived, "the journal's intentions are not what arrived")
        demand(killed or len(intended) == len(arrived), "the journal intends a write that never arrived")
        for (address, _, _, at), passage in zip(intended, steps, strict=False):
            demand(at <= passage.journalled, f"{address}: {passage.request} was sent before it was journalled")
        answered = [(e["address"], e["step"], e["ok"]) for e, _ in entries if e["kind"] == "answered"]
        came = [
            (str(p.address), p.step, isinstance(p.answer, Answer)) for p in steps if p.answer is not None or not killed
        ]
        demand(killed or Counter(answered) == Counter(came), "the journal's answers are not those that came")
        finished = {e["address"]: e["status"] for e, _ in entries if e["kind"] == "finished"}
        if outcome is not None:
            demand(finished == {str(r.address): r.status for r in outcome.results}, "the journal has other statuses")


class Stopped:
    """Put among the events where the run was interrupted."""


_REFUSALS = (Refused, PermissionMissing, Throttled, Unavailable)


def _not_yet(passage: Passage) -> bool:
    """Whether a refusal says that DNS does not show yet what it has to."""
    return "CNAME record does not exist for this config" in str(passage.answer)


def _opens(change: Change) -> bool:
    """Whether a change opens a sending path; of an unchanged object, whether it is one or is meant to be."""
    if change.after is None:
        return False
    kind, goal = BY_NAME[change.address.type], goal_of(change)
    if change.action is Action.NO_OP:
        return Effect.OPENS in mailflow.effects(kind, None, goal) or bool(kind.in_force(change.after, goal))
    return Effect.OPENS in mailflow.effects(kind, change.observed, goal)


def _middle(change: Change) -> Change | None:
    """Of a change in two writes the first one."""
    shows = next((step.shows for step in change.steps if isinstance(step, Confirm)), None)
    return None if shows is None else dataclasses.replace(change, after=shows)


def _takes_several(change: Change) -> bool:
    """Whether a change takes several writes, so that it can be left half-way."""
    return sum(isinstance(step, Send) and not step.request.reads for step in change.steps) > 1


def _has_opened(change: Change, live: Any) -> bool:
    """Whether what a change opens is open: it is carried out, or what is left of it opens nothing more."""
    middle = _middle(change)
    if is_after(change, live) or bool(middle and is_after(middle, live)):
        return True
    kind = BY_NAME[change.address.type]
    return live is not None and Effect.OPENS not in mailflow.effects(kind, live, overlay(change.after, live))


def _repeatable(request: Request) -> bool:
    """By the verb alone: New, Add and Remove are not (the second Remove says that it is gone)."""
    return str(request).partition("-")[0] in {"Set", "Enable", "Disable"}


def _name(request: Request) -> str:
    return request.name if isinstance(request, Cmdlet) else ""


def _first_cmdlet(change: Change) -> str:
    """The cmdlet that a creation begins with. A run that goes on with one sends what is left."""
    return next(_name(step.request) for step in change.steps if isinstance(step, Send) and not step.request.reads)


def _is_step(change: Change, passage: Passage) -> bool:
    """Whether a request is the step of its change, with a value from an answer in place of each reference to one."""
    step = change.steps[passage.step]
    if not isinstance(step, Send) or not isinstance(step.request, Cmdlet):
        return False
    sent = _sent(passage.request)
    references = {name for name, value in step.request.parameters.items() if isinstance(value, Ref)}
    if any(sent.parameters.get(name) is None or isinstance(sent.parameters[name], Ref) for name in references):
        return False
    filled = {**step.request.parameters, **{name: sent.parameters[name] for name in references}}
    return request_document(dataclasses.replace(step.request, parameters=filled)) == request_document(sent)


def _sent(request: Request) -> Cmdlet:
    """What the journal can hold: Graph and DNS are only read."""
    assert isinstance(request, Cmdlet)
    return request


def _entries(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Each entry with the size of the journal up to its end."""
    at = 0
    for line in path.read_bytes().splitlines(keepends=True):
        at += len(line)
        yield json.loads(line), at
