"""Transport rules of the sandbox: places that move, switches of their own, and what must hold together."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, run_cmdlet
from provisioner.sandbox.tenant import Row, Tenant

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))
SCL: dict[str, Any] = {"SenderIpRanges": ["203.0.113.10"], "SetSCL": -1}


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def run(tenant: Tenant, verb: str, **parameters: Any) -> CmdletResult:
    return run_cmdlet(tenant, ADMIN, f"{verb}-TransportRule", parameters)


def order(tenant: Tenant) -> list[str]:
    rows = sorted(run(tenant, "Get").rows, key=lambda row: row["Priority"])
    assert [row["Priority"] for row in rows] == list(range(len(rows)))
    return [row["Name"] for row in rows]


def get(tenant: Tenant, name: str) -> Row:
    return run(tenant, "Get", Identity=name).rows[0]


def test_rules_move_when_one_comes_moves_or_goes(tenant: Tenant) -> None:
    for name in "abc":
        run(tenant, "New", Name=name, **SCL)
    run(tenant, "New", Name="first", Priority=0, **SCL)
    assert order(tenant) == ["first", "a", "b", "c"]
    run(tenant, "Set", Identity="c", Priority=1)
    assert order(tenant) == ["first", "c", "a", "b"]
    run(tenant, "Set", Identity="first", Priority=3)
    assert order(tenant) == ["c", "a", "b", "first"]
    run(tenant, "Remove", Identity="a", Confirm=False)
    assert order(tenant) == ["c", "b", "first"]
    with pytest.raises(CmdletError, match="priority"):
        run(tenant, "New", Name="z", Priority=4, **SCL)


def test_a_rule_is_switched_by_cmdlets_of_its_own(tenant: Tenant) -> None:
    run(tenant, "New", Name="a", Enabled=False, **SCL)
    assert get(tenant, "a")["State"] == "Disabled"
    with pytest.raises(CmdletError, match="Enabled"):
        run(tenant, "Set", Identity="a", Enabled=True)
    run(tenant, "Enable", Identity="a")
    assert get(tenant, "a")["State"] == "Enabled"
    assert run(tenant, "Enable", Identity="a").warnings
    run(tenant, "Disable", Identity="a", Confirm=False)
    assert get(tenant, "a")["State"] == "Disabled"


def test_conditions_and_actions_are_listed_and_null_takes_them_away(tenant: Tenant) -> None:
    run(tenant, "New", Name="a", From=["scan@contoso.com"], SetHeaderName="X-Device", SetHeaderValue="yes", **SCL)
    row = get(tenant, "a")
    assert [name.rpartition(".")[2] for name in row["Conditions"]] == ["FromPredicate", "SenderIpRangesPredicate"]
    run(tenant, "Set", Identity="a", From=None, SetHeaderName=None, SetHeaderValue=None)
    row = get(tenant, "a")
    assert (row["From"], row["SetHeaderName"], len(row["Conditions"]), len(row["Actions"])) == (None, None, 1, 1)


def test_an_scl_of_zero_is_an_action(tenant: Tenant) -> None:
    run(tenant, "New", Name="a", SetSCL=0)
    assert [name.rpartition(".")[2] for name in get(tenant, "a")["Actions"]] == ["SetSclAction"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"From": ["scan@contoso.com"]},
        {"SetHeaderName": "X-Device"},
        {"SetSCL": 10},
        {"SetSCL": -1, "RouteMessageOutboundConnector": "nobody"},
        {"SetSCL": -1, "Comments": "x" * 1025},
    ],
    ids=str,
)
def test_what_the_service_does_not_take_makes_no_rule(tenant: Tenant, parameters: dict[str, Any]) -> None:
    with pytest.raises(CmdletError):
        run(tenant, "New", Name="a", **parameters)
    assert list(run(tenant, "Get").rows) == []
