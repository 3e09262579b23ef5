"""`provisioner dns check` and MTA-STS policies: fetched within limits, through the profile's proxy, with its trust."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from provisioner.tenant import limits
from tests.cli.shop import SEED, Shop, open_shop
from tests.cli.test_network import Proxy, proxy, running  # noqa: F401 - fixtures

GATEWAY = "version: STSv1\nmode: enforce\nmx: mx.gateway.example\nmax_age: 604800\n"
CERTIFIED = "mta-sts.contoso.com"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("policies"), SEED) as found:
        found.write("domains: { contoso.com: { verified: true } }\n")
        for name, value in (
            ("_mta-sts", "v=STSv1; id=20260101"),
            ("_smtp._tls", "v=TLSRPTv1; rua=mailto:t@contoso.com"),
        ):
            record = {"name": f"{name}.contoso.com", "type": "TXT", "values": [value]}
            found.tenant.control("POST", "/dns", record)
        profile = (found.folder / ".provisioner" / "profiles" / "sandbox.toml").read_text()
        less = "\n".join(line for line in profile.splitlines() if not line.startswith("mta_sts = "))
        (found.folder / "provisioner.toml").write_text(less.replace('"sandbox"', '"no-address"'))
        yield found


@pytest.fixture
def shop(opened: Shop) -> Iterator[Shop]:
    yield opened
    opened.release()


def checked(shop: Shop, profile: str = "sandbox", *more: str, **environment: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the findings about MTA-STS by id, and what was said on standard error."""
    done = shop.run("--profile", profile, *more, "dns", "check", "plan.yaml", "--format", "json", **environment)
    (domain,) = json.loads(done.stdout)["domains"]
    return done.returncode, {f["id"]: f for f in domain["findings"] if f["id"].startswith("MTA-STS")}, done.stderr


def answers(shop: Shop, **do: Any) -> None:
    shop.tenant.control("POST", "/faults", [{"front": "mta_sts", "match": {}, "times": 2, "do": do}])


def test_a_policy_that_fits_the_mx_records_is_in_order_and_the_fetch_is_told(shop: Shop) -> None:
    seen = shop.tenant.seen()
    code, found, said = checked(shop, "sandbox", "-v")
    assert (code, found) == (0, {})
    assert "GET https://mta-sts.contoso.com/.well-known/mta-sts.txt: HTTP 200" in said
    assert [r["path"] for r in shop.tenant.requests("mta_sts", seen)] == ["/.well-known/mta-sts.txt"]
    assert shop.on_tenant("dns", "export", "plan.yaml").returncode == 0
    assert len(shop.tenant.requests("mta_sts", seen)) == 1, "an export needs no policy"


def test_a_policy_that_does_not_name_the_mx_host_is_an_error(shop: Shop) -> None:
    answers(shop, status=200, headers={"Content-Type": "text/plain"}, body=GATEWAY)
    code, found, _ = checked(shop)
    assert code == 1
    assert set(found) == {"MTA-STS-MX", "MTA-STS-MX-UNUSED"}
    assert 'add the line "mx: contoso-com.mail.protection.outlook.com"' in found["MTA-STS-MX"]["hint"]
    assert "contoso.com (now 20260101)" in found["MTA-STS-MX"]["hint"]


@pytest.mark.parametrize(
    ("do", "id_", "words"),
    [
        ({"status": 302, "headers": {"Location": "https://www.contoso.com/"}}, "POLICY-REDIRECT", "www.contoso.com"),
        ({"flood": limits.POLICY_MOST_BYTES + 1}, "POLICY-LARGE", "larger than 64 kB"),
        ({"inflate": 4 * limits.POLICY_MOST_BYTES}, "POLICY-LARGE", "larger than 64 kB"),
        ({"status": 404}, "POLICY-MISSING", "HTTP 404"),
        ({"status": 503}, "UNANSWERED", "HTTP 503"),
        ({"html": True}, "POLICY-SYNTAX", "text/html"),
        ({"status": 200, "headers": {"Content-Type": "text/plain"}, "body": "\x1b[2J"}, "POLICY-SYNTAX", "line 1"),
        ({"close": True}, "UNANSWERED", "cannot be fetched"),
    ],
)
def test_another_answer_is_told_for_what_it_is(shop: Shop, do: dict[str, Any], id_: str, words: str) -> None:
    answers(shop, **do)
    seen = shop.tenant.seen()
    code, found, said = checked(shop)
    assert (code, list(found)) == (0, [f"MTA-STS-{id_}"]), said
    assert words in found[f"MTA-STS-{id_}"]["summary"]
    asked = {(r["method"], r["path"]) for r in shop.tenant.requests("mta_sts", seen)}
    assert asked <= {("GET", "/.well-known/mta-sts.txt")}, "no redirect is followed"


def test_an_answer_that_never_ends_is_given_up_and_nothing_concluded(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "POLICY_S", 0.3)
    answers(shop, drip=0.2)
    code, found, _ = checked(shop)
    assert (code, list(found)) == (0, ["MTA-STS-UNANSWERED"])
    assert "no answer within" in found["MTA-STS-UNANSWERED"]["summary"]


def test_the_policy_comes_through_the_proxy(shop: Shop, proxy: Proxy) -> None:  # noqa: F811
    address = shop.tenant.endpoints["mta_sts"]
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "", "no_proxy": ""}
    assert checked(shop, **environment)[:2] == (0, {})
    assert address in {target for target, _ in proxy.asked}
    proxy.inspected = {address: ssl.create_default_context(cafile=shop.tenant.endpoints["ca"])}
    code, found, _ = checked(shop, **environment)
    assert (code, list(found)) == (0, ["MTA-STS-UNANSWERED"])
    assert "is not trusted" in found["MTA-STS-UNANSWERED"]["summary"]
    assert "name its file in the profile (ca)" in found["MTA-STS-UNANSWERED"]["hint"]


def test_the_host_is_looked_up_by_the_profile_s_name_servers(shop: Shop) -> None:
    shop.tenant.control("POST", "/dns", {"name": CERTIFIED, "type": "A", "values": ["127.0.0.77"]})
    code, found, _ = checked(shop, "no-address")
    assert (code, list(found)) == (0, ["MTA-STS-UNANSWERED"])
    assert "('127.0.0.77', 443)" in found["MTA-STS-UNANSWERED"]["summary"]
    shop.tenant.control("POST", "/dns", {"name": CERTIFIED, "type": "A", "values": []})
