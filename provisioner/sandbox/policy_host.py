"""The policy hosts of MTA-STS (RFC 8461, 3.3): `https://mta-sts.DOMAIN/.well-known/mta-sts.txt` of accepted domains.

The file is the customer's own and no part of Exchange. A seed writes it (`settings.mta_sts_policies`, by domain; null
for a host without a file); otherwise it is what Microsoft shows (Learn, "Enhancing mail flow with MTA-STS"). A host has
an address where the zone of its domain has the record `_mta-sts`, and a certificate that is issued when a client names
it.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import trustme
from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.tenant import Tenant

PREFIX = "mta-sts."
_PATH = "/.well-known/mta-sts.txt"
_POLICY = "version: STSv1\r\nmode: enforce\r\nmx: *.mail.protection.outlook.com\r\nmax_age: 604800\r\n"


def policy_app(tenant: Tenant, faults: Faults) -> ASGIApp:
    """One application for the policy hosts of all domains: the Host header says which."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").partition(":")[0].lower()
        text = _policy(tenant, host.removeprefix(PREFIX)) if host.startswith(PREFIX) else None
        answer: Response = PlainTextResponse("Not Found", 404)
        if text is not None and scope["path"] == _PATH and scope["method"] in ("GET", "HEAD"):
            answer = PlainTextResponse(text)
        await answer(scope, receive, send)

    return faults.wrap(serve, "mta_sts")


def _policy(tenant: Tenant, domain: str) -> str | None:
    written = tenant.settings.get("mta_sts_policies") or {}
    if domain in written:
        return None if written[domain] is None else str(written[domain])
    accepted = {str(row.get("DomainName", "")).lower() for row in tenant.rows("AcceptedDomain")}
    return _POLICY if domain in accepted else None


def certify(context: ssl.SSLContext, ca: Path, key: Path) -> None:
    """Have a server's context show a certificate of its own to anyone who asks for a policy host by name."""
    known: dict[str, ssl.SSLContext] = {}

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is None or not name.startswith(PREFIX):
            return
        if name not in known:
            issued = trustme.CA.from_pem(ca.read_bytes(), key.read_bytes()).issue_cert(name)
            known[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            issued.configure_cert(known[name])
        connection.context = known[name]

    context.sni_callback = choose
