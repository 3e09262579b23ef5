"""The one policy of retries: what is sent again, how long is waited, when it ends."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence

import pytest

from provisioner.diagnostics import Refused, TenantError, Throttled, Unavailable, Unclear
from provisioner.model import Cmdlet
from provisioner.tenant import limits
from provisioner.tenant.retry import Retry, retry_after_s
from tests.clocks import TurnClock

READ = Cmdlet("Get-InboundConnector", {})
CREATE = Cmdlet("New-InboundConnector", {"Name": "hq"})


class Service:
    """Answers with the given errors in turn, then "done", each after `takes_s`; the clock knows what was waited."""

    def __init__(self, *errors: TenantError, takes_s: float = 0.0) -> None:
        self._errors, self._takes_s = list(errors), takes_s
        self.sent = 0
        self.clock = TurnClock()

    @property
    def waits(self) -> list[float]:
        return self.clock.waits

    async def send(self) -> str:
        self.sent += 1
        self.clock.advance(self._takes_s)
        if self._errors:
            raise self._errors.pop(0)
        return "done"

    def call(self, request: Cmdlet, *, budget_s: float = 120.0, repeat_unclear: bool | None = None) -> str:
        policy = Retry(budget_s, clock=self.clock)
        return asyncio.run(policy.call(request, self.send, repeat_unclear=repeat_unclear))


def throttled(after_s: float | None) -> Throttled:
    error = Throttled("too many requests")
    error.retry_after_s = after_s
    return error


def test_the_wait_is_the_one_that_the_service_asks_for() -> None:
    service = Service(throttled(7.0), throttled(3.0))
    assert service.call(READ) == "done"
    assert service.waits == [7.0, 3.0]


def test_without_a_word_of_the_service_waits_double_less_a_random_part() -> None:
    service = Service(*[Unavailable("busy") for _ in range(5)])
    assert service.call(READ) == "done"
    assert service.sent == 6
    assert all(2.0**n / 2 <= wait <= 2.0**n for n, wait in enumerate(service.waits, 1))


def test_the_sixth_failure_is_the_last_and_says_how_often_it_was_tried() -> None:
    service = Service(*[Unavailable("busy") for _ in range(9)])
    with pytest.raises(Unavailable, match="tried 6 times"):
        service.call(READ)
    assert service.sent == 6


def test_a_wait_beyond_the_budget_is_not_begun_and_both_times_are_named() -> None:
    service = Service(throttled(600.0))
    with pytest.raises(Throttled) as caught:
        service.call(READ, budget_s=60.0)
    assert (service.sent, service.waits) == (1, [])
    assert "600 s" in caught.value.hint
    assert "60 s" in caught.value.hint


@pytest.mark.parametrize(
    ("budget_s", "sent"),
    [(9.0, 1), (10.5, 2), (20.0, 2), (21.0, 3)],
)
def test_tries_and_waits_count_together_against_the_budget(budget_s: float, sent: int) -> None:
    """Each try takes 5 s and each wait 5 s: a wait that would end after the budget is not begun."""
    service = Service(*[throttled(5.0) for _ in range(9)], takes_s=5.0)
    with pytest.raises(Throttled):
        service.call(READ, budget_s=budget_s)
    assert service.sent == sent


@pytest.mark.parametrize(
    ("error", "request_", "options", "sent"),
    [
        (lambda: Refused("no"), READ, {}, 1),
        (lambda: Unclear("cut off"), READ, {}, 2),
        (lambda: Unclear("cut off"), CREATE, {}, 1),
        (lambda: Unclear("cut off"), CREATE, {"repeat_unclear": True}, 2),
        (lambda: Unclear("cut off"), READ, {"repeat_unclear": False}, 1),
        (lambda: throttled(1.0), CREATE, {}, 2),
    ],
)
def test_what_may_have_been_carried_out_is_sent_again_only_if_it_may_be_repeated(
    error: Callable[[], TenantError], request_: Cmdlet, options: dict[str, bool], sent: int
) -> None:
    service = Service(error())
    if sent == 1:
        with pytest.raises(TenantError):
            service.call(request_, **options)
    else:
        assert service.call(request_, **options) == "done"
    assert service.sent == sent


def test_every_wait_is_told_with_its_call_and_reason_before_it_begins() -> None:
    told: list[Sequence[object]] = []
    service = Service(throttled(4.0))
    policy = Retry(60.0, lambda *words: told.append((*words, len(service.waits))), service.clock)
    asyncio.run(policy.call(READ, service.send))
    ((request, seconds, error, waits),) = told
    assert (request is READ, seconds, str(error), waits) == (True, 4.0, str(throttled(4.0)), 0)


NOW = dt.datetime(2026, 11, 25, 10, 0, 0, tzinfo=dt.UTC)


class At(TurnClock):
    def now(self) -> dt.datetime:
        return NOW


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Wed, 25 Nov 2026 10:02:00 GMT"}, 120.0),
        ({"retry-after": "Wednesday, 25-Nov-26 10:02:00 GMT"}, 120.0),
        ({"retry-after": "Wed Nov 25 10:02:00 2026"}, 120.0),
        ({"retry-after": "Wed, 25 Nov 2026 10:02:00 GMT", "date": "Wed, 25 Nov 2026 10:01:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 25 Nov 2026 10:02:00 GMT", "date": "odd"}, 120.0),
        ({"retry-after": "Wed, 25 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, limits.LONGEST_RETRY_AFTER_S),
        ({"retry-after": "9" * 400}, limits.LONGEST_RETRY_AFTER_S),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_and_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, At()) == seconds


def test_an_unavailable_service_may_say_when_to_come_back_too() -> None:
    error = Unavailable("busy", retry_after_s=11.0)
    service = Service(error)
    assert service.call(READ) == "done"
    assert service.waits == [11.0]
    far = Unavailable("busy", retry_after_s=300.0)
    service = Service(far)
    with pytest.raises(Unavailable):
        service.call(READ)
    assert service.sent == 1
    assert "asks for 300 s; timeouts.retry_s allows 120 s" in far.hint
