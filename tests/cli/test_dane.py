"""Inbound DANE over the command line, there and back: what is sent, what a person publishes, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

DOMAIN = "dane.example"
OLD = "dane-example.mail.protection.outlook.com"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    names = (DOMAIN, "unsigned.example", "gateway.example")
    world = {
        **SEED,
        "objects": {"AcceptedDomain": [{"DomainName": name} for name in names]},
        "settings": {"dnssec": [DOMAIN, "gateway.example"]},
        "dns": {
            "gateway.example": {"MX": ["10 mx.gateway.example.net."], "TXT": ["v=spf1 -all"]},
            DOMAIN: {"MX": [f"0 {OLD}."], "TXT": ["v=spf1 include:spf.protection.outlook.com -all"]},
        },
    }
    with open_shop(tmp_path_factory.mktemp("dane"), world) as here:
        yield here


@pytest.fixture(autouse=True)
def _as_it_began(shop: Shop) -> Iterator[None]:
    _seen[:] = [len(shop.tenant.requests("exchange"))]
    yield
    shop.reset()
    for journal in shop.folder.rglob("journal*.jsonl"):
        journal.unlink()


_seen = [0]


def call(shop: Shop, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """One call of `dane`, as JSON: its exit code and what it says."""
    done = shop.on_tenant("dane", *arguments, "--format", "json", **environment)
    return done.returncode, json.loads(done.stdout)


def step(shop: Shop, way: str = "enable", *options: str) -> tuple[int, str, list[str]]:
    code, said = call(shop, way, DOMAIN, "--auto-approve", *options)
    return code, said["next"]["name"], said["sent"]


def publish(shop: Shop, *records: str, domain: str = DOMAIN) -> None:
    shop.tenant.control("POST", "/dns", {"name": domain, "type": "MX", "values": list(records)})


def written(shop: Shop) -> list[str]:
    """The cmdlets of DANE that were sent, in their order."""
    names = [str(r.get("cmdlet")) for r in shop.tenant.requests("exchange")[_seen[0] :] if r.get("cmdlet")]
    return [name for name in names if "Dnssec" in name or "SmtpDane" in name if not name.startswith("Get-")]


def host(shop: Shop) -> str:
    return str(call(shop, "status", DOMAIN)[1]["host"])


def enabled(shop: Shop) -> str:
    """The domain with DANE, whole; returns its host."""
    assert step(shop) == (8, "beside", ["Enable-DnssecForVerifiedDomain"])
    new = host(shop)
    publish(shop, f"0 {OLD}.", f"20 {new}.")
    step(shop)
    publish(shop, f"0 {new}.")
    code, name, _ = step(shop, "enable", "--wait", "30m")
    assert (code, name) == (0, "done")
    return new


def test_a_domain_gets_dane_in_the_order_in_which_no_mail_is_lost(shop: Shop) -> None:
    assert step(shop) == (8, "beside", ["Enable-DnssecForVerifiedDomain"])
    new = host(shop)
    assert new.endswith("-v1.mx.microsoft")
    assert step(shop) == (8, "beside", []), "nothing is sent twice"
    publish(shop, f"0 {OLD}.", f"20 {new}.")
    code, said = call(shop, "enable", DOMAIN, "--auto-approve")
    assert (code, said["next"]["name"], said["sent"]) == (8, "swap", [])
    assert f"{DOMAIN} MX 30 {OLD} and {DOMAIN} MX 0 {new}" in said["next"]["text"]
    publish(shop, f"0 {new}.", f"30 {OLD}.")
    assert step(shop) == (8, "old-out", [])
    publish(shop, f"20 {new}.")
    assert step(shop) == (8, "priority", [])
    publish(shop, f"0 {new}.")
    assert step(shop) == (8, "tlsa", ["Enable-SmtpDaneInbound"])
    code, said = call(shop, "enable", DOMAIN, "--auto-approve", "--wait", "30m")
    assert (code, said["next"]["name"], said["tlsa_validated"]) == (0, "done", True)
    assert written(shop) == ["Enable-DnssecForVerifiedDomain", "Enable-SmtpDaneInbound"]
    assert call(shop, "status", DOMAIN)[1]["dane"] is True


def test_the_host_is_given_up_once_nobody_can_have_it_in_memory(shop: Shop) -> None:
    new = enabled(shop)
    assert step(shop, "disable") == (8, "beside", ["Disable-SmtpDaneInbound"])
    publish(shop, f"0 {new}.", f"20 {OLD}.")
    assert step(shop, "disable") == (8, "new-out", [])
    publish(shop, f"0 {OLD}.")
    assert step(shop, "disable") == (8, "cached", [])
    shop.clock.advance(1800)
    assert step(shop, "disable") == (8, "cached", []), "the TTL is not over"
    assert "Disable-DnssecForVerifiedDomain" not in written(shop)
    shop.clock.advance(1801)
    assert step(shop, "disable") == (0, "done", ["Disable-DnssecForVerifiedDomain"])
    assert call(shop, "status", DOMAIN)[1]["dnssec"] is False


def test_a_host_that_is_named_again_is_kept(shop: Shop) -> None:
    new = enabled(shop)
    publish(shop, f"0 {OLD}.")
    assert step(shop, "disable") == (8, "cached", ["Disable-SmtpDaneInbound"])
    publish(shop, f"0 {OLD}.", f"20 {new}.")
    shop.clock.advance(7200)
    assert step(shop, "disable") == (8, "new-out", [])
    publish(shop, f"0 {OLD}.")
    assert step(shop, "disable") == (8, "cached", [])
    publish(shop)
    shop.clock.advance(90_000)
    assert step(shop, "disable") == (8, "beside", []), "a domain without MX keeps its host"
    publish(shop, f"0 {OLD}.")
    assert step(shop, "disable", "--allow", "DANE-MX-CACHED")[0] == 0, "a person knows better"


def test_absence_counts_only_from_the_way_back(shop: Shop) -> None:
    """Between two calls a person may have published the host, and taken it out a moment ago."""
    assert step(shop)[1] == "beside"
    shop.clock.advance(200_000)
    assert step(shop, "disable") == (8, "cached", [])


@pytest.mark.parametrize(("domain", "rule"), [("unsigned.example", "DANE-DNSSEC"), ("gateway.example", "DANE-MX")])
def test_guards_stop_before_anything_is_sent(shop: Shop, domain: str, rule: str) -> None:
    done = shop.on_tenant("dane", "enable", domain, "--auto-approve")
    assert (done.returncode, rule in done.stderr, written(shop)) == (6, True, [])
    allowed = shop.on_tenant("dane", "enable", domain, "--auto-approve", "--allow", rule)
    assert allowed.returncode == (8 if rule == "DANE-DNSSEC" else 3), "a fact cannot be waived"


def test_what_cannot_be_read_sends_nothing(shop: Shop) -> None:
    assert shop.on_tenant("dane", "enable", "nobody.example", "--auto-approve").returncode == 3
    assert shop.on_tenant("dane", "enable", DOMAIN).returncode == 10, "nobody is there to be asked"
    silent = [{"front": "dns", "match": {}, "times": 50, "do": {"status": 2}}]
    shop.tenant.control("POST", "/faults", silent)
    done = shop.on_tenant("dane", "enable", DOMAIN, "--auto-approve")
    assert (done.returncode, written(shop)) == (5, [])
    shop.release()
    shop.fault("Enable-DnssecForVerifiedDomain", {"run_then_close": True}, times=1)
    assert step(shop) == (8, "beside", ["Enable-DnssecForVerifiedDomain"])
    shop.fault("Get-DnssecStatusForVerifiedDomain", {"status": 500})
    assert shop.on_tenant("dane", "enable", DOMAIN, "--auto-approve").returncode in (1, 5)


def test_a_policy_of_mta_sts_must_admit_the_host_first(shop: Shop) -> None:
    shop.tenant.control("POST", "/dns", {"name": f"_mta-sts.{DOMAIN}", "type": "TXT", "values": ["v=STSv1; id=1;"]})
    code, said = call(shop, "enable", DOMAIN, "--auto-approve")
    assert (code, said["next"]["name"]) == (8, "policy")
    assert f"mx: {said['host']}" in said["next"]["text"]
    assert step(shop, "enable", "--allow", "DANE-MTA-STS")[1] == "beside"


CUT_OFF = ("Enable-DnssecForVerifiedDomain", "Enable-SmtpDaneInbound", "Disable-SmtpDaneInbound",
           "Disable-DnssecForVerifiedDomain")  # fmt: skip


def test_over_remote_powershell_each_step_that_is_cut_off_is_sent_once_and_gone_on_from(shop: Shop) -> None:
    """The connection ends after each cmdlet was run: the next call sees what the tenant shows, there and back."""
    seen = len(shop.tenant.requests("psrp"))

    def psrp(way: str, cut_off: str = "") -> tuple[int, str]:
        if cut_off:
            rule = {"front": "psrp", "match": {"cmdlet": cut_off}, "times": 1, "do": {"run_then_close": True}}
            shop.tenant.control("POST", "/faults", [rule])
        done = shop.run("--profile", "sandbox-psrp", "dane", way, DOMAIN, "--auto-approve", "--format", "json")
        return done.returncode, json.loads(done.stdout)["next"]["name"]

    assert psrp("enable", CUT_OFF[0]) == (8, "beside")
    new = host(shop)
    publish(shop, f"0 {OLD}.", f"20 {new}.")
    assert psrp("enable") == (8, "swap")
    publish(shop, f"0 {new}.")
    assert psrp("enable", CUT_OFF[1])[0] == 8
    assert psrp("enable")[1] in ("tlsa", "done")
    assert psrp("disable", CUT_OFF[2]) == (8, "beside")
    publish(shop, f"0 {new}.", f"20 {OLD}.")
    assert psrp("disable") == (8, "new-out")
    publish(shop, f"0 {OLD}.")
    assert psrp("disable") == (8, "cached")
    shop.clock.advance(3601)
    assert psrp("disable", CUT_OFF[3])[1] in ("cached", "done")
    assert psrp("disable") == (0, "done")
    names = [str(request.get("cmdlet")) for request in shop.tenant.requests("psrp")[seen:]]
    assert [name for name in names if name in CUT_OFF] == list(CUT_OFF)
    assert call(shop, "status", DOMAIN)[1]["dnssec"] is False
