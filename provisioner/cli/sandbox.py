"""`provisioner sandbox …`: starts the local tenant as a process of its own and talks to it from outside.

What belongs to the process is in `operations/sandboxes.py`; here are the commands, and the profiles of a checkout.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from provisioner.border import leads_out, make_private, read_ordinary, write_file
from provisioner.cli.groups import Group
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError, Unavailable
from provisioner.operations import sandboxes
from provisioner.operations.seeds import read_seed
from provisioner.render.escape import visible
from provisioner.settings.files import profile_toml

_PATIENCE_S = 3.0
_EXIT_S = 30.0
"""For the end of an interpreter whose sandbox has stopped: a busy machine delays it."""
_FOLDER = Path(".provisioner/sandbox")

_state = click.option(
    "--state", type=click.Path(path_type=Path), default=_FOLDER, show_default=True, help="The sandbox's folder."
)


def _profile_name(_: click.Context, __: click.Parameter, text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", text):
        raise click.BadParameter("write letters, digits, - and _")
    return text


def _ports(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    """Ports by front. Which fronts there are, the sandbox knows."""
    found: dict[str, int] = {}
    for text in (part.strip() for given in texts for part in given.split(",")):
        name, equals, number = text.partition("=")
        if not equals or not number.isascii() or not number.isdigit() or name in found:
            raise click.BadParameter(f'"{text}": write each name once, as NAME=PORT')
        found[name] = int(number[:6])
    return found


@click.group("sandbox", cls=Group)
def command() -> None:
    """Start, stop and inspect a local tenant that speaks Microsoft's protocols, to test plans on."""


@command.command("start")
@click.option(
    "--seed",
    "seeds",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Load this seed or export (repeatable).",
)
@_state
@click.option("--detach", is_flag=True, help="Leave the sandbox running and return.")
@click.option("--lag", metavar="SECONDS", type=float, help="Let readers see a write after SECONDS.")
@click.option(
    "--profile-name",
    "name",
    default="sandbox",
    show_default=True,
    metavar="NAME",
    callback=_profile_name,
    help="Write the profiles NAME, NAME-reader and NAME-psrp.",
)
@click.option(
    "--ports",
    multiple=True,
    metavar="NAME=PORT,…",
    callback=_ports,
    help="Listen on fixed ports, such as https=443,smtp_submission=587,smtp_mx=25 (repeatable).",
)
@click.option(
    "--hostname", "hostnames", multiple=True, metavar="NAME", help="Add NAME to the certificate (repeatable)."
)
@click.option(
    "--listen",
    "address",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Listen on this IPv4 address; 0.0.0.0 lets other machines reach the sandbox.",
)
@click.pass_obj
def start(
    session: Session,
    seeds: tuple[Path, ...],
    state: Path,
    detach: bool,
    lag: float | None,
    name: str,
    ports: dict[str, int],
    hostnames: tuple[str, ...],
    address: str,
) -> int:
    """Start the sandbox, and write the profile `sandbox`, with which every command reaches it."""
    state = _place(state)
    _refuse_takeover(name, state)
    sandboxes.check_start(seeds)
    _refuse_second(name, state)
    _private(state)
    before = sandboxes.started(state)
    goes_on = (state / "tenant.json").exists()
    log = state / "sandbox.log" if detach else None
    with sandboxes.opened_log(log) if log else contextlib.nullcontext() as output:
        listening = sandboxes.Listening(ports, hostnames, address)
        process = sandboxes.launch(state, seeds, lag=lag, output=output, detach=detach, listening=listening)
    endpoints = sandboxes.ready(process, state, before, log)
    if not detach:
        return _until_ended(session, process, state, endpoints, name)
    _write_profiles(endpoints, name)
    _announce(session, endpoints, name)
    if "exposure" in endpoints:  # in the foreground it says so itself
        session.note(f"note: {visible(str(endpoints['exposure']))}")
    if seeds and goes_on:  # likewise
        session.note(f"note: {visible(str(state))} holds a tenant already, which goes on; --seed is for a new one")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it is meant to outlive this process
        del process
    return 0


def _announce(session: Session, endpoints: Mapping[str, Any], name: str) -> None:
    session.note(f"The sandbox of {endpoints['initial_domain']} is running (pid {endpoints['pid']}).")
    session.note(f"Use it with: provisioner --profile {name} plan")


def _until_ended(
    session: Session, process: subprocess.Popen[bytes], state: Path, endpoints: Mapping[str, Any], name: str
) -> int:
    """Say how it is used and wait for its end. However and whenever it is ended, its profiles do not stay behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    profiles: tuple[Path, ...] = ()
    try:
        profiles = _write_profiles(endpoints, name)
        _announce(session, endpoints, name)
        return process.wait()
    except KeyboardInterrupt:
        # A terminal tells the tenant too, and it ends by itself; anyone who signals only us leaves it to us.
        for stop_it, patience_s in ((lambda _: None, _PATIENCE_S), (sandboxes.stop, _EXIT_S)):
            stop_it(state)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(patience_s)
        return sandboxes.ended(process)
    finally:
        _forget(profiles)


@command.command("stop")
@_state
@click.pass_obj
def stop(session: Session, state: Path) -> int:
    """Stop the sandbox. Its state is kept for the next start."""
    state = _place(state)
    if not sandboxes.stop(state):
        session.note(f"No sandbox is running in {visible(str(state))}.")
        return 0
    _forget(_profiles_of(state))
    session.note("The sandbox is stopped.")
    return 0


@command.command("status")
@_state
@click.pass_obj
def status(session: Session, state: Path) -> int:
    """Show whether the sandbox runs (exit 0) or not (exit 1), and its endpoints."""
    endpoints = sandboxes.find(_place(state))
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
    """Print the tenant as JSON, in rows as the service keeps them. `load` and `start --seed` read it."""
    session.json(_control(state, "GET", "/dump"))


@command.command("load")
@click.argument("file", type=click.Path(path_type=Path))
@_state
@click.pass_obj
def load(session: Session, file: Path, state: Path) -> None:
    """Load a seed or an export into the running tenant."""
    _control(state, "POST", "/load", read_seed(file))
    session.note(f"{file} is loaded.")


@command.command("reset")
@_state
@click.pass_obj
def reset(session: Session, state: Path) -> None:
    """Put the tenant back to its state at start; remove faults and delivered mail."""
    _control(state, "POST", "/reset")
    session.note("The sandbox is as it was when it started.")


@command.command("run")
@click.argument("cmdlet")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@_state
@click.pass_obj
def run(session: Session, cmdlet: str, parameters: tuple[str, ...], state: Path) -> None:
    """Run a cmdlet in the tenant as its global administrator, outside of plan and apply.

    A value is JSON, or otherwise text: provisioner sandbox run Set-InboundConnector Identity=hq Enabled=false
    """
    named = dict(_parameter(p) for p in parameters)
    answer = _control(state, "POST", "/cmdlet", {"name": cmdlet, "parameters": named})
    session.json(answer)
    if not answer["errors"]:
        session.note(f"{cmdlet} succeeded.")


@command.command("dns")
@click.argument("name")
@click.argument("type_", metavar="TYPE")
@click.argument("values", nargs=-1)
@_state
@click.pass_obj
def dns(session: Session, name: str, type_: str, values: tuple[str, ...], state: Path) -> None:
    """Publish a DNS record in the sandbox's DNS; without VALUES, remove it."""
    _control(state, "POST", "/dns", {"name": name, "type": type_.upper(), "values": list(values)})
    session.note(f"{name} {type_.upper()} is {'published' if values else 'removed'}.")


@command.command("mail")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How to print the list.")
@click.option("--clear", is_flag=True, help="Delete the delivered mail instead.")
@_state
@click.pass_obj
def mail(session: Session, format_: str, clear: bool, state: Path) -> None:
    """List the mail that was delivered in the sandbox, oldest first."""
    if clear:
        _control(state, "DELETE", "/mail")
        session.note("The delivered mail is deleted.")
        return
    found = _control(state, "GET", "/mail")
    if format_ == "json":
        session.json(found)
        return
    for item in found:
        places = ", ".join(f"{address} ({folder})" for address, folder in item["recipients"].items())
        session.result(
            visible(f"{item['time']}  {item['route']}  {item['from']} -> {places}: {item['subject']}") + "\n"
        )
    if not found:
        session.note("No mail has been delivered.")


@command.command("certificate")
@click.argument("name")
@click.option(
    "-o",
    "--out",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Write the certificate and its key to FILE.",
)
@_state
@click.pass_obj
def certificate(session: Session, name: str, output: Path, state: Path) -> None:
    """Issue a client certificate for NAME, with its key, for a device that a connector recognises by it."""
    pem = _control(state, "POST", "/certificate", {"name": name})["pem"]
    try:
        write_file(output, pem)
    except OSError as error:
        what = f"{output} cannot be written: {error.strerror or error}"
        hint = "name a file in a folder that exists and can be written to"
        raise InputError([Diagnostic("SANDBOX-OUTPUT", what, hint)]) from error
    session.note(f"{output} has the certificate of {name} and its key.")


@command.command("environment")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["env", "json", "hosts"]),
    default="env",
    show_default=True,
    help="Print NAME=value lines, JSON, or lines for a hosts file.",
)
@click.option(
    "--app",
    "application",
    default="app",
    show_default=True,
    metavar="NAME",
    help="Sign in as this application of the tenant: app may write, reader_app may only read.",
)
@click.option("--ca", metavar="FILE", default="", help="Print FILE as the path of the CA: a copy of it elsewhere.")
@_state
@click.pass_obj
def environment(session: Session, format_: str, application: str, ca: str, state: Path) -> None:
    """Print the environment variables with which other programs reach the sandbox: proxy, CA, credentials."""
    endpoints = sandboxes.find(_place(state))
    if endpoints is None or not sandboxes.held(endpoints):  # what it prints decides where other programs connect
        raise Unavailable(f"no sandbox is running in {visible(str(state))}", hint="provisioner sandbox start")
    if format_ == "hosts":
        session.result("".join(f"{visible(line)}\n" for line in sandboxes.hosts_lines(endpoints)))
        return
    if application not in endpoints["apps"]:
        known = ", ".join(sorted(map(visible, endpoints["apps"])))
        what = f'"{visible(application)}" is not an application of the sandbox'
        raise InputError([Diagnostic("SANDBOX-APPLICATION", what, f"name one of: {known}")])
    found = sandboxes.client_environment(endpoints, application, ca)
    if format_ == "json":
        session.json(found)
    else:
        session.result("".join(f"{name}={visible(value)}\n" for name, value in found.items()))


@command.command("requests")
@click.option("--since", default=0, metavar="N", help="Print only the requests after this number.")
@_state
@click.pass_obj
def requests(session: Session, since: int, state: Path) -> None:
    """Print the requests that the sandbox received, one JSON object on each line."""
    for entry in _control(state, "GET", f"/requests?since={since}"):
        session.json(entry, indent=None)


# --- profiles --------------------------------------------------------------------------------------------------------


_PROFILES = Path(".provisioner/profiles")


def _state_of(profile: Path) -> Path | None:
    """The state folder of the sandbox that a profile reaches, by the certificate that it trusts; None for others."""
    try:
        values = tomllib.loads(read_ordinary(profile, _LARGEST_PROFILE_BYTES).decode("utf-8"))
        (profile_values,) = values["profiles"].values()
        return Path(profile_values["ca"]).parent.parent
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


_LARGEST_PROFILE_BYTES = 1 << 16


def _profiles_of(state: Path) -> tuple[Path, ...]:
    """The profiles that reach the sandbox of a state folder."""
    if leads_out(_PROFILES / "x"):
        return ()
    return tuple(sorted(file for file in _PROFILES.glob("*.toml") if _state_of(file) == state))


def _refuse_second(name: str, state: Path) -> None:
    """Raise Unavailable where a sandbox runs in this state folder already."""
    running = sandboxes.find(state)
    if running is not None:
        what = f"a sandbox is already running in {visible(str(state))} (pid {running['pid']})"
        raise Unavailable(what, hint=f"use it with --profile {name}, or stop it first: provisioner sandbox stop")


def _refuse_takeover(name: str, state: Path) -> None:
    """Raise InputError where the profile is that of another sandbox that runs: it would be left without one."""
    other = None if leads_out(_PROFILES / "x") else _state_of(_PROFILES / f"{name}.toml")
    if other is not None and other != state and sandboxes.find(other) is not None:
        what = f"the profile {name} belongs to the sandbox that runs on {visible(str(other))}"
        hint = "name other profiles with --profile-name, or stop that one: provisioner sandbox stop --state …"
        raise InputError([Diagnostic("SANDBOX-PROFILE", what, hint)])


def _write_profiles(endpoints: Mapping[str, Any], prefix: str) -> tuple[Path, ...]:
    """The profiles by which settings find it: one that may write, one that may only read, one over PowerShell."""
    _private(Path(".provisioner"))
    _private(_PROFILES)
    files = []
    for suffix, application, transport in (
        ("", "app", "rest"),
        ("-reader", "reader_app", "rest"),
        ("-psrp", "app", "psrp"),
    ):
        name = f"{prefix}{suffix}"
        files.append(_PROFILES / f"{name}.toml")
        write_file(files[-1], profile_toml(name, sandboxes.profile_values(endpoints, application, transport)))
    return tuple(files)


def _forget(profiles: tuple[Path, ...]) -> None:
    for profile in profiles:
        profile.unlink(missing_ok=True)


def _private(folder: Path) -> None:
    """Make a folder that git passes over."""
    try:
        if leads_out(folder / ".gitignore"):
            raise OSError(0, "a link of the checkout leads out of it", str(folder))
        make_private(folder)
        for place in (folder, *folder.parents):
            if place.name == ".provisioner":
                write_file(place / ".gitignore", "*\n", private=False)
    except OSError as error:
        raise InputError([Diagnostic("SANDBOX-STATE", f"{folder} cannot be used: {error.strerror}")]) from error


def _place(state: Path) -> Path:
    """The state folder of a sandbox. Raises InputError where a link of the checkout leads out of it, or from it."""
    links = [entry.name for entry in os.scandir(state) if entry.is_symlink()] if state.is_dir() else []
    if links or leads_out(state / "x"):
        what = f"{state / links[0] if links else state} is a link: a sandbox keeps its files where it is told to"
        raise InputError([Diagnostic("SANDBOX-STATE", what, "remove it, or name another folder with --state")])
    return state.resolve()


# --- the control front -----------------------------------------------------------------------------------------------


def _control(state: Path, method: str, path: str, body: Any = None) -> Any:
    """Ask the running sandbox. Raises Unavailable when none runs, InputError with its words when it refuses."""
    endpoints = sandboxes.find(_place(state))
    if endpoints is None:
        raise Unavailable(f"no sandbox is running in {visible(str(state))}", hint="provisioner sandbox start")
    return sandboxes.ask(endpoints, method, path, body)


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f'"{text}" is not a parameter: write Name=Value')
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
