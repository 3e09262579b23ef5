"""`provisioner probe`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic_core import PydanticCustomError

from provisioner.cli.diagnose import in_plan, lines, plain
from provisioner.cli.options import complete_devices, output_format, plan_path
from provisioner.cli.session import Session
from provisioner.mailflow.basic_authentication import with_countdown
from provisioner.operations.connection import run
from provisioner.operations.device_secrets import Given
from provisioner.operations.probing import Probed, Probing, probe
from provisioner.operations.tracing import Trace
from provisioner.render.escape import visible
from provisioner.resources.canonical import email_address
from provisioner.resources.rows.message_trace import DELIVERED, EXPANDED, FAILED, JUNK, PENDING, QUARANTINE


def _recipient(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else email_address(text)
    except PydanticCustomError as error:
        raise click.BadParameter(str(error.message())) from None


def _source(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else str(ipaddress.ip_address(text))
    except ValueError:
        raise click.BadParameter(f'"{text}" is not an IP address') from None


@click.command("probe")
@click.argument("device", shell_complete=complete_devices)
@plan_path
@click.option(
    "--to",
    "recipient",
    metavar="ADDRESS",
    callback=_recipient,
    help="Send to ADDRESS. [default: the device's own address]",
)
@click.option("--send", is_flag=True, help="Deliver one message. Without it the dialogue ends before DATA.")
@click.option(
    "--source", metavar="IP", callback=_source, help="Connect from this local IP address, as the device would."
)
@click.option("--password", "password", metavar="REFERENCE", help="Read the password from env:NAME or file:PATH.")
@click.option("--client-id", "client_id", metavar="ID", help="Sign in as this application. [default: the plan's]")
@click.option(
    "--client-secret",
    "client_secret",
    metavar="REFERENCE",
    help="Read the client secret of the device's application from env:NAME or file:PATH.",
)
@click.option(
    "--token",
    "token",
    metavar="REFERENCE",
    help="Read an access token that a person got for the device from env:NAME or file:PATH.",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Present this client certificate (PEM, with its private key).",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Overall time limit, in seconds.",
)
@click.option(
    "--trace",
    is_flag=True,
    help="With --send: follow the message through the message trace to delivered, junk, quarantine or failed.",
)
@click.option(
    "--trace-timeout",
    "trace_s",
    type=click.IntRange(1, 86400),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="Wait up to SECONDS for the message trace.",
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
    client_id: str | None,
    client_secret: str | None,
    token: str | None,
    certificate: Path | None,
    timeout_s: int,
    trace: bool,
    trace_s: int,
    format_: str,
) -> int:
    """Test over SMTP whether DEVICE of the plan can send, and explain a refusal.

    A device that uses OAuth signs in as its own application, with a token from the authority of the tenant's cloud.
    Secrets are given by reference and never shown. Exit 0 where the mail is accepted, and with --trace delivered; 1
    where it is refused or not delivered, or the server cannot be reached.
    """
    if trace and not send:
        raise click.UsageError("--trace follows a message that is sent: give --send too")
    if trace and session.profile.tenant is None:
        raise click.UsageError("--trace asks the tenant: give --profile")
    session.format = format_
    given = Given(password, client_id, client_secret, token)
    probing = Probing(device, recipient, source, given, certificate, send, timeout_s, trace_s if trace else 0)

    def heard(who: str, line: str) -> None:
        session.result(visible(f"{who}: {line}") + "\n")

    found = run(probe(session, path, probing, heard if format_ == "text" else None))
    if format_ == "json":
        session.json(_facts(found))
    else:
        text = "".join(f"{line}\n" for line in _lines(found, session.today(), sent=send))
        session.text(_painted(text, found.said.accepted) if session.colored(sys.stdout) else text)
    return 0 if found.said.accepted and (found.trace is None or found.trace.arrived) else 1


def _facts(found: Probed) -> dict[str, Any]:
    said = found.said
    return {
        "method": found.how.method,
        "accepted": said.accepted,
        "refused": said.refused,
        "error": said.error,
        "dialogue": [{"from": "client" if who == "C" else "server", "text": text} for who, text in said.lines],
        "diagnosis": plain(found.diagnosis, found.evidence) if found.diagnosis else None,
        "remedy": {"sentence": found.remedy.sentence, "plan": found.remedy.plan} if found.remedy else None,
        "limits": list(found.limits),
        "after": list(found.after),
        "network": list(found.network),
        "trace": dataclasses.asdict(found.trace) if found.trace else None,
    }


_GREEN, _RED, _RESET = "\x1b[1;32m", "\x1b[1;31m", "\x1b[0m"


def _painted(text: str, accepted: bool) -> str:
    """The verdict, which is the first line with words, in green or red."""
    head, newline, rest = text.lstrip("\n").partition("\n")
    return f"\n{_GREEN if accepted else _RED}{head}{_RESET}{newline}{rest}"


def _lines(found: Probed, today: dt.date, *, sent: bool) -> Iterator[str]:
    yield ""
    if found.said.accepted:
        yield "Accepted: one message was delivered." if sent else "Accepted, and ended before the message (--send)."
    elif found.said.error:
        yield visible(f"Not accepted: {found.said.error}")
        yield from lines(found.diagnosis, ()) if found.diagnosis else ()
    elif found.diagnosis is not None:
        yield "Refused."
        yield from lines(found.diagnosis, found.evidence, instead=found.remedy is not None)
        if found.remedy is not None:
            yield visible(f"  for this device: {found.remedy.sentence}")
            yield from in_plan(found.remedy.plan) if found.remedy.plan else ()
    after = (with_countdown(line, today) for line in found.after)
    yield from (visible(f"  {line}") for line in (*found.network, *found.limits, *after))
    yield from map(visible, _traced(found.trace) if found.trace else ())


def _traced(trace: Trace) -> Iterator[str]:
    yield f"Traced: {trace.message_id}"
    if not trace.fates and not trace.unread:
        yield "  the message trace does not show it yet: look again later, or wait longer with --trace-timeout"
    for fate in trace.fates:
        yield f"  {fate.recipient}: {_STATES[fate.state]}"
        yield from [f"    {fate.detail}"] if fate.detail else ()
    if trace.results:
        said = ", ".join(f"{name} {word}" for name, word in trace.results.items())
        yield f"  {said} ({_SOURCES[trace.source]})"
    yield from (f"  not read: {why}" for why in trace.unread)


_STATES = {
    DELIVERED: "delivered",
    JUNK: "delivered to the Junk Email folder",
    QUARANTINE: "held in quarantine",
    FAILED: "not delivered",
    EXPANDED: "expanded to the members of a group",
    PENDING: "still pending",
}
_SOURCES = {
    "header": "Authentication-Results of the delivered message",
    "dns": "evaluated by DNS for the address that the service saw",
}
