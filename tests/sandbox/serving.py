"""One HTTP server for many tests: what it serves is exchanged, so that only the first pays for its start."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Served:
    """A server on `port` of 127.0.0.1 for whatever `app` is at the moment."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None, "a test asked before it said what to serve"
        await self.app(scope, receive, send)


@contextlib.contextmanager
def served() -> Iterator[Served]:
    """Run a server in a thread, as the sandbox runs its own: httptools, no lifespan, a socket with TCP_NODELAY."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    front = Served(listener.getsockname()[1])
    server = uvicorn.Server(uvicorn.Config(front, http="httptools", ws="none", lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield front
    server.should_exit = True
    thread.join()
