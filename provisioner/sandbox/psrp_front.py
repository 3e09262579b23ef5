"""The management host over HTTP: who calls, and WS-Management requests for the shells of `psrp`."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING

from provisioner.sandbox import wsman
from provisioner.sandbox.faults import Faults, deed, whole_body
from provisioner.sandbox.psrp import Shells
from provisioner.sandbox.tenant import Tenant
from provisioner.sandbox.wsman import WsmanFault

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/wsman"


class PeerCertificates:
    """Certificates that TLS clients proved to hold, by the address they come from: ASGI does not hand them on."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], bytes] = {}

    def met(self, address: tuple[str, int], certificate: bytes | None) -> None:
        """A connection was made."""
        self._known.pop(address, None)
        if certificate:
            self._known[address] = certificate

    def of(self, scope: Scope) -> bytes | None:
        """The certificate behind a request."""
        client = scope.get("client")
        return self._known.get((client[0], client[1])) if client else None


class _Front:
    def __init__(self, tenant: Tenant, faults: Faults, peers: PeerCertificates) -> None:
        self._tenant, self._peers = tenant, peers
        self._shells = Shells(tenant, faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await whole_body(receive)
        if scope["path"].rstrip("/").lower() != PATH or scope["method"] != "POST":
            await _answer(send, 404, b"")
            return
        user = self._user(scope)
        if user is None:
            await _answer(send, 401, b"", (("www-authenticate", 'Basic realm="WSMAN"'),))
            return
        message_id = ""
        try:
            request = wsman.parse(body)
            message_id = request.message_id
            content, status = await self._shells.handle(request, user), 200
            scripted = deed(scope).get("soap")
            if scripted is not None:
                content, status = wsman.scripted(request, scripted), 500 if "Fault" in scripted else 200
        except WsmanFault as fault:
            fault.message_id = fault.message_id or message_id
            content, status = wsman.refused(fault), fault.status
        await _answer(send, status, content)

    def _user(self, scope: Scope) -> str | None:
        """Who calls: by a certificate that TLS has checked, else by name and password."""
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            return self._by_password(rest)
        certificate = self._peers.of(scope)
        return self._by_certificate(certificate) if certificate else None

    def _by_password(self, encoded: str) -> str | None:
        try:
            name, _, password = base64.b64decode(encoded).decode().partition(":")
        except ValueError:
            return None
        digest = hashlib.sha256(password.encode()).hexdigest()
        for app in self._tenant.apps:
            if str(app["displayName"]).lower() == name.rpartition("\\")[2].lower():
                good = [row for row in app["secrets"] if hmac.compare_digest(str(row["sha256"]), digest)]
                return str(app["displayName"]) if good else None
        return None

    def _by_certificate(self, der: bytes) -> str | None:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        for app in self._tenant.apps:
            for row in app["certificates"]:
                if x509.load_pem_x509_certificate(row["pem"].encode()).public_bytes(Encoding.DER) == der:
                    return str(app["displayName"])
        return None


def psrp_app(tenant: Tenant, faults: Faults, peers: PeerCertificates) -> ASGIApp:
    """The management host's WS-Management endpoint."""
    return faults.wrap(_Front(tenant, faults, peers), "wsman")


async def _answer(send: Send, status: int, content: bytes, more: Iterable[tuple[str, str]] = ()) -> None:
    headers = [("content-type", wsman.CONTENT_TYPE), ("content-length", str(len(content))), *more]
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})
