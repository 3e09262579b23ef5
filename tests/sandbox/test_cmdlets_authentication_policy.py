"""Authentication policies: what New decides, what is in use stays, and users are found by the name in the directory."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, run_cmdlet
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))


@pytest.fixture
def tenant() -> Tenant:
    tenant = Tenant()
    tenant.merge(load_seed({"sandbox": 1, "mailboxes": [{"address": "erp@contoso.com"}]}))
    return tenant


def run(tenant: Tenant, name: str, **parameters: Any) -> CmdletResult:
    return run_cmdlet(tenant, ADMIN, name, parameters)


def policies(tenant: Tenant) -> dict[str, Row]:
    return {row["Name"]: row for row in run(tenant, "Get-AuthenticationPolicy").rows}


def refused(tenant: Tenant, name: str, **parameters: Any) -> str:
    before = policies(tenant)
    with pytest.raises(CmdletError) as caught:
        run(tenant, name, **parameters)
    assert policies(tenant) == before
    return caught.value.message


def test_new_blocks_what_is_not_named_and_set_changes_what_is(tenant: Tenant) -> None:
    run(tenant, "New-AuthenticationPolicy", Name="devices", AllowBasicAuthSmtp=True)
    (row,) = policies(tenant).values()
    assert {column for column, value in row.items() if column.startswith("Allow") and value} == {"AllowBasicAuthSmtp"}
    assert row["AllowBasicAuthRest"] is False  # which no parameter sets
    run(tenant, "Set-AuthenticationPolicy", Identity="DEVICES", AllowBasicAuthSmtp=False, AllowBasicAuthImap=True)
    (row,) = policies(tenant).values()
    assert (row["AllowBasicAuthSmtp"], row["AllowBasicAuthImap"]) == (False, True)
    told = run(tenant, "Set-AuthenticationPolicy", Identity="devices", AllowBasicAuthImap=True).warnings
    assert "no settings of 'devices' have been modified" in told[0]


def test_what_new_and_set_refuse(tenant: Tenant) -> None:
    run(tenant, "New-AuthenticationPolicy", Name="devices")
    assert "already exists" in refused(tenant, "New-AuthenticationPolicy", Name="Devices")
    assert "too long" in refused(tenant, "New-AuthenticationPolicy", Name="x" * 65)
    assert "Name" in refused(tenant, "New-AuthenticationPolicy")
    assert "Name" in refused(tenant, "Set-AuthenticationPolicy", Identity="devices", Name="other")
    assert "AllowBasicAuthRest" in refused(tenant, "New-AuthenticationPolicy", Name="a", AllowBasicAuthRest=True)
    assert "couldn't be found" in refused(tenant, "Set-AuthenticationPolicy", Identity="none", AllowBasicAuthPop=True)
    tenant.settings["set_authentication_policy_fails"] = True
    assert "Object reference" in refused(tenant, "Set-AuthenticationPolicy", Identity="devices", AllowBasicAuthPop=True)


def test_a_policy_in_use_is_not_removed(tenant: Tenant) -> None:
    run(tenant, "New-AuthenticationPolicy", Name="devices")
    run(tenant, "Set-User", Identity="erp@contoso.com", AuthenticationPolicy="devices")
    assert "erp" in refused(tenant, "Remove-AuthenticationPolicy", Identity="devices", Confirm=False)
    run(tenant, "Set-User", Identity="erp@contoso.com", AuthenticationPolicy=None)
    run(tenant, "Set-OrganizationConfig", DefaultAuthenticationPolicy="devices")
    assert "contoso" in refused(tenant, "Remove-AuthenticationPolicy", Identity="devices", Confirm=False)
    run(tenant, "Set-OrganizationConfig", DefaultAuthenticationPolicy=None)
    run(tenant, "Remove-AuthenticationPolicy", Identity="devices", Confirm=False)
    assert policies(tenant) == {}


def test_users_are_filtered_by_the_distinguished_name_of_their_policy(tenant: Tenant) -> None:
    run(tenant, "New-AuthenticationPolicy", Name="devices")
    run(tenant, "Set-User", Identity="erp@contoso.com", AuthenticationPolicy="devices")
    dn = policies(tenant)["devices"]["DistinguishedName"]

    def users(policy: str) -> list[str]:
        rows = run(tenant, "Get-User", Filter=f"AuthenticationPolicy -eq '{policy}'").rows
        return [row["WindowsEmailAddress"] for row in rows]

    assert users(dn) == ["erp@contoso.com"]
    assert users("devices") == []
