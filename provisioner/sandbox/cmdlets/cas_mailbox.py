"""Client access settings of mailboxes: Get-CASMailbox and Set-CASMailbox.

SmtpClientAuthenticationDisabled is a tri-state: null inherits from the organization, False switches SMTP AUTH *on*.
"""

from __future__ import annotations

from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.mailbox import addresses, derive_addresses
from provisioner.sandbox.cmdlets.objects import Noun, Rows, set_row, stored_values, target
from provisioner.sandbox.cmdlets.parameters import boolean, identity, values
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet

NOUN = Noun(
    "CASMailbox",
    {
        "EmailAddresses": [],
        "LinkedMasterAccount": "",
        "PrimarySmtpAddress": "",
        "ServerLegacyDN": "/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Configuration"
        "/cn=Servers/cn=AM0PR07MB3831",
        "ServerName": "am0pr07mb3831",
        "DisplayName": "",
        "ActiveSyncAllowedDeviceIDs": [],
        "ActiveSyncBlockedDeviceIDs": [],
        "ActiveSyncMailboxPolicy": "Default",
        "ActiveSyncEnabled": True,
        "HasActiveSyncDevicePartnership": False,
        "OwaMailboxPolicy": "OwaMailboxPolicy-Default",
        "OWAEnabled": True,
        "OWAforDevicesEnabled": True,
        "ECPEnabled": True,
        "PopEnabled": True,
        "PopUseProtocolDefaults": True,
        "ImapEnabled": True,
        "ImapUseProtocolDefaults": True,
        "MAPIEnabled": True,
        "MapiHttpEnabled": None,
        "EwsEnabled": None,
        "EwsAllowOutlook": None,
        "EwsApplicationAccessPolicy": None,
        "UniversalOutlookEnabled": True,
        "OutlookMobileEnabled": True,
        "MacOutlookEnabled": None,
        "SmtpClientAuthenticationDisabled": None,
        "ExternalDirectoryObjectId": "",
    },
    container="OU=",
    category="Person",
    object_class=("top", "person", "organizationalPerson", "user"),
    exchange_version="0.20 (15.0.0.0)",
    key="PrimarySmtpAddress",
    leaks=True,
    names=addresses,
    derive=derive_addresses,
)

_SET = (
    identity(),
    boolean("SmtpClientAuthenticationDisabled", nullable=True),
    boolean("ActiveSyncEnabled"),
    boolean("ECPEnabled"),
    boolean("EwsEnabled", nullable=True),
    boolean("EwsAllowOutlook", nullable=True),
    boolean("ImapEnabled"),
    boolean("ImapUseProtocolDefaults"),
    boolean("MacOutlookEnabled", nullable=True),
    boolean("MAPIEnabled"),
    boolean("MapiHttpEnabled", nullable=True),
    boolean("OutlookMobileEnabled"),
    boolean("OWAEnabled"),
    boolean("OWAforDevicesEnabled"),
    boolean("PopEnabled"),
    boolean("PopUseProtocolDefaults"),
    boolean("UniversalOutlookEnabled"),
    values("ActiveSyncAllowedDeviceIDs"),
    values("ActiveSyncBlockedDeviceIDs"),
)


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    set_row(call, NOUN, row, stored_values(call, _SET, row))
    return []


CMDLETS = (get_cmdlet(NOUN), Cmdlet("Set-CASMailbox", _SET, _set))
