"""Users who sign in through an application, asked by msal over TLS, and by hand where msal would not ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import msal  # type: ignore[import-untyped]
import pytest

from tests.sandbox.conftest import Running, written

EXO_MODULE = "fb78d390-0c51-40cd-8e17-fdbfab77341b"
GRAPH_TOOLS = "14d82eec-204b-4c2f-b7e8-296a70dab67e"
EXCHANGE = "https://outlook.office365.com"
ADMIN, PASSWORD = "admin@contoso.com", "correct horse battery staple"

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "mailboxes": [
        {"address": ADMIN, "password": PASSWORD, "directory_roles": ["Exchange Administrator"]},
        {"address": "clerk@contoso.com", "password": PASSWORD},
    ],
    "apps": [
        {
            "displayName": "v2",
            "directoryRoles": ["Exchange Administrator"],
            "appRoles": {"https://outlook.office365.com": ["Exchange.ManageAsAppV2"]},
        },
        {"displayName": "cli", "publicClient": True, "delegated": {"https://graph.microsoft.com": ["User.Read"]}},
    ],
}


@pytest.fixture(scope="module")
def seed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(SEED, tmp_path_factory.mktemp("seed"))


@pytest.fixture
def http(sandbox: Running) -> Iterator[httpx.Client]:
    with sandbox.http() as client:
        yield client


def public_client(sandbox: Running, client_id: str, tenant: str) -> Any:
    return msal.PublicClientApplication(client_id, **sandbox.msal_options(tenant))


def with_password(
    sandbox: Running, client_id: str, scope: str, user: str = ADMIN, password: str = PASSWORD
) -> dict[str, Any]:
    """The grant by hand: msal looks for the user's realm at port 443 of the authority's host, whatever its port."""
    form = {"grant_type": "password", "client_id": client_id, "scope": scope, "username": user, "password": password}
    with sandbox.http() as client:
        answer = client.post(f"{sandbox.endpoints['authority']}/common/oauth2/v2.0/token", data=form)
    body: dict[str, Any] = answer.json()
    return body


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_a_password_signs_a_user_in_through_common(sandbox: Running, http: httpx.Client) -> None:
    scope = f"{EXCHANGE}/.default openid offline_access"
    answer = with_password(sandbox, EXO_MODULE, scope)
    claims = claims_of(answer["access_token"])
    assert claims["upn"] == ADMIN
    assert claims["tid"] == sandbox.tenant_id
    assert "AdminApi.AccessAsUser.All" in claims["scp"].split()
    assert "roles" not in claims
    # The user's roles decide what the token may do in Exchange.
    body = {"CmdletInput": {"CmdletName": "Get-AcceptedDomain", "Parameters": {}}}
    url = f"{sandbox.endpoints['exchange']}/adminapi/beta/{sandbox.tenant_id}/InvokeCommand"
    granted = http.post(url, json=body, headers={"Authorization": f"Bearer {answer['access_token']}"})
    clerk = with_password(sandbox, EXO_MODULE, scope, "clerk@contoso.com")
    with http.stream("POST", url, json=body, headers={"Authorization": f"Bearer {clerk['access_token']}"}) as refused:
        assert (granted.status_code, refused.status_code) == (200, 403)
    # The refresh token gives the next token without a password, to the application that has it.
    form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"], "scope": scope}
    token_url = f"{sandbox.endpoints['authority']}/{sandbox.tenant_id}/oauth2/v2.0/token"
    again = http.post(token_url, data={**form, "client_id": EXO_MODULE}).json()
    other = http.post(token_url, data={**form, "client_id": GRAPH_TOOLS}).json()
    assert claims_of(again["access_token"])["upn"] == ADMIN
    assert other["error_codes"] == [70000]


def test_a_wrong_password_or_user_is_refused(sandbox: Running) -> None:
    wrong = with_password(sandbox, GRAPH_TOOLS, "User.Read", password="wrong")
    unknown = with_password(sandbox, GRAPH_TOOLS, "User.Read", "nobody@contoso.com")
    several = with_password(sandbox, GRAPH_TOOLS, f"User.Read {EXCHANGE}/.default")
    assert [wrong["error"], wrong["error_codes"]] == ["invalid_grant", [50126]]
    assert [unknown["error_codes"], several["error_codes"]] == [[50034], [28000]]


def test_security_defaults_refuse_the_password_grant(sandbox: Running) -> None:
    sandbox.control("POST", "/load", {"sandbox": 1, "graph": {"securityDefaults": {"isEnabled": True}}})
    answer = with_password(sandbox, GRAPH_TOOLS, "User.Read")
    assert answer["error_codes"] == [50079]


def test_a_device_code_waits_until_its_user_signs_in(sandbox: Running, http: httpx.Client) -> None:
    app = public_client(sandbox, GRAPH_TOOLS, sandbox.tenant_id)
    flow = app.initiate_device_flow(["User.Read.All"])
    assert flow["verification_uri"].startswith(sandbox.endpoints["authority"])
    assert flow["user_code"] in flow["message"]
    token_url = f"{sandbox.endpoints['authority']}/organizations/oauth2/v2.0/token"
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": GRAPH_TOOLS}
    pending = http.post(token_url, data={**form, "device_code": flow["device_code"]})
    assert (pending.status_code, pending.json()["error"]) == (400, "authorization_pending")
    page = {"code": flow["user_code"], "username": ADMIN, "password": "wrong"}
    assert http.post(flow["verification_uri"], data=page).status_code == 401
    assert http.post(flow["verification_uri"], data={**page, "password": PASSWORD}).status_code == 200
    answer = app.acquire_token_by_device_flow(flow)
    assert claims_of(answer["access_token"])["scp"] == "User.Read.All"
    assert answer["id_token_claims"]["preferred_username"] == ADMIN
    users = http.get(
        f"{sandbox.endpoints['graph']}/v1.0/users", headers={"Authorization": f"Bearer {answer['access_token']}"}
    )
    assert users.status_code == 200
    # A code serves once.
    assert http.post(token_url, data={**form, "device_code": flow["device_code"]}).json()["error_codes"] == [70000]


def test_an_application_gets_what_has_consent_and_no_more(sandbox: Running) -> None:
    cli = sandbox.endpoints["apps"]["cli"]["client_id"]
    own, more = (with_password(sandbox, cli, scope) for scope in ("User.Read", "User.ReadWrite.All"))
    assert claims_of(own["access_token"])["scp"] == "User.Read"
    assert more["error_codes"] == [65001]
    # A confidential application must prove itself, whoever signs in.
    confidential = with_password(sandbox, sandbox.endpoints["app"]["client_id"], "User.Read")
    assert confidential["error_codes"] == [7000218]


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("User.Read openid offline_access", "User.Read openid"),
        ("https://graph.microsoft.com/User.Read profile", "https://graph.microsoft.com/User.Read profile"),
        (
            "https://graph.microsoft.com/.default",
            "https://graph.microsoft.com/User.Read https://graph.microsoft.com/.default",
        ),
    ],
)
def test_the_scope_of_an_answer_has_the_form_of_the_question(sandbox: Running, scope: str, granted: str) -> None:
    """MSAL finds a token in its cache by these words (recorded answers of public clients)."""
    assert with_password(sandbox, sandbox.endpoints["apps"]["cli"]["client_id"], scope)["scope"] == granted


def test_the_first_version_names_a_resource(sandbox: Running, http: httpx.Client) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.endpoints["app"]["client_id"],
        "client_secret": sandbox.secret(),
        "resource": EXCHANGE,
    }
    url = f"{sandbox.endpoints['authority']}/{sandbox.tenant_id}/OAuth2/Token"  # paths have no case
    body = http.post(url, data=form).json()
    assert body["resource"] == EXCHANGE
    assert body["expires_in"] == "3600"
    assert body["expires_on"].isdigit()
    assert claims_of(body["access_token"])["aud"] == EXCHANGE
    del form["resource"]
    assert http.post(url, data=form).json()["error_codes"] == [900144]


def test_a_token_of_the_second_admin_api_works_there_alone(sandbox: Running, http: httpx.Client) -> None:
    """InvokeCommand refuses it with the empty 403 (azapptoolkit); no permission at all is 401."""
    app = sandbox.endpoints["apps"]["v2"]
    form = {"grant_type": "client_credentials", "client_id": app["client_id"], "scope": f"{EXCHANGE}/.default"}
    form["client_secret"] = Path(app["secret_file"]).read_text(encoding="utf-8")
    token = http.post(f"{sandbox.endpoints['authority']}/common/oauth2/v2.0/token", data=form).json()["access_token"]
    body = {"CmdletInput": {"CmdletName": "Get-AcceptedDomain", "Parameters": {}}}
    base = f"{sandbox.endpoints['exchange']}/adminapi"
    statuses = []
    for path in (f"v2.0/{sandbox.tenant_id}/AcceptedDomain", f"beta/{sandbox.tenant_id}/InvokeCommand"):
        headers = {"Authorization": f"Bearer {token}"}
        with http.stream("POST", f"{base}/{path}", json=body, headers=headers) as answer:
            statuses.append(answer.status_code)
    assert statuses == [200, 403]


def test_discovery_keeps_clients_inside(sandbox: Running, http: httpx.Client) -> None:
    authority, graph = sandbox.endpoints["authority"], sandbox.endpoints["graph"]
    for name in ("common", sandbox.tenant_id):
        for version in ("", "/v2.0"):
            document = http.get(f"{authority}/{name}{version}/.well-known/openid-configuration").json()
            addresses = {key: value for key, value in document.items() if str(value).startswith("https://")}
            inside = {key for key, value in addresses.items() if str(value).startswith((authority, graph))}
            # The first version's issuer names no host that is asked for anything.
            assert set(addresses) - inside <= {"issuer"}
            assert ("issuer" in inside) is bool(version)
            assert document["msgraph_host"] in graph
            assert http.get(document["jwks_uri"]).json()["keys"]
    realm = http.get(f"{authority}/common/userrealm/{ADMIN}?api-version=1.0").json()
    assert (realm["account_type"], realm["domain_name"]) == ("Managed", "contoso.com")
    assert (
        http.get(f"{authority}/common/userrealm/a@nowhere.example?api-version=1.0").json()["account_type"] == "Unknown"
    )
    for front, path in (("graph", "/v1.0/users"), ("exchange", f"/adminapi/beta/{sandbox.tenant_id}/InvokeCommand")):
        refused = http.request("POST", sandbox.endpoints[front] + path, json={})
        assert f'authorization_uri="{authority}/common/oauth2/authorize"' in refused.headers["www-authenticate"]


def test_who_comes_by_a_name_of_the_service_hears_names_of_the_service(sandbox: Running, http: httpx.Client) -> None:
    url = f"{sandbox.endpoints['authority']}/common/v2.0/.well-known/openid-configuration"
    document = http.get(url, headers={"Host": "login.microsoftonline.com"}).json()
    assert document["token_endpoint"] == "https://login.microsoftonline.com/common/oauth2/v2.0/token"
    assert document["msgraph_host"] == "graph.microsoft.com"
    instances = f"{sandbox.endpoints['authority']}/common/discovery/instance?api-version=1.1"
    aliases = http.get(instances, headers={"Host": "login.microsoftonline.com"}).json()["metadata"][0]["aliases"]
    assert "login.windows.net" in aliases
    refused = http.get(f"{sandbox.endpoints['graph']}/v1.0/users", headers={"Host": "graph.microsoft.com"})
    assert "https://login.microsoftonline.com/common" in refused.headers["www-authenticate"]


def test_a_role_that_is_not_known_is_refused_in_a_seed(sandbox: Running) -> None:
    seed = {"sandbox": 1, "mailboxes": [{"address": "x@contoso.com", "directory_roles": ["Exchange Admin"]}]}
    answer = sandbox.control("POST", "/load", seed)
    assert answer.status_code == 400
    assert "Exchange Administrator" in answer.text


def test_files_of_the_state_hold_no_password(sandbox: Running) -> None:
    for file in Path(sandbox.state).rglob("*.json*"):
        assert file.name == "seed.json" or PASSWORD not in file.read_text(encoding="utf-8")
