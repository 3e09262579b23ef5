"""What README.md and the changelog show is true."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path

import yaml

from provisioner import __version__, diagnostics
from provisioner.cli.main import COMMANDS
from provisioner.plan import document
from provisioner.resources import TYPES
from tests.blocks import blocks as blocks_of
from tests.local_tenant import sandbox

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return [block.text for block in blocks_of(text) if block.language == language]


def test_the_plan_in_the_readme_is_valid(tmp_path: Path) -> None:
    plan, devices = blocks("yaml")
    (tmp_path / "plan.yaml").write_text(plan, encoding="utf-8")
    desired, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 23))
    assert len(desired.resources) == 4
    (tmp_path / "plan.yaml").write_text(plan + devices, encoding="utf-8")
    desired, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 23))
    assert desired.choices["scanner-3f"].method == "smtp_relay"


def test_the_readme_names_every_page() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in README, page


def test_the_plan_in_the_page_on_plans_is_valid(tmp_path: Path) -> None:
    (plan,) = blocks("yaml", (ROOT / "docs" / "plan.md").read_text(encoding="utf-8"))
    (tmp_path / "plan.yaml").write_text(plan, encoding="utf-8")
    desired, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 23))
    assert (len(desired.absent), len(desired.waivers)) == (1, 1)


def test_the_seed_in_the_page_on_the_sandbox_loads(tmp_path: Path) -> None:
    seed, quotas = blocks("yaml", (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8"))
    (tmp_path / "seed.yaml").write_text(seed, encoding="utf-8")
    with sandbox(tmp_path / "state", tmp_path / "seed.yaml") as tenant:
        assert len(tenant.rows("CASMailbox")) == 102
        tenant.control("POST", "/load", {"sandbox": 1, **yaml.safe_load(quotas)})


def test_the_profile_in_the_readme_is_valid(tmp_path: Path) -> None:
    from provisioner.settings.files import load_settings

    (profile,) = blocks("toml")
    tomllib.loads(profile)
    (tmp_path / "provisioner.toml").write_text(profile, encoding="utf-8")
    assert load_settings("prod", tmp_path).credential.kind == "client_secret"


def test_every_command_in_the_readme_exists() -> None:
    named = re.findall(r"(?m)^ *\$ provisioner (?:--profile \w+ )?(\w+)", README)
    assert named
    assert set(named) <= set(COMMANDS)
    for script in re.findall(r"scripts/([\w-]+)", README):
        assert (ROOT / "scripts" / script).is_file()


def test_every_exit_code_is_in_the_table() -> None:
    told = {int(code) for code in re.findall(r"(?m)^\| (\d+) \|", README)}
    used = {
        getattr(diagnostics, n).exit_code for n in dir(diagnostics) if hasattr(getattr(diagnostics, n), "exit_code")
    }
    assert used | {0, 2} == told


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_changelog_has_this_version_or_the_changes_that_it_will_have() -> None:
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    fragments = sorted((ROOT / ".changes").iterdir())
    assert f"## {__version__} " in log or fragments
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
    assert config["start_string"] in log
    types = "|".join(kind["directory"] for kind in config["type"])
    assert [f.name for f in fragments if not re.fullmatch(rf"\+[a-z0-9.-]+\.({types})\.md", f.name)] == []
    assert [f.name for f in fragments if not re.match(r"\S", f.read_text(encoding="utf-8"))] == []
