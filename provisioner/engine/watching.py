"""Ports that tell: whatever passes through them, and whatever the engine does with them, reaches their observers.

A run has its ports watched once, where they are opened; then no request passes unseen, whoever makes it. Apply adds
the journal for its own time.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from provisioner.diagnostics import TenantError, Unavailable
from provisioner.engine.events import Event, Observer, Requested, Responded
from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.model import Answer, Cmdlet, DnsQuery, GraphRequest, Request
from provisioner.tenant.ports import Ports


@dataclass(frozen=True, slots=True)
class Watched(Ports):
    """Ports with observers; `base` are the ports themselves."""

    base: Ports
    observers: tuple[Observer, ...]


def watch(ports: Ports, *observers: Observer) -> Ports:
    """The same ports with more observers. Each is told every event once, these before those that were there."""
    base, others = (ports.base, ports.observers) if isinstance(ports, Watched) else (ports, ())
    everyone = (*observers, *others)
    watcher = _Watcher(base, everyone)
    return Watched(watcher, watcher, watcher, base, everyone)


def observer_of(ports: Ports) -> Observer:
    """Who is to be told what is done with these ports: all their observers in turn, or nobody."""
    return _Everyone(ports.observers if isinstance(ports, Watched) else ())


@dataclass(frozen=True, slots=True)
class _Everyone:
    observers: tuple[Observer, ...]

    def __call__(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)


class _Watcher:
    """Stands before Exchange, the directory and DNS."""

    def __init__(self, base: Ports, observers: tuple[Observer, ...]) -> None:
        self._base, self._tell = base, _Everyone(observers)

    @property
    def transport(self) -> str:
        return self._base.exchange.transport

    async def run(self, cmdlet: Cmdlet) -> Answer:
        return await self._told(cmdlet, lambda: self._base.exchange.run(cmdlet))

    async def send(self, request: GraphRequest) -> Answer:
        return await self._told(request, lambda: self._base.directory.send(request))

    async def query(self, query: DnsQuery) -> Answer:
        return await self._told(query, lambda: self._base.resolver.query(query))

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        self._tell(Requested(query))
        began = time.monotonic()
        found = await self._base.resolver.look_up(query)
        rows = Answer(tuple({"value": value} for value in found.values))
        answer = Unavailable(found.reason, str(query)) if found.failed else rows
        self._tell(Responded(query, answer, time.monotonic() - began))
        return found

    async def _told(self, request: Request, send: Callable[[], Awaitable[Answer]]) -> Answer:
        self._tell(Requested(request))
        began = time.monotonic()
        try:
            answer = await send()
        except TenantError as error:
            self._tell(Responded(request, error, time.monotonic() - began))
            raise
        self._tell(Responded(request, answer, time.monotonic() - began))
        return answer
