"""Ports that tell: whatever passes through them, and whatever the engine does with them, reaches their observers.

A run has its ports watched once, where they are opened; then no request passes unseen, whatever makes it. Apply adds
the journal for its own time.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from provisioner.diagnostics import Malformed, ProvisionerError, TenantError, Unavailable, Unclear
from provisioner.engine.events import Event, Observer, Requested, Responded
from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.mail_dns.mta_sts import Fetched, PolicyHost
from provisioner.model import Answer, Cmdlet, DnsQuery, DnsUpdate, GraphRequest, PolicyQuery, Request, ZoneQuery
from provisioner.tenant.ports import Policies, Ports, Publisher, Resolver


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(Ports):
    """Ports with observers; `base` are the ports themselves."""

    base: Ports
    observers: tuple[Observer, ...]


def watch(ports: Ports, *observers: Observer) -> Ports:
    """The same ports with more observers. Each is told every event once, these before those that were there."""
    base, others = (ports.base, ports.observers) if isinstance(ports, Watched) else (ports, ())
    everyone = (*observers, *others)
    watcher = _Watcher(base, _Everyone(everyone))
    publisher = _WatchedPublisher(base.publisher, _Everyone(everyone))
    resolver = watch_resolver(base.resolver, *everyone)
    return Watched(watcher, watcher, resolver, publisher, base=base, observers=everyone)


def watch_resolver(resolver: Resolver, *observers: Observer) -> Resolver:
    """The same resolver with observers, for questions to DNS without a tenant."""
    return _WatchedResolver(resolver, _Everyone(observers))


def watch_policies(policies: Policies, *observers: Observer) -> Policies:
    """The same, for fetches of MTA-STS policies."""
    return _WatchedPolicies(policies, _Everyone(observers))


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
    """Stands before Exchange and the directory."""

    def __init__(self, base: Ports, tell: Observer) -> None:
        self._base, self._tell = base, tell

    @property
    def transport(self) -> str:
        return self._base.exchange.transport

    async def run(self, cmdlet: Cmdlet) -> Answer:
        return await _told(self._tell, cmdlet, self._base.exchange.run(cmdlet))

    async def send(self, request: GraphRequest) -> Answer:
        return await _told(self._tell, request, self._base.directory.send(request))


class _WatchedResolver:
    """Stands before DNS."""

    def __init__(self, base: Resolver, tell: Observer) -> None:
        self._base, self._tell = base, tell

    async def query(self, query: DnsQuery) -> Answer:
        return await _told(self._tell, query, self._base.query(query))

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        self._tell(Requested(query))
        began = time.monotonic()
        found = await self._base.look_up(query)
        rows = Answer(tuple({"value": value} for value in found.values))
        answer = Unavailable(found.reason, str(query)) if found.failed else rows
        self._tell(Responded(query, answer, time.monotonic() - began))
        return found


class _WatchedPublisher:
    """Stands before the servers that zones are read from and written to."""

    def __init__(self, base: Publisher, tell: Observer) -> None:
        self._base, self._tell = base, tell

    async def read(self, query: ZoneQuery) -> Answer:
        return await _told(self._tell, query, self._base.read(query))

    async def check(self, update: DnsUpdate) -> None:
        await self._base.check(update)

    async def update(self, update: DnsUpdate) -> Answer:
        return await _told(self._tell, update, self._base.update(update))


class _WatchedPolicies:
    """Stands before the hosts of MTA-STS policies."""

    def __init__(self, base: Policies, tell: Observer) -> None:
        self._base, self._tell = base, tell

    async def fetch(self, host: PolicyHost) -> Fetched:
        query = PolicyQuery(host.domain)
        self._tell(Requested(query))
        began = time.monotonic()
        found = await self._base.fetch(host)
        answer = Unavailable(found.failure, str(query)) if found.failure else Answer(status=found.status)
        self._tell(Responded(query, answer, time.monotonic() - began))
        return found


async def _told(tell: Observer, request: Request, sending: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer, with an event before and after it."""
    try:
        tell(Requested(request))
    except BaseException:
        sending.close()  # it was not sent, and is not to be warned of either
        raise
    began = time.monotonic()
    try:
        answer = await sending
    except TenantError as error:
        tell(Responded(request, error, time.monotonic() - began))
        raise
    except ProvisionerError:  # a setting that is wrong is told as it is
        raise
    except Exception as error:
        # An adapter that stumbles over an answer has not understood it: that is this request's error and nobody else's.
        strange = _strange(request, error)
        tell(Responded(request, strange, time.monotonic() - began))
        raise strange from error
    tell(Responded(request, answer, time.monotonic() - began))
    return answer


def _strange(request: Request, error: Exception) -> TenantError:
    """What an exception of an adapter means: a write may have been carried out, a read has told nothing."""
    writes = isinstance(request, Cmdlet) and not request.name.lower().startswith("get-")
    writes |= isinstance(request, DnsUpdate)
    kind = Unclear if writes or (isinstance(request, GraphRequest) and request.method != "GET") else Malformed
    return kind(f"the answer could not be understood ({type(error).__name__}: {error})", str(request))
