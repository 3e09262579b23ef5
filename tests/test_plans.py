"""The example in plans/: valid, with the schema that editors read beside it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from provisioner.plan import document
from provisioner.plan.schema import schema
from provisioner.resources import TYPES

PLANS = Path(__file__).parents[1] / "plans"
FILES = sorted(PLANS.glob("*.yaml"))


def test_the_schema_beside_the_plans_is_the_one_of_this_version() -> None:
    written = json.loads((PLANS / "plan.schema.json").read_text(encoding="utf-8"))
    assert written == schema(TYPES), "write it again: provisioner schema > plans/plan.schema.json"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_every_file_names_the_schema_and_satisfies_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=plan.schema.json\n")
    schema = json.loads((PLANS / "plan.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(yaml.safe_load(text))


def test_the_example_has_two_offices_six_mailboxes_and_three_domains() -> None:
    desired, warnings = document.load(PLANS, TYPES, today=dt.date(2026, 11, 23))
    assert list(warnings) == []
    kinds = [a.type for a in desired.resources]
    assert kinds.count("domain") == 3
    assert kinds.count("smtp_auth") == 1 + 6
    assert {"bristol-relay", "leeds-relay"} <= {a.key for a in desired.resources}


def test_the_devices_of_the_example_show_each_of_the_three_methods() -> None:
    desired, _ = document.load(PLANS, TYPES, today=dt.date(2026, 11, 23))
    assert {name: choice.method for name, choice in desired.choices.items()} == {
        "scanner-3f": "smtp_relay",
        "franking-machine": "smtp_relay",
        "label-printer": "smtp_relay",
        "erp": "client_submission",
        "monitoring": "client_submission",
        "door-intercom": "direct_send",
    }
    made = {a.key for a, r in desired.resources.items() if a.type == "inbound_connector" and r.devices}
    assert made == {"bristol-relay", "leeds-relay", "site-warehouse"}


def test_the_example_is_still_valid_when_basic_authentication_is_gone() -> None:
    desired, _ = document.load(PLANS, TYPES, today=dt.date(2028, 1, 1))
    assert all(choice.method for choice in desired.choices.values())
