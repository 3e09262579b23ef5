"""An apply under a quota: every write is carried out once, none fails for being refused, and everybody waits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

MAILBOXES = [f"m{n:05d}@contoso.com" for n in range(1, 31)]
ALL = ("--allow", "BLAST-RADIUS:smtp_auth/*")


@pytest.fixture(scope="module")
def quota_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    seed = {**SEED, "mailboxes": [{"count": 30, "domain": "contoso.com", "prefix": "m"}]}
    with open_shop(tmp_path_factory.mktemp("throttled"), seed) as here:
        yield here


@pytest.fixture
def shop(quota_shop: Shop) -> Iterator[Shop]:
    quota_shop.reset()
    yield quota_shop
    quota_shop.reset()


def plan(shop: Shop) -> str:
    lines = "".join(f"    {address}: disabled\n" for address in MAILBOXES)
    return shop.write(f"smtp_auth:\n  mailboxes:\n{lines}")


def quota(shop: Shop, **settings: Any) -> int:
    """The number of the last request before the quota was in force."""
    shop.tenant.control("POST", "/throttle", settings)
    return shop.tenant.seen()


def test_writes_beyond_a_quota_wait_and_are_each_carried_out_once(shop: Shop) -> None:
    plan(shop)
    since = quota(shop, application={"requests_per_minute": 90}, window_s=10, services=["exchange"])
    shop.fault("Set-CASMailbox", {"status": 429, "headers": {"Retry-After": "5"}}, times=3)
    done = shop.run("--profile", "sandbox", "apply", "plan.yaml", "--auto-approve", *ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    writes = [r for r in shop.tenant.requests("exchange", since) if r["cmdlet"] == "Set-CASMailbox"]
    carried_out = Counter(r["parameters"]["Identity"] for r in writes if r["executed"])
    assert (len(carried_out), set(carried_out.values())) == (30, {1})
    assert sum(r["status"] == 429 for r in writes) >= 3
    assert [r for r in shop.tenant.requests("exchange", since) if r.get("throttled")], "the quota was never reached"
    assert {row["SmtpClientAuthenticationDisabled"] for row in shop.tenant.rows("CASMailbox")} == {True}


def test_nothing_is_sent_before_the_wait_is_over_that_a_refusal_asked_for(shop: Shop) -> None:
    plan(shop)
    since = quota(shop, application={"requests_per_minute": 30}, window_s=20, services=["exchange"])
    done = shop.run("-v", "--profile", "sandbox", "apply", "plan.yaml", "--auto-approve", *ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [r for r in shop.tenant.requests("exchange", since) if r["cmdlet"]]
    times = [datetime.fromisoformat(r["time"]) for r in asked]
    first = next(time for time, r in zip(times, asked, strict=True) if r.get("throttled"))
    under_way, waited = timedelta(seconds=5), timedelta(seconds=10)
    later = [time - first for time in times if time > first + under_way]
    assert min(later) > waited, "whoever is not refused waits too"
    assert "Exchange asks for fewer requests" in done.stderr


def test_a_wait_longer_than_allowed_ends_the_run_with_an_account_and_the_next_goes_on(shop: Shop) -> None:
    plan(shop)
    since = quota(shop, application={"requests_per_minute": 1}, window_s=1200, services=["exchange"])
    command = ("--profile", "sandbox", "apply", "plan.yaml", "--auto-approve", *ALL, "--format", "json")
    done = shop.run(*command, PROVISIONER_TIMEOUTS__RETRY_S="30", PROVISIONER_TIMEOUTS__CONFIRM_S="1")
    assert done.returncode == 8, done.stdout + done.stderr
    results = json.loads(done.stdout)["results"] if done.stdout.startswith("{") else []
    assert "timeouts.retry_s allows 30 s" in done.stdout + done.stderr
    assert all(r["status"] != "failed" or "timeouts.retry_s" in r["detail"] for r in results)
    asked = [r for r in shop.tenant.requests("exchange", since) if r["cmdlet"]]
    assert len(asked) < 60, "what cannot wait is not sent"
    shop.tenant.control("DELETE", "/throttle")
    assert shop.run(*command).returncode == 0
