"""The service's host names, and the listener that answers to all of its web hosts at one port.

Programs with fixed host names are led here by a hosts file, by an option such as curl's `--connect-to`, or by the
proxy. Names: "Microsoft 365 URLs and IP address ranges" (rows 1, 10 and 56), "National clouds" of Microsoft Graph and
"Azure AD authentication endpoints", with their twins in the national clouds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

WEB: Mapping[str, str] = {
    "login.microsoftonline.com": "authority",
    "login.microsoft.com": "authority",
    "login.windows.net": "authority",
    "sts.windows.net": "authority",
    "login.microsoftonline.us": "authority",
    "login.partner.microsoftonline.cn": "authority",
    "login.chinacloudapi.cn": "authority",
    "graph.microsoft.com": "graph",
    "graph.microsoft.us": "graph",
    "dod-graph.microsoft.us": "graph",
    "microsoftgraph.chinacloudapi.cn": "graph",
    "outlook.office365.com": "exchange",
    "outlook.office.com": "exchange",
    "outlook.office365.us": "exchange",
    "outlook-dod.office365.us": "exchange",
    "partner.outlook.cn": "exchange",
}
"""The front behind each web host."""

SMTP: Mapping[str, str] = {
    "smtp.office365.com": "smtp_submission",
    "smtp-legacy.office365.com": "smtp_submission",
    "smtp.office365.us": "smtp_submission",
    "smtp.partner.outlook.cn": "smtp_submission",
    "smtp-legacy.partner.outlook.cn": "smtp_submission",
    "smtp.hve.mx.microsoft": "smtp_hve",
}
"""The front behind each submission host."""

MX_SUFFIXES = (".mail.protection.outlook.com", ".mail.protection.office365.us", ".mail.protection.partner.outlook.cn")
"""MX hosts are `<domain with hyphens>` below these."""

_MX_OF_DNSSEC = ".mx.microsoft"
"""Domains with inbound DANE have `<domain with hyphens>.<subdomain>.mx.microsoft` (Learn, "How SMTP DANE works")."""

_POLICY_PREFIX = "mta-sts."


def certificate_names(mx_hosts: Iterable[str]) -> tuple[str, ...]:
    """The names that the listeners' certificate has, beside loopback's."""
    other = (host for host in mx_hosts if host.endswith(_MX_OF_DNSSEC) and host.isascii())
    return (*WEB, *SMTP, *(f"*{suffix}" for suffix in MX_SUFFIXES), *other)


def front_of(host: str, port: int) -> str | None:
    """The front that stands in for a host of the service at a port; None for every other place."""
    host = host.lower().rstrip(".")
    if port == 443:
        return "https" if host in WEB or host.startswith(_POLICY_PREFIX) else None
    if port in (25, 587):
        known = SMTP.get(host)
        return known or ("smtp_mx" if port == 25 and host.endswith((*MX_SUFFIXES, _MX_OF_DNSSEC)) else None)
    return None


class ByHost:
    """One ASGI application for all web hosts: the Host header says which; of another name, the path."""

    def __init__(self, fronts: Mapping[str, ASGIApp]) -> None:
        self._fronts = fronts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1").partition(":")[0].lower()
        await self._fronts[self._front(host, str(scope.get("path", "")))](scope, receive, send)

    def _front(self, host: str, path: str) -> str:
        if host.startswith(_POLICY_PREFIX):
            return "mta_sts"
        first = path.lstrip("/").partition("/")[0].lower()
        return WEB.get(host) or {"adminapi": "exchange", "v1.0": "graph", "beta": "graph"}.get(first, "authority")
