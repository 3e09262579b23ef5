"""What stands behind the two SMTP ports: one object a connection, whose hooks aiosmtpd calls by their names.

They ask the rules, keep who signed in, and log. Every answer to a message goes through `_said`.
"""

from __future__ import annotations

import base64
import datetime as dt
import email
import email.policy
import secrets
import warnings
from collections.abc import Mapping
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any

from provisioner.sandbox import (
    authentication_results,
    delivery,
    hve_rules,
    mail_rules,
    sign_in_log,
    submission_rules,
)
from provisioner.sandbox.mail_directory import (
    account_of,
    owner_of,
    primary,
    refuses_strangers,
    user_of,
)
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.tokens import EXCHANGE, InvalidToken

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiosmtpd.smtp import MISSING, AuthResult

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

    from provisioner.sandbox.smtp import SmtpFront
    from provisioner.sandbox.smtp_protocol import Server
    from provisioner.sandbox.tenant import Row

_SENDER_OK = "250 2.1.0 Sender OK"
_RECIPIENT_OK = "250 2.1.5 Recipient OK"
_NOT_BASE64 = "501 5.5.2 Can't decode base64"  # aiosmtpd's sentence, which smtp_protocol puts into the service's
_ANSWERED = AuthResult(success=False, handled=True)
_NOBODY = "<>"


class _Port:
    """What both ports answer alike."""

    name = ""

    def __init__(self, front: SmtpFront) -> None:
        self._front = front

    async def handle_EHLO(
        self, server: Server, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        lines = [await self.handle_HELO(server, session, envelope, hostname), *server.capabilities()]
        lines = [lines[0].removeprefix("250 "), *lines[1:]]
        return [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]

    async def handle_HELO(self, server: Server, session: Session, envelope: Envelope, hostname: str) -> str:
        session.host_name = hostname
        return f"250 {server.hostname} Hello [{self._front.source(session)}]"

    async def handle_RSET(self, server: Server, session: Session, envelope: Envelope) -> str:
        return "250 2.0.0 Resetting"

    def fault(self, verb: str) -> Mapping[str, Any]:
        """What a scripted fault wants done to a verb."""
        return self._front.fault(verb, self.name)

    async def wait(self, do: Mapping[str, Any]) -> None:
        """Wait as a scripted fault says."""
        await self._front.faults.wait(do)

    def connection_lost(self) -> None:
        """The client is gone."""

    def _folder(self, recipient: str, inside: str, size_bytes: int) -> str:
        return delivery.folder_of(self._front.tenant, recipient, inside, size_bytes)

    def _by_rules(self, envelope: Envelope, folders: dict[str, str], source: Source | None = None) -> Mapping[str, str]:
        sender, author = str(envelope.mail_from), _author(envelope)
        return delivery.kept_by_rules(self._front.tenant, sender, author, envelope.rcpt_tos, folders, source)

    def _undecided(self, envelope: Envelope, source: Source | None = None, login: str = "") -> list[str]:
        sender, author = str(envelope.mail_from), _author(envelope)
        return delivery.undecided(self._front.tenant, sender, author, envelope.rcpt_tos, source, login)

    def _said(self, verb: str, answer: str, caller: str) -> str:
        self._front.log(verb, self.name, answer, caller)
        return answer


class Submission(_Port):
    """Client submission: anyone who signed in sends as who it is."""

    name = "submission"
    route = "client_submission"

    def __init__(self, front: SmtpFront) -> None:
        super().__init__(front)
        self._user = ""
        self._mailbox = ""  # primary address of who signed in
        self._application: Mapping[str, Any] | None = None  # claims of its token, where it is one
        self._refusal = ""
        self._authentication = ""  # "Basic" or "OAuth", as the SMTP AUTH report has it

    # --- signing in ---------------------------------------------------------------------------------------------

    async def _too_old(self, server: SMTP) -> bool:
        """Whether the client's TLS is too old for the host that it asked for, and it was told."""
        tls = ((server.session and server.session.ssl) or {}).get("ssl_object")
        refusal = tls and submission_rules.legacy_tls_refusal(
            self._front.tenant, str(tls.version()), getattr(tls, "asked_for", "")
        )
        if refusal:
            await server.push(self._said("AUTH", refusal, ""))
        return bool(refusal)

    async def auth_LOGIN(self, server: SMTP, args: list[str]) -> AuthResult:
        if await self._too_old(server):
            return _ANSWERED
        user = await _response(server, args, "Username:")
        password = None if user is None else await _response(server, [], "Password:")
        if user is None or password is None:
            return _ANSWERED
        refusal = self._password_refusal(user, password)
        owner, status = self._owner(user), submission_rules.logged_as(refusal)
        if owner is not None and status is not None:
            account = user_of(self._front.tenant, owner)
            sign_in_log.record_password(self._front.tenant, account, self._front.source(server.session), status)
        return await self._ended(server, user, "basic", refusal)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        if await self._too_old(server):
            return _ANSWERED
        response = await _response(server, args, "")
        if response is None:
            return _ANSWERED
        fields = dict(part.partition("=")[::2] for part in response.split("\x01") if part)
        user = fields.get("user", "")
        try:
            claims = self._front.verifier.claims(fields.get("auth", ""), EXCHANGE)
        except InvalidToken:
            return await self._ended(server, user, "XOAUTH2", submission_rules.REFUSED)
        refusal = self._token_refusal(user, claims)
        owner = self._owner(user)
        if owner is not None:
            account = user_of(self._front.tenant, owner)
            sign_in_log.record_token(self._front.tenant, claims, account, self._front.source(server.session))
        if refusal is None and "scp" not in claims:
            self._application = claims
        return await self._ended(server, user, "XOAUTH2", refusal)

    def _owner(self, user: str) -> Row | None:
        """Whom a user name means here."""
        return owner_of(self._front.tenant, user)

    def _password_refusal(self, user: str, password: str) -> str | None:
        return submission_rules.password_refusal(self._front.tenant, self._front.lockout, user, password)

    def _token_refusal(self, user: str, claims: Mapping[str, Any]) -> str | None:
        return submission_rules.token_refusal(self._front.tenant, user, claims)

    async def _ended(self, server: SMTP, user: str, how: str, refusal: str | None) -> AuthResult:
        self._front.log("AUTH", self.name, refusal or "235", user, authentication=how)
        owner = self._owner(user)
        if refusal is not None or owner is None:
            self._refusal = refusal or submission_rules.REFUSED
            await server.push(self._refusal)
            return _ANSWERED
        self._user, self._mailbox = user, primary(owner)
        self._authentication = "Basic" if how == "basic" else "OAuth"
        self._front.signed_in[self._mailbox] += 1
        return AuthResult(success=True, auth_data=user)

    def connection_lost(self) -> None:
        if self._mailbox:
            self._front.signed_in[self._mailbox] -= 1
            self._mailbox = ""

    # --- sending ------------------------------------------------------------------------------------------------

    async def handle_MAIL(
        self, server: Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self._user:
            # Clients that go on after a refused sign-in read the reason here (lines of .NET clients).
            why = f" Error: {self._refusal}" if self._refusal else ""
            return self._said("MAIL", submission_rules.NOT_SIGNED_IN + why, self._user)
        if self._front.signed_in[self._mailbox] > submission_rules.MOST_CONNECTIONS:
            return self._said("MAIL", submission_rules.TOO_MANY_CONNECTIONS, self._user)
        envelope.mail_from, envelope.mail_options = address, options
        return _SENDER_OK

    async def handle_RCPT(
        self, server: Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        owner = owner_of(self._front.tenant, self._mailbox)
        if len(envelope.rcpt_tos) >= submission_rules.most_recipients(owner):
            return self._said("RCPT", submission_rules.TOO_MANY_RECIPIENTS, self._user)
        if mail_rules.receiving_disabled(self._front.tenant, address):
            return self._said("RCPT", mail_rules.RECIPIENT_DISABLED, self._user)
        envelope.rcpt_tos.append(address)
        return _RECIPIENT_OK

    async def handle_DATA(self, server: Server, session: Session, envelope: Envelope) -> str:
        refusal = self._message_refusal(envelope)
        if refusal:
            return self._said("DATA", refusal, self._user)
        size = len(_content(envelope))
        held = mail_rules.quarantined(self._front.tenant, str(envelope.mail_from), _author(envelope))
        inside = "quarantine" if held else "inbox"
        folders = {recipient: self._folder(recipient, inside, size) for recipient in envelope.rcpt_tos}
        reasons = self._by_rules(envelope, folders)
        self._front.deliver(
            session,
            envelope.mail_from,
            _content(envelope),
            self.route,
            folders,
            self._due(),
            authentication=self._authentication,
            login=self._mailbox,
            reasons=reasons,
            undecided=self._undecided(envelope, login=self._mailbox),
            results=authentication_results.of_tenant(_author(envelope) or self._user),
        )
        answer = f"250 2.0.0 OK {_header(envelope, 'Message-ID') or '<>'} [Hostname={server.name_in_refusals}]"
        return self._said("DATA", answer, self._user)

    def _due(self) -> dt.datetime:
        """When a message that is taken now is delivered."""
        return self._front.rate.due(self._mailbox, self._front.tenant.clock.now())

    def _message_refusal(self, envelope: Envelope) -> str | None:
        tenant = self._front.tenant
        refusal = None
        if self._application is not None:
            refusal = submission_rules.opening_refusal(tenant, self._user, self._application)
        sender = str(envelope.mail_from)
        names = [sender] if sender != _NOBODY else []
        for name in dict.fromkeys([*names, _author(envelope) or self._user]):
            refusal = refusal or next(submission_rules.sending_refusals(tenant, self._mailbox, name), None)
        owner = owner_of(tenant, self._mailbox)
        refusal = refusal or submission_rules.size_refusal(owner, len(_content(envelope)))
        if owner is not None:
            refusal = refusal or submission_rules.restricted_refusal(tenant, owner, len(envelope.rcpt_tos))
        # Last, because it counts.
        return refusal or submission_rules.quota_refusal(tenant, self._mailbox, len(envelope.rcpt_tos))


class HighVolume(Submission):
    """The host of High Volume Email: an account sends in its own name to recipients of the organization."""

    name = "hve"
    route = "high_volume_email"

    def _owner(self, user: str) -> Row | None:
        return account_of(self._front.tenant, user)

    def _password_refusal(self, user: str, password: str) -> str | None:
        return hve_rules.password_refusal(self._front.tenant, self._front.lockout, user, password)

    def _token_refusal(self, user: str, claims: Mapping[str, Any]) -> str | None:
        return hve_rules.token_refusal(self._front.tenant, user, claims)

    def _due(self) -> dt.datetime:
        """An account has no limit a minute."""
        return self._front.tenant.clock.now()

    async def handle_MAIL(
        self, server: Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        account = account_of(self._front.tenant, self._mailbox) if self._mailbox else None
        refusal = hve_rules.sender_refusal(self._front.tenant, account) if account is not None else None
        if refusal:
            return self._said("MAIL", refusal, self._user)
        return await super().handle_MAIL(server, session, envelope, address, options)

    async def handle_RCPT(
        self, server: Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        full = len(envelope.rcpt_tos) >= hve_rules.MOST_RECIPIENTS
        refusal = hve_rules.recipient_refusal(self._front.tenant, address)
        if mail_rules.receiving_disabled(self._front.tenant, address):
            refusal = refusal or mail_rules.RECIPIENT_DISABLED
        refusal = submission_rules.TOO_MANY_RECIPIENTS if full else refusal
        if refusal:
            return self._said("RCPT", refusal, self._user)
        envelope.rcpt_tos.append(address)
        return _RECIPIENT_OK

    def _message_refusal(self, envelope: Envelope) -> str | None:
        names = {str(envelope.mail_from).lower(), _author(envelope).lower() or self._mailbox} - {_NOBODY}
        denied = (submission_rules.send_as_denied(self._mailbox, name) for name in sorted(names - {self._mailbox}))
        off = mail_rules.sending_disabled(self._front.tenant, self._mailbox)
        disabled = mail_rules.SENDING_DISABLED if off else None
        return next(denied, None) or disabled or hve_rules.size_refusal(len(_content(envelope)))


async def _response(server: SMTP, args: list[str], challenge: str) -> str | None:
    """What the client gives with AUTH, or when it is asked; None where it gave up or sent no Base64, and was told."""
    if len(args) < 2:
        given = await server.challenge_auth(challenge)
        return None if given is MISSING else bytes(given).decode("utf-8", "replace")
    try:
        return base64.b64decode("" if args[1] == "=" else args[1], validate=True).decode("utf-8", "replace")
    except ValueError:
        await server.push(_NOT_BASE64)
        return None


class Exchange(_Port):
    """The MX host: anyone who comes is known by its address or its certificate, or not at all."""

    name = "mx"

    def _source(self, session: Session) -> Source:
        peer = (session.ssl or {}).get("peercert") or {}
        names = [str(value) for kind, value in peer.get("subjectAltName", ()) if kind == "DNS"]
        names += [str(value) for part in peer.get("subject", ()) for kind, value in part if kind == "commonName"]
        return Source(self._front.source(session), tuple(dict.fromkeys(names)), session.ssl is not None)

    async def handle_RCPT(
        self, server: Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        source = self._source(session)
        refusal = mail_rules.recipient_refusal(
            self._front.tenant, source, str(envelope.mail_from), address, envelope.rcpt_tos
        )
        if refusal:
            return self._said("RCPT", refusal, source.ip)
        envelope.rcpt_tos.append(address)
        return _RECIPIENT_OK

    async def handle_MAIL(
        self, server: Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from, envelope.mail_options = address, options
        return _SENDER_OK

    async def handle_DATA(self, server: Server, session: Session, envelope: Envelope) -> str:
        tenant, source, sender = self._front.tenant, self._source(session), str(envelope.mail_from)
        refusal = mail_rules.message_refusal(tenant, source, sender, _author(envelope))
        if refusal:
            return self._said("DATA", refusal, source.ip)
        inside, size = "junk" if mail_rules.doubtful(tenant, source, sender) else "inbox", len(_content(envelope))
        if mail_rules.quarantined(tenant, sender, _author(envelope)):
            inside = "quarantine"
        folders = {recipient: self._folder(recipient, inside, size) for recipient in envelope.rcpt_tos}
        # Nobody has signed in: a group that wants that sends the message back (5.7.133).
        folders |= {recipient: "bounced" for recipient in folders if refuses_strangers(tenant, recipient)}
        reasons = self._by_rules(envelope, folders, source)
        known = mail_rules.known_connector(tenant, source, sender)
        route = "smtp_relay" if known is not None else "direct_send"
        taker = "" if known is None else str(known.get("Name") or known.get("Identity") or "")
        results = authentication_results.of_internet(
            tenant, source.ip, sender, _author(envelope), signed=bool(_header(envelope, "DKIM-Signature"))
        )
        self._front.deliver(
            session,
            envelope.mail_from,
            _content(envelope),
            route,
            folders,
            connector=taker,
            reasons=reasons,
            undecided=self._undecided(envelope, source),
            results=results,
        )
        answer = (
            f"250 2.6.0 {_header(envelope, 'Message-ID') or '<>'} [InternalId={secrets.randbits(45)}, "
            f"Hostname={server.name_in_refusals}] {size} bytes in 0.100, {size / 102.4:.3f} KB/sec "
            "Queued mail for delivery"
        )
        return self._said("DATA", answer, source.ip)


def _content(envelope: Envelope) -> bytes:
    return envelope.content if isinstance(envelope.content, bytes) else b""


def _author(envelope: Envelope) -> str:
    """The address in the From header; "" where there is none."""
    return parseaddr(_header(envelope, "From"))[1]


def _header(envelope: Envelope, name: str) -> str:
    message = email.message_from_bytes(_content(envelope), policy=email.policy.compat32)
    # A header may be folded; an answer may not.
    return " ".join(str(message.get(name, "")).split())
