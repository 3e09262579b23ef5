"""One message to one name server: its answer, or why there is none, and no connection that stays open."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import dns.message
import dns.query
import pytest

from provisioner.model.name_server import NameServer
from provisioner.tenant.dns_messages import exchange

QUESTION = dns.message.make_query("contoso.com", "TXT")


async def served(answer: bytes | None) -> tuple[asyncio.Server, NameServer]:
    """A server that answers with these bytes; None for one that ends the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(QUESTION.to_wire(prepend_length=True)))
        if answer is not None:
            writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, NameServer("127.0.0.1", server.sockets[0].getsockname()[1])


def asked(answer: bytes | None) -> dns.message.Message:
    async def work() -> dns.message.Message:
        server, where = await served(answer)
        async with server:
            return await exchange(QUESTION, where)

    return asyncio.run(work())


def test_the_answer_to_the_question_counts_and_no_other() -> None:
    assert asked(dns.message.make_response(QUESTION).to_wire()).id == QUESTION.id
    other = dns.message.make_response(dns.message.make_query("fabrikam.com", "TXT"))
    with pytest.raises(dns.query.BadResponse):
        asked(other.to_wire())
    with pytest.raises(EOFError):
        asked(None)


def test_no_connection_stays_open_wherever_a_run_is_cancelled() -> None:
    async def cancelled(where: NameServer, steps: int) -> None:
        asking = asyncio.create_task(exchange(QUESTION, where))
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])

    with warnings.catch_warnings(record=True) as said, socket.create_server(("127.0.0.1", 0)) as silent:
        warnings.simplefilter("always", ResourceWarning)
        for steps in range(20):
            asyncio.run(cancelled(NameServer("127.0.0.1", silent.getsockname()[1]), steps))
        gc.collect()
    assert [str(one.message) for one in said] == []
