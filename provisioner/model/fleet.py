"""A run over many tenants as plain data: the outcome of one step, the states of a tenant, and the report.

The engine records outcomes in its store, so they are JSON and hold no setting and no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired

from typing_extensions import TypedDict

Kind = Literal["plan", "apply", "drift"]

State = Literal[
    "queued", "running", "planned", "no_changes", "waiting_for_approval", "waiting_for_canary", "applying", "applied",
    "incomplete", "interrupted", "drifted", "in_sync", "failed", "not_begun", "cancelled", "cut_off",
]  # fmt: skip
"""Where a tenant is in a run. `not_begun`: the canary wave failed; `cut_off`: its worker died in the middle of an apply
whose journal only that machine has."""

STATES: tuple[State, ...] = State.__args__  # type: ignore[attr-defined]

OPEN: frozenset[State] = frozenset({"queued", "running", "applying"})
"""A worker has it, or takes it next."""

WAITING: frozenset[State] = frozenset({"waiting_for_approval", "waiting_for_canary", "cut_off"})
"""Nothing happens before a person, or another machine, does something."""

UNDONE: frozenset[State] = frozenset({"failed", "incomplete", "interrupted", "not_begun", "cut_off"})
"""Ended without what the run is for."""


class ErrorDocument(TypedDict):
    """Why a step ended early: the kind and the exit code of a single command, and its words."""

    kind: str
    exit_code: int
    message: str


class Outcome(TypedDict):
    """How a step of one tenant ended. `run` is that of the tenant's journal, `digest` the change set's."""

    state: State
    seconds: float
    digest: NotRequired[str]
    changes: NotRequired[Mapping[str, int]]
    results: NotRequired[Mapping[str, int]]
    drifted: NotRequired[list[str]]
    outside: NotRequired[int]
    run: NotRequired[str]
    error: NotRequired[ErrorDocument]


class TenantDocument(TypedDict):
    """One tenant in the report."""

    name: str
    labels: Mapping[str, str]
    wave: Literal["canary", "rest"]
    state: State
    digest: str
    changes: Mapping[str, int]
    results: Mapping[str, int]
    drifted: list[str]
    outside: int
    run: str
    seconds: float
    error: ErrorDocument | None


class FleetReport(TypedDict):
    """The report of a run over all tenants. `state` is running, waiting, stopped, cancelling, cancelled or finished."""

    format: int
    run: str
    kind: Kind
    created: str
    state: str
    stopped: str
    counts: Mapping[str, int]
    tenants: list[TenantDocument]
