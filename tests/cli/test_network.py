"""Company networks: a proxy as the only way out, and certificates that only the platform's store knows."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.cli.shop import Shop, open_shop

PLAN = "smtp_auth:\n  mailboxes: {{ erp@contoso.com: {word} }}\n"
FRONTS = ("authority", "graph", "exchange")
PSRP_FRONTS = ("authority", "graph", "psrp")
_THREAD = "proxy"


@dataclass
class Proxy:
    """A CONNECT proxy that logs where it was asked to go, and with which login.

    What goes to an address of `inspected` it decrypts, as company networks do, with a certificate of its own authority.
    """

    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    authority: trustme.CA = field(default_factory=trustme.CA)
    inspected: dict[str, ssl.SSLContext] = field(default_factory=dict)
    """By address, how the proxy trusts what is behind it."""
    decrypted: set[str] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        target = head.split(" ")[1]
        login = next((x.partition(": ")[2] for x in head.split("\r\n") if x.lower().startswith("proxy-auth")), "")
        self.asked.append((target, login))
        host, _, port = target.rpartition(":")
        trust = self.inspected.get(target)
        far_reader, far_writer = await asyncio.open_connection(host, int(port), ssl=trust)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            if trust:
                await writer.drain()
                await writer.start_tls(self._certificate(host))
                self.decrypted.add(target)
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        except OSError:  # the client does not trust it
            pass
        finally:
            for end in (writer, far_writer):
                end.transport.abort()

    def _certificate(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(host).configure_cert(context)
        return context

    def inspect(self, shop: Shop, *fronts: str) -> None:
        trust = ssl.create_default_context(cafile=shop.tenant.endpoints["ca"])
        self.inspected = dict.fromkeys(hosts(shop, *fronts), trust)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Proxy]:
    proxy, ready, loop = Proxy(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def work() -> None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:  # clients keep connections open; a loop that ends with them warns in whatever runs next
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for _ in range(10):  # each layer of a connection ends in a turn of its own
            await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(work()), name=_THREAD)
    thread.start()
    ready.wait()
    yield proxy
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture
def proxy(running: Proxy) -> Proxy:
    running.asked.clear()
    running.inspected.clear()
    running.decrypted.clear()
    return running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("network")) as opened:
        profiles = opened.folder / ".provisioner" / "profiles"
        for name in ("sandbox", "sandbox-psrp"):
            text = (profiles / f"{name}.toml").read_text()
            bare = "\n".join(line for line in text.splitlines() if not line.startswith("ca = "))
            (opened.folder / f"{name}-bare.toml").write_text(bare.replace(f'"{name}"', f'"{name}-bare"'))
        bare = "\n".join((opened.folder / f"{n}-bare.toml").read_text() for n in ("sandbox", "sandbox-psrp"))
        (opened.folder / "provisioner.toml").write_text(bare)
        yield opened


def hosts(shop: Shop, *fronts: str) -> set[str]:
    return {shop.tenant.endpoints[front].partition("://")[2].partition("/")[0] for front in fronts}


@pytest.fixture
def only_way_out(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection to a front of the tenant, except from the proxy: as behind a firewall."""
    closed = {int(address.rpartition(":")[2]) for address in hosts(shop, *FRONTS, "psrp")}
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if address[1] in closed and threading.current_thread().name != _THREAD:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.mark.parametrize("profile", ["sandbox", "sandbox-psrp"])
def test_without_the_only_way_out_nothing_is_reached(shop: Shop, only_way_out: None, profile: str) -> None:
    shop.write(PLAN.format(word="enabled"))
    done = shop.run("--profile", profile, "plan", "plan.yaml", PROVISIONER_TIMEOUTS__RETRY_S="1")
    assert done.returncode == 1, done.stderr
    assert "cannot be reached" in done.stderr


@pytest.mark.parametrize(("profile", "fronts"), [("sandbox", FRONTS), ("sandbox-psrp", PSRP_FRONTS)])
def test_everything_goes_through_the_proxy_of_the_environment(
    shop: Shop, proxy: Proxy, only_way_out: None, profile: str, fronts: tuple[str, ...]
) -> None:
    address = {"HTTPS_PROXY": f"http://user:pass%40word@127.0.0.1:{proxy.port}", "NO_PROXY": "", "no_proxy": ""}
    shop.write(PLAN.format(word="enabled" if profile == "sandbox" else "disabled"))
    done = shop.run("--profile", profile, "apply", "plan.yaml", "--auto-approve", **address)
    assert done.returncode == 0, done.stderr
    assert {target for target, _ in proxy.asked} == hosts(shop, *fronts)
    assert {login for _, login in proxy.asked} == {"Basic dXNlcjpwYXNzQHdvcmQ="}
    assert "pass" not in done.stdout.replace("passed", "") + done.stderr
    planned = shop.run("--profile", profile, "plan", "plan.yaml", "--detailed-exitcode", **address)
    assert planned.returncode == 0, planned.stderr


def test_the_profile_s_proxy_counts_before_the_environment_s(shop: Shop, proxy: Proxy) -> None:
    environment = {
        "PROVISIONER_PROXY": f"http://127.0.0.1:{proxy.port}",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "",
        "no_proxy": "",
    }
    shop.write(PLAN.format(word="enabled"))
    assert shop.on_tenant("plan", "plan.yaml", **environment).returncode == 0
    assert {target for target, _ in proxy.asked} == hosts(shop, *FRONTS)


def test_what_no_proxy_names_is_asked_directly(shop: Shop, proxy: Proxy) -> None:
    shop.write(PLAN.format(word="enabled"))
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "127.0.0.1"}
    assert shop.on_tenant("plan", "plan.yaml", **environment).returncode == 0
    assert proxy.asked == []


def test_a_proxy_that_is_not_there_is_named_without_its_login(shop: Shop) -> None:
    shop.write(PLAN.format(word="enabled"))
    environment = {"HTTPS_PROXY": "http://user:topsecret@127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    done = shop.on_tenant("plan", "plan.yaml", **environment)
    assert done.returncode != 0
    assert "127.0.0.1:9" in done.stderr
    assert "topsecret" not in done.stdout + done.stderr


def test_a_login_in_the_profile_s_proxy_is_refused_and_not_repeated(shop: Shop) -> None:
    shop.write(PLAN.format(word="enabled"))
    done = shop.on_tenant("plan", "plan.yaml", PROVISIONER_PROXY="http://user:topsecret@proxy.example:8080")
    assert done.returncode == 3
    assert "SETTINGS-PROXY" in done.stderr
    assert "topsecret" not in done.stderr


@pytest.mark.parametrize("profile", ["sandbox-bare", "sandbox-psrp-bare"])
def test_a_certificate_that_only_the_platform_s_store_knows_is_trusted(shop: Shop, profile: str) -> None:
    shop.write(PLAN.format(word="enabled"))
    ca = str(Path(shop.tenant.endpoints["ca"]))
    assert shop.run("--profile", profile, "plan", "plan.yaml", SSL_CERT_FILE=ca).returncode == 0


@pytest.mark.parametrize("profile", ["sandbox-bare", "sandbox-psrp-bare"])
def test_a_certificate_that_nothing_trusts_is_one_error_with_its_fix_at_once(shop: Shop, profile: str) -> None:
    shop.write(PLAN.format(word="enabled"))
    before = shop.clock.monotonic()
    done = shop.run("--profile", profile, "plan", "plan.yaml")
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("is not trusted") == 1
    assert "name its file in the profile (ca) or in SSL_CERT_FILE" in done.stderr
    assert shop.clock.monotonic() - before < 1, "it was tried again"


# --- an inspecting proxy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "fronts"), [("sandbox-bare", FRONTS), ("sandbox-psrp-bare", PSRP_FRONTS)])
def test_a_proxy_that_inspects_is_trusted_by_its_authority_in_the_platform_s_store(
    shop: Shop, proxy: Proxy, only_way_out: None, profile: str, fronts: tuple[str, ...]
) -> None:
    proxy.inspect(shop, *fronts)
    authority = shop.folder / "company.pem"
    proxy.authority.cert_pem.write_to_path(authority)
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "", "no_proxy": ""}
    environment["SSL_CERT_FILE"] = str(authority)
    shop.write(PLAN.format(word="enabled" if profile == "sandbox-bare" else "disabled"))
    for command in (("plan",), ("apply", "--auto-approve")):
        done = shop.run("--profile", profile, command[0], "plan.yaml", *command[1:], **environment)
        assert done.returncode == 0, done.stderr
    assert proxy.decrypted == hosts(shop, *fronts)


@pytest.mark.parametrize(
    ("profile", "front"), [*(("sandbox", front) for front in FRONTS), *(("sandbox-psrp", f) for f in PSRP_FRONTS[1:])]
)
def test_an_inspected_endpoint_that_is_not_trusted_is_one_error_with_its_fix_at_once(
    shop: Shop, proxy: Proxy, profile: str, front: str
) -> None:
    """The profile's `ca` trusts the tenant, and not the authority of the proxy, which inspects one endpoint."""
    proxy.inspect(shop, front)
    shop.write(PLAN.format(word="enabled"))
    before = shop.clock.monotonic()
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "", "no_proxy": ""}
    for command in (
        ("plan", "plan.yaml"),
        ("apply", "plan.yaml", "--auto-approve"),
        ("drift", "plan.yaml"),
        ("export",),
    ):
        done = shop.run("--profile", profile, *command, **environment)
        assert done.returncode == 1, done.stderr
        assert "is not trusted" not in done.stdout
        assert done.stderr.count("is not trusted") == 1, done.stderr
        assert "name its file in the profile (ca) or in SSL_CERT_FILE" in done.stderr
    assert shop.clock.monotonic() - before < 1, "it was tried again"
    assert proxy.decrypted == set()


def test_doctor_names_the_endpoint_that_is_not_trusted(shop: Shop, proxy: Proxy) -> None:
    proxy.inspect(shop, "exchange")
    shop.write(PLAN.format(word="enabled"))
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "", "no_proxy": ""}
    done = shop.on_tenant("doctor", "plan.yaml", **environment)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("ok       sign-in") == 1
    assert done.stdout.count("is not trusted") == 1
    assert "problem  reading: Get-" in done.stdout
