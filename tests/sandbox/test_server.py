"""The life of the process: start, one per folder, stop, go on, and what is said when it cannot start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from provisioner.sandbox import server
from provisioner.sandbox.listening import listener
from provisioner.sandbox.server import Sandbox
from provisioner.sandbox.tenant import Tenant
from tests.clocks import slower, until
from tests.forked import Forked
from tests.ports import unused_port
from tests.sandbox.conftest import Running, seed, start_program

Start = Callable[..., Running]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself."""
    command = [sys.executable, "-m", "provisioner.sandbox", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def ends(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit code and the lines of such a start, from a process that has loaded the libraries."""
    log = folder.with_name(f"{folder.name}.log")
    code = Forked(list(arguments), log).wait(120)
    return code, log.read_text(encoding="utf-8").splitlines()


def test_endpoints_name_every_front_and_every_file(sandbox: Running) -> None:
    endpoints = sandbox.endpoints
    assert (endpoints["pid"], endpoints["initial_domain"]) == (sandbox.process.pid, "contoso.onmicrosoft.com")
    for name in ("authority", "graph", "exchange", "control"):
        assert endpoints[name].startswith("https://127.0.0.1:")
    files = [endpoints[name] for name in ("ca", "control_token_file", "identity_header_file")]
    for app in ("app", "reader_app"):
        files += [endpoints[app][name] for name in ("secret_file", "certificate_file", "federated_token_file")]
    for file in map(Path, files):
        assert file.is_absolute()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((sandbox.state / "endpoints.json").stat().st_mode) == 0o600
    assert len({endpoints[name] for name in ("authority", "graph", "exchange", "control")}) == 4


def test_answers_do_not_wait_for_delayed_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY on what a listener of ours accepts; without it every answer waits some 40 ms."""

    async def without_delay() -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        bound = listener()
        async with await asyncio.start_server(meet, sock=bound):
            _, writer = await asyncio.open_connection(*bound.getsockname())
            found = await accepted
            writer.close()
            await writer.wait_closed()
            return found

    assert asyncio.run(without_delay()) != 0


def test_it_is_ready_in_about_a_second(tmp_path: Path) -> None:
    before = os.times()
    start_program(tmp_path).stop()
    after = os.times()
    took_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert took_s < 4 * slower(), "about 1 s of processor time"


def test_a_second_start_on_the_same_folder_is_refused(sandbox: Running) -> None:
    refused = run("serve", "--state", str(sandbox.state))
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        f"error: a sandbox is already running on {sandbox.state} (pid {sandbox.process.pid})"
    ]
    assert sandbox.control("GET", "/health").status_code == 200


@pytest.mark.one_of("how")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_a_restart_goes_on(
    start_sandbox: Start, tmp_path: Path, seed_file: Path, how: signal.Signals
) -> None:
    first = start_sandbox(tmp_path, "--seed", str(seed_file))
    authority, secret, ca = Path(first.ca).read_bytes(), first.secret(), first.ca
    record = {"name": "new.contoso.com", "type": "TXT", "values": ["kept"]}
    assert first.control("POST", "/dns", record).status_code == 204
    assert first.stop(how) == 0
    assert not (tmp_path / "endpoints.json").exists()
    second = start_sandbox(tmp_path)
    dump = second.control("GET", "/dump").json()
    assert dump["dns"]["new.contoso.com"] == {"TXT": ["kept"]}
    assert len(dump["graph"]["users"]) == 250
    assert (Path(ca).read_bytes(), second.secret()) == (authority, secret)
    assert second.token("https://graph.microsoft.com/.default")


def test_control_stop_ends_it_and_leaves_no_listener(start_sandbox: Start, tmp_path: Path) -> None:
    running = start_sandbox(tmp_path)
    assert running.control("POST", "/stop").status_code == 202
    assert running.process.wait(timeout=120) == 0
    for name in ("authority", "dns"):
        port = int(running.endpoints[name].rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
    names = {path.name for path in tmp_path.iterdir()}
    written = {"ports.json", "requests.jsonl", "sandbox.lock", "tenant.json"}
    keys = {"apps", "ca", "control-token", "dns-update-key", "dns-update-secret", "identity-header"}
    assert names <= written | keys


def test_an_open_connection_does_not_keep_it_alive(start_sandbox: Start, tmp_path: Path) -> None:
    running = start_sandbox(tmp_path)
    port = int(running.endpoints["graph"].rpartition(":")[2])
    context = ssl.create_default_context(cafile=running.ca)
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as idle,
    ):
        idle.sendall(b"GET /v1.0/users HTTP/1.1\r\nHost: x\r\n")  # a request that never ends
        assert running.stop() == 0, "it ends, and the connection is still open"


def test_a_killed_sandbox_does_not_block_its_folder(start_sandbox: Start, tmp_path: Path, seed_file: Path) -> None:
    first = start_sandbox(tmp_path, "--seed", str(seed_file))
    first.stop(signal.SIGKILL)
    assert (tmp_path / "endpoints.json").exists()
    second = start_sandbox(tmp_path)
    assert second.endpoints["pid"] != first.endpoints["pid"]
    assert len(second.control("GET", "/dump").json()["graph"]["users"]) == 250


def test_changes_are_kept_soon_after_they_are_made(start_sandbox: Start, tmp_path: Path) -> None:
    running = start_sandbox(tmp_path)
    record = {"name": "soon.contoso.com", "type": "TXT", "values": ["x"]}
    running.control("POST", "/dns", record)
    until(lambda: "soon.contoso.com" in (tmp_path / "tenant.json").read_text())


def test_a_loaded_seed_moves_the_endpoints_along(start_sandbox: Start, tmp_path: Path) -> None:
    running = start_sandbox(tmp_path)
    assert running.control("POST", "/load", seed()).status_code == 200
    endpoints = json.loads((tmp_path / "endpoints.json").read_text())
    assert endpoints["tenant_id"] == seed()["tenant"]["id"] != running.tenant_id
    assert endpoints["graph"] == running.endpoints["graph"]


def test_a_dump_of_one_sandbox_seeds_another(start_sandbox: Start, tmp_path: Path, seed_file: Path) -> None:
    first = start_sandbox(tmp_path / "one", "--seed", str(seed_file))
    dump = tmp_path / "dump.json"
    dump.write_text(first.control("GET", "/dump").text)
    second = start_sandbox(tmp_path / "two", "--seed", str(dump))
    assert second.endpoints["app"]["client_id"] == first.endpoints["app"]["client_id"]
    assert second.secret() != first.secret()
    assert second.token("https://graph.microsoft.com/.default")


@pytest.mark.one_of("content")
@pytest.mark.parametrize("content", ["{", "[]", '{"sandbox": 99}', "\x00\x01", "just text"])
def test_a_bad_seed_is_one_line_and_exit_3(tmp_path: Path, content: str) -> None:
    (tmp_path / "seed.json").write_text(content)
    code, (said,) = ends(tmp_path, "serve", "--state", str(tmp_path / "state"), "--seed", str(tmp_path / "seed.json"))
    assert code == 3, said
    assert said.startswith(f"error: the seed {tmp_path / 'seed.json'}")
    assert not (tmp_path / "state" / "endpoints.json").exists()


def test_a_missing_seed_and_usage_errors_exit_3(tmp_path: Path) -> None:
    missing = run("serve", "--state", str(tmp_path / "state"), "--seed", str(tmp_path / "none.json"))
    assert (missing.returncode, len(missing.stderr.splitlines())) == (3, 1)
    for arguments in ([], ["serve"], ["serve", "--state", "x", "--lag", "much"], ["serve", "--nonsense"]):
        assert ends(tmp_path, *arguments)[0] == 3, arguments
    assert ends(tmp_path, "--help")[0] == 0


@pytest.mark.one_of("content")
@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"tenant_id": 1}'])
def test_a_corrupt_state_is_one_line_and_exit_1(tmp_path: Path, content: str) -> None:
    (tmp_path / "tenant.json").write_text(content)
    code, (said,) = ends(tmp_path, "serve", "--state", str(tmp_path))
    assert code == 1, said
    assert "tenant.json" in said
    assert (tmp_path / "tenant.json").read_text() == content


def test_a_broken_key_file_is_one_line_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "token-key.pem").write_text("nonsense")
    code, said = ends(tmp_path, "serve", "--state", str(tmp_path))
    assert (code, len(said)) == (1, 1), said


def test_a_state_that_is_no_folder_is_one_line_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = ends(tmp_path, "serve", "--state", str(tmp_path / "file"))
    assert (code, len(said)) == (1, 1), said


def test_nothing_of_the_client_libraries_is_imported() -> None:
    script = (
        "import sys, provisioner.sandbox.server, provisioner.sandbox.control, provisioner.sandbox.entra,"
        "provisioner.sandbox.graph, provisioner.sandbox.dns;"
        "print([n for n in ('aiohttp', 'msgraph', 'azure', 'pypsrp', 'httpx') if n in sys.modules],"
        "[n for n in sys.modules if n.startswith('provisioner.') and not n.startswith('provisioner.sandbox')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[] []\n"


def test_fixed_ports_and_names_hold_and_free_ports_survive_a_restart(start_sandbox: Start, tmp_path: Path) -> None:
    port = unused_port()
    first = start_sandbox(tmp_path, "--ports", f"https={port}", "--hostname", "exchange.example")
    assert first.endpoints["https"] == f"https://127.0.0.1:{port}"
    assert "exposure" not in first.endpoints
    trust = ssl.create_default_context(cafile=first.ca)
    for name in ("exchange.example", "graph.microsoft.com", "127.0.0.1"):
        with socket.create_connection(("127.0.0.1", port)) as line, trust.wrap_socket(line, server_hostname=name):
            pass
    other = tmp_path.with_name(f"{tmp_path.name}-other")
    code, lines = ends(tmp_path / "second", "serve", "--state", str(other), "--ports", f"https={port}")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"error: the sandbox cannot start: port {port} of 127.0.0.1, for https, cannot be used")
    assert first.stop() == 0
    again = start_sandbox(tmp_path)
    assert again.endpoints.keys() == first.endpoints.keys()
    others = {name for name, value in again.endpoints.items() if value != first.endpoints[name]} - {"pid", "started"}
    assert len(others) <= 1, "a single port can have been given to another program in between"
    assert again.endpoints["https"] == first.endpoints["https"]


def test_a_start_for_other_machines_says_what_it_exposes(start_sandbox: Start, tmp_path: Path) -> None:
    running = start_sandbox(tmp_path, "--listen", "0.0.0.0")
    for name in ("control", "graph"):
        assert running.endpoints[name].startswith("https://127.0.0.1:")
    said = tmp_path.with_name(f"{tmp_path.name}.log").read_text(encoding="utf-8")
    assert f"note: {running.endpoints['exposure']}" in said
    control, graph = (int(running.endpoints[name].rpartition(":")[2]) for name in ("control", "graph"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", control), timeout=2)
    socket.create_connection(("127.0.0.2", graph), timeout=2).close()


def test_a_state_that_cannot_be_written_is_written_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, looks = Tenant(), [OSError(28, "no space left on device"), None]
    tenant.changed()

    def save() -> None:
        problem = looks.pop(0)
        if problem is not None:
            raise problem
        tenant.saved()

    async def kept() -> None:
        chore = asyncio.create_task(Sandbox._save_changes(cast("Sandbox", SimpleNamespace(tenant=tenant, save=save))))
        while tenant.dirty:
            assert not chore.done()
            await asyncio.sleep(0)
        chore.cancel()

    monkeypatch.setattr(server, "_SAVE_EVERY_S", 0.0)
    asyncio.run(kept())
    assert looks == []
