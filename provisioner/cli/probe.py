"""`provisioner probe`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.devices import load
from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.operations.planning import run
from provisioner.operations.standing import lacking, observe, part_for
from provisioner.render.escape import visible

if TYPE_CHECKING:
    from provisioner.devices import Remedy, Way
    from provisioner.diagnosis.diagnose import Diagnosis
    from provisioner.diagnosis.evidence import Evidence
    from provisioner.model import Desired
    from provisioner.model.devices import Device
    from provisioner.tenant.smtp import Attempt, Dialogue


def _recipient(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    from pydantic_core import PydanticCustomError

    from provisioner.resources.canonical import email_address

    try:
        return None if text is None else email_address(text)
    except PydanticCustomError as error:
        raise click.BadParameter(str(error.message())) from None


def _source(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    import ipaddress

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
    from provisioner.devices import device_of, way
    from provisioner.model.clouds import cloud_of_mail
    from provisioner.tenant.smtp import converse

    session.format = format_
    desired = load(session, path)
    cloud = cloud_of_mail(session.profile.cloud, desired.tenant)
    how = way(device, desired, cloud)
    attempt = _attempt(session, how, recipient or how.sender, source, password, cloud.mail_scope)
    attempt = dataclasses.replace(attempt, certificate=_usable(certificate), timeout_s=timeout_s)
    if send:
        attempt = dataclasses.replace(attempt, content=_message(how.sender, attempt.recipient, device))
    session.note(f"Probing as {device}: {how.method.replace('_', ' ')} through {attempt.host}:{attempt.port}")

    def told(who: str, text: str) -> None:
        session.result(visible(f"{who}: {text}") + "\n")

    said = run(converse(attempt, told if format_ == "text" else None))
    found, evidence = _explained(session, said, how)
    mended = _remedy(session, device_of(device, desired), desired, found) if found else None
    if format_ == "json":
        session.result(json.dumps(_facts(said, found, evidence, mended, how), indent=1, ensure_ascii=False) + "\n")
    else:
        session.result("".join(f"{line}\n" for line in _lines(said, found, evidence, mended, sent=send)))
    return 0 if said.accepted else 1


def _attempt(
    session: Session, how: Way, recipient: str, source: str | None, password: str | None, scope: str
) -> Attempt:
    """What to try: where, as whom, from where; a token is for `scope`.

    Raises InputError for a password that is wanted or misplaced.
    """
    from provisioner.tenant.smtp import Attempt

    named = how.host or _mx(session, how.domain)
    own = session.profile.endpoints.smtp_submission if how.host else session.profile.endpoints.smtp_mx
    host, _, port = (own or f"{named}:{how.port}").rpartition(":")
    return Attempt(
        host,
        int(port),
        how.sender,
        recipient,
        how.starttls,
        how.authentication if how.user else "none",
        how.user,
        _secret(session, how, password, scope) if how.user else "",
        source,
        named,
        str(session.profile.ca) if session.profile.ca else None,
    )


def _usable(certificate: Path | None) -> str | None:
    """The file of a client certificate, looked at before anything is said. Raises InputError."""
    from provisioner.tenant.smtp import tls_context

    if certificate is None:
        return None
    try:
        tls_context(None, str(certificate))
    except OSError as error:
        what = f"{certificate} holds no certificate with its key: {error.strerror or error}"
        mend = "a PEM file with both, the key without a password"
        raise InputError([Diagnostic("CERTIFICATE-UNUSABLE", what, mend)]) from error
    return str(certificate)


def _mx(session: Session, domain: str) -> str:
    from provisioner.operations.mail_records import asking, microsoft_mx

    found = run(microsoft_mx(asking(session), [domain]))
    if domain not in found:
        what = f"{domain} has no MX at Microsoft, where relay and direct send go"
        raise InputError([Diagnostic("MX-MISSING", what, "provisioner dns check says what to publish")])
    return found[domain]


def _secret(session: Session, how: Way, password: str | None, scope: str) -> str:
    from provisioner.settings import reference
    from provisioner.tenant.credentials import secret_value

    if how.authentication == "oauth":
        return run(_token(session, scope))
    if password is None:
        what = f"the device signs in as {how.user}, and no password is given"
        raise InputError([Diagnostic("PASSWORD-MISSING", what, "--password env:NAME or --password file:PATH")])
    try:
        return secret_value(reference(password))
    except ValueError:
        what = "--password takes a reference, not the password itself"
        raise InputError([Diagnostic("PASSWORD-MISPLACED", what, "write env:NAME or file:PATH")]) from None


async def _token(session: Session, scope: str) -> str:
    from provisioner.model.clouds import CLOUDS
    from provisioner.tenant.credentials import Tokens, make_credential

    profile = session.profile
    authority = profile.endpoints.authority or CLOUDS[profile.cloud].authority
    tokens = Tokens(make_credential(profile, authority, profile.endpoints.authority is not None))
    try:
        return await tokens.token(scope)
    finally:
        await tokens.close()


def _message(sender: str, recipient: str, device: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"] = sender, recipient
    message["Subject"] = f"provisioner probe of {device}"
    message["Date"], message["Message-ID"] = formatdate(localtime=False), make_msgid(domain=sender.rpartition("@")[2])
    message.set_content(f"Sent by provisioner probe, as {device} would send.\n")
    return message.as_bytes()


def _explained(session: Session, said: Dialogue, how: Way) -> tuple[Diagnosis | None, Sequence[Evidence]]:
    from provisioner.cli.diagnose import ask
    from provisioner.diagnosis.diagnose import diagnose

    if not said.refused:
        return None, ()
    # Who signed in and in whose name is told by the dialogue; so it is read whole.
    text = "\n".join([*(f"user={how.user}" for _ in [0] if how.user), *(line for _, line in said.lines)])
    found = diagnose(text)
    return found, ask(session, found) if session.profile.tenant is not None and found.known else ()


def _remedy(session: Session, device: Device, desired: Desired, found: Diagnosis) -> Remedy | None:
    """What mends it for this device, by what its tenant has of what the plan declares for it."""
    from provisioner.devices import remedy

    if not found.known:
        return None
    part = part_for(desired, device.name)
    missing = lacking(part, observe(session, part))
    return remedy(device, desired, found.cause, seen_ip=found.facts.ip, lacking=missing)


def _facts(said: Dialogue, found: Any, evidence: Sequence[Any], mended: Any, how: Way) -> dict[str, Any]:
    from provisioner.cli.diagnose import plain

    return {
        "method": how.method,
        "accepted": said.accepted,
        "refused": said.refused,
        "error": said.error,
        "dialogue": [{"from": "client" if who == "C" else "server", "text": text} for who, text in said.lines],
        "diagnosis": plain(found, evidence) if found else None,
        "remedy": dataclasses.asdict(mended) if mended else None,
    }


def _lines(said: Dialogue, found: Any, evidence: Sequence[Any], mended: Any, *, sent: bool) -> Iterator[str]:
    from provisioner.cli.diagnose import in_plan, lines

    yield ""
    if said.accepted:
        yield "Accepted: one message was delivered." if sent else "Accepted, and ended before the message (--send)."
    elif said.error:
        yield visible(f"Not accepted: {said.error}")
    else:
        yield "Refused."
        yield from lines(found, evidence, instead=mended is not None)
        if mended is not None:
            yield visible(f"  for this device: {mended.sentence}")
            yield from in_plan(mended.plan) if mended.plan else ()
