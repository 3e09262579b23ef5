"""Which objects of the tenant are declared ones under another name. Pure.

An object is renamed by hand in the admin centre, or its key is renamed in the plan. Either way the tenant has an object
that the plan marked and does not declare, and lacks one that it declares. Such an object is recognised by the key in
its mark, else by the id under which the journal knows the declared one, else by its body where exactly one object and
one declaration have it. It is then updated under its declared address, and neither created nor deleted.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.changes.unmanaged import called
from provisioner.mailflow import promises
from provisioner.mailflow.senders import Group
from provisioner.model import Absent, Address, Desired, Observed, Present, ResourceType, Undeclared, matches
from provisioner.model.names import caseless
from provisioner.model.picture import shared

Types = Mapping[str, ResourceType[Any]]


@dataclass(frozen=True, slots=True)
class Recognised:
    """What was observed, with renamed objects under the address that declares them.

    `former` has the address that such an object has by its present name, `reasons` how it was recognised. `unclear` are
    marked objects that may be declared ones, each with the reason: they must not be deleted.
    """

    observed: Observed
    former: Mapping[Address, Address] = field(default_factory=dict)
    reasons: Mapping[Address, str] = field(default_factory=dict)
    unclear: Mapping[Address, str] = field(default_factory=dict)


def recognise(desired: Desired, observed: Observed, types: Types) -> Recognised:
    """Find the renamed objects among those that the plan does not ignore."""
    if not desired.owner:
        return Recognised(observed)
    found: dict[Address, tuple[Address, str]] = {}
    unclear: dict[Address, str] = {}
    for kind in types.values():
        if kind.marks_ownership:
            search = _Search(kind, desired, observed)
            found |= search.found
            unclear |= search.unclear()
    former = {address: old for address, (old, _) in found.items()}
    specs = {address: Present(observed.undeclared[old]) for address, old in former.items()}
    renamed = set(former.values())
    return Recognised(
        dataclasses.replace(
            observed,
            resources={**observed.resources, **specs},
            undeclared={a: s for a, s in observed.undeclared.items() if a not in renamed},
        ),
        former,
        {a: f"it is renamed from {json.dumps(old.key, ensure_ascii=False)}: {how}" for a, (old, how) in found.items()},
        unclear,
    )


def without_excluded(desired: Desired, recognised: Recognised, types: Types, excludes: Sequence[str]) -> Desired:
    """The plan, with the objects set aside that a scope excludes by the name that the tenant has for them."""
    if not recognised.former:
        return desired
    outside = set()
    for address, old in recognised.former.items():
        there = recognised.observed.resources[address]
        names = types[address.type].names(there.spec) if isinstance(there, Present) else ()
        if matches(excludes, old, names):
            outside.add(address)
    return dataclasses.replace(
        desired,
        resources={a: r for a, r in desired.resources.items() if a not in outside},
        set_aside={**desired.set_aside, **{a: r for a, r in desired.resources.items() if a in outside}},
    )


def _missing(desired: Desired, observed: Observed) -> Sequence[Address]:
    declared = (*desired.resources, *desired.set_aside)
    return [a for a in declared if isinstance(observed.resources.get(a), Absent)]


class _Search:
    """The marked objects of one type and the declared ones that are missing."""

    def __init__(self, kind: ResourceType[Any], desired: Desired, observed: Observed) -> None:
        self._kind, self._desired, self._observed = kind, desired, observed
        of_type = {a: s for a, s in observed.undeclared.items() if a.type == kind.name}
        mine = {a: s for a, s in of_type.items() if not matches(desired.ignore, a, called(kind, s))}
        self._marked = {a: s for a, s in mine.items() if self._is_ours(s)}
        self._unmarked = {a: s for a, s in mine.items() if not kind.owner_of(s)}
        self._declared = {**desired.set_aside, **desired.resources}
        self._missing = [a for a in _missing(desired, observed) if a.type == kind.name]
        self._keys = {caseless(a.key) for a in self._declared if a.type == kind.name}
        self.found = self._found()

    def _is_ours(self, spec: Any) -> bool:
        return self._kind.undeclared(spec, self._desired.owner, False) is Undeclared.DELETE

    def _found(self) -> dict[Address, tuple[Address, str]]:
        """Of each recognised declared object its present address and how it was recognised."""
        found: dict[Address, tuple[Address, str]] = {}
        for how, pairs in (
            ("its ownership mark names this key", self._by_mark),
            ("the journal knows it by its Guid", self._by_id),
            ("no other marked object has this body", self._by_body),
        ):
            taken = {old for old, _ in found.values()}
            candidates = [(a, old) for a, old in pairs() if a not in found and old not in taken]
            found |= {a: (old, how) for a, old in _unambiguous(candidates)}
        return found

    def _by_mark(self) -> Iterator[tuple[Address, Address]]:
        for address in self._missing:
            for old, spec in self._marked.items():
                if caseless(self._kind.marked_key(spec)) == caseless(address.key):
                    yield address, old

    def _by_id(self) -> Iterator[tuple[Address, Address]]:
        for address in self._missing:
            known = self._observed.remembered.get(address)
            for old, spec in {**self._marked, **self._unmarked}.items() if known else ():
                if self._kind.object_id(spec) == known and not self._names_another(spec, address):
                    yield address, old

    def _by_body(self) -> Iterator[tuple[Address, Address]]:
        for address in self._missing:
            wanted = _body(self._kind, self._kind.completed(self._declared[address].spec))
            for old, spec in self._marked.items():
                if _body(self._kind, spec) == wanted and not self._names_another(spec, address):
                    yield address, old

    def _names_another(self, spec: Any, address: Address) -> bool:
        """Whether the mark names another declared object than this one."""
        key = caseless(self._kind.marked_key(spec))
        return key in self._keys and key != caseless(address.key)

    def unclear(self) -> dict[Address, str]:
        """Marked objects that nothing recognises and that may be declared ones all the same."""
        taken = {old for old, _ in self.found.values()}
        missing = [a for a in self._missing if a not in self.found]
        doubtful = {old for _, old in (*self._by_mark(), *self._by_body())}
        unclear: dict[Address, str] = {}
        for old, spec in self._marked.items():
            key = self._kind.marked_key(spec)
            if old in taken:
                continue
            if caseless(key) in self._keys:
                unclear[old] = f"its ownership mark names {Address(old.type, key)}, as another object does"
            elif missing and old in doubtful:
                unclear[old] = f"{missing[0]} is missing, and more than one object has its body"
            elif not key and (like := [a for a in missing if self._shares_senders(spec, a)]):
                unclear[old] = f"{like[0]} is missing, and the ownership mark does not name a key"
        return unclear

    def _shares_senders(self, spec: Any, address: Address) -> bool:
        """Whether an object has a path for a sender of a missing one: it may have been renamed and changed at once."""
        wanted = self._kind.completed(self._declared[address].spec)
        there, here = (promises.gains(self._kind, None, one) for one in (spec, wanted))
        return any(_alike(one, other) for one in there for other in here)


def _alike(one: Group, other: Group) -> bool:
    """Whether two groups of one type name the same sources, or recipients where mail leaves the tenant.

    An address and a certificate may be those of one sender (`Group.meets`), and do not make two connectors alike.
    """
    if one.sources:
        return bool(shared(one.networks, other.networks) or shared(one.certificates, other.certificates))
    return one.meets(other)


def _unambiguous(pairs: Sequence[tuple[Address, Address]]) -> Iterator[tuple[Address, Address]]:
    """The pairs of which neither side is in another one."""
    declared, objects = Counter(a for a, _ in pairs), Counter(old for _, old in pairs)
    return ((a, old) for a, old in pairs if declared[a] == 1 and objects[old] == 1)


def _body(kind: ResourceType[Any], spec: Any) -> Any:
    """What a plan would write of an object, without its key, its comment and its mark."""
    form = kind.written_form(spec)
    body = form[1] if form else None
    return {name: value for name, value in body.items() if name != "comment"} if isinstance(body, dict) else body
