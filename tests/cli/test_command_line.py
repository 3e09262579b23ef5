"""The page on the command line is what the program says of itself; every option has its help."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from provisioner.cli.main import COMMANDS, cli

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"

HEAD = """# The command line

Every command has `--help`. What a command was asked for goes to standard output and nothing else does; notes, progress,
findings and errors go to standard error.

| exit code | what |
|---|---|
| 0 | done; for `plan`: made, whether or not there are changes |
| 1 | an error; with `--detailed-exitcode` any |
| 2 | changes are present (`plan --detailed-exitcode`, `drift`) |
| 3 | the plan (any error of `validate`, `lint`), the settings or the command line are wrong, or an extra is missing |
| 4 | sign-in refused, or a permission is missing |
| 5 | the tenant could not be read completely |
| 6 | blocked by a guard or an unmet precondition; for `plan`: shown and saved, and `apply` would refuse it |
| 7 | the change set is stale: nothing was written |
| 8 | partly applied, unconfirmed, held back, or waiting for DNS; the account was printed, and the next apply goes on |
| 9 | another apply holds the tenant |
| 10 | declined |
| 130 | interrupted (Ctrl-C) |
| 141 | output pipe closed (SIGPIPE) |
| 129, 143 | ended by SIGHUP or SIGTERM; the first (or Ctrl-C) lets an `apply` finish what is in flight: 8 |

<!-- Below: written by `pytest tests/cli/test_command_line.py --update-golden` -->

"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """The program itself, and each command and subcommand, with what is typed for it."""
    yield "", cli
    for name in COMMANDS:
        command: click.Command = importlib.import_module(f"provisioner.cli.{name}").command
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {n}", c) for n, c in command.commands.items())


def described(typed: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"provisioner {typed}")
    pieces = " ".join(command.collect_usage_pieces(context))
    whole = " ".join(filter(None, ["provisioner", typed, pieces]))
    yield f"## {typed or 'provisioner'}\n\n```\n{whole}\n```\n\n{paragraphs(command.help or '')}\n"
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    if options:
        yield "\n| option | what |\n|---|---|\n"
    for option in options:
        names, text = option.get_help_record(context) or ("", "")
        yield f"| `{names.replace('|', '&#124;')}` | {' '.join(text.split()).replace('|', '&#124;')} |\n"
    yield "\n"


def paragraphs(text: str) -> str:
    """A help text with each paragraph on one line, as Markdown renders it anyway."""
    return "\n\n".join(" ".join(part.split()) for part in text.replace("\b", "").strip().split("\n\n"))


def test_the_page_is_what_the_program_says(golden: Callable[[str, str], None]) -> None:
    parts = [HEAD, *(line for typed, command in commands() for line in described(typed, command))]
    golden(str(PAGE), "".join(parts).rstrip() + "\n")


def test_every_command_and_option_is_explained() -> None:
    for typed, command in commands():
        assert command.help, typed
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{typed} {option.name}"
