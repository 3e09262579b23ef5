"""What goes to the machines around a pull request: well formed, and no name breaks out."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from provisioner.render import reports
from tests.render.documents import HOSTILE, document, empty, unread


def test_github_has_one_line_a_finding_at_its_place() -> None:
    lines = reports.github(document()).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::error", "::error"]
    assert lines[0].startswith("::warning file=plans/a.yaml,line=3,col=5,title=IP-DOCUMENTATION::")
    assert len(lines) == 3, "a line end in a name is not a second command"


def test_gitlab_counts_actions() -> None:
    counts = json.loads(reports.gitlab(document(5)))
    assert counts == {"create": len(HOSTILE), "update": 1 + 5, "delete": 1}


def test_junit_fails_for_what_stops_apply_and_errs_for_what_cannot_be_read() -> None:
    suite = ET.fromstring(reports.junit(unread()))
    assert suite.get("failures") == "1"
    assert suite.get("errors") == "1"
    assert suite.get("timestamp") == unread()["timestamp"]
    assert int(suite.get("tests") or 0) == len(suite.findall("testcase")) == len(HOSTILE) + 2 + 1 + 1 + 1


def test_sarif_tells_places_levels_and_waivers() -> None:
    (run,) = json.loads(reports.sarif(document()))["runs"]
    assert [r["level"] for r in run["results"]] == ["warning", "error", "error"]
    assert [bool(r.get("suppressions")) for r in run["results"]] == [False, False, True]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("plans/a.yaml", 3)


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("plans/b\udcff.yaml", "plans/b%FF.yaml"),
        ("C:/plans/\ud800.yaml", "file:///C:/plans/%3F.yaml"),
        ("plans/ä b.yaml", "plans/%C3%A4%20b.yaml"),
    ],
)
def test_a_name_that_is_no_text_is_a_reference_all_the_same(file: str, uri: str) -> None:
    assert reports._uri(file) == uri


def test_an_empty_change_set_makes_empty_reports() -> None:
    assert reports.github(empty()) == ""
    assert json.loads(reports.sarif(empty()))["runs"][0]["results"] == []
    assert ET.fromstring(reports.junit(empty())).get("tests") == "0"
