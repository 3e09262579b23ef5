"""The page on the command line is what the program says of itself; every option has its help."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.testing import CliRunner

from tests import reference


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
