"""Completion of words in PowerShell, bash, zsh and fish."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Parser

from provisioner.cli.completion import COMPLETE, Bash, Fish, PowerShellComplete, Zsh
from provisioner.cli.main import cli

ROOT = str(Path(__file__).parents[2])


def offered(monkeypatch: pytest.MonkeyPatch, *words: str, incomplete: str = "") -> dict[str, str]:
    """What PowerShell is told about a line: the values, each with its tool tip."""
    monkeypatch.setenv("COMP_WORDS", "\n".join(["provisioner", *words, *([incomplete] if incomplete else [])]))
    if incomplete:
        monkeypatch.setenv("COMP_CWORD", incomplete)
    else:
        monkeypatch.delenv("COMP_CWORD", raising=False)  # as PowerShell does with one that becomes empty
    lines = PowerShellComplete(cli, {}, "provisioner", COMPLETE).complete().splitlines()
    return dict(line.split("\t") for line in lines)


def test_the_script_is_powershell() -> None:
    script = PowerShellComplete(cli, {}, "provisioner", COMPLETE).source()
    tree = Parser(Language(tree_sitter_powershell.language())).parse(script.encode())
    assert not tree.root_node.has_error, script
    assert "-CommandName provisioner" in script
    assert script.isascii()


def test_commands_subcommands_options_and_values_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(offered(monkeypatch, incomplete="dr")) == {"drift"}
    assert set(offered(monkeypatch, "sandbox", incomplete="sta")) == {"start", "status"}
    assert set(offered(monkeypatch, "plan", incomplete="--out-m")) == {"--out-markdown"}
    assert set(offered(monkeypatch, "lint", "--format")) == {"text", "json", "github", "sarif"}
    assert set(offered(monkeypatch, "-C", r"C:\my plans", "completion", incomplete="p")) == {"powershell"}


def test_every_offer_has_a_tool_tip_on_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = offered(monkeypatch)
    assert {"plan", "apply"} <= set(found)
    assert all(found.values())


def test_profiles_rules_and_addresses_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    header = "provisioner: 1\ntenant: contoso.onmicrosoft.com\n"
    plan = header + "smtp_auth: { organization: disabled, mailboxes: { erp@contoso.com: enabled } }\n"
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plan.yaml").write_text(plan, encoding="utf-8")
    (tmp_path / "provisioner.toml").write_text("[profiles.prod]\n[profiles.pilot]\n[profiles.test]\n", encoding="utf-8")
    assert set(offered(monkeypatch, "--profile", incomplete="p")) == {"prod", "pilot"}
    assert set(offered(monkeypatch, "plan", "--allow", incomplete="SMTP-T")) == {"SMTP-TENANT-WIDE"}
    wanted = {"smtp_auth/erp@contoso.com", "smtp_auth/organization"}
    assert set(offered(monkeypatch, "plan", "--target", incomplete="smtp_auth/")) == wanted
    assert set(offered(monkeypatch, "drift", "--exclude", incomplete="smtp_auth/e")) == {min(wanted)}


def test_devices_rules_and_runs_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROVISIONER_STATE_DIR", str(tmp_path / "state"))
    device = 'devices: { mfp: { from: a@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [basic] } } }'  # noqa: E501
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plan.yaml").write_text(f"provisioner: 1\ntenant: contoso.com\n{device}\n", encoding="utf-8")
    assert set(offered(monkeypatch, "devices", "show")) == {"mfp"}
    assert set(offered(monkeypatch, "probe", incomplete="m")) == {"mfp"}
    assert set(offered(monkeypatch, "explain", incomplete="device/")) == {"device/mfp"}
    assert set(offered(monkeypatch, "explain", incomplete="IP-P")) == {"IP-PRIVATE"}
    assert set(offered(monkeypatch, "rollback", incomplete="l")) == {"last"}
    assert set(offered(monkeypatch, "history", "show")) == {"last"}


def test_the_plan_is_that_of_the_environment_and_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    environments = here / "plans" / "environments"
    for name in ("test", "prod"):
        (environments / name).mkdir(parents=True)
        plan = f"provisioner: 1\ntenant: contoso.com\ndkim: {{ {name}.contoso.com: {{ enabled: true }} }}\n"
        (environments / name / "tenant.yaml").write_text(plan, encoding="utf-8")
    for folder, options in ((here, ()), (tmp_path, ("-C", "here"))):
        monkeypatch.chdir(folder)
        found = offered(monkeypatch, *options, "--profile", "prod", "plan", "--target", incomplete="dkim/")
        assert set(found) == {"dkim/prod.contoso.com"}


@pytest.mark.parametrize(
    ("line", "replaced", "wanted"),
    [
        ("provisioner plan --target send_as/", "send_as/", "plain,send_as/a@x.com as b@x.com"),
        ("provisioner plan --target send_as/a@x", "@x", "plain,@x.com as b@x.com"),
        ("provisioner plan --target send_as/a@x.com\\ as", "@x.com\\ as", "plain,@x.com as b@x.com"),
        ("provisioner plan --target=send", "send", "plain,send_as/a@x.com as b@x.com"),
        ("provisioner plan --format ma", "ma", "plain,markdown"),
        ("provisioner plan --format=ma", "ma", "plain,markdown"),
        ("provisioner -C ", "", "dir,"),
    ],
)
def test_bash_gets_what_follows_the_part_that_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, replaced: str, wanted: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    plan = "provisioner: 1\ntenant: x.onmicrosoft.com\nsend_as: { a@x.com: [b@x.com] }\n"
    (tmp_path / "plans" / "plan.yaml").write_text(plan, encoding="utf-8")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", replaced)
    assert Bash(cli, {}, "provisioner", COMPLETE).complete().splitlines() == [wanted]


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_takes_its_script_and_quotes_spaces(tmp_path: Path) -> None:
    answer = tmp_path / "provisioner"
    answer.write_text("#!/bin/sh\necho 'plain,@x.com as b@x.com'\n")
    answer.chmod(0o755)
    line = "provisioner plan --target send_as/a@"
    script = Bash(cli, {}, "provisioner", COMPLETE).source() + (
        f"\nCOMP_LINE='{line}' COMP_POINT={len(line)} COMP_CWORD=1; _provisioner_completion {answer} @ x\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout == "@x.com\\ as\\ b@x.com\n", done.stderr


def test_other_shells_get_the_whole_word_and_whole_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "provisioner plan --format=ma")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert Zsh(cli, {}, "provisioner", COMPLETE).complete().startswith("plain\n--format=markdown\n")
    monkeypatch.setenv("COMP_CWORD", "--format=ma")
    fish = Fish(cli, {}, "provisioner", COMPLETE)
    assert fish.complete() == "plain,--format=markdown"
    assert 'split --max 1 ","' in fish.source(), "a description with commas stays whole"


def test_what_cannot_be_read_offers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plan.yaml").write_text("smtp_auth: [", encoding="utf-8")
    (tmp_path / "provisioner.toml").write_text("[profiles", encoding="utf-8")
    assert offered(monkeypatch, "--profile", incomplete="p") == {}
    assert offered(monkeypatch, "plan", "--target", incomplete="s") == {}


def test_files_are_left_to_powershell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(monkeypatch, "plan", "-o", incomplete="cha") == {}


def test_the_program_answers_powershell() -> None:
    asked = {**os.environ, "PYTHONPATH": ROOT, COMPLETE: "powershell_complete", "COMP_WORDS": "provisioner\ndri"}
    asked["COMP_CWORD"] = "dri"
    command = [sys.executable, "-c", "from provisioner.cli.main import run; run()"]
    done = subprocess.run(command, env=asked, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split("\t")[0]) == (0, "drift"), done.stderr
