"""Binding, looking up and refusing: what all cmdlets have in common, in the service's order and wording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, catalogue, run_cmdlet
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant
from tests.recordings import entries, load, recordings

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))
READER = Caller("reader", directory_roles=("Global Reader",))
ERRORS = "exchange/service-errors.json"
SNAPSHOTS = "exchange/snapshots/*.json"

SEED: dict[str, Any] = {
    "sandbox": 1,
    "mailboxes": [
        {"address": "erp@contoso.com", "display_name": "ERP", "aliases": ["orders@contoso.com"]},
        {"address": "Fax@contoso.com", "display_name": "Device", "smtp_client_authentication_disabled": False},
        {"address": "door@contoso.com", "display_name": "Device"},
    ],
    "objects": {"InboundConnector": [{"Name": "hq", "SenderDomains": ["smtp:*;1"]}, {"Name": "branch"}]},
}


@pytest.fixture
def tenant() -> Tenant:
    made = Tenant()
    made.merge(load_seed(SEED))
    return made


def run(tenant: Tenant, name: str, caller: Caller = ADMIN, **parameters: Any) -> CmdletResult:
    return run_cmdlet(tenant, caller, name, parameters)


def refused(tenant: Tenant, name: str, caller: Caller = ADMIN, **parameters: Any) -> CmdletError:
    with pytest.raises(CmdletError) as caught:
        run_cmdlet(tenant, caller, name, parameters)
    return caught.value


def get(tenant: Tenant, name: str, **parameters: Any) -> list[Row]:
    return list(run(tenant, name, **parameters).rows)


# --- who may run what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "name"),
    [
        (ADMIN, "Get-Nothing"),
        (ADMIN, "New-AcceptedDomain"),
        (READER, "Set-CASMailbox"),
        (Caller("nobody"), "Get-CASMailbox"),
        (Caller("x", directory_roles=("Helpdesk Administrator",)), "Get-InboundConnector"),
        (Caller("x", exchange_cmdlets=("Get-InboundConnector",)), "Get-CASMailbox"),
    ],
)
def test_a_cmdlet_that_is_unknown_or_not_allowed_is_forbidden(tenant: Tenant, caller: Caller, name: str) -> None:
    assert refused(tenant, name, caller).http_status == 403


@pytest.mark.parametrize(
    ("caller", "name"),
    [
        (READER, "Get-CASMailbox"),
        (Caller("x", exchange_cmdlets=("get-inboundconnector",)), "Get-InboundConnector"),
        (Caller("x", directory_roles=("Security Administrator",)), "GET-DKIMSIGNINGCONFIG"),
    ],
)
def test_a_role_lets_its_cmdlets_run_however_they_are_spelled(tenant: Tenant, caller: Caller, name: str) -> None:
    assert run(tenant, name, caller).errors == []


def test_the_catalogue_names_what_the_caller_may_run() -> None:
    assert "Set-CASMailbox" in catalogue(ADMIN)
    assert {name.partition("-")[0] for name in catalogue(READER)} == {"Get"}
    assert catalogue(Caller("nobody")) == []


# --- binding ---------------------------------------------------------------------------------------------------------


def test_an_unknown_parameter_is_told_before_anything_else(tenant: Tenant) -> None:
    error = refused(tenant, "Set-InboundConnector", Identity="none", ConnectorType="x", Bogus=1)
    assert error.exception_type.endswith(".AmbiguousParameterSetException")
    assert error.message == (
        "Parameter set cannot be resolved using the specified named parameters. "
        "Invalid cmdlet parameters specified. Bogus"
    )
    assert (error.http_status, error.binding) == (400, True)


def test_a_bad_word_is_told_with_all_words_and_before_the_object_is_looked_for(tenant: Tenant) -> None:
    error = refused(tenant, "Set-InboundConnector", Identity="none", ConnectorType="Cloud")
    assert error.exception_type.endswith(".ParameterTransformationException")
    assert "Cannot process argument transformation on parameter 'ConnectorType'" in error.message
    assert error.message.endswith('Specify one of the following enumerator names and try again: OnPremises, Partner"')
    assert not error.detailed


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Set-CASMailbox", {"SmtpClientAuthenticationDisabled": "yes"}),
        ("Set-CASMailbox", {"SmtpClientAuthenticationDisabled": [True]}),
        ("Set-CASMailbox", {"ImapEnabled": None}),
        ("Set-TransportConfig", {"SmtpClientAuthenticationDisabled": None}),
        ("Set-TransportConfig", {"MessageExpiration": "a day"}),
        ("Set-TransportConfig", {"MessageExpiration": "1.30:00:00"}),
        ("Set-TransportConfig", {"JournalMessageExpirationDays": "ten"}),
        ("Set-InboundConnector", {"Comment": ["a"]}),
        ("Set-InboundConnector", {"SenderDomains": {"Add": "a.example", "Drop": "b.example"}}),
        ("Set-InboundConnector", {"SenderDomains": [{"Add": "a.example"}]}),
        ("Get-CASMailbox", {"ResultSize": "many"}),
        ("Get-CASMailbox", {"ResultSize": 0}),
    ],
)
def test_values_of_the_wrong_type_do_not_convert(tenant: Tenant, name: str, parameters: dict[str, Any]) -> None:
    identity: dict[str, Any] = {"Identity": "none"} if "CASMailbox" in name or "Connector" in name else {}
    error = refused(tenant, name, **identity, **parameters)
    assert error.exception_type.endswith(".ParameterTransformationException")
    assert error.http_status == 400


@pytest.mark.parametrize(
    ("name", "parameters", "missing"),
    [
        ("New-InboundConnector", {}, "Name SenderDomains"),
        ("New-DkimSigningConfig", {"DomainName": "contoso.com"}, "Enabled"),
        ("Set-CASMailbox", {"ImapEnabled": True}, "Identity"),
    ],
)
def test_what_is_mandatory_may_not_lack(tenant: Tenant, name: str, parameters: dict[str, Any], missing: str) -> None:
    message = refused(tenant, name, **parameters).message
    assert message == f"Cannot process command because of one or more missing mandatory parameters: {missing}."


def test_a_null_identity_does_not_bind_where_something_would_be_changed(tenant: Tenant) -> None:
    message = refused(tenant, "Remove-InboundConnector", Identity=None).message
    assert message == "Cannot bind argument to parameter 'Identity' because it is null."
    assert len(get(tenant, "Get-InboundConnector")) == 2


def test_names_of_parameters_and_words_are_told_apart_without_case(tenant: Tenant) -> None:
    run(tenant, "set-inboundconnector", identity="HQ", CONNECTORTYPE="onpremises", requiretls=0)
    row = get(tenant, "Get-InboundConnector", Identity="hq")[0]
    assert (row["ConnectorType"], row["RequireTls"]) == ("OnPremises", False)


def test_common_parameters_are_taken_everywhere(tenant: Tenant) -> None:
    run(tenant, "Get-InboundConnector", ErrorAction="Stop", Verbose=False, ResultSize="unlimited")
    run(tenant, "Set-InboundConnector", Identity="hq", Comment="x", Confirm=False, WhatIf=False, WarningAction="ignore")
    assert refused(tenant, "Get-TransportConfig", ErrorAction="Explode").binding
    assert refused(tenant, "Set-TransportConfig", ResultSize=1).binding


@pytest.mark.parametrize("question", [{"WhatIf": True}, {"Confirm": True}])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Set-InboundConnector", {"Identity": "hq", "Comment": "changed"}),
        ("Remove-InboundConnector", {"Identity": "hq"}),
        ("New-InboundConnector", {"Name": "new", "SenderDomains": "*"}),
        ("New-DkimSigningConfig", {"DomainName": "contoso.com", "Enabled": False}),
    ],
)
def test_a_call_that_only_asks_validates_and_changes_nothing(
    tenant: Tenant, name: str, parameters: dict[str, Any], question: dict[str, Any]
) -> None:
    run(tenant, "Get-DkimSigningConfig")
    before = json.dumps(tenant.to_json())
    result = run(tenant, name, **parameters, **question)
    assert result.rows == []
    assert result.confirmation is not None
    assert json.loads(json.dumps(tenant.to_json())) == json.loads(before)
    assert refused(tenant, name, **{**parameters, "Bogus": 1}, **question).binding


# --- looking up ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identity", ["erp", "ERP@contoso.com", "orders@contoso.com", "ERP", "{Guid}", "{DistinguishedName}", "{Identity}",
                 "{ExternalDirectoryObjectId}"],
)  # fmt: skip
def test_a_mailbox_goes_by_each_of_its_names(tenant: Tenant, identity: str) -> None:
    row = get(tenant, "Get-CASMailbox", Identity="erp@contoso.com")[0]
    assert get(tenant, "Get-CASMailbox", Identity=identity.format(**row).upper()) == [row]


def test_a_display_name_that_two_have_is_refused_as_ambiguous(tenant: Tenant) -> None:
    error = refused(tenant, "Set-CASMailbox", Identity="Device", ImapEnabled=False)
    assert error.message == "The operation couldn't be performed because object: 'Device' matches multiple entries."


@pytest.mark.parametrize("case", entries(ERRORS, "what", "does not exist"))
def test_what_does_not_exist_is_told_as_recorded(tenant: Tenant, case: dict[str, Any]) -> None:
    whole = case.get("text") or case["body"]["error"]["details"][0]["message"]
    error_id, exception_type, text = whole.split("|", 2)
    error = refused(tenant, "Get-CASMailbox", Identity=text.partition("object '")[2].partition("' couldn't")[0])
    assert (error.error_id, error.exception_type, error.http_status) == (error_id, exception_type, 404)
    assert error.message.rpartition(" on ")[0] == text.rpartition(" on ")[0]
    assert error.message.endswith("' couldn't be found on 'AM0PR07A05DC003.EURPR07A005.PROD.OUTLOOK.COM'.")


def test_a_null_identity_returns_everything(tenant: Tenant) -> None:
    assert len(get(tenant, "Get-CASMailbox", Identity=None)) == 3


def test_the_trap_of_an_unknown_identity_can_be_switched_on(tenant: Tenant) -> None:
    tenant.settings["get_unknown_identity_returns_all"] = True
    assert len(get(tenant, "Get-CASMailbox", Identity="nobody")) == 3
    assert len(get(tenant, "Get-InboundConnector", Identity="hq")) == 1
    assert refused(tenant, "Get-RemoteDomain", Identity="nobody").http_status == 404
    assert refused(tenant, "Set-CASMailbox", Identity="nobody", ImapEnabled=False).http_status == 404


def test_lists_come_in_another_order_each_time_and_the_same_way_each_run() -> None:
    def orders(**settings: Any) -> list[list[str]]:
        tenant = Tenant()
        tenant.merge(load_seed({**SEED, "mailboxes": {"count": 20}, "settings": settings}))
        return [[row["Name"] for row in get(tenant, "Get-CASMailbox")] for _ in range(3)]

    assert orders() == orders()
    assert len({tuple(order) for order in orders()}) == 3
    assert orders() != orders(shuffle_seed=7)
    assert len({tuple(order) for order in orders(shuffle=False)}) == 1


def test_rows_that_were_read_are_copies(tenant: Tenant) -> None:
    get(tenant, "Get-InboundConnector", Identity="hq")[0]["Comment"] = "scribbled"
    assert get(tenant, "Get-InboundConnector", Identity="hq")[0]["Comment"] == ""


def test_a_listing_is_cut_at_the_result_size_with_a_warning() -> None:
    tenant = Tenant()
    tenant.merge(load_seed({"sandbox": 1, "mailboxes": {"count": 1001}}))
    result = run(tenant, "Get-CASMailbox")
    assert (len(result.rows), len(result.beyond)) == (1000, 1)
    assert result.warnings[0].startswith("There are more results available than are currently displayed.")
    assert len(run(tenant, "Get-CASMailbox", ResultSize="10").rows) == 10
    everything = run(tenant, "Get-CASMailbox", ResultSize="Unlimited")
    assert (len(everything.rows), everything.warnings) == (1001, [])


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", entries(ERRORS, "what", "Set that changes nothing"))
def test_a_set_that_changes_nothing_warns_as_recorded(tenant: Tenant, case: dict[str, Any]) -> None:
    run(tenant, "Set-CASMailbox", Identity="erp", ImapEnabled=False)
    before = get(tenant, "Get-CASMailbox", Identity="erp")[0]
    tenant.clock.advance(60)
    result = run(tenant, "Set-CASMailbox", Identity="erp", ImapEnabled=False)
    assert result.warnings == [case["warning"].replace("'Default'", "'erp'")]
    assert get(tenant, "Get-CASMailbox", Identity="erp") == [before]


def test_each_write_moves_the_dates_of_change_and_only_those(tenant: Tenant) -> None:
    before = get(tenant, "Get-CASMailbox", Identity="erp")[0]
    tenant.clock.advance(3600)
    run(tenant, "Set-CASMailbox", Identity="erp", SmtpClientAuthenticationDisabled=True)
    after = get(tenant, "Get-CASMailbox", Identity="erp")[0]
    assert {name for name in after if after[name] != before[name]} == {
        "SmtpClientAuthenticationDisabled",
        "WhenChanged",
        "WhenChangedUTC",
    }
    assert after["WhenChanged"] > before["WhenChanged"]
    assert after["WhenChanged"].endswith(".0000000Z")


@pytest.mark.parametrize("value", [True, False, None])
def test_the_switch_of_a_mailbox_has_three_states(tenant: Tenant, value: bool | None) -> None:
    run(tenant, "Set-CASMailbox", Identity="fax@contoso.com", SmtpClientAuthenticationDisabled=value)
    assert get(tenant, "Get-CASMailbox", Identity="fax")[0]["SmtpClientAuthenticationDisabled"] is value


def test_with_lag_a_write_is_done_and_not_yet_seen(tenant: Tenant) -> None:
    tenant.lag = 30
    run(tenant, "Set-TransportConfig", SmtpClientAuthenticationDisabled=False)
    run(tenant, "New-InboundConnector", Name="new", SenderDomains="*")
    assert get(tenant, "Get-TransportConfig")[0]["SmtpClientAuthenticationDisabled"] is True
    assert refused(tenant, "Get-InboundConnector", Identity="new").http_status == 404
    assert refused(tenant, "New-InboundConnector", Name="NEW", SenderDomains="*").exception_type.endswith(
        "ADObjectAlreadyExistsException"
    )
    tenant.clock.advance(31)
    assert get(tenant, "Get-TransportConfig")[0]["SmtpClientAuthenticationDisabled"] is False
    assert len(get(tenant, "Get-InboundConnector", Identity="new")) == 1


def test_with_lag_a_renamed_and_a_removed_object_are_found_as_they_were(tenant: Tenant) -> None:
    tenant.lag = 30
    run(tenant, "Set-InboundConnector", Identity="hq", Name="headquarters")
    run(tenant, "Remove-InboundConnector", Identity="branch")
    assert len(get(tenant, "Get-InboundConnector", Identity="hq")) == 1
    assert len(get(tenant, "Get-InboundConnector", Identity="branch")) == 1
    assert refused(tenant, "Get-InboundConnector", Identity="headquarters").http_status == 404
    assert {row["Name"] for row in get(tenant, "Get-InboundConnector")} == {"hq", "branch"}
    tenant.clock.advance(31)
    assert {row["Name"] for row in get(tenant, "Get-InboundConnector")} == {"headquarters"}
    assert refused(tenant, "Get-InboundConnector", Identity="hq").http_status == 404


# --- organization-wide objects and domains ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "column", "stored"),
    [
        ({"SmtpClientAuthenticationDisabled": False}, "SmtpClientAuthenticationDisabled", False),
        ({"AllowLegacyTLSClients": True}, "AllowLegacyTLSClients", True),
        ({"MessageExpiration": "0.12:00:00"}, "MessageExpiration", "12:00:00"),
        ({"DSNConversionMode": "useexchangedsns"}, "DSNConversionMode", "UseExchangeDSNs"),
        ({"ExternalPostmasterAddress": "post@contoso.com"}, "ExternalPostmasterAddress", "post@contoso.com"),
        ({"ReplyAllStormDetectionMinimumReplies": "5"}, "ReplyAllStormDetectionMinimumReplies", 5),
    ],
)
def test_transport_settings_are_stored(tenant: Tenant, parameters: dict[str, Any], column: str, stored: Any) -> None:
    run(tenant, "Set-TransportConfig", **parameters)
    assert get(tenant, "Get-TransportConfig")[0][column] == stored


@pytest.mark.parametrize("span", ["11:59:59", "1.00:00:01", "2.00:00:00"])
def test_messages_expire_after_twelve_hours_to_a_day(tenant: Tenant, span: str) -> None:
    assert "12:00:00" in refused(tenant, "Set-TransportConfig", MessageExpiration=span).message


def test_reject_direct_send_is_no_transport_setting(tenant: Tenant) -> None:
    assert refused(tenant, "Set-TransportConfig", RejectDirectSend=True).message.endswith(" RejectDirectSend")


def test_reject_direct_send_stands_in_a_call_of_its_own(tenant: Tenant) -> None:
    error = refused(tenant, "Set-OrganizationConfig", RejectDirectSend=True, SendFromAliasEnabled=True)
    assert error.exception_type.endswith(".AmbiguousParameterSetException")
    run(tenant, "Set-OrganizationConfig", RejectDirectSend=True)
    run(tenant, "Set-OrganizationConfig", SendFromAliasEnabled=True)
    row = get(tenant, "Get-OrganizationConfig")[0]
    assert (row["RejectDirectSend"], row["SendFromAliasEnabled"]) == (True, True)


def test_the_default_authentication_policy_must_exist_and_null_clears_it(tenant: Tenant) -> None:
    assert refused(tenant, "Set-OrganizationConfig", DefaultAuthenticationPolicy="None such").http_status == 404
    tenant.merge(load_seed({"sandbox": 1, "objects": {"AuthenticationPolicy": {"Name": "Block basic"}}}))
    run(tenant, "Set-OrganizationConfig", DefaultAuthenticationPolicy="block BASIC")
    assert get(tenant, "Get-OrganizationConfig")[0]["DefaultAuthenticationPolicy"] == "Block basic"
    run(tenant, "Set-OrganizationConfig", DefaultAuthenticationPolicy=None)
    assert get(tenant, "Get-OrganizationConfig")[0]["DefaultAuthenticationPolicy"] is None
    assert get(tenant, "Get-AuthenticationPolicy")[0]["AllowBasicAuthSmtp"] is False


def test_an_accepted_domain_can_be_tuned(tenant: Tenant) -> None:
    run(tenant, "Set-AcceptedDomain", Identity="contoso.com", DomainType="internalrelay", MatchSubDomains=True)
    row = get(tenant, "Get-AcceptedDomain", Identity="CONTOSO.com")[0]
    assert (row["DomainType"], row["MatchSubDomains"]) == ("InternalRelay", True)
    assert (
        "ExternalRelay"
        in refused(tenant, "Set-AcceptedDomain", Identity="contoso.com", DomainType="ExternalRelay").message
    )


def test_every_tenant_has_its_built_in_rows() -> None:
    tenant = Tenant()
    assert get(tenant, "Get-RemoteDomain")[0]["DomainName"] == "*"
    assert get(tenant, "Get-HostedConnectionFilterPolicy")[0]["IPAllowList"] == []
    assert get(tenant, "Get-AcceptedDomain")[0]["InitialDomain"] is True
    assert get(tenant, "Get-OutboundConnector") == []


def test_the_allow_block_list_is_read_by_type_action_and_entry() -> None:
    tenant = Tenant()
    rows = [
        {"Value": "Contoso.com", "Action": "Block", "ListType": "Sender"},
        {"Value": "a@fabrikam.com", "Action": "Allow", "ListType": "Sender"},
        {"Value": "2001:db8::1", "Action": "Block", "ListType": "IP"},
    ]
    tenant.merge(load_seed({"sandbox": 1, "objects": {"TenantAllowBlockListItems": rows}}))

    def values(**parameters: Any) -> set[str]:
        return {row["Value"] for row in get(tenant, "Get-TenantAllowBlockListItems", **parameters)}

    assert values(ListType="Sender") == {"Contoso.com", "a@fabrikam.com"}
    assert values(ListType="sender", Block=True) == {"Contoso.com"}
    assert values(ListType="Sender", Allow=True) == {"a@fabrikam.com"}
    assert values(ListType="Sender", Entry="contoso.COM") == {"Contoso.com"}
    assert values(ListType="Url") == set()
    assert "ListType" in refused(tenant, "Get-TenantAllowBlockListItems").message


def test_mailboxes_can_be_asked_for_by_type(tenant: Tenant) -> None:
    assert len(get(tenant, "Get-Mailbox", RecipientTypeDetails="UserMailbox")) == 3
    assert get(tenant, "Get-Mailbox", RecipientTypeDetails="SharedMailbox") == []


# --- shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [p for p in recordings(SNAPSHOTS) if "inbound_connectors" in load(p.values[0])])
@pytest.mark.parametrize(
    ("key", "noun"),
    [
        ("transport_config", "TransportConfig"),
        ("accepted_domains", "AcceptedDomain"),
        ("remote_domains", "RemoteDomain"),
        ("dkim_config", "DkimSigningConfig"),
        ("conn_filter", "HostedConnectionFilterPolicy"),
        ("inbound_connectors", "InboundConnector"),
    ],
)
def test_rows_made_here_have_the_columns_and_types_of_recorded_ones(
    tenant: Tenant, path: Path, key: str, noun: str
) -> None:
    real = load(path)[key][0]
    if noun == "DkimSigningConfig":
        run(tenant, "New-DkimSigningConfig", DomainName="contoso.com", Enabled=False)
    ours = get(tenant, f"Get-{noun}")[0]
    assert set(ours) == set(real)
    # null or a value
    loose = {"RequiredCharsetCoverage", "TNEFEnabled", "TlsSenderCertificateName", "ExternalPostmasterAddress"}
    odd = {name for name in real if type(real[name]) is not type(ours[name])} - loose
    assert odd == set()


@pytest.mark.parametrize("path", recordings("exchange/recipients.json"))
def test_mailbox_rows_have_the_columns_of_recorded_ones(tenant: Tenant, path: Path) -> None:
    real = load(path)
    for recorded_name, name in (("Get-EXOCASMailbox", "Get-CASMailbox"), ("Get-EXOMailbox", "Get-Mailbox")):
        assert set(real[recorded_name]) <= set(get(tenant, name, Identity="erp")[0])


# --- one resolver of names for all recipient cmdlets -----------------------------------------------------------------


APP, OBJECT = "0a1b2c3d-0000-4000-8000-000000000001", "5a1c2a52-0000-4000-8000-000000000001"


@pytest.fixture
def directory() -> Tenant:
    made = Tenant()
    made.merge(load_seed({
        "sandbox": 1,
        "mailboxes": [
            {"address": "scan@contoso.com", "upn": "mfp01@contoso.onmicrosoft.com", "display_name": "MFP"},
            {"address": "bea@contoso.com", "upn": "scan@contoso.com"},
            {"address": "erp@contoso.com", "upn": "svc-erp@contoso.onmicrosoft.com"},
        ],
        "objects": {
            "DistributionGroup": [{"Name": "Helpdesk Team", "PrimarySmtpAddress": "helpdesk@contoso.com"}],
            "UnifiedGroup": [{"Name": "Plant", "PrimarySmtpAddress": "plant@contoso.com"}],
            "MailContact": [{"Name": "Supplier", "ExternalEmailAddress": "SMTP:orders@fabrikam.com"}],
            "MailUser": [{"Name": "Auditor", "PrimarySmtpAddress": "audit@contoso.com",
                          "UserPrincipalName": "auditor@contoso.com"}],
            "ServicePrincipal": [{"AppId": APP, "ObjectId": OBJECT, "DisplayName": "Payroll app"}],
        },
    }))  # fmt: skip
    return made


def test_a_mailbox_s_switches_are_found_by_its_sign_in_name(directory: Tenant) -> None:
    (row,) = get(directory, "Get-CASMailbox", Identity="mfp01@contoso.onmicrosoft.com")
    assert row["PrimarySmtpAddress"] == "scan@contoso.com"
    assert "UserPrincipalName" not in row
    run(directory, "Set-CASMailbox", Identity="SVC-ERP@contoso.onmicrosoft.com", SmtpClientAuthenticationDisabled=True)
    (row,) = get(directory, "Get-CASMailbox", Identity="erp@contoso.com")
    assert row["SmtpClientAuthenticationDisabled"] is True


@pytest.mark.parametrize("name", ["Get-CASMailbox", "Get-Mailbox", "Get-Recipient", "Get-User", "Set-CASMailbox"])
def test_an_address_that_is_another_s_sign_in_name_is_ambiguous(directory: Tenant, name: str) -> None:
    assert "matches multiple entries" in refused(directory, name, Identity="scan@contoso.com").message


@pytest.mark.parametrize("name", ["helpdesk@contoso.com", "Helpdesk Team"])
def test_a_group_is_a_recipient_and_a_trustee_shown_by_its_name(directory: Tenant, name: str) -> None:
    (row,) = get(directory, "Get-Recipient", Identity=name)
    assert (row["Name"], row["WindowsLiveID"]) == ("Helpdesk Team", "")
    right: dict[str, Any] = {"Identity": "erp@contoso.com", "Trustee": name, "AccessRights": ["SendAs"]}
    run(directory, "Add-RecipientPermission", **right)
    rows = get(directory, "Get-RecipientPermission", Identity="erp@contoso.com")
    assert {r["Trustee"] for r in rows} == {"NT AUTHORITY\\SELF", "Helpdesk Team"}
    assert len({r["Identity"] for r in rows}) == 1
    run(directory, "Remove-RecipientPermission", **right)
    assert len(get(directory, "Get-RecipientPermission", Identity="erp@contoso.com")) == 1


@pytest.mark.parametrize(
    ("name", "kind", "details"),
    [
        ("erp@contoso.com", "UserMailbox", "UserMailbox"),
        ("helpdesk@contoso.com", "MailUniversalSecurityGroup", "MailUniversalSecurityGroup"),
        ("plant@contoso.com", "MailUniversalDistributionGroup", "GroupMailbox"),
        ("orders@fabrikam.com", "MailContact", "MailContact"),
        ("auditor@contoso.com", "MailUser", "MailUser"),
    ],
)
def test_a_recipient_of_any_kind_says_its_kind(directory: Tenant, name: str, kind: str, details: str) -> None:
    (row,) = get(directory, "Get-Recipient", Identity=name)
    assert (row["RecipientType"], row["RecipientTypeDetails"]) == (kind, details)
    assert row in get(directory, "Get-Recipient")
    right: dict[str, Any] = {"Identity": name, "Trustee": "erp@contoso.com", "AccessRights": ["SendAs"]}
    run(directory, "Add-RecipientPermission", **right)
    shown = [r for r in get(directory, "Get-RecipientPermission", Identity=name) if r["Trustee"].startswith("svc-erp")]
    assert [r["Identity"] for r in shown] == [row["Identity"]]


@pytest.mark.parametrize("name", ["Get-Mailbox", "Get-CASMailbox"])
def test_what_is_no_mailbox_is_not_found_as_one(directory: Tenant, name: str) -> None:
    for identity in ("orders@fabrikam.com", "auditor@contoso.com", "plant@contoso.com"):
        assert "couldn't be found" in refused(directory, name, Identity=identity).message


@pytest.mark.parametrize(("trustee", "holds"), [("auditor@contoso.com", True), ("plant@contoso.com", False),
                                                ("orders@fabrikam.com", False)])  # fmt: skip
def test_mail_users_can_be_trustees_and_contacts_and_lists_cannot(directory: Tenant, trustee: str, holds: bool) -> None:
    right: dict[str, Any] = {"Identity": "erp@contoso.com", "Trustee": trustee, "AccessRights": ["SendAs"]}
    if holds:
        run(directory, "Add-RecipientPermission", **right)
        trustees = {row["Trustee"] for row in get(directory, "Get-RecipientPermission", Identity="erp@contoso.com")}
        assert trustees == {"NT AUTHORITY\\SELF", trustee}
    else:
        assert "couldn't be found" in refused(directory, "Add-RecipientPermission", **right).message


def test_a_mail_user_is_a_user(directory: Tenant) -> None:
    (row,) = get(directory, "Get-User", Identity="audit@contoso.com")
    assert (row["UserPrincipalName"], row["RecipientTypeDetails"]) == ("auditor@contoso.com", "MailUser")


def test_who_only_reads_does_not_see_send_as_rights(directory: Tenant) -> None:
    """office-docs-powershell issues 9428 and 7365: the role Mail Recipients is needed to read them."""
    assert "Get-RecipientPermission" not in catalogue(READER)
    with pytest.raises(CmdletError, match="is not recognized as the name of a cmdlet"):
        run_cmdlet(directory, READER, "Get-RecipientPermission", {})
    manager = Caller("manager", directory_roles=("Exchange Recipient Administrator",))
    assert run_cmdlet(directory, manager, "Get-RecipientPermission", {}).rows


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("Get-CASMailbox", "EmailAddresses -eq 'scan@contoso.com'", ["scan@contoso.com"]),
        ("Get-Recipient", "EmailAddresses -eq 'scan@contoso.com'", ["scan@contoso.com"]),
        ("Get-Recipient", "WindowsLiveID -eq 'scan@contoso.com'", ["bea@contoso.com"]),
        ("Get-Recipient", "DisplayName -eq 'helpdesk team' -or Alias -eq 'plant'",
         ["helpdesk@contoso.com", "plant@contoso.com"]),
        ("Get-Recipient", "RecipientTypeDetails -eq 'MailUser'", ["audit@contoso.com"]),
        ("Get-User", "WindowsEmailAddress -eq 'scan@contoso.com' -or UserPrincipalName -eq 'scan@contoso.com'",
         ["bea@contoso.com", "scan@contoso.com"]),
    ],
)  # fmt: skip
def test_a_filter_is_never_ambiguous(directory: Tenant, name: str, text: str, found: list[str]) -> None:
    rows = get(directory, name, Filter=text)
    assert sorted(row.get("PrimarySmtpAddress") or row["WindowsEmailAddress"] for row in rows) == found
    (row,) = get(directory, "Get-CASMailbox", Filter="EmailAddresses -eq 'scan@contoso.com'")
    run(directory, "Set-CASMailbox", Identity=row["Guid"], SmtpClientAuthenticationDisabled=True)
    (row,) = get(directory, "Get-CASMailbox", Filter=f"Guid -eq '{row['Guid']}'")
    assert row["SmtpClientAuthenticationDisabled"] is True


def test_an_id_means_one_mailbox_whatever_its_address_is_to_others(directory: Tenant) -> None:
    booking = {"PrimarySmtpAddress": "b@contoso.com", "DisplayName": "scan@contoso.com"}
    directory.merge(load_seed({"sandbox": 1, "objects": {"CASMailbox": [booking], "Mailbox": [booking]}}))
    (row,) = get(directory, "Get-CASMailbox", Filter="EmailAddresses -eq 'scan@contoso.com'")
    run(directory, "Set-CASMailbox", Identity=row["Guid"], SmtpClientAuthenticationDisabled=True)
    assert [r["Guid"] for r in get(directory, "Get-CASMailbox", Identity=row["Guid"])] == [row["Guid"]]
    assert "matches multiple entries" in refused(directory, "Get-CASMailbox", Identity="scan@contoso.com").message


def test_a_property_that_a_cmdlet_does_not_filter_on_is_refused(directory: Tenant) -> None:
    for name in ("WindowsLiveID", "Alias"):
        error = refused(directory, "Get-CASMailbox", Filter=f"{name} -eq 'x'")
        assert "is not a recognized filterable property" in error.message


@pytest.mark.parametrize("column", ["ObjectId", "AppId", "Guid", "Sid", "DisplayName"])
def test_an_application_can_be_a_trustee_by_each_of_its_names(directory: Tenant, column: str) -> None:
    (application,) = get(directory, "Get-ServicePrincipal")
    assert (application["AppId"], application["ObjectId"]) == (APP, OBJECT)
    right: dict[str, Any] = {"Identity": "erp@contoso.com", "Trustee": application[column], "AccessRights": ["SendAs"]}
    run(directory, "Add-RecipientPermission", **right)
    rows = get(directory, "Get-RecipientPermission", Identity="erp@contoso.com")
    assert {row["TrusteeSidString"] for row in rows} == {"S-1-5-10", application["Sid"]}
    run(directory, "Remove-RecipientPermission", **right | {"Trustee": OBJECT})
    assert len(get(directory, "Get-RecipientPermission", Identity="erp@contoso.com")) == 1
    assert "couldn't be found" in refused(directory, "Get-Recipient", Identity=OBJECT).message


def test_an_organization_is_customized_once_and_then_takes_scopes() -> None:
    """The refusal of New-ManagementScope names a cmdlet that the sandbox did not have."""
    tenant = Tenant()
    tenant.merge(load_seed({"sandbox": 1, "objects": {"OrganizationConfig": [{"IsDehydrated": True}]}}))
    scope = {"Name": "senders", "RecipientRestrictionFilter": "CustomAttribute1 -eq 'mail'"}
    with pytest.raises(CmdletError, match="Enable-OrganizationCustomization"):
        run_cmdlet(tenant, ADMIN, "New-ManagementScope", scope)
    run_cmdlet(tenant, ADMIN, "Enable-OrganizationCustomization", {})
    assert run_cmdlet(tenant, ADMIN, "Get-OrganizationConfig", {}).rows[0]["IsDehydrated"] is False
    run_cmdlet(tenant, ADMIN, "New-ManagementScope", scope)
    with pytest.raises(CmdletError, match="already enabled for customization"):
        run_cmdlet(tenant, ADMIN, "Enable-OrganizationCustomization", {})
