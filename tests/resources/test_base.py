"""The base of resource types: what has a default, and what must not have one."""

from __future__ import annotations

from pathlib import Path

import pytest

import provisioner.resources
from provisioner.model import Undeclared
from provisioner.resources import TYPES
from provisioner.resources.base import BaseType


@pytest.mark.parametrize("left_out", ["contribution", "guards", "in_force"])
def test_a_type_that_does_not_say_what_protects_the_user_does_not_import(left_out: str) -> None:
    members = {name: lambda self, *_: () for name in ("contribution", "guards", "in_force") if name != left_out}
    with pytest.raises(TypeError, match=f"GatewayType does not define {left_out}"):
        type("GatewayType", (BaseType,), members)


def test_by_default_an_object_is_created_deleted_and_otherwise_left_alone() -> None:
    members = {name: lambda self, *_: () for name in ("contribution", "guards", "in_force")}
    kind = type("GatewayType", (BaseType,), members)()
    assert (kind.creatable, kind.deletable, kind.precondition, kind.marks_ownership) == (True, True, False, False)
    assert kind.undeclared(object(), "us/prod", True) is Undeclared.KEEP
    assert kind.needs(object()) == ()


def test_every_type_stands_on_the_base() -> None:
    assert [t.name for t in TYPES if not isinstance(t, BaseType)] == []


@pytest.mark.parametrize("left_out", ["owner_of", "made_by"])
@pytest.mark.parametrize("how", ["inherited", "taken away"])
def test_a_type_that_marks_its_objects_tells_owner_and_maker_or_does_not_import(left_out: str, how: str) -> None:
    """By the defaults no object would have a foreign owner, and the guard would never stop anything."""
    required = ("contribution", "guards", "in_force", "owner_of", "made_by")
    members: dict[str, object] = {name: lambda self, *_: "" for name in required if name != left_out}
    members["marks_ownership"] = True
    if how == "taken away":
        members[left_out] = None
    with pytest.raises(TypeError, match=f"GatewayType does not define {left_out}"):
        type("GatewayType", (BaseType,), members)


def test_no_type_is_excused_from_unused_parameters() -> None:
    sources = Path(provisioner.resources.__file__).parent.rglob("*.py")
    assert [file.name for file in sources if "ARG002" in file.read_text("utf-8")] == []
