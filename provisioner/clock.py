"""Time as a port: what waits or dates something takes a `Clock`, so that a test need not wait.

`SYSTEM` is the machine's clock and the default everywhere. Speed measured for a person (a progress bar, the seconds of
`-v`) and the time limits of sockets stay with the machine: no test waits for those.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Protocol


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
        """Wait in this thread for an event, at most so long; whether it is set."""


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


SYSTEM: Clock = SystemClock()
