"""The steps of a change. One that opens a path and closes another is sent in two writes: what opens comes first. Pure.

Exchange takes a list as a whole or as what is added and removed (`@{Add=…; Remove=…}`), so that an object can have both
the old and the new entries for a while. Between the writes it is read back (`Confirm`). What only one write can set, as
the name of a certificate, cannot be split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.mailflow import promises
from provisioner.model import Change, Confirm, ResourceType, Send, Step, field_names, goal_of, written


def steps_of(kind: ResourceType[Any], before: Any | None, after: Any | None) -> tuple[Step, ...]:
    """The steps from one whole object to another; None is an object that does not exist."""
    whole = tuple(kind.steps(before, after))
    middle = midway(kind, before, after)
    if middle is None or not all(isinstance(step, Send) for step in whole):
        return whole
    opening, closing = tuple(kind.steps(before, middle)), tuple(kind.steps(middle, after))
    if not opening or not closing:
        return whole
    shows = _changed(before, middle)
    return (*opening, Confirm(shows, kind.read_back(shows)), *closing)


def midway(kind: ResourceType[Any], before: Any | None, after: Any | None) -> Any | None:
    """The object that has all that opens and still all that will close; None where there is nothing to split.

    A list has the entries of both sides, or, where more entries refuse more mail, those that both have. All else is set
    by the first write if that closes nothing, or else by the last one. No sender is accepted that neither side accepts,
    as an address of the partner that a relay becomes.
    """
    if before is None or after is None:
        return None
    if not promises.gains(kind, before, after) or not promises.loses(kind, before, after):
        return None
    changed = {n: (getattr(before, n), getattr(after, n)) for n in field_names(before)}
    lists = {n: sides for n, sides in changed.items() if all(isinstance(s, frozenset) for s in sides)}
    for rest in (after, before):
        middle = dataclasses.replace(before, **{n: getattr(rest, n) for n in changed if n not in lists})
        if _closes(kind, before, middle):
            continue
        middle = _with_lists(kind, before, middle, after, lists)
        if promises.gains(kind, before, middle):
            return middle
    return None


def opens_apart(kind: ResourceType[Any], change: Change) -> bool:
    """Whether all that a change opens is in force before it closes anything."""
    if not promises.loses(kind, change.observed, goal_of(change)):
        return True
    if not any(isinstance(step, Confirm) for step in change.steps):
        return False
    goal = goal_of(change)
    return not promises.gains(kind, midway(kind, change.observed, goal), goal)


def between(before: Any, after: Any, live: Any) -> bool:
    """Whether a live object has in each written field the value of before or of after, or one between the two."""
    sides = (written(before), written(after))
    passing = {f.name: f.metadata.get("half_way", ()) for f in dataclasses.fields(live)}
    return all(
        getattr(live, n) in passing[n] or _is_between(getattr(live, n), sides[0].get(n), sides[1].get(n))
        for n in {**sides[0], **sides[1]}
    )


def _is_between(live: Any, before: Any, after: Any) -> bool:
    """Whether a value is one of two sides, or a list with what both have and nothing that neither has."""
    if live in (before, after):
        return True
    lists = all(isinstance(value, frozenset) for value in (live, before, after))
    return lists and before & after <= live <= before | after


def _with_lists(
    kind: ResourceType[Any],
    before: Any,
    middle: Any,
    after: Any,
    lists: Mapping[str, tuple[frozenset[str], frozenset[str]]],
) -> Any:
    for name, sides in lists.items():
        both = (dataclasses.replace(middle, **{name: value}) for value in _between(*sides))
        tried = (s for s in both if kind.fits(s))
        fit = (s for s in tried if not _closes(kind, before, s) and not promises.exceeds(kind, s, before, after))
        middle = next(fit, middle)
    return middle


def _between(before: frozenset[str], after: frozenset[str]) -> Iterator[frozenset[str]]:
    yield before | after
    if before & after:
        yield before & after


def _closes(kind: ResourceType[Any], before: Any, after: Any) -> bool:
    return bool(promises.loses(kind, before, after))


def _changed(before: Any, middle: Any) -> Any:
    """The key and the fields that the first write changes."""
    _, *others = field_names(middle)
    same = [n for n in others if getattr(middle, n) == getattr(before, n)]
    return dataclasses.replace(middle, **dict.fromkeys(same))
