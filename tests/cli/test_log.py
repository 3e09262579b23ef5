"""The log of a run: a record for each request, and nothing in it that is not for everybody."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner import engine
from provisioner.cli.log import Log, trace_of
from provisioner.cli.tally import Tally
from provisioner.diagnostics import Throttled
from provisioner.model import Action, Address, Answer, Change, Cmdlet, DnsQuery, GraphRequest, Secret
from tests.cli.shop import Shop, open_shop

pytestmark = pytest.mark.one_of("profile")

SET = Cmdlet("Set-CASMailbox", {"Identity": "canary@x.com", "Password": Secret("env:CANARY")})
USER = GraphRequest("GET", "/users/canary@x.com/licenseDetails?$filter=mail eq 'canary@x.com'")
CHANGE = Change(Address("smtp_auth", "a@x.com"), Action.UPDATE, None, None)
EVENTS: tuple[engine.Event, ...] = (
    engine.LockAwaited("ada on build7"),
    engine.Retrying(SET, 4.2, Throttled("slow down", "canary@x.com")),
    engine.SlowedDown("Exchange", 4, 19.41, 1.0),
    engine.Responded(SET, Answer(({}, {}), request_ids=("r-1", ""), requests=2), 0.5),
    engine.Responded(USER, Throttled("slow down", str(USER), status=429, request_id="r-2"), 0.25),
    engine.Responded(DnsQuery("contoso.com", "MX"), Answer(({"value": "10 mx.example"},)), 0.125),
    engine.HeldBack(CHANGE, ("inbound_connector/hq (it is disabled)",)),
    engine.Finished(engine.Result(CHANGE.address, CHANGE.action, "done")),
)


def said(format_: str, **facts: Any) -> list[str]:
    lines: list[str] = []
    hosts = {"Cmdlet": "exchange.example", "GraphRequest": "graph.example"}
    log = Log(lines.append, lambda: "2026-11-23T10:00:00.000Z", format_, hosts, "run-1", **facts)
    for event in EVENTS:
        log.observe(event)
    log.end(8, Tally(3, 1, 1, 1, 4.2, 1), 1.5)
    return lines


def test_each_request_is_a_record_with_whom_it_asked_how_it_ended_and_how_long_it_took() -> None:
    records = [json.loads(line) for line in said("json", trace="t" * 32)]
    for record in records:
        assert record.pop("time") == "2026-11-23T10:00:00.000Z"
        assert (record.pop("run"), record.pop("trace")) == ("run-1", "t" * 32)
    assert records == [
        {"kind": "lock", "holder": "ada on build7"},
        {"kind": "retry", "cmdlet": "Set-CASMailbox", "outcome": "throttled", "waits_s": 4.2},
        {"kind": "slowdown", "service": "Exchange", "at_once": 4, "per_s": 19.4, "quiet_s": 1.0},
        {"kind": "request", "cmdlet": "Set-CASMailbox", "host": "exchange.example", "outcome": "ok", "rows": 2,
         "pages": 2, "request_ids": ["r-1"], "duration_s": 0.5, "retries": 1},
        {"kind": "request", "method": "GET", "path": "/users/…/licenseDetails", "host": "graph.example",
         "outcome": "throttled", "status": 429, "request_ids": ["r-2"], "duration_s": 0.25, "retries": 0},
        {"kind": "request", "dns": "contoso.com MX", "outcome": "ok", "rows": 1, "pages": 1, "duration_s": 0.125,
         "retries": 0},
        {"kind": "held_back", "address": 'smtp_auth["a@x.com"]',
         "waits_for": ["inbound_connector/hq (it is disabled)"]},
        {"kind": "change", "address": 'smtp_auth["a@x.com"]', "action": "update", "status": "done"},
        {"kind": "end", "exit_code": 8, "duration_s": 1.5, "requests": 3, "failed": 1, "retries": 1, "throttled": 1,
         "waited_s": 4.2, "slowdowns": 1},
    ]  # fmt: skip


@pytest.mark.parametrize("format_", ["text", "json"])
def test_no_parameter_filter_or_name_of_a_mailbox_is_logged(format_: str) -> None:
    assert "canary" not in "".join(said(format_)).lower()


def test_text_is_one_line_with_the_same_facts() -> None:
    assert said("text")[3] == (
        "2026-11-23T10:00:00.000Z request run=run-1 cmdlet=Set-CASMailbox host=exchange.example outcome=ok rows=2 "
        "pages=2 request_ids=['r-1'] duration_s=0.5 retries=1"
    )


@pytest.mark.parametrize(
    ("parent", "trace"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736", ""),
        ("x\n00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""),
    ],
)
def test_the_trace_of_the_caller_is_named(parent: str, trace: str) -> None:
    assert trace_of({"TRACEPARENT": parent}) == trace


# --- through the command line ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


@pytest.mark.parametrize("profile", ["sandbox", "sandbox-psrp"])
def test_a_run_is_logged_to_a_file_of_its_owner(shop: Shop, profile: str) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { a@contoso.com: enabled } }\n")
    file = Path(f"{profile}.log")
    shop.reset()
    for _ in range(2):
        options = ("--log-file", str(file), "--log-format", "json", "--profile", profile)
        done = shop.run(*options, "apply", plan, "--auto-approve")
        assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (shop.folder / file).read_text().splitlines()]
    assert len({r["run"] for r in records}) == 2
    asked = [r for r in records if r["kind"] == "request" and "cmdlet" in r]
    assert [r["outcome"] for r in asked if r["cmdlet"] == "Set-CASMailbox"] == ["ok"]
    assert {r["host"] for r in asked} == {"127.0.0.1"}
    assert [r["status"] for r in records if r["kind"] == "change"] == ["done"]
    assert stat.S_IMODE((shop.folder / file).stat().st_mode) == 0o600


def test_without_a_file_the_records_are_on_standard_error(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { a@contoso.com: enabled } }\n")
    done = shop.run("-q", "--log-format", "json", "--profile", "sandbox", "plan", plan)
    kinds = [json.loads(line)["kind"] for line in done.stderr.splitlines()]
    assert (set(kinds[:-1]), kinds[-1]) == ({"request"}, "end")


def test_questions_to_dns_are_shown_and_counted_as_requests(shop: Shop) -> None:
    """A device that relays has the records of its domain looked at."""
    plan = shop.write(
        "owner: mail/prod\nsites: { hq: { egress_ip_addresses: [52.202.8.242] } }\n"
        'devices:\n  fax: { site: hq, from: a@contoso.com, recipients: anyone, supports: { tls: "1.2", '
        "authentication: [] } }\n"
    )
    shown = shop.run("-v", "--profile", "sandbox", "plan", plan, "-o", "saved.json").stderr
    asked = re.findall(r"(?m)contoso\.com (?:TXT|MX)\b", shown)
    assert {"contoso.com TXT", "contoso.com MX"} <= set(asked), shown
    requests = json.loads((shop.folder / "saved.json").read_text())["provisioner"]["requests"]["read"]
    done = shop.run("-q", "--log-format", "json", "--profile", "sandbox", "plan", plan)
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert len([r for r in records if "dns" in r]) >= 2
    assert requests > len([r for r in records if r["kind"] == "request" and "dns" not in r])


def test_a_log_that_cannot_be_written_is_told_before_anything_is_done(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { b@contoso.com: enabled } }\n")
    done = shop.run("--log-file", "nowhere/x.log", "--profile", "sandbox", "apply", plan, "--auto-approve")
    assert (done.returncode, "LOG-WRITE" in done.stderr) == (3, True)
