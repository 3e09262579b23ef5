"""One report of a run, and the exit code that it leads to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.fleet.reporting import exit_code, report
from provisioner.fleet.waves import Run, Work, look
from provisioner.model.fleet import Outcome, State

RUN = Run("r", "apply", "2026-01-01T00:00:00Z", ("a", "b"), {"a": {"ring": "1"}})
PLANNED: Outcome = {"state": "planned", "seconds": 2.0, "digest": "sha256:1", "changes": {"create": 1}}


def found(kind: Any = "apply", cancelled: Any = False, **works: Any) -> Any:
    run = dataclasses.replace(RUN, kind=kind, cancelled=cancelled)
    return report(run, look(run, works))


def ended(state: State) -> list[Work]:
    return [
        Work(0, "SUCCESS", PLANNED),
        Work(1, "SUCCESS", {"state": state, "seconds": 1.0, "digest": "sha256:1"}, applies=True),
    ]


def test_a_tenant_shows_its_last_outcome_and_its_labels() -> None:
    one, two = found(a=ended("applied"), b=[Work(0, "SUCCESS", PLANNED)])["tenants"]
    assert (one["state"], one["labels"], one["digest"], one["seconds"]) == ("applied", {"ring": "1"}, "sha256:1", 1.0)
    assert (two["state"], two["changes"], two["error"]) == ("waiting_for_approval", {"create": 1}, None)


def test_what_has_not_begun_is_in_the_report_too() -> None:
    whole = found()
    assert (whole["state"], whole["counts"], [t["name"] for t in whole["tenants"]]) == (
        "running",
        {"queued": 2},
        ["a", "b"],
    )


@pytest.mark.parametrize(
    ("kind", "states", "state", "code"),
    [
        ("apply", ("applied", "applied"), "finished", 0),
        ("apply", ("applied", "incomplete"), "finished", 8),
        ("apply", ("applied", "failed"), "finished", 8),
        ("drift", ("in_sync", "drifted"), "finished", 2),
        ("drift", ("failed", "drifted"), "finished", 8),
        ("drift", ("in_sync", "in_sync"), "finished", 0),
    ],
)
def test_the_exit_code_is_that_of_the_worst(kind: str, states: tuple[State, State], state: str, code: int) -> None:
    works = {name: ended(s) if kind == "apply" else [Work(0, "SUCCESS", {"state": s, "seconds": 0.0})]
             for name, s in zip("ab", states, strict=True)}  # fmt: skip
    whole = found(kind, **works)
    assert (whole["state"], exit_code(whole)) == (state, code)


def test_missing_approvals_alone_are_told_from_failures() -> None:
    waiting = found(a=ended("applied"), b=[Work(0, "SUCCESS", PLANNED)])
    assert (waiting["state"], exit_code(waiting)) == ("waiting", 10)
    assert exit_code(found(a=ended("failed"), b=[Work(0, "SUCCESS", PLANNED)])) == 8


def test_a_run_that_is_not_through_or_was_cancelled_is_no_success() -> None:
    assert exit_code(found()) == 8
    cancelling = found(cancelled=True, a=[Work(0, "PENDING")])
    assert (cancelling["state"], exit_code(cancelling)) == ("cancelling", 8)
    cancelled = found(cancelled=True)
    assert (cancelled["state"], exit_code(cancelled)) == ("cancelled", 8)
