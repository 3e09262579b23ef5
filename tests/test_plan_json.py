"""The document is Terraform's plan JSON 1.2 as its readers take it (terraform-json, tf-summarize, conftest, GitLab).

The schema is written down here from their sources and the published format, not made from our own code.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests.render.documents import document

_OBJECT_OR_NULL = {"type": ["object", "null"]}
_SENSITIVE = {"anyOf": [{"type": "object"}, {"const": False}]}
CHANGE = {
    "type": "object",
    "required": ["actions", "before", "after", "after_unknown", "before_sensitive", "after_sensitive"],
    "properties": {
        # tf-summarize drops other verbs in silence, and an empty list too.
        "actions": {
            "enum": [["no-op"], ["create"], ["update"], ["delete"], ["delete", "create"], ["create", "delete"]]
        },
        "before": _OBJECT_OR_NULL,
        "after": _OBJECT_OR_NULL,
        "after_unknown": {"type": "object"},
        "before_sensitive": _SENSITIVE,
        "after_sensitive": _SENSITIVE,
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["format_version", "resource_changes", "timestamp", "applyable", "complete", "errored"],
    "properties": {
        "format_version": {"const": "1.2"},  # a number or 2.0 is a parse error for terraform-json
        "resource_changes": {
            "type": "array",
            "items": {
                "type": "object",
                # tf-summarize panics where change is missing.
                "required": ["address", "mode", "type", "name", "provider_name", "change"],
                "properties": {
                    "address": {"type": "string", "pattern": r'^[a-z_]+\["'},
                    "mode": {"const": "managed"},
                    "index": {"type": "string"},
                    "change": CHANGE,
                },
            },
        },
        "output_changes": {"type": "object"},
        "variables": {
            "type": "object",
            "additionalProperties": {"type": "object", "required": ["value"]},
        },
        # An object here is a parse error: checks is an array.
        "checks": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["address", "status", "instances"],
                "properties": {
                    "address": {"type": "object", "required": ["kind", "name", "to_display"]},
                    "status": {"enum": ["pass", "fail", "error", "unknown"]},
                    "instances": {"type": "array", "items": {"type": "object", "required": ["address", "status"]}},
                },
            },
        },
        "timestamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "applyable": {"type": "boolean"},
        "complete": {"type": "boolean"},
        "errored": {"type": "boolean"},
        # Keys that would have to be whole if they were there at all.
        "planned_values": False,
        "prior_state": False,
        "configuration": False,
        "terraform_version": False,
    },
}


@pytest.mark.parametrize("changes", [0, 3])
def test_the_document_is_what_terraform_s_readers_take(changes: int) -> None:
    found = json.loads(json.dumps(document(changes, created="2026-11-23T10:00:00Z")))
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    addresses = [c["address"] for c in found["resource_changes"]]
    assert len(addresses) == len(set(addresses)), "an address is unique"


def test_a_side_that_is_not_there_is_null_and_not_sensitive() -> None:
    for change in document(3)["resource_changes"]:
        sides = change["change"]
        assert (sides["before"] is None) == (sides["before_sensitive"] is False)
        assert (sides["after"] is None) == (sides["after_sensitive"] is False)
        assert (sides["before"] is None) == (sides["actions"] == ["create"])
        assert (sides["after"] is None) == (sides["actions"] == ["delete"])
        if sides["actions"] == ["no-op"]:
            assert sides["before"] == sides["after"]


def test_a_tree_of_addresses_splits_only_outside_of_the_brackets() -> None:
    """tf-summarize makes nodes of what stands between dots outside `[…]`: a mail address must be one node."""
    for change in document(3)["resource_changes"]:
        assert "." not in change["address"].partition("[")[0]
