"""`provisioner devices import` as it is typed."""

from __future__ import annotations

from pathlib import Path

from tests.cli.in_process import run_in_process

LIST = """Device;IP Address;Location;E-Mail;TLS version;SMTP Auth;Recipients;Password
scanner;52.202.8.242;HQ;scan@contoso.com;1.2;basic;anyone;hunter2
mfp;52.202.8.242;HQ;mfp@contoso.com;;;;hunter2
bad;52.202.8.242;HQ;nobody;1.2;none;internal;hunter2
"""


def test_a_list_becomes_a_plan_that_validates_and_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(LIST, encoding="cp1252")
    line = ("devices", "import", "list.csv", "-o", "plans/devices.yaml")
    first = run_in_process([*line, "--tenant", "contoso.onmicrosoft.com"], tmp_path, {})
    assert first.returncode == 3
    assert "list.csv:4:21: error[LIST-VALUE]" in first.stderr
    assert "1 of 3 rows were left out." in first.stderr
    written = (tmp_path / "plans/devices.yaml").read_text(encoding="utf-8")
    assert "hunter2" not in written + first.stdout + first.stderr
    assert "\n  # mfp:\n" in written
    shown = run_in_process(["devices", "list"], tmp_path, {})
    assert (shown.returncode, shown.stdout.split("\n")[1].split()) == (
        0,
        ["scanner", "HQ", "scan@contoso.com", "SMTP", "relay"],
    )

    again = run_in_process(line, tmp_path, {})
    assert (again.returncode, (tmp_path / "plans/devices.yaml").read_text(encoding="utf-8")) == (3, written)
    assert "OUT-EXISTS" in again.stderr

    beside = run_in_process(
        ["devices", "import", "list.csv", "-o", "plans/more.yaml", "--default=tls=1.2"], tmp_path, {}
    )
    assert "the plan declares device/scanner already" in beside.stderr
    assert run_in_process(["validate"], tmp_path, {}).returncode == 0


def test_no_folder_is_made_through_a_link_of_the_checkout(tmp_path: Path) -> None:
    checkout, outside = tmp_path / "checkout", tmp_path / "outside"
    (checkout / ".git").mkdir(parents=True)
    (checkout / ".git" / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (checkout / "list.csv").write_text(LIST, encoding="cp1252")
    outside.mkdir()
    (checkout / "plans").symlink_to(outside)
    done = run_in_process(["devices", "import", "list.csv", "-o", "plans/new/devices.yaml"], checkout, {})
    assert done.returncode == 3
    assert "OUT-WRITE" in done.stderr
    assert list(outside.iterdir()) == []


def test_what_is_no_list_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"\x00\x01\x02")
    for name in ("list.csv", "none.csv", "."):
        ended = run_in_process(["devices", "import", name], tmp_path, {})
        assert ended.returncode == 3
        assert "error[LIST-" in ended.stderr
