"""A clock that never waits: time passes when somebody waits for it. And waiting for what others really do."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SETTLE_S = 0.001
"""Real seconds before time moves on, so that answers that are under way arrive first."""
_LOOK_S = 0.01


class FastClock:
    """Each wait moves time to its end. Who sleep side by side wake in their order, and time passes once for all.

    It begins at `start`, or now. `moved` is told the seconds that have passed; `after` has something done at a time.
    The heartbeat of a lock (`wait`) moves nothing: it waits for the time that others make pass. `waiting` is how many
    threads do.
    """

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
        try:
            while self._passed_s < until:
                await asyncio.sleep(_SETTLE_S)
                if self._still is not None:
                    if not self._still():
                        continue
                    self._still = None
                if until <= min(self._sleepers):
                    self.advance(max(0.0, until - self._passed_s))
        finally:
            self._sleepers.remove(until)

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


@contextmanager
def costs(at_most_s: float) -> Iterator[None]:
    """Fails where a block takes more processor time of this thread: what other processes do counts for nothing."""
    began = time.thread_time()
    yield
    took_s = time.thread_time() - began
    assert took_s < at_most_s, f"{took_s:.2f} s of processor time, where {at_most_s} s are allowed"


def until(true: Callable[[], object], within_s: float = 120.0) -> None:
    """Wait for what another thread or process does. It takes what it takes: the limit only ends a test that hangs."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(_LOOK_S)
