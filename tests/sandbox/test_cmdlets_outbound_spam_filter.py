"""Outbound spam policies of the sandbox: limits, words, and who may set them."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.tenant import Row, Tenant

ADMIN = Caller("admin", directory_roles=("Security Administrator",))


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def put(tenant: Tenant, **parameters: Any) -> Row:
    run_cmdlet(tenant, ADMIN, "Set-HostedOutboundSpamFilterPolicy", {"Identity": "Default", **parameters})
    return run_cmdlet(tenant, ADMIN, "Get-HostedOutboundSpamFilterPolicy", {}).rows[0]


def test_limits_and_words_are_stored(tenant: Tenant) -> None:
    row = put(tenant, RecipientLimitPerDay=500, AutoForwardingMode="off", ActionWhenThresholdReached="Alert")
    assert (row["RecipientLimitPerDay"], row["AutoForwardingMode"], row["Enabled"]) == (500, "Off", False)


@pytest.mark.parametrize(
    "parameters", [{"RecipientLimitPerDay": 10001}, {"AutoForwardingMode": "Never"}, {"Enabled": True}], ids=str
)
def test_what_the_service_does_not_take_changes_nothing(tenant: Tenant, parameters: dict[str, Any]) -> None:
    before = put(tenant)
    with pytest.raises(CmdletError):
        put(tenant, **parameters)
    assert put(tenant) == before
