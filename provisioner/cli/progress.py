"""Progress on standard error: on a terminal, one line that says what a run waits for, where that takes over a second.

Signing in, reading, waiting for a lock, for the service or for DNS, sending, and reading back until a change shows:
each has its words. The line goes before anything else is printed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from provisioner.engine import (
    Answered,
    Confirming,
    Event,
    Finished,
    LockAwaited,
    ReadingFinished,
    ReadingStarted,
    Requested,
    Responded,
    Retrying,
    Sending,
    Started,
    Waiting,
)
from provisioner.model import GraphRequest, request_key

PATIENCE_S = 1.0
"""What is over sooner is not worth a line."""

_EVERY_S = 0.25
_ROUNDS = {
    "planning": "Reading the tenant",
    "rechecking": "Reading again what will change",
    "openings": "Checking that the sending paths are in force",
    "reading back": "Confirming the changes",
}


@dataclass(slots=True)
class _Activity:
    """What is waited for since a moment: requests answered of all, where they are counted."""

    title: str
    since: float
    done: int = 0
    total: int = 0


class Progress:
    """An observer. `write` puts text on the terminal; `tick` shows what a run waits for, and is called by a thread.

    Reading and what a change waits for are told apart: the round of reading that runs counts first.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        width: Callable[[], int],
        *,
        now: Callable[[], float] = time.monotonic,
        ticking: bool = True,
    ) -> None:
        self._write, self._width, self._now, self._ticking = write, width, now, ticking
        self._lock = threading.RLock()
        self._pending: Counter[str] = Counter()
        self._reading: _Activity | None = None
        self._waiting: _Activity | None = None
        self._shown = ""
        self._thread: threading.Thread | None = None

    def observe(self, event: Event) -> None:
        with self._lock:
            self._note(event)
            if self._ticking and self._thread is None:
                self._thread = threading.Thread(target=self._tick_on, name="progress", daemon=True)
                self._thread.start()

    def _note(self, event: Event) -> None:
        match event:
            case ReadingStarted(requests, purpose):
                if not self._pending:
                    self._reading = _Activity(_ROUNDS.get(purpose, _ROUNDS["planning"]), self._now())
                self._pending.update(map(request_key, requests))
                if self._reading:
                    self._reading.total += len(requests)
            case Responded(request, _, _) if self._pending[key := request_key(request)]:
                self._pending[key] -= 1
                if self._reading:
                    self._reading.done += 1
            case ReadingFinished(requests, _):
                self._pending -= Counter(map(request_key, requests))
                if not self._pending:
                    self._reading = None
                    self.hide()
            case Requested(GraphRequest(path=path)) if path.startswith("/organization?"):
                self._wait("Signing in")
            case LockAwaited(holder):
                self._wait(f"Waiting for the lock: {holder}")
            case Retrying(_, seconds, error):
                self._wait(f"Waiting {seconds:.0f} s before another attempt ({error.summary})")
            case Waiting(change, _, _, left_s):
                self._wait(f"{change.address}: waiting for DNS, for up to {left_s:.0f} s more")
            case Confirming(change, _, left_s):
                self._wait(f"{change.address}: waiting until the tenant shows it, for up to {left_s:.0f} s more")
            case Started(change) | Sending(change, _, _):
                self._wait(f"{change.address}: {change.action.value} is being carried out")
            case Responded() | Answered() | Finished():
                self._waiting = None
                self.hide()

    def _wait(self, title: str) -> None:
        """Something is waited for; what it was waited for already goes on from its beginning."""
        kind = title.partition(", for up to")[0]
        same = self._waiting is not None and self._waiting.title.partition(", for up to")[0] == kind
        since = self._waiting.since if same and self._waiting else self._now()
        self._waiting = _Activity(title, since)

    def tick(self) -> None:
        """Show the line where a second has passed, with how long it has taken."""
        with self._lock:
            activity = self._reading or self._waiting
            if activity is None or self._now() - activity.since < PATIENCE_S:
                self.hide()
                return
            count = f" {activity.done}/{activity.total}" if activity.total else ""
            line = f"{activity.title}{count} ({self._now() - activity.since:.0f} s)"
            line = "".join(c if c.isprintable() else " " for c in line)[: max(self._width() - 1, 1)]
            if line != self._shown:
                self._write(f"\r\x1b[2K{line}")
            self._shown = line

    def hide(self) -> None:
        """Take the line away, before something else is printed."""
        with self._lock:
            if self._shown:
                self._write("\r\x1b[2K")
                self._shown = ""

    def close(self) -> None:
        """The run has ended, however: nothing is shown any more."""
        with self._lock:
            self._reading = self._waiting = None
            self._pending.clear()
            self._ticking = False
            self.hide()

    def _tick_on(self) -> None:
        while self._ticking:
            time.sleep(_EVERY_S)
            with contextlib.suppress(OSError, ValueError):  # the terminal is gone
                self.tick()
