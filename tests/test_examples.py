"""The examples in plans/examples are valid, have nothing to lint, and plan what their first lines say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.cli.shop import Shop, open_shop

PLANS = Path(__file__).parents[1] / "plans"
EXAMPLES = PLANS / "examples"
ENVIRONMENTS = EXAMPLES / "two-environments" / "plans" / "environments"
CREATED = {
    "one-office": {"inbound_connector/site-office", "dkim/contoso.com"},
    "two-environments/plans/environments/test": {"inbound_connector/site-office"},
    "two-environments/plans/environments/prod": {"inbound_connector/site-office"},
    "filter-in-front": {"inbound_connector/from-filter", "inbound_connector/site-office"},
    "hybrid": {"inbound_connector/certificate-relay.contoso.com"},
    "gcc-high": {"inbound_connector/site-base", "dkim/contoso.us"},
}
"""What a plan creates in the tenant of plans/sandbox/examples*.yaml, by the folder of the example."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The tenant of all seeds: what an example pins is one of its domains."""
    seeds = [yaml.safe_load((PLANS / "sandbox" / f"{n}.yaml").read_text()) for n in ("examples", "examples-gcc-high")]
    rows = [row for seed in seeds for row in seed["objects"]["AcceptedDomain"]]
    pinned = [{"DomainName": name} for name in ("contoso.onmicrosoft.us", "contosotest.onmicrosoft.com")]
    whole = {
        **seeds[0],
        "objects": {**seeds[0]["objects"], "AcceptedDomain": [rows[0], {**rows[1], "Default": False}, *pinned]},
        "mailboxes": [*(a for seed in seeds for a in seed["mailboxes"]), "monitoring@contosotest.onmicrosoft.com"],
    }
    with open_shop(tmp_path_factory.mktemp("examples"), whole) as here:
        (here.folder / ".git").mkdir()  # a checkout, in which `two-environments` may include a folder beside its own
        shutil.copytree(EXAMPLES, here.folder / "examples")
        yield here


@pytest.mark.parametrize("name", CREATED)
def test_an_example_is_valid_and_plans_what_it_says(name: str, shop: Shop) -> None:
    folder = f"examples/{name}"
    checked = shop.run("lint", folder, "--format", "json")
    assert checked.returncode == 0, checked.stderr
    assert shop.run("validate", folder).returncode == 0
    cloud = {"PROVISIONER_CLOUD": "gcc_high"} if name == "gcc-high" else {}
    planned = shop.on_tenant("plan", folder, "--out-json", "-", **cloud)
    assert planned.returncode == 0, planned.stderr
    changes = json.loads(planned.stdout)["resource_changes"]
    created = {f"{c['type']}/{c['name']}" for c in changes if c["change"]["actions"] == ["create"]}
    assert created == CREATED[name]
    assert not [c for c in changes if "delete" in c["change"]["actions"]]


def test_every_example_has_its_line_and_the_schema() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    schema = Draft202012Validator(json.loads((PLANS / "plan.schema.json").read_text(encoding="utf-8")))
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {name.partition("/")[0] for name in CREATED}
    assert [name for name in folders if f"[{name}]({name}" not in page] == []
    for file in (f for f in EXAMPLES.rglob("*.yaml") if not f.name.endswith(".auto.yaml")):
        text = file.read_text(encoding="utf-8")
        named = text.partition("$schema=")[2].partition("\n")[0]
        assert (file.parent / named).resolve() == PLANS / "plan.schema.json", file
        schema.validate(yaml.safe_load(text))
