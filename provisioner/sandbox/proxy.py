"""A forward proxy that leads the service's host names to the sandbox, and refuses every other place.

For programs that take a proxy (`HTTPS_PROXY`) but no other host. Only CONNECT (RFC 9110, 9.3.6): the program's TLS
ends at the sandbox's listener, with the certificate of that host. What is refused is in the log of requests, so that it
shows what a program would have asked the internet for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from provisioner.sandbox.service_hosts import front_of

if TYPE_CHECKING:
    import socket

    from provisioner.sandbox.faults import Faults

_LARGEST_HEAD = 1 << 16
_PATIENCE_S = 30.0
_CHUNK = 1 << 16


class ProxyFront:
    """The proxy. `targets` are the addresses (host, port) of the fronts that it leads to."""

    def __init__(self, faults: Faults, targets: Mapping[str, tuple[str, int]]) -> None:
        self._faults, self._targets = faults, targets
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._met, sock=listener, limit=_LARGEST_HEAD)

    async def stop(self) -> None:
        """Close the listener and every tunnel."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, TimeoutError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_S)
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        place = rest.partition(" ")[0]
        host, _, port = place.rpartition(":")
        front = front_of(host, int(port)) if method == "CONNECT" and port.isascii() and port.isdigit() else None
        self._faults.record("proxy", method=method, path=place, status=200 if front else 403, executed=bool(front))
        if front is None:
            text = f"The sandbox's proxy leads to hosts of Microsoft 365 by CONNECT only, not to {place}.\n".encode()
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n")
            writer.write(f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
            await writer.drain()
            return
        onward, back = await asyncio.open_connection(*self._targets[front])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_copy(reader, back), _copy(onward, writer))
        finally:
            back.close()
            with contextlib.suppress(OSError):
                await back.wait_closed()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Everything from one side to the other; the end of one is passed on, so that the other can end too."""
    while content := await source.read(_CHUNK):
        sink.write(content)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
