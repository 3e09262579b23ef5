"""Script text in an ordinary session of the management host, run by pypsrp."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pypsrp.complex_objects import PSInvocationState
from pypsrp.powershell import PowerShell, RunspacePool

from provisioner.sandbox.psrp_syntax import parse
from provisioner.sandbox.psrp_tree import SyntaxFaultError, UnmodelledError
from tests.sandbox.conftest import Running
from tests.sandbox.test_psrp_commands import ordinary_session

SEED = """
$common = @{ ConnectorType = 'OnPremises'; SenderDomains = '*' }
New-InboundConnector -Name hq -SenderIPAddresses 192.0.2.1 @common | Out-Null
New-InboundConnector -Name Leeds `
    -SenderIPAddresses 192.0.2.2, 192.0.2.3 @common | Out-Null  # two addresses
"""


@pytest.fixture(scope="module")
def pool(sandbox: Running) -> Iterator[RunspacePool]:
    app = sandbox.endpoints["app"]
    pem = Path(app["certificate_file"]).read_text()
    certificate = x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERT") :].encode())
    thumbprint = hashlib.sha1(certificate.public_bytes(Encoding.DER)).hexdigest()
    connect = f"""Import-Module ExchangeOnlineManagement
    $of = @{{ AppId = '{app["client_id"]}'; Organization = "{sandbox.endpoints["initial_domain"]}" }}
    Connect-ExchangeOnline @of -CertificateThumbprint {thumbprint} -ShowBanner:$false"""
    with ordinary_session(sandbox) as opened:
        assert run(opened, connect) == ([], [])
        yield opened


@pytest.fixture
def session(pool: RunspacePool) -> RunspacePool:
    assert run(pool, SEED) == ([], [])
    return pool


def invoked(pool: RunspacePool, script: str) -> tuple[PowerShell, list[Any]]:
    pipeline = PowerShell(pool)
    pipeline.add_script(script)
    return pipeline, [_plain(row) for row in pipeline.invoke()]


def run(pool: RunspacePool, script: str) -> tuple[list[Any], list[str]]:
    pipeline, output = invoked(pool, script)
    return output, [str(error) for error in pipeline.streams.error]


def _plain(row: Any) -> Any:
    return dict(row.extended_properties) if hasattr(row, "extended_properties") else row


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ("Get-InboundConnector | Sort-Object Name | ForEach-Object { $_.Name }", ["hq", "Leeds"]),
        ("Get-InboundConnector | sort Name | % Name", ["hq", "Leeds"]),
        ("1, 2 | % { $n = 0 } { $n += $_ } { $n }", [3]),
        ("(Get-InboundConnector | sort Name).Name -join ';'", ["hq;Leeds"]),
        ("Get-InboundConnector |\n  ? { $_.Name -like 'l*' -and -not ($_.Enabled -eq $false) } |\n  % Name", ["Leeds"]),
        ("(Get-InboundConnector | sort { $_.Name.Length } -Desc).Name", ["Leeds", "hq"]),
        ("Get-InboundConnector | where SenderIPAddresses -contains 192.0.2.3 | select -Expand Name", ["Leeds"]),
        ("Get-InboundConnector hq | select Name, @{n='On'; e={ $_.Enabled }}", [{"Name": "hq", "On": True}]),
        (
            "Get-InboundConnector | sort Name | select Name | ConvertTo-Json -Compress",
            ['[{"Name":"hq"},{"Name":"Leeds"}]'],
        ),
        (
            "[pscustomobject]@{ A = 1; B = 'x', 'y' } | ConvertTo-Json",
            ['{\n  "A": 1,\n  "B": [\n    "x",\n    "y"\n  ]\n}'],
        ),
        ('Get-InboundConnector | group ConnectorType | % { "$($_.Name)=$($_.Count)" }', ["OnPremises=2"]),
        ("1, 5, 3 | measure -Sum -Maximum | % { $_.Sum; $_.Maximum; $_.Count }", [9.0, 5, 3]),
        ('$c = Get-InboundConnector hq\n"$c is $($c.Enabled): `"${c}`" $($null)"', ['hq is True: "hq" ']),
        ("if ($nothing) { 1 } elseif (Get-InboundConnector hq) { 2 } else { 3 }", [2]),
        ("foreach ($i in 1..4) { if ($i -eq 2) { continue }; if ($i -gt 3) { break }; $i }", [1, 3]),
        ("for ($i = 0; $i -lt 2; $i++) { $i }; do { $i-- } until ($i -le 0)\n$i", [0, 1, 0]),
        ("$n = 0; while ($true) { $n += 2; if ($n -ge 4) { return $n } }; 'never'", [4]),
        ("$h = @{ a = 1 }; $h.b = 2; $h['c'] = 3; $h.Count; $h.A", [3, 1]),
        ("'host-12' -match '(?<n>\\d+)$'; $Matches.n; 'a1b' -replace '(\\d)', '<$1>'", [True, "12", "a<1>b"]),
        ("@'\nno $name\n'@; @\"\nyes $(1 + 2 * 3)\n\"@", ["no $name", "yes 7"]),
        ("& { 'in a block' } <# and out #>", ["in a block"]),
        ("$u = 'A@Contoso.com'.ToLower(); $u.Split('@')[1].Substring(0, 3); $u[-1]", ["con", "m"]),
        ("(Get-Date).AddDays(-1) -lt (Get-Date); (Get-InboundConnector hq).WhenCreated -le (Get-Date)", [True, True]),
        ("Get-InboundConnector hq | % { $_.SenderIPAddresses.Count }; $null.Count", [1, 0]),
        ("[int]'7' + 1; [bool]''; [string]5; 7 % 4; 10 / 4; 1kb", [8, False, "5", 3, 2.5, 1024]),
        ("New-Object PSObject -Property @{ X = 1 } | % X", [1]),
        ("$list = @(); $list += 'a'; $list += 'b'; $list.Count; 'B' -in $list", [2, True]),
        ("Write-Output 1 2,3 | Sort-Object -Descending", [3, 2, 1]),
    ],
)
def test_a_script_puts_out(session: RunspacePool, script: str, output: list[Any]) -> None:
    assert run(session, script) == (output, [])


def test_a_script_changes_lists_and_clears_values(sandbox: Running, session: RunspacePool) -> None:
    script = """
    Set-InboundConnector hq -Comment 'old' -SenderIPAddresses @{Add='192.0.2.8','192.0.2.9'; Remove="192.0.2.1"}
    Get-InboundConnector hq | Set-InboundConnector -Comment $null -Enabled:$false
    (Get-InboundConnector hq).SenderIPAddresses
    Set-InboundConnector -Identity hq -SenderIPAddresses 192.0.2.1 -Enabled $true -WhatIf:$false
    """
    assert run(session, script) == (["192.0.2.8", "192.0.2.9"], [])
    row = next(r for r in sandbox.control("GET", "/dump").json()["objects"]["InboundConnector"] if r["Name"] == "hq")
    assert (row["Comment"], row["SenderIPAddresses"], row["Enabled"]) == ("", ["192.0.2.1"], True)


def test_an_error_ends_what_powershell_says_it_ends(session: RunspacePool) -> None:
    missing = "couldn't be performed because object 'nobody' couldn't be found"
    output, (error,) = run(session, "Get-InboundConnector nobody; 'next'")
    assert (output, missing in error) == (["next"], True)
    output, errors = run(session, "Get-Nothing; Get-InboundConnector hq -Nonsense 1 -EA 0 | % Name; 'next'")
    assert output == ["next"]
    assert ["'Get-Nothing' is not recognized" in errors[0], "parameter name 'Nonsense'" in errors[1]] == [True, True]
    output, errors = run(
        session,
        "try { Get-InboundConnector nobody -ErrorAction Stop; 'no' } catch { $_.Exception.Message } finally { 'end' }",
    )
    assert (errors, output[0].startswith("Ex6F9304|"), missing in output[0], output[1]) == ([], True, True, "end")
    output, errors = run(session, 'Get-InboundConnector nobody -EA SilentlyContinue -ErrorVariable e; $e.Count; "$e"')
    assert (errors, output[0], missing in output[1]) == ([], 1, True)
    output, (error,) = run(session, "'first'; throw 'enough'; 'never'")
    assert (output, error) == (["first"], "enough")
    pipeline, output = invoked(
        session, "$ErrorActionPreference = 'Stop'; 'first'; Get-InboundConnector nobody; 'never'"
    )
    assert (output, pipeline.state) == (["first"], PSInvocationState.FAILED)
    assert run(session, "$ErrorActionPreference = 'Continue'; Write-Error oops") == ([], ["oops"])


def test_warnings_and_information_have_their_streams(session: RunspacePool) -> None:
    script = """
    Set-TransportConfig -MessageExpiration 1.00:00:00 -WarningVariable heard -WarningAction SilentlyContinue
    Write-Warning 'careful'; Write-Host hello -NoNewline; Write-Verbose quiet
    $heard.Count
    """
    pipeline, output = invoked(session, script)
    assert output == [1]
    assert [warning.message for warning in pipeline.streams.warning] == ["careful"]
    assert [str(one.message_data) for one in pipeline.streams.information] == ["hello"]


def test_what_is_not_modelled_is_refused_and_marked(sandbox: Running, session: RunspacePool) -> None:
    for script, mark in (
        ("function f { 1 }", "the keyword function in a script"),
        ("[math]::Max(1, 2)", "a static member of a type in a script"),
        ("Get-InboundConnector > out.txt", "redirection in a script"),
        ("'a' -ceq 'A'", "the operator -ceq in a script"),
        ("(Get-InboundConnector).GetType()", "the method gettype in a script"),
    ):
        output, (error,) = run(session, script)
        assert (output, "The syntax is not supported by this runspace" in error) == ([], True), script
        log = sandbox.control("GET", "/requests?since=0").json()
        assert mark in {entry.get("not_modelled") for entry in log}


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("if (1) { 2", "Missing closing '}' in statement block"),
        ("(1", "Missing closing '\\)' in expression"),
        ("'a", "missing the terminator: '"),
        ('"a', 'missing the terminator: "'),
        ("@{ a = 1", "The hash literal was incomplete|Missing"),
        ("Get-Mailbox | | % Name", "An empty pipe element is not allowed"),
        ("1 = 2", "The assignment expression is not valid"),
        ("try { 1 }", "missing its Catch or Finally block"),
        ("1 }", "Unexpected token '}'"),
    ],
)
def test_what_powershell_does_not_read_either_is_its_parsers_error(script: str, fault: str) -> None:
    with pytest.raises(SyntaxFaultError, match=fault):
        parse(script)


def test_words_that_only_look_like_keywords_are_commands() -> None:
    parse("If-Nothing; foreach-object { 1 }; Process-It -End 5")
    with pytest.raises(UnmodelledError):
        parse("switch ($a) { 1 { 2 } }")


def marks(sandbox: Running) -> set[str]:
    """What the log calls not modelled."""
    log = sandbox.control("GET", "/requests?since=0").json()
    return {str(entry.get("not_modelled")) for entry in log}


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("Get-InboundConnector | Format-List Name, Enabled", "Format-List"),
        ("Get-InboundConnector | Export-Csv c:\\connectors.csv -NoTypeInformation", "Export-Csv"),
        ("Get-Content users.txt | ForEach-Object { Get-Mailbox $_ }", "Get-Content"),
        ("Test-Path c:\\users.txt", "Test-Path"),
    ],
)
def test_a_command_that_is_not_modelled_is_not_recognized_whatever_its_arguments_are(
    script: str, command: str, session: RunspacePool, sandbox: Running
) -> None:
    """They were refused for a positional parameter that the real command takes, without a mark."""
    output, (error,) = run(session, script)
    assert output == []
    assert error.startswith(f"The term '{command}' is not recognized")
    assert f"{command} (a command of PowerShell)" in marks(sandbox)


def test_a_script_sees_whether_its_last_statement_succeeded(session: RunspacePool) -> None:
    script = "Get-InboundConnector nobody -ErrorAction SilentlyContinue; $?; Get-InboundConnector hq | Out-Null; $?"
    assert run(session, script) == ([False, True], [])


def test_the_cmdlets_of_the_module_show_property_sets(session: RunspacePool, sandbox: Running) -> None:
    """Scripts that forget -Properties find nothing, as with the real module."""
    sandbox.control("POST", "/load", {"sandbox": 1, "mailboxes": ["exo@contoso.com"]})
    (least,), errors = run(session, "Get-EXOMailbox -Identity exo@contoso.com")
    assert errors == []
    assert {"Alias", "Identity", "PrimarySmtpAddress"} <= set(least)
    assert "MaxSendSize" not in least
    address = least["PrimarySmtpAddress"]
    (more,), _ = run(session, f"Get-EXOMailbox {address} -Properties MaxSendSize -PropertySets Minimum, Custom")
    assert {"MaxSendSize", "CustomAttribute1"} <= set(more)
    (access,), _ = run(session, f"Get-EXOMailbox {address} | Get-EXOCasMailbox -PropertySets All")
    assert "SmtpClientAuthenticationDisabled" in access
    _, (error,) = run(session, f"Get-EXOMailbox {address} -PropertySets Nope")
    assert "possible enumeration values are" in error


def test_a_script_finds_out_whether_it_is_connected(session: RunspacePool, sandbox: Running) -> None:
    output, _ = run(session, "(Get-ConnectionInformation).TokenStatus")
    assert output == ["Active"]
    with ordinary_session(sandbox) as other:
        assert run(other, "if (-not (Get-ConnectionInformation)) { 'no' }") == (["no"], [])
        _, (error,) = run(other, "Connect-ExchangeOnline -ManagedIdentity -Organization contoso.onmicrosoft.com")
        assert "matches parameter name 'managedidentity'" in error
        assert "the parameter -ManagedIdentity of Connect-ExchangeOnline" in marks(sandbox)
