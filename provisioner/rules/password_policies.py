"""Authentication policies with all that is about them: those that do not exist, those in use, and when they work.

Source: Learn, "Disable Basic authentication in Exchange Online": a change has its effect within 24 hours. Whether the
service refuses to remove a policy that somebody has is not published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner import mailflow
from provisioner.diagnostics import Severity
from provisioner.model import (
    Action,
    Answer,
    Change,
    Desired,
    Finding,
    Observed,
    ResourceType,
    consequence,
    goal_of,
    request_key,
)
from provisioner.model.listing import listed
from provisioner.model.picture import PasswordPolicy, PolicyOf
from provisioner.resources.rows import authentication_policy
from provisioner.rules.catalogue import RULES

Types = Mapping[str, ResourceType[Any]]


def policy_findings(desired: Desired, observed: Observed, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """All findings about authentication policies."""
    yield from _missing(desired, observed, types)
    yield from _in_use(desired, changes, types)
    yield from _delayed(desired, changes, types)


def _missing(desired: Desired, observed: Observed, types: Types) -> Iterator[Finding]:
    """Policies that are assigned, that the plan does not declare, and that the tenant certainly does not have."""
    answer = observed.evidence.get(request_key(authentication_policy.REQUEST))
    if not isinstance(answer, Answer):
        return
    rule, known = RULES["POLICY-MISSING"], authentication_policy.decode(answer.rows)
    for address, resource in desired.resources.items():
        for need in types[address.type].needs(resource.spec):
            if need.type not in types or PasswordPolicy not in types[need.type].contributes:
                continue
            if need in desired.resources or need in desired.set_aside or authentication_policy.named(need.key, known):
                continue
            summary = f"{address}: the tenant has no authentication policy {need.key}, and the plan declares none"
            hint = f"declare {need.key} under {types[need.type].section}, or correct the name"
            yield Finding(rule.id, rule.severity, summary, hint, address, rule.blocks, location=resource.location)


def _in_use(desired: Desired, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """Policies that would be deleted and that somebody has still, once all changes are made."""
    rule = RULES["POLICY-IN-USE"]
    moved = {n: p for c in changes for p in _of_change(c, types) for n in (p.mailbox, *p.addresses)}
    for change in changes:
        if change.action is not Action.DELETE:
            continue
        for policy in mailflow.contributions(types[change.address.type], change.observed):
            if not isinstance(policy, PasswordPolicy):
                continue
            left = [h for h in sorted(policy.holders or ()) if h not in moved or policy.is_called(moved[h].policy)]
            if left:
                named = listed([holder or "the organization (its default)" for holder in left])
                summary = f"{change.address} would be deleted, and is still the policy of {named}"
                hint = "assign them another policy, inherit, or none as the default, under assignments"
                at = desired.absent.get(change.address)
                yield Finding(rule.id, rule.severity, summary, hint, change.address, rule.blocks, location=at)


def _of_change(change: Change, types: Types) -> Iterator[PolicyOf]:
    """Who has which policy once a change, or none, is made."""
    kind = types[change.address.type]
    for word in mailflow.contributions(kind, goal_of(change)) if PolicyOf in kind.contributes else ():
        if isinstance(word, PolicyOf):
            yield word


def _delayed(desired: Desired, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """Changes whose effect no read shows. What closes after them may work before they do."""
    about = {PasswordPolicy, PolicyOf}
    pending = [c for c in changes if c.action is not Action.NO_OP]
    delayed = [c for c in pending if about & set(types[c.address.type].contributes) and _has_effect(c)]
    if not delayed:
        return
    rule, opens = RULES["POLICY-DELAY"], [c for c in delayed if consequence.opens(c.consequences)]
    named = listed([str(c.address) for c in delayed])
    summary = f"{named}: the effect on passwords comes within 24 hours, and no read shows when"
    hint = "expect refusals, and passwords that still work, until then"
    severity = rule.severity
    if opens and any(c.closes for c in pending):
        severity = Severity.WARNING
        targets = " ".join(f"--target '{c.address.short}'" for c in opens[:3])
        hint = f"apply what opens alone first ({targets}), wait 24 hours, send a test message, then apply the rest"
    first = desired.resources.get(delayed[0].address)
    yield Finding(rule.id, severity, summary, hint, delayed[0].address, location=first.location if first else None)


def _has_effect(change: Change) -> bool:
    return consequence.opens(change.consequences) or consequence.closes(change.consequences)
