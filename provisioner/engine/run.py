"""One apply under way: what its parts share, and the account as it grows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.clock import Clock
from provisioner.engine.events import Finished, Observer, Result
from provisioner.engine.reading import Types, Wanted, read_wanted
from provisioner.model import Address, Change, Observation, Present, ResourceType
from provisioner.tenant.ports import Ports


@dataclass(slots=True)
class Run:
    """The terms of an apply, what it works with, and the results so far."""

    types: Types
    ports: Ports
    reads: int
    confirm_s: float
    wait_s: float
    tell: Observer
    stop: asyncio.Event
    gate: asyncio.Semaphore
    clock: Clock
    results: dict[Address, Result] = field(default_factory=dict)
    ended: dict[Address, asyncio.Event] = field(default_factory=dict)
    opened: dict[Address, asyncio.Event] = field(default_factory=dict)
    """Set once what a change opens has been seen in force, or the change has ended without it."""

    def kind(self, address: Address) -> ResourceType[Any]:
        return next(t for t in self.types if t.name == address.type)

    def idle(self, change: Change, observation: Observation) -> str:
        """Why an object that is as the change leaves it is not in force; "" where it is, or is gone as it should be."""
        if not isinstance(observation, Present):
            return ""
        return self.kind(change.address).in_force(change.after, observation.spec)

    def begin(self, changes: Iterable[Change]) -> None:
        """What the changes wait for of each other."""
        for change in changes:
            self.ended[change.address], self.opened[change.address] = asyncio.Event(), asyncio.Event()

    async def look(self, objects: Mapping[Address, Any], purpose: str) -> dict[Address, Observation]:
        """What the tenant says of objects, each by what it is to be, or None."""
        wanted: Wanted = {}
        for address, spec in objects.items():
            wanted.setdefault(address.type, {})[address.key] = spec
        observed = await read_wanted(wanted, (), self.types, self.ports, self.reads, purpose=purpose)
        return dict(observed.resources)

    @contextlib.asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """While a change pauses, another may take its place among the writes."""
        self.gate.release()
        try:
            yield
        finally:
            await self.gate.acquire()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the run is interrupted."""
        waits = [asyncio.ensure_future(self.clock.sleep(seconds)), asyncio.ensure_future(self.stop.wait())]
        try:
            ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in ended:
                wait.result()
        finally:
            for wait in waits:
                wait.cancel()

    def has_opened(self, change: Change) -> None:
        """What a change opens is in force; it may still have to close."""
        self.opened[change.address].set()

    def end(self, result: Result) -> None:
        """The result of a change: those that need it go on."""
        self.results[result.address] = result
        self.opened[result.address].set()
        self.ended[result.address].set()
        self.tell(Finished(result))
