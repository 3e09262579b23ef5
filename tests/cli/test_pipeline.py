"""One pipeline for plan, test and apply: what one of them sees, the others see too, DNS included."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cli.shop import SEED, Shop, open_shop

ADDRESS = "52.202.8.242"
ZONE = {
    "contoso.com": {
        "MX": ["0 contoso-com.mail.protection.outlook.com."],
        "TXT": ["v=spf1 include:spf.protection.outlook.com -all"],
    }
}
DEVICE = f"""owner: mail/prod
sites: {{ hq: {{ egress_ip_addresses: [{ADDRESS}] }} }}
devices:
  scanner: {{ site: hq, from: erp@contoso.com, recipients: anyone, supports: {{ tls: "1.2", authentication: [] }} }}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "dns": ZONE}) as here:
        yield here


def test_plan_shows_each_dns_question_once_and_counts_it(shop: Shop) -> None:
    shop.write(DEVICE)
    found = shop.run("-v", "--profile", "sandbox", "plan", "plan.yaml", "--format", "json")
    document = json.loads(found.stdout)
    dns = [line for line in found.stderr.splitlines() if line.startswith("contoso.com ")]
    assert "SPF-IP-MISSING" in [f["rule"] for f in document["provisioner"]["findings"]]
    assert any(line.startswith("contoso.com TXT: ") for line in dns)
    assert len(dns) == len({line.split(":")[0] for line in dns})
    assert document["provisioner"]["requests"]["read"] > len(dns)


def test_a_plan_test_sees_what_plan_sees_of_dns(shop: Shop) -> None:
    case = {
        "given": {"tenant": {**SEED, "dns": ZONE, "sandbox": 1}},
        "plan": "plan.yaml",
        "expect": {"findings": ["SPF-IP-MISSING"]},
    }
    shop.write(DEVICE)
    case["given"]["tenant"].pop("sandbox")  # type: ignore[index]
    (shop.folder / "dns.test.yaml").write_text(json.dumps({"provisioner_test": 1, "cases": {"dns": case}}))
    done = shop.run("test", "dns.test.yaml")
    assert (done.returncode, "1 passed, 0 failed." in done.stdout) == (0, True), done.stdout
