"""The switch-off for a ring of mailboxes: planned, applied, looked at, and undone while another ring stays."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

QUICK = {"PROVISIONER_TIMEOUTS__CONFIRM_S": "0.4"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("rehearsal"), SEED) as here:
        yield here


@pytest.fixture(autouse=True)
def before(shop: Shop) -> Iterator[None]:
    shop.reset()
    yield
    for journal in (shop.folder / "state").glob("*/journal.jsonl"):
        journal.unlink()


def held(shop: Shop) -> set[str]:
    return {row["Identity"].lower() for row in shop.tenant.rows("User") if row["AuthenticationPolicy"] == "block-basic"}


def rehearsed(shop: Shop, *rings: str) -> None:
    options = [part for ring in rings for part in ("--ring", ring)]
    planned = shop.on_tenant("senders", "rehearse", *options, "-o", "ring.json", "--format", "json")
    assert planned.returncode == 0, planned.stderr
    done = shop.on_tenant("apply", *shop.reviewed("ring.json"), "--auto-approve", **QUICK)
    assert done.returncode == 0, done.stdout + done.stderr


def undo(shop: Shop, run: str) -> str:
    back = shop.on_tenant("rollback", run, "-o", "back.json")
    assert back.returncode == 0, back.stderr
    done = shop.on_tenant("apply", *shop.reviewed("back.json"), "--auto-approve", **QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    return back.stderr


def runs(shop: Shop) -> list[str]:
    (journal,) = (shop.folder / "state").glob("*/journal.jsonl")
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    return [entry["run"] for entry in entries if entry["kind"] == "begin"]


def test_a_ring_is_blocked_and_undone_while_another_one_stays(shop: Shop) -> None:
    (shop.folder / "ring.txt").write_text("# first ring\nerp@contoso.com\n\nfax@contoso.com # third floor\n")
    planned = shop.on_tenant("senders", "rehearse", "--ring", "ring.txt", "-o", "ring.json")
    assert planned.returncode == 0, planned.stderr
    assert "can stop mail" in planned.stdout
    assert "\nPlan: 1 to add, 2 to change, 0 to destroy." in planned.stdout, "it undoes nothing"
    assert "rollback last" in planned.stderr
    assert held(shop) == set()
    rehearsed(shop, "ring.txt")
    assert held(shop) == {"erp", "fax"}
    rehearsed(shop, "a@contoso.com")
    assert held(shop) == {"erp", "fax", "a"}
    first, second = runs(shop)
    assert 'authentication_policy["block-basic"]: others have it since the run' in undo(shop, first)
    assert held(shop) == {"a"}
    undo(shop, second)
    assert held(shop) == set()
    assert [row["Name"] for row in shop.tenant.rows("AuthenticationPolicy")] == ["block-basic"]


def logins(shop: Shop, *rows: tuple[str, int, int]) -> None:
    """Logins over SMTP: who, minutes from now, error code."""
    now = dt.datetime.now(dt.UTC)
    kept = [
        {
            "id": f"row-{number}",
            "createdDateTime": f"{now + dt.timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}",
            "userPrincipalName": f"{name}@contoso.com",
            "clientAppUsed": "Authenticated SMTP",
            "ipAddress": "203.0.113.9",
            "isInteractive": True,
            "signInEventTypes": ["interactiveUser"],
            "status": {"errorCode": code, "failureReason": "blocked" if code else "Other."},
        }
        for number, (name, minutes, code) in enumerate(rows)
    ]
    shop.tenant.control("POST", "/load", {"sandbox": 1, "graph": {"signIns": kept}})


def test_the_report_tells_who_still_logs_in_who_is_refused_and_who_is_silent(shop: Shop) -> None:
    names = ("erp", "fax", "a", "b")
    ring = [part for name in names for part in ("--ring", f"{name}@contoso.com")]
    unknown = shop.on_tenant("senders", "rehearse", *ring, "--report")
    assert unknown.returncode == 3
    rehearsed(shop, *ring[1::2])
    logins(shop, ("erp", -600, 0), ("erp", 600, 0), ("fax", -600, 0), ("fax", 600, 53003), ("a", -600, 0))
    shop.tenant.control("POST", "/clock", {"advance": 86400})
    told = shop.on_tenant("senders", "rehearse", *ring, "--report", "--format", "json")
    assert told.returncode == 0, told.stderr
    outcomes: dict[str, Any] = {row["mailbox"]: row for row in json.loads(told.stdout)["outcomes"]}
    assert [outcomes[f"{name}@contoso.com"]["state"] for name in names] == [
        "still_logs_in", "refused", "silent", "not_seen"
    ]  # fmt: skip
    assert outcomes["fax@contoso.com"]["failures"] == [{"code": "53003", "reason": "blocked", "count": 1}]
    text = shop.on_tenant("senders", "rehearse", *ring, "--report", "--since", "2020-01-01T00:00:00Z").stdout
    assert "a@contoso.com: still logs in with a password" in text
    shop.tenant.control("POST", "/faults", [{"front": "graph", "times": 9, "do": {"status": 403}}])
    lost = shop.on_tenant("senders", "rehearse", *ring, "--report", "--since", "2020-01-01T00:00:00Z")
    shop.release()
    assert lost.returncode in (4, 5)


def test_what_cannot_be_rehearsed_is_told_before_anything_is_planned(shop: Shop) -> None:
    shop.tenant.cmdlet("New-AuthenticationPolicy", Name="devices", AllowBasicAuthSmtp=True)
    for options, words in (
        (("--ring", "nobody.txt"), "cannot be read"),
        (("--ring", "erp@@contoso"), "is not an e-mail address"),
        (("--ring", "erp@contoso.com", "--policy", "devices"), "lets passwords in"),
        (("--ring", "erp@contoso.com", "--policy", "none"), "has a meaning of its own"),
        (("--ring", "erp@contoso.com", "--report", "--since", "yesterday"), "is not a time"),
    ):
        told = shop.on_tenant("senders", "rehearse", *options)
        assert told.returncode == 3, told.stderr
        assert words in told.stderr
        assert "Traceback" not in told.stderr
    absent = shop.on_tenant("senders", "rehearse", "--ring", "nobody@contoso.com")
    assert absent.returncode == 6
