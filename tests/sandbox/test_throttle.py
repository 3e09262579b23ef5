"""Quotas of requests: the window that slides, what counts, how long to wait, and both scopes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from provisioner.sandbox.clock import Clock
from provisioner.sandbox.throttle import OverQuota, Throttle, checked


class StoppedClock(Clock):
    """Stands still until it is moved on."""

    def now(self) -> dt.datetime:
        return dt.datetime(2026, 11, 26, tzinfo=dt.UTC) + dt.timedelta(seconds=self.offset_s)


def quotas(**settings: Any) -> tuple[Throttle, StoppedClock]:
    clock = StoppedClock()
    return Throttle(clock, lambda: settings), clock


def refused(throttle: Throttle, service: str = "exchange", application: str = "app") -> int:
    """Seconds that a request is asked to wait; 0 where it is taken."""
    try:
        throttle.admit(service, application)
    except OverQuota as over:
        return over.retry_after_s
    return 0


def test_a_minutes_quota_may_go_at_once_and_comes_back_as_the_window_slides() -> None:
    throttle, clock = quotas(application={"requests_per_minute": 3})
    assert [refused(throttle) for _ in range(3)] == [0, 0, 0]
    clock.advance(20)
    assert refused(throttle) == 40
    clock.advance(40.5)
    assert [refused(throttle) for _ in range(3)] == [0, 0, 60], "the request that was refused counts too"


def test_a_short_window_spreads_the_quota() -> None:
    throttle, clock = quotas(application={"requests_per_minute": 120}, window_s=1)
    assert [refused(throttle) for _ in range(3)] == [0, 0, 1]
    clock.advance(1.1)
    assert refused(throttle) == 0


def test_who_does_not_wait_stays_throttled() -> None:
    throttle, clock = quotas(application={"requests_per_minute": 60}, window_s=2)
    assert [refused(throttle) for _ in range(2)] == [0, 0]
    for _ in range(20):
        clock.advance(0.5)
        assert refused(throttle) == 2


def test_applications_have_quotas_of_their_own_and_share_the_tenants() -> None:
    throttle, _ = quotas(application={"requests_per_minute": 2}, tenant={"requests_per_minute": 3})
    assert [refused(throttle, application="a") for _ in range(3)] == [0, 0, 60]
    assert [refused(throttle, application="b") for _ in range(2)] == [60, 60], "three of a count for the tenant"
    assert refused(throttle, "graph", "b") == 0, "another service counts for itself"


def test_only_so_many_run_at_once() -> None:
    throttle, _ = quotas(tenant={"concurrent_requests": 2})
    with throttle.running("exchange", "a"), throttle.running("exchange", "b"):
        with pytest.raises(OverQuota, match="tenant concurrent_requests") as caught, throttle.running("exchange", "c"):
            pytest.fail("a third one ran")
        assert "maximum number of concurrent requests" in caught.value.text
        assert refused(throttle, "graph") == 0
    with throttle.running("exchange", "c"):
        pass


def test_quotas_change_while_requests_run() -> None:
    settings: dict[str, Any] = {"application": {"requests_per_minute": 4}}
    throttle = Throttle(StoppedClock(), lambda: settings)
    assert [refused(throttle) for _ in range(3)] == [0, 0, 0]
    settings["application"] = {"requests_per_minute": 2}
    assert refused(throttle) == 60
    settings.clear()
    assert refused(throttle) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], "mapping"),
        ({"user": {}}, "does not know user"),
        ({"tenant": {"rpm": 1}}, "requests_per_minute and concurrent_requests"),
        ({"tenant": {"concurrent_requests": 0}}, "above 0"),
        ({"application": {"requests_per_minute": True}}, "above 0"),
        ({"window_s": "1"}, "window_s"),
        ({"services": ["smtp"]}, "exchange and graph"),
    ],
)
def test_what_is_not_a_quota_is_refused(settings: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked(settings)
