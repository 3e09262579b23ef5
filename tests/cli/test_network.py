"""Company networks: a proxy as the only way out, and certificates that only the platform's store knows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.shop import Shop, open_shop

PLAN = "smtp_auth:\n  mailboxes: {{ erp@contoso.com: {word} }}\n"
FRONTS = ("authority", "graph", "exchange")


@dataclass
class Proxy:
    """A CONNECT proxy that logs where it was asked to go, and with which login."""

    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        target = head.split(" ")[1]
        login = next((x.partition(": ")[2] for x in head.split("\r\n") if x.lower().startswith("proxy-auth")), "")
        self.asked.append((target, login))
        host, _, port = target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


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

    thread = threading.Thread(target=lambda: loop.run_until_complete(work()))
    thread.start()
    ready.wait()
    yield proxy
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture
def proxy(running: Proxy) -> Proxy:
    running.asked.clear()
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


@pytest.mark.parametrize(("profile", "fronts"), [("sandbox", FRONTS), ("sandbox-psrp", ("authority", "graph", "psrp"))])
def test_everything_goes_through_the_proxy_of_the_environment(
    shop: Shop, proxy: Proxy, profile: str, fronts: tuple[str, ...]
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
