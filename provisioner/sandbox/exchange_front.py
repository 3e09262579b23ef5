"""The admin API over HTTP: paths, tokens, concurrency, quotas and `$batch` around the service of `exchange_rest`.

Paths are compared without case. Entity sets and the endpoints of v2.0 are in `entity_sets`.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from provisioner.sandbox import entity_sets
from provisioner.sandbox.cmdlets import Caller, CmdletError, catalogue
from provisioner.sandbox.exchange_rest import (
    RESOURCE,
    ExchangeService,
    Invocation,
    Reply,
    command_of,
    header_text,
    refused,
    unbound,
)
from provisioner.sandbox.faults import Faults, TokenRefused, deed, facts
from provisioner.sandbox.graph_calls import NOT_MODELLED
from provisioner.sandbox.tenant import Tenant
from provisioner.sandbox.throttle import OverQuota

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    VerifyToken = Callable[[Request, str], Awaitable[Caller]]

_LARGEST_BATCH = 10
_CONCURRENT_REQUESTS = 30
_RETRY_AFTER_S = 2
_THROTTLED = b"You have reached the maximum number of concurrent requests per tenant. Please wait and try again."


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
            return refused(error)
        if wanted is None or request.method != "GET":
            lacking = f"{request.method} {path.split('/', 4)[4]}"
            facts(request.scope)["not_modelled"] = lacking
            return Reply(404, None, {NOT_MODELLED: header_text(lacking)})
        call = Invocation(caller, _base(request), path, query, request.headers, None)
        return self._service.read(call, wanted, deed(request.scope), facts(request.scope))

    async def endpoint(self, request: Request) -> Response:
        """An endpoint of v2.0: the cmdlets of its noun."""
        return await self._guarded(request, self._endpoint)

    async def _endpoint(self, request: Request, caller: Caller) -> Reply:
        noun = request.url.path.rstrip("/").rpartition("/")[2].lower()
        try:
            name, _ = command_of(orjson.loads(await request.body()))
        except (orjson.JSONDecodeError, CmdletError):
            return refused(unbound("The request body must hold a CmdletInput with a CmdletName."))
        if name.partition("-")[2].lower() != noun:
            text = f"The cmdlet {name} isn't available at this endpoint."  # the sentence is ours
            return refused(unbound(text))
        return await self._invoke(request, caller)

    async def elsewhere(self, request: Request) -> Response:
        """A path that the service may have, and the sandbox does not."""
        lacking = f"{request.method} {request.url.path}"
        facts(request.scope)["not_modelled"] = lacking
        return _response(request, Reply(404, None, {NOT_MODELLED: header_text(lacking)}))

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
            return refused(unbound("The request body isn't valid JSON."))
        call = Invocation(caller, _base(request), request.url.path, dict(request.query_params), request.headers, body)
        return self._service.invoke(call, deed(request.scope), facts(request.scope))

    async def _batch(self, request: Request, caller: Caller) -> Reply:
        """Up to ten invocations in one request; each has its own status."""
        try:
            items = orjson.loads(await request.body())["requests"]
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise TypeError
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return refused(unbound("The request body must hold a list of requests."))
        if len(items) > _LARGEST_BATCH:
            return refused(unbound(f"The batch request has more than {_LARGEST_BATCH} requests."))
        facts(request.scope)["executed"] = True
        return Reply(200, {"responses": [await self._item(request, caller, item) for item in items]})

    async def _item(self, request: Request, caller: Caller, item: Mapping[str, Any]) -> dict[str, Any]:
        address, _, query = str(item.get("url", "")).partition("?")
        path = re.sub(r"^https?://[^/]+", "", address)
        path = path if path.startswith("/") else request.url.path.rpartition("/")[0] + "/" + path
        headers = {str(name).lower(): str(value) for name, value in (item.get("headers") or {}).items()}
        call = Invocation(caller, _base(request), path, dict(parse_qsl(query)), headers, item.get("body"))
        columns: dict[str, Any] = {"caller": caller.app_id, "method": "POST", "path": path}
        reply = await self._item_reply(call, columns)
        self._faults.record("exchange", status=reply.status, **columns)
        body = reply.body.decode() if isinstance(reply.body, bytes) else reply.body
        return {"id": item.get("id"), "status": reply.status, "headers": dict(reply.headers or {}), "body": body}

    async def _item_reply(self, call: Invocation, columns: dict[str, Any]) -> Reply:
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
        headers["client-request-id"] = header_text(request.headers["client-request-id"])
    headers.update(reply.headers or {})
    if isinstance(reply.body, bytes) or reply.body is None:
        return Response(reply.body or b"", reply.status, headers)
    headers["Content-Type"] = "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8"
    return Response(orjson.dumps(reply.body), reply.status, headers)


def exchange_app(tenant: Tenant, faults: Faults, verify_token: VerifyToken) -> ASGIApp:
    """The admin API as an ASGI application. `verify_token` gives the Caller or raises TokenRefused."""
    front = _Front(tenant, faults, verify_token)
    return faults.wrap(Starlette(routes=[Route("/{path:path}", front.route, methods=["GET", "POST"])]), "exchange")
