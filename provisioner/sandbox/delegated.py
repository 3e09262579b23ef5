"""Users who sign in through an application: with a password, with a device code, with a refresh token.

The access token says who signed in (`scp`, `upn`, the user's directory roles in `wids`); what an application may do for
a user are its delegated permissions: those of the row's `delegated`, or where it has none, what it asks for, as if an
administrator had consented. Which clients are public (no secret) is a property of the application, as in the service.

Sources: Learn, "OAuth 2.0 device authorization grant", "Resource Owner Password Credentials", "Refresh tokens".
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner.sandbox import passwords
from provisioner.sandbox.entra_refusals import EntraRefusal
from provisioner.sandbox.tenant import USERS, user_names
from provisioner.sandbox.tokens import EXCHANGE, GRAPH, RESOURCES

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Tenant

User = Mapping[str, Any]

_OPENID = frozenset({"openid", "profile", "email", "offline_access"})
_EXCHANGE_MODULE = ["AdminApi.AccessAsUser.All", "FfoPowerShell.AccessAsUser.All", "RemotePowerShell.AccessAsUser.All"]
# Applications of Microsoft's own that administrators' tools sign in with, in every tenant (Learn, "Verify first-party
# Microsoft applications in sign-in reports"): public clients. `delegated` None: what they ask for.
FIRST_PARTY: Mapping[str, Mapping[str, Any]] = {
    "fb78d390-0c51-40cd-8e17-fdbfab77341b": {
        "displayName": "Microsoft Exchange REST API Based Powershell",
        "delegated": {EXCHANGE: _EXCHANGE_MODULE},
    },
    "14d82eec-204b-4c2f-b7e8-296a70dab67e": {"displayName": "Microsoft Graph Command Line Tools"},
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46": {
        "displayName": "Microsoft Azure CLI",
        "delegated": {GRAPH: ["Directory.AccessAsUser.All", "Group.ReadWrite.All", "User.ReadWrite.All"]},
    },
    "1950a258-227b-4e31-a9cf-717495945fc2": {
        "displayName": "Microsoft Azure PowerShell",
        "delegated": {GRAPH: ["Directory.AccessAsUser.All", "Group.ReadWrite.All", "User.ReadWrite.All"]},
    },
}
DEVICE_LIFETIME_S = 900
DEVICE_INTERVAL_S = 5


def first_party(client_id: str) -> dict[str, Any] | None:
    """The application of Microsoft's own with this id, in the shape of the tenant's applications."""
    found = FIRST_PARTY.get(client_id.lower())
    return None if found is None else {"appId": client_id.lower(), "publicClient": True, "appRoles": {}, **found}


# --- who signs in ----------------------------------------------------------------------------------------------------


def user_of_password(tenant: Tenant, name: str, password: str) -> User:
    """The user of a name and a password. Raises EntraRefusal.

    Security defaults ask every user for a second factor, which this grant cannot give (Learn, "Resource Owner Password
    Credentials": users with multifactor authentication are blocked).
    """
    user = named_user(tenant, name)
    if not passwords.matches(password, _kept_password(tenant, user)):
        raise EntraRefusal(50126)
    if (tenant.graph.get("securityDefaults") or {}).get("isEnabled") is True:
        raise EntraRefusal(50079)
    return user


def user_at_page(tenant: Tenant, name: str, password: str) -> User:
    """The user who signs in on the page of device codes. One who has no password signs in by the name alone."""
    user = named_user(tenant, name)
    kept = _kept_password(tenant, user)
    if kept is not None and not passwords.matches(password, kept):
        raise EntraRefusal(50126)
    return user


def named_user(tenant: Tenant, name: str) -> User:
    """The user of a sign-in name who may sign in. Raises EntraRefusal."""
    user: User | None = next(iter(tenant.named(USERS, user_names, name)), None)
    if user is None or not name:
        raise EntraRefusal(50034, tenant=tenant.display_name)
    if user.get("accountEnabled") is False:
        raise EntraRefusal(50057)
    return user


def _kept_password(tenant: Tenant, user: User) -> object:
    kept = tenant.settings.get("passwords") or {}
    names = (str(user.get(column) or "").lower() for column in ("mail", "userPrincipalName"))
    return next((kept[name] for name in names if name in kept), None)


# --- what they consent to --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A scope parameter: the resource as written, permissions of it (".default" for what has consent), OpenID's.

    `named` says whether the permissions were written with their resource.
    """

    resource: str
    permissions: tuple[str, ...]
    openid: frozenset[str]
    named: bool = False

    def granted(self, permissions: Iterable[str]) -> str:
        """The scope of the answer, in the form in which the client asked: MSAL keeps and finds a token by it.

        Recorded: "openid profile User.Read email", and "https://management.core.windows.net//user_impersonation
        https://management.core.windows.net//.default"; offline_access is not in it.
        """
        default = [".default"] if ".default" in self.permissions else []
        prefix = f"{self.resource}/" if self.named else ""
        openid = sorted(self.openid - {"offline_access"})
        return " ".join([*(prefix + name for name in (*permissions, *default)), *openid])


def asked_for(tenant: Tenant, scope: str) -> Asked:
    """What a delegated scope asks for. Raises EntraRefusal.

    A permission without a resource is one of Graph (Learn, "Scopes and permissions"); all must be of one resource.
    """
    names = scope.split()
    openid = frozenset(name for name in names if name in _OPENID)
    found: dict[str, list[str]] = {}
    for name in names:
        if name not in _OPENID:
            resource, slash, permission = name.rpartition("/")
            found.setdefault(resource if slash else GRAPH, []).append(permission)
    if len(found) > 1:
        raise EntraRefusal(28000, scope=scope)
    if not found and not openid:
        raise EntraRefusal(900144, parameter="scope")
    resource, permissions = next(iter(found.items()), (GRAPH, ["User.Read"]))
    if resource.rstrip("/") not in RESOURCES:
        raise EntraRefusal(500011, resource=resource, tenant=tenant.display_name)
    return Asked(resource, tuple(permissions), openid, named="/" in scope)


def consented(app: Mapping[str, Any], asked: Asked) -> list[str]:
    """The delegated permissions of a token. Raises EntraRefusal where one asked for has no consent."""
    api = RESOURCES[asked.resource.rstrip("/")]
    given = app.get("delegated")
    if given is None:
        named = [name for name in asked.permissions if name != ".default"]
        return named or _same_names(app.get("appRoles", {}).get(api, ()), api)
    known = {str(name).lower(): str(name) for name in given.get(api, ())}
    if ".default" in asked.permissions and known:
        return list(known.values())
    lacking = [name for name in asked.permissions if name.lower() not in known]
    if lacking:
        raise EntraRefusal(65001, app=str(app["appId"]), name=str(app.get("displayName", "")))
    return [known[name.lower()] for name in asked.permissions]


def _same_names(app_roles: Collection[str], api: str) -> list[str]:
    """Delegated permissions by the names of an application's own: most exist in both kinds."""
    if api == EXCHANGE:
        return ["Exchange.Manage"]
    return list(dict.fromkeys(["User.Read", *app_roles]))


# --- device codes ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Started:
    client_id: str
    scope: str
    user_code: str
    due: float
    user_id: str | None = None


class DeviceCodes:
    """Sign-ins that wait until somebody enters their code. They end with the process, and after 15 minutes."""

    def __init__(self) -> None:
        self._started: dict[str, _Started] = {}

    def start(self, client_id: str, scope: str) -> tuple[str, str]:
        """A device code and the code for the user."""
        now = time.monotonic()
        self._started = {code: entry for code, entry in self._started.items() if entry.due > now - DEVICE_LIFETIME_S}
        device, user = secrets.token_urlsafe(48), "".join(secrets.choice("BCDFGHJKLMNPQRSTVWXYZ") for _ in range(9))
        self._started[device] = _Started(client_id.lower(), scope, user, now + DEVICE_LIFETIME_S)
        return device, user

    def approve(self, user_code: str, user: User) -> bool:
        """Sign a user in to the device that shows this code; whether one does."""
        wanted, now = user_code.strip().upper(), time.monotonic()
        for entry in self._started.values():
            if entry.user_code == wanted and entry.due > now:
                entry.user_id = str(user["id"])
                return True
        return False

    def redeem(self, device_code: str, client_id: str) -> tuple[str, str]:
        """The user who signed in and the scope asked for; a code serves once. Raises EntraRefusal."""
        entry = self._started.get(device_code)
        if entry is None or entry.client_id != client_id.lower():
            raise EntraRefusal(70000, parameter="device_code")
        if entry.due <= time.monotonic():
            raise EntraRefusal(70020)
        if entry.user_id is None:
            raise EntraRefusal(70016)
        del self._started[device_code]
        return entry.user_id, entry.scope

    def waiting(self) -> list[str]:
        """The user codes that nobody has entered."""
        return [e.user_code for e in self._started.values() if e.user_id is None and e.due > time.monotonic()]


def client_info(user: User, tenant_id: str) -> str:
    """What MSAL names an account by."""
    raw = json.dumps({"uid": str(user["id"]), "utid": tenant_id}).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
