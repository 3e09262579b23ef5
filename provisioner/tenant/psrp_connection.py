"""The connection of one runspace: pypsrp's, with every answer bounded in time and size, and no redirects.

pypsrp sends through a session of requests, whose timeouts are for each byte: a host that sends one now and then would
never be given up. So a thread cuts the socket: `read_timeout` after an exchange began, or when the time is over that
the runspace has for what it is doing (`limit`).
"""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from provisioner.diagnostics import Malformed, TenantError, Throttled, Unavailable
from provisioner.tenant import limits
from provisioner.tenant.network import Network
from provisioner.tenant.retry import retry_after_s

if TYPE_CHECKING:
    from pypsrp.wsman import WSMan
    from requests.adapters import HTTPAdapter


_NEVER = math.inf


class Bounds:
    """The limits of one connection. Used by the runspace's thread; another one, which watches, cuts.

    It watches from one exchange to the next, because a thread for each exchange would take a fifth of a run's time.
    """

    def __init__(self, exchange_s: float) -> None:
        self._exchange_s = exchange_s
        self._allowed_s = self._left_bytes = 0.0
        self._deadline = _NEVER
        self._cut_at = _NEVER
        self._looks_at: float | None = None
        self._changed = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self._cut = self._given_up = False
        self.limit(_NEVER)

    @property
    def deadline(self) -> float:
        """When what the runspace does must have ended, by time.monotonic."""
        return self._deadline

    def limit(self, seconds: float, *, ending: bool = False) -> None:
        """Give the runspace so much time, and the bytes of one pipeline, for what it does from now on.

        One that was given up has time to end only.
        """
        if not self._given_up or ending:
            self._allowed_s, self._deadline = seconds, time.monotonic() + seconds
        self._left_bytes = limits.MOST_PIPELINE_BYTES

    def begin(self) -> None:
        """An exchange begins. Raises TimeoutError where no time is left for it."""
        now = time.monotonic()
        left_s = self._deadline - now
        if left_s <= 0:
            raise TimeoutError(f"no end after {self._allowed_s:.0f} s")
        with self._changed:
            self._cut = False
            self._cut_at = now + min(left_s, self._exchange_s)
            if self._looks_at is None:
                self._looks_at = self._cut_at
                threading.Thread(target=self._watch, name="psrp limits", daemon=True).start()
            elif self._cut_at < self._looks_at:
                self._changed.notify()

    def end(self) -> None:
        """The exchange has ended, well or not."""
        with self._changed:
            self._cut_at = _NEVER

    def _watch(self) -> None:
        """Cut each exchange at its time. Ends at a look at which none is under way."""
        with self._changed:
            while self._cut_at < _NEVER:
                left_s = self._cut_at - time.monotonic()
                if left_s <= 0:
                    self._cut_at = _NEVER
                    self._cut_off()
                else:
                    self._looks_at = self._cut_at
                    self._changed.wait(left_s)
            self._looks_at = None

    def count(self, size: int) -> None:
        """So many bytes came. Raises Malformed for more than a pipeline may give."""
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise Malformed(f"the answers to one pipeline have more than {limits.MOST_PIPELINE_BYTES:,} bytes")

    def abort(self) -> None:
        """End the exchange that is under way, from another thread; no other begins."""
        self._given_up = True
        self._deadline = time.monotonic()
        self._cut_off()

    def opened(self, connection: socket.socket) -> socket.socket:
        """There is a connection to be cut: by a second handle, since TLS takes the first one away."""
        handle = connection.dup()
        self._sockets.add(handle)
        return handle

    def closed(self, handle: socket.socket | None) -> None:
        """The connection of a handle is closed."""
        if handle is not None:
            self._sockets.discard(handle)
            handle.close()

    def close(self) -> None:
        """The runspace has no use for its connections any more."""
        self.end()
        with self._changed:
            self._changed.notify()  # nothing is left to watch
        for handle in list(self._sockets):
            self.closed(handle)

    def _cut_off(self) -> None:
        self._cut = True
        for handle in list(self._sockets):
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)  # closing would not wake the thread that reads

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What a cut connection raises, as what it is. Nothing within the exchange's own time may be asked again."""
        import requests

        try:
            yield
        except Exception as error:
            self.end()
            if not self._cut:
                raise
            if time.monotonic() >= self._deadline:
                raise TimeoutError(f"no end after {self._allowed_s:.0f} s") from error
            raise requests.exceptions.ReadTimeout(f"no whole answer within {self._exchange_s:.0f} s") from error


def bound(connection: WSMan, network: Network, fingerprint: str | None) -> Bounds:
    """Have a connection keep to its limits, and trust the fingerprint, the profile's authority or the platform's."""
    transport = connection.transport
    bounds = Bounds(transport.read_timeout)
    session = transport._build_session()
    session.trust_env = False  # the proxy is chosen; requests would read the environment, and .netrc, at every exchange
    adapter = _adapter(bounds, network, fingerprint)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    transport.session = session
    return bounds


def _adapter(bounds: Bounds, network: Network, fingerprint: str | None) -> HTTPAdapter:
    from requests.adapters import HTTPAdapter

    pools: dict[str, Any] = {}
    if fingerprint:
        pools = {"assert_fingerprint": fingerprint.replace(":", ""), "cert_reqs": ssl.CERT_NONE}
    elif network.ca is None:
        pools = {"ssl_context": network.tls()}  # requests brings certificate authorities of its own

    class Bounded(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **{**options, **pools})
            self.poolmanager.pool_classes_by_scheme = _pool_classes(bounds)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **{**options, **pools})
            manager.pool_classes_by_scheme = _pool_classes(bounds)
            return manager

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
            super().cert_verify(conn, url, False if fingerprint else verify, cert)
            if "ssl_context" in pools:
                conn.ca_certs = None

        def send(self, *args: Any, **options: Any) -> Any:
            bounds.begin()
            with bounds.told():
                return super().send(*args, **options)

        def build_response(self, req: Any, resp: Any) -> Any:
            answer: Any = super().build_response(req, resp)
            refused = _refusal(answer)
            if refused is not None:
                answer.close()
                raise refused
            # Its content is read when it is first asked for: until then the connection tells its certificate.
            read = answer.iter_content
            answer.iter_content = lambda *args, **options: _counted(answer, read(*args, **options), bounds)
            return answer

    return Bounded()


def _refusal(answer: Any) -> TenantError | None:
    """What an answer is that WS-Management does not know, and that pypsrp would follow or not understand."""
    status = answer.status_code
    if answer.is_redirect:
        host = urlsplit(answer.headers["location"]).netloc or "no host"
        return Malformed(f"redirected to {host}, which is not followed", status=status)
    asked = retry_after_s({name.lower(): value for name, value in answer.headers.items()})
    if status == 429:
        return Throttled("the management host asks to wait", status=status, retry_after_s=asked)
    if status == 503:
        return Unavailable("the management host is not available", status=status, retry_after_s=asked)
    return None


def _counted(answer: Any, chunks: Iterator[bytes], bounds: Bounds) -> Iterator[bytes]:
    """The chunks of a body, as long as they are in time and no more than an answer has."""
    size = 0
    try:
        with bounds.told():
            for chunk in chunks:
                size += len(chunk)
                if size > limits.MOST_BYTES:
                    raise Malformed(f"the answer has more than {limits.MOST_BYTES:,} bytes")
                bounds.count(len(chunk))
                yield chunk
        bounds.end()
    except Exception:
        answer.close()
        raise


def _pool_classes(bounds: Bounds) -> dict[str, type]:
    """urllib3's pools, whose connections can be cut."""
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Cuttable:
        """A connection that reports its socket as soon as it has one, before TLS."""

        _handle: socket.socket | None = None

        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()  # type: ignore[misc] # urllib3's connections have it
            self._handle = bounds.opened(made)
            return made

        def close(self) -> None:
            handle, self._handle = self._handle, None
            bounds.closed(handle)
            super().close()  # type: ignore[misc]

    class Plain(Cuttable, HTTPConnection):
        pass

    class Secure(Cuttable, HTTPSConnection):
        pass

    plain = type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": Plain})
    return {"http": plain, "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": Secure})}
