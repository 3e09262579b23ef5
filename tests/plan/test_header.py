from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from provisioner.model import Address
from provisioner.plan.header import REQUIRED, Header, WaiverEntry, address_pattern, tombstone


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("inbound_connector/hq", "inbound_connector/hq"),
        ('inbound_connector["hq"]', "inbound_connector/hq"),
        ('inbound_connector["a/b [c]"]', "inbound_connector/a/b [c]"),
        ("inbound_connector/Hybrid *", "inbound_connector/Hybrid *"),
    ],
)
def test_both_forms_of_an_address_are_one_pattern(text: str, short: str) -> None:
    assert address_pattern(text) == short


@pytest.mark.parametrize("text", ["", "hq", "/hq", "inbound_connector/", "inbound_connector[hq]", 'x[""]'])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        address_pattern(text)


def test_a_tombstone_names_one_thing() -> None:
    assert Address.parse(tombstone('inbound_connector["a/b"]')) == Address("inbound_connector", "a/b")
    with pytest.raises(ValueError, match="without wildcards"):
        tombstone("inbound_connector/*")


def test_what_every_plan_says_is_a_key_of_the_header() -> None:
    assert set(REQUIRED) < set(Header.__annotations__)
    assert set(TypeAdapter(WaiverEntry).json_schema()["required"]) == {"rule", "reason"}
