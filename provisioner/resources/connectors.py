"""What inbound and outbound connectors share: names, words, and columns that come back spelled otherwise than sent.

Both have `Name`, `ConnectorType`, `ConnectorSource` and `Comment`, booleans, and multi-valued columns that `[]` does
not empty over REST.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from provisioner.model import Answer, Delta, Parameter, Query, Row, Undeclared, Unknown
from provisioner.model.picture import Scope
from provisioner.resources.canonical import (
    Canonical,
    answered,
    by_name,
    flag,
    guid,
    identifier,
    lenient,
    refusal,
    texts,
    word,
)
from provisioner.resources.ownership import HYBRID_WIZARD, comment_on_wire, split_comment

_TYPES = {"onpremises": "on_premises", "partner": "partner"}
_WIRE_TYPES = {"on_premises": "OnPremises", "partner": "Partner"}
_SOURCES = {"default": "default", "hybridwizard": HYBRID_WIZARD, "migrated": "migrated", "adminui": "admin_ui"}


def connector_name(text: str) -> str:
    """A name as a plan writes it. Raises CONNECTOR-NAME-INVALID."""
    if not text or text != text.strip() or not text.isprintable():
        mend = "write a name of printable characters, without blanks around it"
        raise refusal("CONNECTOR-NAME-INVALID", f"{text!r} is not a name for a connector", mend)
    return text


def declared_names(section: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Key and name of each entry: names that differ in case only have one key, for the caller to refuse."""
    spelling: dict[str, str] = {}
    for name in section:
        yield spelling.setdefault(name.casefold(), name), name


C = TypeVar("C")


def decode_listing(
    wanted: Mapping[str, C | None], answers: Sequence[tuple[Query, Answer]], decode: Callable[[str, Row], C]
) -> dict[str, C | Unknown]:
    """All rows of the listings by name. Exchange tells names apart without case; a wanted key keeps its spelling.

    A Guid is a name too: an object that is wanted by both comes back under both. Raises ValueError for a row without
    a name.
    """
    keys = {key.casefold(): key for key in wanted}
    seen: dict[str, C | Unknown] = {}
    rows = (row for _, answer in answers for row in answer.rows)
    for form, row in by_name(rows, str.casefold, "Name", "Identity").items():
        if isinstance(row, Unknown):
            seen[keys.get(form, form)] = row
            continue
        names = [keys[name] for name in (form, guid(row)) if name in keys] or [identifier(row, "Name", "Identity")]
        seen.update({key: answered(wanted.get(key), decode(key, row)) for key in names})
    return seen


def names_of(row: Row) -> frozenset[str]:
    """The names of a connector: its own and its Guid."""
    return frozenset(filter(None, (str(row.get("Name") or ""), guid(row))))


def fate(observed: Any, owner: str) -> Undeclared:
    """What becomes of an undeclared connector: only our own mark makes it ours, and never the hybrid wizard's."""
    ours = owner and observed.owner == owner and observed.source != HYBRID_WIZARD
    return Undeclared.DELETE if ours else Undeclared.KEEP


def wire_type(canonical: str) -> str:
    """The value of `ConnectorType`."""
    return _WIRE_TYPES.get(canonical, canonical)


def _as_it_is(canonical: str) -> str:
    return canonical


@dataclass(frozen=True, slots=True)
class Values:
    """A multi-valued parameter: the canonical form of its values, and what is sent for one."""

    parameter: str
    canonical: Canonical
    wire: Canonical = _as_it_is

    def decode(self, values: Iterable[str]) -> frozenset[str]:
        return frozenset(map(lenient(self.canonical), values))

    def sent(self, values: Iterable[str]) -> tuple[str, ...]:
        """What a parameter holds for these canonical values."""
        return tuple(sorted(map(self.wire, values)))

    def spellings(self, values: Sequence[str]) -> frozenset[str]:
        """The stored values of every entry that is not, or not only, stored as we would send it."""
        form = lenient(self.canonical)
        odd = {form(v) for v in values if v != self.wire(form(v))}
        return frozenset(f"{self.parameter}={v}" for v in values if form(v) in odd)

    def removal(self, values: frozenset[str], spellings: Iterable[str]) -> Delta:
        """What takes these entries away, by the names under which they are stored."""
        prefix = f"{self.parameter}="
        form = lenient(self.canonical)
        stored = {s.removeprefix(prefix) for s in spellings if s.startswith(prefix)}
        named = {s: form(s) for s in stored if form(s) in values}
        return Delta(remove=tuple(sorted({*named, *(self.wire(v) for v in values - set(named.values()))})))


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a kind of connector that need no thought of their own: field name -> parameter.

    `fixed` are the fields that only New has, `respelled` those whose stored form is always another than the sent one
    and that can never be emptied. The spec has the fields `type`, `comment`, `owner` and `spellings` besides.
    """

    flags: Mapping[str, str]
    lists: Mapping[str, Values]
    fixed: frozenset[str] = frozenset()
    respelled: frozenset[str] = frozenset()

    def decode(self, row: Row) -> dict[str, Any]:
        """The fields of a row, with the type, the source, the user's comment and the owner. Missing ones are None."""
        values: dict[str, Any] = {name: flag(row, parameter) for name, parameter in self.flags.items()}
        spellings: set[str] = set()
        for name, kind in self.lists.items():
            stored = texts(row, kind.parameter)
            values[name] = None if stored is None else kind.decode(stored)
            if name not in self.respelled:
                spellings |= kind.spellings(stored or ())
        if "Comment" in row:
            values["comment"], values["owner"] = split_comment(str(row["Comment"] or ""))
        values["type"] = word(row, "ConnectorType", _TYPES)
        values["source"] = word(row, "ConnectorSource", _SOURCES)
        values["spellings"] = frozenset(spellings) or None
        return values

    def creation(self, after: Any) -> dict[str, Parameter]:
        """The parameters of New for what is written; an empty list is what New makes of none."""
        given = {p: getattr(after, name) for name, p in self.flags.items() if getattr(after, name) is not None}
        lists = {k.parameter: k.sent(getattr(after, name)) for name, k in self.lists.items() if getattr(after, name)}
        comment = comment_on_wire(after.comment or "", after.owner or "")
        return {**given, **lists, **({"Comment": comment} if comment else {})}

    def changes(self, before: Any, after: Any) -> dict[str, Parameter]:
        """The parameters of Set for what differs and is known in `after`."""
        changes: dict[str, Parameter] = {}
        if differs(before, after, "type"):
            changes["ConnectorType"] = wire_type(after.type)
        changes |= {p: getattr(after, name) for name, p in self.flags.items() if differs(before, after, name)}
        for name, kind in self.lists.items():
            if name in self.fixed or not differs(before, after, name):
                continue
            if getattr(after, name):
                changes[kind.parameter] = kind.sent(getattr(after, name))
            elif getattr(before, name):
                # An empty list would leave it as it is: over REST, [] does not clear.
                changes[kind.parameter] = kind.removal(getattr(before, name), before.spellings or ())
        if differs(before, after, "comment") or differs(before, after, "owner"):
            changes["Comment"] = comment_on_wire(after.comment or "", after.owner or "")
        return changes


def differs(before: Any, after: Any, name: str) -> bool:
    """Whether a field is known in `after` and another than in `before`."""
    value = getattr(after, name)
    return value is not None and value != getattr(before, name)


def written_body(spec: Any, names: Iterable[str], always: Iterable[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a plan that declares `spec`: the fields `names`, without what is empty or a default.

    Those of `always` are written whatever they hold.
    """
    body: dict[str, Any] = {}
    for name in names:
        value = getattr(spec, name)
        if isinstance(value, frozenset):
            value = sorted(value)
        if name in always or value not in (None, [], "", defaults.get(name)):
            body[name] = value
    return {name: value for name, value in body.items() if value is not None}


# --- words ----------------------------------------------------------------------------------------


def listed(words: Scope, most: int = 5) -> str:
    """A few of the words in order, and how many more there are."""
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(sorted(words)[:most]) + more
