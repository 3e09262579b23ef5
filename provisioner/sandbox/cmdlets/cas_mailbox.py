"""Client access settings of mailboxes: Get-CASMailbox and Set-CASMailbox.

SmtpClientAuthenticationDisabled is a tri-state: null inherits from the organization, False switches SMTP AUTH *on*.
"""

from __future__ import annotations

from provisioner.sandbox.cmdlets import errors, mailbox, opath
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.mailbox import addresses, derive_addresses
from provisioner.sandbox.cmdlets.objects import (
    Noun,
    Rows,
    each,
    find,
    find_visible,
    get,
    set_row,
    shuffled,
    stored_values,
    target,
)
from provisioner.sandbox.cmdlets.parameters import Kind, boolean, identity, values
from provisioner.sandbox.cmdlets.recipient_search import SEARCH, chosen
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Row, Tenant

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
    boolean("EwsEnabled", nullable=True),
    boolean("EwsAllowOutlook", nullable=True),
    boolean("ImapEnabled"),
    boolean("ImapUseProtocolDefaults"),
    boolean("MacOutlookEnabled", nullable=True),
    boolean("MAPIEnabled"),
    boolean("OutlookMobileEnabled"),
    boolean("OWAEnabled"),
    boolean("OWAforDevicesEnabled"),
    boolean("PopEnabled"),
    boolean("PopUseProtocolDefaults"),
    boolean("UniversalOutlookEnabled"),
    values("ActiveSyncAllowedDeviceIDs"),
    values("ActiveSyncBlockedDeviceIDs"),
)


_FILTERABLE = {
    **opath.COMMON,
    # Learn, "Enable or disable POP3 or IMAP4 access": `Get-CASMailbox -Filter "ImapEnabled -eq 'true'"`.
    **{p.name.lower(): opath.column(p.name) for p in _SET if p.kind is Kind.BOOL},
}


def _named(tenant: Tenant, wanted: str) -> list[Row]:
    """The rows that go by this name, with the names that only the mailbox's own row holds: sign-in name and alias.

    The service searches all of them, so that an alias of one mailbox and the sign-in name of another are ambiguous
    (office-docs-powershell issue 7166; CIPP-API pull request 1568).
    """
    owners = tenant.named(mailbox.NOUN.name, mailbox.NOUN.all_names, wanted)
    primaries = [str(owner["PrimarySmtpAddress"]) for owner in owners]
    # By address, and not by display name: another mailbox may have this address for one.
    near = [(p.lower(), row) for p in primaries for row in find_visible(tenant, NOUN, p)]
    also = [row for primary, row in near if str(row["PrimarySmtpAddress"]).lower() == primary]
    found = {str(row["Guid"]): row for row in (*find_visible(tenant, NOUN, wanted), *also)}
    return list(found.values())


def _get(call: Call) -> Rows:
    wanted = call.get("Identity")
    found = _named(call.tenant, wanted) if wanted else []
    if len(found) > 1:
        raise errors.matches_many(wanted)
    if not found and not wanted and call.given("Filter"):
        return chosen(call, shuffled(call.tenant, each(call.tenant.visible(NOUN.name), dict)), _FILTERABLE)
    return chosen(call, [dict(found[0])] if found else get(call, NOUN), _FILTERABLE)


def _set(call: Call) -> Rows:
    wanted = call.get("Identity")
    found = _named(call.tenant, str(wanted)) if wanted else []
    if len(found) > 1:
        raise errors.matches_many(str(wanted))
    row = find(call.tenant, NOUN, str(found[0]["Guid"])) if found else target(call, NOUN)
    set_row(call, NOUN, row, stored_values(call, _SET, row))
    return []


CMDLETS = (
    Cmdlet("Get-CASMailbox", (identity(required=False), *SEARCH), _get),
    Cmdlet("Set-CASMailbox", _SET, _set),
)
