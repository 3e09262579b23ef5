"""DKIM from nothing to Valid over the command line, with DNS published late, wrongly or by halves.

Each case has a domain of its own in one sandbox and runs over both ways to Exchange.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cli.in_process import said_so_far
from tests.cli.shop import SEED, Shop, open_shop
from tests.local_tenant import FRONT_OF
from tests.mail_dns.loopback import Loopback

pytestmark = [pytest.mark.one_of("profile"), pytest.mark.part(0.5)]

PROFILES = ("sandbox", "sandbox-psrp")
CASES = (
    "late", "waits", "runs-out", "saved", "old", "foreign", "newer", "half", "text", "swapped", "elsewhere", "moved",
    "off", "rotated", "ended",
    "stopped", "service", "crowd", "crowd2", "crowd3", "crowd4", "crowd5", "crowd6", "stream",
)  # fmt: skip
SELECTORS = ("selector1", "selector2")


def name_of(case: str, profile: str) -> str:
    return f"{case}-{profile}.example"


def seed(profile: str) -> dict[str, Any]:
    """A tenant with a domain for each case, whose other mail records are in order."""
    domains = [name_of(case, profile) for case in CASES]
    records: dict[str, Any] = {"spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:40.92.0.0/15 -all"]}}
    for domain in domains:
        records[domain] = {
            "MX": [f"0 {domain.replace('.', '-')}.mail.protection.outlook.com."],
            "TXT": ["v=spf1 include:spf.protection.outlook.com -all"],
        }
        records[f"_dmarc.{domain}"] = {"TXT": [f"v=DMARC1; p=reject; rua=mailto:d@{domain}"]}
    return {**SEED, "objects": {"AcceptedDomain": [{"DomainName": d} for d in domains]}, "dns": records}


@pytest.fixture(scope="module", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def shop(profile: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), seed(profile)) as here:
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
        values = [value] if value else []
        self.shop.tenant.control("POST", "/dns", {"name": name, "type": kind, "values": values})

    def publish_both(self) -> None:
        for selector in SELECTORS:
            self.publish(selector, self.target(selector))

    def begin(self, *options: str) -> subprocess.Popen[str]:
        return self.shop.begin("--profile", self.profile, "apply", self.plan_file(), "--auto-approve", *options)

    def assert_settled(self) -> None:
        """Signing, nothing left to plan, and nothing wrong in DNS."""
        assert self.standing == (True, "Valid")
        planned = self.run("plan", self.plan_file(), "--detailed-exitcode")
        assert planned.returncode == 0, planned.stdout + planned.stderr
        assert "No changes." in planned.stdout
        assert "DKIM-" not in planned.stdout
        checked = self.run("dns", "check", self.plan_file())
        assert (checked.returncode, "DKIM" in checked.stdout) == (0, False), checked.stdout


@pytest.fixture
def signing(shop: Shop, profile: str) -> Callable[[str], Signing]:
    return lambda case: Signing(shop, profile, name_of(case, profile))


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

    clock = waits.shop.clock
    clock.after(1.5, waits.publish_both)
    began = clock.monotonic()
    done = waits.apply("--wait", "30s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert clock.monotonic() - began < 28
    assert "still waiting for DNS" in done.stderr
    assert f"selector1._domainkey.{waits.domain} CNAME {waits.target('selector1')}" in done.stderr
    assert "1 added" in done.stdout
    waits.assert_settled()


def test_a_wait_that_runs_out_loses_nothing(signing: Callable[[str], Signing]) -> None:
    runs_out = signing("runs-out")
    clock = runs_out.shop.clock
    began = clock.monotonic()
    first = runs_out.apply("--wait", "2s")
    assert first.returncode == 8, first.stdout + first.stderr
    assert 2 <= round(clock.monotonic() - began, 6) < 25
    assert runs_out.target("selector2") in first.stdout
    runs_out.publish_both()
    runs_out.shop.tenant.control("POST", "/faults", [{"front": "dns", "match": {}, "times": 9, "do": {"status": 2}}])
    try:
        unasked = runs_out.apply()
    finally:
        runs_out.shop.tenant.control("DELETE", "/faults")
    assert unasked.returncode == 8, unasked.stdout + unasked.stderr
    assert "DNS could not be asked: " in unasked.stdout
    assert "SERVFAIL" in unasked.stdout
    assert runs_out.apply().returncode == 0
    assert runs_out.standing == (True, "Valid")


@pytest.mark.part(1)
def test_the_same_saved_change_set_goes_on_where_it_waited(signing: Callable[[str], Signing]) -> None:
    saved = signing("saved")
    file = f"{saved.domain}.json"
    assert saved.run("plan", saved.plan_file(), "-o", file).returncode == 0
    first = saved.run("apply", *saved.shop.reviewed(file), "--wait", "1s")
    assert first.returncode == 8, first.stdout + first.stderr
    assert saved.target("selector1") in first.stdout
    again = saved.run("apply", *saved.shop.reviewed(file))
    assert again.returncode == 8, again.stdout + again.stderr
    assert saved.target("selector1") in again.stdout
    saved.publish_both()
    before = saved.shop.tenant.seen()
    last = saved.run("apply", *saved.shop.reviewed(file))
    assert last.returncode == 0, last.stdout + last.stderr
    assert writes(saved, before) == ["Set-DkimSigningConfig"]
    assert saved.standing == (True, "Valid")
    assert saved.run("apply", *saved.shop.reviewed(file)).returncode == 0
    assert writes(saved, before) == ["Set-DkimSigningConfig"], "once more does nothing"


def test_exchange_may_see_the_records_later_than_we_do(signing: Callable[[str], Signing]) -> None:
    """Its refusal ("sync will take a few minutes to as many as 4 days") is waited out like a missing record."""
    service = signing("service")
    assert service.apply().returncode == 8
    words = "CNAME record does not exist for this config"
    with Loopback() as ours:
        ours.zone = {
            f"{selector}._domainkey.{service.domain}": [("CNAME", service.target(selector))] for selector in SELECTORS
        }
        own = {"PROVISIONER_ENDPOINTS__DNS_SERVERS": json.dumps([f"127.0.0.1:{ours.port}"])}
        refused = service.apply(**own)
        assert refused.returncode == 8, refused.stdout + refused.stderr
        assert words in refused.stdout
        before = service.shop.tenant.seen()
        service.shop.clock.after(0.5, service.publish_both)
        done = service.apply("--wait", "30s", **own)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [r["executed"] for r in service.requests(before) if r["cmdlet"] == "Set-DkimSigningConfig"]
    assert len(asked) == 2, "refused before the records were published, and taken afterwards"
    assert words in done.stderr
    assert service.standing == (True, "Valid")


def test_many_domains_wait_side_by_side_and_hold_nobody_up(signing: Callable[[str], Signing]) -> None:
    crowd = [signing(case) for case in ("crowd", "crowd2", "crowd3", "crowd4", "crowd5", "crowd6")]
    body = "".join(f"  {one.domain}: {{ enabled: true }}\n" for one in crowd)
    plan = crowd[0].shop.write(f"dkim:\n{body}", "crowd.yaml")
    clock = crowd[0].shop.clock
    began = clock.monotonic()
    clock.still_until(lambda: all(f'"{one.domain}"]: still waiting' in said_so_far() for one in crowd))
    waited = crowd[0].run("apply", plan, "--auto-approve", "--wait", "8s")
    assert waited.returncode == 8, waited.stdout + waited.stderr
    assert 8 <= round(clock.monotonic() - began, 6) < 8 + 4, "each waits in turn"
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


@dataclass(frozen=True)
class Wrong:
    """A mistake in DNS: the selector that it is made with, what stands there, and the finding that names it."""

    case: str
    selector: str
    there: str
    rule: str
    kind: str = "CNAME"


WRONG = (
    Wrong("old", "selector1", "selector1-{label}._domainkey.contoso.onmicrosoft.com", "DKIM-CNAME-OLD"),
    Wrong("foreign", "selector2", "selector2-{label}._domainkey.fabrikam.onmicrosoft.com", "DKIM-CNAME-FOREIGN"),
    Wrong("newer", "selector1", "selector1-{label}._domainkey.fabrikam.v-v1.dkim.mail.microsoft", "DKIM-CNAME-FOREIGN"),
    Wrong("swapped", "selector1", "{other}", "DKIM-CNAME-SWAPPED"),
    Wrong("elsewhere", "selector2", "selector2._domainkey.mailer.example", "DKIM-CNAME-WRONG"),
    Wrong("text", "selector1", "v=DKIM1; k=rsa; p=MIIBIjANBgkq", "DKIM-TXT", "TXT"),
    Wrong("half", "selector2", "", "DKIM-CNAME-MISSING"),
)


def test_wrong_records_are_found_by_plan_by_check_and_by_apply(signing: Callable[[str], Signing]) -> None:
    """One record of each domain is wrong, the other right. All three name what is there and what should be."""
    domains = [signing(wrong.case) for wrong in WRONG]
    first = domains[0]
    body = "".join(f"  {one.domain}: {{ enabled: true }}\n" for one in domains)
    plan = first.shop.write(f"dkim:\n{body}", f"wrong-{first.profile}.yaml")
    assert first.run("apply", plan, "--auto-approve").returncode == 8
    there = {}
    for wrong, one in zip(WRONG, domains, strict=True):
        one.publish_both()
        other = one.target("selector2" if wrong.selector == "selector1" else "selector1")
        there[wrong.case] = wrong.there.format(label=one.domain.replace(".", "-"), other=other)
        one.publish(wrong.selector, there[wrong.case], wrong.kind)
    planned = first.run("plan", plan)
    checked = first.run("dns", "check", plan)
    applied = first.run("apply", plan, "--auto-approve")
    assert (planned.returncode, checked.returncode, applied.returncode) == (0, 1, 8), applied.stdout + applied.stderr
    account = applied.stdout.partition("Waiting (apply again")[2]
    for wrong, one in zip(WRONG, domains, strict=True):
        right = one.target(wrong.selector)
        name = f"{wrong.selector}._domainkey.{one.domain}"
        # A record that is only missing is named once, where the change waits for it.
        missing = wrong.rule == "DKIM-CNAME-MISSING"
        in_plan = line_with(planned.stdout, f"{name} CNAME" if missing else f": {name} ")
        in_check = line_with(checked.stdout, f": {name} ")
        assert ("# not published yet" if missing else f"[{wrong.rule}]") in in_plan
        assert f"error[{wrong.rule}]" in in_check
        for said in (in_plan, in_check, line_with(account, f"{name} CNAME")):
            assert there[wrong.case] in said
            assert right in said
        good = "selector2" if wrong.selector == "selector1" else "selector1"
        assert f": {good}._domainkey.{one.domain} " not in planned.stdout + checked.stdout + account
        assert one.row()["Enabled"] is False
        # However it is spelled, the right target counts.
        one.publish(wrong.selector, right.upper() + ".")
    last = first.run("apply", plan, "--auto-approve")
    assert last.returncode == 0, last.stdout + last.stderr
    assert "DKIM-" not in last.stdout
    assert first.run("dns", "check", plan).returncode == 0


def line_with(text: str, words: str) -> str:
    found = [line for line in text.splitlines() if words in line]
    assert found, f"{words}: {text}"
    return found[0]


def test_records_that_go_wrong_later_are_found_while_nothing_is_to_change(signing: Callable[[str], Signing]) -> None:
    moved = signing("moved")
    moved.apply()
    moved.publish_both()
    assert moved.apply().returncode == 0
    moved.publish("selector2", "selector2._domainkey.mailer.example")
    planned = moved.run("plan", moved.plan_file())
    assert "No changes." in planned.stdout
    assert "warning[DKIM-CNAME-WRONG]" in planned.stdout
    assert "selector2._domainkey.mailer.example" in planned.stdout
    assert moved.target("selector2") in planned.stdout
    checked = moved.run("dns", "check", moved.plan_file())
    assert (checked.returncode, "error[DKIM-CNAME-WRONG]" in checked.stdout) == (1, True)
    # A name server that fails says nothing about the records.
    moved.shop.tenant.control("POST", "/faults", [{"front": "dns", "match": {}, "times": 200, "do": {"status": 2}}])
    try:
        planned = moved.run("plan", moved.plan_file())
        checked = moved.run("dns", "check", moved.plan_file())
    finally:
        moved.shop.tenant.control("DELETE", "/faults")
    name = f"selector1._domainkey.{moved.domain} CNAME"
    assert planned.returncode == 0, planned.stderr
    for said in (planned.stdout, checked.stdout):
        assert f"{name} could not be read" in said, said
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
    assert off.standing == (True, "Valid")


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


@pytest.mark.one_of("number")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_wait_ends_at_once_and_the_next_run_goes_on(
    signing: Callable[[str], Signing], number: signal.Signals
) -> None:
    stopped = signing("stopped" if number is signal.SIGINT else "ended")
    running = stopped.begin("--wait", "10m")
    assert running.stderr is not None
    said = ""
    while "still waiting for DNS" not in said:
        line = running.stderr.readline()
        assert line, said
        said += line
    os.kill(running.pid, number)
    out, err = running.communicate(timeout=120)  # it would have waited for ten minutes
    assert running.returncode == 8, out + said + err
    assert "Traceback" not in err
    assert stopped.target("selector1") in out
    verified = stopped.run("history", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    journal = next((stopped.shop.folder / "state").glob("*/journal.jsonl")).read_text().splitlines()
    assert json.loads(journal[-1])["kind"] == "end"
    assert stopped.row()["Enabled"] is False
    targets = [stopped.target(s) for s in SELECTORS]
    stopped.publish_both()
    again = stopped.apply()
    assert again.returncode == 0, again.stdout + again.stderr
    assert stopped.standing == (True, "Valid")
    assert [stopped.target(s) for s in SELECTORS] == targets
