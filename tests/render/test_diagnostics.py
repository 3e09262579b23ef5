from __future__ import annotations

import json
import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from provisioner.diagnostics import Diagnostic, Location, Severity
from provisioner.render.diagnostics import diagnostics_json, render_diagnostics


def lines_of(text: str) -> Callable[[str, int], str | None]:
    """A reader of one file's lines, with their ends."""
    known = text.splitlines(keepends=True)
    return lambda file, number: known[number - 1] if file == "plan.yaml" and 0 < number <= len(known) else None


def rendered(text: str, line: int, column: int, length: int = 1, *, what: str = "wrong") -> list[str]:
    found = Diagnostic("SOME-ID", what, "fix it", location=Location("plan.yaml", line, column), length=length)
    return render_diagnostics([found], lines_of(text), color=False).splitlines()


def marked(lines: list[str]) -> str:
    """What stands above the carets."""
    source, carets = lines[1], lines[2]
    return source[carets.index("^") : carets.rindex("^") + 1]


def test_place_severity_and_id_stand_in_front() -> None:
    assert rendered("a: 1\nb: off\n", 2, 4, 3) == [
        "plan.yaml:2:4: error[SOME-ID]: wrong",
        "  2 | b: off",
        "    |    ^^^",
        "    = hint: fix it",
    ]


def test_tabs_and_escaped_characters_do_not_move_the_caret() -> None:
    assert marked(rendered("\ta:\toff\n", 1, 5, 3)) == "off"
    assert marked(rendered("a\u202eb: off\n", 1, 6, 3)) == "off"
    assert marked(rendered("\ufeffa: off\r\n", 1, 4, 3)) == "off"


def test_wide_and_combining_characters_take_the_columns_that_a_terminal_gives_them() -> None:
    wide = rendered("日本: off\n", 1, 5, 3)
    assert wide[2].index("^") - wide[2].index("|") == 2 + 4 + 2
    combining = rendered("e\u0301: off\n", 1, 5, 3)
    assert combining[2].index("^") - combining[2].index("|") == 2 + 3
    assert rendered("a: 日本\n", 1, 4, 2)[2].count("^") == 4


def test_a_long_line_is_cut_around_the_place() -> None:
    lines = rendered("x" * 5000 + "HERE" + "y" * 5000, 1, 5001, 4)
    assert marked(lines) == "HERE"
    assert all(len(line) < 180 for line in lines)
    assert "…" in lines[1]
    assert marked(rendered("HERE" + "y" * 5000, 1, 1, 4)) == "HERE"


def test_a_place_that_cannot_be_quoted_is_only_named() -> None:
    assert rendered("a: 1\n", 7, 1) == ["plan.yaml:7:1: error[SOME-ID]: wrong", "  = hint: fix it"]
    nowhere = Diagnostic("SOME-ID", "wrong", severity=Severity.WARNING)
    assert render_diagnostics([nowhere], lines_of(""), color=False) == "warning[SOME-ID]: wrong\n"


def test_a_place_behind_the_end_of_a_line_has_its_caret_there() -> None:
    assert rendered("a:\n", 1, 9)[2] == "    |   ^"


def test_related_places_and_several_ways_to_fix_have_a_line_each() -> None:
    related = ((Location("b.yaml", 3, 1), "the first one"),)
    found = Diagnostic("A", "wrong", "one\ntwo", location=Location("plan.yaml", 1, 1), related=related)
    assert render_diagnostics([found], lines_of("a: 1\n"), color=False).splitlines()[3:] == [
        "    = hint: one",
        "            two",
        "    = b.yaml:3:1: the first one",
    ]


def test_diagnostics_are_apart() -> None:
    one = Diagnostic("A", "first")
    assert render_diagnostics([one, one], lines_of(""), color=False) == "error[A]: first\n\nerror[A]: first\n"
    assert render_diagnostics([], lines_of(""), color=False) == ""


def test_color_changes_nothing_but_color() -> None:
    found = Diagnostic("A", "wrong", "hint", location=Location("plan.yaml", 1, 1))
    plain, painted = (render_diagnostics([found], lines_of("a: 1\n"), color=c) for c in (False, True))
    assert "\x1b[" not in plain
    assert painted != plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == plain


@given(st.text(), st.text(), st.integers(1, 50), st.integers(0, 50))
def test_nothing_that_moves_a_terminal_passes(source: str, what: str, column: int, length: int) -> None:
    place = Location(f"pl\x1ban{source[:3]}", 1, column)
    found = Diagnostic("A", what, source, location=place, length=length, related=((place, what),))
    out = render_diagnostics([found], lambda _file, _line: source, color=False)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", out)


def test_json_has_the_shape_of_terraforms_diagnostics() -> None:
    text = "a: é\r\nbé: off\r\n"
    found = Diagnostic(
        "SOME-ID",
        "wrong",
        "fix it",
        location=Location("plan.yaml", 2, 5),
        length=3,
        address='dkim["x"]',
        related=((Location("plan.yaml", 1, 1), "the first one"),),
    )
    (document,) = diagnostics_json([found], lines_of(text))
    assert document == {
        "severity": "error",
        "id": "SOME-ID",
        "summary": "wrong",
        "detail": "fix it\nplan.yaml:1:1: the first one",
        "address": 'dkim["x"]',
        "range": {
            "filename": "plan.yaml",
            "start": {"line": 2, "column": 5, "byte": 12},
            "end": {"line": 2, "column": 8, "byte": 15},
        },
        "snippet": {
            "context": None,
            "code": "bé: off",
            "start_line": 2,
            "highlight_start_offset": 4,
            "highlight_end_offset": 7,
            "values": [],
        },
    }
    assert text.encode()[12:15] == b"off"
    assert json.loads(json.dumps(document)) == document


def test_json_without_lines_or_places_says_what_it_can() -> None:
    bare, placed = Diagnostic("A", "wrong"), Diagnostic("A", "wrong", location=Location("plan.yaml", 9, 1))
    assert diagnostics_json([bare]) == [{"severity": "error", "id": "A", "summary": "wrong", "detail": ""}]
    (document,) = diagnostics_json([placed])
    assert document["range"]["start"] == {"line": 9, "column": 1}
    (document,) = diagnostics_json([placed], lines_of("a: 1\n"))
    assert "snippet" not in document
    assert "byte" not in document["range"]["start"]


def test_bytes_are_counted_with_a_byte_order_mark() -> None:
    found = Diagnostic("A", "wrong", location=Location("plan.yaml", 1, 4), length=1)
    (document,) = diagnostics_json([found], lines_of("\ufeffa: 1\n"))
    assert document["range"]["start"]["byte"] == 6
    assert document["snippet"]["code"] == "a: 1"
