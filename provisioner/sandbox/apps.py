"""The sandbox's applications and what proves them: secret, certificate and federated token, as files for the client.

The tenant keeps only what the service would keep (hashes, public halves). The private halves lie in `apps/<appId>/` of
the state folder. An application that a seed or a dump brought gets credentials of this sandbox added to its own.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.sandbox.tls import SigningKey, ensure_rsa_certificate, write_private
from provisioner.sandbox.tokens import EXCHANGE, GRAPH

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Tenant

FEDERATED_AUDIENCE = "api://AzureADTokenExchange"
FEDERATED_ISSUER = "https://token.issuer.sandbox.invalid"
FEDERATED_LIFETIME_S = 3600

_APP_ROLES = {
    EXCHANGE: ["Exchange.ManageAsApp"],
    GRAPH: [
        "Organization.Read.All",
        "Domain.Read.All",
        "User.Read.All",
        "Policy.Read.All",
        "AuditLog.Read.All",
        "ExchangeMessageTrace.Read.All",
        "Application.Read.All",
    ],
}
_STANDARD: Mapping[str, list[str]] = {"app": ["Exchange Administrator"], "reader_app": ["Global Reader"]}


def ensure_standard_apps(tenant: Tenant) -> None:
    """Give the tenant the applications `app` (may write) and `reader_app` (may read) unless it has them by name.

    Raises ValueError where an application that a seed brought is not one.
    """
    names = {app.get("displayName") for app in tenant.apps}
    for name, directory_roles in _STANDARD.items():
        if name not in names:
            app_roles = {resource: list(roles) for resource, roles in _APP_ROLES.items()}
            tenant.apps.append({"displayName": name, "appRoles": app_roles, "directoryRoles": list(directory_roles)})
    for app in tenant.apps:
        if not isinstance(app, dict):
            raise ValueError("each application must be a mapping")
        app.setdefault("appId", str(uuid.uuid4()))
        app.setdefault("objectId", str(uuid.uuid4()))
        app.setdefault("displayName", app["appId"])
        app.setdefault("appRoles", {})
        for name in ("secrets", "certificates", "federated", "directoryRoles"):
            app.setdefault(name, [])
        app.setdefault("exchangeRoles", None)
        _check(app)


def _check(app: Mapping[str, Any]) -> None:
    """Raise ValueError unless the application has the shapes that the token endpoint relies on.

    Ids must be GUIDs, as the service's are; the appId also names a folder.
    """
    for name in ("appId", "objectId"):
        try:
            uuid.UUID(app[name])
        except (ValueError, AttributeError):
            raise ValueError(f"an application's {name} {app[name]!r} is not a GUID") from None
    shapes = {"secrets": {"sha256"}, "certificates": {"pem"}, "federated": {"issuer", "subject", "audience", "jwks"}}
    for name, columns in shapes.items():
        rows = app[name]
        if not isinstance(rows, list) or not all(isinstance(row, dict) and columns <= set(row) for row in rows):
            raise ValueError(
                f"{name} of application {app['displayName']!r} must be rows with {', '.join(sorted(columns))}"
            )
    if not isinstance(app["appRoles"], dict) or not isinstance(app["directoryRoles"], list):
        raise ValueError(
            f"appRoles or directoryRoles of application {app['displayName']!r} are not a mapping and a list"
        )


class AppCredentials:
    """Files that prove one application, and the matching public facts in the tenant."""

    def __init__(self, app: dict[str, Any], folder: Path, issuer: SigningKey) -> None:
        self._app, self._issuer = app, issuer
        # By appId and not by name: a display name is free text and no file name.
        self._folder = folder / str(app["appId"])

    def ensure(self) -> dict[str, str]:
        """Make what is missing; return the entry for endpoints.json: ids and absolute paths."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._ensure_secret()
        self._ensure_certificate()
        self._ensure_federated()
        self.renew_federated_token()
        return {
            "client_id": str(self._app["appId"]),
            "object_id": str(self._app["objectId"]),
            "secret_file": str(self._folder / "secret"),
            "certificate_file": str(self._folder / "certificate.pem"),
            "federated_token_file": str(self._folder / "federated-token"),
        }

    def renew_federated_token(self) -> None:
        """Write a fresh assertion, as a workload's host does before the old one expires (machine's clock)."""
        now = int(time.time())
        claims = {
            "iss": FEDERATED_ISSUER,
            "sub": self._subject(),
            "aud": FEDERATED_AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + FEDERATED_LIFETIME_S,
            "jti": str(uuid.uuid4()),
        }
        write_private(self._folder / "federated-token", self._issuer.sign(claims).encode())

    def _subject(self) -> str:
        return f"system:serviceaccount:sandbox:{self._app['appId']}"

    def _ensure_secret(self) -> None:
        path = self._folder / "secret"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(30).encode())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if all(row["sha256"] != digest for row in self._app["secrets"]):
            self._app["secrets"].append({"sha256": digest, "notAfter": "2099-12-31T00:00:00Z"})

    def _ensure_certificate(self) -> None:
        pem = ensure_rsa_certificate(self._folder / "certificate.pem", str(self._app["displayName"]))
        if all(row["pem"].strip() != pem.strip() for row in self._app["certificates"]):
            self._app["certificates"].append({"pem": pem})

    def _ensure_federated(self) -> None:
        jwks = {"keys": [self._issuer.jwk()]}
        row = {"issuer": FEDERATED_ISSUER, "subject": self._subject(), "audience": FEDERATED_AUDIENCE, "jwks": jwks}
        if row not in self._app["federated"]:
            self._app["federated"].append(row)
