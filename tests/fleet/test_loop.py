"""The event loop that the plans of a worker share."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from provisioner.diagnostics import InputError
from provisioner.fleet.loop import one_loop


def test_works_of_several_threads_run_in_one_loop_at_once() -> None:
    async def meet(here: asyncio.Barrier) -> tuple[str, int]:
        await here.wait()  # until all three are there
        return threading.current_thread().name, id(asyncio.get_running_loop())

    with one_loop(3) as run, ThreadPoolExecutor(3) as pool:
        barrier = asyncio.Barrier(3)
        found = list(pool.map(lambda _: run(meet(barrier)), range(3)))
    assert {name for name, _ in found} == {"plans"}
    assert len({loop for _, loop in found}) == 1


def test_an_error_reaches_who_asked_and_of_a_group_the_first_one() -> None:
    async def refuse() -> None:
        raise InputError([])

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(refuse())

    with one_loop(1) as run:
        with pytest.raises(InputError):
            run(refuse())
        with pytest.raises(InputError):
            run(together())


def test_what_is_left_in_the_loop_ends_with_it() -> None:
    ended = threading.Event()
    kept: list[asyncio.Task[None]] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def begin() -> None:
        kept.append(asyncio.create_task(forever()))
        await asyncio.sleep(0)

    with one_loop(1) as run:
        run(begin())
        assert not ended.is_set()
    assert ended.is_set()
    assert "plans" not in {thread.name for thread in threading.enumerate()}


def test_who_waits_for_a_name_or_a_journal_has_threads_of_its_own_tenant() -> None:
    async def wait(gate: threading.Barrier) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(asyncio.to_thread(gate.wait, 60))

    with one_loop(2) as run, ThreadPoolExecutor(2) as pool:
        gate = threading.Barrier(16)  # of both tenants: no one waits for a thread
        list(pool.map(lambda _: run(wait(gate)), range(2)))
