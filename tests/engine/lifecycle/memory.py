"""What the lives of one scene share: a tenant to be born from, the plans of its states, and what was lived already.

A run that no fault strikes follows from the rows that it begins with, and from nothing else: the engine keeps nothing
between two runs but the journal, which only a run that was cut off rests on. So a life is not lived on from rows from
which another life of its scene went on and was right, and begins where its fault is about to strike.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.model import ChangeSet
from tests.engine.lifecycle.port import Passage, Service

State = bytes
"""The rows that a run begins with."""

_OF_THEIR_OWN = frozenset({
    "Guid", "ExchangeObjectId", "ExchangeGuid", "WhenChanged", "WhenChangedUTC", "WhenCreated", "WhenCreatedUTC",
    "KeyCreationTime", "LastChecked", "RotateOnDate", "SelectorAfterRotateOnDate",
})  # fmt: skip
"""Columns that tell when a row was made, or by chance: they are others in each life."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What planning gave at a state, the requests that it made, and the turns that were drawn until its end."""

    found: ChangeSet
    passages: tuple[Passage, ...]
    turns: object


@dataclass(frozen=True, slots=True)
class Morning:
    """Where a run of the sound life began: its tenant, everything asked before, the journal, the number of runs."""

    tenant: bytes
    state: State
    passages: tuple[Passage, ...]
    turns: object
    journal: bytes | None
    runs: int


@dataclass(slots=True)
class Memory:
    """`right` has how a run ended that began with a state and was right, as was all that came after it."""

    tenant: bytes | None = None
    plans: dict[State, Planned] = field(default_factory=dict)
    right: dict[State, str] = field(default_factory=dict)
    mornings: list[Morning] = field(default_factory=list)


def state(service: Service) -> State:
    """What a run can see of a tenant, but for what is another in each life."""
    tenant = service.tenant
    rows = {noun: [_shared(row) for row in those] for noun, those in tenant.objects.items()}
    return marshal.dumps((rows, tenant.graph, tenant.dns, tenant.settings), _WITHOUT_REFERENCES)


_WITHOUT_REFERENCES = 2
"""The version of marshal's form in which equal values have equal bytes."""


def _shared(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in row.items() if name not in _OF_THEIR_OWN]
