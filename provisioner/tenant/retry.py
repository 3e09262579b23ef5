"""The one owner of retries, for every adapter: what may be repeated, how long to wait, when to give up.

The SDKs' own retries are switched off, so that waiting happens in one place, is shown, and ends within a stated time.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import tenacity

from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import TenantError, Throttled, Unavailable, Unclear
from provisioner.model import Cmdlet, GraphRequest, Request
from provisioner.tenant import limits
from provisioner.tenant.limiter import Limiter

T = TypeVar("T")
OnWait = Callable[[Request, float, TenantError], None]
"""Told (request, seconds, what went wrong) before each wait."""

_TRIES = 6  # the first and five more, as Microsoft's own module does
_LONGEST_S = 32.0


def _nothing(request: Request, seconds: float, error: TenantError) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A policy. `budget_s` bounds the time, by `clock`, from the first try to the end of the last wait."""

    budget_s: float = 120.0
    on_wait: OnWait = _nothing
    clock: Clock = SYSTEM

    async def call(
        self,
        request: Request,
        send: Callable[[], Awaitable[T]],
        *,
        repeat_unclear: bool | None = None,
        limiter: Limiter | None = None,
    ) -> T:
        """Send until it is answered. Raises the last error, with a word on the waiting where that was the end of it.

        `repeat_unclear`: whether to send again what may have been carried out; by default what may be repeated. Each
        try has a place of the `limiter`. The wait for the first one is not a part of the budget.
        """
        again = request.repeatable if repeat_unclear is None else repeat_unclear
        began: float | None = None

        async def once() -> T:
            nonlocal began
            async with self._place(request, limiter):
                began = self.clock.monotonic() if began is None else began
                return await send()

        def enough(state: tenacity.RetryCallState) -> bool:
            now = self.clock.monotonic()
            took_s = now - (now if began is None else began)
            return state.attempt_number >= _TRIES or took_s + state.upcoming_sleep >= self.budget_s

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, TenantError):
                self.on_wait(request, state.upcoming_sleep, error)

        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(partial(_worth_it, again)),
            wait=_wait,
            stop=enough,
            sleep=self.clock.sleep,
            before_sleep=tell,
            reraise=True,
        )
        try:
            return await tries(once)
        except TenantError as error:
            self._name_budget(error)
            attempts = 1 if isinstance(error, Throttled) else tries.statistics.get("attempt_number", 1)
            if attempts > 1 and _worth_it(again, error):
                error.summary = f"{error.summary} (tried {attempts} times)"
            raise

    def _place(self, request: Request, limiter: Limiter | None) -> AbstractAsyncContextManager[None]:
        """A place for one try; there is always one without a limiter."""
        return nullcontext() if limiter is None else limiter.place(kind_of(request), self.budget_s)

    def _name_budget(self, error: TenantError) -> None:
        """Say so where the service asks for a longer wait than is allowed."""
        asked = _asked(error)
        if asked is not None and asked > self.budget_s:
            error.hint = f"the service asks for {asked:.0f} s; timeouts.retry_s allows {self.budget_s:.0f} s"


def _worth_it(again: bool, error: BaseException) -> bool:
    """Whether to send once more; `again`: also what may have been carried out."""
    if isinstance(error, Throttled | Unavailable):
        return True
    return isinstance(error, Unclear) and again


def kind_of(request: Request) -> str:
    """What requests have in common that take about as long: the cmdlet, or the first part of a path of Graph."""
    match request:
        case Cmdlet(name=name):
            return name
        case GraphRequest(method=method, path=path):
            return f"{method} {path.strip('/').partition('/')[0].partition('?')[0]}"
    return type(request).__name__


def _wait(state: tenacity.RetryCallState) -> float:
    """What the service asks for, or 2, 4, 8 … seconds less a random part, so that callers do not march in step."""
    asked = _asked(state.outcome.exception() if state.outcome else None)
    if asked is not None:
        return asked
    return min(_LONGEST_S, 2.0**state.attempt_number) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _asked(error: BaseException | None) -> float | None:
    """How long the service asks to wait, if it does."""
    return error.retry_after_s if isinstance(error, Throttled | Unavailable) else None


def retry_after_s(headers: Mapping[str, str], clock: Clock = SYSTEM) -> float | None:
    """Seconds that a Retry-After asks for, None where there is none that can be read. Names of headers in lower case.

    It is a number of seconds or a date (RFC 9110, 10.2.3). A date is meant by the sender's clock, which Date tells
    (6.6.1); one that is over asks for nothing.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return min(float(text[:20]), limits.LONGEST_RETRY_AFTER_S)
    until = _moment(text)
    if until is None:
        return None
    now = _moment(headers.get("date", "")) or clock.now()
    return min(max(0.0, (until - now).total_seconds()), limits.LONGEST_RETRY_AFTER_S)


def _moment(text: str) -> dt.datetime | None:
    """An HTTP date in any of its three forms (RFC 9110, 5.6.7); each is UTC."""
    try:
        found = email.utils.parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
