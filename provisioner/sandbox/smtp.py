"""SMTP of the tenant on loopback: the submission port (smtp.office365.com:587) and the MX port of its domains.

aiosmtpd speaks the protocol; what is answered is decided in mail_rules.py. Source addresses in 127.0.0.0/8 stand for
static IPs: `settings.smtp_source_addresses` maps them to public ones, others count as they are. Delivered mail is kept,
the newest thousand, for `sandbox mail`. Neither passwords nor tokens reach the log.
"""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import ssl
import warnings
from collections import Counter
from collections.abc import Mapping
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any, NoReturn

from provisioner.sandbox import mail_rules as rules
from provisioner.sandbox.tokens import EXCHANGE, InvalidToken, TokenVerifier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, Session

if TYPE_CHECKING:
    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.mail_store import MailStore
    from provisioner.sandbox.tenant import Tenant
    from provisioner.sandbox.tls import ListenerFiles

_LONGEST_LINE = 65536  # tokens: 512 bytes, the RFC's limit, are too few
_MOST_RECIPIENTS = 500
_MOST_A_DAY = 10_000
_MOST_CONNECTIONS = 3
_MOST_BYTES = 35 * 2**20
_SEND_AS_APP = "SMTP.SendAsApp"
_HOST = "AM0PEPF0000SAND.sandbox.prod.outlook.com"


class _Server(SMTP):
    """aiosmtpd's, with room for tokens, telling its handler when the connection ends."""

    line_length_limit = _LONGEST_LINE

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self.command_size_limits["AUTH"] = _LONGEST_LINE

    async def _call_handler_hook(self, command: str, *args: Any) -> Any:
        """What the handler answers to a verb, or what a scripted fault does instead."""
        do = self.event_handler.fault(command)
        if "delay" in do:
            await asyncio.sleep(float(do["delay"]))
        if do.get("close"):
            self._cut()
        if "status" in do:
            answer = f"{do['status']} {do.get('body') or _BUSY}"
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


class SmtpFront:
    """Both ports."""

    def __init__(self, tenant: Tenant, faults: Faults, verifier: TokenVerifier, store: MailStore) -> None:
        self.tenant, self.faults, self.verifier, self.store = tenant, faults, verifier, store
        self.signed_in: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []

    async def start(self, files: ListenerFiles) -> dict[str, str]:
        """Listen; the addresses of `smtp_submission` and `smtp_mx`."""
        submission, exchange = _context(files), _context(files, clients=True)
        common: dict[str, Any] = {"loop": asyncio.get_running_loop(), "hostname": _HOST, "ident": _GREETING}
        found = {}
        for name, make in (
            ("smtp_submission", lambda: _Server(
                _Submission(self), tls_context=submission, require_starttls=True, auth_require_tls=True,
                authenticator=_unused, auth_exclude_mechanism=["CRAM-MD5"], data_size_limit=_MOST_BYTES, **common)),
            ("smtp_mx", lambda: _Server(_Exchange(self), tls_context=exchange, data_size_limit=_MOST_BYTES, **common)),
        ):  # fmt: skip
            server = await common["loop"].create_server(make, "127.0.0.1", 0)
            self._servers.append(server)
            found[name] = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return found

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    def source(self, session: Session) -> str:
        """The address that a client has on the internet."""
        peer = session.peer[0] if session.peer else "127.0.0.1"
        return str(self.tenant.settings.get("smtp_source_addresses", {}).get(peer, peer))

    def log(self, verb: str, port: str, answer: str, caller: str = "", **facts: Any) -> None:
        status = int(answer[:3]) if answer[:3].isdigit() else None
        write = verb == "DATA" and answer.startswith("2")
        self.faults.record(
            "smtp", method=verb, path=port, status=status, caller=caller, write=write, executed=write, parameters=facts
        )

    def fault(self, verb: str, port: str) -> Mapping[str, Any]:
        """What a rule wants done to this verb; it is logged here where the verb is not answered by the tenant."""
        do = self.faults.take("smtp", method=verb, path=port)
        if do.get("close") or "status" in do:
            self.log(verb, port, str(do.get("status", "")))
        return do

    def deliver(self, session: Session, envelope: Envelope, route: str, folders: dict[str, str]) -> str:
        """Keep a message, and the answer to its sender."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        message = email.message_from_bytes(content, policy=email.policy.default)
        self.store.add({
            "time": self.tenant.clock.now().isoformat(),
            "route": route,
            "source": self.source(session),
            "mail_from": envelope.mail_from,
            "recipients": folders,
            "subject": str(message.get("Subject", "")),
            "from": str(message.get("From", "")),
            "content": content.decode("utf-8", "replace"),
        })  # fmt: skip
        return "250 2.0.0 OK"


_ANSWERED = AuthResult(success=False, handled=True)
"""aiosmtpd has told the client itself: it gave up (`*`), or what it sent was no Base64."""

_BUSY = "4.3.2 Service not available"  # our wording, for faults that bring none
_GREETING = "Microsoft ESMTP MAIL Service ready"


def _unused(*_: object) -> AuthResult:
    """aiosmtpd wants one; the handler's own methods answer AUTH."""
    return AuthResult(success=False, handled=False)


def _context(files: ListenerFiles, *, clients: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.leaf)
    if clients:
        context.load_verify_locations(files.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _author(envelope: Envelope) -> str:
    content = envelope.content if isinstance(envelope.content, bytes) else b""
    message = email.message_from_bytes(content, policy=email.policy.compat32)
    return parseaddr(str(message.get("From", "")))[1] or str(envelope.mail_from)


class _Submission:
    """Client submission: whoever signed in sends as who it is."""

    def __init__(self, front: SmtpFront) -> None:
        self._front = front
        self._user = ""

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [f"250-{_HOST} Hello [{self._front.source(session)}]", *responses[1:]]

    async def auth_LOGIN(self, server: SMTP, args: list[str]) -> AuthResult:
        user = args[1] if len(args) > 1 else await server.challenge_auth("Username:")
        password = MISSING if user is MISSING else await server.challenge_auth("Password:")
        if password is MISSING:
            return _ANSWERED
        return await self._password(server, _decoded(user), _decoded(password))

    async def auth_PLAIN(self, server: SMTP, args: list[str]) -> AuthResult:
        blob = args[1] if len(args) > 1 else await server.challenge_auth("")
        if blob is MISSING:
            return _ANSWERED
        parts = _decoded(blob).split("\0")
        return await self._password(server, parts[1] if len(parts) == 3 else "", parts[-1])

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        blob = args[1] if len(args) > 1 else await server.challenge_auth("")
        if blob is MISSING:
            return _ANSWERED
        fields = dict(part.partition("=")[::2] for part in _decoded(blob).split("\x01") if part)
        user, token = fields.get("user", ""), fields.get("auth", "")
        return await self._ended(server, user, "XOAUTH2", self._token_refusal(user, token))

    def _token_refusal(self, user: str, authorization: str) -> str | None:
        try:
            claims = self._front.verifier.claims(authorization, EXCHANGE)
        except InvalidToken:
            return rules.BAD_TOKEN
        row = rules.owner_of(self._front.tenant, user)
        if row is None or _SEND_AS_APP not in claims.get("roles", ()):
            return rules.BAD_TOKEN
        return rules.switch_refusal(self._front.tenant, row)

    async def _password(self, server: SMTP, user: str, password: str) -> AuthResult:
        return await self._ended(server, user, "basic", rules.password_refusal(self._front.tenant, user, password))

    async def _ended(self, server: SMTP, user: str, how: str, refusal: str | None) -> AuthResult:
        self._front.log("AUTH", "submission", refusal or "235", user, authentication=how)
        if refusal is None:
            self._front.signed_in[user.lower()] += 1
            self._user = user
            return AuthResult(success=True, auth_data=user)
        await server.push(f"{refusal} [{_HOST}]")
        return AuthResult(success=False, handled=True)

    def fault(self, verb: str) -> Mapping[str, Any]:
        return self._front.fault(verb, "submission")

    def connection_lost(self) -> None:
        if self._user:
            self._front.signed_in[self._user.lower()] -= 1

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self._user:
            return self._said("MAIL", rules.NOT_SIGNED_IN)
        if self._front.signed_in[self._user.lower()] > _MOST_CONNECTIONS:
            return self._said("MAIL", rules.TOO_MANY_CONNECTIONS)
        envelope.mail_from, envelope.mail_options = address, options
        return "250 2.1.0 Sender OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= _MOST_RECIPIENTS:
            return self._said("RCPT", rules.TOO_MANY_RECIPIENTS)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        tenant = self._front.tenant
        for sender in dict.fromkeys((str(envelope.mail_from), _author(envelope))):
            refusal = rules.send_as_refusal(tenant, self._user, sender)
            if refusal:
                return self._said("DATA", refusal)
        today = tenant.clock.now().date().isoformat()
        used = tenant.settings.setdefault("recipients_today", {})
        key = f"{self._user.lower()} {today}"
        if used.get(key, 0) + len(envelope.rcpt_tos) > _MOST_A_DAY:
            return self._said("DATA", rules.QUOTA)
        used[key] = used.get(key, 0) + len(envelope.rcpt_tos)
        inside = {r: "inbox" if rules.accepted(tenant, rules.domain_of(r)) else "external" for r in envelope.rcpt_tos}
        return self._said("DATA", self._front.deliver(session, envelope, "client_submission", inside))

    def _said(self, verb: str, answer: str) -> str:
        self._front.log(verb, "submission", answer, self._user)
        return answer


class _Exchange:
    """The MX host: whoever comes is known by its address or its certificate, or not at all."""

    def __init__(self, front: SmtpFront) -> None:
        self._front = front

    def fault(self, verb: str) -> Mapping[str, Any]:
        return self._front.fault(verb, "mx")

    def connection_lost(self) -> None:
        """Nobody was signed in."""

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [f"250-{_HOST} Hello [{self._front.source(session)}]", *responses[1:]]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        ip, certificate = self._front.source(session), _certificate(session)
        refusal = rules.recipient_refusal(
            self._front.tenant, ip, certificate, str(envelope.mail_from), address, tls=session.ssl is not None
        )
        if refusal:
            return self._said("RCPT", f"{refusal} [{_HOST}]", ip)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        tenant, ip, certificate = self._front.tenant, self._front.source(session), _certificate(session)
        author = _author(envelope)
        refusal = rules.dmarc_refusal(tenant, ip, certificate, author)
        if refusal:
            return self._said("DATA", refusal, ip)
        known = rules.connector_for(tenant, ip, certificate)
        doubtful = known is None and rules.spf(tenant, rules.domain_of(str(envelope.mail_from)), ip) in {
            "fail",
            "softfail",
        }
        folders = {
            r: ("junk" if doubtful else "inbox") if rules.accepted(tenant, rules.domain_of(r)) else "external"
            for r in envelope.rcpt_tos
        }
        route = "smtp_relay" if known is not None else "direct_send"
        return self._said("DATA", self._front.deliver(session, envelope, route, folders), ip)

    def _said(self, verb: str, answer: str, ip: str) -> str:
        self._front.log(verb, "mx", answer, ip)
        return answer


def _certificate(session: Session) -> str:
    """The name in a client certificate that TLS has checked; "" for none."""
    peer = (session.ssl or {}).get("peercert") or {}
    names = [value for kind, value in peer.get("subjectAltName", ()) if kind == "DNS"]
    return str(names[0]) if names else ""


def _decoded(blob: Any) -> str:
    if isinstance(blob, bytes):
        return blob.decode("utf-8", "replace")
    try:
        return base64.b64decode(str(blob)).decode("utf-8", "replace")
    except ValueError:
        return ""
