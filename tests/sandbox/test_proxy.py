"""Programs with fixed host names reach the sandbox through its proxy, with the service's names in its certificate."""

from __future__ import annotations

import smtplib
import socket
import ssl

import httpx
import pytest

from tests.sandbox.conftest import Running


def through(sandbox: Running) -> httpx.Client:
    trust = ssl.create_default_context(cafile=sandbox.ca)
    return httpx.Client(proxy=f"http://{sandbox.endpoints['proxy']}", verify=trust)


def test_the_services_own_addresses_lead_to_the_sandbox(sandbox: Running) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.endpoints["app"]["client_id"],
        "client_secret": sandbox.secret(),
        "scope": "https://graph.microsoft.com/.default",
    }
    with through(sandbox) as client:
        token = client.post(f"https://login.microsoftonline.com/{sandbox.tenant_id}/oauth2/v2.0/token", data=form)
        bearer = {"Authorization": f"Bearer {token.json()['access_token']}"}
        page = client.get("https://graph.microsoft.com/v1.0/users?$top=100", headers=bearer).json()
        assert len(page["value"]) == 100
        assert page["@odata.nextLink"].startswith("https://graph.microsoft.com/v1.0/users?")
        assert client.get("https://outlook.office365.com/adminapi/beta/x/InvokeCommand").status_code in (401, 405)


def test_another_place_is_refused_and_logged(sandbox: Running) -> None:
    with through(sandbox) as client, pytest.raises(httpx.ProxyError, match="403"):
        client.get("https://www.example.com/")
    (entry,) = [r for r in sandbox.control("GET", "/requests?since=0").json() if r["path"] == "www.example.com:443"]
    assert (entry["front"], entry["method"], entry["status"], entry["executed"]) == ("proxy", "CONNECT", 403, False)


@pytest.mark.parametrize("head", [b"GET http://example.com/ HTTP/1.1", b"CONNECT nonsense HTTP/1.1", b"x"])
def test_only_connect_is_served(sandbox: Running, head: bytes) -> None:
    host, _, port = sandbox.endpoints["proxy"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as line:
        line.sendall(head + b"\r\n\r\n")
        assert line.makefile("rb").readline() == b"HTTP/1.1 403 Forbidden\r\n"


def test_a_tunnel_carries_smtp_to_the_mx_host(sandbox: Running) -> None:
    """For clients that take a proxy for SMTP too, such as nodemailer (`proxy`)."""
    host, _, port = sandbox.endpoints["proxy"].rpartition(":")
    mx = "contoso-com.mail.protection.outlook.com"
    line = socket.create_connection((host, int(port)), timeout=60)
    line.sendall(f"CONNECT {mx}:25 HTTP/1.1\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += line.recv(1)
    assert answer.startswith(b"HTTP/1.1 200")
    client = smtplib.SMTP()
    client.sock, client.file, client._host = line, None, mx  # type: ignore[attr-defined]
    assert client.getreply()[0] == 220
    assert client.starttls(context=ssl.create_default_context(cafile=sandbox.ca))[0] == 220
    assert client.ehlo("scanner.contoso.com")[0] == 250
    client.quit()
