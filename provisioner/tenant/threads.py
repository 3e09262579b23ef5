"""Work of a synchronous library in a thread, for which nobody waits longer than it is allowed to take.

A thread that does not end when it is cut off is left behind. It is a daemon: neither another one nor the end of the
program waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_CUT_S = 5.0
_LOOK_S = 60.0


async def in_thread(work: Callable[[], T], deadline: Callable[[], float], cut: Callable[[], None]) -> T:
    """What `work` returns or raises. Raises TimeoutError for a thread that does not end.

    `deadline` is on time.monotonic and may move on while the work goes on. After it, and where the caller is cancelled,
    `cut` tells the thread to end, for which it has a few seconds more.
    """
    ended = _started(work)
    try:
        while not ended.done():
            left_s = deadline() - time.monotonic()
            if left_s <= 0:
                break
            await asyncio.wait({ended}, timeout=min(left_s, _LOOK_S))
    finally:
        if not ended.done():
            cut()
            await asyncio.wait({ended}, timeout=_CUT_S)
    if not ended.done():
        raise TimeoutError("no end, although it was cut off")
    return ended.result()


def _started(work: Callable[[], T]) -> asyncio.Future[T]:
    """What becomes of work in a thread that begins now."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()
    ended.add_done_callback(lambda it: it.cancelled() or it.exception())  # it may be that nobody waits any more

    def settle(found: T | None, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(found)  # type: ignore[arg-type] # what the work returned

    def body() -> None:
        found: T | None = None
        error: BaseException | None = None
        try:
            found = work()
        except StopIteration as stopped:  # a future takes none
            error = RuntimeError(f"StopIteration: {stopped}")
        except BaseException as raised:  # noqa: BLE001 - all of it is for the one who waits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=body, name="library", daemon=True).start()
    return ended
