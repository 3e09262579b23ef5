"""Rules over plan, tenant and changes together: exposure, blast radius, ownership."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.diagnostics import Severity
from provisioner.model import Action, Address, Change, Desired, Finding, Observed, Present, ResourceType
from provisioner.resources.ownership import HYBRID_WIZARD, made_by, owner_of
from provisioner.resources.smtp_auth import ORGANIZATION, SmtpAuth
from provisioner.rules.catalogue import RULES
from provisioner.rules.impact import device_findings

_SMALL = 10  # below this many objects of a type a share says nothing
_SHARE = 0.30


Types = Mapping[str, ResourceType[Any]]


def check(desired: Desired, observed: Observed, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """All findings about the whole picture. `types` are asked for what guards need to know of an object, by name."""
    yield from _tenant_wide(desired, observed, changes)
    yield from _foreign_owner(desired, observed, types)
    yield from _hybrid(desired, observed, changes, types)
    yield from _same_mailbox(desired, observed)
    yield from _blast_radius(observed, changes)
    yield from device_findings(desired, observed, changes)


def _tenant_wide(desired: Desired, observed: Observed, changes: Sequence[Change]) -> Iterator[Finding]:
    """Switching it on is a guard; leaving it on, where the plan says so, only a warning."""
    address = Address("smtp_auth", ORGANIZATION)
    resource = desired.resources.get(address)
    if resource is None or resource.spec.smtp_auth != "enabled":
        return
    rule = RULES["SMTP-TENANT-WIDE"]
    mend = "leave the organization disabled and enable the mailboxes that need it, one by one"
    widens = any(c.address == address and c.action is Action.UPDATE for c in changes)
    if widens:
        summary = "SMTP AUTH would be switched on for every mailbox of the tenant that does not override it"
        yield Finding(rule.id, rule.severity, summary, mend, address, rule.blocks, location=resource.location)
    elif isinstance(observed.resources.get(address), Present):
        summary = "SMTP AUTH is on for every mailbox of the tenant that does not override it"
        yield Finding(rule.id, Severity.WARNING, summary, mend, address, location=resource.location)


def _foreign_owner(desired: Desired, observed: Observed, types: Types) -> Iterator[Finding]:
    """A declared object, or one listed under `absent`, that another plan has marked as its own."""
    rule = RULES["OWNER-FOREIGN"]
    for address in (*desired.resources, *desired.absent):
        there = observed.resources.get(address)
        owner = owner_of(types[address.type], there.spec) if isinstance(there, Present) else ""
        if owner and owner != desired.owner:
            summary = f'{address} belongs to "{owner}", not to {_quoted(desired.owner)}'
            mend = f"take it over with --allow {rule.id}:{address.short}, or leave it to its owner"
            at = desired.resources[address].location if address in desired.resources else desired.absent[address]
            yield Finding(rule.id, rule.severity, summary, mend, address, rule.blocks, location=at)


def _hybrid(desired: Desired, observed: Observed, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """A change of what the Hybrid Configuration Wizard keeps: it writes its own values again at its next run."""
    rule = RULES["HYBRID-CONNECTOR"]
    for change in changes:
        there = observed.resources.get(change.address)
        if change.action is Action.NO_OP or not isinstance(there, Present):
            continue
        if made_by(types[change.address.type], there.spec) == HYBRID_WIZARD:
            summary = f"{change.address} was made by the Hybrid Configuration Wizard, which will overwrite changes"
            mend = "change it with the wizard, and list it under ignore"
            resource = desired.resources.get(change.address)
            at = resource.location if resource else None
            yield Finding(rule.id, rule.severity, summary, mend, change.address, rule.blocks, location=at)


def _same_mailbox(desired: Desired, observed: Observed) -> Iterator[Finding]:
    """Two declared addresses of one mailbox: whatever they say, one of them would differ for ever or say it twice."""
    rule = RULES["SAME-MAILBOX"]
    seen: dict[str, Address] = {}
    for address, resource in desired.resources.items():
        there = observed.resources.get(address)
        if not isinstance(there, Present) or not isinstance(there.spec, SmtpAuth) or not there.spec.mailbox:
            continue
        first = seen.setdefault(there.spec.mailbox, address)
        if first != address:
            summary = f"{first} and {address} are addresses of one mailbox, {there.spec.mailbox}"
            mend = "keep one of them, best its primary address"
            yield Finding(rule.id, rule.severity, summary, mend, address, rule.blocks, location=resource.location)


def _blast_radius(observed: Observed, changes: Sequence[Change]) -> Iterator[Finding]:
    """Deletes and updates, counted apart, against the objects of the type that were seen."""
    rule = RULES["BLAST-RADIUS"]
    seen = Counter(a.type for a, there in observed.resources.items() if isinstance(there, Present))
    seen.update(a.type for a in observed.undeclared)
    seen.update(observed.others)
    for action in (Action.DELETE, Action.UPDATE):
        touched = Counter(c.address.type for c in changes if c.action is action)
        for kind, count in sorted(touched.items()):
            total = max(seen[kind], count)
            if total >= _SMALL and count > total * _SHARE:
                address = Address(kind, "*")
                summary = f"{count:,} of {total:,} {kind} objects would be {action}d: {count * 100 // total} %"
                mend = f"make sure that this is meant, then --allow {rule.id}:{address.short}"
                yield Finding(rule.id, rule.severity, summary, mend, address, rule.blocks)


def _quoted(owner: str) -> str:
    return f'"{owner}"' if owner else "this plan, which names no owner"
