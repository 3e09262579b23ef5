"""The page on the command line is what the program says of itself; every option has its help."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests import reference
from tests.cli.in_process import run_in_process
from tests.generated import whole


def test_the_page_is_what_the_program_says(golden: Callable[[str, str], None]) -> None:
    golden(str(reference.DOCS / "command-line.md"), reference.commands_page())


def test_every_command_and_option_is_explained() -> None:
    for typed, command in reference.commands():
        assert command.help, typed
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{typed} {option.name}"


def test_the_help_of_a_group_shows_whole_sentences() -> None:
    groups = [command for _, command in reference.commands() if isinstance(command, click.Group)]
    assert len(groups) > 5
    for group in groups:
        shown = CliRunner().invoke(group, ["--help"]).output
        assert [line for line in shown.splitlines() if line.endswith("...") and "[OPTIONS]" not in line] == []


# --- a name that no file can have ------------------------------------------------------------------------------------

NO_NAME = "x" * 300
"""File systems take 255 bytes (pathconf(3), NAME_MAX)."""


def _naming() -> Iterator[list[str]]:
    """Each command line that names a file or a folder, once for each place where it can."""
    for typed, command in reference.commands():
        places = [p for p in command.params if isinstance(p.type, click.Path)]
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        for place in () if isinstance(command, click.Group) else places:
            given = [NO_NAME if p is place else "plans" if p in places else "txt" for p in arguments]
            option = [place.opts[-1], NO_NAME] if isinstance(place, click.Option) else []
            yield [*typed.split(), *given, *option]


def test_a_name_that_no_file_can_have_is_a_mistake_and_no_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plan.yaml").write_text("provisioner: 1\ntenant: contoso.onmicrosoft.com\n")
    environment = {"HOME": str(tmp_path), "PROVISIONER_STATE_DIR": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    every = list(_naming())
    assert len(every) > 60
    for arguments in every if whole() else [["validate", NO_NAME], *random.sample(every, 9)]:
        done = run_in_process(arguments, tmp_path, environment)
        assert "a fault of provisioner" not in done.stderr, arguments
        assert done.returncode in {0, 1, 3, 4}, (arguments, done.stderr)


@pytest.mark.parametrize("command", [["plan", "plan.yaml", "-o"], ["plan", "plan.yaml", "--out-html"], ["graph", "-o"]])
def test_a_result_is_not_written_over_a_plan(tmp_path: Path, command: list[str]) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("provisioner: 1\n", encoding="utf-8")
    done = run_in_process([*command, "plan.yaml"], tmp_path, {})
    assert (done.returncode, "plan.yaml exists and is YAML" in done.stderr) == (3, True), done.stderr
    assert plan.read_text(encoding="utf-8") == "provisioner: 1\n"


@pytest.mark.parametrize("outputs", [["-o", "x", "--out-html", "x"], ["--out-json", "-", "--out-html", "-"]])
def test_two_results_do_not_go_to_one_place(tmp_path: Path, outputs: list[str]) -> None:
    done = run_in_process(["plan", "plan.yaml", *outputs], tmp_path, {})
    assert (done.returncode, f"{outputs[1]} is named for two results" in done.stderr) == (3, True), done.stderr
