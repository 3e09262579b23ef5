"""How fast a service may be asked, learned from its answers: requests at once, and requests a second. Pure.

Requests at once grow while they are all in use: by one with each answer until the service first asks to wait, then by
one with each round of answers. They shrink by a part when it asks to wait (429), is overloaded (503), or takes longer
and longer (additive increase, multiplicative decrease).

Of a rate nothing is known until a request is refused. What was taken before that tells it (`_measured`), and from then
on requests are spaced evenly, a little slower than that. Half a minute later the rate is tried upward, at first by
hardly anything, so that under a quota fewer than one request in a hundred is refused. Everything that is asked waits
until the Retry-After of any refusal is over: Microsoft counts requests that come too early against the quota (Learn,
"Microsoft Graph throttling guidance").

Times are seconds of any clock that never goes back.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

_FIRST_AT_ONCE = 4
_FEWER, _OVERLOADED, _SLOWER = 0.7, 0.5, 0.8
"""What is left of the requests at once after a refusal for their rate, an overload, and answers that take longer."""

_MARGIN, _TRIED_AFTER_S, _STEP, _STEP_S = 0.97, 45.0, 0.01, 10.0
"""The share of the measured rate that is used, and when more is tried: then `_STEP` more after `_STEP_S`, eight times
that after twice as long."""

_CLOSE = 0.9
"""What is left of the requests at once that were taken when one more was refused. More than these are tried again after
`_TRIED_AFTER_S`."""

_EVIDENCE = 10
"""So many requests must have been taken before they tell a rate."""

_REMEMBERED = 10_000
_AT_ONCE_S = 0.002
"""A wait that is not longer is none: an event loop does not sleep more exactly."""

_LATE_S = 0.025
"""What is made up for of a wake-up that comes late, as on a machine that has other work: in a second 2.5 % more, which
the margin of the rate holds. Else each delay would be lost, a fifth of the rate at 20 requests a second."""

_ABREAST = 1.25
"""While a rate is not known, a round of requests is spread over the time that an answer takes, less a fifth of it."""

_NOTICED, _NOTICED_S, _WEIGHT = 2.0, 0.05, 0.25
"""Answers take longer once their average is so many times the best, and so many seconds more."""


@dataclass(frozen=True, slots=True)
class Leave:
    """How many requests may be sent now, or in how many seconds to ask again (infinite: after the next answer)."""

    count: int
    wait_s: float = 0.0


@dataclass(slots=True)
class _Latency:
    """Seconds that answers of one kind take: the best, and on average of late."""

    best: float
    lately: float

    def add(self, seconds: float) -> None:
        self.best = min(self.best, seconds)
        self.lately += _WEIGHT * (seconds - self.lately)

    @property
    def rising(self) -> bool:
        return self.lately > _NOTICED * self.best + _NOTICED_S


@dataclass(slots=True)
class Pace:
    """The pace of one service. `ceiling` bounds the requests at once.

    `batches`: what is sent at once may be several requests, which the other side carries out in turn; then `ceiling`
    counts batches. Every `leave` that gives more than nothing is followed by one of `answered`, `refused`, `overloaded`
    or `ended`, with the time at which it was sent.
    """

    ceiling: int
    batches: bool = False
    at_once: float = 0.0
    in_flight: int = 0
    _growing_fast: bool = True
    _rate: float | None = None
    _rate_since: float = 0.0
    _next: float = -math.inf
    _quiet_until: float = -math.inf
    _slowed_at: float = -math.inf
    _refused_at: float = -math.inf
    _taken: float = math.inf
    _full_at: float = -math.inf
    _sent: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _latency: dict[str, _Latency] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.at_once = float(self.ceiling if self.batches else min(self.ceiling, _FIRST_AT_ONCE))

    @property
    def most(self) -> int:
        """How many may be under way now."""
        return max(1, int(self.at_once))

    def rate(self, now: float) -> float | None:
        """Requests a second, None where nothing limits them."""
        if self._rate is None:
            return None
        more = max(0.0, now - self._rate_since - _TRIED_AFTER_S) / _STEP_S
        return float(self._rate * (_MARGIN + _STEP * more**3))

    def quiet_s(self, now: float) -> float:
        """Seconds that the service still wants not to be asked."""
        return max(0.0, self._quiet_until - now)

    def leave(self, now: float, kind: str, wanted: int = 1) -> Leave:
        """Whether requests of a kind may be sent now: `wanted` of them at once, or of a batch as many as is fit."""
        if now < self._quiet_until:
            return Leave(0, self._quiet_until - now)
        if self.in_flight >= self.most:
            return Leave(0, math.inf)
        if self._next - now > _AT_ONCE_S:
            return Leave(0, self._next - now)
        rate = self.rate(now)
        count = min(wanted, max(1, int(rate))) if self.batches and rate is not None else wanted
        self._next = max(self._next, now - _LATE_S) + count * self._apart(kind, rate)
        self._sent.extend([now] * count)
        self.in_flight += 1
        if self.in_flight >= self.most:
            self._full_at = now
        return Leave(count)

    def answered(self, now: float, kind: str, sent: float) -> None:
        """The service answered, well or not."""
        self._leave_place()
        took_s = now - sent
        latency = self._latency.setdefault(kind, _Latency(took_s, took_s))
        latency.add(took_s)
        if latency.rising and self.at_once > _FIRST_AT_ONCE and sent > self._slowed_at:
            self._shrink(now, max(_FIRST_AT_ONCE, self.at_once * _SLOWER))
        elif self._full_at >= sent:
            more = 1.0 if self._growing_fast else 1.0 / self.at_once
            highest = self._taken if now < self._slowed_at + _TRIED_AFTER_S else math.inf
            self.at_once = min(self.ceiling, max(self.at_once, min(highest, self.at_once + more)))

    def refused(self, now: float, sent: float, retry_after_s: float | None, *, at_once: bool = False) -> bool:
        """The service asked to wait. `at_once`: because too many requests are under way, not because of their rate.

        Requests that were sent before it was noticed change nothing any more: whether this one did is returned.
        """
        running = self.in_flight
        self._leave_place()
        news = self._noticed(now, sent)
        if news:
            if at_once:
                self._taken = max(1.0, running - 1.0)
                self._shrink(now, _CLOSE * self._taken)
            else:
                self._learn_rate(now, retry_after_s or 0.0)
                needed = 1.5 * (self._rate or 0.0) * self._slowest()
                self._shrink(now, max(needed, _FEWER * min(self.at_once, running)))
        self._be_quiet(now, retry_after_s)
        return news

    def overloaded(self, now: float, sent: float, retry_after_s: float | None) -> bool:
        """The service is not available for now; likewise."""
        running = self.in_flight
        self._leave_place()
        news = self._noticed(now, sent)
        if news:
            self._shrink(now, _OVERLOADED * min(self.at_once, running))
        self._be_quiet(now, retry_after_s)
        return news

    def _noticed(self, now: float, sent: float) -> bool:
        """Whether a refusal is news: slower answers before it tell neither a rate nor a limit."""
        news = sent > self._refused_at
        self._refused_at = now if news else self._refused_at
        return news

    def ended(self) -> None:
        """It ended without an answer that tells anything."""
        self._leave_place()

    def _leave_place(self) -> None:
        self.in_flight -= 1

    def _apart(self, kind: str, rate: float | None) -> float:
        """Seconds between two requests."""
        if rate is not None:
            return 1.0 / rate
        latency = self._latency.get(kind)
        return latency.best / self.at_once / _ABREAST if latency and not self.batches else 0.0

    def _slowest(self) -> float:
        return max((latency.lately for latency in self._latency.values()), default=0.0)

    def _shrink(self, now: float, at_once: float) -> None:
        self.at_once = min(max(1.0, at_once), float(self.ceiling))
        self._growing_fast = False
        self._slowed_at = now

    def _be_quiet(self, now: float, seconds: float | None) -> None:
        self._quiet_until = max(self._quiet_until, now + (seconds or 0.0))
        self._next = max(self._next, self._quiet_until)
        if self._rate is not None:
            self._rate_since = max(self._rate_since, self._quiet_until)

    def _learn_rate(self, now: float, retry_after_s: float) -> None:
        measured = self._measured(now, retry_after_s)
        if self._rate is not None:
            self._rate = max(measured or 0.0, _FEWER * self._rate)
        else:
            self._rate = measured
        self._rate_since = now
        self._sent.clear()

    def _measured(self, now: float, retry_after_s: float) -> float | None:
        """The rate that the requests since the last refusal tell; None where there are too few.

        A quota is for a time that nobody knows. What was taken in the last second is the rate of a short one. Of a long
        one all of it may be used up at once: then the wait that is asked for belongs to the time. It is rounded up to
        whole seconds, of which one tells nothing.
        """
        taken = list(self._sent)[:-1]  # the last one stands for the one that was refused
        wait_s = max(0.0, retry_after_s - 1.0)
        rates = [
            count / (max(1.0, now - sent) + wait_s)
            for count, sent in enumerate(reversed(taken), 1)
            if count >= _EVIDENCE
        ]
        return max(rates, default=None)
