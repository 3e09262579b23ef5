"""Objects that the tenant has and the plan does not declare: which of them are kept, reported and counted. Pure.

An object is unmanaged where a plan could declare it, and this one neither declares it, ignores it nor changes it. What
the mark or an exclusive section takes away is a change and not unmanaged.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from provisioner import mailflow, rules
from provisioner.model import Absent, Address, Desired, Observed, ResourceType, Undeclared, Unmanaged, matches
from provisioner.model.picture import Acceptance
from provisioner.resources.ownership import HYBRID_WIZARD

Types = Mapping[str, ResourceType[Any]]

_MOST_KEPT = 1_000  # unmanaged objects of a type without marks that are named: a tenant may have 100,000 overrides


def fate(kind: ResourceType[Any], spec: Any, desired: Desired) -> Any:
    """What the plan would do with an undeclared object if nothing held it back; KEEP where it is so already."""
    verdict = kind.undeclared(spec, desired.owner, kind.name in desired.exclusive)
    return Undeclared.KEEP if verdict == spec else verdict


def reduced(observed: Observed, desired: Desired, types: Types) -> Observed:
    """What a change, a rule or the report can rest on; of the other undeclared objects only how many they are.

    Those of a type with ownership marks stay, since rules look at every one of them (connectors that let a device in),
    and the accepted domains that observed mail is judged by.
    Reducing what was reduced already changes nothing.
    """
    kept: dict[Address, Any] = {}
    others, more, reported = Counter(observed.others), Counter(observed.unmanaged), Counter[str]()
    by_address = sorted(observed.undeclared.items(), key=lambda item: (item[0].type, item[0].key))
    for address, spec in by_address:
        kind = types[address.type]
        counts = is_unmanaged(kind, address, spec, desired)
        reported[address.type] += counts
        named = counts and reported[address.type] <= _MOST_KEPT
        tried = bool(desired.traffic) and Acceptance in kind.contributes
        if kind.marks_ownership or named or tried or fate(kind, spec, desired) is not Undeclared.KEEP:
            kept[address] = spec
        else:
            others[address.type] += 1
            more[address.type] += counts
    counted = {name: count for name, count in more.items() if count}
    return dataclasses.replace(
        observed,
        undeclared=kept,
        others=dict(others),
        unmanaged=counted,
        evidence=rules.reduce_evidence(observed, desired),
        remembered=_remembered(observed, desired, types),
    )


def _remembered(observed: Observed, desired: Desired, types: Mapping[str, ResourceType[Any]]) -> Mapping[Address, str]:
    """What earlier runs left that something rests on.

    The ids by which a declared object can be recognised, of those that the tenant does not have by name; and what of an
    object is ours, of the types that ask.
    """
    meant = {*desired.set_aside, *desired.resources, *desired.absent}
    return {
        address: known
        for address, known in observed.remembered.items()
        if address in meant
        and address.type in types
        and (types[address.type].remembers or isinstance(observed.resources.get(address), Absent))
    }


def is_unmanaged(kind: ResourceType[Any], address: Address, spec: Any, desired: Desired) -> bool:
    """Whether an undeclared object is reported. The hybrid wizard's are, although no plan should declare them.

    Objects that a plan only checks are not: it manages none of them.
    """
    if kind.precondition:
        return False
    if kind.written_form(spec) is None and kind.made_by(spec) != HYBRID_WIZARD:
        return False
    return fate(kind, spec, desired) is Undeclared.KEEP and not matches(desired.ignore, address, called(kind, spec))


def called(kind: ResourceType[Any], spec: Any) -> Collection[str]:
    """What the patterns of a plan may call an undeclared object: its names, and the key in its ownership mark."""
    key = kind.marked_key(spec)
    return {*kind.names(spec), *((key,) if key else ())}


def found(
    observed: Observed, desired: Desired, types: Types, holds: Callable[[Address, Any], bool]
) -> Mapping[Address, Any]:
    """The unmanaged objects that were kept; `holds` says about an address and its names whether it is looked at."""
    return {
        address: spec
        for address, spec in observed.undeclared.items()
        if is_unmanaged(types[address.type], address, spec, desired) and holds(address, types[address.type].names(spec))
    }


def told(kind: ResourceType[Any], address: Address, spec: Any) -> Unmanaged:
    """What is reported of an unmanaged object."""
    what = mailflow.described(mailflow.contributions(kind, spec))
    maker = HYBRID_WIZARD if kind.made_by(spec) == HYBRID_WIZARD else ""
    return Unmanaged(address, what, maker, kind.owner_of(spec))
