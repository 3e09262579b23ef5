"""The material for pipelines: every command line in it is one that the program takes, and the action's steps run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from provisioner.cli.main import cli
from tests.cli.shop import Shop, open_shop

ROOT = Path(__file__).parents[1]
ACTION = ROOT / ".github" / "actions" / "provisioner" / "action.yml"
FILES = [
    ACTION,
    ROOT / "docs" / "ci" / "github.yml",
    ROOT / "docs" / "ci" / "gitlab.yml",
    ROOT / ".pre-commit-hooks.yaml",
]


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def command_lines() -> list[str]:
    found = []
    examples = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "approvals.md").read_text(), re.DOTALL)
    for content in (*(file.read_text() for file in FILES), *examples):
        for text in texts(yaml.safe_load(content)):
            joined = text.replace("\\\n", " ")
            found += [line.strip() for line in joined.splitlines() if re.match(r"\s*provisioner ", line)]
    return sorted(set(found))


def test_there_is_something_to_check() -> None:
    assert len(command_lines()) >= 10


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_is_one_that_the_program_takes(line: str) -> None:
    plain = re.split(r" (?:\|\||>|;)", line.replace('\\"', '"'))[0]
    arguments = shlex.split(plain)[1:]
    context = cli.make_context("provisioner", list(arguments), resilient_parsing=True)
    rest = [*context._protected_args, *context.args]
    command = cli.get_command(context, rest[0])
    assert command is not None, rest[0]
    if rest[0] != "validate" or len(rest) > 1:
        command.make_context(rest[0], rest[1:], parent=context, resilient_parsing=False)


def test_an_option_that_is_not_there_would_be_found() -> None:
    command = cli.get_command(click.Context(cli), "plan")
    assert command is not None
    with pytest.raises(click.UsageError):
        command.make_context("plan", ["--out-markdwon", "x"])


# --- what is installed -----------------------------------------------------------------------------------------------

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = {re.split(r"[^\w.-]", r)[0] for r in PROJECT["dependencies"]}
OURS = re.compile(r"\.|PROVISIONER|/opt/provisioner|\$GITHUB_ACTION_PATH/\.\./\.\./\.\.")
"""How the examples write a checkout of this repository."""


def installations() -> list[tuple[str, str]]:
    """Every `pip install` that somebody may copy or that runs in a pipeline, with the file that it stands in."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*"), *(ROOT / ".github").rglob("*"), *ROOT.glob(".*.yaml")]
    files += (ROOT / "provisioner").rglob("*.py")
    found = []
    for file in (f for f in files if f.is_file()):
        text = file.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            found += [(str(file.relative_to(ROOT)), part) for part in re.findall(r"pip3? install\b[^`;|&]*", line)]
    return found


def installed(line: str) -> Iterator[str]:
    """What a `pip install` names: requirements and lock files. Braces of a Python text stand for an extra."""
    plain = line.replace("{extra}", "kerberos")
    words = [word.strip("\"'") for word in re.findall(r"\"[^\"]+\"|'[^']+'|[^\s\"')]+", plain)]
    yield from (word for word in words[2:] if not word.startswith("-"))


def foreign(word: str) -> bool:
    """Whether it is neither this project nor one of its dependencies. Its own name is too, until it is registered."""
    if word.endswith("requirements.lock"):
        return False
    name = re.sub(r"\[[\w,-]+\]$", "", word)
    return not OURS.fullmatch(name) and name not in DEPENDENCIES


def test_the_name_of_the_distribution_is_our_own_and_told() -> None:
    """`provisioner` on PyPI is a project of 2016 that is not ours (pypi.org/project/provisioner)."""
    assert PROJECT["name"] == "exchange-provisioner"
    assert PROJECT["scripts"] == {"provisioner": "provisioner.cli.main:run"}
    assert f"`{PROJECT['name']}`" in (ROOT / "README.md").read_text()
    assert f"`{PROJECT['name']}`" in (ROOT / "docs" / "continuous-integration.md").read_text()


def test_examples_install_nothing_that_is_not_ours() -> None:
    found = installations()
    assert {"README.md", "docs/ci/gitlab.yml", ".github/actions/provisioner/action.yml"} <= {file for file, _ in found}
    assert [(file, word) for file, line in found for word in installed(line) if foreign(word)] == []


@pytest.mark.parametrize("word", ["provisioner", "provisioner[kerberos]", "provisioner==0.1.2", "exchange-provisioner"])
def test_a_name_that_an_index_would_answer_is_found(word: str) -> None:
    assert [w for w in installed(f"pip install --quiet '{word}'") if foreign(w)] == [word]


def test_python_in_a_pipeline_imports_nothing_from_the_checkout() -> None:
    """`python -m` and `python -c` put the working directory in front of the standard library, unless -P is given."""
    texts_ = [text for file in FILES for text in texts(yaml.safe_load(file.read_text()))]
    calls = [call for text in texts_ for call in re.findall(r"\bpython3? +(.*)", text)]
    assert len(calls) >= 5
    assert [call for call in calls if not call.startswith("-P ")] == []


# --- the action ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    tool = folder / "bin" / "provisioner"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m provisioner "$@"\n')
    tool.chmod(0o755)
    with open_shop(folder) as here:
        yield here


def act(shop: Shop, command: str, profile: str, **inputs: str) -> tuple[int, dict[str, str], str]:
    """The action's second step, as the runner would run it: exit code, outputs, summary."""
    step = yaml.safe_load(ACTION.read_text())["runs"]["steps"][1]
    output, summary = shop.folder / "output", shop.folder / "summary"
    for file in (output, summary):
        file.write_text("")
    place = {
        **shop.environment,
        "CI": "true",
        "PATH": f"{shop.folder / 'bin'}:{os.environ['PATH']}",
        "COMMAND": command, "PLAN": "plan.yaml", "PROFILE": profile, "FILE": "changes.json", "EXPECT": "",
        "MAX_AGE": "24h", "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary), **inputs,
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", step["run"]], cwd=shop.folder, env=place, capture_output=True, text=True, timeout=120
    )
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return done.returncode, outputs, summary.read_text()


def test_the_action_plans_as_a_reader_and_applies_what_was_approved(shop: Shop) -> None:
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n")
    code, outputs, summary = act(shop, "plan", "sandbox-reader")
    assert (code, outputs["changes"]) == (0, "true")
    assert "1 to change" in summary
    assert act(shop, "apply", "sandbox", EXPECT="sha256:" + "0" * 64)[0] == 7
    assert act(shop, "apply", "sandbox", EXPECT=outputs["digest"])[0] == 0
    code, outputs, _ = act(shop, "plan", "sandbox-reader")
    assert (code, outputs["changes"]) == (0, "false")


def test_without_a_digest_the_action_applies_what_the_plan_of_the_checkout_leads_to(shop: Shop) -> None:
    shop.write("smtp_auth: { mailboxes: { fax@contoso.com: enabled } }\n")
    assert act(shop, "plan", "sandbox-reader")[0] == 0
    shop.write("smtp_auth: { mailboxes: { fax@contoso.com: disabled } }\n")
    assert act(shop, "apply", "sandbox")[0] == 7
    shop.write("smtp_auth: { mailboxes: { fax@contoso.com: enabled } }\n")
    assert act(shop, "apply", "sandbox")[0] == 0


def test_in_a_pipeline_every_saved_change_set_is_tied_to_its_review() -> None:
    applied = [line for line in command_lines() if re.search(r" apply (\S*changes\.json|\"\$FILE\")", line)]
    assert len(applied) >= 3
    assert [line for line in applied if not re.search(r" --(expect-digest|plan|require-approval) ", line)] == []


def test_the_action_tells_drift_and_passes_errors_on(shop: Shop) -> None:
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: disabled } }\n")
    code, outputs, summary = act(shop, "drift", "sandbox-reader")
    assert (code, outputs["changes"], "erp@contoso.com" in summary) == (0, "true", True)
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: perhaps } }\n")
    assert act(shop, "plan", "sandbox-reader")[0] != 0
    assert act(shop, "sing", "sandbox-reader")[0] == 3
