"""One event loop for what a worker only reads.

With a thread and a loop for each plan, a small one takes a sixth longer: the threads hand the interpreter's lock to and
fro at each answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from provisioner.operations.connection import first_error

T = TypeVar("T")

_THREADS = 8  # of each tenant: they wait for names to be resolved, and for a shared journal


class Runner(Protocol):
    """Runs an operation from code without an event loop, as `operations.connection.run` does."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> T: ...


@contextmanager
def one_loop(tenants: int) -> Iterator[Runner]:
    """An event loop in a thread of its own, in which the operations of so many tenants run at once.

    Whatever still runs in it when the block ends is cancelled.
    """
    began: Future[asyncio.AbstractEventLoop] = Future()
    ended = asyncio.Event()

    async def until_ended() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_THREADS * tenants, thread_name_prefix="reading"))
        began.set_result(loop)
        await ended.wait()

    def run(work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, loop).result()
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    thread = threading.Thread(target=asyncio.run, args=(until_ended(),), name="plans", daemon=True)
    thread.start()
    loop = began.result()
    try:
        yield run
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
