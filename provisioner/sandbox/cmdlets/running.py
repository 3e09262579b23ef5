"""The catalogue of cmdlets, and the way of every call through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.sandbox.cmdlets import (
    accepted_domain,
    allow_block_list,
    authentication_policy,
    blocked_sender,
    cas_mailbox,
    connection_filter,
    dkim_signing_config,
    errors,
    group_member,
    historical_search,
    hve_account,
    inbound_connector,
    inbound_dane,
    limits_enforcement,
    mailbox,
    mailbox_folder_permission,
    mailbox_permission,
    mailbox_settings,
    management_role,
    message_trace,
    organization_config,
    outbound_connector,
    outbound_spam_filter,
    recipient,
    recipient_permission,
    remote_domain,
    service_principal,
    sharing,
    transport_config,
    transport_rule,
    user,
)
from provisioner.sandbox.cmdlets.calls import Call, Caller, CmdletResult
from provisioner.sandbox.cmdlets.objects import Noun, Rows, ensure_builtin
from provisioner.sandbox.cmdlets.parameters import COMMON, RESULT_SIZE, bind
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Tenant

_MODULES = (
    accepted_domain,
    authentication_policy,
    cas_mailbox,
    allow_block_list,
    blocked_sender,
    connection_filter,
    dkim_signing_config,
    hve_account,
    inbound_connector,
    inbound_dane,
    mailbox,
    mailbox_folder_permission,
    mailbox_permission,
    management_role,
    organization_config,
    outbound_connector,
    outbound_spam_filter,
    recipient_permission,
    remote_domain,
    service_principal,
    transport_config,
    transport_rule,
    user,
)
_OTHER_NOUNS = (
    accepted_domain.IPV6,
    *recipient.NOUNS,
    *sharing.NOUNS,
    hve_account.BILLING_POLICY,
    management_role.SCOPE,
)
NOUNS: Mapping[str, Noun] = {noun.name: noun for noun in (*(module.NOUN for module in _MODULES), *_OTHER_NOUNS)}
_RECORDS = (
    message_trace,
    historical_search,
    limits_enforcement,
    group_member,
)  # cmdlets about records, which are not objects of the directory
CMDLETS: Mapping[str, Cmdlet] = {
    cmdlet.name.lower(): cmdlet
    for module in (*_MODULES, recipient, mailbox_settings, sharing, *_RECORDS)
    for cmdlet in module.CMDLETS
}

DEFAULT_RESULT_SIZE = 1000
MORE_RESULTS = (
    "There are more results available than are currently displayed. To view them, increase the value for the "
    "ResultSize parameter."
)


def catalogue(caller: Caller) -> list[str]:
    """Names of the cmdlets that the caller may run."""
    return sorted(cmdlet.name for cmdlet in CMDLETS.values() if caller.may_run(cmdlet.name))


def complete(tenant: Tenant) -> None:
    """Give the tenant the rows that every tenant has and a seed did not mention."""
    for name, noun in NOUNS.items():
        if not tenant.objects.get(name):
            ensure_builtin(tenant, noun)


def run_cmdlet(tenant: Tenant, caller: Caller, name: str, parameters: Mapping[str, Any]) -> CmdletResult:
    """Run a cmdlet as `caller`; hashtables among the parameters are mappings. Raises CmdletError."""
    cmdlet = CMDLETS.get(name.lower())
    if cmdlet is None or not caller.may_run(name):
        raise errors.not_allowed(name)
    table = (*cmdlet.parameters, *COMMON) if cmdlet.writes else (*cmdlet.parameters, RESULT_SIZE, *COMMON)
    bound = bind(table, parameters)
    complete(tenant)
    dry = cmdlet.writes and (bound.get("WhatIf") is True or bound.get("Confirm") is True)
    call = Call(tenant, cmdlet.name, bound, dry=dry)
    rows = cmdlet.run(call)
    if dry:
        return CmdletResult([], call.warnings, confirmation=_question(call))
    if cmdlet.writes:
        return CmdletResult(rows, call.warnings)
    return _cut(rows, call)


def _question(call: Call) -> str:
    """What the module would ask before it sends the call again with Confirm false (wording ours)."""
    subject = next(
        (call.get(name) for name in ("Identity", "Name", "DomainName") if call.get(name)), "the organization"
    )
    return f"Are you sure you want to perform this action? Performing operation {call.cmdlet} on '{subject}'."


def _cut(rows: Rows, call: Call) -> CmdletResult:
    limit = call.get("ResultSize", DEFAULT_RESULT_SIZE)
    if limit is None or len(rows) <= limit:
        return CmdletResult(rows, call.warnings)
    return CmdletResult(rows[:limit], [*call.warnings, MORE_RESULTS], beyond=rows[limit:])
