"""One plan, one tenant, one moment: every use case sees the same change set and the same findings.

The tenant has all that a shortened path would miss: findings about DNS, a guard, and drift that the journal proves.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import provisioner
from provisioner import operations
from provisioner.operations.testing import try_plan
from tests.cli.shop import SEED, Shop, open_shop
from tests.clocks import FastClock

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
ZONE = {
    "contoso.com": {
        "MX": ["0 contoso-com.mail.protection.outlook.com."],
        "TXT": ["v=spf1 include:spf.protection.outlook.com -all"],
    }
}
BEFORE = "owner: mail/prod\nsmtp_auth: { mailboxes: { fax@contoso.com: disabled } }\n"
PLAN = """owner: mail/prod
smtp_auth: { organization: enabled, mailboxes: { fax@contoso.com: disabled } }
sites: { hq: { egress_ip_addresses: [52.202.8.242] } }
devices:
  scanner: { site: hq, from: erp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [] } }
"""
GUARD, DNS = "SMTP-TENANT-WIDE", "SPF-IP-MISSING"
DRIFTED = 'smtp_auth["fax@contoso.com"]'


@contextmanager
def drifted(folder: Path) -> Iterator[Shop]:
    """A tenant to which BEFORE was applied, and in which it was changed since; PLAN is to be applied next."""
    with open_shop(folder, {**SEED, "dns": ZONE}) as here:
        here.clock = FastClock(here._pass, NOON)
        here.write(BEFORE)
        assert here.on_tenant("apply", "plan.yaml", "--auto-approve").returncode == 0
        here.tenant.cmdlet("Set-CASMailbox", Identity="fax@contoso.com", SmtpClientAuthenticationDisabled=False)
        here.write(PLAN)
        here.clock = FastClock(here._pass, NOON)
        yield here


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """No test changes this tenant."""
    with drifted(tmp_path_factory.mktemp("shop")) as here:
        yield here


@pytest.fixture(scope="module")
def planned(shop: Shop) -> dict[str, Any]:
    """What `plan` prints as JSON, with its digest."""
    done = shop.on_tenant("plan", "plan.yaml", "--format", "json")
    assert done.returncode == 6, "a guard stands"
    found: dict[str, Any] = json.loads(done.stdout)
    rules = {f["rule"]: f["severity"] for f in found["provisioner"]["findings"]}
    assert {GUARD, DNS} <= set(rules), "the plan has a guard and a finding about DNS"
    assert [d["address"] for d in found["resource_drift"]] == [DRIFTED], "and drift"
    return found


def digest(document: dict[str, Any]) -> str:
    return str(document["provisioner"]["digest"])


def changes(document: dict[str, Any]) -> dict[str, str]:
    actions = {c["address"]: c["change"]["actions"][0] for c in document["resource_changes"]}
    return {address: action for address, action in actions.items() if action != "no-op"}


def context(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> provisioner.Silent:
    monkeypatch.chdir(shop.folder)
    profile = provisioner.load_profile("sandbox", shop.folder)
    return provisioner.Silent(profile, Path(shop.environment["PROVISIONER_STATE_DIR"]), clock=shop.clock)


def test_drift_sees_what_plan_sees(shop: Shop, planned: dict[str, Any]) -> None:
    found = json.loads(shop.on_tenant("drift", "plan.yaml", "--format", "json").stdout)
    assert found["digest"] == digest(planned)
    assert {d["address"] for d in found["drift"]} == set(changes(planned))
    assert [d["address"] for d in found["drift"] if d["outside"]] == [DRIFTED]


def test_doctor_sees_what_plan_sees(shop: Shop, planned: dict[str, Any]) -> None:
    found = json.loads(shop.on_tenant("doctor", "plan.yaml", "--format", "json").stdout)
    assert found["digest"] == digest(planned)
    expected = {f["rule"] for f in planned["provisioner"]["findings"] if f["severity"] != "info"}
    assert expected <= {c["what"] for c in found["checks"]}


def test_apply_shows_what_plan_shows_and_the_guard_stops_it(shop: Shop, planned: dict[str, Any]) -> None:
    shown = shop.on_tenant("plan", "plan.yaml").stdout
    done = shop.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert (done.returncode, done.stdout) == (6, shown)
    assert GUARD in done.stderr
    assert digest(planned) == digest(json.loads(shop.on_tenant("plan", "plan.yaml", "--format", "json").stdout))


def test_the_api_sees_what_plan_sees_and_is_stopped_by_the_same_guard(
    shop: Shop, planned: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = context(shop, monkeypatch)
    found = provisioner.plan_changes(here, "plan.yaml")
    assert json.loads(provisioner.render_changes(found, "json")) == planned
    assert provisioner.find_drift(here, "plan.yaml").found == found
    assert provisioner.doctor(here, "plan.yaml").found == found
    with pytest.raises(provisioner.GuardRefused) as refused:
        provisioner.apply_changes(here, found)
    stopping = [f["rule"] for f in planned["provisioner"]["findings"] if f["blocks"]]
    assert [d.id for d in refused.value.diagnostics] == stopping


def test_a_plan_test_on_this_tenant_sees_what_plan_sees(
    shop: Shop, planned: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = context(shop, monkeypatch)
    result = operations.run(try_plan(here, Path("plan.yaml"), provisioner.Selection()))
    assert json.loads(provisioner.render_changes(result.planned, "json")) == planned
    assert GUARD in result.refused


def test_a_test_case_on_a_copy_of_the_tenant_has_the_same_changes_and_findings(
    shop: Shop, planned: dict[str, Any]
) -> None:
    (shop.folder / "copy.json").write_text(json.dumps({**shop.tenant.control("GET", "/dump"), "dns": ZONE}))
    short = {str(provisioner.Address.parse(a).short): action for a, action in changes(planned).items()}
    findings = sorted({f["rule"] for f in planned["provisioner"]["findings"]})
    case = {
        "given": {"seeds": ["copy.json"]},
        "plan": "plan.yaml",
        "expect": {"changes": short, "findings": findings, "applies": False},
    }
    (shop.folder / "same.test.yaml").write_text(json.dumps({"provisioner_test": 1, "cases": {"same": case}}))
    done = shop.run("test", "same.test.yaml")
    assert (done.returncode, "1 passed, 0 failed." in done.stdout) == (0, True), done.stdout


def test_with_the_guard_allowed_apply_carries_out_the_change_set_that_plan_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = ("plan.yaml", "--allow", GUARD, "--format", "json")
    seen: list[provisioner.ChangeSet] = []

    def declined(found: provisioner.ChangeSet) -> bool:
        seen.append(found)
        return False

    selection, options = provisioner.Selection(allows=(GUARD,)), provisioner.ApplyOptions(approve=declined)
    with drifted(tmp_path) as shop:
        shown = json.loads(shop.on_tenant("plan", *allowed).stdout)
        here = context(shop, monkeypatch)
        with pytest.raises(provisioner.Declined):
            provisioner.apply_changes(here, "plan.yaml", selection, options)
        assert [json.loads(provisioner.render_changes(found, "json")) for found in seen] == [shown]
        done = json.loads(shop.on_tenant("apply", *allowed, "--auto-approve").stdout)
        assert (done["digest"], done["converged"]) == (digest(shown), True)
        assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0
