"""What an application proves itself with at the token endpoint: secret, certificate assertion, federated assertion.

A credential is really verified: secrets by hash and expiry, certificate assertions (RS256 with x5t, PS256 with
x5t#S256) and federated assertions by signature, audience, issuer, subject and times. Two clocks are at work: what a
*client* dates (assertions) is held against the machine's clock, what the *tenant* dates (secrets, certificates) against
the tenant's clock, which can be advanced.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from provisioner.sandbox.entra_refusals import EntraRefusal
from provisioner.sandbox.tls import base64url
from provisioner.sandbox.tokens import find_app

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Tenant

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_CLOCK_SKEW_S = 300


def authenticate(tenant: Tenant, form: Mapping[str, str], audiences: list[str]) -> tuple[dict[str, Any], str]:
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
