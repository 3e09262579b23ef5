"""The public DNS around a tenant: what Microsoft publishes, and what an accepted domain has where no seed says it.

Names of the service are computed at each query and are not state: everybody can ask for them, whatever the seed. The
zones of accepted domains are the customer's, so that they are state (`tenant.dns`), can be changed, and stand in dumps.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.sandbox.clock import stored_time
from provisioner.sandbox.spelling import folded

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Row, Tenant

Records = Mapping[str, Mapping[str, list[str]]]


@dataclass(frozen=True, slots=True)
class _Service:
    """One cloud's names. `tenants` is the suffix of initial domains in it, `spf` what its include answers."""

    tenants: str
    include: str
    spf: str
    mx: str
    submission: tuple[str, ...]
    autodiscover: str


# The names: "External Domain Name System records for Microsoft 365" and its twin for the national clouds (Learn).
# The networks: "Microsoft 365 URLs and IP address ranges", row 10, for the include as published in 2024; GCC High and
# DoD: the government's page, row 6; China: two networks of 21Vianet's page, not the whole record.
_SERVICES = (
    _Service(
        ".onmicrosoft.com",
        "spf.protection.outlook.com",
        "v=spf1 ip4:40.92.0.0/15 ip4:40.107.0.0/16 ip4:52.100.0.0/15 ip4:52.102.0.0/16 ip4:52.103.0.0/17 "
        "ip4:104.47.0.0/17 ip6:2a01:111:f400::/48 ip6:2a01:111:f403::/49 ip6:2a01:111:f403:8000::/51 "
        "ip6:2a01:111:f403:c000::/51 ip6:2a01:111:f403:f000::/52 -all",
        "mail.protection.outlook.com",
        ("smtp.office365.com", "smtp-legacy.office365.com", "smtp.hve.mx.microsoft", "outlook.office365.com"),
        "autodiscover.outlook.com",
    ),
    _Service(
        ".onmicrosoft.us",
        "spf.protection.office365.us",
        "v=spf1 ip4:23.103.191.0/24 ip4:23.103.199.128/25 ip4:23.103.208.0/22 ip4:52.227.182.149 ip4:52.238.74.212 "
        "ip4:52.244.65.13 ip4:62.10.128.0/20 ip6:2001:489a:2202:4::/62 ip6:2001:489a:2202:c::/62 "
        "ip6:2001:489a:2202:2000::/63 ip6:2001:489a:2202:8000::/50 -all",
        "mail.protection.office365.us",
        ("smtp.office365.us", "outlook.office365.us"),
        "autodiscover.office365.us",
    ),
    _Service(
        ".partner.onmschina.cn",
        "spf.protection.partner.outlook.cn",
        "v=spf1 ip4:42.159.36.0/24 ip4:42.159.164.0/24 -all",
        "mail.protection.partner.outlook.cn",
        ("smtp.partner.outlook.cn", "smtp-legacy.partner.outlook.cn", "partner.outlook.cn"),
        "autodiscover.partner.outlook.cn",
    ),
)
# Hosts of the service lead to this machine, where the sandbox listens: a test must not reach the real service.
_HERE = {"A": ["127.0.0.1"]}


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What Microsoft asks the owner of a domain to publish: an MX host, an SPF record, a CNAME target."""

    mx: str
    spf: str
    autodiscover: str


def asked_for(initial_domain: str, domain: str) -> AskedFor:
    """The names of the tenant's cloud for a domain. An initial domain's MX host goes by its first label alone."""
    service = next((s for s in _SERVICES if initial_domain.endswith(s.tenants)), _SERVICES[0])
    label = domain.removesuffix(service.tenants) if of_the_service(domain) else domain
    spf = f"v=spf1 include:{service.include} -all"
    return AskedFor(f"{label.replace('.', '-')}.{service.mx}", spf, service.autodiscover)


def names(tenant: Tenant) -> Records:
    """Everything that can be asked for: the tenant's own records, and below them the service's names."""
    return ChainMap(tenant.dns, _published(tenant))


def default_zone(tenant: Tenant, domain: str) -> dict[str, dict[str, list[str]]]:
    """The records of an accepted domain that is set up: what Graph asks for, DMARC, DKIM's CNAMEs where it signs.

    Microsoft asks for MX, SPF and autodiscover (Graph, serviceConfigurationRecords) and advises DMARC with a policy
    (defender-docs, email-authentication-dmarc-configure). `quarantine`, because `reject` would close direct send.
    The CNAMEs of DKIM are there where Exchange signs: an administrator publishes them before.
    """
    asked = asked_for(tenant.initial_domain, domain)
    host = next(iter(_named_by_graph(tenant).get(domain, ())), asked.mx)
    zone = {
        domain: {"MX": [f"0 {host}"], "TXT": [asked.spf]},
        f"_dmarc.{domain}": {"TXT": [f"v=DMARC1; p=quarantine; rua=mailto:dmarc@{domain}"]},
        f"autodiscover.{domain}": {"CNAME": [asked.autodiscover]},
    }
    for row in tenant.rows("DkimSigningConfig"):
        if folded(str(row.get("Domain", ""))) == domain and row.get("Enabled") and row.get("Status") == "Valid":
            for number in (1, 2):
                zone[f"selector{number}._domainkey.{domain}"] = {"CNAME": [str(row[f"Selector{number}CNAME"])]}
    return zone


def of_the_service(domain: str) -> bool:
    """Whether the domain is one that Microsoft gives to a tenant, and publishes itself."""
    return domain.endswith(tuple(service.tenants for service in _SERVICES))


def mx_hosts(tenant: Tenant) -> list[str]:
    """The MX hosts of the tenant's accepted domains, classic ones and those that Graph names."""
    named = _named_by_graph(tenant)
    found: dict[str, None] = {}
    for row in tenant.rows("AcceptedDomain"):
        domain = folded(str(row.get("DomainName", "")))
        found |= dict.fromkeys((asked_for(tenant.initial_domain, domain).mx, *named.get(domain, ())))
    return list(found)


def _published(tenant: Tenant) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for service in _SERVICES:
        found[service.include] = {"TXT": [service.spf]}
        found |= dict.fromkeys((*service.submission, service.autodiscover), _HERE)
    hosts = _named_by_graph(tenant)
    for row in tenant.rows("AcceptedDomain"):
        domain = folded(str(row.get("DomainName", "")))
        asked = asked_for(tenant.initial_domain, domain)
        if of_the_service(domain):
            found[domain] = {"MX": [f"0 {asked.mx}"], "TXT": [asked.spf]}
        found |= dict.fromkeys((asked.mx, *hosts.get(domain, ())), _HERE)
        if f"_mta-sts.{domain}" in tenant.dns:
            found[f"mta-sts.{domain}"] = _HERE
    for row in tenant.rows("InboundDane"):
        found |= _of_dane(tenant, row)
    return found


_TLSA_AFTER = dt.timedelta(minutes=15)  # "15-30 minutes" (Learn, "How SMTP DANE works")


def _of_dane(tenant: Tenant, row: Row) -> dict[str, dict[str, list[str]]]:
    """The host below mx.microsoft of a domain, its host before, and the TLSA records while DANE is enabled."""
    host, legacy = str(row["Host"]).lower(), str(row.get("Legacy") or "").lower()
    found = dict.fromkeys(filter(None, (host, legacy)), _HERE)
    domain = folded(str(row["Identity"]))
    accepted = (r for r in tenant.rows("AcceptedDomain") if folded(str(r.get("DomainName", ""))) == domain)
    since = stored_time(row.get("Since"))
    enabled = any(r.get("SmtpDaneStatus") == "Enabled" for r in accepted)
    if enabled and since is not None and tenant.clock.now() >= since + _TLSA_AFTER:
        digest = hashlib.sha256(host.encode()).hexdigest()
        found[f"_25._tcp.{host}"] = {"TLSA": [f"3 1 1 {digest}"]}
    return found


def is_signed(tenant: Tenant, name: str) -> bool:
    """Whether a resolver that validates can prove a name: in the zones of `settings.dnssec`, and in mx.microsoft."""
    zones = (*(tenant.settings.get("dnssec") or ()), "mx.microsoft")
    return any(name == zone or name.endswith(f".{zone}") for zone in zones)


def _named_by_graph(tenant: Tenant) -> dict[str, list[str]]:
    """By domain, the MX hosts that Graph names: newer domains have others than the classic one."""
    return {
        folded(str(row.get("id", ""))): [
            str(record["mailExchange"]).lower().rstrip(".")
            for record in row.get("serviceConfigurationRecords") or ()
            if record.get("mailExchange")
        ]
        for row in tenant.graph.get("domains") or ()
    }
