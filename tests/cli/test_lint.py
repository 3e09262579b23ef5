"""`provisioner lint`: what depends on a day only where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.in_process import run_in_process

PLAN = """provisioner: 1
tenant: contoso.onmicrosoft.com
allow:
  - { rule: DEVICE-RISK, reason: agreed, until: 2026-01-31 }
devices:
  badge:
    from: badge@contoso.com
    recipients: organization
    supports: { tls: "1.2", authentication: [login] }
    until: UNTIL
"""


@pytest.mark.parametrize(
    ("until", "named"), [("2026-03-31", {"DEVICE-UNTIL", "WAIVER-EXPIRED"}), ("9999-12-31", {"WAIVER-EXPIRED"})]
)
def test_days_that_have_passed_are_errors_only_where_that_is_asked_for(
    tmp_path: Path, until: str, named: set[str]
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.replace("UNTIL", until), encoding="utf-8")
    plain = run_in_process(["lint", "plan.yaml"], tmp_path, {})
    assert (plain.returncode, "error" in plain.stderr) == (0, False)
    strict = run_in_process(["lint", "--strict-dates", "plan.yaml"], tmp_path, {})
    assert strict.returncode == 3
    assert {rule for rule in ("DEVICE-UNTIL", "WAIVER-EXPIRED") if f"error[{rule}]" in strict.stderr} == named


def test_a_day_ahead_is_no_error_at_all(tmp_path: Path) -> None:
    text = PLAN.replace("UNTIL", "9999-12-31").replace("2026-01-31", "9999-12-31")
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    assert run_in_process(["lint", "--strict-dates", "plan.yaml"], tmp_path, {}).returncode == 0
