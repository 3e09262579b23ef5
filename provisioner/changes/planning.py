"""Desired + observed -> change set: the differences, and what the rules find. Pure, and the same for every type.

The order of the day: `plan` walks declared resources, tombstones and undeclared objects; differences become changes,
differences of preconditions become checks; `ordering` sorts them; `rules.check` looks at the whole picture. `scoping`
says which part of the plan is meant.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner import mailflow, rules
from provisioner.changes import linking, renaming, unmanaged
from provisioner.changes.ordering import order
from provisioner.changes.paths import sending_paths
from provisioner.changes.renaming import Recognised
from provisioner.changes.scoping import Scope, rescope
from provisioner.changes.splitting import steps_of
from provisioner.devices import worked_out_for
from provisioner.diagnostics import Severity
from provisioner.mailflow import promises
from provisioner.mailflow.picture import is_silenced
from provisioner.model import (
    Absent,
    Action,
    Address,
    Basis,
    Change,
    ChangeSet,
    Check,
    Desired,
    Finding,
    Observation,
    Observed,
    Present,
    ReadBack,
    Resource,
    ResourceType,
    Undeclared,
    Unknown,
    Waiver,
    create_only,
    field_names,
    goal_of,
    matches,
    overlay,
    project,
)
from provisioner.model.listing import listed


def plan(
    desired: Desired,
    observed: Observed,
    types: Sequence[ResourceType[Any]],
    *,
    scope: Scope | None = None,
    waivers: Sequence[Waiver] = (),
    tenant_id: str = "",
    created: str = "",
    transport: str = "",
    told: Sequence[Finding] = (),
) -> ChangeSet:
    """The change set that brings the observed tenant to the desired state. `desired` is as `narrow` left it.

    `waivers` are those of the command line; the plan's own are in `desired`. `created` is RFC 3339, given by the caller
    since nothing here knows the time. `told` are findings of others, who asked what is neither tenant nor plan.
    """
    scope = scope or Scope()
    desired = rescope(desired, observed, types, scope)
    by_name = {t.name: t for t in types}
    observed = unmanaged.reduced(_meant(observed, desired), desired, by_name)  # nothing rests on what is not kept
    desired = linking.planned(desired, observed, types)
    recognised = renaming.recognise(desired, observed, by_name)
    desired = renaming.without_excluded(desired, recognised, by_name, scope.excludes)
    draft = _Draft(desired, recognised.observed, by_name, scope, recognised)
    draft.draw()
    left = unmanaged.found(recognised.observed, desired, by_name, scope.holds)
    changes = order(judged(c, draft.types[c.address.type]) for c in draft.changes)
    unknown = {a: o for a, o in observed.resources.items() if isinstance(o, Unknown) and a not in desired.set_aside}
    return ChangeSet(
        tenant=desired.tenant,
        tenant_id=tenant_id,
        owner=desired.owner,
        changes=changes,
        findings=tuple(rules.waive((*_findings(draft, changes, left), *told), (*desired.waivers, *waivers))),
        checks=tuple(draft.checks),
        unknown=unknown,
        unlisted=dict(observed.unlisted),
        complete=scope.whole and not unknown and not observed.unlisted and not draft.frozen and not recognised.unclear,
        plan_digest=desired.digest,
        plan_files=desired.files,
        variables=desired.variables,
        created=created,
        transport=transport,
        requests=observed.requests,
        unmanaged_more=dict(observed.unmanaged),
        basis=Basis(desired, observed, scope.targets, scope.excludes, tuple(waivers)),
        **_outlook(draft, changes, left),
    )


def _outlook(draft: _Draft, changes: Sequence[Change], left: Mapping[Address, Any]) -> dict[str, Any]:
    """What the changes leave: unmanaged objects, what must be in force before anything closes, the sending paths."""
    types = draft.types
    return {
        "unmanaged": tuple(unmanaged.told(types[a.type], a, spec) for a, spec in sorted(left.items())),
        "promises": dict(_promises(changes, draft.desired, types)),
        "paths": sending_paths(draft.desired, draft.observed, changes, tuple(types.values())),
    }


def _meant(observed: Observed, desired: Desired) -> Observed:
    """Less than was read, where a name that only the tenant knows excludes an object."""
    meant = {*desired.resources, *desired.set_aside, *desired.absent}
    return dataclasses.replace(observed, resources={a: o for a, o in observed.resources.items() if a in meant})


def _findings(draft: _Draft, changes: Sequence[Change], left: Mapping[Address, Any]) -> Iterator[Finding]:
    """What drafting found, and what the rules find in the plan, the tenant with what is unmanaged, each change."""
    desired, types = draft.desired, draft.types
    yield from draft.findings
    pending = [c.address for c in changes if c.action is not Action.NO_OP]
    devices = {name for a in pending if (r := desired.resources.get(a)) for name in r.devices}
    for finding in rules.lint(desired, tuple(types.values()), draft.observed):
        yield dataclasses.replace(finding, known=_stays(finding, pending, devices))
    yield from rules.check(desired, draft.observed, changes, types)
    yield from rules.check_unmanaged(left, desired, changes, types)
    for change in changes:
        yield from _guards(change, types[change.address.type], draft)


def _stays(finding: Finding, pending: Collection[Address], devices: Collection[str]) -> bool:
    """Whether a finding of the plan alone stops nothing, and neither its object nor a device that it names changes."""
    if finding.blocks:
        return False
    if finding.address is not None:
        return finding.address not in pending
    named = re.findall(r"\bdevice/([^\s:,;]+)", finding.summary)
    return not any(name in devices for name in named) if named else not pending


def _promises(
    changes: Sequence[Change], desired: Desired, types: Mapping[str, ResourceType[Any]]
) -> Iterator[tuple[Address, ReadBack]]:
    """What has to be in force before anything is closed by hand, the objects outside of the scope included."""
    if not any(c.closes for c in changes):
        return
    declared = {a: r.spec for a, r in desired.set_aside.items()}
    declared.update({c.address: c.after for c in changes if c.after is not None})
    for address, wanted in declared.items():
        kind = types[address.type]
        if kind.precondition or not promises.lacking(kind, wanted, None):
            continue
        found = kind.read_back(wanted)
        if found is not None:
            yield address, found


def judged(change: Change, kind: ResourceType[Any]) -> Change:
    """The change with its consequences, from what the whole object contributes before and after.

    What stays as it is has none. What a change takes from senders is the engine's own question: a partner connector
    that goes refuses nobody any more, and takes from its sources that RejectDirectSend spares them.
    """
    if change.action is Action.NO_OP:
        return change
    goal = goal_of(change)
    found = mailflow.consequences(change.action, mailflow.effects(kind, change.observed, goal))
    takes = promises.loses(kind, change.observed, goal)
    disables = is_silenced(kind, change.observed, goal)
    return dataclasses.replace(change, consequences=found, takes=bool(takes), disables=disables)


def _guards(change: Change, kind: ResourceType[Any], draft: _Draft) -> Iterator[Finding]:
    """What the type itself wants a person to allow by name. What takes away our own work needs nobody's word."""
    known = draft.observed.remembered.get(change.address, "")
    if change.action is Action.NO_OP or (
        change.observed is not None and kind.is_ours(change.observed, goal_of(change), known)
    ):
        return
    resource = draft.desired.resources.get(change.address)
    for guard in kind.guards(change.observed, goal_of(change)):
        rule = rules.rule_of(kind.rules, guard.rule)
        summary = f"{change.address}: {guard.summary}"
        at = resource.location if resource else None
        yield Finding(rule.id, rule.severity, summary, guard.hint, change.address, rule.blocks, location=at)


_OUT = "take it out of"


@dataclass(slots=True)
class _Draft:
    """A change set in the making."""

    desired: Desired
    observed: Observed
    types: Mapping[str, ResourceType[Any]]
    scope: Scope
    recognised: Recognised
    changes: list[Change] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    doubts: dict[str, Mapping[Address, str]] = field(default_factory=dict)
    frozen: dict[str, int] = field(default_factory=dict)

    def draw(self) -> None:
        """Every change and finding of the plan against the tenant."""
        self.declared()
        self.tombstones()
        self.undeclared()

    def declared(self) -> None:
        for address, resource in self.desired.resources.items():
            kind = self.types[address.type]
            observation = self.observed.resources.get(address, Unknown("it was not read"))
            if kind.precondition:
                self._check(resource, observation)
            elif isinstance(observation, Present):
                self._existing(kind, resource, observation.spec)
            elif isinstance(observation, Absent):
                self._missing(kind, resource, observation)

    def tombstones(self) -> None:
        reason = "the run that is undone created it" if self.desired.undoes else "the plan lists it under absent"
        for address, location in self.desired.absent.items():
            there = self.observed.resources.get(address)
            if not isinstance(there, Present):
                continue
            kind = self.types[address.type]
            declared = self._declared_as(kind, there.spec)
            if declared is not None:
                summary = f"{address} is listed under absent, and the plan declares the same object as {declared}"
                fix = "take one of the two out"
                self.findings.append(
                    Finding("ABSENT-DECLARED", Severity.ERROR, summary, fix, address, "precondition", location=location)
                )
            elif not self._kept_by_protection(address, there.spec, "deleted", reason):
                self.changes.append(deletion(kind, address, there.spec, reason))

    def undeclared(self) -> None:
        """What becomes of objects that the plan does not declare; nothing, where one of them may be a declared one."""
        for address, spec in self.observed.undeclared.items():
            kind = self.types[address.type]
            names = unmanaged.called(kind, spec)
            if matches(self.desired.ignore, address, names) or not self.scope.holds(address, names):
                continue
            verdict = self._fate(kind, spec)
            if verdict is Undeclared.KEEP:
                continue
            if address in self.recognised.unclear:
                self.findings.append(_unclear(address, self.recognised.unclear[address]))
            elif self._doubts(kind):
                self.frozen[kind.name] = self.frozen.get(kind.name, 0) + 1
            elif verdict is Undeclared.DELETE:
                reason = f'it carries the mark of "{self.desired.owner}" and the plan no longer declares it'
                if not self._kept_by_protection(address, spec, "deleted", reason):
                    self.changes.append(deletion(kind, address, spec, reason))
            else:
                reason = "the section is exclusive and does not list it"
                if not self._kept_by_protection(address, spec, "reset", reason):
                    self.changes.append(update(kind, address, spec, verdict, verdict, reason))
        for name, count in self.frozen.items():
            self.findings.append(self._freezing(self.types[name], count))

    def _fate(self, kind: ResourceType[Any], spec: Any) -> Any:
        """What the plan would do with an undeclared object if nothing held it back; KEEP where it is so already."""
        return unmanaged.fate(kind, spec, self.desired)

    def _doubts(self, kind: ResourceType[Any]) -> Mapping[Address, str]:
        """Names of the plan that could mean an undeclared object of this type, each with the reason."""
        if kind.name not in self.doubts:
            self.doubts[kind.name] = dict(self._unresolved(kind))
        return self.doubts[kind.name]

    def _unresolved(self, kind: ResourceType[Any]) -> Iterator[tuple[Address, str]]:
        called: dict[str, Address] = {}
        for address, spec in self.observed.undeclared.items():
            if address.type == kind.name and self._fate(kind, spec) is not Undeclared.KEEP:
                called.update(dict.fromkeys(kind.names(spec), address))
        for address in (*self.desired.resources, *self.desired.set_aside, *self.desired.absent):
            if address.type != kind.name:
                continue
            there = self.observed.resources.get(address, Unknown("it was not read"))
            if isinstance(there, Unknown):
                outside = address in self.desired.set_aside  # what a saved change set keeps no reason of
                yield address, "it could not be read" if outside else there.reason
            elif isinstance(there, Absent) and not kind.creatable and address not in self.desired.absent:
                yield address, there.reason or "the tenant does not have it"
            elif address.key in called:
                yield address, f"it is also a name of {called[address.key]}"

    def _freezing(self, kind: ResourceType[Any], count: int) -> Finding:
        doubts = self._doubts(kind)
        first, reason = next(iter(doubts.items()))
        others = f", and {len(doubts) - 1:,} more" if len(doubts) > 1 else ""
        objects = "1 undeclared object is" if count == 1 else f"{count:,} undeclared objects are"
        summary = f"{first} does not identify one object for certain ({reason}{others}): {objects} left unchanged"
        resource = self.desired.resources.get(first) or self.desired.set_aside.get(first)
        fix = "correct the name, best to the primary address"
        fix = self._or_in_the_plan(resource, fix, _OUT) if resource else f"{fix}, or {_OUT} the plan"
        at = resource.location if resource else self.desired.absent.get(first)
        return Finding("UNDECLARED-FROZEN", Severity.WARNING, summary, fix, first, location=at)

    def _declared_as(self, kind: ResourceType[Any], spec: Any) -> Address | None:
        """The declared resource that is this observed object under another name."""
        names = set(kind.names(spec))
        for address in (*self.desired.resources, *self.desired.set_aside):
            there = self.observed.resources.get(address)
            if address.type == kind.name and isinstance(there, Present) and names & set(kind.names(there.spec)):
                return address
        return None

    def _existing(self, kind: ResourceType[Any], resource: Resource, live: Any) -> None:
        wanted = kind.meant(resource.spec, live)
        fixed = {n for n in create_only(kind.spec) if _differs(wanted, live, n)}
        if fixed:
            self.findings.extend(_create_only_findings(resource, live, fixed))
            wanted = dataclasses.replace(wanted, **{n: getattr(live, n) for n in fixed})
        goal = overlay(wanted, live)
        reason = kind.in_force(resource.spec, goal)
        if reason:
            self.findings.append(_not_in_force(resource, reason, kind.fix(resource.spec, goal)))
        if kind.settled(goal, live):
            same = project(live, wanted)
            needs = tuple(kind.needs(wanted))
            self.changes.append(Change(resource.address, Action.NO_OP, same, same, needs=needs, observed=live))
        else:
            renamed = self.recognised.reasons.get(resource.address)
            why = self._why(resource, renamed or "it differs from the plan")
            self.changes.append(update(kind, resource.address, live, goal, wanted, why))

    def _missing(self, kind: ResourceType[Any], resource: Resource, there: Absent) -> None:
        if there.reason or not kind.creatable:
            summary = f"{resource.address}: {there.reason or 'it is declared, but the tenant does not have it'}"
            own = "" if kind.creatable else kind.fix(resource.spec, None)
            fix = there.fix or own or f'create "{resource.address.key}" first, or correct the name'
            self._unmet(resource, "RESOURCE-MISSING", summary, self._or_in_the_plan(resource, fix, _OUT))
            return
        spec = kind.completed(kind.meant(resource.spec, there.known))
        spec = spec if there.known is None else overlay(spec, there.known)
        steps, inverse = steps_of(kind, None, spec), steps_of(kind, spec, None)
        needs = tuple(kind.needs(spec))
        reason = self._why(resource, "the tenant does not have it")
        self.changes.append(Change(resource.address, Action.CREATE, None, spec, steps, inverse, needs, reason))

    def _why(self, resource: Resource, reason: str) -> str:
        """The reason, with the device that it is for: how that sends, and why so."""
        if not resource.devices:
            return reason
        first, *others = resource.devices
        choice = self.desired.choices[first]
        more = f"; and for {len(others):,} more" if others else ""
        return f"{reason}; for device/{first}, which sends by {choice.method}: {', '.join(choice.reasons)}{more}"

    def _check(self, resource: Resource, observation: Observation) -> None:
        if isinstance(observation, Unknown):
            self.checks.append(Check(resource.address, "unknown", (observation.reason,)))
            return
        problems = tuple(_problems(resource.spec, observation))
        self.checks.append(Check(resource.address, "fail" if problems else "pass", problems))
        live = observation.spec if isinstance(observation, Present) else None
        fix = self.types[resource.address.type].fix(resource.spec, live)
        hint = self._or_in_the_plan(resource, fix, "correct")
        for problem in problems:
            summary = f"{resource.address}: {problem}"
            self._unmet(resource, "PRECONDITION", summary, hint)

    def _or_in_the_plan(self, resource: Resource, fix: str, verb: str) -> str:
        """A fix in the tenant, or what the plan could say instead: in the entry, and in all devices that it is for."""
        devices = [self.desired.devices[name] for name in resource.devices if name in self.desired.devices]
        written = worked_out_for(resource, self.desired) is None
        others = [f"{verb} the plan"] if written else []
        if devices:
            names = "from" if all(d.mailbox in {"", *d.senders} for d in devices) else "from or mailbox"
            others.append(f"correct {names} of {listed([d.address for d in devices], 3)}")
        return f"{fix}{'; or' if '. ' in fix else ', or'} {', and '.join(others)}"

    def _unmet(self, resource: Resource, rule: str, summary: str, hint: str) -> None:
        self.findings.append(
            Finding(rule, Severity.ERROR, summary, hint, resource.address, "precondition", location=resource.location)
        )

    def _kept_by_protection(self, address: Address, spec: Any, what: str, reason: str) -> bool:
        if not matches(self.desired.protect, address, unmanaged.called(self.types[address.type], spec)):
            return False
        summary = f"{address} would be {what} ({reason}), but is protected: it is kept"
        self.findings.append(Finding("PROTECTED", Severity.WARNING, summary, address=address))
        return True


def update(kind: ResourceType[Any], address: Address, live: Any, goal: Any, wanted: Any, reason: str) -> Change:
    """An update from the full live object to the full goal; before and after hold what `wanted` writes."""
    return Change(
        address,
        Action.UPDATE,
        project(live, wanted),
        project(goal, wanted),
        steps_of(kind, live, goal),
        steps_of(kind, goal, live),
        tuple(kind.needs(wanted)),
        reason,
        observed=live,
        releases=tuple(need for need in kind.needs(live) if need not in kind.needs(goal)),
    )


def deletion(kind: ResourceType[Any], address: Address, live: Any, reason: str) -> Change:
    """A delete, resting on the whole object."""
    steps, inverse = steps_of(kind, live, None), steps_of(kind, None, live)
    needs = tuple(kind.needs(live))
    return Change(address, Action.DELETE, live, None, steps, inverse, needs, reason, observed=live)


def _differs(wanted: Any, live: Any, name: str) -> bool:
    value = getattr(wanted, name)
    return value is not None and value != getattr(live, name)


def _unclear(address: Address, reason: str) -> Finding:
    """A marked object that may be a declared one under another name."""
    summary = f"{address} may be a renamed object of this plan ({reason}): it is not deleted"
    fix = "to keep it, give it its name in the plan; to delete it, list it under absent"
    return Finding("RENAMED-UNCLEAR", Severity.WARNING, summary, fix, address)


def _not_in_force(resource: Resource, reason: str, fix: str) -> Finding:
    """A declared object that has no effect in the tenant, with the devices that depend on it."""
    fix = fix or "write enabled: true to switch it on, or enabled: false if that is intended"
    devices = listed(f"device/{name}" for name in resource.devices)
    summary = f"{resource.address}: {reason}" + (f"; {devices} cannot send through it" if devices else "")
    return Finding("NOT-IN-FORCE", Severity.WARNING, summary, fix, resource.address, location=resource.location)


def _create_only_findings(resource: Resource, live: Any, names: Iterable[str]) -> Iterator[Finding]:
    for name in sorted(names):
        there, here = getattr(live, name), getattr(resource.spec, name)
        if there is None:
            continue
        yield Finding(
            "CREATE-ONLY",
            Severity.WARNING,
            f"{resource.address}: {name} is {there} and the plan says {here}; only creation can set it",
            f"take {name} out of the plan, or change the object by hand: provisioner explain CREATE-ONLY",
            resource.address,
            location=resource.fields.get(name, resource.location),
        )


def _problems(wanted: Any, observation: Observation) -> Iterator[str]:
    """What a precondition misses, a sentence each."""
    if not isinstance(observation, Present):
        yield "the tenant does not have it"
        return
    for name in field_names(wanted):
        if _differs(wanted, observation.spec, name):
            there = getattr(observation.spec, name)
            yield f"{name} is {_word(there)}, the plan takes {_word(getattr(wanted, name))} for granted"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "not known" if value is None else str(value)
