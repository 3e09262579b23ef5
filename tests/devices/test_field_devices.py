"""Real devices, and what an experienced administrator would set them to: the method, the sheet, the warnings.

Each row of ../shared/cases/field/devices.json has an expectation here, in our own words; devices of our own in the same
shapes are checked with the same expectations, so that they hold in a checkout alone.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.devices import sheet
from provisioner.diagnostics import InputError
from provisioner.model.clouds import CLOUDS
from tests.devices.test_sections import load

FIELD = Path(__file__).parents[3] / "shared" / "cases" / "field" / "devices.json"
MX = {
    "contoso.com": "contoso-com.mail.protection.outlook.com",
    "iot.contoso.com": "iot-contoso-com.mail.protection.outlook.com",
}


@dataclass(frozen=True)
class Expert:
    """What is to come out: `says` and `never` are words of the whole sheet; `own` a device of ours of this kind."""

    method: str
    authentication: str
    says: tuple[str, ...]
    own: Mapping[str, Any]
    site: Mapping[str, Any] | None = None
    never: tuple[str, ...] = ()
    sender: str = "device@contoso.com"


HQ = {"egress_ip_addresses": ["198.51.100.7"]}
RELAY = ("contoso-com.mail.protection.outlook.com", "198.51.100.7|93.184.216.10", "SPF of contoso.com")

EXPERTS: Mapping[str, Expert] = {
    "dev02": Expert(
        "client_submission", "oauth",
        ("smtp.office365.com", "consented to SMTP.Send", "login.microsoftonline.com/contoso.onmicrosoft.com"),
        {"tls": "1.2", "authentication": ["basic", "oauth"], "recipients": "anyone"},
        never=("app password",),
    ),
    "dev03": Expert(
        "smtp_relay", "none", RELAY,
        {"tls": "1.2", "authentication": ["basic"], "recipients": "anyone", "messages_per_day": 200}, HQ,
    ),
    "dev05": Expert(
        "high_volume_email", "basic", ("smtp.hve.mx.microsoft", "billing policy", "September 2028"),
        {"tls": "1.3", "authentication": ["basic"], "recipients": "organization", "mailbox": ""},
    ),
    "dev08": Expert(
        "smtp_relay", "none",
        (MX["contoso.com"], "198.51.100.7|93.184.217.20", "192.0.2.0/29|93.184.218.24/29", "SPF of"),
        {"tls": "1.3", "authentication": [], "ports": [25], "recipients": "anyone", "mailbox": ""},
        {"egress_ip_addresses": ["198.51.100.7", "192.0.2.0/29"]},
    ),
    "dev09": Expert(
        "smtp_relay", "none", (*RELAY, "readable on the way"),
        {"tls": "none", "authentication": [], "recipients": "anyone", "mailbox": "", "messages_per_day": 4000}, HQ,
        never=("TLS 1.2 is switched on",),
    ),
    "dev12": Expert(
        "client_submission", "basic", ("LOGIN", "2026-12-31", "firmware that signs in with OAuth", "fixed address"),
        {"tls": "1.2", "authentication": ["basic"], "recipients": "anyone"},
        never=("LOGIN or PLAIN",),
    ),
    "dev13": Expert(
        "smtp_relay", "none", RELAY,
        {"tls": "1.2", "authentication": [], "recipients": "anyone", "mailbox": ""}, HQ,
    ),
    "dev15": Expert(
        "client_submission", "oauth", ("smtp.office365.com", "587", "XOAUTH2"),
        {"tls": "1.3", "authentication": ["basic", "oauth"], "ports": [587], "recipients": "anyone"}, HQ,
        never=("25 works too",),
    ),
    "dev16": Expert(
        "smtp_relay", "none", ("iot-contoso-com.mail.protection.outlook.com", "SPF of iot.contoso.com"),
        {"tls": "1.2", "authentication": [], "recipients": "anyone", "mailbox": ""}, HQ,
        sender="sensor@iot.contoso.com",
    ),
    "dev18": Expert(
        "high_volume_email", "oauth", ("smtp.hve.mx.microsoft", "Add-HVEAppAccess", "no limit a day"),
        {"tls": "1.2", "authentication": ["oauth"], "recipients": "organization", "messages_per_minute": 90},
        never=("looks forged",),
    ),
    "dev19": Expert(
        "graph", "oauth", ("graph.microsoft.com", "Application Mail.Send", "RBAC for Applications"),
        {"method": "graph"}, never=("smtp.office365.com",),
    ),
}  # fmt: skip


def planned(tmp_path: Path, device: Mapping[str, Any], site: Mapping[str, Any] | None, sender: str) -> Any:
    body = {"from": sender, "recipients": "anyone", **device}
    supports = {key: body.pop(key) for key in ("tls", "authentication", "ports") if key in body}
    plan: dict[str, Any] = {"devices": {"it": {**body, **({"supports": supports} if supports else {})}}}
    if site:
        plan = {"sites": {"hq": dict(site)}, "devices": {"it": {**plan["devices"]["it"], "site": "hq"}}}
    return load(tmp_path, yaml.safe_dump(plan, sort_keys=False))


def judged(tmp_path: Path, device: Mapping[str, Any], site: Mapping[str, Any] | None, expert: Expert) -> None:
    desired = planned(tmp_path, device, site, expert.sender)
    found = sheet(desired.devices["it"], desired, MX, CLOUDS["worldwide"])
    assert (found["method"], found["authentication"]) == (expert.method, expert.authentication)
    text = json.dumps(found)
    for words in expert.says:
        assert any(word in text for word in words.split("|")), words
    for words in expert.never:
        assert words not in text


def _rows() -> list[Any]:
    if not FIELD.exists():
        return [pytest.param(None, marks=pytest.mark.skip("../shared/cases/field/devices.json is missing"))]
    return [pytest.param(row, id=row["id"]) for row in json.loads(FIELD.read_text("utf-8"))]


@pytest.mark.parametrize("expert", EXPERTS.values(), ids=EXPERTS)
def test_a_device_of_our_own_gets_what_an_administrator_would_choose(tmp_path: Path, expert: Expert) -> None:
    judged(tmp_path, expert.own, expert.site, expert)


@pytest.mark.parametrize("row", _rows())
def test_a_device_from_the_field_gets_what_an_administrator_would_choose(tmp_path: Path, row: dict[str, Any]) -> None:
    if row["id"] == "dev06":
        refused(tmp_path, row["device"], row["site"])
    else:
        judged(tmp_path, row["device"], row["site"], EXPERTS[row["id"]])


def refused(tmp_path: Path, device: Mapping[str, Any], site: Mapping[str, Any]) -> None:
    """A service that sends from servers of many: none of our ways is right, and the advice names its own."""
    with pytest.raises(InputError) as caught:
        planned(tmp_path, device, site, "crm@contoso.com")
    (told,) = [d for d in caught.value.diagnostics if d.id == "DEVICE-NO-METHOD"]
    assert "third_party, and set up DKIM there" in told.hint


def test_a_service_of_others_is_never_given_a_connector(tmp_path: Path) -> None:
    shared = {"egress_ip_addresses": ["192.0.2.0/24"], "shared": True}
    refused(tmp_path, {"tls": "1.3", "authentication": [], "recipients": "anyone", "mailbox": ""}, shared)


def test_a_sheet_says_where_it_belongs_and_what_becomes_of_the_mail(tmp_path: Path) -> None:
    body = {"tls": "1.2", "authentication": ["basic"], "recipients": "anyone", "owner": "facilities", "ticket": "CHG-1"}
    desired = planned(tmp_path, {**body, "until": "2027-03-31"}, HQ | {"ports": [587]}, "scan@contoso.com")
    found = sheet(desired.devices["it"], desired, MX, CLOUDS["worldwide"], None, dt.date(2026, 12, 30))
    assert [(fact["name"], fact["value"]) for fact in found["about"]] == [
        ("Site", "hq"), ("Tenant", "contoso.onmicrosoft.com"), ("Ask", "facilities, CHG-1"),
        ("Replace by", "2027-03-31"),
        ("Date", "2026-12-30"),
    ]  # fmt: skip
    assert any("Sent Items" in limit for limit in found["limits"])
    (password,) = [s for s in found["settings"] if s["name"] == "Password"]
    assert (password["value"], "app password where per-user MFA is on" in password["note"]) == ("", True)
