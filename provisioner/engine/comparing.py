"""Where a change stands by what was read: before it, after it, or somewhere else."""

from __future__ import annotations

import dataclasses
from typing import Any

from provisioner.model import Change, Observation, Present, Send, Unknown, field_names, project, written


def standing_of(change: Change, observation: Observation) -> tuple[str, str]:
    """Where a change stands by what exists now: "before", "after" or "moved", and what is seen, in words."""
    if isinstance(observation, Unknown):
        return "moved", f"it cannot be read: {observation.reason}"
    live = observation.spec if isinstance(observation, Present) else None
    if _equal(live, change.after):
        return "after", ""
    if _equal(live, _known(change.before, live)):
        return "before", "it is as it was before"
    return "moved", _difference(live, change.after if change.before is None else change.before)


def unread(change: Change, observation: Observation) -> tuple[str, ...]:
    """The fields that a change rests on and that the live object was returned without: whether they moved is unknown.

    Not those that are only ever observed: their own reads may fail, and nothing is planned on them.
    """
    if change.before is None or not isinstance(observation, Present):
        return ()
    live, read_only = observation.spec, _read_only(change.before)
    return tuple(n for n in written(change.before) if n not in read_only and getattr(live, n) is None)


def _known(before: Any, live: Any) -> Any:
    """The side before a change without the observations that were not made this time."""
    if before is None or live is None:
        return before
    return dataclasses.replace(before, **{n: None for n in _read_only(before) if getattr(live, n) is None})


def _read_only(spec: Any) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(spec) if f.metadata.get("read_only"))


def key_only(spec: Any) -> Any:
    """A spec that says nothing but which object it is: its first field, by convention the key."""
    _, *others = field_names(spec)
    return dataclasses.replace(spec, **dict.fromkeys(others))


def may_be_half_way(change: Change) -> bool:
    """Whether an earlier run can have left a change between before and after.

    What takes one write has no half-way: it is before or after, or another client has changed it.
    """
    return sum(isinstance(step, Send) and not step.request.reads for step in change.steps) > 1


def _equal(live: Any, side: Any) -> bool:
    """Whether the live object is this side of a change, in the fields that the side writes."""
    if live is None or side is None:
        return live is side
    return bool(project(live, side) == side)


def _difference(live: Any, expected: Any) -> str:
    if live is None:
        return "it is not there any more"
    if expected is None:
        return "it is there now"
    names = [n for n, v in written(expected).items() if getattr(live, n) != v]
    return "; ".join(f"{n} is {_plain(getattr(live, n))}, not {_plain(getattr(expected, n))}" for n in names)


def _plain(value: Any) -> str:
    if isinstance(value, frozenset):
        return "[" + ", ".join(sorted(map(str, value))) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
