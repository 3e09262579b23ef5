"""The sending picture of a tenant: what every object contributes, as it was read and as the changes leave it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from provisioner.model import (
    Absent,
    Address,
    Answer,
    Change,
    Desired,
    Observed,
    Present,
    Request,
    Resource,
    ResourceType,
    Unknown,
    goal_of,
    request_key,
)
from provisioner.model.picture import (
    Acceptance,
    Account,
    AppRole,
    Contribution,
    Contributions,
    HighVolume,
    MailboxRight,
    MailRule,
    Picture,
    Registration,
    Rejection,
    Route,
    SendRight,
    SignIn,
)
from provisioner.resources import TYPES

Types = Iterable[ResourceType[Any]]
Evidence = Mapping[str, Answer | Unknown]

_BY_KEY: tuple[type[Contribution], ...] = (
    Acceptance,
    Account,
    SignIn,
    SendRight,
    HighVolume,
    Registration,
    MailboxRight,
    AppRole,
)
"""The words whose objects are looked up by key, so that a key that is read and contributes none is a fact."""


def contributions(kind: ResourceType[Any], spec: Any | None) -> Contributions:
    """What an object contributes; nothing where it does not exist. Raises TypeError for a word not announced.

    A type announces its words (`contributes`), so that a listing that fails leaves them unknown.
    """
    if spec is None:
        return ()
    found = tuple(kind.contribution(spec))
    odd = {type(c).__name__ for c in found if not isinstance(c, kind.contributes)}
    if odd:
        raise TypeError(f"{kind.name} contributes {', '.join(sorted(odd))}, which its `contributes` does not hold")
    return found


def is_silenced(kind: ResourceType[Any], before: Any | None, after: Any | None) -> bool:
    """Whether an object contributes something, and nothing any more after a change: it is disabled or deleted."""
    return bool(contributions(kind, before)) and not contributions(kind, after)


def is_outbound_connector(kind: ResourceType[Any]) -> bool:
    """Whether mail is routed by the objects of a type themselves. A transport rule routes it to one of them."""
    return Route in kind.contributes and MailRule not in kind.contributes


def of_declared(resources: Iterable[Resource]) -> Picture:
    """The picture of what a plan declares, without a tenant: each object with the values that its creation sends."""
    by_name = {t.name: t for t in TYPES}
    kinds = ((r, by_name[r.address.type]) for r in resources)
    return Picture({r.address: contributions(kind, kind.completed(r.spec)) for r, kind in kinds})


def of_observed(observed: Observed, types: Types = TYPES, mailboxes: Collection[str] = ()) -> Picture:
    """The tenant as it was read, with the evidence about `mailboxes` and the organization where nobody declares them.

    What the plan does not mention and nobody read is not in it.
    """
    by_name = {t.name: t for t in types}
    seen = {a: o.spec for a, o in observed.resources.items() if isinstance(o, Present)}
    seen |= dict(_perhaps(observed))
    told = dict(_witnesses(observed, by_name.values(), mailboxes))
    specs = {**{a: s for a, s in told.items() if s is not None}, **observed.undeclared, **seen}
    unread = {a.type: f"{a}: {o.reason}" for a, o in observed.resources.items() if isinstance(o, Unknown)}
    unread |= {name: unknown.reason for name, unknown in observed.unlisted.items()}
    objects = {a: contributions(by_name[a.type], spec) for a, spec in specs.items()}
    read = [a for a, o in observed.resources.items() if not isinstance(o, Unknown) and not objects.get(a)]
    read += [a for a, spec in told.items() if spec is None]
    lacking = {word: frozenset(a.key for a in read if word in by_name[a.type].contributes) for word in _BY_KEY}
    return Picture(
        objects,
        {word: reason for name, reason in unread.items() for word in by_name[name].contributes},
        {word: keys for word, keys in lacking.items() if keys},
    )


def _perhaps(observed: Observed) -> Iterator[tuple[Address, Any]]:
    """What does not exist itself, and that another object may give: a right that a group has."""
    for address, there in observed.resources.items():
        known = there.known if isinstance(there, Absent) else None
        names: frozenset[str] = getattr(known, "names", frozenset())
        if names:
            yield address, known


def after(picture: Picture, changes: Iterable[Change], types: Types = TYPES) -> Picture:
    """The same picture with every change made."""
    by_name = {t.name: t for t in types}
    objects = dict(picture.objects)
    lacking = {word: set(keys) for word, keys in picture.lacking.items()}
    for change in changes:
        kind, key = by_name[change.address.type], change.address.key
        objects[change.address] = found = contributions(kind, goal_of(change))
        for word in set(_BY_KEY) & set(kind.contributes):
            keys = lacking.setdefault(word, set())
            keys.discard(key) if any(isinstance(c, word) for c in found) else keys.add(key)
    kept = {word: frozenset(keys) for word, keys in lacking.items()}
    return dataclasses.replace(picture, objects=objects, lacking=kept)


# --- what was asked besides ------------------------------------------------------------------------------------------


def _witnesses(
    observed: Observed, types: Iterable[ResourceType[Any]], mailboxes: Collection[str]
) -> Iterator[tuple[Address, Any]]:
    """Mailboxes and the organization, from the answers to what the rules asked; None for one that does not exist."""
    for kind in types:
        if not {SignIn, Account, Rejection} & set(kind.contributes):
            continue
        keys = [*kind.singletons, *(mailboxes if {SignIn, Account} & set(kind.contributes) else ())]
        unread = [key for key in keys if Address(kind.name, key) not in observed.resources]
        for key, spec in witnessed(kind, unread, observed.evidence).items():
            yield Address(kind.name, key), spec


def witnessed(kind: ResourceType[Any], keys: Iterable[str], evidence: Evidence) -> Mapping[str, Any | None]:
    """Objects by the answers to the queries that their type makes for them; None where an answer does not hold one.

    What was not asked for, was refused, or has a form that nobody knows is left out.
    """
    wanted = dict.fromkeys(keys)
    listing = kind.queries(wanted, True) if wanted else ()
    queries = [*listing, *(query for key in wanted for query in kind.queries({key: None}, False))]
    found: dict[str, Any | None] = {}
    for query in queries:
        answer = evidence.get(request_key(query.request))
        if not isinstance(answer, Answer):
            continue
        try:
            seen = kind.decode(dict.fromkeys(query.covers), [(query, answer)])
        except ValueError:
            continue
        for key in query.covers & wanted.keys():
            spec = seen.get(key)
            if not isinstance(spec, Unknown):
                found[key] = None if isinstance(spec, Absent) else spec
    return found


def questions_about(word: type[Contribution], keys: Collection[str]) -> list[Request]:
    """The reads that tell what the objects of these keys contribute in one word."""
    kinds = (t for t in TYPES if word in t.contributes) if keys else ()
    return [query.request for kind in kinds for query in kind.queries(dict.fromkeys(keys), False)]


def declared_in(desired: Desired, word: type[Contribution], key: str, types: Types = TYPES) -> bool:
    """Whether the plan declares an object of this key of a type that contributes a word."""
    return any(Address(t.name, key) in desired.resources for t in types if word in t.contributes)
