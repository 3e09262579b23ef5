"""A change set as a comment on a pull request: Markdown of GitHub and GitLab, worst news first, details folded.

What the changes amount to, what a person must do, the picture of the sending paths, the changes by site, device and
type, then the findings. Whatever the size of the change set, the comment stays under `BUDGET` characters (GitHub
refuses 65,536): what does not fit is counted, and the saved change set named as the place to look. Tenant text is
escaped; it never makes markup.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from provisioner.model import figures
from provisioner.model.document import ChangeDocument, ChangeSetDocument, FieldDocument, FindingDocument, PathDocument
from provisioner.model.listing import counted
from provisioner.render import graph, review
from provisioner.render.changes import action as action_of
from provisioner.render.changes import (
    conclusion,
    dangers,
    drifted,
    in_unicode,
    limit,
    opened_first,
    pending,
    record_value,
    remark,
    step_line,
    unmanaged,
)
from provisioner.render.escape import visible
from provisioner.render.review import PLAIN, Shown

BUDGET = 60_000

_VERBS = {"create": "create", "update": "update", "delete": "destroy"}
_MARKS = {"create": "+", "update": "!", "delete": "-"}
_TAIL = 1_500  # kept free for the closing lines
_PICTURE = 12_000  # characters: a larger picture is drawn in the HTML page and by `provisioner graph`


def marker(document: ChangeSetDocument) -> str:
    """The hidden line by which a later comment finds and replaces this one: one a tenant."""
    return f"<!-- provisioner:plan:{_marker_word(document['provisioner']['tenant'])} -->"


def render(document: ChangeSetDocument, shown: Shown = PLAIN) -> str:
    """The comment, marker first."""
    page = _Page()
    page.add([marker(document), *_head(document, shown), ""])
    page.add(_unreadable(document))
    for task in review.tasks(document):
        page.add(_task(task))
    page.add(_picture(document))
    left = 0
    paths = review.paths_of(document)
    for group in review.groups(document):
        begun = False
        for change in group.changes:
            title = [] if begun else ["", f"#### {escape(group.title)}", ""]
            if not left and page.add([*title, *_change(change, paths.get(change["address"], ()))]):
                begun = True
            else:
                left += 1
    news, known = review.news(document)
    left_out = _findings(page, "Findings", news, shown)
    if left:
        page.close(
            f"\n**{left:,} more changes are not shown here**: this comment would be too long. See the saved change set."
        )
    if left_out:
        page.close(f"\n**{left_out:,} more findings are not shown here.**")
    page.add(_folded(f"{counted(len(known), 'finding')} about what stays as it is", known, shown))
    waived = [f for f in document["provisioner"]["findings"] if f["waived"]]
    page.add(_folded(f"{counted(len(waived), 'finding')} allowed", waived, shown))
    drift = [f"- {code(d['address'])}: {drifted(d)}" for d in document.get("resource_drift", ())]
    page.add(_list("Changed by others since the last apply", drift))
    page.add(_list("No longer declared, still live", [f"- {code(a)}" for a in document["provisioner"].get("left", ())]))
    if unmanaged(document):
        page.close(f"\n{escape(unmanaged(document))}")
    page.close(_foot(document, shown))
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


def _head(document: ChangeSetDocument, shown: Shown) -> Iterator[str]:
    counts = {a: sum(action_of(c) == a for c in pending(document)) for a in _VERBS}
    yield f"### provisioner plan: {escape(document['provisioner']['tenant'])}"
    yield ""
    if document["errored"]:
        yield "**The tenant could not be read completely. This change set cannot be applied.**"
    elif not any(counts.values()):
        yield conclusion(document)
    else:
        yield f"**{counts['create']:,} to add, {counts['update']:,} to change, {counts['delete']:,} to destroy.**"
        yield ""
        yield escape(figures.summary(document)["sentence"])
    if limit(document):
        yield ""
        yield limit(document)
    facts = [f"{name} {code(value)}" for name, value in review.where(document, shown.profile)[1:]]
    if facts:
        yield ""
        yield " · ".join(facts)


def _task(task: review.Task) -> Iterator[str]:
    """What a person must do. A fence has a button to copy it."""
    yield "#### To do by a person"
    yield ""
    yield escape(task.what)
    yield ""
    if task.records:
        yield from _fenced([f"{r['name']}. {r['type']} {record_value(r)}" for r in task.records], "")
    if task.command:
        yield from _fenced([task.command], "")
    yield ""


def _fenced(lines: Sequence[str], language: str) -> Iterator[str]:
    """Lines in a fence longer than any run of backticks inside: it cannot be closed from inside."""
    harmless = [visible(line) for line in lines]
    fence = "`" * max(3, 1 + max((_longest_run(line) for line in harmless), default=0))
    yield f"{fence}{language}"
    yield from harmless
    yield fence


def _picture(document: ChangeSetDocument) -> list[str]:
    """The sending paths, drawn by GitHub and GitLab; nothing where none changes."""
    if not review.paths_of(document):
        return []
    drawn = graph.mermaid(graph.graph(document))
    if len(drawn) > _PICTURE:
        return ["The picture of the sending paths is too large for a comment: `provisioner graph` draws it.", ""]
    head = "<details><summary>Sending paths: what opens is green, what closes is red</summary>"
    return [head, "", "```mermaid", drawn.rstrip("\n"), "```", "</details>", ""]


def _unreadable(document: ChangeSetDocument) -> list[str]:
    ours = document["provisioner"]
    rows = [f"- {code(u['address'])}: {escape(u['reason'])}" for u in ours["unreadable"]]
    rows += [f"- undeclared {escape(u['type'])} objects: {escape(u['reason'])}" for u in ours["unlisted"]]
    return _list("Could not be read", rows)


def _findings(page: _Page, title: str, findings: Sequence[FindingDocument], shown: Shown) -> int:
    """Each finding as far as it fits; how many did not."""
    if not findings:
        return 0
    page.add(["", f"#### {title}", ""])
    rows = [page.add([_finding(f, shown)]) for f in findings]
    return rows.count(False)


def _folded(title: str, findings: Sequence[FindingDocument], shown: Shown) -> list[str]:
    if not findings:
        return []
    rows = [_finding(f, shown) for f in review.ranked(findings)[:50]]
    more = [f"- … and {len(findings) - 50:,} more"] if len(findings) > 50 else []
    return ["", f"<details><summary>{title}</summary>", "", *rows, *more, "", "</details>", ""]


def _finding(finding: FindingDocument, shown: Shown) -> str:
    """One row: severity, rule, what, where, and how to fix it."""
    stops = " **stops apply**" if finding["blocks"] and not finding["waived"] else ""
    state = f" (allowed: {escape(finding['waived'])})" if finding["waived"] else ""
    at = finding["location"]
    where = f"{at['file']}:{at['line']}" if at else ""
    place = f" ({code(where)})" if at else ""
    fix = f"<br>Fix: {escape(finding['hint'])}" if finding["hint"] else ""
    rule = _rule(finding["rule"], shown)
    return _cut(f"- {escape(finding['severity'])} {rule}{stops}{state}: {escape(finding['summary'])}{place}{fix}")


def _rule(rule: str, shown: Shown) -> str:
    """The rule with a link to its page, where the address of the documentation is known."""
    page = review.rule_page(rule, shown.rules)
    return f"[{escape(rule)}]({page})" if page else code(rule)


def _cut(row: str) -> str:
    """A row over two thousand characters is cut, and never inside of an entity or an element."""
    if len(row) <= 2_000:
        return row
    return re.sub(r"(?:&[^;\s]*|<[^>]*)$", "", row[:1_999]) + "…"


def _list(title: str, rows: Sequence[str]) -> list[str]:
    """A heading and up to fifty rows."""
    if not rows:
        return []
    shown = [_cut(row) for row in rows[:50]]
    more = [f"- … and {len(rows) - 50:,} more"] if len(rows) > 50 else []
    return [f"#### {title}", "", *shown, *more, ""]


def _change(change: ChangeDocument, paths: Sequence[PathDocument]) -> Iterator[str]:
    action = action_of(change)
    said = f" <b>({html.escape(', '.join(dangers(change)))})</b>" if dangers(change) else ""
    yield f"<details><summary>{_VERBS[action]} <code>{html.escape(visible(change['address']))}</code>{said}</summary>"
    yield ""
    yield escape(change["provisioner"]["reason"])
    for phrase in review.affected(paths):
        yield f"<br>{escape(phrase)}"
    if in_unicode(change):
        yield f"<br>{escape(in_unicode(change))}"
    yield ""
    names, hidden = review.telling(change)
    fields = [f for f in change["provisioner"]["fields"] if f["name"] in names]
    lines = [line for field in fields for line in _field(_MARKS[action], field)]
    lines += [f"# {hidden} empty or default attributes hidden"] if hidden else []
    lines += [f"> {step_line(step)}" for step in change["provisioner"]["steps"]]
    yield from _fenced(lines, "diff")
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


def _foot(document: ChangeSetDocument, shown: Shown) -> str:
    ours = document["provisioner"]
    command = review.apply_command(document, shown)
    lines = ["", "To apply exactly this:", "", *_fenced([command], "")] if command else []
    lines += ["", f"<sub>{escape(document['timestamp'])} · digest {code(ours['digest'])}</sub>"]
    return "\n".join(lines)


def _json(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False))


_MARKUP = re.compile(
    r"[\\`*<>&@#|~$]"  # code, emphasis, elements, entities, mentions, references, tables, strike-through, mathematics
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; within a word an underscore is none
    r"|\](?=[(\[])|\[(?=[\^! xX])|!(?=[\[\d])|%(?=[\w\"])"  # links, footnotes, alerts, tasks, references of GitLab
    r"|(?i:(?<=www))\.|:(?=/)"  # links without brackets
    r"|^[-+=.:\[]|^\d+[.)]"  # lists, headings and definitions at the beginning of a line
)
_NAMED = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def escape(text: str) -> str:
    """Text as text in Markdown: what could begin markup, a mention, a reference or a link stands as an entity.

    Sources: GitHub Flavored Markdown Spec, 6.1 to 6.11; docs.gitlab.com, "GitLab Flavored Markdown". A dot, a hyphen
    or a colon means something in a few places only and is itself elsewhere: comments are read in mail too, where
    entities are not decoded.
    """
    return _MARKUP.sub(_entity, visible(text))


def _entity(found: re.Match[str]) -> str:
    plain, last = found[0][:-1], found[0][-1]
    return plain + _NAMED.get(last, f"&#{ord(last)};")


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
