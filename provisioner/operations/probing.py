"""Speaking SMTP as a device of a plan would, and what a refusal means for it."""

from __future__ import annotations

import dataclasses
import email
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from urllib.parse import urlsplit

from provisioner.devices import NAMES, Remedy, Way, afterwards, device_of, remedy, way
from provisioner.diagnosis.diagnose import Diagnosis, diagnose
from provisioner.diagnosis.evidence import Evidence
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.mailflow.basic_authentication import lasting
from provisioner.model import Answer, Desired, Unknown, request_key
from provisioner.model.clouds import Cloud, cloud_of_mail
from provisioner.model.devices import HIGH_VOLUME_EMAIL, LEGACY_TLS, Device
from provisioner.operations.context import Context
from provisioner.operations.device_secrets import Given, secret_of
from provisioner.operations.diagnosing import evidence_of
from provisioner.operations.loading import load_for_devices
from provisioner.operations.mail_hosts import mail_hosts
from provisioner.operations.proposals import best
from provisioner.operations.standing import lacking, observe, part_for, sign_in_name, standing
from provisioner.operations.tracing import Trace, follow
from provisioner.resources.rows import group
from provisioner.settings import Endpoints
from provisioner.tenant.smtp import (
    REFUSED,
    TAKEN,
    Attempt,
    Dialogue,
    answers,
    converse,
    old_handshake,
    speaks,
    tls_context,
)


@dataclass(frozen=True, slots=True)
class Probing:
    """What to try. `recipient` is the device's own address by default, `source` an IP address of this machine.

    `given` are the references to its secrets, `certificate` is a PEM file with its key. Without `send` the dialogue
    ends before DATA; a message that was sent is followed for `trace_s` seconds at most, 0 for not at all.
    """

    device: str
    recipient: str | None = None
    source: str | None = None
    given: Given = field(default_factory=Given)
    certificate: Path | None = None
    send: bool = False
    timeout_s: int = 60
    trace_s: int = 0


@dataclass(frozen=True, slots=True)
class Probed:
    """The dialogue, and where the server refused: the diagnosis, the tenant's evidence and the remedy.

    `limits` say what the device's abilities leave untried, `network` what to ask those who run the network, `after`
    what becomes of mail that was accepted.
    """

    how: Way
    said: Dialogue
    diagnosis: Diagnosis | None = None
    evidence: Sequence[Evidence] = ()
    remedy: Remedy | None = None
    limits: Sequence[str] = ()
    network: Sequence[str] = ()
    trace: Trace | None = None
    after: Sequence[str] = ()


async def probe(
    context: Context, path: Path, probing: Probing, heard: Callable[[str, str], None] | None = None
) -> Probed:
    """Try it. `heard` is given each line of the dialogue and who said it. Raises InputError before anything is sent."""
    desired = load_for_devices(context, path)
    cloud = cloud_of_mail(context.profile.cloud, desired.tenant)
    device, how = device_of(probing.device, desired), way(probing.device, desired, cloud)
    how = dataclasses.replace(how, user=await sign_in_name(context, desired, device.name) or how.user)
    attempt = await _attempt(context, desired, how, probing, cloud)
    context.note(f"Probing as {device.name}: {NAMES[how.method]} through {attempt.host}:{attempt.port}")
    said = await converse(attempt, heard)
    if said.unreachable:
        return await _blocked(context, how, attempt, said, cloud)
    after = list(afterwards(device, desired.choices[device.name], desired)) if said.accepted else []
    after += [line async for line in _group(context, desired, how, probing.recipient)] if said.accepted else []
    if said.accepted and how.user and how.authentication == "basic":
        after += [lasting(hve=how.method == HIGH_VOLUME_EMAIL), *_until(device)]
    found = Probed(how, said, after=after, limits=[line async for line in _limits(how, attempt)])
    if said.accepted and probing.trace_s:
        spf_domain = "" if how.user else how.domain
        trace = await follow(context, desired.tenant, _message_id(attempt, said), spf_domain, probing.trace_s)
        return dataclasses.replace(found, trace=trace)
    if not said.refused:
        return found
    # Who signed in and in whose name is told by the dialogue; so it is read whole.
    text = "\n".join([*(f"user={how.user}" for _ in [0] if how.user), *(line for _, line in said.lines)])
    meant = diagnose(text, cloud)
    return dataclasses.replace(
        found,
        diagnosis=meant,
        evidence=await evidence_of(context, meant),
        remedy=await _remedy(context, device, desired, meant, how),
    )


def _until(device: Device) -> Iterator[str]:
    """The day until which the plan itself means this way to hold."""
    if device.until:
        yield f"the plan has this way for {device.address} until {device.until}"


# --- what cannot be tried --------------------------------------------------------------------------------------------


async def _limits(how: Way, attempt: Attempt) -> AsyncIterator[str]:
    """What the dialogue does not prove, since it is not the device that spoke."""
    if how.tls not in LEGACY_TLS:
        return
    # Exchange Online ended TLS 1.0 and 1.1 (Learn, "TLS 1.0 and 1.1 deprecation for Office 365").
    if how.legacy_tls:
        if not speaks(how.tls):
            what = "not tried, since the OpenSSL of this machine does not speak it: the dialogue uses a newer version"
            yield f"TLS {how.tls}: {what}"
        return
    outcome = await old_handshake(attempt, how.tls)
    setting = "set the device to no encryption, or to STARTTLS only if it goes on in clear text without it"
    if outcome == REFUSED:
        yield f"TLS {how.tls}: the server refuses STARTTLS with it, so the dialogue is in clear text: {setting}"
    elif outcome == TAKEN:
        yield f"TLS {how.tls}: the server accepts STARTTLS with it; the dialogue above is in clear text all the same"
    else:
        yield (
            f"TLS {how.tls}: not tried, since the OpenSSL of this machine does not speak it or the server offers no "
            f"STARTTLS; Exchange Online refuses it: {setting}"
        )


async def _group(context: Context, desired: Desired, how: Way, address: str | None) -> AsyncIterator[str]:
    """What a group does with accepted mail: it may refuse who has not signed in, or hold it for a moderator."""
    if address is None or context.profile.tenant is None:
        return
    request = group.look_up(address)
    nothing = dataclasses.replace(desired, resources={}, devices={}, choices={})
    observed = await observe(context, nothing, (request,))
    answer = observed.evidence.get(request_key(request)) if observed else None
    if isinstance(answer, Unknown):
        yield f"whether {address} is a group that refuses or holds it could not be read: {answer.reason}"
    found = group.decode(answer.rows, address) if isinstance(answer, Answer) else None
    if found and found.authenticated_only and not how.user:
        yield (
            f"{address} is a group that takes mail of authenticated senders only, so that this mail comes back "
            f"(5.7.133): Set-DistributionGroup {address} -RequireSenderAuthenticationEnabled $false, or let the device "
            "sign in"
        )
    if found and found.moderated:
        yield f"{address} is a moderated group: a moderator has to approve each message of the device"


_CONNECT_S = 5.0


async def _blocked(context: Context, how: Way, attempt: Attempt, said: Dialogue, cloud: Cloud) -> Probed:
    """Nothing answered at the port: a blocked port where others answer, else no way out at all."""
    profile = context.profile
    authority = urlsplit(profile.endpoints.authority or cloud.authority)
    sign_in = f"{authority.hostname}:{authority.port or 443}"
    others = {
        f"{cloud.smtp}:587": profile.endpoints.smtp_submission or f"{cloud.smtp}:587",
        sign_in: sign_in,
    }
    open_ = [name for name, place in others.items() if place != attempt.place and await _answers(place)]
    if not open_:
        tried = " and ".join(others)
        return Probed(how, said, network=[f"{tried} do not answer either: this machine has no way out to them"])
    found = diagnose(f"connect to {attempt.tls_name}:{how.port}: Connection timed out", cloud)
    return Probed(how, said, found, network=list(_questions(how, attempt, open_)))


async def _answers(place: str) -> bool:
    host, _, port = place.rpartition(":")
    return await answers(host.strip("[]"), int(port), _CONNECT_S)


def _questions(how: Way, attempt: Attempt, open_: Sequence[str]) -> Iterator[str]:
    """What to ask the network team. The addresses of a host change: Microsoft publishes the ranges."""
    source = attempt.source or ", ".join(a.removesuffix("/32") for a in how.source_addresses) or "this network"
    yield f"{' and '.join(open_)} answer from here, so that the network works and port {how.port} alone does not"
    yield f"ask the network team to allow TCP from {source} to {attempt.tls_name}, port {how.port}, outbound"
    yield 'the ranges of Exchange Online are in "Office 365 URLs and IP address ranges" (Microsoft Learn)'
    if how.port == 25:
        yield "ask whether the provider blocks port 25: Azure, other clouds and many internet providers do by default"
        yield "ask whether a proxy or mail gateway is meant to take mail on port 25 instead"


# --- the attempt -----------------------------------------------------------------------------------------------------


async def _attempt(context: Context, desired: Desired, how: Way, probing: Probing, cloud: Cloud) -> Attempt:
    """What to try: where, as whom, from where, with a token of the `cloud`.

    Raises InputError for a secret that is missing or misplaced.
    """
    recipient, profile = probing.recipient or how.sender, context.profile
    own = _endpoint(profile.endpoints, how)
    if how.host == "" and not own:
        what = f"device/{probing.device}: {how.not_offered}"
        raise InputError([Diagnostic("DEVICE-NO-HOST", what, "choose another method for the device")])
    named = how.host or await _mail_host(context, desired, how.domain) or own
    if not named:
        raise InputError([_nowhere(how.domain, context.profile.tenant is not None)])
    host, _, port = (own or f"{named}:{how.port}").rpartition(":")
    device = device_of(probing.device, desired)
    secret = await secret_of(context, device, how.user, how.authentication, probing.given, cloud) if how.user else ""
    return Attempt(
        host,
        int(port),
        how.sender,
        recipient,
        how.starttls,
        how.tls,
        how.authentication if how.user else "none",
        how.user,
        secret,
        probing.source,
        named,
        str(profile.ca) if profile.ca else None,
        certificate=_usable(probing.certificate),
        timeout_s=probing.timeout_s,
        content=_message(how.sender, recipient, probing.device) if probing.send else None,
    )


def _endpoint(endpoints: Endpoints, how: Way) -> str | None:
    """The address that the profile has for a way; None for the cloud's own."""
    if how.method == HIGH_VOLUME_EMAIL:
        return endpoints.smtp_hve
    return endpoints.smtp_submission if how.host else endpoints.smtp_mx


def _usable(certificate: Path | None) -> str | None:
    """The file of a client certificate, looked at before anything is said. Raises InputError."""
    if certificate is None:
        return None
    try:
        tls_context(None, str(certificate))
    except OSError as error:
        what = f"{certificate} holds no certificate with its key: {error.strerror or error}"
        hint = "a PEM file with both, the key without a password"
        raise InputError([Diagnostic("CERTIFICATE-UNUSABLE", what, hint)]) from error
    return str(certificate)


async def _mail_host(context: Context, desired: Desired, domain: str) -> str:
    return (await mail_hosts(context, desired, [domain])).get(domain, "")


def _nowhere(domain: str, asked: bool) -> Diagnostic:
    """That nobody names the endpoint: the MX in DNS may be that of a filter, which is not to be replaced for this."""
    told = "neither DNS nor the tenant names" if asked else "DNS does not name"
    what = f"{told} the host of {domain} at Microsoft, where relay and direct send go"
    hint = "look at the MX record of the domain in the Microsoft 365 admin center"
    if not asked:
        hint = "give --profile: the tenant names it, also where a mail filter stands in front"
    return Diagnostic("MX-MISSING", what, hint)


def _message(sender: str, recipient: str, device: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"] = sender, recipient
    message["Subject"] = f"provisioner probe of {device}"
    message["Date"], message["Message-ID"] = formatdate(localtime=False), make_msgid(domain=sender.rpartition("@")[2])
    message.set_content(f"Sent by provisioner probe, as {device} would send.\n")
    return message.as_bytes()


_SAID_ID = re.compile(r"<[^<>\s]+@[^<>\s]+>")


def _message_id(attempt: Attempt, said: Dialogue) -> str:
    """The Message-ID that the service answered with, which counts where it gave one of its own; else ours."""
    at = max(i for i, (who, line) in enumerate(said.lines) if who == "C" and line.startswith("DATA"))
    answer = next((line for who, line in said.lines[at:] if who == "S"), "")
    named = _SAID_ID.search(answer)
    return named[0] if named else str(email.message_from_bytes(attempt.content or b"")["Message-ID"])


async def _remedy(context: Context, device: Device, desired: Desired, found: Diagnosis, how: Way) -> Remedy | None:
    """What corrects the fault for this device, by what its tenant has of what the plan declares for it."""
    if not found.known and how.method != HIGH_VOLUME_EMAIL:
        return None
    part = part_for(desired, device.name)
    observed = await observe(context, part)
    missing = tuple(lacking(part, observed))
    stands = {a: standing(r, observed)["not_in_force"] for a, r in part.resources.items()}
    proposed = [
        remedy(device, desired, found.cause, seen_ip=found.facts.ip, lacking=lacks, idle=stands)
        for lacks in dict.fromkeys([missing, ()])
    ]
    return await best(context, device.name, desired, [one for one in proposed if one], found.facts.ip)
