"""Severity agrees with the outcome: an error means another exit code than 0, in every command that looks at a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.rules import RULES
from tests.cli.shop import Shop, open_shop

PRIVATE = """owner: x/y
sites: { hq: { egress_ip_addresses: [10.0.0.5] } }
devices:
  mfp: { site: hq, from: mfp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [] } }
"""
SOUND = PRIVATE.replace("10.0.0.5", "93.184.216.10")
MANY = """owner: x/y
sites: { hq: { egress_ip_addresses: [10.0.0.5] } }
devices:
  mfp: { site: york, from: mfp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [] } }
  mfp-2: { site: hq, from: mfp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [] } }
  mfp-3: { from: mfp@contoso.com, recipients: anyone, supports: { tls: none, authentication: [] } }
smtp_auth: { organisation: disabled }
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("severity")) as opened:
        yield opened


def test_a_rule_is_an_error_where_it_stops_something_and_nowhere_else() -> None:
    assert {r.id for r in RULES.values() if r.severity == "error"} == {r.id for r in RULES.values() if r.blocks}


def test_every_command_reports_the_error_and_none_ends_with_0(shop: Shop) -> None:
    plan = shop.write(PRIVATE)
    ran = {
        "validate": shop.run("validate", plan),
        "lint": shop.run("lint", plan),
        "plan": shop.on_tenant("plan", plan, "-o", "saved.json"),
        "doctor": shop.on_tenant("doctor", plan),
        "apply": shop.on_tenant("apply", plan, "--auto-approve"),
    }
    said = {name: "IP-PRIVATE" in run.stdout + run.stderr for name, run in ran.items()}
    assert said == dict.fromkeys(ran, True)
    codes = {name: run.returncode for name, run in ran.items()}
    assert codes == {"validate": 3, "lint": 3, "plan": 6, "doctor": 1, "apply": 6}
    assert "The plan is not valid." in ran["validate"].stdout
    assert (shop.folder / "saved.json").is_file()  # for the review of what is wrong
    about = [re.sub(r"^\d+ findings?\.\n", "", ran[name].stderr) for name in ("validate", "lint")]
    assert about[0] == re.sub(r"\n\d+ findings?\.$", "", about[1].rstrip()) + "\n"


def test_json_says_the_same_as_the_exit_code(shop: Shop) -> None:
    plan = shop.write(PRIVATE)
    run = shop.run("validate", plan, "--format", "json")
    assert (run.returncode, json.loads(run.stdout)["valid"]) == (3, False)
    assert shop.on_tenant("plan", plan, "--detailed-exitcode").returncode == 1
    allowed = shop.run("validate", plan, "--format", "json", "--allow", "IP-PRIVATE")
    assert (allowed.returncode, json.loads(allowed.stdout)["valid"]) == (0, True)
    assert shop.on_tenant("plan", plan, "--allow", "IP-PRIVATE").returncode == 0


def test_what_stops_nothing_is_a_warning(shop: Shop) -> None:
    """SPF of the domain lacks the site's address: somebody should publish it, and apply goes on."""
    plan = shop.write(SOUND)
    run = shop.on_tenant("plan", plan, "--format", "json")
    findings = json.loads(run.stdout)["provisioner"]["findings"]
    assert any(f["rule"].startswith("SPF-") for f in findings)
    assert [f["rule"] for f in findings if f["severity"] == "error"] == []
    assert run.returncode == 0


def test_an_error_without_changes_still_refuses(shop: Shop) -> None:
    """An apply that has nothing to do does not end with 0 beside an error."""
    plan = shop.write(PRIVATE)
    assert shop.on_tenant("apply", plan, "--auto-approve", "--allow", "IP-PRIVATE").returncode == 0
    again = shop.on_tenant("plan", plan)
    assert (again.returncode, "No changes" in again.stdout) == (6, True)
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 6
    shop.reset()


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_target_that_names_nothing_is_an_error(shop: Shop, command: str) -> None:
    plan = shop.write(SOUND)
    run = shop.on_tenant(command, plan, "--target", "inbound_connector/site-qh")
    assert run.returncode == 3
    assert "error[TARGET-UNMATCHED]: --target inbound_connector/site-qh: no resource of the plan matches" in run.stderr
    assert "No changes" not in run.stdout


def test_one_pass_finds_every_mistake(tmp_path: Path, shop: Shop) -> None:
    plan = shop.write(MANY)
    validated, linted = shop.run("validate", plan), shop.run("lint", plan)
    found = re.findall(r"error\[([A-Z-]+)\]", validated.stderr)
    assert sorted(found) == ["DEVICE-NO-METHOD", "IP-PRIVATE", "KEY-UNKNOWN", "SITE-UNKNOWN"]
    assert re.findall(r"error\[([A-Z-]+)\]", linted.stderr) == found
