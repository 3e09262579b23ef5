"""The connection filter of the sandbox: forms and limits of both lists, and how they change."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, run_cmdlet
from provisioner.sandbox.tenant import Tenant

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def put(tenant: Tenant, caller: Caller = ADMIN, **parameters: Any) -> CmdletResult:
    return run_cmdlet(tenant, caller, "Set-HostedConnectionFilterPolicy", {"Identity": "Default", **parameters})


def lists(tenant: Tenant) -> tuple[list[str], list[str]]:
    (row,) = run_cmdlet(tenant, ADMIN, "Get-HostedConnectionFilterPolicy", {}).rows
    return row["IPAllowList"], row["IPBlockList"]


def test_a_plain_value_is_the_whole_list_and_null_empties_it(tenant: Tenant) -> None:
    put(tenant, IPAllowList=["192.168.1.10", "192.168.1.23"], IPBlockList=["10.10.10.0/25", "172.17.17.0/24"])
    assert lists(tenant) == (["192.168.1.10", "192.168.1.23"], ["10.10.10.0/25", "172.17.17.0/24"])
    put(tenant, IPAllowList=["192.168.1.7"], IPBlockList=None)
    assert lists(tenant) == (["192.168.1.7"], [])


def test_a_hashtable_adds_and_removes_entries_of_all_kinds(tenant: Tenant) -> None:
    put(tenant, IPAllowList=["192.168.1.10"])
    added = ["192.168.2.10", "192.169.3.0/24", "192.168.4.1-192.168.4.5"]
    put(tenant, IPAllowList={"Add": added, "Remove": ["192.168.1.10"]})
    assert lists(tenant) == (added, [])
    again = put(tenant, IPAllowList={"Add": added})
    assert "no settings of 'Default' have been modified" in again.warnings[0]


@pytest.mark.parametrize(
    "given",
    [
        ["192.168.1.1", "192.168.2.0/24"],
        ["192.168.0.0/23"],
        ["2001:db8::1"],
        ["192.168.1.0-192.168.2.0"],
        ["192.168.1.9-192.168.1.2"],
        ["mail.contoso.com"],
        {"Add": ["192.168.1.300"]},
    ],
    ids=str,
)
def test_what_the_service_does_not_take_changes_nothing(tenant: Tenant, given: Any) -> None:
    with pytest.raises(CmdletError):
        put(tenant, IPBlockList=given)
    assert lists(tenant) == ([], [])


def test_a_list_has_1273_entries_at_most(tenant: Tenant) -> None:
    full = [f"10.0.{n // 200}.{n % 200}" for n in range(1273)]
    put(tenant, IPAllowList=full)
    with pytest.raises(CmdletError, match="1273"):
        put(tenant, IPAllowList={"Add": ["192.168.1.1"]})
    assert len(lists(tenant)[0]) == 1273


def test_who_holds_transport_hygiene_may_set_it(tenant: Tenant) -> None:
    put(tenant, Caller("sec", directory_roles=("Security Administrator",)), IPAllowList=["192.168.1.1"])
    with pytest.raises(CmdletError, match="not recognized"):
        put(tenant, Caller("reader", directory_roles=("Global Reader",)), IPAllowList=[])
    assert lists(tenant) == (["192.168.1.1"], [])
