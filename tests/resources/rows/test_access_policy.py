"""Which policies of Conditional Access can refuse a password over SMTP, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.resources.rows.access_policy import COLUMNS, REQUEST, AccessPolicy, decode

EXCHANGE = "00000002-0000-0FF1-CE00-000000000000"
BLOCK: dict[str, Any] = {
    "id": "p1",
    "displayName": "Block legacy",
    "state": "enabled",
    "conditions": {
        "clientAppTypes": ["exchangeActiveSync", "other"],
        "applications": {"includeApplications": ["All"], "excludeApplications": []},
        "users": {"includeUsers": ["All"], "excludeUsers": None, "includeGroups": [], "excludeGroups": []},
        "locations": None,
        "signInRiskLevels": [],
    },
    "grantControls": {"operator": "OR", "builtInControls": ["block"]},
}
NOBODY: frozenset[str] = frozenset()
EVERYBODY = AccessPolicy("Block legacy", frozenset({"all"}), NOBODY, NOBODY, NOBODY)


def changed(part: str, **values: Any) -> dict[str, Any]:
    """The policy with other values in a part of its conditions, "" for the conditions themselves."""
    conditions = dict(BLOCK["conditions"])
    if part:
        conditions[part] = {**conditions[part], **values}
    else:
        conditions |= values
    return {**BLOCK, "conditions": conditions}


@pytest.mark.parametrize(
    "row",
    [
        {**BLOCK, "state": "disabled"},
        {**BLOCK, "state": "enabledForReportingButNotEnforced"},
        {**BLOCK, "state": None},
        {**BLOCK, "grantControls": None},
        {**BLOCK, "grantControls": {"builtInControls": []}},
        changed("", clientAppTypes=["browser", "mobileAppsAndDesktopClients"]),
        changed("", clientAppTypes=["exchangeActiveSync"]),
        changed("applications", includeApplications=["None"]),
        changed("applications", includeApplications=["00000003-0000-0000-c000-000000000000"]),
        changed("applications", excludeApplications=[EXCHANGE]),
        changed("applications", excludeApplications=["Office365"]),
        {**BLOCK, "conditions": None},
    ],
)
def test_what_cannot_refuse_a_password_over_smtp_is_left_out(row: dict[str, Any]) -> None:
    assert decode([row]) == ()


@pytest.mark.parametrize(
    "row",
    [
        BLOCK,
        {**BLOCK, "state": "Enabled"},
        {**BLOCK, "grantControls": {"builtInControls": ["mfa"]}},
        {**BLOCK, "grantControls": {"authenticationStrength": {"id": "x"}}},
        {**BLOCK, "grantControls": {"termsOfUse": ["x"]}},
        {**BLOCK, "grantControls": {"customAuthenticationFactors": ["x"]}},
        changed("", clientAppTypes=["all"]),
        changed("", clientAppTypes=[]),
        changed("applications", includeApplications=["Office365"]),
        changed("applications", includeApplications=[EXCHANGE]),
    ],
)
def test_a_control_refuses_whoever_cannot_satisfy_it(row: dict[str, Any]) -> None:
    assert decode([row]) == (EVERYBODY,)


def test_users_groups_and_roles_are_named_by_their_ids() -> None:
    users = {
        "includeUsers": ["A"],
        "includeGroups": ["B"],
        "includeRoles": ["C"],
        "excludeUsers": ["D"],
        "excludeGroups": ["E"],
        "excludeRoles": ["F"],
    }
    assert decode([changed("users", **users)]) == (
        AccessPolicy(
            "Block legacy",
            users=frozenset("a"),
            groups=frozenset("b"),
            spared_users=frozenset("d"),
            spared_groups=frozenset("e"),
            roles=frozenset("c"),
            spared_roles=frozenset("f"),
        ),
    )


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"locations": {"includeLocations": ["All"]}}, "its locations"),
        ({"platforms": {"includePlatforms": ["all"]}}, "its device platforms"),
        ({"devices": {"deviceFilter": {"mode": "exclude"}}}, "its filter for devices"),
        ({"signInRiskLevels": ["high"]}, "the risk of the sign-in"),
        ({"userRiskLevels": ["high"]}, "the risk of the user"),
        ({"insiderRiskLevels": "elevated"}, "the insider risk of the user"),
    ],
)
def test_what_depends_on_a_condition_is_told(condition: dict[str, Any], words: str) -> None:
    (policy,) = decode([changed("", **condition)])
    assert policy.conditions == (words,)
    (filtered,) = decode([changed("applications", applicationFilter={"mode": "include"})])
    assert filtered.conditions == ("its filter for applications",)


def test_policies_are_in_the_order_of_their_names() -> None:
    assert [p.name for p in decode([{**BLOCK, "displayName": None}, BLOCK])] == ["Block legacy", "p1"]
    assert (REQUEST.path, REQUEST.columns) == ("/identity/conditionalAccess/policies", COLUMNS)
    assert BLOCK.keys() <= COLUMNS
