"""Microsoft Graph through msgraph-sdk's request adapter, which signs, retries nothing and maps errors.

Bodies are taken as bytes and read by json: the SDK's typed models manage some 70 users a second, plain JSON tens of
thousands. A GET of a collection follows its pages, also past an empty one.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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
from provisioner.tenant.retry import Retry

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from kiota_abstractions.request_adapter import RequestAdapter

# Least application permission for each first part of a path (the pages of the Graph reference).
_PERMISSIONS = {
    "users": "User.Read.All",
    "domains": "Domain.Read.All",
    "organization": "Organization.Read.All",
    "subscribedSkus": "Organization.Read.All",
    "policies": "Policy.Read.All",
}


class SdkDirectory:
    """The Directory port. `base` is Graph's address without a slash at the end."""

    def __init__(self, adapter: RequestAdapter, base: str, retry: Retry) -> None:
        self._adapter, self._base, self._retry = adapter, base, retry

    async def send(self, request: GraphRequest) -> Answer:
        """Send one request; of a collection all pages. Raises what `diagnostics` has for a TenantError."""
        rows: list[Row] = []
        url: str | None = f"{self._base}/v1.0{request.path}"
        pages = 0
        while url:
            if urlsplit(url)[:2] != urlsplit(self._base)[:2]:
                raise Malformed("the next page lies on another host and is not followed", str(request))
            page = await self._retry.call(request, partial(self._once, request, url))
            pages += 1
            value = page.get("value")
            if not isinstance(value, list):
                return Answer((_row(page, request),) if page else (), requests=pages)
            rows += [_row(row, request) for row in value]
            url = page.get("@odata.nextLink")
        return Answer(tuple(rows), requests=pages)

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
        if request.body is not None:
            information.set_stream_content(json.dumps(request.body).encode(), "application/json")
        try:
            content: Any = await self._adapter.send_primitive_async(information, "bytes", {"XXX": ODataError})
        except APIError as error:
            raise error_of(request, error) from error
        except AzureError as error:
            raise sign_in_error(error) from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            host = urlsplit(url).netloc
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                what = f"the certificate of {host} is not trusted"
                raise TenantError(what, str(request), mend="check the profile's ca and the clock") from error
            raise Unavailable(f"{host} cannot be reached: {error or type(error).__name__}", str(request)) from error
        except httpx.HTTPError as error:
            raise Unclear(f"the connection broke: {error or type(error).__name__}", str(request)) from error
        return _page(request, content)


def error_of(request: GraphRequest, error: Any) -> TenantError:
    """The exception for an APIError or ODataError of the SDK."""
    status = error.response_status_code or 0
    main = getattr(error, "error", None)
    code, message = (getattr(main, "code", "") or "", getattr(main, "message", "") or "") if main else ("", "")
    inner = getattr(main, "inner_error", None)
    request_id = str(getattr(inner, "request_id", "") or "")
    facts = (message or f"the answer is not Graph's ({type(error).__name__})", str(request), code, status, request_id)
    headers = {str(k).lower(): v for k, v in dict(error.response_headers or {}).items()}
    match status:
        case 401:
            return SignInRefused(*facts, mend="check the profile's credential and cloud")
        case 403:
            part = request.path.strip("/").split("/")[0].partition("?")[0]
            permission = _PERMISSIONS.get(part, "the permission that this request takes")
            return PermissionMissing(*facts, f"grant the app the Graph permission {permission}, with admin consent")
        case 404 if code:
            return NotFound(*facts)
        case 429:
            return Throttled(*facts, retry_after_s=_seconds(headers.get("retry-after")))
        case 503 | 504 if request.reads or status == 503:
            return Unavailable(*facts)
    if not code:
        return (Malformed if request.reads or status < 500 else Unclear)(*facts)
    return Unclear(*facts) if status >= 500 else Refused(*facts)


def _page(request: GraphRequest, content: bytes | None) -> dict[str, Any]:
    """The JSON object of a success; nothing for a 204."""
    if not content:
        return {}
    try:
        page = json.loads(content)
    except ValueError as error:
        kind = "an HTML page" if content.lstrip()[:1] == b"<" else "no whole JSON"
        raise (Malformed if request.reads else Unclear)(f"the answer is {kind}", str(request)) from error
    if not isinstance(page, dict):
        raise Malformed("the answer is no JSON object", str(request))
    return page


def _row(row: Any, request: GraphRequest) -> Row:
    if not isinstance(row, Mapping):
        raise Malformed(f"a row is no object but {type(row).__name__}", str(request))
    return row


def _seconds(text: Any) -> float | None:
    try:
        return max(0.0, float(text))
    except (TypeError, ValueError):
        return None


@asynccontextmanager
async def open_directory(
    credential: AsyncTokenCredential, base: str, resource: str, ca: str | None, retry: Retry
) -> AsyncIterator[SdkDirectory]:
    """The port over a client of its own, closed at the end. `resource` is what tokens are for: the cloud's host.

    The SDK's defaults are set straight: the scope is named (it would be derived from the host), the token goes to our
    host only (an empty list would send it anywhere), no retries, and the transport is closed by us (the SDK's has no
    way to).
    """
    import warnings

    import httpx

    with warnings.catch_warnings():
        # kiota_abstractions warns of a deprecated class of its own as soon as it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        from kiota_authentication_azure.azure_identity_authentication_provider import (
            AzureIdentityAuthenticationProvider,
        )
        from kiota_http.middleware.options import RetryHandlerOption
        from msgraph.graph_request_adapter import GraphRequestAdapter
        from msgraph.graph_request_adapter import options as defaults
        from msgraph_core import GraphClientFactory

    host = urlsplit(base).hostname or ""
    provider = AzureIdentityAuthenticationProvider(credential, scopes=[f"{resource}/.default"], allowed_hosts=[host])
    options = {**defaults, RetryHandlerOption.get_key(): RetryHandlerOption(should_retry=False)}
    transport = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=ca), retries=0)
    client = httpx.AsyncClient(transport=transport, base_url=base, timeout=httpx.Timeout(60.0, connect=20.0))
    client = GraphClientFactory.create_with_default_middleware(client=client, options=options)
    try:
        yield SdkDirectory(GraphRequestAdapter(provider, client=client), base, retry)
    finally:
        await transport.aclose()
