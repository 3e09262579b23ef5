"""Groups, applications and directory objects in Graph, with its query options; without HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from provisioner.sandbox.graph import GraphService
from provisioner.sandbox.graph_calls import NOT_MODELLED, Call, GraphError
from provisioner.sandbox.graph_front import _options, _split_path
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

STAFF, PRINTERS, ANN, BOB = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3, 4))
APP, APP_OBJECT = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2"
READ = (
    "AuditLog.Read.All",
    "User.Read.All",
    "Group.Read.All",
    "Directory.Read.All",
    "Application.Read.All",
    "Organization.Read.All",
)


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    tenant = Tenant()
    seed = {
        "sandbox": 1,
        "settings": {"shuffle": False},
        "graph": {
            "groups": [
                {"id": STAFF, "displayName": "All Staff", "securityEnabled": True, "mailEnabled": False,
                 "owners": [BOB]},
                {"id": PRINTERS, "displayName": "Printer owners", "description": "who repairs the printers",
                 "memberOf": [STAFF]},
            ],
            "users": [
                {"id": ANN, "userPrincipalName": "ann@contoso.com", "displayName": "Ann Park", "memberOf": [PRINTERS]},
                {"id": BOB, "userPrincipalName": "bob@contoso.com", "displayName": "Bob Ann", "memberOf": [STAFF],
                 "manager": ANN},
            ],
            "roleAssignments": [{"id": "r", "principalId": ANN, "directoryScopeId": "/",
                                 "roleDefinitionId": "29232cdf-9323-42fd-ade2-1d097af3e4de"}],
        },
        "objects": {"DistributionGroup": [{"Name": "Scanners", "PrimarySmtpAddress": "scanners@contoso.com"}]},
        "apps": [{"displayName": "erp", "appId": APP, "objectId": APP_OBJECT, "secrets": [], "certificates": [],
                  "memberOf": [STAFF, PRINTERS], "appRoles": {"https://graph.microsoft.com": ["Mail.Send"]}}],
    }  # fmt: skip
    tenant.merge(load_seed(seed))
    return tenant


def ask(
    tenant: Tenant, url: str, *, user: str = "", body: Any = None, beta: bool = False, eventual: bool = False
) -> Any:
    """The body of the answer to a GET, or to a POST where there is a body."""
    path, _, query = url.partition("?")
    call = Call(
        method="GET" if body is None else "POST",
        path=_split_path(path),
        params=dict(parse_qsl(query)),
        headers={"consistencylevel": "eventual"} if eventual else {},
        body=body,
        base="https://graph/beta" if beta else "https://graph/v1.0",
        roles=frozenset(READ),
        user=user,
    )
    return GraphService(tenant).answer(call).body


def ids(answer: Any) -> list[str]:
    return [row["id"] for row in answer["value"]]


def test_groups_of_the_directory_and_of_exchange_are_listed(tenant: Tenant) -> None:
    rows = {row["displayName"]: row for row in ask(tenant, "groups")["value"]}
    assert set(rows) == {"All Staff", "Printer owners", "Scanners"}
    mail = rows["Scanners"]
    assert [mail["mailEnabled"], mail["securityEnabled"], mail["mail"]] == [True, True, "scanners@contoso.com"]
    assert "memberOf" not in rows["Printer owners"]
    assert ask(tenant, f"groups/{mail['id']}?$select=displayName") == {
        "@odata.context": "https://graph/v1.0/$metadata#groups(displayName)/$entity",
        "displayName": "Scanners",
        "id": mail["id"],
    }


def test_members_are_of_several_types_direct_and_nested(tenant: Tenant) -> None:
    direct = ask(tenant, f"groups/{STAFF}/members")["value"]
    assert {(row["@odata.type"], row["id"]) for row in direct} == {
        ("#microsoft.graph.group", PRINTERS),
        ("#microsoft.graph.user", BOB),
        ("#microsoft.graph.servicePrincipal", APP_OBJECT),
    }
    nested = ids(ask(tenant, f"groups('{STAFF}')/transitiveMembers"))
    assert sorted(nested) == sorted([PRINTERS, BOB, ANN, APP_OBJECT]), "each once, by whatever way"
    assert ids(ask(tenant, f"groups/{STAFF}/transitiveMembers/microsoft.graph.user?$select=displayName")) == [BOB, ANN]
    assert ask(tenant, f"groups/{STAFF}/members/$count", eventual=True) == 3
    assert ids(ask(tenant, f"groups/{STAFF}/owners")) == [BOB]
    assert ids(ask(tenant, f"users/{ANN}/memberOf")) == [PRINTERS]
    assert ids(ask(tenant, "users/ann@contoso.com/transitiveMemberOf")) == [PRINTERS, STAFF]
    assert ask(tenant, f"users/{ANN}/getMemberGroups", body={"securityEnabledOnly": False})["value"] == [
        PRINTERS,
        STAFF,
    ]


def test_memberships_of_a_user_are_cast_counted_and_checked(tenant: Tenant) -> None:
    assert ids(ask(tenant, f"users/{ANN}/memberOf/microsoft.graph.group?$select=id")) == [PRINTERS]
    assert ask(tenant, f"users/{ANN}/transitiveMemberOf/microsoft.graph.group/$count", eventual=True) == 2
    checked = ask(tenant, f"users/{ANN}/checkMemberGroups", body={"groupIds": [STAFF, "nobody", PRINTERS]})
    assert checked["value"] == [STAFF, PRINTERS]
    with pytest.raises(GraphError, match="segment 'x'"):
        ask(tenant, f"users/{ANN}/licenseDetails/x")


def test_directory_objects_are_found_by_id_whatever_their_type(tenant: Tenant) -> None:
    found = ask(tenant, "directoryObjects/getByIds", body={"ids": [ANN, STAFF, APP_OBJECT, "nobody"]})["value"]
    kinds = ["#microsoft.graph.user", "#microsoft.graph.group", "#microsoft.graph.servicePrincipal"]
    assert [row["@odata.type"] for row in found] == kinds
    only = ask(tenant, "directoryObjects/getByIds", body={"ids": [ANN, STAFF], "types": ["group"]})
    assert ids(only) == [STAFF]
    assert ask(tenant, f"directoryObjects/{ANN}")["userPrincipalName"] == "ann@contoso.com"


def test_applications_answer_by_id_and_by_app_id(tenant: Tenant) -> None:
    (row,) = ask(tenant, f"applications?$filter=appId eq '{APP}'")["value"]
    assert row == {k: v for k, v in ask(tenant, f"applications(appId='{APP}')").items() if k != "@odata.context"}
    assert row["id"] != APP_OBJECT
    assert row["requiredResourceAccess"][0]["resourceAccess"][0]["type"] == "Role"
    assert ask(tenant, f"servicePrincipals(appId='{APP}')")["id"] == APP_OBJECT
    by_name = ask(tenant, f"servicePrincipals?$filter=servicePrincipalNames/any(n:n eq '{APP}')&$select=appId")
    assert by_name["value"] == [{"appId": APP, "id": APP_OBJECT}]


def test_roles_have_their_members(tenant: Tenant) -> None:
    (role,) = ask(tenant, "directoryRoles")["value"]
    assert role["displayName"] == "Exchange Administrator"
    assert ids(ask(tenant, f"directoryRoles(roleTemplateId='{role['roleTemplateId']}')/members")) == [ANN]


def test_search_needs_its_header_and_searches_words_of_names(tenant: Tenant) -> None:
    with pytest.raises(GraphError, match="ConsistencyLevel: eventual") as refused:
        ask(tenant, 'users?$search="displayName:ann"')
    assert (refused.value.status, refused.value.code) == (400, "Request_UnsupportedQuery")
    assert set(ids(ask(tenant, 'users?$search="displayName:ann"', eventual=True))) == {ANN, BOB}
    assert ids(ask(tenant, 'users?$search="userPrincipalName:ann"', eventual=True)) == [ANN]
    both = '"displayName:ann" AND "userPrincipalName:bob" OR "displayName:nobody"'
    assert ids(ask(tenant, f"users?$search={both}", eventual=True)) == [BOB]
    assert ids(ask(tenant, 'groups?$search="description:repairs"', eventual=True)) == [PRINTERS]


def test_lists_are_counted_filtered_and_sorted(tenant: Tenant) -> None:
    counted = ask(tenant, "groups?$count=true&$filter=startswith(displayName,'a')&$top=1", eventual=True)
    assert (counted["@odata.count"], ids(counted)) == (1, [STAFF])
    assert ask(tenant, "groups/$count", eventual=True) == 3
    names = [row["displayName"] for row in ask(tenant, "groups?$orderby=displayName desc")["value"]]
    assert names == ["Scanners", "Printer owners", "All Staff"]
    with pytest.raises(GraphError, match="Sorting not supported"):
        ask(tenant, "groups?$orderby=displayName&$filter=mailEnabled eq true")
    with pytest.raises(GraphError, match=r"microsoft\.graph\.group"):
        ask(tenant, "groups?$filter=nonsense eq 'x'")
    with pytest.raises(GraphError, match="skip"):
        ask(tenant, "groups?$skip=5")


def test_related_objects_stand_inside_of_their_rows(tenant: Tenant) -> None:
    """As public tools ask: CIPP-API, maester, cli-microsoft365."""
    (group,) = ask(tenant, "groups?$filter=displayName eq 'All Staff'&$expand=members($select=userPrincipalName)")[
        "value"
    ]
    assert {row["id"]: row.get("userPrincipalName") for row in group["members"]} == {
        PRINTERS: None,
        BOB: "bob@contoso.com",
        APP_OBJECT: None,
    }
    assert group["displayName"] == "All Staff"
    found = ask(tenant, f"groups/{STAFF}?$select=id&$expand=owners")
    assert found["@odata.context"] == "https://graph/v1.0/$metadata#groups(id,owners())/$entity"
    assert [row["displayName"] for row in found["owners"]] == ["Bob Ann"]
    assignments = {
        r["id"]: r["appRoleAssignments"] for r in ask(tenant, "servicePrincipals?$expand=appRoleAssignments")["value"]
    }
    assert [row["resourceDisplayName"] for row in assignments[APP_OBJECT]] == ["Microsoft Graph"]
    (role,) = ask(tenant, "roleManagement/directory/roleAssignments?$expand=principal,roleDefinition")["value"]
    assert (role["principal"]["id"], role["roleDefinition"]["displayName"]) == (ANN, "Exchange Administrator")


def test_a_user_has_one_manager_or_none(tenant: Tenant) -> None:
    rows = {row["id"]: row for row in ask(tenant, "users?$expand=manager($select=displayName)&$select=id")["value"]}
    assert rows[BOB]["manager"] == {"@odata.type": "#microsoft.graph.user", "id": ANN, "displayName": "Ann Park"}
    assert "manager" not in rows[ANN]
    assert ask(tenant, f"users/{BOB}/manager?$select=id")["id"] == ANN
    assert ids(ask(tenant, f"users/{ANN}/directReports")) == [BOB]
    with pytest.raises(GraphError, match="Resource 'manager' does not exist") as refused:
        ask(tenant, f"users/{ANN}/manager")
    assert refused.value.status == 404


def test_one_relationship_is_expanded_with_20_objects_at_most() -> None:
    """Microsoft Graph known issues; microsoft-graph-docs issue 96."""
    tenant = Tenant()
    users = [{"id": f"u{n}", "userPrincipalName": f"u{n}@contoso.com", "memberOf": [STAFF]} for n in range(25)]
    tenant.merge(load_seed({"sandbox": 1, "graph": {"groups": [{"id": STAFF}], "users": users}}))
    assert len(ask(tenant, f"groups/{STAFF}?$expand=members")["members"]) == 20
    with pytest.raises(GraphError, match="at least 2 items, but the maximum allowed is 1"):
        ask(tenant, "users?$expand=manager,memberOf")


def test_members_show_the_properties_of_their_types(tenant: Tenant) -> None:
    rows = {
        row["id"]: row for row in ask(tenant, f"groups/{STAFF}/members?$select=displayName,accountEnabled")["value"]
    }
    assert "accountEnabled" in rows[BOB]
    assert "accountEnabled" not in rows[PRINTERS]
    (shown,) = ask(tenant, "directoryObjects/getByIds?$select=mail", body={"ids": [BOB]})["value"]
    assert set(shown) == {"@odata.type", "mail", "id"}


def test_properties_are_named_in_any_case(tenant: Tenant) -> None:
    """graph-explorer issue 2111; msgraph-sdk-powershell issue 1869 (`UserPrincipalName eq`)."""
    (row,) = ask(tenant, "users?$filter=UserPrincipalName eq 'ann@contoso.com'&$select=DisplayName")["value"]
    assert row == {"displayName": "Ann Park", "id": ANN}
    assert ids(ask(tenant, "users?$orderby=DISPLAYNAME desc")) == [BOB, ANN]


def test_query_options_need_no_dollar() -> None:
    """Learn, "Use query parameters"; CIPP-API writes `expand=owners` and `filter=…`."""
    assert _options("filter=a eq 'b'&%24Top=5&api-version=beta") == {
        "$filter": "a eq 'b'",
        "$top": "5",
        "api-version": "beta",
    }


def test_what_is_not_modelled_says_so(tenant: Tenant) -> None:
    for url in ("groups?$expand=drive", "users?$expand=manager($filter=id eq 'x')", f"groups/{STAFF}/drive", "teams"):
        with pytest.raises(GraphError) as refused:
            ask(tenant, url)
        assert NOT_MODELLED in refused.value.headers


def test_beta_answers_as_v1_does(tenant: Tenant) -> None:
    answer = ask(tenant, "groups", beta=True)
    assert answer["@odata.context"] == "https://graph/beta/$metadata#groups"
    assert len(answer["value"]) == 3


def test_me_is_the_user_who_signed_in(tenant: Tenant) -> None:
    assert ask(tenant, "me", user=BOB)["userPrincipalName"] == "bob@contoso.com"
    assert ids(ask(tenant, "me/memberOf", user=BOB)) == [STAFF]
    with pytest.raises(GraphError, match="delegated authentication"):
        ask(tenant, "me")


def test_the_organization_says_what_its_domains_are_for(tenant: Tenant) -> None:
    (organization,) = ask(tenant, "organization")["value"]
    assert {row["capabilities"] for row in organization["verifiedDomains"]} == {"Email, OfficeCommunicationsOnline"}


def test_users_with_exchange_plans_have_a_subscription() -> None:
    tenant = Tenant()
    tenant.merge(load_seed({"sandbox": 1, "mailboxes": ["erp@contoso.com", {"count": 3, "domain": "contoso.com"}]}))
    (sku,) = ask(tenant, "subscribedSkus")["value"]
    assert (sku["skuPartNumber"], sku["consumedUnits"]) == ("EXCHANGEENTERPRISE", 4)
    assert sku["servicePlans"][0]["servicePlanId"] == tenant.graph["users"][0]["assignedPlans"][0]["servicePlanId"]


@pytest.mark.parametrize(
    ("url", "eventual", "found"),
    [
        ("users?$filter=createdDateTime ge 2024-01-01T00:00:00Z", False, [ANN]),
        ("users?$filter=createdDateTime le 2024-01-01T00:00:00Z", False, [BOB]),
        ("users?$filter=signInActivity/lastSignInDateTime eq '2024-05-01T00:00:00Z'", False, [ANN]),
        ("users?$filter=companyName eq 'Contoso'&$count=true", True, [ANN]),
        ("users?$filter=onPremisesExtensionAttributes/extensionAttribute1 eq 'mfp'&$count=true", True, [BOB]),
    ],
)
def test_dates_compare_and_some_properties_need_an_advanced_query(url: str, eventual: bool, found: list[str]) -> None:
    """Learn, "Advanced query capabilities on Microsoft Entra ID objects", the table of $filter by property."""
    tenant = Tenant()
    users = [
        {"id": ANN, "userPrincipalName": "ann@contoso.com", "createdDateTime": "2024-05-01T00:00:00Z",
         "companyName": "Contoso", "signInActivity": {"lastSignInDateTime": "2024-05-01T00:00:00Z"}},
        {"id": BOB, "userPrincipalName": "bob@contoso.com", "createdDateTime": "2020-05-01T00:00:00Z",
         "onPremisesExtensionAttributes": {"extensionAttribute1": "mfp"}},
    ]  # fmt: skip
    tenant.merge(load_seed({"sandbox": 1, "graph": {"users": users}}))
    assert ids(ask(tenant, url, eventual=eventual)) == found
    if eventual:
        with pytest.raises(GraphError, match="Unsupported or invalid query filter clause"):
            ask(tenant, url)


@pytest.mark.parametrize(
    "url",
    [
        "groups?$select=id,assignedLicenses,hideFromAddressLists",
        "groups?$filter=resourceProvisioningOptions/Any(x:x eq 'Team')",
        "applications?$select=id,appId,addIns,web,publicClient",
        "users?$select=userPrincipalName,perUserMfaState",
    ],
)
def test_columns_that_administration_tools_ask_for_are_known(url: str, tenant: Tenant) -> None:
    assert "value" in ask(tenant, url, beta=True)


def test_permissions_have_the_ids_that_scripts_know_and_applications_their_owner(tenant: Tenant) -> None:
    exchange = ask(tenant, "servicePrincipals(appId='00000002-0000-0ff1-ce00-000000000000')")
    roles = {role["value"]: role["id"] for role in exchange["appRoles"]}
    assert roles["Exchange.ManageAsApp"] == "dc50a0fb-09a3-484d-be87-e023b12c6440"
    assert roles["IMAP.AccessAsApp"] == "5e5addcd-3e8d-4e90-baf5-964efab2b20a"
    microsoft = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
    listed = ask(tenant, f"servicePrincipals?$filter=appOwnerOrganizationId eq {microsoft}&$count=true", eventual=True)
    assert {row["displayName"] for row in listed["value"]} == {"Office 365 Exchange Online", "Microsoft Graph"}


def test_one_role_is_read_by_its_id(tenant: Tenant) -> None:
    found = ask(tenant, "roleManagement/directory/roleDefinitions/29232cdf-9323-42fd-ade2-1d097af3e4de")
    assert found["displayName"] == "Exchange Administrator"


def test_what_a_seed_gives_no_id_has_one(tenant: Tenant) -> None:
    """A group by its name alone was listed with `id` null, and its members were a crash."""
    named = Tenant()
    named.merge(load_seed({"sandbox": 1, "graph": {"groups": [{"displayName": "Printers"}]}}))
    (group,) = ask(named, "groups")["value"]
    assert ask(named, f"groups/{group['id']}/members")["value"] == []


def test_contacts_grants_audits_and_settings_of_the_directory_are_listed() -> None:
    tenant = Tenant()
    audit = {"id": "a", "activityDisplayName": "Add service principal", "activityDateTime": "2026-01-01T00:00:00Z"}
    seed = {
        "sandbox": 1,
        "graph": {"directoryAudits": [audit]},
        "objects": {"MailContact": [{"Name": "Partner", "ExternalEmailAddress": "SMTP:partner@fabrikam.example"}]},
        "apps": [{"displayName": "erp", "appId": APP, "objectId": APP_OBJECT, "secrets": [], "certificates": [],
                  "delegated": {"https://graph.microsoft.com": ["Mail.Send", "User.Read"]}}],
    }  # fmt: skip
    tenant.merge(load_seed(seed))
    (contact,) = ask(tenant, "contacts?$filter=mail eq 'partner@fabrikam.example'")["value"]
    assert contact["displayName"] == "Partner"
    (grant,) = ask(tenant, "oauth2PermissionGrants")["value"]
    assert [grant["clientId"], grant["scope"]] == [APP_OBJECT, "Mail.Send User.Read"]
    assert ask(tenant, f"servicePrincipals/{APP_OBJECT}/oauth2PermissionGrants")["value"] == [grant]
    asked = "auditLogs/directoryAudits?$filter=activityDateTime ge 2025-12-31T00:00:00Z&$orderby=activityDateTime desc"
    assert ids(ask(tenant, asked)) == ["a"]
    assert ask(tenant, "settings", beta=True)["value"] == ask(tenant, "groupSettings")["value"] == []


def test_one_property_is_read_by_its_path_and_delta_is_no_object(tenant: Tenant) -> None:
    found = ask(tenant, f"users/{ANN}/UserPrincipalName")
    assert found["value"] == "ann@contoso.com"
    for url in ("users/delta", "groups/delta", f"users/{ANN}/mailboxSettings"):
        with pytest.raises(GraphError) as refused:
            ask(tenant, url)
        assert refused.value.headers[NOT_MODELLED] == f"the path segment {url.rpartition('/')[2]}"
