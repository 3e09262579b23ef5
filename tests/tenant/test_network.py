"""Whose certificates are trusted, and what is left of a connection.

What a proxy does to requests is in tests/cli/test_network.py.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

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
