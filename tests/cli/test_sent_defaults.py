"""What a creation sends although the plan does not write it: shown in every output, confirmed, and no drift later."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner import engine
from provisioner.changes import changeset, planning
from provisioner.model import Absent, Address, Change, Desired, Observed, Present, Resource, Send
from provisioner.model.document import ChangeSetDocument
from provisioner.render import html, markdown, powershell, text
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.inbound_connector import InboundConnector
from tests.cli.shop import Shop, open_shop

HQ, DKIM = Address("inbound_connector", "hq"), Address("dkim", "contoso.com")
SPECS: dict[Address, Any] = {
    HQ: InboundConnector("hq", sender_ip_addresses=frozenset({"81.2.69.142/32"})),
    DKIM: Dkim("contoso.com"),
}


def creation(address: Address) -> tuple[Change, ChangeSetDocument]:
    """The change that creates a sparsely written object, and its document."""
    plan = Desired("contoso.onmicrosoft.com", "", {address: Resource(address, SPECS[address])})
    found = planning.plan(plan, Observed({address: Absent()}), TYPES)
    return found.changes[0], changeset.to_document(found)


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        (HQ, {"type": "partner", "sender_domains": ["*"], "require_tls": True}),
        (DKIM, {"enabled": False, "key_size": 2048}),
    ],
)
def test_each_value_that_is_sent_is_part_of_the_change_and_marked(address: Address, sent: dict[str, Any]) -> None:
    change, document = creation(address)
    fields = document["resource_changes"][0]["provisioner"]["fields"]
    assert {f["name"]: f["after"] for f in fields if f.get("default")} == sent
    (step,) = change.steps
    assert isinstance(step, Send)
    shown = len(fields)
    assert len(getattr(step.request, "parameters", ())) == shown, "as many values are sent as are shown"


@pytest.mark.parametrize("address", [HQ, DKIM])
def test_every_output_shows_them_as_defaults(address: Address) -> None:
    _, document = creation(address)
    names = [f["name"] for f in document["resource_changes"][0]["provisioner"]["fields"] if f.get("default")]
    for render in (text.render, markdown.render, html.render, powershell.render):
        lines = render(document).splitlines()
        for name in names:
            assert any(name in line and "default, sent at creation" in line for line in lines), (render, name)


def test_a_default_that_the_service_does_not_keep_is_not_confirmed() -> None:
    change, _ = creation(HQ)
    kept = change.after
    assert isinstance(kept, InboundConnector)
    assert engine.standing_of(change, Present(kept))[0] == "after"
    otherwise = dataclasses.replace(kept, enabled=True, require_tls=False)
    state, words = engine.standing_of(change, Present(otherwise))
    assert (state, words) == ("moved", "require_tls is false, not true")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


def test_a_default_is_applied_as_shown_and_left_alone_afterwards(shop: Shop, tmp_path: Path) -> None:
    """A later plan that still does not write the field manages it no more than before: no change, no drift."""
    plan = shop.write("inbound_connectors: { hq: { type: on_premises, sender_ip_addresses: [81.2.69.142] } }\n")
    shown = shop.on_tenant("plan", plan, "-o", "changes.json")
    assert shown.returncode == 0, shown.stderr
    assert "require_tls         = true  # default, sent at creation" in shown.stdout
    done = shop.on_tenant("apply", *shop.reviewed("changes.json"))
    assert done.returncode == 0, done.stderr
    (row,) = shop.tenant.rows("InboundConnector")
    assert row["RequireTls"] is True
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", RequireTls=False)
    again = shop.on_tenant("plan", plan)
    assert "No changes." in again.stdout
    assert "Changed by others" not in again.stdout
    drift = shop.on_tenant("drift", plan, "--format", "json")
    assert drift.returncode == 0, drift.stdout
    assert json.loads(drift.stdout)["drift"] == []
