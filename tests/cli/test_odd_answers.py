"""The commands where a success of Exchange or Graph is not an answer: nothing is planned, reported or written on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import Shop, open_shop

RELAY = "inbound_connectors: { relay: { type: on_premises, sender_ip_addresses: [203.0.113.5] } }\n"
KEPT = "inbound_connectors: { kept: { type: on_premises, sender_ip_addresses: [203.0.113.9] } }\n"
DIRECT = """\
devices:
  fax:
    sends_to: internal
    dynamic_address: true
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        here.tenant.control("POST", "/load", {"sandbox": 1, "settings": {"lag": 0}})
        yield here


@pytest.fixture(autouse=True)
def calm(shop: Shop) -> Iterator[None]:
    yield
    shop.tenant.control("DELETE", "/faults")


def odd(shop: Shop, cmdlet: str, content: Any) -> None:
    shop.fault(cmdlet, {"status": 200, "body": content})


@pytest.mark.parametrize("content", ["", {}, {"value": [{}]}], ids=str)
def test_plan_and_apply_stop_at_an_odd_answer(shop: Shop, content: Any) -> None:
    plan = shop.write(RELAY)
    odd(shop, "Get-InboundConnector", content)
    planned = shop.on_tenant("plan", plan, "--format", "json")
    document = json.loads(planned.stdout)
    assert planned.returncode == 5
    assert (document["complete"], document["errored"], document["resource_changes"]) == (False, True, [])
    seen = shop.tenant.seen()
    applied = shop.on_tenant("apply", plan, "--auto-approve")
    assert applied.returncode == 5
    assert not shop.tenant.writes(since=seen)


def test_drift_does_not_report_what_could_not_be_read_as_gone(shop: Shop) -> None:
    plan = shop.write(KEPT)
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    odd(shop, "Get-InboundConnector", {"@odata.context": "x"})
    drifted = shop.on_tenant("drift", plan, "--format", "json")
    assert drifted.returncode == 5
    assert not json.loads(drifted.stdout).get("resource_drift")


def test_export_writes_nothing(shop: Shop) -> None:
    odd(shop, "Get-DkimSigningConfig", {})
    exported = shop.on_tenant("export", "-o", "exported.yaml")
    assert exported.returncode == 5
    assert not (shop.folder / "exported.yaml").exists()


def test_doctor_names_the_read(shop: Shop) -> None:
    plan = shop.write(KEPT)
    odd(shop, "Get-AcceptedDomain", {"value": [{}]})
    checked = shop.on_tenant("doctor", plan, "--format", "json")
    assert checked.returncode == 1
    problems = [c["what"] for c in json.loads(checked.stdout)["checks"] if c["state"] == "problem"]
    assert "reading accepted domains" in problems


def test_a_write_answered_by_an_empty_success_is_not_done(shop: Shop) -> None:
    plan = shop.write("inbound_connectors: { lost: { type: on_premises, sender_ip_addresses: [203.0.113.77] } }\n")
    odd(shop, "New-InboundConnector", "")
    seen = shop.tenant.seen()
    applied = shop.on_tenant("apply", plan, "--auto-approve", PROVISIONER_TIMEOUTS__CONFIRM_S="1")
    assert applied.returncode == 8
    assert "lost" not in [row["Name"] for row in shop.tenant.rows("InboundConnector")]
    assert sum(r["cmdlet"] == "New-InboundConnector" for r in shop.tenant.requests(since=seen)) == 1
