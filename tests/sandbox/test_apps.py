"""The sandbox's applications: which there are, what proves them, what a seed may not say of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jwt
import pytest

from provisioner.sandbox.apps import AppCredentials, ensure_standard_apps
from provisioner.sandbox.tenant import Tenant
from provisioner.sandbox.tls import ensure_signing_key


def tenant_with(*apps: dict[str, Any]) -> Tenant:
    tenant = Tenant()
    tenant.apps = list(apps)
    ensure_standard_apps(tenant)
    return tenant


def test_a_tenant_without_applications_gets_a_writer_and_a_reader() -> None:
    apps = {app["displayName"]: app for app in tenant_with().apps}
    assert set(apps) == {"app", "reader_app"}
    assert apps["app"]["directoryRoles"] == ["Exchange Administrator"]
    assert apps["reader_app"]["directoryRoles"] == ["Global Reader"]
    assert apps["app"]["appRoles"]["https://outlook.office365.com"] == ["Exchange.ManageAsApp"]
    assert apps["app"]["appId"] != apps["reader_app"]["appId"]


def test_a_seeded_application_named_app_stands_for_ours() -> None:
    tenant = tenant_with({"displayName": "app", "appRoles": {}})
    assert [app["displayName"] for app in tenant.apps] == ["app", "reader_app"]
    assert (tenant.apps[0]["appRoles"], tenant.apps[0]["directoryRoles"]) == ({}, [])
    before = [dict(app) for app in tenant.apps]
    ensure_standard_apps(tenant)
    assert tenant.apps == before


@pytest.mark.parametrize(
    "app",
    [
        {"appId": "../../elsewhere"},
        {"appId": 7},
        {"objectId": "x"},
        {"secrets": "x"},
        {"secrets": [{"plain": "x"}]},
        {"certificates": [{}]},
        {"appRoles": []},
    ],
)
def test_an_application_of_another_shape_is_refused(app: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"appId|objectId|secrets|certificates|appRoles"):
        tenant_with(app)


def test_the_tenant_keeps_only_what_is_public(tmp_path: Path) -> None:
    app = tenant_with().apps[0]
    entry = AppCredentials(app, tmp_path, ensure_signing_key(tmp_path / "issuer.pem")).ensure()
    secret = Path(entry["secret_file"]).read_text()
    assert [row["sha256"] for row in app["secrets"]] == [hashlib.sha256(secret.encode()).hexdigest()]
    assert secret not in repr(app)
    assert "PRIVATE" not in repr(app)


def test_credentials_are_made_once_and_the_assertion_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, issuer = tenant_with().apps[0], ensure_signing_key(tmp_path / "issuer.pem")
    first = AppCredentials(app, tmp_path, issuer)
    entry = first.ensure()
    secret, token = (Path(entry[name]).read_text() for name in ("secret_file", "federated_token_file"))
    second = AppCredentials(app, tmp_path, issuer)
    assert second.ensure() == entry
    assert Path(entry["secret_file"]).read_text() == secret
    assert [len(app[name]) for name in ("secrets", "certificates", "federated")] == [1, 1, 1]

    def expiry(text: str) -> int:
        return int(jwt.decode(text, options={"verify_signature": False})["exp"])

    now = expiry(token) - 3600
    monkeypatch.setattr("time.time", lambda: now + 1800)
    second.renew_federated_token()
    assert expiry(Path(entry["federated_token_file"]).read_text()) == expiry(token) + 1800
