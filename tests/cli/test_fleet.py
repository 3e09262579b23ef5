"""`provisioner fleet` against a sandbox: exit codes, what is written to tenants, and what the store holds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.cli.shop import SEED, Shop, open_shop

PLAN = """variables: { egress: { type: ip_network } }
inbound_connectors: { NAME: { sender_ip_addresses: ["var:egress"] } }
"""
NAMES = ("alpha", "beta")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("fleet"), SEED) as here:
        for name in NAMES:
            (here.folder / name).mkdir()
            here.write(PLAN.replace("NAME", name), f"{name}/plan.yaml")
        yield here


@pytest.fixture(autouse=True)
def since(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of the last request before this test. Each has a tenant and a state folder of its own.

    The store is one for all: making its tables takes longest.
    """
    shop.tenant.control("POST", "/reset")
    place = {
        "PROVISIONER_STATE_DIR": str(tmp_path / "state"),
        "PROVISIONER_FLEET_STORE": f"sqlite:{shop.folder}/s/f.sqlite",
    }
    for name, value in place.items():
        monkeypatch.setitem(cast("dict[str, str]", shop.environment), name, value)
    return shop.tenant.seen()


def declare(shop: Shop, **values: Any) -> None:
    tenants = {
        name: {
            "plan": name,
            "profile": "sandbox",
            "labels": {"ring": str(n)},
            "variables": {"egress": f"203.0.113.{n + 5}"},
        }
        for n, name in enumerate(NAMES)
    }
    for name, changed in values.pop("tenants", {}).items():
        tenants[name] |= changed
    (shop.folder / "fleet.yaml").write_text(json.dumps({"fleet": 1, "tenants": tenants, **values}), encoding="utf-8")


def states(text: str) -> dict[str, str]:
    return {tenant["name"]: tenant["state"] for tenant in json.loads(text)["tenants"]}


def connectors(shop: Shop) -> set[str]:
    return {row["Name"] for row in shop.tenant.rows("InboundConnector")}


def test_only_the_change_set_whose_digest_was_approved_is_applied_and_the_store_holds_no_setting(
    shop: Shop, since: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(shop)
    planned = shop.run("fleet", "apply", "--format", "json")
    assert planned.returncode == 10, planned.stderr
    assert states(planned.stdout) == dict.fromkeys(NAMES, "waiting_for_approval")
    assert shop.tenant.writes(since=since) == []
    digests = {t["name"]: t["digest"] for t in json.loads(planned.stdout)["tenants"]}
    other = "sha256:" + "0" * 64
    (shop.folder / "approved.yaml").write_text(json.dumps({"alpha": digests["alpha"], "beta": other}))
    another = str(tmp_path / "another")  # whoever has the store has its change sets
    monkeypatch.setitem(cast("dict[str, str]", shop.environment), "PROVISIONER_STATE_DIR", another)
    applied = shop.run("fleet", "resume", "--approved", "approved.yaml", "--format", "json")
    assert applied.returncode == 10, applied.stderr
    assert states(applied.stdout) == {"alpha": "applied", "beta": "waiting_for_approval"}
    assert f"beta waits: --approved lists {other}" in applied.stderr
    assert connectors(shop) == {"alpha"}
    again = shop.run("fleet", "resume", "--approved", "approved.yaml")
    assert (again.returncode, len(shop.tenant.writes(since=since))) == (10, 1), "what was applied is not applied again"
    assert "beta   waiting for approval: 1 to add" in again.stdout
    assert shop.run("fleet", "report", "--format", "html", "-o", "report.html").returncode == 0
    assert digests["beta"] in (shop.folder / "report.html").read_text(encoding="utf-8")
    stored = b"".join(f.read_bytes() for f in (shop.folder / "s").glob("f.sqlite*"))
    app = shop.tenant.endpoints["app"]
    for secret in (Path(app["secret_file"]).read_text().strip(), app["secret_file"], app["client_id"],
                   shop.tenant.endpoints["exchange"]):  # fmt: skip
        assert secret.encode() not in stored
    assert digests["alpha"].encode() in stored
    file = shop.folder / "s" / json.loads(planned.stdout)["run"] / "beta.json"
    file.write_text(file.read_text(encoding="utf-8").replace("203.0.113.6", "203.0.113.66"), encoding="utf-8")
    refused = shop.run("fleet", "resume", "--approve", "beta")
    assert (refused.returncode, connectors(shop)) == (8, {"alpha"})
    assert "beta   failed: " in refused.stdout


def test_the_rest_is_not_begun_where_the_canary_wave_fails_and_goes_on_once_it_succeeds(shop: Shop) -> None:
    declare(shop, canary={"labels": {"ring": "0"}})
    shop.fault("New-InboundConnector", {"status": 403, "body": {"error": {"code": "x", "message": "no"}}}, times=9)
    failed = shop.run("fleet", "apply", "--approve", "all", "--format", "json")
    assert failed.returncode == 8, failed.stderr
    assert json.loads(failed.stdout)["state"] == "stopped"
    assert states(failed.stdout)["beta"] == "not_begun"
    assert connectors(shop) == set()
    shop.tenant.control("DELETE", "/faults")
    done = shop.run("fleet", "resume", "--retry", "--format", "json")
    assert (done.returncode, states(done.stdout)) == (0, dict.fromkeys(NAMES, "applied")), done.stderr
    assert connectors(shop) == set(NAMES)


def test_drift_of_one_tenant_is_found_while_another_cannot_be_reached(shop: Shop) -> None:
    declare(shop, tenants={"beta": {"profile": "missing"}})
    found = shop.run("fleet", "drift", "--select", "ring=0", "--format", "json")
    assert (found.returncode, states(found.stdout)) == (2, {"alpha": "drifted"}), found.stderr
    both = shop.run("fleet", "drift")
    assert both.returncode == 8
    late = shop.run("fleet", "cancel")
    assert (late.returncode, "has finished: there is nothing to cancel" in late.stderr) == (3, True)
    assert 'beta   failed: there is no profile "missing"' in both.stdout


def test_a_cancelled_run_applies_nothing_and_bad_input_is_one_message(shop: Shop, since: int) -> None:
    declare(shop)
    assert shop.run("fleet", "status", "--store", "sqlite:nothing/here.sqlite").returncode == 3
    assert not (shop.folder / "nothing").exists()
    assert shop.run("fleet", "apply").returncode == 10
    assert shop.run("fleet", "cancel").returncode == 0
    resumed = shop.run("fleet", "resume", "--approve", "all", "--format", "json")
    assert (resumed.returncode, states(resumed.stdout)) == (8, dict.fromkeys(NAMES, "cancelled"))
    assert shop.tenant.writes(since=since) == []
    (shop.folder / "short.yaml").write_text("alpha: sha256:12\n")
    for line in (
        "plan missing.yaml", "plan --select ring=9", "resume nothing", "resume --approve gamma", "plan --store mysql:x",
        "plan --store postgresql://u:secret@localhost/x", "apply --allow NO-SUCH-RULE", "apply --approved short.yaml",
    ):  # fmt: skip
        refused = shop.run("fleet", *line.split())
        assert refused.returncode == 3, line
        assert refused.stderr.count("error[") == 1
        assert "secret" not in refused.stderr


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen (openssh-client) is not installed")
def test_a_change_set_is_signed_between_its_plan_and_its_first_apply(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "ada"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=30)
    (tmp_path / "allowed").write_text(f"ada@x.example {key.with_suffix('.pub').read_text()}")
    approval = {"REQUIRE": "1", "ALLOWED_SIGNERS": str(tmp_path / "allowed")}
    for name, value in approval.items():
        monkeypatch.setitem(cast("dict[str, str]", shop.environment), f"PROVISIONER_APPROVAL__{name}", value)
    declare(shop)
    planned = json.loads(shop.run("fleet", "plan", "--format", "json").stdout)
    file = shop.folder / "s" / planned["run"] / "alpha.json"
    assert file.stat().st_mode & 0o077 == 0
    digest = planned["tenants"][0]["digest"]
    signed = shop.run("approve", str(file), "--expect-digest", digest, "--key", str(key))
    assert signed.returncode == 0, signed.stderr
    applied = shop.run("fleet", "resume", "--approve", "all", "--format", "json")
    assert (applied.returncode, states(applied.stdout)) == (8, {"alpha": "applied", "beta": "failed"}), applied.stderr
    assert connectors(shop) == {"alpha"}


@pytest.mark.parametrize("line", ["plan", "apply", "drift", "resume", "status", "report", "cancel"])
def test_without_the_extra_each_command_names_it(shop: Shop, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(shop)
    monkeypatch.setitem(sys.modules, "dbos", None)
    refused = shop.run("fleet", line)
    assert refused.returncode == 3
    assert "a fleet needs the extra [fleet], which is not installed (missing: dbos)" in refused.stderr
