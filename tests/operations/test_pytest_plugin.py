"""The fixture `exchange_tenant`, as another project's tests use it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import provisioner
from tests.cli.in_process import forking

TESTS = """
import os, smtplib, ssl
import httpx
import pytest

def test_the_ini_option_seeds_it(exchange_tenant):
    rows = exchange_tenant.cmdlet("Get-InboundConnector", {})["rows"]
    assert [row["Name"] for row in rows] == ["hq"]
    assert exchange_tenant.requests() == []
    exchange_tenant.cmdlet("Remove-InboundConnector", {"Identity": "hq"})
    exchange_tenant.fault({"front": "entra", "do": {"status": 503}})

def test_each_test_has_the_tenant_of_the_start(exchange_tenant):
    assert len(exchange_tenant.cmdlet("Get-InboundConnector", {})["rows"]) == 1

def test_a_script_that_knows_only_the_service(exchange_tenant, exchange_environment):
    assert os.environ["AZURE_CLIENT_ID"] == exchange_tenant.endpoints["app"]["client_id"]
    trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    form = {"grant_type": "client_credentials", "client_id": os.environ["AZURE_CLIENT_ID"],
            "client_secret": os.environ["AZURE_CLIENT_SECRET"], "scope": "https://graph.microsoft.com/.default"}
    with httpx.Client(verify=trust) as client:
        where = f"https://login.microsoftonline.com/{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
        assert client.post(where, data=form).status_code == 200
    assert [r["status"] for r in exchange_tenant.requests() if r["front"] == "entra"] == [200]
    host, _, port = os.environ["SANDBOX_SMTP_MX"].rpartition(":")
    with smtplib.SMTP(host, int(port)) as mx:
        mx.sendmail("app@contoso.com", ["erp@contoso.com"], "From: app@contoso.com\\nSubject: Hi\\n\\nx")
    assert [m["subject"] for m in exchange_tenant.mail()] == ["Hi"]

@pytest.mark.exchange_tenant("other.yaml", {"mailboxes": ["a@fabrikam.com"]})
def test_a_marker_names_other_seeds(exchange_tenant):
    assert exchange_tenant.endpoints["initial_domain"] == "fabrikam.onmicrosoft.com"
    assert exchange_tenant.cmdlet("Get-Mailbox", {"Identity": "a@fabrikam.com"})["rows"]
    assert exchange_tenant.mail() == []
    exchange_tenant.advance(3600)
    exchange_tenant.load({"sandbox": 1, "mailboxes": ["b@fabrikam.com"]})
    assert exchange_tenant.cmdlet("Get-Mailbox", {"Identity": "b@fabrikam.com"})["rows"]
    exchange_tenant.load("tests/tenant.yaml")
    assert [row["Name"] for row in exchange_tenant.cmdlet("Get-InboundConnector")["rows"]] == ["hq"]

@pytest.mark.exchange_tenant("missing.yaml")
def test_a_seed_that_is_missing(exchange_tenant):
    pass
"""
TENANT = """
sandbox: 1
objects:
  AcceptedDomain: [{ DomainName: contoso.com, Default: true }]
  InboundConnector: [{ Name: hq, ConnectorType: OnPremises, SenderIPAddresses: [192.0.2.5] }]
mailboxes: [erp@contoso.com]
"""
OTHER = """
sandbox: 1
tenant: { initial_domain: fabrikam.onmicrosoft.com }
objects: { AcceptedDomain: [{ DomainName: fabrikam.com, Default: true }] }
"""
PAGE = Path(__file__).parents[2] / "docs" / "offline-tests.md"
PLAIN = ("randomly", "xdist", "cacheprovider", "faulthandler")


class Outcomes:
    """What became of each test, by its name: "passed", or why it failed."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.when == "call" or not report.passed:
            self.of[name] = "passed" if report.passed else report.longreprtext


def run_project(folder: Path) -> dict[str, str]:
    """The tests of another project, in this process.

    Not by pytest's own fixture for that: it takes away the modules that were loaded meanwhile, and classes that
    other tests load again are then not the same.
    """
    outcomes, before = Outcomes(), set(sys.modules)
    without = [word for name in PLAIN for word in ("-p", f"no:{name}")]
    with forking():
        options = ["-p", "provisioner.operations.pytest_plugin", *without, "--rootdir", str(folder)]
        pytest.main([*options, "-c", str(folder / "pytest.ini"), str(folder / "tests")], plugins=[outcomes])
    for name in {"test_mail", "test_example"} - before:
        sys.modules.pop(name, None)
    return outcomes.of


def test_another_projects_tests_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example, script = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    files = {
        "pytest.ini": "[pytest]\naddopts = --strict-markers\nexchange_tenant_seed = tests/tenant.yaml\n",
        "tests/test_mail.py": TESTS,
        "tests/tenant.yaml": TENANT,
        "tests/other.yaml": OTHER,
        "tests/test_example.py": example,
        "scripts/disable_smtp_auth.py": script,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = run_project(tmp_path)
    why = found.pop("test_a_seed_that_is_missing")
    assert len(found) == 5
    assert set(found.values()) == {"passed"}, found
    assert "SEED-MISSING" in why
    assert "name a seed or an export" in why
    assert len(why.splitlines()) < 4


def test_it_loads_nothing_before_a_test_asks_for_it() -> None:
    plugin = "provisioner.operations.pytest_plugin"
    code = f"import sys, pytest; before = set(sys.modules); import {plugin}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["provisioner", "provisioner.operations", plugin]


def test_a_tenant_opens_from_paths_as_text(tmp_path: Path) -> None:
    seed = tmp_path / "tenant.yaml"
    seed.write_text(TENANT)
    more = {"mailboxes": ["c@fabrikam.com"]}
    with provisioner.open_sandbox(str(seed), more, state=str(tmp_path / "state")) as sandbox:
        assert [row["Name"] for row in sandbox.cmdlet("Get-InboundConnector", {})["rows"]] == ["hq"]
