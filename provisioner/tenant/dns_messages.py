"""One DNS message over TCP to one server, and its answer, whole and verified. Shared by reading and writing zones.

dnspython opens its connection in another task, and leaves it open where a run is cancelled in between.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from provisioner.model.name_server import NameServer

if TYPE_CHECKING:
    import dns.message

ANSWER_S = 8.0
"""What a server may take for one answer."""


async def exchange(message: dns.message.Message, server: NameServer) -> dns.message.Message:
    """The answer to a message, its TSIG checked (RFC 8945). Raises OSError, EOFError, and DNSException of dnspython."""
    import dns.message
    import dns.query

    try:
        async with asyncio.timeout(ANSWER_S):
            wire = await _answered(message.to_wire(prepend_length=True), server)
    except TimeoutError:
        raise TimeoutError(f"no answer within {ANSWER_S:.0f} s") from None
    answer = dns.message.from_wire(wire, keyring=message.keyring, request_mac=message.mac)
    if not message.is_response(answer):
        raise dns.query.BadResponse
    return answer


async def _answered(wire: bytes, server: NameServer) -> bytes:
    """Both with their length before them on the wire (RFC 1035, 4.2.2)."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(wire)
        await writer.drain()
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.close()
