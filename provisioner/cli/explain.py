"""`provisioner explain`: why a device sends as it does, what a resource is for, and what stands in the way."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.devices import load
from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.operations.standing import observe, part_for, standing
from provisioner.render.escape import visible

if TYPE_CHECKING:
    from provisioner.model import Address, Desired, Observed

Document = dict[str, Any]


@click.command("explain")
@click.argument("subject", metavar="ADDRESS|device/NAME")
@plan_path
@output_format
@click.pass_obj
def command(session: Session, subject: str, path: Path, format_: str) -> None:
    """Explain a device (device/NAME) or a resource (TYPE/KEY) of a plan.

    With a profile (--profile) the tenant is asked how the resources stand, and whether the mailbox can really sign in:
    which of its switches blocks.
    """
    from provisioner.devices import device_of
    from provisioner.diagnostics import Diagnostic, InputError
    from provisioner.model import Address

    session.format = format_
    desired = load(session, path)
    if subject.startswith("device/"):
        device = device_of(subject.removeprefix("device/"), desired)
        document = _device(session, device.name, desired)
    else:
        try:
            address = Address.parse(subject)
        except ValueError as error:
            raise InputError([Diagnostic("ADDRESS-INVALID", str(error), "write device/NAME or TYPE/KEY")]) from None
        document = _resource(session, address, desired)
    session.result(json.dumps(document, indent=1, ensure_ascii=False) + "\n" if format_ == "json" else _text(document))


# --- what is said ----------------------------------------------------------------------------------------------------


def _device(session: Session, name: str, desired: Desired) -> Document:
    from provisioner import rules
    from provisioner.devices import summary
    from provisioner.model.devices import CLIENT_SUBMISSION

    device, choice = desired.devices[name], desired.choices[name]
    part = part_for(desired, name)
    observed = observe(session, part, rules.questions(part))
    document: Document = {
        "subject": device.address,
        "at": str(device.location or ""),
        **summary(device, desired),
    }
    document["resources"] = [standing(resource, observed) for resource in part.resources.values()]
    if observed is not None and choice.method == CLIENT_SUBMISSION:
        document["sign_in"] = [_verdict(device.mailbox, choice.authentication, observed)]
    return document


def _resource(session: Session, address: Address, desired: Desired) -> Document:
    from provisioner import rules
    from provisioner.diagnostics import Diagnostic, InputError

    resource = desired.resources.get(address)
    mailbox = address.key if address.type == "smtp_auth" and "@" in address.key else ""
    if resource is None and not mailbox:
        mend = "see what it declares: provisioner plan; devices: provisioner devices list"
        raise InputError([Diagnostic("ADDRESS-UNKNOWN", f"the plan declares no {address}", mend)])
    part = dataclasses.replace(desired, resources={address: resource} if resource else {}, devices={}, choices={})
    observed = observe(session, part, rules.sign_in_questions([mailbox], part) if mailbox else ())
    document: Document = {"subject": address.short, "at": str(resource.location or "") if resource else ""}
    if resource is not None:
        document["resources"] = [standing(resource, observed)]
        document["devices"] = [
            {"device": n, "method": desired.choices[n].method, "why": list(desired.choices[n].reasons)}
            for n in resource.devices
        ]
        found = [f for f in rules.lint(desired) if f.address == address]
        document["findings"] = [{"rule": f.rule, "summary": f.summary, "mend": f.mend} for f in found]
    if mailbox and observed is not None:
        document["sign_in"] = [_verdict(mailbox, kind, observed) for kind in ("basic", "oauth")]
    return document


def _verdict(mailbox: str, authentication: str, observed: Observed) -> Document:
    from provisioner import rules

    switches = rules.switches_of(mailbox, observed)
    verdict = rules.judge(switches, authentication)
    facts = {**dataclasses.asdict(verdict), "unknown": list(verdict.unknown)}
    return {"mailbox": mailbox, "authentication": authentication, **facts, "switches": dataclasses.asdict(switches)}


# --- how it is printed -----------------------------------------------------------------------------------------------


def _text(document: Mapping[str, Any]) -> str:
    at = f" ({document['at']})" if document["at"] else ""
    lines = [f"{visible(document['subject'])}{visible(at)}"]
    if "method" in document:
        lines += _method(document)
    for device in document.get("devices", ()):
        lines.append(f"  for device/{visible(device['device'])}, which sends by {device['method']}")
    if document.get("resources"):
        lines += ["", "  It takes:" if "method" in document else "  Declared:"]
        for resource in document["resources"]:
            lines += _one(resource)
    for finding in document.get("findings", ()):
        lines += ["", f"  {finding['rule']}: {visible(finding['summary'])}"]
    for verdict in document.get("sign_in", ()):
        lines += _sign_in(verdict)
    return "\n".join(lines) + "\n"


def _method(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"  sends by {document['method_name']}" if document["method"] else "  no way of sending will do for it"
    yield from (f"    because {visible(reason)}" for reason in document["why"])
    yield from (f"  not by {r['method_name']}: {visible(r['why'])}" for r in document["refused"])
    yield from (f"  mind: {visible(warning)}" for warning in document["warnings"])
    yield from (f"  better, or instead: {visible(advice)}" for advice in document["advice"])


def _one(resource: Mapping[str, Any]) -> Iterator[str]:
    state = "" if resource["state"] == "not asked" else f": {visible(resource['state'])}"
    yield f"    {visible(resource['address'])}{state}"
    if resource["not_in_force"]:
        yield f"      {visible(resource['not_in_force'])}: no mail is accepted through it"
    for name, value in resource["declared"].items():
        live = resource["live"]
        now = f"  (now {_shown(live[name])})" if live is not None and live[name] != value else ""
        yield f"      {name} = {_shown(value)}{now}"


def _shown(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False))


def _sign_in(verdict: Mapping[str, Any]) -> Iterator[str]:
    how = "a password" if verdict["authentication"] == "basic" else "OAuth"
    state = {True: "can", False: "cannot"}.get(verdict["allowed"], "may or may not be able to")
    yield ""
    yield f"  {visible(verdict['mailbox'])} {state} sign in with {how}: {visible(verdict['sentence'])}"
    if verdict["blocked_by"]:
        yield f"    blocked by: {verdict['blocked_by']}"
    if verdict["mend"]:
        yield f"    {visible(verdict['mend'])}"
    if verdict["unknown"]:
        yield f"    not known: {', '.join(verdict['unknown'])}"
    if verdict["warning"]:
        yield f"    mind: {visible(verdict['warning'])}"
