"""What the plan as a whole promises to senders, and what of it is not in force yet. Pure.

The rule is "open before you close": a change that takes a path from senders is sent only when every path that the final
picture promises to these senders is in force. It is judged by what the tenant has just before that change, and not by
what a run has done: an object that needs no change promises as much as one that is created.
"""

from __future__ import annotations

from typing import Any

from provisioner.mailflow.consequences import admitted, closed, opened
from provisioner.mailflow.picture import contributions
from provisioner.mailflow.senders import EVERYONE, NOBODY, Groups
from provisioner.model import ResourceType, overlay
from provisioner.model.picture import Contributions, Restriction, Route


def promised(kind: ResourceType[Any], wanted: Any | None, live: Any | None, around: Contributions = ()) -> Groups:
    """The senders that an object has a path for once it is as planned and in force; `live` is what it was.

    `wanted` is None for an object that is to go. `around` are the restrictions of other objects in the final picture:
    what they still refuse, nobody is promised. An object that nobody has read may also lift a refusal, of anyone.
    """
    final = contributions(kind, _final(kind, wanted, live))
    if live is None and {Restriction, Route} & set(kind.contributes):
        return opened((), final) | {EVERYONE}
    return opened((), final) | opened(contributions(kind, live), (*final, *around))


def lacking(kind: ResourceType[Any], wanted: Any | None, live: Any | None, around: Contributions = ()) -> Groups:
    """The senders whose promised path by this object is not in force now; `live` is None for an absent object."""
    final = contributions(kind, _final(kind, wanted, live))
    found = opened(contributions(kind, live), (*final, *around))
    if live is not None and wanted is not None and not found and kind.in_force(wanted, live):
        return opened((), final) or frozenset({EVERYONE})
    return found


def loses(kind: ResourceType[Any], before: Any | None, after: Any | None, around: Contributions = ()) -> Groups:
    """The senders from whom a change takes something. Those of a deletion that takes nothing known may be anyone.

    `around` are the restrictions of other objects that are in force: what they refuse already is not loss.
    """
    was, will = contributions(kind, before), contributions(kind, after)
    found = closed((*was, *around), will)
    return found or (frozenset({EVERYONE}) if after is None and not opened(was, will) else NOBODY)


def gains(kind: ResourceType[Any], before: Any | None, after: Any | None, around: Contributions = ()) -> Groups:
    """The senders that a change opens a path for. `around` as in `promised`."""
    return opened(contributions(kind, before), (*contributions(kind, after), *around))


def exceeds(kind: ResourceType[Any], middle: Any, before: Any, after: Any) -> bool:
    """Whether an object between two others lets somebody in whom neither of them does."""
    both = (*contributions(kind, before), *contributions(kind, after))
    return bool(admitted(both, contributions(kind, middle)))


def restrictions(kind: ResourceType[Any], spec: Any | None) -> Contributions:
    """What an object refuses."""
    return tuple(c for c in contributions(kind, spec) if isinstance(c, Restriction))


def _final(kind: ResourceType[Any], wanted: Any | None, live: Any | None) -> Any | None:
    """The whole object as the plan leaves it: what is not written is as it is, or as creation makes it.

    Where the tenant keeps it out of force against the plan, it is meant to work.
    """
    if wanted is None:
        return None
    if live is None:
        return kind.completed(wanted)
    return overlay(wanted, kind.working(live) if kind.in_force(wanted, live) else live)
