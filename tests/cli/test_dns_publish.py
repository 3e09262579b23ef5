"""Publishing in DNS over the command line: the sandbox's zones before and after, record by record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

pytestmark = pytest.mark.part(0.5)

DOMAINS = ("new.example", "old.example", "clash.example", "race.example", "many.example", "late.example")
OTHERS = {
    "MX": ["0 old-example.mail.protection.outlook.com."],
    "TXT": ["MS=ms12345678", "google-site-verification=abc; x", "v=spf1 ip4:203.0.113.1 mx -all"],
    "NS": ["ns1.old.example.", "ns2.old.example."],
}
ZONES: dict[str, Any] = {
    "old.example": OTHERS,
    "_dmarc.old.example": {"TXT": ["v=DMARC1; p=none; rua=mailto:agg@old.example; fo=1"]},
    "_25._tcp.mx.old.example": {"TLSA": ["3 1 1 " + "ab" * 32]},
    "new.example": {"MX": ["0 new-example.mail.protection.outlook.com."], "TXT": ["MS=ms1"]},
    "clash.example": {"TXT": ["v=spf1 -all"]},
    "race.example": {"TXT": ["MS=ms2"]},
    "many.example": {"TXT": ["v=spf1 " + " ".join(f"include:i{n}.many.example" for n in range(10)) + " -all"]},
    **{f"i{n}.many.example": {"TXT": ["v=spf1 ip4:203.0.113.9 -all"]} for n in range(10)},
    "late.example": {"TXT": ["MS=ms3"]},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    objects = {"AcceptedDomain": [{"DomainName": domain} for domain in DOMAINS]}
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "objects": objects, "dns": ZONES}) as here:
        yield here


@pytest.fixture(autouse=True)
def fresh(shop: Shop) -> None:
    shop.reset()
    shop.release()


def zone(shop: Shop, domain: str) -> dict[str, Any]:
    """Every record of a domain, as the sandbox's administrator sees it."""
    found: dict[str, Any] = shop.tenant.control("GET", "/dump")["dns"]
    return {n: {k: sorted(v) for k, v in kinds.items()} for n, kinds in found.items() if n.endswith(domain)}


def roll_back(shop: Shop, *options: str) -> None:
    """Undo the last run, as a change set that is reviewed."""
    planned = shop.on_tenant("rollback", "last", "-o", "back.json")
    assert planned.returncode == 0, planned.stderr
    assert "Changed by others" not in planned.stdout
    done = shop.on_tenant("apply", *shop.reviewed("back.json"), "--auto-approve", *options)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dkim_goes_from_nothing_to_valid_in_one_apply(shop: Shop) -> None:
    plan = shop.write(
        "dkim: { new.example: { enabled: true } }\n"
        "dns: { new.example: { publish: [dkim, spf, dmarc], provider: corp-dns } }\n"
    )
    shown = shop.on_tenant("plan", plan, "-o", "changes.json", "--out-powershell", "changes.ps1")
    assert shown.returncode == 0, shown.stderr
    assert "(known after apply: selector1_cname of dkim" in shown.stdout
    before = zone(shop, "new.example")
    done = shop.on_tenant("apply", *shop.reviewed("changes.json"), "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [r for r in shop.tenant.rows("DkimSigningConfig") if r["Domain"] == "new.example"]
    assert (row["Enabled"], row["Status"]) == (True, "Valid")
    after = zone(shop, "new.example")
    assert after == {
        **before,
        "new.example": {
            **before["new.example"],
            "TXT": ["MS=ms1", "v=spf1 include:spf.protection.outlook.com ~all"],
        },
        "_dmarc.new.example": {"TXT": ["v=DMARC1; p=none"]},
        "selector1._domainkey.new.example": {"CNAME": [row["Selector1CNAME"].lower() + "."]},
        "selector2._domainkey.new.example": {"CNAME": [row["Selector2CNAME"].lower() + "."]},
    }
    again = shop.on_tenant("plan", plan, "--detailed-exitcode")
    assert again.returncode == 0, again.stdout
    roll_back(shop)
    assert zone(shop, "new.example") == before


def test_spf_and_dmarc_are_extended_and_nothing_else_is_touched(shop: Shop) -> None:
    plan = shop.write(
        "sites: { hq: { egress_ip_addresses: [52.202.8.242] } }\n"
        "devices:\n  scanner: { site: hq, from: scan@old.example, recipients: anyone, "
        'supports: { tls: "1.2", authentication: [] } }\n'
        "dns: { old.example: { publish: [spf, dmarc], dmarc: { policy: quarantine } } }\n"
    )
    before = zone(shop, "old.example")
    stopped = shop.on_tenant("apply", plan, "--auto-approve")
    assert stopped.returncode == 6, stopped.stdout
    assert "DNS-OVERWRITE" in stopped.stderr
    assert zone(shop, "old.example") == before
    done = shop.on_tenant("apply", plan, "--auto-approve", "--allow", "DNS-OVERWRITE")
    assert done.returncode == 0, done.stdout + done.stderr
    spf = "v=spf1 ip4:203.0.113.1 mx include:spf.protection.outlook.com ip4:52.202.8.242 -all"
    dmarc = "v=DMARC1; p=quarantine; rua=mailto:agg@old.example; fo=1"
    assert zone(shop, "old.example") == {
        **before,
        "old.example": {**before["old.example"], "TXT": [*before["old.example"]["TXT"][:2], spf]},
        "_dmarc.old.example": {"TXT": [dmarc]},
    }
    assert shop.on_tenant("plan", plan, "--detailed-exitcode").returncode == 0
    roll_back(shop, "--allow", "DNS-OVERWRITE")
    assert zone(shop, "old.example") == before


def test_what_an_earlier_run_published_is_replaced_and_deleted_without_a_word(shop: Shop) -> None:
    first = shop.write("dns: { new.example: { publish: [spf, dmarc] } }\n")
    before = zone(shop, "new.example")
    done = shop.on_tenant("apply", first, "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    second = shop.write("dns: { new.example: { publish: [spf, dmarc], dmarc: { policy: reject } } }\n")
    own = shop.on_tenant("apply", second, "--auto-approve")
    assert own.returncode == 0, own.stdout + own.stderr
    assert zone(shop, "new.example")["_dmarc.new.example"] == {"TXT": ["v=DMARC1; p=reject"]}
    # What another person wrote over ours is theirs.
    theirs = "v=DMARC1; p=quarantine; rua=mailto:agg@new.example"
    shop.tenant.control("POST", "/dns", {"name": "_dmarc.new.example", "type": "TXT", "values": [theirs]})
    gone = shop.write("absent: ['dns_record/new.example/spf', 'dns_record/new.example/dmarc']\n")
    for plan in (second, gone):
        stopped = shop.on_tenant("apply", plan, "--auto-approve")
        assert stopped.returncode == 6, stopped.stdout
        assert f'has "{theirs}", which is' in stopped.stderr
        assert "/spf" not in stopped.stderr
    assert shop.on_tenant("plan", gone, "-o", "gone.json", "--allow", "DNS-OVERWRITE").returncode == 0
    # What the change set says of earlier runs is compared with the journal.
    named = ("--plan", gone, "--allow", "DNS-OVERWRITE")
    deleted = shop.on_tenant("apply", *shop.reviewed("gone.json"), "--auto-approve", *named)
    assert deleted.returncode == 0, deleted.stdout + deleted.stderr
    assert zone(shop, "new.example") == before
    assert shop.on_tenant("plan", gone, "--detailed-exitcode").returncode == 0


def test_what_a_rollback_restores_and_what_was_extended_stays_theirs(shop: Shop) -> None:
    plan = shop.write("dns: { old.example: { publish: [spf] } }\n")
    before = zone(shop, "old.example")
    allowed = ("--allow", "DNS-OVERWRITE")
    assert shop.on_tenant("apply", plan, "--auto-approve", *allowed).returncode == 0
    gone = shop.write("absent: ['dns_record/old.example/spf']\n", "gone.yaml")
    stopped = shop.on_tenant("apply", gone, "--auto-approve")
    assert stopped.returncode == 6, stopped.stdout  # it has terms of others
    roll_back(shop)
    assert zone(shop, "old.example") == before
    again = shop.on_tenant("apply", plan, "--auto-approve")
    assert (again.returncode, zone(shop, "old.example")) == (6, before)


def test_an_spf_record_beyond_ten_lookups_is_never_written(shop: Shop) -> None:
    plan = shop.write("dns: { many.example: { publish: [spf] } }\n")
    before = zone(shop, "many.example")
    shown = shop.on_tenant("plan", plan, "-o", "many.json", "--allow", "DNS-OVERWRITE")
    assert "needs 11 DNS lookups; 10 are allowed" in shown.stdout + shown.stderr
    for what in ((plan, "--allow", "DNS-OVERWRITE"), shop.reviewed("many.json")):
        stopped = shop.on_tenant("apply", *what, "--auto-approve")
        assert (stopped.returncode, zone(shop, "many.example")) == (6, before), stopped.stderr
        assert "needs 11 DNS lookups; 10 are allowed" in stopped.stderr


def test_a_domain_that_waits_signs_once_the_plan_publishes_its_selectors(shop: Shop) -> None:
    plan = shop.write("dkim: { late.example: { enabled: true } }\n")
    waiting = shop.on_tenant("apply", plan, "--auto-approve")
    assert waiting.returncode == 8, waiting.stdout
    (row,) = [r for r in shop.tenant.rows("DkimSigningConfig") if r["Domain"] == "late.example"]
    assert row["Enabled"] is False
    plan = shop.write("dkim: { late.example: { enabled: true } }\ndns: { late.example: { publish: [dkim] } }\n")
    done = shop.on_tenant("apply", plan, "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [r for r in shop.tenant.rows("DkimSigningConfig") if r["Domain"] == "late.example"]
    assert (row["Enabled"], row["Status"]) == (True, "Valid")
    assert shop.on_tenant("plan", plan, "--detailed-exitcode").returncode == 0


def fault(shop: Shop, method: str, path: str, do: dict[str, Any], times: int = 50) -> None:
    rule = {"front": "dns", "match": {"method": method, "path": path}, "times": times, "do": do}
    shop.tenant.control("POST", "/faults", [rule])


@pytest.mark.part(1)
def test_a_conflicting_cname_is_a_guard_and_another_type_a_precondition(shop: Shop) -> None:
    name = "selector1._domainkey.clash.example"
    plan = shop.write("dkim: { clash.example: { enabled: true } }\ndns: { clash.example: { publish: [dkim] } }\n")
    shop.tenant.control("POST", "/dns", {"name": name, "type": "CNAME", "values": ["mailer.example."]})
    before = zone(shop, "clash.example")
    stopped = shop.on_tenant("apply", plan, "--auto-approve")
    assert (stopped.returncode, zone(shop, "clash.example")) == (6, before)
    assert f"{name} CNAME has" in stopped.stderr
    assert "mailer.example" in stopped.stderr
    shop.tenant.control("POST", "/dns", {"name": name, "type": "CNAME", "values": []})
    shop.tenant.control("POST", "/dns", {"name": name, "type": "TXT", "values": ["v=DKIM1; p=x"]})
    before = zone(shop, "clash.example")
    stopped = shop.on_tenant("apply", plan, "--auto-approve", "--allow", "DNS-OVERWRITE")
    assert (stopped.returncode, zone(shop, "clash.example")) == (6, before)
    assert "no CNAME can stand beside them" in stopped.stderr


def test_a_value_that_somebody_adds_in_between_is_never_lost(shop: Shop) -> None:
    plan = shop.write("dns: { race.example: { publish: [spf] } }\n")
    assert shop.on_tenant("plan", plan, "-o", "race.json").returncode == 0
    theirs = ["MS=ms2", "v=spf1 include:theirs.example -all"]
    shop.tenant.control("POST", "/dns", {"name": "race.example", "type": "TXT", "values": theirs})
    before = zone(shop, "race.example")
    stale = shop.on_tenant("apply", *shop.reviewed("race.json"), "--auto-approve")
    assert (stale.returncode, zone(shop, "race.example")) == (7, before)
    # What is added after the last read meets the prerequisite: 8 is NXRRSET.
    shop.tenant.control("POST", "/dns", {"name": "race.example", "type": "TXT", "values": ["MS=ms2"]})
    fault(shop, "UPDATE", "race.example SOA", {"status": 8})
    raced = shop.on_tenant("apply", plan, "--auto-approve")
    assert raced.returncode == 8
    assert "was changed while it was being written" in raced.stdout + raced.stderr


def test_what_another_person_publishes_after_a_lost_update_is_a_move(shop: Shop) -> None:
    """Of a change set that an earlier run began: one write has no half-way, so that the review is asked for first."""
    plan = shop.write("dns: { race.example: { publish: [spf] } }\n")
    assert shop.on_tenant("plan", plan, "-o", "lost.json").returncode == 0
    fault(shop, "UPDATE", "race.example SOA", {"status": 0})
    lost = shop.on_tenant("apply", *shop.reviewed("lost.json"), "--auto-approve", PROVISIONER_TIMEOUTS__CONFIRM_S="0.3")
    assert lost.returncode == 8
    shop.release()
    theirs = ["MS=ms2", "v=spf1 include:theirs.example -all"]
    shop.tenant.control("POST", "/dns", {"name": "race.example", "type": "TXT", "values": theirs})
    before = zone(shop, "race.example")
    stale = shop.on_tenant("apply", *shop.reviewed("lost.json"), "--auto-approve")
    assert (stale.returncode, zone(shop, "race.example")) == (7, before)


@pytest.mark.part(1)
def test_an_update_that_is_ignored_or_refused_is_never_success(shop: Shop) -> None:
    plan = shop.write("dns: { race.example: { publish: [spf] } }\n")
    before = zone(shop, "race.example")
    fault(shop, "UPDATE", "race.example SOA", {"status": 0})
    ignored = shop.on_tenant("apply", plan, "--auto-approve", PROVISIONER_TIMEOUTS__CONFIRM_S="0.3")
    assert (ignored.returncode, zone(shop, "race.example")) == (8, before)
    assert "not confirmed" in ignored.stdout + ignored.stderr
    shop.release()
    key = json.dumps({"*": {**shop.tenant.dns_provider, "secret": "env:WRONG"}})
    wrong = shop.on_tenant("apply", plan, "--auto-approve", PROVISIONER_DNS=key, WRONG="d3Jvbmcga2V5")
    assert (wrong.returncode, zone(shop, "race.example")) == (8, before)
    assert "does not accept the key" in wrong.stdout + wrong.stderr
    assert "d3Jvbmcga2V5" not in wrong.stdout + wrong.stderr
    state = [path.read_text(errors="replace") for path in shop.folder.rglob("*.jsonl")]
    assert not any("d3Jvbmcga2V5" in text for text in state)


def test_a_delegated_part_of_a_domain_is_written_in_its_own_zone(shop: Shop) -> None:
    plan = shop.write("dkim: { new.example: { enabled: true } }\ndns: { new.example: { publish: [dkim, dmarc] } }\n")
    own = ["ns1.delegated.example. hostmaster.example. 7 3600 600 86400 300"]
    shop.tenant.control("POST", "/dns", {"name": "_domainkey.new.example", "type": "SOA", "values": own})
    aliased = {"name": "_dmarc.new.example", "type": "CNAME", "values": ["new-dmarc.old.example."]}
    shop.tenant.control("POST", "/dns", aliased)
    since = shop.tenant.seen()
    done = shop.on_tenant("apply", plan, "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    updates = {r["path"] for r in shop.tenant.requests("dns", since) if r["method"] == "UPDATE"}
    assert updates == {"_domainkey.new.example SOA", "old.example SOA"}
    assert zone(shop, "old.example")["new-dmarc.old.example"] == {"TXT": ["v=DMARC1; p=none"]}
    limited = json.dumps({"*": {**shop.tenant.dns_provider, "zones": ["new.example"]}})
    refused = shop.on_tenant("plan", plan, PROVISIONER_DNS=limited)
    assert refused.returncode == 3
    assert "the zone _domainkey.new.example, and the DNS providers of the profile for it are: none" in refused.stderr
    (shop.folder / ".provisioner" / "profiles" / "other.toml").write_text(
        (shop.folder / ".provisioner" / "profiles" / "sandbox.toml")
        .read_text()
        .replace('"sandbox"', '"other"')
        .replace('"*"', '"corp"')
    )
    plan = shop.write("dns: { new.example: { publish: [spf], provider: crop } }\n")
    unknown = shop.run("--profile", "other", "plan", plan)
    (shop.folder / ".provisioner" / "profiles" / "other.toml").unlink()
    assert unknown.returncode == 3
    assert 'the DNS provider "crop", which the profile does not have' in unknown.stderr
