"""Pipelines on the management host, run by pypsrp, and the commands of PowerShell itself as pure functions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from pypsrp.complex_objects import PSInvocationState
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from provisioner.sandbox.cmdlets import CmdletError
from provisioner.sandbox.psrp_commands import lacking, modules, named, select, sort, where, with_input
from provisioner.sandbox.psrp_values import Shown, of_module
from tests.sandbox.conftest import Running

ROWS: list[Any] = [
    of_module("InboundConnector", {"Identity": name, "Name": name, "Enabled": on, "SenderIPAddresses": addresses})
    for name, on, addresses in (
        ("hq", True, ["192.0.2.1"]),
        ("Leeds", False, ["192.0.2.2", "192.0.2.3"]),
        ("York", True, []),
    )
]


def names(rows: list[Any]) -> list[Any]:
    return [row.properties["Name"] for row in rows]


# --- over the wire ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def restricted(sandbox: Running) -> Iterator[RunspacePool]:
    with _pool(sandbox, sandbox.endpoints["psrp_configuration"]) as pool:
        yield pool


def ordinary_session(sandbox: Running) -> contextlib.AbstractContextManager[RunspacePool]:
    """A session that is not connected to Exchange yet."""
    return _pool(sandbox, sandbox.endpoints["psrp_host_configuration"])


@contextlib.contextmanager
def _pool(sandbox: Running, configuration: str) -> Iterator[RunspacePool]:
    address = urlsplit(sandbox.endpoints["psrp"])
    connection = WSMan(
        str(address.hostname),
        port=address.port,
        path=address.path.lstrip("/"),
        username="app",
        password=sandbox.secret(),
        auth="basic",
        ssl=True,
        cert_validation=sandbox.ca,  # type: ignore[arg-type]  # a path as well
    )
    with connection, RunspacePool(connection, configuration_name=configuration) as pool:
        yield pool


def run(pool: RunspacePool, *commands: tuple[str, dict[str, Any], list[Any]]) -> tuple[list[Any], list[str]]:
    """One pipeline of commands with parameters and arguments: its output, and its errors."""
    pipeline = PowerShell(pool)
    for name, parameters, arguments in commands:
        pipeline.add_cmdlet(name)
        for key, value in parameters.items():
            pipeline.add_parameter(key, value)
        for value in arguments:
            pipeline.add_argument(value)
    output = pipeline.invoke()
    errors = [str(error) for error in pipeline.streams.error]
    pipeline.close()
    return output, errors


def test_a_pipeline_binds_by_position_and_by_property_name(sandbox: Running, restricted: RunspacePool) -> None:
    connector = {"ConnectorType": "OnPremises", "SenderDomains": "*", "SenderIPAddresses": "192.0.2.9"}
    created, errors = run(restricted, ("New-InboundConnector", connector, ["hq"]))
    assert (errors, created[0].extended_properties["Name"]) == ([], "hq")
    _, errors = run(restricted, ("Get-InboundConnector", {}, ["hq"]), ("Set-InboundConnector", {"Comment": "y"}, []))
    assert errors == []
    (row,) = sandbox.control("GET", "/dump").json()["objects"]["InboundConnector"]
    assert row["Comment"] == "y"
    # What takes no input says so, and runs for none of the objects.
    _, errors = run(restricted, ("Get-InboundConnector", {}, ["hq"]), ("Get-TransportConfig", {}, []))
    assert len(errors) == 1
    assert "cannot be bound to any parameters" in errors[0]


def test_a_call_says_what_happens_with_its_errors_and_warnings(restricted: RunspacePool) -> None:
    """about_CommonParameters: the word, its number, or the short name of the parameter."""

    def ended(**parameters: Any) -> tuple[int, list[str], list[str]]:
        pipeline = PowerShell(restricted)
        pipeline.add_cmdlet("Set-TransportConfig").add_parameter("MessageExpiration", "1.00:00:00").add_parameters(
            parameters
        )
        pipeline.add_statement().add_cmdlet("Get-InboundConnector").add_argument("nobody").add_parameters(parameters)
        with contextlib.suppress(Exception):
            pipeline.invoke()
        errors, warnings = (
            [str(one) for one in stream] for stream in (pipeline.streams.error, pipeline.streams.warning)
        )
        return pipeline.state, errors, warnings

    completed = PSInvocationState.COMPLETED
    assert [len(found) for found in ended()[1:]] == [1, 1]
    assert ended(ErrorAction="SilentlyContinue", WarningAction=0) == (completed, [], [])
    assert ended(ea=0, wa="Ignore") == (completed, [], [])
    _, (error,), _ = ended(ErrorAction="Stop")
    assert error.startswith('The running command stopped because the preference variable "ErrorActionPreference"')
    assert "Ex6F9304|Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException|" in error


def test_a_restricted_session_refuses_what_an_ordinary_one_selects(sandbox: Running, restricted: RunspacePool) -> None:
    for command, refusal in (
        (("Select-Object", {"First": 1}, []), "parameter name 'first'"),
        (("Where-Object", {"Property": "Default"}, []), "'Where-Object' is not recognized"),
        (("ForEach-Object", {"MemberName": "Name"}, []), "'ForEach-Object' is not recognized"),
        (("ConvertTo-Json", {}, []), "'ConvertTo-Json' is not recognized"),
    ):
        output, (error,) = run(restricted, ("Get-AcceptedDomain", {}, []), command)
        assert output == []
        assert refusal in error
    script = PowerShell(restricted)
    script.add_script("Get-AcceptedDomain")
    with contextlib.suppress(Exception):
        script.invoke()
    assert "This can occur if the runspace is in no-language mode." in str(script.streams.error[0])
    with ordinary_session(sandbox) as ordinary:
        (module,), errors = run(ordinary, ("Get-Module", {"ListAvailable": True}, ["Exchange*"]))
        assert (errors, module.extended_properties["Name"]) == ([], "ExchangeOnlineManagement")
        (count,), _ = run(
            ordinary,
            ("Get-Command", {}, []),
            ("Where-Object", {"EQ": True}, ["Name", "get-module"]),
            ("Select-Object", {"ExpandProperty": "Name"}, []),
        )
        assert count == "Get-Module"
        _, (error,) = run(ordinary, ("Get-Module", {}, []), ("Format-List", {}, []))
        assert "'Format-List' is not recognized" in error
    log = sandbox.control("GET", "/requests?since=0").json()
    assert "Format-List (a command of PowerShell)" in {entry.get("not_modelled") for entry in log}


# --- pure ------------------------------------------------------------------------------------------------------------


def test_arguments_without_a_name_go_by_position() -> None:
    assert named("Get-InboundConnector", [(None, "hq")]) == {"Identity": "hq"}
    assert named("Set-InboundConnector", [("Comment", "y"), (None, "hq")]) == {"Comment": "y", "Identity": "hq"}
    assert named("Set-InboundConnector", [("-Identity:", "hq")]) == {"Identity": "hq"}
    assert named("Set-InboundConnector", [("Ident", "hq"), ("comm", "y")]) == {"Identity": "hq", "Comment": "y"}
    with pytest.raises(CmdletError, match=r"'Sender' is ambiguous\. .* -SenderDomains -SenderIPAddresses\."):
        named("Set-InboundConnector", [("Sender", "*")])
    with pytest.raises(CmdletError, match="positional parameter cannot be found that accepts argument 'again'"):
        named("Get-InboundConnector", [(None, "hq"), (None, "again")])


def test_objects_are_bound_by_property_name_and_texts_as_identity() -> None:
    assert with_input("Set-InboundConnector", {"Comment": "y"}, ROWS[0]) == {"Comment": "y", "Identity": "hq"}
    assert with_input("Get-InboundConnector", {}, "hq") == {"Identity": "hq"}
    with pytest.raises(CmdletError, match="cannot be bound"):
        with_input("Set-InboundConnector", {"Identity": "other"}, ROWS[0])


@pytest.mark.parametrize(
    ("parameters", "left"),
    [
        ({"First": 1}, ["hq"]),
        ({"Last": 1}, ["York"]),
        ({"Skip": 1}, ["Leeds", "York"]),
        ({"SkipLast": 2}, ["hq"]),
        ({"First": 1, "Last": 1}, ["hq", "York"]),
        ({"Skip": 1, "First": 1}, ["Leeds"]),
    ],
)
def test_select_object_takes_some(parameters: dict[str, Any], left: list[str]) -> None:
    assert names(select(ROWS, parameters, restricted=False)) == left


def test_select_object_takes_columns() -> None:
    (row,) = select(ROWS[:1], {"Property": ["N*", "Nonsense"]}, restricted=False)
    assert (row.type[:9], row.properties) == ("Selected.", {"Name": "hq", "Nonsense": None})
    assert select(ROWS, {"ExpandProperty": "senderipaddresses"}, restricted=False) == [
        "192.0.2.1", "192.0.2.2", "192.0.2.3",
    ]  # fmt: skip
    (row,) = select(ROWS[:1], {"ExcludeProperty": "S*"}, restricted=False)
    assert set(row.properties) == {"Identity", "Name", "Enabled"}
    assert len(select([*ROWS, *ROWS], {"Property": "Enabled", "Unique": None}, restricted=False)) == 2
    for bad in ({"First": -1}, {"Nonsense": 1}, {"ExpandProperty": "Nonsense"}):
        with pytest.raises(CmdletError):
            select(ROWS, bad, restricted=False)


@pytest.mark.parametrize(
    ("parameters", "left"),
    [
        ({"Property": "Enabled"}, ["hq", "York"]),
        ({"Property": "Enabled", "Not": None}, ["Leeds"]),
        ({"Property": "Name", "EQ": None, "Value": "LEEDS"}, ["Leeds"]),
        ({"Property": "Enabled", "NE": None, "Value": True}, ["Leeds"]),
        ({"Property": "Name", "Like": None, "Value": "*e*"}, ["Leeds"]),
        ({"Property": "Name", "Match": None, "Value": "^y"}, ["York"]),
        ({"Property": "SenderIPAddresses", "Contains": None, "Value": "192.0.2.3"}, ["Leeds"]),
        ({"Property": "Name", "In": None, "Value": ["hq", "york"]}, ["hq", "York"]),
        ({"Property": "Name", "GT": None, "Value": "Leeds"}, ["York"]),
    ],
)
def test_where_object_compares_as_powershell_does(parameters: dict[str, Any], left: list[str]) -> None:
    assert names(where(ROWS, parameters)) == left


def test_rows_are_sorted_and_modules_named() -> None:
    assert names(sort(ROWS, {"Property": "Name", "Descending": None})) == ["York", "Leeds", "hq"]
    sizes = [Shown("Mailbox", {"Name": str(n), "Size": n}) for n in (10, 9, None, 100)]
    assert [row.properties["Size"] for row in sort(sizes, {"Property": "Size"})] == [None, 9, 10, 100]
    assert modules({"Name": "Teams*"}) == []
    assert (lacking("format-list") != "", lacking("Get-InboundConnector")) == (True, "")
    with pytest.raises(CmdletError):
        where(ROWS, {"FilterScript": "{ $_.Enabled }"})
    assert isinstance(select(["text"], {"Property": "Length"}, restricted=False)[0], Shown)
