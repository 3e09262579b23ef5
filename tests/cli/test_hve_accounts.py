"""High Volume Email through the command line: from refused to delivered and back, and what stops an apply."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

POLICY, APP = "11111111-1111-4111-8111-111111111111", "6f0a3c1e-0000-4000-8000-000000000001"
BASE: dict[str, Any] = {**SEED, "objects": {**SEED["objects"], "BillingPolicy": [{"Id": POLICY, "Name": "Mail"}]}}  # type: ignore[dict-item]
DEVICE = (
    "devices: { digest: { from: digest@contoso.com, recipients: organization, messages_per_day: 14000,"
    ' supports: { tls: "1.3", authentication: [basic] } } }\n'
)
SECRET = "Only-in-the-environment-1"
PAID = f"billing_policy: {POLICY}"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("hve"), BASE) as found:
        yield found


@pytest.fixture
def shop(opened: Shop) -> Iterator[Shop]:
    yield opened
    opened.reset()


def account(*fields: str) -> str:
    return f"owner: mail/prod\nhve_accounts: {{ digest@contoso.com: {{ {', '.join(fields)} }} }}\n"


def applied(shop: Shop, *more: str, **environment: str) -> Any:
    return shop.on_tenant("apply", "plan.yaml", "--auto-approve", *more, HVE_PASSWORD=SECRET, **environment)


def probe(shop: Shop, *more: str) -> dict[str, Any]:
    said = shop.on_tenant(
        "probe", "digest", "plan.yaml", "--password", "env:HVE_PASSWORD", "--to", "erp@contoso.com", "--format", "json",
        *more, HVE_PASSWORD=SECRET,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(said.stdout)
    assert said.returncode == (0 if found["accepted"] else 1)
    return found


def test_a_device_is_refused_then_delivers_and_is_refused_again_after_the_rollback(shop: Shop) -> None:
    shop.write(account("password: env:HVE_PASSWORD", PAID) + DEVICE)
    assert "hve_account/digest@contoso.com" in probe(shop)["remedy"]["sentence"]
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 2
    assert applied(shop).returncode == 0
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0
    assert probe(shop, "--send")["accepted"] is True
    (delivered,) = shop.tenant.control("GET", "/mail")
    assert (delivered["route"], delivered["recipients"]) == ("high_volume_email", {"erp@contoso.com": "inbox"})
    explained = json.loads(shop.on_tenant("explain", "device/digest", "plan.yaml", "--format", "json").stdout)
    assert [s["allowed"] for s in explained["sign_in"]] == [True]
    assert {r["address"]: r["state"] for r in explained["resources"]}["hve_account/digest@contoso.com"] == "as declared"

    assert shop.on_tenant("rollback", "-o", "back.json").returncode == 0
    stopped = shop.on_tenant("apply", *shop.reviewed("back.json"))
    assert (stopped.returncode, "HVE-ACCOUNT-DELETED" in stopped.stderr) == (6, True)
    assert probe(shop)["accepted"] is True
    assert shop.on_tenant("apply", *shop.reviewed("back.json"), "--allow", "HVE-ACCOUNT-DELETED").returncode == 0
    assert probe(shop)["accepted"] is False
    assert shop.tenant.rows("MailUser") == []
    kept = [f for f in shop.folder.rglob("*") if f.is_file() and SECRET.encode() in f.read_bytes()]
    assert kept == []


def test_nothing_is_written_without_the_secret_the_password_or_the_billing_policy(shop: Shop) -> None:
    def refused(plan: str, exit_code: int, word: str, *more: str, **environment: str) -> None:
        shop.write(plan + DEVICE)
        said = shop.on_tenant("apply", "plan.yaml", "--auto-approve", *more, **environment)
        assert (said.returncode, word in said.stderr) == (exit_code, True), said.stderr
        assert "Traceback" not in said.stderr
        assert shop.tenant.rows("MailUser") == []

    refused(account("password: env:HVE_PASSWORD", PAID), 3, "the environment variable HVE_PASSWORD")
    refused("", 6, "the plan names no password for it")
    refused(account("password: env:HVE_PASSWORD"), 6, "HVE-BILLING", HVE_PASSWORD=SECRET)
    refused(account(f"password: {SECRET}", PAID), 3, "SECRET-MISPLACED")
    assert SECRET not in shop.on_tenant("plan", "plan.yaml").stderr


def test_an_account_that_cannot_send_is_told_and_a_password_in_the_plan_changes_nothing_later(shop: Shop) -> None:
    shop.write(account("password: env:HVE_PASSWORD") + DEVICE)
    made = applied(shop, "--allow", "HVE-BILLING", PROVISIONER_TIMEOUTS__CONFIRM_S="0")
    assert (made.returncode, "no billing policy is assigned" in made.stdout + made.stderr) == (8, True)
    again = shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode")
    assert (again.returncode, "NOT-IN-FORCE" in again.stdout) == (0, True)
    doctor = " ".join(shop.on_tenant("doctor", "plan.yaml").stdout.split())
    assert "enable it in the admin center" not in doctor
    assert doctor.count("write billing_policy: and its id") == 2, "the finding, and what it means for the device"
    refused = probe(shop)
    assert "no billing policy is assigned to it" in refused["remedy"]["sentence"]
    shop.write(account(PAID) + DEVICE)
    assert applied(shop).returncode == 0
    assert probe(shop)["accepted"] is True
    shop.write(account('billing_policy: ""') + DEVICE)
    lost = shop.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert (lost.returncode, "DEVICE-LOSES-WAY" in lost.stderr) == (6, True)
    assert probe(shop)["accepted"] is True


def test_an_application_that_is_not_allowed_is_told_which_are(shop: Shop) -> None:
    line = "535 5.7.240 the application is not allowed for use with this High Volume Email account"
    shop.write(account("password: env:HVE_PASSWORD", PAID, f"applications: [{APP}]"))
    assert applied(shop).returncode == 0
    said = shop.on_tenant("diagnose", f"user=digest@contoso.com {line}", "--format", "json")
    assert f"digest@contoso.com admits the applications {APP} only" in said.stdout
    exported = shop.on_tenant("export")
    assert (f"- {APP}" in exported.stdout, "password" in exported.stdout) == (True, False)
