"""An `environments/` folder: the profile chooses the plan, and no command needs an option for it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.in_process import run_in_process

SHARED = """variables:
  domain: { type: domain }
smtp_auth:
  mailboxes:
    scanner@${domain}: enabled
"""


def environment(folder: Path, name: str, tenant: str, domain: str) -> None:
    place = folder / "plans" / "environments" / name
    place.mkdir(parents=True)
    text = f"provisioner: 1\ntenant: {tenant}\ninclude: [../../devices.yaml]\n"
    (place / "tenant.yaml").write_text(text, encoding="utf-8")
    (place / "values.auto.yaml").write_text(f"domain: {domain}\n", encoding="utf-8")


def test_the_profile_chooses_the_environment(tmp_path: Path) -> None:
    environment(tmp_path, "test", "contosotest.onmicrosoft.com", "test.contoso.com")
    environment(tmp_path, "prod", "contoso.onmicrosoft.com", "contoso.com")
    (tmp_path / "plans" / "devices.yaml").write_text(SHARED, encoding="utf-8")

    prod = tmp_path / "plans" / "environments" / "prod" / "dkim.yaml"
    prod.write_text('dkim: { "contoso.com": { enabled: true } }\n', encoding="utf-8")

    def resources(*options: str, **environment: str) -> int:
        done = run_in_process([*options, "validate", "--format", "json"], tmp_path, environment)
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)["resources"])

    assert resources("--profile", "prod") == 2
    assert resources(PROVISIONER_PROFILE="test") == 1
    assert resources("--profile", "test", PROVISIONER_PROFILE="prod") == 1
    none = run_in_process(["validate"], tmp_path, {})
    assert none.returncode == 3
    assert "the variable domain has no value" in none.stderr
    (tmp_path / "plans" / "devices.yaml").rename(tmp_path / "devices.yaml")
    none = run_in_process(["validate"], tmp_path, {})
    assert "choose the profile of an environment (--profile NAME or PROVISIONER_PROFILE): prod, test" in none.stderr


def test_a_profile_whose_name_is_a_path_chooses_nothing(tmp_path: Path) -> None:
    environment(tmp_path, "prod", "contoso.onmicrosoft.com", "contoso.com")
    (tmp_path / "outside.yaml").write_text("provisioner: 1\ntenant: evil.onmicrosoft.com\n", encoding="utf-8")
    done = run_in_process(["--profile", "../../outside", "validate"], tmp_path, {})
    assert done.returncode == 3
    assert "outside" not in done.stderr
