"""What differs between the systems, tried by what another system would do."""

from __future__ import annotations

import errno
import getpass
import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest

from provisioner import border, platforms
from provisioner.operations import sandboxes
from provisioner.render.reports import sarif_findings
from provisioner.sandbox import platforms as the_sandboxs


class Held:
    """A file that another program has open for some looks, as Windows tells it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, looks: int, code: int = 32) -> None:
        self.left, self.code = looks, code
        self._replace, self._unlink = Path.replace, Path.unlink
        monkeypatch.setattr(Path, "replace", lambda *a: self._try(self._replace, *a))
        monkeypatch.setattr(Path, "unlink", lambda *a, **k: self._try(self._unlink, *a, **k))

    def _try(self, act: Callable[..., object], *arguments: Path, **options: bool) -> object:
        if self.left:
            self.left -= 1
            error = PermissionError(errno.EACCES, "another process uses it")
            error.winerror = self.code  # type: ignore[attr-defined]
            raise error
        return act(*arguments, **options)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "draft").write_text("new", encoding="utf-8")
    (tmp_path / "file").write_text("old", encoding="utf-8")
    return tmp_path / "draft", tmp_path / "file"


@pytest.mark.parametrize("code", [5, 32, 33])
def test_a_file_is_replaced_as_soon_as_nobody_holds_it(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    held, pauses = Held(monkeypatch, 5, code), list[float]()
    platforms.replace(*files, pause=pauses.append)
    assert (files[1].read_text(encoding="utf-8"), held.left, len(pauses)) == ("new", 0, 5)
    assert not files[0].exists()


def test_a_file_is_removed_as_soon_as_nobody_holds_it(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    Held(monkeypatch, 3)
    platforms.remove(files[1], pause=lambda _: None)
    assert not files[1].exists()


def test_a_file_that_stays_open_is_an_error_after_two_seconds(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    Held(monkeypatch, 1000)
    pauses = list[float]()
    with pytest.raises(PermissionError):
        platforms.replace(*files, pause=pauses.append)
    assert 1.5 < sum(pauses) <= 2.0
    assert files[1].read_text(encoding="utf-8") == "old"


def test_a_refusal_for_another_reason_is_told_at_once(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    Held(monkeypatch, 1000, code=19)  # the medium is write-protected
    with pytest.raises(PermissionError):
        platforms.replace(*files, pause=lambda _: pytest.fail("it waited"))


def test_the_sandbox_is_as_patient(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    Held(monkeypatch, 5)
    the_sandboxs.replace(*files)
    assert files[1].read_text(encoding="utf-8") == "new"
    Held(monkeypatch, 5)
    the_sandboxs.remove(files[1])
    assert not files[1].exists()


def test_a_file_is_written_whole_with_its_line_ends_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "changes.json"
    platforms.write_whole(file, "{\n}\n")
    assert file.read_bytes() == b"{\n}\n"
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        platforms.write_whole(file, "other")
    assert file.read_bytes() == b"{\n}\n"
    assert [p.name for p in tmp_path.iterdir()] == ["changes.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes in folders")
def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.close(platforms.descriptor(tmp_path / "pipe", os.O_RDONLY))


def test_a_descriptor_is_not_inherited(files: tuple[Path, Path]) -> None:
    file = platforms.descriptor(files[1], os.O_RDONLY)
    assert os.get_inheritable(file) is False
    os.close(file)


@pytest.mark.parametrize(
    ("environment", "windows", "state", "settings"),
    [
        ({"XDG_STATE_HOME": "/x", "XDG_CONFIG_HOME": "/y"}, False, "/x", "/y"),
        ({"LOCALAPPDATA": "/l", "APPDATA": "/a"}, True, "/l", "/a"),
        ({"LOCALAPPDATA": "/l", "APPDATA": "/a"}, False, "/home/me/.local/state", "/home/me/.config"),
        ({"XDG_STATE_HOME": "/x", "LOCALAPPDATA": "/l"}, True, "/x", "/home/me/.config"),
    ],
)
def test_a_user_has_folders_for_state_and_settings(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], windows: bool, state: str, settings: str
) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platforms.files, "WINDOWS", windows)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert (platforms.state_base(), platforms.settings_base()) == (Path(state), Path(settings))


def _printed(encoding: str) -> bytes:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    platforms.lenient(stream)
    stream.write("é → 日本")
    stream.flush()
    return raw.getvalue()


def test_a_code_page_gets_a_question_mark_for_what_it_lacks() -> None:
    assert _printed("cp1252") == b"\xe9 ? ??"
    assert _printed("cp437") == b"\x82 ? ??"
    assert _printed("utf-8").decode() == "é → 日本"


def test_a_reader_that_has_gone_is_known_by_each_systems_error() -> None:
    gone, invalid = OSError(errno.EPIPE, "x"), OSError(errno.EINVAL, "x")
    assert platforms.reader_gone(gone, windows=False)
    assert platforms.reader_gone(gone, windows=True)
    assert platforms.reader_gone(invalid, windows=True)
    assert not platforms.reader_gone(invalid, windows=False)
    assert not platforms.reader_gone(OSError(errno.EINVAL, "x", "plan.yaml"), windows=True)


def test_the_first_signal_acts_and_the_second_ends() -> None:
    acts = list[str]()
    before = signal.getsignal(signal.SIGTERM)
    with platforms.on_endings(lambda: acts.append("asked to end")):
        signal.raise_signal(signal.SIGTERM)
        assert acts == ["asked to end"]
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_closed_window_lets_the_block_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows does it: the handler is called in a thread of its own, and the process ends when it returns."""
    handlers, acts, returned = list[Callable[[int], bool]](), list[int](), list[bool]()

    def register(handler: Callable[[int], bool], add: bool) -> None:
        handlers.append(handler) if add else handlers.remove(handler)

    monkeypatch.setattr(platforms.processes, "_console_setting", lambda: (lambda told: told, register))
    ended, asked = threading.Event(), threading.Event()
    monkeypatch.setattr(platforms.processes, "_NEVER", ended)

    def act() -> None:
        acts.append(1)
        asked.set()

    with platforms.on_endings(act):
        (handler,) = handlers
        assert [handler(event) for event in (0, 1)] == [False, False]  # Ctrl-C and Ctrl-Break are signals
        closing = threading.Thread(target=lambda: returned.append(handler(2)))
        closing.start()
        assert asked.wait(60)
    assert not returned, "Windows would have ended the process by now"
    ended.set()
    closing.join()
    assert (acts, returned, handlers) == ([1], [True], [])


def test_the_endings_are_those_that_the_system_has() -> None:
    names = {"SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"}
    assert {signal.Signals(number).name for number in platforms.ENDINGS} == {n for n in names if hasattr(signal, n)}


def test_a_program_is_not_looked_for_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout may hold a git.exe."""
    (tmp_path / "checkout").mkdir()
    (tmp_path / "bin").mkdir()
    for place in ("checkout", "bin"):
        for name in ("git", "git.exe"):
            (tmp_path / place / name).write_text("")
            (tmp_path / place / name).chmod(0o700)
    monkeypatch.chdir(tmp_path / "checkout")
    monkeypatch.setenv("PATH", os.pathsep.join([".", "", "bin", str(tmp_path / "bin")]))
    for windows, name in ((False, "git"), (True, "git.exe")):
        monkeypatch.setattr(platforms.processes, "WINDOWS", windows)
        assert platforms.program("git") == tmp_path / "bin" / name
    assert platforms.program_folders() == [tmp_path / "bin"]
    monkeypatch.setenv("PATH", ".")
    assert platforms.program("git") is None


def test_a_user_whom_nobody_knows_has_a_name_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (KeyError("uid"), ModuleNotFoundError("pwd"), OSError("no name")):

        def fails(error: Exception = error) -> str:
            raise error

        monkeypatch.setattr(getpass, "getuser", fails)
        assert platforms.user() == "unknown"


def test_a_sandbox_behind_a_launcher_is_ready_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The python.exe of a virtual environment starts another one, whose number the endpoints hold."""
    endpoints = {"pid": 4711, "started": "2026-11-25T20:00:00Z"}
    monkeypatch.setattr(sandboxes, "find", lambda _: endpoints)
    launcher = SimpleNamespace(pid=42, poll=lambda: None)
    assert sandboxes.ready(launcher, tmp_path) == endpoints  # type: ignore[arg-type]


def test_a_path_on_another_drive_or_server_is_known_without_a_look_at_it() -> None:
    checkout = [PureWindowsPath(r"C:\work")]
    assert platforms.on_other_drive(PureWindowsPath(r"\\attacker\share\plan.yaml"), checkout)
    assert platforms.on_other_drive(PureWindowsPath(r"D:\work\plan.yaml"), checkout)
    assert not platforms.on_other_drive(PureWindowsPath(r"c:\elsewhere\plan.yaml"), checkout)
    assert not platforms.on_other_drive(PureWindowsPath(r"\\nas\work\plan.yaml"), [PureWindowsPath(r"\\NAS\work")])
    assert not platforms.on_other_drive(Path("/elsewhere"), [Path("/work")])


def test_what_a_checkout_names_on_another_drive_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = border.Border.of(tmp_path)
    monkeypatch.setattr(platforms, "on_other_drive", lambda path, roots: True)
    monkeypatch.setattr(os.path, "realpath", lambda path: pytest.fail(f"{path} was looked at"))
    assert not inside.holds(tmp_path / "plan.yaml")


@pytest.mark.parametrize(
    ("path", "file", "uri"),
    [
        (r"plans\mail.yaml", "plans/mail.yaml", "plans/mail.yaml"),
        (r"C:\git\my plans\mail.yaml", "C:/git/my plans/mail.yaml", "file:///C:/git/my%20plans/mail.yaml"),
        (r"plans\a#b.yaml", "plans/a#b.yaml", "plans/a%23b.yaml"),
    ],
)
def test_a_path_of_windows_is_a_reference_in_sarif(path: str, file: str, uri: str) -> None:
    assert PureWindowsPath(path).as_posix() == file
    assert sarif_uri(file) == uri


def sarif_uri(file: str) -> str:
    finding = {
        "rule": "X", "severity": "error", "summary": "x", "hint": "", "address": None, "blocks": "", "waived": "",
        "location": {"file": file, "line": 1, "column": 1},
    }  # fmt: skip
    (result,) = json.loads(sarif_findings([finding]))["runs"][0]["results"]  # type: ignore[list-item]
    return str(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])


@pytest.mark.parametrize("system", ["with links", "without"])
def test_a_new_file_is_whole_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    if system == "without":
        monkeypatch.delattr(os, "link")
    platforms.write_new(tmp_path / "new", b"whole")
    assert (tmp_path / "new").read_bytes() == b"whole"
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"first")
    with pytest.raises(FileExistsError):
        platforms.write_new(tmp_path / "new", b"second")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("new", b"first")]
