"""Client submission, spoken to with smtplib: every refusal by the state of the tenant that causes it."""

from __future__ import annotations

import contextlib
import datetime as dt
import smtplib
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.local_tenant import LocalTenant
from tests.sandbox.mailing import (
    APP_ID,
    OBJECT_ID,
    connection,
    load,
    mail_tenant,
    message,
    refusal,
    submit,
    token,
    words,
    xoauth2,
)

pytestmark = pytest.mark.part(0.5)

EXCHANGE = "https://outlook.office365.com"
UNSUCCESSFUL = "535 5.7.139 Authentication unsuccessful, "


def test_each_switch_has_its_own_answer(tenant: LocalTenant) -> None:
    assert "the user credentials were incorrect" in refusal(tenant, password="wrong")
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=None)
    assert "SmtpClientAuthentication is disabled for the Tenant" in refusal(tenant)
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    assert "SmtpClientAuthentication is disabled for the Mailbox" in refusal(tenant)
    tenant.control("POST", "/load", {"sandbox": 1, "graph": {"securityDefaults": {"isEnabled": True}}})
    assert "security defaults policy" in refusal(tenant)


@pytest.mark.parametrize(
    ("host", "setting", "taken"),
    [
        ("smtp-legacy.office365.com", True, True),
        ("smtp-legacy.office365.com", None, False),
        ("smtp.office365.com", True, False),
    ],
)
def test_an_old_tls_is_taken_at_the_host_for_it_where_the_organization_allows_it(
    tenant: LocalTenant, host: str, setting: bool | None, taken: bool
) -> None:
    """Learn, "Opt in to the Exchange Online endpoint for legacy TLS"; OfficeDocs-Exchange issue 2943 for null."""
    tenant.cmdlet("Set-TransportConfig", AllowLegacyTLSClients=setting)
    context = ssl.create_default_context(cafile=tenant.endpoints["ca"])
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with connection(tenant, "smtp_submission", tls=False) as client:
        client._host = host  # type: ignore[attr-defined] # what smtplib asks for in SNI
        client.starttls(context=context)
        if taken:
            assert client.login("erp@contoso.com", "right")[0] == 235
        else:
            with pytest.raises(smtplib.SMTPAuthenticationError, match=r"4\.7\.66 TLS 1\.0 and 1\.1 are not supported"):
                client.login("erp@contoso.com", "right")


def test_an_authentication_policy_without_smtp_lets_no_password_in(tenant: LocalTenant) -> None:
    rows = {"AuthenticationPolicy": [{"Name": "no basic", "AllowBasicAuthSmtp": False}]}
    tenant.control("POST", "/load", {"sandbox": 1, "objects": rows})
    tenant.cmdlet("Set-User", Identity="erp@contoso.com", AuthenticationPolicy="no basic")
    assert "basic authentication is disabled" in refusal(tenant)
    tenant.cmdlet("Set-User", Identity="erp@contoso.com", AuthenticationPolicy=None)
    submit(tenant)


def test_a_policy_counts_within_a_day_and_sooner_where_tokens_are_refreshed(tenant: LocalTenant) -> None:
    rows = {"AuthenticationPolicy": [{"Name": "no basic", "AllowBasicAuthSmtp": False}]}
    day = {"authentication_policy_cache_s": 24 * 3600}
    tenant.control("POST", "/load", {"sandbox": 1, "objects": rows, "settings": day})
    submit(tenant)
    tenant.cmdlet("Set-User", Identity="erp@contoso.com", AuthenticationPolicy="no basic")
    submit(tenant)
    tenant.clock.advance(24 * 3600)
    assert "basic authentication is disabled" in refusal(tenant)
    tenant.cmdlet("Set-User", Identity="erp@contoso.com", AuthenticationPolicy=None)
    tenant.cmdlet("Set-User", Identity="erp@contoso.com", STSRefreshTokensValidFrom="2026-11-26T04:00:00Z")
    assert "basic authentication is disabled" in refusal(tenant)
    tenant.clock.advance(1800)
    submit(tenant)
    tenant.control("POST", "/load", {"sandbox": 1, "settings": {"authentication_policy_cache_s": 0}})


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


# --- the account -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def settings(tenant: LocalTenant, **values: Any) -> Iterator[None]:
    """Settings of the tenant for a while; afterwards they are empty, which is what a tenant has from birth."""
    load(tenant, settings=values)
    yield
    load(tenant, settings={name: type(value)() for name, value in values.items()})


def now(tenant: LocalTenant, advance: float = 0) -> dt.datetime:
    """The tenant's time, after moving it on."""
    return dt.datetime.fromisoformat(tenant.control("POST", "/clock", {"advance": advance})["time"])


def test_an_account_that_is_switched_off_does_not_sign_in(tenant: LocalTenant) -> None:
    off = {"userPrincipalName": "erp@contoso.com", "accountEnabled": False}
    load(tenant, graph={"users": [off]})
    assert "the user credentials were incorrect" in refusal(tenant, password="wrong"), "nothing is told to strangers"
    assert refusal(tenant).startswith(UNSUCCESSFUL + "account has an issue. Contact your administrator. [SBX")
    load(tenant, graph={"users": [{**off, "accountEnabled": True}]})
    submit(tenant)


def test_conditional_access_has_the_answer_of_criteria(tenant: LocalTenant) -> None:
    with settings(tenant, conditional_access_blocks=["erp@contoso.com"]):
        assert "the request did not meet the criteria to be authenticated successfully" in refusal(tenant)
    submit(tenant)


def test_a_conditional_access_policy_refuses_passwords(tenant: LocalTenant) -> None:
    policy = {
        "id": "c1f1a5a0-0000-4000-8000-000000000001",
        "displayName": "Block legacy authentication",
        "state": "enabled",
        "conditions": {
            "clientAppTypes": ["exchangeActiveSync", "other"],
            "applications": {"includeApplications": ["All"]},
            "users": {"includeUsers": ["All"]},
        },
        "grantControls": {"operator": "OR", "builtInControls": ["block"]},
    }
    load(tenant, graph={"conditionalAccessPolicies": [policy]})
    assert "the request did not meet the criteria to be authenticated successfully" in refusal(tenant)
    load(tenant, graph={"conditionalAccessPolicies": [{**policy, "state": "disabled"}]})
    submit(tenant)


def test_a_mailbox_without_a_licence_is_refused_and_a_shared_one_needs_none(tenant: LocalTenant) -> None:
    plan = {"service": "exchange", "capabilityStatus": "Suspended"}
    user = {"userPrincipalName": "erp@contoso.com", "assignedPlans": [plan]}
    load(tenant, graph={"users": [user]})
    assert refusal(tenant).startswith("535 5.7.3 Authentication unsuccessful [SBX")
    load(
        tenant,
        objects={"Mailbox": [{"PrimarySmtpAddress": "erp@contoso.com", "RecipientTypeDetails": "SharedMailbox"}]},
    )
    submit(tenant)
    load(
        tenant, objects={"Mailbox": [{"PrimarySmtpAddress": "erp@contoso.com", "RecipientTypeDetails": "UserMailbox"}]}
    )
    load(tenant, graph={"users": [{**user, "assignedPlans": [{**plan, "capabilityStatus": "Enabled"}]}]})
    submit(tenant)


def test_different_wrong_passwords_lock_the_account_for_a_while(tenant: LocalTenant) -> None:
    with settings(tenant, smart_lockout_threshold=3, smart_lockout_s=90):
        for _ in range(5):
            assert "the user credentials were incorrect" in refusal(tenant, password="the same one")
        submit(tenant)
        for number in range(3):
            assert "the user credentials were incorrect" in refusal(tenant, password=f"guess {number}")
        assert refusal(tenant).startswith(UNSUCCESSFUL + "account locked. Contact your administrator. [SBX")
        assert refusal(tenant, password="wrong").startswith(UNSUCCESSFUL + "account locked.")
        now(tenant, advance=91)
        submit(tenant)


@pytest.mark.parametrize(
    ("until", "locked"), [("2999-01-01T00:00:00Z", True), (True, True), ("2020-01-01T00:00:00", False)]
)
def test_a_seed_may_say_that_an_account_is_locked(tenant: LocalTenant, until: object, locked: bool) -> None:
    with settings(tenant, locked_accounts={"erp@contoso.com": until}):
        if locked:
            assert "account locked" in refusal(tenant)
        else:
            submit(tenant)
    submit(tenant)


# --- tokens ----------------------------------------------------------------------------------------------------------

PRINCIPAL = {"Identity": "scanner app", "DisplayName": "scanner app", "AppId": APP_ID, "ObjectId": OBJECT_ID}
FULL_ACCESS = {"Identity": "erp@contoso.com", "User": "scanner app", "AccessRights": ["FullAccess, ReadPermission"]}


def send_with_token(tenant: LocalTenant, access_token: str, mailbox: str = "erp@contoso.com") -> str:
    """ "" when the message was taken, else the answer."""
    try:
        with connection(tenant, "smtp_submission") as client:
            answer = client.docmd("AUTH", "XOAUTH2 " + xoauth2(mailbox, access_token))
            if answer[0] != 235:
                return f"{answer[0]} {answer[1].decode()}"
            client.send_message(message(mailbox, "someone@fabrikam.com"))
    except smtplib.SMTPResponseException as refused:
        return words(refused)
    return ""


@pytest.fixture
def for_tokens(tenant_for_tokens: LocalTenant) -> Iterator[LocalTenant]:
    """What a test changes is gone before the next."""
    yield tenant_for_tokens
    tenant_for_tokens.control("POST", "/reset")


@pytest.fixture(scope="module")
def tenant_for_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    """A tenant in which the application may send as erp, and SMTP AUTH is on."""
    objects = {
        "ServicePrincipal": [PRINCIPAL],
        "MailboxPermission": [
            {**FULL_ACCESS, "User": "anna@contoso.com"},
            FULL_ACCESS,
            {**FULL_ACCESS, "Identity": "anna@contoso.com", "AccessRights": ["ReadPermission"]},
        ],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": False}],
    }
    with mail_tenant(tmp_path_factory.mktemp("tokens"), objects=objects) as found:
        yield found


def test_an_application_with_role_principal_and_full_access_sends(for_tokens: LocalTenant) -> None:
    assert send_with_token(for_tokens, token(for_tokens, "app")) == ""
    assert for_tokens.control("GET", "/mail")[-1]["mail_from"] == "erp@contoso.com"
    assert send_with_token(for_tokens, token(for_tokens, "reader_app")).startswith(
        "535 5.7.3 Authentication unsuccessful"
    )


def test_without_full_access_an_application_signs_in_and_its_message_is_refused(for_tokens: LocalTenant) -> None:
    said = send_with_token(for_tokens, token(for_tokens, "app"), "anna@contoso.com")
    assert said.startswith("430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Submission.Exception:ConnectionFailed")
    assert "MapiExceptionLogonFailed" in said


def test_a_password_counts_after_a_token_that_was_refused(for_tokens: LocalTenant) -> None:
    with connection(for_tokens, "smtp_submission") as client:
        refused = client.docmd("AUTH", "XOAUTH2 " + xoauth2("erp@contoso.com", token(for_tokens, "reader_app")))
        assert refused[0] == 535
        client.login("erp@contoso.com", "right")
        client.send_message(message("erp@contoso.com", "someone@fabrikam.com"))


def test_a_service_principal_with_the_wrong_object_id_is_none(for_tokens: LocalTenant) -> None:
    load(for_tokens, objects={"ServicePrincipal": [{**PRINCIPAL, "ObjectId": APP_ID}]})
    assert send_with_token(for_tokens, token(for_tokens, "app")).startswith("535 5.7.3 Authentication unsuccessful")
    load(for_tokens, objects={"ServicePrincipal": [PRINCIPAL]})
    assert send_with_token(for_tokens, token(for_tokens, "app")) == ""


def test_the_switches_hold_for_tokens_and_security_defaults_do_not(for_tokens: LocalTenant) -> None:
    load(for_tokens, graph={"securityDefaults": {"isEnabled": True}})
    assert send_with_token(for_tokens, token(for_tokens, "app")) == ""
    for_tokens.cmdlet("Set-TransportConfig", SmtpClientAuthenticationDisabled=True)
    assert "disabled for the Tenant" in send_with_token(for_tokens, token(for_tokens, "app"))
    for_tokens.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    assert "disabled for the Mailbox" in send_with_token(for_tokens, token(for_tokens, "app"))
    for_tokens.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    assert send_with_token(for_tokens, token(for_tokens, "app")) == ""
    for_tokens.cmdlet("Set-TransportConfig", SmtpClientAuthenticationDisabled=False)


def issued(tenant: LocalTenant, **claims: Any) -> str:
    """A person's token, signed with the key of the sandbox's sign-in service."""
    key = load_pem_private_key((Path(tenant.folder) / "apps" / "token-key.pem").read_bytes(), None)
    moment = int(now(tenant).timestamp())
    whole = {
        "aud": EXCHANGE,
        "tid": tenant.endpoints["tenant_id"],
        "exp": moment + 600,
        "appid": APP_ID,
        "scp": "openid SMTP.Send",
        "upn": "erp@contoso.com",
        **claims,
    }
    return jwt.encode(whole, key, algorithm="RS256")  # type: ignore[arg-type]


def test_a_persons_token_sends_as_the_person(for_tokens: LocalTenant) -> None:
    assert send_with_token(for_tokens, issued(for_tokens)) == ""
    assert send_with_token(for_tokens, issued(for_tokens, aud="https://outlook.office.com/")) == ""


def test_full_access_lets_a_person_sign_in_to_a_shared_mailbox(for_tokens: LocalTenant) -> None:
    annas = issued(for_tokens, upn="anna@contoso.com")
    assert send_with_token(for_tokens, annas) == "", "she holds FullAccess on it"
    assert send_with_token(for_tokens, issued(for_tokens), "anna@contoso.com").startswith("535 5.7.3")


@pytest.mark.parametrize(
    "claims",
    [
        {"scp": "IMAP.AccessAsUser.All Mail.Send"},
        {"aud": "https://graph.microsoft.com"},
        {"exp": 1_600_000_000},
        {"tid": "00000000-0000-4000-8000-00000000beef"},
        {"upn": "someone@fabrikam.com"},
    ],
)
def test_a_token_that_lacks_something_is_refused_without_saying_what(
    for_tokens: LocalTenant, claims: dict[str, Any]
) -> None:
    said = send_with_token(for_tokens, issued(for_tokens, **claims))
    assert said.startswith("535 5.7.3 Authentication unsuccessful [SBX")


# --- limits ----------------------------------------------------------------------------------------------------------


def test_more_than_thirty_messages_a_minute_are_taken_and_come_later(tenant: LocalTenant) -> None:
    now(tenant, advance=300)
    with connection(tenant, "smtp_submission") as client:
        client.login("erp@contoso.com", "right")
        for _ in range(61):
            client.send_message(message("erp@contoso.com", "someone@fabrikam.com"))
    assert len(tenant.control("GET", "/mail")) == 30
    now(tenant, advance=61)
    assert len(tenant.control("GET", "/mail")) == 60
    now(tenant, advance=61)
    assert len(tenant.control("GET", "/mail")) == 61


def test_ten_thousand_recipients_are_counted_over_the_last_day(tenant: LocalTenant) -> None:
    before = now(tenant) - dt.timedelta(hours=23)
    with settings(tenant, recipients_sent={"erp@contoso.com": [[before.isoformat(), 9999]]}):
        submit(tenant)
        assert refusal(tenant).startswith("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException")
        now(tenant, advance=3700)
        submit(tenant)


@pytest.mark.parametrize(("limit", "taken"), [("3", 3), ("Unlimited", 1000), ("500", 500)])
def test_recipients_of_a_message_are_limited_by_the_mailbox(tenant: LocalTenant, limit: str, taken: int) -> None:
    load(tenant, objects={"Mailbox": [{"PrimarySmtpAddress": "erp@contoso.com", "RecipientLimits": limit}]})
    with connection(tenant, "smtp_submission") as client:
        client.login("erp@contoso.com", "right")
        client.mail("erp@contoso.com")
        client.send("".join(f"RCPT TO:<r{number}@fabrikam.com>\r\n" for number in range(taken + 1)))
        answers = [client.getreply() for _ in range(taken + 1)]
    assert {code for code, _ in answers[:taken]} == {250}
    assert (answers[-1][0], answers[-1][1][:25]) == (452, b"4.5.3 Too many recipients")


def test_a_message_may_be_as_large_as_the_mailbox_says(tenant: LocalTenant) -> None:
    mailbox = {"PrimarySmtpAddress": "erp@contoso.com", "MaxSendSize": "10 KB (10,240 bytes)"}
    load(tenant, objects={"Mailbox": [mailbox]})
    submit(tenant)
    with connection(tenant, "smtp_submission") as client:
        client.login("erp@contoso.com", "right")
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("erp@contoso.com", "a@fabrikam.com", "From: erp@contoso.com\r\n\r\n" + "x" * 70 * 200)
    assert "MessageSubmissionExceededException" in words(refused.value)
    load(tenant, objects={"Mailbox": [{**mailbox, "MaxSendSize": "35 MB (36,700,160 bytes)"}]})


def test_mail_inside_bounces_where_nobody_takes_it(tenant: LocalTenant) -> None:
    small = {"PrimarySmtpAddress": "anna@contoso.com", "MaxReceiveSize": "0 B (10 bytes)"}
    with connection(tenant, "smtp_submission") as client:
        client.login("erp@contoso.com", "right")
        client.send_message(message("erp@contoso.com", "anna@contoso.com, nobody@contoso.com"))
        load(tenant, objects={"Mailbox": [small]})
        client.send_message(message("erp@contoso.com", "anna@contoso.com"))
    first, second = (mail["recipients"] for mail in tenant.control("GET", "/mail"))
    assert first == {"anna@contoso.com": "inbox", "nobody@contoso.com": "bounced"}
    assert second == {"anna@contoso.com": "bounced"}
    load(tenant, objects={"Mailbox": [{**small, "MaxReceiveSize": "36 MB (37,748,736 bytes)"}]})
