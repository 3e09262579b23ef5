"""What the Get cmdlets of recipients choose by: -Filter, -Anr, -RecipientType, -RecipientTypeDetails and -SortBy.

Sources: the pages of Get-Mailbox, Get-Recipient and Get-DistributionGroup (which attributes -Anr searches, what -SortBy
does); Learn, "Filterable properties for the Filter parameter on Exchange cmdlets". A property that rows of the sandbox
lack has its usual value there: no archive, no hold.
"""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.sandbox.cmdlets import opath
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Rows, filtered
from provisioner.sandbox.cmdlets.parameters import Parameter, Replace, opath_filter, string, words
from provisioner.sandbox.tenant import Row

_TYPES = (
    "DynamicDistributionGroup", "MailContact", "MailNonUniversalGroup", "MailUniversalDistributionGroup",
    "MailUniversalSecurityGroup", "MailUser", "PublicFolder", "UserMailbox",
)  # fmt: skip
_DETAILS = (
    "DiscoveryMailbox", "DynamicDistributionGroup", "EquipmentMailbox", "GroupMailbox", "GuestMailUser",
    "LegacyMailbox", "LinkedMailbox", "LinkedRoomMailbox", "MailContact", "MailForestContact",
    "MailNonUniversalGroup", "MailUniversalDistributionGroup", "MailUniversalSecurityGroup", "MailUser",
    "PublicFolder", "PublicFolderMailbox", "RemoteEquipmentMailbox", "RemoteRoomMailbox", "RemoteSharedMailbox",
    "RemoteTeamMailbox", "RemoteUserMailbox", "RoomList", "RoomMailbox", "SchedulingMailbox", "SharedMailbox",
    "SharedWithMailUser", "TeamMailbox", "User", "UserMailbox",
)  # fmt: skip
_SPACE = "Microsoft.Exchange.Data.Directory.Recipient"
TYPE = words("RecipientType", f"{_SPACE}.RecipientType", *_TYPES)
DETAILS = words("RecipientTypeDetails", f"{_SPACE}.RecipientTypeDetails", *_DETAILS)
SEARCH: tuple[Parameter, ...] = (opath_filter(), string("Anr", stored=False), string("SortBy", stored=False))

_NONE = "00000000-0000-0000-0000-000000000000"
FILTERABLE: Mapping[str, opath.Values] = {
    **opath.COMMON,
    **{
        name.lower(): opath.column(name)
        for name in (
            "Alias", "City", "Company", "Department", "ExchangeGuid", "ExternalDirectoryObjectId",
            "ExternalEmailAddress", "FirstName", "ForwardingAddress", "ForwardingSmtpAddress", "LastName",
            "LegacyExchangeDN", "Office", "RecipientType", "RecipientTypeDetails", "SamAccountName", "Title",
            "UserPrincipalName", "WhenChanged", "WhenChangedUTC", "WhenCreated", "WhenCreatedUTC",
            *(f"CustomAttribute{number}" for number in range(1, 16)),
        )
    },
    **{
        name.lower(): opath.column(name, False)
        for name in (
            "DeliverToMailboxAndForward", "HiddenFromAddressListsEnabled", "IsDirSynced", "IsShared",
            "LitigationHoldEnabled", "MessageCopyForSentAsEnabled", "RequireSenderAuthenticationEnabled",
        )
    },
    "archiveguid": opath.column("ArchiveGuid", _NONE),
    "windowsliveid": opath.column("UserPrincipalName"),
}  # fmt: skip
_NAMES = ("Name", "DisplayName", "FirstName", "LastName", "Alias")


def chosen(call: Call, rows: Rows, properties: Mapping[str, opath.Values] = FILTERABLE) -> Rows:
    """The rows that a call asks for, sorted where it says so. Raises CmdletError."""
    rows = filtered(call, rows, properties)
    for name in ("RecipientType", "RecipientTypeDetails"):
        wanted = call.get(name)
        if isinstance(wanted, Replace) and wanted.values:
            rows = [row for row in rows if row.get(name) in wanted.values]
    beginning = str(call.get("Anr") or "").lower()
    if beginning:
        rows = [row for row in rows if any(str(row.get(n) or "").lower().startswith(beginning) for n in _NAMES)]
    column = call.get("SortBy")
    return sorted(rows, key=lambda row: _text(row, str(column))) if column else rows


def _text(row: Row, column: str) -> str:
    return next((str(value or "").lower() for name, value in row.items() if name.lower() == column.lower()), "")
