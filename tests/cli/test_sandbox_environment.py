"""`provisioner sandbox environment`: what other programs need, from a sandbox that runs and from nothing else."""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from provisioner.operations import sandboxes
from tests.cli.in_process import run_in_process
from tests.local_tenant import sandbox


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_in_process(["sandbox", "environment", *arguments], folder, {})


def test_a_program_signs_in_with_what_is_printed(tmp_path: Path) -> None:
    with sandbox(tmp_path / "tenant") as tenant:
        state = ("--state", str(tenant.folder))
        printed = run(tmp_path, *state)
        assert printed.returncode == 0, printed.stderr
        values = dict(line.split("=", 1) for line in printed.stdout.splitlines())
        assert json.loads(run(tmp_path, *state, "--format", "json").stdout) == values
        form = {
            "grant_type": "client_credentials",
            "client_id": values["AZURE_CLIENT_ID"],
            "client_secret": values["AZURE_CLIENT_SECRET"],
            "scope": "https://outlook.office365.com/.default",
        }
        trust = ssl.create_default_context(cafile=values["SSL_CERT_FILE"])
        with httpx.Client(proxy=values["HTTPS_PROXY"], verify=trust) as client:
            address = f"https://login.microsoftonline.com/{values['AZURE_TENANT_ID']}/oauth2/v2.0/token"
            assert "access_token" in client.post(address, data=form).json()
        reader = run(tmp_path, *state, "--app", "reader_app").stdout
        assert f"AZURE_CLIENT_ID={tenant.endpoints['reader_app']['client_id']}\n" in reader
        hosts = run(tmp_path, *state, "--format", "hosts").stdout.splitlines()
        assert {"127.0.0.1 graph.microsoft.com", "127.0.0.1 contoso.mail.protection.outlook.com"} <= set(hosts)
        elsewhere = run(tmp_path, *state, "--ca", "/ca.pem").stdout
        assert "CURL_CA_BUNDLE=/ca.pem\n" in elsewhere
        assert str(tmp_path) not in elsewhere
        unknown = run(tmp_path, *state, "--app", "other")
        assert unknown.returncode == 3
        assert "app, reader_app" in unknown.stderr


def test_files_of_a_checkout_alone_lead_no_program_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout may hold a folder that looks like a sandbox's: what it names is printed only if a process has it."""
    state = tmp_path / ".provisioner" / "sandbox"
    state.mkdir(parents=True)
    for name in ("ca.pem", "token", "secret", "sandbox.lock"):
        (state / name).write_text("x")
    app = {"client_id": "x", "secret_file": str(state / "secret"), "certificate_file": str(state / "secret")}
    endpoints = {
        "pid": 12345, "started": "x", "initial_domain": "x", "control": "https://127.0.0.1:9",
        "ca": str(state / "ca.pem"),
        "control_token_file": str(state / "token"), "lock_file": str(state / "sandbox.lock"),
        "proxy": "evil.example:80", "tenant_id": "x", "apps": {"app": app}, "app": app, "reader_app": app,
        "service_hosts": [], **dict.fromkeys(("smtp_submission", "smtp_hve", "smtp_mx", "dns", "psrp", "https"), "x"),
    }  # fmt: skip
    (state / "endpoints.json").write_text(json.dumps(endpoints))
    monkeypatch.setattr(sandboxes, "_listens", lambda address: True)
    assert sandboxes.find(state) is not None
    refused = run(tmp_path)
    assert refused.returncode != 0
    assert "evil.example" not in refused.stdout + refused.stderr
    (tmp_path / "outside").write_text("a secret of somebody")
    app["secret_file"] = str(tmp_path / "outside")
    (state / "endpoints.json").write_text(json.dumps({**endpoints, "app": {}, "reader_app": {}}))
    assert sandboxes.find(state) is None, "a file that an application names lies beside the others"
