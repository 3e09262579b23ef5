"""Sending: the steps of one change in turn, and what an answer means for the steps after it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from provisioner.diagnostics import NotFound, PermissionMissing, Refused, TenantError, Unclear
from provisioner.engine.deriving import foreign
from provisioner.engine.events import DONE, FAILED, LEFT, UNCONFIRMED, WAITING, Answered, Result, Sending
from provisioner.engine.reading import send
from provisioner.engine.run import Run
from provisioner.engine.waiting import Patience, until_published
from provisioner.model import (
    Action,
    Answer,
    Await,
    Change,
    Cmdlet,
    Confirm,
    DnsUpdate,
    Parameter,
    Ref,
    Row,
    Send,
    Write,
)


class Sender:
    """One change on its way through its steps."""

    def __init__(self, run: Run, change: Change) -> None:
        self._run, self._change = run, change
        self._patience = Patience(run, change)
        self._answers: list[Answer] = []

    @property
    def begun(self) -> bool:
        """Whether any step was carried out."""
        return bool(self._answers)

    @property
    def interrupted(self) -> str:
        """How far the change came, for a run that is interrupted now, or may not write."""
        if isinstance(self._run.failure, PermissionMissing):
            return f"not sent, because the account may not write: {self._run.failure}"
        if not self._answers:
            return "interrupted before it was begun"
        return f"interrupted after {len(self._answers)} of {len(self._change.steps)} steps"

    async def carry_out(self, steps: range) -> Result:
        """Carry out steps in turn, after those before. DONE when all went through, still to be confirmed."""
        warnings: list[str] = []
        blocked = ""
        for number in steps:
            step = self._change.steps[number]
            if isinstance(step, Confirm):  # it was waited for before these steps
                self._answers.append(Answer())
                continue
            if isinstance(step, Await):
                unmet = await self._await(step)
                if unmet:
                    return self._ended(WAITING, unmet, warnings)
                self._answers.append(Answer())
                continue
            last = number == steps[-1]
            answer = await self._send(number, step, last=last)
            while isinstance(answer, Result) and answer.status == WAITING and await self._patience.lasts(answer.detail):
                answer = await self._send(number, step, last=last)
            if isinstance(answer, Result):
                return dataclasses.replace(answer, warnings=(*warnings, *answer.warnings))
            self._answers.append(answer)
            self._run.has_begun(self._change)
            warnings.extend(answer.warnings)
            blocked = next((w for w in answer.warnings if _has(step.blocked_on, w)), blocked)
        return self._ended(DONE, blocked, warnings)

    def _ended(self, status: str, detail: str, warnings: Sequence[str] = ()) -> Result:
        return Result(self._change.address, self._change.action, status, detail, tuple(warnings))

    async def _await(self, step: Await) -> str:
        """ "" once the records of a step are published; otherwise what is missing."""
        try:
            records = [(r.name, r.type, str(_value(r.value, self._answers))) for r in step.records]
        except LookupError as error:
            return f"{error}, which has to be published: apply again, which reads it"
        published = await self._run.publishing((r.name, r.type) for r in step.records)
        if published:  # this run has just published them: they are awaited as every write is
            self._patience.at_least(self._run.confirm_s)
        return await until_published(self._run, records, self._patience)

    async def _send(self, number: int, step: Send, *, last: bool) -> Answer | Result:
        """One write. A Result when the change cannot go on."""
        wrong = foreign(self._run.kind(self._change.address), self._change, number)
        if wrong:
            return self._ended(FAILED, f"step {number + 1} was not sent: {wrong}. Plan again")
        try:
            request = step.request if isinstance(step.request, DnsUpdate) else resolve(step.request, self._answers)
        except LookupError as error:
            return self._ended(FAILED, str(error))
        async with contextlib.AsyncExitStack() as held:
            if isinstance(request, Cmdlet):  # whether the account may write to Exchange, DNS does not say
                await held.enter_async_context(self._run.alone())
            if self._run.stop.is_set():
                return self._ended(LEFT, self.interrupted)
            answer = await self._asked(number, request)
        return self._refusal(step, answer, last=last) if isinstance(answer, TenantError) else answer

    async def _asked(self, number: int, request: Write) -> Answer | TenantError:
        """The answer to one write. Where the very first is refused for want of a permission, nothing else is sent."""
        self._run.tell(Sending(self._change, number, request))
        self._run.sent.add(self._change.address)
        try:
            answer: Answer | TenantError = await send(self._run.ports, request)
        except TenantError as error:
            answer = error
        self._run.tell(Answered(self._change, number, request, answer))
        if isinstance(request, DnsUpdate):
            return answer
        if isinstance(answer, PermissionMissing) and not self._run.may_write:
            self._run.break_off(answer)
        self._run.may_write |= isinstance(answer, Answer | Refused)
        return answer

    def _refusal(self, step: Send, error: TenantError, *, last: bool) -> Answer | Result:
        if isinstance(error, NotFound) and self._change.action is Action.DELETE:
            return Answer()
        if isinstance(error, Refused) and _has(step.waits_on, error.summary):
            return self._ended(WAITING, error.summary)
        if isinstance(error, Refused) and error.beside_success and last:
            return Answer(warnings=(f"{error}; the tenant was read to see whether it was carried out",))
        if isinstance(error, Unclear) and last:
            # It is not sent again: reading back tells whether it was carried out.
            return Answer(warnings=(f"no clear answer came ({error}); the tenant was read instead",))
        if isinstance(error, Unclear) and not step.request.reads:
            detail = f"{error}; it may have been carried out: plan again, which goes on from what exists"
            return self._ended(UNCONFIRMED, detail)
        hint = f": {error.hint}" if error.hint else ""
        return self._ended(FAILED, f"{error}{hint}")


def resolve(request: Cmdlet, answers: Sequence[Answer]) -> Cmdlet:
    """The request with every reference to an earlier answer replaced. Raises LookupError where an answer lacks it."""
    return Cmdlet(request.name, {n: _value(p, answers) for n, p in request.parameters.items()})


def _value(parameter: Parameter, answers: Sequence[Answer]) -> Parameter:
    if not isinstance(parameter, Ref):
        return parameter
    rows: tuple[Row, ...] = answers[parameter.step].rows if parameter.step < len(answers) else ()
    if not rows or rows[0].get(parameter.property) is None:
        raise LookupError(f"the answer to step {parameter.step + 1} has no {parameter.property}")
    value: Parameter = rows[0][parameter.property]
    return value


def _has(fragments: Sequence[str], text: str) -> bool:
    return any(f.lower() in text.lower() for f in fragments)
