"""Signing in to the tenant of a profile, and the one event loop of a command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from provisioner import engine
from provisioner.diagnostics import SignInRefused, TenantError
from provisioner.model import Request
from provisioner.operations.context import Context
from provisioner.settings.files import profile_names
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
        yield Tenant(ports, await _identified(context, ports))


async def _identified(context: Context, ports: Ports) -> TenantIdentity:
    """Whose tenant it is. A sign-in that is refused where no profile says how names the profiles that could."""
    try:
        return await identify(ports)
    except SignInRefused as error:
        if context.profile.sources:
            raise
        names = ", ".join(profile_names(Path.cwd())) or "none; provisioner init writes one"
        what = f"no profile is chosen, and the credentials of this machine give no access: {error.summary}"
        hint = f"choose a profile with --profile NAME or PROVISIONER_PROFILE (profiles here: {names})"
        raise SignInRefused(what, hint=hint) from error


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run an operation from code without an event loop; of a group of errors the first one is raised.

    What it gives is kept from the task of `asyncio.run`: while that puts the handler of SIGINT back, `signal`
    writes the text of the handler, of its task and of the task's result, for an error that it drops (CPython,
    `signal._int_to_enum`). The text of a change set of 10,000 objects takes longer than planning them.
    """
    given: list[T] = []

    async def main() -> None:
        given.append(await work)

    try:
        asyncio.run(main())
        return given[0]
    except BaseExceptionGroup as group:
        raise first_error(group) from group


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group that is none itself."""
    error = group.exceptions[0]
    return first_error(error) if isinstance(error, BaseExceptionGroup) else error
