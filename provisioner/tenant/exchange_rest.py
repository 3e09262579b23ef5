"""Exchange cmdlets over the REST admin API that Microsoft's own module uses (InvokeCommand).

Lookups of single objects that are asked for together travel in one `$batch`; writes never do, so that their order and
their errors stay clear. Every page is fetched, with the same body, anchor and cookies; one that cannot be had is an
error, never a short list. Bodies are read as bytes: a refusal for a missing role comes as NUL bytes that claim to be
gzip.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from provisioner.diagnostics import (
    Malformed,
    PermissionMissing,
    SignInRefused,
    TenantError,
    Throttled,
    Unavailable,
    Unclear,
)
from provisioner.model import Answer, Cmdlet, Delta, Parameter, Secret
from provisioner.tenant import bodies, limits
from provisioner.tenant.bodies import OddBody, TooLarge
from provisioner.tenant.correlation import request_id
from provisioner.tenant.credentials import Tokens, claims_of, secret_value
from provisioner.tenant.exchange_answers import (
    BUSY,
    OWN_QUOTA,
    TRUNCATED,
    Reduced,
    beside_success,
    confirmed,
    error_by_type,
    role_hint,
    wanted_columns,
)
from provisioner.tenant.limiter import Limiter
from provisioner.tenant.network import untrusted
from provisioner.tenant.retry import Retry, retry_after_s

if TYPE_CHECKING:
    import aiohttp

_PAGE = 1000
_CHUNK_BYTES = 2**16
_TURNS = 8  # of the event loop, after which a request has left over a connection that is open
_BATCH = 10  # as many as Microsoft's own module puts into one
# The arbitration mailbox that app-only requests are routed by.
_ANCHOR = "APP:SystemMailbox{{bb558c35-97f1-4cb9-8ff7-d53741dc928c}}@{tenant}"
_TABLE = "#Exchange.GenericHashTable"
_MANAGE_AS_APP = (
    "grant the app the application permission Office 365 Exchange Online / Exchange.ManageAsApp, with admin consent"
)


class RestExchange:
    """The Exchange port over HTTPS.

    `base` is the Exchange host's address without a slash at the end, `resource` what tokens are for: the cloud's host,
    also where requests go elsewhere.
    """

    transport = "rest"

    def __init__(
        self,
        session: aiohttp.ClientSession,
        tokens: Tokens,
        base: str,
        resource: str,
        retry: Retry,
        limiter: Limiter,
        timeout_s: float = 960.0,
        run: str = "",
    ) -> None:
        self._run, self._limiter = run, limiter
        self._session, self._tokens, self._base, self._retry = session, tokens, base, retry
        self._scope, self._timeout_s = f"{resource}/.default", timeout_s
        self._connection = str(uuid.uuid4())
        self._lookups: list[tuple[Cmdlet, asyncio.Future[Answer | None]]] = []
        self._flushes: set[asyncio.Task[None]] = set()

    async def run(self, cmdlet: Cmdlet) -> Answer:
        """Run one cmdlet and follow its pages. Raises what `diagnostics` has for a TenantError.

        Lookups of single objects that are asked for at the same moment travel together.
        """
        if cmdlet.reads and "Identity" in cmdlet.parameters:
            together = await self._together(cmdlet)
            if together is not None:
                return together
        return await self._alone(cmdlet)

    async def _together(self, cmdlet: Cmdlet) -> Answer | None:
        """The answer out of a batch; None where it was not good, for it to be asked alone and its error told."""
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._lookups.append((cmdlet, future))
        if len(self._lookups) == 1:
            task = asyncio.create_task(self._flush())
            self._flushes.add(task)
            task.add_done_callback(self._flushed)
        return await future

    def _flushed(self, task: asyncio.Task[None]) -> None:
        self._flushes.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: each lookup is asked alone now, and its own error is told

    async def _flush(self) -> None:
        await asyncio.sleep(0)  # whatever else is being asked right now comes along
        waiting, self._lookups = self._lookups, []
        await asyncio.gather(*(self._settle(waiting[n : n + _BATCH]) for n in range(0, len(waiting), _BATCH)))

    async def _settle(self, batch: Sequence[tuple[Cmdlet, asyncio.Future[Answer | None]]]) -> None:
        """Ask for lookups together, and give each its answer."""
        answers: list[Answer | None] = [None] * len(batch)
        try:
            if len(batch) > 1:
                answers = await self._batch([c for c, _ in batch])
        finally:  # whatever happens, nobody waits for an answer that never comes
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _batch(self, cmdlets: Sequence[Cmdlet]) -> list[Answer | None]:
        """The answers of one `$batch`, in order; None for every item that did not simply succeed."""
        answers: list[Answer | None] = [None] * len(cmdlets)
        try:
            async with self._limiter.place("$batch", self._retry.budget_s, len(cmdlets)):
                token = await self._tokens.token(self._scope)
                status, headers, content = await self._exchange(
                    cmdlets[0], {"requests": self._items(cmdlets, token)}, "$batch", token
                )
                if status != 200:
                    raise error_of(cmdlets[0], status, headers, content)
                replies = {r["id"]: r for r in _document(content)["responses"]}
                answers = [_item(c, replies.get(str(n)), headers) for n, c in enumerate(cmdlets)]
                _raise_throttled(cmdlets[0], replies.values())
        except (TenantError, ValueError, KeyError, TypeError):
            pass
        return answers

    def _items(self, cmdlets: Sequence[Cmdlet], token: str) -> list[dict[str, Any]]:
        tenant = _tenant_of(token, cmdlets[0])
        skipped = {"Authorization", "Accept-Encoding"}
        return [
            {
                "id": str(number),
                "method": "POST",
                "url": f"{self._base}/adminapi/beta/{tenant}/InvokeCommand{_select(c)}",
                "headers": {k: v for k, v in self._headers(c, tenant, token).items() if k not in skipped},
                "body": {"CmdletInput": {"CmdletName": c.name, "Parameters": encode_parameters(c)}},
            }
            for number, c in enumerate(cmdlets)
        ]

    async def _alone(self, cmdlet: Cmdlet) -> Answer:
        body = {"CmdletInput": {"CmdletName": cmdlet.name, "Parameters": encode_parameters(cmdlet)}}
        reduced = Reduced(cmdlet, _decode)
        warnings: list[str] = []
        ids: list[str] = []
        status = 0
        async with contextlib.aclosing(self._pages(cmdlet, body)) as pages:
            async for page, request_id, answered in pages:
                reduced.take(page.get("value") or ())
                warnings += _texts(page.get("@adminapi.warnings"))
                ids.append(request_id)
                status = answered
        if any(TRUNCATED in w for w in warnings) and len(ids) == 1:
            raise Malformed("the answer is cut short and names no further page", cmdlet.name)
        reduced.check()
        told = tuple(w for w in warnings if TRUNCATED not in w)
        return Answer(tuple(reduced.rows), told, tuple(ids), len(ids), status, reduced.passed)

    async def _pages(
        self, cmdlet: Cmdlet, body: Mapping[str, Any]
    ) -> AsyncGenerator[tuple[dict[str, Any], str, int], None]:
        """The pages of an answer. Each is given when the next one is on its way: rows are reduced while it travels."""
        links: list[str] = []

        def ask() -> asyncio.Task[tuple[dict[str, Any], str, int]]:
            post = partial(self._post, cmdlet, body, tuple(links))
            return asyncio.create_task(self._retry.call(cmdlet, post, limiter=self._limiter))

        asked: asyncio.Task[tuple[dict[str, Any], str, int]] | None = ask()
        try:
            while asked is not None:
                page, request_id, status = await asked
                link, asked = page.get("@odata.nextLink"), None
                if link:
                    links.append(self._next_page(cmdlet, link, links))
                    asked = ask()
                    for _ in range(_TURNS):
                        await asyncio.sleep(0)
                    _check_depth(cmdlet, page)
                yield page, request_id, status
        finally:
            if asked is not None:
                asked.cancel()
                await asyncio.wait({asked})

    def _next_page(self, cmdlet: Cmdlet, link: Any, followed: Sequence[str]) -> str:
        """The address of the page after those followed. A list that can't be had to its end is an error.

        A page is asked for with the cmdlet again; so a write never has a second one: it would be carried out twice.
        """
        if not cmdlet.reads:
            raise Unclear("the answer to a write has a further page, which is not requested", cmdlet.name)
        if not isinstance(link, str):
            raise Malformed("the link to the next page is not text", cmdlet.name)
        number = len(followed) + 2
        if urlsplit(link)[:2] != urlsplit(self._base)[:2]:
            raise Malformed(f"page {number} lies on another host and is not followed", cmdlet.name)
        if link in followed:
            raise Malformed(f"the pages form a cycle: page {number} was read before", cmdlet.name)
        if number > limits.MOST_PAGES:
            raise Malformed(f"the answer has more than {limits.MOST_PAGES:,} pages", cmdlet.name)
        return link

    async def _post(
        self, cmdlet: Cmdlet, body: Mapping[str, Any], links: Sequence[str]
    ) -> tuple[dict[str, Any], str, int]:
        """The page of the last link, or the first: its JSON, request id and status. After a 401 one try with
        a new token."""
        challenge: str | None = None
        url = links[-1] if links else None
        for attempt in (1, 2):
            token = await self._tokens.token(self._scope, challenge)
            status, headers, content = await self._exchange(cmdlet, body, url, token)
            if status == 401 and attempt == 1 and (challenge := _claims(headers)):
                continue
            break
        if status == 204 and not cmdlet.reads:
            return {}, headers.get("request-id", ""), status
        if status in (200, 204):
            return _page(cmdlet, content), headers.get("request-id", ""), status
        raise error_of(cmdlet, status, headers, content)

    async def _exchange(
        self, cmdlet: Cmdlet, body: Mapping[str, Any], url: str | None, token: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        import aiohttp

        tenant = _tenant_of(token, cmdlet)
        own = {None: f"InvokeCommand{_select(cmdlet)}", "$batch": "$batch"}.get(url)
        address = f"{self._base}/adminapi/beta/{tenant}/{own}" if own else str(url)
        headers = self._headers(cmdlet, tenant, token)
        delivery = _Delivery()
        try:
            for _ in range(limits.MOST_REDIRECTS + 1):
                async with self._session.post(
                    address,
                    data=json.dumps(body).encode(),
                    headers=headers,
                    allow_redirects=False,
                    trace_request_ctx=delivery,
                    timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=limits.CONNECT_S),
                ) as answer:
                    content = await bodies.collected(answer.content.iter_chunked(_CHUNK_BYTES))
                    target = answer.headers.get("Location")
                    if answer.status in (302, 307) and target:
                        address = self._redirected(cmdlet, target)
                        continue
                    return answer.status, {k.lower(): v for k, v in answer.headers.items()}, content
            raise Malformed("redirected too often", cmdlet.name)
        except OddBody as error:
            raise _foreign(cmdlet, str(error)) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise untrusted(f"{error.host}:{error.port}", cmdlet.name) from error
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(f"{error.host}:{error.port} cannot be reached: {_reason(error)}", cmdlet.name) from error
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            kind = Unclear if delivery.sent else Unavailable
            what = "no answer in time" if isinstance(error, TimeoutError) else f"the connection broke: {_reason(error)}"
            raise kind(what, cmdlet.name) from error

    def _headers(self, cmdlet: Cmdlet, tenant: str, token: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "X-AnchorMailbox": _ANCHOR.format(tenant=tenant),
            "X-CmdletName": cmdlet.name,
            "X-ResponseFormat": "json",
            "Prefer": f"odata.maxpagesize={_PAGE}",
            "connection-id": self._connection,
            "client-request-id": request_id(self._run),
        }

    def _redirected(self, cmdlet: Cmdlet, target: str) -> str:
        """A regional host of the same service; the global endpoint names it with port 446, it answers on 443."""
        there, home = urlsplit(target), urlsplit(self._base)
        host = there.hostname or ""
        if there.scheme != "https" or not (host == home.hostname or host.endswith(f".{home.hostname}")):
            raise Malformed(f"redirected to {host}, which is not the service", cmdlet.name)
        port = home.port if host == home.hostname else None
        return there._replace(netloc=f"{host}:{port}" if port else host).geturl()


def _select(cmdlet: Cmdlet) -> str:
    """The query that cuts rows to the columns needed, before they travel (public clients: CIPP, ExoHelper)."""
    columns = wanted_columns(cmdlet)
    return f"?$select={','.join(sorted(columns))}" if columns else ""


def _tenant_of(token: str, cmdlet: Cmdlet) -> str:
    """The tenant's id, which the path wants. Raises SignInRefused for a token that does not have it."""
    tenant = str(claims_of(token).get("tid") or "")
    if not tenant:
        raise SignInRefused("the token does not say for which tenant it is", cmdlet.name)
    return tenant


def _item(cmdlet: Cmdlet, reply: Any, headers: Mapping[str, str]) -> Answer | None:
    """One item of a batch, if it is a plain success on one page."""
    body = reply.get("body") if isinstance(reply, dict) and reply.get("status") == 200 else None
    if not isinstance(body, dict) or body.get("@adminapi.errors") or body.get("@odata.nextLink"):
        return None
    if not isinstance(body.get("value"), list):
        return None
    try:
        reduced = Reduced(cmdlet, _decode)
        reduced.take(body["value"])
        reduced.check()
    except Malformed:
        return None
    warnings, ids = tuple(_texts(body.get("@adminapi.warnings"))), (headers.get("request-id", ""),)
    return Answer(tuple(reduced.rows), warnings, ids, passed=reduced.passed)


def _raise_throttled(cmdlet: Cmdlet, replies: Iterable[Any]) -> None:
    """Raise what an item of a batch says that asks to wait: all have to, and the item is sent again alone."""
    for reply in replies:
        if isinstance(reply, dict) and reply.get("status") in (429, 503):
            headers = {str(k).lower(): str(v) for k, v in _object(reply.get("headers")).items()}
            body = reply.get("body")
            content = body if isinstance(body, str) else json.dumps(body)
            raise error_of(cmdlet, reply["status"], headers, content.encode())


@dataclass(slots=True)
class _Delivery:
    """Whether a request's headers went out: what breaks before that was certainly not carried out."""

    sent: bool = False


def trace_config() -> aiohttp.TraceConfig:
    """What the session needs so that a `_Delivery` is told."""
    import aiohttp

    async def told(session: object, context: Any, parameters: object) -> None:  # noqa: ARG001 - aiohttp's signature
        if isinstance(context.trace_request_ctx, _Delivery):
            context.trace_request_ctx.sent = True

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(told)
    return config


# --- parameters and rows ---------------------------------------------------------------------------------------------


def encode_parameters(cmdlet: Cmdlet) -> dict[str, Any]:
    """Parameters as JSON: a list replaces, a Delta is a tagged table, null clears; Confirm is answered beforehand."""
    return {name: _encode(value) for name, value in confirmed(cmdlet).items()}


def _encode(value: Parameter) -> Any:
    match value:
        case Delta():
            sides = {"Add": list(value.add), "Remove": list(value.remove)}
            return {"@odata.type": _TABLE, **{k: v for k, v in sides.items() if v}}
        case tuple():
            return list(value)
        case Secret():
            return secret_value(value.reference)
        case _:
            return value


def _decode(value: Any) -> Any:
    """A value without the sidecars (`X@data.type`, `X@odata.type`) of the objects in it."""
    if isinstance(value, dict):
        return {name: _decode(item) for name, item in value.items() if "@" not in name}
    if isinstance(value, list):
        return [_decode(item) if isinstance(item, dict | list) else item for item in value]
    return value


# --- answers ---------------------------------------------------------------------------------------------------------


def _page(cmdlet: Cmdlet, content: bytes) -> dict[str, Any]:
    """The JSON of a success. What is not the service's is Malformed for a read, and for a write Unclear.

    A read has a list in `value`, empty where there are no objects (captured, exchange-admin-api: Answer). A write
    without output has an empty one, null or none beside its `@odata.context`.
    """
    try:
        page = bodies.unchecked(_plain(content))
        if not isinstance(page, dict):
            raise ValueError("not an OData object")
    except TooLarge as error:
        raise _foreign(cmdlet, str(error)) from error
    except ValueError as error:
        raise _foreign(cmdlet, f"the answer is not the service's: {_looks(content)}") from error
    if not page.get("@odata.nextLink") or "@adminapi.errors" in page:
        _check_depth(cmdlet, page)  # of a page with another behind it while that travels (`_pages`)
    errors = _texts(page.get("@adminapi.errors"))
    if errors:
        raise beside_success(error_by_type(cmdlet, "", "; ".join(errors), status=200))
    rows = page.get("value")
    without_output = rows is None and not cmdlet.reads and ("value" in page or "@odata.context" in page)
    if not isinstance(rows, list) and not without_output:
        raise _foreign(cmdlet, "the answer has no list of rows")
    return page


def _check_depth(cmdlet: Cmdlet, page: Mapping[str, Any]) -> None:
    try:
        bodies.check_depth(page)
    except TooLarge as error:
        raise _foreign(cmdlet, str(error)) from error


def _foreign(cmdlet: Cmdlet, what: str) -> TenantError:
    """For a 200 that tells nothing: something else than the service may have answered."""
    return (Malformed if cmdlet.reads else Unclear)(what, cmdlet.name, status=200)


def _texts(found: Any) -> list[str]:
    """The entries of a list of texts beside the rows; one text may come without a list."""
    if isinstance(found, list):
        return [str(entry) for entry in found]
    return [str(found)] if found else []


def error_of(cmdlet: Cmdlet, status: int, headers: Mapping[str, str], content: bytes) -> TenantError:
    """The exception for an answer that is not success (the forms of the admin API's errors)."""
    request_id = headers.get("request-id", "")
    parsed = _parsed(content)
    type_, message = _type_and_message(parsed) if parsed else (headers.get("x-exceptiontype", ""), "")
    diagnostics = headers.get("x-ms-diagnostics", "")
    if status == 401:
        what = message or diagnostics or "not signed in, or the app has no permission for Exchange"
        return PermissionMissing(what, cmdlet.name, type_, status, request_id, _MANAGE_AS_APP)
    if status == 403:
        what = message or diagnostics or "refused: no role of this app holds the cmdlet, or the token is too old"
        return PermissionMissing(what, cmdlet.name, type_, status, request_id, role_hint(cmdlet))
    text = content[:4096].decode("utf-8", "replace")
    if status == 429 or any(busy in text for busy in BUSY):
        what = message or _sentence(text) or "the service asks to wait"
        own = OWN_QUOTA in text
        return Throttled(what, cmdlet.name, type_, status, request_id, "", retry_after_s(headers), own_quota=own)
    if status == 503:
        what = message or "the service is not available"
        return Unavailable(what, cmdlet.name, type_, status, request_id, retry_after_s=retry_after_s(headers))
    if not parsed:
        kind = Malformed if cmdlet.reads or status < 500 else Unclear
        return kind(f"the answer is not the service's: {_looks(content)}", cmdlet.name, type_, status, request_id)
    return error_by_type(cmdlet, type_, message, status=status, request_id=request_id, reason=diagnostics)


def _sentence(text: str) -> str:
    """What the service says in plain text of being busy; "" where it says something else."""
    first = text.strip().partition("\n")[0]
    return first if len(first) <= 200 and any(busy in first for busy in BUSY) else ""


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        found = _document(content)
    except ValueError:
        return None
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, dict) else None


def _type_and_message(error: Mapping[str, Any]) -> tuple[str, str]:
    """The first that says something: the inner exception, the first detail, the outer message."""
    inner = _object(_object(error.get("innererror")).get("internalexception"))
    if inner.get("message"):
        return str(inner.get("type", "")), str(inner["message"])
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        text = str(_object(detail).get("message") or "")
        if text.startswith("{"):
            try:
                found = _object(bodies.document(text.encode("utf-8", "replace")))
                return str(found.get("TypeName", "")), str(found.get("Message", ""))
            except ValueError:
                pass
        parts = text.split("|", 2)
        if len(parts) == 3:
            return parts[1], parts[2]
        if text:
            return "", text
    return "", str(error.get("message", ""))


def _object(found: Any) -> Mapping[str, Any]:
    """A part of an error, where it has the documented form; empty where it has not."""
    return found if isinstance(found, dict) else {}


def _document(content: bytes) -> Any:
    """The JSON value of a body, unpacked where it really is gzip. Raises ValueError."""
    return bodies.document(_plain(content))


def _plain(content: bytes) -> bytes:
    return bodies.unpacked(content) if content.startswith(b"\x1f\x8b") else content


def _looks(content: bytes) -> str:
    """What a wrong body is, in a few words."""
    try:
        start = _plain(content)[:200].lstrip()
    except ValueError as error:
        return str(error)
    if not start:
        return "nothing"
    if start[:1] == b"<":
        return "an HTML page"
    return "JSON that ends too early or is of another kind" if start[:1] in b"{[" else f"{len(content):,} unknown bytes"


def _claims(headers: Mapping[str, str]) -> str | None:
    """What to ask the next token with: the challenge's claims, decoded; empty ones where only a fresh token is wanted.

    None where the challenge asks for neither.
    """
    import base64

    challenge = headers.get("www-authenticate", "")
    _, found, rest = challenge.partition('claims="')
    if found:
        try:
            return base64.b64decode(rest.partition('"')[0] + "==").decode()
        except ValueError:
            return None
    return '{"access_token":{}}' if "invalid_token" in challenge else None


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
