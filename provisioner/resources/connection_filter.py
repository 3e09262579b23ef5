"""The connection filter: addresses whose mail is not filtered for spam, or is refused.

Every tenant has one policy, `Default`; others cannot be made any more (New-HostedConnectionFilterPolicy is no longer
documented). Entries carry no mark, so that only those that a plan writes are its own: the others stay, unless the
section is exclusive. Forms, limits and the precedence of the allow list: Set-HostedConnectionFilterPolicy; Learn,
"Configure connection filtering".
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from provisioner.diagnostics import Severity
from provisioner.model import (
    Address,
    Answer,
    Cmdlet,
    Declared,
    Delta,
    Guard,
    Links,
    Parameter,
    Query,
    ReadBack,
    Row,
    Rule,
    Send,
    Step,
    Unknown,
)
from provisioner.model.listing import listed
from provisioner.model.picture import AddressFilter, Contribution, Contributions, Scope, holds
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import Flag, answered, read_only, refusal, skip_network, wire_network
from provisioner.resources.fields import Text, Texts, column
from provisioner.resources.rows import connection_filter as rows

DEFAULT = "default"
"""The key of the one resource of this type."""

MOST_ENTRIES = 1273
"""Entries of a list (Learn, "Configure connection filtering")."""

_MOST_OF_A_RANGE = 256
_WIDEST = 24


def filter_entry(text: str) -> str:
    """One entry: IPv4 in CIDR of /24 to /32, or a range of 256 addresses at most. A range that is a block is one.

    "192.0.2.5" -> "192.0.2.5/32", "192.0.2.0-192.0.2.255" -> "192.0.2.0/24". Raises FILTER-ENTRY-WIDE,
    IP-VERSION-6, IP-ADDRESS-INVALID.
    """
    entry = skip_network(text)
    size = sum(block.num_addresses for block in rows.networks([entry]))
    if size > _MOST_OF_A_RANGE or ("-" not in entry and ipaddress.IPv4Network(entry).prefixlen < _WIDEST):
        what = f'"{text}" is wider than the connection filter takes: /24, or a range of {_MOST_OF_A_RANGE} addresses'
        hint = "write smaller blocks; for wider ones, Microsoft's way is a transport rule with sender_ip_ranges"
        raise refusal("FILTER-ENTRY-WIDE", what, hint)
    return entry


class _Entries(Texts):
    """A list that changes by what comes and what goes: a plain value takes entries of one kind only."""

    def change(self, before: Any, value: Any, stored: Collection[str]) -> Parameter:
        was = before or frozenset()
        gone = self._removal(was - value, stored).remove
        return Delta(tuple(sorted(map(self.item.wire, value - was))), gone)


_ENTRY = Text(
    filter_entry,
    "IPv4 addresses, CIDR blocks (/24 to /32), ranges of 256 addresses at most",
    examples=("203.0.113.10", "203.0.113.0/28", "203.0.113.20-203.0.113.29"),
    wire=wire_network,
)


@dataclass(frozen=True, slots=True)
class ConnectionFilter:
    """The two lists. `spellings` are entries that are stored otherwise than we would send them, observed only.

    `own_only` is of a declared object, until it was compared with the tenant: it mentions its own entries, and `live`
    entries that it does not write stay. Both are not values, and neither shown nor saved.
    """

    name: str
    allow: frozenset[str] | None = column(
        "IPAllowList", _Entries(_ENTRY), "Addresses whose mail is never filtered for spam. Wins over block."
    )
    block: frozenset[str] | None = column("IPBlockList", _Entries(_ENTRY), "Addresses whose mail is refused.")
    spellings: frozenset[str] | None = read_only()
    own_only: bool = dataclasses.field(default=False, compare=False, repr=False, metadata={"names": True})
    live: frozenset[tuple[str, str]] = dataclasses.field(
        default=frozenset(), compare=False, repr=False, metadata={"names": True}
    )


_LISTS = ("allow", "block")
_EXCLUSIVE = Annotated[
    Flag, Field(description="true: entries that are not listed here are removed from the lists that are written.")
]


def _agree(written: ConnectionFilter) -> None:
    """What the service would refuse or never use is told before anything is sent."""
    for name in _LISTS:
        if len(getattr(written, name) or ()) > MOST_ENTRIES:
            what = f"{name} has more than the {MOST_ENTRIES} entries that a list can have"
            hint = "write blocks for neighbouring addresses, or use a connector"
            raise refusal("FILTER-TOO-MANY", what, hint, (name,))


def _apart(section: dict[str, Any]) -> dict[str, Any]:
    """An entry of both lists is told at its place in the list that does not count."""
    allowed = set(section.get("allow", ()))
    for number, entry in enumerate(section.get("block", ())):
        if entry in allowed:
            what = f"{wire_network(entry)} is in both lists, and the allow list wins"
            raise refusal("FILTER-BOTH-LISTS", what, "leave it out of one of them", ("block", number))
    return section


class ConnectionFilterType(BaseType):
    """connection_filter["default"]. Every tenant has the policy: nothing is created or deleted."""

    name: ClassVar[str] = "connection_filter"
    section: ClassVar[str] = "connection_filter"
    section_type: ClassVar[Any] = Annotated[
        fields.entry(
            ConnectionFilter,
            "ConnectionFilterSection",
            "The IP Allow List and the IP Block List of the connection filter policy Default.",
            _agree,
            more={"exclusive": _EXCLUSIVE},
        ),
        AfterValidator(_apart),
    ]
    spec: ClassVar[type[ConnectionFilter]] = ConnectionFilter
    contributes: ClassVar[tuple[type[Contribution], ...]] = (AddressFilter,)
    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = (DEFAULT,)
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("FILTER-ALLOW", Severity.ERROR, "apply", "Mail from an address would no longer be filtered for spam."),
        Rule(
            "FILTER-FULL", Severity.ERROR, "precondition", "Entries of the plan do not fit beside those of the tenant."
        ),
    )

    def declare(self, section: Mapping[str, Any], _owner: str, /) -> Iterable[Declared]:
        body = {name: value for name, value in section.items() if name != "exclusive"}
        own_only = not section.get("exclusive", False)
        yield Declared(DEFAULT, fields.declared(ConnectionFilter, DEFAULT, body, own_only=own_only), ())

    def linked(self, spec: ConnectionFilter, links: Links, /) -> ConnectionFilter:
        """With the entries that the tenant has besides, where the section mentions its own only."""
        there = links.object(Address(self.name, spec.name))
        if not spec.own_only or there is None or not there.live:
            return spec
        lists = {name: getattr(spec, name) for name in _LISTS if getattr(spec, name) is not None}
        kept = {name: values | {entry for of, entry in there.live if of == name} for name, values in lists.items()}
        return dataclasses.replace(spec, **kept)

    def queries(self, wanted: Mapping[str, ConnectionFilter | None], _everything: bool, /) -> Sequence[Query]:
        return (Query(rows.REQUEST, frozenset(wanted)),) if wanted else ()

    def decode(
        self, wanted: Mapping[str, ConnectionFilter | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, ConnectionFilter | Unknown]:
        """The policy called Default. Without one there is no answer, for every tenant has it."""
        if not answers:
            return {}
        named = [r for _, a in answers for r in a.rows if str(r.get("Name") or "").lower() == DEFAULT]
        if len(named) != 1:
            return {DEFAULT: Unknown("Get-HostedConnectionFilterPolicy did not show one policy Default", "malformed")}
        return {DEFAULT: answered(wanted.get(DEFAULT), _decode(named[0]))}

    def steps(self, before: ConnectionFilter | None, after: ConnectionFilter | None) -> Sequence[Step]:
        if before is None or after is None:
            return ()
        changes = fields.changes(before, after, before.spellings or ())
        return (Send(Cmdlet(rows.SET, {"Identity": "Default", **changes})),) if changes else ()

    def written_form(self, spec: ConnectionFilter) -> tuple[tuple[str, ...], Any] | None:
        body = fields.written_body(spec)
        return ((), body) if body else None

    def contribution(self, spec: ConnectionFilter) -> Contributions:
        """Whose mail is spared the filter, and whose is refused: the allow list wins. Nobody's is an answer too."""
        return (AddressFilter(*_effect(spec)),)

    def guards(self, before: ConnectionFilter | None, after: ConnectionFilter | None) -> Iterable[Guard]:
        """Each allow entry lets spam through from anyone who gets hold of the address, under any sender's name."""
        was = _effect(before)[0] if before else frozenset[str]()
        new = sorted(wire_network(n) for n in (_effect(after)[0] if after else ()) if not holds(was, n))
        if new:
            summary = f"mail from {listed(new)} is no longer filtered for spam, whatever sender it claims"
            hint = "where the addresses are your own, declare an inbound connector for them instead"
            yield Guard("FILTER-ALLOW", summary, hint)
        for name in _LISTS:
            there, wanted = (getattr(spec, name, None) or frozenset() for spec in (before, after))
            if len(wanted) > MOST_ENTRIES and not wanted <= there:
                summary = f"{name} would have {len(wanted):,} entries, with {len(there):,} that the tenant has already"
                hint = "remove entries that are not needed, write blocks for neighbouring addresses, or exclusive: true"
                yield Guard("FILTER-FULL", f"{summary}, and a list has {MOST_ENTRIES:,} at most", hint)

    def fits(self, spec: ConnectionFilter, /) -> bool:
        """A list has so many entries at most."""
        return all(len(getattr(spec, name) or ()) <= MOST_ENTRIES for name in _LISTS)

    def in_force(self, _wanted: ConnectionFilter, _live: ConnectionFilter, /) -> str:
        """A list is in force."""
        return ""

    def read_back(self, spec: ConnectionFilter, /) -> ReadBack:
        request = Cmdlet("Get-HostedConnectionFilterPolicy", {"Identity": "Default"})
        return ReadBack(request, fields.sent(spec, set(_LISTS)))


def _decode(row: Row) -> ConnectionFilter:
    found = fields.decoded(ConnectionFilter, row)
    live = frozenset((name, entry) for name in _LISTS for entry in found[name] or ())
    return ConnectionFilter(DEFAULT, **found, spellings=fields.respelled(ConnectionFilter, row) or None, live=live)


def _effect(spec: ConnectionFilter) -> tuple[Scope, Scope]:
    """The networks that are spared, and those that are refused. Entries of unknown form count for neither."""
    return _networks(spec.allow or frozenset(), spec.block or frozenset())


@functools.lru_cache(maxsize=64)  # a plan asks for the same lists dozens of times; full ones take a tenth of a second
def _networks(*lists: frozenset[str]) -> tuple[Scope, Scope]:
    found = rows.ConnectionFilter(*(tuple(rows.networks(filter(_known, entries))) for entries in lists))
    return frozenset(map(str, found.allowed)), frozenset(map(str, found.refused))


def _known(entry: str) -> bool:
    try:
        return bool(skip_network(entry))
    except ValueError:
        return False
