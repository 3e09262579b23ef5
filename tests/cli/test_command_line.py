"""The page on the command line is what the program says of itself; every option has its help."""

from __future__ import annotations

from collections.abc import Callable

import click

from tests import reference


def test_the_page_is_what_the_program_says(golden: Callable[[str, str], None]) -> None:
    golden(str(reference.DOCS / "command-line.md"), reference.commands_page())


def test_every_command_and_option_is_explained() -> None:
    for typed, command in reference.commands():
        assert command.help, typed
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{typed} {option.name}"
