"""The calendar changes no plan: the same files against the same tenant give the same changes and exit codes on any day.

The clock of the command line is set to the days around the end of basic authentication for client submission. Microsoft
lets administrators switch it on again (MC786329, 27 January 2026), so a date proves nothing about a tenant.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from provisioner.cli.main import main
from tests.cli.shop import HEADER
from tests.clocks import FastClock
from tests.local_tenant import LocalTenant, sandbox

pytestmark = pytest.mark.part(0.5)

DAYS = (dt.date(2026, 12, 30), dt.date(2026, 12, 31), dt.date(2027, 2, 1))
MAILROOM = "mailroom@contoso.com"
SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": [MAILROOM, "nas@contoso.com"],
}
DIRECT_SEND_WOULD_DO = f"""
smtp_auth: {{ organization: disabled, exclusive: true }}
devices:
  mailroom: {{ from: {MAILROOM}, recipients: organization, supports: {{ tls: "1.2", authentication: [basic] }} }}
"""
NOTHING_ELSE_WOULD_DO = """
inbound_connectors:
  hq: { type: on_premises, sender_ip_addresses: [81.2.69.160] }
devices:
  nas: { from: nas@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [basic] } }
"""
PLANS = {"D1": DIRECT_SEND_WOULD_DO, "D2": NOTHING_ELSE_WOULD_DO}
CASE = """provisioner_test: 1
cases:
  it:
    given: { seeds: [seed.json] }
    plan: plan.yaml
    expect: { changes: { smtp_auth/nas@contoso.com: update, inbound_connector/hq: create } }
"""
Run = Callable[..., int]


def on(day: dt.date, *arguments: str) -> int:
    """Run a command line on a day: its exit code."""
    return main(arguments, clock=FastClock(start=dt.datetime.combine(day, dt.time(12), dt.UTC)))


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[LocalTenant]:
    (tmp_path / "seed.json").write_text(json.dumps(SEED))
    with sandbox(tmp_path / "sandbox", tmp_path / "seed.json") as running:
        yield running


@pytest.fixture
def run(tenant: LocalTenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`on`, with the sandbox as the tenant."""
    entry = tenant.endpoints["app"]
    environment = {
        "TENANT": tenant.endpoints["initial_domain"],
        "CA": tenant.endpoints["ca"],
        "CREDENTIAL__KIND": "client_secret",
        "CREDENTIAL__CLIENT_ID": entry["client_id"],
        "CREDENTIAL__SECRET": f"file:{entry['secret_file']}",
        "ENDPOINTS__DNS_SERVERS": json.dumps([tenant.endpoints["dns"]]),
        "STATE_DIR": str(tmp_path / "state"),
        **{f"ENDPOINTS__{n.upper()}": tenant.endpoints[n] for n in ("authority", "graph", "exchange")},
    }
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(f"PROVISIONER_{name}", value)
    return on


def planned(run: Run, day: dt.date) -> tuple[int, Mapping[str, Any]]:
    """The exit code of `plan`, and the change set without its time stamps and the digest over them."""
    file = Path(f"{day}.changeset")
    code = run(day, "plan", "plan.yaml", "--detailed-exitcode", "--out", str(file))
    document = json.loads(file.read_text())
    assert document.pop("timestamp").startswith(day.isoformat())
    for stamp in ("expires", "digest"):
        assert document["provisioner"].pop(stamp)
    return code, document


def enabled(tenant: LocalTenant, mailbox: str) -> bool:
    (row,) = [r for r in tenant.rows("CASMailbox") if r["PrimarySmtpAddress"] == mailbox]
    return row["SmtpClientAuthenticationDisabled"] is False


@pytest.mark.one_of("fault")
@pytest.mark.parametrize("fault", PLANS)
def test_a_password_device_is_planned_and_stays_planned_on_any_day(fault: str, run: Run, tenant: LocalTenant) -> None:
    Path("plan.yaml").write_text(HEADER + PLANS[fault])
    mailbox = MAILROOM if fault == "D1" else "nas@contoso.com"
    first = [planned(run, day) for day in DAYS]
    assert [code for code, _ in first] == [2, 2, 2]
    assert first[1:] == first[:-1], "the change sets of two days differ"
    for day in DAYS:
        assert run(day, "apply", "plan.yaml", "--auto-approve") == 0
        assert enabled(tenant, mailbox)
    later = [planned(run, day) for day in DAYS]
    assert [code for code, _ in later] == [0, 0, 0]
    assert later[1:] == later[:-1], "the change sets of two days differ"
    assert enabled(tenant, mailbox)


@pytest.mark.one_of("fault")
@pytest.mark.parametrize("fault", PLANS)
def test_every_command_ends_alike_on_any_day(fault: str, run: Run) -> None:
    Path("plan.yaml").write_text(HEADER + PLANS[fault])
    assert run(DAYS[0], "apply", "plan.yaml", "--auto-approve") == 0
    for command in (
        ("validate", "plan.yaml"),
        ("lint", "plan.yaml"),
        ("drift", "plan.yaml"),
        ("doctor", "plan.yaml"),
        ("devices", "list", "plan.yaml"),
        ("explain", f"device/{'mailroom' if fault == 'D1' else 'nas'}", "plan.yaml"),
    ):
        assert {run(day, *command) for day in DAYS} == {0}, command


DATED = """
owner: mail/prod
sites: { hq: { egress_ip_addresses: [81.2.69.160] } }
smtp_auth: { organization: disabled }
devices:
  nas:
    from: nas@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [basic] }
    until: 2027-01-15
    owner: facilities
  mfp: { site: hq, from: scan@contoso.com, recipients: anyone, supports: { tls: "1.0", authentication: [basic] } }
"""
LEFT = ("1 day left", "today", "32 days ago")


def test_one_plan_with_dates_is_the_same_on_any_day_but_for_its_findings(
    run: Run, tenant: LocalTenant, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through validate, lint, plan, apply and drift: byte-equal changes, equal exit codes, the same tenant."""
    Path("plan.yaml").write_text(HEADER + DATED)

    def told(day: dt.date, *command: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(day, *command)
        return code, capsys.readouterr().err

    def changes(day: dt.date) -> tuple[int, bytes]:
        code, document = planned(run, day)
        return code, json.dumps(document).encode()

    for command in ("validate", "lint"):
        found = [told(day, command, "plan.yaml") for day in DAYS]
        assert {code for code, _ in found} == {0}
        for (_, said), left in zip(found, LEFT, strict=True):
            assert f"off by default from 2026-12-31 ({left})" in said
        assert ["warning[DEVICE-UNTIL]" in said for _, said in found] == [False, False, True]
    assert [told(day, "lint", "plan.yaml", "--strict-dates")[0] for day in DAYS] == [0, 0, 3]
    first = [changes(day) for day in DAYS]
    assert first[0][0] == 2
    assert len(set(first)) == 1
    sent = []
    for day in DAYS:
        tenant.control("POST", "/reset")
        since = tenant.seen()
        assert run(day, "apply", "plan.yaml", "--auto-approve") == 0
        sent.append([(r["cmdlet"], r["parameters"]) for r in tenant.writes("exchange", since)])
        assert told(day, "drift", "plan.yaml")[0] == 0
        assert changes(DAYS[-1])[0] == 0
    assert len(sent[0]) == 2
    assert sent[1:] == sent[:-1], "the writes of two days differ"


@pytest.mark.part(1)
def test_a_switch_that_is_taken_away_stops_apply_on_any_day(run: Run, tenant: LocalTenant) -> None:
    """What the rules say of the tenant depends on no date either: DEVICE-LOSES-WAY was silent after the end."""
    tenant.cmdlet("Set-TransportConfig", SmtpClientAuthenticationDisabled=False)
    Path("plan.yaml").write_text(HEADER + NOTHING_ELSE_WOULD_DO + "smtp_auth: { organization: disabled }\n")
    target = ("--target", "smtp_auth/organization")
    assert {run(day, "apply", "plan.yaml", *target, "--auto-approve") for day in DAYS} == {6}
    (row,) = tenant.rows("TransportConfig")
    assert row["SmtpClientAuthenticationDisabled"] is False


def test_the_tests_of_a_plan_end_alike_on_any_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("seed.json").write_text(json.dumps(SEED))
    Path("plan.yaml").write_text(HEADER + NOTHING_ELSE_WOULD_DO)
    Path("it.test.yaml").write_text(CASE)
    assert {on(day, "test", "it.test.yaml") for day in (DAYS[0], DAYS[-1])} == {0}


def test_the_end_of_basic_authentication_is_a_warning_with_its_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(HEADER + DIRECT_SEND_WOULD_DO)
    for day in DAYS:
        capsys.readouterr()
        assert on(day, "lint", "plan.yaml") == 0
        said = capsys.readouterr().err
        assert "warning[DEVICE-RISK]" in said
        assert "off by default from 2026-12-31" in said


def test_a_waiver_that_has_expired_is_the_one_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is documented: docs/plan.md, `allow`. It shows too that the clock of these tests counts."""
    monkeypatch.chdir(tmp_path)
    allow = "allow: [{ rule: IP-RANGE-WIDE, until: '2026-12-31', reason: until the move }]\n"
    wide = "inbound_connectors: { hq: { type: on_premises, sender_ip_addresses: [81.2.0.0/16] } }\n"
    Path("plan.yaml").write_text(HEADER + allow + wide)
    assert [on(day, "validate", "plan.yaml") for day in DAYS] == [0, 0, 3]
