"""DKIM from nothing to Valid over the command line, with DNS published late, wrongly or by halves.

Each case has a domain of its own in one sandbox and runs over both ways to Exchange.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop
from tests.local_tenant import FRONT_OF
from tests.mail_dns.loopback import NameServer

PROFILES = ("sandbox", "sandbox-psrp")
CASES = (
    "late", "waits", "runs-out", "saved", "old", "foreign", "half", "text", "swapped", "moved", "off", "rotated",
    "stopped", "service", "crowd", "crowd2", "crowd3", "crowd4", "crowd5", "crowd6", "stream",
)  # fmt: skip
SELECTORS = ("selector1", "selector2")


def name_of(case: str, profile: str) -> str:
    return f"{case}-{profile}.example"


def seed() -> dict[str, Any]:
    """A tenant with a domain for each case, whose other mail records are in order."""
    domains = [name_of(case, profile) for case in CASES for profile in PROFILES]
    records: dict[str, Any] = {"spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:40.92.0.0/15 -all"]}}
    for domain in domains:
        records[domain] = {
            "MX": [f"0 {domain.replace('.', '-')}.mail.protection.outlook.com."],
            "TXT": ["v=spf1 include:spf.protection.outlook.com -all"],
        }
        records[f"_dmarc.{domain}"] = {"TXT": [f"v=DMARC1; p=reject; rua=mailto:d@{domain}"]}
    return {**SEED, "objects": {"AcceptedDomain": [{"DomainName": d} for d in domains]}, "dns": records}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), seed()) as here:
        yield here


@dataclass
class Signing:
    """One domain of the shop, its plan, and what the two sides of its DKIM are."""

    shop: Shop
    profile: str
    domain: str

    def plan_file(self, body: str = "{ enabled: true }") -> str:
        return self.shop.write(f"dkim: {{ {self.domain}: {body} }}\n", f"{self.domain}.yaml")

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.shop.run("--profile", self.profile, *arguments, **environment)

    def apply(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("apply", self.plan_file(), "--auto-approve", *options, **environment)

    def requests(self, since: int) -> list[dict[str, Any]]:
        return [r for front in FRONT_OF.values() for r in self.shop.tenant.requests(front, since)]

    def row(self) -> dict[str, Any]:
        rows = {r["Domain"]: r for r in self.shop.tenant.rows("DkimSigningConfig")}
        return rows.get(self.domain, {})

    @property
    def standing(self) -> tuple[bool, str]:
        return self.row()["Enabled"], self.row()["Status"]

    def target(self, selector: str) -> str:
        return str(self.row()[f"{selector.capitalize()}CNAME"])

    def publish(self, selector: str, value: str, kind: str = "CNAME") -> None:
        name = f"{selector}._domainkey.{self.domain}"
        for other in {"CNAME", "TXT"} - {kind}:
            self.shop.tenant.control("POST", "/dns", {"name": name, "type": other, "values": []})
        self.shop.tenant.control("POST", "/dns", {"name": name, "type": kind, "values": [value]})

    def publish_both(self) -> None:
        for selector in SELECTORS:
            self.publish(selector, self.target(selector))

    def begin(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "provisioner", "--profile", self.profile, "apply", self.plan_file()]
        return subprocess.Popen(
            [*command, "--auto-approve", *options],
            cwd=self.shop.folder,
            env=dict(self.shop.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def assert_settled(self) -> None:
        """Signing, nothing left to plan, and nothing wrong in DNS."""
        assert self.standing == (True, "Valid")
        planned = self.run("plan", self.plan_file(), "--detailed-exitcode")
        assert planned.returncode == 0, planned.stdout + planned.stderr
        assert "No changes." in planned.stdout
        assert "DKIM-" not in planned.stdout
        checked = self.run("dns", "check", self.plan_file())
        assert (checked.returncode, "DKIM" in checked.stdout) == (0, False), checked.stdout


@pytest.fixture(params=PROFILES)
def signing(shop: Shop, request: pytest.FixtureRequest) -> Callable[[str], Signing]:
    return lambda case: Signing(shop, request.param, name_of(case, request.param))


def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.05)


def writes(signing: Signing, since: int) -> list[str]:
    return [r["cmdlet"] for r in signing.shop.tenant.writes(since=since)]


# --- published late --------------------------------------------------------------------------------------------------


def test_dns_that_is_published_late_takes_two_runs(signing: Callable[[str], Signing]) -> None:
    late = signing("late")
    planned = late.run("plan", late.plan_file())
    assert planned.returncode == 0, planned.stderr
    assert "(known after creation: Selector1CNAME)" in planned.stdout
    first = late.apply()
    assert first.returncode == 8, first.stdout + first.stderr
    assert late.standing == (False, "CnameMissing")
    assert "Waiting (apply again when it is there)" in first.stdout
    for selector in SELECTORS:
        assert f"{selector}._domainkey.{late.domain} CNAME {late.target(selector)}" in first.stdout
    late.publish_both()
    before = late.shop.tenant.seen()
    second = late.apply()
    assert second.returncode == 0, second.stdout + second.stderr
    assert writes(late, before) == ["Set-DkimSigningConfig"]
    late.assert_settled()


def test_one_run_waits_until_dns_is_published(signing: Callable[[str], Signing]) -> None:
    waits = signing("waits")

    def publish() -> None:
        until(lambda: bool(waits.row()))
        time.sleep(1.5)
        waits.publish_both()

    publisher = threading.Thread(target=publish)
    publisher.start()
    began = time.monotonic()
    done = waits.apply("--wait", "30s")
    publisher.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 28
    assert "still waiting for DNS" in done.stderr
    assert f"selector1._domainkey.{waits.domain} CNAME {waits.target('selector1')}" in done.stderr
    assert "1 added" in done.stdout
    waits.assert_settled()


def test_a_wait_that_runs_out_loses_nothing(signing: Callable[[str], Signing]) -> None:
    runs_out = signing("runs-out")
    began = time.monotonic()
    first = runs_out.apply("--wait", "2s")
    assert first.returncode == 8, first.stdout + first.stderr
    assert 2 <= time.monotonic() - began < 25
    assert runs_out.target("selector2") in first.stdout
    runs_out.publish_both()
    assert runs_out.apply().returncode == 0
    runs_out.assert_settled()


def test_the_same_saved_change_set_goes_on_where_it_waited(signing: Callable[[str], Signing]) -> None:
    saved = signing("saved")
    file = f"{saved.domain}.json"
    assert saved.run("plan", saved.plan_file(), "-o", file).returncode == 0
    first = saved.run("apply", file, "--wait", "1s")
    assert first.returncode == 8, first.stdout + first.stderr
    assert saved.target("selector1") in first.stdout
    again = saved.run("apply", file)
    assert again.returncode == 8, again.stdout + again.stderr
    assert saved.target("selector1") in again.stdout
    saved.publish_both()
    before = saved.shop.tenant.seen()
    last = saved.run("apply", file)
    assert last.returncode == 0, last.stdout + last.stderr
    assert writes(saved, before) == ["Set-DkimSigningConfig"]
    saved.assert_settled()


def test_exchange_may_see_the_records_later_than_we_do(signing: Callable[[str], Signing]) -> None:
    """Its refusal ("sync will take a few minutes to as many as 4 days") is waited out like a missing record."""
    service = signing("service")
    assert service.apply().returncode == 8
    words = "CNAME record does not exist for this config"
    with NameServer() as ours:
        ours.zone = {
            f"{selector}._domainkey.{service.domain}": [("CNAME", service.target(selector))] for selector in SELECTORS
        }
        own = {"PROVISIONER_ENDPOINTS__DNS_SERVERS": json.dumps([f"127.0.0.1:{ours.port}"])}
        refused = service.apply(**own)
        assert refused.returncode == 8, refused.stdout + refused.stderr
        assert words in refused.stdout
        before = service.shop.tenant.seen()

        def publish() -> None:
            until(lambda: any(r["cmdlet"] == "Set-DkimSigningConfig" for r in service.requests(before)))
            service.publish_both()

        publisher = threading.Thread(target=publish)
        publisher.start()
        done = service.apply("--wait", "30s", **own)
        publisher.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert words in done.stderr
    service.assert_settled()


def test_many_domains_wait_side_by_side_and_hold_nobody_up(signing: Callable[[str], Signing]) -> None:
    crowd = [signing(case) for case in ("crowd", "crowd2", "crowd3", "crowd4", "crowd5", "crowd6")]
    body = "".join(f"  {one.domain}: {{ enabled: true }}\n" for one in crowd)
    plan = crowd[0].shop.write(f"dkim:\n{body}", "crowd.yaml")
    began = time.monotonic()
    waited = crowd[0].run("apply", plan, "--auto-approve", "--wait", "8s")
    assert waited.returncode == 8, waited.stdout + waited.stderr
    assert time.monotonic() - began < 8 + 12, "each waits in turn"
    assert all(one.row() for one in crowd)


def test_the_stream_tells_of_the_waiting(signing: Callable[[str], Signing]) -> None:
    stream = signing("stream")
    done = stream.apply("--wait", "3s", "--format", "json-lines")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    waiting = [line for line in lines if line["type"] == "apply_progress"]
    assert done.returncode == 8
    assert waiting
    assert waiting[0]["hook"]["resource"]["addr"] == f'dkim["{stream.domain}"]'
    assert stream.target("selector1") in waiting[0]["provisioner"]["detail"]


# --- published wrongly -----------------------------------------------------------------------------------------------


def assert_found(one: Signing, rule: str, wrong: str, right: str) -> None:
    """Plan, `dns check` and apply each name what is there and what should be."""
    planned = one.run("plan", one.plan_file())
    assert f"[{rule}]" in planned.stdout, planned.stdout + planned.stderr
    checked = one.run("dns", "check", one.plan_file())
    assert (checked.returncode, f"error[{rule}]" in checked.stdout) == (1, True), checked.stdout + checked.stderr
    applied = one.apply()
    assert applied.returncode == 8, applied.stdout + applied.stderr
    account = applied.stdout.partition("Waiting (apply again")[2]
    for said in (planned.stdout, checked.stdout, account):
        assert wrong in said, said
        assert right in said, said
    assert one.row()["Enabled"] is False


def test_a_cname_to_an_older_target_is_found(signing: Callable[[str], Signing]) -> None:
    """The tenant's own target in the form of before May 2025, while Exchange names one of the new form."""
    old = signing("old")
    assert old.apply().returncode == 8
    old.publish_both()
    label = old.domain.replace(".", "-")
    wrong = f"selector1-{label}._domainkey.contoso.onmicrosoft.com"
    old.publish("selector1", wrong)
    assert_found(old, "DKIM-CNAME-OLD", wrong, old.target("selector1"))
    old.publish("selector1", old.target("selector1").upper() + ".")
    assert old.apply().returncode == 0
    old.assert_settled()


@pytest.mark.parametrize(
    "wrong",
    ["selector2-%s._domainkey.fabrikam.onmicrosoft.com", "selector2-%s._domainkey.fabrikam.v-v1.dkim.mail.microsoft"],
)
def test_a_cname_to_another_tenant_is_found(signing: Callable[[str], Signing], wrong: str) -> None:
    foreign = signing("foreign")
    foreign.apply()
    foreign.publish_both()
    wrong = wrong % foreign.domain.replace(".", "-")
    foreign.publish("selector2", wrong)
    assert_found(foreign, "DKIM-CNAME-FOREIGN", wrong, foreign.target("selector2"))
    assert "fabrikam" in foreign.run("dns", "check", foreign.plan_file()).stdout


def test_one_of_two_records_is_not_enough(signing: Callable[[str], Signing]) -> None:
    half = signing("half")
    half.apply()
    half.publish("selector1", half.target("selector1"))
    right = half.target("selector2")
    planned = half.run("plan", half.plan_file()).stdout
    assert f"selector2._domainkey.{half.domain} is not published; Exchange expects {right}" in planned
    assert "selector1._domainkey" not in planned.partition("waits until DNS has")[0]
    checked = half.run("dns", "check", half.plan_file())
    assert f"+ selector2._domainkey.{half.domain} CNAME {right}" in checked.stdout
    assert "selector1._domainkey" not in checked.stdout
    applied = half.apply()
    account = applied.stdout.partition("Waiting (apply again")[2]
    assert applied.returncode == 8
    assert right in account
    assert "selector1._domainkey" not in account


def test_a_key_as_text_where_a_cname_belongs_is_found(signing: Callable[[str], Signing]) -> None:
    text = signing("text")
    text.apply()
    text.publish_both()
    text.publish("selector1", "v=DKIM1; k=rsa; p=MIIBIjANBgkq", "TXT")
    assert_found(text, "DKIM-TXT", "v=DKIM1; k=rsa; p=MIIBIjANBgkq", text.target("selector1"))


def test_exchanged_selectors_are_found(signing: Callable[[str], Signing]) -> None:
    swapped = signing("swapped")
    swapped.apply()
    swapped.publish("selector1", swapped.target("selector2"))
    swapped.publish("selector2", swapped.target("selector1"))
    assert_found(swapped, "DKIM-CNAME-SWAPPED", swapped.target("selector2"), swapped.target("selector1"))


def test_records_that_go_wrong_later_are_found_while_nothing_is_to_change(signing: Callable[[str], Signing]) -> None:
    moved = signing("moved")
    moved.apply()
    moved.publish_both()
    assert moved.apply().returncode == 0
    moved.publish("selector2", "selector2._domainkey.mailer.example")
    planned = moved.run("plan", moved.plan_file())
    assert "No changes." in planned.stdout
    assert "Error[DKIM-CNAME-WRONG]" in planned.stdout
    assert "selector2._domainkey.mailer.example" in planned.stdout
    assert moved.target("selector2") in planned.stdout
    checked = moved.run("dns", "check", moved.plan_file())
    assert (checked.returncode, "error[DKIM-CNAME-WRONG]" in checked.stdout) == (1, True)


def test_a_name_server_that_fails_is_not_taken_for_a_missing_record(signing: Callable[[str], Signing]) -> None:
    moved = signing("moved")
    moved.shop.tenant.control("POST", "/faults", [{"front": "dns", "match": {}, "times": 200, "do": {"status": 2}}])
    try:
        planned = moved.run("plan", moved.plan_file())
        checked = moved.run("dns", "check", moved.plan_file())
    finally:
        moved.shop.tenant.control("DELETE", "/faults")
    name = f"selector1._domainkey.{moved.domain} CNAME"
    assert planned.returncode == 0, planned.stderr
    for said in (planned.stdout, checked.stdout):
        assert f"{name} cannot be had" in said, said
        assert "SERVFAIL" in said
        assert "is not published" not in said


# --- switched off, rotated, interrupted ------------------------------------------------------------------------------


def test_signing_is_switched_off_and_on_without_new_keys(signing: Callable[[str], Signing]) -> None:
    off = signing("off")
    off.apply()
    off.publish_both()
    assert off.apply().returncode == 0
    targets = [off.target(s) for s in SELECTORS]
    plan = off.plan_file("{ enabled: false }")
    assert off.run("apply", plan, "--auto-approve").returncode == 0
    assert off.row()["Enabled"] is False
    assert "No changes." in off.run("plan", plan).stdout
    assert off.apply().returncode == 0
    assert [off.target(s) for s in SELECTORS] == targets
    off.assert_settled()


def test_a_rotation_by_hand_is_no_difference_and_none_comes_from_the_plan(signing: Callable[[str], Signing]) -> None:
    rotated = signing("rotated")
    rotated.apply()
    rotated.publish_both()
    assert rotated.apply().returncode == 0
    rotated.shop.tenant.cmdlet("Rotate-DkimSigningConfig", Identity=rotated.domain, KeySize=1024)
    rotated.assert_settled()
    before = rotated.shop.tenant.seen()
    planned = rotated.run("plan", rotated.plan_file("{ enabled: true, key_size: 2048 }"))
    assert "CREATE-ONLY" in planned.stdout
    assert (
        rotated.run("apply", rotated.plan_file("{ enabled: true, key_size: 2048 }"), "--auto-approve").returncode == 0
    )
    assert writes(rotated, before) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_wait_ends_at_once_and_the_next_run_goes_on(
    signing: Callable[[str], Signing], number: signal.Signals
) -> None:
    stopped = signing("stopped")
    running = stopped.begin("--wait", "10m")
    assert running.stderr is not None
    said = ""
    while "still waiting for DNS" not in said:
        line = running.stderr.readline()
        assert line, said
        said += line
    began = time.monotonic()
    os.kill(running.pid, number)
    out, err = running.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert running.returncode == 8, out + said + err
    assert "Traceback" not in err
    assert stopped.target("selector1") in out
    verified = stopped.run("history", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    journal = next((stopped.shop.folder / "state").glob("*/journal.jsonl")).read_text().splitlines()
    assert json.loads(journal[-1])["kind"] == "end"
    assert stopped.row()["Enabled"] is False
    again = stopped.apply()
    assert again.returncode == 8, again.stdout
    assert "locked" not in again.stderr


def test_what_was_interrupted_is_finished_by_the_next_run(signing: Callable[[str], Signing]) -> None:
    stopped = signing("stopped")
    if not stopped.row():
        stopped.apply()
    stopped.publish_both()
    assert stopped.apply().returncode == 0
    stopped.assert_settled()
