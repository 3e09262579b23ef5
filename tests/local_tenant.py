"""A sandbox process and the product's own way to it: read, plan, save, apply, plan again, over real sockets.

`PROVISIONER_TEST_PROFILE` names a profile of a real tenant to run against instead, for whoever has one to spare.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from provisioner.changes import changeset
from provisioner.clock import SYSTEM, Clock
from provisioner.engine import Outcome
from provisioner.model import ChangeSet
from provisioner.operations.applying import apply, load_saved
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Silent, rfc3339
from provisioner.operations.loading import Selection
from provisioner.operations.planning import plan
from provisioner.rules import RULES
from provisioner.settings import Profile
from provisioner.tenant.ports import Ports
from tests.clocks import FastClock, until
from tests.forked import Forked

TRANSPORTS = ("rest", "psrp")
FRONT_OF = {"rest": "exchange", "psrp": "psrp"}
"""Under which name the sandbox logs a transport's cmdlets, and takes faults for them."""

EVERY_GUARD = tuple(rule.id for rule in RULES.values() if rule.waivable)
"""For `allows`: a plan of a test may do anything."""


@dataclass
class LocalTenant:
    """A running sandbox. `profile()` is how the product reaches it, `control` how a test does behind its back."""

    folder: Path
    endpoints: dict[str, Any]

    def __post_init__(self) -> None:
        """`clock` is for who talks to the tenant: what it waits passes in the tenant too."""
        self.clock = FastClock(lambda seconds: self.control("POST", "/clock", {"advance": seconds}))

    def profile(self, transport: str = "rest", app: str = "app", **rest: Any) -> Profile:
        entry = self.endpoints[app]
        values: dict[str, Any] = {
            "tenant": self.endpoints["initial_domain"],
            "ca": self.endpoints["ca"],
            "exchange": transport,
            "credential": {
                "kind": "client_secret",
                "client_id": entry["client_id"],
                "secret": f"file:{entry['secret_file']}",
            },
            "endpoints": {
                **{k: self.endpoints[k] for k in ("authority", "graph", "exchange")},
                "dns_servers": [self.endpoints["dns"]],
            },
            "dns": {"*": self.dns_provider},
            "timeouts": {"confirm_s": 20.0, "retry_s": 20.0},
        }
        if transport == "psrp":
            values["psrp"] = {
                "endpoint": self.endpoints["psrp"],
                "configuration": self.endpoints["psrp_configuration"],
                "authentication": "basic",
                "user": app,
                "password": f"file:{entry['secret_file']}",
            }
        return Profile(**{**values, **rest})

    @property
    def dns_provider(self) -> dict[str, Any]:
        """The settings of a DNS provider that writes the tenant's zones."""
        key = {"key_name": self.endpoints["dns_key_name"], "secret": f"file:{self.endpoints['dns_key_file']}"}
        return {"server": self.endpoints["dns"], "read_from": [], **key}

    def control(self, method: str, path: str, body: Any = None) -> Any:
        content = self.bytes_of(method, path, body)
        return json.loads(content) if content else None

    def bytes_of(self, method: str, path: str, body: Any = None) -> bytes:
        """What the control front answers, as it comes."""
        token = Path(self.endpoints["control_token_file"]).read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        line = _line(self.endpoints["control"], self.endpoints["ca"])
        try:
            line.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            answer = line.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            line.close()  # the next request begins anew
            raise
        assert answer.status < 400, f"{method} {path}: {content.decode()}"
        return content

    def cmdlet(self, name: str, **parameters: Any) -> Any:
        return self.control("POST", "/cmdlet", {"name": name, "parameters": parameters})

    def rows(self, noun: str) -> list[dict[str, Any]]:
        """The raw rows of a noun, as the service keeps them: what an independent client sees."""
        found: list[dict[str, Any]] = self.control("GET", f"/objects/{noun}")
        return found

    def requests(self, front: str = "exchange", since: int = 0) -> list[dict[str, Any]]:
        return [r for r in self.control("GET", f"/requests?since={since}") if r["front"] == front]

    def writes(self, front: str = "", since: int = 0) -> list[dict[str, Any]]:
        """What was carried out, over whichever front, or over one; `since` a number that `seen` gave."""
        fronts = (front,) if front else FRONT_OF.values()
        return [r for f in fronts for r in self.requests(f, since) if r["write"] and r["executed"]]

    def seen(self) -> int:
        """The number of the last request so far. What was carried out late has its number from when it came."""
        return int(self.control("GET", "/health")["requests"])


_lines = threading.local()


def _line(control: str, ca: str) -> http.client.HTTPSConnection:
    """This thread's connection to a control front. It is kept: a handshake costs more than most requests do."""
    kept: dict[str, http.client.HTTPSConnection] = _lines.__dict__.setdefault("by_address", {})
    if control not in kept:
        hang_up()
        kept = _lines.__dict__.setdefault("by_address", {})
        trust = ssl.create_default_context(cafile=ca)
        kept[control] = http.client.HTTPSConnection(urlsplit(control).netloc, timeout=60, context=trust)
    return kept[control]


def hang_up() -> None:
    """Close this thread's connection: a sandbox that ends in order would wait for it."""
    for line in _lines.__dict__.pop("by_address", {}).values():
        line.close()


@contextmanager
def sandbox(folder: Path, *seeds: Path, lag: float | None = None) -> Iterator[LocalTenant]:
    """A sandbox process on a folder, from ready to gone. It is killed: an end in order waits for its connections."""
    arguments = ["serve", "--state", str(folder)]
    arguments += [part for seed in seeds for part in ("--seed", str(seed))]
    arguments += ["--lag", str(lag)] if lag is not None else []
    folder.mkdir(parents=True, exist_ok=True)
    process = Forked(arguments, folder / "sandbox.log")
    try:
        yield LocalTenant(folder, endpoints_of(process, folder))
    finally:
        process.kill()
        process.wait()


def endpoints_of(process: Forked | subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    """What a sandbox writes as soon as it answers."""
    file = folder / "endpoints.json"

    def ready() -> bool:
        log = folder / "sandbox.log"
        assert process.poll() is None, f"the sandbox ended: {log.read_text() if log.exists() else ''}"
        return file.exists() and json.loads(file.read_text())["pid"] == process.pid

    until(ready)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


class Monday(Silent):
    """A context of one fixed day, so that no plan of a test depends on the calendar."""

    __slots__ = ()

    def today(self) -> dt.date:
        return dt.date(2026, 11, 23)

    def moment(self, later_s: float = 0.0) -> str:
        return rfc3339(dt.datetime(2026, 11, 23, 10, tzinfo=dt.UTC) + dt.timedelta(seconds=later_s))


@dataclass
class Session:
    """The users' path to a tenant that stays open over many plans: DNS findings, drift, locks and journal included."""

    runner: asyncio.Runner
    context: Silent
    tenant: Tenant
    folder: Path
    count: int = 0

    @property
    def ports(self) -> Ports:
        return self.tenant.ports

    def plan(self, text: str, allows: Sequence[str] = EVERY_GUARD) -> ChangeSet:
        """The change set of a plan's text, read from a file as users' plans are."""
        self.count += 1
        path = self.folder / f"plan-{self.count}.yaml"
        path.write_text(text, encoding="utf-8")
        return self.runner.run(plan(self.context, path, Selection(allows=tuple(allows)), self.tenant))

    def apply(self, found: ChangeSet) -> Outcome:
        """Carry it out after a turn through its saved form."""
        path = self.folder / f"changeset-{self.count}.json"
        changeset.save(changeset.to_document(found), path)
        saved = load_saved(self.context, path)
        assert saved.found == found
        return self.runner.run(apply(self.context, saved, tenant=self.tenant)).outcome

    def converge(self, text: str) -> ChangeSet:
        """Plan, apply, and plan again: the second plan must be empty. Gives the first."""
        first = self.plan(text)
        assert not first.errored, (first.unknown, first.unlisted)
        assert not [f for f in first.findings if f.blocks and not f.waived], first.findings
        outcome = self.apply(first)
        assert outcome.converged, [r for r in outcome.results if r.status not in {"done", "already_done"}]
        second = self.plan(text)
        assert not second.errored, (second.unknown, second.unlisted)
        left = [(str(c.address), c.before, c.after) for c in second.pending]
        assert not left, "the second plan is not empty"
        # Other tests may have changed by hand what this plan only looks at, and then it is drift.
        wrote = {c.address for c in first.pending}
        drifted = [d for d in second.drift if d.address in wrote]
        assert not drifted, "what the apply wrote counts as changed from outside"
        return first


@contextmanager
def connected(profile: Profile, folder: Path, clock: Clock = SYSTEM) -> Iterator[Session]:
    """The product's ports, open, in an event loop of their own; journal and locks are kept in the folder."""
    folder.mkdir(exist_ok=True)
    context = Monday(profile, folder / "state", clock=clock)
    with asyncio.Runner() as runner:
        opened = signed_in(context)
        tenant = runner.run(opened.__aenter__())
        try:
            yield Session(runner, context, tenant, folder)
        finally:
            runner.run(opened.__aexit__(None, None, None))
