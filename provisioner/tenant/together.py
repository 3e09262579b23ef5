"""Several questions side by side, none of which outlives the others.

`asyncio.gather` lets the others go on where one raises: nobody waits for them any more, and their connections stay open
while the ports close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


async def together(asked: Iterable[Awaitable[T]]) -> list[T]:
    """Every answer, in the order of the questions. Raises the first error, once nothing is under way any more."""
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def both(one: Awaitable[A], other: Awaitable[B]) -> tuple[A, B]:
    """The answers of two questions of different kinds; likewise."""
    found: list[Any] = await together((one, other))
    return found[0], found[1]
