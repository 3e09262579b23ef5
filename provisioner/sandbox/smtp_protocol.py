"""The protocol as Exchange Online speaks it, on top of aiosmtpd: what EHLO offers, the wording, BDAT, DSN.

What EHLO lists and most answers are recorded ones (PHPMailer issues 2194 and 2647, email-oauth2-proxy issue 297,
ietf-tools/datatracker pull request 5888, MailKit issue 904; `500 5.3.3` is in Microsoft's telnet guide). An answer
without a source says so. What a message or a sign-in is answered is not decided here but by the handlers.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import secrets
import warnings
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from provisioner.sandbox.submission_rules import STARTTLS_FIRST

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

MOST_BYTES = 157_286_400
"""What the service says after SIZE: 150 MB."""

_LONGEST_LINE = 65536  # tokens: 512 bytes, the RFC's limit, are too few
_PIECE = 65536
_BUSY = "4.3.2 Service not available"  # our wording, for faults that bring none
_BAD_SEQUENCE = "503 5.5.1 Bad sequence of commands"
_INVALID_ARGUMENTS = "501 5.5.4 Invalid arguments"
_TOO_LARGE = "552 5.3.4 Message size exceeds fixed maximum message size"
_UNRECOGNIZED_TYPE = "504 5.7.4 Unrecognized authentication type"

_WORDING = {
    "250 OK": "250 2.0.0 OK",
    "221 Bye": "221 2.0.0 Service closing transmission channel",
    "220 Ready to start TLS": "220 2.0.0 SMTP server ready",
    "354 End data with <CR><LF>.<CR><LF>": "354 Start mail input; end with <CRLF>.<CRLF>",
    "252 Cannot VRFY user, but will accept message and attempt delivery": "252 2.1.5 Cannot VRFY user",  # not seen
    "502 EXPN not implemented": "502 5.3.3 Command not implemented",  # not seen
    "503 Error: send HELO first": "503 5.5.2 Send hello first",
    "503 Error: send EHLO first": "503 5.5.2 Send hello first",
    "503 Error: need MAIL command": "503 5.5.2 Need mail command",
    "503 Error: need RCPT command": "503 5.5.2 Need rcpt command",
    "503 Error: nested MAIL command": "503 5.5.2 Sender already specified",  # not seen
    "503 Already authenticated": _BAD_SEQUENCE,  # not seen
    "504 5.5.4 Unrecognized authentication type": _UNRECOGNIZED_TYPE,
    # AUTH that is not offered yet is a type that is not offered.
    "538 5.7.11 Encryption required for requested authentication mechanism": _UNRECOGNIZED_TYPE,
    "501 5.5.2 Can't decode base64": _INVALID_ARGUMENTS,  # not seen
    "501 Not enough value": _INVALID_ARGUMENTS,
    "501 Too many values": _INVALID_ARGUMENTS,
    "501 Error: BODY can only be one of 7BIT, 8BITMIME": _INVALID_ARGUMENTS,
    "555 MAIL FROM parameters not recognized or not implemented": "501 5.5.4 Unrecognized parameter",
    "555 RCPT TO parameters not recognized or not implemented": "501 5.5.4 Unrecognized parameter",
    "552 Error: message size exceeds fixed maximum message size": _TOO_LARGE,
    "552 Error: Too much mail data": _TOO_LARGE,
    "500 Error: bad syntax": "500 5.3.3 Unrecognized command",
    "502 5.5.1 Too many unrecognized commands, goodbye.": (
        "421 4.7.0 Too many errors on this connection, closing transmission channel"
    ),
}
_BEGINNINGS = {
    "501 Syntax: ": _INVALID_ARGUMENTS,
    "500 Error: command ": "500 5.3.3 Unrecognized command",
}
_ADDRESS = re.compile(r".+@(\[[0-9A-Za-z.:]+\]|[\w-]+(\.[\w-]+)*)")
_BAD_ADDRESS = {"MAIL": "501 5.1.7 Invalid address", "RCPT": "501 5.1.3 Invalid address"}


class Handler(Protocol):
    """What a port has besides the hooks that aiosmtpd finds by their names."""

    def fault(self, verb: str) -> Mapping[str, Any]: ...
    async def wait(self, do: Mapping[str, Any]) -> None: ...
    def connection_lost(self) -> None: ...


class _Verbatim(str):
    """An answer that a scripted fault gives: it leaves as it is written."""

    __slots__ = ()


class Server(SMTP):
    """One connection. Its handler answers the verbs; `offers` are the authentication types after STARTTLS."""

    line_length_limit = _LONGEST_LINE

    def __init__(
        self, handler: Handler, host: str, context: ssl.SSLContext, offers: tuple[str, ...], *, tls_first: bool
    ) -> None:
        self._id = secrets.token_hex(8).upper()
        now = dt.datetime.now(dt.UTC)
        super().__init__(
            handler,
            data_size_limit=MOST_BYTES,
            enable_SMTPUTF8=True,
            hostname=host,
            ident=f"Microsoft ESMTP MAIL Service ready at {now:%a, %-d %b %Y %H:%M:%S} +0000 [{self._id}]",
            tls_context=context,
            auth_exclude_mechanism={"LOGIN", "PLAIN", "XOAUTH2"} - set(offers),
            loop=asyncio.get_running_loop(),
        )
        self._offers, self._tls_first = offers, tls_first
        self._verb = ""
        self._chunks = bytearray()
        self.command_size_limits["AUTH"] = _LONGEST_LINE

    @property
    def _secure(self) -> bool:
        return self._tls_protocol is not None

    def capabilities(self) -> list[str]:
        """What EHLO lists after the greeting, in the service's order."""
        listed = [f"SIZE {MOST_BYTES}", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES"]
        if not self._secure:
            listed.append("STARTTLS")
        elif self._offers:
            listed.append("AUTH " + " ".join(self._offers))
        return [*listed, "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8"]

    # --- answers ------------------------------------------------------------------------------------------------

    async def push(self, status: Any) -> None:
        """Send an answer in the service's words; refusals end in the host, the time and the connection's id."""
        text = status.decode() if isinstance(status, bytes) else str(status)
        if not isinstance(status, _Verbatim):
            text = self._worded(text)
            if text[:1] in "45":
                text += f" {self._tail()}"
        await super().push(text)

    def _worded(self, text: str) -> str:
        if text == "553 5.1.3 Error: malformed address":
            return _BAD_ADDRESS[self._verb]
        beginning = next((begin for begin in _BEGINNINGS if text.startswith(begin)), None)
        return _WORDING.get(text, _BEGINNINGS[beginning] if beginning else text)

    @property
    def name_in_refusals(self) -> str:
        """What the host is called within the service."""
        return f"{self.hostname.partition('.')[0]}.SANDBOX.PROD.OUTLOOK.COM"

    def _tail(self) -> str:
        now = dt.datetime.now(dt.UTC)
        return f"[{self.name_in_refusals} {now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z {self._id}]"

    async def _call_handler_hook(self, command: str, *args: Any) -> Any:
        """What the handler answers to a verb, or what a scripted fault does instead."""
        do = self.event_handler.fault(command)
        await self.event_handler.wait(do)
        if do.get("close"):
            self._cut()
        if "status" in do:
            answer = _Verbatim(f"{do['status']} {do.get('body') or _BUSY}")
            return [answer] if command == "EHLO" else answer
        answered = await super()._call_handler_hook(command, *args)
        if do.get("run_then_close"):
            self._cut()
        return answered

    def _cut(self) -> NoReturn:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        raise ConnectionResetError

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.connection_lost()
        super().connection_lost(error)

    # --- verbs --------------------------------------------------------------------------------------------------

    async def smtp_STARTTLS(self, arg: str) -> None:
        if self._secure:
            await self.push(_BAD_SEQUENCE)
            return
        await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:
        """The type's name in any case; before the first EHLO, AUTH is out of order."""
        kind, space, rest = (arg or "").partition(" ")
        await super().smtp_AUTH(f"{kind.upper()}{space}{rest}")

    async def smtp_MAIL(self, arg: str | None) -> None:
        self._verb = "MAIL"
        if self._tls_first and not self._secure:
            await self.push(STARTTLS_FIRST)
            return
        # The keys of DSN (RFC 3461), and AUTH= (RFC 4954), are taken and have no effect: bounces are not modelled.
        known = {"RET": {"FULL", "HDRS"}, "ENVID": set[str](), "AUTH": set[str]()}
        await super().smtp_MAIL(_without(arg, known, {"BODY=BINARYMIME": "BODY=8BITMIME"}))

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """An address and what follows it; none where its domain is not a domain (`501 5.1.7` was logged for such).

        Bytes that were not UTF-8 have become surrogates, which are not printable.
        """
        address, rest = super()._getaddr(arg)
        valid = address == "<>" or (address and address.isprintable() and _ADDRESS.fullmatch(address))
        return (address, rest) if valid else (None, None)

    async def smtp_RCPT(self, arg: str | None) -> None:
        self._verb = "RCPT"
        await super().smtp_RCPT(_without(arg, {"NOTIFY": set(), "ORCPT": set()}, {}))

    async def smtp_DATA(self, arg: str) -> None:
        if self._chunks:
            await self.push(_BAD_SEQUENCE)  # RFC 3030: DATA must not follow BDAT
            return
        await super().smtp_DATA(arg)

    async def smtp_BDAT(self, arg: str | None) -> None:
        """A chunk of the message (RFC 3030), the last one with LAST. It is read whatever is then answered."""
        words = (arg or "").split()
        last = len(words) == 2 and words[1].upper() == "LAST"
        if not words or not words[0].isdecimal() or (len(words) > 1 and not last) or self.envelope is None:
            await self.push(_INVALID_ARGUMENTS)
            return
        size = int(words[0])
        kept = bool(self.envelope.rcpt_tos) and len(self._chunks) + size <= MOST_BYTES
        await self._read_chunk(size, kept=kept)
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.2 Need rcpt command")
        elif not kept:
            self._set_post_data_state()
            await self.push(_TOO_LARGE)
        elif not last:
            # Not seen: RFC 3030 has such a sentence.
            await self.push(f"250 2.0.0 CHUNK received OK, {size} octets")
        else:
            self.envelope.content = self.envelope.original_content = bytes(self._chunks)
            answer = await self._call_handler_hook("DATA")
            self._set_post_data_state()
            await self.push(answer)

    async def _read_chunk(self, size: int, *, kept: bool) -> None:
        while size:
            piece = await self._reader.readexactly(min(size, _PIECE))
            size -= len(piece)
            if kept:
                self._chunks += piece

    def _set_post_data_state(self) -> None:
        self._chunks = bytearray()
        super()._set_post_data_state()  # type: ignore[no-untyped-call]


def _without(arg: str | None, known: dict[str, set[str]], others: dict[str, str]) -> str | None:
    """A verb's argument without the parameters `known` here (and their values, none named for any), `others` replaced.

    What aiosmtpd knows, and what nobody knows, stays for it to judge.
    """
    address, mark, rest = (arg or "").partition(">")
    if not mark:
        return arg
    left = []
    for parameter in rest.split():
        key, equals, value = parameter.partition("=")
        values = known.get(key.upper())
        if values is None or not equals or not value or (values and value.upper() not in values):
            left.append(others.get(parameter.upper(), parameter))
    return " ".join([address + mark, *left])
