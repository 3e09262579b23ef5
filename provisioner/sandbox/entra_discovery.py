"""What the sign-in service says about itself: OpenID configuration, cloud instances, keys, and the realm of a user.

Every address in it stays inside of the sandbox: at the host by which the client asked. A client that came by a name of
the service (a host name that was pointed here) is told the service's names, which lead here too.

Sources: the published documents of https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration and
of its v1 twin; https://login.microsoftonline.com/common/discovery/instance; user realm as MSAL reads it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from provisioner.sandbox.entra_refusals import EntraRefusal
from provisioner.sandbox.tls import SigningKey
from provisioner.sandbox.tokens import is_tenant

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Tenant

MANY_TENANTS = frozenset({"common", "organizations"})
"""Names in a path that stand for whichever tenant a client is of: here there is one."""

_PUBLIC = ("login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net")
_CLOUDS = (
    {"preferred_network": _PUBLIC[0], "preferred_cache": _PUBLIC[1], "aliases": list(_PUBLIC)},
    {
        "preferred_network": "login.partner.microsoftonline.cn",
        "preferred_cache": "login.partner.microsoftonline.cn",
        "aliases": ["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    },
    {
        "preferred_network": "login.microsoftonline.us",
        "preferred_cache": "login.microsoftonline.us",
        "aliases": ["login.microsoftonline.us", "login.usgovcloudapi.net"],
    },
)
_SERVICE_HOSTS = frozenset(name for cloud in _CLOUDS for name in cloud["aliases"])
_GRAPH_OF = {
    "login.microsoftonline.us": "graph.microsoft.us",
    "login.chinacloudapi.cn": "microsoftgraph.chinacloudapi.cn",
}


def base_of(request: Request) -> str:
    """The authority as the client named it."""
    return f"{request.url.scheme}://{request.url.netloc}"


def known_tenant(tenant: Tenant, name: str) -> bool:
    """Whether a path that names `name` is about this tenant."""
    return name.lower() in MANY_TENANTS or is_tenant(tenant, name)


class Discovery:
    """The documents by which clients find their way. `addresses` are those of the fronts, once they listen."""

    def __init__(self, tenant: Tenant, key: SigningKey, addresses: Mapping[str, str]) -> None:
        self._tenant, self._key, self._addresses = tenant, key, addresses

    def routes(self) -> list[Route]:
        """The routes of every document, in lower case."""
        return [
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self._openid_v2),
            Route("/{tenant}/.well-known/openid-configuration", self._openid_v1),
            Route("/{tenant}/discovery/instance", self._instances),
            Route("/{tenant}/discovery/v2.0/keys", self._keys),
            Route("/{tenant}/discovery/keys", self._keys),
            Route("/{tenant}/userrealm/{user}", self._realm),
            Route("/{tenant}/userrealm", self._realm_v2),
            Route("/getuserrealm.srf", self._realm_srf),
        ]

    async def _openid_v2(self, request: Request) -> Response:
        return self._openid(request, "/v2.0")

    async def _openid_v1(self, request: Request) -> Response:
        return self._openid(request, "")

    def _openid(self, request: Request, version: str) -> Response:
        """The configuration of one version: they differ in their paths, and in the issuer of the tokens."""
        name = request.path_params["tenant"]
        if not known_tenant(self._tenant, name):
            refusal = EntraRefusal(90002, tenant=name)
            return refusal.response(self._tenant.clock.now(), str(uuid.uuid4()))
        shared = name.lower() in MANY_TENANTS
        authority = base_of(request)
        base = f"{authority}/{name.lower() if shared else self._tenant.tenant_id}"
        issued = "{tenantid}" if shared else self._tenant.tenant_id
        graph = self._graph_host(request)
        document = {
            "token_endpoint": f"{base}/oauth2{version}/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{base}/discovery{version}/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"] if version else ["openid"],
            "issuer": f"{authority}/{issued}/v2.0" if version else f"https://sts.windows.net/{issued}/",
            "request_uri_parameter_supported": False,
            "userinfo_endpoint": f"https://{graph}/oidc/userinfo" if version else f"{base}/openid/userinfo",
            "authorization_endpoint": f"{base}/oauth2{version}/authorize",
            "device_authorization_endpoint": f"{base}/oauth2{version}/devicecode",
            "http_logout_supported": True,
            "frontchannel_logout_supported": True,
            "end_session_endpoint": f"{base}/oauth2{version}/logout",
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "preferred_username", "name", "tid", "ver"],
            "tenant_region_scope": None if shared else "EU",
            "cloud_instance_name": _PUBLIC[0].partition(".")[2],
            "cloud_graph_host_name": graph,
            "msgraph_host": graph,
        }
        return JSONResponse(document)

    def _graph_host(self, request: Request) -> str:
        host = str(request.url.hostname).lower()
        if host in _SERVICE_HOSTS:
            return _GRAPH_OF.get(host, "graph.microsoft.com")
        return urlsplit(self._addresses.get("graph", "")).netloc or request.url.netloc

    async def _instances(self, request: Request) -> Response:
        """Which hosts are one authority. To a client that came by an address of the sandbox, that address alone."""
        host = request.url.netloc
        alone = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        metadata = list(_CLOUDS) if str(request.url.hostname).lower() in _SERVICE_HOSTS else [alone]
        endpoint = f"{base_of(request)}/{self._tenant.tenant_id}/v2.0/.well-known/openid-configuration"
        return JSONResponse({"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": metadata})

    async def _keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self._key.jwk()]})

    async def _realm(self, request: Request) -> Response:
        """Version 1.0, which MSAL asks before it signs in with a password: federated users would go elsewhere."""
        row, domain = self._domain_of(request.path_params["user"])
        body = {"ver": "1.0", "account_type": _kind(row), "domain_name": domain}
        if row is None:
            del body["domain_name"]
        clouds = {"cloud_instance_name": "microsoftonline.com", "cloud_audience_urn": "urn:federation:MicrosoftOnline"}
        return JSONResponse(body | clouds)

    async def _realm_v2(self, request: Request) -> Response:
        """Version 2.1, which PowerShell modules and CIPP ask."""
        login = request.query_params.get("user", "")
        row, domain = self._domain_of(login)
        body = {"NameSpaceType": _kind(row), "Login": login, "DomainName": domain}
        return JSONResponse({**body, "FederationBrandName": self._tenant.display_name, **_CLOUD})

    async def _realm_srf(self, request: Request) -> Response:
        login = request.query_params.get("login", "")
        row, domain = self._domain_of(login)
        if row is None:
            return JSONResponse({"State": 4, "UserState": 1, "Login": login, "NameSpaceType": "Unknown"})
        body = {"State": 4, "UserState": 1, "Login": login, "NameSpaceType": _kind(row), "DomainName": domain}
        return JSONResponse({**body, "FederationBrandName": self._tenant.display_name, **_CLOUD})

    def _domain_of(self, login: str) -> tuple[Mapping[str, Any] | None, str]:
        """The tenant's domain of a sign-in name (or a domain alone), and its name."""
        name = login.rpartition("@")[2].lower()
        rows = self._tenant.graph.get("domains") or ()
        found = next((row for row in rows if str(row.get("id")).lower() == name and row.get("isVerified")), None)
        return found, name


_CLOUD = {"CloudInstanceName": "microsoftonline.com", "CloudInstanceIssuerUri": "urn:federation:MicrosoftOnline"}


def _kind(domain: Mapping[str, Any] | None) -> str:
    return "Unknown" if domain is None else str(domain.get("authenticationType") or "Managed")
