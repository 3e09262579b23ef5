"""Declared objects that say only with others what they do: an assignment names a policy, and the policy says the rest.

Linked are the objects of a plan as it is read, by what else it declares, and again when it is planned, by what the
tenant has. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from provisioner.mailflow.picture import witnessed
from provisioner.model import Address, Desired, Links, Observed, Present, Resource, ResourceType, overlay

Types = Sequence[ResourceType[Any]]


def declared(desired: Desired, types: Types) -> Desired:
    """The plan with what follows from its own objects alone."""
    return _linked(desired, types, Links({r.address: r.spec for r in _everything(desired)}))


def planned(desired: Desired, observed: Observed, types: Types) -> Desired:
    """The plan with what follows from its objects as they are planned, and from what else the tenant has."""
    by_name = {t.name: t for t in types}
    whole = {r.address: _goal(by_name[r.address.type], r, observed) for r in _everything(desired)}
    needed = {need for r in _everything(desired) for need in by_name[r.address.type].needs(r.spec)} - whole.keys()
    present = frozenset(a for a in whole if isinstance(observed.resources.get(a), Present))
    return _linked(desired, types, Links(whole, dict(_others(needed, observed, by_name)), present))


def _everything(desired: Desired) -> Iterable[Resource]:
    return (*desired.resources.values(), *desired.set_aside.values())


def _goal(kind: ResourceType[Any], resource: Resource, observed: Observed) -> Any:
    """A declared object as the plan leaves it."""
    there = observed.resources.get(resource.address)
    return overlay(resource.spec, there.spec) if isinstance(there, Present) else kind.completed(resource.spec)


def _others(
    needed: Iterable[Address], observed: Observed, types: Mapping[str, ResourceType[Any]]
) -> Iterator[tuple[Address, Any]]:
    """Objects that the plan needs and does not declare, as far as an answer told them."""
    by_type: dict[str, list[Address]] = {}
    for address in needed:
        if address.type in types:
            by_type.setdefault(address.type, []).append(address)
    for name, addresses in by_type.items():
        told = witnessed(types[name], [a.key for a in addresses], observed.evidence)
        for address in addresses:
            spec = observed.undeclared.get(address) or told.get(address.key)
            if spec is not None:
                yield address, spec


def _linked(desired: Desired, types: Types, links: Links) -> Desired:
    by_name = {t.name: t for t in types}

    def with_links(resources: Mapping[Address, Resource]) -> dict[Address, Resource]:
        found = dict(resources)
        for address, resource in resources.items():
            spec = by_name[address.type].linked(resource.spec, links)
            if spec is not resource.spec:
                found[address] = dataclasses.replace(resource, spec=spec)
        return found

    return dataclasses.replace(
        desired, resources=with_links(desired.resources), set_aside=with_links(desired.set_aside)
    )
