"""A run as JSON lines, as Terraform's machine-readable UI writes them (version 1.2): one object a line, as it happens.

Each line has `@level`, `@message`, `@module`, `@timestamp` and `type`; facts of our own stand under `provisioner`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.model.document import (
    ChangeDocument,
    ChangeSetDocument,
    DriftDocument,
    FindingDocument,
    ResultDocument,
    hinted,
)
from provisioner.render.changes import action, pending
from provisioner.render.escape import visible

Line = dict[str, Any]

_LEVELS = {"error": "error", "warning": "warn", "info": "info"}
_PLANNED = {"create": "Plan to create", "update": "Plan to update", "delete": "Plan to delete"}
_BEGUN = {"create": "Creating...", "update": "Modifying...", "delete": "Destroying..."}
_ENDED = {"create": "Creation", "update": "Modifications", "delete": "Destruction"}


def version(time: str, own: str) -> Line:
    """The first line of every stream."""
    line = _line("version", f"provisioner {own}", time)
    return {**line, "ui": "1.2", "provisioner": {"version": own}}


def planned(document: ChangeSetDocument, time: str) -> Iterator[Line]:
    """What a plan found: what others changed, findings, a line for each change, and their counts."""
    ours = document["provisioner"]
    for item in document.get("resource_drift", ()):
        words = f"{visible(item['address'])}: Drift detected ({action(item)})"
        yield {**_line("resource_drift", words, time), "change": _planned(item)}
    for finding in ours["findings"]:
        if not finding["waived"]:
            yield diagnostic(finding, time)
    unread = [(u["address"], u["reason"]) for u in ours["unreadable"]]
    for what, reason in (*unread, *((u["type"], u["reason"]) for u in ours["unlisted"])):
        yield diagnostic(_unruled("error", f"{what} could not be read", reason, what), time)
    for change in pending(document):
        words = f"{visible(change['address'])}: {_PLANNED[action(change)]}"
        yield {
            **_line("planned_change", words, time),
            "change": _planned(change),
            "provisioner": {"consequences": change["provisioner"].get("consequences", [])},
        }
    counts = Counter(map(action, pending(document)))
    yield summary(counts, "plan", time)


def summary(counts: Mapping[str, int], operation: str, time: str) -> Line:
    """How many changes of each kind are planned, or were made."""
    add, change, remove = (counts.get(a, 0) for a in ("create", "update", "delete"))
    if operation == "plan":
        words = f"Plan: {add} to add, {change} to change, {remove} to destroy."
    else:
        words = f"Apply complete! Resources: {add} added, {change} changed, {remove} destroyed."
    changes = {"add": add, "change": change, "import": 0, "remove": remove, "operation": operation}
    return {**_line("change_summary", words, time), "changes": changes}


def started(address: str, type_: str, key: str, action_: str, time: str) -> Line:
    """A change is begun."""
    hook = {"resource": _resource(address, type_, key), "action": action_}
    return {**_line("apply_start", f"{visible(address)}: {_BEGUN[action_]}", time), "hook": hook}


def progressed(address: str, type_: str, key: str, action_: str, detail: str, waited_s: float, time: str) -> Line:
    """A change waits for DNS; `detail` says for what."""
    elapsed = round(waited_s)
    hook = {"resource": _resource(address, type_, key), "action": action_, "elapsed_seconds": elapsed}
    line = _line("apply_progress", f"{visible(address)}: Still waiting for DNS... [{elapsed}s elapsed]", time)
    return {**line, "hook": hook, "provisioner": {"detail": detail}}


def finished(result: ResultDocument, type_: str, key: str, time: str) -> Line:
    """A change has ended: complete, or errored with what there is to say about it."""
    address, action_, done = result["address"], result["action"], result["status"] in {"done", "already_done"}
    hook = {
        "resource": _resource(address, type_, key),
        "action": action_,
        "id_key": "address",
        "id_value": address,
        "elapsed_seconds": round(result["seconds"]),
    }
    ending = f"{_ENDED[action_]} complete" if done else result["status"].replace("_", " ")
    line = _line("apply_complete" if done else "apply_errored", f"{visible(address)}: {ending}", time)
    ours = {"status": result["status"], "detail": result["detail"], "warnings": result["warnings"]}
    return {**line, "@level": "info" if done else "error", "hook": hook, "provisioner": ours}


def approved(people: Sequence[str], time: str) -> Line:
    """Who has approved the change set that was applied."""
    return {**_line("log", f"Approved by {visible(', '.join(people))}", time), "provisioner": {"approved_by": people}}


def diagnostic(finding: FindingDocument, time: str) -> Line:
    """A finding or an error."""
    severity = finding["severity"] if finding["severity"] != "info" else "warning"
    said: Line = {"severity": severity, "summary": finding["summary"], "detail": finding["hint"]}
    if finding.get("address"):
        said["address"] = finding["address"]
    at = finding.get("location")
    if at:
        place = {"line": at["line"], "column": at["column"]}
        said["range"] = {"filename": at["file"], "start": place, "end": place}
    line = _line("diagnostic", f"{severity.capitalize()}: {visible(finding['summary'])}", time)
    return {
        **line,
        "@level": _LEVELS[finding["severity"]],
        "diagnostic": said,
        "provisioner": {"rule": finding["rule"] or None},
    }


def diagnostics(found: Sequence[Any], time: str) -> Iterator[Line]:
    """Diagnostics of an error that ends the run."""
    for item in found:
        at = item.location
        told = _unruled(item.severity.value, item.summary, item.hint, item.address)
        told["location"] = {"file": at.file, "line": at.line, "column": at.column} if at else None
        told["rule"] = item.id
        yield diagnostic(told, time)


def _unruled(severity: str, summary: str, hint: str, address: str | None) -> FindingDocument:
    """A finding of no rule."""
    return {
        "rule": "",
        "severity": severity,
        "summary": summary,
        **hinted(hint),
        "address": address,
        "blocks": "",
        "waived": "",
        "location": None,
        "known": False,
    }


def _line(type_: str, message: str, time: str) -> Line:
    head = {"@level": "info", "@message": message, "@module": "provisioner.ui", "@timestamp": time}
    return {**head, "type": type_}


def _planned(item: ChangeDocument | DriftDocument) -> Line:
    return {"resource": _resource(item["address"], item["type"], item["index"]), "action": action(item)}


def _resource(address: str, type_: str, key: str) -> Line:
    return {
        "addr": address,
        "module": "",
        "resource": address,
        "implied_provider": "provisioner",
        "resource_type": type_,
        "resource_name": key,
        "resource_key": key,
    }
