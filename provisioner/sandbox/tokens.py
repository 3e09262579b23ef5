"""Access tokens: which resources and roles there are, how a token is written, and how the fronts check one.

JWTs with v1 claims, signed by the sandbox's own key, dated and expired by the *tenant's* clock, which a test may
advance. What proves a client's identity is not here (entra.py).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jwt

from provisioner.sandbox.cmdlets import Caller
from provisioner.sandbox.faults import TokenRefused
from provisioner.sandbox.mail_directory import directory_roles, memberships
from provisioner.sandbox.tls import SigningKey, base64url

if TYPE_CHECKING:
    from starlette.requests import Request

    from provisioner.sandbox.tenant import Tenant

GRAPH = "https://graph.microsoft.com"
EXCHANGE = "https://outlook.office365.com"

# Identifiers under which a resource may be asked for: its application ID URIs (each cloud has its own) and its appId.
RESOURCES: Mapping[str, str] = {
    GRAPH: GRAPH,
    "https://graph.microsoft.us": GRAPH,
    "https://dod-graph.microsoft.us": GRAPH,
    "https://microsoftgraph.chinacloudapi.cn": GRAPH,
    "00000003-0000-0000-c000-000000000000": GRAPH,
    EXCHANGE: EXCHANGE,
    "https://outlook.office.com": EXCHANGE,
    "https://outlook.office365.us": EXCHANGE,
    "https://outlook-dod.office365.us": EXCHANGE,
    "https://partner.outlook.cn": EXCHANGE,
    "https://outlook.office365.cn": EXCHANGE,
    "00000002-0000-0ff1-ce00-000000000000": EXCHANGE,
}

# Hosts of the resources: who comes by such a name has names of the service pointed here.
_SERVICE_HOSTS = frozenset(name.removeprefix("https://") for name in RESOURCES if name.startswith("https://"))

# Template ids of built-in roles, as they stand in a token's `wids`
# (https://learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference).
ROLE_TEMPLATES: Mapping[str, str] = {
    "Global Administrator": "62e90394-69f5-4237-9190-012177145e10",
    "Exchange Administrator": "29232cdf-9323-42fd-ade2-1d097af3e4de",
    "Exchange Recipient Administrator": "31392ffb-586c-42d1-9346-e59415a2cc4e",
    "Security Administrator": "194ae4cb-b126-40b2-bd5b-6091b380977d",
    "Compliance Administrator": "17315797-102d-40b4-93e0-432062caca18",
    "Helpdesk Administrator": "729827e3-9c14-49f7-bb1b-9608f156bbb8",
    "Global Reader": "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
    "Security Reader": "5d6b6bb7-de71-4623-b4af-95380a352509",
}
_ROLE_NAMES = {template: name for name, template in ROLE_TEMPLATES.items()}
_ANY_PRINCIPAL = "0997a1d0-0d1d-4acb-b408-d5ca73121e90"  # stands in the `wids` of every application's token

_ANY_USER = "b79fbf4d-3ef9-4689-8143-76b194e85509"  # stands in the `wids` of every user's token

_DEFAULT_LIFETIME_S = 3600
_REFRESH = "urn:sandbox:refresh-token"
_REFRESH_LIFETIME_S = 90 * 24 * 3600  # Learn, "Refresh tokens in the Microsoft identity platform"

# Delegated permissions by which a user's token is one for Exchange's administration (Exchange's own module, and other
# applications).
_MANAGES_EXCHANGE = frozenset({"AdminApi.AccessAsUser.All", "Exchange.Manage"})


def is_tenant(tenant: Tenant, name: str) -> bool:
    """Whether `name`, as it stands in a path, is this tenant: its id, its initial domain or a verified domain."""
    wanted = name.lower()
    verified = {str(row["id"]).lower() for row in tenant.graph.get("domains", []) if row.get("isVerified")}
    return wanted in {tenant.tenant_id.lower(), tenant.initial_domain.lower()} | verified


def find_app(tenant: Tenant, client_id: str) -> dict[str, Any] | None:
    """The application with this appId, or None."""
    return next((app for app in tenant.apps if str(app["appId"]).lower() == client_id.lower()), None)


def roles_of_user(tenant: Tenant, user: Mapping[str, Any]) -> set[str]:
    """Template ids of the directory roles that a user holds, itself or through groups."""
    own = {str(user.get("id") or "").lower(), *memberships(tenant, user)} - {""}
    return directory_roles(tenant, own)


class TokenIssuer:
    """Writes tokens for the tenant's applications, and for the users who sign in through them."""

    def __init__(self, tenant: Tenant, key: SigningKey) -> None:
        self.tenant = tenant
        self._key = key

    def lifetime_s(self) -> int:
        """Seconds that a new token lives, by the tenant's clock (setting `token_lifetime_s`)."""
        return int(self.tenant.settings.get("token_lifetime_s", _DEFAULT_LIFETIME_S))

    def issue(self, app: Mapping[str, Any], resource: str, *, appidacr: str) -> str:
        """A v1 access token for `resource` as asked for. Roles ride in it: a later change of role needs a new token."""
        now = int(self.tenant.clock.now().timestamp())
        granted = app.get("appRoles", {}).get(RESOURCES[resource.rstrip("/")], [])
        wids = [ROLE_TEMPLATES[role] for role in app.get("directoryRoles", []) if role in ROLE_TEMPLATES]
        claims: dict[str, Any] = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{self.tenant.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime_s(),
            "app_displayname": app.get("displayName", ""),
            "appid": app["appId"],
            "appidacr": appidacr,
            "idp": f"https://sts.windows.net/{self.tenant.tenant_id}/",
            "idtyp": "app",
            "oid": app["objectId"],
            "sub": app["objectId"],
            "tid": self.tenant.tenant_id,
            "uti": base64url(uuid.uuid4().bytes),
            "ver": "1.0",
            "wids": [*wids, _ANY_PRINCIPAL],
        }
        if granted:
            claims["roles"] = list(granted)
        return self._key.sign(claims)

    def issue_for(self, app: Mapping[str, Any], user: Mapping[str, Any], resource: str, scopes: Iterable[str]) -> str:
        """A v1 access token for a user who signed in through an application. `wids` are the user's directory roles."""
        now, object_id = int(self.tenant.clock.now().timestamp()), str(user["id"])
        sts = f"https://sts.windows.net/{self.tenant.tenant_id}/"
        claims: dict[str, Any] = {
            "aud": resource,
            "iss": sts,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime_s(),
            "acr": "1",
            "amr": ["pwd"],
            "app_displayname": app.get("displayName", ""),
            "appid": app["appId"],
            "appidacr": "0",
            "idtyp": "user",
            "name": user.get("displayName"),
            "oid": object_id,
            "scp": " ".join(scopes),
            "sub": object_id,
            "tid": self.tenant.tenant_id,
            "unique_name": user.get("userPrincipalName"),
            "upn": user.get("userPrincipalName"),
            "uti": base64url(uuid.uuid4().bytes),
            "ver": "1.0",
            "wids": [*sorted(roles_of_user(self.tenant, user)), _ANY_USER],
        }
        return self._key.sign(claims)

    def id_token(self, app: Mapping[str, Any], user: Mapping[str, Any], issuer: str, nonce: str = "") -> str:
        """Who signed in, for the client, which looks for its `nonce`.

        Dated by the machine's clock, which is the one that clients check it by.
        """
        now = int(time.time())
        claims = {
            "aud": app["appId"],
            "iss": issuer,
            "iat": now,
            "nbf": now,
            "exp": now + _DEFAULT_LIFETIME_S,
            "name": user.get("displayName"),
            "oid": user["id"],
            "preferred_username": user.get("userPrincipalName"),
            "sub": user["id"],
            "tid": self.tenant.tenant_id,
            "ver": "2.0",
        }
        return self._key.sign({**claims, "nonce": nonce} if nonce else claims)

    def refresh_token(self, app: Mapping[str, Any], user: Mapping[str, Any], scope: str) -> str:
        """What a client gets a new access token with, for 90 days by the tenant's clock. Opaque to it."""
        end = int(self.tenant.clock.now().timestamp()) + _REFRESH_LIFETIME_S
        claims = {"aud": _REFRESH, "appid": app["appId"], "oid": user["id"], "scope": scope, "exp": end}
        return self._key.sign({**claims, "uti": base64url(uuid.uuid4().bytes)})

    def refreshed(self, token: str) -> dict[str, Any] | None:
        """What a refresh token stands for; None for anything that is not one, or is over."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key.private.public_key(),
                algorithms=["RS256"],
                audience=_REFRESH,
                options={"verify_exp": False},
            )
        except jwt.InvalidTokenError:
            return None
        return claims if claims["exp"] > self.tenant.clock.now().timestamp() else None


class InvalidToken(Exception):
    """A bearer token that is not accepted. `kind`: missing, malformed, signature, audience, expired, tenant, role."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


class TokenVerifier:
    """Checks bearer tokens for the resource fronts.

    `claims` says what a token holds; calling the verifier gives the Exchange `Caller`, refused in Exchange's form.
    """

    def __init__(self, tenant: Tenant, key: SigningKey, addresses: Mapping[str, str] | None = None) -> None:
        self._tenant, self._addresses = tenant, {} if addresses is None else addresses
        self._public = key.private.public_key()
        self._signed = lru_cache(maxsize=256)(self._decoded)  # a client sends the same token with each request

    def authority(self, host: str) -> str:
        """Where a refused client is sent to sign in: the service's authority where it came by the service's name."""
        inside = self._addresses.get("authority")
        ours = inside is not None and host.lower() not in _SERVICE_HOSTS
        return inside if ours and inside else "https://login.microsoftonline.com"

    def claims(self, authorization: str | None, resource: str) -> dict[str, Any]:
        """Claims of the token in an Authorization header, meant for `resource`. Raises InvalidToken."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise InvalidToken("missing", "Access token is empty.")
        try:
            claims = dict(self._signed(token.strip()))
        except jwt.InvalidSignatureError:
            raise InvalidToken("signature", "Access token validation failure. Invalid signature.") from None
        except jwt.InvalidTokenError:
            raise InvalidToken("malformed", "IDX14100: JWT is not well formed, there are no dots (.).") from None
        if RESOURCES.get(str(claims.get("aud", "")).rstrip("/")) != resource:
            raise InvalidToken("audience", "Access token validation failure. Invalid audience.")
        if claims["exp"] <= self._tenant.clock.now().timestamp():
            raise InvalidToken("expired", "Lifetime validation failed, the token is expired.")
        if claims["tid"] != self._tenant.tenant_id:
            raise InvalidToken("tenant", "Access token validation failure. Invalid tenant.")
        return claims

    def _decoded(self, token: str) -> Mapping[str, Any]:
        """What a token says that has our signature. Audience and times are left to `claims`: the tenant's clock counts.

        Raises jwt.InvalidTokenError.
        """
        options: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
        found: Mapping[str, Any] = jwt.decode(token, self._public, algorithms=["RS256"], options=options)
        return found

    async def __call__(self, request: Request, resource: str = EXCHANGE) -> Caller:
        """Who calls an Exchange front. Raises TokenRefused(401) as Exchange refuses.

        No application permission at all is 401; the permission without a directory role gives a Caller that may run
        nothing, and the cmdlet is then refused with 403 (measured so against the service, July 2026).
        """
        try:
            claims = self.claims(request.headers.get("authorization"), resource)
            path_tenant = request.path_params.get("tenant")
            if path_tenant is not None and not is_tenant(self._tenant, path_tenant):
                raise InvalidToken("tenant", "The tenant of the token is not the tenant of the path.")
            v2 = _of_v2(claims)
            if not _may_manage(claims) and not v2:
                raise InvalidToken("role", "The token contains no permissions for this resource.")
        except InvalidToken as refusal:
            raise _exchange_refusal(refusal, self.authority(str(request.url.hostname))) from None
        if v2 and not _may_manage(claims) and "/v2.0/" not in request.url.path.lower():
            return Caller(app_id=str(claims["appid"]))  # who may run nothing here
        return self.caller(claims)

    def caller(self, claims: Mapping[str, Any]) -> Caller:
        """The Exchange caller: directory roles as the token has them, role groups as Exchange knows them now."""
        user = str(claims.get("upn") or "")
        app = {} if user else find_app(self._tenant, str(claims["appid"])) or {}
        cmdlets = app.get("exchangeRoles")
        return Caller(
            app_id=str(claims["appid"]),
            display_name=str(claims.get("app_displayname", "")),
            directory_roles=tuple(_ROLE_NAMES[wid] for wid in claims.get("wids", []) if wid in _ROLE_NAMES),
            exchange_cmdlets=None if cmdlets is None else tuple(cmdlets),
            delegated_upn=user or None,
        )


def _of_v2(claims: Mapping[str, Any]) -> bool:
    """Whether a token holds a permission for the Admin API v2.0, which InvokeCommand refuses with an empty 403
    (azapptoolkit; Learn, "Authentication and authorization for Exchange Online Admin API")."""
    scopes = str(claims.get("scp") or "").split()
    return "Exchange.ManageAsAppV2" in claims.get("roles", []) or "Exchange.ManageV2" in scopes


def _may_manage(claims: Mapping[str, Any]) -> bool:
    """Whether a token holds a permission for Exchange's administration, an application's or a user's."""
    scopes = str(claims.get("scp") or "").split()
    return "Exchange.ManageAsApp" in claims.get("roles", []) or not _MANAGES_EXCHANGE.isdisjoint(scopes)


def _exchange_refusal(refusal: InvalidToken, authority: str) -> TokenRefused:
    category = {"audience": "invalid_resource", "expired": "invalid_lifetime", "signature": "invalid_signature"}
    error = "" if refusal.kind == "missing" else ', error="invalid_token"'
    headers = {
        "WWW-Authenticate": 'Bearer client_id="00000002-0000-0ff1-ce00-000000000000", '
        'trusted_issuers="00000001-0000-0000-c000-000000000000@*", token_types="app_asserted_user_v1 '
        f'service_asserted_app_v1", authorization_uri="{authority}/common/oauth2/authorize"{error}',
        "x-ms-diagnostics": f'2000003;reason="{refusal.text}";'
        f'error_category="{category.get(refusal.kind, "invalid_token")}"',
    }
    return TokenRefused(401, headers, b"")
