"""A plan beside the evidence: which sender is which device, and what is to be done."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.plan import document
from provisioner.plan.usage import SILENT, UNDECLARED, USED, usage
from provisioner.resources import TYPES
from provisioner.senders import inventory as kinds
from provisioner.senders.inventory import Inventory, Sender, SourceAddress

BASIC = {"tls": "1.2", "authentication": ["basic"]}
SCAN = {"from": "scan@contoso.com", "recipients": "anyone", "supports": BASIC}


def rows(tmp_path: Path, devices: dict[str, Any], *senders: Sender) -> list[tuple[str, str, str, str]]:
    sites = {"hq": {"egress_ip_addresses": ["52.202.8.242"]}, "york": {"egress_ip_addresses": ["52.202.9.1"]}}
    plan = {"provisioner": 1, "tenant": "contoso.com", "owner": "us", "sites": sites, "devices": devices}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(plan))))
    desired, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 26))
    found = usage(desired, Inventory("contoso.com", "", "", senders))
    return [(row["state"], row["device"], row["recommended"], row["advice"]) for row in found["rows"]]


def seen(*addresses: str, protocol: kinds.Protocol = kinds.BASIC, **facts: Any) -> Sender:
    places = tuple(SourceAddress(address) for address in addresses)
    return Sender("scan@contoso.com", "scan@contoso.com", protocol=protocol, source_addresses=places, **facts)


def test_devices_that_share_an_address_are_told_apart_by_their_sites(tmp_path: Path) -> None:
    devices = {"a": {**SCAN, "site": "hq"}, "b": {**SCAN, "site": "york"}}
    assert [row[:2] for row in rows(tmp_path, devices, seen("52.202.8.242"))] == [(USED, "a"), (SILENT, "b")]
    assert [row[:2] for row in rows(tmp_path, devices, seen("198.51.100.9"))] == [(USED, "a"), (USED, "b")]


@pytest.mark.parametrize(
    ("device", "protocol", "words"),
    [
        ({**SCAN, "method": "client_submission"}, kinds.BASIC, "firmware that signs in with OAuth"),
        ({**SCAN, "site": "hq"}, kinds.BASIC, "it still uses client submission: set it to SMTP relay"),
        ({**SCAN, "site": "hq"}, kinds.RELAY, "as planned"),
        (
            {**SCAN, "supports": {"tls": "1.2", "authentication": ["oauth"]}},
            kinds.BASIC,
            "still signs in with a password",
        ),
        ({**SCAN, "supports": {"tls": "1.2", "authentication": ["oauth"]}}, kinds.OAUTH, "as planned"),
        (SCAN, kinds.UNKNOWN, "it still uses an unknown protocol"),
    ],
)
def test_the_advice_says_what_to_set_the_device_to(tmp_path: Path, device: Any, protocol: Any, words: str) -> None:
    ((state, _, _, advice),) = rows(tmp_path, {"a": device}, seen("52.202.8.242", protocol=protocol))
    assert state == USED
    assert words in advice


def test_a_pattern_and_a_mailbox_name_their_senders(tmp_path: Path) -> None:
    server = {
        "from": ["*@contoso.com"],
        "recipients": "anyone",
        "site": "hq",
        "supports": {"tls": "1.2", "authentication": []},
    }
    erp = {"from": "erp@fabrikam.com", "mailbox": "scan@contoso.com", "recipients": "anyone", "supports": BASIC}
    other = Sender("hr@contoso.com", protocol=kinds.RELAY)
    assert [row[:2] for row in rows(tmp_path, {"server": server}, other)] == [(USED, "server")]
    assert [row[:2] for row in rows(tmp_path, {"erp": erp}, seen())] == [(USED, "erp")]


def test_an_application_is_known_by_its_client_id_and_else_asked_for(tmp_path: Path) -> None:
    ids = ("6f1c0000-0000-4000-8000-00000000000a",)
    news = Sender("", protocol=kinds.GRAPH, client_ids=ids, applications=("News",))
    ((state, device, _, advice),) = rows(tmp_path, {}, news)
    assert (state, device, "ask who runs it" in advice) == (UNDECLARED, "", True)
    graph = {"from": "news@contoso.com", "recipients": "anyone", "method": "graph",
             "oauth": {"sign_in": "application", "client_id": ids[0]}}  # fmt: skip
    assert [row[:2] for row in rows(tmp_path, {"news": graph}, news)] == [(USED, "news")]


def test_a_sender_that_nobody_declared_gets_what_was_observed_for(tmp_path: Path) -> None:
    full = seen("52.202.8.242", tls=("1.2",), recipients="outside")
    ((state, _, method, advice),) = rows(tmp_path, {}, full)
    assert (state, method) == (UNDECLARED, "smtp_relay")
    assert "it has fixed IP addresses (52.202.8.242)" in advice
    ((_, _, method, advice),) = rows(tmp_path, {}, seen("198.51.100.9"))
    assert (method, advice) == ("", "declare it, and find out first: recipients, supports.tls")
