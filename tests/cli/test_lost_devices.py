"""Devices of the last run that the plan no longer declares: what plan says of them, and what becomes of them."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import Shop, open_shop

BASE = "owner: mail/prod\nsmtp_auth: { organization: disabled, exclusive: true }\n"
DEVICES = """sites: { hq: { egress_ip_addresses: [52.202.8.242] } }
devices:
  scanner: { site: hq, from: a@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [] } }
  erp: { from: erp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [basic] } }
"""
BADGE = 'badge: { from: b@contoso.com, recipients: organization, supports: { tls: "1.2", authentication: [] } }'
QUICK = {"PROVISIONER_TIMEOUTS__CONFIRM_S": "0.4"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        (here.folder / "plans").mkdir()
        here.write(BASE, "plans/base.yaml")
        yield here


def devices(shop: Shop, text: str) -> None:
    """The second file of the plan; it is not there for ""."""
    path = shop.folder / "plans/devices.yaml"
    path.write_text(text) if text else path.unlink()


def apply(shop: Shop, *options: str) -> int:
    return shop.on_tenant("apply", "plans", "--auto-approve", *options, **QUICK).returncode


def told(shop: Shop) -> list[dict[str, Any]]:
    """The findings about lost devices."""
    found = json.loads(shop.on_tenant("plan", "plans", "--format", "json").stdout)
    return [f for f in found["provisioner"]["findings"] if f["rule"] == "DEVICES-GONE"]


WORDS = (
    "2 devices of the last run are no longer in the plan: device/scanner, device/erp. The changes take a sending path "
    'from device/scanner (by inbound_connector["site-hq"]), device/erp (by smtp_auth["erp@contoso.com"])'
)


def test_a_lost_file_of_devices_is_told_with_what_the_changes_take_from_them(shop: Shop) -> None:
    devices(shop, DEVICES)
    assert apply(shop) == 0
    devices(shop, "")
    saved = shop.on_tenant("plan", "plans", "-o", "saved.json", "--format", "text")
    assert f"warning[DEVICES-GONE]: {WORDS}" in " ".join(saved.stdout.split())
    (finding,) = json.loads((shop.folder / "saved.json").read_text())["provisioner"]["findings"][-1:]
    assert (finding["rule"], finding["severity"], finding["summary"]) == ("DEVICES-GONE", "warning", WORDS)
    for format_ in ("markdown", "html"):
        assert WORDS in html.unescape(shop.run("show", "saved.json", "--format", format_).stdout)
    assert apply(shop) == 6, "BLAST-RADIUS: nothing of what the plan owns is declared any more"

    devices(shop, DEVICES.replace("scanner:", "scanner-3f:"))
    assert told(shop) == [], "all are there, one under another name"

    devices(shop, "")
    assert apply(shop, "--allow", "BLAST-RADIUS") == 0
    assert shop.tenant.rows("InboundConnector") == []
    assert told(shop) == [], "they are gone, and forgotten"


def test_a_device_from_which_nothing_is_taken_is_told_until_the_next_apply(shop: Shop) -> None:
    """Neither with it nor without it has the plan a change: the journal knows it nevertheless."""
    devices(shop, f"devices:\n  {BADGE}\n")
    assert apply(shop) == 0
    devices(shop, "")
    (finding,) = told(shop)
    assert (finding["severity"], finding["summary"]) == (
        "info",
        "1 device of the last run is no longer in the plan: device/badge. No change takes a path from it",
    )
    assert apply(shop) == 0
    assert told(shop) == []
