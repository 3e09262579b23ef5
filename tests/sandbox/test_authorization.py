"""The authorization-code flow, asked by msal over TLS; a browser is played by a client of HTTP."""

from __future__ import annotations

import re
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msal  # type: ignore[import-untyped]
import pytest

from provisioner.sandbox.authorization import AuthorizationCodes, asked_for, redirect_of
from provisioner.sandbox.entra_refusals import EntraRefusal
from tests.sandbox.conftest import Running, written

ADMIN, PASSWORD = "admin@contoso.com", "correct horse battery staple"
PORTAL = "b1b5c2d4-0000-4000-8000-00000000000a"
TOOLS = "14d82eec-204b-4c2f-b7e8-296a70dab67e"
CALLBACK = "https://portal.contoso.com/signin"
SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "mailboxes": [{"address": ADMIN, "password": PASSWORD, "directory_roles": ["Exchange Administrator"]}],
    "apps": [
        {
            "displayName": "portal",
            "appId": PORTAL,
            "redirectUris": [CALLBACK],
            "delegated": {"https://graph.microsoft.com": ["User.Read"]},
        }
    ],
}
SCOPES = ["https://graph.microsoft.com/User.Read"]


@pytest.fixture(scope="module")
def seed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(SEED, tmp_path_factory.mktemp("seed"))


@pytest.fixture
def browser(sandbox: Running) -> Iterator[httpx.Client]:
    with sandbox.http() as client:
        yield client


def portal(sandbox: Running) -> Any:
    with open(sandbox.endpoints["apps"]["portal"]["secret_file"], encoding="utf-8") as file:
        secret = file.read()
    return msal.ConfidentialClientApplication(PORTAL, client_credential=secret, **sandbox.msal_options())


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of a page that answers in the way of form_post."""
    return dict(re.findall(r'<input type=hidden name=(\w+) value="([^"]*)">', page))


def sign_in(browser: httpx.Client, url: str, **form: str) -> httpx.Response:
    assert "name=password" in browser.get(url).text
    return browser.post(url, data={"username": ADMIN, "password": PASSWORD, **form})


def test_a_web_application_redeems_the_code_that_the_browser_brings(sandbox: Running, browser: httpx.Client) -> None:
    app = portal(sandbox)
    flow = app.initiate_auth_code_flow(SCOPES, redirect_uri=CALLBACK, response_mode="form_post")
    refused = sign_in(browser, flow["auth_uri"], password="wrong")
    assert (refused.status_code, "AADSTS50126" in refused.text) == (401, True)
    page = sign_in(browser, flow["auth_uri"]).text
    assert f'action="{CALLBACK}"' in page
    answer = fields_of(page)
    token = app.acquire_token_by_auth_code_flow(flow, answer)
    assert token["id_token_claims"]["preferred_username"] == ADMIN  # msal has compared the nonce
    own = {"Authorization": f"Bearer {token['access_token']}"}
    info = f"{sandbox.endpoints['graph']}/oidc/userinfo"
    claims = [browser.request(method, info, headers=own).json() for method in ("GET", "POST")]
    assert claims[0] == claims[1]
    assert (claims[0]["sub"], claims[0]["email"]) == (token["id_token_claims"]["sub"], ADMIN)
    alone = {"Authorization": f"Bearer {sandbox.token('https://graph.microsoft.com/.default')}"}
    assert browser.get(info, headers=alone).status_code == 401
    assert app.acquire_token_silent(SCOPES, app.get_accounts()[0])["token_source"] == "cache"
    again = app.acquire_token_by_auth_code_flow(flow, answer)
    assert (again["error"], again["error_codes"]) == ("invalid_grant", [54005])


def test_a_program_signs_its_user_in_at_a_loopback_address(sandbox: Running, browser: httpx.Client) -> None:
    """`acquire_token_interactive` of msal as it is; its browser posts the fields, as the page's script makes it do."""
    opened: list[threading.Thread] = []

    class Browser(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            def go() -> None:
                fields = fields_of(sign_in(browser, url).text)
                (callback,) = parse_qs(urlsplit(url).query)["redirect_uri"]
                httpx.post(callback, data=fields, trust_env=False)

            opened.append(threading.Thread(target=go))
            opened[-1].start()
            return True

    webbrowser.register("played", None, Browser(), preferred=True)
    try:
        token = msal.PublicClientApplication(TOOLS, **sandbox.msal_options()).acquire_token_interactive(
            SCOPES, timeout=30
        )
    finally:
        webbrowser._tryorder.remove("played")  # type: ignore[attr-defined]
        del webbrowser._browsers["played"]  # type: ignore[attr-defined]
        for thread in opened:
            thread.join()
    assert token["id_token_claims"]["preferred_username"] == ADMIN, token


def test_who_is_signed_in_already_is_not_asked(sandbox: Running, browser: httpx.Client) -> None:
    base = f"{sandbox.endpoints['authority']}/common/oauth2/v2.0/authorize?client_id={TOOLS}&response_type=code&state=s"
    url = f"{base}&redirect_uri=http://localhost:5000&scope=User.Read&prompt=none"
    silent = urlsplit(browser.get(url).headers["location"])
    assert parse_qs(silent.query)["error"] == ["login_required"]
    sandbox.control("POST", "/load", {"sandbox": 1, "settings": {"signed_in_user": ADMIN}})
    fragment = urlsplit(browser.get(f"{url}&response_mode=fragment").headers["location"]).fragment
    assert {"code", "state"} <= set(parse_qs(fragment))


def test_a_client_is_told_why_there_is_no_code(sandbox: Running, browser: httpx.Client) -> None:
    base = f"{sandbox.endpoints['authority']}/common/oauth2/v2.0/authorize"
    sandbox.control("POST", "/load", {"sandbox": 1, "settings": {"signed_in_user": ADMIN}})
    query = {"client_id": PORTAL, "response_type": "code", "redirect_uri": CALLBACK, "scope": "User.Read"}

    def error(**changes: str) -> list[str]:
        answer = browser.get(base, params={**query, **changes})
        return parse_qs(urlsplit(answer.headers.get("location", "")).query).get("error", [answer.text])

    assert error(response_type="code id_token") == ["unsupported_response_type"]
    assert error(response_type="code code") == ["unsupported_response_type"]
    assert error(scope="User.ReadWrite.All") == ["consent_required"]
    assert "AADSTS50011" in error(redirect_uri="https://elsewhere.example")[0]
    assert "AADSTS700016" in error(client_id=TOOLS[::-1])[0]
    cancelled = sign_in(browser, f"{httpx.URL(base, params={**query, 'prompt': 'login'})}", cancel="1")
    assert "error=access_denied" in cancelled.headers["location"]


def asked(**query: str) -> Any:
    given = {"client_id": TOOLS, "response_type": "code", "redirect_uri": "http://localhost:1", **query}
    return asked_for(given, given["redirect_uri"], "User.Read")


@pytest.mark.parametrize(
    ("challenge", "given", "code"),
    [
        ({}, ("http://localhost:1", ""), None),
        ({"code_challenge": "plain-text"}, ("http://localhost:1", "plain-text"), None),
        # RFC 7636, appendix B
        (
            {"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"},
            ("http://localhost:1", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            None,
        ),
        ({"code_challenge": "x", "code_challenge_method": "S256"}, ("http://localhost:1", "x"), 501481),
        ({"code_challenge": "x"}, ("http://localhost:1", ""), 50148),
        ({}, ("http://localhost:2", ""), 500112),
    ],
)
def test_a_code_is_redeemed_by_the_one_who_asked_for_it(
    challenge: dict[str, str], given: tuple[str, str], code: int | None
) -> None:
    codes = AuthorizationCodes()
    issued = codes.give(asked(**challenge), "user")
    if code is None:
        assert codes.redeem(issued, TOOLS.upper(), *given)[1] == "user"
        return
    with pytest.raises(EntraRefusal, match=f"AADSTS{code}:"):
        codes.redeem(issued, TOOLS, *given)


@pytest.mark.parametrize(
    ("registered", "wanted", "taken"),
    [
        (None, "http://localhost:53211", True),
        (None, "http://localhost:53211/", True),
        (None, "http://127.0.0.1:53211", False),
        (None, "https://login.microsoftonline.com/common/oauth2/nativeclient", True),
        (["http://127.0.0.1/callback"], "http://127.0.0.1:8400/callback", True),
        (["http://127.0.0.1/callback"], "http://127.0.0.1:8400/other", False),
        (["http://[::1]/callback"], "http://[::1]:8400/callback", False),
        (None, "http://[::1", False),
        ([CALLBACK], CALLBACK + "/", False),
        ([CALLBACK], "https://portal.contoso.com:8443/signin", False),
    ],
)
def test_the_port_of_a_loopback_address_does_not_count(registered: list[str] | None, wanted: str, taken: bool) -> None:
    """Learn, "Redirect URI (reply URL) restrictions and limitations", part "Localhost exceptions"."""
    app = {"appId": PORTAL, **({"redirectUris": registered} if registered else {})}
    if taken:
        assert redirect_of(app, {"redirect_uri": wanted}) == wanted
        return
    with pytest.raises(EntraRefusal, match="AADSTS50011"):
        redirect_of(app, {"redirect_uri": wanted})
