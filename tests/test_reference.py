"""The generated pages are what the code says, and nothing of the code is missing in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.diagnosis.causes import CAUSES
from provisioner.rules import RULES
from provisioner.settings import Profile
from tests import reference

PAGES = {path.relative_to(reference.DOCS).as_posix(): text for path, text in reference.pages()}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str, golden: Callable[[str, str], None]) -> None:
    """Write it again with scripts/reference or --update-golden."""
    golden(str(reference.DOCS / name), PAGES[name])


def test_every_field_of_the_schema_is_on_its_page() -> None:
    schema = json.loads((Path(reference.DOCS).parent / "plans" / "plan.schema.json").read_text(encoding="utf-8"))
    page = PAGES["reference/plan-sections.md"]
    fields = {name for body in schema["$defs"].values() for name in body.get("properties", {})}
    assert [name for name in fields if f"`{name}`" not in page and f".{name}`" not in page] == []
    assert all(f"## `{name}`" in page for name in schema["properties"])


def test_every_rule_cause_and_setting_is_on_its_page() -> None:
    assert all(f"(../rules/{rule}.md)" in PAGES["reference/rules.md"] for rule in RULES)
    assert all(f"(../causes.md#{cause.id})" in PAGES["reference/causes.md"] for cause in CAUSES)
    for name in Profile.model_fields:
        assert (
            f"`{name}`" in PAGES["reference/settings.md"] or f"[profiles.NAME.{name}" in PAGES["reference/settings.md"]
        )


def test_every_key_of_a_profile_says_what_it_is() -> None:
    keys = [line for line in PAGES["reference/settings.md"].splitlines() if line.startswith("| `")]
    assert [line for line in keys if line.split(" | ")[1].strip() == ""] == []


def test_the_page_for_man_has_every_command_and_nothing_else_that_roff_obeys() -> None:
    page = PAGES["reference/provisioner.1"]
    assert page.isascii()
    requests = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests == {'.\\"', ".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".I"}
    for typed, command in reference.commands():
        assert typed == "" or f".SS provisioner {typed} ".replace("-", "\\-").rstrip() in page, command.name
