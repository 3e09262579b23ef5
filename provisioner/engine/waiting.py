"""Waiting: how long a change that needs others waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioner.engine.events import Waiting
from provisioner.model import Change

if TYPE_CHECKING:
    from provisioner.engine.applying import Run


class Patience:
    """How long one change waits for what others do, from the first time that it has to."""

    def __init__(self, run: Run, change: Change) -> None:
        self._run, self._change = run, change
        self._began: float | None = None
        self._pause_s = 1.0

    async def lasts(self, detail: str) -> bool:
        """Pause before the next look, and say so; False when the time is up or the run was interrupted."""
        now = self._run.clock.monotonic()
        self._began = now if self._began is None else self._began
        left = self._began + self._run.wait_s - now
        if left <= 0 or self._run.stop.is_set():
            return False
        self._run.observer(Waiting(self._change, detail, now - self._began, left))
        async with self._run.aside():
            await self._run.pause(min(self._pause_s, left))
        self._pause_s = min(self._pause_s * 2, 30.0)
        return not self._run.stop.is_set()
