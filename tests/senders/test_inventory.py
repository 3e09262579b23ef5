"""The inventory's order and its JSON."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest

from provisioner.diagnostics import InputError
from provisioner.senders.inventory import (
    BASIC,
    RELAY,
    Failure,
    Inventory,
    Sender,
    Sighting,
    Source,
    SourceAddress,
    document,
    ip_address,
    ordered,
    read,
)

_SCANNER = Sender(
    "scan@contoso.com",
    "scan@contoso.com",
    "7f2b0a7e-0000-4000-8000-000000000001",
    BASIC,
    (SourceAddress("203.0.113.9"), SourceAddress("198.51.100.7"), SourceAddress("2001:db8::1")),
    ("1.2", "1.0"),
    messages=120,
    days=30,
    recipients="inside",
    first_seen="2026-10-01T08:00:00Z",
    last_seen="2026-11-02T08:00:00Z",
    failures=(Failure("50126", "Invalid username or password.", 3),),
    known_from=(Sighting("smtp_auth_report", 120, days=30), Sighting("sign_ins", logins=40)),
    confidence="certain",
    basis=("the SMTP AUTH report names its authentication",),
    may_log_in="allowed",
)
_RELAYING = Sender(
    "erp@contoso.com",
    protocol=RELAY,
    source_addresses=(SourceAddress("198.51.100.7", "hq", 9), SourceAddress("10.1.1.1", "")),
)
_INVENTORY = Inventory(
    "contoso.onmicrosoft.com",
    "2026-08-25T00:00:00Z",
    "2026-11-23T00:00:00Z",
    (_SCANNER, _RELAYING),
    (
        Source("sign_ins", "partial", "only 30 days", "AuditLog.Read.All", rows=40),
        Source("message_traces", "not_read", "403", "ExchangeMessageTrace.Read.All"),
        Source("connectors", "read", rows=2),
    ),
    ("b@contoso.com", "a@contoso.com"),
)


def _text(inventory: Inventory) -> str:
    return json.dumps(document(inventory))


def test_it_survives_its_json() -> None:
    assert read(_text(_INVENTORY), "found.json") == ordered(_INVENTORY)
    assert _text(read(_text(_INVENTORY), "found.json")) == _text(_INVENTORY)


def test_the_order_in_which_it_was_found_out_does_not_matter() -> None:
    draw = random.Random(7)
    for _ in range(20):
        shuffled = dataclasses.replace(
            _INVENTORY,
            senders=tuple(
                dataclasses.replace(
                    sender,
                    source_addresses=tuple(draw.sample(sender.source_addresses, len(sender.source_addresses))),
                    tls=tuple(draw.sample(sender.tls, len(sender.tls))),
                    known_from=tuple(draw.sample(sender.known_from, len(sender.known_from))),
                )
                for sender in draw.sample(_INVENTORY.senders, 2)
            ),
            sources=tuple(draw.sample(_INVENTORY.sources, 3)),
        )
        assert _text(shuffled) == _text(_INVENTORY)


def test_addresses_stand_in_the_order_of_their_numbers() -> None:
    scanner = ordered(_INVENTORY).senders[1]
    assert scanner.ip_addresses == ("198.51.100.7", "203.0.113.9", "2001:db8::1")
    assert ordered(_INVENTORY).senders[0].connectors == ("hq",)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("::ffff:192.0.2.5", "192.0.2.5"),
        ("2001:0DB8::0001", "2001:db8::1"),
        ("192.0.2.5", "192.0.2.5"),
        ("", ""),
    ],
)
def test_an_ip_address_has_one_form(text: str, canonical: str) -> None:
    assert ip_address(text) == canonical


def test_it_is_complete_when_every_source_was_read_whole() -> None:
    assert not _INVENTORY.complete
    assert dataclasses.replace(_INVENTORY, sources=_INVENTORY.sources[2:]).complete
    traces, connectors = _INVENTORY.source("message_traces"), _INVENTORY.source("connectors")
    assert traces is not None
    assert traces.needs == "ExchangeMessageTrace.Read.All"
    assert connectors is not None
    assert connectors.state == "read"
    assert _INVENTORY.source("conditional_access") is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not an inventory"),
        ('{"format": "provisioner-inventory", "version": 2}', "this release reads 1"),
        ('{"format": "provisioner-inventory", "version": 1}', "tenant"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_file_that_is_no_inventory_is_refused_with_its_name(text: str, word: str) -> None:
    with pytest.raises(InputError) as refused:
        read(text, "found.json")
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.id == "INVENTORY-INVALID"
    assert "found.json" in diagnostic.summary
    assert word in diagnostic.summary


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("protocol", "carrier_pigeon"),
        ("messages", -1),
        ("last_seen", "yesterday"),
        ("source_addresses", [{"ip_address": "not one"}]),
        ("tls", ["4.0"]),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_place(field: str, value: object) -> None:
    found = document(_INVENTORY)
    found["senders"][0][field] = value
    with pytest.raises(InputError, match=f"senders.0.{field}"):
        read(json.dumps(found), "found.json")
