"""A service with quotas, and a client that keeps a pace, in simulated time: nothing waits, nothing is random twice."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from provisioner.tenant.pace import Pace

_ROUND_TRIP_S = 0.005
_BUSY_S = 2


@dataclass
class Service:
    """Takes `latency_s` for a request, `at_once` of them, and `per_s` a second in a window that slides.

    A refusal is answered at once, and counts. `jitter` makes answers and the way there longer by up to so many times.
    """

    per_s: float = math.inf
    at_once: float = math.inf
    window_s: float = 1.0
    latency_s: float = 0.3
    jitter: float = 0.0
    running: int = 0
    asked: int = 0
    refused: int = 0
    done: int = 0
    early: int = 0
    """Requests that came before the wait was over that a refusal asked for, and after that was known."""
    _recent: deque[float] = field(default_factory=deque)
    _known_at: float = -math.inf
    _quiet_until: float = -math.inf

    def answer(self, now: float) -> tuple[int, bool]:
        """Seconds to wait, 0 where the request is taken; and whether it was refused because too many are running."""
        self.asked += 1
        self.early += self._known_at < now < self._quiet_until
        while self._recent and self._recent[0] <= now - self.window_s:
            self._recent.popleft()
        self._recent.append(now)
        over = len(self._recent) - self.per_s * self.window_s
        wait_s, busy = 0, self.running >= self.at_once
        if over > 0:
            wait_s = max(1, math.ceil(self._recent[math.ceil(over) - 1] + self.window_s - now))
        elif busy:
            wait_s = _BUSY_S
        self.refused += wait_s > 0
        if now + wait_s > self._quiet_until and wait_s:
            self._known_at, self._quiet_until = now + _ROUND_TRIP_S * (2 + 4 * self.jitter), now + wait_s
        self.running += wait_s == 0
        return wait_s, busy and over <= 0


def run(
    service: Service,
    requests: int,
    ceiling: int = 32,
    during: Callable[[Service], object] = lambda _: None,
    pace: Pace | None = None,
    seed: int = 1,
    late_s: float = 0.0,
) -> float:
    """Seconds that so many requests take, which all wait from the beginning. `during` is called after each answer.

    The client wakes up to `late_s` later than it wants to, as on a machine that has other work.
    """
    chance, pace = random.Random(seed), pace or Pace(ceiling)
    queue: list[tuple[float, int, Callable[[float], None]]] = []
    numbers, waiting, now = itertools.count(), requests, 0.0

    def at(moment: float, what: Callable[[float], None]) -> None:
        heapq.heappush(queue, (moment, next(numbers), what))

    def arrive(now: float, sent: float) -> None:
        wait_s, busy = service.answer(now)
        if wait_s:
            at(now + _ROUND_TRIP_S, lambda now: refuse(now, sent, wait_s, busy))
        else:
            at(now + service.latency_s * chance.uniform(1, 1 + service.jitter), lambda now: end(now, sent))

    def end(now: float, sent: float) -> None:
        service.running -= 1
        service.done += 1
        pace.answered(now, "Set", sent)
        during(service)

    def refuse(now: float, sent: float, wait_s: int, busy: bool) -> None:
        pace.refused(now, sent, float(wait_s), at_once=busy)
        at(now + wait_s, again)

    def again(_: float) -> None:
        nonlocal waiting
        waiting += 1

    next_look = math.inf
    while service.done < requests:
        while waiting:
            leave = pace.leave(now, "Set")
            if not leave.count:
                if now + leave.wait_s < next_look:
                    next_look = now + leave.wait_s
                    at(next_look + late_s * chance.random(), lambda _: None)
                break
            waiting -= 1
            sent, way_s = now, _ROUND_TRIP_S * chance.uniform(1, 1 + 4 * service.jitter)
            at(now + way_s, lambda now, sent=sent: arrive(now, sent))  # type: ignore[misc]
        now, _, what = heapq.heappop(queue)
        next_look = math.inf if now >= next_look else next_look
        what(now)
    return now
