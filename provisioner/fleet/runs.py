"""A new run over tenants of a fleet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from provisioner.fleet.description import Fleet
from provisioner.fleet.waves import Run
from provisioner.model.fleet import Kind
from provisioner.operations.context import rfc3339


def run_over(fleet: Fleet, kind: Kind, selects: Sequence[str], moment: dt.datetime, *, id_: str) -> Run:
    """A run over the tenants that are selected. Raises InputError where there are none."""
    tenants = fleet.selected(selects)
    return Run(
        id_,
        kind,
        rfc3339(moment, "microseconds"),
        tuple(t.name for t in tenants),
        {t.name: t.labels for t in tenants},
        fleet.canaries(tenants),
        fleet.canary.failures if fleet.canary else 0.0,
    )
