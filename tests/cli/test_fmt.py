"""`provisioner fmt`: which files it writes, which it leaves, and what it never follows."""

from __future__ import annotations

from pathlib import Path

from tests.cli.in_process import run_in_process

HEAD = "provisioner: 1\ntenant: contoso.onmicrosoft.com\n"
MESSY, NEAT = (
    f"{HEAD}domains: {{contoso.com: {{verified: true}}}}\n",
    f"{HEAD}domains: {{ contoso.com: {{ verified: true }} }}\n",
)


def test_files_are_rewritten_named_and_then_left_alone(tmp_path: Path) -> None:
    plans = tmp_path / "plans"
    plans.mkdir()
    for name, text in (("a.yaml", MESSY), ("b.yaml", NEAT), ("c.test.yaml", "cases:   [ ]\n"), ("notes.txt", MESSY)):
        (plans / name).write_text(text, encoding="utf-8")
    check = run_in_process(["fmt", "--check"], tmp_path, {})
    assert (check.returncode, check.stdout) == (3, "plans/a.yaml\nplans/c.test.yaml\n")
    assert (plans / "a.yaml").read_text(encoding="utf-8") == MESSY
    done = run_in_process(["fmt"], tmp_path, {})
    assert (done.returncode, done.stdout) == (0, check.stdout)
    assert (plans / "a.yaml").read_text(encoding="utf-8") == NEAT
    assert (plans / "notes.txt").read_text(encoding="utf-8") == MESSY
    again = run_in_process(["fmt", "--check", "plans"], tmp_path, {})
    assert (again.returncode, again.stdout) == (0, "")


def test_one_file_with_mistakes_keeps_all_from_being_written(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MESSY, encoding="utf-8")
    (tmp_path / "b.yaml").write_text("a: [\n", encoding="utf-8")
    done = run_in_process(["fmt", "."], tmp_path, {})
    assert done.returncode == 3
    assert "b.yaml:1:4: error[YAML-SYNTAX]" in done.stderr
    assert (tmp_path / "a.yaml").read_text(encoding="utf-8") == MESSY


def test_a_link_out_of_the_checkout_is_not_followed_and_one_inside_is(tmp_path: Path) -> None:
    checkout, private = tmp_path / "checkout", tmp_path / "private.yaml"
    (checkout / ".git").mkdir(parents=True)
    private.write_text(MESSY, encoding="utf-8")
    (checkout / "out.yaml").symlink_to(private)
    done = run_in_process(["fmt", "out.yaml"], checkout, {})
    assert done.returncode == 3
    assert "PLAN-OUTSIDE" in done.stderr
    assert private.read_text(encoding="utf-8") == MESSY
    (checkout / "real.yaml").write_text(MESSY, encoding="utf-8")
    (checkout / "in.yaml").symlink_to("real.yaml")
    assert run_in_process(["fmt", "in.yaml"], checkout, {}).returncode == 0
    assert (checkout / "in.yaml").is_symlink()
    assert (checkout / "real.yaml").read_text(encoding="utf-8") == NEAT
