"""A saved change set in which one thing is edited, its digest made true again: what the refusal names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioner.changes import changeset, planning, scoping, verification
from provisioner.diagnostics import ChangeSetStale, InputError
from provisioner.model import Address, Desired, Observed, Present
from provisioner.resources import TYPES
from provisioner.resources.send_as import SendAs
from tests.changes.whole import change_set

Document = dict[str, Any]


def edited(folder: Path, edit: Callable[[Document], object]) -> Document:
    document: Document = json.loads(json.dumps(changeset.to_document(change_set(folder))))
    edit(document)
    document["provisioner"]["digest"] = changeset.digest(document)
    return document


def change(document: Document, address: str) -> Document:
    found: Document = next(c for c in document["resource_changes"] if c["address"] == address)
    return found


ORGANIZATION, OLD = 'smtp_auth["organization"]', 'inbound_connector["old"]'


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda d: d.update(applyable="no"), ["$.applyable"]),
        (lambda d: d.update(complete=0), ["$.complete"]),
        (lambda d: d.update(more=None), ["$.more"]),
        (lambda d: d.pop("output_changes"), ["$.output_changes"]),
        (lambda d: d["checks"].append({}), ["$.checks"]),
        (lambda d: d["provisioner"]["requests"].update(write=0), ["$.provisioner.requests"]),
        (lambda d: d["provisioner"]["findings"].pop(0), ["$.provisioner.findings"]),
        (lambda d: d["provisioner"].update(own=1), ["$.provisioner.own"]),
        (lambda d: d["provisioner"]["unmanaged"].update(count=1), ["$.provisioner.unmanaged"]),
        (
            lambda d: change(d, ORGANIZATION)["change"].update(actions=["no-op"]),
            [f"{ORGANIZATION}: change.actions"],
        ),
        (
            lambda d: change(d, ORGANIZATION)["provisioner"].update(steps=[], reason=""),
            [f"{ORGANIZATION}: provisioner.reason", f"{ORGANIZATION}: provisioner.steps"],
        ),
        (lambda d: change(d, ORGANIZATION).update(mode="data"), [f"{ORGANIZATION}: mode"]),
        (
            lambda d: d["resource_changes"].reverse(),
            ["the order of the changes"],
        ),
        (
            lambda d: d["resource_changes"].append(json.loads(json.dumps(change(d, OLD)).replace("old", "new"))),
            [
                'inbound_connector["new"]: no such change is derived',
                "the order of the changes",
                "$.provisioner.unmanaged",
                "$.provisioner.basis.observed",
            ],
        ),
    ],
)
def test_what_does_not_follow_from_the_facts_is_named(
    tmp_path: Path, edit: Callable[[Document], object], named: list[str]
) -> None:
    with pytest.raises(ChangeSetStale) as refusal:
        verification.derive(edited(tmp_path, edit), TYPES, "change.json")
    words = re.search(
        r"^change\.json holds what .* of the tenant: (.*)\. Nothing of it is carried out\. ", str(refusal.value)
    )
    assert words is not None, str(refusal.value)
    assert words[1].split("; ") == named


def test_a_saved_document_is_given_with_its_change_set(tmp_path: Path) -> None:
    document = edited(tmp_path, lambda _: None)
    (tmp_path / "change.json").write_text(json.dumps(document), encoding="utf-8")
    assert verification.load(tmp_path / "change.json", TYPES) == (document, change_set(tmp_path))


def test_a_change_that_is_taken_out_is_missed(tmp_path: Path) -> None:
    """Its object stands among the others then, so that it is planned again."""

    def take_out(document: Document) -> None:
        gone = change(document, ORGANIZATION)
        document["resource_changes"].remove(gone)
        seen = {"address": ORGANIZATION, "spec": gone["provisioner"]["observed"]}
        document["provisioner"]["basis"]["observed"].append(seen)

    with pytest.raises(
        ChangeSetStale, match=re.escape(f"{ORGANIZATION}: the change is missing; the order of the changes")
    ):
        verification.derive(edited(tmp_path, take_out), TYPES, "x")


def test_ten_differences_are_named_and_the_others_counted(tmp_path: Path) -> None:
    def add(document: Document) -> None:
        document.update({f"n{i:02}": i for i in range(12)})

    with pytest.raises(ChangeSetStale, match=r"\$\.n09; and 2 more\. Nothing"):
        verification.derive(edited(tmp_path, add), TYPES, "x")


def test_another_version_is_named_where_something_differs_and_else_does_not_matter(tmp_path: Path) -> None:
    def older(document: Document) -> None:
        document["provisioner"]["version"] = "0.0.1"

    assert verification.derive(edited(tmp_path, older), TYPES, "x") == change_set(tmp_path)

    def both(document: Document) -> None:
        older(document)
        document["applyable"] = "no"

    with pytest.raises(ChangeSetStale, match=r"It was made by provisioner 0\.0\.1; this is "):
        verification.derive(edited(tmp_path, both), TYPES, "x")


@pytest.mark.parametrize(
    ("edit", "path", "words"),
    [
        (lambda d: d.update(timestamp=5), "$.timestamp", "string"),
        (lambda d: d["provisioner"]["left"].append("nonsense"), "$.provisioner.left[1]", ""),
        (lambda d: d["provisioner"]["left"].append('no["x"]'), "$.provisioner.left[1]", 'no resource type "no"'),
        (lambda d: d["resource_drift"][1].update(address="?"), "$.resource_drift[1]", ""),
        (lambda d: d["resource_changes"][1].update(type="no"), "$.resource_changes[1].type", 'no resource type "no"'),
        (lambda d: d["provisioner"]["basis"]["declared"][2].update(address="?"), "$.provisioner.basis.declared[2]", ""),
        (
            lambda d: d["provisioner"]["basis"]["set_aside"].append(
                {**d["provisioner"]["basis"]["declared"][0], "address": "?"}
            ),
            "$.provisioner.basis.set_aside[0]: ",
            "",
        ),
        (lambda d: d["provisioner"]["basis"]["absent"][0].update(address="?"), "$.provisioner.basis.absent[0]", ""),
        (lambda d: d["provisioner"]["basis"]["observed"][0].update(address="?"), "$.provisioner.basis.observed[0]", ""),
        (lambda d: d["provisioner"]["unreadable"][0].update(address="?"), "$.provisioner.unreadable[0]", ""),
        (lambda d: d["provisioner"]["findings"][-2].update(address="?"), "$.provisioner.findings[", ""),
        (
            lambda d: d["resource_changes"][0]["provisioner"]["observed"].update(enabled=[]),
            "$.resource_changes[0].provisioner.observed.enabled",
            "",
        ),
    ],
)
def test_what_has_another_shape_is_an_input_error_with_its_place(
    tmp_path: Path, edit: Callable[[Document], object], path: str, words: str
) -> None:
    with pytest.raises(InputError) as refusal:
        verification.derive(edited(tmp_path, edit), TYPES, "change.json")
    (found,) = refusal.value.diagnostics
    assert found.id == "CHANGESET-SHAPE"
    assert found.summary.startswith(f"change.json: {path}")
    assert words in found.summary


def test_an_object_under_the_name_of_another_is_refused(tmp_path: Path) -> None:
    def rename(document: Document) -> None:
        change(document, OLD)["provisioner"]["observed"]["name"] = "other"

    with pytest.raises(ChangeSetStale, match=r"observed\.name names another object, 'other'"):
        verification.derive(edited(tmp_path, rename), TYPES, "x")


def test_a_number_is_no_truth_and_no_other_number() -> None:
    assert verification._same({"a": [1, "x", None]}, {"a": [1, "x", None]})
    for one, other in ((1, True), (1, 1.0), ([1], [1, 2]), ([1, 2], [2, 1]), ({"a": 1}, {"b": 1}), ([], {}), ({}, [])):
        assert not verification._same(one, other), (one, other)


@pytest.mark.parametrize("part", sorted(verification._ADDED))
def test_a_document_that_lacks_a_part_for_readers_is_read(tmp_path: Path, part: str) -> None:
    """Earlier versions wrote neither."""
    document = edited(tmp_path, lambda d: d["provisioner"].pop(part))
    assert verification.derive(document, TYPES, "x").changes == change_set(tmp_path).changes


def test_what_is_left_out_by_another_name_is_left_out_of_the_saved_form_too(tmp_path: Path) -> None:
    """Listed under absent by one address of a mailbox, excluded by another, which only the tenant knows."""
    pair = Address("send_as", "erp@contoso.com as old@contoso.com")
    right = SendAs(
        pair.key, "erp@contoso.com", "old@contoso.com", names=frozenset({"erp@contoso.com as new@contoso.com"})
    )
    scope = scoping.Scope(excludes=("send_as/erp@contoso.com as new@contoso.com",))
    found = planning.plan(
        Desired("contoso", "", {}, absent={pair: None}), Observed({pair: Present(right)}), TYPES, scope=scope
    )
    assert found.changes == ()
    document = json.loads(json.dumps(changeset.to_document(found)))
    assert verification.derive(document, TYPES, "x") == found


def test_a_document_that_calls_hints_by_their_former_name_is_read(tmp_path: Path) -> None:
    def older(document: Document) -> None:
        for finding in document["provisioner"]["findings"]:
            del finding["hint"]

    old, new = edited(tmp_path, older), edited(tmp_path, lambda _: None)
    assert verification.derive(old, TYPES, "old.json").findings == verification.derive(new, TYPES, "new.json").findings
    assert verification.with_hints(old)["provisioner"]["findings"] == new["provisioner"]["findings"]
    old["provisioner"]["findings"][0]["mend"] = "do something else"
    with pytest.raises(ChangeSetStale, match="findings"):
        verification.derive(old, TYPES, "old.json")
