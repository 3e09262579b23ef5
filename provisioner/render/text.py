"""A change set and the account of an apply for a person at a terminal, in Terraform's words, worst news first.

The text is made from the JSON document, so that what is shown is what is saved. The `# … will be …` lines, the `Plan:`
line and the sentence for no changes are the ones that Terraform's readers look for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from provisioner.model.document import ChangeDocument, ChangeSetDocument, FieldDocument, RecordDocument, ResultDocument
from provisioner.render.changes import action as action_of
from provisioner.render.changes import (
    closing,
    conclusion,
    dangers,
    drifted,
    in_unicode,
    limit,
    opened_first,
    remark,
    step_line,
    unmanaged_lines,
    worst_first,
)
from provisioner.render.changes import unmanaged as count_unmanaged
from provisioner.render.escape import visible

_PHRASES = {"create": "will be created", "update": "will be updated in-place", "delete": "will be destroyed"}
_SIGNS = {"create": "+", "update": "~", "delete": "-"}
_COLORS = {"+": "32", "~": "33", "-": "31", "error": "31", "warning": "33", "info": "36"}
_LEGEND = {"create": "create", "update": "update in-place", "delete": "destroy"}

Paint = Callable[[str, str], str]


def render(document: ChangeSetDocument, *, color: bool = False, unmanaged: bool = False) -> str:
    """The whole plan as text; `unmanaged` objects are counted, or listed."""
    paint = _painter(color)
    lines: list[str] = []
    changes = worst_first(document)
    lines += _unreadable(document, paint)
    lines += _findings(document, paint)
    if changes:
        lines += _legend(changes, paint)
        for change in changes:
            lines += _change(change, paint)
        counts = Counter(map(action_of, changes))
        lines += [
            f"Plan: {counts['create']} to add, {counts['update']} to change, {counts['delete']} to destroy.",
        ]
    elif not document["errored"]:
        failed = any(f["blocks"] == "precondition" for f in document["provisioner"]["findings"])
        lines.append("Nothing can be planned until the errors above are corrected." if failed else conclusion(document))
    lines += _notes(document)
    lines += _unmanaged(document, whole=unmanaged)
    return "\n".join(lines) + "\n"


def account(results: Sequence[ResultDocument], *, broken: str = "", color: bool = False) -> str:
    """How an apply ended. Each result has address, action, status, detail and warnings; `broken`: why it broke off."""
    paint = _painter(color)
    done = Counter(r["action"] for r in results if r["status"] == "done")
    already = sum(r["status"] == "already_done" for r in results)
    counts = f"{done['create']} added, {done['update']} changed, {done['delete']} destroyed."
    lines = [line for r in results for line in _warnings(r, paint)]
    open_ends = [r for r in results if r["status"] not in {"done", "already_done"}]
    if not (open_ends or broken):
        also = f" {already} of the changes had been made already." if already else ""
        return "\n".join([*lines, paint("+", f"Apply complete! Resources: {counts}") + also]) + "\n"
    for status, words in _ENDINGS.items():
        group = [r for r in open_ends if r["status"] == status]
        if group:
            lines += ["", paint("error" if status == "failed" else "warning", words)]
            lines += [f"  {visible(r['address'])}: {visible(r['detail'])}" for r in group]
    lines += ["", paint("error", f"Nothing more was sent: {visible(broken)}")] if broken else []
    lines += ["", f"Apply incomplete. Resources: {counts} {len(open_ends)} not finished."]
    return "\n".join(lines).lstrip("\n") + "\n"


_ENDINGS = {
    "failed": "Failed:",
    "unconfirmed": "Sent, but not confirmed:",
    "waiting": "Waiting (apply again when it is there):",
    "held_back": "Held back, because it closes a sending path (apply again when what opens one is in force):",
    "skipped": "Not begun, because something it needs did not succeed:",
    "left": "Not begun, because the run was interrupted:",
}


def _warnings(result: ResultDocument, paint: Paint) -> Iterator[str]:
    for warning in result["warnings"]:
        if "no settings of" not in warning:  # a write that changed nothing is not news
            yield f"{paint('warning', 'Warning:')} {visible(result['address'])}: {visible(warning)}"


def _unreadable(document: ChangeSetDocument, paint: Paint) -> Iterator[str]:
    ours = document["provisioner"]
    if not document["errored"]:
        return
    yield paint("error", "The tenant could not be read completely. This change set cannot be applied.")
    for item in ours["unreadable"]:
        yield f"  {visible(item['address'])}: {visible(item['reason'])}"
    for kind in ours["unlisted"]:
        yield f"  undeclared {visible(kind['type'])} objects: {visible(kind['reason'])}"
    yield ""


def _findings(document: ChangeSetDocument, paint: Paint) -> Iterator[str]:
    ranked = sorted(
        document["provisioner"]["findings"],
        key=lambda f: (bool(f["waived"]), not f["blocks"], f["severity"], f["rule"], f["address"] or ""),
    )
    waived = [f for f in ranked if f["waived"]]
    for finding in ranked:
        if finding["waived"]:
            continue
        head = paint(finding["severity"], f"{finding['severity'].capitalize()}[{finding['rule']}]")
        stops = " (apply will refuse)" if finding["blocks"] else ""
        yield f"{head}{stops}: {visible(finding['summary'])}"
        at = finding["location"]
        if at:
            yield f"  at {visible(at['file'])}:{at['line']}:{at['column']}"
        if finding["hint"]:
            yield f"  {visible(finding['hint'])}"
        yield ""
    for rule, count in sorted(Counter((f["rule"], f["waived"]) for f in waived).items()):
        times = f" ({count} times)" if count > 1 else ""
        yield f"{rule[0]} is allowed{times}: {visible(rule[1])}"
    if waived:
        yield ""


def _legend(changes: Sequence[ChangeDocument], paint: Paint) -> Iterator[str]:
    yield "Resource actions are indicated with the following symbols:"
    for action in dict.fromkeys(map(action_of, changes)):
        yield f"  {paint(_SIGNS[action], _SIGNS[action])} {_LEGEND[action]}"
    yield ""


def _change(change: ChangeDocument, paint: Paint) -> Iterator[str]:
    action, ours = action_of(change), change["provisioner"]
    sign = _SIGNS[action]
    yield f"  # {visible(change['address'])} {_PHRASES[action]}"
    if dangers(change):
        yield f"  # {paint('warning', ', '.join(dangers(change)))}"
    if closing(change):
        yield "  # sent last, and only when every path that the plan promises to the same senders is in force"
    told = "exclusive" in ours["reason"] or "for device/" in ours["reason"] or "previous_address" in change
    if action == "delete" or told:
        yield f"  # ({visible(ours['reason'])})"
    if in_unicode(change):
        yield f"  # {in_unicode(change)}"
    yield f"  {paint(sign, sign)} {visible(change['address'])} {{"
    width = max((len(f["name"]) for f in ours["fields"]), default=0)
    for field in ours["fields"]:
        yield from _field(sign, field, width, paint)
    # One of the fields is the key itself.
    kept = len(change["change"]["before"] or {}) - 1 - len(ours["fields"]) if action == "update" else 0
    if kept > 0:
        yield f"        # ({kept} unchanged attribute{'s' if kept > 1 else ''} hidden)"
    yield "    }"
    for step in ours["steps"]:
        if "await" in step:
            yield "    waits until DNS has:"
            yield from (f"      {_record(record)}" for record in step["await"])
        elif "send" in step:
            yield f"    sends {visible(step_line(step))}"
    yield from _two_writes(change)
    yield ""


def _two_writes(change: ChangeDocument) -> Iterator[str]:
    """The first write of a change that opens and closes, and when the second is sent."""
    opened = opened_first(change)
    if opened:
        yield "    is sent in two writes; first, until the tenant shows it:"
        yield from (f"      {field}" for field in opened)


def _field(sign: str, field: FieldDocument, width: int, paint: Paint) -> Iterator[str]:
    name = f"{visible(field['name']):<{width}}"
    before, after = field["before"], field["after"]
    if sign == "+":
        said = f"  # {remark(field)}" if remark(field) else ""
        yield f"      {paint('+', '+')} {name} = {_json(after)}{said}"
    elif sign == "-":
        yield f"      {paint('-', '-')} {name} = {_json(before)} -> null"
    elif isinstance(before, list) and isinstance(after, list):
        yield f"      {paint('~', '~')} {name} = ["
        yield from (f"          {paint('-', '-')} {_json(v)}" for v in before if v not in after)
        yield from (f"          {paint('+', '+')} {_json(v)}" for v in after if v not in before)
        same = sum(v in after for v in before)
        if same:
            yield f"            # ({same} unchanged element{'s' if same > 1 else ''} hidden)"
        yield "        ]"
    else:
        yield f"      {paint('~', '~')} {name} = {_json(before)} -> {_json(after)}"


def _record(record: RecordDocument) -> str:
    value = record["value"]
    target = value if isinstance(value, str) else f"(known after creation: {value['$ref']['property']})"
    return visible(f"{record['name']} {record['type']} {target}")


def _notes(document: ChangeSetDocument) -> Iterator[str]:
    drift = document.get("resource_drift", ())
    if drift:
        yield ""
        yield "Changed by others since the last apply from here:"
        yield from (f"  {visible(item['address'])} ({visible(drifted(item))})" for item in drift)
    left = document["provisioner"].get("left", ())
    if left:
        yield ""
        yield "No longer declared, still live (an earlier plan set them; nothing changes them now):"
        yield from (f"  {visible(address)}" for address in left)
    note = limit(document)
    if note:
        yield ""
        yield f"Note: {note[0].lower()}{note[1:]}"


def _unmanaged(document: ChangeSetDocument, *, whole: bool) -> Iterator[str]:
    lines = list(unmanaged_lines(document["provisioner"]["unmanaged"])) if whole else [count_unmanaged(document)]
    if any(lines):
        yield ""
        yield from lines


def _json(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False))


def _painter(color: bool) -> Paint:
    def paint(kind: str, text: str) -> str:
        return f"\x1b[{_COLORS[kind]}m{text}\x1b[0m" if color else text

    return paint
