"""Signing in to the tenant of a profile, and the one event loop of a command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from provisioner import engine
from provisioner.diagnostics import TenantError
from provisioner.model import Request
from provisioner.operations.context import Context
from provisioner.tenant.connect import TenantIdentity, connect, identify
from provisioner.tenant.limiter import Slowdown
from provisioner.tenant.ports import Ports

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant that a run is signed in to, with ports that the run's context observes (`engine.watch`).

    Operations that are given one do not sign in again.
    """

    ports: Ports
    identity: TenantIdentity


@asynccontextmanager
async def signed_in(context: Context, tenant: Tenant | None = None) -> AsyncIterator[Tenant]:
    """The tenant of the profile, from sign-in to the end; or the one that is given, which stays open."""
    if tenant is not None:
        yield tenant
        return

    def waiting(request: Request, seconds: float, error: TenantError) -> None:
        context.observe(engine.Retrying(request, seconds, error))

    def slower(told: Slowdown) -> None:
        context.observe(engine.SlowedDown(told.service, told.at_once, told.per_s, told.quiet_s))

    clock, run = context.clock, context.new_run()
    async with connect(context.profile, on_wait=waiting, on_slowdown=slower, clock=clock, run=run) as opened:
        ports = engine.watch(opened, context.observe)
        yield Tenant(ports, await identify(ports))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run an operation from code without an event loop; of a group of errors the first one is raised."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
