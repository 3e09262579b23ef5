from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from provisioner.model import ResourceType, field_names
from provisioner.resources import TYPES

_NAMES_ONLY = {"send_as", "mailbox_permission", "application_role_assignment"}
_PAGE = Path(__file__).parents[2] / "docs" / "plan-language.md"


def test_every_type_has_its_own_name_and_section() -> None:
    assert len({t.name for t in TYPES}) == len({t.section for t in TYPES}) == len(TYPES)
    assert [t.name for t in TYPES if t.marks_ownership] == ["inbound_connector", "outbound_connector"]
    assert [t.name for t in TYPES if t.precondition] == ["domain", "mailbox"]
    assert [t.name for t in TYPES if t.deletable] == [
        "authentication_policy", "send_as", "hve_account", "service_principal", "mailbox_permission",
        "application_role_assignment",
        "inbound_connector", "outbound_connector", "transport_rule", "remote_domain", "dns_record",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [t for t in TYPES if t.marks_ownership], ids=lambda kind: kind.name)
def test_a_type_that_marks_its_objects_tells_owner_and_maker(kind: ResourceType[Any]) -> None:
    """Guards ask for them; there is no default, so that a new type is never without guards by omission."""
    spec = kind.spec("x", owner="mail/prod", source="hybrid_wizard")
    assert (kind.owner_of(spec), kind.made_by(spec)) == ("mail/prod", "hybrid_wizard")


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_nothing_wanted_asks_nothing_and_nothing_is_all_that_comes_of_no_answer(kind: object) -> None:
    for resource_type in TYPES:
        if resource_type is kind:
            assert list(resource_type.queries({}, False)) == []
            assert dict(resource_type.decode({}, [])) == {}


def test_the_examples_of_the_language_page_are_valid_plans() -> None:
    examples = [
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)
    ]
    by_section: dict[str, object] = {}
    for example in examples:  # the first of a section is its own; variables and environments come later on the page
        by_section = {**example, **by_section}
    assert {t.section for t in TYPES} <= set(by_section)
    for kind in TYPES:
        section = TypeAdapter(kind.section_type).validate_python(by_section[kind.section])
        assert list(kind.declare(section, "me"))


def test_every_field_of_every_section_has_its_row_on_the_language_page() -> None:
    page = _PAGE.read_text("utf-8")
    for kind in TYPES:
        schema = TypeAdapter(kind.section_type).json_schema()
        bodies = [schema, *schema.get("$defs", {}).values()]
        fields = {name for body in bodies for name in body.get("properties", {})}
        assert fields or kind.name in {
            "send_as",
            "mailbox_permission",
            "application_role_assignment",
        }  # which hold names only
        assert [name for name in sorted(fields) if f"`{name}`" not in page] == []


def test_the_schema_describes_every_field_for_an_editor() -> None:
    for kind in TYPES:
        schema = TypeAdapter(kind.section_type).json_schema()
        for body in (schema, *schema.get("$defs", {}).values()):
            assert body.get("description")
            assert all(part.get("description") for part in body.get("properties", {}).values())
            assert body.get("additionalProperties") is False or "properties" not in body


@pytest.mark.parametrize("kind", [t for t in TYPES if t.marks_ownership], ids=lambda kind: kind.name)
def test_the_connector_of_the_plan_has_every_field_but_those_that_are_not_written_there(
    kind: ResourceType[Any],
) -> None:
    schema = TypeAdapter(kind.section_type).json_schema()
    (body,) = schema["$defs"].values()
    assert set(field_names(kind.spec)) - set(body["properties"]) == {
        "name",
        "owner",
        "owner_key",
        "source",
        "spellings",
    }
