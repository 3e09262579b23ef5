"""Speaking SMTP as a device of a plan would, and what a refusal means for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from provisioner.devices import Remedy, Way, device_of, remedy, way
from provisioner.diagnosis.diagnose import Diagnosis, diagnose
from provisioner.diagnosis.evidence import Evidence
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model import Desired
from provisioner.model.clouds import CLOUDS, cloud_of_mail
from provisioner.model.devices import Device
from provisioner.operations.context import Context
from provisioner.operations.diagnosing import evidence_of
from provisioner.operations.loading import load_for_devices
from provisioner.operations.mail_hosts import mail_hosts
from provisioner.operations.standing import lacking, observe, part_for, sign_in_name
from provisioner.settings import reference
from provisioner.tenant.credentials import Tokens, make_credential, secret_value
from provisioner.tenant.network import Network
from provisioner.tenant.smtp import Attempt, Dialogue, converse, tls_context


@dataclass(frozen=True, slots=True)
class Probing:
    """What to try. `recipient` is the device's own address by default, `source` an IP address of this machine.

    `password` is a reference (env:NAME or file:PATH), `certificate` a PEM file with its key. Without `send` the
    dialogue ends before DATA.
    """

    device: str
    recipient: str | None = None
    source: str | None = None
    password: str | None = None
    certificate: Path | None = None
    send: bool = False
    timeout_s: int = 60


@dataclass(frozen=True, slots=True)
class Probed:
    """The dialogue, and where the server refused: the diagnosis, the tenant's evidence and the remedy."""

    how: Way
    said: Dialogue
    diagnosis: Diagnosis | None = None
    evidence: Sequence[Evidence] = ()
    remedy: Remedy | None = None


async def probe(
    context: Context, path: Path, probing: Probing, heard: Callable[[str, str], None] | None = None
) -> Probed:
    """Try it. `heard` is given each line of the dialogue and who said it. Raises InputError before anything is sent."""
    desired = load_for_devices(context, path)
    cloud = cloud_of_mail(context.profile.cloud, desired.tenant)
    device, how = device_of(probing.device, desired), way(probing.device, desired, cloud)
    how = dataclasses.replace(how, user=await sign_in_name(context, desired, device.name) or how.user)
    attempt = await _attempt(context, desired, how, probing, cloud.mail_scope)
    context.note(f"Probing as {device.name}: {how.method.replace('_', ' ')} through {attempt.host}:{attempt.port}")
    said = await converse(attempt, heard)
    if not said.refused:
        return Probed(how, said)
    # Who signed in and in whose name is told by the dialogue; so it is read whole.
    text = "\n".join([*(f"user={how.user}" for _ in [0] if how.user), *(line for _, line in said.lines)])
    found = diagnose(text, cloud)
    evidence = await evidence_of(context, found)
    return Probed(how, said, found, evidence, await _remedy(context, device, desired, found))


async def _attempt(context: Context, desired: Desired, how: Way, probing: Probing, scope: str) -> Attempt:
    """What to try: where, as whom, from where; a token is for `scope`.

    Raises InputError for a password that is missing or misplaced.
    """
    recipient, profile = probing.recipient or how.sender, context.profile
    own = profile.endpoints.smtp_submission if how.host else profile.endpoints.smtp_mx
    named = how.host or await _mail_host(context, desired, how.domain) or own
    if not named:
        raise InputError([_nowhere(how.domain, context.profile.tenant is not None)])
    host, _, port = (own or f"{named}:{how.port}").rpartition(":")
    return Attempt(
        host,
        int(port),
        how.sender,
        recipient,
        how.starttls,
        how.authentication if how.user else "none",
        how.user,
        await _secret(context, how, probing.password, scope) if how.user else "",
        probing.source,
        named,
        str(profile.ca) if profile.ca else None,
        certificate=_usable(probing.certificate),
        timeout_s=probing.timeout_s,
        content=_message(how.sender, recipient, probing.device) if probing.send else None,
    )


def _usable(certificate: Path | None) -> str | None:
    """The file of a client certificate, looked at before anything is said. Raises InputError."""
    if certificate is None:
        return None
    try:
        tls_context(None, str(certificate))
    except OSError as error:
        what = f"{certificate} holds no certificate with its key: {error.strerror or error}"
        mend = "a PEM file with both, the key without a password"
        raise InputError([Diagnostic("CERTIFICATE-UNUSABLE", what, mend)]) from error
    return str(certificate)


async def _mail_host(context: Context, desired: Desired, domain: str) -> str:
    return (await mail_hosts(context, desired, [domain])).get(domain, "")


def _nowhere(domain: str, asked: bool) -> Diagnostic:
    """That nobody names the endpoint: the MX in DNS may be that of a filter, which is not to be replaced for this."""
    told = "neither DNS nor the tenant names" if asked else "DNS does not name"
    what = f"{told} the host of {domain} at Microsoft, where relay and direct send go"
    mend = "look at the MX record of the domain in the Microsoft 365 admin center"
    if not asked:
        mend = "give --profile: the tenant names it, also where a mail filter stands in front"
    return Diagnostic("MX-MISSING", what, mend)


async def _secret(context: Context, how: Way, password: str | None, scope: str) -> str:
    if how.authentication == "oauth":
        return await _token(context, scope)
    if password is None:
        what = f"the device signs in as {how.user}, and no password is given"
        raise InputError([Diagnostic("PASSWORD-MISSING", what, "--password env:NAME or --password file:PATH")])
    try:
        return secret_value(reference(password))
    except ValueError:
        what = "--password takes a reference, not the password itself"
        raise InputError([Diagnostic("PASSWORD-MISPLACED", what, "write env:NAME or file:PATH")]) from None


async def _token(context: Context, scope: str) -> str:
    profile = context.profile
    authority = profile.endpoints.authority or CLOUDS[profile.cloud].authority
    tokens = Tokens(make_credential(profile, authority, profile.endpoints.authority is not None, Network.of(profile)))
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


async def _remedy(context: Context, device: Device, desired: Desired, found: Diagnosis) -> Remedy | None:
    """What corrects the fault for this device, by what its tenant has of what the plan declares for it."""
    if not found.known:
        return None
    part = part_for(desired, device.name)
    missing = lacking(part, await observe(context, part))
    return remedy(device, desired, found.cause, seen_ip=found.facts.ip, lacking=missing)
