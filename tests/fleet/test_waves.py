"""Who begins when: decided from the run and what the engine has of each tenant, and from nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from provisioner.fleet.waves import Approved, Look, Run, Work, look
from provisioner.model.fleet import Outcome, State

DIGEST = "sha256:" + "a" * 64
RUN = Run("r", "apply", "2026-01-01T00:00:00Z", ("a", "b", "c"))
EVERYTHING = Approved(everything=True)


def outcome(state: State) -> Outcome:
    return {"state": state, "seconds": 1.0, "digest": DIGEST}


def done(number: int, state: State, *, applies: bool | None = None) -> Work:
    """A work that has ended: the first one plans, as a rule, and the others apply."""
    return Work(number, "SUCCESS", outcome(state), applies=number > 0 if applies is None else applies)


def under_way(status: str, *, cut_off: bool = False) -> Work:
    return Work(1, status, cut_off=cut_off, applies=True)


PLANNED = done(0, "planned")


def each(names: str, *works: Work) -> dict[str, Sequence[Work]]:
    return dict.fromkeys(names, works)


def states(seen: Look) -> dict[str, str]:
    return {name: standing.state for name, standing in seen.standing.items()}


def due(seen: Look) -> list[tuple[str, int]]:
    return [(name, number) for name, number, _ in seen.due]


def test_every_tenant_is_planned_first() -> None:
    seen = look(RUN, {})
    assert due(seen) == [("a", 0), ("b", 0), ("c", 0)]
    assert not seen.settled


def test_a_plan_alone_ends_with_the_change_sets() -> None:
    seen = look(dataclasses.replace(RUN, kind="plan"), each("abc", PLANNED))
    assert (due(seen), set(states(seen).values()), seen.settled) == ([], {"planned"}, True)


@pytest.mark.parametrize(
    ("approved", "expected"),
    [
        (Approved(), []),
        (EVERYTHING, [("a", 1), ("b", 1), ("c", 1)]),
        (Approved(tenants=frozenset({"b"})), [("b", 1)]),
        (Approved(digests={"c": DIGEST}), [("c", 1)]),
        (Approved(digests={"c": "sha256:" + "b" * 64}), []),
    ],
)
def test_only_what_is_approved_is_applied(approved: Approved, expected: list[tuple[str, int]]) -> None:
    seen = look(dataclasses.replace(RUN, approved=approved), each("abc", PLANNED))
    assert due(seen) == expected
    waiting = {name for name, state in states(seen).items() if state == "waiting_for_approval"}
    assert waiting == set("abc") - {name for name, _ in expected}
    assert seen.settled == (not expected)


def test_what_is_due_carries_the_digest_that_was_planned() -> None:
    seen = look(dataclasses.replace(RUN, approved=EVERYTHING), {"a": [PLANNED]})
    assert ("a", 1, DIGEST) in list(seen.due)


def test_approvals_add_up() -> None:
    both = Approved(tenants=frozenset({"a"}), digests={"b": DIGEST}) | Approved(digests={"c": DIGEST})
    assert [both.covers(name, DIGEST) for name in "abcd"] == [True, True, True, False]


@pytest.mark.parametrize("state", ["no_changes", "failed"])
def test_without_changes_or_a_plan_nothing_is_applied(state: State) -> None:
    seen = look(dataclasses.replace(RUN, approved=EVERYTHING), each("abc", done(0, state)))
    assert (due(seen), states(seen)["a"], seen.settled) == ([], state, True)


@pytest.mark.parametrize(("status", "state"), [("ENQUEUED", "queued"), ("PENDING", "applying")])
def test_what_is_under_way_is_not_begun_again(status: str, state: str) -> None:
    seen = look(dataclasses.replace(RUN, approved=EVERYTHING), each("abc", PLANNED, under_way(status)))
    assert (due(seen), states(seen)["a"], seen.settled) == ([], state, False)


def test_what_failed_is_tried_again_once_each_time_that_it_is_asked_for() -> None:
    works = each("abc", PLANNED, done(1, "incomplete"))
    assert due(look(RUN, works)) == []
    asked = dataclasses.replace(RUN, retries={"a": 1, "b": 1})
    assert due(look(asked, works)) == [("a", 2), ("b", 2)]
    assert due(look(asked, {name: [*found, done(2, "failed")] for name, found in works.items()})) == []


def test_an_apply_that_fails_after_an_interruption_is_tried_again() -> None:
    works = each("abc", PLANNED, done(1, "interrupted"), done(2, "incomplete"))
    assert due(look(dataclasses.replace(RUN, retries={"a": 2}), works)) == [("a", 3)]


def test_a_tenant_that_could_not_be_planned_is_planned_again_and_its_new_change_set_needs_an_approval() -> None:
    run = dataclasses.replace(RUN, retries={"a": 0})
    failed = {**each("bc", done(0, "no_changes")), "a": [done(0, "failed")]}
    assert list(look(run, failed).due) == [("a", 1, None)]
    works = {**failed, "a": [done(0, "failed"), done(1, "planned", applies=False)]}
    assert states(look(run, works))["a"] == "waiting_for_approval"
    assert list(look(dataclasses.replace(run, approved=EVERYTHING), works).due) == [("a", 2, DIGEST)]


def test_an_interrupted_apply_goes_on_and_one_that_was_done_does_not() -> None:
    works = {"a": [PLANNED, done(1, "interrupted")], "b": [PLANNED, done(1, "applied")], "c": [done(0, "no_changes")]}
    assert due(look(RUN, works)) == [("a", 2)]


def test_nothing_begins_in_a_cancelled_run() -> None:
    run = dataclasses.replace(RUN, approved=EVERYTHING, cancelled=True, retries={"b": 1})
    seen = look(run, {"a": [PLANNED], "b": [PLANNED, done(1, "interrupted")]})
    assert (due(seen), seen.settled) == ([], True)
    assert states(seen) == {"a": "cancelled", "b": "interrupted", "c": "cancelled"}


def test_an_apply_that_only_another_machine_can_go_on_with_is_told_and_not_begun() -> None:
    run = dataclasses.replace(RUN, approved=EVERYTHING, retries={"a": 1})
    seen = look(run, {**each("bc", done(0, "no_changes")), "a": [PLANNED, under_way("PENDING", cut_off=True)]})
    assert (due(seen), states(seen)["a"], seen.settled) == ([], "cut_off", True)


def test_a_work_that_the_engine_gave_up_failed_and_can_be_tried_again() -> None:
    works = {**each("bc", done(0, "no_changes")), "a": [Work(0, "ERROR")]}
    assert (states(look(RUN, works))["a"], works["a"][0].failed) == ("failed", True)
    assert due(look(dataclasses.replace(RUN, retries={"a": 0}), works)) == [("a", 1)]
    assert not Work(0, "CANCELLED").failed


# --- the canary wave -------------------------------------------------------------------------------------------------

CANARY = dataclasses.replace(RUN, tenants=tuple("abcd"), canaries=frozenset("ab"), approved=EVERYTHING)


def test_all_are_planned_and_the_canary_wave_is_applied_first() -> None:
    assert due(look(CANARY, {})) == [("a", 0), ("b", 0), ("c", 0), ("d", 0)]
    seen = look(CANARY, each("abcd", PLANNED))
    assert due(seen) == [("a", 1), ("b", 1)]
    assert states(seen)["c"] == "waiting_for_canary"


def test_canaries_that_are_no_tenants_of_the_run_hold_nobody_back() -> None:
    seen = look(dataclasses.replace(CANARY, canaries=frozenset("x")), each("abcd", PLANNED))
    assert due(seen) == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]


@pytest.mark.parametrize("status", ["PENDING", "ENQUEUED"])
def test_the_rest_waits_until_every_canary_is_through(status: str) -> None:
    works = {**each("cd", PLANNED), "a": [PLANNED, done(1, "applied")], "b": [PLANNED, under_way(status)]}
    seen = look(CANARY, works)
    assert (due(seen), seen.settled) == ([], False)


def test_the_rest_waits_while_a_canary_waits_for_approval() -> None:
    run = dataclasses.replace(CANARY, approved=Approved(tenants=frozenset("acd")))
    seen = look(run, {**each("bcd", PLANNED), "a": [PLANNED, done(1, "applied")]})
    assert (due(seen), states(seen)["b"], states(seen)["c"]) == ([], "waiting_for_approval", "waiting_for_canary")


def test_the_rest_follows_once_the_canary_wave_is_done() -> None:
    through = {"a": [PLANNED, done(1, "applied")], "b": [done(0, "no_changes")]}
    assert due(look(CANARY, {**each("cd", PLANNED), **through})) == [("c", 1), ("d", 1)]


@pytest.mark.parametrize(("allowed", "goes_on"), [(0.0, False), (0.49, False), (0.5, True), (0.9, True)])
def test_the_rest_is_not_begun_where_more_canaries_fail_than_may(allowed: float, goes_on: bool) -> None:
    works = {
        **each("cd", PLANNED),
        "a": [PLANNED, done(1, "applied")],
        "b": [PLANNED, done(1, "incomplete")],
    }
    seen = look(dataclasses.replace(CANARY, failures=allowed), works)
    assert (bool(due(seen)), seen.stopped == "") == (goes_on, goes_on)
    if not goes_on:
        assert (states(seen)["c"], seen.settled) == ("not_begun", True)
        assert seen.stopped.startswith("50% of the canary wave was not applied")


def test_a_canary_that_could_not_be_planned_counts_as_failed() -> None:
    assert look(CANARY, {**each("bcd", PLANNED), "a": [done(0, "failed")]}).stopped != ""


def test_a_canary_that_is_tried_again_holds_the_rest_until_it_is_done() -> None:
    works = {**each("cd", PLANNED), "a": [PLANNED, done(1, "applied")], "b": [PLANNED, done(1, "failed")]}
    assert due(look(dataclasses.replace(CANARY, retries={"b": 1}), works)) == [("b", 2)]
