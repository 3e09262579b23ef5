"""Exchange Online's admin API, `/adminapi/beta/{tenant}/InvokeCommand`: cmdlets over HTTP, as the module calls them.

Paths are compared without case. Entity sets and the endpoints of v2.0 are in `entity_sets`.

What this file knows is the wire: envelopes, sidecar keys, dates, paging, error bodies, `$batch`. What a cmdlet does is
in cmdlets/. The shapes follow live captures of the service (graph2otel, azure-auth) and the code of its module.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import re
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from provisioner.sandbox import entity_sets
from provisioner.sandbox.clock import rest_time
from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, catalogue, run_cmdlet
from provisioner.sandbox.cmdlets.errors import not_convertible
from provisioner.sandbox.cmdlets.running import NOUNS
from provisioner.sandbox.coverage import not_modelled
from provisioner.sandbox.entity_sets import Asked
from provisioner.sandbox.faults import Faults, TokenRefused, deed, facts, left
from provisioner.sandbox.generated import chained
from provisioner.sandbox.graph_calls import NOT_MODELLED
from provisioner.sandbox.psrp_values import clixml_document
from provisioner.sandbox.tenant import Row, Tenant, row_key
from provisioner.sandbox.throttle import OverQuota
from provisioner.sandbox.wire_types import GUIDS, UINT16S

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    VerifyToken = Callable[[Request, str], Awaitable[Caller]]

RESOURCE = "https://outlook.office365.com"

_LARGEST_PAGE = 1000
_CURSOR_LIFETIME_S = 30 * 60
_CURSORS = 500
_LARGEST_BATCH = 10
_CONCURRENT_REQUESTS = 30
_RETRY_AFTER_S = 2
_THROTTLED = b"You have reached the maximum number of concurrent requests per tenant. Please wait and try again."
_ODATA_ERROR = "Microsoft.Exchange.Admin.OData.Core.ODataServiceException"
_INVOCATION = "Microsoft.Exchange.AdminApi.CommandInvocation"


# --- rows on the wire ------------------------------------------------------------------------------------------------


def wire_row(row: Mapping[str, Any], columns: frozenset[str] | None = None) -> Row:
    """A row as it goes out: each value that JSON cannot name the type of has `@data.type`/`@odata.type` before it.

    `columns` (lower case) trims the row to those. Dates of either stored form leave as ISO text.
    """
    out: Row = {}
    for name, value in row.items():
        if columns is not None and name.lower() not in columns:
            continue
        if isinstance(value, str):
            value = _text(out, name, value)
        elif isinstance(value, list):
            out[f"{name}@odata.type"] = "#Collection(String)"
        elif isinstance(value, dict):
            value = {"@odata.type": "#Exchange.GenericHashTable", **value}
        elif name in UINT16S:
            out[f"{name}@data.type"] = "System.UInt16"
            out[f"{name}@odata.type"] = "#Decimal"
        elif isinstance(value, float):
            out[f"{name}@data.type"] = "System.Double"
        elif isinstance(value, int) and not isinstance(value, bool):
            out[f"{name}@data.type"] = "System.Int32"
        out[name] = value
    return out


def _text(out: Row, name: str, value: str) -> str:
    if name in GUIDS:
        out[f"{name}@data.type"] = "System.Guid"
        return value
    moment = rest_time(value)
    if moment is None:
        return value
    out[f"{name}@data.type"] = "System.DateTime"
    return moment


def decode_parameters(sent: Any) -> dict[str, Any]:
    """Parameters as cmdlets take them: tagged tables become mappings, sidecar keys go. Raises CmdletError.

    A nested object without its `@odata.type` does not bind: GenericHashTable is an open type (seen with CIPP).
    """
    if not isinstance(sent, dict):
        raise _unbound("The value for parameter 'Parameters' can't be read as Exchange.GenericHashTable.")
    return {name: _decoded(name, value) for name, value in sent.items() if "@" not in name}


def _decoded(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(name, item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = str(value.get("@odata.type", "")).removeprefix("#")
    if kind == "Exchange.ByteArrayType":
        return value.get("Data")
    if kind not in {"Exchange.GenericHashTable", "Exchange.StringFieldDeltaUpdateData"}:
        shown = "System.Management.Automation.PSCustomObject"
        reason = f'Cannot convert the "{shown}" value of type "{shown}" to type "System.Collections.Hashtable".'
        raise not_convertible(name, shown, "System.Collections.Hashtable", reason)
    return {key: _decoded(name, entry) for key, entry in value.items() if "@" not in key}


def _unbound(text: str) -> CmdletError:
    return CmdletError(f"{_INVOCATION}.InvalidRequestException", text, binding=True)


# --- errors ----------------------------------------------------------------------------------------------------------

_CODES = {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 429: "TooManyRequests"}


def error_body(error: CmdletError) -> dict[str, Any]:
    """The body of a refusal. The outer message says nothing, as in the service: the text is in details."""
    outer = "Invalid Operation" if error.binding else "Error executing cmdlet"
    inner: dict[str, Any] = {"message": outer, "type": _ODATA_ERROR, "stacktrace": ""}
    body: dict[str, Any] = {"code": _CODES.get(error.http_status, "InternalServerError"), "message": outer}
    if error.detailed:
        text = f"{error.error_id}|{error.exception_type}|{error.message}"
        code = "Client" if error.binding else "Context"
        body["details"] = [{"code": code, "target": "", "message": text}]
    if error.binding:
        inner["internalexception"] = {"message": error.message, "type": error.exception_type, "stacktrace": ""}
    body["innererror"] = inner
    # The capture of a value that does not convert has the warnings beside the error (graph2otel, July 2026).
    siblings = (
        {} if error.detailed else {"adminapi.warnings@odata.type": "#Collection(String)", "@adminapi.warnings": []}
    )
    return {"error": body, **siblings}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it becomes HTTP: status, own headers, JSON body or raw bytes."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None


def _refusal(error: CmdletError) -> Reply:
    """403 is told by no text: NUL bytes that pretend to be gzip, the reason in a header (live, graph2otel)."""
    if error.http_status == 403:
        reason = error.message.replace('"', "'")
        headers = {
            "Content-Encoding": "gzip",
            "Content-Type": "application/json",
            "x-ms-diagnostics": f'2000010;reason="{reason}";error_category="unauthorized"',
        }
        return Reply(403, b"\0" * 64, headers)
    headers = {"x-ExceptionType": error.exception_type, "x-ExceptionTargetType": error.category}
    return Reply(error.http_status, error_body(error), headers)


def _stale() -> CmdletError:
    """Live capture (graph2otel, July 2026)."""
    return _unbound("Expired or Invalid pagination request. Default Expiry time is 00:30:00")


# --- paging ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Rows still to be fetched, for anyone who asks again with the same tenant, anchor and body."""

    fingerprint: str
    rows: Sequence[Row]
    expires: float


class _Cursors:
    """Listings under way. They live on one backend in the service: another anchor does not find them."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._kept: OrderedDict[str, _Cursor] = OrderedDict()

    def keep(self, fingerprint: str, rows: Sequence[Row]) -> str:
        """Keep rows and return their name."""
        name = uuid.uuid4().hex
        expires = self._tenant.clock.now().timestamp() + _CURSOR_LIFETIME_S
        self._kept[name] = _Cursor(fingerprint, rows, expires)
        while len(self._kept) > _CURSORS:
            self._kept.popitem(last=False)
        return name

    def find(self, token: str, fingerprint: str | None) -> tuple[str, Sequence[Row], int]:
        """Name, rows and offset behind a `$skiptoken`. Raises CmdletError where it is stale or another one's."""
        try:
            name, _, offset = base64.urlsafe_b64decode(token).decode().partition("/")
            cursor, start = self._kept[name], int(offset)
        except (ValueError, KeyError):
            raise _stale() from None
        if fingerprint != cursor.fingerprint or cursor.expires <= self._tenant.clock.now().timestamp():
            raise _stale()
        return name, cursor.rows, start


def _token(name: str, offset: int) -> str:
    return base64.urlsafe_b64encode(f"{name}/{offset}".encode()).decode()


# --- the service -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Invocation:
    """One InvokeCommand: who, from where to where, with what."""

    caller: Caller
    base: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def page_size(self) -> int:
        if "$top" in self.query:
            return entity_sets.page_size(self.query, _LARGEST_PAGE)
        found = re.search(r"odata\.maxpagesize\s*=\s*(\d+)", self.headers.get("prefer", ""), re.IGNORECASE)
        return min(max(int(found[1]), 1), _LARGEST_PAGE) if found else _LARGEST_PAGE

    @property
    def columns(self) -> frozenset[str] | None:
        chosen = self.query.get("$select")
        return frozenset(name.strip().lower() for name in chosen.split(",")) if chosen else None

    @property
    def tenant_path(self) -> str:
        return self.path.split("/")[3].lower()

    def fingerprint(self) -> str | None:
        """What a page must share with the first; None without an anchor: such a page finds no cursor.

        Pages of an entity set are found without one: clients that send none read them whole.
        """
        anchor = self.headers.get("x-anchormailbox", "").lower()
        if self.body is None:
            return hashlib.sha256(f"GET {self.path.lower()}".encode()).hexdigest()
        if not anchor:
            return None
        body = orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(b"\0".join((self.tenant_path.encode(), anchor.encode(), body))).hexdigest()


class ExchangeService:
    """Answers invocations; free of HTTP, so that a request and an item of a batch take the same way."""

    def __init__(self, tenant: Tenant, faults: Faults) -> None:
        self._tenant, self._faults = tenant, faults
        self._cursors = _Cursors(tenant)

    def invoke(self, call: _Invocation, do: Mapping[str, Any], columns: dict[str, Any]) -> Reply:
        """Run one cmdlet, or give the next page of a listing. `do` is a fault's deed, `columns` the log's."""
        try:
            name, sent = _envelope(call.body)
            columns.update(cmdlet=name, parameters=sent, write=not name.lower().startswith(("get-", "test-")))
            parameters = decode_parameters(sent)
            if "$skiptoken" in call.query:
                cursor, rows, start = self._cursors.find(call.query["$skiptoken"], call.fingerprint())
                return self._page(call, CmdletResult([]), rows, start, cursor, do)
            result = run_cmdlet(self._tenant, call.caller, name, parameters)
        except CmdletError as error:
            reply = _refusal(error)
            if lacking := _not_modelled(call.body):
                columns["not_modelled"] = lacking
                reply = dataclasses.replace(reply, headers={**(reply.headers or {}), NOT_MODELLED: _header(lacking)})
            return reply
        columns["executed"] = True
        if "read_after_write_404" in do:
            self._hide(name, parameters, float(do["read_after_write_404"]))
        if result.confirmation is not None:
            return self._reply(call, result, [], None, do)
        rows = chained(result.rows, result.beyond) if result.beyond else result.rows
        return self._page(call, result, rows, 0, None, do)

    def read(self, call: _Invocation, wanted: Asked, do: Mapping[str, Any], columns: dict[str, Any]) -> Reply:
        """An entity set, a page of it, or one entity."""
        columns.update(cmdlet=wanted.cmdlet, parameters=dict(wanted.parameters))
        try:
            if "$skiptoken" in call.query:
                cursor, rows, start = self._cursors.find(call.query["$skiptoken"], call.fingerprint())
                return self._page(call, CmdletResult([]), rows, start, cursor, do)
            fits = entity_sets.filtered(call.query.get("$filter"))
            result = run_cmdlet(self._tenant, call.caller, wanted.cmdlet, wanted.parameters)
        except CmdletError as error:
            return _refusal(error)
        columns["executed"] = True
        whole = chained(result.rows, result.beyond) if result.beyond else result.rows
        rows = [entity_sets.as_entity(wanted.cmdlet, row) for row in whole if fits(row)]
        if wanted.one:
            context = f"{call.base}/adminapi/beta/{self._tenant.tenant_id}/$metadata#{call.path.rpartition('/')[2]}"
            entity = {**wire_row(rows[0], call.columns), **self._expanded(call, wanted, columns)}
            return Reply(200, {"@odata.context": f"{context}/$entity", **entity})
        return self._page(call, CmdletResult([], result.warnings), rows, 0, None, do)

    def _expanded(self, call: _Invocation, wanted: Asked, columns: dict[str, Any]) -> dict[str, Any]:
        """What `$expand` adds to one entity."""
        name = call.query.get("$expand", "")
        cmdlet = entity_sets.EXPANDED.get(name.lower())
        if cmdlet is None:
            if name:
                columns["not_modelled"] = f"$expand={name}"
            return {}
        found = run_cmdlet(self._tenant, call.caller, cmdlet, {"Identity": wanted.parameters["Identity"]}).rows
        return {name: [wire_row(row, None) for row in found]}

    def _page(
        self,
        call: _Invocation,
        result: CmdletResult,
        rows: Sequence[Row],
        start: int,
        cursor: str | None,
        do: Mapping[str, Any],
    ) -> Reply:
        """Rows from `start`. A page ends at the page size, the first one also where ResultSize cut the listing."""
        end = start + call.page_size
        if cursor is None and result.beyond:
            end = min(end, len(result.rows))
        link = None
        if end < len(rows):
            cursor = cursor or self._cursors.keep(call.fingerprint() or "", rows)
            query = {name: value for name, value in call.query.items() if name != "$skiptoken"}
            query["$skiptoken"] = _token(cursor, end)
            link = f"{call.base}{call.path}?{urlencode(query, quote_via=quote, safe='$,=')}"
        return self._reply(call, CmdletResult([], result.warnings, result.errors), rows[start:end], link, do)

    def _reply(
        self, call: _Invocation, result: CmdletResult, rows: Iterable[Row], link: str | None, do: Mapping[str, Any]
    ) -> Reply:
        columns = call.columns
        body: dict[str, Any] = {
            "@odata.context": f"{call.base}/adminapi/beta/{self._tenant.tenant_id}"
            "/$metadata#Collection(Exchange.GenericHashTable)",
            "adminapi.warnings@odata.type": "#Collection(String)",
            "@adminapi.warnings": result.warnings,
        }
        errors = [*result.errors, *do.get("adminapi_errors", ())]
        if errors:
            body["adminapi.errors@odata.type"] = "#Collection(String)"
            body["@adminapi.errors"] = errors
        if result.confirmation is not None:
            body["@adminapi.confirmationmessage"] = result.confirmation
        if link:
            body["@odata.nextLink"] = link
        if call.headers.get("x-responseformat", "").lower() == "clixml":
            noun = str(call.body["CmdletInput"]["CmdletName"]).partition("-")[2] if call.body else ""
            body["value"] = [{"_clixml": clixml_document(noun, row, columns)} for row in left(rows, do)]
        else:
            body["value"] = [wire_row(row, columns) for row in left(rows, do)]
        headers = {"X-Warnings": _header(" ".join(result.warnings))} if result.warnings else {}
        return Reply(200, body, headers)

    def _hide(self, name: str, parameters: Mapping[str, Any], seconds: float) -> None:
        """After a write: let reads miss its object for a while."""
        noun = name.partition("-")[2].lower()
        wanted = {str(v).lower() for k, v in parameters.items() if k.lower() in {"identity", "name", "domainname"}}
        for kind in (kind for name, kind in NOUNS.items() if name.lower() == noun):
            found = (row for text in wanted for row in self._tenant.named(kind.name, kind.all_names, text))
            for row in {row_key(row): row for row in found}.values():
                self._tenant.hide(kind.name, row, seconds)


def _envelope(body: Any) -> tuple[str, Any]:
    """Name and parameters of the cmdlet. Raises CmdletError. `Parameters` may lack, but is never null."""
    envelope = body.get("CmdletInput") if isinstance(body, dict) else None
    name = envelope.get("CmdletName") if isinstance(envelope, dict) else None
    if not isinstance(envelope, dict) or not isinstance(name, str) or not name:
        raise _unbound("The request body must hold a CmdletInput with a CmdletName.")
    return name, envelope.get("Parameters", {})


def _not_modelled(body: Any) -> str:
    """What of a refused call the service has and the sandbox lacks."""
    try:
        name, sent = _envelope(body)
    except CmdletError:
        return ""
    return not_modelled(name, sent if isinstance(sent, dict) else {})


def _header(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")


# --- HTTP ------------------------------------------------------------------------------------------------------------


class _Front:
    def __init__(self, tenant: Tenant, faults: Faults, verify_token: VerifyToken) -> None:
        self._tenant, self._faults, self._verify = tenant, faults, verify_token
        self._service = ExchangeService(tenant, faults)
        self._running = 0

    async def route(self, request: Request) -> Response:
        """What answers a path, whose fixed parts are compared without case."""
        parts = request.url.path.strip("/").split("/")
        request.path_params["tenant"] = parts[2] if len(parts) > 2 else ""  # which the token is compared with
        match [part.lower() for part in parts], request.method:
            case ["adminapi", "beta", _, "invokecommand"], "POST":
                return await self.invoke_command(request)
            case ["adminapi", "v1.0", _, "invokecommand"], _:
                return await self.not_here(request)
            case ["adminapi", "beta", _, "invokecommand"], _:
                return _response(request, Reply(405, None, {"Allow": "POST"}))
            case ["adminapi", "beta", _, "$batch"], "POST":
                return await self.batch(request)
            case ["adminapi", _, _, "exomodulefile"], "GET":
                return await self.module_file(request)
            case ["adminapi", "v2.0", _, noun], "POST" if noun in entity_sets.ENDPOINTS:
                return await self.endpoint(request)
            case ["adminapi", "beta", _, _, *_], _:
                return await self.entities(request)
            case _:
                return await self.elsewhere(request)

    async def invoke_command(self, request: Request) -> Response:
        return await self._guarded(request, self._invoke)

    async def batch(self, request: Request) -> Response:
        return await self._guarded(request, self._batch)

    async def module_file(self, request: Request) -> Response:
        return await self._guarded(request, self._module_file)

    async def entities(self, request: Request) -> Response:
        """An entity set by GET; other methods on one would change it, which is not modelled."""
        return await self._guarded(request, self._entities)

    async def _entities(self, request: Request, caller: Caller) -> Reply:
        path, query = request.url.path, dict(request.query_params)
        try:
            wanted = entity_sets.asked(path.split("/", 4)[4], query)
        except CmdletError as error:
            return _refusal(error)
        if wanted is None or request.method != "GET":
            lacking = f"{request.method} {path.split('/', 4)[4]}"
            facts(request.scope)["not_modelled"] = lacking
            return Reply(404, None, {NOT_MODELLED: _header(lacking)})
        call = _Invocation(caller, _base(request), path, query, request.headers, None)
        return self._service.read(call, wanted, deed(request.scope), facts(request.scope))

    async def endpoint(self, request: Request) -> Response:
        """An endpoint of v2.0: the cmdlets of its noun."""
        return await self._guarded(request, self._endpoint)

    async def _endpoint(self, request: Request, caller: Caller) -> Reply:
        noun = request.url.path.rstrip("/").rpartition("/")[2].lower()
        try:
            name, _ = _envelope(orjson.loads(await request.body()))
        except (orjson.JSONDecodeError, CmdletError):
            return _refusal(_unbound("The request body must hold a CmdletInput with a CmdletName."))
        if name.partition("-")[2].lower() != noun:
            text = f"The cmdlet {name} isn't available at this endpoint."  # the sentence is ours
            return _refusal(_unbound(text))
        return await self._invoke(request, caller)

    async def elsewhere(self, request: Request) -> Response:
        """A path that the service may have, and the sandbox does not."""
        lacking = f"{request.method} {request.url.path}"
        facts(request.scope)["not_modelled"] = lacking
        return _response(request, Reply(404, None, {NOT_MODELLED: _header(lacking)}))

    async def not_here(self, request: Request) -> Response:
        """Only `beta` answers InvokeCommand (live, azure-auth)."""
        return _response(request, Reply(405, None, {"Allow": "GET"}))

    async def _guarded(self, request: Request, answer: Callable[[Request, Caller], Awaitable[Reply]]) -> Response:
        """Token, then concurrency, then the request itself."""
        facts(request.scope)["executed"] = False
        try:
            caller = await self._verify(request, RESOURCE)
        except TokenRefused as refusal:
            return _response(request, Reply(refusal.status, refusal.body, refusal.headers))
        facts(request.scope)["caller"] = caller.app_id
        if self._running >= int(self._tenant.settings.get("max_concurrent_requests", _CONCURRENT_REQUESTS)):
            headers = {"Retry-After": str(_RETRY_AFTER_S), "Content-Type": "text/plain"}
            return _response(request, Reply(429, _THROTTLED, headers))
        self._running += 1
        try:
            return _response(request, await self._within_quota(request, caller, answer))
        finally:
            self._running -= 1

    async def _within_quota(
        self, request: Request, caller: Caller, answer: Callable[[Request, Caller], Awaitable[Reply]]
    ) -> Reply:
        quotas, latency_s = self._tenant.throttle, float(self._tenant.settings.get("exchange_latency_s", 0))
        try:
            # Of a batch each item is a request.
            batch = request.url.path.endswith("$batch")
            with quotas.running("exchange", caller.app_id, counted=not batch):
                # The wait lets requests that came together meet, as they do in a service that is not instant.
                await asyncio.sleep(latency_s)
                return await answer(request, caller)
        except OverQuota as over:
            facts(request.scope)["throttled"] = over.quota
            return _throttled(over)

    async def _invoke(self, request: Request, caller: Caller) -> Reply:
        try:
            body = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            return _refusal(_unbound("The request body isn't valid JSON."))
        call = _Invocation(caller, _base(request), request.url.path, dict(request.query_params), request.headers, body)
        return self._service.invoke(call, deed(request.scope), facts(request.scope))

    async def _batch(self, request: Request, caller: Caller) -> Reply:
        """Up to ten invocations in one request; each has its own status."""
        try:
            items = orjson.loads(await request.body())["requests"]
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise TypeError
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return _refusal(_unbound("The request body must hold a list of requests."))
        if len(items) > _LARGEST_BATCH:
            return _refusal(_unbound(f"The batch request has more than {_LARGEST_BATCH} requests."))
        facts(request.scope)["executed"] = True
        return Reply(200, {"responses": [await self._item(request, caller, item) for item in items]})

    async def _item(self, request: Request, caller: Caller, item: Mapping[str, Any]) -> dict[str, Any]:
        address, _, query = str(item.get("url", "")).partition("?")
        path = re.sub(r"^https?://[^/]+", "", address)
        path = path if path.startswith("/") else request.url.path.rpartition("/")[0] + "/" + path
        headers = {str(name).lower(): str(value) for name, value in (item.get("headers") or {}).items()}
        call = _Invocation(caller, _base(request), path, dict(parse_qsl(query)), headers, item.get("body"))
        columns: dict[str, Any] = {"caller": caller.app_id, "method": "POST", "path": path}
        reply = await self._item_reply(call, columns)
        self._faults.record("exchange", status=reply.status, **columns)
        body = reply.body.decode() if isinstance(reply.body, bytes) else reply.body
        return {"id": item.get("id"), "status": reply.status, "headers": dict(reply.headers or {}), "body": body}

    async def _item_reply(self, call: _Invocation, columns: dict[str, Any]) -> Reply:
        if not call.path.lower().endswith("/invokecommand"):
            return Reply(404, None)
        name = call.body.get("CmdletInput", {}).get("CmdletName") if isinstance(call.body, dict) else None
        do = self._faults.take("exchange", method="POST", path=call.path, cmdlet=str(name))
        await self._faults.wait(do)
        if "status" in do:
            return Reply(int(do["status"]), do.get("body"), do.get("headers"))
        try:
            self._tenant.throttle.admit("exchange", call.caller.app_id)
        except OverQuota as over:
            columns.update(cmdlet=name, throttled=over.quota)
            return _throttled(over)
        return self._service.invoke(call, do, columns)

    async def _module_file(self, request: Request, caller: Caller) -> Reply:
        """The cmdlets that the caller may run, joined by commas, as the module asks when it connects (CIPP-API)."""
        facts(request.scope)["executed"] = True
        names = ",".join(catalogue(caller))
        return Reply(200, {"value": [{"Version": request.query_params.get("Version"), "exportedCmdlets": names}]})


def _throttled(over: OverQuota) -> Reply:
    """A plain sentence, not OData (ExoHelper reads it so)."""
    return Reply(429, over.text.encode(), {"Retry-After": str(over.retry_after_s), "Content-Type": "text/plain"})


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _response(request: Request, reply: Reply) -> Response:
    headers = {"request-id": str(uuid.uuid4()), "X-CalculatedBETarget": "am0pr07mb3831.eurprd07.prod.outlook.com"}
    if "client-request-id" in request.headers:
        headers["client-request-id"] = _header(request.headers["client-request-id"])
    headers.update(reply.headers or {})
    if isinstance(reply.body, bytes) or reply.body is None:
        return Response(reply.body or b"", reply.status, headers)
    headers["Content-Type"] = "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8"
    return Response(orjson.dumps(reply.body), reply.status, headers)


def exchange_app(tenant: Tenant, faults: Faults, verify_token: VerifyToken) -> ASGIApp:
    """The admin API as an ASGI application. `verify_token` gives the Caller or raises TokenRefused."""
    front = _Front(tenant, faults, verify_token)
    return faults.wrap(Starlette(routes=[Route("/{path:path}", front.route, methods=["GET", "POST"])]), "exchange")
