"""Policies of Graph as CIPP, Maester and ScubaGear ask for them; without HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.graph import GraphService
from provisioner.sandbox.graph_calls import Call, GraphError
from provisioner.sandbox.graph_front import _options, _split_path
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

OFFICE, COUNTRY, POLICY = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    tenant = Tenant()
    graph = {
        "securityDefaults": {"isEnabled": True},
        "authorizationPolicy": {"allowInvitesFrom": "none"},
        "namedLocations": [
            {"@odata.type": "#microsoft.graph.ipNamedLocation", "id": OFFICE, "displayName": "Office",
             "isTrusted": True, "createdDateTime": "2024-03-01T08:00:00Z",
             "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "192.0.2.0/24"}]},
            {"@odata.type": "#microsoft.graph.countryNamedLocation", "id": COUNTRY, "displayName": "Home",
             "createdDateTime": "2019-03-01T08:00:00Z", "countriesAndRegions": ["GB"]},
        ],
        "conditionalAccessPolicies": [{"id": POLICY, "displayName": "Block legacy", "state": "enabled"}],
    }  # fmt: skip
    tenant.merge(load_seed({"sandbox": 1, "settings": {"shuffle": False}, "graph": graph}))
    return tenant


def ask(tenant: Tenant, url: str, *, beta: bool = False, roles: tuple[str, ...] = ("Policy.Read.All",)) -> Any:
    path, _, query = url.partition("?")
    base = "https://graph/beta" if beta else "https://graph/v1.0"
    call = Call("GET", _split_path(path), _options(query), {}, None, base, frozenset(roles))
    return GraphService(tenant).answer(call).body


def names(answer: Any) -> list[str]:
    return [row["displayName"] for row in answer["value"]]


def test_a_single_policy_is_what_a_tenant_has_from_the_start_under_what_the_seed_says(tenant: Tenant) -> None:
    assert ask(tenant, "policies/identitySecurityDefaultsEnforcementPolicy")["isEnabled"] is True
    policy = ask(tenant, "Policies/authorizationpolicy")
    assert policy["@odata.context"] == "https://graph/v1.0/$metadata#policies/authorizationPolicy/$entity"
    assert [policy["allowInvitesFrom"], policy["allowedToUseSSPR"]] == ["none", True]
    assert ask(tenant, "policies/adminConsentRequestPolicy")["isEnabled"] is False


def test_the_authorization_policy_is_a_collection_in_beta(tenant: Tenant) -> None:
    (listed,) = ask(tenant, "policies/authorizationPolicy", beta=True)["value"]
    one = ask(tenant, "policies/authorizationPolicy/authorizationPolicy?$select=allowInvitesFrom", beta=True)
    assert one["allowInvitesFrom"] == listed["allowInvitesFrom"] == "none"
    assert "value" not in one


@pytest.mark.parametrize(
    "part", ["authenticationMethodConfigurations('sms')", "AuthenticationMethodConfigurations/Sms"]
)
def test_a_way_to_sign_in_is_found_by_both_forms_of_its_key(part: str, tenant: Tenant) -> None:
    policy = ask(tenant, "policies/authenticationMethodsPolicy")
    assert {"Sms", "Fido2"} <= {row["id"] for row in policy["authenticationMethodConfigurations"]}
    found = ask(tenant, f"policies/authenticationMethodsPolicy/{part}", beta=True)
    assert [found["id"], found["state"]] == ["Sms", "enabled"]
    assert found["@odata.type"] == "#microsoft.graph.smsAuthenticationMethodConfiguration"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Office", "Home"]),
        ("?$filter=isof('microsoft.graph.ipNamedLocation')", ["Office"]),
        ("?$filter=createdDateTime ge 2020-01-01T00:00:00Z", ["Office"]),
        ("?filter=displayName eq 'home'", ["Home"]),
    ],
)
def test_named_locations_are_listed_and_filtered(query: str, found: list[str], tenant: Tenant) -> None:
    answer = ask(tenant, f"identity/conditionalAccess/namedLocations{query}")
    assert names(answer) == found
    assert ask(tenant, f"identity/conditionalAccess/namedLocations{query or '?'}&$count=true")["@odata.count"] == len(
        found
    )


def test_one_location_and_one_policy_are_read_by_their_ids(tenant: Tenant) -> None:
    office = ask(tenant, f"identity/conditionalAccess/namedLocations/{OFFICE}")
    assert office["ipRanges"][0]["cidrAddress"] == "192.0.2.0/24"
    assert ask(tenant, f"identity/conditionalAccess/policies/{POLICY}")["state"] == "enabled"
    assert names(ask(tenant, "policies/conditionalAccessPolicies")) == ["Block legacy"]
    with pytest.raises(GraphError) as refused:
        ask(tenant, f"identity/conditionalAccess/namedLocations/{POLICY}")
    assert [refused.value.status, refused.value.code] == [404, "Request_ResourceNotFound"]


@pytest.mark.parametrize(
    ("url", "roles", "status"),
    [
        ("policies/authorizationPolicy", ("User.Read.All",), 403),
        ("identity/conditionalAccess/namedLocations", ("User.Read.All",), 403),
        ("policies/authenticationMethodsPolicy", ("Policy.Read.AuthenticationMethod",), 200),
        ("policies/activityBasedTimeoutPolicies", ("Policy.Read.All",), 400),
        ("identity/conditionalAccess", ("Policy.Read.All",), 400),
        ("policies", ("Policy.Read.All",), 400),
    ],
)
def test_other_tokens_and_other_policies_are_refused(
    url: str, roles: tuple[str, ...], status: int, tenant: Tenant
) -> None:
    if status == 200:
        assert ask(tenant, url, roles=roles)
        return
    with pytest.raises(GraphError) as refused:
        ask(tenant, url, roles=roles)
    assert refused.value.status == status
    assert ("x-ms-sandbox-not-modelled" in refused.value.headers) is (status == 400)
