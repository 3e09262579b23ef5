"""What the changes, and the tenant as it is, mean for the plan's devices: who cannot send, and who loses its way.

Two pictures of the tenant are compared, as it is and as it will be; a device that could send in the first and cannot in
the second loses its way. `mailflow` decides about both. What the plan does not mention and nobody read is in neither.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.devices import at_mx, choose, facts_of
from provisioner.devices.attempts import attempts, signing_in
from provisioner.diagnostics import Location
from provisioner.mailflow.aliases_and_domains import KEEP_ALIASES, of_alias
from provisioner.mailflow.applications import NO_CONSENT
from provisioner.mailflow.attempt import Attempt, Decision, Doubt
from provisioner.mailflow.deciding import ENABLE_CONNECTOR, OF_CONNECTORS, decide, naming, rejects_direct_send
from provisioner.mailflow.flow_rules import NOT_SOURCED, OF_RULES, TLS_DEMANDED, matters, of_rules
from provisioner.mailflow.lists import told
from provisioner.model import Address, Change, Desired, Finding, Observed, ResourceType, request_key
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, HIGH_VOLUME_EMAIL, SIGNING_IN, SMTP_RELAY, Device
from provisioner.model.listing import listed
from provisioner.model.picture import ORGANIZATION, PasswordPolicy, Picture, PolicyOf, SignIn
from provisioner.resources.rows import organization_config, transport_rule
from provisioner.rules.catalogue import RULES
from provisioner.rules.outlook import Outlook, outlook_of
from provisioner.rules.unread import not_decided, why_unread

_PRECONDITIONS = frozenset({"no_mailbox", "account_disabled", "unlicensed"})
"""Refusals that a device's own precondition reports: its mailbox exists, may sign in, and has a licence."""

_TOLD_ELSEWHERE = _PRECONDITIONS | {"hve_billing", "no_hve_account", NO_CONSENT}
"""What need not be asked for: that an HVE account is missing, or cannot send, is told about the account (NOT-IN-FORCE),
and APPLICATION-CONSENT reports every application without consent."""

_OF_ACCOUNTS = frozenset({"hve_billing", "no_hve_account", "hve_app_not_allowed"})
"""What an HVE account lacks: a change that takes it away takes the way of a device."""

_OF_A_PERSON = frozenset({"account_disabled", "unlicensed"})
"""What no precondition says about a device as which an application signs in."""

_TOLD = frozenset({"sender_not_accepted", "sending_disabled", "direct_send_rejected"}) | OF_RULES
"""Refusals that PRECONDITION, DOMAIN-SENDING-DISABLED, DIRECT-SEND-REJECTED and TRANSPORT-RULE-DEVICE report."""


def device_findings(
    desired: Desired, observed: Observed, changes: Sequence[Change], types: Sequence[ResourceType[Any]]
) -> Iterator[Finding]:
    """All findings about devices that need the tenant."""
    if not desired.devices:
        return
    outlook = outlook_of(desired, observed, changes, types, (d.mailbox for d in desired.devices.values()))
    yield from _sign_ins(outlook)
    yield from _aliases(outlook)
    yield from _rejected(outlook)
    yield from _relays_lost(outlook)
    yield from _direct_send_lost(outlook)
    yield from _refused(outlook)
    yield from _kept_back(outlook)


# --- signing in ------------------------------------------------------------------------------------------------------


def _sign_ins(outlook: Outlook) -> Iterator[Finding]:
    """The decision on every sign-in once the changes are made: what forbids it, told once with all it forbids.

    What a precondition of the device says already (`_PRECONDITIONS`) is not told again, nor what is not known of an
    account that cannot sign in anyway.
    """
    blocked: dict[Decision, list[Device]] = {}
    unknown: dict[tuple[Doubt, ...], list[Device]] = {}
    for device, attempt in _signing_in(outlook.desired):
        elsewhere = _TOLD_ELSEWHERE - (_OF_A_PERSON if attempt.application else frozenset())
        now, then = (outlook.decided(p, attempt) for p in (outlook.before, outlook.after))
        if then.allowed is not False:
            open_ = tuple(doubt for doubt in then.doubts if not set(doubt.reasons) <= elsewhere)
            if open_:
                unknown.setdefault(open_, []).append(device)
        elif then.reason in {"mailbox", "organization"} and now.allowed is not False:
            yield _loses(device, then.sentence, _switch_change(device, outlook))
        elif then.reason in _OF_ACCOUNTS and now.allowed is not False and outlook.pending.keys() & set(then.by):
            yield _loses(device, then.sentence, next(a for a in then.by if a in outlook.pending))
        elif then.reason == "authentication_policy" and (by := _policy_change(attempt, now, outlook)):
            yield _loses(device, then.sentence, by)
        elif then.reason not in elsewhere:
            blocked.setdefault(dataclasses.replace(then, missing=()), []).append(device)
    for decision, devices in blocked.items():
        summary = f"{_listed(devices)} cannot sign in: {decision.sentence}"
        yield _finding("SMTP-AUTH-BLOCKED", summary, decision.hint, devices[0].location)
    for doubts, devices in unknown.items():
        what, are = " and ".join(doubt.missing for doubt in doubts), "is" if len(doubts) == 1 else "are"
        summary = f"whether {_listed(devices)} can sign in is not certain: {what} {are} not known"
        hint = "; ".join(dict.fromkeys(doubt.hint for doubt in doubts))
        yield _finding("SMTP-AUTH-UNKNOWN", summary, hint, devices[0].location)


def _signing_in(desired: Desired) -> Iterator[tuple[Device, Attempt]]:
    """The devices that sign in, each with its sign-in."""
    for method in SIGNING_IN:
        for device in _by_method(desired, method):
            authentication, hve = desired.choices[device.name].authentication, method == HIGH_VOLUME_EMAIL
            mailbox = device.account if hve else device.mailbox
            own = signing_in(device, authentication)
            yield device, dataclasses.replace(own, sender="", external=False, mailbox=mailbox, hve=hve, recipients=1)


def _aliases(outlook: Outlook) -> Iterator[Finding]:
    """Devices whose From is an alias of the mailbox: whether it arrives, no source decides while the setting is off."""
    devices = [
        device
        for device in _by_method(outlook.desired, CLIENT_SUBMISSION)
        if any([*of_alias(outlook.after, attempt, "")] for attempt in attempts(device, outlook.desired))
    ]
    if devices:
        summary = (
            f"{_listed(devices)}: From is an alias of the mailbox, and SendFromAliasEnabled is not enabled: it is not "
            "certain whether the alias or the primary address arrives"
        )
        yield _finding("FROM-ALIAS", summary, KEEP_ALIASES, devices[0].location)


def _switch_change(device: Device, outlook: Outlook) -> Address | None:
    """The change of the switch that counts: the mailbox's own before the organization's."""
    changed = {s.mailbox: a for a, s in outlook.after.every(SignIn) if a in outlook.pending}
    return changed.get(device.mailbox) or changed.get(ORGANIZATION)


def _policy_change(attempt: Attempt, now: Decision, outlook: Outlook) -> Address | None:
    """The change by which an authentication policy no longer lets a password in; None where it did not before."""
    if now.allowed is False or "authentication_policy" in now.possible:
        return None
    by = [a for a, p in outlook.after.every(PolicyOf) if a in outlook.pending and _is_about(p, attempt)]
    by += [a for a, _ in outlook.after.every(PasswordPolicy) if a in outlook.pending]
    return next(iter(sorted(by, key=lambda a: a.key == attempt.mailbox, reverse=True)), None)


def _is_about(policy: PolicyOf, attempt: Attempt) -> bool:
    return policy.mailbox in {ORGANIZATION, attempt.mailbox} or attempt.mailbox in policy.addresses


# --- relay and direct send -------------------------------------------------------------------------------------------


def _relays_lost(outlook: Outlook) -> Iterator[Finding]:
    """Devices whose mail a connector admits, and no connector does once the changes are made."""
    for device in _by_method(outlook.desired, SMTP_RELAY):
        attempts = at_mx(device, outlook.desired)
        if not _relayed(outlook.before, attempts) or _relayed(outlook.after, attempts):
            continue
        by = dict.fromkeys(a for attempt in attempts for a in decide(outlook.before, attempt).by)
        causes = [a for a in by if a in outlook.pending and _relayed(outlook.all_but(a), attempts)]
        cause = next(iter([*causes, *(a for a in by if a in outlook.pending)]), None)
        yield _loses(device, f"{cause} no longer admits it, and no other connector does", cause)


def _relayed(picture: Picture, attempts: Sequence[Attempt]) -> bool:
    """Whether a connector admits all of it, as far as is known."""
    decisions = [decide(picture, attempt) for attempt in attempts]
    return all(d.path == SMTP_RELAY and d.allowed is not False for d in decisions)


def _direct_send_lost(outlook: Outlook) -> Iterator[Finding]:
    """Devices for which direct send is the way, and whose mail is refused once the changes are made."""
    for device in outlook.desired.devices.values():
        facts = dataclasses.replace(facts_of(device, outlook.desired), reject_direct_send=False)
        if choose(device, facts).method != DIRECT_SEND:
            continue
        refused = _lost(outlook, at_mx(device, outlook.desired))
        if refused is None:
            continue
        cause = next((a for a in refused.by if a in outlook.pending), None)
        rejected = refused.reason == "direct_send_rejected"
        why = (
            "direct send is rejected from then on"
            if rejected
            else refused.sentence + (f" ({refused.code})" if refused.code else "")
        )
        lost = _loses(device, why, cause)
        choice = outlook.desired.choices.get(device.name)
        advice = "; or ".join(choice.advice) if choice else ""
        yield dataclasses.replace(lost, hint=advice or lost.hint)


def _lost(outlook: Outlook, attempts: Sequence[Attempt]) -> Decision | None:
    """Why direct send is refused afterwards, or can be, that is not refused now; None where it goes on."""
    for attempt in attempts:
        was, will = decide(outlook.before, attempt), decide(outlook.after, attempt)
        doubtful = will.allowed is None and will.path == DIRECT_SEND and was.allowed
        if was.allowed is not False and (will.allowed is False or doubtful):
            return will
    return None


def _rejected(outlook: Outlook) -> Iterator[Finding]:
    """Devices that are to send direct in a tenant that refuses it, and that the plan does not change."""
    devices = list(_by_method(outlook.desired, DIRECT_SEND))
    rejects = rejects_direct_send(outlook.before)
    if not devices or rejects != rejects_direct_send(outlook.after):
        return
    if rejects is None and request_key(organization_config.REQUEST) in outlook.observed.evidence:
        summary = f"whether {_listed(devices)} can use direct send is not known: RejectDirectSend could not be read"
        hint = "give the application a role that may run Get-OrganizationConfig (Global Reader), and plan again"
        yield _finding("DIRECT-SEND-UNKNOWN", summary, hint, devices[0].location)
    refused = [d for d in devices if _is_direct_send_rejected(outlook, d)]
    if not refused:
        return
    summary = f"{_listed(refused)} would be refused: the organization rejects direct send (550 5.7.68)"
    hint = "give them a fixed address for SMTP relay, or write organization: { reject_direct_send: false }"
    yield _finding("DIRECT-SEND-REJECTED", summary, hint, refused[0].location)


def _is_direct_send_rejected(outlook: Outlook, device: Device) -> bool:
    attempts = at_mx(device, outlook.desired)
    return any(decide(outlook.after, attempt).reason == "direct_send_rejected" for attempt in attempts)


def _refused(outlook: Outlook) -> Iterator[Finding]:
    """Devices whose mail the tenant refuses, before the changes and after them.

    Not told again is what has a finding of its own (`_TOLD`). Of a part of the plan the rest may be what is missing.
    """
    if outlook.desired.set_aside:
        return
    for device in (*_by_method(outlook.desired, SMTP_RELAY), *_by_method(outlook.desired, DIRECT_SEND)):
        for attempt in at_mx(device, outlook.desired):
            was, will = (outlook.decided(p, attempt) for p in (outlook.before, outlook.after))
            if was.allowed is not True and will.allowed is False and not will.certain <= _TOLD:
                yield _cannot_send(device, attempt, will, outlook)
                break


def _cannot_send(device: Device, attempt: Attempt, refusal: Decision, outlook: Outlook) -> Finding:
    rule = RULES["DEVICE-CANNOT-SEND"]
    code = f" ({refusal.code})" if refusal.code else ""
    idle = [a for a in naming(outlook.observed, attempt, outlook.types).idle if not outlook.after.objects.get(a)]
    why, fix = refusal.sentence, refusal.hint or "provisioner explain shows what the tenant has for the device"
    if idle and refusal.reason in OF_CONNECTORS:
        why, fix = f"{idle[0]} names its source, but is disabled in the tenant", ENABLE_CONNECTOR
    summary = f"{device.address} cannot send: {why}{code}"
    return Finding(rule.id, rule.severity, summary, fix, blocks=rule.blocks, location=device.location)


# --- transport rules -------------------------------------------------------------------------------------------------


def _kept_back(outlook: Outlook) -> Iterator[Finding]:
    """Devices whose mail is taken, and kept from its recipients by a transport rule, or perhaps.

    A rule that the message itself decides about is not told: `explain` names it.
    """
    evidence = outlook.observed.evidence
    devices = [d for d in outlook.desired.devices.values() if d.name in outlook.desired.choices]
    answer = evidence.get(request_key(transport_rule.REQUEST))
    _, doubt = told(evidence, transport_rule.REQUEST, transport_rule.decode)
    if devices and doubt and (why := why_unread(answer)):
        what = "whether a transport rule keeps the mail of the devices from its recipients"
        yield not_decided("TRANSPORT-RULE-DEVICE", what, "Get-TransportRule", why, devices[0].location)
    if not any(matters(picture, evidence) for picture in (outlook.before, outlook.after)):
        return
    found: dict[Decision, list[Device]] = {}
    for device in devices:
        for attempt in attempts(device, outlook.desired):
            was, will = (_by_rules(picture, attempt, outlook) for picture in (outlook.before, outlook.after))
            for form, decision in will.items():
                earlier = was.get(form)
                cause = next((a for a in decision.by if a in outlook.pending), None)
                if decision.allowed is False and (earlier is None or earlier.allowed is not False) and cause:
                    yield _loses(device, decision.sentence, cause)
                elif device not in found.setdefault(decision, []):
                    found[decision].append(device)
    for decision, devices in found.items():
        yield _rule_finding(decision, devices)


def _by_rules(picture: Picture, attempt: Attempt, outlook: Outlook) -> Mapping[str, Decision]:
    """What the rules decide about a message, by the rule and what it does. TLS alone keeps no mail back."""
    decisions = of_rules(picture, attempt, "", outlook.observed.evidence)
    return {d.sentence: d for d in decisions if d.allowed is not True and d.reason not in {"", TLS_DEMANDED}}


def _rule_finding(decision: Decision, devices: Sequence[Device]) -> Finding:
    rule = RULES["TRANSPORT-RULE-DEVICE"]
    summary = f"{_listed(devices)}: {decision.sentence}"
    missing = " and ".join(decision.missing)
    if decision.allowed is None and NOT_SOURCED.issuperset(decision.missing):
        summary += f"; {missing} is not certain"
    elif decision.allowed is None:
        summary = f"{_listed(devices)}: it is not certain that {decision.sentence} (not known: {missing})"
    return Finding(rule.id, rule.severity, summary, decision.hint, location=devices[0].location)


# --- findings --------------------------------------------------------------------------------------------------------


def _by_method(desired: Desired, method: str) -> Iterator[Device]:
    return (desired.devices[name] for name, choice in desired.choices.items() if choice.method == method)


def _listed(devices: Sequence[Device]) -> str:
    return listed(d.address for d in devices)


def _loses(device: Device, why: str, cause: Address | None) -> Finding:
    rule = RULES["DEVICE-LOSES-WAY"]
    summary = f"{device.address} will no longer be able to send: {why}"
    hint = "give it another way first, or take it out of the plan if it is gone"
    return Finding(rule.id, rule.severity, summary, hint, cause, rule.blocks, location=device.location)


def _finding(identifier: str, summary: str, hint: str, location: Location | None) -> Finding:
    rule = RULES[identifier]
    return Finding(rule.id, rule.severity, summary, hint, blocks=rule.blocks, location=location)
