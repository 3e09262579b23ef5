"""The MX port, spoken to with smtplib: relay, direct send, and every refusal by the state that causes it."""

from __future__ import annotations

import pytest

from tests.local_tenant import LocalTenant
from tests.sandbox.mailing import relay


@pytest.mark.parametrize(
    ("source", "recipient", "sender", "tls", "answer"),
    [
        ("127.0.0.10", "x@fabrikam.com", "erp@contoso.com", False, ""),
        ("127.0.0.10", "anna@contoso.com", "erp@contoso.com", False, ""),
        ("127.0.0.10", "x@fabrikam.com", "erp@elsewhere.example", False, "5.7.64"),
        ("127.0.0.99", "x@fabrikam.com", "erp@contoso.com", False, "5.7.64 TenantAttribution; Relay Access Denied"),
        ("127.0.0.30", "x@fabrikam.com", "erp@contoso.com", False, "5.7.64"),
        ("127.0.0.20", "anna@contoso.com", "erp@contoso.com", False, "STARTTLS is required"),
        ("127.0.0.20", "anna@contoso.com", "erp@contoso.com", True, ""),
        ("127.0.0.99", "anna@contoso.com", "erp@contoso.com", False, ""),
        ("127.0.0.99", "nobody@contoso.com", "erp@contoso.com", False, "5.4.1"),
    ],
)
def test_relay_and_direct_send(
    tenant: LocalTenant, source: str, recipient: str, sender: str, tls: bool, answer: str
) -> None:
    said = relay(tenant, source, recipient, sender, tls=tls)
    assert answer in said if answer else said == ""


def test_direct_send_can_be_rejected_and_a_connector_is_not(tenant: LocalTenant) -> None:
    tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)
    assert "5.7.68 TenantInboundAttribution" in relay(tenant, "127.0.0.99", "anna@contoso.com")
    assert relay(tenant, "127.0.0.10", "anna@contoso.com") == ""
    assert relay(tenant, "127.0.0.30", "anna@contoso.com") == "", "a partner's connector is enough for mail inside"


def test_what_spf_does_not_cover_lands_in_junk_or_is_refused(tenant: LocalTenant) -> None:
    assert relay(tenant, "127.0.0.99", "anna@contoso.com") == ""
    assert tenant.control("GET", "/mail")[-1]["recipients"] == {"anna@contoso.com": "junk"}
    policy = {"name": "_dmarc.contoso.com", "type": "TXT", "values": ["v=DMARC1; p=reject"]}
    tenant.control("POST", "/dns", policy)
    assert "5.7.509" in relay(tenant, "127.0.0.99", "anna@contoso.com")
    assert relay(tenant, "127.0.0.10", "anna@contoso.com") == ""
    tenant.control("POST", "/dns", {**policy, "values": ["v=DMARC1; p=none; sp=reject"]})
    assert relay(tenant, "127.0.0.99", "anna@contoso.com") == ""
    tenant.control("POST", "/dns", {**policy, "values": []})
