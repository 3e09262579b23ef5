"""Get-Recipient and Get-Mailbox: the names by which a recipient of any kind may be meant.

For an identity that does not exist, both may return every recipient (Learn, Get-Recipient): match by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import email_address, guid, lenient, texts

_NAMES = (
    "PrimarySmtpAddress", "WindowsLiveID", "UserPrincipalName", "WindowsEmailAddress", "Name", "DisplayName", "Alias",
    "Identity", "Id", "DistinguishedName", "SamAccountName", "LegacyExchangeDN", "Guid", "ExchangeObjectId",
    "ExternalDirectoryObjectId",
)  # fmt: skip
COLUMNS = frozenset({*_NAMES, "EmailAddresses"})

form = lenient(email_address)


@dataclass(frozen=True, slots=True)
class Recipient:
    """`id` is the Guid. `names` are all its names in lower case; a display name may be that of another one too."""

    id: str
    addresses: frozenset[str]
    names: frozenset[str]


def look_up(identity: str) -> Cmdlet:
    """A recipient of any kind, groups and contacts too."""
    return Cmdlet("Get-Recipient", {"Identity": identity}, COLUMNS)


def mailbox(identity: str) -> Cmdlet:
    """One mailbox, by any of its addresses."""
    return Cmdlet("Get-Mailbox", {"Identity": identity}, COLUMNS)


def addresses(row: Row) -> frozenset[str]:
    """Every SMTP address in `EmailAddresses`. SIP:, SPO: and X500: are no mail."""
    proxies = (proxy.partition(":") for proxy in texts(row, "EmailAddresses") or ())
    return frozenset(form(address) for kind, _, address in proxies if kind.lower() == "smtp")


def names(row: Row) -> frozenset[str]:
    """Every name of a recipient or user."""
    return addresses(row) | {form(str(row[column])) for column in _NAMES if row.get(column)}


def decode(row: Row) -> Recipient:
    """One row."""
    primary = {form(str(row["PrimarySmtpAddress"]))} if row.get("PrimarySmtpAddress") else set()
    return Recipient(guid(row), addresses(row) | primary, names(row))
