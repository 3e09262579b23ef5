"""One declaration per field: what one more boolean costs, and what follows from it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter

from provisioner.model import Delta, ResourceType, create_only
from provisioner.model.picture import Privilege
from provisioner.resources import TYPES, fields
from provisioner.resources.connectors import CONNECTOR_NAME
from provisioner.resources.fields import BOOLEAN, WIDENS, Text, Texts, Words, column
from provisioner.resources.inbound_connector import InboundConnector, InboundConnectorType
from provisioner.resources.outbound_connector import OutboundConnector
from tests.resources.recorded import answer, declared, mistakes, rows, sent

_ROOT = Path(__file__).parents[2]
_SOURCE = _ROOT / "provisioner"
_PAGE = _ROOT / "docs" / "plan-language.md"


# --- one more boolean ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Archiving(InboundConnector):
    archive_copies: bool | None = column("ArchiveCopies", BOOLEAN, "Archive each message.", default=False, paths=WIDENS)


class ArchivingType(InboundConnectorType):
    section_type: ClassVar[Any] = fields.section(
        CONNECTOR_NAME, fields.entry(Archiving, "ArchivingBody", "A connector."), "Connectors.", {}
    )
    spec: ClassVar[type[Archiving]] = Archiving


KIND = ArchivingType()
ROW = {**rows("inbound-connectors")[0], "ArchiveCopies": False}


def test_one_more_boolean_is_validated_and_described_in_the_schema() -> None:
    (body,) = TypeAdapter(KIND.section_type).json_schema()["$defs"].values()
    assert body["properties"]["archive_copies"] == {
        "description": "Archive each message.",
        "title": "Archive Copies",
        "type": "boolean",
    }
    assert mistakes(KIND, {"a": {"archive_copies": "yes"}}) == [("bool_type", ("a", "archive_copies"))]
    assert declared(KIND, {"a": {"archive_copies": True}})["a"].archive_copies is True


def test_one_more_boolean_is_read_asked_for_and_written_back() -> None:
    there = answer(KIND, {}, [ROW], everything=True)["hq-relay"]
    assert there.archive_copies is False
    assert "ArchiveCopies" in fields.wire_names(Archiving)
    assert "archive_copies" not in fields.written_body(there)
    assert fields.written_body(dataclasses.replace(there, archive_copies=True))["archive_copies"] is True


def test_one_more_boolean_is_sent_and_judged() -> None:
    there = answer(KIND, {}, [ROW], everything=True)["hq-relay"]
    on = dataclasses.replace(there, archive_copies=True)
    assert sent(KIND.steps(None, on)[0])[1]["ArchiveCopies"] is True
    assert sent(KIND.steps(there, on)[0]) == ("Set-InboundConnector", {"Identity": "hq-relay", "ArchiveCopies": True})
    assert set(KIND.contribution(on)) - set(KIND.contribution(there)) == {Privilege("archive_copies")}


def test_one_more_boolean_has_its_row_in_the_docs() -> None:
    row = "| `archive_copies` | boolean | `false` (Exchange's) | `ArchiveCopies` | Archive each message. |\n"
    assert row in fields.table(Archiving)


@pytest.mark.parametrize(
    ("field", "wire"), [("ef_test_mode", "EFTestMode"), ("ef_skip_last_ip", "EFSkipLastIP")], ids=str
)
def test_a_boolean_is_named_in_two_places(field: str, wire: str) -> None:
    """The declaration, which holds both names, and the sandbox's own table of parameters."""
    sources = {f.relative_to(_SOURCE).as_posix(): f.read_text("utf-8") for f in _SOURCE.rglob("*.py")}
    named = {file: (text.count(field), text.count(wire)) for file, text in sources.items()}
    assert {file: counts for file, counts in named.items() if any(counts)} == {
        "resources/inbound_connector.py": (1, 1),
        "sandbox/cmdlets/inbound_connector.py": (0, 1),
    }


# --- the docs --------------------------------------------------------------------------------------------------------


def _table(kind: ResourceType[Any]) -> str:
    return fields.table(kind.spec, created=kind.creatable)


@pytest.mark.parametrize("kind", [t for t in TYPES if fields.columns(t.spec)], ids=lambda kind: kind.name)
def test_the_table_on_the_language_page_is_made_of_the_declarations(
    kind: ResourceType[Any], request: pytest.FixtureRequest
) -> None:
    page = _PAGE.read_text("utf-8")
    written = re.sub(
        rf"(\n## `{kind.section}`\n.*?\n)\| field \|.*?\n(?=\n)",
        lambda found: found[1] + _table(kind),
        page,
        count=1,
        flags=re.DOTALL,
    )
    assert _table(kind) in written
    if request.config.getoption("--update-golden"):
        _PAGE.write_text(written, "utf-8")
        return
    assert page == written, "write it again with --update-golden"


# --- forms -----------------------------------------------------------------------------------------------------------

_NOTE = Text(str.strip, "your text", empty="-")
_LEVEL = Words({"open": None, "closed": "Closed"}, observed={"ajar": "Ajar"})


@dataclass(frozen=True, slots=True)
class Gate:
    name: str
    level: str | None = column("GateLevel", _LEVEL, default="open")
    note: str | None = column("Note", _NOTE, cmdlets=("Set",))
    kind: str | None = column("GateKind", Text(str.lower, "a kind"), sent="wood", cmdlets=("New",))
    keys: frozenset[str] | None = column("GateKeys", Texts(Text(str.lower, "keys")))
    maker: str | None = column("Maker", Text(str.lower, "who"), cmdlets=())


def decoded(**row: Any) -> Gate:
    return Gate("g", **fields.decoded(Gate, row))


def test_a_missing_column_is_not_returned_and_null_has_its_own_word() -> None:
    assert decoded() == Gate("g")
    empty = decoded(GateLevel=None, Note=None, GateKind="Wood", GateKeys=None, Maker="Smith")
    assert empty == Gate("g", "open", "-", "wood", frozenset(), "smith")
    assert (decoded(GateLevel="CLOSED").level, decoded(GateLevel="ajar").level) == ("closed", "ajar")


def test_new_takes_what_is_written_and_set_what_differs() -> None:
    gate = Gate("g", level="closed", note="front", kind="iron", keys=frozenset({"b", "a"}), maker="smith")
    assert fields.creation(gate) == {"GateLevel": "Closed", "GateKind": "iron", "GateKeys": ("a", "b")}
    assert fields.creation(gate, late=True) == {"Note": "front"}
    assert fields.creation(Gate("g", level="open", keys=frozenset())) == {}
    opened = dataclasses.replace(gate, level="open", note="-", kind="wood", maker="jones")
    assert fields.changes(gate, opened) == {"GateLevel": None, "Note": None}
    assert fields.changes(gate, Gate("g", level="closed")) == {}


def test_a_list_is_emptied_by_the_spelling_that_is_stored() -> None:
    row: Mapping[str, Any] = {"GateKeys": ["A", "b"]}
    gate = decoded(**row)
    spellings = fields.respelled(Gate, row)
    assert spellings == {"GateKeys=A"}
    empty = dataclasses.replace(gate, keys=frozenset())
    assert fields.changes(gate, empty, spellings) == {"GateKeys": Delta(remove=("A", "b"))}
    assert fields.changes(Gate("g"), empty) == {}


def test_what_our_creation_always_says_is_completed_and_exported() -> None:
    assert fields.completed(Gate("g")) == Gate("g", kind="wood")
    assert fields.completed(Gate("g", kind="iron")) == Gate("g", kind="iron")
    assert fields.written_body(Gate("g", "open", "-", "wood", frozenset(), "smith")) == {"note": "-", "kind": "wood"}


def test_only_creation_can_set_what_set_does_not_take() -> None:
    assert create_only(Gate) == {"kind"}
    assert create_only(OutboundConnector) == {"link_for_modified_connector"}


def test_the_docs_say_which_cmdlet_takes_a_field_and_what_creation_decides() -> None:
    assert fields.table(Gate).splitlines()[2:] == [
        "| `level` | `open`, `closed` | `open` (Exchange's) | `GateLevel` |  |",
        "| `note` | your text | none | `Note`, `$null` for none, `Set` only |  |",
        "| `kind` | a kind | `wood`, always sent | `GateKind`, `New` only |  |",
        "| `keys` | list of keys | empty | `GateKeys` |  |",
    ]
