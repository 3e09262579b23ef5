"""The state of one tenant, as raw rows in the service's own spelling, and who sees a write when.

Cmdlets read and change rows here; nothing here knows what a row means. A write counts at once for the cmdlets that
write, and shows to reads after `lag` seconds of the tenant's clock, as replication between domain controllers makes
it in the service. Rows are changed in place, so that indexes and cursors over 10,000 mailboxes stay cheap.
"""

from __future__ import annotations

import datetime as dt
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from provisioner.sandbox.clock import Clock
from provisioner.sandbox.generated import USERS, Generated, Listing, Made, Row, chained
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.throttle import Throttle

__all__ = ["FORMAT", "USERS", "Pending", "Row", "Seed", "Tenant", "row_key", "user_names"]

FORMAT = 1
_WRITTEN_OUT = 10_000
"""Up to so many generated mailboxes a dump has as rows: for people and tests, who know no rule."""

Names = Callable[[Row], Iterable[object]]


class Seed(Protocol):
    """What can be merged into a tenant: it knows what it brings, the tenant only admits it."""

    def merge_into(self, tenant: Tenant) -> None: ...


@dataclass(frozen=True, slots=True)
class Pending:
    """A write that reads do not see before `due` (POSIX seconds, tenant's clock): until then they see `before`.

    `before` is None for a row that was not there, or that a fault hides.
    """

    noun: str
    key: str
    due: float
    before: Row | None


def row_key(row: Mapping[str, Any]) -> str:
    """What names a row for good: its Guid, or for rows of old exports that lack one, its identity."""
    return str(row.get("Guid") or row.get("Identity") or row.get("Name") or "").lower()


def user_names(user: Mapping[str, Any]) -> Iterable[object]:
    """What a user in Graph goes by."""
    return (user[column] for column in ("id", "userPrincipalName") if user.get(column))


class Tenant:
    """One tenant. Every attribute may be read; rows of `objects` are changed through `add`, `update` and `remove`."""

    def __init__(self) -> None:
        self.tenant_id = str(uuid.uuid4())
        self.initial_domain = "contoso.onmicrosoft.com"
        self.display_name = "Contoso"
        self.clock = Clock()
        self.objects: dict[str, list[Row]] = {}
        self.generated: list[Generated] = []
        self.graph: dict[str, Any] = {}
        self.apps: list[dict[str, Any]] = []
        self.dns: dict[str, dict[str, list[str]]] = {}
        self.settings: dict[str, Any] = {}
        self.throttle = Throttle(self.clock, lambda: self.settings.get("throttle") or {})
        self.lag = 0.0
        self.dirty = False
        self._cached: dict[tuple[str, ...], tuple[bool, float]] = {}
        self._pending: list[Pending] = []
        self._indexes: dict[str, tuple[Names, dict[str, list[Row]]]] = {}
        self._reads = 0

    def changed(self) -> None:
        """Say that the state must be written to its folder."""
        self.dirty = True

    def saved(self) -> None:
        """Say that the state is in its folder."""
        self.dirty = False

    def merge(self, seed: Seed) -> None:
        """Let a seed in, over what exists."""
        seed.merge_into(self)
        self.forget_indexes()
        self.changed()

    # --- rows ---------------------------------------------------------------------------------------------------

    def kept(self, noun: str) -> list[Row]:
        """The rows of a noun that are kept one by one: all but those of generated mailboxes."""
        rows: list[Row] = (self.graph if noun == USERS else self.objects).setdefault(noun, [])
        return rows

    def rows(self, noun: str) -> Sequence[Row]:
        """The rows of a noun as they really are now: what writing cmdlets go by."""
        generated = [source.rows(noun) for source in self.generated if noun in source.templates]
        return chained(self.kept(noun), *generated) if generated else self.kept(noun)

    def visible(self, noun: str) -> Sequence[Row]:
        """The rows of a noun as a read sees them."""
        hidden, rows = self.unseen(noun), self.rows(noun)
        if not hidden:
            return rows
        if isinstance(rows, Listing):
            return self._visible(noun, rows, hidden)
        seen: list[Row] = []
        for row in rows:
            entry = hidden.pop(row_key(row), None)
            if entry is None:
                seen.append(row)
            elif entry.before is not None:
                seen.append(entry.before)
        return seen + [entry.before for entry in hidden.values() if entry.before is not None]

    def _visible(self, noun: str, rows: Listing, hidden: Mapping[str, Pending]) -> Listing:
        """The same for many rows, of which few are hidden: these come last, as they were."""
        before = [entry.before for entry in hidden.values() if entry.before is not None]
        places = [place for place, row in self._changed_rows(noun) if row_key(row) in hidden]
        left = [place - index for index, place in enumerate(places)]
        settled = Listing(len(rows) - len(places), lambda i: rows[i + bisect_right(left, i)])
        return chained(settled, before)

    def _changed_rows(self, noun: str) -> Iterable[tuple[int, Row]]:
        """Rows that may have been written, with their places: those kept, and those of changed mailboxes."""
        start = len(self.kept(noun))
        yield from enumerate(self.kept(noun))
        for source in self.generated:
            if noun in source.templates:
                yield from ((start + place, row) for place, row in source.changed_rows(noun))
                start += len(source.rows(noun))

    def unseen(self, noun: str) -> dict[str, Pending]:
        """The oldest write to each row that reads do not see yet, by the row's key. What is due is forgotten."""
        if not self._pending:
            return {}
        now = self.clock.now().timestamp()
        self._pending = [entry for entry in self._pending if entry.due > now]
        oldest: dict[str, Pending] = {}
        for entry in self._pending:
            if entry.noun == noun:
                oldest.setdefault(entry.key, entry)
        return oldest

    def add(self, noun: str, row: Row) -> None:
        """Add a row."""
        self._delay(noun, row_key(row), None)
        self.kept(noun).append(row)
        self._indexes.pop(noun, None)
        self.changed()

    def update(self, noun: str, row: Row, values: Mapping[str, Any], *, renames: bool = True) -> None:
        """Change a row in place. `renames` False promises that no column by which the row is found is among them."""
        mine = self.own(noun, row)
        self._delay(noun, row_key(mine), dict(mine))
        mine.update(values)
        if renames:
            self._indexes.pop(noun, None)
        self.changed()

    def own(self, noun: str, row: Row) -> Row:
        """The row that is kept from now on; another one than `row` where that was made for a reader."""
        if not isinstance(row, Made):
            return row
        mine = row.source.changed.get(noun, {}).get(row.number)
        if mine is not None:
            return mine
        row.source.keep(noun, row.number, row)
        if noun in self._indexes:
            names, index = self._indexes[noun]
            _enter(index, row, names)
        return row

    def remove(self, noun: str, row: Row) -> None:
        """Take a row away."""
        self._delay(noun, row_key(row), dict(row))
        if isinstance(row, Made):
            row.source.keep(noun, row.number, None)
        else:
            kept = self.graph if noun == USERS else self.objects
            kept[noun] = [other for other in self.kept(noun) if other is not row]
        self._indexes.pop(noun, None)
        self.changed()

    def hide(self, noun: str, row: Row, seconds: float) -> None:
        """Let reads miss a row for a while, as a domain controller does that has not heard of it."""
        due = self.clock.now().timestamp() + seconds
        self._pending.insert(0, Pending(noun, row_key(self.own(noun, row)), due, None))

    def _delay(self, noun: str, key: str, before: Row | None) -> None:
        by_noun = self.settings.get("lag_by_noun", {})
        lag = float(by_noun.get(noun, self.lag))
        if lag > 0 and noun != USERS:  # Graph's own lag is not modelled
            self._pending.append(Pending(noun, key, self.clock.now().timestamp() + lag, before))

    def named(self, noun: str, names: Names, wanted: str) -> list[Row]:
        """The rows that go by a name, however it is spelled; `names(row)` gives the names of a row."""
        name = folded(wanted)
        found = list(self._index(noun, names).get(name, ()))
        for source in self.generated:
            if noun in source.templates:
                changed = source.changed.get(noun, {})
                made = (source.made(noun, number) for number in source.numbers(name) if number not in changed)
                found += [row for row in made if name in _folded(names(row))]
        return found

    def _index(self, noun: str, names: Names) -> dict[str, list[Row]]:
        """Rows that are kept by every name they go by, in lower case. Itself kept until a name changes."""
        if noun not in self._indexes:
            index: dict[str, list[Row]] = {}
            changed = (row for source in self.generated for row in source.changed.get(noun, {}).values() if row)
            for row in (*self.kept(noun), *changed):
                _enter(index, row, names)
            self._indexes[noun] = names, index
        return self._indexes[noun][1]

    def forget_indexes(self) -> None:
        """After rows were changed by other means than `add`, `update` and `remove`."""
        self._indexes.clear()

    # --- caches -------------------------------------------------------------------------------------------------

    def cached(self, key: tuple[str, ...], seconds: float, find: Callable[[], bool]) -> bool:
        """What `find` gives, or what it gave less than `seconds` before (tenant's clock). No dump has it."""
        now = self.clock.now().timestamp()
        known, until = self._cached.get(key, (False, 0.0))
        if seconds and now < until:
            return known
        self._cached[key] = found, _ = find(), now + seconds
        return found

    def cache_for(self, key: tuple[str, ...], seconds: float) -> None:
        """Limit for how long kept answers count."""
        if key in self._cached:
            known, until = self._cached[key]
            self._cached[key] = known, min(until, self.clock.now().timestamp() + seconds)

    def next_read(self) -> int:
        """Number of this read, by which lists are reordered."""
        self._reads += 1
        return self._reads

    # --- keeping ------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Everything, as a JSON document that `load_json` takes."""
        return {**self._to_json(), "generated": [source.to_json() for source in self.generated]}

    def to_rows(self) -> dict[str, Any]:
        """The same for people, with generated mailboxes as rows.

        Of more than `_WRITTEN_OUT` the rule stays.
        """
        document = self.to_json()
        if sum(source.count for source in self.generated) > _WRITTEN_OUT:
            return document
        rows = {noun: list(self.rows(noun)) for source in self.generated for noun in source.templates}
        users = {USERS: rows.pop(USERS)} if rows else {}
        objects, graph = {**self.objects, **rows}, {**self.graph, **users}
        return {**document, "objects": objects, "graph": graph, "generated": []}

    def _to_json(self) -> dict[str, Any]:
        return {
            "sandbox": FORMAT,
            "dump": True,
            "tenant": {
                "id": self.tenant_id,
                "initial_domain": self.initial_domain,
                "display_name": self.display_name,
            },
            "clock_offset_s": self.clock.offset_s,
            "lag_s": self.lag,
            "settings": self.settings,
            "objects": self.objects,
            "graph": self.graph,
            "dns": self.dns,
            "apps": self.apps,
            "pending": [
                {"noun": entry.noun, "key": entry.key, "due": _iso(entry.due), "before": entry.before}
                for entry in self._pending
            ],
        }

    def load_json(self, document: Mapping[str, Any]) -> None:
        """Become what `to_json` wrote. Raises KeyError, TypeError or ValueError and changes nothing on another form."""
        if not isinstance(document, Mapping) or document.get("sandbox") != FORMAT or not document.get("dump"):
            raise ValueError(f"not a dump of a sandbox in format {FORMAT}")
        tenant = document["tenant"]
        names = str(tenant["id"]), str(tenant["initial_domain"]), str(tenant["display_name"])
        clock, lag = Clock(float(document["clock_offset_s"])), float(document["lag_s"])
        objects = {str(noun): [dict(row) for row in rows] for noun, rows in document["objects"].items()}
        settings, graph, dns = dict(document["settings"]), dict(document["graph"]), dict(document["dns"])
        generated = [Generated.from_json(source) for source in document.get("generated", ())]
        apps, pending = [dict(app) for app in document["apps"]], list(_pendings(document.get("pending", ())))
        self.tenant_id, self.initial_domain, self.display_name = names
        self.clock.offset_s, self.lag = clock.offset_s, lag
        self.objects, self.settings, self.graph, self.dns, self.apps = objects, settings, graph, dns, apps
        self.generated, self._pending, self._cached = generated, pending, {}
        self.forget_indexes()


def _folded(names: Iterable[object]) -> set[str]:
    return {folded(str(name)) for name in names}


def _enter(index: dict[str, list[Row]], row: Row, names: Names) -> None:
    for name in _folded(names(row)):
        index.setdefault(name, []).append(row)


def _iso(timestamp: float) -> str:
    return dt.datetime.fromtimestamp(timestamp, dt.UTC).isoformat()


def _pendings(entries: Iterable[Mapping[str, Any]]) -> Iterable[Pending]:
    for entry in entries:
        due = dt.datetime.fromisoformat(entry["due"]).timestamp()
        yield Pending(str(entry["noun"]), str(entry["key"]), due, entry["before"])
