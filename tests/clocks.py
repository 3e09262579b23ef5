"""A clock that never waits: time passes when somebody waits for it. And waiting for what others really do."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import math
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from provisioner.clock import SYSTEM, Deadline

_LOOK_S = 0.01


class FastClock:
    """Each wait moves time to its end. Who sleep side by side wake in their order, and time passes once for all.

    It begins at `start`, or now. What others take to answer is real, and so are deadlines. `moved` is told the seconds
    that have passed; `after` has something done at a time. The heartbeat of a lock (`wait`) moves nothing: it waits for
    the time that others make pass. `waiting` is how many threads do.
    """

    _settle_s = 0.001
    """Real seconds before time moves on, so that answers that are under way arrive first."""

    def __init__(self, moved: Callable[[float], None] = lambda _: None, start: dt.datetime | None = None) -> None:
        self._start = start
        self.waits: list[float] = []
        self.waiting = 0
        self._moved = moved
        self._passed_s = 0.0
        self._sleepers: list[float] = []
        self._still: Callable[[], bool] | None = None
        self._planned: list[tuple[float, Callable[[], object]]] = []
        self._changed = threading.Condition()

    def monotonic(self) -> float:
        return self._passed_s

    def now(self) -> dt.datetime:
        return (self._start or dt.datetime.now().astimezone()) + dt.timedelta(seconds=self._passed_s)

    def still_until(self, true: Callable[[], bool]) -> None:
        """Let no sleep end before something is true: what is under way meanwhile takes no time."""
        self._still = true

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Have something done once so much time has passed."""
        self._planned.append((self._passed_s + seconds, action))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._changed:
            self._passed_s += seconds
            self._changed.notify_all()
        self._moved(seconds)
        due = [action for at, action in self._planned if at <= self._passed_s]
        self._planned = [(at, action) for at, action in self._planned if at > self._passed_s]
        for action in due:
            action()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        until = self._passed_s + seconds
        self._sleepers.append(until)
        look = self._look(until)
        try:
            while self._passed_s < until:
                await asyncio.sleep(self._settle_s)
                if self._still is not None:
                    if not self._still():
                        continue
                    self._still = None
                next(look)
        finally:
            self._sleepers.remove(until)

    def _look(self, until: float) -> Iterator[None]:
        """Moves time to the end of a sleep, at the look at which it may."""
        while True:
            if until <= min(self._sleepers):
                self.advance(max(0.0, until - self._passed_s))
            yield

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.advance(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        with self._changed:
            until = self._passed_s + seconds
            self.waiting += 1
            while self._passed_s < until and not event.is_set():
                self._changed.wait(_LOOK_S)  # an event tells nobody that it was set: look again
            self.waiting -= 1
        return event.is_set()

    def deadline(self, seconds: float) -> Deadline:
        return SYSTEM.deadline(seconds)


class TurnClock(FastClock):
    """A clock for what happens in one event loop, without sockets or threads: the machine's load changes nothing.

    What is under way gets some turns of the event loop before time moves on, and no real time.
    """

    _settle_s = 0.0
    _turns = 24
    """More than anything that is under way needs."""

    def _look(self, until: float) -> Iterator[None]:
        looks = 0
        while True:
            looks += 1
            if looks % self._turns == 0 and until <= min(self._sleepers):
                self.advance(max(0.0, until - self._passed_s))
            yield


class HastyClock(FastClock):
    """A clock for servers that answer late or never: deadlines pass too, once nothing has come for a moment.

    The moment is a number of looks, between which other threads have their turn: a process that stands still, because
    the machine is busy, does not look.
    """

    _settle_s = 0.005
    _looks = 20

    def __init__(self) -> None:
        super().__init__()
        self._events = 0

    def deadline(self, seconds: float) -> Deadline:
        return _HastyDeadline(self, seconds)

    def advance(self, seconds: float) -> None:
        self._events += 1
        super().advance(seconds)

    def hold(self, seconds: float) -> None:
        """Let a server, in its thread, take so long."""
        until = self._passed_s + seconds
        self._sleepers.append(until)
        look = self._look(until)
        while self._passed_s < until:
            time.sleep(self._settle_s)
            next(look)
        self._events += 1  # what it answers now arrives before time moves on
        self._sleepers.remove(until)

    def _look(self, until: float) -> Iterator[None]:
        looks, events = 0, self._events
        while True:
            looks, events = (looks + 1, events) if events == self._events else (0, self._events)
            if looks >= self._looks and until <= min(self._sleepers):
                self.advance(max(0.0, until - self._passed_s))
            yield


class _HastyDeadline:
    def __init__(self, clock: HastyClock, seconds: float) -> None:
        self._clock, self._end = clock, clock.monotonic() + seconds

    @property
    def left_s(self) -> float:
        return self._end - self._clock.monotonic()

    def timeout(self, at_most_s: float = math.inf) -> AbstractAsyncContextManager[object]:
        return self._within(max(0.0, min(at_most_s, self.left_s)))

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        async with asyncio.timeout(None) as real:

            async def end() -> None:
                await self._clock.sleep(seconds)
                real.reschedule(asyncio.get_running_loop().time())

            ending = asyncio.create_task(end())
            try:
                yield
            finally:
                ending.cancel()


_YARDSTICK_S = 0.025
"""What `yardstick` takes on a quiet processor of this decade."""


def yardstick() -> float:
    """The seconds of processor time that a known piece of work takes: what this machine is worth at this moment."""
    began = time.thread_time()
    found = {}
    for number in range(60_000):
        text = f"m{number}@contoso.com"
        found[text.casefold()] = (text.partition("@"), len(text))
    ",".join(sorted(found))
    return time.thread_time() - began


def slower(worth: Callable[[], float] = yardstick) -> float:
    """How many times as long as a quiet machine this one takes at this moment, at least 1."""
    return max(1.0, worth() / _YARDSTICK_S)


@contextmanager
def costs(at_most_s: float, worth: Callable[[], float] = yardstick) -> Iterator[None]:
    """Fails where a block takes more processor time of this thread: what other processes do counts for nothing.

    The limit is that of a quiet machine. One whose processors are shared takes several times as long for the same
    work, so the limit grows with what `worth` takes, before the block or after it. What other tests have left in memory
    counts for nothing either: the garbage collector would look through it. Where coverage is measured, the time is not:
    a trace of each line takes most of it.
    """
    gc.freeze()
    try:
        before = slower(worth)
        began = time.thread_time()
        yield
        took_s = time.thread_time() - began
        allowed_s = max(before, slower(worth)) * at_most_s
    finally:
        gc.unfreeze()
    if sys.gettrace() is None:
        assert took_s < allowed_s, f"{took_s:.2f} s of processor time, where {allowed_s:.2f} s are allowed"


def until(true: Callable[[], object], within_s: float = 600.0) -> None:
    """Wait for what another thread or process does. It takes what it takes: the limit only ends a test that hangs."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(_LOOK_S)
