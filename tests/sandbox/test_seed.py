"""Seeds: our own form, dumps, and exports of real tenants."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, run_cmdlet
from provisioner.sandbox.exports import rows_of
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import USERS, Row, Tenant
from tests.recordings import recordings

SNAPSHOTS = recordings("exchange/snapshots/*.json")
ADMIN = Caller("admin", directory_roles=("Global Administrator",))
CMDLETS = {
    "transport_config": "Get-TransportConfig",
    "org_config": "Get-OrganizationConfig",
    "accepted_domains": "Get-AcceptedDomain",
    "remote_domains": "Get-RemoteDomain",
    "dkim_config": "Get-DkimSigningConfig",
    "conn_filter": "Get-HostedConnectionFilterPolicy",
    "inbound_connectors": "Get-InboundConnector",
    "outbound_connectors": "Get-OutboundConnector",
}


def seeded(*seeds: Any) -> Tenant:
    tenant = Tenant()
    for seed in seeds:
        tenant.merge(load_seed(seed))
    return tenant


def get(tenant: Tenant, name: str, **parameters: Any) -> list[Row]:
    return list(run_cmdlet(tenant, ADMIN, name, parameters).rows)


def ordered(rows: list[Row]) -> list[str]:
    """Rows as text with their keys in order: equal texts are equal keys, values and types."""
    return sorted(json.dumps(row) for row in rows)


@pytest.mark.parametrize("path", SNAPSHOTS)
def test_rows_of_a_real_export_come_back_exactly_as_they_are(path: Path) -> None:
    export = json.loads(path.read_text(encoding="utf-8-sig"))
    tenant = seeded({"sandbox": 1}, path)
    compared = 0
    for key, cmdlet in CMDLETS.items():
        if key in export:
            rows = rows_of(export[key])
            assert ordered(get(tenant, cmdlet)) == ordered(rows), key
            compared += len(rows)
    assert compared >= 5
    assert tenant.tenant_id == export["tenant_details"][0]["TenantId"]


@pytest.mark.parametrize("path", SNAPSHOTS)
def test_what_an_export_lacks_is_derived_from_it(path: Path) -> None:
    tenant = seeded(path)
    accepted = {row["DomainName"] for row in get(tenant, "Get-AcceptedDomain")}
    assert tenant.initial_domain in accepted
    assert {row["Domain"] for row in get(tenant, "Get-DkimSigningConfig")} <= accepted
    assert [row["Default"] for row in get(tenant, "Get-AcceptedDomain")].count(True) == 1
    graph = {row["id"]: row for row in tenant.graph["domains"]}
    assert accepted <= set(graph)
    assert graph[tenant.initial_domain]["isInitial"] is True
    assert tenant.graph["organization"]["id"] == tenant.tenant_id
    assert get(tenant, "Get-CASMailbox")


@pytest.mark.parametrize("path", SNAPSHOTS)
def test_a_loaded_export_can_be_written_to(path: Path) -> None:
    tenant = seeded(path)
    before = copy.deepcopy(get(tenant, "Get-TransportConfig")[0])
    other = not before["SmtpClientAuthenticationDisabled"]
    run_cmdlet(tenant, ADMIN, "Set-TransportConfig", {"SmtpClientAuthenticationDisabled": other})
    after = get(tenant, "Get-TransportConfig")[0]
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"SmtpClientAuthenticationDisabled", "WhenChanged", "WhenChangedUTC"}
    assert list(after) == list(before)
    assert after["WhenChanged"].endswith(before["WhenChanged"][-1])
    assert "Date(" in after["WhenChanged"]


def test_an_unverified_domain_of_an_export_is_graphs_but_not_accepted() -> None:
    verified = {"VerifiedDomains": {"Name": "x.onmicrosoft.com", "IsInitial": True}}
    settings = [{"Id": "new.example", "IsVerified": False}, {"Id": "X.onmicrosoft.com", "IsVerified": True}]
    details = {"TenantId": "t", "AADAdditionalData": verified}
    tenant = seeded({"tenant_details": details, "domain_settings": settings})
    assert [row["DomainName"] for row in tenant.rows("AcceptedDomain")] == ["x.onmicrosoft.com"]
    assert {row["id"]: row["isVerified"] for row in tenant.graph["domains"]} == {
        "new.example": False,
        "x.onmicrosoft.com": True,
    }


def test_dns_of_an_export_holds_the_cnames_of_what_was_valid() -> None:
    config = {
        "Domain": "contoso.com",
        "Status": "Valid",
        "Selector1CNAME": "s1.Example",
        "Selector2CNAME": "s2.example",
    }
    tenant = seeded({
        "org_config": {"Name": "contoso.onmicrosoft.com"},
        "dkim_config": [config, {**config, "Domain": "late.example", "Status": "CnameMissing"}],
        "spf_records": [{"domain": "contoso.com", "rdata": "v=spf1 -all"}],
        "dmarc_records": {"domain": "contoso.com", "rdata": ["v=DMARC1; p=none"]},
    })  # fmt: skip
    assert tenant.dns["selector1._domainkey.contoso.com"] == {"CNAME": ["s1.Example"]}
    assert "selector1._domainkey.late.example" not in tenant.dns
    assert tenant.dns["contoso.com"]["TXT"] == ["v=spf1 -all"]
    assert tenant.dns["_dmarc.contoso.com"] == {"TXT": ["v=DMARC1; p=none"]}


def test_unknown_keys_and_odd_rows_of_an_export_do_not_stop_it() -> None:
    transport = {"Name": "Transport Settings", "JournalingReportNdrTo": "u003cu003e", "New": {"Deep": [1.5]}}
    connector = {"Name": "a", "Comment": "&lt;b&gt;", "WhenChanged": "2026-01-01T00:00:00.1234567"}
    tenant = seeded({
        "scuba": [1], "aad": {"x": None}, "tenant_details": "None", "service_plans": None,
        "transport_config": transport, "inbound_connectors": [None, "text", connector],
    })  # fmt: skip
    assert get(tenant, "Get-TransportConfig") == [transport]
    assert get(tenant, "Get-InboundConnector", Identity="A") == [connector]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_powershell_are_read_in_each_of_its_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps({"org_config": [{"Name": "münchen.onmicrosoft.com"}]}, ensure_ascii=False), encoding)
    assert seeded(path).initial_domain == "münchen.onmicrosoft.com"


def test_partial_rows_get_the_services_defaults() -> None:
    tenant = seeded({
        "sandbox": 1,
        "tenant": {"id": "11111111-2222-4333-8444-555555555555", "initial_domain": "Fabrikam.onmicrosoft.com"},
        "objects": {
            "TransportConfig": {"SmtpClientAuthenticationDisabled": False},
            "InboundConnector": [{"Name": "hq", "SenderDomains": ["smtp:*;1"]}],
            "Strange": [{"Name": "kept"}],
        },
    })  # fmt: skip
    transport = get(tenant, "Get-TransportConfig")[0]
    assert transport["SmtpClientAuthenticationDisabled"] is False
    assert transport["MessageExpiration"] == "1.00:00:00"
    connector = get(tenant, "Get-InboundConnector")[0]
    assert connector["TlsSenderCertificateName"] is None
    assert connector["DistinguishedName"].startswith("CN=hq,CN=Transport Settings,CN=Configuration,CN=fabrikam")
    assert tenant.objects["Strange"] == [{"Name": "kept"}]
    assert seeded({**tenant.to_json()}).to_json()["objects"] == tenant.objects


def test_the_same_seed_gives_the_same_guids() -> None:
    document = {"sandbox": 1, "tenant": {"id": "t"}, "mailboxes": ["a@contoso.com"]}
    one, other = seeded(document), seeded(document)
    assert [row["Guid"] for row in one.rows("CASMailbox")] == [row["Guid"] for row in other.rows("CASMailbox")]
    assert one.rows("CASMailbox")[0]["Guid"] == one.rows("Mailbox")[0]["Guid"]


def test_later_seeds_are_merged_over_earlier_ones() -> None:
    tenant = seeded(
        {"sandbox": 1, "objects": {"InboundConnector": {"Name": "hq", "Comment": "one", "Enabled": False}}},
        {
            "sandbox": 1,
            "objects": {"InboundConnector": [{"Name": "HQ", "Comment": "two"}, {"Name": "branch"}]},
            "settings": {"shuffle": False},
        },
    )
    rows = get(tenant, "Get-InboundConnector")
    assert [(row["Name"], row["Comment"], row["Enabled"]) for row in rows] == [
        ("HQ", "two", False),
        ("branch", "", True),
    ]


def test_mailboxes_have_two_rows_a_user_and_an_accepted_domain() -> None:
    tenant = seeded({
        "sandbox": 1,
        "mailboxes": [
            "plain@contoso.com",
            {"address": "Full@fabrikam.com", "display_name": "Full", "aliases": ["other@fabrikam.com"],
             "smtp_client_authentication_disabled": False, "type": "SharedMailbox", "upn": "login@fabrikam.com"},
            {"count": 3, "domain": "many.example"},
        ],
    })  # fmt: skip
    assert len(tenant.rows("CASMailbox")) == len(tenant.rows("Mailbox")) == len(tenant.rows(USERS)) == 5
    full = get(tenant, "Get-CASMailbox", Identity="other@fabrikam.com")[0]
    assert full["SmtpClientAuthenticationDisabled"] is False
    assert "UserPrincipalName" not in full
    mailbox = get(tenant, "Get-Mailbox", Identity="login@fabrikam.com")[0]
    assert mailbox["RecipientTypeDetails"] == "SharedMailbox"
    user = next(user for user in tenant.graph["users"] if user["userPrincipalName"] == "login@fabrikam.com")
    assert user["id"] == mailbox["ExternalDirectoryObjectId"]
    accepted = {row["DomainName"] for row in tenant.rows("AcceptedDomain")}
    assert accepted == {"contoso.onmicrosoft.com", "contoso.com", "fabrikam.com", "many.example"}
    assert (
        get(tenant, "Get-CASMailbox", Identity="user00002@many.example")[0]["SmtpClientAuthenticationDisabled"] is None
    )


def test_mailboxes_with_the_same_local_part_have_names_of_their_own() -> None:
    tenant = seeded({"sandbox": 1, "mailboxes": ["info@contoso.com", "info@fabrikam.com"]})
    assert len({row["Name"] for row in tenant.rows("CASMailbox")}) == 2


def test_mailboxes_over_a_loaded_tenant_change_only_what_they_say() -> None:
    tenant = seeded(
        {"sandbox": 1, "mailboxes": [{"address": "a@contoso.com", "aliases": ["b@contoso.com"], "display_name": "A"}]},
        {"sandbox": 1, "mailboxes": [{"address": "A@contoso.com", "smtp_client_authentication_disabled": True}]},
    )
    row = tenant.rows("CASMailbox")[0]
    assert len(tenant.rows("CASMailbox")) == 1
    assert (row["DisplayName"], row["SmtpClientAuthenticationDisabled"]) == ("A", True)
    assert row["EmailAddresses"] == ["SMTP:a@contoso.com", "smtp:b@contoso.com"]


def test_a_row_of_an_export_replaces_the_one_that_was_there() -> None:
    row = {"Name": "hq", "Comment": "as exported"}
    tenant = seeded(
        {"sandbox": 1, "objects": {"InboundConnector": {"Name": "HQ", "SenderDomains": ["smtp:*;1"]}}},
        {"inbound_connectors": row, "transport_config": {"Name": "Transport Settings", "MaxSendSize": "Unlimited"}},
    )
    assert get(tenant, "Get-InboundConnector") == [row]
    assert get(tenant, "Get-TransportConfig") == [{"Name": "Transport Settings", "MaxSendSize": "Unlimited"}]


def test_a_new_identity_leaves_nothing_behind_that_nobody_changed() -> None:
    tenant = seeded({"sandbox": 1}, {"sandbox": 1, "tenant": {"id": "t", "initial_domain": "fabrikam.onmicrosoft.com"}})
    assert [row["DomainName"] for row in tenant.rows("AcceptedDomain")] == ["fabrikam.onmicrosoft.com"]
    assert [row["id"] for row in tenant.graph["domains"]] == ["fabrikam.onmicrosoft.com"]
    assert "fabrikam" in tenant.rows("TransportConfig")[0]["OrganizationId"]
    assert tenant.graph["organization"]["id"] == "t"


def test_verified_domains_of_graph_become_accepted_ones() -> None:
    domains = [
        {"id": "contoso.com", "isVerified": True, "isDefault": True},
        {"id": "late.example", "isVerified": False},
    ]
    tenant = seeded({"sandbox": 1, "graph": {"domains": domains}})
    assert {row["DomainName"]: row["Default"] for row in tenant.rows("AcceptedDomain")} == {
        "contoso.onmicrosoft.com": False,
        "contoso.com": True,
    }
    assert tenant.graph["domains"][:2] == domains


def test_yaml_words_and_dates_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "seed.yaml"
    path.write_text("sandbox: 1\nobjects:\n  InboundConnector:\n    - {Name: hq, WhenChanged: 2026-01-01T00:00:00Z}\n")
    assert seeded(path).rows("InboundConnector")[0]["WhenChanged"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "an empty list"),
        ("text", "mapping"),
        ({}, "neither"),
        ({"sandbox": 2}, "sandbox: 2"),
        ({"sandbox": 1, "mailbox": []}, "unknown keys: mailbox"),
        ({"sandbox": 1, "objects": []}, "objects must be a mapping"),
        ({"sandbox": 1, "objects": {"InboundConnector": ["hq"]}}, "objects of InboundConnector"),
        ({"sandbox": 1, "dns": {"contoso.com": ["v=spf1"]}}, "dns of contoso.com"),
        ({"sandbox": 1, "apps": ["x"]}, "apps"),
        ({"sandbox": 1, "mailboxes": ["nobody"]}, "'nobody' is not an address"),
        ({"sandbox": 1, "mailboxes": [{"address": "a@b.c", "smtp_auth": True}]}, "unknown keys smtp_auth"),
        ({"sandbox": 1, "mailboxes": {"count": "many"}}, "count must be a number"),
        ({"sandbox": 1, "mailboxes": [5]}, "mailboxes takes"),
    ],
)
def test_what_is_no_seed_is_refused_with_a_reason(document: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load_seed(document)


def test_a_damaged_dump_is_refused() -> None:
    with pytest.raises(ValueError, match="dump"):
        Tenant().merge(load_seed({"sandbox": 1, "dump": True}))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", b'{"sandbox": 1', "not JSON"),
        ("a.yaml", b"sandbox: [1", "not YAML"),
        ("a.json", b"\xff\x00\xff", "neither UTF-8 nor UTF-16"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_a_reason(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=told):
        load_seed(path)


def test_a_recipient_may_be_seeded_with_several_trustees_by_its_address() -> None:
    rights = [{"Identity": "invoices@contoso.com", "Trustee": f"{name}@contoso.com"} for name in ("erp", "fax")]
    mailboxes = [f"{name}@contoso.com" for name in ("invoices", "erp", "fax")]
    tenant = seeded({"sandbox": 1, "mailboxes": mailboxes, "objects": {"RecipientPermission": [*rights, rights[0]]}})
    found = get(tenant, "Get-RecipientPermission", Identity="invoices")
    assert sorted(row["Trustee"] for row in found) == ["NT AUTHORITY\\SELF", "erp@contoso.com", "fax@contoso.com"]
    assert all(row["AccessRights"] == ["SendAs"] for row in found if "contoso" in row["Trustee"])
    call = {
        "Identity": "invoices@contoso.com",
        "Trustee": "erp@contoso.com",
        "AccessRights": ["SendAs"],
        "Confirm": False,
    }
    run_cmdlet(tenant, ADMIN, "Remove-RecipientPermission", call)
    assert len(get(tenant, "Get-RecipientPermission", Identity="invoices")) == 2


CONNECTOR = {
    "Name": "hq", "Guid": "0b9ec700-0000-4000-8000-000000000001", "Enabled": True, "ConnectorType": "OnPremises",
    "ConnectorSource": "Default", "Comment": "", "SenderIPAddresses": "192.0.2.5", "SenderDomains": ["smtp:*;1"],
    "AssociatedAcceptedDomains": [], "RequireTls": True, "RestrictDomainsToIPAddresses": False,
    "RestrictDomainsToCertificate": False, "CloudServicesMailEnabled": False, "TreatMessagesAsInternal": False,
    "TlsSenderCertificateName": None, "EFTestMode": False, "EFSkipLastIP": False, "EFSkipIPs": [], "EFUsers": [],
    "ScanAndDropRecipients": [], "WhenChanged": "/Date(1752519548654)/",
}  # fmt: skip


CAMEL = {name[:1].lower() + name[1:]: value for name, value in CONNECTOR.items()}
JOINED = {**CONNECTOR, "SenderIPAddresses": "192.0.2.5 192.0.2.6", "EFUsers": {}}
REMOTE = {**CONNECTOR, "ConnectorType": {"value": 1, "Value": "OnPremises"}, "ConnectorType@data.type": "System.Enum"}
ANSWER = {"@odata.context": "https://outlook.office365.com/", "@adminapi.warnings": [], "value": [CONNECTOR]}
WRAPPED = {**CONNECTOR, "SenderIPAddresses": {"value": ["192.0.2.5"], "Count": 1}, "EFUsers": {"value": [], "Count": 0}}


@pytest.mark.parametrize(
    "document",
    [
        [CONNECTOR],
        CONNECTOR,
        {"value": [CONNECTOR], "Count": 1},  # Windows PowerShell
        [WRAPPED],
        [CONNECTOR, None],
        [CAMEL],
        [REMOTE],
        ANSWER,
        {"Get-InboundConnector": CONNECTOR, "TransportConfig": {"SmtpClientAuthenticationDisabled": True}},
        {
            "MetaData": {"Tool": "ScubaGear"},
            "Results": {},
            "Raw": {"inbound_connectors": [{**CONNECTOR, "SenderIPAddresses": ["192.0.2.5"]}]},
        },
    ],
    ids=lambda document: json.dumps(document)[:60],
)
def test_what_one_cmdlet_returned_is_known_by_its_columns(document: Any, tmp_path: Path) -> None:
    (tmp_path / "connectors.json").write_bytes(json.dumps(document).encode("utf-16"))
    tenant = Tenant()
    for seed in ({"sandbox": 1}, tmp_path / "connectors.json"):
        tenant.merge(load_seed(seed))
    (row,) = get(tenant, "Get-InboundConnector")
    shown = (row["Name"], row["ConnectorType"], row["SenderIPAddresses"], row["RequireTls"], row["EFUsers"])
    assert shown == ("hq", "OnPremises", ["192.0.2.5"], True, [])


def test_entries_that_powershell_joined_are_a_list_again_and_lost_ones_are_refused() -> None:
    tenant = Tenant()
    tenant.merge(load_seed([JOINED]))
    (row,) = get(tenant, "Get-InboundConnector")
    assert (row["SenderIPAddresses"], row["EFUsers"]) == (["192.0.2.5", "192.0.2.6"], [])
    with pytest.raises(ValueError, match=r"SenderIPAddresses holds 'System\.Object.*ConvertTo-Json -Depth 4"):
        load_seed([{**CONNECTOR, "SenderIPAddresses": "System.Object[]"}])


@pytest.mark.parametrize("odd", [[{"a": 1}], [{}], [3], {"value": [], "Count": 0}, {"Name": "x", "Enabled": True}])
def test_rows_of_no_known_cmdlet_are_refused_with_what_is_taken(odd: Any) -> None:
    with pytest.raises(ValueError, match=r"do not say which cmdlet|nor what one cmdlet"):
        load_seed(odd)
