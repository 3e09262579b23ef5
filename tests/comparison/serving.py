"""The name server of a comparison in a process of its own: UDP and TCP on loopback, each answer after a fixed delay.

`python -m tests.comparison.serving FILE DELAY_MS` reads a zone from a JSON file, prints its port, answers until its
standard input ends, and then prints how often each question came.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import dns.message
import dns.rdatatype

from tests.comparison.running import say
from tests.mail_dns.name_server import NameServer

_MOST_BYTES = 1232


class _Server:
    """Answers from a zone. What a question came to is kept, so that the server is no bottleneck of a measurement."""

    def __init__(self, server: NameServer, delay_s: float) -> None:
        self._server, self._delay_s = server, delay_s
        self._known: dict[bytes, bytes] = {}
        self.asked: Counter[bytes] = Counter()

    def answer(self, wire: bytes) -> bytes:
        """The answer to one message: its id, and the rest from memory."""
        rest = wire[2:]
        self.asked[rest] += 1
        if rest not in self._known:
            self._known[rest] = (self._server.respond(wire) or b"\0\0")[2:]
        return wire[:2] + self._known[rest]

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                message = self.answer(await reader.readexactly(size))
                await asyncio.sleep(self._delay_s)
                writer.write(struct.pack("!H", len(message)) + message)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def questions(self) -> Counter[str]:
        """How often each name and type was asked for."""
        found: Counter[str] = Counter()
        for rest, times in self.asked.items():
            (question,) = dns.message.from_wire(b"\0\0" + rest).question
            name = question.name.to_text(omit_final_dot=True).lower()
            found[f"{name} {dns.rdatatype.to_text(question.rdtype)}"] += times
        return found

    def datagram(self, transport: asyncio.DatagramTransport, wire: bytes, peer: tuple[str, int]) -> None:
        message = self.answer(wire)
        if len(message) > _MOST_BYTES:
            message = message[:2] + bytes([message[2] | 2]) + message[3:6] + bytes(6)  # truncated, and nothing in it
        asyncio.get_running_loop().call_later(self._delay_s, transport.sendto, message, peer)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: _Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.datagram(self._transport, data, addr)


async def serve(zone: Mapping[str, Sequence[tuple[str, Any]]], delay_ms: float) -> None:
    """Answer until standard input ends."""
    known = NameServer()
    known.zone = {name: [(kind, value) for kind, value in records] for name, records in zone.items()}
    server = _Server(known, delay_ms / 1000)
    listening = await asyncio.start_server(server.stream, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Datagrams(server), local_addr=("127.0.0.1", port))
    say(str(port))
    await loop.run_in_executor(None, sys.stdin.read)
    say(json.dumps(server.questions()))


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text()), float(sys.argv[2])))
