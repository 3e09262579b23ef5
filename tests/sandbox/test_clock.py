"""The tenant's clock and the forms of dates."""

from __future__ import annotations

import datetime as dt

import pytest

from provisioner.sandbox.clock import Clock, rest_time, stored_time, time_like, wire_time

MOMENT = dt.datetime(2026, 7, 14, 18, 59, 8, 654654, dt.UTC)


def test_the_clock_runs_and_can_be_moved_on() -> None:
    clock = Clock()
    before = clock.now()
    clock.advance(3600)
    assert dt.timedelta(seconds=3599) < clock.now() - before < dt.timedelta(seconds=3700)
    assert clock.now().tzinfo is dt.UTC


def test_dates_go_out_with_seven_fraction_digits() -> None:
    assert wire_time(MOMENT) == "2026-07-14T18:59:08.6546540Z"
    assert wire_time(MOMENT, whole_seconds=True) == "2026-07-14T18:59:08.0000000Z"


@pytest.mark.parametrize(
    ("stored", "rest"),
    [
        ("/Date(1723810171000)/", "2024-08-16T12:09:31.0000000Z"),
        ("/Date(1653603718610)/", "2022-05-26T22:21:58.6100000Z"),
        ("Date(1619484412000)", "2021-04-27T00:46:52.0000000Z"),
        ("/Date(-1000)/", "1969-12-31T23:59:59.0000000Z"),
        ("2026-07-14T18:59:08.6546544Z", "2026-07-14T18:59:08.6546544Z"),
        ("2026-07-24T18:59:12.0000000", "2026-07-24T18:59:12.0000000"),
        ("/Date(253402300800000)/", None),  # after the year 9999
        ("1.00:00:00", None),
        ("2026-07-14", None),
        ("Transport Settings", None),
    ],
)
def test_stored_dates_of_either_form_leave_as_iso_text(stored: str, rest: str | None) -> None:
    assert rest_time(stored) == rest
    assert (stored_time(stored) is None) == (rest is None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/Date(1)/", "/Date(1784055548654)/"),
        ("Date(1)", "Date(1784055548654)"),
        ("2021-01-01T00:00:00.0000000Z", "2026-07-14T18:59:08.6546540Z"),
        (None, "2026-07-14T18:59:08.6546540Z"),
    ],
)
def test_a_column_keeps_the_form_that_it_had(before: str | None, after: str) -> None:
    assert time_like(before, MOMENT) == after


def test_a_classic_date_in_whole_seconds_has_no_milliseconds() -> None:
    assert time_like("/Date(1)/", MOMENT, whole_seconds=True) == "/Date(1784055548000)/"


def test_a_year_before_1000_keeps_its_zeros() -> None:
    """/Date(-62135596800000)/ is what .NET writes for no date."""
    assert rest_time("/Date(-62135596800000)/") == "0001-01-01T00:00:00.0000000Z"
