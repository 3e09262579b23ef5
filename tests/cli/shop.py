"""A folder with a running sandbox in it, and commands run there: in this process, or by the program itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cli.in_process import run_in_process
from tests.clocks import FastClock, until
from tests.local_tenant import LocalTenant, hang_up

HEADER = "provisioner: 1\ntenant: contoso.onmicrosoft.com\n"
SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": ["erp@contoso.com", "fax@contoso.com", "a@contoso.com", "b@contoso.com", "c@contoso.com"],
}


_KEPT = (
    "GIT_", "HOME", "LANG", "LC_", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "XDG_",
    "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "TEMP", "TMP",  # without them nothing runs on Windows
)  # fmt: skip
"""How the names begin of what a command gets of the environment of the tests. Settings and proxies of the machine are
not to decide how a test ends, and each command reads all that it gets several times."""


@dataclass
class Shop:
    """A folder with a running sandbox in it.

    `run` runs a command in this process, by a clock that waits for nothing; `begin` starts the program as users do.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = FastClock(self._pass)

    def _pass(self, seconds: float) -> None:
        """What a command waits passes in the tenant too, so that its lag ends without waiting."""
        self.tenant.control("POST", "/clock", {"advance": seconds})

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_in_process(arguments, self.folder, {**self.environment, **environment}, self.clock)

    def begin(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The program, which goes on while a test does something else."""
        return subprocess.Popen(
            [sys.executable, "-m", "provisioner", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def on_tenant(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("--profile", "sandbox", *arguments, **environment)

    def write(self, body: str, name: str = "plan.yaml") -> str:
        (self.folder / name).write_text(HEADER + body, encoding="utf-8")
        return name

    def reviewed(self, name: str) -> tuple[str, str, str]:
        """A saved change set, as one that was reviewed is applied: with its digest."""
        document = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return name, "--expect-digest", document["provisioner"]["digest"]

    @property
    def tenant(self) -> LocalTenant:
        state = self.folder / ".provisioner" / "sandbox"
        return LocalTenant(state, json.loads((state / "endpoints.json").read_text()))

    def hold(self, cmdlet: str) -> None:
        """Let the next run of a cmdlet wait until `release`."""
        self.fault(cmdlet, {"hold": True}, times=1)

    def wait_until_held(self) -> None:
        until(lambda: all(rule["times"] == 0 for rule in self.tenant.control("GET", "/faults")))

    def release(self) -> None:
        """Lift the faults, and let go what they hold."""
        self.tenant.control("DELETE", "/faults")

    def reset(self) -> None:
        """The tenant as it was at the start of the sandbox."""
        self.tenant.control("POST", "/reset")

    def fault(self, cmdlet: str, do: dict[str, Any], times: int = 50) -> None:
        self.tenant.control(
            "POST", "/faults", [{"front": "exchange", "match": {"cmdlet": cmdlet}, "times": times, "do": do}]
        )


@contextmanager
def open_shop(folder: Path, seed: Mapping[str, Any] = SEED) -> Iterator[Shop]:
    """A shop from the start of its sandbox to its end, which leaves nothing behind."""
    kept = {k: v for k, v in os.environ.items() if k.startswith(_KEPT)}
    root = str(Path(__file__).parents[2])
    here = Shop(folder, {**kept, "PROVISIONER_STATE_DIR": str(folder / "state"), "PYTHONPATH": root})
    (folder / "seed.json").write_text(json.dumps(seed))
    started = here.run("sandbox", "start", "--seed", "seed.json", "--detach")
    assert started.returncode == 0, started.stderr
    try:
        yield here
    finally:
        hang_up()
        stopped = here.run("sandbox", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert here.run("sandbox", "status").returncode == 1
    assert not list((folder / ".provisioner" / "profiles").iterdir())
