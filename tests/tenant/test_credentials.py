"""Every kind of credential, signing in at the sandbox through azure-identity and reading over Graph and Exchange."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.diagnostics import InputError, SignInRefused, TenantError, Unavailable
from provisioner.model import Cmdlet
from provisioner.tenant.connect import check_tenant, connect, identify
from provisioner.tenant.credentials import claims_of, secret_value
from tests.local_tenant import LocalTenant, sandbox


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("credentials")
    (folder / "seed.json").write_text(
        json.dumps({"sandbox": 1, "tenant": {"initial_domain": "contoso.onmicrosoft.com"}})
    )
    with sandbox(folder / "state", folder / "seed.json") as running:
        yield running


def reached(tenant: LocalTenant, credential: dict[str, Any], **rest: Any) -> str:
    """Sign in, read over both, and give the initial domain."""

    async def work() -> str:
        async with connect(tenant.profile(credential=credential, **rest)) as ports:
            identity = await identify(ports)
            await ports.exchange.run(Cmdlet("Get-TransportConfig"))
            return identity.initial_domain

    return asyncio.run(work())


def app(tenant: LocalTenant, **rest: Any) -> dict[str, Any]:
    return {"client_id": tenant.endpoints["app"]["client_id"], **rest}


def test_a_client_secret(tenant: LocalTenant) -> None:
    secret = f"file:{tenant.endpoints['app']['secret_file']}"
    assert reached(tenant, app(tenant, kind="client_secret", secret=secret)) == "contoso.onmicrosoft.com"


def test_a_certificate(tenant: LocalTenant) -> None:
    certificate = tenant.endpoints["app"]["certificate_file"]
    assert reached(tenant, app(tenant, kind="certificate", certificate=certificate)) == "contoso.onmicrosoft.com"


def test_a_workload_identity(tenant: LocalTenant) -> None:
    token = tenant.endpoints["app"]["federated_token_file"]
    assert reached(tenant, app(tenant, kind="workload_identity", token_file=token)) == "contoso.onmicrosoft.com"


def test_a_managed_identity(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{tenant.endpoints['managed_identity']}/msi/token")
    header = Path(tenant.endpoints["identity_header_file"]).read_text().strip()
    monkeypatch.setenv("IDENTITY_HEADER", header)
    assert reached(tenant, {"kind": "managed_identity"}) == "contoso.onmicrosoft.com"


def test_the_default_chain_finds_the_environment(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Path(tenant.endpoints["app"]["secret_file"]).read_text().strip()
    monkeypatch.setenv("AZURE_TENANT_ID", tenant.endpoints["tenant_id"])
    monkeypatch.setenv("AZURE_CLIENT_ID", tenant.endpoints["app"]["client_id"])
    monkeypatch.setenv("AZURE_CLIENT_SECRET", secret)
    assert reached(tenant, {"kind": "default"}) == "contoso.onmicrosoft.com"


def test_another_tenants_plan_is_refused(tenant: LocalTenant) -> None:
    async def work() -> None:
        async with connect(tenant.profile()) as ports:
            identity = await identify(ports)
            check_tenant(identity, "Contoso.onmicrosoft.com")
            check_tenant(identity, tenant.endpoints["tenant_id"].upper())
            check_tenant(identity, "fabrikam.onmicrosoft.com")

    with pytest.raises(SignInRefused, match=r"the plan is for fabrikam\.onmicrosoft\.com"):
        asyncio.run(work())


def test_an_unknown_app_and_an_unknown_tenant_are_told_apart(tenant: LocalTenant) -> None:
    secret = f"file:{tenant.endpoints['app']['secret_file']}"
    stranger = {"kind": "client_secret", "client_id": "11111111-2222-3333-4444-555555555555", "secret": secret}
    with pytest.raises(SignInRefused, match="AADSTS700016") as unknown_app:
        reached(tenant, stranger)
    assert "client id" in unknown_app.value.hint
    nowhere = LocalTenant(tenant.folder, {**tenant.endpoints, "initial_domain": "nowhere.onmicrosoft.com"})
    with pytest.raises(SignInRefused, match="AADSTS90002"):
        reached(nowhere, app(tenant, kind="client_secret", secret=secret))


def test_a_sign_in_service_that_is_away_is_no_wrong_credential(tenant: LocalTenant) -> None:
    endpoints = {**tenant.endpoints, "authority": "https://127.0.0.1:9"}
    secret = f"file:{tenant.endpoints['app']['secret_file']}"
    away = LocalTenant(tenant.folder, endpoints)
    with pytest.raises(TenantError) as caught:
        reached(away, app(tenant, kind="client_secret", secret=secret), timeouts={"retry_s": 0.0})
    assert isinstance(caught.value, Unavailable), caught.value


@pytest.mark.parametrize(
    ("credential", "words"),
    [
        ({"kind": "client_secret", "client_id": "x"}, "credential.secret"),
        ({"kind": "client_secret", "secret": "env:NO_SUCH_VARIABLE_HERE", "client_id": "x"}, "is not set"),
        ({"kind": "certificate", "client_id": "x"}, "credential.certificate"),
        ({"kind": "certificate", "client_id": "x", "certificate": "/nowhere.pem"}, "cannot be used"),
    ],
)
def test_a_credential_with_a_part_missing_is_input_and_says_which(
    tenant: LocalTenant, credential: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        reached(tenant, credential)


def test_no_part_of_a_file_is_a_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(InputError, match="it is larger than 1 MiB"):
        secret_value(f"file:{tmp_path / 'secret'}")


def test_secrets_come_from_where_the_reference_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    monkeypatch.setenv("SOME_SECRET", "from-env")
    assert secret_value(f"file:{tmp_path / 'secret'}") == "from-file"
    assert secret_value("env:SOME_SECRET") == "from-env"
    (tmp_path / "empty").write_text("\n")
    for reference in (f"file:{tmp_path / 'empty'}", f"file:{tmp_path / 'nowhere'}", "env:NO_SUCH_VARIABLE_HERE"):
        with pytest.raises(InputError):
            secret_value(reference)


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.!!!.c", "a.W10.c"])
def test_an_opaque_token_has_no_claims(token: str) -> None:
    assert claims_of(token) == {}
