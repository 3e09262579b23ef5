"""Objects of remoting: written quickly as psrpcore writes them, and what Select-Object makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from psrpcore._crypto import PSRemotingCrypto
from psrpcore.types._serializer import serialize

from provisioner.sandbox.psrp_values import Shown, clixml, of_module, plain, powershell_row, selected

ROWS = json.loads((Path(__file__).parents[1] / "rows" / "cas-mailboxes.json").read_text("utf-8"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["PrimarySmtpAddress"])
def test_a_row_is_written_as_psrpcore_writes_it(row: dict[str, Any]) -> None:
    more: dict[str, Any] = {
        "Text": "a <b> & 'c'",
        "None": None,
        "Empty": "",
        "List": [],
        "When": "2026-07-14T18:54:40.7066975Z",
    }
    columns = {name: value for name, value in row.items() if "@" not in name}
    shown = of_module("CASMailbox", {**columns, **more, "Size": -3, "Flag": True})
    assert clixml(shown) == ET.tostring(serialize(powershell_row(shown), PSRemotingCrypto()), encoding="utf-8")


@pytest.mark.parametrize(
    "value", ["_x0041_", "bell\x07", "\U0001f600", 2**40, 1.5, ["a", ""], ["a", 1], {"a": 1}], ids=repr
)
def test_what_is_not_plain_is_left_to_psrpcore(value: Any) -> None:
    assert clixml(Shown("T", {"Name": value})) is None
    assert clixml(Shown("T", {"Name": "x"})) is not None


def test_a_name_that_no_object_has_is_null_and_a_pattern_finds_nothing() -> None:
    mailbox = of_module("CASMailbox", {"Name": "a", "Guid": "b"})
    assert selected(mailbox, ["NAME", "Bogus"]).properties == {"Name": "a", "Bogus": None}
    assert selected(mailbox, ["[N]ame", "[B]ogus"]).properties == {"Name": "a"}
    assert selected(mailbox, ["*"]).properties == mailbox.properties
    assert selected(mailbox, ["Name"]).type == f"Selected.{mailbox.type}"


def test_half_of_a_character_is_never_kept() -> None:
    assert plain({"Comment": ["a\ud83d", "\ud83d\ude00"]}) == {"Comment": ["a\ufffd", "\N{GRINNING FACE}"]}
