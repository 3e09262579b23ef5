"""Client submission, spoken to with smtplib: every refusal by the state of the tenant that causes it."""

from __future__ import annotations

import datetime as dt

from tests.local_tenant import LocalTenant
from tests.sandbox.mailing import connection, refusal, submit


def test_each_switch_has_its_own_answer(tenant: LocalTenant) -> None:
    assert "the user credentials were incorrect" in refusal(tenant, password="wrong")
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=None)
    assert "SmtpClientAuthentication is disabled for the Tenant" in refusal(tenant)
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    assert "SmtpClientAuthentication is disabled for the Mailbox" in refusal(tenant)
    tenant.control("POST", "/load", {"sandbox": 1, "graph": {"securityDefaults": {"isEnabled": True}}})
    assert "security defaults policy" in refusal(tenant)


def test_an_authentication_policy_without_smtp_lets_no_password_in(tenant: LocalTenant) -> None:
    rows = {"AuthenticationPolicy": [{"Name": "no basic", "AllowBasicAuthSmtp": False}]}
    tenant.control("POST", "/load", {"sandbox": 1, "objects": rows})
    tenant.cmdlet("Set-User", Identity="erp@contoso.com", AuthenticationPolicy="no basic")
    assert "basic authentication is disabled" in refusal(tenant)
    tenant.cmdlet("Set-User", Identity="erp@contoso.com", AuthenticationPolicy=None)
    submit(tenant)


def test_after_the_end_of_basic_authentication_there_is_another_answer(tenant: LocalTenant) -> None:
    day = dt.datetime.now(dt.UTC).date().isoformat()
    tenant.control("POST", "/load", {"sandbox": 1, "settings": {"basic_smtp_auth_retired_from": day}})
    assert "5.7.30" in refusal(tenant)
    tenant.control("POST", "/load", {"sandbox": 1, "settings": {"basic_smtp_auth_retired_from": ""}})


def test_only_the_own_addresses_or_a_right_make_a_sender(tenant: LocalTenant) -> None:
    submit(tenant, sender="invoices@contoso.com")
    assert "5.2.252 SendAsDenied" in refusal(tenant, sender="anna@contoso.com")
    right = {"Identity": "anna@contoso.com", "Trustee": "erp@contoso.com", "AccessRights": ["SendAs"]}
    tenant.cmdlet("Add-RecipientPermission", **right)
    submit(tenant, sender="anna@contoso.com")
    tenant.cmdlet("Remove-RecipientPermission", **right)


def test_a_fourth_connection_of_a_mailbox_is_one_too_many(tenant: LocalTenant) -> None:
    clients = [connection(tenant, "smtp_submission") for _ in range(4)]
    try:
        for client in clients[:3]:
            client.login("erp@contoso.com", "right")
            assert client.mail("erp@contoso.com")[0] == 250
        clients[3].login("erp@contoso.com", "right")
        code, text = clients[3].mail("erp@contoso.com")
        assert (code, text[:5]) == (432, b"4.3.2")
    finally:
        for client in clients:
            client.close()
