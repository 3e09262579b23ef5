"""`provisioner test`: cases that pass, cases that fail with what is not as expected, and files that are wrong."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cli.in_process import run_in_process

ROOT = Path(__file__).parents[2]
HEAD = """provisioner_test: 1
cases:
  it:
    given:
      tenant: { tenant: { initial_domain: contoso.onmicrosoft.com }, mailboxes: [a@contoso.onmicrosoft.com] }
"""
PLAN = """    plan: |
      provisioner: 1
      tenant: contoso.onmicrosoft.com
      smtp_auth: { mailboxes: { a@contoso.onmicrosoft.com: enabled } }
"""


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "it.test.yaml").write_text(text)
    return run_tests(folder, "it.test.yaml", *options)


def run_tests(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k.startswith("PROVISIONER_")}
    place = {**kept, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return run_in_process(["test", *arguments], folder, place)


def test_the_example_passes(tmp_path: Path) -> None:
    done = run_tests(tmp_path, str(ROOT / "plans" / "tests"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed, 0 failed." in done.stdout


def test_a_case_runs_on_its_own_sandbox_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of a real tenant stand in the environment of a pipeline: no case may go there."""
    for name in ("GRAPH", "EXCHANGE", "AUTHORITY"):
        monkeypatch.setenv(f"PROVISIONER_ENDPOINTS__{name}", "https://127.0.0.1:9")
    monkeypatch.setenv("PROVISIONER_CREDENTIAL__KIND", "workload_identity")
    changes = "    expect: { changes: { smtp_auth/a@contoso.onmicrosoft.com: update } }\n"
    done = run(tmp_path, HEAD + PLAN + changes)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_that_is_not_as_expected_is_told(tmp_path: Path) -> None:
    expect = """    expect:
      changes: { smtp_auth/b@contoso.onmicrosoft.com: update }
      findings: [IP-PRIVATE]
      after:
        - cmdlet: Get-CASMailbox
          parameters: { Identity: a@contoso.onmicrosoft.com }
          has: { SmtpClientAuthenticationDisabled: true }
        - { cmdlet: Get-CASMailbox, parameters: { Identity: nobody }, none: true }
        - { cmdlet: Get-CASMailbox, parameters: { Identity: nobody }, has: { Name: x } }
"""
    done = run(tmp_path, HEAD + PLAN + expect, "--junit", "j.xml")
    assert done.returncode == 1
    assert "b@contoso.onmicrosoft.com: update was expected, no change is planned" in done.stdout
    assert "a@contoso.onmicrosoft.com: update is planned and was not expected" in done.stdout
    assert "IP-PRIVATE was expected and not found" in done.stdout
    assert "SmtpClientAuthenticationDisabled is False, and True was expected" in done.stdout
    assert "Get-CASMailbox returns nothing" in done.stdout
    suite = ET.parse(tmp_path / "j.xml").getroot()
    (case,) = suite
    assert len(case) == 5
    assert suite.get("time") == case.get("time") != "0.000"
    assert dt.datetime.fromisoformat(suite.get("timestamp") or "").tzinfo is dt.UTC


def test_a_plan_that_is_wrong_fails_its_case_and_no_sandbox_is_left(tmp_path: Path) -> None:
    plan = "    plan: |\n      provisioner: 1\n      tenant: other.onmicrosoft.com\n    expect: {}\n"
    done = run(tmp_path, HEAD + plan)
    assert done.returncode == 1
    assert "the plan is for other.onmicrosoft.com" in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("provisioner_test: 1\ncases: { it: { plan: x.yaml, expects: {} } }\n", "it.test.yaml:2:"),
        ("provisioner_test: 2\ncases: {}\n", "it.test.yaml:1:"),
        ("provisioner_test: 1\ncases: [\n", "it.test.yaml:2:"),
    ],
)
def test_a_test_file_that_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    done = run(tmp_path, text)
    assert done.returncode == 3
    assert words in done.stderr


def test_a_place_without_tests_is_told(tmp_path: Path) -> None:
    done = run_tests(tmp_path, ".")
    assert (done.returncode, "no *.test.yaml" in done.stderr) == (3, True)
