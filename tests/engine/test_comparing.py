"""Where a change can stand when a run goes on with it."""

from __future__ import annotations

import dataclasses

from provisioner.changes.splitting import between
from provisioner.engine.comparing import may_be_half_way
from provisioner.model import Action, Address, Change
from provisioner.resources.remote_domain import RemoteDomain, RemoteDomainType
from provisioner.resources.transport_rule import TransportRule, TransportRuleType


def test_a_step_that_only_reads_leaves_nothing_half_way() -> None:
    """A rule that moves is written once, after its new neighbour was read: between the two is another client's work."""
    before = TransportRule("Mark", place="Last", before=frozenset())
    after = TransportRule("Mark", before=frozenset({"Last"}))
    steps = tuple(TransportRuleType().steps(before, after))
    moved = Change(Address("transport_rule", "Mark"), Action.UPDATE, before, after, steps=steps)
    assert len(steps) == 2
    assert not may_be_half_way(moved)
    switched = dataclasses.replace(after, enabled=False, comment="off")
    both = dataclasses.replace(moved, steps=tuple(TransportRuleType().steps(before, switched)))
    assert may_be_half_way(both)


def test_a_value_that_the_service_sets_between_two_writes_is_half_way() -> None:
    """IsInternal false makes AllowedOOFType ExternalLegacy, which neither side of the change has."""
    before = RemoteDomain("x.example", is_internal=True, allowed_oof_type="internal_legacy")
    after = RemoteDomain("x.example", is_internal=False, allowed_oof_type="none")
    steps = tuple(RemoteDomainType().steps(before, after))
    change = Change(Address("remote_domain", "x.example"), Action.UPDATE, before, after, steps=steps)
    assert may_be_half_way(change)
    assert between(before, after, dataclasses.replace(after, allowed_oof_type="external_legacy"))
    assert not between(before, after, dataclasses.replace(after, allowed_oof_type="external"))
