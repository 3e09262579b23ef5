"""Which policies of Conditional Access refuse a password over SMTP: a table, without sockets."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.access_policies import refuse_password
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

USER = "11111111-0000-4000-8000-000000000001"
GROUP = "22222222-0000-4000-8000-000000000002"
ROLE, OF_GROUP, OF_UNIT, OF_ANOTHER = (f"44444444-0000-4000-8000-00000000000{n}" for n in range(4))
ASSIGNED = [
    {"id": "a1", "principalId": USER, "roleDefinitionId": ROLE, "directoryScopeId": "/"},
    {"id": "a2", "principalId": GROUP, "roleDefinitionId": OF_GROUP, "directoryScopeId": "/"},
    {"id": "a3", "principalId": USER, "roleDefinitionId": OF_UNIT, "directoryScopeId": "/administrativeUnits/u"},
    {"id": "a4", "principalId": "another", "roleDefinitionId": OF_ANOTHER, "directoryScopeId": "/"},
]

BLOCK: dict[str, Any] = {
    "id": "33333333-0000-4000-8000-000000000003",
    "state": "enabled",
    "conditions": {
        "clientAppTypes": ["exchangeActiveSync", "other"],
        "applications": {"includeApplications": ["All"], "excludeApplications": []},
        "users": {"includeUsers": ["All"], "excludeUsers": [], "includeGroups": [], "excludeGroups": []},
    },
    "grantControls": {"operator": "OR", "builtInControls": ["block"]},
}


def changed(*path: str, to: Any) -> dict[str, Any]:
    """The policy with one value changed."""
    policy = {**BLOCK, "conditions": {key: dict(v) if isinstance(v, dict) else v for key, v in conditions().items()}}
    place = policy
    for key in path[:-1]:
        place[key] = dict(place[key])
        place = place[key]
    place[path[-1]] = to
    return policy


def conditions() -> dict[str, Any]:
    found: dict[str, Any] = BLOCK["conditions"]
    return found


@pytest.mark.parametrize(
    ("policy", "refuses"),
    [
        (BLOCK, True),
        (changed("state", to="disabled"), False),
        (changed("state", to="enabledForReportingButNotEnforced"), False),
        (changed("conditions", "clientAppTypes", to=["browser", "mobileAppsAndDesktopClients"]), False),
        (changed("conditions", "clientAppTypes", to=["exchangeActiveSync"]), False),
        (changed("conditions", "clientAppTypes", to=["all"]), True),
        (changed("conditions", "clientAppTypes", to=[]), True),
        (changed("grantControls", "builtInControls", to=["mfa"]), True),
        (changed("grantControls", "builtInControls", to=["compliantDevice", "domainJoinedDevice"]), True),
        (changed("grantControls", to=None), False),
        (changed("grantControls", to={"builtInControls": [], "authenticationStrength": {"id": "x"}}), True),
        (changed("conditions", "applications", "includeApplications", to=["None"]), False),
        (changed("conditions", "applications", "includeApplications", to=["Office365"]), True),
        (changed("conditions", "applications", "excludeApplications", to=["00000002-0000-0ff1-ce00-000000000000"]),
         False),
        (changed("conditions", "users", "includeUsers", to=[USER.upper()]), True),
        (changed("conditions", "users", "includeUsers", to=["44444444-0000-4000-8000-000000000004"]), False),
        (changed("conditions", "users", "excludeUsers", to=[USER]), False),
        (changed("conditions", "users", "excludeGroups", to=[GROUP]), False),
        (changed("conditions", "users", to={"includeUsers": [], "includeGroups": [GROUP]}), True),
        (changed("conditions", "users", to={"includeUsers": [], "includeGroups": [USER[:-1] + "9"]}), False),
        (changed("conditions", "users", to={"includeRoles": [ROLE]}), True),
        (changed("conditions", "users", to={"includeRoles": [OF_GROUP]}), True),
        (changed("conditions", "users", to={"includeRoles": [OF_UNIT, OF_ANOTHER, GROUP]}), False),
        (changed("conditions", "users", "excludeRoles", to=[OF_GROUP.upper()]), False),
        (changed("conditions", "users", "excludeRoles", to=[OF_UNIT]), True),
        (changed("conditions", "locations", to={"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]}),
         False),
    ],
)  # fmt: skip
def test_which_policies_refuse(policy: dict[str, Any], refuses: bool) -> None:
    tenant = Tenant()
    user = {"id": USER, "userPrincipalName": "erp@contoso.com", "mail": "erp@contoso.com", "memberOf": [GROUP]}
    graph = {"users": [user], "conditionalAccessPolicies": [policy], "roleAssignments": ASSIGNED}
    tenant.merge(load_seed({"sandbox": 1, "mailboxes": ["erp@contoso.com"], "graph": graph}))
    (owner,) = [row for row in tenant.rows("Mailbox") if row["PrimarySmtpAddress"] == "erp@contoso.com"]
    assert refuse_password(tenant, owner) is refuses
