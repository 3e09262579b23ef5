"""Why a device sends as it does, what a resource is for, and what stands in its way."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from provisioner import mailflow, rules
from provisioner.devices import attempts, device_of, signs_in_as_application, summary
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.mailflow import Attempt, decide, naming, outbound_policies
from provisioner.mailflow.aliases_and_domains import of_alias
from provisioner.mailflow.flow_rules import of_rules
from provisioner.mailflow.picture import after, of_observed
from provisioner.model import Address, Desired, Observed, Present
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, HIGH_VOLUME_EMAIL, SMTP_RELAY
from provisioner.model.document import hinted
from provisioner.operations.context import Context
from provisioner.operations.loading import load_for_devices
from provisioner.operations.standing import CONNECTORS, advised, changes_of, observe, part_for, standing

Explanation = dict[str, Any]


async def explain(context: Context, path: Path, subject: str) -> Explanation:
    """A device (`device/NAME`) or a resource (`TYPE/KEY`) of a plan, with its state in the tenant of the profile.

    Without a tenant in the profile only the plan is explained. Raises InputError for a subject that is not declared.
    """
    desired = load_for_devices(context, path)
    if subject.startswith("device/"):
        return await _device(context, device_of(subject.removeprefix("device/"), desired).name, desired)
    try:
        address = Address.parse(subject)
    except ValueError as error:
        raise InputError([Diagnostic("ADDRESS-INVALID", str(error), "write device/NAME or TYPE/KEY")]) from None
    return await _resource(context, address, desired)


async def _device(context: Context, name: str, desired: Desired) -> Explanation:
    device, choice = desired.devices[name], desired.choices[name]
    part = part_for(desired, name)
    at_mx = choice.method in {SMTP_RELAY, DIRECT_SEND}
    asked = [*rules.questions(part), *(outbound_policies.QUESTIONS if choice.method == CLIENT_SUBMISSION else ())]
    observed = await observe(context, part, asked, listed=CONNECTORS if at_mx else frozenset())
    document: Explanation = {
        "subject": device.address,
        "at": str(device.location or ""),
        **summary(device, desired),
    }
    document["resources"] = [standing(resource, observed) for resource in part.resources.values()]
    if observed is not None and choice.method == HIGH_VOLUME_EMAIL:
        application = signs_in_as_application(device, choice.authentication)
        told = _verdict(device.account, choice.authentication, observed, part, application=application, hve=True)
        document["sign_in"] = [{**told, "signs_in_as": None}]
    if observed is not None and choice.method == CLIENT_SUBMISSION:
        user = observed.resources.get(Address("mailbox", device.mailbox))
        signs_in_as = user.spec.sign_in if isinstance(user, Present) else None
        document["sign_in"] = [
            {
                **_verdict(
                    device.mailbox,
                    choice.authentication,
                    observed,
                    part,
                    application=signs_in_as_application(device, choice.authentication),
                    legacy_tls=device.legacy_tls,
                ),
                "signs_in_as": signs_in_as,
            }
        ]
        document["outbound_policies"] = _outbound_policies(device.mailbox, observed)
        picture = of_observed(observed, mailboxes=(device.mailbox,))
        open_ones = (d for one in attempts(device, desired, choice) for d in of_alias(picture, one, ""))
        document["warnings"] += dict.fromkeys(d.warning for d in open_ones)
    if observed is not None and at_mx:
        document["sending"] = [_sending(attempt, observed, part) for attempt in attempts(device, desired, choice)]
    if observed is not None:
        document["transport_rules"] = _transport_rules(attempts(device, desired, choice), observed)
    return document


def _outbound_policies(mailbox: str, observed: Observed) -> list[Explanation]:
    """The outbound spam policy that holds for a mailbox, after those that may (`unknown` says what decides)."""
    holding, _ = outbound_policies.policies_of(of_observed(observed, mailboxes=(mailbox,)), observed.evidence, mailbox)
    return [
        {
            "policy": one.policy,
            "rule": one.rule,
            "recipients_per_day": one.limits.per_day,
            "external_recipients_per_hour": one.limits.external_per_hour,
            "internal_recipients_per_hour": one.limits.internal_per_hour,
            "blocks": one.limits.blocks,
            "unknown": one.missing,
        }
        for one in holding
    ]


def _transport_rules(messages: Iterable[Attempt], observed: Observed) -> list[Explanation]:
    """What the tenant's transport rules do to the device's mail, each once. `acts` is None where that is not known."""
    picture = of_observed(observed)
    decisions = (d for message in messages for d in of_rules(picture, message, "", observed.evidence))
    told = {
        d.sentence or d.warning: {
            "acts": None if d.allowed is not False else True,
            "sentence": d.sentence or d.warning,
            "unknown": list(d.missing),
            **hinted(d.hint),
        }
        for d in decisions
    }
    return [*told.values()]


def _sending(attempt: Attempt, observed: Observed, part: Desired) -> Explanation:
    """What the tenant decides about a message of a device now; `idle` are disabled connectors that name its source."""
    picture = of_observed(observed)
    found = decide(picture, attempt, observed.evidence)
    then = decide(after(picture, changes_of(part, observed)), attempt, observed.evidence)
    named = naming(observed, attempt)
    return {
        "network": attempt.network,
        "certificate": attempt.certificate,
        "allowed": found.allowed,
        "path": found.path,
        "by": [a.short for a in found.by],
        "reason": found.reason,
        "code": found.code,
        "sentence": found.sentence,
        **hinted(advised(found, then, named.idle)),
        "unknown": list(found.missing),
        "others": list(found.others),
        "idle": [a.short for a in named.idle],
    }


async def _resource(context: Context, address: Address, desired: Desired) -> Explanation:
    resource = desired.resources.get(address)
    mailbox = address.key if address.type == "smtp_auth" and "@" in address.key else ""
    if resource is None and not mailbox:
        hint = "see what it declares: provisioner plan; devices: provisioner devices list"
        raise InputError([Diagnostic("ADDRESS-UNKNOWN", f"the plan declares no {address}", hint)])
    alone = {address: dataclasses.replace(resource, devices=())} if resource else {}
    part = dataclasses.replace(desired, resources=alone, devices={}, choices={})
    observed = await observe(context, part, rules.sign_in_questions([mailbox], part) if mailbox else ())
    document: Explanation = {"subject": address.short, "at": str(resource.location or "") if resource else ""}
    if resource is not None:
        document["resources"] = [standing(resource, observed)]
        document["devices"] = [
            {"device": n, "method": desired.choices[n].method, "why": list(desired.choices[n].reasons)}
            for n in resource.devices
        ]
        found = [f for f in rules.lint(desired) if f.address == address]
        document["findings"] = [{"rule": f.rule, "summary": f.summary, **hinted(f.hint)} for f in found]
    if mailbox and observed is not None:
        document["sign_in"] = [_verdict(mailbox, kind, observed, part) for kind in ("basic", "oauth")]
    return document


def _verdict(
    mailbox: str,
    authentication: str,
    observed: Observed,
    part: Desired,
    *,
    application: bool | None = None,
    hve: bool = False,
    legacy_tls: bool = False,
) -> Explanation:
    found, then = (
        mailflow.sign_in(
            observed, mailbox, authentication, changes, application=application, hve=hve, legacy_tls=legacy_tls
        )
        for changes in ((), changes_of(part, observed))
    )
    return {
        "mailbox": mailbox,
        "authentication": authentication,
        "allowed": found.allowed,
        "blocked_by": found.reason,
        "others": list(found.others),
        "sentence": found.sentence or "nothing that was looked at forbids it to sign in",
        **hinted(advised(found, then)),
        "unknown": list(found.missing),
        "warning": found.warning,
    }
