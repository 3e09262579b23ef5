"""The token endpoint and managed identities, asked by azure-identity over TLS and by hand where a client would not."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.identity.aio import CertificateCredential as AsyncCertificateCredential
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential
from azure.identity.aio import ManagedIdentityCredential as AsyncManagedIdentityCredential
from azure.identity.aio import WorkloadIdentityCredential as AsyncWorkloadIdentityCredential
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.sandbox.conftest import Running

pytestmark = pytest.mark.part(0.5)

GRAPH = "https://graph.microsoft.com/.default"
EXCHANGE = "https://outlook.office365.com/.default"


def options(sandbox: Running) -> dict[str, Any]:
    return {
        "authority": sandbox.endpoints["authority"],
        "disable_instance_discovery": True,
        "connection_verify": sandbox.ca,
        "retry_total": 0,
    }


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def ask(sandbox: Running, form: dict[str, str], tenant: str | None = None) -> tuple[int, dict[str, Any]]:
    """POST a token form by hand; status and body."""
    with sandbox.http() as client:
        url = f"{sandbox.endpoints['authority']}/{tenant or sandbox.tenant_id}/oauth2/v2.0/token"
        answer = client.post(url, data=form)
    body: dict[str, Any] = answer.json()
    return answer.status_code, body


def secret_form(sandbox: Running, **changes: str) -> dict[str, str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.endpoints["app"]["client_id"],
        "client_secret": sandbox.secret(),
        "scope": GRAPH,
    }
    return {key: value for key, value in {**form, **changes}.items() if value}


def assertion_form(sandbox: Running, assertion: str) -> dict[str, str]:
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return secret_form(sandbox, client_secret="", client_assertion=assertion, client_assertion_type=kind)


# azure-identity


def test_a_secret_gives_a_v1_token_with_the_granted_roles(sandbox: Running) -> None:
    app = sandbox.endpoints["app"]
    with ClientSecretCredential(
        sandbox.tenant_id, app["client_id"], sandbox.secret(), **options(sandbox)
    ) as credential:
        token = credential.get_token(GRAPH)
        exchange = claims_of(credential.get_token(EXCHANGE).token)
    claims = claims_of(token.token)
    assert claims["aud"] == "https://graph.microsoft.com"
    assert claims["tid"] == sandbox.tenant_id
    assert claims["iss"] == f"https://sts.windows.net/{sandbox.tenant_id}/"
    assert (claims["appid"], claims["oid"], claims["ver"]) == (app["client_id"], app["object_id"], "1.0")
    assert "Domain.Read.All" in claims["roles"]
    assert claims["exp"] - claims["iat"] == 3600
    assert token.expires_on == pytest.approx(time.time() + 3600, abs=10)
    assert exchange["roles"] == ["Exchange.ManageAsApp"]
    assert "29232cdf-9323-42fd-ade2-1d097af3e4de" in exchange["wids"]  # Exchange Administrator


def test_a_certificate_works_sync_with_rs256(sandbox: Running) -> None:
    app = sandbox.endpoints["app"]
    with CertificateCredential(
        sandbox.tenant_id, app["client_id"], app["certificate_file"], **options(sandbox)
    ) as credential:
        assert claims_of(credential.get_token(EXCHANGE).token)["appidacr"] == "2"


def test_secret_certificate_and_workload_identity_work_async(sandbox: Running) -> None:
    app = sandbox.endpoints["app"]

    async def tokens() -> list[str]:
        credentials: list[Any] = [
            AsyncClientSecretCredential(sandbox.tenant_id, app["client_id"], sandbox.secret(), **options(sandbox)),
            AsyncCertificateCredential(
                sandbox.tenant_id, app["client_id"], app["certificate_file"], **options(sandbox)
            ),
            AsyncWorkloadIdentityCredential(
                tenant_id=sandbox.tenant_id,
                client_id=app["client_id"],
                token_file_path=app["federated_token_file"],
                **options(sandbox),
            ),
        ]
        found = []
        for credential in credentials:
            async with credential:
                found.append((await credential.get_token(GRAPH)).token)
        return found

    assert [claims_of(token)["appidacr"] for token in asyncio.run(tokens())] == ["1", "2", "2"]


def test_workload_identity_works_sync(sandbox: Running) -> None:
    app = sandbox.endpoints["reader_app"]
    with WorkloadIdentityCredential(
        tenant_id=sandbox.tenant_id,
        client_id=app["client_id"],
        token_file_path=app["federated_token_file"],
        **options(sandbox),
    ) as credential:
        claims = claims_of(credential.get_token(EXCHANGE).token)
    assert "f2ef992c-3afb-46b9-b7cf-a126ee74c451" in claims["wids"]  # Global Reader


def test_managed_identity_works_in_the_imds_shape(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.endpoints["managed_identity"])
    with ManagedIdentityCredential() as credential:
        claims = claims_of(credential.get_token(EXCHANGE).token)
    assert claims["appid"] == sandbox.endpoints["app"]["client_id"]
    with ManagedIdentityCredential(client_id=sandbox.endpoints["reader_app"]["client_id"]) as credential:
        claims = claims_of(credential.get_token(EXCHANGE).token)
    assert claims["appid"] == sandbox.endpoints["reader_app"]["client_id"]


def test_managed_identity_works_in_the_app_service_shape(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", sandbox.endpoints["managed_identity"] + "/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", Path(sandbox.endpoints["identity_header_file"]).read_text())
    with ManagedIdentityCredential() as credential:
        sync_token = credential.get_token(GRAPH).token

    async def fetch() -> str:
        async with AsyncManagedIdentityCredential() as credential:
            return str((await credential.get_token(GRAPH)).token)

    for token in (sync_token, asyncio.run(fetch())):
        assert claims_of(token)["aud"] == "https://graph.microsoft.com"


def test_a_wrong_secret_is_named_by_its_code_sync_and_async(sandbox: Running) -> None:
    client_id = sandbox.endpoints["app"]["client_id"]
    with (
        ClientSecretCredential(sandbox.tenant_id, client_id, "wrong", **options(sandbox)) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS7000215"),
    ):
        credential.get_token(GRAPH)

    async def fetch() -> None:
        async with AsyncClientSecretCredential(sandbox.tenant_id, client_id, "wrong", **options(sandbox)) as credential:
            await credential.get_token(GRAPH)

    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        asyncio.run(fetch())


# by hand


def test_an_error_has_the_recorded_shape(sandbox: Running) -> None:
    status, body = ask(sandbox, secret_form(sandbox, client_secret="wrong"))
    recorded = {"error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id"}
    assert status == 401
    assert recorded <= set(body)
    assert (body["error"], body["error_codes"]) == ("invalid_client", [7000215])
    assert body["error_description"].startswith("AADSTS7000215: Invalid client secret")
    assert f"Trace ID: {body['trace_id']} Correlation ID: {body['correlation_id']}" in body["error_description"]
    assert sandbox.secret() not in json.dumps(body)


@pytest.mark.parametrize(
    ("changes", "status", "error", "code"),
    [
        ({"client_id": "11111111-2222-3333-4444-555555555555"}, 400, "unauthorized_client", 700016),
        ({"client_id": ""}, 400, "invalid_request", 900144),
        ({"client_secret": ""}, 401, "invalid_client", 7000216),
        ({"scope": ""}, 400, "invalid_request", 900144),
        ({"scope": "https://graph.microsoft.com/User.Read"}, 400, "invalid_scope", 70011),
        ({"scope": "https://127.0.0.1/.default"}, 400, "invalid_resource", 500011),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type", 70003),
    ],
)
def test_requests_are_refused_with_their_code(
    sandbox: Running, changes: dict[str, str], status: int, error: str, code: int
) -> None:
    answered, body = ask(sandbox, secret_form(sandbox, **changes))
    assert (answered, body["error"], body["error_codes"]) == (status, error, [code])


def test_the_tenant_is_known_by_id_and_by_verified_domains_only(sandbox: Running) -> None:
    for name in (sandbox.tenant_id, "contoso.onmicrosoft.com", "Contoso.com"):
        assert ask(sandbox, secret_form(sandbox), tenant=name)[0] == 200, name
    assert ask(sandbox, secret_form(sandbox), tenant="fabrikam.com")[1]["error_codes"] == [90002]
    with sandbox.http() as client:
        answer = client.get(f"{sandbox.endpoints['authority']}/fabrikam.com/v2.0/.well-known/openid-configuration")
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])


def signed(sandbox: Running, *, key: rsa.RSAPrivateKey | None = None, app: str = "app", **changes: Any) -> str:
    """A certificate assertion as msal writes it, with some claims or the key changed."""
    pem = Path(sandbox.endpoints["app"]["certificate_file"]).read_bytes()
    private = key or load_pem_private_key(pem, None)
    der = base64.b64decode("".join(pem.decode().split("CERTIFICATE-----")[1].split("-----")[0].split()))
    client_id, now = sandbox.endpoints[app]["client_id"], int(time.time())
    claims = {
        "aud": f"{sandbox.endpoints['authority']}/{sandbox.tenant_id}/oauth2/v2.0/token",
        "iss": client_id,
        "sub": client_id,
        "nbf": now,
        "exp": now + 600,
        **changes,
    }
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    assert isinstance(private, rsa.RSAPrivateKey)
    return jwt.encode(claims, private, algorithm="PS256", headers={"x5t#S256": thumbprint})


def test_a_certificate_assertion_is_verified_in_every_part(sandbox: Running) -> None:
    now, stranger = int(time.time()), rsa.generate_private_key(65537, 2048)
    assert ask(sandbox, assertion_form(sandbox, signed(sandbox)))[0] == 200
    cases: dict[str, tuple[str, int]] = {
        "signature": (signed(sandbox, key=stranger), 700027),
        "audience": (signed(sandbox, aud="https://login.example/other"), 700023),
        "expired": (signed(sandbox, nbf=now - 7200, exp=now - 3600), 700024),
        "not yet": (signed(sandbox, nbf=now + 3600, exp=now + 7200), 700024),
        "subject": (signed(sandbox, sub="somebody"), 700021),
        "garbage": ("not.a.jwt", 50027),
    }
    for name, (assertion, code) in cases.items():
        status, body = ask(sandbox, assertion_form(sandbox, assertion))
        assert (status >= 400, body["error_codes"]) == (True, [code]), name


def test_a_certificate_that_another_app_holds_is_not_accepted(sandbox: Running) -> None:
    form = assertion_form(sandbox, signed(sandbox, app="reader_app"))
    form["client_id"] = sandbox.endpoints["reader_app"]["client_id"]
    status, body = ask(sandbox, form)
    assert (status, body["error_codes"]) == (401, [700027])
    assert "not registered on application" in body["error_description"]


def federated(sandbox: Running, **changes: Any) -> str:
    """The sandbox's federated assertion, signed anew by its issuer's key with some claims changed."""
    token = Path(sandbox.endpoints["app"]["federated_token_file"]).read_text()
    key = load_pem_private_key((sandbox.state / "apps" / "federated-issuer-key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    headers = {"kid": jwt.get_unverified_header(token)["kid"]}
    return jwt.encode({**claims_of(token), **changes}, key, algorithm="RS256", headers=headers)


def test_a_federated_assertion_is_matched_and_verified(sandbox: Running) -> None:
    now, stranger = int(time.time()), rsa.generate_private_key(65537, 2048)
    assert ask(sandbox, assertion_form(sandbox, federated(sandbox)))[0] == 200
    good = federated(sandbox)
    forged = jwt.encode(claims_of(good), stranger, algorithm="RS256", headers=jwt.get_unverified_header(good))
    unknown_key = jwt.encode(claims_of(good), stranger, algorithm="RS256", headers={"kid": "other"})
    cases = {
        "issuer": (federated(sandbox, iss="https://elsewhere.example"), 700211),
        "audience": (federated(sandbox, aud="api://other"), 700212),
        "subject": (federated(sandbox, sub="repo:other/other:ref:refs/heads/main"), 700213),
        "expired": (federated(sandbox, nbf=now - 7200, exp=now - 3600), 700024),
        "signature": (forged, 50013),
        "unknown key": (unknown_key, 50013),
    }
    for name, (assertion, code) in cases.items():
        assert ask(sandbox, assertion_form(sandbox, assertion))[1]["error_codes"] == [code], name


def test_an_expired_secret_is_refused_by_the_tenants_clock(sandbox: Running) -> None:
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    app: dict[str, Any] = {
        "displayName": "short lived",
        "appId": "5d1b7b0e-90f3-4c55-8a0e-1c1f6f0f5a11",
        "objectId": "5d1b7b0e-90f3-4c55-8a0e-1c1f6f0f5a12",
        "secrets": [{"sha256": hashlib.sha256(b"soon over").hexdigest(), "notAfter": soon}],
        "certificates": [],
        "federated": [],
        "appRoles": {},
        "directoryRoles": [],
    }
    assert sandbox.control("POST", "/load", {"sandbox": 1, "apps": [app]}).status_code == 200
    form = secret_form(sandbox, client_id=app["appId"], client_secret="soon over")
    status, body = ask(sandbox, form)
    assert status == 200
    assert "roles" not in claims_of(body["access_token"])
    assert sandbox.control("POST", "/clock", {"advance": 7200}).status_code == 200
    status, body = ask(sandbox, form)
    assert (status, body["error_codes"]) == (401, [7000222])


def test_tokens_expire_by_the_tenants_clock(sandbox: Running) -> None:
    token = sandbox.token(GRAPH)
    url = sandbox.endpoints["graph"] + "/v1.0/domains"
    with sandbox.http() as client:
        assert client.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200
        sandbox.control("POST", "/clock", {"advance": 3601})
        answer = client.get(url, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"
        assert "expired" in answer.json()["error"]["message"]
        assert client.get(url, headers={"Authorization": f"Bearer {sandbox.token(GRAPH)}"}).status_code == 200


def test_an_expired_certificate_and_a_token_of_another_tenant_are_refused(
    start_sandbox: Callable[..., Running], tmp_path: Path
) -> None:
    own = start_sandbox(tmp_path)
    token = own.token(GRAPH)
    other_tenant = {"sandbox": 1, "tenant": {"id": "0c4f6a52-3f0e-4a52-9f3b-6f5a1e2d3c4b"}}
    assert own.control("POST", "/load", other_tenant).status_code == 200
    with own.http() as client:
        headers = {"Authorization": f"Bearer {token}"}
        answer = client.get(own.endpoints["graph"] + "/v1.0/domains", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
    moved = Running(own.process, own.state, json.loads((own.state / "endpoints.json").read_text()))
    assert ask(moved, assertion_form(moved, signed(moved)))[0] == 200
    own.control("POST", "/clock", {"advance": 11 * 365 * 86400})
    body = ask(moved, assertion_form(moved, signed(moved)))[1]
    assert body["error_codes"] == [700027]
    assert "expired" in body["error_description"]


def test_imds_wants_its_header_and_app_service_its_secret(sandbox: Running) -> None:
    base = sandbox.endpoints["managed_identity"]
    query = {"resource": "https://outlook.office365.com/", "api-version": "2018-02-01"}
    with sandbox.http() as client:
        imds = base + "/metadata/identity/oauth2/token"
        assert client.get(imds, params=query).status_code == 400
        answer = client.get(imds, params=query, headers={"Metadata": "true"})
        assert answer.status_code == 200
        assert isinstance(answer.json()["expires_on"], str)
        unknown = client.get(imds, params={**query, "client_id": "nobody"}, headers={"Metadata": "true"})
        assert (unknown.status_code, unknown.json()["error_description"]) == (400, "Identity not found")
        wrong = client.get(base + "/msi/token", params=query, headers={"X-IDENTITY-HEADER": "wrong"})
        assert wrong.status_code == 401


# what the resource fronts make of a token


def exchange(sandbox: Running, authorization: str | None, tenant: str | None = None) -> tuple[int, dict[str, str]]:
    url = f"{sandbox.endpoints['exchange']}/adminapi/beta/{tenant or sandbox.tenant_id}/InvokeCommand"
    body = {"CmdletInput": {"CmdletName": "Get-TransportConfig", "Parameters": {}}}
    headers = {"Authorization": authorization} if authorization else {}
    with sandbox.http() as client:
        request = client.build_request("POST", url, json=body, headers=headers)
        answer = client.send(request, stream=True)  # a refusal may announce gzip that it is not: read no body
        answer.close()
    return answer.status_code, dict(answer.headers)


def test_exchange_takes_its_own_tokens_only(sandbox: Running) -> None:
    good = f"Bearer {sandbox.token(EXCHANGE)}"
    assert exchange(sandbox, good)[0] == 200
    assert exchange(sandbox, good, tenant="contoso.onmicrosoft.com")[0] == 200
    for wrong in (None, "Bearer", "Bearer x.y.z", "Basic YTpi", f"Bearer {sandbox.token(GRAPH)}", good[:-6] + "AAAAAA"):
        status, headers = exchange(sandbox, wrong)
        assert status == 401, wrong
        assert headers["www-authenticate"].startswith("Bearer ")
    assert exchange(sandbox, good, tenant="fabrikam.com")[0] == 401


def test_exchange_wants_the_permission_and_a_role(sandbox: Running) -> None:
    rights = {"nothing": {}, "permission only": {"https://outlook.office365.com": ["Exchange.ManageAsApp"]}}
    apps = [{"displayName": name, "appRoles": roles} for name, roles in rights.items()]
    assert sandbox.control("POST", "/load", {"sandbox": 1, "apps": apps}).status_code == 200
    entries = json.loads((sandbox.state / "endpoints.json").read_text())["apps"]
    statuses = {}
    for name in rights:
        form = secret_form(
            sandbox,
            client_id=entries[name]["client_id"],
            client_secret=Path(entries[name]["secret_file"]).read_text(),
            scope=EXCHANGE,
        )
        statuses[name] = exchange(sandbox, f"Bearer {ask(sandbox, form)[1]['access_token']}")[0]
    # Measured against the service: nothing 401, Exchange.ManageAsApp alone 403.
    assert statuses == {"nothing": 401, "permission only": 403}
