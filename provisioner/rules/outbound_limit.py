"""What devices send through a mailbox, against the limits of the outbound spam policy that holds for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provisioner.mailflow import outbound_policies
from provisioner.mailflow.asking import counted_by_mailbox
from provisioner.mailflow.outbound_policies import Holding
from provisioner.mailflow.picture import after as picture_after
from provisioner.mailflow.picture import of_observed
from provisioner.model import Action, Change, Desired, Finding, Observed, ResourceType, Unknown, request_key
from provisioner.model.devices import Device
from provisioner.model.listing import listed
from provisioner.rules.catalogue import RULES
from provisioner.rules.unread import not_decided, why_unread

_RULE = RULES["OUTBOUND-LIMIT-DEVICE"]


def outbound_limit_findings(
    desired: Desired, observed: Observed, changes: Sequence[Change], types: Sequence[ResourceType[object]]
) -> Iterator[Finding]:
    """The mailboxes whose devices exceed a limit once the changes are made; all devices of a mailbox share it."""
    mailboxes = counted_by_mailbox(desired)
    if not mailboxes:
        return
    yield from _not_decided(observed, next(iter(mailboxes.values()))[0])
    pending = [c for c in changes if c.action is not Action.NO_OP]
    picture = picture_after(of_observed(observed, types, sorted(mailboxes)), pending, types)
    for mailbox, devices in mailboxes.items():
        holding, _ = outbound_policies.policies_of(picture, observed.evidence, mailbox)
        for one in holding:
            if why := _exceeded(one, devices):
                yield _finding(mailbox, devices, one, why)


def _not_decided(observed: Observed, device: Device) -> Iterator[Finding]:
    _, doubt = outbound_policies.policies_of(of_observed(observed), observed.evidence, device.mailbox)
    for question in outbound_policies.QUESTIONS if doubt else ():
        answer = observed.evidence.get(request_key(question))
        if isinstance(answer, Unknown) and (why := why_unread(answer)):
            what = "whether the outbound spam policy has room for the devices"
            yield not_decided(_RULE.id, what, str(question), why, device.location)


def _exceeded(one: Holding, devices: Sequence[Device]) -> str:
    """What of a policy the devices exceed, "" for nothing. How many recipients an hour has, is known of one message."""
    if not one.limits.blocks:
        return ""
    total = sum(device.recipients_per_day for device in devices)
    if one.limits.per_day and total > one.limits.per_day:
        return f"may reach {total:,} recipients a day, and {one.named} stops it after {one.limits.per_day:,}"
    for device in devices:
        outside = device.recipients == "anyone"
        most = one.limits.external_per_hour if outside else one.limits.internal_per_hour
        hourly = max(1, min(device.messages_per_day, 60 * device.messages_per_minute)) * device.recipients_per_message
        if most and hourly > most:
            whom = "external" if outside else "internal"
            return f"may reach {hourly:,} {whom} recipients an hour, and {one.named} stops it after {most:,}"
    return ""


def _finding(mailbox: str, devices: Sequence[Device], one: Holding, why: str) -> Finding:
    named = listed(device.address for device in devices)
    unsure = f", if that policy holds for it: {one.missing} is not known" if one.missing else ""
    summary = f"{mailbox} ({named}) {why}{unsure} (550 5.1.8)"
    hint = f"{outbound_policies.RAISE}; or let several mailboxes share the mail"
    return Finding(_RULE.id, _RULE.severity, summary, hint, blocks=_RULE.blocks, location=devices[0].location)
