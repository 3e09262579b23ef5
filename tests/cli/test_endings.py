"""How commands end when whoever reads has gone, or somebody presses Ctrl-C."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import warnings
from asyncio.base_events import BaseEventLoop
from pathlib import Path
from typing import Any

import pytest

from provisioner.cli.main import main
from provisioner.operations import sandboxes
from tests.cli.shop import SEED, open_shop

PROGRAM = [sys.executable, "-m", "provisioner"]
ROOT = str(Path(__file__).parents[2])


def test_a_reader_that_has_gone_ends_a_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*PROGRAM, "schema"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


def test_a_run_that_is_interrupted_closes_what_it_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a few turns of its loop, drawn by the seed: connections that it opens, uses and gives back."""
    turns, stop = 0, 0
    turn = BaseEventLoop._run_once  # type: ignore[attr-defined]

    def counted(loop: Any) -> None:
        nonlocal turns
        turns += 1
        if turns == stop:
            signal.raise_signal(signal.SIGINT)
        turn(loop)

    with open_shop(tmp_path, SEED) as shop:
        plan = shop.write(
            "smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\ndns: { contoso.com: { publish: [spf] } }\n"
        )
        monkeypatch.setattr(BaseEventLoop, "_run_once", counted)
        assert shop.on_tenant("plan", plan).returncode == 0
        codes = set()
        for stop in sorted(random.sample(range(1, turns), 16)):
            turns = 0
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                codes.add(shop.on_tenant("plan", plan).returncode)
                gc.collect()
            assert (stop, [str(w.message) for w in told if w.category is ResourceWarning]) == (stop, [])
        assert 130 in codes


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.one_of("command")
@pytest.mark.parametrize("command", [["schema"], ["--help"], ["version"]])
def test_a_disk_that_is_full_is_told(command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "Error: the output cannot be written: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="streams cannot be closed by a shell")
def test_a_command_without_standard_streams_does_its_work(tmp_path: Path) -> None:
    """As services and `<&-` start one. What is opened does not get the number of a stream that is missing."""
    plan = tmp_path / "plan.yaml"
    plan.write_text("provisioner: 1\ntenant: contoso.onmicrosoft.com\nsmtp_auth: { organization: disabled }\n")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *PROGRAM, "--log-file", "log", "-v", "validate", "plan.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT},
        timeout=60,
    )
    assert done.returncode == 0


@pytest.mark.one_of("how")
@pytest.mark.parametrize("how", ["ctrl-c", "SIGINT", "SIGTERM"])
def test_a_sandbox_in_the_foreground_ends_and_takes_its_profiles_away(tmp_path: Path, how: str) -> None:
    environment = {**os.environ, "PYTHONPATH": ROOT}
    process = subprocess.Popen(
        [*PROGRAM, "sandbox", "start"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    while "Use it with" not in process.stderr.readline():
        assert process.poll() is None
    profile = tmp_path / ".provisioner" / "profiles" / "sandbox.toml"
    assert profile.exists()
    if how == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to the program and to the tenant
    else:
        os.kill(process.pid, getattr(signal, how))  # as a pipeline does: to the program alone
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert not profile.exists()


def test_a_sandbox_that_is_left_running_is_not_told_as_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Popen warns of a child that is not waited for, which this one is not meant to be."""
    child = [subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)]
    pid, end = child[0].pid, child[0].stdin
    monkeypatch.setattr(sandboxes, "launch", lambda *_, **__: child.pop())
    monkeypatch.setattr(sandboxes, "ready", lambda *_: {"initial_domain": "contoso.onmicrosoft.com", "pid": pid})
    monkeypatch.setattr("provisioner.cli.sandbox._write_profiles", lambda *_: [])
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert main(["sandbox", "start", "--detach", "--state", str(tmp_path / "state")]) == 0
    assert [str(w.message) for w in told] == []
    assert end is not None
    end.close()


@pytest.mark.parametrize("kept", [False, True])
def test_a_seed_that_is_not_loaded_is_told_where_nobody_sees_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: bool
) -> None:
    state, seed = tmp_path / "state", tmp_path / "seed.yaml"
    seed.write_text("sandbox: 1\n", encoding="utf-8")
    state.mkdir(mode=0o700)
    if kept:
        (state / "tenant.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(sandboxes, "launch", lambda *_, **__: None)
    monkeypatch.setattr(sandboxes, "ready", lambda *_: {"initial_domain": "contoso.onmicrosoft.com", "pid": 1})
    monkeypatch.setattr("provisioner.cli.sandbox._write_profiles", lambda *_: [])
    monkeypatch.chdir(tmp_path)
    assert main(["sandbox", "start", "--detach", "--seed", str(seed), "--state", str(state)]) == 0
    assert ("holds a tenant already" in capsys.readouterr().err) is kept
