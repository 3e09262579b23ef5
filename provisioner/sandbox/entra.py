"""The sign-in service: Entra's token endpoints of both versions, device codes, and managed-identity endpoints.

Access tokens are JWTs with v1 claims, signed by the sandbox's own key. What an application proves itself with is in
client_proofs.py, who signs in through it in delegated.py, the pages for browsers in entra_pages.py, what the service
says about itself in entra_discovery.py. Paths are matched without regard to case.
"""

from __future__ import annotations

import hmac
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from provisioner.sandbox import delegated
from provisioner.sandbox.authorization import AuthorizationCodes
from provisioner.sandbox.client_proofs import authenticate
from provisioner.sandbox.delegated import Asked, DeviceCodes, User
from provisioner.sandbox.entra_discovery import MANY_TENANTS, Discovery, base_of, known_tenant
from provisioner.sandbox.entra_pages import Pages, form_of
from provisioner.sandbox.entra_refusals import EntraRefusal
from provisioner.sandbox.faults import facts
from provisioner.sandbox.tls import SigningKey
from provisioner.sandbox.tokens import RESOURCES, TokenIssuer, find_app

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.tenant import Tenant

_DEVICE_GRANTS = ("urn:ietf:params:oauth:grant-type:device_code", "device_code")  # v2 and RFC 8628; v1
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def _resource_of(scope: str | None, tenant: Tenant) -> str:
    """The resource that a `.default` scope names, as written. Raises EntraRefusal."""
    if not scope:
        raise EntraRefusal(900144, parameter="scope")
    resource, slash, permission = scope.rpartition("/")
    if permission != ".default" or not slash or " " in scope:
        raise EntraRefusal(70011, scope=scope)
    return _known_resource(resource, tenant)


def _known_resource(resource: str, tenant: Tenant) -> str:
    if resource.rstrip("/") not in RESOURCES:
        raise EntraRefusal(500011, resource=resource, tenant=tenant.display_name)
    return resource


class _Endpoint:
    """The token endpoints, all under the root of the authority's port (msal cannot find them under a path)."""

    def __init__(self, tenant: Tenant, key: SigningKey) -> None:
        self._tenant, self._key = tenant, key
        self._issuer = TokenIssuer(tenant, key)
        self._devices, self._codes = DeviceCodes(), AuthorizationCodes()
        self._pages = Pages(tenant, self._codes, self._devices)
        self._grants: Mapping[str, Callable[[Request, Mapping[str, str]], dict[str, Any]]] = {
            "authorization_code": self._code,
            "client_credentials": self._client_credentials,
            "password": self._password,
            "refresh_token": self._refresh,
            **dict.fromkeys(_DEVICE_GRANTS, self._device),
        }

    def routes(self) -> list[Route]:
        """The routes, in lower case. v1 names a `resource` where v2 has scopes."""
        return [
            Route("/{tenant}/oauth2/v2.0/token", self.token, methods=["POST"]),
            Route("/{tenant}/oauth2/token", self.token, methods=["POST"]),
            Route("/{tenant}/oauth2/v2.0/devicecode", self.device_code, methods=["GET", "POST"]),
            Route("/{tenant}/oauth2/devicecode", self.device_code, methods=["GET", "POST"]),
            *self._pages.routes(),
        ]

    async def token(self, request: Request) -> Response:
        form = await form_of(request)
        return self._refusing(request, lambda: self._granted(request, form))

    def _refusing(self, request: Request, answer: Callable[[], Response]) -> Response:
        correlation_id = request.headers.get("client-request-id") or str(uuid.uuid4())
        try:
            return answer()
        except EntraRefusal as refusal:
            return refusal.response(self._tenant.clock.now(), correlation_id)

    def _granted(self, request: Request, form: Mapping[str, str]) -> Response:
        name = request.path_params["tenant"]
        if not known_tenant(self._tenant, name):
            raise EntraRefusal(90002, tenant=name)
        grant = self._grants.get(form.get("grant_type", ""))
        if grant is None:
            raise EntraRefusal(70003, grant=form.get("grant_type", ""))
        body = grant(request, form)
        return JSONResponse(self._in_v1(form, body) if _is_v1(request) else body, headers=_NO_STORE)

    def _in_v1(self, form: Mapping[str, str], body: dict[str, Any]) -> dict[str, Any]:
        """The answer of the first version: numbers as text, instants, and the resource (ADAL's documentation).

        Clients hold the instants against their own clock.
        """
        now = int(time.time())
        instants = {"expires_on": str(now + body["expires_in"]), "not_before": str(now)}
        numbers = {key: str(body[key]) for key in ("expires_in", "ext_expires_in")}
        return {**body, **numbers, **instants, "resource": form.get("resource", "")}

    # --- applications by themselves ---

    def _client_credentials(self, request: Request, form: Mapping[str, str]) -> dict[str, Any]:
        app, appidacr = authenticate(self._tenant, form, self._audiences(request))
        facts(request.scope)["caller"] = app["appId"]
        if _is_v1(request):
            resource = _known_resource(_needed(form, "resource"), self._tenant)
        else:
            resource = _resource_of(form.get("scope"), self._tenant)
        return self._answer(self._issuer.issue(app, resource, appidacr=appidacr))

    def _audiences(self, request: Request) -> list[str]:
        """What an assertion may be meant for: either token endpoint of this authority, and its issuer."""
        base, name = base_of(request), request.path_params["tenant"]
        parts = dict.fromkeys((name, self._tenant.tenant_id, *MANY_TENANTS))
        return [f"{base}/{part}/{end}" for part in parts for end in ("oauth2/v2.0/token", "oauth2/token", "v2.0")]

    def _answer(self, token: str) -> dict[str, Any]:
        lifetime_s = self._issuer.lifetime_s()
        return {
            "token_type": "Bearer",
            "expires_in": lifetime_s,
            "ext_expires_in": lifetime_s,
            "access_token": token,
        }

    # --- users ---

    def _password(self, request: Request, form: Mapping[str, str]) -> dict[str, Any]:
        app = self._client(request, form)
        asked = self._asked(request, form)
        user = delegated.user_of_password(self._tenant, _needed(form, "username"), _needed(form, "password"))
        return self._for_user(request, form, app, user, asked)

    def _code(self, request: Request, form: Mapping[str, str]) -> dict[str, Any]:
        app = self._client(request, form)
        given = (form.get("redirect_uri", ""), form.get("code_verifier", ""))
        asked, user_id = self._codes.redeem(_needed(form, "code"), str(app["appId"]), *given)
        user = delegated.named_user(self._tenant, user_id)
        # A part of the scope that the user agreed to, or all of it. PKCE has proved the client, the nonce the sign-in.
        scope = form.get("scope") or asked.scope
        return self._for_user(request, form, app, user, delegated.asked_for(self._tenant, scope), asked.nonce)

    def _device(self, request: Request, form: Mapping[str, str]) -> dict[str, Any]:
        app = self._client(request, form)
        code = form.get("device_code") or _needed(form, "code")
        user_id, scope = self._devices.redeem(code, str(app["appId"]))
        user = delegated.named_user(self._tenant, user_id)
        return self._for_user(request, form, app, user, delegated.asked_for(self._tenant, scope))

    def _refresh(self, request: Request, form: Mapping[str, str]) -> dict[str, Any]:
        app = self._client(request, form)
        kept = self._issuer.refreshed(_needed(form, "refresh_token"))
        if kept is None or kept["appid"] != app["appId"]:
            raise EntraRefusal(70000, parameter="refresh_token")
        user = delegated.named_user(self._tenant, str(kept["oid"]))
        scope = form.get("scope") or (f"{form['resource']}/.default" if form.get("resource") else str(kept["scope"]))
        return self._for_user(request, form, app, user, delegated.asked_for(self._tenant, scope))

    def _client(self, request: Request, form: Mapping[str, str]) -> dict[str, Any]:
        """The application that a user signs in through. A public one has no secret; any other must prove itself."""
        client_id = _needed(form, "client_id")
        app = find_app(self._tenant, client_id) or delegated.first_party(client_id)
        if app is None:
            raise EntraRefusal(700016, app=client_id, tenant=self._tenant.display_name)
        if form.get("client_secret") or form.get("client_assertion"):
            app, _ = authenticate(self._tenant, form, self._audiences(request))
        elif app.get("publicClient") is not True:
            raise EntraRefusal(7000218)
        return app

    def _asked(self, request: Request, form: Mapping[str, str]) -> Asked:
        if _is_v1(request):
            return delegated.asked_for(self._tenant, f"openid {_needed(form, 'resource')}/.default")
        return delegated.asked_for(self._tenant, _needed(form, "scope"))

    def _for_user(
        self,
        request: Request,
        form: Mapping[str, str],
        app: Mapping[str, Any],
        user: User,
        asked: Asked,
        nonce: str = "",
    ) -> dict[str, Any]:
        """The answer with what the scope asked for besides the access token."""
        scopes = delegated.consented(app, asked)
        facts(request.scope)["caller"] = app["appId"]
        body = self._answer(self._issuer.issue_for(app, user, asked.resource, scopes))
        body["scope"] = asked.granted(scopes)
        if "openid" in asked.openid:
            issuer = f"{base_of(request)}/{self._tenant.tenant_id}/v2.0"
            body["id_token"] = self._issuer.id_token(app, user, issuer, nonce)
        if "offline_access" in asked.openid or _is_v1(request):
            given = f"{asked.resource.rstrip('/')}/.default {' '.join(sorted(asked.openid))}"
            body["refresh_token"] = self._issuer.refresh_token(app, user, given)
        if form.get("client_info") or request.query_params.get("client_info"):
            body["client_info"] = delegated.client_info(user, self._tenant.tenant_id)
        return body

    # --- device codes ---

    async def device_code(self, request: Request) -> Response:
        form = {**request.query_params, **await form_of(request)}
        return self._refusing(request, lambda: self._device_started(request, form))

    def _device_started(self, request: Request, form: Mapping[str, str]) -> Response:
        name = request.path_params["tenant"]
        if not known_tenant(self._tenant, name):
            raise EntraRefusal(90002, tenant=name)
        client_id = _needed(form, "client_id")
        if find_app(self._tenant, client_id) is None and delegated.first_party(client_id) is None:
            raise EntraRefusal(700016, app=client_id, tenant=self._tenant.display_name)
        v1 = _is_v1(request)
        scope = f"openid offline_access {_needed(form, 'resource')}/.default" if v1 else _needed(form, "scope")
        delegated.asked_for(self._tenant, scope)
        device, code = self._devices.start(client_id, scope)
        if (user := self._pages.signed_in()) is not None:
            self._devices.approve(code, user)
        page = f"{base_of(request)}/devicelogin"
        text = str if v1 else int
        body = {
            "user_code": code,
            "device_code": device,
            "verification_url" if v1 else "verification_uri": page,
            "expires_in": text(delegated.DEVICE_LIFETIME_S),
            "interval": text(delegated.DEVICE_INTERVAL_S),
            "message": f"To sign in, use a web browser to open the page {page} and enter the code {code} to "
            "authenticate.",
        }
        return JSONResponse(body, headers=_NO_STORE)


def _is_v1(request: Request) -> bool:
    return "/v2.0/" not in request.url.path.lower()


def _needed(form: Mapping[str, str], name: str) -> str:
    """A parameter of the request. Raises EntraRefusal where it is missing or empty."""
    if not form.get(name):
        raise EntraRefusal(900144, parameter=name)
    return form[name]


class _AnyCase:
    """The routes are in lower case; clients write paths as they please. The path that was asked for is logged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "path": scope.get("path", "").lower()}, receive, send)


def entra_app(tenant: Tenant, faults: Faults, keys: SigningKey, addresses: Mapping[str, str] | None = None) -> ASGIApp:
    """The authority as an ASGI application; `keys` signs the tokens, `addresses` are those of the fronts."""
    routes = [
        *Discovery(tenant, keys, {} if addresses is None else addresses).routes(),
        *_Endpoint(tenant, keys).routes(),
    ]
    return faults.wrap(_AnyCase(Starlette(routes=routes)), "entra")


class _ManagedIdentity:
    """Token endpoints of a machine in the cloud: IMDS (virtual machines) and the App Service shape."""

    def __init__(self, tenant: Tenant, key: SigningKey, identity_header: str, client_id: str) -> None:
        self._tenant, self._header, self._client_id = tenant, identity_header, client_id
        self._issuer = TokenIssuer(tenant, key)

    async def imds(self, request: Request) -> Response:
        # The header keeps a server-side request forgery from reading tokens; so does the refusal of forwarded requests.
        if request.headers.get("metadata", "").lower() != "true" or "x-forwarded-for" in request.headers:
            return _identity_error("Required metadata header not specified")
        return self._answer(request, seconds=str)

    async def app_service(self, request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("x-identity-header", "").encode(), self._header.encode()):
            return JSONResponse({"statusCode": 401, "message": "Invalid identity header"}, 401)
        return self._answer(request, seconds=int)

    def _answer(self, request: Request, seconds: type[int | str]) -> Response:
        asked = request.query_params.get("client_id", self._client_id)
        app = find_app(self._tenant, asked)
        if app is None:
            return _identity_error("Identity not found")
        try:
            resource = _known_resource(request.query_params.get("resource", ""), self._tenant)
        except EntraRefusal as refusal:
            return refusal.response(self._tenant.clock.now(), str(uuid.uuid4()))
        lifetime_s = self._issuer.lifetime_s()
        body = {
            "access_token": self._issuer.issue(app, resource, appidacr="2"),
            "client_id": app["appId"],
            "expires_in": seconds(lifetime_s),
            # The client compares this instant with its own clock, not with the tenant's.
            "expires_on": seconds(int(time.time()) + lifetime_s),
            "resource": resource,
            "token_type": "Bearer",
        }
        return JSONResponse(body)


def _identity_error(text: str) -> Response:
    return JSONResponse({"error": "invalid_request", "error_description": text}, 400)


def managed_identity_app(
    tenant: Tenant, faults: Faults, keys: SigningKey, *, identity_header: str, client_id: str
) -> ASGIApp:
    """Managed-identity endpoints (plain HTTP, as in the cloud): `client_id` is the machine's own identity."""
    endpoint = _ManagedIdentity(tenant, keys, identity_header, client_id)
    routes = [Route("/metadata/identity/oauth2/token", endpoint.imds), Route("/msi/token", endpoint.app_service)]
    return faults.wrap(Starlette(routes=routes), "entra")
