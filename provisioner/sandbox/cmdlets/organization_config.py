"""The organization's settings: one row, Get and Set, and Enable-OrganizationCustomization.

RejectDirectSend belongs to a parameter set of its own and is refused together with any other setting. Customization is
enabled once, and IsDehydrated says whether it was (Enable-OrganizationCustomization); the refusal of the second time is
quoted by many scripts and threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets import authentication_policy, errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, find, get, set_row, stored_values
from provisioner.sandbox.cmdlets.parameters import boolean, string, timespan
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Tenant


def _builtin(tenant: Tenant) -> Iterable[Mapping[str, Any]]:
    return ({"Name": tenant.initial_domain, "DisplayName": tenant.display_name},)


NOUN = Noun(
    "OrganizationConfig",
    {
        "Name": "",
        "DisplayName": "",
        "AuditDisabled": False,
        "HybridConfigurationStatus": "Unknown",
        "OAuth2ClientProfileEnabled": True,
        "DefaultAuthenticationPolicy": None,
        "SendFromAliasEnabled": False,
        "RejectDirectSend": False,
        "ConnectorsEnabled": True,
        "ConnectorsEnabledForTeams": True,
        "CustomerLockboxEnabled": False,
        "SmtpActionableMessagesEnabled": True,
        "ActivityBasedAuthenticationTimeoutEnabled": True,
        "ActivityBasedAuthenticationTimeoutInterval": "06:00:00",
        "BookingsEnabled": True,
        "IsDehydrated": False,
        "PublicFoldersEnabled": "Local",
        "MailTipsExternalRecipientsTipsEnabled": False,
        "MessageRecallEnabled": None,
    },
    container="CN=Configuration",
    category="ms-Exch-Configuration-Unit-Container",
    object_class=("top", "container", "msExchConfigurationUnitContainer"),
    singleton=True,
    builtin=_builtin,
)

_GENERAL = frozenset({"Default"})
_DIRECT_SEND = frozenset({"ShortenEventScopeParameter"})

_SET = (
    boolean("RejectDirectSend", sets=_DIRECT_SEND),
    boolean("SendFromAliasEnabled", sets=_GENERAL),
    boolean("AuditDisabled", sets=_GENERAL),
    boolean("OAuth2ClientProfileEnabled", sets=_GENERAL),
    string("DefaultAuthenticationPolicy", nullable=True, sets=_GENERAL),
    boolean("ConnectorsEnabled", sets=_GENERAL),
    boolean("ConnectorsEnabledForTeams", sets=_GENERAL),
    boolean("CustomerLockboxEnabled", sets=_GENERAL),
    boolean("SmtpActionableMessagesEnabled", sets=_GENERAL),
    boolean("ActivityBasedAuthenticationTimeoutEnabled", sets=_GENERAL),
    timespan("ActivityBasedAuthenticationTimeoutInterval", sets=_GENERAL),
    boolean("BookingsEnabled", sets=_GENERAL),
    boolean("MailTipsExternalRecipientsTipsEnabled", sets=_GENERAL),
    boolean("MessageRecallEnabled", nullable=True, sets=_GENERAL),
)


def _set(call: Call) -> Rows:
    row = call.tenant.rows(NOUN.name)[0]
    changes = stored_values(call, _SET, row)
    policy = changes.get("DefaultAuthenticationPolicy")
    if policy:
        changes["DefaultAuthenticationPolicy"] = find(call.tenant, authentication_policy.NOUN, policy).get("Name")
    set_row(call, NOUN, row, changes)
    return []


def _customize(call: Call) -> Rows:
    row = call.tenant.rows(NOUN.name)[0]
    if row.get("IsDehydrated") is not True:
        raise errors.invalid("This operation is not required. Organization is already enabled for customization.")
    set_row(call, NOUN, row, {"IsDehydrated": False})
    return []


CMDLETS = (
    Cmdlet("Enable-OrganizationCustomization", (), _customize),
    Cmdlet("Get-OrganizationConfig", (), lambda call: get(call, NOUN)),
    Cmdlet("Set-OrganizationConfig", _SET, _set),
)
