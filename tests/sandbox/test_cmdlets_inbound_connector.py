"""Inbound connectors: stored forms, limits, what must hold together, and the created-disabled trap."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, run_cmdlet
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))


@pytest.fixture
def tenant() -> Tenant:
    made = Tenant()
    domains = [{"DomainName": "contoso.com"}, {"DomainName": "fabrikam.com"}]
    made.merge(load_seed({"sandbox": 1, "objects": {"AcceptedDomain": domains}}))
    return made


def run(tenant: Tenant, name: str, **parameters: Any) -> CmdletResult:
    return run_cmdlet(tenant, ADMIN, f"{name}-InboundConnector", parameters)


def new(tenant: Tenant, name: str = "hq", **parameters: Any) -> Row:
    return run(tenant, "New", **{"Name": name, "SenderDomains": "*", **parameters}).rows[0]


def get(tenant: Tenant, name: str = "hq") -> Row:
    return run(tenant, "Get", Identity=name).rows[0]


def refused(tenant: Tenant, verb: str, **parameters: Any) -> CmdletError:
    before = run(tenant, "Get").rows
    with pytest.raises(CmdletError) as caught:
        run(tenant, verb, **parameters)
    assert sorted(map(str, run(tenant, "Get").rows)) == sorted(map(str, before))
    return caught.value


def test_new_returns_the_row_that_get_returns(tenant: Tenant) -> None:
    made = new(tenant, ConnectorType="OnPremises", SenderIPAddresses=["192.0.2.5"], Comment="x")
    assert get(tenant) == made
    assert made["Identity"] == made["Name"] == made["Id"] == "hq"
    assert made["Guid"] == made["ExchangeObjectId"]
    assert made["DistinguishedName"].startswith("CN=hq,CN=Transport Settings,CN=Configuration,")


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("contoso.com", ["smtp:contoso.com;1"]),
        (["*"], ["smtp:*;1"]),
        (["*.contoso.com", "fabrikam.com"], ["smtp:*.contoso.com;1", "smtp:fabrikam.com;1"]),
        (["smtp:contoso.com;1"], ["smtp:contoso.com;1"]),
        (["SMTP:contoso.com;5"], ["smtp:contoso.com;5"]),
        (["contoso.com", "smtp:contoso.com;1"], ["smtp:contoso.com;1"]),
    ],
)
def test_sender_domains_are_stored_as_address_spaces(tenant: Tenant, sent: Any, stored: list[str]) -> None:
    assert new(tenant, SenderDomains=sent)["SenderDomains"] == stored


@pytest.mark.parametrize("domain", ["con toso.com", "x400:contoso;1", "a.*.com", "", "contoso"])
def test_what_is_no_sender_domain_is_refused(tenant: Tenant, domain: str) -> None:
    assert refused(tenant, "New", Name="hq", SenderDomains=[domain]).http_status == 400


@pytest.mark.parametrize("address", ["192.0.2.5", "192.0.2.5/32", "192.0.2.0/24", "192.168.0.1/25", "203.0.113.64/28"])
def test_addresses_are_stored_as_sent_with_their_host_bits(tenant: Tenant, address: str) -> None:
    assert new(tenant, SenderIPAddresses=address)["SenderIPAddresses"] == [address]


@pytest.mark.parametrize(
    "address",
    ["10.0.0.0/8", "192.0.2.0/23", "2001:db8::1", "192.0.2.1-192.0.2.9", "192.0.2.300", "host.example",
     "192.0.2.0/255.255.255.0"],
)  # fmt: skip
def test_wide_ranges_ipv6_and_nonsense_are_refused(tenant: Tenant, address: str) -> None:
    assert address in refused(tenant, "New", Name="hq", SenderDomains="*", SenderIPAddresses=[address]).message


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (["192.0.2.9"], {"192.0.2.9"}),
        ({"Add": "192.0.2.9"}, {"192.0.2.1", "192.0.2.2", "192.0.2.9"}),
        ({"add": ["192.0.2.9"], "REMOVE": ["192.0.2.1"]}, {"192.0.2.2", "192.0.2.9"}),
        ({"Remove": ["192.0.2.1", "192.0.2.2"]}, set()),
        ({"Remove": "192.0.2.77"}, {"192.0.2.1", "192.0.2.2"}),
        ([], {"192.0.2.1", "192.0.2.2"}),
        ({}, {"192.0.2.1", "192.0.2.2"}),
        (None, set()),
    ],
)
def test_a_list_is_replaced_changed_by_a_table_left_or_emptied(tenant: Tenant, given: Any, left: set[str]) -> None:
    new(tenant, SenderIPAddresses=["192.0.2.1", "192.0.2.2"])
    run(tenant, "Set", Identity="hq", SenderIPAddresses=given)
    assert set(get(tenant)["SenderIPAddresses"]) == left


def test_a_removal_names_a_sender_domain_in_either_form(tenant: Tenant) -> None:
    new(tenant, SenderDomains=["a.example", "b.example", "c.example"])
    run(tenant, "Set", Identity="hq", SenderDomains={"Remove": ["A.example", "smtp:b.example;1"]})
    assert get(tenant)["SenderDomains"] == ["smtp:c.example;1"]


def test_the_last_sender_domain_stays(tenant: Tenant) -> None:
    new(tenant)
    assert "SenderDomains" in refused(tenant, "Set", Identity="hq", SenderDomains={"Remove": "*"}).message
    assert "SenderDomains" in refused(tenant, "Set", Identity="hq", SenderDomains=None).message


def test_another_order_of_a_list_is_no_change(tenant: Tenant) -> None:
    new(tenant, SenderIPAddresses=["192.0.2.1", "192.0.2.2"])
    result = run(tenant, "Set", Identity="hq", SenderIPAddresses=["192.0.2.2", "192.0.2.1"])
    assert result.warnings == ["The command completed successfully but no settings of 'hq' have been modified."]


@pytest.mark.parametrize(("kind", "required"), [("OnPremises", False), ("Partner", True), (None, True)])
def test_tls_is_required_of_partners_unless_said_otherwise(tenant: Tenant, kind: str | None, required: bool) -> None:
    given = {"ConnectorType": kind} if kind else {}
    assert new(tenant, **given)["RequireTls"] is required
    assert new(tenant, "other", **given, RequireTls=not required)["RequireTls"] is not required


def test_names_are_unique_without_case(tenant: Tenant) -> None:
    new(tenant)
    error = refused(tenant, "New", Name="HQ", SenderDomains="*")
    assert error.exception_type == "Microsoft.Exchange.Data.Directory.ADObjectAlreadyExistsException"
    assert error.message == "The object 'HQ' already exists."


def test_a_name_has_at_most_64_characters(tenant: Tenant) -> None:
    assert new(tenant, "n" * 64)["Name"] == "n" * 64
    assert "65" in refused(tenant, "New", Name="n" * 65, SenderDomains="*").message


def test_a_rename_moves_identity_and_place_and_keeps_the_guid(tenant: Tenant) -> None:
    before = new(tenant)
    new(tenant, "branch")
    run(tenant, "Set", Identity="hq", Name="headquarters")
    after = get(tenant, "headquarters")
    assert (after["Guid"], after["Identity"], after["Id"]) == (before["Guid"], "headquarters", "headquarters")
    assert after["DistinguishedName"].startswith("CN=headquarters,")
    with pytest.raises(CmdletError):
        get(tenant, "hq")
    assert (
        refused(tenant, "Set", Identity="headquarters", Name="Branch").message == "The object 'Branch' already exists."
    )


def test_a_removed_connector_is_gone_and_its_successor_is_another(tenant: Tenant) -> None:
    first = new(tenant)
    run(tenant, "Remove", Identity=first["Guid"], Confirm=False)
    assert run(tenant, "Get").rows == []
    assert refused(tenant, "Remove", Identity="hq").http_status == 404
    assert new(tenant)["Guid"] != first["Guid"]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"AssociatedAcceptedDomains": ["elsewhere.example"]}, "elsewhere.example"),
        ({"ConnectorType": "OnPremises", "TlsSenderCertificateName": "mail.elsewhere.example"}, "accepted domain"),
        ({"TlsSenderCertificateName": "ma*.contoso.com"}, "isn't valid"),
        ({"ConnectorType": "Partner", "TreatMessagesAsInternal": True}, "OnPremises"),
        (
            {"ConnectorType": "OnPremises", "TreatMessagesAsInternal": True, "CloudServicesMailEnabled": True},
            "CloudServicesMailEnabled",
        ),
        ({"EFSkipIPs": ["not an address"]}, "EFSkipIPs"),
    ],
)
def test_what_does_not_hold_together_is_refused(tenant: Tenant, parameters: dict[str, Any], told: str) -> None:
    assert told in refused(tenant, "New", Name="hq", SenderDomains="*", **parameters).message
    new(tenant, "there")
    assert told in refused(tenant, "Set", Identity="there", **parameters).message


@pytest.mark.parametrize(
    "parameters",
    [
        {"AssociatedAcceptedDomains": ["Contoso.com", "fabrikam.com"]},
        {"ConnectorType": "OnPremises", "TlsSenderCertificateName": "contoso.com"},
        {"ConnectorType": "OnPremises", "TlsSenderCertificateName": "*.fabrikam.com"},
        {"ConnectorType": "OnPremises", "TlsSenderCertificateName": "mail.contoso.com"},
        {"ConnectorType": "Partner", "TlsSenderCertificateName": "*.partner.example"},
        {"ConnectorType": "OnPremises", "TreatMessagesAsInternal": True},
        {"EFSkipIPs": ["192.0.2.1", "192.0.2.1-192.0.2.9", "198.51.100.0/22"], "EFUsers": ["a@contoso.com"]},
        {"ClientHostNames": ["mail.contoso.com"], "ScanAndDropRecipients": ["x@contoso.com"]},
    ],
)
def test_what_holds_together_is_stored_as_sent(tenant: Tenant, parameters: dict[str, Any]) -> None:
    row = new(tenant, **parameters)
    assert {name: row[name] for name in parameters} == parameters


def test_a_certificate_name_is_cleared_by_null(tenant: Tenant) -> None:
    new(tenant, TlsSenderCertificateName="mail.partner.example", Comment="x")
    run(tenant, "Set", Identity="hq", TlsSenderCertificateName=None, Comment=None)
    assert (get(tenant)["TlsSenderCertificateName"], get(tenant)["Comment"]) == (None, "")


def test_a_change_of_type_is_held_against_what_is_there(tenant: Tenant) -> None:
    new(tenant, ConnectorType="OnPremises", TreatMessagesAsInternal=True)
    assert "OnPremises" in refused(tenant, "Set", Identity="hq", ConnectorType="Partner").message
    run(tenant, "Set", Identity="hq", ConnectorType="Partner", TreatMessagesAsInternal=False)
    assert get(tenant)["ConnectorType"] == "Partner"


def test_client_host_names_are_a_parameter_of_new_only(tenant: Tenant) -> None:
    new(tenant)
    assert refused(tenant, "Set", Identity="hq", ClientHostNames=["a"]).message.endswith(" ClientHostNames")


def test_in_some_offers_a_connector_is_created_disabled_and_stays_so(tenant: Tenant) -> None:
    tenant.settings["inbound_connectors_created_disabled"] = True
    created = run(tenant, "New", Name="hq", SenderDomains="*", Enabled=True)
    assert created.warnings == [
        "Inbound connector for this service offering is created in a disabled state. Contact Support to enable it."
    ]
    assert created.rows[0]["Enabled"] is False
    enabled = run(tenant, "Set", Identity="hq", Enabled=True, Comment="changed")
    assert enabled.warnings == [
        "For this service offering, you can't enable an inbound connector. Contact Support to enable it."
    ]
    assert (get(tenant)["Enabled"], get(tenant)["Comment"]) == (False, "changed")
    assert run(tenant, "Set", Identity="hq", Enabled=True).warnings == enabled.warnings
