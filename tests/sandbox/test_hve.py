"""High Volume Email in the sandbox: its cmdlets, and its port."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.server import apply_seed
from provisioner.sandbox.tenant import Row, Tenant
from tests.local_tenant import LocalTenant
from tests.sandbox.mailing import OBJECT_ID, connection, load, mail_tenant, message, token, words, xoauth2

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))
POLICY = "11111111-1111-4111-8111-111111111111"
NEWS = "news@contoso.com"
SEED = {
    "AcceptedDomain": [{"DomainName": "contoso.com"}],
    "BillingPolicy": [{"Id": POLICY, "Name": "Mail"}],
}
NEW = {"HVEAccount": True, "Name": "News", "PrimarySmtpAddress": NEWS, "Password": "Secret123"}


@pytest.fixture
def small() -> Tenant:
    found = Tenant()
    apply_seed(found, {"sandbox": 1, "objects": SEED, "mailboxes": ["anna@contoso.com"]})
    run(found, "New-MailUser", **NEW)
    return found


def run(tenant: Tenant, name: str, **parameters: Any) -> list[Row]:
    return list(run_cmdlet(tenant, ADMIN, name, parameters).rows)


def refused(tenant: Tenant, name: str, **parameters: Any) -> str:
    with pytest.raises(CmdletError) as caught:
        run(tenant, name, **parameters)
    return caught.value.message


def test_an_account_is_a_mail_user_with_a_user_and_settings_of_its_own(small: Tenant) -> None:
    (row,) = run(small, "Get-MailUser", HVEAccount=True)
    assert (row["PrimarySmtpAddress"], row["RecipientType"]) == (NEWS, "MailUser")
    assert [u["userPrincipalName"] for u in small.graph["users"]].count(NEWS) == 1
    assert run(small, "Get-HVEAccountSettings", Identity=NEWS) == [{"ReplyTo": "", "AllowedApps": []}]
    assert run(small, "Get-User", Identity=NEWS)[0]["AuthenticationPolicy"] is None
    run(small, "Set-HVEAccountSettings", Identity=NEWS, ReplyTo="anna@contoso.com")
    run(small, "Set-MailUser", HVEAccount=True, Identity=row["Guid"], DisplayName="Our news")
    assert run(small, "Get-HVEAccountSettings", Identity=NEWS)[0]["ReplyTo"] == "anna@contoso.com"
    assert run(small, "Get-MailUser", HVEAccount=True, Identity=NEWS)[0]["DisplayName"] == "Our news"
    run(small, "Set-HVEAccountSettings", Identity=NEWS, ReplyTo="")
    assert run(small, "Get-HVEAccountSettings", Identity=NEWS)[0]["ReplyTo"] == ""
    run(small, "Remove-MailUser", Identity=NEWS, Confirm=False)
    assert run(small, "Get-MailUser", HVEAccount=True) == []
    assert "couldn't be found" in refused(small, "Get-HVEAccountSettings", Identity=NEWS)
    assert NEWS not in small.settings["passwords"]
    assert NEWS not in {u["userPrincipalName"] for u in small.graph["users"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PrimarySmtpAddress": "anna@contoso.com"}, "already being used"),
        ({"PrimarySmtpAddress": "x@fabrikam.com"}, "not an accepted domain"),
        ({"Password": "short1A"}, "requirements for length"),
        ({"Password": "alllowercase"}, "requirements for length"),
    ],
)
def test_what_new_refuses(small: Tenant, change: dict[str, Any], words: str) -> None:
    given = {**NEW, "Name": "Other", "PrimarySmtpAddress": "other@contoso.com", **change}
    assert words in refused(small, "New-MailUser", **given)
    assert "already exists" in refused(small, "New-MailUser", **{**NEW, "PrimarySmtpAddress": "o@contoso.com"})


def test_ten_applications_are_allowed_at_most(small: Tenant) -> None:
    ids = [f"6f0a3c1e-0000-4000-8000-0000000000{n:02d}" for n in range(11)]
    run(small, "Add-HVEAppAccess", Identity=NEWS, AppIds=ids[:10])
    assert "up to 10" in refused(small, "Add-HVEAppAccess", Identity=NEWS, AppIds=ids[10:])
    run(small, "Remove-HVEAppAccess", Identity=NEWS, AppIds=ids[:9])
    assert run(small, "Get-HVEAccountSettings", Identity=NEWS)[0]["AllowedApps"] == ids[9:10]
    assert "GUID" in refused(small, "Add-HVEAppAccess", Identity=NEWS, AppIds=["erp"])
    assert "couldn't be found" in refused(small, "Add-HVEAppAccess", Identity="anna@contoso.com", AppIds=ids[:1])


def test_the_status_of_billing_follows_from_the_policy(small: Tenant) -> None:
    def status() -> str:
        return str(run(small, "Get-HVEAccountBillingPolicy", Identity=NEWS)[0]["BillingPolicyStatus"])

    assert status() == "NoProperBillingPolicyStored"
    run(small, "Set-HVEAccountBillingPolicy", Identity=NEWS, BillingPolicyId=POLICY.upper())
    assert status() == "BillingPolicyValid"
    run(small, "Set-HVEAccountBillingPolicy", Identity=NEWS, BillingPolicyId=OBJECT_ID)
    assert status() == "BillingPolicyNotFound"
    assert run(small, "Get-BillingPolicy", ResourceType="HVE")[0]["Id"] == POLICY


# --- the port --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    application = {
        "displayName": "news", "appId": "a1b1c2d4-0000-4000-8000-000000000001", "objectId": OBJECT_ID,
        "appRoles": {"https://outlook.office365.com": ["Mail.Send"]},
    }  # fmt: skip
    with mail_tenant(tmp_path_factory.mktemp("hve"), objects=SEED, apps=[application]) as found:
        found.cmdlet("New-MailUser", **NEW)
        found.cmdlet("Set-HVEAccountBillingPolicy", Identity=NEWS, BillingPolicyId=POLICY)
        yield found


def send(tenant: LocalTenant, *recipients: str, sender: str = NEWS, password: str = "Secret123") -> str:
    """ "" where the message was taken, else the answer."""
    try:
        with connection(tenant, "smtp_hve") as client:
            client.login(NEWS, password)
            client.send_message(message(sender, "anna@contoso.com"), NEWS, recipients or ["anna@contoso.com"])
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        return words(error)
    return ""


def test_an_account_sends_within_the_organization_and_in_its_own_name(tenant: LocalTenant) -> None:
    assert send(tenant) == ""
    assert tenant.control("GET", "/mail")[-1]["route"] == "high_volume_email"
    assert send(tenant, "x@fabrikam.com").startswith("550 5.5.105 External sending is not supported")
    assert send(tenant, sender="anna@contoso.com").startswith("554 5.2.252 SendAsDenied")
    assert "credentials were incorrect" in send(tenant, password="wrong")
    with connection(tenant, "smtp_hve") as client:
        client.login(NEWS, "Secret123")
        client.mail(NEWS)
        answers = [client.rcpt("anna@contoso.com")[0] for _ in range(51)]
    assert answers == [250] * 50 + [452]


def test_billing_and_what_forbids_passwords_stop_an_account_and_the_switches_do_not(tenant: LocalTenant) -> None:
    assert tenant.rows("TransportConfig")[0]["SmtpClientAuthenticationDisabled"] is True
    tenant.cmdlet("Set-HVEAccountBillingPolicy", Identity=NEWS, BillingPolicyId="")
    assert "no valid billing policy (NoProperBillingPolicyStored)" in send(tenant)
    tenant.cmdlet("Set-HVEAccountBillingPolicy", Identity=NEWS, BillingPolicyId=POLICY)
    load(tenant, graph={"securityDefaults": {"isEnabled": True}})
    assert "the organization configuration does not allow this authentication request" in send(tenant)
    load(tenant, graph={"securityDefaults": {"isEnabled": False}})
    assert send(tenant) == ""
    with connection(tenant, "smtp_submission") as client, pytest.raises(smtplib.SMTPAuthenticationError):
        client.login(NEWS, "Secret123")  # an account is not a mailbox


def test_an_application_needs_to_be_allowed(tenant: LocalTenant) -> None:
    def sign_in() -> tuple[int, bytes]:
        with connection(tenant, "smtp_hve") as client:
            return client.docmd("AUTH", "XOAUTH2 " + xoauth2(NEWS, token(tenant, "news")))

    code, text = sign_in()
    assert (code, b"5.7.240" in text) == (535, True)
    tenant.cmdlet("Add-HVEAppAccess", Identity=NEWS, AppIds=[OBJECT_ID])
    assert sign_in()[0] == 235
