"""`provisioner fleet …`: many tenants in one run, by a durable engine (extra `fleet`)."""

from __future__ import annotations

import functools
import importlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from provisioner import platforms
from provisioner.border import read_named, write_result
from provisioner.cli.groups import Group
from provisioner.cli.options import allows, duration, output_format
from provisioner.cli.session import Session, crash_file, settings_files
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.extras import need
from provisioner.fleet.description import load
from provisioner.fleet.reporting import exit_code
from provisioner.fleet.waves import NOTHING, Approved
from provisioner.model.fleet import FleetReport, Kind
from provisioner.model.listing import counted
from provisioner.plan.yaml_nodes import LARGEST_BYTES, parse
from provisioner.render import fleet as render
from provisioner.settings import Profile

_DIGEST = re.compile("sha256:[0-9a-f]{64}")


@click.group("fleet", cls=Group)
def command() -> None:
    """Plan, apply and check many tenants in one run, which can be resumed after a crash (extra `fleet`).

    fleet.yaml lists the tenants with their plans and profiles. The store keeps the runs: SQLite in the state folder, or
    a PostgreSQL database that several machines share.
    """


def fleet_file(function: Any) -> Any:
    """The argument FLEET."""
    decorate = click.argument("file", type=click.Path(path_type=Path), default=Path("fleet.yaml"), required=False)
    return decorate(function)


store_option = click.option(
    "--store",
    "store",
    default="",
    envvar="PROVISIONER_FLEET_STORE",
    metavar="URL",
    help="Keep the runs in this store: sqlite:PATH or postgresql://HOST/DATABASE. [default: SQLite in the state "
    "folder]",
)
run_argument = click.argument("run", default="")
format_option = output_format
selects = click.option(
    "--select",
    "selects",
    multiple=True,
    metavar="LABEL=VALUE",
    help="Take only the tenants with this label; repeat it for tenants that have all of several labels.",
)
workers_option = click.option(
    "--workers",
    "workers",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    metavar="N",
    help="Work on N tenants at once in this process.",
)


def applying(function: Any) -> Any:
    """The options of what applies, as one argument `terms`: those of `Terms`."""

    @functools.wraps(function)
    def given(*arguments: Any, **options: Any) -> Any:
        names, file = frozenset(options.pop("approve")), options.pop("approved")
        approved = Approved("all" in names, names - {"all"}, _digests(file) if file else {})
        lengths = {name: options.pop(name) for name in ("wait_s", "lock_wait_s")}
        waits = {name: duration(text) for name, text in lengths.items() if text is not None}
        return function(*arguments, terms={"approved": approved, **waits}, **options)

    decorated = given
    for option in (
        click.option("--lock-wait", "lock_wait_s", metavar="TIME",
                     help="Wait up to TIME for another apply of a tenant to finish. [default: 5m; resume: as before]"),
        click.option("--wait", "wait_s", metavar="TIME",
                     help="Wait up to TIME for DNS records to appear. [default: 0; resume: as before]"),
        click.option("--approved", type=click.Path(path_type=Path), metavar="FILE",
                     help="Approve the change sets whose digests this YAML file lists (TENANT: sha256:…)."),
        click.option("--approve", multiple=True, metavar="TENANT|all",
                     help="Approve the change set of this tenant, or of all (repeatable)."),
    ):  # fmt: skip
        decorated = option(decorated)
    return decorated


def _digests(file: Path) -> dict[str, str]:
    """The digests of a file, by tenant. Raises InputError."""
    try:
        parsed = parse(read_named(file, LARGEST_BYTES + 1), file.as_posix())
    except (OSError, ValueError) as error:
        what = f"--approved {file} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InputError([Diagnostic("FLEET-APPROVED", what, "name a YAML file of TENANT: sha256:…")]) from error
    content = parsed.root.content() if parsed.root else None
    if any(d.id != "YAML-NOT-MAPPING" for d in parsed.diagnostics):
        raise InputError(parsed.diagnostics)
    if not isinstance(content, dict) or not all(isinstance(v, str) and _DIGEST.fullmatch(v) for v in content.values()):
        what = f"--approved {file} is not a mapping of tenants to digests"
        raise InputError([Diagnostic("FLEET-APPROVED", what, "write TENANT: sha256:…, as the report shows it")])
    return content


# --- commands that work ----------------------------------------------------------------------------------------------


@command.command("plan")
@fleet_file
@selects
@store_option
@workers_option
@allows
@format_option
@click.pass_obj
def plan(
    session: Session,
    file: Path,
    selects: tuple[str, ...],
    store: str,
    workers: int,
    allows: tuple[str, ...],
    format_: str,
) -> int:
    """Plan every tenant and save the change sets.

    `fleet resume` with approvals applies them. Exit 8 where a tenant could not be planned.
    """
    session.format = format_
    return _begin(session, file, store, "plan", selects, workers, {"allows": allows})


@command.command("apply")
@fleet_file
@selects
@store_option
@workers_option
@applying
@allows
@format_option
@click.pass_obj
def apply(
    session: Session,
    file: Path,
    selects: tuple[str, ...],
    store: str,
    workers: int,
    terms: Mapping[str, Any],
    allows: tuple[str, ...],
    format_: str,
) -> int:
    """Plan every tenant, and apply the change sets that are approved: the canary wave first.

    Exit 10 where a tenant waits for approval: no process has to run meanwhile, and `fleet resume` applies it.
    Exit 8 where something was not applied.
    """
    session.format = format_
    return _begin(session, file, store, "apply", selects, workers, {**terms, "allows": allows})


@command.command("drift")
@fleet_file
@click.option(
    "--scheduled",
    is_flag=True,
    help="Keep running and check by `drift.schedule` of fleet.yaml, until a signal (Ctrl-C) ends it.",
)
@click.option("--textfile", type=click.Path(path_type=Path), metavar="FILE",
              help="Write metrics for Prometheus to this file after each run.")  # fmt: skip
@selects
@store_option
@workers_option
@format_option
@click.pass_obj
def drift(
    session: Session,
    file: Path,
    scheduled: bool,
    textfile: Path | None,
    selects: tuple[str, ...],
    store: str,
    workers: int,
    format_: str,
) -> int:
    """Show which tenants are not as their plans declare them (exit 2)."""
    session.format = format_
    desk, fleet = _desk(), load(file)

    def told(found: FleetReport) -> int:
        if textfile:
            write_result(textfile, render.prometheus(found), "--textfile", private=False)
        return _print(session, found)

    with desk.opened(store, session.state_folder) as here:
        around = _surroundings(session, desk)
        if scheduled:
            here.serve(fleet, selects, workers, around, told)
            return 0
        run = _begun(session, here.begin(fleet, "drift", selects, desk.Terms(), session.clock))
        return told(here.work(fleet, run, workers, around))


@command.command("resume")
@run_argument
@click.option("--fleet", "file", type=click.Path(path_type=Path), default=Path("fleet.yaml"), metavar="FILE",
              help="Read the tenants from this file.")  # fmt: skip
@click.option("--retry", is_flag=True, help="Also retry the tenants whose plan or apply failed or was incomplete.")
@store_option
@workers_option
@applying
@allows
@format_option
@click.pass_obj
def resume(
    session: Session,
    run: str,
    file: Path,
    retry: bool,
    store: str,
    workers: int,
    terms: Mapping[str, Any],
    allows: tuple[str, ...],
    format_: str,
) -> int:
    """Resume a run (the newest by default): after a crash, with approvals, or as one more worker.

    With approvals, a run of `fleet plan` becomes one that applies.
    """
    session.format = format_
    desk, fleet = _desk(), load(file)
    with desk.opened(store, session.state_folder) as here:
        found = here.resume(run, desk.Terms(**terms, allows=allows), retry=retry)
        report = here.work(fleet, found, workers, _surroundings(session, desk))
        return _print(session, report, terms["approved"])


# --- commands that look ----------------------------------------------------------------------------------------------


@command.command("status")
@run_argument
@store_option
@format_option
@click.pass_obj
def status(session: Session, run: str, store: str, format_: str) -> int:
    """Show the state of each tenant of a run (the newest run by default)."""
    session.format = format_
    with _desk().seen(store, session.state_folder) as here:
        return _print(session, here.report(run))


@command.command("report")
@run_argument
@click.option(
    "--format", "format_", type=click.Choice(["text", "json", "html", "prometheus"]), default="text",
    help="How to print the report; `prometheus` is for a textfile collector.",
)  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the report to this file.")
@store_option
@click.pass_obj
def report(session: Session, run: str, format_: str, out: Path | None, store: str) -> int:
    """Print the report of a run, for all tenants (the newest run by default)."""
    session.format = "json" if format_ == "json" else "text"
    with _desk().seen(store, session.state_folder) as here:
        found = here.report(run)
    if format_ == "json" and out is None:
        session.json(found)
        return 0
    as_json: Callable[[FleetReport], str] = lambda r: json.dumps(r, ensure_ascii=True, indent=1) + "\n"  # noqa: E731
    renderers = {"text": render.text, "json": as_json, "html": render.html, "prometheus": render.prometheus}
    content = renderers[format_](found)
    if out is None:
        session.text(content) if format_ == "text" else session.result(content, data=True)
        return 0
    write_result(out, content, "--out", private=format_ != "prometheus")
    return 0


@command.command("cancel")
@run_argument
@store_option
@click.pass_obj
def cancel(session: Session, run: str, store: str) -> int:
    """Cancel a run (the newest by default): no tenant is begun, and each apply ends after the write in flight."""
    with _desk().seen(store, session.state_folder) as here:
        _print(session, here.report(here.cancel(run).id))
    return 0


# --- what they share -------------------------------------------------------------------------------------------------


def _desk() -> ModuleType:
    """What works with the extra, loaded once it is known to be there. Raises InputError without it."""
    need("fleet", "a fleet")
    return importlib.import_module("provisioner.fleet.desk")


def _begun(session: Session, run: Any) -> Any:
    """A run, whose id is told."""
    count = counted(len(run.tenants), "tenant")
    session.note(f"Run {run.id} of {count}; to continue it after a crash: provisioner fleet resume {run.id}")
    return run


def _begin(
    session: Session,
    file: Path,
    store: str,
    kind: Kind,
    selects: tuple[str, ...],
    workers: int,
    terms: Mapping[str, Any],
) -> int:
    """Begin a run, work on it and print its report."""
    desk, fleet = _desk(), load(file)
    with desk.opened(store, session.state_folder) as here:
        run = _begun(session, here.begin(fleet, kind, selects, desk.Terms(**terms), session.clock))
        report = here.work(fleet, run, workers, _surroundings(session, desk))
        return _print(session, report, terms.get("approved", NOTHING))


def _surroundings(session: Session, desk: ModuleType) -> Any:
    """What a worker has of this machine."""

    def stopping(event: threading.Event) -> AbstractContextManager[None]:
        return platforms.on_endings(event.set)

    return desk.Surroundings(
        _profiles(session), session.state_folder, session.clock, session.note, crash_file, stopping
    )


def _profiles(session: Session) -> Callable[[str], Profile]:
    """The profiles that count in the working folder, each read once; what a checkout decides is told once."""

    @functools.cache
    def profile(name: str) -> Profile:
        found = settings_files().find_profile(name, Path.cwd(), trusting=session.trusting)
        for text in found.notes:
            session.note(text)
        loaded: Profile = found.profile
        return loaded

    return profile


def _print(session: Session, found: FleetReport, approved: Approved = NOTHING) -> int:
    """Print the report and what to do next, and give the exit code. `approved` is what this command approves."""
    if session.format == "json":
        session.json(found)
    else:
        session.text(render.text(found))
    for tenant in found["tenants"]:
        listed = approved.digests.get(tenant["name"], tenant["digest"])
        if tenant["state"] == "waiting_for_approval" and listed != tenant["digest"]:
            session.note(f"{tenant['name']} waits: --approved lists {listed}, and its change set has another digest")
    for line in render.next_steps(found):
        session.note(line)
    return exit_code(found)
