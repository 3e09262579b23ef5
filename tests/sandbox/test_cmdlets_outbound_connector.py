"""Outbound connectors: defaults, stored forms, what must hold together, test mode, and rules that route to them."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, run_cmdlet
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))
# The add-on service of Learn, "Integrate Exchange Online with an email add-on service", and a partner's domains.
ADD_ON: dict[str, Any] = {
    "ConnectorType": "OnPremises",
    "IsTransportRuleScoped": True,
    "UseMXRecord": False,
    "SmartHosts": ["smtp.signatures.example"],
}
PARTNER: dict[str, Any] = {"RecipientDomains": ["partner.example"]}


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def run(tenant: Tenant, verb: str, **parameters: Any) -> CmdletResult:
    return run_cmdlet(tenant, ADMIN, f"{verb}-OutboundConnector", parameters)


def new(tenant: Tenant, name: str = "out", **parameters: Any) -> Row:
    return run(tenant, "New", **{"Name": name, **parameters}).rows[0]


def get(tenant: Tenant, name: str = "out", **parameters: Any) -> Row:
    return run(tenant, "Get", Identity=name, **parameters).rows[0]


def every(tenant: Tenant) -> list[Row]:
    """All connectors, those in test mode too."""
    return [row for mode in (False, True) for row in run(tenant, "Get", IncludeTestModeConnectors=mode).rows]


def refused(tenant: Tenant, verb: str, **parameters: Any) -> CmdletError:
    before = every(tenant)
    with pytest.raises(CmdletError) as caught:
        run(tenant, verb, **parameters)
    assert sorted(map(str, every(tenant))) == sorted(map(str, before))
    return caught.value


def test_new_returns_the_row_that_get_returns_with_the_service_s_defaults(tenant: Tenant) -> None:
    made = new(tenant, **PARTNER)
    assert get(tenant) == made
    assert made["Identity"] == made["Name"] == made["Id"] == "out"
    assert {name: made[name] for name in ("Enabled", "UseMXRecord", "ConnectorType", "ConnectorSource")} == {
        "Enabled": True,
        "UseMXRecord": True,
        "ConnectorType": "Partner",
        "ConnectorSource": "Default",
    }
    assert (made["TlsSettings"], made["TlsDomain"], made["SmartHosts"], made["Comment"]) == (None, None, [], "")
    assert (made["MtaStsMode"], made["SmtpDaneMode"]) == ("Opportunistic", "Opportunistic")
    assert (made["IsValidated"], made["ValidationRecipients"], made["TestMode"]) == (False, None, False)
    assert made["LinkForModifiedConnector"] == "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    "parameters",
    [
        ADD_ON,
        {**ADD_ON, "TlsSettings": "DomainValidation", "TlsDomain": "smtp.signatures.example"},
        {**ADD_ON, "CloudServicesMailEnabled": True, "TlsSettings": "CertificateValidation"},
        {**ADD_ON, "SmartHosts": ["192.0.2.1", "192.0.2.0/25", "10.10.1.11", "mail.contoso.com"]},
        {**PARTNER, "TlsSettings": "EncryptionOnly"},
        {"RecipientDomains": ["*.contoso.com"], "TlsSettings": "DomainValidation", "TlsDomain": "*.contoso.com"},
        {"RecipientDomains": ["*"], "UseMXRecord": False, "SmartHosts": ["relay.gateway.example"]},
        {**PARTNER, "MtaStsMode": "None", "SmtpDaneMode": "Mandatory", "Comment": "x", "Enabled": False},
        {**PARTNER, "ConnectorSource": "HybridWizard",
         "LinkForModifiedConnector": "1d3a3f3e-0000-4000-8000-000000000001"},
        {"ConnectorType": "OnPremises", "UseMXRecord": False, "SmartHosts": ["mail.contoso.com"],
         "RecipientDomains": ["*"], "RouteAllMessagesViaOnPremises": True, "SenderRewritingEnabled": True},
        {"ConnectorType": "OnPremises", "UseMXRecord": False, "SmartHosts": ["mail.contoso.com"],
         "AllAcceptedDomains": True},
    ],
)  # fmt: skip
def test_what_holds_together_is_stored_as_sent_by_new_and_by_set(tenant: Tenant, parameters: dict[str, Any]) -> None:
    row = new(tenant, **parameters)
    assert {name: row[name] for name in parameters} == parameters
    new(tenant, "other", RecipientDomains=["else.example"])
    scope = {"RecipientDomains": None} if "RecipientDomains" not in parameters else {}
    changes = {name: value for name, value in {**scope, **parameters}.items() if name != "LinkForModifiedConnector"}
    run(tenant, "Set", Identity="other", **changes)
    assert {name: get(tenant, "other")[name] for name in changes} == {
        **changes,
        **({"RecipientDomains": []} if scope else {}),
    }


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({**PARTNER, "UseMXRecord": False}, "SmartHosts"),
        ({**PARTNER, "SmartHosts": ["mail.contoso.com"]}, "UseMXRecord"),
        ({**PARTNER, "ConnectorType": "OnPremises"}, "MX records"),
        ({**PARTNER, "TlsSettings": "DomainValidation"}, "TlsDomain"),
        ({**PARTNER, "TlsDomain": "contoso.com"}, "DomainValidation"),
        ({**PARTNER, "TlsSettings": "EncryptionOnly", "TlsDomain": "contoso.com"}, "DomainValidation"),
        ({**PARTNER, "TlsSettings": "DomainValidation", "TlsDomain": "mail.*.contoso.com"}, "TlsDomain"),
        ({**PARTNER, "AllAcceptedDomains": True}, "OnPremises"),
        ({**PARTNER, "RouteAllMessagesViaOnPremises": True}, "OnPremises"),
        ({**PARTNER, "SenderRewritingEnabled": True}, "OnPremises"),
        ({**PARTNER, "IsTransportRuleScoped": True}, "IsTransportRuleScoped"),
        ({**ADD_ON, "AllAcceptedDomains": True}, "IsTransportRuleScoped"),
        ({"RecipientDomains": ["mail.*.contoso.com"]}, "RecipientDomains"),
        ({"RecipientDomains": ["smtp:contoso.com;1"]}, "RecipientDomains"),
        ({**ADD_ON, "SmartHosts": ["relay.contoso.com:587"]}, "relay.contoso.com:587"),
        ({**ADD_ON, "SmartHosts": ["2001:db8::1"]}, "2001:db8::1"),
        ({**ADD_ON, "SmartHosts": ["192.0.2.300"]}, "192.0.2.300"),
        ({**PARTNER, "TlsSettings": "Required"}, "EncryptionOnly, CertificateValidation, DomainValidation"),
        ({**PARTNER, "SmtpDaneMode": "Always"}, "Opportunistic, Mandatory, None"),
        ({**PARTNER, "MtaStsMode": "Mandatory"}, "Opportunistic, None"),
    ],
)  # fmt: skip
def test_what_does_not_hold_together_is_refused_by_new_and_by_set(
    tenant: Tenant, parameters: dict[str, Any], told: str
) -> None:
    assert told in refused(tenant, "New", Name="out", **parameters).message
    new(tenant, "there", RecipientDomains=["else.example"])
    assert told in refused(tenant, "Set", Identity="there", **parameters).message


def test_a_connector_needs_a_scope(tenant: Tenant) -> None:
    assert "RecipientDomains" in refused(tenant, "New", Name="out").message
    new(tenant, **PARTNER)
    assert "RecipientDomains" in refused(tenant, "Set", Identity="out", RecipientDomains=None).message


def test_a_change_is_held_against_what_is_stored(tenant: Tenant) -> None:
    new(tenant, **ADD_ON, TlsSettings="DomainValidation", TlsDomain="smtp.signatures.example", Comment="x")
    assert "SmartHosts" in refused(tenant, "Set", Identity="out", SmartHosts=None).message
    assert "UseMXRecord" in refused(tenant, "Set", Identity="out", UseMXRecord=True).message
    assert "DomainValidation" in refused(tenant, "Set", Identity="out", TlsSettings=None).message
    run(
        tenant, "Set", Identity="out", ConnectorType="Partner", UseMXRecord=True, SmartHosts=None,
        TlsSettings=None, TlsDomain="", Comment=None,
    )  # fmt: skip
    row = get(tenant)
    assert (row["UseMXRecord"], row["SmartHosts"], row["TlsSettings"], row["TlsDomain"], row["Comment"]) == (
        True, [], None, None, "",
    )  # fmt: skip


def test_what_a_seed_brought_is_left_in_peace_until_a_call_touches_it(tenant: Tenant) -> None:
    odd = {"Name": "odd", "ConnectorType": "OnPremises", "UseMXRecord": True, "SmartHosts": ["mail.contoso.com"]}
    tenant.merge(load_seed({"sandbox": 1, "objects": {"OutboundConnector": [odd]}}))
    assert get(tenant, "odd")["ConnectorSource"] == "Default"
    run(tenant, "Set", Identity="odd", Comment="seen")
    assert get(tenant, "odd")["Comment"] == "seen"
    assert "SmartHosts" in refused(tenant, "Set", Identity="odd", SmartHosts=["other.contoso.com"]).message


def test_lists_are_replaced_changed_by_a_table_left_or_emptied(tenant: Tenant) -> None:
    new(tenant, RecipientDomains=["a.example", "b.example"])
    run(tenant, "Set", Identity="out", RecipientDomains={"Add": ["c.example"], "Remove": ["A.example"]})
    assert get(tenant)["RecipientDomains"] == ["b.example", "c.example"]
    run(tenant, "Set", Identity="out", RecipientDomains=[])
    assert get(tenant)["RecipientDomains"] == ["b.example", "c.example"]
    run(tenant, "Set", Identity="out", RecipientDomains=["d.example"])
    assert get(tenant)["RecipientDomains"] == ["d.example"]


def test_validation_recipients_are_a_plain_array_that_set_alone_takes(tenant: Tenant) -> None:
    assert refused(tenant, "New", Name="out", **PARTNER, ValidationRecipients=["a@x.example"]).message.endswith(
        " ValidationRecipients"
    )
    new(tenant, **PARTNER)
    run(tenant, "Set", Identity="out", ValidationRecipients=["a@x.example", "b@x.example"])
    assert get(tenant)["ValidationRecipients"] == ["a@x.example", "b@x.example"]
    error = refused(tenant, "Set", Identity="out", ValidationRecipients={"Add": ["c@x.example"]})
    assert error.exception_type.endswith(".ParameterTransformationException")
    assert "no address" in refused(tenant, "Set", Identity="out", ValidationRecipients=["no address"]).message
    run(tenant, "Set", Identity="out", ValidationRecipients=None)
    assert get(tenant)["ValidationRecipients"] is None


def test_the_book_keeping_of_a_validation_is_set_and_stored_as_live_rows_have_it(tenant: Tenant) -> None:
    new(tenant, **PARTNER)
    run(tenant, "Set", Identity="out", IsValidated=True, LastValidationTimestamp="2026-07-24 18:59:12z")
    row = get(tenant)
    assert (row["IsValidated"], row["LastValidationTimestamp"]) == (True, "2026-07-24T18:59:12.0000000")
    error = refused(tenant, "Set", Identity="out", LastValidationTimestamp="yesterday")
    assert error.exception_type.endswith(".ParameterTransformationException")


def test_the_link_is_a_guid_that_new_alone_takes(tenant: Tenant) -> None:
    error = refused(tenant, "New", Name="out", **PARTNER, LinkForModifiedConnector="nothing")
    assert "System.Guid" in error.message
    new(tenant, **PARTNER)
    assert refused(tenant, "Set", Identity="out", LinkForModifiedConnector="x").message.endswith(
        " LinkForModifiedConnector"
    )


def test_names_are_unique_without_case_and_at_most_64_characters(tenant: Tenant) -> None:
    new(tenant, **PARTNER)
    error = refused(tenant, "New", Name="OUT", **PARTNER)
    assert error.exception_type == "Microsoft.Exchange.Data.Directory.ADObjectAlreadyExistsException"
    assert error.message == "The object 'OUT' already exists."
    assert "65" in refused(tenant, "New", Name="n" * 65, **PARTNER).message


def test_a_rename_moves_identity_and_keeps_the_guid(tenant: Tenant) -> None:
    before = new(tenant, **PARTNER)
    new(tenant, "other", **PARTNER)
    run(tenant, "Set", Identity="out", Name="renamed")
    after = get(tenant, "renamed")
    assert (after["Guid"], after["Identity"], after["Id"]) == (before["Guid"], "renamed", "renamed")
    assert refused(tenant, "Set", Identity="renamed", Name="Other").message == "The object 'Other' already exists."
    assert refused(tenant, "Get", Identity="out").http_status == 404


def test_a_set_that_changes_nothing_warns(tenant: Tenant) -> None:
    new(tenant, **ADD_ON)
    result = run(tenant, "Set", Identity="out", **{**ADD_ON, "SmartHosts": list(ADD_ON["SmartHosts"])})
    assert result.warnings == ["The command completed successfully but no settings of 'out' have been modified."]


def test_a_removed_connector_is_gone_and_its_successor_is_another(tenant: Tenant) -> None:
    first = new(tenant, **PARTNER)
    run(tenant, "Remove", Identity=first["Guid"], Confirm=False)
    assert every(tenant) == []
    assert refused(tenant, "Remove", Identity="out").http_status == 404
    assert new(tenant, **PARTNER)["Guid"] != first["Guid"]


def test_connectors_in_test_mode_come_only_when_asked_for(tenant: Tenant) -> None:
    new(tenant, **PARTNER)
    new(tenant, "trial", **PARTNER, TestMode=True)
    assert [row["Name"] for row in run(tenant, "Get").rows] == ["out"]
    assert [row["Name"] for row in run(tenant, "Get", IncludeTestModeConnectors=False).rows] == ["out"]
    assert [row["Name"] for row in run(tenant, "Get", IncludeTestModeConnectors=True).rows] == ["trial"]
    run(tenant, "Set", Identity="trial", TestMode=False)
    assert len(run(tenant, "Get").rows) == 2


def test_get_can_ask_for_the_scope(tenant: Tenant) -> None:
    new(tenant, **PARTNER)
    new(tenant, "scoped", **ADD_ON)
    assert [row["Name"] for row in run(tenant, "Get", IsTransportRuleScoped=True).rows] == ["scoped"]
    assert [row["Name"] for row in run(tenant, "Get", IsTransportRuleScoped=False).rows] == ["out"]
    assert len(run(tenant, "Get").rows) == 2


@pytest.mark.parametrize(
    "change", [{"Enabled": False}, {"Name": "renamed"}, {"IsTransportRuleScoped": False, "RecipientDomains": ["*"]}]
)
def test_a_connector_that_a_transport_rule_names_keeps_its_place(tenant: Tenant, change: dict[str, Any]) -> None:
    rule = {"Name": "to the signatures", "RouteMessageOutboundConnector": "Out"}
    tenant.merge(load_seed({"sandbox": 1, "objects": {"TransportRule": [rule]}}))
    new(tenant, **ADD_ON)
    assert "to the signatures" in refused(tenant, "Remove", Identity="out").message
    assert "to the signatures" in refused(tenant, "Set", Identity="out", **change).message
    run(tenant, "Set", Identity="out", Name="OUT", Comment="still there")
    assert get(tenant)["Comment"] == "still there"
    tenant.kept("TransportRule").clear()
    run(tenant, "Set", Identity="out", **change)
    run(tenant, "Remove", Identity=get(tenant, change.get("Name", "out"))["Guid"])
    assert every(tenant) == []


def test_a_live_row_comes_back_as_it_is(tenant: Tenant) -> None:
    """The keys and values of a row captured in July 2026 (graph2otel), with names of our own."""
    live = {
        "Enabled": True, "UseMXRecord": False, "Comment": "for a test", "ConnectorType": "OnPremises",
        "ConnectorSource": "AdminUI", "RecipientDomains": [], "SmartHosts": ["smtp-relay.gateway.example"],
        "TlsDomain": None, "TlsSettings": "CertificateValidation", "IsTransportRuleScoped": True,
        "RouteAllMessagesViaOnPremises": False, "CloudServicesMailEnabled": True, "AllAcceptedDomains": False,
        "SenderRewritingEnabled": False, "MtaStsMode": "Opportunistic", "SmtpDaneMode": "Opportunistic",
        "TestMode": False, "ValidationRecipients": ["admin@contoso.com"], "IsValidated": False,
        "LastValidationTimestamp": "2026-07-24T18:59:12.0000000", "AdminDisplayName": "", "Name": "outbound",
        "Identity": "outbound", "Guid": "d0d71cb9-6105-410f-8193-3640e12852a5", "IsValid": True,
    }  # fmt: skip
    made = new(tenant, **ADD_ON)
    assert set(live) <= set(made)
    tenant.merge(load_seed({"sandbox": 1, "objects": {"OutboundConnector": [live]}}))
    row = get(tenant, "outbound")
    assert {name: row[name] for name in live} == live


def test_a_reader_sees_and_changes_nothing(tenant: Tenant) -> None:
    new(tenant, **PARTNER)
    reader = Caller("reader", directory_roles=("Global Reader",))
    assert run_cmdlet(tenant, reader, "Get-OutboundConnector", {}).rows
    for verb in ("New", "Set", "Remove"):
        with pytest.raises(CmdletError) as caught:
            run_cmdlet(tenant, reader, f"{verb}-OutboundConnector", {"Identity": "out"})
        assert caught.value.http_status == 403
