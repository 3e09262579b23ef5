"""Recipients of every kind by any of their names: Get-Recipient, and groups (Get-DistributionGroup).

One resolver for all: a name that two objects go by is refused, whichever kinds they are of (CrowdStrike/CRT issue 39;
office-docs-powershell issue 7166). Columns: Get-Recipient in a published table of a real tenant's answers, as far as
mail needs them; the sign-in name is in WindowsLiveID.
"""

from __future__ import annotations

from provisioner.sandbox.cmdlets import errors, mailbox
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, server, shuffled
from provisioner.sandbox.cmdlets.parameters import identity
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet
from provisioner.sandbox.tenant import Row, Tenant


def _derive(tenant: Tenant, row: Row) -> None:
    name = str(row["Name"])
    row["DisplayName"] = row["DisplayName"] or name
    row["Alias"] = row["Alias"] or name.replace(" ", "").lower()
    row["PrimarySmtpAddress"] = row["PrimarySmtpAddress"] or f"{row['Alias']}@{tenant.initial_domain}"
    row["EmailAddresses"] = row["EmailAddresses"] or [f"SMTP:{row['PrimarySmtpAddress']}"]


NOUN = Noun(
    "DistributionGroup",
    {
        "GroupType": "Universal, SecurityEnabled",
        "Alias": "",
        "DisplayName": "",
        "EmailAddresses": [],
        "PrimarySmtpAddress": "",
        "RecipientType": "MailUniversalSecurityGroup",
        "RecipientTypeDetails": "MailUniversalSecurityGroup",
        "ExternalDirectoryObjectId": "",
    },
    container="OU=",
    category="Group",
    object_class=("top", "group"),
    names=mailbox.addresses,
    derive=_derive,
)
_NOUNS = (mailbox.NOUN, NOUN)

_SHOWN = (
    "Identity", "Alias", "ExternalDirectoryObjectId", "EmailAddresses", "DisplayName", "PrimarySmtpAddress",
    "RecipientType", "RecipientTypeDetails", "Id", "Name", "DistinguishedName", "ExchangeObjectId", "Guid",
    "OrganizationId", "WhenCreated", "WhenChanged",
)  # fmt: skip


def named(tenant: Tenant, wanted: str) -> Row:
    """The one mailbox or group of this name. Raises CmdletError where there is none, or more than one."""
    found = [row for noun in _NOUNS for row in tenant.index(noun.name, noun.all_names).get(wanted.lower(), ())]
    if not found:
        raise errors.not_found(wanted, server(tenant))
    if len(found) > 1:
        raise errors.matches_many(wanted)
    return found[0]


def sign_in_name(row: Row) -> str:
    """The UPN of a mailbox's user; a group signs in nowhere."""
    return str(row.get("UserPrincipalName") or "")


def _shown(row: Row) -> Row:
    return {**{column: row[column] for column in _SHOWN if column in row}, "WindowsLiveID": sign_in_name(row)}


def _get(call: Call) -> Rows:
    tenant, wanted = call.tenant, call.get("Identity")
    rows = [named(tenant, wanted)] if wanted else [row for noun in _NOUNS for row in tenant.visible(noun.name)]
    return shuffled(tenant, [_shown(row) for row in rows])


CMDLETS = (get_cmdlet(NOUN), Cmdlet("Get-Recipient", (identity(required=False),), _get))
