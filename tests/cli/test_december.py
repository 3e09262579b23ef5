"""The December project as a small variant of scripts/december-project: evidence, proposal, review, plan, apply, probe.

The seed is that of the script and has a person's real answers to give: which address is fixed, what a printer can do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.shop import Shop, open_shop

SEEDS = Path(__file__).parents[2] / "plans" / "sandbox"
KEPT = ("scan01@", "oldfax@", "shop@", "erp@", "labels1@", "badge@", "staff")
SECRETS = {"DEVICE_PASSWORD": "sandbox-only", "ERP_SECRET": "sandbox-only"}


def smaller() -> dict[str, object]:
    """The tenant of the script with one sender of each kind."""
    seed = yaml.safe_load((SEEDS / "december.yaml").read_text(encoding="utf-8"))
    objects, graph = seed["objects"], seed["graph"]
    objects["MessageTrace"] = [row for row in objects["MessageTrace"] if row["SenderAddress"].startswith(KEPT)]
    graph["signIns"] = [row for row in graph["signIns"] if row.get("userPrincipalName", "erp@").startswith(KEPT)]
    found = [row for row in seed["mailboxes"] if str(row.get("address", "")).startswith(KEPT)]
    seed["mailboxes"] = [*found, {"count": 4, "domain": "contoso.com", "prefix": "staff"}]
    assert isinstance(seed, dict)
    return seed


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("december"), smaller()) as here:
        yield here


def reviewed(text: str) -> str:
    """A person's answers: the office's address is fixed and its own, the shop's is not."""
    text = text.replace("site-93.184.216.10", "office").replace("    # site: office\n", "    site: office\n")
    site = re.compile(r"^  # office:\n(?:  # .*\n)+?  #   egress_ip_addresses.*\n", re.MULTILINE)
    return site.sub(lambda found: found[0].replace("  # ", "  ", 1).replace("\n  # ", "\n  "), text)


def probe(shop: Shop, name: str, *options: str) -> tuple[int, str]:
    done = shop.on_tenant("probe", name, *options, "--send", **SECRETS)
    return done.returncode, done.stdout + done.stderr


def test_from_evidence_to_mail_that_still_arrives(shop: Shop) -> None:
    report = str(SEEDS / "december-report.csv")
    discovered = shop.on_tenant(
        "senders", "discover", "--report", report, "--no-search", "--days", "10", "--format", "json",
        "--out", "evidence.json", "--propose", "plans", "--default", "authentication=none", "--default", "tls=1.2",
    )  # fmt: skip
    assert discovered.returncode == 0, discovered.stderr
    file = shop.folder / "plans" / "senders.yaml"
    file.write_text(reviewed(file.read_text(encoding="utf-8")), encoding="utf-8")
    (shop.folder / "plans" / "tenant.yaml").write_text("owner: december/prod\n")
    assert shop.run("validate").returncode == 0

    opened = shop.on_tenant("apply", "--auto-approve", "--replay", "evidence.json")
    assert opened.returncode == 0, opened.stderr
    relaying, anyone = ("--source", "127.0.0.10"), ("--to", "partner@fabrikam.com")
    ways = {
        "scan01": (*relaying, *anyone),
        "badge": (*relaying, "--to", "staff00001@contoso.com"),
        "oldfax": (*relaying, "--to", "staff00001@contoso.com"),
        "labels1": ("--source", "127.0.0.20", *anyone),
        "erp": ("--client-secret", "env:ERP_SECRET", *anyone),
        "shop": ("--password", "env:DEVICE_PASSWORD", *anyone),
    }
    for name, options in ways.items():
        assert probe(shop, name, *options)[0] == 0, (name, probe(shop, name, *options)[1])

    # Closing would stop those that were observed with a password and are not set over yet.
    (shop.folder / "plans" / "tenant.yaml").write_text("owner: december/prod\nsmtp_auth: { organization: disabled }\n")
    stopped = shop.on_tenant("apply", "--auto-approve", "--replay", "evidence.json")
    assert stopped.returncode == 6
    assert set(re.findall(r"REPLAY-BREAKS\]: (\w+)@", stopped.stderr)) >= {"scan01", "oldfax"}
    assert not {"shop", "erp"} & set(re.findall(r"REPLAY-BREAKS\]: (\w+)@", stopped.stderr))
    closed = shop.on_tenant("apply", "--auto-approve", "--replay", "evidence.json", "--allow", "REPLAY-BREAKS")
    assert closed.returncode == 0, closed.stderr
    for name in ("scan01", "erp", "shop"):
        assert probe(shop, name, *ways[name])[0] == 0, name
