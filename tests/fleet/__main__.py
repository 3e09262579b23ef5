"""What a fleet costs over the same plans without its engine, and what becomes of it when workers and the store die.

    scripts/benchmark-fleet [--tenants N] [--sandboxes N] [--only overhead|sqlite|postgres] [--latency MS]

overhead   N tenants planned four times in one process, four at once, with and without the engine in turn; without it
           as the engine does it, in one event loop, and with a loop and a thread for each plan as well.
           `--latency` delays each answer in all: without one a whole plan takes less time than one real request.
sqlite     `fleet apply` in one process, which is killed (SIGKILL) in the middle and started again.
postgres   four workers with a state folder each; two are killed in the middle, and the server is restarted once.

The plans are pointed at few sandboxes. By the sandboxes' own logs each write must have been carried out exactly once,
and the writes of two applies must never alternate in one tenant of the fleet: no two workers had it at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import gc
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from provisioner.changes import changeset
from provisioner.cli.main import _ALLOCATIONS
from provisioner.fleet import description, desk
from provisioner.fleet.loop import one_loop
from provisioner.fleet.waves import Run
from provisioner.fleet.work import Hands
from provisioner.operations.planning import plan
from provisioner.operations.sandboxes import profile_values
from provisioner.settings.files import load_settings, profile_toml
from tests import postgres
from tests.local_tenant import LocalTenant

ROOT = Path(__file__).parents[2]
WORKERS, TURNS = 4, 5
PLAN = """provisioner: 1
tenant: contoso.onmicrosoft.com
variables: {{ egress: {{ type: ip_network }} }}
inbound_connectors:
  {name}-a: {{ sender_ip_addresses: ["var:egress"], sender_domains: ["{name}.contoso.com"] }}
  {name}-b: {{ sender_ip_addresses: [198.51.100.7], sender_domains: ["{name}-b.contoso.com"] }}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=500)
    parser.add_argument("--sandboxes", type=int, default=8)
    parser.add_argument("--only", choices=["overhead", "sqlite", "postgres"])
    parser.add_argument("--latency", type=int, default=0)
    options = parser.parse_args()
    parts = {"overhead": overhead, "sqlite": sqlite, "postgres": on_postgres}
    wrong = 0
    for name, part in parts.items():
        if options.only in {None, name}:
            with fleet_folder(options.tenants, options.sandboxes) as here:
                delay(here.sandboxes, options.latency / 1000)
                wrong += part(here)
    return 1 if wrong else 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# --- the fleet -------------------------------------------------------------------------------------------------------


class Here:
    """A folder with a fleet, and the sandboxes that its plans are pointed at."""

    def __init__(self, folder: Path, names: Sequence[str], sandboxes: Sequence[LocalTenant]) -> None:
        self.folder, self.names, self.sandboxes = folder, names, sandboxes

    def environment(self, state: str, **more: str) -> Mapping[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PROVISIONER_")}
        own = {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(self.folder / "config")}
        return {**kept, **own, "PROVISIONER_STATE_DIR": str(self.folder / state), **more}

    def command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "provisioner", "fleet", *arguments]

    def start(self, environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
        log = (self.folder / "workers.log").open("a")
        command = self.command(*arguments)
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, stdout=log, stderr=log)

    def status(self, environment: Mapping[str, str]) -> dict[str, Any]:
        command = self.command("status", "--format", "json")
        done = subprocess.run(command, cwd=self.folder, env=environment, text=True, capture_output=True)
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found

    def written(self) -> list[tuple[str, str]]:
        """The connectors that were created, by all logs in the order of time, with the run that created each."""
        found = [
            (write["time"], str(write["parameters"]["Name"]), str(write["client_request_id"])[:13].replace("-", ""))
            for sandbox in self.sandboxes
            for write in sandbox.writes()
            if write["cmdlet"] == "New-InboundConnector"
        ]
        return [(name, run) for _, name, run in sorted(found)]


@contextlib.contextmanager
def fleet_folder(tenants: int, sandboxes: int) -> Iterator[Here]:
    """A fleet of so many tenants on running sandboxes."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as text, contextlib.ExitStack() as stack:
        folder = Path(text)
        started = [stack.enter_context(sandbox(folder / f"sandbox-{n}")) for n in range(min(sandboxes, tenants))]
        served = [opened(process) for process in started]
        settings = folder / "config" / "provisioner" / "provisioner.toml"
        settings.parent.mkdir(parents=True)
        values = [dict(profile_values(one.endpoints, "app", "rest")) for one in served]
        settings.write_text("\n".join(profile_toml(f"s{n}", value) for n, value in enumerate(values)))
        names = [f"t{n:04d}" for n in range(tenants)]
        for name in names:
            (folder / f"{name}.yaml").write_text(PLAN.format(name=name))
        described = {
            name: {"plan": f"{name}.yaml", "profile": f"s{n % len(served)}", "variables": {"egress": "203.0.113.9"}}
            for n, name in enumerate(names)
        }
        (folder / "fleet.yaml").write_text(json.dumps({"fleet": 1, "at_once": 8, "tenants": described}))
        yield Here(folder, names, served)


@contextlib.contextmanager
def sandbox(state: Path) -> Iterator[Path]:
    state.mkdir()
    log = (state / "log").open("wb")
    command = [sys.executable, "-m", "provisioner.sandbox", "serve", "--state", str(state), "--lag", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=state, stdout=log, stderr=log, env=environment)
    try:
        yield state
    finally:
        process.kill()
        process.wait()


def opened(state: Path) -> LocalTenant:
    file = state / "endpoints.json"
    wait_for(file.exists, 120)
    return LocalTenant(state, json.loads(file.read_text()))


def wait_for(happened: Any, seconds: float, pause_s: float = 0.1) -> None:
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise SystemExit(f"nothing happened within {seconds:.0f} s")
        time.sleep(pause_s)


def wait_for_writes(here: Here, count: int) -> None:
    """Wait until so many writes were carried out. A look reads whole logs, so it is taken rarely in a large fleet."""
    wait_for(lambda: len(here.written()) >= count, 3600, 0.1 + len(here.names) / 200)


def delay(sandboxes: Sequence[LocalTenant], seconds: float) -> None:
    """Delay each answer of Exchange, of Graph and of the sign-in."""
    rules = [
        {"front": front, "match": {}, "times": 10**9, "do": {"delay": seconds}}
        for front in ("exchange", "graph", "entra")
    ]
    for served in sandboxes if seconds else ():
        served.control("POST", "/faults", rules)


# --- what the engine costs -------------------------------------------------------------------------------------------


def overhead(here: Here) -> int:
    """The same plans by the same operation, as many at once, with and without the engine in turn.

    All save each change set, without the engine as `provisioner plan -o` does, and collect garbage as a command does.
    What the turns before have left is collected in between: it would fall on one of these turns alone.
    """
    gc.set_threshold(_ALLOCATIONS, 10, 10)
    os.environ.update(here.environment("state"))
    os.chdir(here.folder)
    fleet = description.load(Path("fleet.yaml"))
    profiles = functools.cache(lambda name: load_settings(name, here.folder))
    with desk.opened("", here.folder / "state") as counter, one_loop(WORKERS) as read:
        threads = Hands(fleet, counter.store, profiles, here.folder / "state")
        loop = dataclasses.replace(threads, read=read)
        plain(threads, here.names[:WORKERS], here.folder / "warm")
        kinds: dict[str, Callable[[Path], None]] = {
            "in one loop": lambda folder: plain(loop, here.names, folder),
            "engine": lambda _: durable(counter, fleet, profiles, here.folder / "state"),
            "in threads": lambda folder: plain(threads, here.names, folder),
        }
        times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for turn in range(TURNS):
            for kind, act in list(kinds.items())[:: 1 if turn % 2 else -1]:
                gc.collect()
                wall, cpu = time.monotonic(), time.process_time()
                act(here.folder / f"{kind} {turn}")
                times[kind].append((time.monotonic() - wall, time.process_time() - cpu))
    for kind, found in times.items():
        told = ", ".join(f"{wall:.1f} s ({cpu:.1f} s CPU)" for wall, cpu in found)
        say(f"overhead: {len(here.names)} tenants {kind}: {told}")
    typical = {kind: [statistics.median(t[n] for t in found) for n in (0, 1)] for kind, found in times.items()}
    for kind in ("in one loop", "in threads"):
        wall, cpu = (typical["engine"][n] / typical[kind][n] for n in (0, 1))
        say(f"overhead: over the same plans {kind}: {wall:.3f} times the time, {cpu:.3f} times the CPU")
    return 0


def plain(hands: Hands, names: Sequence[str], folder: Path) -> None:
    """Plan and save each, without the engine."""
    folder.mkdir()

    def one(name: str) -> None:
        tenant = hands.fleet.tenants[name]
        document = changeset.to_document(hands.read(plan(hands.context(tenant), tenant.plan)))
        changeset.save(document, folder / f"{name}.json")

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, names))


def durable(counter: desk.Desk, fleet: description.Fleet, profiles: Any, folder: Path) -> None:
    run: Run = counter.begin(fleet, "plan", (), desk.Terms())
    found = counter.work(fleet, run, WORKERS, desk.Surroundings(profiles, folder))
    if found["counts"] != {"planned": len(fleet.tenants)}:
        raise SystemExit(f"not everything was planned: {found['counts']}")


# --- what dies -------------------------------------------------------------------------------------------------------


def sqlite(here: Here) -> int:
    """One process, killed in the middle."""
    environment = here.environment("state")
    first = here.start(environment, "apply", "--approve", "all", "--workers", str(WORKERS))
    wait_for_writes(here, len(here.names))
    first.send_signal(signal.SIGKILL)
    first.wait()
    killed_at = len(here.written())
    second = here.start(environment, "resume", "--workers", str(WORKERS))
    second.wait()
    return judge("sqlite", here, here.status(environment), f"killed after {killed_at} of {2 * len(here.names)} writes")


def on_postgres(here: Here) -> int:
    """Four workers, of which two are killed; the server is restarted once."""
    if reason := postgres.missing():
        say(f"postgres: not run: {reason}")
        return 1
    with postgres.server() as server:
        shared = {"PROVISIONER_FLEET_STORE": server.url, "PROVISIONER_JOURNAL": server.url}
        environments = [here.environment(f"state-{n}", **shared) for n in range(WORKERS)]
        began = time.monotonic()
        workers = [here.start(environments[0], "apply", "--approve", "all", "--workers", "2")]
        wait_for(lambda: here.status(environments[0]).get("run"), 120)
        workers += [here.start(environment, "resume", "--workers", "2") for environment in environments[1:]]
        wait_for_writes(here, len(here.names) // 2)
        workers[1].send_signal(signal.SIGKILL)
        wait_for_writes(here, len(here.names))
        server.stop()
        time.sleep(2)
        server.start()
        wait_for_writes(here, len(here.names) * 5 // 4)
        workers[0].send_signal(signal.SIGKILL)
        for worker in workers:
            worker.wait()
        words = f"two of four workers killed, the server restarted, {time.monotonic() - began:.0f} s"
        return judge("postgres", here, here.status(environments[2]), words)


def judge(name: str, here: Here, status: dict[str, Any], words: str) -> int:
    """Print what the report and the sandboxes' logs say, and count what is wrong."""
    writes = here.written()
    times = Counter(connector for connector, _ in writes)
    expected = {f"{tenant}-{part}" for tenant in here.names for part in "ab"}
    twice = sum(n > 1 for n in times.values())
    missing = len(expected - set(times))
    alternating = sum(
        _alternates([run for connector, run in writes if connector[:-2] == tenant]) for tenant in here.names
    )
    done = status["counts"].get("applied", 0)
    logs = f"{twice} writes carried out twice, {missing} missing, {alternating} tenants with two workers at once"
    say(f"{name}: {words}: {done} of {len(here.names)} applied ({status['counts']}); by the sandboxes' logs {logs}")
    for tenant in status["tenants"]:
        if tenant["state"] != "applied":
            say(f"  {tenant['name']}: {tenant['state']}: {(tenant['error'] or {}).get('message')}")
    return twice + missing + alternating + int(done != len(here.names))


def _alternates(runs: Sequence[str]) -> bool:
    """Whether a run writes again after another one has."""
    order = [run for n, run in enumerate(runs) if n == 0 or runs[n - 1] != run]
    return len(order) != len(set(order))


if __name__ == "__main__":
    sys.exit(main())
