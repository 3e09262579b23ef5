"""`provisioner devices list|show|report`: the devices of a plan, without a tenant; sheets ask DNS for the MX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.operations.mail_records import asking, microsoft_mx
from provisioner.operations.planning import run

if TYPE_CHECKING:
    from provisioner.model import Desired


@click.group("devices")
def command() -> None:
    """The devices of a plan: how each sends, what to type into it, who depends on basic authentication."""


@command.command("list")
@plan_path
@output_format
@click.pass_obj
def list_(session: Session, path: Path, format_: str) -> None:
    """List the devices and how each sends."""
    from provisioner.devices import summary
    from provisioner.render.sheets import list_text

    session.format = format_
    desired = load(session, path)
    documents = [summary(device, desired) for device in desired.devices.values()]
    session.result(_json({"devices": documents}) if format_ == "json" else list_text(documents))


@command.command("show")
@click.argument("name")
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
    """Print the settings sheet of one device: what to type into it. It never holds a password.

    NAME is the device's name, with device/ in front of it or without.
    """
    from provisioner.devices import device_of, sheet
    from provisioner.model.clouds import cloud_of_mail
    from provisioner.model.devices import CLIENT_SUBMISSION
    from provisioner.render import sheets

    session.format = format_
    desired = load(session, path)
    device = device_of(name.removeprefix("device/"), desired)
    found: Mapping[str, str] = {}
    if desired.choices[device.name].method not in {None, CLIENT_SUBMISSION}:
        found = run(microsoft_mx(asking(session), [device.sender.rpartition("@")[2]]))
    document = sheet(device, desired, found, cloud_of_mail(session.profile.cloud, desired.tenant))
    forms = {"text": sheets.sheet_text, "markdown": sheets.sheet_markdown, "html": sheets.sheet_html, "json": _json}
    session.result(forms[format_](document))


@command.command("report")
@plan_path
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "csv", "html", "json"]),
    default="text",
    help="How to print the report.",
)
@click.pass_obj
def report(session: Session, path: Path, format_: str) -> None:
    """Say who still depends on basic authentication, and what each should move to before it is switched off."""
    from provisioner import devices
    from provisioner.render import sheets

    session.format = format_
    document = devices.report(load(session, path), session.today())
    forms = {"text": sheets.report_text, "csv": sheets.report_csv, "html": sheets.report_html, "json": _json}
    session.result(forms[format_](document))


def load(session: Session, path: Path) -> Desired:
    """The plan with what its devices take, its warnings shown. A device that nothing will do for may be looked at."""
    from provisioner.model import Waiver
    from provisioner.plan import document
    from provisioner.resources import TYPES

    lost = Waiver("DEVICE-NO-METHOD", reason="it is looked at")
    desired, warnings = document.load(
        path, TYPES, today=session.today(), waivers=[lost], variables=session.variables, border=session.border
    )
    session.diagnose(warnings)
    return desired


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
