"""Scripted faults, and the log of requests: an ASGI layer before every front.

A rule waits for requests that it matches, lets `after` of them pass, then strikes `times` of them. What a rule does
stands in `_DEEDS`: `inflate` is a body of gzip and `flood` a plain one that have so many bytes, `drip` sends the true
answer one byte each so many seconds. Some deeds only the front can do (answers with `@adminapi.errors`, a row that
reads miss for a while, other rows than the cmdlet's, rows without the columns that `leave_out` lists, a pipeline that
ends without an error, another body in the envelope of WS-Management): for these the front asks `deed(scope)`.
Secrets never reach the log.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from provisioner.sandbox.clock import Clock
from provisioner.sandbox.wsman import Pipelines

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

FRONTS = ("exchange", "psrp", "wsman", "graph", "entra", "dns", "smtp", "mta_sts")
"""`psrp` are the cmdlets of remote PowerShell, `wsman` the requests of HTTP that carry them."""
_DEEDS = frozenset({
    "status", "headers", "body", "delay", "hold", "close", "run_then_close", "html", "truncate", "adminapi_errors",
    "read_after_write_404", "rows", "end", "inflate", "flood", "drip", "soap",
    "leave_out",
})  # fmt: skip
_MATCHES = frozenset({"cmdlet", "path", "method"})
"""For `wsman` the method is the verb of WS-Management (Create, Command, Receive, Signal, Delete), and the cmdlet one of
those that the pipeline of a Command, Receive or Signal runs."""
_HTML = (
    "<!DOCTYPE html><html><head><title>Sign in to your account</title></head>"
    "<body><p>Please enable JavaScript to continue.</p></body></html>"
)
_THROTTLED = (
    "You have reached the maximum number of concurrent requests per tenant. Please wait and try again. Server busy."
)
_SECRET_PARAMETERS = ("password", "secret", "credential", "token", "privatekey")

_LOG = logging.getLogger(__name__)


class TokenRefused(Exception):
    """A request whose bearer token is not accepted: the answer to give."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        super().__init__(f"the token was refused with {status}")
        self.status, self.headers, self.body = status, dict(headers), body


@dataclass(slots=True)
class _Rule:
    front: str
    match: Mapping[str, str]
    after: int
    times: int | None
    do: Mapping[str, Any]

    def takes(self, front: str, method: str, path: str, cmdlets: Iterable[str]) -> bool:
        """Whether the rule strikes this request; counts it if it matches."""
        wanted = self.match
        if front != self.front or self.times == 0:
            return False
        if "method" in wanted and wanted["method"].upper() != method.upper():
            return False
        if "path" in wanted and wanted["path"].lower() not in path.lower():
            return False
        if "cmdlet" in wanted and wanted["cmdlet"].lower() not in (name.lower() for name in cmdlets):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


def _rule(obj: Any) -> _Rule:
    if not isinstance(obj, dict) or not isinstance(obj.get("do"), dict) or not obj["do"]:
        raise ValueError('a fault is {"front", "match", "after", "times", "do": {…}}')
    match = obj.get("match", {})
    unknown = (set(obj) - {"front", "match", "after", "times", "do"}) | (set(obj["do"]) - _DEEDS)
    if not isinstance(match, dict):
        raise ValueError("a fault's match is a mapping")
    unknown |= set(match) - _MATCHES
    if unknown:
        raise ValueError(f"a fault does not know {', '.join(sorted(map(str, unknown)))}")
    if obj.get("front") not in FRONTS:
        raise ValueError(f"a fault's front is one of {', '.join(FRONTS)}")
    after, times = obj.get("after", 0), obj.get("times", 1)
    if not isinstance(after, int) or not (times is None or isinstance(times, int)):
        raise ValueError("a fault's after and times are numbers; times may be null for ever")
    return _Rule(obj["front"], {k: str(v) for k, v in match.items()}, after, times, dict(obj["do"]))


class Faults:
    """The rules in force and the requests seen. `log_path` gets each request as a line of JSON; `sleep` delays."""

    def __init__(
        self,
        clock: Clock,
        log_path: Path | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._path = log_path
        self._file: TextIO | None = None
        self._rules: list[_Rule] = []
        self._log: list[dict[str, Any]] = []
        self._number = 0
        self._lifted = asyncio.Event()

    # --- rules --------------------------------------------------------------------------------------------------

    def add(self, rule: Any) -> None:
        """Put a rule in force, behind those there are. Raises ValueError."""
        self._rules.append(_rule(rule))

    def clear(self) -> None:
        """Lift all rules. What they hold goes on."""
        self._rules.clear()
        self._lifted.set()
        self._lifted = asyncio.Event()

    def in_force(self) -> list[dict[str, Any]]:
        """The rules as they were added; `after` and `times` are what is left of them."""
        return [dataclasses.asdict(rule) for rule in self._rules]

    async def wait(self, do: Mapping[str, Any]) -> None:
        """Wait as a deed says: `delay` seconds, or with `hold` until the rules are lifted."""
        if "delay" in do:
            await self._sleep(float(do["delay"]))
        if do.get("hold"):
            await self._lifted.wait()

    def take(
        self, front: str, *, method: str = "", path: str = "", cmdlet: str | Iterable[str] | None = None
    ) -> Mapping[str, Any]:
        """What shall happen to this request: the deed of the first rule that strikes it, or {}."""
        cmdlets = tuple(cmdlet or ()) if not isinstance(cmdlet, str) else (cmdlet,)
        for rule in self._rules:
            if rule.takes(front, method, path, cmdlets):
                return rule.do
        return {}

    # --- log ----------------------------------------------------------------------------------------------------

    def record(self, front: str, **facts: Any) -> dict[str, Any]:
        """Log one request; `facts` fill the columns. Returns the entry."""
        self._number += 1
        entry: dict[str, Any] = {
            "n": self._number,
            "time": self._clock.now().isoformat(),
            "front": front,
            "method": "",
            "path": "",
            "status": None,
            "cmdlet": None,
            "parameters": None,
            "caller": None,
            "client_request_id": None,
            "write": False,
            "executed": False,
            **facts,
        }
        entry["parameters"] = struck(entry["parameters"])
        if lacking := entry.get("not_modelled"):
            _LOG.warning("not modelled by the sandbox: %s", lacking)
        self._log.append(entry)
        if self._path is not None:
            if self._file is None:
                self._file = open(self._path, "a", encoding="utf-8", opener=_private)  # noqa: SIM115 - `close`
            self._file.write(json.dumps(entry, default=str) + "\n")
            self._file.flush()
        return entry

    @property
    def number(self) -> int:
        """The number of the last request, 0 before the first."""
        return self._number

    def requests_since(self, number: int) -> list[dict[str, Any]]:
        """Requests with a number above `number`, oldest first."""
        return [entry for entry in self._log if entry["n"] > number]

    def clear_requests(self) -> None:
        """Forget the requests; numbers go on. The file keeps them."""
        self._log.clear()

    def close(self) -> None:
        """Close the file of the log."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # --- the layer ----------------------------------------------------------------------------------------------

    def wrap(self, app: ASGIApp, front: str) -> ASGIApp:
        """`app` behind the faults and the log of `front`."""
        return _Layer(self, app, front)


def _private(path: str, flags: int) -> int:
    """Names and addresses of a tenant are for the owner of the folder only."""
    return os.open(path, flags, 0o600)


def struck(parameters: Any) -> Any:
    """Parameters without the values of what may be a secret."""
    if not isinstance(parameters, Mapping):
        return parameters
    return {
        name: "***" if any(word in name.lower() for word in _SECRET_PARAMETERS) else value
        for name, value in parameters.items()
    }


def left(rows: Iterable[Any], do: Mapping[str, Any]) -> Iterable[Any]:
    """Rows without the columns that a deed leaves out."""
    gone = frozenset(do.get("leave_out", ()))
    if not gone:
        return rows
    return [{n: v for n, v in row.items() if n not in gone} if isinstance(row, Mapping) else row for row in rows]


def deed(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a rule wants done to this request, for the front to do its part of it."""
    found: Mapping[str, Any] = scope.get("sandbox.deed", {})
    return found


def facts(scope: MutableMapping[str, Any]) -> dict[str, Any]:
    """Columns of the request's log entry, for the front to fill: cmdlet, parameters, caller, write, executed."""
    found: dict[str, Any] = scope.setdefault("sandbox.facts", {})
    return found


class _Layer:
    def __init__(self, faults: Faults, app: ASGIApp, front: str) -> None:
        self._faults, self._app, self._front = faults, app, front
        self._pipelines = Pipelines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        path = scope["path"] + (f"?{query}" if query else "")
        method, cmdlet = scope["method"], None
        runs: tuple[str, ...] = ()
        if self._front in ("exchange", "wsman") and method == "POST":
            body = await whole_body(receive)
            receive = _again(body, receive)
            if self._front == "exchange":
                cmdlet = _cmdlet_name(body)
            else:
                method, runs = self._pipelines.glimpse(body)
        columns = facts(scope)
        columns.update(method=method, path=path, cmdlet=cmdlet)
        if runs:
            columns["runs"] = runs
        columns["client_request_id"] = dict(scope["headers"]).get(b"client-request-id", b"").decode("latin-1") or None
        columns["write"] = scope["method"] in {"POST", "PATCH", "PUT", "DELETE"} and self._front == "graph"
        do = self._faults.take(self._front, method=method, path=path, cmdlet=runs or cmdlet)
        scope["sandbox.deed"] = do
        exchange = _Exchange(self._app, scope, receive, send, self._front, self._faults)
        try:
            await exchange.run(do)
        finally:
            exchange.log()


class _Exchange:
    """One request and its answer under a rule's deed."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, front: str, faults: Faults) -> None:
        self._app, self._scope, self._receive, self._send = app, scope, receive, send
        self._front, self._faults = front, faults
        self._status: int | None = None
        self._reached = self._logged = False

    def log(self) -> None:
        """Log the request, once: before the answer goes out, so that anyone who has it finds it in the log."""
        if not self._logged:
            self._logged = True
            columns = {"executed": self._reached, **facts(self._scope)}
            self._faults.record(self._front, status=self._status, **columns)

    async def run(self, do: Mapping[str, Any]) -> None:
        await self._faults.wait(do)
        if do.get("close"):
            await self._drop()
        elif do.get("run_then_close"):
            await self._run(_nowhere, logged=False)
            self._status = None
            await self._drop()
        elif do.get("html"):
            await self._reply(int(do.get("status", 200)), {"content-type": "text/html; charset=utf-8"}, _HTML.encode())
        elif "status" in do:
            status = int(do["status"])
            headers, body = _answer(self._front, status, do)
            await self._reply(status, headers, body)
        elif "truncate" in do:
            await self._truncated(int(do["truncate"]))
        elif "drip" in do:
            await self._dripped(float(do["drip"]))
        elif "inflate" in do:
            headers = {"content-type": "application/json; charset=utf-8", "content-encoding": "gzip"}
            await self._stream(200, headers, _packed(_blanks(int(do["inflate"]))))
        elif "flood" in do:
            headers = {"content-type": "application/json; charset=utf-8"}
            await self._stream(200, headers, _blanks(int(do["flood"])))
        else:
            await self._run(self._send)

    async def _run(self, send: Send, *, logged: bool = True) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._status = int(message["status"])
                if logged:
                    self.log()
            await send(message)

        self._reached = True
        await self._app(self._scope, self._receive, watched)

    async def _truncated(self, size_bytes: int) -> None:
        """The whole answer is made, its first bytes go out, as an intermediary does that gives up."""
        status, headers, body = await self._made()
        await self._reply(status, headers, body[:size_bytes])

    async def _dripped(self, pause_s: float) -> None:
        """The whole answer is made, and goes out byte by byte until the client has had enough of it."""
        status, headers, body = await self._made()
        await self._stream(status, headers, (body[n : n + 1] for n in range(len(body))), pause_s)

    async def _made(self) -> tuple[int, dict[str, str], bytes]:
        """The answer of the front: status, headers without a length, body."""
        parts: list[bytes] = []
        start: dict[str, Any] = {}

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        await self._run(keep, logged=False)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in start["headers"] if k != b"content-length"}
        return int(start["status"]), headers, b"".join(parts)

    async def _stream(
        self, status: int, headers: Mapping[str, str], parts: Iterable[bytes], pause_s: float = 0.0
    ) -> None:
        """Send a body of undeclared length, part by part, until its end or until the client has gone."""
        self._status = status
        self.log()
        raw = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        gone = asyncio.ensure_future(self._gone())
        try:
            for part in parts:
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
                await asyncio.wait({gone}, timeout=pause_s)
                if gone.done():
                    return
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._status = status
        self.log()
        raw = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
        raw.append((b"content-length", str(len(body)).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})

    async def _drop(self) -> None:
        """Cut the connection without an answer.

        ASGI has no word for it: uvicorn's `send` is a method of the object that holds the transport.
        """
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is None:
            raise RuntimeError("this server gives no way to cut a connection")
        self.log()
        transport.abort()
        await self._gone()


async def _nowhere(message: Message) -> None:  # noqa: ARG001 - the answer is thrown away
    return


_PART_BYTES = 2**16


def _blanks(size_bytes: int) -> Iterator[bytes]:
    """A JSON document that holds no rows and very much space."""
    yield b'{"value": ['
    for _ in range(size_bytes // _PART_BYTES):
        yield b" " * _PART_BYTES
    yield b"]}"


def _packed(parts: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def _answer(front: str, status: int, do: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Headers and body of a scripted answer: as written, else as the front words it."""
    headers = {str(name): str(value) for name, value in do.get("headers", {}).items()}
    body = do.get("body")
    if body is None and front == "exchange" and status == 429:
        body = _THROTTLED
    elif body is None and front == "graph":
        code = {429: "TooManyRequests", 503: "serviceNotAvailable", 504: "gatewayTimeout"}.get(
            status, "generalException"
        )
        body = {"error": {"code": code, "message": "Please retry again later.", "innerError": {}}}
    if isinstance(body, str):
        raw, kind = body.encode(), "text/plain; charset=utf-8"
    else:
        raw, kind = (b"", "") if body is None else (json.dumps(body).encode(), "application/json; charset=utf-8")
    if kind and "content-type" not in {name.lower() for name in headers}:
        headers["content-type"] = kind
    return headers, raw


async def whole_body(receive: Receive) -> bytes:
    """The body of a request."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, then what else comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _cmdlet_name(body: bytes) -> str | None:
    try:
        name = json.loads(body)["CmdletInput"]["CmdletName"]
    except (ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None
