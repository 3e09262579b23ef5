"""Rules over plan, tenant and changes together: exposure, blast radius, ownership."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from provisioner.devices import worked_out_for
from provisioner.diagnostics import Severity
from provisioner.model import (
    Action,
    Address,
    Answer,
    Change,
    Desired,
    Finding,
    Observed,
    Present,
    Resource,
    ResourceType,
    goal_of,
    request_key,
)
from provisioner.model.listing import listed
from provisioner.model.picture import Acceptance, Signature
from provisioner.resources.ownership import HYBRID_WIZARD
from provisioner.resources.rows import accepted_domain
from provisioner.rules.applications import application_findings
from provisioner.rules.catalogue import RULES, rule_of
from provisioner.rules.connectors_in_use import in_use_findings
from provisioner.rules.impact import device_findings
from provisioner.rules.ipv6 import ipv6_findings
from provisioner.rules.outbound_limit import outbound_limit_findings
from provisioner.rules.password_policies import policy_findings
from provisioner.rules.replay import replay_findings

_SMALL = 10  # below this many objects of a type a share says nothing
_SHARE = 0.30
_MOST = 0.50  # of what the plan owns


Types = Mapping[str, ResourceType[Any]]


def check(desired: Desired, observed: Observed, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """All findings about the whole picture. `types` are asked for what guards need to know of an object, by name."""
    yield from _advice(desired, observed, types)
    yield from _foreign_owner(desired, observed, types)
    yield from _hybrid(desired, observed, changes, types)
    yield from _same_mailbox(desired, observed, types)
    yield from _blast_radius(desired, observed, changes, types)
    yield from _unaccepted(desired, observed, changes, types)
    yield from application_findings(desired, observed, changes, types)
    yield from in_use_findings(desired, observed, changes, types)
    yield from policy_findings(desired, observed, changes, types)
    yield from ipv6_findings(desired, observed, types)
    yield from device_findings(desired, observed, changes, tuple(types.values()))
    yield from outbound_limit_findings(desired, observed, changes, tuple(types.values()))
    yield from replay_findings(desired, observed, changes, tuple(types.values()))


def _advice(desired: Desired, observed: Observed, types: Types) -> Iterator[Finding]:
    """What the types say about declared objects as they are in the tenant and stay. Advice never blocks."""
    for address, resource in desired.resources.items():
        kind, there = types[address.type], observed.resources.get(address)
        if not isinstance(there, Present):
            continue
        for advice in kind.advice(resource.spec, there.spec):
            rule = rule_of(kind.rules, advice.rule)
            severity = Severity.WARNING if rule.severity is Severity.ERROR else rule.severity
            at = resource.fields.get(advice.field, resource.location)
            yield Finding(rule.id, severity, f"{address}: {advice.summary}", advice.hint, address, location=at)


def _foreign_owner(desired: Desired, observed: Observed, types: Types) -> Iterator[Finding]:
    """A declared object, or one listed under `absent`, that another plan has marked as its own."""
    rule = RULES["OWNER-FOREIGN"]
    for address in (*desired.resources, *desired.absent):
        there = observed.resources.get(address)
        owner = types[address.type].owner_of(there.spec) if isinstance(there, Present) else ""
        if owner and owner != desired.owner:
            summary = f'{address} belongs to "{owner}", not to {_quoted(desired.owner)}'
            hint = f"take it over with --allow {rule.id}:{address.short}, or leave it to its owner"
            at = desired.resources[address].location if address in desired.resources else desired.absent[address]
            yield Finding(rule.id, rule.severity, summary, hint, address, rule.blocks, location=at)


def _hybrid(desired: Desired, observed: Observed, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """A change of what the Hybrid Configuration Wizard keeps: it writes its own values again at its next run."""
    rule = RULES["HYBRID-CONNECTOR"]
    for change in changes:
        there = observed.resources.get(change.address)
        if change.action is Action.NO_OP or not isinstance(there, Present):
            continue
        if types[change.address.type].made_by(there.spec) == HYBRID_WIZARD:
            summary = f"{change.address} was made by the Hybrid Configuration Wizard, which will overwrite changes"
            hint = f'change it with the wizard, take it out of the plan, and list "{change.address.short}" under ignore'
            resource = desired.resources.get(change.address)
            at = resource.location if resource else None
            yield Finding(rule.id, rule.severity, summary, hint, change.address, rule.blocks, location=at)


def _same_mailbox(desired: Desired, observed: Observed, types: Types) -> Iterator[Finding]:
    """Two declared names of one object: whatever they say, one of them would differ for ever or say it twice.

    What exists or does not exist, such as a right, is said twice: that does no harm.
    """
    rule = RULES["SAME-MAILBOX"]
    seen: dict[tuple[str, str], Address] = {}
    for address, resource in desired.resources.items():
        there = observed.resources.get(address)
        identity = types[address.type].identity(there.spec) if isinstance(there, Present) else ""
        if not identity:
            continue
        first = seen.setdefault((address.type, identity), address)
        if first != address:
            twice = types[address.type].creatable
            severity, blocks = (Severity.WARNING, "") if twice else (rule.severity, rule.blocks)
            summary = f"{first} and {address} are two names of one object, {identity}"
            hint = "keep one of them, best the one with the primary address"
            yield Finding(rule.id, severity, summary, hint, address, blocks, location=resource.location)


def _blast_radius(desired: Desired, observed: Observed, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """Much of a tenant, or much of what the plan owns: more often a mistake than a wish.

    Deletes and updates are counted apart against the objects of the type that were seen, and what is taken away because
    nothing declares it against what the plan keeps: a file that was lost shows in small tenants too.
    """
    rule = RULES["BLAST-RADIUS"]
    claimed = desired.exclusive | {name for name, kind in types.items() if kind.marks_ownership and desired.owner}
    for kind, summary in (_shares(observed, changes, claimed, types) | _taken(desired, changes)).items():
        address = Address(kind, "*")
        hint = f"make sure that this is meant, then --allow {rule.id}:{address.short}"
        yield Finding(rule.id, rule.severity, summary, hint, address, rule.blocks)


def _shares(observed: Observed, changes: Sequence[Change], claimed: Collection[str], types: Types) -> dict[str, str]:
    """What is said about the types of which a large share would be deleted or updated.

    Undeclared objects count for the `claimed` types, of which the plan may change any: others would only dilute it.
    An object that stands for others, as a selection of mailboxes does, counts with their number, and as their type.
    """
    found: dict[str, list[str]] = {}
    seen: Counter[str] = Counter()
    for address, there in observed.resources.items():
        if isinstance(there, Present):
            kind = types[address.type]
            seen[kind.governs or kind.name] += kind.touches(None, there.spec)
    seen.update(a.type for a in observed.undeclared if a.type in claimed)
    seen.update({name: count for name, count in observed.others.items() if name in claimed})
    for action in (Action.DELETE, Action.UPDATE):
        touched: Counter[str] = Counter()
        for change in changes:
            if change.action is action:
                kind = types[change.address.type]
                touched[kind.governs or kind.name] += kind.touches(change.before, change.after)
        for name, count in sorted(touched.items()):
            total = max(seen[name], count)
            if total >= _SMALL and count > total * _SHARE:
                summary = f"{count:,} of {total:,} {name} objects would be {action}d: {count * 100 // total} %"
                found.setdefault(name, []).append(summary)
    return {kind: "; ".join(summaries) for kind, summaries in found.items()}


def _taken(desired: Desired, changes: Sequence[Change]) -> dict[str, str]:
    """What is said about the types of which undeclared objects are taken away: all that the plan had, or most of it.

    What it declares counts as kept even where it is still to be created: then it is a replacement, not a lost file.
    """
    named = {*desired.resources, *desired.absent, *desired.set_aside}
    gone = [c for c in changes if c.action is not Action.NO_OP and c.address not in named]
    taken = Counter(c.address.type for c in gone)
    ours = Counter(c.address.type for c in gone if c.action is Action.DELETE)  # only what has our mark is deleted
    kept = Counter(a.type for a in {**desired.resources, **desired.set_aside})
    found = {}
    for kind, count in sorted(taken.items()):
        total = count + kept[kind]
        if ours[kind] == total or (count > 1 and count > total * _MOST):
            whole = "the last" if total == 1 else f"all {total:,}" if count == total else f"{count:,} of {total:,}"
            noun = "object" if total == 1 else "objects"
            found[kind] = f"{whole} {kind} {noun} of this plan would be taken away: nothing declares it any more"
    return found


def _unaccepted(desired: Desired, observed: Observed, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """Domains that a change needs and the tenant certainly does not accept: Exchange refuses the change.

    What the plan declares is checked as a precondition. DKIM takes a domain with an entry of its own, a certificate
    also one below an accepted domain (New-DkimSigningConfig; Learn, "Set up connectors to route mail").
    """
    answer = observed.evidence.get(request_key(accepted_domain.REQUEST))
    if not isinstance(answer, Answer) or not answer.rows:  # every tenant has one
        return
    rule, accepted = RULES["DOMAIN-NOT-ACCEPTED"], _accepted(answer)
    for change in changes:
        kind, goal = types[change.address.type], goal_of(change)
        if change.action is Action.NO_OP or goal is None:
            continue
        had = () if change.observed is None else kind.needs(change.observed)
        for need in kind.needs(goal):
            if need.type not in types or Acceptance not in types[need.type].contributes:
                continue
            names = {need.key} if Signature in kind.contributes else {need.key, *_parents(need.key)}
            if accepted is None or need in desired.resources or need in had or names & accepted:
                continue
            resource = desired.resources.get(change.address)
            device = worked_out_for(resource, desired) if resource else None
            summary = f"{change.address} needs the accepted domain {need.key}, which the tenant does not have"
            other = (
                f"correct certificate of {_devices(resource, desired)}" if resource and device else "correct the name"
            )
            hint = f"add the domain in the Microsoft 365 admin center and verify it, or {other}"
            at = resource.location if resource else None
            yield Finding(rule.id, rule.severity, summary, hint, change.address, location=at)


def _devices(resource: Resource, desired: Desired) -> str:
    return listed([desired.devices[name].address for name in resource.devices])


def _accepted(answer: Answer) -> frozenset[str] | None:
    """The accepted domains; None where a row has a form that nobody knows."""
    try:
        return frozenset(accepted_domain.decode(answer.rows))
    except ValueError:
        return None


def _parents(domain: str) -> Iterator[str]:
    labels = domain.split(".")
    return (".".join(labels[cut:]) for cut in range(1, len(labels)))


def _quoted(owner: str) -> str:
    return f'"{owner}"' if owner else "this plan, which names no owner"
