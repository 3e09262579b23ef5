"""A machine under attack: a checkout, a user's own settings and state, files outside, a tenant, and who watches.

`World.run` runs one command and counts what must never happen: a program started, a byte of a file or variable outside
of the checkout told, a file outside written, a character that acts on a terminal or a CI runner, a traceback, a run
without end.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.cli.in_process import Hanging, run_in_process
from tests.cli.shop import HEADER, Shop, open_shop
from tests.local_tenant import hang_up

CANARY = "canary7Qx-of-another-file"
VARIABLE = "canary3Wp-of-the-environment"
WRONG = ("programs run", "bytes leaked", "written outside", "raw characters", "tracebacks", "endless runs", "odd exits")
"""What is counted, in the order of the table."""

_LIMIT_S = 20
_MEMORY_BYTES = 2 << 30
_EXITS = {*range(11), 130, 141, 143}
_TRACE = ("Traceback (most recent call last)", "this is a fault of provisioner")
_STARTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.exec", "os.system", "os.fork", "os.spawn"})


@dataclass(slots=True)
class Watch:
    """What this process does while a command runs in it, told by Python's audit hooks (PEP 578)."""

    on: bool = False
    outside: str = ""
    started: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in _STARTS:
            self.started.append(f"{event} {arguments[:2]}".replace(" (", "(", 1))
        elif event == "open" and isinstance(arguments[0], str | bytes):
            real = os.path.realpath(os.fsdecode(arguments[0]))
            if real.startswith(self.outside):
                self.opened.append(real)
        elif event == "os.kill" and arguments[1] and arguments[0] not in _sandboxes():
            self.killed.append(arguments[0])
            raise PermissionError("the red team holds its hand before a foreign process")


def _sandboxes() -> set[int | None]:
    """The processes that this one has forked as sandboxes: commands may end them."""
    return {child.pid for child in multiprocessing.active_children()}


_watch = Watch()
_hooked: list[bool] = []


def watch() -> Watch:
    """The one watch of this process: an audit hook cannot be taken away again."""
    if not _hooked:
        sys.addaudithook(lambda event, arguments: _watch.hear(event, arguments))
        _hooked.append(True)
    return _watch


@dataclass
class World:
    """The folders, and the counts of every run so far.

    `checkout` is made anew for each attack; `outside` holds what must not be read, told or written; `home` is the
    user's, with settings whose profile `mine` reaches the tenant; `out` is where reports go.
    """

    base: Path
    shop: Shop
    counts: Counter[str] = field(default_factory=Counter)
    tell: Callable[[str], object] = print
    lock: Any = None
    tainted: bool = False
    """Whether the tenant was changed by other means than a command."""

    def __post_init__(self) -> None:
        self.checkout, self.outside = self.base / "checkout", self.base / "outside"
        self.home, self.out = self.base / "home", self.base / "out"
        self.plans, self.state = self.checkout / "plans", self.home / "state"
        self.marker = self.base / "marker"
        self.own_settings = self.home / ".config" / "provisioner" / "provisioner.toml"
        self._seen = self.shop.tenant.seen()
        self._before: dict[str, str] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """The user's. Nothing reaches the network: the proxy is a closed port."""
        return {
            **self.shop.environment,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "PROVISIONER_STATE_DIR": str(self.state),
            "CANARY_VARIABLE": VARIABLE,
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "PROVISIONER_ENDPOINTS__DNS_SERVERS": json.dumps([self.shop.tenant.endpoints["dns"]]),
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def anew(self) -> None:
        """Everything as before the first attack, but for the tenant and the counts."""
        for folder in (self.checkout, self.outside, self.home, self.out):
            _remove(folder)
        for folder in (
            self.plans,
            self.checkout / ".git",
            self.outside,
            self.state,
            self.out,
            self.own_settings.parent,
        ):
            folder.mkdir(parents=True)
        for name in ("far.yaml", "far.json", "far.toml", "id_rsa", ".bashrc"):
            (self.outside / name).write_text(f"{CANARY}\n")
        profile = (self.shop.folder / ".provisioner" / "profiles" / "sandbox.toml").read_text()
        quick = '\n[profiles."mine".timeouts]\nrequest_s = 3\nretry_s = 1\nconfirm_s = 1\n'
        self.own_settings.write_text(profile.replace('"sandbox"', '"mine"') + quick)
        (self.plans / "plan.yaml").write_text(PLAN)
        (self.checkout / "vars.yaml").write_text("{}\n")
        (self.checkout / "fleet.yaml").write_text("fleet: 1\ntenants: { shop: { plan: plans, profile: mine } }\n")
        (self.checkout / "approved.yaml").write_text(f"other: sha256:{'0' * 64}\n")
        (self.checkout / "log.txt").write_text("550 5.7.64 TenantAttribution; Relay Access Denied\n")
        (self.checkout / "seed.yaml").write_text("sandbox: 1\n")
        self.marker.unlink(missing_ok=True)
        self.settle()

    def settle(self) -> None:
        """What is outside now is as it should be."""
        self._before = self._outside_now()

    def as_saved(self, document: Any) -> str:
        """A change set as it is saved."""
        return json.dumps(document)

    def run(self, attack: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """One command in the checkout, judged."""
        where = {**self.environment, **(environment or {})}
        watching = watch()
        watching.started, watching.opened, watching.killed = [], [], []
        watching.outside = str(self.outside)
        self.counts["runs"] += 1
        output = ""
        code: int | None = None
        try:
            with _bounded_memory():
                watching.on = True
                done = run_in_process(arguments, self.checkout, where, self.shop.clock, limit_s=_LIMIT_S)
                output, code = done.stdout + done.stderr, done.returncode
        except Hanging:
            self._wrong("endless runs", attack, arguments, "no end")
        finally:
            watching.on = False
        self.judge(attack, arguments, output, code)

    def judge(self, attack: str, arguments: Sequence[str], output: str, code: int | None) -> None:
        """Count what went wrong in a run, and tell of it."""
        seen = watch()
        if code is not None and code not in _EXITS:
            self._wrong("odd exits", attack, arguments, str(code))
        programs = [text for text in seen.started if not _is_ours(text)]
        if programs or seen.killed or self.marker.exists():
            self._wrong("programs run", attack, arguments, f"{programs} {seen.killed} marker {self.marker.exists()}")
            self.marker.unlink(missing_ok=True)
        if any(trace in output for trace in _TRACE) or list(self.state.glob("crash-*")):
            self._wrong("tracebacks", attack, arguments, _crash(self.state) or output[-300:])
        written = "".join(_text(p) for folder in (self.out, self.state) for p in folder.rglob("*") if _is_kept(p))
        leaked = [form for form in _FORMS if form in output or form in written]
        if leaked:
            self._wrong("bytes leaked", attack, arguments, f"{leaked} {output[:200]}")
        for name, text in (("output", output), *((p.name, _text(p)) for p in self.out.rglob("*") if p.is_file())):
            found = [*raw(text), *commands(text, github="github" in name or "github" in arguments)]
            if found:
                self._wrong("raw characters", attack, arguments, f"{name}: {found[:3]}")
        now = self._outside_now()
        if now != self._before:
            self._wrong("written outside", attack, arguments, str(sorted(set(now.items()) ^ set(self._before.items()))))
            self._before = now
        for place in self.out.rglob("*"):
            if place.is_file():
                place.unlink()

    def requests_told(self, attack: str) -> None:
        """What the tenant was sent holds nothing of other files; it is as at its start again where it was written."""
        hang_up()  # it may have been closed while a command hung
        requests = self.shop.tenant.control("GET", f"/requests?since={self._seen}")
        self._seen = max((r["n"] for r in requests), default=self._seen)
        if any(form in str(requests) for form in _FORMS):
            self._wrong("bytes leaked", attack, ("(requests)",), "told to the tenant")
        if self.tainted or any(r["write"] and r["executed"] for r in requests):
            self.shop.reset()
            self.tainted = False

    def _wrong(self, what: str, attack: str, arguments: Sequence[str], facts: str) -> None:
        self.counts[what] += 1
        self.tell(f"{what}: {attack}: provisioner {' '.join(arguments)[:120]}: {facts[:600]!r}")

    def _outside_now(self) -> dict[str, str]:
        """Every file that is none of the checkout's or the state's, with a digest of what it holds."""
        places = [p for folder in (self.outside, self.home) for p in folder.rglob("*")]
        return {str(p): _digest(p) for p in places if not p.is_relative_to(self.state) and not p.is_dir()}


PLAN = HEADER + (
    "owner: contoso/test\n"
    "sites: { hq: { egress_ip_addresses: [203.0.113.11] } }\n"
    "devices:\n"
    "  mfp: { site: hq, from: erp@contoso.com, recipients: anyone, supports: { tls: '1.2', authentication: [] } }\n"
)
"""A plan that can be applied."""


@contextlib.contextmanager
def open_world(base: Path) -> Iterator[World]:
    """A world from the start of its tenant to its end."""
    (base / "shop").mkdir()
    with open_shop(base / "shop") as shop:
        world = World(base, shop)
        world.anew()
        yield world


def raw(text: str) -> list[str]:
    """What does not print, but for the ends of lines and tabs."""
    return [c for c in set(text) if unicodedata.category(c) in {"Cc", "Cf", "Cs"} and c not in "\n\t"]


_OURS = re.compile(r"::(?:error|warning|notice) ")


def commands(text: str, *, github: bool = False) -> list[str]:
    """What a runner of GitHub or Azure would obey."""
    found = [word for word in ("##[", "##vso[") if word in text]
    lines = [line for line in text.splitlines() if line.lstrip().startswith("::")]
    return found + [line for line in lines if not (github and _OURS.match(line))]


def forms_of(secret: str) -> Iterator[str]:
    """A secret as it might leave in disguise: as it is, percent-encoded, in hexadecimal digits and in base64."""
    yield secret
    yield quote(secret.replace("-", " ")).replace("%20", "%2D")
    yield secret.encode().hex()
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + secret.encode()).decode()[4:-4]


_FORMS = (*forms_of(CANARY), *forms_of(VARIABLE))


def _is_ours(text: str) -> bool:
    """The sandbox; git for a lock, bash for its completion and ssh-keygen for approvals, each by its absolute path.

    And Azure's for a sign-in: azure-identity's default chain asks the Azure CLI and PowerShell for a token, from a
    folder of the system's.
    """
    if re.search(r"'/bin/sh', \['/bin/sh', '-c', '(?:az|azd|pwsh|powershell) ", text):
        return True
    return (
        "provisioner.sandbox" in text
        or re.search(r"^subprocess\.Popen\('/[^']*/(?:git|bash|ssh-keygen)'", text) is not None
    )


def _is_kept(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _crash(state: Path) -> str:
    found = ""
    for file in state.glob("crash-*"):
        found += file.read_text()[-500:]
        file.unlink()
    return found


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\ufffd", "?")
    except OSError:
        return ""


def _digest(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return "special"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _remove(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    """A file without end must not take the machine with it. What the process has mapped already does not count."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _MEMORY_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
