"""Inbound SMTP DANE of a domain: Get-AcceptedDomain (SmtpDaneStatus) and Get-DnssecStatusForVerifiedDomain.

The latter tells `DnssecFeatureStatus` as a word or as an object with the word in `Value`, and the MX host in
`ExpectedMxRecord`, as `@ 60 IN MX 10 contoso-com.e-v1.mx.microsoft` (page of the cmdlet, example 2). Its own checks of
DNS are skipped: they take time, and DNS is asked from here. What Get-SmtpDaneInboundStatus returns is not published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from provisioner.model import Cmdlet, Row
from provisioner.model.clouds import SIGNED_MX_SUFFIX
from provisioner.resources.canonical import of_domain

DOMAINS = Cmdlet("Get-AcceptedDomain", columns=frozenset({"DomainName", "Name", "Guid", "SmtpDaneStatus"}))
_HOST = re.compile(rf"\bMX\s+\d+\s+([A-Za-z0-9.-]+{re.escape(SIGNED_MX_SUFFIX)})\.?\b", re.IGNORECASE)
_SWITCHES = {"enabled": True, "disabled": False}


def status(domain: str) -> Cmdlet:
    """The DNSSEC status of one accepted domain at Exchange."""
    skipped = {f"Skip{what}Validation": True for what in ("Dns", "MtaSts", "Mx")}
    columns = frozenset({"DnssecFeatureStatus", "ExpectedMxRecord"})
    return Cmdlet("Get-DnssecStatusForVerifiedDomain", {"DomainName": domain, **skipped}, columns)


def dane(rows: Sequence[Row], domain: str) -> bool | None:
    """Whether SMTP DANE is enabled for an accepted domain; None where the tenant has no such domain.

    Raises ValueError for a row that does not say, and for several rows of the domain.
    """
    row = of_domain(rows, domain, "DomainName", f"accepted domains {domain}")
    if row is None:
        return None
    return _switch(row.get("SmtpDaneStatus"), "Get-AcceptedDomain did not return SmtpDaneStatus")


def dnssec(rows: Sequence[Row]) -> tuple[bool, str]:
    """Whether DNSSEC is enabled at Exchange, and the MX host that it names; "" for none. Raises ValueError."""
    if len(rows) != 1:
        raise ValueError(f"Get-DnssecStatusForVerifiedDomain returned {len(rows)} rows")
    told = rows[0].get("DnssecFeatureStatus")
    value = told.get("Value") if isinstance(told, Mapping) else told
    enabled = _switch(value, "Get-DnssecStatusForVerifiedDomain did not return DnssecFeatureStatus")
    return enabled, mx_host(rows[0].get("ExpectedMxRecord"))


def mx_host(told: object) -> str:
    """The host below mx.microsoft in what Exchange shows as an MX record, in lower case; "" for none."""
    text = told.get("Record") if isinstance(told, Mapping) else told
    found = _HOST.search(str(text or ""))
    return found[1].lower() if found else ""


def _switch(value: object, why: str) -> bool:
    switch = _SWITCHES.get(str(value or "").lower())
    if switch is None:
        raise ValueError(why)
    return switch
