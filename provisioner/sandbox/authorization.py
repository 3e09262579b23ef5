"""The authorization-code flow: what a client asks the browser of its user for, and the codes that come of it.

Checks and codes only; the pages are in entra_pages.py, the tokens in entra.py. Codes end with the process, and after
ten minutes.

Sources: Learn, "OAuth 2.0 authorization code flow" (parameters, PKCE, errors of the redirect, lifetime of a code);
"Redirect URI (reply URL) restrictions and limitations" (the port of localhost is ignored); RFC 7636; recorded refusals
(AzureAD/microsoft-authentication-library-for-js issues 5044 and 2694, AzureAD/microsoft-identity-web issue 2328).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from provisioner.sandbox.entra_refusals import EntraRefusal

NATIVE_CLIENT = "https://login.microsoftonline.com/common/oauth2/nativeclient"
_USUAL_REDIRECTS = ("http://localhost", NATIVE_CLIENT)  # of an application that names none: those of desktop programs
_LOOPBACK = frozenset({"localhost", "127.0.0.1"})  # that of IPv6 is not supported (Learn, "Redirect URI …")
_CODE_LIFETIME_S = 600


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a client asks for. `challenge` is PKCE's, "" without it."""

    client_id: str
    redirect_uri: str
    response_mode: str
    state: str
    scope: str
    nonce: str
    challenge: str
    method: str
    client_info: bool


def redirect_of(app: Mapping[str, Any], query: Mapping[str, str]) -> str:
    """Where the answer goes. Raises EntraRefusal where the application has no such redirect URI."""
    registered: Sequence[str] = app.get("redirectUris") or _USUAL_REDIRECTS
    asked = query.get("redirect_uri") or registered[0]
    if not any(_same_address(asked, own) for own in registered):
        raise EntraRefusal(50011, asked=asked, app=str(app["appId"]))
    return asked


def _same_address(asked: str, registered: str) -> bool:
    """Compared as written; of a loopback address the port does not count."""
    if asked == registered:
        return True
    try:
        theirs, own = urlsplit(asked), urlsplit(registered)
    except ValueError:
        return False
    loopback = own.hostname in _LOOPBACK and theirs.hostname == own.hostname and theirs.scheme == own.scheme
    return loopback and (theirs.path.rstrip("/"), theirs.query) == (own.path.rstrip("/"), own.query)


def asked_for(query: Mapping[str, str], redirect_uri: str, scope: str) -> Authorization:
    """The request of a client. Raises EntraRefusal."""
    kinds = query.get("response_type", "").split()
    if not kinds:
        raise EntraRefusal(900144, parameter="response_type")
    if kinds != ["code"]:
        raise EntraRefusal(700054, kind=next((kind for kind in kinds if kind != "code"), " ".join(kinds)))
    method = query.get("code_challenge_method") or "plain"
    if method not in {"plain", "S256"}:
        raise EntraRefusal(50149)
    return Authorization(
        client_id=query.get("client_id", "").lower(),
        redirect_uri=redirect_uri,
        response_mode=query.get("response_mode") or "query",
        state=query.get("state", ""),
        scope=scope,
        nonce=query.get("nonce", ""),
        challenge=query.get("code_challenge", ""),
        method=method,
        client_info=bool(query.get("client_info")),
    )


@dataclass(slots=True)
class _Issued:
    asked: Authorization
    user_id: str
    due: float
    redeemed: bool = False


class AuthorizationCodes:
    """Codes that a browser has brought to a client, or is about to."""

    def __init__(self) -> None:
        self._issued: dict[str, _Issued] = {}

    def give(self, asked: Authorization, user_id: str) -> str:
        """A code for the user who has signed in."""
        now = time.monotonic()
        self._issued = {code: entry for code, entry in self._issued.items() if entry.due > now - _CODE_LIFETIME_S}
        code = f"1.{secrets.token_urlsafe(96)}"
        self._issued[code] = _Issued(asked, user_id, now + _CODE_LIFETIME_S)
        return code

    def redeem(self, code: str, client_id: str, redirect_uri: str, verifier: str) -> tuple[Authorization, str]:
        """What the code stands for, and who signed in; a code serves once. Raises EntraRefusal."""
        entry = self._issued.get(code)
        if entry is None:
            raise EntraRefusal(9002313)
        if entry.asked.client_id != client_id.lower():
            raise EntraRefusal(70000, parameter="code")
        if entry.redeemed:
            raise EntraRefusal(54005)
        if entry.due <= time.monotonic():
            raise EntraRefusal(70008)
        if redirect_uri != entry.asked.redirect_uri:
            raise EntraRefusal(500112, given=redirect_uri, asked=entry.asked.redirect_uri)
        _check_verifier(entry.asked, verifier)
        entry.redeemed = True
        return entry.asked, entry.user_id


def _check_verifier(asked: Authorization, verifier: str) -> None:
    """PKCE: the one who redeems the code is the one who asked for it (RFC 7636, section 4.6)."""
    if not asked.challenge:
        return
    if not verifier:
        raise EntraRefusal(50148)
    shown = verifier.encode()
    if asked.method == "S256":
        shown = base64.urlsafe_b64encode(hashlib.sha256(shown).digest()).rstrip(b"=")
    if not hmac.compare_digest(shown, asked.challenge.encode()):
        raise EntraRefusal(501481)
