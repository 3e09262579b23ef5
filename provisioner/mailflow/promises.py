"""What the plan as a whole promises to senders, and what of it is not in force yet. Pure.

The rule is "open before you close": a change that takes a path from senders is sent only when every path that the final
picture promises to these senders is in force. It is judged by what the tenant has just before that change, and not by
what a run has done: an object that needs no change promises as much as one that is created.
"""

from __future__ import annotations

from typing import Any

from provisioner.mailflow.consequences import closed, opened
from provisioner.mailflow.picture import contributions
from provisioner.mailflow.senders import EVERYONE, NOBODY, Groups
from provisioner.model import ResourceType, overlay
from provisioner.model.picture import Restriction, Route


def promised(kind: ResourceType[Any], wanted: Any, live: Any | None) -> Groups:
    """The senders that a declared object has a path for once it is as declared and in force; live is what it was.

    An object that nobody has read may also lift a refusal, of anyone.
    """
    final = contributions(kind, _final(kind, wanted, live))
    if live is None and {Restriction, Route} & set(kind.contributes):
        return opened((), final) | {EVERYONE}
    return opened((), final) | opened(contributions(kind, live), final)


def lacking(kind: ResourceType[Any], wanted: Any, live: Any | None) -> Groups:
    """The senders whose promised path by this object is not in force now; `live` is None for an absent object."""
    final = contributions(kind, _final(kind, wanted, live))
    found = opened(contributions(kind, live), final)
    if live is not None and not found and kind.in_force(wanted, live):
        return opened((), final) or frozenset({EVERYONE})
    return found


def loses(kind: ResourceType[Any], before: Any | None, after: Any | None) -> Groups:
    """The senders from whom a change takes something. Those of a deletion that takes nothing known may be anyone."""
    found = closed(contributions(kind, before), contributions(kind, after))
    return found or (frozenset({EVERYONE}) if after is None else NOBODY)


def gains(kind: ResourceType[Any], before: Any | None, after: Any | None) -> Groups:
    """The senders that a change opens a path for."""
    return opened(contributions(kind, before), contributions(kind, after))


def _final(kind: ResourceType[Any], wanted: Any, live: Any | None) -> Any:
    """The whole object as the plan leaves it: what is not written is as it is, or as creation makes it.

    Where the tenant keeps it out of force against the plan, it is meant to work.
    """
    if live is None:
        return kind.completed(wanted)
    return overlay(wanted, kind.working(live) if kind.in_force(wanted, live) else live)
