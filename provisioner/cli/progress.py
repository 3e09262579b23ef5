"""Progress on standard error: a bar on a terminal for what takes over a second, nothing elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_PATIENCE_S = 1.0


class Progress:
    """A context manager; `update(done, total)` from inside. The bar appears when a second has passed."""

    def __init__(self, title: str, *, wanted: bool, color: bool) -> None:
        self._wanted, self._color = wanted, color
        self._title, self._began = title, time.monotonic()
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """So many of so many are done."""
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
            self._task = self._bar.add_task(self._title, total=total)
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
