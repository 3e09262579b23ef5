"""`provisioner probe`."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic_core import PydanticCustomError

from provisioner.cli.diagnose import in_plan, lines, plain
from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.operations.connection import run
from provisioner.operations.probing import Probed, Probing, probe
from provisioner.render.escape import visible
from provisioner.resources.canonical import email_address


def _recipient(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else email_address(text)
    except PydanticCustomError as error:
        raise click.BadParameter(str(error.message())) from None


def _source(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else str(ipaddress.ip_address(text))
    except ValueError:
        raise click.BadParameter(f'"{text}" is no IP address') from None


@click.command("probe")
@click.argument("device")
@plan_path
@click.option(
    "--to", "recipient", metavar="ADDRESS", callback=_recipient, help="To whom; the device's own address by default."
)
@click.option("--send", is_flag=True, help="Deliver one message. Without it the dialogue ends before DATA.")
@click.option(
    "--source", metavar="IP", callback=_source, help="Speak from this address of this machine, as the device would."
)
@click.option("--password", "password", metavar="REFERENCE", help="Where the password is: env:NAME or file:PATH.")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Show this certificate (PEM, with its key), as a device does that is known by one.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="For all of it.",
)
@output_format
@click.pass_obj
def command(
    session: Session,
    device: str,
    path: Path,
    recipient: str | None,
    send: bool,
    source: str | None,
    password: str | None,
    certificate: Path | None,
    timeout_s: int,
    format_: str,
) -> int:
    """Speak SMTP as DEVICE of the plan would, and say what it means when it is refused.

    The password is a reference and is never shown. Exit 0: accepted; 1: refused, or the server could not be spoken to.
    """
    session.format = format_
    probing = Probing(device, recipient, source, password, certificate, send, timeout_s)

    def heard(who: str, line: str) -> None:
        session.result(visible(f"{who}: {line}") + "\n")

    found = run(probe(session, path, probing, heard if format_ == "text" else None))
    if format_ == "json":
        session.json(_facts(found))
    else:
        session.result("".join(f"{line}\n" for line in _lines(found, sent=send)))
    return 0 if found.said.accepted else 1


def _facts(found: Probed) -> dict[str, Any]:
    said = found.said
    return {
        "method": found.how.method,
        "accepted": said.accepted,
        "refused": said.refused,
        "error": said.error,
        "dialogue": [{"from": "client" if who == "C" else "server", "text": text} for who, text in said.lines],
        "diagnosis": plain(found.diagnosis, found.evidence) if found.diagnosis else None,
        "remedy": dataclasses.asdict(found.remedy) if found.remedy else None,
    }


def _lines(found: Probed, *, sent: bool) -> Iterator[str]:
    yield ""
    if found.said.accepted:
        yield "Accepted: one message was delivered." if sent else "Accepted, and ended before the message (--send)."
    elif found.said.error:
        yield visible(f"Not accepted: {found.said.error}")
    elif found.diagnosis is not None:
        yield "Refused."
        yield from lines(found.diagnosis, found.evidence, instead=found.remedy is not None)
        if found.remedy is not None:
            yield visible(f"  for this device: {found.remedy.sentence}")
            yield from in_plan(found.remedy.plan) if found.remedy.plan else ()
