"""Runs both checkers against one name server on loopback, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.mail_dns.name_server import Zone

VERSION = "6.0.4"
_HERE = Path(__file__).parent


def say(line: str) -> None:
    """One line of the output of a script."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Server:
    """A name server that runs. `questions` has how often each was asked, once it has ended."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.questions: dict[str, int] = {}


@contextlib.contextmanager
def name_server(zone: Zone, folder: Path, delay_ms: float = 0.0) -> Iterator[Server]:
    """A name server with this zone in a process of its own, until the end of the block."""
    file = folder / "zone.json"
    file.write_text(json.dumps(zone))
    command = [sys.executable, "-m", "tests.comparison.serving", str(file), str(delay_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = Server(int(process.stdout.readline()))
        yield server
        out, _ = process.communicate("")
        server.questions = json.loads(out)


def ours(port: int, domains: Sequence[str], folder: Path) -> tuple[dict[str, Any], float]:
    """What `dns check` says of each domain, as a user calls it, and the seconds of the whole process."""
    plan = folder / "plan.yaml"
    named = "".join(f"  {domain}: {{ verified: true }}\n" for domain in domains)
    plan.write_text(f"provisioner: 1\ntenant: contoso.onmicrosoft.com\ndomains:\n{named}")
    environment = {**os.environ, "PROVISIONER_ENDPOINTS__DNS_SERVERS": json.dumps([f"127.0.0.1:{port}"])}
    command = [sys.executable, "-m", "provisioner", "-q", "dns", "check", str(plan), "--format", "json"]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    taken = time.perf_counter() - began
    if done.returncode not in (0, 1) or not done.stdout:
        raise SystemExit(f"dns check ended with {done.returncode}: {done.stderr[-2000:]}")
    return {found["domain"]: found for found in json.loads(done.stdout)["domains"]}, taken


def theirs(
    python: str,
    port: int,
    domains: Sequence[str],
    functions: Sequence[str] = (*("spf", "dmarc", "mx"), "mta_sts", "tls_rpt"),
) -> tuple[dict[str, Any], float]:
    """What the functions of checkdmarc return for each domain, and the seconds that they took, without the start."""
    asked = {"port": port, "domains": list(domains), "functions": list(functions), "lenient": False}
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [python, str(_HERE / "theirs.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"checkdmarc ended with {done.returncode}: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout)
    return answer["found"], answer["seconds"]


@contextlib.contextmanager
def checkdmarc(folder: Path) -> Iterator[str]:
    """The Python of an environment with checkdmarc: that of CHECKDMARC_PYTHON, or a new one in `folder`."""
    known = os.environ.get("CHECKDMARC_PYTHON")
    if known:
        yield known
        return
    say(f"Installing checkdmarc {VERSION} into a temporary environment")
    environment = folder / "checkdmarc"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([python, "-m", "pip", "install", *quiet, f"checkdmarc=={VERSION}"], check=True)
    yield python
