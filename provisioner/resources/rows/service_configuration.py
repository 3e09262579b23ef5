"""Graph `/domains/{id}/serviceConfigurationRecords`: the DNS records that Microsoft wants for a domain.

Its MX record names the endpoint that takes mail for the domain, also where the published MX is that of a filter in
front of Exchange; since domains get names under mx.microsoft it cannot be computed (message center MC1048624). The
permission is Domain.Read.All.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from provisioner.model import GraphRequest, Row


def request(domain: str) -> GraphRequest:
    """The records of one domain."""
    return GraphRequest("GET", f"/domains/{quote(domain, safe='')}/serviceConfigurationRecords")


def mail_host(rows: Iterable[Row]) -> str:
    """The endpoint that takes mail for the domain, in lower case without a dot at its end; "" where none is named."""
    hosts = (row.get("mailExchange") for row in rows if str(row.get("recordType", "")).lower() == "mx")
    return next((host.rstrip(".").lower() for host in hosts if isinstance(host, str) and host), "")
