"""Get-CASMailbox: the mailboxes with their SMTP AUTH switches, which `resources.smtp_auth` decodes.

For an identity that does not exist every mailbox may come back: match by address. Rows have no sign-in name; Get-User
has it, under the same Guid.
"""

from __future__ import annotations

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import identifier, texts
from provisioner.resources.rows import recipient
from provisioner.resources.rows.transport_config import SWITCH

NAME = "Get-CASMailbox"
SIGN_IN = "UserPrincipalName"
_IDS = ("Guid", "ExchangeObjectId", "ExternalDirectoryObjectId")
COLUMNS = frozenset({SWITCH, SIGN_IN, *_IDS, "Identity", "PrimarySmtpAddress", "EmailAddresses"})
LISTING = Cmdlet(NAME, {"ResultSize": "Unlimited"}, COLUMNS)


def look_up(identity: str) -> Cmdlet:
    """One mailbox, by any of its names."""
    return Cmdlet(NAME, {"Identity": identity}, COLUMNS)


def primary(row: Row) -> str:
    """The primary address; the identity of a mailbox without one. Raises ValueError for a row without either."""
    address = row.get("PrimarySmtpAddress")
    if not address:
        proxies = texts(row, "EmailAddresses") or ()
        address = next((p.removeprefix("SMTP:") for p in proxies if p.startswith("SMTP:")), "")
    return recipient.form(str(address or identifier(row, "Identity")))


def addresses(row: Row) -> frozenset[str]:
    """Every SMTP address of a mailbox. `SMTP:` is the primary, `smtp:` the others."""
    return recipient.addresses(row) | {primary(row)}


def names(row: Row) -> frozenset[str]:
    """Every name that means this mailbox: its addresses, sign-in name and ids. A display name is not one's own."""
    return addresses(row) | {str(row[column]).lower() for column in (SIGN_IN, *_IDS) if row.get(column)}
