"""Get-CASMailbox: the mailboxes with their SMTP AUTH switches, which `resources.smtp_auth` decodes.

Lookups filter, as those of `rows.recipient` do, by what Get-CASMailbox filters on: neither sign-in names nor aliases.
Rows have no sign-in name; Get-Recipient has it, under the same Guid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from provisioner.model import Cmdlet, Needed, Row
from provisioner.resources.canonical import identifier, is_guid, texts
from provisioner.resources.rows import batches, recipient
from provisioner.resources.rows.transport_config import SWITCH

NAME = "Get-CASMailbox"
_IDS = ("Guid", "ExchangeObjectId", "ExternalDirectoryObjectId")
_SHARED = ("DisplayName", "Name")
COLUMNS = frozenset({SWITCH, *_IDS, *_SHARED, "Identity", "PrimarySmtpAddress", "EmailAddresses"})
_NAMES = ("PrimarySmtpAddress", *_IDS, *_SHARED)
LISTING = Cmdlet(NAME, {"ResultSize": "Unlimited"}, COLUMNS)


def listing(names: Iterable[str]) -> Cmdlet:
    """All mailboxes, of which those are kept that override the organization's switch or go by one of these names."""
    return Cmdlet(NAME, {"ResultSize": "Unlimited"}, COLUMNS, Needed(_needed, frozenset(names)))


def _needed(rows: Sequence[Row], names: frozenset[str]) -> Sequence[Row]:
    """The rows that say more than that a mailbox nobody mentions inherits the switch.

    A row overrides the switch, is odd (`resources.smtp_auth` says what is wrong with it), or is mentioned.
    """
    is_named = recipient.named_among(rows, _NAMES, names)
    return [
        row for row in rows if row.get(SWITCH, False) is not None or not row.get("PrimarySmtpAddress") or is_named(row)
    ]


def look_up(name: str) -> Cmdlet:
    """The mailboxes that have an address, an id or a display name."""
    return _filtered((name,))


def look_ups(names: Iterable[str]) -> Sequence[tuple[Sequence[str], Cmdlet]]:
    """The mailboxes of many names, several in one request; each request with its names."""
    return [(part, _filtered(part)) for part in batches(names)]


def by_guid(guids: Iterable[str]) -> Cmdlet:
    """The mailboxes of these Guids."""
    return _filtered(guids)


def _filtered(names: Iterable[str]) -> Cmdlet:
    return Cmdlet(NAME, {"Filter": " -or ".join(map(_condition, names)), "ResultSize": "Unlimited"}, COLUMNS)


def _condition(name: str) -> str:
    value = "'" + name.replace("'", "''") + "'"
    if is_guid(name):
        return f"Guid -eq {value}"
    return f"EmailAddresses -eq {value}" if "@" in name else f"(DisplayName -eq {value} -or Name -eq {value})"


def primary(row: Row) -> str:
    """The primary address; the identity of a mailbox without one. Raises ValueError for a row without either."""
    address = row.get("PrimarySmtpAddress")
    if not address:
        proxies = texts(row, "EmailAddresses") or ()
        address = next((p.removeprefix("SMTP:") for p in proxies if p.startswith("SMTP:")), "")
    return recipient.form(str(address or identifier(row, "Identity")))


def names(row: Row) -> frozenset[str]:
    """Every name that means this mailbox: its SMTP addresses and ids. A display name is not one's own."""
    ids = [str(row[column]).lower() for column in _IDS if row.get(column)]
    return recipient.addresses(row).union(ids, (primary(row),))


def shared_names(row: Row) -> frozenset[str]:
    """The names that others may have too."""
    return frozenset(str(row[column]).strip().lower() for column in _SHARED if row.get(column))
