"""Get-TenantAllowBlockListItems: senders whose mail to the tenant is put into quarantine.

A block entry is an address, a domain without its subdomains, or `*.domain` with them. Its mail is taken for high
confidence phishing and put into quarantine, also within the organization (Learn, "Allow or block email using the Tenant
Allow/Block List"; block entries win over allow entries: "Manage allows and blocks in the Tenant Allow/Block List").
Expired entries are removed by the service. Not read: entries for recipients that the organization may not write to
(550 5.7.703), since an attempt names no recipient, and IP entries, which are IPv6 only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import domain_name, email_address, lenient

COLUMNS = frozenset({"Value", "Action"})
_address, _domain = lenient(email_address), lenient(domain_name)
REQUEST = Cmdlet("Get-TenantAllowBlockListItems", {"ListType": "Sender"}, COLUMNS)


@dataclass(frozen=True, slots=True)
class BlockedSenders:
    """The values of the block entries, each in the form of an address or a domain."""

    values: frozenset[str] = frozenset()

    def entry_for(self, sender: str) -> str:
        """The entry that blocks an address, "" where none does."""
        domain = sender.rpartition("@")[2]
        labels = domain.split(".")
        wide = [f"*.{'.'.join(labels[cut:])}" for cut in range(len(labels))]
        return next((value for value in (sender, domain, *wide) if value in self.values), "") if sender else ""


def decode(rows: Iterable[Row]) -> BlockedSenders:
    """The block entries of a listing. Raises ValueError for a row without a value or an action."""
    values = set()
    for row in rows:
        value, action = row.get("Value"), row.get("Action")
        if not isinstance(value, str) or not isinstance(action, str):
            raise ValueError("a row has no Value or no Action")
        if action.lower() == "block":
            values.add(_value(value))
    return BlockedSenders(frozenset(values))


def _value(text: str) -> str:
    """An entry as it is compared: an address, a domain, or `*.` and a domain."""
    star = "*." if text.startswith("*.") else ""
    return _address(text) if "@" in text else star + _domain(text.removeprefix(star))
