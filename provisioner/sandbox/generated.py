"""Generated mailboxes: rows that are described by a rule and made when somebody asks for them.

A tenant of a million mailboxes is a template for each kind of row and a number; only rows that were changed are kept.
Every name of a generated mailbox tells its number (`numbers`), so that none of them needs an index. Nothing here knows
what a row means; seed.py says which mailboxes there are, tenant.py keeps them.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

Row = dict[str, Any]

USERS = "users"
"""The kind of the rows that are users in Graph; the other kinds are nouns of cmdlets."""

_SPREAD = 0x9E3779B1
_GATHER = pow(_SPREAD, -1, 1 << 32)
_SPREAD_64 = 0xD6E8FEB86659FD93
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}")


class Listing(Sequence[Row]):
    """Rows that are made one by one when they are looked at, each time anew."""

    __slots__ = ("_at", "_length")

    def __init__(self, length: int, at: Callable[[int], Row]) -> None:
        self._length, self._at = length, at

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Listing: ...
    def __getitem__(self, index: int | slice) -> Row | Listing:
        chosen, at = range(self._length)[index], self._at
        return at(chosen) if isinstance(chosen, int) else Listing(len(chosen), lambda i: at(chosen[i]))

    def __iter__(self) -> Iterator[Row]:
        return map(self._at, range(self._length))

    def mapped(self, change: Callable[[Row], Row]) -> Listing:
        """The same rows, each after `change`."""
        at = self._at
        return Listing(self._length, lambda i: change(at(i)))

    def turned(self, step: int, start: int) -> Listing:
        """The same rows in another order; `step` and the length have no common divisor."""
        at, length = self._at, self._length
        return Listing(length, lambda i: at((start + i * step) % length))


def chained(*parts: Sequence[Row]) -> Listing:
    """All rows of several lists."""
    ends: list[int] = []
    for part in parts:
        ends.append(len(part) + (ends[-1] if ends else 0))

    def at(index: int) -> Row:
        which = bisect_right(ends, index)
        return parts[which][index - ends[which]]

    return Listing(ends[-1] if ends else 0, at)


class Made(Row):
    """A generated row as it was made for one reader, who may want it kept: it knows where it belongs."""

    __slots__ = ("number", "source")

    source: Generated
    number: int


@dataclass(eq=False)
class Generated:
    """`count` mailboxes named `prefix00001@domain` and on, with a row of every kind in `templates`.

    `changed` has by kind the rows that are no longer as they were made, None for one that was removed. Up to
    `named_apart` a mailbox's name is taken by another one: something is put behind it.
    """

    prefix: str
    domain: str
    count: int
    key: str
    templates: Mapping[str, Row]
    named_apart: int = 0
    changed: dict[str, dict[int, Made | None]] = field(default_factory=dict)

    # --- one row ----------------------------------------------------------------------------------------------------

    def address(self, number: int) -> str:
        """The primary address of a mailbox."""
        return f"{self.prefix}{number:05d}@{self.domain}"

    def made(self, kind: str, number: int) -> Made:
        """A row as the rule says."""
        row = self._of(number, self.templates[kind])
        local, directory_id = f"{self.prefix}{number:05d}", self._guid("user", number)
        address, name = f"{local}@{self.domain}", self._name(local, directory_id, number)
        guid, display = self._guid("mailbox", number), f"{self.prefix} {number:05d}"
        if kind == USERS:
            row["id"], row["displayName"], row["userPrincipalName"] = directory_id, display, address
            row["mail"], row["proxyAddresses"] = address, [f"SMTP:{address}"]
            return row
        row["Name"] = row["Identity"] = row["Id"] = name
        row["DistinguishedName"] = f"CN={name}{self._below[kind]}"
        row["Guid"] = row["ExchangeObjectId"] = guid
        row["PrimarySmtpAddress"], row["EmailAddresses"] = address, [f"SMTP:{address}"]
        row["DisplayName"], row["ExternalDirectoryObjectId"] = display, directory_id
        if "Alias" in row:
            row["Alias"], row["UserPrincipalName"] = local, address
            row["ExchangeGuid"] = self._guid("store", number)
        return row

    def _of(self, number: int, columns: Mapping[str, Any]) -> Made:
        row = Made(columns)
        row.source, row.number = self, number
        return row

    def _name(self, local: str, directory_id: str, number: int) -> str:
        return f"{local}-{directory_id[:8]}" if number <= self.named_apart else local

    @cached_property
    def _below(self) -> dict[str, str]:
        """What follows the name in a distinguished name, by kind."""
        rows = {kind: str(row.get("DistinguishedName", "")) for kind, row in self.templates.items()}
        return {kind: name[name.find(",") :] for kind, name in rows.items()}

    # --- names ------------------------------------------------------------------------------------------------------

    def numbers(self, name: str) -> set[int]:
        """The numbers that a name (in lower case) may mean: few, to be compared with the rows."""
        found = {int(digits) for digits in self._digits.findall(name)}
        if _GUID.fullmatch(name):
            first = int(name[:8], 16)
            found |= {(first ^ mask) * _GATHER & 0xFFFFFFFF for mask, _, _ in self._masks.values()}
        return {number for number in found if 1 <= number <= self.count}

    @cached_property
    def _digits(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.prefix.lower())} ?(\d{{5,9}})")

    @cached_property
    def _masks(self) -> dict[str, tuple[int, int, int]]:
        kinds = ("user", "mailbox", "store")
        digests = {kind: hashlib.sha256(f"{self.key}/{kind}".encode()).digest() for kind in kinds}
        return {
            kind: (int.from_bytes(digest[:4]), int.from_bytes(digest[4:12]), int.from_bytes(digest[12:15]))
            for kind, digest in digests.items()
        }

    def _guid(self, kind: str, number: int) -> str:
        """A GUID that follows from the number, and the number from it."""
        first, middle, last = self._masks[kind]
        head = (number * _SPREAD & 0xFFFFFFFF) ^ first
        rest = f"{(number * _SPREAD_64 & 0xFFFFFFFFFFFFFFFF) ^ middle:016x}{last:06x}"
        return f"{head:08x}-{rest[:4]}-5{rest[4:7]}-a{rest[7:10]}-{rest[10:22]}"

    # --- all rows ---------------------------------------------------------------------------------------------------

    def rows(self, kind: str) -> Listing:
        """All rows of a kind as they are now."""
        gone = sorted(number for number, row in self.changed.get(kind, {}).items() if row is None)
        before = [number - 1 - index for index, number in enumerate(gone)]
        changed = self.changed.get(kind, {})

        def at(index: int) -> Row:
            number = 1 + index + bisect_right(before, index)
            kept = changed.get(number) if changed else None
            return self.made(kind, number) if kept is None else kept

        return Listing(self.count - len(gone), at)

    def changed_rows(self, kind: str) -> Iterator[tuple[int, Row]]:
        """Rows that are no longer as they were made, with their places in `rows`."""
        gone = 0
        for number, row in sorted(self.changed.get(kind, {}).items()):
            gone += row is None
            if row is not None:
                yield number - 1 - gone, row

    def keep(self, kind: str, number: int, row: Made | None) -> None:
        """From now on a row is this one; None: it is removed."""
        self.changed.setdefault(kind, {})[number] = row

    # --- keeping ----------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """A document that `from_json` takes: the rule, and the rows that differ from it."""
        return {
            "prefix": self.prefix,
            "domain": self.domain,
            "count": self.count,
            "key": self.key,
            "named_apart": self.named_apart,
            "templates": self.templates,
            "changed": {kind: [[number, row] for number, row in rows.items()] for kind, rows in self.changed.items()},
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Generated:
        """What `to_json` wrote. Raises KeyError, TypeError or ValueError on another form."""
        templates = {str(kind): dict(row) for kind, row in document["templates"].items()}
        names = str(document["prefix"]), str(document["domain"])
        source = Generated(*names, int(document["count"]), str(document["key"]), templates)
        source.named_apart = int(document["named_apart"])
        for kind, rows in document["changed"].items():
            for number, row in rows:
                source.keep(str(kind), int(number), None if row is None else source._of(int(number), row))
        return source
