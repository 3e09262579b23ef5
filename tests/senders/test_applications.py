"""Who may send through Microsoft Graph, and who of them gets tokens for it."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.senders.applications import decode, holders, idle, of_graph

ROLE, OTHER_ROLE = "b633e1c5-0000-4000-8000-000000000001", "b633e1c5-0000-4000-8000-000000000002"
GRAPH = {"id": "aa", "appRoles": [{"id": ROLE, "value": "Mail.Send"}, {"id": OTHER_ROLE, "value": "Mail.Read"}]}
ASSIGNED = {"Name": "t", "Role": "Application Mail.Send", "RoleAssignee": "0B", "RoleAssigneeName": "0b"}


def consent(identity: str, role: str = ROLE) -> dict[str, Any]:
    return {"principalId": identity, "principalDisplayName": f"App {identity}", "appRoleId": role}


def token(identity: str, code: int = 0) -> dict[str, Any]:
    return {"id": f"{identity}{code}", "servicePrincipalId": identity, "appId": f"C-{identity}",
            "servicePrincipalName": "App", "ipAddress": "192.0.2.9", "status": {"errorCode": code},
            "createdDateTime": "2026-11-03T08:15:00Z"}  # fmt: skip


def test_consent_and_a_role_of_exchange_allow_it_and_other_permissions_do_not() -> None:
    found = holders({ROLE}, [consent("0A", ROLE.upper()), consent("0c", OTHER_ROLE)], [ASSIGNED])
    assert {identity: holder.by for identity, holder in found.items()} == {
        "0a": "Mail.Send with consent",
        "0b": "the role Application Mail.Send",
    }
    assert of_graph([GRAPH]) == ("aa", frozenset({ROLE}))
    assert of_graph([]) == ("", frozenset())


def test_tokens_of_holders_are_observed_with_their_refusals_and_the_rest_is_idle() -> None:
    may_send = holders({ROLE}, [consent("0a"), consent("0d")], [ASSIGNED])
    rows = [token("0A"), token("0A"), token("0a", 7000222), token("0e")]
    seen = list(decode(rows, may_send))
    assert [(o.protocol, o.client_id, o.logins, o.failures) for o in seen] == [("graph", "c-0a", 1, 0),
                                                                              ("graph", "c-0a", 0, 1)]  # fmt: skip
    assert idle(rows, may_send) == ("0b", "App 0d (0d)")


@pytest.mark.parametrize("odd", [{}, {"Role": 3}, {"Name": None, "Role": "Application Mail.Send", "principalId": 7}])
def test_rows_of_an_unknown_shape_name_nobody(odd: dict[str, Any]) -> None:
    assert holders({ROLE}, [odd], [odd]) == {}
    assert list(decode([odd], {})) == []


@pytest.mark.parametrize(
    "row", [{}, {"id": 3, "appRoles": []}, {"id": "aa", "appRoles": 1}, {"id": "\ud800", "appRoles": []}]
)
def test_roles_of_an_unknown_shape_are_not_roles_that_nobody_has(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="another shape"):
        of_graph([row])
    assert of_graph([{"id": "aa", "appRoles": [None, 3]}]) == ("aa", frozenset())
