"""Values of remote PowerShell, as pure functions: what comes back in the plain form that REST gives."""

from __future__ import annotations

import copy
import uuid
import xml.etree.ElementTree as ET
from decimal import Decimal
from typing import Any

import pytest
from pypsrp.complex_objects import GenericComplexObject, ObjectMeta, Pipeline
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.serializer import Serializer
from pypsrp.wsman import WSMan

from provisioner.model import Delta, Parameter, Secret
from provisioner.tenant.psrp_library import Quick, read_row, statement
from provisioner.tenant.psrp_values import decode, decode_row, encode


def thing(to_string: str | None = None, types: tuple[str, ...] = (), **extended: Any) -> GenericComplexObject:
    made = GenericComplexObject()
    made.to_string, made.types, made.extended_properties = to_string, list(types), extended
    return made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(odd, odd) for odd in ("0001-01-01T00:00:00+02:00", "2026-02-30T00:00:00Z")],
        ("2026-07-14T20:54:40.7066975+02:00", "2026-07-14T18:54:40.7066975Z"),
        ("2026-12-31T23:30:00.5-01:00", "2027-01-01T00:30:00.5000000Z"),
        ("2026-07-14T18:54:40Z", "2026-07-14T18:54:40.0000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.0000000Z"),
        ("2026-07-14", "2026-07-14"),
        ("seen 2026-07-14T18:54:40Z", "seen 2026-07-14T18:54:40Z"),
        (uuid.UUID("0a5f7a62-8f0e-4a0b-9d1c-1f2e3d4c5b6a"), "0a5f7a62-8f0e-4a0b-9d1c-1f2e3d4c5b6a"),
        (Decimal("1.50"), 1.5),
        (["a", None, [1]], ["a", None, [1]]),
        ({"k": uuid.UUID(int=0)}, {"k": "00000000-0000-0000-0000-000000000000"}),
        (
            thing("OnPremises", ("Deserialized.Microsoft.Exchange.TenantConnectorType", "Deserialized.System.Enum")),
            "OnPremises",
        ),
        (thing("192.0.2.0/24", ("Deserialized.Microsoft.Exchange.Data.IPRange",)), "192.0.2.0/24"),
        (thing("text", (), Inner=True), {"Inner": True}),
    ],
)
def test_a_value_of_the_output_is_as_json_would_have_it(value: Any, expected: Any) -> None:
    assert decode(value) == expected


def test_what_remoting_adds_is_no_property_of_the_row() -> None:
    row = thing(Name="x", PSComputerName="host", RunspaceId=uuid.UUID(int=1), PSShowComputerName=True)
    row.adapted_properties = {"Name": "adapted", "Guid": uuid.UUID(int=2)}
    assert decode_row(row) == {"Name": "x", "Guid": str(uuid.UUID(int=2))}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**31, ("I64", 2**31)),
        (-(2**31) - 1, ("I64", -(2**31) - 1)),
        (2**31 - 1, 2**31 - 1),
        (True, True),
        (None, None),
        ((), []),
        (Delta(add=("a",)), {"Add": ["a"]}),
        (Delta(remove=("b",)), {"Remove": ["b"]}),
        (Secret("env:X"), ("SS", "opened env:X")),
    ],
)
def test_a_parameter_is_given_to_pypsrp_as_it_can_send_it(value: Parameter, expected: Any) -> None:
    assert encode(value, lambda plain, tag: (tag, plain), lambda reference: f"opened {reference}") == expected


def everything() -> str:
    """An object with a property of every kind that is read quickly, and some that are not."""
    plain = {
        "S": "a_x0041_b &lt;x&gt; _xD83D__xDE00_", "Nil": "", "B": "true", "I32": "-7", "I64": "1099511627776",
        "U16": "2048", "U32": "1", "Db": "1.5", "DT": "2026-07-14T18:54:40.7066975Z",
        "G": "4a3b5c6d-0000-0000-0000-000000000000", "TS": "PT1S", "By": "3", "Version": "1.2",
    }  # fmt: skip
    inner = "".join(f'<{tag} N="{tag}">{text}</{tag}>' for tag, text in plain.items())
    items = "<LST><S>x</S><Nil/><I32>1</I32></LST>"
    listed = f'<Obj N="L" RefId="1"><TN RefId="1"><T>System.Collections.ArrayList</T></TN>{items}</Obj>'
    return f'<Obj RefId="0"><TN RefId="0"><T>Some.Type</T><T>System.Object</T></TN><MS>{inner}{listed}</MS></Obj>'


def test_the_quick_reading_gives_what_pypsrp_gives() -> None:
    ours, theirs = Quick().deserialize(everything()), Serializer().deserialize(everything())
    assert ours.extended_properties == theirs.extended_properties
    assert {k: type(v) for k, v in ours.extended_properties.items()} == {
        k: type(v) for k, v in theirs.extended_properties.items()
    }
    assert ours.types == theirs.types


ROW = (
    '<Obj RefId="0"><TN RefId="0"><T>Some.Type</T><T>System.Object</T></TN>'
    '<Props><S N="Name">adapted</S><G N="Guid">4A3B5C6D-0000-0000-0000-000000000000</G></Props>'
    '<MS><S N="Name">a &lt;b&gt;</S><S N="Empty" /><Nil N="None" /><B N="On">true</B><I32 N="Size">-7</I32>'
    '<I64 N="Large">1099511627776</I64><Db N="Share">1.5</Db><DT N="When">2026-07-14T20:54:40.5+02:00</DT>'
    '<S N="PSComputerName">host</S>'
    '<Obj N="Many" RefId="1"><TN RefId="1"><T>System.Collections.ArrayList</T></TN><LST><S>a</S><S /></LST></Obj>'
    '<Obj N="No" RefId="2"><TNRef RefId="1" /><LST /></Obj></MS></Obj>'
)


def test_a_row_of_plain_values_is_read_as_pypsrp_and_decode_read_it() -> None:
    found = read_row(ET.fromstring(ROW))
    assert found == decode_row(Serializer().deserialize(ROW))
    assert found is not None
    assert (found["Name"], found["Many"], found["When"]) == ("a <b>", ["a", ""], "2026-07-14T18:54:40.5000000Z")


def test_of_a_row_the_columns_are_read_that_are_asked_for() -> None:
    whole, odd = read_row(ET.fromstring(ROW)), '<TS N="Odd">PT1S</TS></MS>'
    asked = frozenset({"Name", "Guid", "Many", "NoSuchColumn"})
    assert whole is not None
    expected = {name: value for name, value in whole.items() if name in asked}
    assert read_row(ET.fromstring(ROW.replace("</MS>", odd)), asked) == expected


@pytest.mark.parametrize(
    "value",
    [
        '<S N="X">a_x0041_</S>',
        '<S N="_x0041_">a</S>',
        '<TS N="X">PT1S</TS>',
        '<Obj N="X" RefId="1"><TN RefId="1"><T>System.Enum</T></TN><ToString>a</ToString><I32>1</I32></Obj>',
        '<Obj N="X" RefId="1"><TN RefId="1"><T>L</T></TN><LST><S>a</S><I32>1</I32></LST></Obj>',
        '<Obj N="X" RefId="1"><TN RefId="1"><T>D</T></TN><DCT><En><S N="Key">a</S><S N="Value">b</S></En></DCT></Obj>',
        '<Ref N="X" RefId="0" />',
    ],
)
def test_what_is_not_plain_is_left_to_pypsrp(value: str) -> None:
    assert read_row(ET.fromstring(f'<Obj RefId="0"><MS>{value}</MS></Obj>')) is None
    assert read_row(ET.fromstring(value)) is None


def test_a_statement_is_sent_as_pypsrp_sends_it() -> None:
    pool = RunspacePool(WSMan("127.0.0.1", username="u", password="p", auth="basic"))
    pool.protocol_version = "2.3"
    parameters = {"Identity": "x", "Flag": None, "Many": ["a", "b"], "Large": pool.serialize(2**40, ObjectMeta("I64"))}
    theirs = PowerShell(pool)
    for _ in range(2):
        theirs.add_cmdlet("Set-X").add_parameters(copy.deepcopy(parameters)).add_statement()
        for stream in ("error", "warning", "verbose", "debug", "information"):
            setattr(theirs.commands[-1], f"merge_{stream}", None)  # said by leaving it out
    ours = [statement(pool, "Set-X", copy.deepcopy(parameters)) for _ in range(2)]
    sent = []
    for commands in (ours, theirs.commands):
        element = pool._serializer.serialize(Pipeline(is_nested=False, cmds=commands, redirect_err_to_out=False))
        assert element is not None
        sent.append(ET.tostring(element))
    assert sent[0] == sent[1]
