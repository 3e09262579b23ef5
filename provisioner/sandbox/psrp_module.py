"""The cmdlets that the Exchange Online module has of its own: Get-EXOMailbox and its like, Get-ConnectionInformation.

Each Get-EXO cmdlet reads what the cmdlet of its name reads and shows a property set, by default the set Minimum, and
`-Properties` besides (Learn, "Property sets in Exchange Online PowerShell module cmdlets"; `Identity` is always shown).
Of the sets on that page some are modelled; another one of them shows every column.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psrpcore.types import PSCustomObject

from provisioner.sandbox.cmdlets import CmdletError

_DELIVERY = (
    "AcceptMessagesOnlyFrom", "AcceptMessagesOnlyFromDLMembers", "AcceptMessagesOnlyFromSendersOrMembers",
    "DeliverToMailboxAndForward", "ForwardingAddress", "ForwardingSmtpAddress", "GrantSendOnBehalfTo",
    "MaxReceiveSize", "MaxSendSize", "MessageCopyForSendOnBehalfEnabled", "MessageCopyForSentAsEnabled",
    "RecipientLimits", "RejectMessagesFrom", "RejectMessagesFromDLMembers", "RejectMessagesFromSendersOrMembers",
)  # fmt: skip
_CUSTOM = tuple(f"CustomAttribute{number}" for number in range(1, 16))
_SETS: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "get-exomailbox": ("Get-Mailbox", {
        "minimum": (
            "ExternalDirectoryObjectId", "UserPrincipalName", "Alias", "DisplayName", "EmailAddresses",
            "PrimarySmtpAddress", "RecipientType", "RecipientTypeDetails", "Identity", "Id", "ExchangeVersion", "Name",
            "DistinguishedName", "OrganizationId", "Guid",
        ),
        "custom": ("ExternalDirectoryObjectId", *_CUSTOM),
        "delivery": ("ExternalDirectoryObjectId", *_DELIVERY),
    }),
    "get-exocasmailbox": ("Get-CASMailbox", {
        "minimum": (
            "ActiveSyncEnabled", "DisplayName", "ECPEnabled", "EmailAddresses", "EwsEnabled", "ExchangeVersion", "Guid",
            "Identity", "ImapEnabled", "MAPIEnabled", "Name", "OWAEnabled", "OrganizationId", "PopEnabled",
            "PrimarySmtpAddress", "ServerLegacyDN",
        ),
    }),
    "get-exorecipient": ("Get-Recipient", {
        "minimum": (
            "ExchangeVersion", "ExternalDirectoryObjectId", "Identity", "Name", "OrganizationId", "RecipientType",
            "RecipientTypeDetails",
        ),
        "custom": _CUSTOM,
    }),
    "get-exorecipientpermission": ("Get-RecipientPermission", {}),
    "get-exomailboxpermission": ("Get-MailboxPermission", {}),
}  # fmt: skip
NAMES = (
    "Get-EXOMailbox", "Get-EXOCasMailbox", "Get-EXORecipient", "Get-EXORecipientPermission", "Get-EXOMailboxPermission",
)  # fmt: skip
_OTHER_SETS = frozenset({
    "activesync", "addresslist", "archive", "audit", "ews", "hold", "imap", "mailboxmove", "mapi", "moderation", "move",
    "policy", "pop", "protocolsettings", "publicfolder", "quota", "resource", "retention", "scl", "softdelete",
    "statisticsseed",
})  # fmt: skip
_IDENTITIES = frozenset({"identity", "primarysmtpaddress", "userprincipalname", "externaldirectoryobjectid"})


@dataclass(frozen=True, slots=True)
class Asked:
    """The cmdlet that answers, its parameters, and the columns that are shown; None for all."""

    cmdlet: str
    parameters: dict[str, Any]
    columns: list[str] | None


def asked(name: str, parameters: Mapping[str, Any]) -> Asked:
    """What a Get-EXO cmdlet is asked for. Raises CmdletError for a property set that it does not have."""
    cmdlet, sets = _SETS[name.lower()]
    given = {key.lower(): value for key, value in parameters.items()}
    wanted = [str(one).lower() for one in _list(given.get("propertysets"))] or ["minimum"]
    rest = {
        "Identity" if key.lower() in _IDENTITIES else key: value
        for key, value in parameters.items()
        if key.lower() not in {"properties", "propertysets"}
    }
    if not sets or {"all", *_OTHER_SETS} & set(wanted):
        return Asked(cmdlet, rest, None)
    unknown = [one for one in wanted if one not in sets]
    if unknown:
        text = (
            f"Cannot bind parameter 'PropertySets'. Cannot convert value \"{unknown[0]}\" to type "
            f'"PropertySet". The possible enumeration values are "{",".join(["All", *map(str.title, sets)])}".'
        )
        raise CmdletError("System.Management.Automation.ParameterBindingException", text, "InvalidArgument")
    columns = [column for one in wanted for column in sets[one]]
    return Asked(cmdlet, rest, [*columns, *map(str, _list(given.get("properties")))])


def behind(name: str) -> str:
    """The cmdlet that reads for a Get-EXO cmdlet; another name as it is."""
    return _SETS[name.lower()][0] if name.lower() in _SETS else name


def _list(value: object) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def connection(app_id: str, tenant_id: str, organization: str, until: dt.datetime) -> PSCustomObject:
    """Get-ConnectionInformation about the one connection of a session."""
    return PSCustomObject(
        ConnectionId=tenant_id,
        State="Connected",
        Id=1,
        Name="ExchangeOnline_1",
        UserPrincipalName="",
        ConnectionUri="https://outlook.office365.com",
        AzureAdAuthorizationEndpointUri=f"https://login.microsoftonline.com/{organization}",
        TokenExpiryTimeUTC=until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        CertificateAuthentication=True,
        ModuleName="",
        ModulePrefix="",
        Organization=organization,
        DelegatedOrganization="",
        AppId=app_id,
        PageSize=1000,
        TenantID=tenant_id,
        TokenStatus="Active",
        ConnectionUsedForInbuiltCmdlets=True,
        IsEopSession=False,
    )
