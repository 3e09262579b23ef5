"""Signing in: azure-identity's credentials, made once and shared, and their errors in our words.

Secrets are references until this room needs them. Retries of the SDK are off: `tenant/retry.py` owns them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.border import read_ordinary
from provisioner.diagnostics import Diagnostic, InputError, SignInRefused, TenantError, Throttled, Unavailable
from provisioner.tenant.network import Network, sign_in_transport, untrusted
from provisioner.tenant.retry import retry_after_s

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential

    from provisioner.settings import Profile

_CODE = re.compile(r"AADSTS\d{5,7}")

# Microsoft Entra authentication and authorization error codes (learn.microsoft.com, reference-error-codes).
_HINTS = {
    "AADSTS7000215": "the client secret is wrong: use its value, not its id",
    "AADSTS7000222": "the client secret has expired: make a new one for the app registration",
    "AADSTS700016": "the tenant has no app with this client id: check client_id and tenant",
    "AADSTS90002": "there is no such tenant: check tenant",
    "AADSTS900023": "this is not a tenant: write its initial domain or its id",
    "AADSTS700027": "the certificate is not one of the app's: upload its public part to the app registration",
    "AADSTS70021": "no federated credential of the app fits this token: check issuer, subject and audience",
    "AADSTS700211": "no federated credential of the app fits the token's issuer",
    "AADSTS700212": "no federated credential of the app fits the token's audience",
    "AADSTS700213": "no federated credential of the app fits the token's subject: branch, environment or repository",
    "AADSTS70025": "the app has no federated credential",
    "AADSTS700024": "the client assertion is out of its time: check the clock, or get a fresh token",
    "AADSTS53003": "Conditional Access blocks this sign-in: the policy must leave the app out",
    "AADSTS500011": "the tenant does not know the service asked for: check the cloud",
    "AADSTS65001": "consent is missing: an administrator must grant it to the app",
}


_LARGEST_BYTES = 1 << 20
"""Of a secret, a certificate or a token."""


def secret_value(reference: str) -> str:
    """The secret behind `env:NAME` or `file:PATH`. Raises InputError when it is not there; the value is never told."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name)
        if value is None:
            raise _missing(f"the environment variable {name}, which should hold a secret, is not set")
    else:
        try:
            content = read_ordinary(Path(name), _LARGEST_BYTES + 1)
            if len(content) > _LARGEST_BYTES:
                raise OSError(0, f"it is larger than {_LARGEST_BYTES >> 20} MiB")
            value = content.decode("utf-8")
        except (OSError, ValueError) as error:
            why = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
            raise _missing(f"the file {name}, which should hold a secret, cannot be read{why}") from error
    value = value.strip("\r\n")
    if not value:
        raise _missing(f"{reference} holds no secret: it is empty")
    return value


class Tokens:
    """Access tokens for one profile. Close it when done."""

    def __init__(self, credential: AsyncTokenCredential, timeout_s: float = 960.0) -> None:
        self.credential, self._timeout_s = credential, timeout_s

    async def token(self, scope: str, claims: str | None = None) -> str:
        """A token for `<resource>/.default`; with `claims` (a challenge) a fresh one. Raises SignInRefused …"""
        from azure.core.exceptions import AzureError

        try:
            async with asyncio.timeout(self._timeout_s):
                token: AccessToken = await self.credential.get_token(scope, claims=claims)
        except TimeoutError as error:
            raise Unavailable(f"no answer of the sign-in service within {self._timeout_s:.0f} s", "sign-in") from error
        except (AzureError, ValueError) as error:
            raise sign_in_error(error) from error
        return token.token

    async def close(self) -> None:
        await self.credential.close()


def make_credential(profile: Profile, authority: str, own_authority: bool, network: Network) -> AsyncTokenCredential:
    """The azure-identity credential that a profile asks for. Raises InputError when a part of it is missing.

    `own_authority`: not one of Microsoft's clouds, so that azure-identity must not look it up there. A managed identity
    is asked of the machine itself, and the default chain holds one: neither goes through a proxy of the profile's.
    """
    from azure.identity import aio

    asked = profile.credential
    common: dict[str, Any] = {"authority": authority, "retry_total": 0}
    if own_authority:
        common["disable_instance_discovery"] = True
    if asked.kind in {"client_secret", "certificate", "workload_identity"}:
        common["transport"] = sign_in_transport(network, authority)
    elif profile.ca:
        common["connection_verify"] = str(profile.ca)
    tenant = profile.tenant
    try:
        match asked.kind:
            case "client_secret":
                secret = secret_value(_given(asked.secret, "secret", asked.kind))
                client = _given(asked.client_id, "client_id", asked.kind)
                return aio.ClientSecretCredential(_given(tenant, "tenant", asked.kind), client, secret, **common)
            case "certificate":
                common["certificate_data"] = read_ordinary(
                    Path(_given(asked.certificate, "certificate", asked.kind)), _LARGEST_BYTES
                )
                client = _given(asked.client_id, "client_id", asked.kind)
                if asked.password:
                    common["password"] = secret_value(asked.password)
                return aio.CertificateCredential(_given(tenant, "tenant", asked.kind), client, **common)
            case "workload_identity":
                if asked.token_file:
                    read_ordinary(asked.token_file, 1)  # a pipe would be waited for in the middle of the run
                names = {"tenant_id": tenant, "client_id": asked.client_id, "token_file_path": asked.token_file}
                return aio.WorkloadIdentityCredential(**{k: str(v) for k, v in names.items() if v}, **common)
            case "managed_identity":
                rest = {k: v for k, v in common.items() if k not in {"authority", "disable_instance_discovery"}}
                return aio.ManagedIdentityCredential(client_id=asked.client_id, **rest)
            case _:
                rest = {k: v for k, v in common.items() if k != "disable_instance_discovery"}
                return aio.DefaultAzureCredential(**rest)
    except (ValueError, OSError) as error:
        what = f"the credential of kind {asked.kind} cannot be used: {_redacted(str(error))}"
        raise InputError([Diagnostic("SETTINGS-CREDENTIAL", what, "check the profile's credential")]) from error


def sign_in_error(error: Exception) -> TenantError:
    """An error of azure-identity as ours. Its text is kept to the AADSTS line: bodies may repeat what was sent."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError

    text = str(error)
    code = _CODE.search(text)
    if code:
        line = text[code.start() :].splitlines()[0].partition(" Trace ID")[0].partition("Trace ID")[0].strip()
        return SignInRefused(
            line.rstrip("\\"), "sign-in", hint=_HINTS.get(code.group(), "check the profile's credential")
        )
    if isinstance(error, HttpResponseError) and not isinstance(error, ClientAuthenticationError) and error.response:
        status = error.response.status_code
        asked = retry_after_s({str(k).lower(): str(v) for k, v in getattr(error.response, "headers", {}).items()})
        if status == 429:
            return Throttled("the sign-in service asks to wait", "sign-in", status=status, retry_after_s=asked)
        if status and status >= 500:
            what = "the sign-in service does not answer properly"
            return Unavailable(what, "sign-in", status=status, retry_after_s=asked)
    if isinstance(error, ServiceRequestError):
        if isinstance(error.inner_exception, ssl.SSLError) or "CERTIFICATE_VERIFY_FAILED" in text:
            return untrusted("the sign-in service", "sign-in")
        return Unavailable(f"the sign-in service cannot be reached: {_redacted(text)}", "sign-in")
    first = _redacted(text.splitlines()[0]) if text else type(error).__name__
    return SignInRefused(f"no token was issued: {first}", "sign-in", hint="check the profile's credential")


def claims_of(token: str) -> dict[str, Any]:
    """The claims of an access token, unverified: only to learn whose tenant it is for. {} when it is opaque."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _given(value: Any, name: str, kind: str) -> Any:
    if value is None:
        field = name if name == "tenant" else f"credential.{name}"
        raise _missing(f"a credential of kind {kind} needs {field}", f"write {field} in the profile")
    return value


def _missing(what: str, hint: str = "set it, or name another in the profile") -> InputError:
    return InputError([Diagnostic("SETTINGS-SECRET-MISSING", what, hint)])


def _redacted(text: str) -> str:
    """A message without what looks like a token or an assertion in it."""
    return re.sub(r"[A-Za-z0-9_\-+/=.~]{40,}", "…", text)[:300]
