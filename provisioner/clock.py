"""Time as a port: what waits or dates something takes a `Clock`, so that a test need not wait.

`SYSTEM` is the machine's clock and the default everywhere. Speed measured for a person (a progress bar, the seconds of
`-v`) stays with the machine: no test waits for that.
"""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Deadline(Protocol):
    """The end of the time that others have to answer."""

    @property
    def left_s(self) -> float:
        """Seconds until then; not above zero once it has passed."""

    def timeout(self, at_most_s: float = math.inf) -> AbstractAsyncContextManager[object]:
        """Raises TimeoutError in the block at the deadline, or after so many seconds if that is earlier."""


class Clock(Protocol):
    """`monotonic` measures, `now` dates; `sleep` waits in an event loop, the others in a thread. All in seconds."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def now(self) -> dt.datetime:
        """This moment, aware, in the time zone that the days of a plan are meant in."""

    async def sleep(self, seconds: float) -> None:
        """Wait in the event loop."""

    def pause(self, seconds: float) -> None:
        """Wait in this thread."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait in this thread for an event, at most `seconds`; whether it is set."""

    def deadline(self, seconds: float) -> Deadline:
        """A limit, from now, on what others take to answer: a clock that skips waits may keep to it all the same."""


class SystemDeadline:
    """A deadline by the machine's clock."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        return self._end - time.monotonic()

    def timeout(self, at_most_s: float = math.inf) -> AbstractAsyncContextManager[object]:
        import asyncio  # slow to load, and most commands wait for nothing

        return asyncio.timeout(max(0.0, min(at_most_s, self.left_s)))


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> dt.datetime:
        return dt.datetime.now().astimezone()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # slow to load, and most commands wait for nothing

        await asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)

    def deadline(self, seconds: float) -> Deadline:
        return SystemDeadline(seconds)


SYSTEM: Clock = SystemClock()
