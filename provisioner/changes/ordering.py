"""When each change is sent: after what it needs, and what closes a sending path after all that opens one. Pure."""

from __future__ import annotations

import enum
import graphlib
from collections.abc import Collection, Iterable

from provisioner.model import Action, Address, Change, consequence
from provisioner.model.names import caseless


class Stage(enum.IntEnum):
    """When a change is sent. What closes a sending path comes after all that opens one: open before you close.

    A change that does both comes in between, so that two of them never wait for each other.
    """

    FREE = 0
    MIXED = 1
    CLOSING = 2


def stages(changes: Iterable[Change]) -> dict[Address, Stage]:
    """The stage of each change, never before the stage of what it must come after. In the order of need."""
    by_address = {c.address: c for c in sorted(changes, key=lambda c: c.address)}
    graph = dependencies(by_address.values())
    found: dict[Address, Stage] = {}
    for address in graphlib.TopologicalSorter(graph).static_order() if any(graph.values()) else graph:
        found[address] = max((_stage(by_address[address]), *(found[a] for a in graph[address])))
    return found


def _stage(change: Change) -> Stage:
    if not change.closes:
        return Stage.FREE
    return Stage.MIXED if consequence.opens(change.consequences) else Stage.CLOSING


def order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Changes sorted by stage, and so that each comes after those it depends on; otherwise by address."""
    by_address = {c.address: c for c in changes}
    found = stages(by_address.values())
    return tuple(by_address[a] for a in sorted(found, key=lambda a: found[a]))


def dependencies(changes: Iterable[Change]) -> dict[Address, set[Address]]:
    """Which changes of these each one must come after: what it needs, and for a delete what needs it, or did so far.

    What is disabled comes like a delete after what needed it so far, where no other change needs it: two objects that
    exchange what they need would wait for each other. A need has the tenant's spelling of a name, an entry of `absent`
    its own.
    """
    by_address = {c.address: c for c in changes}
    spelled = {_form(a): a for a in by_address}

    def meant(needs: Iterable[Address]) -> set[Address]:
        return {spelled[form] for form in map(_form, needs) if form in spelled}

    needed = {need for c in by_address.values() if c.action is not Action.DELETE for need in meant(c.needs)}
    graph: dict[Address, set[Address]] = {a: set() for a in by_address}
    for change in by_address.values():
        for need in meant(change.releases):
            if _goes(by_address[need], needed):
                graph[need].add(change.address)
        for need in meant(change.needs):
            if change.action is Action.DELETE:
                graph[need].add(change.address)
            else:
                graph[change.address].add(need)
    return graph


def _form(address: Address) -> tuple[str, str]:
    return address.type, caseless(address.key)


def _goes(change: Change, needed: Collection[Address]) -> bool:
    return change.action is Action.DELETE or (change.disables and change.address not in needed)
