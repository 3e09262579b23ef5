"""Plain technical English: phrases that hide who does what, in every text of the project, are not used.

Each is listed with what to write instead. Comments and docstrings count: a maintainer reads them as a user reads help.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BANNED = {
    r"mend(?:s|ed|ing)?": "fix, correct; a piece of advice is a hint",
    r"whoever": "anyone who, the person who",
    r"somebody else'?s?": "another person, another process",
    r"another's affair": "hosted elsewhere",
    r"(?:tell|tells|told) of": "report, show",
    r"did not tell": "did not return",
    r"blanks?(?! lines?\b)": "space, white space",
    r"(?:speak|speaks|spoke) of": "mention, name",
    r"(?:say|says|said) of": "say about",
    r"what is there": "what exists, what the tenant has",
    r"(?:is|are) there already": "exists already",
    r"(?<!\bthere )(?<!\bThere )(?:is|are|was|were) no (?!longer\b|more\b|one\b|such\b|less\b)[a-z]+": "is not a",
    r"allowed away": "waived",
    r"entomb(?:s|ed)?": "list under absent",
    r"lets? (?:it |nobody |them )?in\b(?! the)": "admits",
    r"ways? of sending": "sending method",
    r"(?:a|front|open) door": "the connector, the endpoint",
    r"the only door": "the only entry point",
    r"spoken to": "called, reached",
    r"says nothing else": "does not override it, inherits it",
    r"makes no exception": "does not override it",
    r"for so long": "for TIME, for up to",
    r"(?:waits?|for) so long": "up to TIME",
    r"is none of (?!them|these|the)": "is not one of",
    r"put(?:s)? right": "correct",
    r"another matter": "different",
    r"look-ups?": "lookup",
}
"""A pattern between word boundaries, and what to write."""

ALLOWED = {
    "provisioner/model/document.py": {"mend"},  # the former name of a hint in JSON documents
    "provisioner/changes/verification.py": {"mend"},
    ".changes/+json-documents-call-the-advice.change.md": {"mend"},
}


@functools.cache
def texts() -> Sequence[tuple[str, str]]:
    """Every text with its lines joined: a phrase may go over the end of a line."""
    folders = (ROOT / "docs", ROOT / ".changes")
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(page for folder in folders for page in folder.rglob("*.md"))]
    code = [*(ROOT / "provisioner").rglob("*.py"), *(ROOT / "provisioner").rglob("*.jinja")]
    return [
        (path.relative_to(ROOT).as_posix(), re.sub(r"\s*\n\s*(?:# )?", " ", path.read_text(encoding="utf-8")))
        for path in (*pages, *code)
    ]


def found(pattern: str) -> Iterator[tuple[str, str]]:
    form = re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)
    for name, text in texts():
        yield from ((name, m[0]) for m in form.finditer(text) if m[0].lower() not in ALLOWED.get(name, ()))


@pytest.mark.parametrize("pattern", BANNED)
def test_a_phrase_that_is_not_plain_is_not_used(pattern: str) -> None:
    uses = [f"{name}: {words}" for name, words in found(pattern)]
    assert uses == [], f"write: {BANNED[pattern]}"


def test_every_pattern_finds_what_it_names() -> None:
    for text in ("mends", "whoever", "tells of", "is no address", "let in", "look-ups", "what is there"):
        assert any(re.search(rf"\b(?:{pattern})\b", text) for pattern in BANNED), text
    assert not any(re.search(rf"\b(?:{pattern})\b", "there is no address") for pattern in BANNED)
