"""Microsoft Graph through msgraph-sdk's request adapter, which signs, retries nothing and maps errors.

Bodies are taken as bytes and read by json: the SDK's typed models manage some 70 users a second, plain JSON tens of
thousands. A GET of a collection follows its pages, also past an empty one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from provisioner.diagnostics import (
    Malformed,
    NotFound,
    PermissionMissing,
    Refused,
    SignInRefused,
    TenantError,
    Throttled,
    Unavailable,
    Unclear,
)
from provisioner.model import Answer, GraphRequest, Row
from provisioner.tenant import bodies, limits
from provisioner.tenant.correlation import request_id
from provisioner.tenant.limiter import Limiter
from provisioner.tenant.network import Network, untrusted
from provisioner.tenant.retry import Retry, retry_after_s

if TYPE_CHECKING:
    import httpx
    from azure.core.credentials_async import AsyncTokenCredential
    from kiota_abstractions.request_adapter import RequestAdapter

# What every tenant has at least one of: itself and its initial domain.
_NEVER_EMPTY = frozenset({"/organization", "/domains"})

# Least application permission for each first part of a path (the pages of the Graph reference).
_PERMISSIONS = {
    "users": "User.Read.All",
    "domains": "Domain.Read.All",
    "organization": "Organization.Read.All",
    "subscribedSkus": "Organization.Read.All",
    "policies": "Policy.Read.All",
    "identity": "Policy.Read.All",
    "roleManagement": "RoleManagement.Read.Directory",
    "auditLogs": "AuditLog.Read.All",
    "admin": "ExchangeMessageTrace.Read.All",
    "servicePrincipals": "Application.Read.All",
}

# What Graph refuses with 403 and no permission would change: a limit of the directory (Directory_QuotaExceeded,
# Directory_ResourceSizeExceeded: openshift-azure issue 1932; azure-tools-for-java issue 585), and rows that need
# Entra ID P1 or P2 (Authentication_RequestFromNonPremiumTenantOrB2CTenant: azure-docs pull request 77948).
_LIMIT = ("Directory_Quota", "Directory_ResourceSize")
_NO_LICENCE = "NonPremiumTenant"

_OWN_QUOTAS = ("auditLogs", "admin")
"""Sign-in logs and message traces have quotas of their own, far below those of the rest (Learn, "Microsoft Graph
service-specific throttling limits": identity and access reports, 5 requests in 10 seconds; messageTraces, 100 in 5
minutes)."""


class SdkDirectory:
    """The Directory port. `base` is Graph's address without a slash at the end."""

    def __init__(
        self,
        adapter: RequestAdapter,
        base: str,
        retry: Retry,
        limiter: Callable[[str], Limiter],
        timeout_s: float = 960.0,
        run: str = "",
    ) -> None:
        self._adapter, self._base, self._retry, self._timeout_s = adapter, base, retry, timeout_s
        self._run = run
        self._limiters = {workload: limiter(f"Graph {workload}".strip()) for workload in ("", *_OWN_QUOTAS)}

    async def send(self, request: GraphRequest) -> Answer:
        """Send one request; of a collection all pages. Raises what `diagnostics` has for a TenantError."""
        rows: list[Row] = []
        limiter = self._limiters[_workload(request)]
        links = [f"{self._base}/{'beta' if request.beta else 'v1.0'}{_path(request)}"]
        while True:
            page = await self._retry.call(request, partial(self._once, request, links[-1]), limiter=limiter)
            if not request.reads:
                return Answer((page,) if page else ())
            rows += _rows(request, page)
            if len(rows) > limits.MOST_ROWS:
                raise Malformed(f"the answer has more than {limits.MOST_ROWS:,} rows", str(request))
            link = page.get("@odata.nextLink")
            if not link:
                break
            links.append(self._next_page(request, link, links))
        if request.path.partition("?")[0] in _NEVER_EMPTY and not rows:
            raise Malformed("the answer has no rows, and every tenant has at least one", str(request))
        return Answer(tuple(rows), requests=len(links))

    def _next_page(self, request: GraphRequest, link: Any, followed: Sequence[str]) -> str:
        """The address of the page after those followed. A list that can't be had to its end is an error."""
        if not isinstance(link, str):
            raise Malformed("the link to the next page is not text", str(request))
        if urlsplit(link)[:2] != urlsplit(self._base)[:2]:
            raise Malformed("the next page lies on another host and is not followed", str(request))
        if link in followed:
            raise Malformed("the pages form a cycle: a page names one that was read before", str(request))
        if len(followed) >= limits.MOST_PAGES:
            raise Malformed(f"the answer has more than {limits.MOST_PAGES:,} pages", str(request))
        return link

    async def _once(self, request: GraphRequest, url: str) -> dict[str, Any]:
        import httpx
        from azure.core.exceptions import AzureError
        from kiota_abstractions.api_error import APIError
        from kiota_abstractions.method import Method
        from kiota_abstractions.request_information import RequestInformation
        from msgraph.generated.models.o_data_errors.o_data_error import ODataError

        from provisioner.tenant.credentials import sign_in_error

        information = RequestInformation()
        information.http_method = Method(request.method)
        information.url = url
        information.headers.try_add("Accept", "application/json")
        information.headers.try_add("client-request-id", request_id(self._run))
        if request.body is not None:
            information.set_stream_content(json.dumps(request.body).encode(), "application/json")
        try:
            async with asyncio.timeout(self._timeout_s):
                content: Any = await self._adapter.send_primitive_async(information, "bytes", {"XXX": ODataError})
        except TimeoutError as error:
            raise Unclear("no answer in time", str(request)) from error
        except bodies.OddBody as error:
            raise (Malformed if request.reads else Unclear)(str(error), str(request)) from error
        except APIError as error:
            raise error_of(request, error) from error
        except AzureError as error:
            raise sign_in_error(error) from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            host = urlsplit(url).netloc
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise untrusted(host, str(request)) from error
            raise Unavailable(f"{host} cannot be reached: {error or type(error).__name__}", str(request)) from error
        except httpx.TimeoutException as error:
            raise Unclear("no answer in time", str(request)) from error
        except httpx.HTTPError as error:
            raise Unclear(f"the connection broke: {error or type(error).__name__}", str(request)) from error
        return _page(request, content)


def _workload(request: GraphRequest) -> str:
    """The part of Graph that a request goes to, where that part has a quota of its own."""
    first = request.path.strip("/").partition("/")[0].partition("?")[0]
    return first if first in _OWN_QUOTAS else ""


def _path(request: GraphRequest) -> str:
    """The path with the properties that are decoded, and the id by which an object is known."""
    if not request.columns:
        return request.path
    select = f"$select={','.join(sorted(request.columns | {'id'}))}"
    return f"{request.path}{'&' if '?' in request.path else '?'}{select}"


def error_of(request: GraphRequest, error: Any) -> TenantError:
    """The exception for an APIError or ODataError of the SDK."""
    status = error.response_status_code or 0
    headers = {str(k).lower(): str(v) for k, v in dict(error.response_headers or {}).items()}
    main = getattr(error, "error", None)
    code, message = str(getattr(main, "code", None) or ""), str(getattr(main, "message", None) or "")
    request_id = _request_id(main) or headers.get("request-id", "")
    said = f"{code} without a message" if code else f"HTTP {status} without an error of Graph's"
    facts = (message or said, str(request), code, status, request_id)
    match status:
        case 401:
            return SignInRefused(*facts, hint="check the profile's credential and cloud")
        case 403 if code.startswith(_LIMIT):
            return Refused(*facts)
        case 403 if _NO_LICENCE in code:
            return PermissionMissing(*facts, "these rows need a licence of Entra ID P1 or P2 in the tenant")
        case 403:
            part = request.path.strip("/").split("/")[0].partition("?")[0]
            named = _PERMISSIONS.get(part)
            permission = f"the Graph permission {named}" if named else "the Graph permission that this request needs"
            return PermissionMissing(*facts, f"grant the app {permission}, with admin consent")
        case 404 if code:
            return NotFound(*facts)
        case 429:
            return Throttled(*facts, retry_after_s=retry_after_s(headers))
        case 503 | 504 if request.reads or status == 503:
            return Unavailable(*facts, retry_after_s=retry_after_s(headers))
    if not code:
        return (Malformed if request.reads or status < 500 else Unclear)(*facts)
    return Unclear(*facts) if status >= 500 else Refused(*facts)


async def _refuse_redirect(response: httpx.Response) -> None:
    """Raise Malformed for a redirect: kiota would follow it, or give its body as that of a success."""
    if 300 <= response.status_code < 400:
        host = urlsplit(response.headers.get("location", "")).netloc or "no host"
        call = f"{response.request.method} {response.request.url.path}"
        raise Malformed(f"redirected to {host}, which is not followed", call, status=response.status_code)


def _request_id(main: Any) -> str:
    """The service's id of a refused request; its key is innerError or innererror (Graph, error responses)."""
    inner = getattr(main, "inner_error", None)
    if inner is None:
        found = (getattr(main, "additional_data", None) or {}).get("innererror")
        return str(found.get("request-id") or "") if isinstance(found, Mapping) else ""
    return str(getattr(inner, "request_id", None) or "")


def _page(request: GraphRequest, content: bytes | None) -> dict[str, Any]:
    """The JSON object of a success; of a write without output (204) an empty one."""
    if not content and not request.reads:
        return {}
    try:
        page = bodies.document(content or b"")
    except bodies.OddBody as error:
        raise (Malformed if request.reads else Unclear)(str(error), str(request)) from error
    except ValueError as error:
        start = (content or b"").lstrip()[:1]
        kind = "an HTML page" if start == b"<" else "not complete JSON" if start else "empty"
        raise (Malformed if request.reads else Unclear)(f"the answer is {kind}", str(request)) from error
    if not isinstance(page, dict):
        raise (Malformed if request.reads else Unclear)("the answer is not a JSON object", str(request))
    return page


_NEVER_NULL = frozenset({"appId", "appRoles", "appRoleId", "resourceId"})
"""Properties that no row leaves out where they are selected: an application has an id and a list of roles, which may be
empty, and an assignment has both its ends (Graph, servicePrincipal and appRoleAssignment: not nullable). Others may be
missing where they are null."""


def _rows(request: GraphRequest, page: Mapping[str, Any]) -> Sequence[Row]:
    """The rows of a page, or the one entity that it is. Raises Malformed where it is neither.

    A path of one segment names a collection (`/users`), whose answer has a list in `value`; below it an answer may be
    an entity. Every entity has an `id`, unless `$select` leaves it out (Graph, resource type entity).
    """
    path, _, query = request.path.partition("?")
    if "value" in page or "/" not in path.strip("/"):
        rows = page.get("value")
        if not isinstance(rows, list):
            raise Malformed("the answer has no list of rows", str(request))
    else:
        rows = [page]
    selected = next((v for n, v in parse_qsl(query) if n == "$select"), "id")
    for row in rows:
        if not isinstance(row, Mapping):
            raise Malformed(f"a row is not an object but {type(row).__name__}", str(request))
        if "id" in selected.split(",") and not row.get("id"):
            raise Malformed("a row has no id", str(request))
        lacking = (_NEVER_NULL & request.columns) - row.keys()
        if lacking:
            raise Malformed(f"a row lacks {', '.join(sorted(lacking))}, which every row has", str(request))
    return rows


def _client(transport: httpx.AsyncBaseTransport, base: str, timeout_s: float) -> httpx.AsyncClient:
    """A client that follows no redirect and waits no longer for Graph than it takes."""
    import httpx

    return httpx.AsyncClient(
        transport=transport,
        base_url=base,
        headers={"Accept-Encoding": "gzip, deflate"},  # httpx would add br and zstd where their libraries are
        timeout=httpx.Timeout(min(limits.GRAPH_SILENCE_S, timeout_s), connect=min(limits.CONNECT_S, timeout_s)),
        event_hooks={"response": [_refuse_redirect]},
    )


@asynccontextmanager
async def open_directory(
    credential: AsyncTokenCredential,
    base: str,
    resource: str,
    network: Network,
    retry: Retry,
    limiter: Callable[[str], Limiter],
    timeout_s: float = 960.0,
    run: str = "",
) -> AsyncIterator[SdkDirectory]:
    """The port over a client of its own, closed at the end. `resource` is what tokens are for: the cloud's host.

    `timeout_s` is for one answer with its token, from the first byte sent to the last one received. `limiter` makes the
    gate of a part of Graph that has quotas of its own.

    The SDK's defaults are set straight: the scope is named (it would be derived from the host), the token goes to our
    host only (an empty list would send it anywhere), no retries, no redirects (the answer of another host would be
    believed), the bodies of errors are read, and the transport is closed by us (the SDK's has no way to).
    """
    import warnings

    with warnings.catch_warnings():
        # kiota_abstractions warns of a deprecated class of its own as soon as it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        from kiota_abstractions.api_client_builder import register_default_deserializer
        from kiota_authentication_azure.azure_identity_authentication_provider import (
            AzureIdentityAuthenticationProvider,
        )
        from kiota_http.middleware.options import RedirectHandlerOption, RetryHandlerOption
        from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory
        from msgraph.graph_request_adapter import GraphRequestAdapter
        from msgraph.graph_request_adapter import options as defaults
        from msgraph_core import GraphClientFactory

    host = urlsplit(base).hostname or ""
    provider = AzureIdentityAuthenticationProvider(credential, scopes=[f"{resource}/.default"], allowed_hosts=[host])
    # Without a parse node factory the bodies of errors are not read: a GraphServiceClient would register it.
    register_default_deserializer(JsonParseNodeFactory)
    options = {
        **defaults,
        RetryHandlerOption.get_key(): RetryHandlerOption(should_retry=False),
        RedirectHandlerOption.get_key(): RedirectHandlerOption(should_redirect=False),
    }
    transport = network.transport(base)
    client = _client(transport, base, timeout_s)
    client = GraphClientFactory.create_with_default_middleware(client=client, options=options)
    try:
        yield SdkDirectory(GraphRequestAdapter(provider, client=client), base, retry, limiter, timeout_s, run)
    finally:
        await transport.aclose()
