"""Publishing against a real authoritative server (Knot DNS) with TSIG and DNSSEC: its zones, record by record."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.query
import dns.tsig
import dns.update
import pytest

from provisioner.tenant import rfc2136
from tests.cli.shop import SEED, Shop, open_shop
from tests.knot import KEY_NAME, SECRET, Knot, needed, running

pytestmark = needed

ZONE = """$ORIGIN {name}.
$TTL 1800
@ SOA ns1 hostmaster 1 3600 600 86400 300
@ NS ns1
@ NS ns2
ns1 A 127.0.0.1
ns2 A 127.0.0.1
@ MX 0 {dashed}.mail.protection.outlook.com.
@ A 192.0.2.80
@ TXT "MS=ms12345678"
@ TXT "site-verification=abc; x" "second string"
@ TXT "v=spf1 ip4:203.0.113.1 -all"
_25._tcp.mx TLSA 3 1 1 {digest}
_dmarc TXT "v=DMARC1; p=none; rua=mailto:agg@{name}; fo=1"
www CNAME {name}.
sub NS ns.elsewhere.example.
"""
DOMAINS = ("one.example", "two.example", "three.example", "four.example", "wild.example", "odd.example")
OF_ONE = {
    "wild.example": '* CNAME wild.example.\n@ TXT "v=spf1 ip4:203.0.113.1 " "-all"\n',
    "odd.example": '_dmarc TXT "v=DMARC1; p=none"\n_dmarc TXT "v=DMARC1; p=reject"\n_dmarc TXT "theirs=1"\n'
    + "".join(f"selector{n}._domainkey 60 CNAME Parked.example.\n" for n in (1, 2)),
}
"""What one of the zones has in place of the SPF and DMARC records of the others."""
SPF = "v=spf1 ip4:203.0.113.1 include:spf.protection.outlook.com -all"


def zone_text(name: str) -> str:
    text = ZONE.format(name=name, dashed=name.replace(".", "-"), digest="ab" * 32)
    if name in OF_ONE:
        left_out = ("_dmarc ", '@ TXT "v=spf1 ')
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(left_out)) + OF_ONE[name]
    return text


@dataclass
class World:
    """A sandbox for Exchange, and Knot for DNS."""

    shop: Shop
    knot: Knot

    def run(self, *arguments: str, others: Sequence[str] = (), secret: str = SECRET, **more: str) -> Any:
        provider = {"server": self.knot.address, "key_name": KEY_NAME, "secret": "env:TSIG", "read_from": [*others]}
        return self.shop.on_tenant(
            *arguments,
            TSIG=secret,
            PROVISIONER_DNS=json.dumps({"*": provider}),
            PROVISIONER_ENDPOINTS__DNS_SERVERS=json.dumps([self.knot.address]),
            **more,
        )

    def apply(self, domain: str, publish: str, *options: str, **more: Any) -> Any:
        plan = self.shop.write(f"dns: {{ {domain}: {{ publish: [{publish}] }} }}\n", f"{domain}.yaml")
        return self.run("apply", plan, "--auto-approve", *options, **more)

    def roll_back(self, *options: str) -> None:
        planned = self.run("rollback", "last", "-o", "back.json")
        assert planned.returncode == 0, planned.stderr
        done = self.run("apply", *self.shop.reviewed("back.json"), "--auto-approve", *options)
        assert done.returncode == 0, done.stdout + done.stderr

    def see_dns(self) -> None:
        """Exchange asks the public DNS, which the sandbox has by itself: it gets the selectors that Knot has."""
        for domain in self.knot.zones:
            for name, kind, _ttl, value in self.knot.records(domain):
                if kind == "CNAME" and "_domainkey" in name:
                    body = {"name": name.removesuffix("."), "type": kind, "values": [value]}
                    self.shop.tenant.control("POST", "/dns", body)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    objects = {"AcceptedDomain": [{"DomainName": domain} for domain in DOMAINS]}
    dns = dict.fromkeys(DOMAINS)
    server = Knot(tmp_path_factory.mktemp("knot"), {name: zone_text(name) for name in DOMAINS})
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "objects": objects, "dns": dns}) as shop, running(server):
        yield World(shop, server)


def test_dkim_goes_from_nothing_to_valid_and_back_without_a_trace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = world.shop.write(
        "dkim: { one.example: { enabled: true } }\ndns: { one.example: { publish: [dkim, spf, dmarc] } }\n"
    )
    before = world.knot.records("one.example")
    moved = world.shop.clock._moved

    def passing(seconds: float) -> None:
        moved(seconds)
        world.see_dns()

    monkeypatch.setattr(world.shop.clock, "_moved", passing)
    done = world.run("apply", plan, "--auto-approve", "--allow", "DNS-OVERWRITE")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [r for r in world.shop.tenant.rows("DkimSigningConfig") if r["Domain"] == "one.example"]
    assert (row["Enabled"], row["Status"]) == (True, "Valid")
    after = world.knot.records("one.example")
    assert {(n, k, v) for n, k, _, v in before - after} == {
        ("one.example.", "TXT", '"v=spf1 ip4:203.0.113.1 -all"'),
    }
    assert {(n, k, t, v) for n, k, t, v in after - before} == {
        ("one.example.", "TXT", 1800, f'"{SPF}"'),
        ("selector1._domainkey.one.example.", "CNAME", 3600, f"{row['Selector1CNAME'].lower()}."),
        ("selector2._domainkey.one.example.", "CNAME", 3600, f"{row['Selector2CNAME'].lower()}."),
    }
    again = world.run("plan", plan, "--detailed-exitcode")
    assert again.returncode == 0, again.stdout
    world.roll_back("--allow", "DNS-OVERWRITE")
    assert world.knot.records("one.example") == before


SELECTORS = {(f"selector{n}._domainkey", "CNAME") for n in (1, 2)}


@pytest.mark.parametrize(
    ("domain", "gone", "new"),
    [
        # A wildcard CNAME seems to be at each selector and at `_dmarc`; nothing may be written where it leads to.
        ("wild.example", {("", "TXT")}, {*SELECTORS, ("_dmarc", "TXT"), ("", "TXT")}),
        # A CNAME takes the place of another one, and of two DMARC records the stricter one stays.
        ("odd.example", {*SELECTORS, ("_dmarc", "TXT")}, {*SELECTORS, ("", "TXT")}),
    ],
)
def test_what_is_odd_in_a_zone_is_set_right_and_comes_back_exactly(
    world: World, domain: str, gone: set[tuple[str, str]], new: set[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = world.shop.write(
        f"dkim: {{ {domain}: {{ enabled: true }} }}\ndns: {{ {domain}: {{ publish: [dkim, spf, dmarc] }} }}\n"
    )
    before = world.knot.records(domain)
    moved = world.shop.clock._moved

    def passing(seconds: float) -> None:
        moved(seconds)
        world.see_dns()

    def names(records: set[tuple[str, str, int, str]]) -> set[tuple[str, str]]:
        return {(name.removesuffix(f"{domain}.").removesuffix("."), kind) for name, kind, _, _ in records}

    monkeypatch.setattr(world.shop.clock, "_moved", passing)
    done = world.run("apply", plan, "--auto-approve", "--allow", "DNS-OVERWRITE")
    assert done.returncode == 0, done.stdout + done.stderr
    after = world.knot.records(domain)
    assert (names(before - after), names(after - before)) == (gone, new)
    again = world.run("plan", plan, "--detailed-exitcode")
    assert again.returncode == 0, again.stdout
    world.roll_back("--allow", "DNS-OVERWRITE")
    assert world.knot.records(domain) == before


def test_a_race_a_wrong_key_and_a_foreign_cname_change_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = world.knot.records("two.example")
    wrong = world.apply("two.example", "spf", "--allow", "DNS-OVERWRITE", secret=base64.b64encode(b"x" * 32).decode())
    assert (wrong.returncode, world.knot.records("two.example")) == (8, before)
    assert "does not accept the key" in wrong.stdout + wrong.stderr
    plain = rfc2136._message
    theirs = dns.update.UpdateMessage("two.example")
    theirs.add("two.example.", 1800, "TXT", '"added-meanwhile=1"')
    theirs.use_tsig(dns.tsig.Key(KEY_NAME, SECRET, "hmac-sha256"))

    def racing(*arguments: Any) -> Any:
        monkeypatch.setattr(rfc2136, "_message", plain)
        dns.query.tcp(theirs, "127.0.0.1", port=world.knot.port)
        return plain(*arguments)

    monkeypatch.setattr(rfc2136, "_message", racing)
    raced = world.apply("two.example", "spf", "--allow", "DNS-OVERWRITE")
    assert raced.returncode == 8
    assert "was changed while it was being written (NXRRSET)" in raced.stdout + raced.stderr
    added = ("two.example.", "TXT", 1800, '"added-meanwhile=1"')
    assert world.knot.records("two.example") == {*before, added}
    done = world.apply("two.example", "spf", "--allow", "DNS-OVERWRITE")
    assert done.returncode == 0, done.stdout + done.stderr
    assert added in world.knot.records("two.example")


def test_dmarc_is_extended_and_a_cname_beside_other_data_is_never_success(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.knot.records("four.example")
    plan = world.shop.write("dns: { four.example: { publish: [dmarc], dmarc: { policy: reject } } }\n")
    done = world.run("apply", plan, "--auto-approve", "--allow", "DNS-OVERWRITE")
    assert done.returncode == 0, done.stdout + done.stderr
    old = ("_dmarc.four.example.", "TXT", 1800, '"v=DMARC1; p=none; rua=mailto:agg@four.example; fo=1"')
    new = (*old[:3], '"v=DMARC1; p=reject; rua=mailto:agg@four.example; fo=1"')
    assert world.knot.records("four.example") == {*before, new} - {old}
    world.roll_back()
    assert world.knot.records("four.example") == before
    # A record of another type comes right before the update, of which the server then ignores the CNAME (RFC 2136,
    # 3.4.2.2) and says that all went well: here without the prerequisite, which would have stopped it.
    plain = rfc2136._message
    theirs = dns.update.UpdateMessage("four.example")
    theirs.add("selector1._domainkey.four.example.", 1800, "TXT", '"v=DKIM1; p=theirs"')
    theirs.use_tsig(dns.tsig.Key(KEY_NAME, SECRET, "hmac-sha256"))

    def racing(update: Any, *arguments: Any) -> Any:
        message = plain(update, *arguments)
        assert isinstance(message, dns.update.UpdateMessage)
        if "selector1" in update.name:
            dns.query.tcp(theirs, "127.0.0.1", port=world.knot.port)
            message.prerequisite.clear()
        return message

    monkeypatch.setattr(rfc2136, "_message", racing)
    plan = world.shop.write("dkim: { four.example: {} }\ndns: { four.example: { publish: [dkim] } }\n")
    ignored = world.run("apply", plan, "--auto-approve", PROVISIONER_TIMEOUTS__CONFIRM_S="0.3")
    assert ignored.returncode == 8, ignored.stdout
    assert 'dns_record["four.example/dkim-selector1"]' in ignored.stdout + ignored.stderr
    added = ("selector1._domainkey.four.example.", "TXT", 1800, '"v=DKIM1; p=theirs"')
    names = {(n, k) for n, k, _, _ in world.knot.records("four.example") - before}
    assert names == {added[:2], ("selector2._domainkey.four.example.", "CNAME")}
    monkeypatch.undo()
    stopped = world.run("apply", plan, "--auto-approve", "--allow", "DNS-OVERWRITE")
    assert stopped.returncode == 6, stopped.stdout
    assert "no CNAME can stand beside them" in stopped.stderr
    assert added in world.knot.records("four.example")


def test_a_secondary_that_lags_is_unconfirmed_and_a_lame_one_is_told(world: World, tmp_path: Path) -> None:
    lagging = Knot(tmp_path / "lagging", {"three.example": zone_text("three.example")})
    lame = Knot(tmp_path / "lame", {"other.example": zone_text("other.example")})
    with running(lagging), running(lame):
        late = world.apply(
            "three.example", "spf", "--allow", "DNS-OVERWRITE",
            others=[lagging.address], PROVISIONER_TIMEOUTS__CONFIRM_S="0.3",
        )  # fmt: skip
        assert late.returncode == 8, late.stdout
        assert f"{lagging.address}: it does not show the records of three.example TXT yet" in late.stdout + late.stderr
        world.roll_back("--allow", "DNS-OVERWRITE")
        told = world.apply("three.example", "spf", "--allow", "DNS-OVERWRITE", others=[lame.address])
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"{lame.address}: it does not answer for three.example" in told.stdout + told.stderr
