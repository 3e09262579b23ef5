"""Python libraries. They read proxy, CA and credentials from the environment of their process."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
import warnings
import webbrowser
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.foreign.tenant import ADMINISTRATOR, APPLICATION, MAILBOX, PASSWORD, PUBLIC_APP

_LOGIN = "https://login.microsoftonline.com"
_GRAPH = "https://graph.microsoft.com"
_EXCHANGE = "https://outlook.office365.com"


def msal(environment: Mapping[str, str], folder: Path) -> list[str]:
    """Secret, certificate, cache, and users, at the service's own authority, with instance discovery."""
    import msal as library  # type: ignore[import-untyped]
    import requests

    authority = f"{_LOGIN}/{environment['AZURE_TENANT_ID']}"
    with requests.Session() as session:
        given = {"http_client": session, "authority": authority}
        secret = library.ConfidentialClientApplication(
            environment["AZURE_CLIENT_ID"], client_credential=environment["AZURE_CLIENT_SECRET"], **given
        )
        token = secret.acquire_token_for_client([f"{_GRAPH}/.default"])
        assert "access_token" in token, token
        assert secret.acquire_token_for_client([f"{_GRAPH}/.default"])["token_source"] == "cache"
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        page = session.get(f"{_GRAPH}/v1.0/users?$top=5", headers=bearer, timeout=30)
        assert len(page.json()["value"]) == 5, page.text
        to = [{"emailAddress": {"address": ADMINISTRATOR}}]
        mail: Any = {"message": {"subject": "msal", "body": {"content": "Invoice 4711."}, "toRecipients": to}}
        sent = session.post(f"{_GRAPH}/v1.0/users/{MAILBOX}/sendMail", headers=bearer, json=mail, timeout=30)
        assert (sent.status_code, sent.text) == (202, ""), sent.text
        pem = Path(environment["SANDBOX_CERTIFICATE_FILE"]).read_text(encoding="utf-8")
        key = {"private_key": pem, "public_certificate": pem[pem.index("-----BEGIN CERTIFICATE") :]}
        certificate = library.ConfidentialClientApplication(
            environment["AZURE_CLIENT_ID"], client_credential=key, **given
        )
        token = certificate.acquire_token_for_client([f"{_EXCHANGE}/.default"])
        assert "access_token" in token, token
        _users(library.PublicClientApplication(PUBLIC_APP, http_client=session, authority=f"{_LOGIN}/organizations"))
    ways = "secret, certificate, cache, browser, device code, refresh, password"
    return [f"msal {library.__version__}: {ways}; Graph users and sendMail"]


def _users(public: Any) -> None:
    """Device code, silent refresh and password of a public client of msal."""
    flow = public.initiate_device_flow([f"{_GRAPH}/User.Read"])
    assert "user_code" in flow, flow
    token = public.acquire_token_by_device_flow(flow)
    assert token.get("id_token_claims", {}).get("preferred_username") == ADMINISTRATOR, token
    (account,) = public.get_accounts()
    assert public.acquire_token_silent([f"{_GRAPH}/User.Read"], account)["access_token"] == token["access_token"]
    _browser(public)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # msal advises against passwords; scripts still use them
        token = public.acquire_token_by_username_password(MAILBOX, PASSWORD, [f"{_GRAPH}/User.Read"])
    assert "access_token" in token, token


def _browser(public: Any) -> None:
    """The authorization-code flow by msal's own listener; a client that posts the page's form plays the browser."""
    import requests

    class Browser(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            def go() -> None:
                page = requests.get(url, timeout=30).text
                fields = dict(re.findall(r'<input type=hidden name=(\w+) value="([^"]*)">', page))
                requests.post(parse_qs(urlsplit(url).query)["redirect_uri"][0], fields, timeout=30)

            threading.Thread(target=go).start()
            return True

    webbrowser.register("played", None, Browser(), preferred=True)
    token = public.acquire_token_interactive([f"{_GRAPH}/User.Read"], timeout=30)
    assert token.get("id_token_claims", {}).get("preferred_username") == ADMINISTRATOR, token


def azure_identity(environment: Mapping[str, str], folder: Path) -> list[str]:
    """EnvironmentCredential, synchronous and not, and a certificate."""
    from azure.identity import CertificateCredential, EnvironmentCredential
    from azure.identity.aio import EnvironmentCredential as AsyncCredential

    with EnvironmentCredential() as credential:
        assert credential.get_token(f"{_GRAPH}/.default").token
    with CertificateCredential(
        environment["AZURE_TENANT_ID"], environment["AZURE_CLIENT_ID"], environment["SANDBOX_CERTIFICATE_FILE"]
    ) as certificate:
        assert certificate.get_token(f"{_EXCHANGE}/.default").token

    async def asynchronously() -> str:
        async with AsyncCredential() as credential:
            found = await credential.get_token(f"{_GRAPH}/.default")
            return str(found.token)

    assert asyncio.run(asynchronously())
    return [f"azure-identity {version('azure-identity')}: EnvironmentCredential (also aio), CertificateCredential"]


def msgraph_sdk(environment: Mapping[str, str], folder: Path) -> list[str]:
    """Users over pages, domains and the organization, as typed models."""
    from azure.identity.aio import EnvironmentCredential
    from msgraph import GraphServiceClient  # type: ignore[attr-defined]
    from msgraph.generated.models.email_address import EmailAddress
    from msgraph.generated.models.item_body import ItemBody
    from msgraph.generated.models.message import Message
    from msgraph.generated.models.recipient import Recipient
    from msgraph.generated.users.item.send_mail.send_mail_post_request_body import SendMailPostRequestBody
    from msgraph_core.tasks.page_iterator import PageIterator

    async def ask() -> tuple[int, list[str], str]:
        async with EnvironmentCredential() as credential:
            client = GraphServiceClient(credential, ["https://graph.microsoft.com/.default"])
            users: list[object] = []

            def more(user: object) -> bool:
                users.append(user)
                return True

            first = await client.users.get()
            await PageIterator(first, client.request_adapter).iterate(more)
            domains = await client.domains.get()
            organization = await client.organization.get()
            to = Recipient(email_address=EmailAddress(address=ADMINISTRATOR))
            message = Message(subject="msgraph-sdk", body=ItemBody(content="Invoice 4711."), to_recipients=[to])
            await client.users.by_user_id(MAILBOX).send_mail.post(SendMailPostRequestBody(message=message))
            return len(users), sorted(d.id for d in domains.value), organization.value[0].display_name

    count, domains, name = asyncio.run(ask())
    assert count >= 27, count
    assert (domains, name) == (["contoso.com", "contoso.onmicrosoft.com"], "Contoso")
    return [f"msgraph-sdk {version('msgraph-sdk')}: users over pages, domains, organization, sendMail"]


def pypsrp(environment: Mapping[str, str], folder: Path) -> list[str]:
    """Basic and certificate authentication at the management host; a cmdlet with parameters, and an error record."""
    from pypsrp.powershell import PowerShell, RunspacePool
    from pypsrp.wsman import WSMan

    where = urlsplit(environment["SANDBOX_PSRP"])
    with (
        WSMan(
            str(where.hostname),
            port=where.port,
            path=where.path.lstrip("/"),
            ssl=True,
            auth="basic",
            username=APPLICATION,
            password=environment["AZURE_CLIENT_SECRET"],
            cert_validation=environment["SSL_CERT_FILE"],  # type: ignore[arg-type]  # pypsrp's page: or a path
        ) as wsman,
        RunspacePool(wsman, configuration_name="ExchangeMail") as pool,
    ):
        shell = PowerShell(pool)
        shell.add_cmdlet("Get-InboundConnector").add_parameter("Identity", "hq")
        (row,) = shell.invoke()
        assert row.extended_properties["Name"] == "hq", row.extended_properties
        shell = PowerShell(pool)
        shell.add_cmdlet("Get-AcceptedDomain")
        assert len(shell.invoke()) == 2
        shell = PowerShell(pool)
        shell.add_cmdlet("Get-InboundConnector").add_parameter("Identity", "nobody")
        shell.invoke()
        assert "couldn't be found" in str(shell.streams.error[0]), shell.streams.error
    return [f"pypsrp {version('pypsrp')}: a session with basic authentication, cmdlets, an error record"]


CLIENTS = {
    "msal": msal,
    "azure-identity": azure_identity,
    "msgraph-sdk": msgraph_sdk,
    "pypsrp": pypsrp,
}


if __name__ == "__main__":
    for line in CLIENTS[sys.argv[1]](os.environ, Path.cwd()):
        sys.stdout.write(line + "\n")
