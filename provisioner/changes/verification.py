"""A saved change set, verified: nothing in the file is believed that can be derived.

The file keeps what the change set was planned from (`provisioner.basis`, and the observed object of each change). At
`show` and `apply` the plan is made again from that, with the resource types and the rules. The whole document that
comes out must be the one in the file: steps, inverse, before, after, fields, needs, reason, consequences, order, checks
and findings. What is applied is the change set that was derived here, never the one that was read. Pure.

Facts that cannot be derived are only shown, or make a file harder to apply: the time, the commit, what the journal knew
of drift, and the findings about DNS. An edit of the basis itself gives another, consistent change set, which `show`
renders in full; the digest of the review, or the plan (`against_plan`), tells it from the one that was reviewed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from provisioner import __version__
from provisioner.changes import changeset, planning, scoping
from provisioner.diagnostics import ChangeSetStale, Diagnostic, InputError, Location, Severity
from provisioner.model import (
    Absent,
    Address,
    Answer,
    ChangeSet,
    Desired,
    Drift,
    Finding,
    Observation,
    Observed,
    Present,
    Resource,
    ResourceType,
    Unknown,
    Waiver,
    field_names,
)
from provisioner.model.checking import adapter_of
from provisioner.model.devices import Choice, Device, Site
from provisioner.model.document import ChangeSetDocument
from provisioner.model.traffic import Traffic
from provisioner.rules import RULES

Types = Sequence[ResourceType[Any]]

_ADDED = frozenset({"paths", "summary"})
"""Parts that are derived for a reader, and that a change set of an earlier version lacks."""

_MOST = 10  # so many differences are named


def load(path: Path, types: Types) -> tuple[ChangeSetDocument, ChangeSet]:
    """A saved document and its change set. Raises InputError for what is none, ChangeSetStale for what was edited."""
    document = changeset.load(path)
    found = derive(document, types, str(path))
    return with_hints(document), found


def with_hints(document: Any) -> Any:
    """A document of an earlier version, which called the hint of a finding `mend` alone, as this one writes it."""
    ours = document.get("provisioner")
    findings = ours.get("findings") if isinstance(ours, Mapping) else None
    if not isinstance(findings, list):
        return document
    return {**document, "provisioner": {**ours, "findings": [_with_hint(finding) for finding in findings]}}


def _with_hint(finding: Any) -> Any:
    old = isinstance(finding, Mapping) and "mend" in finding and "hint" not in finding
    return {**finding, "hint": finding["mend"]} if old else finding


def against_plan(
    document: Mapping[str, Any],
    found: ChangeSet,
    desired: Desired,
    types: Types,
    scope: scoping.Scope,
    waivers: Sequence[Waiver],
    remembered: Mapping[Address, str],
) -> Sequence[str]:
    """What of a verified change set is not as this plan leads to with the same observed tenant, by path or address.

    `desired` is as `scoping.narrow` left it, `waivers` are those of the command line, `remembered` the ids of earlier
    runs by the journal: the file's own are not believed. Places in the plan's files and its digest may differ, since a
    comment changes them, and ids that decide nothing. Observed mail is not written in a plan: the file's counts.
    """
    if found.basis is None:
        return ["$.provisioner.basis"]
    again = planning.plan(
        dataclasses.replace(desired, traffic=found.basis.desired.traffic),
        dataclasses.replace(found.basis.observed, remembered=remembered),
        types,
        scope=scope,
        waivers=waivers,
        tenant_id=found.tenant_id,
        created=found.created,
        transport=found.transport,
        told=[dataclasses.replace(f, waived="") for f in found.findings if f.rule not in RULES],
    )
    again = dataclasses.replace(again, commit=found.commit, expires=found.expires, left=found.left, drift=found.drift)
    return list(dict.fromkeys(_differences(_placeless(document), _placeless(changeset.to_document(again)))))


def _placeless(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A document without what rests on the text of the plan's files, and not on what they declare, and without ids."""
    ours = {k: v for k, v in document["provisioner"].items() if k not in {"version", "digest", "plan"}}
    ours["basis"] = {k: v for k, v in ours["basis"].items() if k != "remembered"}
    found: Mapping[str, Any] = _without_places({**document, "provisioner": ours})
    return found


def _without_places(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.keys() == {"file", "line", "column"}:
            return None
        return {k: _without_places(v) for k, v in value.items()}
    return [_without_places(v) for v in value] if isinstance(value, list) else value


def derive(document: Mapping[str, Any], types: Types, name: str) -> ChangeSet:
    """The change set that follows from a document's facts. Raises as `load`; `name` is for the message."""
    found = _Reading(document, {t.name: t for t in types}, name).changeset()
    again = changeset.to_document(found)
    again["provisioner"]["version"] = document["provisioner"].get("version")
    again["provisioner"]["digest"] = document["provisioner"]["digest"]
    parts = list(dict.fromkeys(_differences(with_hints(document), again)))
    if parts:
        made = document["provisioner"].get("version")
        by = f" It was made by provisioner {made}; this is {__version__}." if made != __version__ else ""
        more = [f"and {len(parts) - _MOST:,} more"] if len(parts) > _MOST else []
        raise ChangeSetStale(
            f"{name} holds what does not follow from its own plan and its reading of the tenant: "
            f"{'; '.join([*parts[:_MOST], *more])}. Nothing of it is carried out.{by} Plan again"
        )
    return found


# --- what differs ----------------------------------------------------------------------------------------------------


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """The parts that are not as derived, each by its JSON path or by the address of its change."""
    for name in dict.fromkeys((*theirs, *ours)):
        there, here = theirs.get(name), ours.get(name)
        if (name in theirs) == (name in ours) and _same(there, here):
            continue
        if name == "provisioner" and isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from (f"$.provisioner.{part}" for part in _parts(there, here))
        elif name == "resource_changes" and isinstance(there, list) and isinstance(here, list):
            yield from _changed(there, here)
        else:
            yield f"$.{name}"


def _changed(theirs: Sequence[Any], ours: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    derived = {item["address"]: item for item in ours}
    for item in theirs:
        address = str(Address(item["type"], item["index"]))
        if address not in derived:
            yield f"{address}: no such change is derived"
            continue
        for part in _parts(item, derived.pop(address)):
            yield f"{address}: {part}"
    yield from (f"{address}: the change is missing" for address in derived)
    if [i.get("address") for i in theirs] != [i["address"] for i in ours]:
        yield "the order of the changes"


def _parts(theirs: Mapping[str, Any], ours: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name in dict.fromkeys((*theirs, *(n for n in ours if n not in _ADDED))):
        there, here = theirs.get(name), ours.get(name)
        if (name in theirs) == (name in ours) and _same(there, here):
            continue
        if name in {"change", "provisioner", "basis"} and isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from _parts(there, here, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: 1 is not true, and 1.0 is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(v, other[k]) for k, v in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


# --- the facts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Declared:
    address: str
    spec: dict[str, Any]
    location: Location | None
    fields: dict[str, Location]
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    address: str
    location: Location | None


@dataclass(frozen=True, slots=True)
class _Seen:
    address: str
    spec: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Lacking:
    address: str
    reason: str
    fix: str
    known: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Evidence:
    rows: tuple[dict[str, Any], ...] | None = None
    unknown: Unknown | None = None


@dataclass(frozen=True, slots=True)
class _Basis:
    declared: tuple[_Declared, ...]
    set_aside: tuple[_Declared, ...]
    absent: tuple[_Placed, ...]
    exclusive: frozenset[str]
    declared_only: bool
    protect: tuple[str, ...]
    ignore: tuple[str, ...]
    waivers: tuple[Waiver, ...]
    allowed: tuple[Waiver, ...]
    targets: tuple[str, ...]
    excludes: tuple[str, ...]
    sites: dict[str, Site]
    devices: dict[str, Device]
    choices: dict[str, Choice]
    observed: tuple[_Seen, ...]
    lacking: tuple[_Lacking, ...]
    others: dict[str, int]
    unmanaged: dict[str, int]
    remembered: dict[str, str]
    evidence: dict[str, _Evidence]
    traffic: tuple[Traffic, ...] = ()
    undoes: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    rule: str
    severity: Severity
    summary: str
    address: str | None
    location: Location | None
    hint: str | None = None
    mend: str | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    digest: str
    files: tuple[str, ...]
    commit: str


@dataclass(frozen=True, slots=True)
class _Requests:
    read: int


@dataclass(frozen=True, slots=True)
class _Unreadable:
    address: str
    reason: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Unlisted:
    type: str
    reason: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Ours:
    tenant: str
    tenant_id: str
    owner: str
    transport: str
    plan: _Plan
    expires: str
    left: tuple[str, ...]
    requests: _Requests
    findings: tuple[_Told, ...]
    unreadable: tuple[_Unreadable, ...]
    unlisted: tuple[_Unlisted, ...]
    basis: _Basis


@dataclass(frozen=True, slots=True)
class _ChangeFacts:
    observed: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Item:
    type: str
    index: str
    provisioner: _ChangeFacts


@dataclass(frozen=True, slots=True)
class _DriftSides:
    before: dict[str, Any]
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _DriftRun:
    run: str


@dataclass(frozen=True, slots=True)
class _DriftItem:
    address: str
    change: _DriftSides
    provisioner: _DriftRun


@dataclass(frozen=True, slots=True)
class _Variable:
    value: Any


@dataclass(frozen=True, slots=True)
class _Document:
    """What of a document is read; everything else in it is only compared."""

    timestamp: str
    resource_changes: tuple[_Item, ...]
    provisioner: _Ours
    resource_drift: tuple[_DriftItem, ...] = ()
    variables: dict[str, _Variable] = dataclasses.field(default_factory=dict)


class _Reading:
    """One document's facts as the values that planning takes. Every method raises InputError with a JSON path."""

    def __init__(self, document: Mapping[str, Any], types: Mapping[str, ResourceType[Any]], name: str) -> None:
        self._types, self._name = types, name
        self._facts: _Document = self._shaped(_Document, document, "$")

    def changeset(self) -> ChangeSet:
        """The change set, planned again."""
        facts, ours = self._facts, self._facts.provisioner
        desired = self._desired()
        observed = self._observed(desired)
        left = tuple(self._address(a, f"$.provisioner.left[{i}]") for i, a in enumerate(ours.left))
        drift = tuple(
            Drift(
                self._address(d.address, f"$.resource_drift[{i}]"), d.change.before, d.change.after, d.provisioner.run
            )
            for i, d in enumerate(facts.resource_drift)
        )
        try:
            found = planning.plan(
                desired,
                observed,
                tuple(self._types.values()),
                scope=scoping.Scope(ours.basis.targets, ours.basis.excludes),
                waivers=ours.basis.allowed,
                tenant_id=ours.tenant_id,
                created=facts.timestamp,
                transport=ours.transport,
                told=tuple(self._told()),
            )
        except (ValueError, LookupError) as error:
            # A value of the right type that planning knows no meaning for: a network that is none, a device's site.
            raise self._bad("$.provisioner.basis", f"cannot be planned from: {error}") from error
        return dataclasses.replace(found, commit=ours.plan.commit, expires=ours.expires, left=left, drift=drift)

    def _desired(self) -> Desired:
        facts, ours, basis = self._facts, self._facts.provisioner, self._facts.provisioner.basis
        absent = {
            self._address(item.address, f"$.provisioner.basis.absent[{i}]"): item.location
            for i, item in enumerate(basis.absent)
        }
        return Desired(
            tenant=ours.tenant,
            owner=ours.owner,
            resources=self._declared("declared", basis.declared),
            set_aside=self._declared("set_aside", basis.set_aside),
            exclusive=basis.exclusive,
            declared_only=basis.declared_only,
            undoes=basis.undoes,
            absent=absent,
            protect=basis.protect,
            ignore=basis.ignore,
            waivers=basis.waivers,
            digest=ours.plan.digest,
            files=ours.plan.files,
            sites=basis.sites,
            devices=basis.devices,
            choices=basis.choices,
            traffic=basis.traffic,
            variables={name: item.value for name, item in facts.variables.items()},
        )

    def _declared(self, section: str, items: Sequence[_Declared]) -> Mapping[Address, Resource]:
        resources = {}
        for i, item in enumerate(items):
            path = f"$.provisioner.basis.{section}[{i}]"
            address = self._address(item.address, path)
            spec = self._spec(address, item.spec, f"{path}.spec")
            resources[address] = Resource(address, spec, item.location, item.fields, item.devices)
        return resources

    def _observed(self, desired: Desired) -> Observed:
        ours, basis = self._facts.provisioner, self._facts.provisioner.basis
        resources: dict[Address, Observation] = {}
        undeclared: dict[Address, Any] = {}
        for address, observation in self._seen():
            if address in desired.resources or address in desired.set_aside or address in desired.absent:
                resources[address] = observation
            elif isinstance(observation, Present):
                undeclared[address] = observation.spec
        resources.update({a: absent for a, absent in self._lacking() if isinstance(resources.get(a), Absent)})
        for i, item in enumerate(ours.unreadable):
            resources[self._address(item.address, f"$.provisioner.unreadable[{i}]")] = Unknown(item.reason, item.kind)
        evidence: dict[str, Answer | Unknown] = {
            key: item.unknown if item.unknown is not None else Answer(item.rows or ())
            for key, item in basis.evidence.items()
        }
        return Observed(
            resources,
            undeclared,
            {item.type: Unknown(item.reason, item.kind) for item in ours.unlisted},
            ours.requests.read,
            evidence,
            basis.others,
            basis.unmanaged,
            {self._address(a, "$.provisioner.basis.remembered"): known for a, known in basis.remembered.items()},
        )

    def _seen(self) -> Iterator[tuple[Address, Observation]]:
        """What the tenant reported of each object that has a change, then of the others.

        A renamed object is among the others, under the name that the tenant has for it: the change follows from that.
        """
        others = {seen.address: seen.spec for seen in self._facts.provisioner.basis.observed}
        for i, change in enumerate(self._facts.resource_changes):
            path = f"$.resource_changes[{i}]"
            address = Address(change.type, change.index)
            key = field_names(self._kind(address, f"{path}.type").spec)[0]
            fields = change.provisioner.observed
            if fields and fields.get(key) != address.key:
                former = str(Address(address.type, str(fields.get(key))))
                fields = fields if others.get(former) != fields else None
            yield address, self._observation(address, fields, f"{path}.provisioner.observed")
        for i, seen in enumerate(self._facts.provisioner.basis.observed):
            path = f"$.provisioner.basis.observed[{i}]"
            address = self._address(seen.address, path)
            yield address, self._observation(address, seen.spec, f"{path}.spec")

    def _lacking(self) -> Iterator[tuple[Address, Absent]]:
        """What is known of objects that the tenant does not have."""
        for i, item in enumerate(self._facts.provisioner.basis.lacking):
            path = f"$.provisioner.basis.lacking[{i}]"
            address = self._address(item.address, path)
            known = None if item.known is None else self._spec(address, item.known, f"{path}.known")
            yield address, Absent(item.reason, item.fix, known)

    def _told(self) -> Iterator[Finding]:
        """The findings of no rule of ours, about DNS. They block nothing, whatever the file says."""
        for i, item in enumerate(self._facts.provisioner.findings):
            if item.rule not in RULES:
                address = self._address(item.address, f"$.provisioner.findings[{i}]") if item.address else None
                hint = item.hint if item.hint is not None else item.mend or ""
                yield Finding(item.rule, item.severity, item.summary, hint, address, location=item.location)

    def _observation(self, address: Address, fields: Mapping[str, Any] | None, path: str) -> Observation:
        return Absent() if fields is None else Present(self._spec(address, fields, path))

    def _spec(self, address: Address, fields: Mapping[str, Any], path: str) -> Any:
        """A canonical object whose first field, its key, is the key of its address: it can be no other object."""
        kind = self._kind(address, path)
        spec = self._shaped(kind.spec, fields, path)
        key = field_names(spec)[0]
        if getattr(spec, key) != address.key:
            raise ChangeSetStale(
                f"{self._name}: {address}: {path}.{key} names another object, {getattr(spec, key)!r}. "
                "Nothing of it is carried out. Plan again"
            )
        return spec

    def _kind(self, address: Address, path: str) -> ResourceType[Any]:
        kind = self._types.get(address.type)
        if kind is None:
            raise self._bad(path, f'there is no resource type "{address.type}"')
        return kind

    def _address(self, text: str, path: str) -> Address:
        try:
            address = Address.parse(text)
        except ValueError as error:
            raise self._bad(path, str(error)) from None
        self._kind(address, path)
        return address

    def _shaped(self, shape: Any, value: Any, path: str) -> Any:
        """The value as a dataclass. A value that pydantic converts is found out later: it is not what is derived."""
        try:
            return adapter_of(shape).validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            steps = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
            raise self._bad(path + steps, str(first["msg"])) from None

    def _bad(self, path: str, what: str) -> InputError:
        summary = f"{self._name}: {path}: {what}"
        return InputError([Diagnostic("CHANGESET-SHAPE", summary, "plan again: provisioner plan -o FILE")])
