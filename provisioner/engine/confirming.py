"""Confirming: read a change back until it shows, and where a change stands by what is read."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from provisioner.engine.events import UNCONFIRMED, Result
from provisioner.model import Address, Change, Observation, Present, Unknown, field_names, project, written

if TYPE_CHECKING:
    from provisioner.engine.applying import Run


class Confirmer:
    """Reads changes back until they show: one loop for all of them, so that a listing serves many at once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pending: dict[Address, tuple[Change, float, asyncio.Future[str]]] = {}
        self._news = asyncio.Event()

    async def confirm(self, change: Change, result: Result) -> Result:
        """DONE when the change shows in time, otherwise UNCONFIRMED and what is seen instead.

        A result with a detail was answered with a warning that it will not take effect: it is looked at once.
        """
        patience = 0.0 if result.detail else self._run.confirm_s
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._pending[change.address] = (change, self._run.clock.monotonic() + patience, future)
        self._news.set()
        seen = await future
        if not seen:
            return dataclasses.replace(result, detail="")
        detail = f"{result.detail} ({seen})" if result.detail else f"not confirmed: {seen}"
        return dataclasses.replace(result, status=UNCONFIRMED, detail=detail)

    async def run(self) -> None:
        """Until cancelled."""
        pause = 0.2
        while True:
            if not self._pending:
                self._news.clear()
                await self._news.wait()
                pause = 0.2
            if await self._round():
                pause = 0.2
            if self._pending:
                await self._run.clock.sleep(pause)
                pause = min(pause * 1.6, 5.0)

    async def _round(self) -> bool:
        """Look once at all that is pending; True when something was settled."""
        batch = list(self._pending.values())
        observed = await self._run._look([change for change, _, _ in batch])
        settled = False
        for change, deadline, future in batch:
            state, words = standing_of(change, observed[change.address])
            if state == "after":
                words = self._run.idle(change, observed[change.address])
            if words and self._run.clock.monotonic() < deadline:
                continue
            del self._pending[change.address]
            future.set_result(words)
            settled = True
        return settled


def standing_of(change: Change, observation: Observation) -> tuple[str, str]:
    """Where a change stands by what is there now: "before", "after" or "moved", and what is seen, in words."""
    if isinstance(observation, Unknown):
        return "moved", f"it cannot be read: {observation.reason}"
    live = observation.spec if isinstance(observation, Present) else None
    if _equal(live, change.after):
        return "after", ""
    if _equal(live, change.before):
        return "before", "it is as it was before"
    return "moved", _difference(live, change.after if change.before is None else change.before)


def key_only(spec: Any) -> Any:
    """A spec that says nothing but which object it is: its first field, by convention the key."""
    _, *others = field_names(spec)
    return dataclasses.replace(spec, **dict.fromkeys(others))


def between(change: Change, live: Any) -> bool:
    """Whether a live object has in each written field the value of before or of after.

    A creation has no before; that its object is there at all is then the work of the run that began it.
    """
    if change.before is None:
        return True
    sides = (written(change.before), written(change.after))
    return all(getattr(live, n) in (sides[0].get(n), sides[1].get(n)) for n in {**sides[0], **sides[1]})


def _equal(live: Any, side: Any) -> bool:
    """Whether the live object is this side of a change, in the fields that the side writes."""
    if live is None or side is None:
        return live is side
    return bool(project(live, side) == side)


def _difference(live: Any, expected: Any) -> str:
    if live is None:
        return "it is not there any more"
    if expected is None:
        return "it is there now"
    names = [n for n, v in written(expected).items() if getattr(live, n) != v]
    return "; ".join(f"{n} is {_plain(getattr(live, n))}, not {_plain(getattr(expected, n))}" for n in names)


def _plain(value: Any) -> str:
    if isinstance(value, frozenset):
        return "[" + ", ".join(sorted(map(str, value))) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
