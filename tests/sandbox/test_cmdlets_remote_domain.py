"""Remote domains of the sandbox: what New takes, what Set couples, and the one that stays."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, run_cmdlet
from provisioner.sandbox.tenant import Row, Tenant

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def run(tenant: Tenant, verb: str, **parameters: Any) -> CmdletResult:
    return run_cmdlet(tenant, ADMIN, f"{verb}-RemoteDomain", parameters)


def get(tenant: Tenant, name: str) -> Row:
    return run(tenant, "Get", Identity=name).rows[0]


def test_new_takes_a_name_and_a_domain_alone(tenant: Tenant) -> None:
    (made,) = run(tenant, "New", Name="Partner", DomainName="*.partner.example").rows
    assert (made["DomainName"], made["AutoForwardEnabled"], made["TNEFEnabled"]) == ("*.partner.example", True, None)
    with pytest.raises(CmdletError, match="AutoForwardEnabled"):
        run(tenant, "New", Name="x", DomainName="x.example", AutoForwardEnabled=False)
    with pytest.raises(CmdletError, match="DomainName"):
        run(tenant, "Set", Identity="Partner", DomainName="x.example")


@pytest.mark.parametrize("domain", ["partner.example", "mail.*.example", "partner", "*"])
def test_a_domain_that_is_taken_or_none_is_refused(tenant: Tenant, domain: str) -> None:
    run(tenant, "New", Name="Partner", DomainName="Partner.example")
    with pytest.raises(CmdletError):
        run(tenant, "New", Name="Again", DomainName=domain)
    assert len(run(tenant, "Get").rows) == 2


def test_internal_recipients_and_automatic_replies_change_each_other(tenant: Tenant) -> None:
    run(tenant, "Set", Identity="Default", AllowedOOFType="InternalLegacy", TNEFEnabled=True)
    assert (get(tenant, "Default")["IsInternal"], get(tenant, "Default")["TNEFEnabled"]) == (True, True)
    run(tenant, "Set", Identity="Default", IsInternal=False, TNEFEnabled=None)
    row = get(tenant, "Default")
    assert (row["AllowedOOFType"], row["TNEFEnabled"]) == ("ExternalLegacy", None)


def test_the_default_one_stays_and_another_goes(tenant: Tenant) -> None:
    run(tenant, "New", Name="Partner", DomainName="partner.example")
    run(tenant, "Set", Identity="Partner", Name="Bank")
    run(tenant, "Remove", Identity="Bank", Confirm=False)
    with pytest.raises(CmdletError, match="default remote domain"):
        run(tenant, "Remove", Identity="Default", Confirm=False)
    assert [row["Name"] for row in run(tenant, "Get").rows] == ["Default"]
