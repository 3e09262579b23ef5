"""One apply under way: what its parts share, and the account as it grows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.clock import Clock
from provisioner.diagnostics import ProvisionerError
from provisioner.engine.events import (
    ALREADY,
    DONE,
    LEFT,
    UNCONFIRMED,
    Event,
    Finished,
    Observer,
    Result,
    Sending,
    Started,
)
from provisioner.engine.reading import Costs, Types, Wanted, read_wanted
from provisioner.model import Address, Change, DnsUpdate, Observation, Present, ResourceType, Send, key_of
from provisioner.tenant.ports import Ports


@dataclass(slots=True)
class Run:
    """The terms of an apply, what it works with, and the results so far."""

    types: Types
    ports: Ports
    reads: int
    confirm_s: float
    wait_s: float
    observer: Observer
    stop: asyncio.Event
    gate: asyncio.Semaphore
    clock: Clock
    renamed: Mapping[Address, Any] = field(default_factory=dict)
    """Objects of changes that had another name when they were read, as they were read."""
    results: dict[Address, Result] = field(default_factory=dict)
    ended: dict[Address, asyncio.Event] = field(default_factory=dict)
    opened: dict[Address, asyncio.Event] = field(default_factory=dict)
    """Set once what a change opens has been seen in force, or the change has ended without it."""
    begun: dict[Address, asyncio.Event] = field(default_factory=dict)
    """Set once a first write of a change was carried out, or the change has ended without it."""
    made: set[Address] = field(default_factory=set)
    """The changes of which a write was carried out."""
    publishers: dict[tuple[str, str], Address] = field(default_factory=dict)
    """The change that publishes a DNS record, by the record's name and type."""
    sent: set[Address] = field(default_factory=set)
    """The changes of which a write was sent, whatever became of it."""
    costs: Costs = field(default_factory=Costs)
    """What reading the tenant costs, as far as this run has found out."""
    sending: int = 0
    """How many changes are at their writes."""
    failure: Exception | None = None
    """What broke the run off; the first of several."""
    may_write: bool = False
    """Whether the service has taken a write, or refused one for another reason than a missing permission."""
    first: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the write that finds out."""

    def tell(self, event: Event) -> None:
        """Tell the observers. Where one of them fails the run is broken off, and what would be sent next is not.

        Raises what they raise only where the event announces something: a write that is not recorded is not sent.
        """
        try:
            self.observer(event)
        except Exception as error:
            self.break_off(error)
            if isinstance(event, Started | Sending):
                raise

    def break_off(self, error: Exception) -> None:
        """Something is wrong with this run: what is in flight ends, nothing else begins."""
        self.failure = self.failure or error
        self.stop.set()

    def broken(self, change: Change, error: Exception) -> Result:
        """The result of a change that an error ended which no answer accounts for."""
        self.break_off(error)
        why = str(error) if isinstance(error, ProvisionerError) else f"{type(error).__name__}: {error}"
        if change.address not in self.sent:
            return Result(change.address, change.action, LEFT, f"nothing was sent: {why}")
        detail = f"{why}; what was sent may have been carried out: plan again, which goes on from what exists"
        return Result(change.address, change.action, UNCONFIRMED, detail)

    def kind(self, address: Address) -> ResourceType[Any]:
        return next(t for t in self.types if t.name == address.type)

    def idle(self, change: Change, observation: Observation) -> str:
        """Why an object that is as the change leaves it is not in force; "" where it is, or is gone as it should be.

        Of one that was switched off before, and that the plan does not switch on, it promises the fields alone.
        """
        kind = self.kind(change.address)
        if not isinstance(observation, Present):
            return ""
        if change.observed is not None and kind.leaves_off(change.observed, change.after):
            return ""
        return kind.in_force(change.after, observation.spec)

    def begin(self, changes: Iterable[Change]) -> None:
        """What the changes wait for of each other."""
        for change in changes:
            self.ended[change.address], self.opened[change.address] = asyncio.Event(), asyncio.Event()
            self.begun[change.address] = asyncio.Event()
            updates = (s.request for s in change.steps if isinstance(s, Send) and isinstance(s.request, DnsUpdate))
            self.publishers |= {(u.name.lower(), u.type): change.address for u in updates if u.add}

    def has_begun(self, change: Change) -> None:
        """A write of a change was carried out: what the object names can be read."""
        self.made.add(change.address)
        self.begun[change.address].set()

    async def publishing(self, records: Iterable[tuple[str, str]]) -> bool:
        """Wait for the changes of this run that publish these records; whether there are any, and all have done so."""
        changes = {self.publishers.get((name.lower(), kind)) for name, kind in records} - {None}
        async with self.aside():
            for address in changes:
                if address is not None:
                    await self.ended[address].wait()
        return bool(changes) and all(a is not None and self.results[a].status in {DONE, ALREADY} for a in changes)

    async def look(self, objects: Mapping[Address, Any], purpose: str) -> dict[Address, Observation]:
        """What the tenant says about objects, each by what it is to be, or None; of a renamed one by either name."""
        wanted: Wanted = {}
        for address, spec in objects.items():
            of_type = wanted.setdefault(address.type, {})
            for name in self._names(address):
                of_type.setdefault(name.key, None)
            of_type[address.key] = spec
        observed = await read_wanted(wanted, (), self.types, self.ports, self.reads, purpose=purpose, costs=self.costs)
        return {address: self._of(address, observed.resources) for address in objects}

    def _names(self, address: Address) -> Sequence[Address]:
        """The addresses that an object can have by its name."""
        former = self.renamed.get(address)
        return [address] if former is None else [address, Address(address.type, key_of(former))]

    def _of(self, address: Address, resources: Mapping[Address, Observation]) -> Observation:
        """What is said about one object. Another object may have taken one of its names."""
        seen = [resources[name] for name in self._names(address)]
        there = [o for o in seen if isinstance(o, Present)]
        kind, former = self.kind(address), self.renamed.get(address)
        same = [o for o in there if former is not None and kind.object_id(o.spec) == kind.object_id(former)]
        return next(iter([*same, *there]), seen[0])

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """A place among the writes that are under way at once."""
        async with self.gate:
            self.sending += 1
            try:
                yield
            finally:
                self.sending -= 1

    @contextlib.asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """While a change pauses, another may take its place among the writes."""
        self.sending -= 1
        self.gate.release()
        try:
            yield
        finally:
            await self.gate.acquire()
            self.sending += 1

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """One write at a time, until it is known that the account may write at all: what may not is refused once."""
        async with contextlib.AsyncExitStack() as held:
            if not self.may_write:
                await held.enter_async_context(self.first)
            if self.may_write:  # found out while this one waited: those behind it need not wait for its answer
                await held.aclose()
            yield

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

    def object_id(self, change: Change, observation: Observation) -> str:
        """The id of the object of a change; "" where it has none, or is not there."""
        return self.kind(change.address).object_id(observation.spec) if isinstance(observation, Present) else ""

    def has_opened(self, change: Change) -> None:
        """What a change opens is in force; it may still have to close."""
        self.opened[change.address].set()

    def end(self, result: Result) -> None:
        """The result of a change: those that need it go on."""
        self.results[result.address] = result
        self.opened[result.address].set()
        self.begun[result.address].set()
        self.ended[result.address].set()
        self.tell(Finished(result))
