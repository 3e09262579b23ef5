"""Commands and plans that advice and the pages of the rules show: our own command line and plan language take them."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from provisioner.cli.main import cli
from provisioner.model import Address
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.rules import RULES, parse_allow
from tests.advice.following import said
from tests.advice.worlds import pieces

pytestmark = pytest.mark.impure

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "rules").glob("*.md"))
HEAD = "provisioner: 1\ntenant: contoso.onmicrosoft.com\nowner: us\n"


def check(words: list[str]) -> None:
    """Parse a command as the program would, down to its options. Raises ClickException."""
    with click.Context(cli, info_name="provisioner") as context:
        name, command, rest = cli.resolve_command(context, words)
        while isinstance(command, click.Group):
            name, command, rest = command.resolve_command(context, rest)
        assert command is not None, words
        command.make_context(name, rest, parent=context, resilient_parsing=False)


def allowed(text: str) -> Iterator[str]:
    return (found[1].strip("'\"") for found in re.finditer(r"--allow ('[^']+'|[\w:/*.-]+)", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_and_plans_of_a_page_are_taken(page: Path, tmp_path: Path) -> None:
    text = re.sub(r"(?s)## Example\n.*?(?=^## )", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for command in re.findall(r"`provisioner ([^`]+)`", text):
        check(shlex.split(command))
    for option in allowed(text):
        assert parse_allow(option).rule in RULES
    for plan in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        path = tmp_path / "plan.yaml"
        path.write_text(plan if plan.startswith("provisioner:") else HEAD + plan, encoding="utf-8")
        document.load(path, TYPES, today=dt.date(2026, 11, 23))


def test_a_wrong_option_or_command_of_a_page_is_noticed() -> None:
    for words in (["explain", "--alow", "x"], ["frobnicate"], ["lock", "frobnicate"]):
        with pytest.raises(click.ClickException):
            check(words)


def test_the_commands_of_every_advice_are_taken(tmp_path: Path) -> None:
    seen = 0
    for world in pieces():
        for told in said(world, tmp_path).told:
            for option in allowed(told.hint):
                seen += parse_allow(option).rule in RULES
            for command in re.findall(r"\(provisioner (export --target (?:'[^']+'|\S+)) ", told.hint):
                words = shlex.split(command)
                check(words)
                assert Address.parse(words[-1])
                seen += 1
    assert seen > 5
