"""The gate of a service: who waits for what, and what becomes of those who cannot wait so long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from provisioner.diagnostics import Refused, TenantError, Throttled, Unavailable
from provisioner.model import Cmdlet
from provisioner.tenant.limiter import Limiter, Slowdown
from provisioner.tenant.retry import Retry
from tests.clocks import TurnClock

SET = Cmdlet("Set-CASMailbox", {"Identity": "erp@contoso.com"})


class Service:
    """Answers each request by its number; keeps the moments at which they came and how many were under way."""

    def __init__(self, answers: Callable[[int], TenantError | None], takes_s: float = 0.1) -> None:
        self._answers, self._takes_s = answers, takes_s
        self.clock = TurnClock()
        self.came: list[float] = []
        self.under_way = self.most = 0

    async def send(self) -> float:
        number = len(self.came)
        self.came.append(self.clock.monotonic())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            error = self._answers(number)
            if error is not None:
                raise error
            await self.clock.sleep(self._takes_s)
            return self.came[number]
        finally:
            self.under_way -= 1

    def ask(self, requests: int, budget_s: float = 60.0, ceiling: int = 4) -> list[float | BaseException]:
        async def work() -> list[float | BaseException]:
            limiter, retry = Limiter("Exchange", ceiling, self.clock), Retry(budget_s, clock=self.clock)
            calls = (retry.call(SET, self.send, limiter=limiter) for _ in range(requests))
            return await asyncio.gather(*calls, return_exceptions=True)

        return asyncio.run(work())


def throttled(number: int, *refused: int, seconds: float = 30.0) -> Throttled | None:
    return Throttled("wait", retry_after_s=seconds) if number in refused else None


def test_all_wait_for_what_one_is_asked_to_and_all_are_answered_in_the_end() -> None:
    service = Service(lambda n: throttled(n, 2))
    assert all(isinstance(answer, float) for answer in service.ask(12))
    refused_at = service.came[2]
    assert not [moment for moment in service.came if refused_at < moment < refused_at + 30.0]
    assert len(service.came) == 13, "only the refused request was sent again"


def test_only_so_many_are_under_way() -> None:
    service = Service(lambda _: None)
    service.ask(20, ceiling=3)
    assert service.most == 3


def test_who_cannot_wait_so_long_is_given_up_unsent_with_the_service_s_words() -> None:
    service = Service(lambda n: throttled(n, 0, seconds=600.0), takes_s=0.0)
    answers = service.ask(8, budget_s=60.0, ceiling=1)
    assert all(isinstance(answer, Throttled) for answer in answers)
    assert len(service.came) == 1
    last = answers[-1]
    assert isinstance(last, Throttled)
    assert last.call == "Set-CASMailbox"
    assert "timeouts.retry_s allows 60 s" in last.hint


def test_a_quota_of_one_kind_of_request_holds_up_nobody_else() -> None:
    service = Service(lambda n: Throttled("traces", retry_after_s=30.0, own_quota=True) if n == 0 else None)
    service.ask(6, ceiling=2)
    assert sum(moment < 30.0 for moment in service.came) == 6


@pytest.mark.parametrize("error", [Refused("no"), Unavailable("away")])
def test_an_error_gives_its_place_back(error: TenantError) -> None:
    service = Service(lambda n: error if n < 3 else None)
    answers = service.ask(10, budget_s=0.0, ceiling=2)
    assert sum(isinstance(answer, float) for answer in answers) == 7


def test_who_is_cancelled_while_waiting_or_under_way_gives_the_place_back() -> None:
    async def work() -> int:
        clock = TurnClock()
        limiter = Limiter("Exchange", 1, clock)

        async def hold() -> None:
            async with limiter.place("Get"):
                await asyncio.Event().wait()

        held, waiting = asyncio.create_task(hold()), asyncio.create_task(hold())
        await asyncio.sleep(0.01)
        for task in (waiting, held):
            task.cancel()
        await asyncio.gather(held, waiting, return_exceptions=True)
        async with asyncio.timeout(30), limiter.place("Get"):
            return 1

    assert asyncio.run(work()) == 1


def test_a_slowdown_is_told_once_for_all_that_were_under_way() -> None:
    told: list[Slowdown] = []

    async def work() -> None:
        clock = TurnClock()
        limiter = Limiter("Exchange", 4, clock, told.append)
        places = [await limiter.enter("Get") for _ in range(4)]
        clock.advance(0.2)
        for place in places:
            limiter.leave(place, Throttled("the maximum number of concurrent requests", retry_after_s=5.0))

    asyncio.run(work())
    assert told == [Slowdown("Exchange", 2, None, 5.0)]
