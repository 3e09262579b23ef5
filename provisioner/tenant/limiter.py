"""The one gate of a service: every request of a run passes it, and all of them keep the pace that `Pace` has learned.

There is one for each tenant and service, made where the ports are opened (`connect`). Who comes first is let through
first. What waits longer than its own patience is given up as if the service had refused it: it was not sent.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Malformed, TenantError, Throttled, Unavailable, Unclear, Untrusted
from provisioner.tenant.pace import Pace


@dataclasses.dataclass(frozen=True, slots=True)
class Slowdown:
    """A service asked for fewer requests. `per_s` is None where nothing limits their rate; all wait for `quiet_s`."""

    service: str
    at_once: int
    per_s: float | None
    quiet_s: float


OnSlowdown = Callable[[Slowdown], None]


def _nothing(slowdown: Slowdown) -> None:
    """Nobody watches."""


@dataclasses.dataclass(slots=True)
class Place:
    """A place among the requests under way. `count` is how many of those that were wanted may go."""

    kind: str
    sent: float
    count: int


class Limiter:
    """Lets requests to one service pass. `ceiling` bounds those under way; with `batches` it bounds batches of them."""

    def __init__(
        self,
        service: str,
        ceiling: int,
        clock: Clock = SYSTEM,
        on_slowdown: OnSlowdown = _nothing,
        *,
        batches: bool = False,
    ) -> None:
        self._service, self._clock, self._on_slowdown = service, clock, on_slowdown
        self._pace = Pace(max(1, ceiling), batches=batches)
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()
        self._refusal: Throttled | Unavailable | None = None

    @asynccontextmanager
    async def place(self, kind: str, patience_s: float = math.inf, wanted: int = 1) -> AsyncIterator[None]:
        """A place for what counts as so many requests of a kind, for as long as the block lasts.

        What the block raises is what the service answered. Raises the last refusal where all have to wait longer than
        `patience_s` for it.
        """
        place = await self.enter(kind, patience_s, wanted)
        try:
            yield
        except TenantError as error:
            self.leave(place, error)
            raise
        except BaseException:
            self.leave(place, Unclear("interrupted"))
            raise
        self.leave(place, None)

    async def enter(self, kind: str, patience_s: float = math.inf, wanted: int = 1) -> Place:
        """A place that `leave` gives back."""
        async with self._turn:
            while True:
                now = self._clock.monotonic()
                self._give_up(now, kind, patience_s)
                leave = self._pace.leave(now, kind, wanted)
                if leave.count:
                    return Place(kind, now, leave.count)
                if math.isinf(leave.wait_s):
                    self._left.clear()
                    await self._left.wait()
                else:
                    await self._clock.sleep(leave.wait_s)

    def _give_up(self, now: float, kind: str, patience_s: float) -> None:
        quiet_s, refusal = self._pace.quiet_s(now), self._refusal
        if refusal is not None and quiet_s > patience_s:
            raise dataclasses.replace(refusal, call=kind, request_id="", retry_after_s=quiet_s)

    def leave(self, place: Place, error: TenantError | None) -> None:
        """What became of a request: an error, or None for an answer."""
        now, slower = self._clock.monotonic(), False
        match error:
            case Throttled(own_quota=False):
                at_once = "concurrent" in error.summary
                slower = self._pace.refused(now, place.sent, error.retry_after_s, at_once=at_once)
                self._refusal = error
            case Unavailable(status=503):
                slower = self._pace.overloaded(now, place.sent, error.retry_after_s)
                self._refusal = error
            case Throttled() | Unavailable() | Unclear() | Malformed() | Untrusted():
                self._pace.ended()
            case _:
                self._pace.answered(now, place.kind, place.sent)
        self._left.set()
        if slower:
            pace = self._pace
            self._on_slowdown(Slowdown(self._service, pace.most, pace.rate(now), pace.quiet_s(now)))
