"""`provisioner sandbox …`: starts the local tenant as a process of its own and talks to it from outside.

The sandbox is never imported here: it is a program with a state folder, and what stands in its endpoints.json is all
that is known of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError, NotFound, Unavailable

if TYPE_CHECKING:
    from provisioner.settings import Profile

_PROGRAM = (sys.executable, "-P", "-m", "provisioner.sandbox")
"""-P: without it Python would import a module of the working directory, which is the checkout under review, first."""
_READY_S = 30.0
_GONE_S = 10.0
_PATIENCE_S = 3.0
_FOLDER = Path(".provisioner/sandbox")

_state = click.option(
    "--state", type=click.Path(path_type=Path), default=_FOLDER, show_default=True, help="The sandbox's folder."
)


@click.group("sandbox")
def command() -> None:
    """A local tenant that speaks Microsoft's protocols on loopback, to test plans on."""


@command.command("start")
@click.option(
    "--seed", "seeds", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="Load (repeatable)."
)
@_state
@click.option("--detach", is_flag=True, help="Leave it running and return.")
@click.option("--lag", metavar="SECONDS", type=float, help="Writes show to readers after so long.")
@click.pass_obj
def start(session: Session, seeds: tuple[Path, ...], state: Path, detach: bool, lag: float | None) -> int:
    """Start it, and write the profile `sandbox`, with which every command reaches it."""
    state = state.resolve()
    for seed in seeds:
        if not seed.is_file():
            raise InputError([Diagnostic("SEED-MISSING", f"{seed} is not there", "name a seed or an export")])
    _private(state)
    before = _started(state)
    arguments = [*_PROGRAM, "serve", "--state", str(state)]
    arguments += [f"--seed={seed}" for seed in seeds]
    arguments += ["--lag", str(lag)] if lag is not None else []
    log = state / "sandbox.log"
    with log.open("ab") if detach else contextlib.nullcontext() as output:
        process = subprocess.Popen(  # noqa: S603 - our own program
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=detach,
        )
    endpoints = _ready(process, state, before, log if detach else None)
    profiles = _write_profiles(endpoints)
    session.note(f"The sandbox of {endpoints['initial_domain']} is running (pid {endpoints['pid']}).")
    session.note("Use it with: provisioner --profile sandbox plan")
    if detach:
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # however it is ended, nothing stays behind
    try:
        return process.wait()
    except KeyboardInterrupt:
        # A terminal tells the tenant too, and it ends by itself; whoever signals only us leaves it to us.
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_PATIENCE_S)
        return _ended(process)
    finally:
        _forget(profiles)


@command.command("stop")
@_state
@click.pass_obj
def stop(session: Session, state: Path) -> int:
    """Stop it. Its state stays."""
    state = state.resolve()
    endpoints = _endpoints(state)
    if endpoints is None:
        session.note("No sandbox is running there.")
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(endpoints["pid"], signal.SIGTERM)
        deadline = time.monotonic() + _GONE_S
        while _alive(endpoints["pid"]) and time.monotonic() < deadline:
            time.sleep(0.02)
        if _alive(endpoints["pid"]):
            os.kill(endpoints["pid"], signal.SIGKILL)
    _forget(_profile_files())
    session.note("The sandbox is stopped.")
    return 0


@command.command("status")
@_state
@click.pass_obj
def status(session: Session, state: Path) -> int:
    """Whether it runs (exit 0) or not (exit 1), and where."""
    endpoints = _endpoints(state.resolve())
    if endpoints is None:
        session.result("not running\n")
        return 1
    shown = {k: v for k, v in endpoints.items() if isinstance(v, str | int)}
    session.result("".join(f"{name}: {value}\n" for name, value in shown.items()))
    return 0


@command.command("dump")
@_state
@click.pass_obj
def dump(session: Session, state: Path) -> None:
    """Print the raw tenant as JSON: the rows as the service keeps them. It can be loaded again."""
    session.result(json.dumps(_control(state, "GET", "/dump"), indent=1, ensure_ascii=False) + "\n")


@command.command("load")
@click.argument("file", type=click.Path(path_type=Path))
@_state
@click.pass_obj
def load(session: Session, file: Path, state: Path) -> None:
    """Load a seed or an export into the running tenant."""
    import yaml

    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError([Diagnostic("SEED-UNREADABLE", f"{file} cannot be read: {error}")]) from error
    _control(state, "POST", "/load", content)
    session.note(f"{file} is loaded.")


@command.command("reset")
@_state
@click.pass_obj
def reset(session: Session, state: Path) -> None:
    """Put the tenant back to its state at the start; remove faults and delivered mail."""
    _control(state, "POST", "/reset")
    session.note("The sandbox is as it was when it started.")


@command.command("run")
@click.argument("cmdlet")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@_state
@click.pass_obj
def run(session: Session, cmdlet: str, parameters: tuple[str, ...], state: Path) -> None:
    """Run a cmdlet in the tenant as its global administrator, behind the back of plan and apply.

    A value is JSON, or else a text: provisioner sandbox run Set-InboundConnector Identity=hq Enabled=false
    """
    named = dict(_parameter(p) for p in parameters)
    answer = _control(state, "POST", "/cmdlet", {"name": cmdlet, "parameters": named})
    session.result(json.dumps(answer, indent=1, ensure_ascii=False) + "\n")


@command.command("dns")
@click.argument("name")
@click.argument("type_", metavar="TYPE")
@click.argument("values", nargs=-1)
@_state
@click.pass_obj
def dns(session: Session, name: str, type_: str, values: tuple[str, ...], state: Path) -> None:
    """Publish a DNS record in the sandbox's world; without values it is taken away."""
    _control(state, "POST", "/dns", {"name": name, "type": type_.upper(), "values": list(values)})
    session.note(f"{name} {type_.upper()} is {'published' if values else 'gone'}.")


@command.command("mail")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@click.option("--clear", is_flag=True, help="Forget all of it.")
@_state
@click.pass_obj
def mail(session: Session, format_: str, clear: bool, state: Path) -> None:
    """Show the mail that was delivered in the sandbox, the oldest first."""
    if clear:
        _control(state, "DELETE", "/mail")
        return
    found = _control(state, "GET", "/mail")
    if format_ == "json":
        session.result(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        return
    from provisioner.render.escape import visible

    for item in found:
        places = ", ".join(f"{address} ({folder})" for address, folder in item["recipients"].items())
        session.result(
            visible(f"{item['time']}  {item['route']}  {item['from']} -> {places}: {item['subject']}") + "\n"
        )
    if not found:
        session.note("No mail was delivered.")


@command.command("certificate")
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Where it goes.")
@_state
@click.pass_obj
def certificate(session: Session, name: str, output: Path, state: Path) -> None:
    """Issue a client certificate for NAME, with its key: for a device that a connector knows by one."""
    pem = _control(state, "POST", "/certificate", {"name": name})["pem"]
    try:
        with open(output, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(pem)
    except OSError as error:
        what = f"{output} cannot be written: {error.strerror or error}"
        raise InputError([Diagnostic("SANDBOX-OUTPUT", what, "name a file that can be")]) from error
    session.note(f"{output} has the certificate of {name} and its key.")


@command.command("requests")
@click.option("--since", default=0, help="Only those after this number.")
@_state
@click.pass_obj
def requests(session: Session, since: int, state: Path) -> None:
    """Print the requests that it was sent, a JSON object a line."""
    for entry in _control(state, "GET", f"/requests?since={since}"):
        session.result(json.dumps(entry, ensure_ascii=False) + "\n")


# --- one for a while ---


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox that this process started: how the product reaches it, and how to act behind its back."""

    profile: Profile
    endpoints: Mapping[str, Any]

    def cmdlet(self, name: str, parameters: Mapping[str, Any]) -> Any:
        """Run a cmdlet as the tenant's administrator. Raises NotFound where there is no such object, InputError."""
        try:
            return _ask(self.endpoints, "POST", "/cmdlet", {"name": name, "parameters": dict(parameters)})
        except _Refused as error:
            if error.status == 404:
                raise NotFound(str(error), name) from None
            raise


@contextlib.contextmanager
def running(state: Path, seeds: Sequence[Path]) -> Iterator[Running]:
    """A sandbox from its start to its end, in a folder of its own. Raises InputError for a seed amiss, Unavailable."""
    from provisioner.settings import ExactProfile

    for seed in seeds:
        if not seed.is_file():
            raise InputError([Diagnostic("SEED-MISSING", f"{seed} is not there", "name a seed or an export")])
    state.mkdir(parents=True)
    arguments = [*_PROGRAM, "serve", "--state", str(state)]
    arguments += [f"--seed={seed}" for seed in seeds]
    log = state / "sandbox.log"
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603
    try:
        endpoints = _ready(process, state, "", log)
        yield Running(ExactProfile(**_profile_of(endpoints, "app", "rest")), endpoints)
    finally:
        _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> int:
    """End a sandbox, by force where it does not by itself, and give its exit code."""
    process.terminate()
    try:
        return process.wait(_GONE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


# --- the process -----------------------------------------------------------------------------------------------------


def _ready(process: subprocess.Popen[bytes], state: Path, before: str, log: Path | None) -> dict[str, Any]:
    """Its endpoints, as soon as it answers. Raises InputError or Unavailable with its last words when it does not."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        endpoints = _endpoints(state)
        if endpoints and endpoints["started"] != before and endpoints["pid"] == process.pid:
            return endpoints
        code = process.poll()
        if code is not None:
            words = _last_line(log) if log else "see above"
            if code == 3:
                raise InputError([Diagnostic("SANDBOX-SEED", f"the sandbox did not start: {words}")])
            raise Unavailable(f"the sandbox did not start (exit {code}): {words}")
        time.sleep(0.01)
    process.kill()
    raise Unavailable(f"the sandbox was not ready after {_READY_S:.0f} s")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _endpoints(state: Path) -> dict[str, Any] | None:
    """What stands in endpoints.json, if the process that wrote it lives."""
    try:
        found = json.loads((state / "endpoints.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and _alive(int(found["pid"])) else None


def _started(state: Path) -> str:
    found = _endpoints(state)
    return str(found["started"]) if found else ""


def _alive(pid: int) -> bool:
    """Whether the process lives; a child of ours that has ended is collected first."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


# --- profiles --------------------------------------------------------------------------------------------------------


def _profile_files() -> tuple[Path, ...]:
    folder = Path(".provisioner/profiles")
    return tuple(sorted(folder.glob("sandbox*.toml"))) if folder.is_dir() else ()


def _write_profiles(endpoints: Mapping[str, Any]) -> tuple[Path, ...]:
    """The profiles by which settings find it: one that may write, one that may only read, one over PowerShell."""
    from provisioner.settings import profile_toml

    _private(Path(".provisioner"))
    folder = Path(".provisioner/profiles")
    folder.mkdir(exist_ok=True)
    for name, application, transport in (
        ("sandbox", "app", "rest"),
        ("sandbox-reader", "reader_app", "rest"),
        ("sandbox-psrp", "app", "psrp"),
    ):
        values = _profile_of(endpoints, application, transport)
        (folder / f"{name}.toml").write_text(profile_toml(name, values), encoding="utf-8")
    return _profile_files()


def _profile_of(endpoints: Mapping[str, Any], application: str, transport: str) -> dict[str, Any]:
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
            "smtp_mx": endpoints["smtp_mx"],
            "dns_servers": [endpoints["dns"]],
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


def _forget(profiles: tuple[Path, ...]) -> None:
    for profile in profiles:
        profile.unlink(missing_ok=True)


def _private(folder: Path) -> None:
    """Make a folder that git passes over."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, *folder.parents):
            if place.name == ".provisioner":
                (place / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise InputError([Diagnostic("SANDBOX-STATE", f"{folder} cannot be used: {error.strerror}")]) from error


# --- the control front -----------------------------------------------------------------------------------------------


def _control(state: Path, method: str, path: str, body: Any = None) -> Any:
    """Ask the running sandbox. Raises Unavailable when none runs, InputError with its words when it refuses."""
    endpoints = _endpoints(state.resolve())
    if endpoints is None:
        raise Unavailable("no sandbox is running there", mend="provisioner sandbox start")
    return _ask(endpoints, method, path, body)


class _Refused(InputError):
    """The control front's refusal with its HTTP status."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__([Diagnostic("SANDBOX-REFUSED", f"the sandbox refused: {words}")])
        self.status = status


def _ask(endpoints: Mapping[str, Any], method: str, path: str, body: Any) -> Any:
    import ssl
    import urllib.error
    import urllib.request

    token = Path(endpoints["control_token_file"]).read_text(encoding="utf-8").strip()
    request = urllib.request.Request(  # noqa: S310 - its own https endpoint
        endpoints["control"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    trust = ssl.create_default_context(cafile=endpoints["ca"])
    try:
        with urllib.request.urlopen(request, context=trust, timeout=60) as answer:  # noqa: S310
            content = answer.read()
    except urllib.error.HTTPError as error:
        words = error.read().decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            words = json.loads(words)["error"]
        raise _Refused(words, error.code) from None
    except OSError as error:
        raise Unavailable(f"the sandbox does not answer: {error}") from error
    return json.loads(content) if content else None


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f'"{text}" is no parameter: write Name=Value')
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
