"""Files of other tools as seeds: Export-Clixml, configurations and reports of Microsoft365DSC, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, run_cmdlet
from provisioner.sandbox.psrp_values import clixml_document
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

ADMIN = Caller("app", directory_roles=("Exchange Administrator",))

# As Export-Clixml writes an object of the module: the list and the word of an enumeration are objects of their own.
CLIXML = """<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">
  <Obj RefId="0">
    <TN RefId="0"><T>Deserialized.Microsoft.Exchange.Data.Directory.Management.TenantInboundConnector</T></TN>
    <MS>
      <S N="Name">hq_x0026_co</S><S N="Identity">hq_x0026_co</S><B N="Enabled">false</B><Nil N="Comment" />
      <Obj N="ConnectorType" RefId="1"><TN RefId="1"><T>System.Enum</T></TN>
        <ToString>OnPremises</ToString><I32>1</I32></Obj>
      <Obj N="SenderIPAddresses" RefId="2"><TN RefId="2"><T>System.Collections.ArrayList</T></TN>
        <LST><S>192.0.2.1</S><S>192.0.2.2</S></LST></Obj>
      <Obj N="SenderDomains" RefId="3"><TNRef RefId="2" /><LST><S>smtp:*;1</S></LST></Obj>
      <DT N="WhenChanged">2026-07-14T18:59:08+00:00</DT>
    </MS>
  </Obj>
  <Obj RefId="4"><TNRef RefId="0" /><MS><S N="Name">leeds</S><S N="SenderIPAddresses">192.0.2.9</S></MS></Obj>
</Objs>"""

# As Export-M365DSCConfiguration writes it.
DSC = """# Generated with Microsoft365DSC version 1.25
param ( [parameter()] [System.Management.Automation.PSCredential] $Credential )
Configuration M365TenantConfig
{
    Import-DscResource -ModuleName 'Microsoft365DSC' -ModuleVersion '1.25'
    Node localhost
    {
        EXOInboundConnector "EXOInboundConnector-HQ relay"
        {
            ApplicationId                = $ConfigurationData.NonNodeData.ApplicationId;
            Comment                      = "the ""old"" one; with a }";
            Rows                         = @( MSFT_Row { Name = "a }"; Inner = @{ b = 1 } } MSFT_Row { Name = "b" } );
            ScanAndDropRecipients        = @();
            ConnectorType                = "OnPremises";
            Enabled                      = $True;
            Ensure                       = "Present";
            Identity                     = "HQ relay";
            SenderDomains                = @("smtp:*;1");
            SenderIPAddresses            = @("192.0.2.1",
                                             "192.0.2.2");
            TenantId                     = $OrganizationName;
        }
        EXOInboundConnector "gone" { Identity = "gone"; Ensure = "Absent" }
        EXOTransportConfig "EXOTransportConfig" { IsSingleInstance = "Yes"; SmtpClientAuthenticationDisabled = $False; }
        EXODkimSigningConfig 'dkim' { Identity = 'contoso.com'; Enabled = $false; KeySize = 2048 }
        EXOInboundConnector "here"
        {
            Comment                      = @"
two lines
with a } and a "quote"
"@
            ConnectorType                = "OnPremises"
            Identity                     = "here";
        }
        TeamsMeetingPolicy "other" { Identity = "Global" }
    }
}
"""


def loaded(path: Path, content: str, encoding: str = "utf-8") -> Tenant:
    path.write_text(content, encoding=encoding)
    tenant = Tenant()
    tenant.merge(load_seed({"sandbox": 1}))
    tenant.merge(load_seed(path))
    return tenant


def rows(tenant: Tenant, name: str) -> dict[str, dict[str, Any]]:
    return {row["Name"]: row for row in run_cmdlet(tenant, ADMIN, name, {}).rows}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_export_clixml_wrote_is_a_seed(tmp_path: Path, encoding: str) -> None:
    connectors = rows(loaded(tmp_path / "connectors.xml", CLIXML, encoding), "Get-InboundConnector")
    first = connectors["hq&co"]
    assert (first["ConnectorType"], first["Enabled"], first["Comment"]) == ("OnPremises", False, None)
    assert first["SenderIPAddresses"] == ["192.0.2.1", "192.0.2.2"]
    assert connectors["leeds"]["SenderIPAddresses"] == ["192.0.2.9"]


def test_rows_that_the_sandbox_answers_as_clixml_can_be_loaded_again(tmp_path: Path) -> None:
    row = {
        "Domain": "contoso.com",
        "Name": "contoso.com",
        "Enabled": False,
        "Selector1KeySize": 2048,
        "Status": "Valid",
    }
    tenant = loaded(tmp_path / "dkim.clixml", clixml_document("DkimSigningConfig", row))
    assert {c: rows(tenant, "Get-DkimSigningConfig")["contoso.com"][c] for c in row} == row


def test_escaped_code_units_of_clixml_are_characters(tmp_path: Path) -> None:
    connectors = rows(
        loaded(tmp_path / "c.xml", CLIXML.replace("hq_x0026_co", "hq_xD83D__xDE00_")), "Get-InboundConnector"
    )
    assert set(connectors) == {"hq\N{GRINNING FACE}", "leeds"}


def test_clixml_that_nests_too_deep_is_refused(tmp_path: Path) -> None:
    deep = "<Obj><LST>" * 5000 + "</LST></Obj>" * 5000
    with pytest.raises(ValueError, match="nests too deep"):
        loaded(tmp_path / "c.xml", f"<Objs>{deep}</Objs>")


def test_a_configuration_of_microsoft365dsc_is_a_seed(tmp_path: Path) -> None:
    tenant = loaded(tmp_path / "M365TenantConfig.ps1", DSC)
    connectors = rows(tenant, "Get-InboundConnector")
    assert list(connectors) == ["HQ relay", "here"]
    here = connectors["here"]
    assert (here["Comment"], here["ConnectorType"]) == ('two lines\nwith a } and a "quote"', "OnPremises")
    hq = connectors["HQ relay"]
    assert (hq["Comment"], hq["SenderIPAddresses"]) == ('the "old" one; with a }', ["192.0.2.1", "192.0.2.2"])
    assert not {"Ensure", "ApplicationId", "TenantId"} & set(hq)
    assert hq["RequireTls"] is not None  # what the configuration does not manage has the service's default
    (transport,) = run_cmdlet(tenant, ADMIN, "Get-TransportConfig", {}).rows
    assert transport["SmtpClientAuthenticationDisabled"] is False
    assert rows(tenant, "Get-DkimSigningConfig")["contoso.com"]["Selector2KeySize"] == 2048


def test_a_report_of_microsoft365dsc_is_a_seed(tmp_path: Path) -> None:
    report = [
        {
            "ResourceName": "EXOAcceptedDomain",
            "Identity": "contoso.com",
            "DomainType": "Authoritative",
            "Ensure": "Present",
        },
        {"ResourceName": "EXORemoteDomain", "Identity": "Default", "DomainName": "*", "AutoForwardEnabled": True},
    ]
    tenant = loaded(tmp_path / "report.json", json.dumps(report))
    assert "contoso.com" in rows(tenant, "Get-AcceptedDomain")
    assert rows(tenant, "Get-RemoteDomain")["Default"]["AutoForwardEnabled"] is True


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "Name,Enabled\nhq,True\n", "neither lists nor types: export with ConvertTo-Json"),
        ("a.json", "", "it is empty"),
        ("a.json", "[]", "empty list"),
        ("a.json", '"text"', "a seed is a mapping"),
        ("a.xml", "<html></html>", "its root is <html>"),
        ("a.xml", "<Objs", "not XML"),
        ("a.xml", '<!DOCTYPE x [<!ENTITY a "b">]><Objs>&a;</Objs>', "entities of its own"),
        ("a.xml", "<Objs></Objs>", "no object"),
        (
            "a.xml",
            "<Objs><Obj><TN><T>Diagnostics.Process</T></TN><MS/></Obj></Objs>",
            r"\(Diagnostics\.Process\)",
        ),
        ("a.ps1", "Get-Process", "none of the resources EXOAcceptedDomain"),
        ("a.ps1", 'Configuration C {\n EXOTransportConfig "x" { SmtpClient = @("a"', "ends within a resource"),
    ],
)
def test_anything_else_is_refused_with_its_reason(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        load_seed(tmp_path / name)
