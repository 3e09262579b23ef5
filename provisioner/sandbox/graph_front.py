"""The HTTP side of Microsoft Graph: tokens, headers, versions, and `$batch`. What a call answers is in graph.py."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.responses import Response

from provisioner.sandbox.faults import facts
from provisioner.sandbox.graph import ACTIONS, GraphService
from provisioner.sandbox.graph_calls import (
    NOT_MODELLED,
    Call,
    GraphError,
    Reply,
    Row,
    bad_request,
    no_segment,
    throttled,
)
from provisioner.sandbox.throttle import OverQuota
from provisioner.sandbox.tokens import GRAPH, InvalidToken, TokenVerifier

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.mail_store import MailStore
    from provisioner.sandbox.tenant import Tenant

_LARGEST_BATCH = 20


class _GraphFront:
    """The ASGI side: authentication, headers, batches."""

    def __init__(self, tenant: Tenant, faults: Faults, verifier: TokenVerifier, store: MailStore) -> None:
        self._tenant, self._faults, self._verifier = tenant, faults, verifier
        self._service = GraphService(tenant, store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        from starlette.requests import Request

        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        ids = self._request_ids(request.headers)
        headers = {"request-id": ids["request-id"], "client-request-id": ids["client-request-id"]}
        try:
            reply = await self._reply(request, ids)
        except GraphError as error:
            reply = Reply(error.status, error.body(ids))
            headers |= error.headers
            if NOT_MODELLED in error.headers:
                facts(request.scope)["not_modelled"] = error.headers[NOT_MODELLED]
        if reply.status == 401:
            authority = self._verifier.authority(str(request.url.hostname))
            headers["WWW-Authenticate"] = (
                f'Bearer realm="", authorization_uri="{authority}/common/oauth2/authorize", '
                'client_id="00000003-0000-0000-c000-000000000000"'
            )
        if reply.body is None:
            return Response(None, reply.status, headers)
        if isinstance(reply.body, int):
            return Response(str(reply.body), reply.status, headers, "text/plain")
        content_type = (
            "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
        )
        return Response(json.dumps(reply.body, ensure_ascii=False), reply.status, headers, content_type)

    async def _reply(self, request: Request, ids: Mapping[str, str]) -> Reply:
        try:
            claims = self._verifier.claims(request.headers.get("authorization"), GRAPH)
        except InvalidToken as refusal:
            raise GraphError(401, "InvalidAuthenticationToken", refusal.text) from None
        columns = facts(request.scope)
        columns |= {"caller": claims["appid"], "write": request.method == "PATCH" or _sends(request.url.path)}
        # The SDK asks for `/v1.0//users`; the service forgives the second slash, so empty segments are dropped.
        segments = _split_path(request.scope.get("raw_path", b"").decode("ascii") or request.url.path)
        if segments == ("oidc", "userinfo") and request.method in {"GET", "POST"}:
            columns["write"] = False
            return self._service.user_info(str(claims["oid"]) if "scp" in claims else "")
        version = segments[0].lower() if segments else ""
        if version not in {"v1.0", "beta"}:
            raise bad_request(f"Invalid version: {segments[0] if segments else ''}", "BadRequest")
        base = f"{request.url.scheme}://{request.url.netloc}/{version}"
        call = Call(
            method=request.method,
            path=segments[1:],
            params=_options(request.scope["query_string"].decode("ascii")),
            headers={key.lower(): value for key, value in request.headers.items()},
            body=_content(request.headers.get("content-type", ""), await request.body()),
            base=base,
            roles=frozenset(claims.get("roles", [])) | frozenset(str(claims.get("scp") or "").split()),
            application=str(claims["appid"]),
            user=str(claims["oid"]) if "scp" in claims else "",
        )
        if call.path == ("$batch",):
            return self._batch(call, ids, columns)
        try:
            with self._tenant.throttle.running("graph", str(claims["appid"])):
                await asyncio.sleep(float(self._tenant.settings.get("graph_latency_s", 0)))
                return self._service.answer(call)
        except OverQuota as over:
            columns["throttled"] = over.quota
            raise throttled(over.retry_after_s) from None

    def _request_ids(self, headers: Mapping[str, str]) -> dict[str, str]:
        given = headers.get("client-request-id")
        request_id = str(uuid.uuid4())
        date = self._tenant.clock.now().strftime("%Y-%m-%dT%H:%M:%S")
        return {"date": date, "request-id": request_id, "client-request-id": given or request_id}

    # $batch

    def _batch(self, call: Call, ids: Mapping[str, str], columns: Row) -> Reply:
        """Each item with a status of its own. Answers come in reverse order: a client must match them by id.

        Faults strike single items too; the log's entry of the batch lists the items.
        """
        if call.method != "POST":
            raise GraphError(405, "BadRequest", "Specified HTTP method is not allowed for the request target.")
        items = call.body.get("requests") if isinstance(call.body, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise bad_request("Invalid batch payload format.", "BadRequest")
        if len(items) > _LARGEST_BATCH:
            raise bad_request(
                f"Number of batch request steps exceeds the maximum value of {_LARGEST_BATCH}.", "BadRequest"
            )
        names = [str(item.get("id", "")) for item in items]
        if "" in names or len({name.lower() for name in names}) < len(names):
            raise bad_request("Every request in a batch needs an id of its own.", "BadRequest")
        methods = [str(item.get("method", "")).upper() for item in items]
        columns["parameters"] = {n: f"{m} {item.get('url')}" for n, m, item in zip(names, methods, items, strict=True)}
        columns["write"] = "PATCH" in methods or any(_sends(str(item.get("url"))) for item in items)
        done: dict[str, Row] = {}
        for name, item in zip(names, items, strict=True):
            done[name] = self._batch_item(call, name, item, done, ids, columns)
        return Reply(200, {"responses": [done[name] for name in reversed(names)]})

    def _batch_item(
        self, call: Call, name: str, item: Row, done: Mapping[str, Row], ids: Mapping[str, str], columns: Row
    ) -> Row:
        headers = {"Content-Type": "application/json"}
        try:
            for needed in item.get("dependsOn") or []:
                if str(needed) not in done or done[str(needed)]["status"] >= 400:
                    text = "The request depends on another one that failed or comes later."
                    raise GraphError(424, "FailedDependency", text)
            asked = _item_call(call, item)
            self._strike(asked)
            self._tenant.throttle.admit("graph", asked.application)
            reply = self._service.answer(asked)
        except OverQuota as over:
            refused = throttled(over.retry_after_s)
            reply = Reply(refused.status, refused.body(ids))
            headers |= refused.headers
        except GraphError as error:
            reply = Reply(error.status, error.body(ids))
            headers |= error.headers
            if NOT_MODELLED in error.headers:
                columns["not_modelled"] = error.headers[NOT_MODELLED]
        response: Row = {"id": name, "status": reply.status, "headers": headers}
        return response if reply.body is None else {**response, "body": reply.body}

    def _strike(self, call: Call) -> None:
        """Raise what a scripted fault wants of one item: a status with headers is all that an item can have."""
        deed = self._faults.take("graph", method=call.method, path="/v1.0/" + "/".join(call.path))
        if "status" in deed:
            code = {429: "TooManyRequests", 503: "serviceNotAvailable"}.get(int(deed["status"]), "generalException")
            raise GraphError(int(deed["status"]), code, "Please retry again later.", deed.get("headers"))


def _sends(path: str) -> bool:
    return path.partition("?")[0].lower().endswith("/sendmail")


def _item_call(call: Call, item: Row) -> Call:
    url, method = item.get("url"), str(item.get("method", "")).upper()
    if not isinstance(url, str) or not method:
        raise bad_request("Invalid batch payload format.", "BadRequest")
    if "://" in url:  # the documentation wants relative addresses; an absolute one names no segment
        raise no_segment(url.partition("/")[0])
    path, _, query = url.partition("?")
    headers = {str(key).lower(): str(value) for key, value in (item.get("headers") or {}).items()}
    return Call(
        method=method,
        path=_split_path(path),
        params=_options(query),
        headers=headers,
        body=item.get("body"),
        base=call.base,
        roles=call.roles,
        application=call.application,
        user=call.user,
    )


_OPTIONS = frozenset({"count", "expand", "filter", "format", "orderby", "search", "select", "skip", "skiptoken", "top"})


def _options(query: str) -> dict[str, str]:
    """The query options; the `$` before their names may lack (Learn, "Use query parameters")."""
    given = parse_qsl(query, keep_blank_values=True)
    system = {name: f"${name.lstrip('$').lower()}" for name, _ in given if name.lstrip("$").lower() in _OPTIONS}
    return {system.get(name, name): value for name, value in given}


# An entity by its key in parentheses, "users('x')" or "applications(appId='x')": the same as a segment of its own.
_KEYED = re.compile(
    r"(?P<set>users|groups|applications|serviceprincipals|directoryobjects|domains|directoryroles|organization"
    r"|authenticationmethodconfigurations|namedlocations|policies|subscribedskus|roledefinitions|roleassignments)"
    r"\((?:(?P<name>appid|userprincipalname|id|roletemplateid)=)?'?(?P<key>[^']+?)'?\)",
    re.IGNORECASE,
)


_NAMESPACE = "microsoft.graph."  # the former SDK of .NET names actions with it: "users/{id}/microsoft.graph.sendMail"


def _split_path(path: str) -> tuple[str, ...]:
    found: list[str] = []
    for part in path.partition("?")[0].split("/"):
        segment = unquote(part)
        if segment.lower().startswith(_NAMESPACE) and segment.lower().removeprefix(_NAMESPACE) in ACTIONS:
            segment = segment[len(_NAMESPACE) :]
        keyed = _KEYED.fullmatch(segment)
        if keyed is None:
            found += [segment] if segment else []
        else:
            name = (keyed["name"] or "").lower()
            found += [keyed["set"], f"{name}={keyed['key']}" if name in {"appid", "roletemplateid"} else keyed["key"]]
    return tuple(found)


def _content(content_type: str, raw: bytes) -> Any:
    """JSON as its value; a message in MIME (Learn, "Send Outlook messages in MIME format") as it is."""
    return raw if content_type.lower().startswith("text/plain") else _json(raw)


def _json(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except ValueError:
        raise bad_request("Unable to read JSON request payload.", "BadRequest") from None


def graph_app(tenant: Tenant, faults: Faults, verifier: TokenVerifier, store: MailStore) -> ASGIApp:
    """Graph as an ASGI application. `store` takes the mail that is sent through it."""
    return faults.wrap(_GraphFront(tenant, faults, verifier, store), "graph")
