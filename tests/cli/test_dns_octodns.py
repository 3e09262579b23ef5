"""Publishing through octoDNS: its own providers against a real server (Knot), its YAML files, and an API (PowerDNS)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from octodns.provider.yaml import YamlProvider
from octodns.zone import Zone
from octodns_bind import Rfc2136Provider

from tests.cli.shop import SEED, Shop, open_shop
from tests.knot import KEY_NAME, SECRET, Knot, needed, running
from tests.powerdns import API_KEY, PowerDns, api

pytestmark = [
    needed,
    # octodns-bind 1.1 asks octoDNS for `record.rrs`, which 1.22 calls outdated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

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
@ TXT "site-verification=abc; x"
@ TXT "v=spf1 ip4:203.0.113.1 -all"
_25._tcp.mx TLSA 3 1 1 {digest}
_dmarc TXT "v=DMARC1; p=none; rua=mailto:agg@{name}; fo=1"
www CNAME {name}.
sub NS ns.elsewhere.example.
"""
KINDS = {"bind": "bind.example", "yaml": "yaml.example", "api": "api.example"}
SPF = "v=spf1 ip4:203.0.113.1 include:spf.protection.outlook.com -all"


@dataclass
class World:
    """A sandbox for Exchange, Knot for DNS, and a provider of octoDNS of each kind before it."""

    shop: Shop
    knot: Knot
    power: PowerDns
    files: Path

    def provider(self, kind: str) -> dict[str, Any]:
        key = {"key_name": KEY_NAME, "key_secret": "env:TSIG", "key_algorithm": "hmac-sha256"}
        address = {"host": "127.0.0.1", "port": self.knot.port}
        kinds: dict[str, dict[str, Any]] = {
            "bind": {"class": "octodns_bind.Rfc2136Provider", "options": {**address, **key}},
            "yaml": {
                "class": "octodns.provider.yaml.YamlProvider",
                "options": {"directory": str(self.files)},
                "whole_file": True,
            },
            "api": {"class": "octodns_powerdns.PowerDnsProvider", "options": self.power.options()},
        }
        return {"kind": "octodns", "read_from": [self.knot.address], **kinds[kind]}

    def run(self, kind: str, *arguments: str, key: str = API_KEY, **more: Any) -> Any:
        provider = {**self.provider(kind), **{k: v for k, v in more.items() if k.islower()}}
        return self.shop.on_tenant(
            *arguments,
            TSIG=SECRET,
            PDNS_KEY=key,
            PROVISIONER_DNS=json.dumps({"octo": provider}),
            PROVISIONER_ENDPOINTS__DNS_SERVERS=json.dumps([self.knot.address]),
            PROVISIONER_TIMEOUTS__CONFIRM_S=more.get("CONFIRM_S", "60"),
        )

    def spf(self, kind: str, **more: Any) -> Any:
        """An apply that extends the SPF record of the kind's domain."""
        plan = self.shop.write(f"dns: {{ {KINDS[kind]}: {{ publish: [spf], provider: octo }} }}\n", f"{kind}.yaml")
        return self.run(kind, "apply", plan, "--auto-approve", "--allow", "DNS-OVERWRITE", **more)

    def deploy(self) -> None:
        """What a repository of zones does with a new file: octoDNS carries it to the servers."""
        server = Rfc2136Provider("deploy", "127.0.0.1", self.knot.port, False, 15, KEY_NAME, SECRET, "hmac-sha256")
        desired = Zone("yaml.example.", [])
        YamlProvider("files", str(self.files)).populate(desired, lenient=True)
        plan = server.plan(desired)
        if plan is not None:
            server.apply(plan)

    def write_files(self) -> None:
        """The YAML of the zone, by octoDNS, from what the server has."""
        server = Rfc2136Provider("read", "127.0.0.1", self.knot.port, False, 15, KEY_NAME, SECRET, "hmac-sha256")
        found = Zone("yaml.example.", [])
        server.populate(found, lenient=True)
        files = YamlProvider("files", str(self.files))
        plan = files.plan(found)
        files.apply(plan)

    def see_dns(self, domain: str) -> None:
        """Exchange asks the public DNS, which the sandbox has by itself: it gets the selectors that Knot has."""
        for name, kind, _ttl, value in self.knot.records(domain):
            if kind == "CNAME" and "_domainkey" in name:
                body = {"name": name.removesuffix("."), "type": kind, "values": [value]}
                self.shop.tenant.control("POST", "/dns", body)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    objects = {"AcceptedDomain": [{"DomainName": domain} for domain in KINDS.values()]}
    texts = {n: ZONE.format(name=n, dashed=n.replace(".", "-"), digest="ab" * 32) for n in KINDS.values()}
    server = Knot(tmp_path_factory.mktemp("knot"), texts)
    seed = {**SEED, "objects": objects, "dns": dict.fromkeys(KINDS.values())}
    with open_shop(tmp_path_factory.mktemp("shop"), seed) as shop, running(server), api(server) as power:
        here = World(shop, server, power, tmp_path_factory.mktemp("zones"))
        here.write_files()
        yield here


@pytest.fixture(autouse=True)
def no_fault(world: World) -> None:
    world.power.status, world.power.before, world.power.empty = 0, None, False
    world.power.changes.clear()


@pytest.mark.one_of("kind")
@pytest.mark.parametrize("kind", KINDS)
def test_dkim_goes_from_nothing_to_valid_and_back_without_a_trace(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = KINDS[kind]
    plan = world.shop.write(
        f"dkim: {{ {domain}: {{ enabled: true }} }}\n"
        f"dns: {{ {domain}: {{ publish: [dkim, spf, dmarc], provider: octo, dmarc: {{ policy: quarantine }} }} }}\n"
    )
    before = world.knot.records(domain)
    moved = world.shop.clock._moved

    def passing(seconds: float) -> None:
        moved(seconds)
        if kind == "yaml":
            world.deploy()
        world.see_dns(domain)

    monkeypatch.setattr(world.shop.clock, "_moved", passing)
    done = world.run(kind, "apply", plan, "--auto-approve", "--allow", "DNS-OVERWRITE")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [r for r in world.shop.tenant.rows("DkimSigningConfig") if r["Domain"] == domain]
    assert (row["Enabled"], row["Status"]) == (True, "Valid")
    after = world.knot.records(domain)
    assert {(n, k, v) for n, k, _, v in before - after} == {
        (f"{domain}.", "TXT", '"v=spf1 ip4:203.0.113.1 -all"'),
        (f"_dmarc.{domain}.", "TXT", f'"v=DMARC1; p=none; rua=mailto:agg@{domain}; fo=1"'),
    }
    assert after - before == {
        (f"{domain}.", "TXT", 1800, f'"{SPF}"'),
        (f"_dmarc.{domain}.", "TXT", 1800, f'"v=DMARC1; p=quarantine; rua=mailto:agg@{domain}; fo=1"'),
        (f"selector1._domainkey.{domain}.", "CNAME", 3600, f"{row['Selector1CNAME'].lower()}."),
        (f"selector2._domainkey.{domain}.", "CNAME", 3600, f"{row['Selector2CNAME'].lower()}."),
    }
    again = world.run(kind, "plan", plan, "--detailed-exitcode")
    assert again.returncode == 0, again.stdout
    planned = world.run(kind, "rollback", "last", "-o", "back.json")
    assert planned.returncode == 0, planned.stderr
    back = world.run(kind, "apply", *world.shop.reviewed("back.json"), "--auto-approve", "--allow", "DNS-OVERWRITE")
    assert back.returncode == 0, back.stdout + back.stderr
    assert world.knot.records(domain) == before


def test_a_provider_that_ignores_or_refuses_an_update_is_never_success(world: World) -> None:
    before = world.knot.records("api.example")
    world.power.status = 204  # and nothing is changed
    ignored = world.spf("api", CONFIRM_S="0.3")
    assert (ignored.returncode, world.knot.records("api.example")) == (8, before)
    assert "not confirmed" in ignored.stdout + ignored.stderr
    assert len(world.power.changes) == 1
    world.power.status = 422
    unclear = world.spf("api", CONFIRM_S="0.3")
    assert (unclear.returncode, world.knot.records("api.example")) == (8, before)
    assert "no clear answer came" in unclear.stdout + unclear.stderr
    wrong = world.spf("api", key="another-key-of-this-test")
    assert (wrong.returncode, world.knot.records("api.example")) == (8, before)
    assert "PowerDNS unauthorized" in wrong.stdout + wrong.stderr
    written = [path.read_text(errors="replace") for path in world.shop.folder.rglob("*.jsonl")]
    told = [text for run in (ignored, unclear, wrong) for text in (run.stdout, run.stderr)]
    assert not any(secret in text for secret in (API_KEY, "another-key", SECRET) for text in (*told, *written))


def test_a_zone_that_a_provider_does_not_read_as_it_is_stays(world: World) -> None:
    before = world.knot.records("api.example"), world.knot.records("yaml.example")
    world.power.empty = True
    empty = world.spf("api")
    assert empty.returncode == 8
    assert "reads the zone api.example as empty" in empty.stdout + empty.stderr
    # A value that is on the servers, and that the file does not know.
    file = world.files / "yaml.example.yaml"
    whole = file.read_text()
    file.write_text("".join(line for line in whole.splitlines(keepends=True) if "MS=ms12345678" not in line))
    lacking = world.spf("yaml")
    assert lacking.returncode == 8
    assert 'answer with "MS=ms12345678", which the provider does not have' in lacking.stdout + lacking.stderr
    assert "MS=ms12345678" not in file.read_text()
    file.write_text(whole)
    refused = world.spf("yaml", whole_file=False)
    assert refused.returncode == 3
    assert "whole_file = true" in refused.stderr
    assert (world.knot.records("api.example"), world.knot.records("yaml.example")) == before
    assert (file.read_text(), world.power.changes) == (whole, [])
    nowhere = world.spf("yaml", **{"class": "os.PathLike", "options": {}})
    assert nowhere.returncode == 3
    assert "no installed package has the module os" in nowhere.stderr
    foreign = world.shop.folder / "octodns_evil"
    foreign.mkdir(exist_ok=True)
    (foreign / "__init__.py").write_text("raise SystemExit(99)\n")
    own = world.spf("yaml", **{"class": "octodns_evil.Provider", "options": {}})
    assert own.returncode == 3
