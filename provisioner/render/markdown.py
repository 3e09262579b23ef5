"""A change set as a comment on a pull request: Markdown of GitHub and GitLab, worst news first, details folded.

Whatever the size of the change set, the comment stays under `BUDGET` characters (GitHub refuses 65,536): what does not
fit is counted, and the saved change set named as the place to look. Tenant text is escaped; it never makes markup.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from typing import Any

from provisioner.model.document import ChangeDocument, ChangeSetDocument, FieldDocument
from provisioner.render.changes import action as action_of
from provisioner.render.changes import (
    conclusion,
    dangers,
    drifted,
    in_unicode,
    limit,
    opened_first,
    pending,
    remark,
    step_line,
    unmanaged,
    worst_first,
)
from provisioner.render.escape import visible

BUDGET = 60_000

_VERBS = {"create": "create", "update": "update", "delete": "destroy"}
_MARKS = {"create": "+", "update": "!", "delete": "-"}
_SPECIAL = frozenset("\\`*_{}[]()#+-.!|>~<&@:/\"'$^=")
_TAIL = 600  # kept free for the closing lines


def marker(document: ChangeSetDocument) -> str:
    """The hidden line by which a later comment finds and replaces this one: one a tenant."""
    return f"<!-- provisioner:plan:{_marker_word(document['provisioner']['tenant'])} -->"


def render(document: ChangeSetDocument) -> str:
    """The comment, marker first."""
    page = _Page()
    page.add([marker(document), *_head(document), ""])
    page.add(_unreadable(document))
    page.add(_findings(document))
    drift = [f"- {code(d['address'])}: {drifted(d)}" for d in document.get("resource_drift", ())]
    page.add(_list("Changed by others since the last apply", drift))
    page.add(_list("No longer declared, still live", [f"- {code(a)}" for a in document["provisioner"].get("left", ())]))
    changes = worst_first(document)
    left = 0
    for change in changes:
        if left or not page.add(_change(change)):
            left += 1
    if left:
        page.close(
            f"\n**{left:,} more changes are not shown here**: this comment would be too long. See the saved change set."
        )
    if unmanaged(document):
        page.close(f"\n{escape(unmanaged(document))}")
    page.close(_foot(document))
    return page.text


class _Page:
    """Lines up to the budget: a block goes in whole or not at all."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._size = 0

    def add(self, lines: Sequence[str] | Iterator[str]) -> bool:
        block = "".join(f"{line}\n" for line in lines)
        if self._size + len(block) > BUDGET - _TAIL:
            return False
        self.close(block.removesuffix("\n"))
        return True

    def close(self, block: str) -> None:
        if block:
            self._blocks.append(block + "\n")
            self._size += len(block) + 1

    @property
    def text(self) -> str:
        return "".join(self._blocks)


def _head(document: ChangeSetDocument) -> Iterator[str]:
    counts = {a: sum(action_of(c) == a for c in pending(document)) for a in _VERBS}
    yield f"### provisioner plan: {escape(document['provisioner']['tenant'])}"
    yield ""
    if document["errored"]:
        yield "**The tenant could not be read completely. This change set cannot be applied.**"
    elif not any(counts.values()):
        yield conclusion(document)
    else:
        yield f"**{counts['create']:,} to add, {counts['update']:,} to change, {counts['delete']:,} to destroy.**"
    if limit(document):
        yield ""
        yield limit(document)


def _unreadable(document: ChangeSetDocument) -> list[str]:
    ours = document["provisioner"]
    rows = [f"- {code(u['address'])}: {escape(u['reason'])}" for u in ours["unreadable"]]
    rows += [f"- undeclared {escape(u['type'])} objects: {escape(u['reason'])}" for u in ours["unlisted"]]
    return _list("Could not be read", rows)


def _findings(document: ChangeSetDocument) -> list[str]:
    ranked = sorted(
        document["provisioner"]["findings"], key=lambda f: (bool(f["waived"]), not f["blocks"], f["severity"])
    )
    rows = []
    for finding in ranked:
        state = " (allowed: " + escape(finding["waived"]) + ")" if finding["waived"] else ""
        stops = " **stops apply**" if finding["blocks"] and not finding["waived"] else ""
        rows.append(
            f"- {escape(finding['severity'])} {code(finding['rule'])}{stops}{state}: {escape(finding['summary'])}"
        )
    return _list("Findings", rows)


def _list(title: str, rows: Sequence[str]) -> list[str]:
    """A heading and up to fifty rows; a row over a thousand characters is cut."""
    if not rows:
        return []
    shown = [row if len(row) <= 1_000 else row[:999] + "…" for row in rows[:50]]
    more = [f"- … and {len(rows) - 50:,} more"] if len(rows) > 50 else []
    return [f"#### {title}", "", *shown, *more, ""]


def _change(change: ChangeDocument) -> Iterator[str]:
    action = action_of(change)
    said = f" <b>({html.escape(', '.join(dangers(change)))})</b>" if dangers(change) else ""
    yield f"<details><summary>{_VERBS[action]} <code>{html.escape(visible(change['address']))}</code>{said}</summary>"
    yield ""
    yield f"{escape(change['provisioner']['reason'])}"
    if in_unicode(change):
        yield f"<br>{escape(in_unicode(change))}"
    yield ""
    # A fence longer than any run of backticks inside cannot be closed from inside.
    lines = [line for field in change["provisioner"]["fields"] for line in _field(_MARKS[action], field)]
    lines += [f"> {visible(step_line(step))}" for step in change["provisioner"]["steps"]]
    fence = "`" * max(3, 1 + max((_longest_run(line) for line in lines), default=0))
    yield f"{fence}diff"
    yield from lines
    yield fence
    opened = opened_first(change)
    if opened:
        yield f"Sent in two writes; first, until the tenant shows it: {', '.join(map(code, opened))}"
    yield "</details>"


def _field(mark: str, field: FieldDocument) -> Iterator[str]:
    name, before, after = visible(field["name"]), field["before"], field["after"]
    if isinstance(before, list) and isinstance(after, list):
        yield f"{mark} {name}"
        yield from (f"-   {_json(v)}" for v in before if v not in after)
        yield from (f"+   {_json(v)}" for v in after if v not in before)
    elif mark == "!":
        yield f"- {name} = {_json(before)}"
        yield f"+ {name} = {_json(after)}"
    else:
        said = f"  # {remark(field)}" if remark(field) else ""
        yield f"{mark} {name} = {_json(after if mark == '+' else before)}{said}"


def _foot(document: ChangeSetDocument) -> str:
    ours = document["provisioner"]
    return f"\n<sub>{escape(document['timestamp'])} · digest {code(ours['digest'])}</sub>"


def _json(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False))


def escape(text: str) -> str:
    """Text as text in Markdown: every character that could begin markup, a mention or a link is escaped."""
    return "".join(f"&#{ord(c)};" if c in _SPECIAL else c for c in visible(text))


def code(text: str) -> str:
    """Text in a `<code>` element, which unlike backticks needs no guess about the text's own backticks."""
    return f"<code>{escape(text)}</code>"


def _longest_run(line: str) -> int:
    longest = run = 0
    for unit in line:
        run = run + 1 if unit == "`" else 0
        longest = max(longest, run)
    return longest


def _marker_word(text: str) -> str:
    """A tenant's name inside an HTML comment: only what cannot end it."""
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text)
