"""Sandboxes forked from a process that has loaded all that they need: a start costs a tenth of what the program's does.

Each worker has one such process, begun with its first sandbox. What it forks is a sandbox as any other, with ports,
secrets and a state folder of its own. Only its first RSA keys are those of the others of this worker, because they cost
more than all else (tests/rsa_stock.py). Tests of the program itself start that (tests/sandbox/test_server.py).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_LOADED = (
    "provisioner.sandbox.__main__", "provisioner.sandbox.control", "provisioner.sandbox.dns",
    "provisioner.sandbox.entra", "provisioner.sandbox.exchange_front", "provisioner.sandbox.graph",
    "provisioner.sandbox.psrp", "provisioner.sandbox.seed", "provisioner.sandbox.server", "provisioner.sandbox.smtp",
    "uvicorn.lifespan.off", "uvicorn.protocols.http.httptools_impl", "pytest", "tests.rsa_stock", __name__,
)  # fmt: skip
"""pytest, because a child imports what its parent's `__main__` is."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(_LOADED))


class Forked:
    """A sandbox in a process of its own, with what callers of `subprocess.Popen` use of it."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._process = _context.Process(target=_run, args=(list(arguments), str(log), os.getcwd()), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("provisioner.sandbox", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], log: str, folder: str) -> None:
    """`python -m provisioner.sandbox ARGUMENTS`, in the child."""
    from provisioner.sandbox.__main__ import main
    from tests.rsa_stock import use_stock

    use_stock()
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    random.seed()  # or each sandbox would shuffle its lists as the others do
    sys.exit(main(arguments))
