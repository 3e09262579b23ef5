"""A tenant behind the ports, in this process: the sandbox's cmdlets, Graph and DNS, and a log of its own.

It stands where the adapters stand, so it does what they promise: their encoding, their errors, their checks of rows,
and their one policy of retries. Time is the run's virtual clock.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import pickle
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from provisioner.diagnostics import Malformed, NotFound, Refused, TenantError
from provisioner.engine import Event, Finished, ReadingFinished, ReadingStarted, Sending
from provisioner.mail_dns.dialogue import DnsAnswer, Status
from provisioner.model import (
    Address,
    Answer,
    Change,
    Cmdlet,
    DnsQuery,
    DnsUpdate,
    GraphRequest,
    Request,
    Row,
    ZoneQuery,
)
from provisioner.sandbox.clock import Clock
from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.dns import find
from provisioner.sandbox.exchange_rest import decode_parameters
from provisioner.sandbox.graph import GraphService
from provisioner.sandbox.graph_calls import Call, GraphError
from provisioner.sandbox.public_dns import names
from provisioner.sandbox.tenant import Tenant
from provisioner.tenant.exchange_answers import Reduced, error_by_type
from provisioner.tenant.exchange_rest import encode_parameters
from provisioner.tenant.ports import Ports
from provisioner.tenant.retry import Retry
from tests.clocks import TurnClock

START = dt.datetime(2026, 11, 23, 10, 0, tzinfo=dt.UTC)
RETRY_S = 40.0
STEP_READ, _UNTOLD = "step that reads", "?"
"""What a request is for that no reading announced: a step of a change, or nothing that is known."""
_reading: ContextVar[ReadingStarted | None] = ContextVar("reading", default=None)
"""The reading in whose tasks a request is sent: two that are under way may ask the same."""
ADMINISTRATOR = Caller("lifecycle", directory_roles=("Global Administrator",))
_ROLES = frozenset({"Directory.ReadWrite.All", "Policy.Read.All"})


@dataclass(slots=True)
class _VirtualTime(Clock):
    """The sandbox's clock without the machine's: it stands still until it is advanced."""

    def now(self) -> dt.datetime:
        return START + dt.timedelta(seconds=self.offset_s)


@dataclass(slots=True)
class Passage:
    """One request at the port: what it was for, how often it was tried, and what became of each try.

    `address` and `step` are those of the change that a step belongs to; `effects` counts how often it was carried
    out, `journalled` is the size of the journal when a step arrived.
    """

    number: int
    request: Request
    purpose: str
    address: Address | None = None
    step: int = 0
    outcomes: list[str] = field(default_factory=list)
    effects: int = 0
    answer: Answer | TenantError | None = None
    journalled: int = 0
    stopped: bool = False

    @property
    def writes(self) -> bool:
        return not self.request.reads


class Fault(Protocol):
    """What happens to a request. It carries out the request itself, or does not; `lies` where its answer is false."""

    @property
    def name(self) -> str: ...

    @property
    def lies(self) -> bool: ...

    async def strike(self, service: Service, passage: Passage, execute: Callable[[], Answer]) -> Answer: ...


class Killed(BaseException):
    """The process ended here."""


class Service:
    """The ports of one tenant. `fault` strikes request number `at`; `arriving` is called when a write arrives.

    `version` is another one after everything that may have changed the rows; `known` are objects as they were at one.
    """

    transport = "rest"

    def __init__(self, tenant: Tenant, seed: int) -> None:
        self.tenant, self.random = tenant, random.Random(seed)
        self.clock = TurnClock(tenant.clock.advance, START)
        self.log: list[Passage] = []
        self.at, self.fault = -1, None  # type: tuple[int, Fault | None]
        self.stop: asyncio.Event | None = None
        self.arriving: Callable[[Passage], None] = lambda _: None
        self.journal_size: Callable[[], int] = lambda: 0
        self.dead = False
        self.most_writing = self._writing = 0
        self.version = 0
        self.known: dict[Address, tuple[int, Change, Any]] = {}
        self._graph = GraphService(tenant)
        self._retry = Retry(RETRY_S, clock=self.clock)
        self._readings: list[tuple[ReadingStarted, list[Request]]] = []
        self._intended: Sending | None = None

    @property
    def ports(self) -> Ports:
        return Ports(self, self, self)

    def observe(self, event: Event) -> None:
        """Told by the engine: what the requests are for. The port's log itself rests on requests only."""
        match event:
            case ReadingStarted():
                self._readings.append((event, list(event.requests)))
                _reading.set(event)
            case ReadingFinished():
                self._readings = [(r, left) for r, left in self._readings if r is not _reading.get()]
            case Sending():
                self._intended = event
            case Finished():
                self._intended = None

    # --- the ports --------------------------------------------------------------------------------------------------

    async def run(self, cmdlet: Cmdlet) -> Answer:
        return await self._pass(cmdlet, lambda: self.execute(cmdlet))

    async def send(self, request: GraphRequest) -> Answer:
        return await self._pass(request, lambda: self._directory(request))

    async def query(self, query: DnsQuery) -> Answer:
        return await self._pass(query, lambda: self._published(query))

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        rows = (await self.query(query)).rows
        return DnsAnswer(Status.ROWS if rows else Status.NO_ROWS, tuple(str(row["value"]) for row in rows))

    async def _pass(self, request: Request, execute: Callable[[], Answer]) -> Answer:
        if self.dead:
            raise Killed
        passage = self._arrived(request)
        fault = self.fault if passage.number == self.at else None

        def carry_out() -> Answer:
            self.version += passage.writes
            answer = execute()
            passage.effects += 1
            return answer

        async def attempt() -> Answer:
            self._writing += passage.writes
            self.most_writing = max(self.most_writing, self._writing)
            try:
                return await strike()
            finally:
                self._writing -= passage.writes

        async def strike() -> Answer:
            for _ in range(self.random.randrange(3)):
                await asyncio.sleep(0)
            if self.dead:
                raise Killed
            return await fault.strike(self, passage, carry_out) if fault else carry_out()

        async def told() -> Answer:
            try:
                answer = await attempt()
            except BaseException as error:
                passage.outcomes.append(type(error).__name__)
                raise
            passage.outcomes.append("answered")
            return answer

        try:
            retried = fault is not None and not isinstance(request, DnsQuery)
            passage.answer = await (self._retry.call(request, told) if retried else told())
        except TenantError as error:
            passage.answer = error
            raise
        return passage.answer

    def _arrived(self, request: Request) -> Passage:
        """The log's entry. A step belongs to the change whose intention was told last: nothing comes in between.

        A step may also be a read that a later one needs.
        """
        passage = Passage(len(self.log), request, self._purpose(request))
        passage.stopped = bool(self.stop and self.stop.is_set())
        self.log.append(passage)
        if self._intended is not None and (passage.writes or passage.purpose == _UNTOLD):
            passage.address, passage.step = self._intended.change.address, self._intended.step
            passage.purpose = f"write {passage.step + 1}" if passage.writes else STEP_READ
        if passage.address is not None:
            passage.journalled = self.journal_size()
        if passage.writes:
            self.arriving(passage)
        return passage

    def _purpose(self, request: Request) -> str:
        if isinstance(request, DnsQuery):
            return "DNS"
        for reading, left in self._readings:
            if reading is _reading.get() and request in left:
                left.remove(request)
                return reading.purpose
        return _UNTOLD

    # --- the service ------------------------------------------------------------------------------------------------

    def execute(self, cmdlet: Cmdlet) -> Answer:
        """Run a cmdlet, with the adapters' encoding of parameters, their errors and their checks."""
        try:
            parameters = decode_parameters(encode_parameters(cmdlet))
            result = run_cmdlet(self.tenant, ADMINISTRATOR, cmdlet.name, parameters)
        except CmdletError as error:
            raise error_by_type(cmdlet, error.exception_type, error.message, status=error.http_status) from None
        rows = tuple(dict(row) for row in (*result.rows, *result.beyond))
        check_rows(cmdlet, rows)
        return Answer(rows, tuple(result.warnings))

    def told(self, request: Request) -> Answer:
        """The answer to any question, in nobody's log."""
        match request:
            case Cmdlet():
                return self.execute(request)
            case GraphRequest():
                return self._directory(request)
            case DnsQuery():
                return self._published(request)
            case ZoneQuery() | DnsUpdate():
                raise AssertionError("no life publishes in DNS")

    def _directory(self, request: GraphRequest) -> Answer:
        path, _, query = request.path.partition("?")
        parts = tuple(unquote(part) for part in path.split("/") if part)
        parameters = dict(parse_qsl(query))
        if request.columns:
            parameters["$select"] = ",".join(sorted(request.columns | {"id"}))
        call = Call(request.method, parts, parameters, {}, request.body, "https://graph/v1.0", _ROLES)
        try:
            body = self._graph.answer(call).body
        except GraphError as error:
            kind = NotFound if error.status == 404 else Refused
            raise kind(error.message, str(request), error.code, error.status) from None
        if "@odata.nextLink" in body:
            raise Malformed("the harness reads one page", str(request))
        return Answer(tuple(body.get("value", [body])))

    def _published(self, query: DnsQuery) -> Answer:
        records = find(names(self.tenant), query.name.lower().rstrip(".")) or {}
        return Answer(tuple({"value": text} for text in records.get(query.type, ())))

    # --- behind its back --------------------------------------------------------------------------------------------

    def administrate(self, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run a cmdlet that is in nobody's log; `publish` is what a domain's owner does."""
        if name == "publish":
            self.publish(parameters["domain"])
            return []
        self.version += 1
        return list(run_cmdlet(self.tenant, ADMINISTRATOR, name, parameters).rows)

    @property
    def lags(self) -> bool:
        """Whether reads may see rows as they were."""
        return bool(self.tenant._pending)

    @contextmanager
    def without_lag(self) -> Iterator[None]:
        """See the rows as they really are."""
        pending, self.tenant._pending = self.tenant._pending, []
        try:
            yield
        finally:
            self.tenant._pending = pending

    def publish(self, domain: str) -> None:
        """What the domain's owner does: the CNAMEs that Exchange names, as far as it does."""
        self.version += 1
        for row in self.tenant.rows("DkimSigningConfig"):
            if str(row["Domain"]).lower() == domain:
                for number in (1, 2):
                    target = str(row[f"Selector{number}CNAME"])
                    self.tenant.dns[f"selector{number}._domainkey.{domain}"] = {"CNAME": [target]}

    def recall(self, passages: Sequence[Passage], turns: Any) -> None:
        """Take requests for asked and answered as another life of the scene asked them."""
        first = len(self.log)
        for number, known in enumerate(passages, first):
            self.log.append(known if known.number == number else dataclasses.replace(known, number=number))
        self.random.setstate(turns)

    def settle(self) -> None:
        """The next day: replication is done, and whoever was to do something has."""
        self.version += 1
        self.tenant.lag = 0.0
        self.tenant.clock.advance(86_400.0)
        self.tenant.settings.pop("inbound_connectors_created_disabled", None)


def check_rows(cmdlet: Cmdlet, rows: Sequence[Row]) -> None:
    """Look at the rows of a read as an adapter does. Raises Malformed where they cannot be all."""
    reduced = Reduced(cmdlet)
    reduced.take(rows)
    reduced.check()


def born(dump: bytes, seed: int) -> Service:
    """A service over a tenant of its own, from what `kept` gave."""
    tenant = Tenant()
    tenant.load_json(pickle.loads(dump))
    tenant.clock = _VirtualTime()
    return Service(tenant, seed)


def kept(tenant: Tenant) -> bytes:
    """A tenant, to be born from many times."""
    return pickle.dumps(tenant.to_json())
