"""docs/devices.md says what is true."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import TypeAdapter

from provisioner.cli.main import COMMANDS
from provisioner.devices.sections import SECTIONS
from tests.devices.test_sections import load

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "devices.md").read_text(encoding="utf-8")


def test_the_plan_on_the_page_is_valid_and_sends_as_told(tmp_path: Path) -> None:
    example, of_application = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    desired = load(tmp_path, example)
    methods = {name: choice.method for name, choice in desired.choices.items()}
    assert methods == {"scanner-3f": "smtp_relay", "erp": "client_submission"}
    assert {a.type for a in load(tmp_path, of_application).resources} >= {"service_principal", "mailbox_permission"}


def test_every_field_has_its_row() -> None:
    for shape in SECTIONS.values():
        schema = TypeAdapter(shape).json_schema()
        fields = {name for body in schema["$defs"].values() for name in body["properties"]} - {"supports"}
        assert fields
        assert [f for f in sorted(fields) if not re.search(rf"`(?:supports\.)?{f}`", PAGE)] == []


def test_every_command_and_link_of_the_page_exists() -> None:
    assert set(re.findall(r"`provisioner (\w+)", PAGE)) <= set(COMMANDS)
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
