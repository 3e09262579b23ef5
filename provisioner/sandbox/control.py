"""The control front: what a test or an operator does to the tenant from outside, behind the tool's back.

A bearer token from the state folder guards it. All of this is the sandbox's own; no Microsoft service answers like it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from provisioner.sandbox import seed_files
from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.cmdlets.historical_search import report
from provisioner.sandbox.coverage import not_modelled
from provisioner.sandbox.dns_values import rdata
from provisioner.sandbox.throttle import checked

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.mail_store import MailStore
    from provisioner.sandbox.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Actions:
    """What the control front may ask of the process: take a seed, go back to the state of the start, end, issue a
    client certificate, tell delivered mail.

    `load` and `issue` raise ValueError.
    """

    load: Callable[[Any], None]
    reset: Callable[[], None]
    stop: Callable[[], None]
    issue: Callable[[str], str]
    mail: MailStore


class _Control:
    def __init__(self, tenant: Tenant, faults: Faults, actions: Actions) -> None:
        self._tenant, self._faults, self._actions = tenant, faults, actions

    async def health(self, _: Request) -> Response:
        facts = {"tenant_id": self._tenant.tenant_id, "time": _iso(self._tenant), "requests": self._faults.number}
        return JSONResponse({"status": "ok", **facts})

    async def dump(self, _: Request) -> Response:
        return Response(orjson.dumps(self._tenant.to_rows()), media_type="application/json")

    async def objects(self, request: Request) -> Response:
        """The rows of one noun: what a dump has of it, without the rest of a large tenant."""
        rows = self._tenant.rows(request.path_params["noun"])
        return Response(orjson.dumps(list(rows)), media_type="application/json")

    async def load(self, request: Request) -> Response:
        body = await _body(request)
        if isinstance(body, dict) and set(body) == {"file", "text"}:  # a file of another form than JSON
            body = seed_files.of_text(str(body["file"]), str(body["text"]))
        self._actions.load(body if isinstance(body, list | seed_files.Converted) else _object(body))
        return JSONResponse({"tenant_id": self._tenant.tenant_id})

    async def reset(self, _: Request) -> Response:
        self._faults.clear()
        self._actions.mail.clear()
        self._actions.reset()
        return Response(None, 204)

    async def requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._faults.clear_requests()
            return Response(None, 204)
        since = _number(request.query_params.get("since", 0), "since")
        return JSONResponse(self._faults.requests_since(int(since)))

    async def faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._faults.clear()
            return Response(None, 204)
        if request.method == "GET":
            return JSONResponse(self._faults.in_force())
        body = await _body(request)
        rules = body if isinstance(body, list) else [body]
        for rule in rules:
            self._faults.add(rule)
        return JSONResponse({"added": len(rules)})

    async def clock(self, request: Request) -> Response:
        body = _object(await _body(request))
        self._tenant.clock.advance(_number(body.get("advance"), "advance"))
        self._tenant.changed()
        return JSONResponse({"time": _iso(self._tenant)})

    async def cmdlet(self, request: Request) -> Response:
        body = _object(await _body(request))
        name, parameters = body.get("name"), body.get("parameters") or {}
        if not isinstance(name, str) or not isinstance(parameters, dict):
            raise ValueError('wanted {"name": "Get-…", "parameters": {…}}')
        try:
            result = run_cmdlet(self._tenant, _ADMINISTRATOR, name, parameters)
        except CmdletError as error:
            lacking = not_modelled(name, parameters)
            text = f"{error.message} (not modelled by the sandbox: {lacking})" if lacking else error.message
            body = {"error": text, "type": error.exception_type, "category": error.category}
            return JSONResponse(body, error.http_status)
        return JSONResponse({"rows": list(result.rows), "warnings": result.warnings, "errors": result.errors})

    async def dns(self, request: Request) -> Response:
        """Replace the records of one name and type; no values takes them away."""
        body = _object(await _body(request))
        name, kind, values = body.get("name"), body.get("type"), body.get("values")
        if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(values, list):
            raise ValueError('wanted {"name": "contoso.com", "type": "TXT", "values": ["…"]}')
        for value in values:
            rdata(kind, str(value))
        owner = self._tenant.dns.setdefault(name.lower().rstrip("."), {})
        owner.pop(kind.upper(), None)
        if values:
            owner[kind.upper()] = [str(value) for value in values]
        if not owner:
            del self._tenant.dns[name.lower().rstrip(".")]
        self._tenant.changed()
        return Response(None, 204)

    async def lag(self, request: Request) -> Response:
        seconds = _number(_object(await _body(request)).get("seconds"), "seconds")
        if seconds < 0:
            raise ValueError("seconds must not be negative")
        self._tenant.lag = seconds
        self._tenant.changed()
        return Response(None, 204)

    async def throttle(self, request: Request) -> Response:
        """Put other quotas in force, or none. What was asked so far goes on counting."""
        if request.method == "DELETE":
            self._tenant.settings.pop("throttle", None)
        else:
            self._tenant.settings["throttle"] = checked(await _body(request))
        self._tenant.changed()
        return Response(None, 204)

    async def mail(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._actions.mail.clear()
            return Response(None, 204)
        return JSONResponse(self._actions.mail.all())

    async def report(self, request: Request) -> Response:
        """The file of a historical search, as a person's browser saves it from FileUrl."""
        found = report(self._tenant, request.path_params["job"])
        if found is None:
            return JSONResponse({"error": "there is no such search, or it is not done"}, 404)
        name, content = found
        disposition = f'attachment; filename="{name}"'
        return Response(content, media_type="text/csv", headers={"Content-Disposition": disposition})

    async def certificate(self, request: Request) -> Response:
        name = _object(await _body(request)).get("name")
        if not isinstance(name, str) or not name:
            raise ValueError('wanted {"name": "mail.contoso.com"}')
        return JSONResponse({"pem": self._actions.issue(name)})

    async def stop(self, _: Request) -> Response:
        self._actions.stop()
        return Response(None, 202)


_ADMINISTRATOR = Caller(app_id="control", display_name="sandbox control", directory_roles=("Global Administrator",))


def _iso(tenant: Tenant) -> str:
    return tenant.clock.now().isoformat()


async def _body(request: Request) -> Any:
    try:
        return orjson.loads(await request.body())
    except ValueError:
        raise ValueError("the body is not JSON") from None


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ValueError("the body is not a JSON object")
    return body


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is not a number") from None


class _Guarded:
    """Lets a request with the control token through; turns a ValueError into 400."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._wanted = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, self._wanted):
            await JSONResponse({"error": "the control token is missing or wrong"}, 401)(scope, receive, send)
            return
        await self._app(scope, receive, send)


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


def control_app(tenant: Tenant, faults: Faults, token: str, actions: Actions) -> ASGIApp:
    """The control front as an ASGI application. Its requests are neither logged nor subject to faults."""
    control = _Control(tenant, faults, actions)
    routes = [
        Route("/health", control.health),
        Route("/dump", control.dump),
        Route("/objects/{noun}", control.objects),
        Route("/load", control.load, methods=["POST"]),
        Route("/reset", control.reset, methods=["POST"]),
        Route("/requests", control.requests, methods=["GET", "DELETE"]),
        Route("/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/clock", control.clock, methods=["POST"]),
        Route("/cmdlet", control.cmdlet, methods=["POST"]),
        Route("/dns", control.dns, methods=["POST"]),
        Route("/lag", control.lag, methods=["POST"]),
        Route("/throttle", control.throttle, methods=["POST", "DELETE"]),
        Route("/mail", control.mail, methods=["GET", "DELETE"]),
        Route("/historical-searches/{job}", control.report),
        Route("/certificate", control.certificate, methods=["POST"]),
        Route("/stop", control.stop, methods=["POST"]),
    ]
    return _Guarded(Starlette(routes=routes, exception_handlers={ValueError: _refused}), token)
