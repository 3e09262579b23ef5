"""SMTP of the tenant on loopback: the submission port, that of High Volume Email, and the MX port of its domains.

aiosmtpd speaks the protocol, in Exchange Online's words (smtp_protocol.py); what is answered is decided in
submission_rules.py and mail_rules.py. Source addresses in 127.0.0.0/8 stand for static IPs:
`settings.smtp_source_addresses` maps them to public ones, others count as they are. Neither passwords nor tokens reach
the log.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import email
import email.policy
import ssl
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provisioner.sandbox import delivery
from provisioner.sandbox.message_traces import Taken
from provisioner.sandbox.smtp_ports import Exchange, HighVolume, Submission
from provisioner.sandbox.smtp_protocol import Server
from provisioner.sandbox.submission_rules import Lockout, MessageRate

if TYPE_CHECKING:
    from aiosmtpd.smtp import Session

    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.listening import Listening
    from provisioner.sandbox.mail_store import MailStore
    from provisioner.sandbox.tenant import Tenant
    from provisioner.sandbox.tls import ListenerFiles
    from provisioner.sandbox.tokens import TokenVerifier

SUBMISSION_HOST = "SBX0PR01CA0063.outlook.office365.com"
HVE_HOST = "SBX0PR01HV0009.hve.mx.microsoft"
EXCHANGE_HOST = "SBX0EPF0001CA17.mail.protection.outlook.com"


class SmtpFront:
    """The ports, and what their connections share."""

    def __init__(self, tenant: Tenant, faults: Faults, verifier: TokenVerifier, store: MailStore) -> None:
        self.tenant, self.faults, self.verifier, self.store = tenant, faults, verifier, store
        self.signed_in: Counter[str] = Counter()
        self.lockout, self.rate = Lockout(tenant), MessageRate()
        self._servers: list[asyncio.Server] = []

    async def start(self, files: ListenerFiles, listening: Listening) -> dict[str, str]:
        """Listen; the addresses of `smtp_submission`, `smtp_hve` and `smtp_mx`."""
        submission, exchange = _with_legacy_tls(_context(files)), _context(files, clients=True)
        loop = asyncio.get_running_loop()
        found = {}
        for name, make in (
            ("smtp_submission", lambda: Server(
                Submission(self), SUBMISSION_HOST, submission, ("LOGIN", "XOAUTH2"), tls_first=True)),
            ("smtp_hve", lambda: Server(
                HighVolume(self), HVE_HOST, submission, ("LOGIN", "XOAUTH2"), tls_first=True)),
            ("smtp_mx", lambda: Server(Exchange(self), EXCHANGE_HOST, exchange, (), tls_first=False)),
        ):  # fmt: skip
            listener = listening.listener(name)
            found[name] = listening.local(name, int(listener.getsockname()[1]))
            self._servers.append(await loop.create_server(make, sock=listener))
        return found

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    def source(self, session: Session | None) -> str:
        """The address that a client has on the internet."""
        peer = session.peer[0] if session and session.peer else "127.0.0.1"
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

    def deliver(
        self,
        session: Session,
        sender: str | None,
        content: bytes,
        route: str,
        folders: dict[str, str],
        due: dt.datetime | None = None,
        *,
        connector: str = "",
        authentication: str = "",
        login: str = "",
        reasons: Mapping[str, str] | None = None,
        undecided: Sequence[str] = (),
        results: str = "",
    ) -> None:
        """Keep a message, and its trace; it is there from `due` on. `connector` is the one that took it, if any.

        `reasons` has the notice about each recipient that the message comes back for. `undecided` is what of this no
        source decides.
        """
        message = email.message_from_bytes(content, policy=email.policy.default)
        tls = (session.ssl or {}).get("ssl_object")
        taken = Taken(
            sender or "<>",
            folders,
            self.source(session),
            " ".join(str(message.get("Message-ID", "")).split()),
            str(message.get("Subject", "")),
            len(content),
            str(tls.version() or "") if tls is not None else "",
            connector,
            authentication,
            login,
            due,
            reasons or {},
            results,
        )
        delivery.keep(self.tenant, self.store, taken, content, message, route, undecided)


def _context(files: ListenerFiles, *, clients: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.leaf)
    if clients:
        context.load_verify_locations(files.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _with_legacy_tls(context: ssl.SSLContext) -> ssl.SSLContext:
    """Take TLS 1.0 and 1.1 too, and keep the host that the client asks for: the rules of the port decide about them."""
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # OpenSSL 3 has these versions at level 0 alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.sni_callback = lambda tls, name, _: setattr(tls, "asked_for", name or "")
    return context
