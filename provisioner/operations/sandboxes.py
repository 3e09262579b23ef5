"""A sandbox as a process of its own: started, reached and ended from outside.

The sandbox is never imported: it is a program with a state folder, and its endpoints.json holds all that is known of
it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from provisioner import platforms
from provisioner.border import Border, make_private, read_ordinary
from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Diagnostic, InputError, NotFound, Unavailable
from provisioner.extras import need
from provisioner.operations.context import Silent
from provisioner.operations.seeds import read_seed
from provisioner.settings import ExactProfile, Profile

_PROGRAM = (sys.executable, "-P", "-m", "provisioner.sandbox")
"""-P: without it Python would import a module of the working directory, which is the checkout under review, first."""
_READY_S = 30.0
_ANSWER_S = 2.0
_GONE_S = 10.0
_LOG = "sandbox.log"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that this process started: how the product reaches it, and how to act behind its back."""

    profile: Profile
    endpoints: Mapping[str, Any]
    state_folder: Path

    def context(self, clock: Clock = SYSTEM) -> Silent:
        """A context whose profile is the sandbox's, with journal and locks in a folder of its own."""
        return Silent(self.profile, self.state_folder, clock=clock)

    def cmdlet(self, name: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Run a cmdlet as the tenant's administrator. Raises NotFound where there is no such object, InputError."""
        try:
            return self.ask("POST", "/cmdlet", {"name": name, "parameters": dict(parameters or {})})
        except RefusedBySandbox as error:
            if error.status == 404:
                raise NotFound(str(error), name) from None
            raise

    def publish(self, name: str, type_: str, values: Sequence[str]) -> None:
        """Publish a DNS record in the sandbox's world; without values it is removed."""
        self.ask("POST", "/dns", {"name": name, "type": type_, "values": list(values)})

    def environment(self, application: str = "app") -> dict[str, str]:
        """Environment variables with which other programs reach the sandbox (docs/offline-tests.md)."""
        return client_environment(self.endpoints, application)

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """The requests that were made after number `since`, oldest first, as `provisioner sandbox requests` prints."""
        found: list[dict[str, Any]] = self.ask("GET", f"/requests?since={since}")
        return found

    def mail(self) -> list[dict[str, Any]]:
        """The mail that was delivered, oldest first, as `provisioner sandbox mail --format json` prints it."""
        found: list[dict[str, Any]] = self.ask("GET", "/mail")
        return found

    def advance(self, seconds: float) -> None:
        """Move the tenant's clock on: what takes time in the service, such as replication, happens at once."""
        self.ask("POST", "/clock", {"advance": seconds})

    def fault(self, rule: Mapping[str, Any]) -> None:
        """Let something fail, such as `{"front": "graph", "times": 1, "do": {"status": 503}}` (docs/sandbox.md)."""
        self.ask("POST", "/faults", dict(rule))

    def load(self, seed: Mapping[str, Any] | str | Path) -> None:
        """Load a seed or an export, a mapping or a file, into the running tenant. Raises InputError."""
        self.ask("POST", "/load", dict(seed) if isinstance(seed, Mapping) else read_seed(Path(seed)))

    def reset(self) -> None:
        """Put the tenant back to its start, and forget requests, mail and faults. Its clock goes on."""
        self.ask("POST", "/reset")
        self.ask("DELETE", "/requests")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the control front (docs/sandbox.md). Raises InputError with its words, Unavailable."""
        return ask(self.endpoints, method, path, body)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a sandbox listens: fixed ports by the names of endpoints.json, further names for its certificate, and an
    IPv4 address. Only loopback, unless it says otherwise."""

    ports: Mapping[str, int] = field(default_factory=dict)
    hostnames: Sequence[str] = ()
    address: str = "127.0.0.1"

    def arguments(self) -> list[str]:
        """The options of the program."""
        ports = [f"--ports={name}={port}" for name, port in self.ports.items()]
        return [f"--listen={self.address}", *ports, *(f"--hostname={name}" for name in self.hostnames)]


LOOPBACK_ONLY = Listening()


@contextlib.contextmanager
def open_sandbox(
    *seeds: Mapping[str, Any] | str | Path,
    state: str | Path | None = None,
    ports: Mapping[str, int] | None = None,
    hostnames: Sequence[str] = (),
) -> Iterator[Sandbox]:
    """A sandbox from its start to its end. Raises InputError for a seed that is wrong or a missing extra, Unavailable.

    A seed is a file or a mapping. `state` is a folder that is still to be made; without it a temporary one is used, and
    removed at the end. `ports` are fixed ports by the names that `--ports` takes, `hostnames` further names for its
    certificate.
    """
    listening = Listening(ports or {}, hostnames)
    with contextlib.ExitStack() as stack:
        written = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="provisioner-seeds-")))
        paths = [_as_file(seed, written / f"{number}.json") for number, seed in enumerate(seeds)]
        check_start(paths)
        if state is None:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="provisioner-sandbox-"))) / "tenant"
        state = Path(state)
        make_private(state)
        with opened_log(state / _LOG) as output:
            process = launch(state, paths, output=output, listening=listening)
        stack.callback(ended, process)
        endpoints = ready(process, state, log=state / _LOG)
        profile = ExactProfile(**profile_values(endpoints, "app", "rest"))
        yield Sandbox(profile, endpoints, state.with_name(f"{state.name}-state"))


def _as_file(seed: Mapping[str, Any] | str | Path, place: Path) -> Path:
    if not isinstance(seed, Mapping):
        return Path(seed)
    place.write_text(json.dumps({"sandbox": 1, **seed}), encoding="utf-8")
    return place


# --- the process -----------------------------------------------------------------------------------------------------


def check_start(seeds: Sequence[Path]) -> None:
    """Raise InputError where no sandbox can start: without its libraries, or for a seed that is not a file.

    The sandbox quotes what is wrong with a seed: no link of a checkout is followed out of it.
    """
    need("sandbox", "the sandbox")
    for seed in seeds:
        if not seed.is_file():
            raise InputError([Diagnostic("SEED-MISSING", f"{seed} is not there", "name a seed or an export")])
        if not Border.of(seed).holds(seed):
            what = f"{seed} cannot be read: a link of the checkout leads out of it"
            raise InputError([Diagnostic("SEED-UNREADABLE", what, "name the file itself")])


def opened_log(path: Path) -> IO[bytes]:
    """The log of a sandbox, to be written to, for its owner only."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def launch(
    state: Path,
    seeds: Sequence[Path],
    *,
    lag: float | None = None,
    output: IO[bytes] | None,
    detach: bool = False,
    listening: Listening = LOOPBACK_ONLY,
) -> subprocess.Popen[bytes]:
    """Start the program on a state folder. `ready` tells when it answers, `ended` ends it."""
    arguments = [*_PROGRAM, "serve", "--state", str(state), *(f"--seed={seed}" for seed in seeds)]
    arguments += listening.arguments()
    arguments += ["--lag", str(lag)] if lag is not None else []
    return subprocess.Popen(  # noqa: S603 - our own program
        arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **(platforms.detached() if detach else {})
    )


def ready(process: subprocess.Popen[bytes], state: Path, before: str = "", log: Path | None = None) -> dict[str, Any]:
    """Its endpoints, as soon as it answers. Raises InputError or Unavailable with its last words when it does not.

    `before` is what `started` gave before the launch, so that the endpoints of an earlier process do not count. The
    number of the process is not enough: on Windows the Python of an environment is a launcher of another.
    """
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        endpoints = find(state)
        if endpoints and _mark(endpoints) != before:
            return endpoints
        code = process.poll()
        if code is not None:
            words = _last_line(log) if log else "see above"
            if code == 3:
                raise InputError([Diagnostic("SANDBOX-START", f"the sandbox did not start: {words}")])
            raise Unavailable(f"the sandbox did not start (exit {code}): {words}")
        time.sleep(0.01)
    process.kill()
    raise Unavailable(f"the sandbox was not ready after {_READY_S:.0f} s")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def find(state: Path) -> dict[str, Any] | None:
    """What stands in endpoints.json, if the process that wrote it lives: then its control front takes connections."""
    try:
        found = json.loads(read_ordinary(state / "endpoints.json", _LARGEST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return found if _is_its_own(found, state) and _listens(found["control"]) else None


_LARGEST_BYTES = 1 << 20


def _is_its_own(found: Any, state: Path) -> bool:
    """Whether this is what a sandbox writes into its folder: its addresses are local, and its files lie beside it.

    A checkout may hold such a folder too. What it names elsewhere would be read and sent as a token.
    """
    try:
        where = urlsplit(found["control"])
        local = (where.scheme, where.hostname) == ("https", "127.0.0.1") and where.port is not None
        entries = (found, *_tables(found), *_tables(found.get("apps", {})))
        files = [
            value for entry in entries for name, value in entry.items() if name == "ca" or str(name).endswith("_file")
        ]
        beside = all(Path(os.path.realpath(file)).is_relative_to(os.path.realpath(state)) for file in files)
        named = {"ca", "control_token_file", "initial_domain", "lock_file", "started"} <= found.keys()
        return local and beside and named and type(found["pid"]) is int and 1 < found["pid"] < 1 << 31
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _tables(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return (value for value in found.values() if isinstance(value, dict))


def held(endpoints: Mapping[str, Any]) -> bool:
    """Whether a process has the sandbox's folder now: files alone, such as those of a checkout, do not hold a lock."""
    import filelock

    try:
        with filelock.FileLock(endpoints["lock_file"]).acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False


def started(state: Path) -> str:
    """Which sandbox runs on a state folder, as text that no other has; "" where none does."""
    found = find(state)
    return _mark(found) if found else ""


def _mark(endpoints: Mapping[str, Any]) -> str:
    return f"{endpoints['pid']} {endpoints['started']}"


def _listens(address: str) -> bool:
    where = urlsplit(address)
    try:
        socket.create_connection((where.hostname or "", where.port or 0), timeout=_ANSWER_S).close()
    except (OSError, ValueError):
        return False
    return True


def ended(process: subprocess.Popen[bytes]) -> int:
    """End a sandbox, by force where it does not by itself, and give its exit code."""
    process.terminate()
    try:
        return process.wait(_GONE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def stop(state: Path) -> bool:
    """Stop the sandbox of a state folder, by force where it does not end by itself; whether one was running."""
    endpoints = find(state)
    if endpoints is None:
        return False
    with contextlib.suppress(InputError, Unavailable):
        ask(endpoints, "POST", "/stop")
    if not _gone(endpoints):
        platforms.kill(int(endpoints["pid"]))
        _gone(endpoints)
    return True


def _gone(endpoints: Mapping[str, Any]) -> bool:
    """Whether the process has let go of its folder in time. A killed one does so too."""
    import filelock

    try:
        with filelock.FileLock(endpoints["lock_file"]).acquire(timeout=_GONE_S, poll_interval=0.02):
            return True
    except filelock.Timeout:
        return False
    except OSError:  # the folder has been removed
        return True


# --- profile and control front ----------------------------------------------------------------------------------------


def profile_values(endpoints: Mapping[str, Any], application: str, transport: str) -> dict[str, Any]:
    """A profile's values for one of the sandbox's applications."""
    app = endpoints[application]
    secret = f"file:{app['secret_file']}"
    values: dict[str, Any] = {
        "tenant": endpoints["initial_domain"],
        "exchange": transport,
        "ca": endpoints["ca"],
        "credential": {"kind": "client_secret", "client_id": app["client_id"], "secret": secret},
        "endpoints": {
            "authority": endpoints["authority"],
            "graph": endpoints["graph"],
            "exchange": endpoints["exchange"],
            "smtp_submission": endpoints["smtp_submission"],
            "smtp_hve": endpoints["smtp_hve"],
            "smtp_mx": endpoints["smtp_mx"],
            "mta_sts": endpoints["mta_sts"],
            "dns_servers": [endpoints["dns"]],
        },
        "dns": {
            # Whatever provider a plan names, its zones are the sandbox's here.
            "*": {
                "server": endpoints["dns"],
                "key_name": endpoints["dns_key_name"],
                "secret": f"file:{endpoints['dns_key_file']}",
                "read_from": [],
            }
        },
    }
    if transport == "psrp":
        values["psrp"] = {
            "endpoint": endpoints["psrp"],
            "configuration": endpoints["psrp_configuration"],
            "authentication": "basic",
            "user": application,
            "password": secret,
        }
    return values


def client_environment(endpoints: Mapping[str, Any], application: str = "app", ca: str = "") -> dict[str, str]:
    """Environment variables with which programs that know nothing of the sandbox reach it.

    A proxy that leads the service's names to it, the CA for each of the usual TLS libraries, azure-identity's variables
    for the application, and addresses for programs that take one. The secret was made when the sandbox started. `ca`
    is where programs find a copy of the CA that cannot read the sandbox's folder; then no other file is named.
    """
    app = endpoints["apps"][application]
    files = {} if ca else {"SANDBOX_CERTIFICATE_FILE": str(app["certificate_file"])}
    ca = ca or str(endpoints["ca"])
    addresses = ("smtp_submission", "smtp_hve", "smtp_mx", "dns", "psrp", "https")
    return {
        "HTTPS_PROXY": f"http://{endpoints['proxy']}",
        "NO_PROXY": "127.0.0.1,localhost",
        "SSL_CERT_FILE": ca,
        "REQUESTS_CA_BUNDLE": ca,
        "CURL_CA_BUNDLE": ca,
        "NODE_EXTRA_CA_CERTS": ca,
        "AZURE_TENANT_ID": str(endpoints["tenant_id"]),
        "AZURE_CLIENT_ID": str(app["client_id"]),
        "AZURE_CLIENT_SECRET": Path(app["secret_file"]).read_text(encoding="utf-8").strip(),
        **files,
        **{f"SANDBOX_{name.upper()}": str(endpoints[name]) for name in addresses},
    }


def hosts_lines(endpoints: Mapping[str, Any]) -> list[str]:
    """Lines of a hosts file that lead the service's names to the address that the sandbox listens on."""
    address = urlsplit(endpoints["https"]).hostname
    return [f"{address} {host}" for host in endpoints["service_hosts"]]


class RefusedBySandbox(InputError):
    """The control front's refusal with its HTTP status."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__([Diagnostic("SANDBOX-REFUSED", f"the sandbox refused: {words}")])
        self.status = status


def ask(endpoints: Mapping[str, Any], method: str, path: str, body: Any = None) -> Any:
    """A request to the control front of a running sandbox. Raises InputError with its words, Unavailable."""
    token = Path(endpoints["control_token_file"]).read_text(encoding="utf-8").strip()
    request = urllib.request.Request(  # noqa: S310 - its own https endpoint
        endpoints["control"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    trust = ssl.create_default_context(cafile=endpoints["ca"])
    try:
        with _direct(trust).open(request, timeout=60) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        words = error.read().decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            words = json.loads(words)["error"]
        raise RefusedBySandbox(words, error.code) from None
    except OSError as error:
        raise Unavailable(f"the sandbox does not answer: {error}") from error
    return json.loads(content) if content else None


def _direct(trust: ssl.SSLContext) -> urllib.request.OpenerDirector:
    """No proxy stands between a machine and itself, whatever HTTPS_PROXY says."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
