"""Inbound SMTP DANE with DNSSEC: an MX host of its own below mx.microsoft for a domain, and its TLSA records.

Sources: Learn, "How SMTP DANE works", part "Set up inbound SMTP DANE with DNSSEC" (the order, priority 0 or 10, the
answer Result, DnssecMxValue, ErrorData; TLSA records after 15 to 30 minutes); the pages of the cmdlets
(Get-DnssecStatusForVerifiedDomain, example 2); a script of exchangeBlackSmith/myPS (EX003 for another priority). The
label in front of `mx.microsoft` follows no known rule. The old host goes on taking mail; the new one is gone after
Disable-DnssecForVerifiedDomain. Refusals are documented as conditions, not in words: the sentences are ours.
"""

from __future__ import annotations

import hashlib
import string as letters
from typing import Any

from provisioner.sandbox.clock import wire_time
from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.accepted_domain import NOUN as ACCEPTED
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, find, new_row
from provisioner.sandbox.cmdlets.parameters import string, switch
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.public_dns import of_the_service
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Row, Tenant

NOUN = Noun("InboundDane", {"Host": "", "Legacy": "", "Since": ""}, key="Identity")
"""A row for each domain that has such a host: the name of the noun is ours. `Since` is when DANE was enabled."""

_PRIORITIES = (0, 10)


def _domain(call: Call) -> tuple[str, Row]:
    """The accepted domain that a call names, and its row. Raises CmdletError."""
    row = find(call.tenant, ACCEPTED, str(call.get("DomainName")))
    return folded(str(row["DomainName"])), row


def _kept(tenant: Tenant, domain: str) -> Row | None:
    return next((row for row in tenant.rows(NOUN.name) if str(row["Identity"]).lower() == domain), None)


def _host(tenant: Tenant, domain: str) -> str:
    """The host of a domain: the same every time."""
    letter = letters.ascii_lowercase[hashlib.sha256(f"{tenant.tenant_id}/{domain}".encode()).digest()[0] % 26]
    return f"{domain.replace('.', '-')}.{letter}-v1.mx.microsoft"


def _mx(tenant: Tenant, domain: str) -> list[tuple[int, str]]:
    """What the domain's MX records say."""
    found = []
    for text in tenant.dns.get(domain, {}).get("MX", []):
        preference, _, host = text.partition(" ")
        found.append((int(preference), host.strip().lower().rstrip(".")))
    return found


def _enable(call: Call) -> Rows:
    domain, _ = _domain(call)
    if of_the_service(domain):
        raise errors.invalid(f"DNSSEC can't be enabled for the domain '{domain}'.")
    row = _kept(call.tenant, domain)
    host = str(row["Host"]) if row else _host(call.tenant, domain)
    if row is None and not call.dry:
        legacy = _graph_mx(call.tenant, domain, host)
        given = {"Name": domain, "Identity": domain, "Host": host, "Legacy": legacy}
        call.add(NOUN.name, new_row(call.tenant, NOUN, given))
    return [{"Result": "Success", "DnssecMxValue": host, "ErrorData": ""}]


def _disable(call: Call) -> Rows:
    domain, accepted = _domain(call)
    if accepted.get("SmtpDaneStatus") == "Enabled":
        raise errors.invalid(f"SMTP DANE is enabled for the domain '{domain}'. Disable it before DNSSEC.")
    row = _kept(call.tenant, domain)
    if row is not None and not call.dry:
        _graph_mx(call.tenant, domain, str(row["Legacy"]))
        call.remove(NOUN.name, row)
    return [{"Result": "Success", "ErrorData": ""}]


def _graph_mx(tenant: Tenant, domain: str, host: str) -> str:
    """Let Graph name this host for the domain's mail, and return the one that it named before."""
    for row in tenant.graph.get("domains") or ():
        if folded(str(row.get("id", ""))) == domain:
            for record in row.get("serviceConfigurationRecords") or ():
                if record.get("mailExchange"):
                    before, record["mailExchange"] = str(record["mailExchange"]), host
                    return before
    return ""


def _turn_dane(status: str) -> Any:
    def turn(call: Call) -> Rows:
        domain, accepted = _domain(call)
        row = _kept(call.tenant, domain)
        if status == "Enabled":
            if row is None:
                raise errors.invalid(f"DNSSEC isn't enabled for the domain '{domain}'. Enable it before SMTP DANE.")
            if [host for _, host in _mx(call.tenant, domain)] != [str(row["Host"])]:
                raise errors.invalid(f"The MX record of the domain '{domain}' isn't '{row['Host']}'.")
        if row is not None:
            call.update(NOUN.name, row, {"Since": wire_time(call.tenant.clock.now())}, renames=False)
        call.update(ACCEPTED.name, accepted, {"SmtpDaneStatus": status}, renames=False)
        return [{"Result": "Success", "ErrorData": ""}]

    return turn


def _get(call: Call) -> Rows:
    domain, _ = _domain(call)
    row = _kept(call.tenant, domain)
    host = str(row["Host"]) if row else ""
    found: dict[str, Any] = {
        "DnssecFeatureStatus": {"Value": "Enabled" if row else "Disabled"},
        "ExpectedMxRecord": {"Record": f"@ 60 IN MX 10 {host}"} if row else None,
        "Errors": [],
        "Warnings": [],
        "DnsValidation": None,
        "MxValidation": None,
        "MtaStsValidation": None,
    }
    if not call.get("SkipDnsValidation"):
        signed = domain in (call.tenant.settings.get("dnssec") or ())
        found["DnsValidation"] = {"DnssecSupport": "Valid" if signed else "Invalid", "Errors": [], "Warnings": []}
    if not call.get("SkipMxValidation"):
        found["MxValidation"] = _mx_validation(_mx(call.tenant, domain), host)
    if not call.get("SkipMtaStsValidation"):
        there = f"_mta-sts.{domain}" in call.tenant.dns
        found["MtaStsValidation"] = {
            "Status": "Valid",
            "MtaStsAvailable": there,
            "MtaStsMode": "Testing" if there else "Unavailable",
            "Errors": [],
            "Warnings": [],
        }
    return [found]


def _mx_validation(records: list[tuple[int, str]], host: str) -> dict[str, Any]:
    wrong = []
    named = [preference for preference, name in records if host and name == host]
    if not named:
        wrong.append("EX002:The expected MX record was not found.")  # the number and the sentence are ours
    elif named[0] not in _PRIORITIES:
        wrong.append("EX003:Priority of MX record did not match the expected one.")
    actual = [f"@ 300 IN MX {preference} {name}" for preference, name in records]
    return {"Status": "Invalid" if wrong else "Valid", "ActualMxRecords": actual, "Errors": wrong, "Warnings": []}


_DOMAIN = string("DomainName", required=True, stored=False)
_SKIPS = tuple(switch(f"Skip{what}Validation", stored=False) for what in ("Dns", "MtaSts", "Mx"))
CMDLETS = (
    Cmdlet("Enable-DnssecForVerifiedDomain", (_DOMAIN,), _enable),
    Cmdlet("Disable-DnssecForVerifiedDomain", (_DOMAIN,), _disable),
    Cmdlet("Get-DnssecStatusForVerifiedDomain", (_DOMAIN, *_SKIPS), _get),
    Cmdlet("Enable-SmtpDaneInbound", (_DOMAIN,), _turn_dane("Enabled")),
    Cmdlet("Disable-SmtpDaneInbound", (_DOMAIN,), _turn_dane("Disabled")),
)
