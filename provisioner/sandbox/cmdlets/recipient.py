"""Recipients of every kind by any of their names: Get-Recipient; groups, contacts and mail users have their own Get.

One resolver for all: a name that two objects go by is refused, whichever kinds they are of (CrowdStrike/CRT issue 39;
office-docs-powershell issue 7166). Columns: Get-Recipient in a published table of a real tenant's answers, as far as
mail needs them; the sign-in name is in WindowsLiveID.
"""

from __future__ import annotations

from typing import Any

from provisioner.sandbox.cmdlets import errors, mailbox, service_principal
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, each, get, server, shuffled
from provisioner.sandbox.cmdlets.parameters import Parameter, identity, switch
from provisioner.sandbox.cmdlets.recipient_search import DETAILS, SEARCH, TYPE, chosen
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.generated import chained
from provisioner.sandbox.tenant import Row, Tenant


def _noun(name: str, kind: str, details: str, **columns: Any) -> Noun:
    """A kind of recipient that is not a mailbox; `kind` and `details` are RecipientType and RecipientTypeDetails."""
    group = "Group" in name
    common = {
        "Alias": "",
        "DisplayName": "",
        "EmailAddresses": [],
        "PrimarySmtpAddress": "",
        "RecipientType": kind,
        "RecipientTypeDetails": details,
        "ExternalDirectoryObjectId": "",
    }
    return Noun(
        name,
        {**common, **columns},
        container="OU=",
        category="Group" if group else "Person",
        object_class=("top", "group") if group else ("top", "person", "organizationalPerson"),
        names=mailbox.addresses,
        derive=_derive,
    )


def _derive(tenant: Tenant, row: Row) -> None:
    """Fill alias and addresses; those of contacts and mail users lead to the external one (Learn, New-MailContact)."""
    name = str(row["Name"])
    row["DisplayName"] = row["DisplayName"] or name
    row["Alias"] = row["Alias"] or name.partition("@")[0].replace(" ", "").lower()
    external = str(row.get("ExternalEmailAddress") or "").rpartition(":")[2]
    row["PrimarySmtpAddress"] = row["PrimarySmtpAddress"] or external or f"{row['Alias']}@{tenant.initial_domain}"
    row["EmailAddresses"] = row["EmailAddresses"] or [f"SMTP:{row['PrimarySmtpAddress']}"]


_SECURITY_GROUP = "MailUniversalSecurityGroup"
_LIST = "MailUniversalDistributionGroup"
_GROUP_COLUMNS = {
    "GroupType": "Universal, SecurityEnabled",
    "RequireSenderAuthenticationEnabled": True,  # New-DistributionGroup's default
    "ModerationEnabled": False,
}
GROUP = _noun("DistributionGroup", _SECURITY_GROUP, _SECURITY_GROUP, **_GROUP_COLUMNS)
MAIL_USER = _noun("MailUser", "MailUser", "MailUser", ExternalEmailAddress="", UserPrincipalName="")
UNIFIED = _noun("UnifiedGroup", _LIST, "GroupMailbox", GroupType="Universal", AccessType="Public")
CONTACT = _noun("MailContact", "MailContact", "MailContact", ExternalEmailAddress="")
_DYNAMIC = "DynamicDistributionGroup"
DYNAMIC = _noun(_DYNAMIC, _DYNAMIC, _DYNAMIC, RecipientFilter="", RequireSenderAuthenticationEnabled=True)
NOUNS = (GROUP, UNIFIED, CONTACT, MAIL_USER, DYNAMIC)
ALL = (mailbox.NOUN, *NOUNS)
_PRINCIPALS = frozenset({"UserMailbox", "MailUser", _SECURITY_GROUP})
"""Kinds of recipient that can hold a right: mailbox users, mail users and security groups (Add-RecipientPermission)."""

_SHOWN = (
    "Identity", "Alias", "ExternalDirectoryObjectId", "EmailAddresses", "DisplayName", "PrimarySmtpAddress",
    "RecipientType", "RecipientTypeDetails", "Id", "Name", "DistinguishedName", "ExchangeObjectId", "Guid",
    "OrganizationId", "WhenCreated", "WhenChanged", *(f"CustomAttribute{number}" for number in range(1, 16)),
)  # fmt: skip
_UNSET = {f"CustomAttribute{number}": "" for number in range(1, 16)}


def named(tenant: Tenant, wanted: str) -> Row:
    """The one recipient of this name. Raises CmdletError where there is none, or more than one."""
    found = all_named(tenant, wanted)
    if not found:
        raise errors.not_found(wanted, server(tenant))
    if len(found) > 1:
        raise errors.matches_many(wanted)
    return found[0]


def all_named(tenant: Tenant, wanted: str) -> list[Row]:
    """Every recipient of this name."""
    return [row for noun in ALL for row in tenant.named(noun.name, noun.all_names, wanted)]


def rows(tenant: Tenant) -> Rows:
    """Every recipient, as reads see it."""
    return chained(*(tenant.visible(noun.name) for noun in ALL))


def principal(tenant: Tenant, wanted: str) -> Row:
    """The one recipient or application of this name that can hold a right.

    Raises CmdletError; a contact is as one who is not there. Microsoft's page names who can be a trustee, and not the
    answer for others: the one for unknown names stands for it. It does not list service principals, which
    administrators grant rights by object id, id or SID all the same (Learn, "Authenticate an IMAP, POP or SMTP
    connection using OAuth"; guides for application access).
    """
    application = service_principal.NOUN
    applications = tenant.named(application.name, application.all_names, wanted)
    if len(applications) == 1:
        return applications[0]
    found = named(tenant, wanted)
    if found.get("RecipientType") not in _PRINCIPALS:
        raise errors.not_found(wanted, server(tenant))
    return found


def names(row: Row) -> list[object]:
    """Every name of a recipient or an application."""
    noun = service_principal.NOUN if "AppId" in row else mailbox.NOUN
    return list(noun.all_names(row))


def sign_in_name(row: Row) -> str:
    """The UPN of a user; groups and contacts sign in nowhere."""
    return str(row.get("UserPrincipalName") or "")


def shown(row: Row) -> Row:
    """The columns of a recipient, whichever kind it is of."""
    return {**_UNSET, **{column: row[column] for column in _SHOWN if column in row}, "WindowsLiveID": sign_in_name(row)}


def _get(call: Call) -> Rows:
    tenant, wanted = call.tenant, call.get("Identity")
    found = [named(tenant, wanted)] if wanted else rows(tenant)
    found = chosen(call, found)
    return each(found if call.get("SortBy") else shuffled(tenant, found), shown)


def _getter(noun: Noun, *parameters: Parameter) -> Cmdlet:
    """`Get-` of one kind of recipient."""
    return Cmdlet(
        f"Get-{noun.name}",
        (identity(required=False), *SEARCH, *parameters),
        lambda call: chosen(call, get(call, noun)),
    )


CMDLETS = (
    _getter(GROUP, DETAILS),
    _getter(UNIFIED, switch("IncludeAllProperties", stored=False)),
    _getter(CONTACT, DETAILS),
    _getter(DYNAMIC),
    Cmdlet("Get-Recipient", (identity(required=False), *SEARCH, TYPE, DETAILS), _get),
)
