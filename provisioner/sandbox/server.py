"""The sandbox's process: state folder, listeners, and the order in which all of it comes up and goes down.

One asyncio loop serves every front. All HTTPS fronts hang on one uvicorn server, told apart by the port that a request
came in on. A folder belongs to one process at a time, by a lock on a file in it, which the kernel releases however
the process ends. endpoints.json stands there exactly while the fronts answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from provisioner.sandbox.apps import FEDERATED_LIFETIME_S, AppCredentials, ensure_standard_apps
from provisioner.sandbox.listening import Listening, remember
from provisioner.sandbox.platforms import lock_of, on_ending, remove
from provisioner.sandbox.public_dns import mx_hosts
from provisioner.sandbox.service_hosts import SMTP, WEB, ByHost, certificate_names
from provisioner.sandbox.tls import (
    ListenerFiles,
    ensure_ca,
    ensure_signing_key,
    issue_certificate,
    write_private,
    write_private_json,
)

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp, Receive, Scope, Send

    from provisioner.sandbox.dns import DnsFront
    from provisioner.sandbox.faults import Faults
    from provisioner.sandbox.proxy import ProxyFront
    from provisioner.sandbox.tenant import Tenant

_SAVE_EVERY_S = 0.5
_GRACE_S = 2
_LOCK = "sandbox.lock"


class StartError(Exception):
    """The sandbox cannot start. The text is one line for a person; `exit_code` is 3 where what was given is wrong."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Options:
    """What `serve` was asked: state folder, seeds in order, seconds of replication lag (None: as the state says), and
    where to listen."""

    state: Path
    seeds: tuple[Path, ...] = ()
    lag_s: float | None = None
    fast: bool = False
    listening: Listening = field(default_factory=Listening)


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold the state folder for this process. Raises StartError when another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = lock_of(folder / _LOCK)
    except OSError as error:
        raise StartError(f"the state folder {folder} cannot be used: {error.strerror}") from None
    if lock is None:
        raise StartError(f"a sandbox is already running on {folder}{_running_pid(folder)}")
    try:
        yield
    finally:
        lock.release()


def _running_pid(folder: Path) -> str:
    try:
        return f" (pid {json.loads((folder / 'endpoints.json').read_text(encoding='utf-8'))['pid']})"
    except (OSError, ValueError, KeyError):
        return ""


class _ByPort:
    """One ASGI application for several listeners: the port that a request came in on names the front."""

    def __init__(self, fronts: Mapping[int, ASGIApp]) -> None:
        self._fronts = fronts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._fronts[scope["server"][1]](scope, receive, send)


def _meeting(met: Callable[[tuple[str, int], bytes | None], None]) -> type[asyncio.Protocol]:
    """uvicorn's protocol, telling of each connection the address and the client's certificate, if it has one."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Meeting(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            tls = transport.get_extra_info("ssl_object")
            met(transport.get_extra_info("peername"), tls.getpeercert(binary_form=True) if tls else None)
            super().connection_made(transport)

    return Meeting


class Sandbox:
    """All fronts of one tenant, from `start` to `stop`."""

    def __init__(self, tenant: Tenant, faults: Faults, folder: Path, listening: Listening) -> None:
        self.tenant, self.faults, self.folder = tenant, faults, folder
        self._listening = listening.with_memory(folder)
        self.stopping = asyncio.Event()
        self._servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []
        self._dns: DnsFront | None = None
        self._proxy: ProxyFront | None = None
        self._chores: list[asyncio.Task[None]] = []
        self._credentials: list[AppCredentials] = []
        self._addresses: dict[str, str] = {}
        self._first = b""
        self._loaded = False
        from provisioner.sandbox.mail_store import MailStore
        from provisioner.sandbox.smtp import SmtpFront
        from provisioner.sandbox.tokens import TokenVerifier

        self._token_key = ensure_signing_key(folder / "apps" / "token-key.pem")
        self._issuer_key = ensure_signing_key(folder / "apps" / "federated-issuer-key.pem")
        self._mail = MailStore(folder / "mail.jsonl", tenant.clock)
        self._smtp = SmtpFront(tenant, faults, TokenVerifier(tenant, self._token_key), self._mail)

    async def start(self) -> None:
        """Bring every front up and write endpoints.json. Raises OSError or ValueError."""
        names = (*certificate_names(mx_hosts(self.tenant)), *self._listening.hostnames)
        files = ensure_ca(self.folder / "ca", names)
        self._ensure_secret_file("control-token")
        self._ensure_secret_file("identity-header")
        apps = self._ensure_apps()
        await self._serve_https(files)
        await self._serve_managed_identity(apps["app"]["client_id"])
        await self._serve_psrp(files)
        await self._serve_dns()
        self._addresses |= await self._smtp.start(files, self._listening)
        await self._serve_proxy()
        self._addresses["ca"] = str(files.ca)
        remember(self.folder, self._addresses)
        self._first = self.save()  # before anybody knows where it is: what it says from then on is kept
        self._write_endpoints(apps)
        self._chores = [asyncio.create_task(self._save_changes()), asyncio.create_task(self._renew_federated_tokens())]

    async def stop(self) -> None:
        """Take endpoints.json away, end every front, keep the state."""
        remove(self.folder / "endpoints.json")
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        for server, _ in self._servers:
            server.should_exit = True
        await asyncio.gather(*(task for _, task in self._servers))
        for front in (self._dns, self._proxy):
            if front is not None:
                await front.stop()
        await self._smtp.stop()
        self.faults.close()
        self.save()

    def load(self, seed: Any) -> None:
        """Take a seed while running, wholly or not at all. Raises ValueError.

        Applications may be others afterwards, so the endpoints are written anew.
        """
        before = orjson.dumps(self.tenant.to_json())
        try:
            apply_seed(self.tenant, seed)
        except ValueError:
            self.tenant.load_json(orjson.loads(before))
            raise
        self._loaded = True
        self._write_endpoints(self._ensure_apps())

    def reset(self) -> None:
        """Put the tenant back to what it was when this process had started: what was loaded since is gone too."""
        self.tenant.load_json(orjson.loads(self._first))
        self.tenant.throttle.forget()
        self.tenant.changed()
        if self._loaded:  # otherwise the applications are still those of the start, and their files with them
            self._loaded = False
            self._write_endpoints(self._ensure_apps())

    def save(self) -> bytes:
        """Write the tenant to the folder; what was written."""
        kept = orjson.dumps(self.tenant.to_json())
        write_private(self.folder / "tenant.json", kept)
        self.tenant.saved()
        return kept

    def _ensure_secret_file(self, name: str) -> str:
        path = self.folder / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32).encode())
        return path.read_text(encoding="utf-8")

    def _ensure_apps(self) -> dict[str, dict[str, str]]:
        """Applications with their credentials, by display name."""
        entries = {}
        self._credentials = [AppCredentials(app, self.folder / "apps", self._issuer_key) for app in self.tenant.apps]
        for app, credentials in zip(self.tenant.apps, self._credentials, strict=True):
            entries[str(app["displayName"])] = credentials.ensure()
        self.tenant.changed()
        return entries

    async def _serve_https(self, files: ListenerFiles) -> None:
        from provisioner.sandbox.control import Actions, control_app
        from provisioner.sandbox.entra import entra_app
        from provisioner.sandbox.exchange_front import exchange_app
        from provisioner.sandbox.graph_front import graph_app
        from provisioner.sandbox.policy_host import certify, policy_app
        from provisioner.sandbox.tokens import TokenVerifier

        verifier = TokenVerifier(self.tenant, self._token_key, self._addresses)
        token = (self.folder / "control-token").read_text(encoding="utf-8")
        issue = partial(issue_certificate, self.folder / "ca")
        actions = Actions(self.load, self.reset, self.stopping.set, issue, self._mail)
        fronts: dict[str, ASGIApp] = {
            "authority": entra_app(self.tenant, self.faults, self._token_key, self._addresses),
            "graph": graph_app(self.tenant, self.faults, verifier, self._mail),
            "exchange": exchange_app(self.tenant, self.faults, verifier),
            "control": control_app(self.tenant, self.faults, token, actions),
            "mta_sts": policy_app(self.tenant, self.faults),
        }
        fronts["https"] = ByHost(dict(fronts))
        listeners = {name: self._listening.listener(name) for name in fronts}
        ports = {name: int(listener.getsockname()[1]) for name, listener in listeners.items()}
        app = _ByPort({ports[name]: front for name, front in fronts.items()})
        tls = await self._run_server(app, list(listeners.values()), leaf=files.leaf)
        if tls is not None:
            certify(tls, files.ca, files.ca.with_name("ca-key.pem"))
        policies = ports.pop("mta_sts")
        self._addresses |= {name: f"https://{self._listening.local(name, port)}" for name, port in ports.items()}
        self._addresses["mta_sts"] = self._listening.local("mta_sts", policies)

    async def _serve_proxy(self) -> None:
        """Last: it leads to the others."""
        from provisioner.sandbox.proxy import ProxyFront

        found = {
            name: self._addresses[name].removeprefix("https://").rpartition(":")
            for name in ("https", "smtp_submission", "smtp_hve", "smtp_mx")
        }
        self._proxy = ProxyFront(self.faults, {name: (host, int(port)) for name, (host, _, port) in found.items()})
        listener = self._listening.listener("proxy")
        self._addresses["proxy"] = self._listening.local("proxy", int(listener.getsockname()[1]))
        await self._proxy.start(listener)

    async def _serve_managed_identity(self, client_id: str) -> None:
        from provisioner.sandbox.entra import managed_identity_app

        listener = self._listening.listener("managed_identity")
        header = (self.folder / "identity-header").read_text(encoding="utf-8")
        app = managed_identity_app(
            self.tenant, self.faults, self._token_key, identity_header=header, client_id=client_id
        )
        await self._run_server(app, [listener])
        address = self._listening.local("managed_identity", int(listener.getsockname()[1]))
        self._addresses["managed_identity"] = f"http://{address}"
        self._addresses["identity_header_file"] = str(self.folder / "identity-header")

    async def _serve_psrp(self, files: ListenerFiles) -> None:
        """The management host: a server of its own, because only it asks clients for certificates."""
        from provisioner.sandbox.psrp import HOST, JEA
        from provisioner.sandbox.psrp_front import PATH, PeerCertificates, psrp_app

        trusted = files.ca.with_name("clients.pem")
        own = [row["pem"].strip() for app in self.tenant.apps for row in app["certificates"]]
        write_private(trusted, "\n".join([files.ca.read_text(encoding="utf-8").strip(), *own, ""]).encode())
        listener, peers = self._listening.listener("psrp"), PeerCertificates()
        app = psrp_app(self.tenant, self.faults, peers)
        client_certificates = {"ssl_ca_certs": str(trusted), "ssl_cert_reqs": ssl.CERT_OPTIONAL}
        await self._run_server(app, [listener], leaf=files.leaf, http=_meeting(peers.met), **client_certificates)
        address = self._listening.local("psrp", int(listener.getsockname()[1]))
        self._addresses["psrp"] = f"https://{address}{PATH}"
        self._addresses["psrp_configuration"] = JEA
        self._addresses["psrp_host_configuration"] = HOST

    async def _serve_dns(self) -> None:
        from provisioner.sandbox.dns import DnsFront
        from provisioner.sandbox.dns_update import KEY_NAME, encoded

        secret = self._ensure_secret_file("dns-update-secret")
        write_private(self.folder / "dns-update-key", encoded(secret).encode())
        self._dns = DnsFront(self.tenant, self.faults, secret)
        self._addresses["dns_key_name"] = KEY_NAME
        self._addresses["dns_key_file"] = str(self.folder / "dns-update-key")
        self._addresses["dns"] = self._listening.local("dns", await self._dns.start(self._listening))

    async def _run_server(
        self, app: ASGIApp, listeners: list[socket.socket], leaf: Path | None = None, **options: Any
    ) -> ssl.SSLContext | None:
        """Start a uvicorn server in this loop and wait until it listens; its TLS. Signals stay with `serve`."""
        import uvicorn

        class Server(uvicorn.Server):
            def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
                return contextlib.nullcontext()

        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=leaf,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=_GRACE_S,
            **{"http": "httptools", **options},
        )
        server = Server(config)
        task = asyncio.create_task(server.serve(sockets=listeners))
        self._servers.append((server, task))
        while not server.started:
            if task.done():
                await task
                raise OSError("the HTTP server ended while starting")
            await asyncio.sleep(0.001)
        return config.ssl

    def _write_endpoints(self, apps: Mapping[str, Mapping[str, str]]) -> None:
        document = {
            "pid": os.getpid(),
            "started": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tenant_id": self.tenant.tenant_id,
            "initial_domain": self.tenant.initial_domain,
            **self._addresses,
            "service_hosts": self._service_hosts(),
            **({"exposure": exposure} if (exposure := self._listening.exposure()) else {}),
            "control_token_file": str(self.folder / "control-token"),
            "lock_file": str(self.folder / _LOCK),
            "app": apps["app"],
            "reader_app": apps["reader_app"],
            "apps": apps,
        }
        write_private_json(self.folder / "endpoints.json", document)

    def _service_hosts(self) -> list[str]:
        """The service's names that the sandbox stands in for, with the MX hosts of the tenant's domains."""
        return [*WEB, *SMTP, *mx_hosts(self.tenant)]

    async def _save_changes(self) -> None:
        pause_s = _SAVE_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            if self.tenant.dirty:
                begun = time.monotonic()
                with contextlib.suppress(OSError):  # a full disk: the next look tries again, and the end says it
                    self.save()
                # A large tenant takes a while to write, and nothing is answered meanwhile: then write less often.
                pause_s = max(_SAVE_EVERY_S, 10 * (time.monotonic() - begun))

    async def _renew_federated_tokens(self) -> None:
        while True:
            await asyncio.sleep(FEDERATED_LIFETIME_S / 2)
            for credentials in self._credentials:
                credentials.renew_federated_token()


def apply_seed(tenant: Tenant, seed: Any) -> None:
    """Merge a seed, file or document, over the tenant. Raises ValueError or OSError."""
    from provisioner.sandbox.seed import load_seed

    try:
        tenant.merge(load_seed(seed))
        ensure_standard_apps(tenant)
        orjson.dumps(tenant.to_json())  # half of a character, or a number beyond 64 bits: the state could not be kept
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        # Seeds are free documents: what their reader does not look at before use shows itself so.
        raise ValueError(f"a value is of another shape than a seed has there ({error})") from None


def open_tenant(options: Options, announce: Callable[[str], None]) -> Tenant:
    """The tenant of the state folder, or a new one from the seeds. Raises StartError."""
    from provisioner.sandbox.tenant import Tenant

    tenant, kept = Tenant(), options.state / "tenant.json"
    if kept.exists():
        try:
            tenant.load_json(orjson.loads(kept.read_bytes()))
            ensure_standard_apps(tenant)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StartError(f"the kept state {kept} is not readable ({error}): move it away to begin anew") from None
        if options.seeds:
            announce(f"note: {options.state} holds a tenant already, which goes on; --seed is for a new one")
    else:
        _seed_anew(tenant, options.seeds)
    if options.lag_s is not None:
        tenant.lag = options.lag_s
    if options.fast:
        tenant.lag = 0.0
        tenant.settings["shuffle"] = False
    return tenant


def _seed_anew(tenant: Tenant, seeds: Iterable[Path]) -> None:
    apply_seed(tenant, {"sandbox": 1})  # what every tenant has
    for seed in seeds:
        try:
            apply_seed(tenant, seed)
        except OSError as error:
            raise StartError(f"the seed {seed} cannot be read: {error.strerror}", 3) from None
        except ValueError as error:
            raise StartError(f"the seed {seed} is not usable: {error}", 3) from None


async def serve(options: Options, announce: Callable[[str], None]) -> None:
    """Run the sandbox until SIGTERM, SIGINT or the control front's stop. Raises StartError."""
    from provisioner.sandbox.faults import Faults

    with owned(options.state):
        tenant = open_tenant(options, announce)
        try:
            faults = Faults(tenant.clock, options.state / "requests.jsonl")
            sandbox = Sandbox(tenant, faults, options.state, options.listening)
        except (OSError, ValueError) as error:
            raise StartError(f"the state folder {options.state} cannot be used: {error}") from None
        on_ending(sandbox.stopping.set)
        try:
            if exposure := options.listening.exposure():  # told before anybody can reach it
                announce(f"note: {exposure}")
            await sandbox.start()
            announce(f"sandbox ready: {options.state / 'endpoints.json'}")
            await sandbox.stopping.wait()
        except (OSError, ValueError) as error:
            raise StartError(f"the sandbox cannot start: {error}") from None
        finally:
            await sandbox.stop()
