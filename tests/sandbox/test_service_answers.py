"""Where answers once differed from the service's: each row comes from the service, its documentation or an issue."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from provisioner.sandbox.clock import stored_time, time_like, wire_time
from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, run_cmdlet
from provisioner.sandbox.entity_sets import asked
from provisioner.sandbox.exchange_rest import error_body
from provisioner.sandbox.psrp_values import clixml, clixml_document, of_module, powershell_row
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

OLD = Path(__file__).parents[2] / "plans" / "sandbox" / "old-tenant.yaml"
ADMIN = Caller("app", directory_roles=("Exchange Administrator",))
INITIAL = "fabrikam.onmicrosoft.com"


def tenant_of(**seed: Any) -> Tenant:
    tenant = Tenant()
    for document in ({"sandbox": 1}, {"sandbox": 1, "tenant": {"initial_domain": INITIAL}, **seed}):
        tenant.merge(load_seed(document))
    return tenant


def run(tenant: Tenant, name: str, **parameters: Any) -> CmdletResult:
    return run_cmdlet(tenant, ADMIN, name, parameters)


def test_the_initial_domain_is_signed_or_refused_as_the_setting_says() -> None:
    """Learn, defender-docs: New -Enabled $false for *.onmicrosoft.com; refused in Microsoft365DSC issue 6896."""
    (row,) = run(tenant_of(), "New-DkimSigningConfig", DomainName=INITIAL, Enabled=False).rows
    assert (row["Status"], row["Enabled"]) == ("Valid", False)
    strict = tenant_of(settings={"dkim_initial_domain_refused": True})
    with pytest.raises(CmdletError, match="Invalid domain name specified"):
        run(strict, "New-DkimSigningConfig", DomainName=INITIAL, Enabled=False)


def test_dkim_of_the_coexistence_domain_misses_its_cnames() -> None:
    """cisagov/ScubaGear issue 1722."""
    domain = "fabrikam.mail.onmicrosoft.com"
    tenant = tenant_of(objects={"AcceptedDomain": [{"DomainName": domain}]})
    (row,) = run(tenant, "New-DkimSigningConfig", DomainName=domain, Enabled=False).rows
    assert row["Status"] == "CnameMissing"


def test_a_row_of_dkim_makes_no_accepted_domain() -> None:
    """Rows of removed domains stay in a tenant."""
    tenant = tenant_of(objects={"DkimSigningConfig": [{"Domain": "old.example", "Enabled": False}]})
    domains = {row["DomainName"] for row in run(tenant, "Get-AcceptedDomain").rows}
    assert "old.example" not in domains
    assert "old.example" not in {row["id"] for row in tenant.graph["domains"]}
    assert [row["Domain"] for row in run(tenant, "Get-DkimSigningConfig").rows] == ["old.example"]


def test_a_group_is_a_trustee_and_is_named() -> None:
    """Add-RecipientPermission, -Trustee: security groups and mail-enabled security groups."""
    tenant = tenant_of(
        mailboxes=["erp@contoso.com"],
        objects={"DistributionGroup": [{"Name": "Printers", "PrimarySmtpAddress": "printers@contoso.com"}]},
    )
    given = {"Identity": "erp@contoso.com", "AccessRights": "SendAs"}
    run(tenant, "Add-RecipientPermission", Trustee="printers@contoso.com", **given)
    trustees = {row["Trustee"] for row in run(tenant, "Get-RecipientPermission", Identity="erp@contoso.com").rows}
    assert "Printers" in trustees


@pytest.mark.parametrize("name", ["twin", "twin@contoso.com", "The Twins"])
def test_a_name_that_two_mailboxes_share_is_ambiguous(name: str) -> None:
    """Alias, sign-in name and display name are searched too (office-docs-powershell issue 7166)."""
    boxes: list[dict[str, Any]] = [
        {"Name": "a", "PrimarySmtpAddress": "a@contoso.com", "Alias": "twin", "DisplayName": "The Twins",
         "UserPrincipalName": "twin@contoso.com"},
        {"Name": "b", "PrimarySmtpAddress": "b@contoso.com", "Alias": "b", "DisplayName": "The Twins",
         "EmailAddresses": ["SMTP:b@contoso.com", "smtp:twin@contoso.com"]},
        {"Name": "twin", "PrimarySmtpAddress": "c@contoso.com", "Alias": "c"},
    ]  # fmt: skip
    tenant = tenant_of(objects={"Mailbox": boxes})
    for cmdlet in ("Get-CASMailbox", "Get-Mailbox", "Get-Recipient"):
        with pytest.raises(CmdletError, match="matches multiple entries"):
            run(tenant, cmdlet, Identity=name)


@pytest.mark.parametrize(
    ("cmdlet", "parameters", "refusal"),
    [
        (
            # CIPP-API pull request 1568; CyberDrain/CIPP issue 244
            "Get-Mailbox",
            {"Identity": "The Twins"},
            "Ex9E65A2|Microsoft.Exchange.Configuration.Tasks.ManagementObjectAmbiguousException|The operation couldn't "
            "be performed because object: 'The Twins' matches multiple entries.",
        ),
        (
            # KelvinTegelaar/CIPP issue 5379
            "New-TransportRule",
            {"Name": "idle"},
            "|System.ArgumentException|To be valid, all rules have to include at least one action. Please specify an "
            "action. (Parameter 'Actions')",
        ),
        (
            # Learn Q&A 1622346
            "Set-InboundConnector",
            {"Identity": "test", "ConnectorType": "OnPremises"},
            "|Microsoft.Exchange.Management.Tasks.ErrorInboundConnectorConnectorTypeCannotChangeException|Cannot "
            "change the connector type of Inbound connector 'test'",
        ),
        (
            "New-MailUser",
            {"Name": "a", "PrimarySmtpAddress": f"a@{INITIAL}", "HVEAccount": True, "Password": "Correct horse 7"},
            "ExB10BE9|Microsoft.Exchange.Management.Tasks.WLCDManagedMemberExistsException|The proxy address "
            f'"SMTP:a@{INITIAL}" is already being used by the proxy addresses or LegacyExchangeDN. Please '
            "choose another proxy address.",
        ),
    ],
)
def test_a_refusal_has_the_recorded_words(cmdlet: str, parameters: dict[str, Any], refusal: str) -> None:
    boxes = [
        {"Name": name, "PrimarySmtpAddress": f"{name}@{INITIAL}", "DisplayName": "The Twins"} for name in ("a", "b")
    ]
    connector = {"Name": "test", "ConnectorType": "Partner", "SenderDomains": ["smtp:*;1"]}
    tenant = tenant_of(
        objects={"Mailbox": boxes, "InboundConnector": [connector]}, settings={"inbound_connector_type_fixed": True}
    )
    with pytest.raises(CmdletError) as refused:
        run(tenant, cmdlet, **parameters)
    (detail,) = error_body(refused.value)["error"]["details"]
    assert detail["message"] == refusal


def test_a_subscription_may_create_no_inbound_connector() -> None:
    """Developer subscriptions (office-docs-powershell pull request 11810)."""
    tenant = tenant_of(settings={"inbound_connectors_refused": True})
    with pytest.raises(CmdletError, match="can't create an inbound connector"):
        run(tenant, "New-InboundConnector", Name="hq", SenderDomains=["*"], ConnectorType="OnPremises")
    assert list(run(tenant, "Get-InboundConnector").rows) == []


def test_a_set_that_changes_nothing_names_its_object() -> None:
    """Recorded: the warning names what Get shows, also where a seed gave a part of the row."""
    tenant = tenant_of(objects={"TransportConfig": [{"SmtpClientAuthenticationDisabled": True}]})
    (warning,) = run(tenant, "Set-TransportConfig", SmtpClientAuthenticationDisabled=True).warnings
    assert "'Transport Settings'" in warning
    exported = {"transport_config": {"SmtpClientAuthenticationDisabled": True, "Name": "", "Id": "Transport Settings"}}
    tenant.merge(load_seed(exported))
    (warning,) = run(tenant, "Set-TransportConfig", SmtpClientAuthenticationDisabled=True).warnings
    assert "'Transport Settings'" in warning


def test_the_organization_of_a_seed_has_its_name() -> None:
    tenant = tenant_of(objects={"OrganizationConfig": [{"RejectDirectSend": True}]})
    (row,) = run(tenant, "Get-OrganizationConfig").rows
    assert {row["Name"], row["Identity"], row["Id"]} == {INITIAL}
    assert row["RejectDirectSend"] is True


def test_a_value_that_does_not_convert_has_warnings_beside_its_error() -> None:
    """Live capture (graph2otel, July 2026); an error of the cmdlet itself has none."""
    tenant = tenant_of()
    with pytest.raises(CmdletError) as refused:
        run(tenant, "New-InboundConnector", Name="hq", SenderDomains=["*"], ConnectorType="Nonsense")
    body = error_body(refused.value)
    assert (body["@adminapi.warnings"], body["adminapi.warnings@odata.type"]) == ([], "#Collection(String)")
    with pytest.raises(CmdletError) as missing:
        run(tenant, "Get-InboundConnector", Identity="nobody")
    assert set(error_body(missing.value)) == {"error"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("2020-01-01T00:00:00+00:00", "2026-07-14T18:59:08.0000000+00:00"),
        ("2020-01-01T00:00:00.1234567", "2026-07-14T18:59:08.0000000"),
        ("2020-01-01T00:00:00Z", "2026-07-14T18:59:08.0000000Z"),
        ("/Date(0)/", "/Date(1784055548000)/"),
    ],
)
def test_a_date_keeps_the_form_of_its_column(before: str, after: str) -> None:
    """The service writes Z, +00:00 (WhenChanged) and no offset (LastValidationTimestamp)."""
    moment = dt.datetime(2026, 7, 14, 18, 59, 8, tzinfo=dt.UTC)
    assert time_like(before, moment, whole_seconds=True) == after
    assert stored_time(after) == moment


def test_dates_of_year_one_keep_their_zeros() -> None:
    assert wire_time(dt.datetime(1, 1, 1, tzinfo=dt.UTC)) == "0001-01-01T00:00:00.0000000Z"


@pytest.mark.parametrize(
    "written", ["2026-07-14T20:59:08.1234567+02:00", "2026-07-14T18:59:08.1234567Z", "2026-07-14T18:59:08.1234567"]
)
def test_a_date_of_any_form_is_one_moment_in_remoting(written: str) -> None:
    shown = of_module("InboundConnector", {"LastValidationTimestamp": written})
    content = clixml(shown)
    row = powershell_row(shown)
    value = row.PSObject.extended_properties[0].get_value(row)
    assert (value.hour, value.minute, value.microsecond, value.nanosecond) == (18, 59, 123456, 700)
    assert content is None or b"18:59:08.1234567Z" in content


def test_rows_are_clixml_where_the_module_asks_for_it() -> None:
    """`X-ResponseFormat: clixml`: each row is a document (the module's own code)."""
    for row in ({"Name": "hq", "Enabled": True, "Size": 3}, {"Name": "bell\x07", "Enabled": True, "Size": 2**40}):
        document = ET.fromstring(clixml_document("InboundConnector", row, {"name", "size"}))
        assert document.tag == "{http://schemas.microsoft.com/powershell/2004/04}Objs"
        named = {element.get("N"): element.text for element in document.iter() if element.get("N")}
        assert set(named) == {"Name", "Size"}
        assert named["Size"] == str(row["Size"])


def test_the_old_tenant_has_what_tenants_have() -> None:
    """Default policies, a hybrid connector, a removed domain's DKIM, two people of one name (the shipped seed)."""
    tenant = Tenant()
    for document in ({"sandbox": 1}, OLD):
        tenant.merge(load_seed(document))
    domains = {row["DomainName"] for row in run(tenant, "Get-AcceptedDomain").rows}
    signing = {row["Domain"]: row["Status"] for row in run(tenant, "Get-DkimSigningConfig").rows}
    assert "sold-in-2021.example" in set(signing) - domains
    assert signing["adatum.mail.onmicrosoft.com"] == "CnameMissing"
    assert {"HybridWizard", "Default"} == {row["ConnectorSource"] for row in run(tenant, "Get-InboundConnector").rows}
    assert [row["IsDefault"] for row in run(tenant, "Get-HostedOutboundSpamFilterPolicy").rows] == [True]
    with pytest.raises(CmdletError, match="matches multiple entries"):
        run(tenant, "Get-Mailbox", Identity="J. Miller")


@pytest.mark.parametrize("name", ["InboundConnector", "outboundconnector", "User"])
def test_entity_sets_of_other_nouns_are_read(name: str) -> None:
    """Of the sets in the service's $metadata (talkingtoexorestapi, docs/metadata.xml)."""
    wanted = asked(name, {"$top": "5"})
    assert wanted is not None
    assert wanted.cmdlet.lower() == f"get-{name.lower()}"


def test_entries_of_the_block_list_are_written() -> None:
    """The pages of New-, Set- and Remove-TenantAllowBlockListItems."""
    tenant = tenant_of()
    bad: dict[str, Any] = {"ListType": "Sender", "Entries": ["bad.example"]}

    def listed(**more: Any) -> list[tuple[str, str, Any]]:
        rows = run(tenant, "Get-TenantAllowBlockListItems", ListType="Sender", **more).rows
        return [(row["Value"], row["Action"], row["ExpirationDate"]) for row in rows]

    run(tenant, "New-TenantAllowBlockListItems", Block=True, NoExpiration=True, Notes="spam", **bad)
    assert listed() == [("bad.example", "Block", None)]
    with pytest.raises(CmdletError, match="already exists"):
        run(tenant, "New-TenantAllowBlockListItems", Block=True, **bad)
    run(tenant, "Set-TenantAllowBlockListItems", Allow=True, ExpirationDate="2027-01-01", **bad)
    assert listed() == [("bad.example", "Allow", "2027-01-01")]
    assert listed(ListSubType=["AdvancedDelivery"]) == []
    run(tenant, "Remove-TenantAllowBlockListItems", **bad)
    assert listed() == []


def test_what_scubagear_asks_of_exchange_is_answered() -> None:
    """ExportEXOProvider.psm1 of cisagov/ScubaGear."""
    tenant = tenant_of(objects={"OrganizationRelationship": [{"Name": "Partner", "DomainNames": ["partner.example"]}]})
    asked = (
        "RemoteDomain", "AcceptedDomain", "DkimSigningConfig", "TransportConfig", "SharingPolicy", "TransportRule",
        "OrganizationConfig", "InboundConnector", "OutboundConnector", "IntraOrganizationConnector",
        "OrganizationRelationship",
    )  # fmt: skip
    rows = {noun: list(run(tenant, f"Get-{noun}").rows) for noun in asked}
    assert [row["Name"] for row in rows["SharingPolicy"]] == ["Default Sharing Policy"]
    assert [row["DomainNames"] for row in rows["OrganizationRelationship"]] == [["partner.example"]]
