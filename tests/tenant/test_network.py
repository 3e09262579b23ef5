"""Whose certificates are trusted, and what is left of a connection.

What a proxy does to requests is in tests/cli/test_network.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import trustme
import truststore

from provisioner.tenant.network import Network


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the platform verifies")
def test_the_platform_s_certificates_are_read_once_and_not_for_each_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store.pem"
    trustme.CA().cert_pem.write_to_path(store)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    trust = Network().tls()
    assert (trust.verify_mode, trust.check_hostname) == (ssl.CERT_REQUIRED, True)
    trustme.CA().cert_pem.write_to_path(store, append=True)
    trust.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="outlook.office365.com")
    assert trust.cert_store_stats()["x509_ca"] == 1
    assert Network().tls().cert_store_stats()["x509_ca"] == 2


def test_a_platform_without_a_file_of_certificates_is_left_to_truststore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert isinstance(Network().tls(), truststore.SSLContext)


def test_a_connection_is_closed_whose_handshake_is_cancelled() -> None:
    """Of two requests side by side, an error of the first cancels the second, wherever it is."""

    async def work() -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            began.set()
            while await reader.read(2**16):
                pass
            writer.close()
            ended.set()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        carrier = Network().transport(url)
        asking = asyncio.create_task(carrier.handle_async_request(httpx.Request("GET", url)))
        await began.wait()
        asking.cancel()
        assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], asyncio.CancelledError)
        looks = 0
        while not ended.is_set() and looks < 200:  # before the garbage collector closes what was left
            await asyncio.sleep(0.01)
            looks += 1
        assert ended.is_set()
        await carrier.aclose()
        server.close()

    asyncio.run(work())


def test_nothing_is_left_of_a_connection_that_is_cancelled_as_its_handshake_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends before a host that says nothing more can answer to a polite end of TLS."""
    authority, ca = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        with listener, listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True):
            over.wait(30)

    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://localhost:{listener.getsockname()[1]}/"
    server = threading.Thread(target=serve, args=(listener,))
    server.start()

    async def work() -> None:
        async with Network(ca=str(ca)).session(url) as session:
            asking = asyncio.create_task(session.get(url).__aenter__())
            met = aiohttp.client_proto.ResponseHandler.connection_made

            def meet(handler: Any, transport: asyncio.BaseTransport) -> None:
                met(handler, transport)
                asking.cancel()

            monkeypatch.setattr(aiohttp.client_proto.ResponseHandler, "connection_made", meet)
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            assert asking.cancelled()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(work())
        gc.collect()
    over.set()
    server.join()
    assert [str(warning.message) for warning in told] == []
