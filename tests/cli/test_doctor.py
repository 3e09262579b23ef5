"""`provisioner doctor`: what is missing is named, and so is the one switch that keeps a mailbox from signing in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import Shop, open_shop
from tests.cli.test_probe import SEED, SUBMISSION

pytestmark = pytest.mark.one_of("profile")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), SEED) as here:
        here.write(SUBMISSION)
        yield here


def looked_at(shop: Shop, *options: str, profile: str = "sandbox", **environment: str) -> dict[str, tuple[str, str]]:
    done = shop.run(*options, "--profile", profile, "doctor", "plan.yaml", "--format", "json", **environment)
    checks: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    assert done.returncode == (1 if any(c["state"] == "problem" for c in checks) else 0), done.stderr
    return {c["what"]: (c["state"], c["sentence"]) for c in checks}


def switch(shop: Shop, disabled: bool | None) -> None:
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=disabled)


@pytest.mark.parametrize("profile", ["sandbox", "sandbox-psrp"])
def test_the_switch_that_blocks_a_mailbox_is_named(shop: Shop, profile: str) -> None:
    what = "erp@contoso.com with a password"
    switch(shop, None)
    state, sentence = looked_at(shop, profile=profile)[what]
    assert (state, "blocked by: organization" in sentence) == ("problem", True)
    switch(shop, True)
    assert "blocked by: mailbox" in looked_at(shop, profile=profile)[what][1]
    switch(shop, False)
    found = looked_at(shop, profile=profile)
    state, sentence = found[what]
    assert state == "warning"
    assert sentence.startswith("no setting blocks its sign-in; basic authentication for client submission is off by")
    others = {w: state for w, (state, _) in found.items() if w not in {"plan", what}}
    assert others.pop("DEVICE-RISK") == "warning", "what plan finds"
    assert set(others.values()) == {"ok"}


def test_for_people_it_is_a_line_for_each_and_what_fixes_it(shop: Shop) -> None:
    switch(shop, True)
    done = shop.on_tenant("doctor", "plan.yaml")
    assert done.returncode == 1
    assert "problem  erp@contoso.com with a password: SMTP AUTH is disabled for the mailbox itself" in done.stdout
    assert "         = hint: the plan changes that: provisioner apply" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 problem, ")


def test_without_a_profile_that_is_what_is_wrong(shop: Shop) -> None:
    done = shop.run("doctor", "plan.yaml")
    assert done.returncode == 1
    assert "problem  profile: no profile is chosen" in done.stdout
    assert "plan: plan.yaml declares" in done.stdout


def test_a_mailbox_that_is_not_there_is_told(shop: Shop) -> None:
    shop.write(SUBMISSION.replace("erp@", "nobody@"), "nobody.yaml")
    done = shop.on_tenant("doctor", "nobody.yaml")
    assert done.returncode == 1
    assert "problem  nobody@contoso.com: the tenant has no such mailbox" in done.stdout


def test_a_plan_with_mistakes_leaves_the_rest_to_be_looked_at(shop: Shop) -> None:
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: perhaps } }\n", "wrong.yaml")
    done = shop.on_tenant("doctor", "wrong.yaml")
    assert done.returncode == 1
    assert "problem  plan: wrong.yaml:3:" in done.stdout
    assert "ok       sign-in: contoso.onmicrosoft.com" in done.stdout


def test_a_sign_in_that_is_refused_and_an_endpoint_that_is_not_there(shop: Shop) -> None:
    refused = looked_at(shop, PROVISIONER_CREDENTIAL__SECRET="env:WRONG", WRONG="not-it-canary")
    assert refused["sign-in"][0] == "problem"
    assert "not-it-canary" not in json.dumps(refused)
    gone = looked_at(shop, PROVISIONER_ENDPOINTS__GRAPH="https://127.0.0.1:9", PROVISIONER_TIMEOUTS__RETRY_S="0.1")
    assert gone["sign-in"][0] == "problem"
    deaf = looked_at(shop, PROVISIONER_ENDPOINTS__DNS_SERVERS='["127.0.0.1:9"]')
    assert deaf["DNS"][0] == "problem"


def test_what_may_not_be_read_is_named(shop: Shop) -> None:
    body = {"error": {"code": "Forbidden", "message": "no"}}
    shop.fault("Get-InboundConnector", {"status": 403, "body": json.dumps(body)}, times=3)
    try:
        assert looked_at(shop)["reading inbound connectors"][0] == "problem"
    finally:
        shop.tenant.control("DELETE", "/faults")


def test_a_folder_that_cannot_be_written_and_a_journal_that_was_changed_are_told(shop: Shop) -> None:
    (shop.folder / "a-file").write_text("")
    assert looked_at(shop, PROVISIONER_STATE_DIR=str(shop.folder / "a-file" / "x"))["journal and locks"][0] == "problem"
    switch(shop, None)
    assert shop.on_tenant("apply", "plan.yaml", "--auto-approve").returncode == 0
    assert looked_at(shop)["journal"][0] == "ok"
    (journal,) = (shop.folder / "state").glob("*/journal.jsonl")
    whole = journal.read_text()
    journal.write_text(whole.replace('"finished"', '"Finished"', 1))
    try:
        assert looked_at(shop)["journal"][0] == "problem"
    finally:
        journal.write_text(whole)
