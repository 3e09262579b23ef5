"""The pages that explain a rule, a finding about mail records or a cause, as they stand in docs/.

The pages are part of the distribution (`provisioner/docs` in a wheel, docs/ in a checkout), so that `explain RULE`
needs no network. Nothing of a user is read here.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TypedDict

from provisioner.diagnosis.causes import CAUSES
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.rules import RULES

_LINK = re.compile(r"\[([^\]]+)\]\([^)\s]+\)")
_STOPS = {
    "": "",
    "input": "the plan is not valid",
    "apply": "stops apply",
    "precondition": "stops apply",
    "change": "holds single changes back",
}


class Entry(TypedDict):
    """What the documentation says about one id. Empty where it says nothing."""

    rule: str
    severity: str
    stops: str
    waivable: bool
    summary: str
    why: str
    fix: str
    example: str
    page: str


def is_rule(subject: str) -> bool:
    """Whether a subject of `explain` can only be an id: an address always has a slash or a bracket."""
    return bool(subject) and "/" not in subject and "[" not in subject


def entry(identifier: str) -> Entry:
    """The documentation of a rule, a finding of `dns check` or a cause, in any spelling of capitals.

    Raises InputError for an id that does not exist, with the nearest one.
    """
    rule, cause = identifier.upper(), identifier.lower()
    if rule in RULES:
        return _rule(rule)
    if cause in {c.id for c in CAUSES}:
        return _cause(cause)
    if found := _mail_record(rule):
        return found
    known = [*RULES, *_rows(), *(c.id for c in CAUSES)]
    near = difflib.get_close_matches(rule, known, 1) or difflib.get_close_matches(cause, known, 1)
    fix = f"did you mean {near[0]}?" if near else "write a rule (IP-PRIVATE), device/NAME or TYPE/KEY"
    raise InputError([Diagnostic("RULE-UNKNOWN", f'there is no rule or cause "{identifier}"', fix)])


def identifiers() -> Mapping[str, str]:
    """Every id that has an entry, with its sentence."""
    causes = {c.id: c.summary for c in CAUSES}
    return {**{r.id: r.sentence for r in RULES.values()}, **{n: row[0] for n, row in _rows().items()}, **causes}


def place(page: str) -> str:
    """A page of docs/ (`rules/IP-PRIVATE.md`) as the file that is installed, for a message that names it."""
    path, hash_, anchor = page.partition("#")
    return f"{folder().joinpath(*path.split('/'))}{hash_}{anchor}"


def documented(identifiers: Iterable[str]) -> str:
    """The command that explains the first of these ids that is a rule; empty where none is."""
    found = next((name for name in identifiers if name in RULES), "")
    return f"More about a finding: provisioner explain {found}" if found else ""


def folder() -> Traversable:
    """docs/, where this program is installed."""
    package = resources.files("provisioner")
    inside = package / "docs"
    if inside.is_dir():
        return inside
    with resources.as_file(package) as place:
        return place.parent / "docs"


def _rule(identifier: str) -> Entry:
    rule, page = RULES[identifier], f"rules/{identifier}.md"
    head, parts = _parts((folder() / page).read_text(encoding="utf-8"))
    paragraphs = head.split("\n\n")
    return {
        "rule": rule.id,
        "severity": str(rule.severity),
        "stops": _STOPS[rule.blocks],
        "waivable": rule.waivable,
        "summary": rule.sentence,
        "why": "\n\n".join(p for p in paragraphs[1:] if p != rule.sentence),
        "fix": parts.get("What to do", ""),
        "example": parts.get("Example", ""),
        "page": f"docs/{page}",
    }


def _cause(identifier: str) -> Entry:
    cause = next(c for c in CAUSES if c.id == identifier)
    _, parts = _parts((folder() / "causes.md").read_text(encoding="utf-8"))
    summary, _, listed = parts[identifier].partition("\n\n")
    return {
        "rule": cause.id,
        "severity": "",
        "stops": "",
        "waivable": False,
        "summary": summary,
        "why": "",
        "fix": listed,
        "example": "",
        "page": f"docs/causes.md#{cause.id}",
    }


def _mail_record(identifier: str) -> Entry | None:
    row = _rows().get(identifier)
    if row is None:
        return None
    return {
        "rule": identifier,
        "severity": "",
        "stops": "",
        "waivable": False,
        "summary": _sentence(row[0]),
        "why": "",
        "fix": _sentence(row[1]),
        "example": "",
        "page": "docs/mail-dns.md",
    }


@functools.cache
def _rows() -> Mapping[str, tuple[str, str]]:
    """The table of docs/mail-dns.md: what each id says, and its fix. One row may hold several ids."""
    found: dict[str, tuple[str, str]] = {}
    for line in (folder() / "mail-dns.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == 3:
            found |= {name: (cells[1], cells[2].rstrip("| ")) for name in re.findall(r"`([A-Z0-9-]+)`", cells[0])}
    return found


def _sentence(cell: str) -> str:
    """A cell of a table as a sentence."""
    return f"{cell[0].upper()}{cell[1:].rstrip('.')}." if cell else ""


def _parts(text: str) -> tuple[str, dict[str, str]]:
    """What stands before the first section of a page, without its title, and the sections by title."""
    first, *sections = re.split(r"(?m)^## ", _LINK.sub(r"\1", text))
    titled = (section.partition("\n") for section in sections)
    return first.partition("\n")[2].strip(), {title.strip(): body.strip() for title, _, body in titled}
