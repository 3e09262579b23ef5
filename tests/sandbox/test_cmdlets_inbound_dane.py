"""Inbound DANE at Exchange: the host below mx.microsoft, the service's checks, TLSA records, what DNSSEC proves."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dns.flags
import dns.message
import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.dns import respond
from provisioner.sandbox.public_dns import is_signed, names
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))


@pytest.fixture
def tenant() -> Tenant:
    made = Tenant()
    accepted = [{"DomainName": "contoso.com"}, {"DomainName": "fabrikam.com"}]
    made.merge(
        load_seed({"sandbox": 1, "objects": {"AcceptedDomain": accepted}, "settings": {"dnssec": ["contoso.com"]}})
    )
    return made


def run(tenant: Tenant, cmdlet: str, domain: str = "contoso.com", **more: Any) -> Row:
    return run_cmdlet(tenant, ADMIN, cmdlet, {"DomainName": domain, **more}).rows[0]


def tlsa(tenant: Tenant, host: str) -> list[str]:
    query = dns.message.make_query(f"_25._tcp.{host}", "TLSA")
    return [str(row) for rrset in respond(names(tenant), query).answer for row in rrset]


def test_a_host_is_named_and_the_one_of_before_goes_on(tenant: Tenant) -> None:
    before = run(tenant, "Get-DnssecStatusForVerifiedDomain")
    assert (before["DnssecFeatureStatus"], before["ExpectedMxRecord"]) == ({"Value": "Disabled"}, None)
    made = run(tenant, "Enable-DnssecForVerifiedDomain")
    host = made["DnssecMxValue"]
    assert (made["Result"], host.split(".")[2:]) == ("Success", ["mx", "microsoft"])
    assert run(tenant, "Enable-DnssecForVerifiedDomain")["DnssecMxValue"] == host
    after = run(tenant, "Get-DnssecStatusForVerifiedDomain")
    assert after["ExpectedMxRecord"]["Record"] == f"@ 60 IN MX 10 {host}"
    assert after["MxValidation"]["Status"] == "Invalid"
    assert {host, "contoso-com.mail.protection.outlook.com"} <= set(names(tenant))
    run(tenant, "Disable-DnssecForVerifiedDomain")
    assert host not in names(tenant)


def test_the_service_checks_the_order(tenant: Tenant) -> None:
    with pytest.raises(CmdletError, match="DNSSEC isn't enabled"):
        run(tenant, "Enable-SmtpDaneInbound")
    host = run(tenant, "Enable-DnssecForVerifiedDomain")["DnssecMxValue"]
    with pytest.raises(CmdletError, match="MX record"):
        run(tenant, "Enable-SmtpDaneInbound")
    tenant.dns["contoso.com"]["MX"] = [f"20 {host}."]
    validation = run(tenant, "Get-DnssecStatusForVerifiedDomain")["MxValidation"]
    assert validation["Errors"] == ["EX003:Priority of MX record did not match the expected one."]
    run(tenant, "Enable-SmtpDaneInbound")
    with pytest.raises(CmdletError, match="SMTP DANE is enabled"):
        run(tenant, "Disable-DnssecForVerifiedDomain")
    for cmdlet in ("Enable-DnssecForVerifiedDomain", "Get-DnssecStatusForVerifiedDomain"):
        with pytest.raises(CmdletError):
            run(tenant, cmdlet, "nobody.example")
    with pytest.raises(CmdletError, match="can't be enabled"):
        run(tenant, "Enable-DnssecForVerifiedDomain", tenant.initial_domain)


def test_tlsa_records_come_a_quarter_of_an_hour_later(tenant: Tenant) -> None:
    host = run(tenant, "Enable-DnssecForVerifiedDomain")["DnssecMxValue"]
    tenant.dns["contoso.com"]["MX"] = [f"0 {host}."]
    run(tenant, "Enable-SmtpDaneInbound")
    assert tlsa(tenant, host) == []
    tenant.clock.advance(dt.timedelta(minutes=15).total_seconds())
    (record,) = tlsa(tenant, host)
    assert record.startswith("3 1 1 ")
    run(tenant, "Disable-SmtpDaneInbound")
    assert tlsa(tenant, host) == []


def test_the_zones_that_a_seed_names_are_signed_and_those_of_the_service(tenant: Tenant) -> None:
    assert [is_signed(tenant, name) for name in ("contoso.com", "_dmarc.contoso.com", "x.mx.microsoft")] == [True] * 3
    assert [is_signed(tenant, name) for name in ("fabrikam.com", "notcontoso.com", "outlook.com")] == [False] * 3
