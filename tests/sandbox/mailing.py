"""Speaking SMTP to the sandbox with smtplib: a tenant for it, and what the tests of both ports share."""

from __future__ import annotations

import base64
import contextlib
import json
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.local_tenant import LocalTenant, sandbox

APP_ID, OBJECT_ID = "b1b5c2d4-0000-4000-8000-000000000001", "b1b5c2d4-0000-4000-8000-000000000002"
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
            "appId": APP_ID,
            "objectId": OBJECT_ID,
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
            "127.0.0.40": "203.0.113.42", "127.0.0.99": "198.51.100.99",
        },
    },
    "dns": {"contoso.com": {"TXT": ["v=spf1 ip4:203.0.113.0/24 -all"]}},
}  # fmt: skip


@contextlib.contextmanager
def mail_tenant(folder: Path, **more: Any) -> Iterator[LocalTenant]:
    """A sandbox on the seed, with sections of a seed of a test's own over it."""
    seeds = [folder / "seed.yaml"]
    seeds[0].write_text(yaml.safe_dump(SEED))
    if more:
        seeds.append(folder / "more.yaml")
        seeds[1].write_text(json.dumps({"sandbox": 1, **more}))  # YAML would have aliases for what stands twice
    with sandbox(folder / "state", *seeds, lag=0) as found:
        yield found


def load(tenant: LocalTenant, **sections: Any) -> None:
    """Sections of a seed, into a running sandbox."""
    tenant.control("POST", "/load", {"sandbox": 1, **sections})


def connection(tenant: LocalTenant, port: str, source: str = "127.0.0.1", *, tls: bool = True) -> smtplib.SMTP:
    host, _, number = tenant.endpoints[port].partition(":")
    client = smtplib.SMTP(host, int(number), timeout=60, source_address=(source, 0))
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


def xoauth2(user: str, token: str) -> str:
    """What a client sends after AUTH XOAUTH2."""
    return base64.b64encode(f"user={user}\x01auth=Bearer {token}\x01\x01".encode()).decode()


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


def token(tenant: LocalTenant, app: str) -> str:
    """A token as azure-identity gets it."""
    from azure.identity import ClientSecretCredential

    credential = ClientSecretCredential(
        tenant.endpoints["initial_domain"],
        tenant.endpoints["apps"][app]["client_id"],
        Path(tenant.endpoints["apps"][app]["secret_file"]).read_text(),
        authority=tenant.endpoints["authority"],
        disable_instance_discovery=True,
        connection_verify=tenant.endpoints["ca"],
    )
    with credential:
        return str(credential.get_token("https://outlook.office365.com/.default").token)
