"""ChangeSet <-> JSON. One document serves all: it is what Terraform's tooling reads, what is saved, and what is shown.

The shape is Terraform's plan representation (format 1.2); our own facts stand under `provisioner`, at the top and in
each resource change, where other readers skip them. A SHA-256 over the canonical JSON, all but the digest itself and
the transport's name, ties a review to what is applied.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from provisioner import __version__
from provisioner.border import read_ordinary, write_file
from provisioner.diagnostics import ChangeSetStale, Diagnostic, InputError
from provisioner.model import (
    Absent,
    Action,
    Address,
    Answer,
    Await,
    Basis,
    Change,
    ChangeSet,
    Check,
    Cmdlet,
    Confirm,
    Delta,
    DnsUpdate,
    Drift,
    Finding,
    Parameter,
    Pending,
    Present,
    ReadBack,
    Ref,
    Resource,
    ResourceType,
    Secret,
    Send,
    Step,
    Unknown,
    Write,
    field_names,
    figures,
    key_of,
    written,
)
from provisioner.model.checking import adapter_of
from provisioner.model.document import (
    ChangeDocument,
    ChangeSetDocument,
    CmdletDocument,
    DriftDocument,
    FieldDocument,
    FindingDocument,
    PathDocument,
    ReadBackDocument,
    ResourceDocument,
    SidesDocument,
    StepDocument,
    UnmanagedDocument,
    UpdateDocument,
    hinted,
)
from provisioner.model.json_text import KeyTwice, each_key_once
from provisioner.model.paths import SendingPath

FORMAT = 2
"""The version of our part of the document. Raised when an older reader would misunderstand it."""

_TERRAFORM_FORMAT = "1.2"
_PROVIDER = "provisioner/exchange-online"
_LARGEST_BYTES = 256 * 2**20


# --- to JSON ---------------------------------------------------------------------------------------------------------


def to_document(changeset: ChangeSet) -> ChangeSetDocument:
    """The change set as the one JSON document, digest included."""
    document = undigested(changeset)
    document["provisioner"]["digest"] = digest(document)
    return document


def undigested(changeset: ChangeSet) -> ChangeSetDocument:
    """The document without its digest, which costs as much as all the rest: for a text, which does not show it."""
    writes = sum(isinstance(step, Send) for change in changeset.pending for step in change.steps)
    declared = changeset.basis.desired.resources if changeset.basis else {}
    document: ChangeSetDocument = {
        "format_version": _TERRAFORM_FORMAT,
        "resource_changes": [_resource_change(c, declared) for c in changeset.changes],
        "resource_drift": [_resource_drift(d) for d in changeset.drift],
        "output_changes": {},
        "variables": {name: {"value": value} for name, value in changeset.variables.items()},
        "checks": [_check(c) for c in changeset.checks],
        "timestamp": changeset.created,
        "applyable": changeset.applyable,
        "complete": changeset.complete,
        "errored": changeset.errored,
        "provisioner": {
            "format": FORMAT,
            "version": __version__,
            "tenant": changeset.tenant,
            "tenant_id": changeset.tenant_id,
            "owner": changeset.owner,
            "transport": changeset.transport,
            "plan": {
                "digest": changeset.plan_digest,
                "files": list(changeset.plan_files),
                "commit": changeset.commit,
            },
            "expires": changeset.expires,
            "left": [str(a) for a in changeset.left],
            "requests": {"read": changeset.requests, "write": writes},
            "findings": [_finding(f) for f in changeset.findings],
            "unreadable": [
                {"address": str(a), "reason": u.reason, "kind": u.kind} for a, u in sorted(changeset.unknown.items())
            ],
            "unlisted": [
                {"type": t, "reason": u.reason, "kind": u.kind} for t, u in sorted(changeset.unlisted.items())
            ],
            "unmanaged": unmanaged_document(changeset),
            "promises": [{"address": str(a), **_read_back(found)} for a, found in sorted(changeset.promises.items())],
            "basis": None if changeset.basis is None else _basis(changeset.basis, changeset.changes),
            "paths": (paths := [_sending_path(p, changeset) for p in changeset.paths]),
            "summary": figures.summary_of([], paths),
            "digest": "",
        },
    }
    document["provisioner"]["summary"] = figures.summary_of(document["resource_changes"], paths)
    if not changeset.drift:
        del document["resource_drift"]
    return document


def _sending_path(path: SendingPath, changeset: ChangeSet) -> PathDocument:
    known = changeset.basis.desired.devices if changeset.basis else {}
    sites = {name: known[name].site or "" for name in path.devices if name in known}
    return {
        "kind": path.kind,
        "sender": path.sender,
        "through": path.through,
        "ways": list(path.ways),
        "recipients": path.recipients,
        "state": path.state,
        "gains": path.gains,
        "loses": path.loses,
        "held_back": path.held_back,
        "devices": [{"name": name, "site": sites.get(name, "")} for name in path.devices],
        "count": path.count,
    }


def unmanaged_document(changeset: ChangeSet) -> UnmanagedDocument:
    """The count of unmanaged objects, and the objects that are named."""
    named = changeset.unmanaged
    return {
        "count": len(named) + sum(changeset.unmanaged_more.values()),
        "objects": [{"address": str(u.address), "what": u.what, "made_by": u.made_by, "owner": u.owner} for u in named],
    }


def digest(document: Mapping[str, Any]) -> str:
    """`sha256:…` over the canonical JSON (sorted keys, no spaces) without the digest and the transport's name."""
    ours = {k: v for k, v in document["provisioner"].items() if k not in {"digest", "transport"}}
    text = json.dumps({**document, "provisioner": ours}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def plain(value: Any) -> Any:
    """A canonical value as JSON: sets as sorted lists."""
    return sorted(value) if isinstance(value, frozenset) else value


def _resource_change(change: Change, declared: Mapping[Address, Resource]) -> ChangeDocument:
    resource = declared.get(change.address)
    unwritten: set[str] = set()
    if resource is not None and change.after is not None and change.action is Action.CREATE:
        observed = {f.name for f in dataclasses.fields(change.after) if f.metadata.get("read_only")}
        unwritten = set(written(change.after)) - set(written(resource.spec)) - observed
    before = None if change.before is None else fields_document(change.before)
    after = None if change.after is None else fields_document(change.after)
    former = {} if change.observed is None else _former(change.address, key_of(change.observed))
    return {
        **_resource(change.address),
        **former,  # type: ignore[typeddict-item]
        "change": _sides(change.action.value, before, after, _later(change)),
        "provisioner": {
            "reason": change.reason,
            "observed": None if change.observed is None else _observed(change.observed),
            "consequences": list(change.consequences),
            "closes": change.closes,
            "fields": _differences(before or {}, after or {}, unwritten) if change.action is not Action.NO_OP else [],
            "needs": [str(n) for n in change.needs],
            "steps": [step_document(s) for s in change.steps],
            "inverse": [step_document(s) for s in change.inverse],
        },
    }


def _former(address: Address, key: str) -> dict[str, str]:
    """Terraform's `previous_address`: the address that a renamed object has by its present name."""
    return {"previous_address": str(Address(address.type, key))} if key != address.key else {}


def _resource(address: Address) -> ResourceDocument:
    return {
        "address": str(address),
        "mode": "managed",
        "type": address.type,
        "name": address.key,
        "index": address.key,
        "provider_name": _PROVIDER,
    }


def _later(change: Change) -> dict[str, Any]:
    """Terraform's `after_unknown`: the fields whose values another object names once it exists."""
    updates = (s.request for s in change.steps if isinstance(s, Send) and isinstance(s.request, DnsUpdate))
    return {"values": True} if any(update.pending for update in updates) else {}


def _sides(
    action: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    later: dict[str, Any] | None = None,
) -> SidesDocument:
    return {
        "actions": [action],
        "before": before,
        "after": after,
        "after_unknown": later or {},
        "before_sensitive": {} if before is not None else False,
        "after_sensitive": {} if after is not None else False,
    }


def _resource_drift(drift: Drift) -> DriftDocument:
    return {
        **_resource(drift.address),
        "change": _sides("update" if drift.after is not None else "delete", drift.before, drift.after),
        "provisioner": {"run": drift.run, "fields": sorted(drift.fields)},
    }


def fields_document(spec: Any) -> dict[str, Any]:
    """The written fields of a canonical object as JSON."""
    return {name: plain(value) for name, value in written(spec).items()}


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], unwritten: Collection[str]
) -> list[FieldDocument]:
    """The fields that differ; `default` marks one that the plan does not write and its creation sends all the same."""
    names = [*before, *(n for n in after if n not in before)]
    fields: list[FieldDocument] = []
    for name in names:
        if before.get(name) != after.get(name):
            fields.append({"name": name, "before": before.get(name), "after": after.get(name)})
            if name in unwritten:
                fields[-1]["default"] = True
    return fields


def _basis(basis: Basis, changes: Sequence[Change]) -> dict[str, Any]:
    """What the change set was planned from, but for the observed objects that stand in the changes themselves."""
    desired, observed = basis.desired, basis.observed
    changed = {c.address for c in changes}
    everything = {**observed.resources, **{a: Present(s) for a, s in observed.undeclared.items()}}
    return {
        "declared": [_declared(r) for r in desired.resources.values()],
        "set_aside": [_declared(r) for a, r in desired.set_aside.items() if a in observed.resources],
        "absent": [{"address": str(a), "location": _encoded(at)} for a, at in desired.absent.items()],
        "exclusive": sorted(desired.exclusive),
        "declared_only": desired.declared_only,
        **({"undoes": desired.undoes} if desired.undoes else {}),
        "protect": list(desired.protect),
        "ignore": list(desired.ignore),
        "waivers": _encoded(desired.waivers),
        "allowed": _encoded(basis.waivers),
        "targets": list(basis.targets),
        "excludes": list(basis.excludes),
        "sites": _encoded(desired.sites),
        "devices": _encoded(desired.devices),
        "choices": _encoded(desired.choices),
        **({"traffic": _encoded(desired.traffic)} if desired.traffic else {}),
        "observed": [
            {"address": str(a), "spec": _observed(o.spec) if isinstance(o, Present) else None}
            for a, o in everything.items()
            if a not in changed and not isinstance(o, Unknown)
        ],
        "lacking": [
            {
                "address": str(a),
                "reason": o.reason,
                "fix": o.fix,
                "known": None if o.known is None else _observed(o.known),
            }
            # In an order of their own: what is derived from a file has the objects of its changes first.
            for a, o in sorted(observed.resources.items(), key=lambda item: str(item[0]))
            if isinstance(o, Absent) and o != Absent()
        ],
        "others": dict(observed.others),
        "unmanaged": dict(observed.unmanaged),
        "remembered": {str(a): i for a, i in sorted(observed.remembered.items())},
        "evidence": {
            key: {"rows": _encoded(answer.rows)} if isinstance(answer, Answer) else {"unknown": _encoded(answer)}
            for key, answer in observed.evidence.items()
        },
    }


def _observed(spec: Any) -> dict[str, Any]:
    """An observed object with its names, by which the patterns of the plan are matched again."""
    names = sorted(getattr(spec, "names", ()))
    return {**fields_document(spec), **({"names": names} if names else {})}


def _declared(resource: Resource) -> dict[str, Any]:
    return {
        "address": str(resource.address),
        "spec": fields_document(resource.spec),
        "location": _encoded(resource.location),
        "fields": _encoded(resource.fields),
        "devices": list(resource.devices),
    }


_SCALAR = (str, int, float)  # as a name, since an `X | Y` is made anew for each of many values


def _encoded(value: Any) -> Any:
    """Plain data as JSON: dataclasses as objects, sets as sorted lists."""
    if value is None or isinstance(value, _SCALAR):
        return value
    names = _names_of(value.__class__)
    if names is not None:
        return {name: _encoded(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(k): _encoded(v) for k, v in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_encoded(v) for v in value]


@functools.cache
def _names_of(kind: type) -> tuple[str, ...] | None:
    """The fields of a dataclass; None for any other class."""
    return tuple(f.name for f in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


def _check(check: Check) -> dict[str, Any]:
    shown = {"to_display": str(check.address)}
    problems = [{"message": p} for p in check.problems]
    return {
        "address": {"kind": "resource", "name": check.address.key, "type": check.address.type, **shown},
        "status": check.status,
        "instances": [{"address": shown, "status": check.status, "problems": problems}],
    }


def _finding(finding: Finding) -> FindingDocument:
    at = finding.location
    known: dict[str, bool] = {"known": True} if finding.known else {}
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "summary": finding.summary,
        **hinted(finding.hint),
        "address": str(finding.address) if finding.address else None,
        "blocks": finding.blocks,
        "waived": finding.waived,
        "location": {"file": at.file, "line": at.line, "column": at.column} if at else None,
        **known,  # type: ignore[typeddict-item]
    }


def step_document(step: Step) -> StepDocument:
    """A step as JSON, as it stands in a change set and in the journal."""
    if isinstance(step, Confirm):
        _, *names = field_names(step.shows)
        shown = {n: v for n, v in fields_document(step.shows).items() if n in names}
        return {"confirm": shown, "read_back": None if step.read_back is None else _read_back(step.read_back)}
    if isinstance(step, Await):
        return {"await": [{"name": r.name, "type": r.type, "value": _parameter(r.value)} for r in step.records]}
    return {
        "send": write_document(step.request),
        "waits_on": list(step.waits_on),
        "blocked_on": list(step.blocked_on),
    }


def _read_back(found: ReadBack) -> ReadBackDocument:
    return {
        "read": request_document(found.request),
        "shows": {name: _parameter(value) for name, value in found.shows.items()},
    }


def write_document(request: Write) -> CmdletDocument | UpdateDocument:
    """A write as JSON, as it stands in a change set and in the journal; secrets stand there as references."""
    if isinstance(request, DnsUpdate):
        document: UpdateDocument = {
            "update": f"{request.name} {request.type}",
            "provider": request.provider,
            "add": [_pending(value) for value in request.add],
            "remove": list(request.remove),
            "ttl_s": request.ttl_s,
        }
        if request.strings:
            document["strings"] = [list(parts) for parts in request.strings]
        return document
    return request_document(request)


def _pending(value: str | Pending) -> Any:
    return {"$pending": {"address": value.address, "property": value.property}} if isinstance(value, Pending) else value


def request_document(request: Cmdlet) -> CmdletDocument:
    """A cmdlet as JSON."""
    return {"cmdlet": request.name, "parameters": parameters_document(request)}


def parameters_document(cmdlet: Cmdlet) -> dict[str, Any]:
    """The parameters of a cmdlet as JSON; secrets stand there as references."""
    return {name: _parameter(value) for name, value in cmdlet.parameters.items()}


def _parameter(value: Parameter) -> Any:
    match value:
        case Delta():
            return {"$delta": {"add": list(value.add), "remove": list(value.remove)}}
        case Ref():
            return {"$ref": {"step": value.step, "property": value.property}}
        case Secret():
            return {"$secret": value.reference}
        case tuple():
            return list(value)
        case _:
            return value


# --- from JSON -------------------------------------------------------------------------------------------------------


def read_spec(kind: ResourceType[Any], fields: Mapping[str, Any] | None) -> Any:
    """A canonical object from what the journal keeps of it: lists are sets, a field that is not there is None.

    Raises InputError for fields that this version does not know, or not so: an edited line, or one of a newer version.
    """
    if fields is None:
        return None
    unknown = sorted(map(str, set(fields) - set(kind.spec.__dataclass_fields__)))
    what = f"has no field {unknown[0]}" if unknown else ""
    shape: Any = kind.spec
    try:
        if not unknown:
            whole = {name: fields.get(name) for name in field_names(kind.spec)}
            return adapter_of(shape).validate_python(whole)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    summary = f"the journal has an entry that this version does not understand: {kind.name}: {what}"
    raise _bad("JOURNAL-FIELDS", summary, "use the version that wrote it")


# --- files -----------------------------------------------------------------------------------------------------------


def save(document: ChangeSetDocument, path: Path) -> None:
    """Write a document whole or not at all, readable by its owner only. Raises InputError when it cannot be written."""
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    try:
        write_file(path, text)
    except OSError as error:
        raise _bad(
            "CHANGESET-WRITE", f"{path} cannot be written: {error.strerror or error}", "choose another place"
        ) from error


def load(path: Path) -> ChangeSetDocument:
    """A saved document, verified: JSON, ours, of this format, and not edited.

    Raises InputError for what is not a change set or of another format, ChangeSetStale for one with a false digest.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise _bad("CHANGESET-TOO-LARGE", f"{path} is larger than {_LARGEST_BYTES >> 20} MiB")
        text = read_ordinary(path, _LARGEST_BYTES).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise _bad("CHANGESET-SYNTAX", f"{path} is not UTF-8: it is not a change set") from error
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror or error}"
        raise _bad("CHANGESET-UNREADABLE", what, "name a file that plan -o has saved") from error
    try:
        document = json.loads(text, object_pairs_hook=each_key_once)
    except KeyTwice as error:
        raise ChangeSetStale(f'{path} was changed after it was made: it has "{error}" twice. Plan again') from error
    except (ValueError, RecursionError) as error:
        where = f" (it ends or breaks at line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise _bad(
            "CHANGESET-SYNTAX", f"{path} is not whole JSON{where}", "make it again: provisioner plan -o FILE"
        ) from error
    try:
        verify(document, str(path))
    except RecursionError as error:
        raise _bad("CHANGESET-SYNTAX", f"{path} nests deeper than any change set") from error
    return document  # type: ignore[no-any-return]


def verify(document: Any, name: str) -> None:
    """Raise unless the value is a change set of this format with a true digest. `name` is for the message."""
    ours = document.get("provisioner") if isinstance(document, dict) else None
    if not isinstance(ours, dict) or "digest" not in ours:
        raise _bad(
            "CHANGESET-FOREIGN",
            f"{name} is JSON, but no change set of provisioner",
            "provisioner plan -o FILE makes one",
        )
    if ours.get("format") != FORMAT:
        summary = f"{name} is a change set of format {ours.get('format')}; this version reads format {FORMAT}"
        raise _bad("CHANGESET-VERSION", summary, f"plan again with this version ({__version__})")
    if ours["digest"] != digest(document):
        raise ChangeSetStale(f"{name} was changed after it was made: its digest does not fit. Plan again")


def is_changeset(path: Path) -> bool:
    """Whether a file looks like JSON rather than a plan: its first character that is not a space is a brace."""
    try:
        return read_ordinary(path, 4096).lstrip().startswith(b"{")
    except (OSError, ValueError):
        return False


def _bad(id_: str, summary: str, hint: str = "") -> InputError:
    return InputError([Diagnostic(id_, summary, hint)])
