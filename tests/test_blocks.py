"""Every session that README and docs show runs as printed, and every plan that they show loads."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.diagnostics import InputError, Severity
from provisioner.plan import document
from provisioner.plan.schema import schema
from provisioner.resources import TYPES
from tests.blocks import Block, Command, blocks, commands
from tests.cli.shop import Shop, open_shop

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): list(blocks(path.read_text(encoding="utf-8")))
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "review" not in path.parts
}
SESSIONS = [name for name, found in PAGES.items() if any(b.language == "console" for b in found)]
SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com", "Default": True}],
        "DkimSigningConfig": [
            {"Domain": "contoso.com", "Enabled": True, "Selector1KeySize": 2048, "Selector2KeySize": 2048}
        ],
    },
    "mailboxes": ["erp@contoso.com", "anna@contoso.com"],
    "settings": {"smtp_source_addresses": {"127.0.0.1": "203.0.113.10"}},
}
ELSEWHERE = ("scripts/", "python", "pip", ". ~", "mkdir", "git")
"""Commands that other programs carry out: scripts/follow-readme types them too."""


# --- sessions --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("pages"), SEED) as here:
        yield here


def typed(command: Command) -> list[str]:
    """The arguments of a command, for the tenant of the test: its profile is called sandbox, and nobody says yes."""
    arguments = re.sub(r"--profile prod\S*", "--profile sandbox", command.typed.removeprefix("provisioner "))
    words = [word.strip("'\"") for word in re.findall(r"\"[^\"]*\"|'[^']*'|\S+", arguments)]
    if "apply" in words:
        words += ["--auto-approve", *(["--plan", "plans"] if words[-1].endswith(".json") else [])]
    return words


def at_hand(text: str) -> str:
    """A text about the tenant of the test, in which this machine has the address that README uses."""
    return text.replace("93.184.216.10", "203.0.113.10")


@pytest.mark.one_of("page")
@pytest.mark.parametrize("page", [name for name in SESSIONS if name != "docs/sandbox.md"])
def test_a_session_runs_as_printed(page: str, shop: Shop) -> None:
    """docs/sandbox.md starts a tenant of its own, as scripts/quickstart does."""
    shop.reset()
    shutil.rmtree(shop.folder / "plans", ignore_errors=True)
    for name in ("provisioner.toml", ".gitignore"):
        (shop.folder / name).unlink(missing_ok=True)
    own = {b.title for b in PAGES[page]}
    shown = PAGES[page] if own & {"plans/devices.yaml"} else PAGES["README.md"]
    for block in shown:
        if block.title.startswith("plans/"):
            (shop.folder / block.title).parent.mkdir(exist_ok=True)
            (shop.folder / block.title).write_text(at_hand(block.text), encoding="utf-8")
    if page == "docs/change-review.md":  # history needs a run
        assert shop.on_tenant("apply", "plans", "--auto-approve").returncode == 0
    for block in PAGES[page]:
        for command in commands(at_hand(block.text)) if block.language == "console" else ():
            if command.typed.startswith(("provisioner sandbox start", "provisioner sandbox stop", *ELSEWHERE)):
                continue
            ran = shop.run(*typed(command))
            told = f"{page}:{block.line}: {command.typed}\n{ran.stdout}{ran.stderr}"
            assert ran.returncode == command.code, told
            assert command.missing(ran.stdout + ran.stderr) == [], told


def test_a_session_names_nothing_but_the_program_and_what_is_followed_elsewhere() -> None:
    for page in SESSIONS:
        for command in (c for b in PAGES[page] if b.language == "console" for c in commands(b.text)):
            assert command.typed.startswith(("provisioner ", *ELSEWHERE)), (
                f"{page}: {command.typed}: mark the block as sh"
            )


# --- plans and other data --------------------------------------------------------------------------------------------


def data() -> Iterator[tuple[str, Block]]:
    for page, found in PAGES.items():
        yield from ((f"{page}:{b.line}", b) for b in found)


def test_every_block_says_what_it_is() -> None:
    known = {"", "console", "powershell", "python", "rego", "sh", "text", "toml", "yaml"}
    assert {b.language for _, b in data()} <= known
    for place, block in data():
        if block.language == "toml":
            assert tomllib.loads(block.text), place
        elif block.language == "python":
            compile(block.text, place, "exec")
        elif block.language == "yaml":
            assert yaml.safe_load(block.text), place


ELSE = {"VARIABLE-MISSING", "PLAN-OUTSIDE"}
"""What a fragment cannot have: the value of a variable, the files that it includes."""
SECTIONS = set(schema(TYPES)["properties"])


def test_every_plan_that_a_page_shows_loads(tmp_path: Path) -> None:
    """A fragment is part of a plan of contoso.com; rules have a test of their own (tests/operations/test_manual.py)."""
    wrong: list[str] = []
    seen = 0
    for place, block in data():
        content: Any = yaml.safe_load(block.text) if block.language == "yaml" and "rules/" not in place else None
        if not isinstance(content, dict) or not set(content) <= SECTIONS:
            continue
        header = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "owner": "mail/prod"}
        missing = "".join(f"{key}: {value}\n" for key, value in header.items() if key not in content)
        (tmp_path / "plan.yaml").write_text(missing + block.text, encoding="utf-8")
        try:
            document.load(tmp_path, TYPES, today=dt.date(2026, 11, 23))
        except InputError as error:
            wrong += [
                f"{place}: {d.id}: {d.summary}"
                for d in error.found
                if d.severity is Severity.ERROR and d.id not in ELSE
            ]
        seen += 1
    assert wrong == []
    assert seen > 20
