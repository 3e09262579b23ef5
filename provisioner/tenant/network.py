"""How requests leave this machine: through which proxy, and whose certificates are trusted. One owner for all clients.

Company networks send HTTPS through a proxy that often inspects it, with a certificate authority of the company's in the
platform's store. So the store of the platform is what counts (truststore), unless the profile names a file. The proxy
is the profile's, or that of HTTPS_PROXY and the platform's settings, but not for what NO_PROXY excludes.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from provisioner.border import read_ordinary
from provisioner.diagnostics import Diagnostic, InputError, Malformed, Untrusted
from provisioner.tenant import bodies, limits

if TYPE_CHECKING:
    import aiohttp
    import httpx
    from azure.core.pipeline.transport import AioHttpTransport

    from provisioner.settings import Profile

TRUST_HINT = (
    "add the company's certificate authority to the platform's store, or name its file in the profile (ca) or in "
    "SSL_CERT_FILE; check the clock"
)
_OF_THE_WIRE = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
"""Headers that say how a body travelled, in lower case."""


def trusted(path: Path, key: str) -> str:
    """A file of certificates to trust, looked at before anybody connects. Raises InputError naming the setting."""
    what, hint = f"{path}, which should hold the certificates to trust,", f"correct {key} in the profile"
    try:
        read_ordinary(path, 1)  # a pipe would be waited for
        ssl.create_default_context(cafile=path)
    except FileNotFoundError as error:
        raise InputError([Diagnostic("SETTINGS-CA", f"{what} is not there", hint)]) from error
    except (OSError, ValueError) as error:
        why = "cannot be read as PEM" if isinstance(error, ssl.SSLError) else "cannot be read"
        raise InputError([Diagnostic("SETTINGS-CA", f"{what} {why}", hint)]) from error
    return str(path)


def _platform_tls() -> ssl.SSLContext:
    """A context that trusts the platform's store.

    On Linux that is mostly a file, which OpenSSL reads: here once, and not for each connection, as truststore would
    (its `_openssl.py`), since reading it takes 20 ms of processor time. Elsewhere the platform itself verifies.
    """
    if sys.platform == "linux":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_default_certs()
        if context.cert_store_stats()["x509_ca"]:
            return context
    import truststore  # it knows where else a distribution may have the file

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True, slots=True)
class Network:
    """What the profile says; None is what the platform and the environment say."""

    ca: str | None = None
    proxy: str | None = None

    @classmethod
    def of(cls, profile: Profile) -> Network:
        """Raises InputError where the file with the certificates to trust is not one."""
        return cls(trusted(profile.ca, "ca") if profile.ca else None, profile.proxy)

    def tls(self) -> ssl.SSLContext:
        """A context that verifies host names and certificates."""
        return ssl.create_default_context(cafile=self.ca) if self.ca else _platform_tls()

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a request to this address, with its login if it has one; None for a direct request."""
        parts = urlsplit(url)
        if not parts.hostname or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        found = urllib.request.getproxies()
        address = self.proxy or found.get(parts.scheme) or found.get("all")
        return address if not address or "://" in address else f"http://{address}"

    def session(
        self, base: str, resolver: aiohttp.abc.AbstractResolver | None = None, **options: Any
    ) -> aiohttp.ClientSession:
        """An aiohttp session for one host. The environment is read here: aiohttp would take logins from .netrc too.

        Without a `base` each request names its proxy itself.
        """
        import aiohttp

        # Before 3.12.7 a TLS connection that is given up may outlive its session (CPython issue 118950).
        leaks = sys.version_info < (3, 12, 7)
        connector = _connector()(ssl=self.tls(), limit=64, enable_cleanup_closed=leaks, resolver=resolver)
        return aiohttp.ClientSession(connector=connector, proxy=self.proxy_for(base), auto_decompress=False, **options)

    def transport(self, base: str) -> httpx.AsyncBaseTransport:
        """An httpx transport for one host, whose answers are read and unpacked within the limits."""
        import httpx

        carrier = httpx.AsyncHTTPTransport(verify=self.tls(), retries=0, proxy=self.proxy_for(base))
        _end_handshakes(carrier)

        class Bounded(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                answer = await carrier.handle_async_request(request)
                try:
                    content = await bodies.collected(answer.aiter_raw())
                finally:
                    await answer.aclose()
                packed = answer.headers.get("content-encoding", "").strip().lower()
                kept = [(n, v) for n, v in answer.headers.raw if n.lower() not in _OF_THE_WIRE]
                content = bodies.decoded(content, packed)
                return httpx.Response(answer.status_code, headers=kept, content=content, extensions=answer.extensions)

            async def aclose(self) -> None:
                await carrier.aclose()

        return Bounded()


def _connector() -> type[aiohttp.TCPConnector]:
    """aiohttp's connections, of which one is dropped at once where its request ends together with the handshake.

    asyncio ends that one politely: it waits up to 30 s for the host's answer, longer than the run itself may last
    (CPython 3.11 to 3.14, `BaseEventLoop._create_connection_transport`). aiohttp does not know it yet.
    """
    import aiohttp

    class Connector(aiohttp.TCPConnector):
        async def _wrap_create_connection(self, *what: Any, **options: Any) -> Any:
            protocol, *others = what
            made: list[Any] = []

            def kept() -> Any:
                made.append(protocol())
                return made[-1]

            try:
                return await super()._wrap_create_connection(kept, *others, **options)
            except BaseException:
                for connection in made:
                    connection.abort()
                raise

    return Connector


def _end_handshakes(carrier: httpx.AsyncHTTPTransport) -> None:
    """Close a connection whose TLS handshake is cancelled.

    httpcore closes one where the handshake fails, and not where it is cancelled (1.0.9, `AnyIOStream.start_tls`), and
    neither httpx nor its pool knows the connection yet.
    """
    backend: Any = carrier._pool._network_backend
    connect = backend.connect_tcp

    async def connect_tcp(*where: Any, **options: Any) -> Any:
        stream = await connect(*where, **options)
        secure = stream.start_tls

        async def start_tls(*how: Any, **more: Any) -> Any:
            try:
                return await secure(*how, **more)
            except asyncio.CancelledError:
                await stream.aclose()
                raise

        stream.start_tls = start_tls
        return stream

    backend.connect_tcp = connect_tcp


def sign_in_transport(network: Network, authority: str) -> AioHttpTransport:
    """azure-identity's transport over a session of ours, made when first used; its own does not know the store."""
    from azure.core.pipeline.transport import AioHttpTransport

    class Transport(AioHttpTransport):  # type: ignore[misc] # given by a module's __getattr__
        session: aiohttp.ClientSession | None

        async def open(self) -> None:
            if self.session is None:
                import aiohttp

                self.session = network.session(
                    authority, cookie_jar=aiohttp.DummyCookieJar(), response_class=_small_answers()
                )
            await super().open()

    return Transport(use_env_settings=False)


def _small_answers() -> type[aiohttp.ClientResponse]:
    """The answers of a sign-in: a body that is larger than any of them, packed or not, is refused while it comes."""
    import aiohttp

    class Small(aiohttp.ClientResponse):
        async def read(self) -> bytes:
            most = limits.MOST_SIGN_IN_BYTES
            try:
                content = await bodies.collected(self.content.iter_chunked(2**16), most)
                # azure-core unpacks it again, without a limit.
                bodies.decoded(content, self.headers.get("Content-Encoding", ""), most)
            except bodies.OddBody as error:
                raise Malformed(f"not an answer of the sign-in service: {error}", "sign-in") from error
            return content

    return Small


def untrusted(host: str, call: str) -> Untrusted:
    """The one error for a certificate that nothing trusts; it is never tried again."""
    return Untrusted(f"the certificate of {host} is not trusted", call, hint=TRUST_HINT)
