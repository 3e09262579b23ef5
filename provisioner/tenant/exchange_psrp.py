"""Exchange cmdlets over remote PowerShell to a management host or a JEA endpoint (MS-PSRP over WS-Management).

pypsrp is synchronous: each runspace has a shell and a thread of its own, opened when there is more to do than those
open can take, up to a limit. What waits when a runspace becomes free travels together, as statements of one pipeline.
A write whose answer was lost is not sent again: the engine reads what became of it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from provisioner.diagnostics import (
    Diagnostic,
    InputError,
    Malformed,
    ProvisionerError,
    TenantError,
    Throttled,
    Unavailable,
    Unclear,
)
from provisioner.extras import need
from provisioner.model import Answer, Cmdlet, Parameter, Secret
from provisioner.model.clouds import CLOUDS
from provisioner.tenant.credentials import secret_value
from provisioner.tenant.limiter import Limiter
from provisioner.tenant.network import Network, trusted
from provisioner.tenant.psrp_connection import Bounds, bound
from provisioner.tenant.psrp_runspace import Outcome, Runspace, Selecting, SessionLost
from provisioner.tenant.retry import Retry
from provisioner.tenant.threads import in_thread

if TYPE_CHECKING:
    from pypsrp.wsman import WSMan

    from provisioner.settings import Profile, Psrp

_CLOSING_S = 5.0
_STEPS = 10  # of a batch at most: twice to open, connect, ask what the session selects, and two pipelines
_READ_MARGIN_S = 10  # read_timeout above OperationTimeout, or pypsrp asks again for output that is lost


_OVERDUE_S = 5.0
"""What a thread has beyond the time of its runspace before it is cut off, which ends itself when that is over."""
_CLOSED = "the session with the management host was closed before there was an answer"
_Waiting = tuple[Cmdlet, asyncio.Future[Answer]]
T = TypeVar("T")


class PsrpExchange:
    """The Exchange port over remote PowerShell. `open_runspace` makes one that is not open yet.

    Whatever ends a worker, each cmdlet that it had or that waits for it has an answer or an error. `request_s` is what
    a runspace may take for a step; from it follows how long a cmdlet waits while nothing at all is answered.
    """

    transport = "psrp"

    def __init__(
        self,
        open_runspace: Callable[[], Runspace],
        retry: Retry,
        limiter: Limiter,
        runspaces: int,
        statements: int,
        request_s: float,
    ) -> None:
        self._make, self._retry, self._limiter = open_runspace, retry, limiter
        self._limit, self._statements = runspaces, statements
        self._patience_s = _STEPS * request_s + retry.budget_s
        self._queue: deque[_Waiting] = deque()
        self._news = asyncio.Condition()
        self._workers: set[asyncio.Task[None]] = set()
        self._idle = 0
        self._moved = time.monotonic()
        self._closed = False

    async def run(self, cmdlet: Cmdlet) -> Answer:
        """Run one cmdlet. Raises what `diagnostics` has for a TenantError."""
        return await self._retry.call(cmdlet, partial(self._once, cmdlet), repeat_unclear=cmdlet.reads)

    async def close(self) -> None:
        """Close every session, within a few seconds. What still waits is told so."""
        self._closed = True
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers, timeout=_CLOSING_S)
        self._refuse(_CLOSED)

    async def _once(self, cmdlet: Cmdlet) -> Answer:
        if self._closed:
            raise TenantError(_CLOSED, cmdlet.name)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append((cmdlet, future))
        try:
            await asyncio.sleep(0)  # whatever else is being asked right now comes along
            async with self._news:
                self._news.notify()
            if not self._idle and len(self._workers) < self._limit and self._queue:
                self._start()
            return await self._answered(cmdlet, future)
        finally:
            future.cancel()  # where nobody waits any more: what was not sent is not sent

    async def _answered(self, cmdlet: Cmdlet, future: asyncio.Future[Answer]) -> Answer:
        """Its answer. Raises the error for it, and one where nothing was answered for longer than a batch may take."""
        since = time.monotonic()
        while not future.done():
            left_s = max(since, self._moved) + self._patience_s - time.monotonic()
            if left_s <= 0:
                sent = all(waiting is not future for _, waiting in self._queue)
                words = f"the management host answered nothing for {self._patience_s:.0f} s"
                raise (Unclear if sent and not cmdlet.reads else TenantError)(words, cmdlet.name)
            await asyncio.wait({future}, timeout=left_s)
        return future.result()

    def _start(self) -> None:
        worker = asyncio.create_task(self._work())
        self._workers.add(worker)
        worker.add_done_callback(self._left)

    def _left(self, worker: asyncio.Task[None]) -> None:
        """A worker ends where its session cannot be opened. The last one leaves what still waits to another.

        Where it was ended by something else, another would be too: what waits has that for an answer.
        """
        self._workers.discard(worker)
        error = None if worker.cancelled() else worker.exception()
        if self._workers:
            return
        if self._closed or worker.cancelled():
            self._refuse(_CLOSED)
        elif error is not None:
            self._refuse(error)
        elif self._queue:
            self._start()

    def _refuse(self, why: str | BaseException) -> None:
        """Tell whatever waits that it is not sent, and why."""
        waiting = self._take(len(self._queue))
        _tell(waiting, [_error(why, cmdlet, sent=False) for cmdlet, _ in waiting])

    async def _work(self) -> None:
        """One runspace's life: open when first needed, serve while there is something to do."""
        runspace = self._make()
        try:
            while True:
                await self._some_wait()
                if not await self._turn(runspace):
                    return
                if not runspace.is_open:
                    runspace = self._make()
        finally:
            await self._given(runspace, runspace.close, lambda: None)  # cut off, it would leave its shell behind

    async def _some_wait(self) -> None:
        """Until there is something to do."""
        async with self._news:
            while not self._queue:
                self._idle += 1
                try:
                    await self._news.wait()
                finally:
                    self._idle -= 1

    async def _turn(self, runspace: Runspace) -> bool:
        """Run a share of what waits, when the service may be asked. False when this runspace should not go on."""
        share = self._share()
        kind = f"{self._queue[0][0].name} x{share.bit_length()}"  # pipelines of about one length take about as long
        try:
            place = await self._limiter.enter(kind, self._retry.budget_s, share)
        except TenantError as error:
            unserved = self._take(share)
            _tell(unserved, [error] * len(unserved))
            return True
        batch = self._take(place.count)
        told: TenantError | None = Unclear("interrupted")
        try:
            lived, told = await self._serve(runspace, batch) if batch else (True, Unclear("another took it"))
        finally:
            self._limiter.leave(place, told)
            self._moved = time.monotonic()
            _tell(batch, [_error(_CLOSED, cmdlet, sent=True) for cmdlet, _ in batch])  # those that know nothing yet
        return lived

    def _share(self) -> int:
        """A fair share of what waits: runspaces run side by side, statements of one pipeline do not."""
        return min(self._statements, math.ceil(len(self._queue) / self._limit))

    def _take(self, most: int) -> list[_Waiting]:
        """So many of the queue, without those for which nobody waits any more."""
        taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
        return [(cmdlet, future) for cmdlet, future in taken if not future.done()]

    async def _serve(self, runspace: Runspace, batch: list[_Waiting]) -> tuple[bool, TenantError | None]:
        """Run a batch and tell each what became of it: whether this runspace goes on, and what the service said."""
        try:
            outcomes, lived = await self._given(runspace, partial(_run, runspace, [c for c, _ in batch]))
        except TenantError as error:
            # The session could not be opened. Where others are open, they take over.
            if isinstance(error, Throttled) and len(self._workers) > 1:
                self._queue.extendleft(reversed(batch))
                batch.clear()
                async with self._news:
                    self._news.notify_all()
                return False, error
            outcomes, lived = [error] * len(batch), False
        except Exception as error:  # noqa: BLE001 - a library that stumbles over an answer, in its own ways
            _tell(batch, [_error(error, cmdlet, sent=True) for cmdlet, _ in batch])
            return False, None
        _tell(batch, outcomes)
        return bool(lived), next((o for o in outcomes if isinstance(o, Throttled)), None)

    async def _given(self, runspace: Runspace, work: Callable[[], T], cut: Callable[[], None] | None = None) -> T:
        """What a runspace gives. One that is given up, or takes longer than it may, is cut off."""
        runspace.begin()
        return await in_thread(work, lambda: runspace.deadline + _OVERDUE_S, cut or runspace.abort)


def _tell(batch: Sequence[_Waiting], outcomes: Sequence[Outcome | BaseException]) -> None:
    """Give each what became of it, where it does not know yet."""
    for (cmdlet, future), outcome in zip(batch, outcomes, strict=True):
        if future.done():
            continue
        match outcome:
            case Answer():
                future.set_result(outcome)
            case None:
                future.set_exception(Unavailable("the pipeline ended before its turn", cmdlet.name))
            case _:
                future.set_exception(outcome)


def _error(why: str | BaseException, cmdlet: Cmdlet, *, sent: bool) -> BaseException:
    """Why a cmdlet has no answer, as an error for it. What the program has an error for is that error.

    Anything else is a library that stumbles, over what the host sent if it did: a write may have been carried out.
    """
    if isinstance(why, ProvisionerError) or (isinstance(why, BaseException) and not isinstance(why, Exception)):
        return why
    kind: type[TenantError] = TenantError if isinstance(why, str) else Malformed
    if sent and not cmdlet.reads:
        kind = Unclear
    if isinstance(why, str):
        return kind(why, cmdlet.name)
    text = str(why)[:300] or "without words"
    found = kind(f"the session with the management host broke: {type(why).__name__}: {text}", cmdlet.name)
    found.__cause__ = why
    return found


def _run(runspace: Runspace, cmdlets: Sequence[Cmdlet]) -> tuple[list[Outcome], bool]:
    """Open if need be and run. A session that was lost before anything reached the host is opened once more."""
    if not runspace.is_open:
        runspace.open()
    try:
        return runspace.run(cmdlets), True
    except SessionLost:
        runspace.open()
    try:
        return runspace.run(cmdlets), True
    except SessionLost as lost:
        return [Unavailable(lost.reason, c.name) for c in cmdlets], True


# --- from a profile --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_psrp(profile: Profile, retry: Retry, limiter: Limiter, network: Network) -> AsyncIterator[PsrpExchange]:
    """The port of a profile. Raises InputError for settings amiss, before anything is sent."""
    settings = profile.psrp
    _check(settings)
    prologue = None
    if settings.prologue is not None:
        prologue = Cmdlet(settings.prologue.cmdlet, _prologue_parameters(settings.prologue.parameters))
    if settings.ca:
        network = dataclasses.replace(network, ca=trusted(settings.ca, "psrp.ca"))

    selecting, timeout_s = Selecting(), profile.timeouts.request_s

    def make() -> Runspace:
        return Runspace(*_wsman(settings, network), settings.configuration, prologue, timeout_s, selecting)

    exchange = PsrpExchange(make, retry, limiter, settings.runspaces, settings.statements, timeout_s)
    try:
        yield exchange
    finally:
        await exchange.close()


_SERVICE = tuple(cloud.exchange.removeprefix("https://") for cloud in CLOUDS.values())


def _check(settings: Psrp) -> None:
    """What would otherwise come out only as a library's complaint, or not at all."""
    if settings.endpoint is None:
        raise _amiss("SETTINGS-PSRP", 'exchange = "psrp" needs psrp.endpoint', "write https://HOST:5986/wsman")
    where = urlsplit(settings.endpoint)
    host = (where.hostname or "").lower()
    if "powershell-liveid" in where.path.lower() or host.endswith(_SERVICE):
        raise _amiss(
            "SETTINGS-PSRP-LIVEID",
            "Exchange Online has had no remote PowerShell endpoint of its own since October 2023",
            'name a management host that has the module, or write exchange = "rest"',
        )
    if where.scheme not in ("https", "http") or not host:
        raise _amiss("SETTINGS-PSRP", "psrp.endpoint is not an address", "write https://HOST:5986/wsman")
    if where.scheme == "http" and settings.authentication in ("basic", "certificate"):
        what = f"{settings.authentication} authentication would go over an open line"
        raise _amiss("SETTINGS-PSRP", what, "write https, or an authentication that encrypts its messages")
    if settings.authentication in ("basic", "credssp") and (settings.user is None or settings.password is None):
        what = f"{settings.authentication} authentication needs psrp.user and psrp.password"
        raise _amiss("SETTINGS-PSRP", what, "password is a reference: env:NAME or file:PATH")
    if settings.authentication == "certificate" and settings.certificate is None:
        raise _amiss("SETTINGS-PSRP", "certificate authentication needs psrp.certificate", "name a PEM file")
    if settings.authentication in ("kerberos", "credssp"):
        need(settings.authentication, f"{settings.authentication} authentication")


def _amiss(id_: str, what: str, hint: str) -> InputError:
    return InputError([Diagnostic(id_, what, hint)])


def _prologue_parameters(written: Any) -> dict[str, Parameter]:
    """Parameters of the prologue: what is written as env:NAME or file:PATH is a secret and travels as SecureString."""
    parameters: dict[str, Parameter] = {}
    for name, value in written.items():
        if isinstance(value, str) and value.partition(":")[0] in ("env", "file"):
            parameters[name] = Secret(value)
        else:
            parameters[name] = tuple(value) if isinstance(value, list) else value
    return parameters


def _wsman(settings: Psrp, network: Network) -> tuple[WSMan, Bounds]:
    """A connection that is made when first used. Its password is read now, and held by nothing else."""
    from pypsrp.wsman import WSMan

    where = urlsplit(str(settings.endpoint))
    tls = where.scheme == "https"
    options: dict[str, Any] = {}
    if settings.authentication == "certificate":
        options["certificate_pem"] = str(settings.certificate)
        options["certificate_key_pem"] = str(settings.certificate_key or settings.certificate)
    proxy = network.proxy_for(str(settings.endpoint))
    connection = WSMan(
        str(where.hostname),
        port=where.port or (5986 if tls else 5985),
        path=where.path.strip("/") or "wsman",
        ssl=tls,
        auth=settings.authentication,
        username=settings.user,
        password=secret_value(settings.password) if settings.password else None,
        cert_validation=network.ca or True,  # type: ignore[arg-type] # a path is as good, says its documentation
        proxy=proxy,
        no_proxy=proxy is None,
        operation_timeout=settings.operation_timeout_s,
        read_timeout=settings.operation_timeout_s + _READ_MARGIN_S,
        **options,
    )
    return connection, bound(connection, network, settings.fingerprint)
