"""A verified change set against a plan: what of it that plan does not lead to."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.changes import changeset, verification
from provisioner.changes.scoping import Scope
from provisioner.model import ChangeSet, Waiver
from provisioner.plan import document
from provisioner.resources import TYPES
from tests.changes.whole import PLAN, change_set

ALLOWED = Waiver("IP-PRIVATE", reason="a test")
FAX, HQ = 'smtp_auth["fax@contoso.com"]', 'inbound_connector["site-hq"]'


def differs(
    folder: Path, text: str, *, found: ChangeSet | None = None, scope: Scope | None = None, waivers: Any = (ALLOWED,)
) -> list[str]:
    """What differs between the change set of `whole` and the one that this text leads to."""
    found = found or change_set(folder)
    saved = json.loads(json.dumps(changeset.to_document(found)))
    (folder / "other").mkdir(exist_ok=True)
    (folder / "other" / "mail.yaml").write_text(text, encoding="utf-8")
    path = folder / "other" / "mail.yaml"
    desired, _ = document.load(path, TYPES, today=datetime.date(2026, 11, 23), waivers=waivers)
    return list(verification.against_plan(saved, found, desired, TYPES, scope or Scope(), waivers, {}))


def test_the_same_plan_at_another_place_and_with_other_comments_is_the_same(tmp_path: Path) -> None:
    assert differs(tmp_path, PLAN) == []
    assert differs(tmp_path, f"# moved\n\n{PLAN}# reviewed\n") == []


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("fax@contoso.com: disabled", "fax@contoso.com: enabled", [FAX, "$.provisioner.basis.declared"]),
        ("tenant: contoso.onmicrosoft.com", "tenant: fabrikam.onmicrosoft.com", ["$.provisioner.tenant"]),
        ("owner: us/prod", "owner: eu/prod", ["$.provisioner.owner"]),
        ("protect: [smtp_auth/a*]", "protect: []", ["$.provisioner.basis.protect"]),
        ("ignore: [inbound_connector/hybrid*]", "ignore: []", ["$.provisioner.basis.ignore"]),
        ("93.184.216.10", "93.184.216.11", ["$.variables", "$.provisioner.basis.sites", HQ]),
        ("exclusive: true", "exclusive: false", ["$.provisioner.basis.exclusive"]),
        ("reason: agreed", "reason: not agreed", ["$.provisioner.basis.waivers", "$.provisioner.findings"]),
        ("from: scanner@contoso.com", "from: other@contoso.com", ["$.provisioner.basis.devices"]),
    ],
)
def test_what_another_plan_leads_to_is_named(tmp_path: Path, old: str, new: str, named: list[str]) -> None:
    assert old in PLAN
    found = differs(tmp_path, PLAN.replace(old, new))
    assert [name for name in named if not any(part.startswith(name) for part in found)] == []


def test_scope_and_lifted_guards_are_those_of_the_command_line(tmp_path: Path) -> None:
    assert "$.provisioner.basis.allowed" in differs(tmp_path, PLAN, waivers=())
    found = differs(tmp_path, PLAN, scope=Scope(("smtp_auth/*",), ("dkim/*",)))
    assert {"$.provisioner.basis.targets", "$.provisioner.basis.excludes", "$.provisioner.basis.set_aside"} <= set(
        found
    )


def test_what_only_the_file_knows_is_taken_from_it(tmp_path: Path) -> None:
    """When it was made, by which transport, from which commit, what DNS and the journal said."""
    found = change_set(tmp_path)
    assert found.drift
    assert found.left
    assert found.commit
    told = [f for f in found.findings if f.rule == "SPF-IP-MISSING"]
    assert len(told) == 2
    other = replace(found, created="2026-11-24T00:00:00Z", transport="psrp", drift=(), left=(), expires="", commit="")
    for one in (found, other):
        assert differs(tmp_path, PLAN, found=one) == []


def test_another_version_of_the_program_that_wrote_the_file_is_no_difference(tmp_path: Path) -> None:
    found = change_set(tmp_path)
    saved = json.loads(json.dumps(changeset.to_document(found)))
    saved["provisioner"]["version"] = "0.0.1"
    desired, _ = document.load(tmp_path / "plan.yaml", TYPES, today=datetime.date(2026, 11, 23), waivers=(ALLOWED,))
    assert list(verification.against_plan(saved, found, desired, TYPES, Scope(), (ALLOWED,), {})) == []


def test_a_change_set_without_a_basis_follows_from_no_plan(tmp_path: Path) -> None:
    assert differs(tmp_path, PLAN, found=replace(change_set(tmp_path), basis=None)) == ["$.provisioner.basis"]


def test_only_a_place_is_left_out_of_the_comparison() -> None:
    place = {"file": "plan.yaml", "line": 3, "column": 5}
    kept = {"file": "plan.yaml", "line": 3}
    value = {"a": [place, {"location": place}], "b": kept, "c": "x"}
    assert verification._without_places(value) == {"a": [None, {"location": None}], "b": kept, "c": "x"}
