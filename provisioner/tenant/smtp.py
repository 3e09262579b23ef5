"""Speaking SMTP as a device would: one attempt, its dialogue, and how it ended.

aiosmtplib speaks the protocol (small, alive, asyncio, bounds its lines); its replies are taken one by one, so that the
dialogue can be shown. Each command has its time and the whole attempt too, so that a server that never ends, or sends a
byte a minute, ends in an error within `timeout_s`. Secrets stand in no line.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

from provisioner.tenant.network import Network

_STEP_S = 20.0
_LONGEST_REPLY = 4096  # characters of a reply that are kept


@dataclass(frozen=True, slots=True)
class Attempt:
    """What to try. `secret` is a password or a token; without `content` it stops before DATA.

    `certificate` is a PEM file with its key, shown to a server that asks for one. `newest_tls` is "1.2" for a device
    that speaks nothing newer.
    """

    host: str
    port: int
    sender: str
    recipient: str
    starttls: bool = True
    newest_tls: str = ""
    authentication: str = "none"
    user: str = ""
    secret: str = field(default="", repr=False)
    source: str | None = None
    tls_name: str = ""
    ca: str | None = None
    certificate: str | None = None
    content: bytes | None = field(default=None, repr=False)
    timeout_s: float = 60.0

    @property
    def place(self) -> str:
        """Where it connects to."""
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class Dialogue:
    """What was said: lines with "C" (we) or "S" (the server). `accepted`: it got as far as was asked.

    `refused` is the server's answer that ended it, `error` what went wrong otherwise; both "" when accepted.
    `unreachable`: nothing answered at the port. `told` hears each line as it is said.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    accepted: bool = False
    refused: str = ""
    error: str = ""
    unreachable: bool = False
    told: Callable[[str, str], None] | None = field(default=None, repr=False)

    def client(self, text: str) -> None:
        self._add("C", text)

    def server(self, code: int, message: str) -> str:
        whole = f"{code} {message}"[:_LONGEST_REPLY]
        for line in whole.splitlines():
            self._add("S", line)
        return whole

    def _add(self, who: str, text: str) -> None:
        self.lines.append((who, text))
        if self.told is not None:
            self.told(who, text)


class _Refused(Exception):
    """The server said no."""


async def converse(attempt: Attempt, told: Callable[[str, str], None] | None = None) -> Dialogue:
    """Make the attempt. Never raises: how it ended is in the dialogue, whose lines `told` hears as they are said."""
    import aiosmtplib

    said = Dialogue(told=told)
    client = aiosmtplib.SMTP(
        hostname=attempt.host,
        port=attempt.port,
        timeout=min(_STEP_S, 0.9 * attempt.timeout_s),
        start_tls=False,
        source_address=(attempt.source, 0) if attempt.source else None,
        local_hostname=_greeting(attempt),
    )
    try:
        async with asyncio.timeout(attempt.timeout_s):
            await _talk(client, attempt, said)
        said.accepted = True
    except _Refused as refusal:
        said.refused = str(refusal)
    except aiosmtplib.SMTPResponseException as refusal:
        said.refused = said.server(refusal.code, str(refusal.message))
    except TimeoutError:
        said.error = f"{attempt.host}:{attempt.port} did not come to an end within {attempt.timeout_s:.0f} s"
    except ssl.SSLCertVerificationError as error:
        said.error = f"the certificate of {attempt.host} is not trusted: {error.verify_message}"
    except (aiosmtplib.SMTPException, OSError, ValueError, UnicodeError) as error:
        said.error, said.unreachable = _words(error, attempt), _unanswered(error)
    finally:
        await _hang_up(client)
    return said


def _greeting(attempt: Attempt) -> str:
    """What it calls itself."""
    return attempt.sender.rpartition("@")[2] or "device"


async def _hang_up(client: object) -> None:
    """Close the connection, and give the event loop its turn to do so: it may end right after."""
    import aiosmtplib

    assert isinstance(client, aiosmtplib.SMTP)  # noqa: S101
    transport = client.transport
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    await asyncio.sleep(0)


async def _talk(client: object, attempt: Attempt, said: Dialogue) -> None:
    import aiosmtplib

    assert isinstance(client, aiosmtplib.SMTP)  # noqa: S101 - for the type checker, without importing it early
    said.client(f"(connect to {attempt.host}:{attempt.port})")
    greeting = await client.connect()
    said.server(greeting.code, greeting.message)
    await _ehlo(client, attempt, said)
    if attempt.starttls:
        if not client.supports_extension("starttls"):
            raise ValueError(f"{attempt.host} offers no STARTTLS")
        said.client("STARTTLS")
        context = tls_context(attempt.ca, attempt.certificate, attempt.newest_tls)
        reply = await client.starttls(server_hostname=attempt.tls_name or attempt.host, tls_context=context)
        said.server(reply.code, reply.message)
        await _ehlo(client, attempt, said)
    await _sign_in(client, attempt, said)
    said.client(f"MAIL FROM:<{attempt.sender}>")
    _taken(said, await client.mail(attempt.sender))
    said.client(f"RCPT TO:<{attempt.recipient}>")
    _taken(said, await client.rcpt(attempt.recipient))
    if attempt.content is None:
        said.client("RSET")
        _taken(said, await client.rset())
    else:
        said.client(f"DATA ({len(attempt.content):,} bytes)")
        _taken(said, await client.data(attempt.content))
    said.client("QUIT")
    _taken(said, await client.execute_command(b"QUIT"))


def tls_context(ca: str | None, certificate: str | None, newest: str = "") -> ssl.SSLContext:
    """How the server is trusted, and who we say we are. Raises OSError (ssl.SSLError) for a file that will not do."""
    context = Network(ca).tls()
    if newest == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    elif newest in _OLD and speaks(newest):
        _only(context, newest)
    if certificate is not None:
        context.load_cert_chain(certificate, password=_no_password)
    return context


def _no_password() -> str:
    """Nobody is there to be asked."""
    return ""


async def _ehlo(client: object, attempt: Attempt, said: Dialogue) -> None:
    import aiosmtplib

    assert isinstance(client, aiosmtplib.SMTP)  # noqa: S101
    said.client(f"EHLO {_greeting(attempt)}")
    _taken(said, await client.ehlo())


async def _sign_in(client: object, attempt: Attempt, said: Dialogue) -> None:
    import aiosmtplib

    assert isinstance(client, aiosmtplib.SMTP)  # noqa: S101
    if attempt.authentication == "none":
        return
    if attempt.authentication == "oauth":
        said.client(f"AUTH XOAUTH2 (user {attempt.user}, a token)")
        _taken(said, await client.auth_xoauth2(attempt.user, attempt.secret))
    else:
        said.client(f"AUTH LOGIN (user {attempt.user}, a password)")
        _taken(said, await client.auth_login(attempt.user, attempt.secret))


def _taken(said: Dialogue, reply: object) -> None:
    code, message = int(reply.code), str(reply.message)  # type: ignore[attr-defined]
    whole = said.server(code, message)
    if code >= 400:
        raise _Refused(whole)


def _unanswered(error: BaseException) -> bool:
    """Whether no connection came about at all: a timeout, a refusal or no way there; but not an unknown host name."""
    import aiosmtplib

    cause = error.__cause__
    if not isinstance(error, (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPConnectTimeoutError)):
        return False
    if isinstance(cause, (aiosmtplib.SMTPException, socket.gaierror)) or _not_ours(error):
        return False
    return isinstance(cause, OSError)


def _not_ours(error: BaseException) -> bool:
    return "cannot assign requested address" in str(error).lower()


def _words(error: BaseException, attempt: Attempt) -> str:
    if _not_ours(error):
        return (
            f"{attempt.source} is not an address of this machine: probe from where the device is, or leave --source out"
        )
    cause = error.__cause__ if error.__cause__ is not None else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of {attempt.host} is not trusted: {cause.verify_message}"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{attempt.host}:{attempt.port}: {text[:300]}"


# --- what else a network and a server let through --------------------------------------------------------------------


async def answers(host: str, port: int, timeout_s: float) -> bool:
    """Whether a TCP connection to a port comes about."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, UnicodeError):
        return False
    writer.close()
    return True


TAKEN, REFUSED, UNTRIED = "taken", "refused", "untried"
_OLD = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1}


async def old_handshake(attempt: Attempt, version: str) -> str:
    """What becomes of STARTTLS with TLS 1.0 or 1.1 alone: TAKEN, REFUSED, or UNTRIED with a local OpenSSL without it.

    Nothing but the handshake is done, and nothing is sent in it: the server need not be trusted for that.
    """
    import aiosmtplib

    context = _old_context(version)
    if context is None:
        return UNTRIED
    timeout_s = min(_STEP_S, attempt.timeout_s)
    client = aiosmtplib.SMTP(
        hostname=attempt.host, port=attempt.port, timeout=timeout_s, start_tls=False,
        source_address=(attempt.source, 0) if attempt.source else None, local_hostname=_greeting(attempt),
    )  # fmt: skip
    try:
        async with asyncio.timeout(attempt.timeout_s):
            await client.connect()
            await client.ehlo()
            if not client.supports_extension("starttls"):
                return UNTRIED
            await client.starttls(tls_context=context)
    except (ssl.SSLError, aiosmtplib.SMTPServerDisconnected, ConnectionError):
        return REFUSED
    except (aiosmtplib.SMTPException, OSError, ValueError, UnicodeError):
        return UNTRIED
    else:
        return TAKEN
    finally:
        await _hang_up(client)


def _old_context(version: str) -> ssl.SSLContext | None:
    """A context that speaks one old version; None where OpenSSL was built or configured without it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        _only(context, version)
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO()).do_handshake()
    except ssl.SSLWantReadError:
        return context  # it has said hello, and waits for the server
    except (ssl.SSLError, ValueError):
        pass
    return None


def _only(context: ssl.SSLContext, version: str) -> None:
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # OpenSSL 3 has these versions at level 0 alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = _OLD[version]


def speaks(version: str) -> bool:
    """Whether the OpenSSL of this machine speaks TLS 1.0 or 1.1."""
    return _old_context(version) is not None
