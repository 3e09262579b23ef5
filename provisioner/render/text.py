"""A change set and the account of an apply for a person at a terminal, in Terraform's words, worst news first.

The text is made from the JSON document, so that what is shown is what is saved. The `# … will be …` lines, the `Plan:`
line and the sentence for no changes are the ones that Terraform's readers look for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from provisioner.model import consequence, figures
from provisioner.model.document import (
    ChangeDocument,
    ChangeSetDocument,
    FieldDocument,
    FindingDocument,
    PathDocument,
    RecordDocument,
    ResultDocument,
)
from provisioner.model.listing import counted
from provisioner.render import review
from provisioner.render.changes import action as action_of
from provisioner.render.changes import (
    closing,
    conclusion,
    dangers,
    drifted,
    in_unicode,
    is_rollback,
    limit,
    opened_first,
    record_value,
    remark,
    step_line,
    unmanaged_lines,
    worst_first,
)
from provisioner.render.changes import unmanaged as count_unmanaged
from provisioner.render.escape import visible
from provisioner.render.review import PLAIN, Shown
from provisioner.render.wrapping import wrapped

_PHRASES = {"create": "will be created", "update": "will be updated in-place", "delete": "will be destroyed"}
_SIGNS = {"create": "+", "update": "~", "delete": "-"}
_COLORS = {"+": "32", "~": "33", "-": "31", "error": "31", "warning": "33", "info": "36", "bold": "1"}
_DANGERS = {consequence.DELETES: "1;31", consequence.STOPS: "31", consequence.WIDENS: "35"}
"""Each danger has a colour of its own: bold red, red, magenta."""

_LEGEND = {"create": "create", "update": "update in-place", "delete": "destroy"}

Paint = Callable[[str, str], str]


def render(document: ChangeSetDocument, shown: Shown = PLAIN) -> str:
    """The whole plan as text: where it stands, the changes, what they amount to, then the findings."""
    paint = _painter(shown.color)
    changes = worst_first(document)
    lines = [*_head(document, shown, paint), *_unreadable(document, paint)]
    if shown.concise:
        lines += [_short(change, paint) for change in changes]
        lines += [""] if changes else []
    elif changes:
        lines += _legend(changes, paint)
        paths, unpublished = review.paths_of(document), review.unpublished(document)
        for change in changes:
            lines += _change(change, paths.get(change["address"], ()), unpublished, paint)
    lines += _amounts(document, changes, paint)
    findings = list(_findings(document, shown, paint))
    lines += ["", *(findings[:-1] if findings[-1] == "" else findings)] if findings else []
    lines += _notes(document)
    lines += _unmanaged(document, whole=shown.unmanaged)
    return wrapped("\n".join(lines), shown.width) + "\n"


def _head(document: ChangeSetDocument, shown: Shown, paint: Paint) -> Iterator[str]:
    """The tenant first: who has two windows open must see which is which."""
    (_, tenant), *rest = review.where(document, shown.profile)
    yield f"Tenant {paint('bold', tenant)}" + "".join(f", {name} {value}" for name, value in rest)
    yield ""


def _amounts(document: ChangeSetDocument, changes: Sequence[ChangeDocument], paint: Paint) -> Iterator[str]:
    """Terraform's line, and the sentence that says what it means for mail."""
    if changes:
        counts = Counter(map(action_of, changes))
        what = "Rollback" if is_rollback(document) else "Plan"
        yield f"{what}: {counts['create']} to add, {counts['update']} to change, {counts['delete']} to destroy."
        yield paint("bold", figures.summary(document)["sentence"])
    elif not document["errored"]:
        failed = any(f["blocks"] == "precondition" for f in document["provisioner"]["findings"])
        yield "Nothing can be planned until the errors below are corrected." if failed else conclusion(document)


def _short(change: ChangeDocument, paint: Paint) -> str:
    """A change in one line."""
    sign = _SIGNS[action_of(change)]
    words = f" ({_dangers(change, paint)})" if dangers(change) else ""
    return f"  {paint(sign, sign)} {visible(change['address'])}{words}"


def _dangers(change: ChangeDocument, paint: Paint) -> str:
    return ", ".join(paint(word, word) for word in dangers(change))


def account(
    results: Sequence[ResultDocument],
    *,
    broken: str = "",
    undoing: bool = False,
    color: bool = False,
    width: int | None = None,
) -> str:
    """How an apply ended. Each result has address, action, status, detail and warnings; `broken`: why it broke off.

    `undoing`: what was carried out is a rollback.
    """
    name = "Rollback" if undoing else "Apply"
    paint = _painter(color)
    done = Counter(r["action"] for r in results if r["status"] == "done")
    already = sum(r["status"] == "already_done" for r in results)
    counts = f"{done['create']} added, {done['update']} changed, {done['delete']} destroyed."
    lines = [line for r in results for line in _warnings(r, paint)]
    open_ends = [r for r in results if r["status"] not in {"done", "already_done"}]
    if not (open_ends or broken):
        also = f" {already} of the changes had been made already." if already else ""
        return wrapped("\n".join([*lines, paint("+", f"{name} complete! Resources: {counts}") + also]), width) + "\n"
    for status, words in _ENDINGS.items():
        group = [r for r in open_ends if r["status"] == status]
        if group:
            lines += ["", paint("error" if status == "failed" else "warning", words)]
            lines += [f"  {visible(r['address'])}: {visible(r['detail'])}" for r in group]
    lines += ["", paint("error", f"Nothing more was sent: {visible(broken)}")] if broken else []
    lines += ["", f"{name} incomplete. Resources: {counts} {len(open_ends)} not finished."]
    return wrapped("\n".join(lines).lstrip("\n"), width) + "\n"


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


def _findings(document: ChangeSetDocument, shown: Shown, paint: Paint) -> Iterator[str]:
    """Those about what changes; the others, and the waived ones, as counts unless all are wanted."""
    news, known = review.news(document)
    for finding in [*news, *known] if shown.all_findings else news:
        if not shown.concise or finding["blocks"]:
            yield from _finding(finding, paint)
    if known and not shown.all_findings:
        findings = counted(len(known), "finding")
        yield f"{findings} about what stays as it is: {review.by_rule(known)}. --all-findings shows them."
    if shown.all_findings:
        yield from (line for f in review.ranked(document["provisioner"]["findings"]) for line in _waived(f, paint))
        return
    for rule, reason, count in review.waived(document):
        times = f" ({count} times)" if count > 1 else ""
        yield f"{rule} is allowed{times}: {visible(reason)}"


def _finding(finding: FindingDocument, paint: Paint) -> Iterator[str]:
    """In the form of a mistake in the plan, which `validate` and `lint` print so too."""
    at = finding["location"]
    place = f"{visible(at['file'])}:{at['line']}:{at['column']}: " if at else ""
    head = paint(finding["severity"], f"{finding['severity']}[{finding['rule']}]")
    yield f"{place}{head}: {visible(finding['summary'])}"
    if finding["blocks"] and not finding["waived"]:
        lifted = f", or lift it by name: --allow {finding['rule']}" if finding["blocks"] == "apply" else ""
        yield f"  = apply refuses until this is fixed{lifted}"
    if finding["hint"]:
        yield f"  = hint: {visible(finding['hint'])}"
    yield ""


def _waived(finding: FindingDocument, paint: Paint) -> Iterator[str]:
    if finding["waived"]:
        yield from list(_finding(finding, paint))[:-1]
        yield f"  = allowed: {visible(finding['waived'])}"
        yield ""


def _legend(changes: Sequence[ChangeDocument], paint: Paint) -> Iterator[str]:
    yield "Resource actions are indicated with the following symbols:"
    for action in dict.fromkeys(map(action_of, changes)):
        yield f"  {paint(_SIGNS[action], _SIGNS[action])} {_LEGEND[action]}"
    yield ""


def _change(
    change: ChangeDocument, paths: Sequence[PathDocument], unpublished: Collection[str], paint: Paint
) -> Iterator[str]:
    yield from _comments(change, paths, paint)
    yield from _body(change, unpublished, paint)
    yield ""


def _comments(change: ChangeDocument, paths: Sequence[PathDocument], paint: Paint) -> Iterator[str]:
    """What happens, how dangerous it is, whom it affects, when it is sent and why."""
    action, ours = action_of(change), change["provisioner"]
    yield f"  # {visible(change['address'])} {_PHRASES[action]}"
    if dangers(change):
        yield f"  # {_dangers(change, paint)}"
    for phrase in review.affected(paths):
        yield f"  # {visible(phrase)}"
    if closing(change):
        yield "  # sent last, and only when every path that the plan promises to the same senders is in force"
    told = "exclusive" in ours["reason"] or "for device/" in ours["reason"] or "previous_address" in change
    if action == "delete" or told:
        yield f"  # ({visible(ours['reason'])})"
    if in_unicode(change):
        yield f"  # {in_unicode(change)}"


def _body(change: ChangeDocument, unpublished: Collection[str], paint: Paint) -> Iterator[str]:
    action, ours = action_of(change), change["provisioner"]
    sign = _SIGNS[action]
    yield f"  {paint(sign, sign)} {visible(change['address'])} {{"
    names, hidden = review.telling(change)
    fields = [f for f in ours["fields"] if f["name"] in names]
    width = max((len(f["name"]) for f in fields), default=0)
    for field in fields:
        yield from _field(sign, field, width, paint)
    if hidden:
        yield f"        # ({hidden} empty or default attribute{'s' if hidden > 1 else ''} hidden)"
    # One of the fields is the key itself.
    kept = len(change["change"]["before"] or {}) - 1 - len(ours["fields"]) if action == "update" else 0
    if kept > 0:
        yield f"        # ({kept} unchanged attribute{'s' if kept > 1 else ''} hidden)"
    yield "    }"
    for step in ours["steps"]:
        if "await" in step:
            yield "    waits until DNS has:"
            for record in step["await"]:
                lacking = "  # not published yet" if record["name"] in unpublished else ""
                yield f"      {_record(record)}{lacking}"
        elif "send" in step:
            yield f"    sends {visible(step_line(step))}"
    yield from _two_writes(change)


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
    return visible(f"{record['name']} {record['type']} {record_value(record)}")


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
        return f"\x1b[{_COLORS.get(kind) or _DANGERS[kind]}m{text}\x1b[0m" if color else text

    return paint
