"""Two environments with shared files on two tenants: each gets its own values, none the other's tenant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.shop import SEED, Shop, open_shop

OWN = "provisioner: 1\ntenant: %s.onmicrosoft.com\nowner: team/%s\ninclude: [../shared/relay.yaml]\n"
SHARED = """variables:
  egress: { type: list(ip_network) }
inbound_connectors:
  relay:
    type: on_premises
    sender_ip_addresses: var:egress
    sender_domains: ["*"]
    require_tls: true
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Shop]]:
    folder = tmp_path_factory.mktemp("environments")
    (folder / ".git").mkdir()  # one checkout holds both
    for name in ("contoso", "fabrikam"):
        (folder / name).mkdir()
        (folder / name / "plan.yaml").write_text(OWN % (name, name), encoding="utf-8")
    (folder / "shared").mkdir()
    (folder / "shared" / "relay.yaml").write_text(SHARED, encoding="utf-8")
    other = {"sandbox": 1, "tenant": {"initial_domain": "fabrikam.onmicrosoft.com"}, "objects": {}}
    with open_shop(folder / "contoso", SEED) as first, open_shop(folder / "fabrikam", other) as second:
        yield first, second


def test_each_environment_gets_its_own_value_and_is_converged(two: tuple[Shop, Shop]) -> None:
    for shop, address in zip(two, ("198.51.100.7", "198.51.100.9"), strict=True):
        done = shop.on_tenant("apply", "plan.yaml", "--auto-approve", "--var", f"egress={address}")
        assert done.returncode == 0, done.stderr
        assert [r["SenderIPAddresses"] for r in shop.tenant.rows("InboundConnector")] == [[address]]
        again = shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode", PROVISIONER_VAR_egress=address)
        assert again.returncode == 0, again.stdout


def test_the_tenant_of_the_other_environment_is_refused_without_a_write(two: tuple[Shop, Shop]) -> None:
    before = len(two[1].tenant.writes())
    wrong = two[1].on_tenant("apply", "../contoso/plan.yaml", "--auto-approve", "--var", "egress=198.51.100.7")
    assert wrong.returncode == 4, wrong.stderr
    assert "fabrikam.onmicrosoft.com" in wrong.stderr
    assert len(two[1].tenant.writes()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--var", "egress=198.51.100.7", "--var", "egres=1"), 'did you mean "egress"?'),
        (("--var", "egress"), "write NAME=VALUE"),
        (("--var-file", "missing.vars"), "cannot be read"),
        ((), "the variable egress has no value"),
    ],
)
def test_a_mistake_about_a_variable_is_told_without_a_tenant(
    two: tuple[Shop, Shop], arguments: tuple[str, ...], words: str
) -> None:
    done = two[0].run("validate", "plan.yaml", *arguments)
    assert done.returncode == 3
    assert words in done.stderr
