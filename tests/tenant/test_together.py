"""Questions side by side: the first error ends them all."""

from __future__ import annotations

import asyncio

import pytest

from provisioner.diagnostics import Unavailable
from provisioner.tenant.together import both, together


async def answer(value: str) -> str:
    await asyncio.sleep(0)
    return value


def test_answers_come_in_the_order_of_the_questions() -> None:
    assert asyncio.run(together(map(answer, "abc"))) == ["a", "b", "c"]
    assert asyncio.run(both(answer("a"), answer("b"))) == ("a", "b")


def test_nothing_is_under_way_once_one_has_failed() -> None:
    ended: list[str] = []

    async def waits() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # as a connection that closes
            ended.append("closed")
        return ""

    async def fails() -> str:
        raise Unavailable("no", "x")

    async def asked() -> None:
        with pytest.raises(Unavailable):
            await both(waits(), fails())
        assert ended == ["closed"]

    asyncio.run(asked())
