"""Outbound spam filter policies: Get and Set. `Default` is in every tenant.

Columns as in recorded answers: Default reads `Enabled: false` although it is in force. Limits are 0 to 10000
(Set-HostedOutboundSpamFilterPolicy). Custom policies and the rules that give them to senders come from a seed: of the
rules only Get is modelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, set_row, stored_values, target
from provisioner.sandbox.cmdlets.parameters import boolean, choice, identity, integer, string, values
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet
from provisioner.sandbox.tenant import Tenant


def _builtin(_: Tenant) -> Iterable[Mapping[str, Any]]:
    return ({"Name": "Default", "IsDefault": True},)


NOUN = Noun(
    "HostedOutboundSpamFilterPolicy",
    {
        "AdminDisplayName": "",
        "ConfigurationType": "Outbound",
        "Enabled": False,
        "IsDefault": False,
        "RecipientLimitExternalPerHour": 0,
        "RecipientLimitInternalPerHour": 0,
        "RecipientLimitPerDay": 0,
        "ActionWhenThresholdReached": "BlockUserForToday",
        "AutoForwardingMode": "Automatic",
        "BccSuspiciousOutboundMail": False,
        "BccSuspiciousOutboundAdditionalRecipients": [],
        "NotifyOutboundSpam": False,
        "NotifyOutboundSpamRecipients": [],
        "RecommendedPolicyType": "Custom",
    },
    container="CN=Outbound Spam Filter,CN=Transport Settings,CN=Configuration",
    category="ms-Exch-Hosted-Outbound-Spam-Filter-Config",
    object_class=("top", "msExchHostedOutboundSpamFilterConfig"),
    builtin=_builtin,
)

RULE = Noun(
    "HostedOutboundSpamFilterRule",
    {
        "State": "Enabled",
        "Priority": 0,
        "Comments": "",
        "HostedOutboundSpamFilterPolicy": "",
        **dict.fromkeys(f"{prefix}{name}" for prefix in ("", "ExceptIf")
                        for name in ("From", "FromMemberOf", "SenderDomainIs")),
    },
    container="CN=HostedOutboundSpamFilterVersioned,CN=Rules,CN=Transport Settings,CN=Configuration",
    category="ms-Exch-Transport-Rule",
    object_class=("top", "msExchTransportRule"),
)  # fmt: skip

_DATA = "Microsoft.Exchange.Data.Directory.SystemConfiguration"
_MOST = (0, 10_000)
_SET = (
    identity(),
    choice("ActionWhenThresholdReached", f"{_DATA}.OutboundRecipientLimitsExceededAction",
           "Alert", "BlockUser", "BlockUserForToday"),
    string("AdminDisplayName"),
    choice("AutoForwardingMode", f"{_DATA}.AutoForwardingMode", "Automatic", "Off", "On"),
    values("BccSuspiciousOutboundAdditionalRecipients"),
    boolean("BccSuspiciousOutboundMail"),
    boolean("NotifyOutboundSpam"),
    values("NotifyOutboundSpamRecipients"),
    integer("RecipientLimitExternalPerHour", range=_MOST),
    integer("RecipientLimitInternalPerHour", range=_MOST),
    integer("RecipientLimitPerDay", range=_MOST),
)  # fmt: skip


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    set_row(call, NOUN, row, stored_values(call, _SET, row))
    return []


CMDLETS = (get_cmdlet(NOUN), get_cmdlet(RULE), Cmdlet("Set-HostedOutboundSpamFilterPolicy", _SET, _set))
