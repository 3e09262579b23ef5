"""Confirming: read changes back until they show and are in force. Success is observed, not assumed."""

from __future__ import annotations

import asyncio
import dataclasses

from provisioner.engine.comparing import standing_of
from provisioner.engine.events import READING_BACK, UNCONFIRMED, Confirming, Result
from provisioner.engine.run import Run
from provisioner.model import Address, Change

_PER_REQUEST = 40
"""While changes are being sent, so many are read back with one request: reads take from the quota of the writes."""
_HELD_S, _SHARE = 5.0, 0.1
"""They wait no longer for that than so many seconds, and this share of the time that each has to show."""
_LOOK_S = 0.05


class Confirmer:
    """Reads changes back until they show: one loop for all of them, so that a listing serves many at once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pending: dict[Address, tuple[Change, float, asyncio.Future[tuple[str, str]]]] = {}
        self._news = asyncio.Event()
        self._failure: Exception | None = None

    async def confirm(self, change: Change, result: Result) -> Result:
        """DONE when the change shows in time, otherwise UNCONFIRMED and what is seen instead.

        A result with a detail was answered with a warning that it will not take effect: it is looked at once.
        """
        if self._failure:
            raise self._failure
        patience = 0.0 if result.detail else self._run.confirm_s
        future: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        self._pending[change.address] = (change, self._run.clock.monotonic() + patience, future)
        self._news.set()
        seen, object_id = await future
        if not seen:
            return dataclasses.replace(result, detail="", object_id=object_id)
        detail = f"{result.detail} ({seen})" if result.detail else f"not confirmed: {seen}"
        return dataclasses.replace(result, status=UNCONFIRMED, detail=detail)

    async def run(self) -> None:
        """Until cancelled. What goes wrong here is the error of every change that waits, and of those that come."""
        try:
            await self._rounds()
        except Exception as error:  # noqa: BLE001 - a change whose future nobody settles would wait for ever
            self._failure = error
            for _, _, future in self._pending.values():
                future.set_exception(error)

    async def _rounds(self) -> None:
        pause = 0.2
        while True:
            if not self._pending:
                self._news.clear()
                await self._news.wait()
                pause = 0.2
            await self._enough()
            if await self._round():
                pause = 0.2
            if self._pending:
                await self._run.clock.sleep(pause)
                pause = min(pause * 1.6, 5.0)

    async def _enough(self) -> None:
        """Let more changes come together, while some are still being sent."""
        run, began = self._run, self._run.clock.monotonic()
        held_s = min(_HELD_S, _SHARE * run.confirm_s)
        while run.sending and len(self._pending) < _PER_REQUEST * run.costs.last:
            if run.clock.monotonic() - began >= held_s:
                return
            await run.clock.sleep(_LOOK_S)

    async def _round(self) -> bool:
        """Look once at all that is pending; True when something was settled."""
        batch = list(self._pending.values())
        observed = await self._run.look({change.address: change.after for change, _, _ in batch}, READING_BACK)
        settled = False
        for change, deadline, future in batch:
            state, words = standing_of(change, observed[change.address])
            if state == "after":
                words = self._run.idle(change, observed[change.address])
            left = deadline - self._run.clock.monotonic()
            if words and left > 0:
                self._run.tell(Confirming(change, words, left))
                continue
            del self._pending[change.address]
            future.set_result((words, self._run.object_id(change, observed[change.address])))
            settled = True
        return settled
