"""`provisioner devices list|show|report|import`: the devices of a plan; sheets ask DNS for the MX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from provisioner.border import Border
from provisioner.cli.groups import Group
from provisioner.cli.options import complete_devices, output_format, pair, plan_path
from provisioner.cli.session import Session
from provisioner.devices import device_of, summary
from provisioner.devices import report as report_of
from provisioner.operations.connection import run
from provisioner.operations.loading import load_for_devices
from provisioner.operations.proposing import read_list, written
from provisioner.operations.reporting import used
from provisioner.operations.sheets import sheet_of
from provisioner.plan.device_lists import proposal
from provisioner.render import sheets
from provisioner.render.escape import json_text
from provisioner.render.usage import usage_csv, usage_text


@click.group("devices", cls=Group)
def command() -> None:
    """List the devices of a plan, print their settings sheets, and report basic authentication."""


@command.command("list")
@plan_path
@output_format
@click.pass_obj
def list_(session: Session, path: Path, format_: str) -> None:
    """List the devices and how each sends."""
    session.format = format_
    desired = load_for_devices(session, path)
    documents = [summary(device, desired) for device in desired.devices.values()]
    if format_ == "json":
        session.json({"devices": documents})
    else:
        session.text(sheets.list_text(documents))


@command.command("show")
@click.argument("name", shell_complete=complete_devices)
@plan_path
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "markdown", "html", "json"]),
    default="text",
    help="How to print the sheet.",
)
@click.pass_obj
def show(session: Session, name: str, path: Path, format_: str) -> None:
    """Print the settings sheet of a device: what to enter on it. It never contains a password.

    NAME is the device's name, with or without device/ in front.
    """
    session.format = format_
    desired = load_for_devices(session, path)
    device = device_of(name.removeprefix("device/"), desired)
    document = run(sheet_of(session, device, desired))
    forms = {"markdown": sheets.sheet_markdown, "html": sheets.sheet_html, "json": _json}
    if format_ == "text":
        session.text(sheets.sheet_text(document))
    else:
        session.result(forms[format_](document), data=True)


@command.command("report")
@plan_path
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "csv", "html", "json"]),
    default="text",
    help="How to print the report.",
)
@click.option(
    "--inventory",
    metavar="FILE|TIME",
    help="Compare the plan with evidence of use: an inventory (senders discover), or that of the last TIME (90d).",
)
@click.pass_obj
def report(session: Session, path: Path, format_: str, inventory: str | None) -> None:
    """Report which devices still depend on basic authentication, and what each should move to.

    With --inventory also which devices are in use, which no source saw, and which senders nobody declared, each with
    what to do; with a profile (--profile) also whether the tenant accepts the mail of each device today. The CSV format
    then has that comparison alone.
    """
    session.format = format_
    desired = load_for_devices(session, path)
    document = report_of(desired, session.today())
    if inventory is not None:
        document["evidence"] = run(used(session, desired, inventory))
    forms = {"csv": _report_csv, "html": sheets.report_html, "json": _json}
    if format_ == "text":
        session.text(_report_text(document))
    else:
        session.result(forms[format_](document), data=True)


def _report_text(document: Mapping[str, Any]) -> str:
    found = document.get("evidence")
    return sheets.report_text(document) + ("\n" + usage_text(found) if found else "")


def _report_csv(document: Mapping[str, Any]) -> str:
    found = document.get("evidence")
    return usage_csv(found) if found else sheets.report_csv(document)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="HEADER=FIELD",
    help="Read the column HEADER as this field of a device; HEADER= ignores the column (repeatable).",
)
@click.option(
    "--default",
    "defaults",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Use this value in every row that does not state FIELD (repeatable).",
)
@click.option(
    "-o",
    "--out",
    "out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the sites and devices to FILE.",
)
@click.option("--tenant", default="", metavar="DOMAIN", help="Write the header of a new plan for this tenant.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@click.pass_obj
def import_(
    session: Session,
    file: Path,
    maps: tuple[str, ...],
    defaults: tuple[str, ...],
    out: Path | None,
    tenant: str,
    *,
    overwrite: bool,
) -> int:
    """Turn a list of devices (CSV or TSV) into sites and devices of a plan.

    FILE has a header line, separated by commas, semicolons or tabs, in UTF-8, UTF-16 or Windows-1252. Columns are
    recognised by their headers. Nothing is invented: a comment asks for what the list does not state. Rows with
    mistakes are reported with line and column and left out; the others are written, and the exit code is 3.
    """
    session.border = Border(())  # no line of a list is quoted: it may hold a column of passwords
    found = read_list(file, dict(pair("--map", text) for text in maps))
    if found.unused:
        session.note(f"Columns not used: {', '.join(found.unused)}. To use one: --map HEADER=FIELD")
    proposed, mistakes = proposal(found, dict(pair("--default", text) for text in defaults))
    text = written(session, proposed, out, tenant=tenant, overwrite=overwrite)
    if out is None:
        session.result(text, data=True)
    session.diagnose(mistakes)
    if mistakes:
        session.note(f"{len(found.rows) - len(proposed.devices):,} of {len(found.rows):,} rows were left out.")
    return 3 if mistakes else 0


def _json(document: Mapping[str, Any]) -> str:
    return json_text(document) + "\n"
