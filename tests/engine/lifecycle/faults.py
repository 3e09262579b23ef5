"""What can happen to one request. Each fault says which requests it can strike, and does it.

`lies` marks an answer that is false and looks true: nothing that reads can know it, only later reads can. `moves` marks
no fault of a request, but another client that changes the object between plan and apply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from provisioner.diagnostics import (
    Malformed,
    NotFound,
    PermissionMissing,
    Refused,
    TenantError,
    Throttled,
    Unavailable,
    Unclear,
)
from provisioner.model import Answer, Cmdlet, DnsQuery, Request
from tests.engine.lifecycle.port import Killed, Passage, Service, check_rows

CONFIRM_S = 60.0
SHORT_LAG_S, LONG_LAG_S = 20.0, 5_000.0
Execute = Callable[[], Answer]
Strike = Callable[[Service, Passage, Execute], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Scripted:
    """A fault by name. `first_only` spares every further try of the request."""

    name: str
    suits: Callable[[Request], bool]
    deed: Strike
    lies: bool = False
    moves: bool = False
    first_only: bool = False

    async def strike(self, service: Service, passage: Passage, execute: Execute) -> Answer:
        if self.first_only and passage.outcomes:
            return execute()
        return await self.deed(service, passage, execute)


def _any(_: Request) -> bool:
    return True


def _read(request: Request) -> bool:
    return request.reads


def _listing(request: Request) -> bool:
    return isinstance(request, Cmdlet) and request.reads


def _never(_: Request) -> bool:
    return False


def _exchange(request: Request) -> bool:
    return not isinstance(request, DnsQuery)


def _write(request: Request) -> bool:
    return not request.reads


def _new_inbound(request: Request) -> bool:
    return isinstance(request, Cmdlet) and request.name == "New-InboundConnector"


def _raises(error: Callable[[Request], TenantError], *, executed: bool = False) -> Strike:
    async def deed(_: Service, passage: Passage, execute: Execute) -> Answer:
        if executed:
            execute()
        raise error(passage.request)

    return deed


def _lags(seconds: float) -> Strike:
    async def deed(service: Service, _: Passage, execute: Execute) -> Answer:
        service.tenant.lag = seconds
        try:
            return execute()
        finally:
            service.tenant.lag = 0.0

    return deed


async def _created_disabled(service: Service, _: Passage, execute: Execute) -> Answer:
    service.tenant.settings["inbound_connectors_created_disabled"] = True
    return execute()


async def _without_effect(_: Service, __: Passage, ___: Execute) -> Answer:
    return Answer()


async def _empty(_: Service, passage: Passage, __: Execute) -> Answer:
    if isinstance(passage.request, Cmdlet):
        check_rows(passage.request, ())
    return Answer()


async def _odd_rows(_: Service, __: Passage, execute: Execute) -> Answer:
    """Rows that name their objects and hold nothing that this version knows."""
    names = ("Identity", "Name", "Guid", "Id")
    answer = execute()
    return Answer(
        tuple({n: v if n in names else {"of": "another form"} for n, v in row.items()} for row in answer.rows)
    )


async def _stopped(service: Service, _: Passage, execute: Execute) -> Answer:
    if service.stop is not None:
        service.stop.set()
    return execute()


def _killed(*, executed: bool) -> Strike:
    async def deed(service: Service, _: Passage, execute: Execute) -> Answer:
        if executed:
            execute()
        service.dead = True
        raise Killed

    return deed


def _lost(request: Request) -> TenantError:
    return Unavailable("the connection was lost", str(request))


def _unclear(request: Request) -> TenantError:
    return Unclear("no answer in time", str(request))


def _refused(request: Request) -> TenantError:
    return Refused("it is against a policy", str(request))


def _throttled(request: Request) -> TenantError:
    return Throttled("slow down", str(request), retry_after_s=7.0)


FAULTS: tuple[Scripted, ...] = (
    Scripted("refused", _any, _raises(_refused)),
    Scripted("permission missing", _exchange, _raises(lambda r: PermissionMissing("no role", str(r)))),
    Scripted("not found", _exchange, _raises(lambda r: NotFound("it couldn't be found", str(r))), lies=True),
    Scripted("throttled to the end", _exchange, _raises(_throttled)),
    Scripted("throttled once", _exchange, _raises(_throttled), first_only=True),
    Scripted("lost connection", _any, _raises(_lost)),
    Scripted("unclear, carried out", _any, _raises(_unclear, executed=True)),
    Scripted("unclear once, carried out", _exchange, _raises(_unclear, executed=True), first_only=True),
    Scripted("unclear, not carried out", _any, _raises(_unclear)),
    Scripted("unclear once, not carried out", _exchange, _raises(_unclear), first_only=True),
    Scripted("answered, without effect", _write, _without_effect, lies=True),
    Scripted("shows late", _write, _lags(SHORT_LAG_S)),
    Scripted("shows too late", _write, _lags(LONG_LAG_S)),
    Scripted("created disabled", _new_inbound, _created_disabled),
    Scripted("malformed", _read, _raises(lambda r: Malformed("an HTML page", str(r)))),
    Scripted("empty", _read, _empty, lies=True),
    Scripted("odd rows", _listing, _odd_rows),
    Scripted("changed by another", _never, _raises(_refused), moves=True),
    Scripted("stopped", _any, _stopped),
    Scripted("killed before", _any, _killed(executed=False)),
    Scripted("killed after", _any, _killed(executed=True)),
)
