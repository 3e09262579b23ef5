"""The sign-in service: Entra's token endpoint, managed-identity endpoints, and the check of tokens for other fronts.

A credential is really verified: secrets by hash and expiry, certificate assertions (RS256 with x5t, PS256 with
x5t#S256) and federated assertions by signature, audience, issuer, subject and times. Access tokens are JWTs with v1
claims, signed by the sandbox's own key. Two clocks are at work: what a *client* dates (assertions) is held against
the machine's clock, what the *tenant* dates (secrets, access tokens) against the tenant's clock, which can be advanced.
Texts after https://learn.microsoft.com/entra/identity-platform/reference-error-codes and recorded answers.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from provisioner.sandbox.faults import facts
from provisioner.sandbox.tls import SigningKey, base64url
from provisioner.sandbox.tokens import RESOURCES, TokenIssuer, find_app, is_tenant

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.tenant import Tenant

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_CLOCK_SKEW_S = 300


# AADSTS code -> OAuth error word, HTTP status, the service's sentence.
_REFUSALS: dict[int, tuple[str, int, str]] = {
    50013: ("invalid_grant", 400, "Assertion failed signature validation. [Reason - {reason}]"),
    50027: ("invalid_request", 400, "JWT token is invalid or malformed. {reason}"),
    70003: ("unsupported_grant_type", 400, "The app requested an unsupported grant type '{grant}'."),
    70011: (
        "invalid_scope",
        400,
        "The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.",
    ),
    70025: ("invalid_client", 401, "The client '{app}'({name}) has no configured federated identity credentials."),
    90002: (
        "invalid_request",
        400,
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    ),
    500011: (
        "invalid_resource",
        400,
        "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You might have sent your authentication request to the wrong tenant.",
    ),
    700016: (
        "unauthorized_client",
        400,
        "Application with identifier '{app}' was not found in the directory '{tenant}'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    700021: (
        "invalid_client",
        401,
        "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at "
        "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
    ),
    700023: (
        "invalid_client",
        401,
        "Client assertion audience claim does not match Realm issuer. Review the documentation at "
        "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
    ),
    700024: (
        "invalid_client",
        401,
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {start}, "
        "expiry time of assertion {end}.",
    ),
    700027: ("invalid_client", 401, "{what} [Reason - {reason}]"),
    900144: ("invalid_request", 400, "The request body must contain the following parameter: '{parameter}'."),
    7000215: (
        "invalid_client",
        401,
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        "the client secret ID, for a secret added to app '{app}'.",
    ),
    7000216: (
        "invalid_client",
        401,
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
    ),
    7000222: (
        "invalid_client",
        401,
        "The provided client secret keys for app '{app}' are expired. Visit the Azure portal to create new keys for "
        "your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: "
        "https://aka.ms/certCreds.",
    ),
}
_REFUSALS |= {
    code: (
        "invalid_client",
        401,
        f"No matching federated identity record found for presented assertion {word} '{{shown}}'. Please check your "
        "federated identity credential Subject, Audience and Issuer against the presented assertion.",
    )
    for code, word in ((700211, "issuer"), (700212, "audience"), (700213, "subject"))
}


class EntraRefusal(Exception):
    """One refusal of the token endpoint: AADSTS code, OAuth error word, HTTP status and the service's sentence."""

    def __init__(self, code: int, **facts: str) -> None:
        self.code = code
        self.error, self.status, text = _REFUSALS[code]
        super().__init__(f"AADSTS{code}: {text.format(**facts)}")

    def response(self, now: dt.datetime, correlation_id: str) -> Response:
        """The body that the service sends, with its trace, in the recorded shape."""
        trace, stamp = str(uuid.uuid4()), now.strftime("%Y-%m-%d %H:%M:%SZ")
        body = {
            "error": self.error,
            "error_description": f"{self} Trace ID: {trace} Correlation ID: {correlation_id} Timestamp: {stamp}",
            "error_codes": [self.code],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.code}",
        }
        return JSONResponse(body, self.status, headers={"Cache-Control": "no-store", "x-ms-request-id": trace})


def _authenticate(tenant: Tenant, form: Mapping[str, str], audiences: list[str]) -> tuple[dict[str, Any], str]:
    """The application that a token request proves to be, and how (`appidacr`: 1 secret, 2 assertion)."""
    client_id = form.get("client_id") or _unverified(form.get("client_assertion", "")).get("sub", "")
    if not client_id:
        raise EntraRefusal(900144, parameter="client_id")
    app = find_app(tenant, client_id)
    if app is None:
        raise EntraRefusal(700016, app=client_id, tenant=tenant.display_name)
    if form.get("client_assertion"):
        _check_assertion(tenant, app, form, audiences)
        return app, "2"
    if form.get("client_secret"):
        _check_secret(tenant, app, form["client_secret"])
        return app, "1"
    raise EntraRefusal(7000216)


def _check_secret(tenant: Tenant, app: Mapping[str, Any], secret: str) -> None:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    known = [row for row in app.get("secrets", []) if hmac.compare_digest(str(row["sha256"]), digest)]
    if not known:
        raise EntraRefusal(7000215, app=app["appId"])
    now = tenant.clock.now()
    if all(_instant(row.get("notAfter")) <= now for row in known):
        raise EntraRefusal(7000222, app=app["appId"])


def _instant(text: str | None) -> dt.datetime:
    """An ISO instant; without one, a date that never comes."""
    if text is None:
        return dt.datetime.max.replace(tzinfo=dt.UTC)
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _unverified(token: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
    return claims


def _check_assertion(tenant: Tenant, app: Mapping[str, Any], form: Mapping[str, str], audiences: list[str]) -> None:
    token = form["client_assertion"]
    if form.get("client_assertion_type") != _ASSERTION_TYPE:
        raise EntraRefusal(900144, parameter="client_assertion_type")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise EntraRefusal(50027, reason="The client assertion cannot be parsed.") from None
    claims = _unverified(token)
    # A client signs its own assertion and names itself as issuer; an identity provider's issuer is an address. Headers
    # do not tell them apart: providers send x5t too.
    if not str(claims.get("iss", "")).startswith("https://"):
        certificate = _registered_certificate(tenant, app, header)
        failed = EntraRefusal(
            700027,
            what="Client assertion failed signature validation.",
            reason="The provided signature value did not match the expected signature value.",
        )
        _verify_client_jwt(token, certificate.public_key(), audiences, failed)
        if {claims.get("iss"), claims.get("sub")} != {app["appId"]}:
            raise EntraRefusal(700021)
    else:
        _check_federated_assertion(app, token, header, claims)


def _registered_certificate(tenant: Tenant, app: Mapping[str, Any], header: Mapping[str, Any]) -> x509.Certificate:
    """The application's certificate that the assertion's header names by thumbprint, if it is still valid."""

    def named(certificate: x509.Certificate, name: str, digest: hashes.HashAlgorithm) -> bool:
        return str(header.get(name, "")).rstrip("=") == base64url(certificate.fingerprint(digest))

    for row in app.get("certificates", []):
        certificate = x509.load_pem_x509_certificate(row["pem"].encode())
        # SHA-1 is what the `x5t` header is (RFC 7515 §4.1.7); it only names the certificate.
        if named(certificate, "x5t#S256", hashes.SHA256()) or named(certificate, "x5t", hashes.SHA1()):  # noqa: S303
            break
    else:
        shown = header.get("x5t#S256") or header.get("x5t") or ""
        raise EntraRefusal(
            700027,
            what="The certificate with identifier used to sign the client assertion is not registered on application.",
            reason=f"The key was not found., Thumbprint of key used by client: '{shown}', Please visit the Azure "
            f"Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{app['appId']}'.",
        )
    end = certificate.not_valid_after_utc
    if end <= tenant.clock.now():
        reason = f"The key used is expired., Found key 'End={end:%m/%d/%Y %H:%M:%S}'"
        raise EntraRefusal(700027, what="Client assertion failed signature validation.", reason=reason)
    return certificate


def _check_federated_assertion(
    app: Mapping[str, Any], token: str, header: Mapping[str, Any], claims: Mapping[str, Any]
) -> None:
    left = list(app.get("federated", []))
    if not left:
        raise EntraRefusal(70025, app=app["appId"], name=str(app.get("displayName", "")))
    audience = claims.get("aud")
    shown = {
        "issuer": [claims.get("iss")],
        "subject": [claims.get("sub")],
        "audience": audience if isinstance(audience, list) else [audience],
    }
    for code, word in ((700211, "issuer"), (700213, "subject"), (700212, "audience")):
        left = [row for row in left if row[word] in shown[word]]
        if not left:
            raise EntraRefusal(code, shown=", ".join(map(str, shown[word])))
    keys = [key for row in left for key in row["jwks"]["keys"]]
    jwk = next((key for key in keys if key.get("kid") == header.get("kid")), None)
    if jwk is None:
        raise EntraRefusal(50013, reason="The key was not found.")
    failed = EntraRefusal(50013, reason="The provided signature value did not match the expected signature value.")
    _verify_client_jwt(token, jwt.PyJWK(jwk).key, [left[0]["audience"]], failed)


def _verify_client_jwt(token: str, key: Any, audiences: list[str], bad_signature: EntraRefusal) -> None:
    """Signature, audience and times (by the machine's clock, which is the client's) of an assertion."""
    try:
        jwt.decode(
            token,
            key,
            algorithms=["RS256", "PS256"],
            audience=audiences,
            leeway=_CLOCK_SKEW_S,
            options={"require": ["exp", "iss", "sub", "aud"]},
        )
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        claims = _unverified(token)
        start, end = _utc(claims.get("nbf", claims.get("iat", 0))), _utc(claims.get("exp", 0))
        raise EntraRefusal(700024, now=_utc(time.time()), start=start, end=end) from None
    except jwt.InvalidAudienceError:
        raise EntraRefusal(700023) from None
    except jwt.MissingRequiredClaimError as missing:
        raise EntraRefusal(50027, reason=f"The claim '{missing.claim}' is missing.") from None
    except jwt.InvalidTokenError:
        raise bad_signature from None


def _utc(seconds: float) -> str:
    return dt.datetime.fromtimestamp(float(seconds), dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.0000000Z")


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


class _TokenEndpoint:
    """The authority's routes, all under the root of its own port (msal cannot find them under a path)."""

    def __init__(self, tenant: Tenant, key: SigningKey) -> None:
        self._tenant, self._key = tenant, key
        self._issuer = TokenIssuer(tenant, key)

    async def token(self, request: Request) -> Response:
        correlation_id = request.headers.get("client-request-id") or str(uuid.uuid4())
        # parse_qsl, because Starlette's form() asks for another package even for urlencoded bodies.
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        try:
            return self._grant(request, form)
        except EntraRefusal as refusal:
            return refusal.response(self._tenant.clock.now(), correlation_id)

    def _grant(self, request: Request, form: Mapping[str, str]) -> Response:
        name = request.path_params["tenant"]
        self._require_tenant(name)
        if form.get("grant_type") != "client_credentials":
            raise EntraRefusal(70003, grant=form.get("grant_type", ""))
        base, tenant_id = _base(request), self._tenant.tenant_id
        audiences = [f"{base}/{part}/{rest}" for part in (name, tenant_id) for rest in ("oauth2/v2.0/token", "v2.0")]
        app, appidacr = _authenticate(self._tenant, form, audiences)
        facts(request.scope)["caller"] = app["appId"]
        resource = _resource_of(form.get("scope"), self._tenant)
        token = self._issuer.issue(app, resource, appidacr=appidacr)
        lifetime_s = self._issuer.lifetime_s()
        body = {"token_type": "Bearer", "expires_in": lifetime_s, "ext_expires_in": lifetime_s, "access_token": token}
        return JSONResponse(body, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _require_tenant(self, name: str) -> None:
        if not is_tenant(self._tenant, name):
            raise EntraRefusal(90002, tenant=name)

    async def openid_configuration(self, request: Request) -> Response:
        try:
            self._require_tenant(request.path_params["tenant"])
        except EntraRefusal as refusal:
            return refusal.response(self._tenant.clock.now(), str(uuid.uuid4()))
        base = f"{_base(request)}/{self._tenant.tenant_id}"
        return JSONResponse(
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "tenant_region_scope": "EU",
            }
        )

    async def instance_discovery(self, request: Request) -> Response:
        host = request.url.netloc
        endpoint = f"{_base(request)}/{self._tenant.tenant_id}/v2.0/.well-known/openid-configuration"
        alias = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        return JSONResponse({"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [alias]})

    async def keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self._key.jwk()]})


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def entra_app(tenant: Tenant, faults: Faults, keys: SigningKey) -> ASGIApp:
    """The authority as an ASGI application; `keys` signs the access tokens."""
    endpoint = _TokenEndpoint(tenant, keys)
    routes = [
        Route("/{tenant}/v2.0/.well-known/openid-configuration", endpoint.openid_configuration),
        Route("/common/discovery/instance", endpoint.instance_discovery),
        Route("/{tenant}/discovery/v2.0/keys", endpoint.keys),
        Route("/{tenant}/oauth2/v2.0/token", endpoint.token, methods=["POST"]),
    ]
    return faults.wrap(Starlette(routes=routes), "entra")


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
