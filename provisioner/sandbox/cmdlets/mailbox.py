"""Mailboxes: Get-Mailbox, and the names that a mailbox goes by."""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, get, stable_guid
from provisioner.sandbox.cmdlets.parameters import identity, switch
from provisioner.sandbox.cmdlets.recipient_search import DETAILS, SEARCH, chosen
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Row, Tenant


def addresses(row: Row) -> Iterable[object]:
    """What a mailbox goes by besides Name, Guid and DN: addresses, UPN, alias, display name, directory id.

    Display names are not unique: asking for one that two mailboxes share is refused as ambiguous.
    """
    columns = ("PrimarySmtpAddress", "UserPrincipalName", "Alias", "DisplayName", "ExternalDirectoryObjectId",
               "SamAccountName", "LegacyExchangeDN")  # fmt: skip
    proxies = [str(proxy) for proxy in row.get("EmailAddresses") or ()]
    smtp = [proxy[5:] for proxy in proxies if proxy[:5].lower() == "smtp:"]
    return [*(row[column] for column in columns if row.get(column)), *smtp]


def derive_addresses(tenant: Tenant, row: Row) -> None:
    """Fill primary address, proxies and directory id of a new row from each other."""
    name = str(row["Name"])
    if not row["PrimarySmtpAddress"]:
        row["PrimarySmtpAddress"] = name if "@" in name else f"{name}@{tenant.initial_domain}"
    row["DisplayName"] = row["DisplayName"] or name
    row["EmailAddresses"] = row["EmailAddresses"] or [f"SMTP:{row['PrimarySmtpAddress']}"]
    if not row["ExternalDirectoryObjectId"]:
        row["ExternalDirectoryObjectId"] = directory_id(tenant, str(row["PrimarySmtpAddress"]))


def directory_id(tenant: Tenant, address: str) -> str:
    """The Entra object id of the user who owns a mailbox made here."""
    return stable_guid(tenant.tenant_id, "user", address.lower())


def _derive(tenant: Tenant, row: Row) -> None:
    derive_addresses(tenant, row)
    row["Alias"] = row["Alias"] or str(row["PrimarySmtpAddress"]).partition("@")[0]
    row["UserPrincipalName"] = row["UserPrincipalName"] or row["PrimarySmtpAddress"]
    row["ExchangeGuid"] = row["ExchangeGuid"] or stable_guid(str(row["Guid"]), "store")


NOUN = Noun(
    "Mailbox",
    {
        "ExternalDirectoryObjectId": "",
        "UserPrincipalName": "",
        "Alias": "",
        "DisplayName": "",
        "EmailAddresses": [],
        "PrimarySmtpAddress": "",
        "RecipientType": "UserMailbox",
        "RecipientTypeDetails": "UserMailbox",
        "ExchangeGuid": "",
        "AccountDisabled": False,
        "IsMailboxEnabled": True,
        "HiddenFromAddressListsEnabled": False,
        "MessageCopyForSentAsEnabled": False,
        "RecipientLimits": "500",
        "MaxSendSize": "35 MB (36,700,160 bytes)",
        "MaxReceiveSize": "36 MB (37,748,736 bytes)",
        "ForwardingSmtpAddress": None,
    },
    container="OU=",
    category="Person",
    object_class=("top", "person", "organizationalPerson", "user"),
    key="PrimarySmtpAddress",
    names=addresses,
    derive=_derive,
)


def _get(call: Call) -> Rows:
    if call.get("InactiveMailboxOnly") or call.get("SoftDeletedMailbox"):
        return []  # here nothing stays of a mailbox
    return chosen(call, get(call, NOUN))


CMDLETS = (
    Cmdlet(
        "Get-Mailbox",
        (
            identity(required=False),
            *SEARCH,
            DETAILS,
            *(switch(n, stored=False) for n in ("IncludeInactiveMailbox", "InactiveMailboxOnly", "SoftDeletedMailbox")),
        ),
        _get,
    ),
)
