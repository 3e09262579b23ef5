from __future__ import annotations

import os
from pathlib import Path

import pytest

from provisioner.border import Border
from provisioner.diagnostics import Diagnostics
from provisioner.plan import files as plan_files
from provisioner.plan.files import PlanFile, digest, line_reader
from provisioner.plan.yaml_nodes import LARGEST_BYTES
from tests.clocks import costs


def find(*paths: Path) -> tuple[list[str], list[str]]:
    """The names of the files found, and the ids of what was told."""
    found = Diagnostics()
    names = [f.name for f in plan_files.find(paths, found, Border.of(paths[0]))]
    assert all(d.hint and str(paths[0].parent) in d.summary for d in found.items)
    return names, [d.id for d in found.items]


def test_a_folder_gives_its_plan_files_by_name_and_no_others(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.YAML", ".hidden.yaml", "notes.txt", "plan.json", "b.yaml~"):
        (tmp_path / name).write_text("a: 1\n")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "d.yaml").write_text("a: 1\n")
    (tmp_path / "round").symlink_to(tmp_path)
    assert find(tmp_path) == (["a.yml", "b.yaml", "c.YAML"], [])


def test_a_file_is_read_once_however_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n")
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    assert find(tmp_path, tmp_path / "a.yaml", tmp_path / "." / "a.yaml") == (["a.yaml"], [])


def test_a_named_file_may_end_in_anything(tmp_path: Path) -> None:
    (tmp_path / "plan.conf").write_text("a: 1\n")
    assert find(tmp_path / "plan.conf") == (["plan.conf"], [])


def test_what_is_not_there_is_told_with_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("a: 1\n")
    found = Diagnostics()
    assert list(plan_files.find([tmp_path / "plan.yml"], found, Border.of(tmp_path))) == []
    assert [d.id for d in found.items] == ["PLAN-FILE-MISSING"]
    assert str(tmp_path / "plan.yaml") in found.items[0].hint
    assert find(tmp_path / "no" / "where.yaml")[1] == ["PLAN-FILE-MISSING"]


def test_a_folder_without_plans_says_so(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.yaml").write_text("a: 1\n")
    assert find(tmp_path) == ([], ["PLAN-FOLDER-EMPTY"])


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "broken.yaml").symlink_to("nowhere")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert find(tmp_path) == ([], ["PLAN-UNREADABLE"] * 3)
    assert find(tmp_path / "a\0b")[1] in (["PLAN-UNREADABLE"], ["PLAN-FILE-MISSING"])
    assert find(tmp_path / ("x" * 5000))[1] in (["PLAN-UNREADABLE"], ["PLAN-FILE-MISSING"])


def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n")
    (tmp_path / "a.yaml").chmod(0)
    if os.access(tmp_path / "a.yaml", os.R_OK):
        pytest.skip("whoever runs this may read every file")
    assert find(tmp_path) == ([], ["PLAN-UNREADABLE"])


def test_a_large_file_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "large.yaml").open("wb") as stream:
        stream.truncate(100 * 2**20)
    with costs(at_most_s=0.5):
        assert find(tmp_path) == ([], ["YAML-TOO-LARGE"])


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"#" * LARGEST_BYTES)
    assert find(tmp_path) == (["a.yaml"], [])


def test_the_digest_is_of_names_and_contents_alone(tmp_path: Path) -> None:
    one, two = PlanFile("x/a.yaml", "a.yaml", b"a: 1\n"), PlanFile("x/b.yaml", "b.yaml", b"b: 1\n")
    same = digest([one, two])
    assert digest([two, PlanFile("y/a.yaml", "a.yaml", b"a: 1\r\n")]) == same
    others = {
        digest([one]),
        digest([one, PlanFile("x/b.yaml", "b.yaml", b"b: 2\n")]),
        digest([one, PlanFile("x/c.yaml", "c.yaml", b"b: 1\n")]),
        digest([PlanFile("", "a.yaml", b"a: 1\nb"), PlanFile("", ".yaml", b"b: 1\n")]),
    }
    assert same not in others
    assert len(others) == 4


def test_lines_are_read_with_their_ends(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("a: 1\r\nb: é\rc\n".encode() + b"\xff")
    line = line_reader(Border.of(tmp_path))
    file = str(tmp_path / "a.yaml")
    assert [line(file, n) for n in range(6)] == [None, "a: 1\r\n", "b: é\r", "c\n", "\ufffd", None]
    assert line(str(tmp_path / "none"), 1) is None
