"""The pace of a service under quotas, in simulated time: how close to the bound, and how few are refused."""

from __future__ import annotations

import math

import pytest

from provisioner.tenant.pace import Pace
from tests.tenant.simulated import Service, run


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("ceiling", [16, 32])
def test_a_quota_of_requests_is_used_to_nine_tenths_and_hardly_anything_is_refused(jitter: float, ceiling: int) -> None:
    service = Service(per_s=20, at_once=16, jitter=jitter)
    assert run(service, 1000, ceiling) <= 1.1 * 1000 / 20
    assert service.refused < 10
    assert service.early == 0, "everybody waits as a refusal asks, also who was not refused"


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_a_quota_that_halves_in_the_middle_is_found_again(jitter: float) -> None:
    def halve(service: Service) -> None:
        if service.done == 500:
            service.per_s, service.at_once = 10, 8

    service = Service(per_s=20, at_once=16, jitter=jitter)
    assert run(service, 1000, during=halve) <= 1.1 * (500 / 20 + 500 / 10)
    assert service.refused < 10


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_a_client_that_wakes_up_late_still_uses_its_quota(jitter: float) -> None:
    """As on a loaded machine. What a wake-up is late by is made up for, or each one would lose it."""
    service = Service(per_s=20, at_once=16, jitter=jitter)
    assert run(service, 1000, late_s=0.02) <= 1.1 * 1000 / 20
    assert service.refused < 10


def test_a_refusal_is_noticed_that_comes_after_answers_took_longer() -> None:
    """Slower answers do not tell a rate: the requests that were under way with them still do."""
    pace = Pace(16)
    for moment in range(40):
        assert pace.leave(float(moment), "Set-CASMailbox").count
        pace.answered(moment + 0.1, "Set-CASMailbox", float(moment))
    pace.at_once = 8.0
    for _ in range(8):
        assert pace.leave(40.0, "Set-Mailbox").count
    for _ in range(4):
        pace.answered(44.0, "Set-CASMailbox", 40.0)
    assert pace.most < 8
    assert pace.refused(44.0, 40.0, 10.0)
    assert pace.rate(44.0) is not None
    assert not pace.refused(44.0, 40.0, 10.0), "sent before the refusal was noticed"


def test_a_quota_that_rises_is_used_after_a_while() -> None:
    def rise(service: Service) -> None:
        if service.done == 500:
            service.per_s = 80

    service = Service(per_s=20)
    assert run(service, 10_000, during=rise) <= 1.6 * (500 / 20 + 9_500 / 80)
    assert service.refused < 100


@pytest.mark.parametrize("window_s", [1.0, 10.0, 60.0])
def test_over_a_long_run_fewer_than_one_in_a_hundred_is_refused_whatever_the_window(window_s: float) -> None:
    service = Service(per_s=20, window_s=window_s)
    took_s = run(service, 6000, 16)
    assert took_s <= 1.2 * 6000 / 20
    assert service.refused < 60


def test_a_limit_of_requests_at_once_is_found_and_kept() -> None:
    service = Service(at_once=10)
    assert run(service, 4000) <= 1.2 * 4000 * 0.3 / 10
    assert service.refused < 20


def test_without_a_quota_all_that_may_be_under_way_are() -> None:
    service = Service()
    assert run(service, 3000, 32) <= 1.1 * 3000 * 0.3 / 32
    assert service.refused == 0


def test_fast_answers_are_not_spread_over_time() -> None:
    service = Service(latency_s=0.004)
    assert run(service, 3000, 8) <= 1.3 * 3000 * (0.004 + 0.005) / 8


def test_at_first_four_are_under_way_and_with_each_answer_one_more() -> None:
    pace = Pace(16)
    assert [pace.leave(0.0, "Get").count for _ in range(5)] == [1, 1, 1, 1, 0]
    assert math.isinf(pace.leave(0.0, "Get").wait_s)
    pace.answered(0.001, "Get", 0.0)
    pace.answered(0.001, "Get", 0.0)
    assert pace.most == 6


def test_never_more_are_under_way_than_the_ceiling() -> None:
    pace = Pace(5)
    for _ in range(40):
        while pace.leave(0.0, "Get").count:
            pass
        assert pace.in_flight <= 5
        pace.answered(0.0, "Get", 0.0)


def test_an_overload_halves_what_is_under_way() -> None:
    pace = Pace(16, batches=True)
    sent = [0.0 for _ in range(16) if pace.leave(0.0, "Get").count]
    assert pace.overloaded(1.0, sent[0], None)
    assert pace.most == 8
    assert not pace.overloaded(1.1, sent[1], None), "sent before that was known"
    assert pace.most == 8


def test_answers_that_take_longer_and_longer_mean_fewer_at_once() -> None:
    pace = Pace(16)
    now = 0.0
    for latency_s in (0.1, 0.1, 0.1, *[1.0] * 20):
        sent = 0
        while pace.leave(now, "Set").count:
            sent, now = sent + 1, now + 0.05
        began = now
        now += latency_s
        for _ in range(sent):
            pace.answered(now, "Set", began)
    assert pace.most <= 6


def test_a_batch_is_as_long_as_the_rate_of_a_second() -> None:
    pace = Pace(4, batches=True)
    assert pace.leave(0.0, "Set", 50).count == 50
    pace.answered(1.0, "Set", 0.0)
    assert pace.leave(1.0, "Set", 50).count == 50
    assert pace.refused(2.0, 1.0, 1.0)
    assert pace.leave(2.5, "Set", 50).count == 0
    assert 1 <= pace.leave(3.1, "Set", 50).count < 50
    assert pace.leave(3.2, "Set", 50).wait_s > 0.5


def test_a_few_requests_tell_no_rate() -> None:
    pace = Pace(16)
    for _ in range(3):
        pace.leave(0.0, "Get")
    pace.refused(0.1, 0.0, 1.0)
    assert pace.rate(0.1) is None
    assert pace.quiet_s(0.1) == 1.0
