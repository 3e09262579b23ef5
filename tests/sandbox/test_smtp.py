"""SMTP of the sandbox, spoken to with smtplib: every answer by the state of the tenant that causes it."""

from __future__ import annotations

import base64
import datetime as dt
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.local_tenant import LocalTenant, sandbox

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com", "Default": True}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        "InboundConnector": [
            {"Name": "hq", "ConnectorType": "OnPremises", "SenderIPAddresses": ["203.0.113.10"], "RequireTls": True},
            {"Name": "tls", "ConnectorType": "Partner", "SenderIPAddresses": ["203.0.113.20"], "RequireTls": True},
            {"Name": "partner", "ConnectorType": "Partner", "SenderIPAddresses": ["203.0.113.30"], "RequireTls": False},
        ],
    },
    "apps": [
        {
            "displayName": "app",
            "appRoles": {"https://outlook.office365.com": ["Exchange.ManageAsApp", "SMTP.SendAsApp"]},
            "directoryRoles": ["Exchange Administrator"],
        }
    ],
    "mailboxes": [
        {"address": "erp@contoso.com", "password": "right", "aliases": ["invoices@contoso.com"]},
        {"address": "anna@contoso.com"},
    ],
    "settings": {
        "smtp_source_addresses": {
            "127.0.0.10": "203.0.113.10", "127.0.0.20": "203.0.113.20", "127.0.0.30": "203.0.113.30",
            "127.0.0.99": "198.51.100.99",
        },
    },
    "dns": {"contoso.com": {"TXT": ["v=spf1 ip4:203.0.113.0/24 -all"]}},
}  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("smtp")
    (folder / "seed.yaml").write_text(yaml.safe_dump(SEED))
    with sandbox(folder / "state", folder / "seed.yaml", lag=0) as found:
        yield found


@pytest.fixture
def tenant(running: LocalTenant) -> Iterator[LocalTenant]:
    """With SMTP AUTH on for erp, and everything else as a tenant has it."""
    running.control("DELETE", "/mail")
    running.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    yield running
    running.control("POST", "/load", {"sandbox": 1, "graph": {"securityDefaults": {"isEnabled": False}}})
    running.cmdlet("Set-OrganizationConfig", RejectDirectSend=False)


def connection(tenant: LocalTenant, port: str, source: str = "127.0.0.1", *, tls: bool = True) -> smtplib.SMTP:
    host, _, number = tenant.endpoints[port].partition(":")
    client = smtplib.SMTP(host, int(number), timeout=20, source_address=(source, 0))
    client.ehlo("scanner.contoso.com")
    if tls:
        client.starttls(context=ssl.create_default_context(cafile=tenant.endpoints["ca"]))
        client.ehlo("scanner.contoso.com")
    return client


def message(sender: str, recipient: str) -> EmailMessage:
    found = EmailMessage()
    found["From"], found["To"], found["Subject"] = sender, recipient, "Scan 17"
    found.set_content("see attachment")
    return found


def submit(tenant: LocalTenant, sender: str = "erp@contoso.com", password: str = "right") -> None:
    with connection(tenant, "smtp_submission") as client:
        client.login("erp@contoso.com", password)
        client.send_message(message(sender, "someone@fabrikam.com"))


def refusal(tenant: LocalTenant, **how: Any) -> str:
    with pytest.raises((smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused)) as refused:
        submit(tenant, **how)
    return words(refused.value)


def words(error: BaseException) -> str:
    code: int
    text: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
    else:
        assert isinstance(error, smtplib.SMTPResponseException)
        code, text = error.smtp_code, error.smtp_error
    return f"{code} {text.decode() if isinstance(text, bytes) else text}"


def test_a_mailbox_that_may_sign_in_sends_to_anyone(tenant: LocalTenant) -> None:
    submit(tenant)
    (mail,) = tenant.control("GET", "/mail")
    assert (mail["route"], mail["subject"]) == ("client_submission", "Scan 17")
    assert mail["recipients"] == {"someone@fabrikam.com": "external"}


def test_nothing_is_taken_before_tls_or_sign_in(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_submission", tls=False) as client:
        assert not client.has_extn("auth")
        assert client.docmd("MAIL FROM:<erp@contoso.com>")[0] == 530
    with connection(tenant, "smtp_submission") as client:
        assert "LOGIN" in client.esmtp_features["auth"]
        code, text = client.docmd("MAIL FROM:<erp@contoso.com>")
        assert (code, b"5.7.57" in text) == (530, True)


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


def test_a_client_that_gives_up_can_go_on(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_submission") as client:
        assert client.docmd("AUTH LOGIN")[0] == 334
        assert client.docmd("*")[0] == 501
        client.login("erp@contoso.com", "right")


def token(tenant: LocalTenant, app: str) -> str:
    """A token as azure-identity gets it."""
    from azure.identity import ClientSecretCredential

    credential = ClientSecretCredential(
        tenant.endpoints["initial_domain"],
        tenant.endpoints[app]["client_id"],
        Path(tenant.endpoints[app]["secret_file"]).read_text(),
        authority=tenant.endpoints["authority"],
        disable_instance_discovery=True,
        connection_verify=tenant.endpoints["ca"],
    )
    with credential:
        return str(credential.get_token("https://outlook.office365.com/.default").token)


def test_a_token_signs_in_where_the_application_may_send(tenant: LocalTenant) -> None:
    def sign_in(app: str) -> None:
        with connection(tenant, "smtp_submission") as client:
            blob = f"user=erp@contoso.com\x01auth=Bearer {token(tenant, app)}\x01\x01"
            client.auth("XOAUTH2", lambda _=None: blob)
            client.send_message(message("erp@contoso.com", "someone@fabrikam.com"))

    sign_in("app")
    assert tenant.control("GET", "/mail")[-1]["mail_from"] == "erp@contoso.com"
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        sign_in("reader_app")
    assert words(refused.value).startswith("535 5.7.3")
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    with pytest.raises(smtplib.SMTPAuthenticationError) as switched_off:
        sign_in("app")
    assert "disabled for the Mailbox" in words(switched_off.value), "the switch holds for OAuth too"


def test_no_password_is_in_the_log(tenant: LocalTenant) -> None:
    refusal(tenant, password="hunter2-canary")
    log = tenant.requests("smtp")
    assert any(r["method"] == "AUTH" and r["status"] == 535 for r in log)
    assert "hunter2-canary" not in str(log)


# --- the MX port -----------------------------------------------------------------------------------------------------


def relay(
    tenant: LocalTenant, source: str, recipient: str, sender: str = "erp@contoso.com", *, tls: bool = False
) -> str:
    """ "" when the message was taken, else the answer."""
    try:
        with connection(tenant, "smtp_mx", source, tls=tls) as client:
            client.send_message(message(sender, recipient))
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        return words(error)
    return ""


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


def test_the_greeting_names_the_address_that_the_server_sees(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_mx", "127.0.0.10", tls=False) as client:
        assert b"Hello [203.0.113.10]" in client.ehlo("scanner")[1]


def test_a_scripted_answer_comes_once_and_the_next_try_goes_through(tenant: LocalTenant) -> None:
    rule = {
        "front": "smtp",
        "match": {"method": "RCPT", "path": "submission"},
        "do": {"status": 451, "body": "4.7.500 Server busy"},
    }
    tenant.control("POST", "/faults", rule)
    assert refusal(tenant) == "451 4.7.500 Server busy"
    assert tenant.control("GET", "/mail") == []
    submit(tenant)
    assert len(tenant.control("GET", "/mail")) == 1


@pytest.mark.parametrize(("deed", "delivered"), [("close", 0), ("run_then_close", 1)])
def test_a_connection_can_be_cut_before_and_after_a_message_is_taken(
    tenant: LocalTenant, deed: str, delivered: int
) -> None:
    tenant.control("POST", "/faults", {"front": "smtp", "match": {"method": "DATA"}, "do": {deed: True}})
    with pytest.raises(smtplib.SMTPServerDisconnected):
        submit(tenant)
    assert len(tenant.control("GET", "/mail")) == delivered


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


def test_a_token_that_nobody_issued_is_refused_and_not_logged(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_submission") as client:
        code, text = client.docmd("AUTH", "XOAUTH2 " + _xoauth2("erp@contoso.com", "not-a-token"))
    assert (code, text[:5]) == (535, b"5.7.3")
    assert "not-a-token" not in str(tenant.requests("smtp"))


def _xoauth2(user: str, token: str) -> str:
    return base64.b64encode(f"user={user}\x01auth=Bearer {token}\x01\x01".encode()).decode()
