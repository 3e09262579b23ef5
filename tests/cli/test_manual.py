"""`explain RULE` and the answers to commands that other programs have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.in_process import run_in_process


def test_a_rule_is_explained_without_a_plan_or_a_profile(tmp_path: Path) -> None:
    done = run_in_process(["explain", "IP-PRIVATE"], tmp_path, {})
    assert done.returncode == 0
    assert done.stdout.startswith("IP-PRIVATE (error, stops apply)\n")
    for heading in ("Why:", "Example:", "How to fix it:", "Documentation: "):
        assert heading in done.stdout
    assert "```" not in done.stdout
    document = json.loads(run_in_process(["explain", "spf-ip-missing", "--format", "json"], tmp_path, {}).stdout)
    assert (document["rule"], document["page"]) == ("SPF-IP-MISSING", "docs/mail-dns.md")


def test_an_unknown_rule_is_refused_with_a_hint(tmp_path: Path) -> None:
    done = run_in_process(["explain", "IP-PRIVAT"], tmp_path, {})
    assert (done.returncode, done.stdout) == (3, "")
    assert "did you mean IP-PRIVATE?" in done.stderr


def test_findings_name_the_command_that_explains_them(tmp_path: Path) -> None:
    connector = "inbound_connectors: { hq: { sender_ip_addresses: [52.202.8.242] } }\n"
    (tmp_path / "plan.yaml").write_text(
        f"provisioner: 1\ntenant: contoso.onmicrosoft.com\n{connector}", encoding="utf-8"
    )
    for command in ("lint", "validate"):
        done = run_in_process([command, "plan.yaml"], tmp_path, {})
        assert "More about a finding: provisioner explain CONNECTOR-TYPE-MISSING" in done.stderr


@pytest.mark.parametrize(
    ("typed", "hint"), [("import", '"export" writes'), ("destroy", "absent"), ("force-unlock", "lock release")]
)
def test_a_command_of_terraform_is_answered_with_ours(typed: str, hint: str, tmp_path: Path) -> None:
    done = run_in_process([typed], tmp_path, {})
    assert done.returncode == 3
    assert hint in done.stderr
