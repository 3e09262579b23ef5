"""Progress on standard error: a bar on a terminal while the tenant is read, where that takes over a second."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from provisioner.engine import Event, ReadingFinished, ReadingStarted, Responded, Started
from provisioner.model import request_key

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_PATIENCE_S = 1.0
_TITLE = "Reading the tenant"


class Progress:
    """An observer. The bar appears when a second has passed, goes when all is read, and never comes between changes."""

    def __init__(self, *, color: bool) -> None:
        self._color, self._wanted = color, True
        self._pending: Counter[str] = Counter()
        self._done, self._total, self._began = 0, 0, 0.0
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def observe(self, event: Event) -> None:
        match event:
            case ReadingStarted(requests, _):
                if not self._pending:
                    self._done, self._total, self._began = 0, 0, time.monotonic()
                self._pending.update(map(request_key, requests))
                self._total += len(requests)
            case Responded(request, _, _) if self._pending[key := request_key(request)]:
                self._pending[key] -= 1
                self._done += 1
                self._show()
            case ReadingFinished(requests, _):
                self._pending -= Counter(map(request_key, requests))
                if not self._pending:
                    self._close()
            case Started():
                self._wanted = False

    def _show(self) -> None:
        if not self._wanted or (self._bar is None and time.monotonic() - self._began < _PATIENCE_S):
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            console = Console(stderr=True, no_color=not self._color)
            self._bar = Bar(*columns, console=console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(_TITLE, total=self._total)
        if self._task is not None:
            self._bar.update(self._task, completed=self._done, total=self._total)

    def _close(self) -> None:
        if self._bar:
            self._bar.stop()
        self._bar = self._task = None
