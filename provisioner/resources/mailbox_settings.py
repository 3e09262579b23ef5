"""A setting of mailboxes that has an organization's value: what is asked to know which mailboxes a plan's names mean.

Such a type reads rows by primary address. Whom another name means is looked up, and rows are then asked for by Guid.
Where a section is exclusive, the other names of what it would take back are asked for too: one of them may be declared,
ignored or protected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from provisioner.model import Absent, Cmdlet, Query, Unknown
from provisioner.resources import identities
from provisioner.resources.canonical import lenient, recipient_name
from provisioner.resources.identities import Directory, Party
from provisioner.resources.rows import batches, recipient

form = lenient(recipient_name)
_MOST_LOOKED_UP = 100  # whose other names are looked up; beyond, all recipients are listed


def names_of(
    unmatched: Iterable[str],
    resolved: Mapping[str, str],
    read: Collection[str],
    rows: Callable[[Sequence[str]], Cmdlet],
) -> list[Query]:
    """The lookups of names that no row has, and of the rows of those Guids that they mean and that were not read."""
    queries = identities.look_ups({form(key): (key,) for key in unmatched})
    unread: dict[str, list[str]] = {}
    for key, guid in resolved.items():
        if guid not in read:
            unread.setdefault(guid, []).append(key)
    return [*queries, *(Query(rows(some), frozenset(key for one in some for key in unread[one]))
                        for some in batches(unread))]  # fmt: skip


def other_names(guids: Collection[str], unmatched: Iterable[str]) -> list[Query]:
    """The lookups of every name of these mailboxes."""
    if len(guids) > _MOST_LOOKED_UP:
        return [Query(recipient.listing([*guids, *map(form, unmatched)]), frozenset())]
    return identities.look_ups(dict.fromkeys(guids, ()), recipients_only=True)


def meant(key: str, directory: Directory) -> Party | Absent | Unknown:
    """The object that a name means, or why it means none, as far as it was looked up."""
    name = form(key)
    party = directory.meant(name)
    if party is not None:
        return party
    if not directory.asked(name):
        return Unknown(f"whether {name} is another name of a mailbox was not asked", "incomplete")
    fix = f'create "{name}" first, or correct the name'
    return Absent(f"the tenant has no mailbox {name}: no recipient has this address or name", fix)
