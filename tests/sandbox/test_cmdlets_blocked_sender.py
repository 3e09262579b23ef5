"""Restricted senders of the sandbox: who comes to be listed, and what lifts it."""

from __future__ import annotations

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.mail_directory import owner_of
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.submission_rules import BAD_SENDER, restricted_refusal
from provisioner.sandbox.tenant import Row, Tenant

ADMIN = Caller("admin", directory_roles=("Security Administrator",))
ERP = "erp@contoso.com"


def tenant_with(action: str, **objects: list[Row]) -> Tenant:
    tenant = Tenant()
    policy = {"Name": "Default", "RecipientLimitPerDay": 2, "ActionWhenThresholdReached": action}
    domains = [{"DomainName": "contoso.com", "Default": True}]
    seed = {"AcceptedDomain": domains, "HostedOutboundSpamFilterPolicy": [policy], **objects}
    tenant.merge(
        load_seed({"sandbox": 1, "mailboxes": [{"address": ERP, "aliases": ["mfp@contoso.com"]}], "objects": seed})
    )
    return tenant


def send(tenant: Tenant, recipients: int) -> str | None:
    owner = owner_of(tenant, ERP)
    assert owner is not None
    return restricted_refusal(tenant, owner, recipients)


def listed(tenant: Tenant, **parameters: str) -> list[str]:
    return [row["SenderAddress"] for row in run_cmdlet(tenant, ADMIN, "Get-BlockedSenderAddress", parameters).rows]


def test_the_action_block_user_lists_a_sender_until_somebody_removes_it() -> None:
    tenant = tenant_with("BlockUser")
    assert send(tenant, 2) is None
    assert listed(tenant) == []
    assert send(tenant, 3) == BAD_SENDER
    assert listed(tenant, SenderAddress=ERP.upper()) == listed(tenant) == [ERP]
    assert send(tenant, 1) == BAD_SENDER
    run_cmdlet(tenant, ADMIN, "Remove-BlockedSenderAddress", {"SenderAddress": ERP})
    assert send(tenant, 1) is None
    with pytest.raises(CmdletError):
        run_cmdlet(tenant, ADMIN, "Remove-BlockedSenderAddress", {"SenderAddress": ERP})


def test_other_actions_list_nobody() -> None:
    tenant = tenant_with("BlockUserForToday")
    assert send(tenant, 3) == BAD_SENDER
    assert send(tenant, 1) is None
    assert listed(tenant) == []


def test_a_seed_lists_a_sender_by_any_of_its_addresses() -> None:
    tenant = tenant_with("Alert", BlockedSenderAddress=[{"SenderAddress": "mfp@contoso.com"}])
    assert send(tenant, 1) == BAD_SENDER
    assert listed(tenant, SenderAddress=ERP) == []
