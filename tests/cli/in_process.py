"""A command line run in this process: as the program would run it, without the second that its start takes.

Everything that a process has of its own is lent to the command and taken back: working directory, environment,
streams, context variables, signal handlers, log handlers. A sandbox that it starts is forked (tests/forked.py). What
needs a process (signals, pipes, terminals, what is loaded at the start) is tested with the program itself.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from provisioner.cli.main import main
from provisioner.cli.session import Session
from provisioner.clock import SYSTEM, Clock
from provisioner.operations import sandboxes
from tests.forked import Forked

_LIMIT_S = 120
_WAIT_S = 600
"""A command that waits for ever is ended after so long; one that waits for a busy machine is not."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Hanging(BaseException):
    """A command that did not end. No Exception, so that no command takes it for an error of its own."""


def run_in_process(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    clock: Clock = SYSTEM,
    *,
    limit_s: int = _LIMIT_S,
) -> subprocess.CompletedProcess[str]:
    """Run `provisioner ARGUMENTS` in a folder, with nothing on standard input.

    Raises Hanging where it computes for `limit_s`, or waits for `_WAIT_S`.
    """
    assert threading.current_thread() is threading.main_thread(), "a command takes the process: run the program instead"
    where = _place(folder, environment)
    with _streams() as (out, err), where, _handlers(), forking(), unforced(), _limit(arguments, limit_s):
        code = contextvars.Context().run(main, list(arguments), clock)
    return subprocess.CompletedProcess(["provisioner", *arguments], code, out.getvalue(), err.getvalue())


def said_so_far() -> str:
    """What the command that runs has written to standard error until now."""
    return sys.stderr.getvalue() if isinstance(sys.stderr, _Stream) else ""


class _Stream(io.TextIOWrapper):
    """A text stream without a terminal, as a pipe is: UTF-8 and strict."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", write_through=True)

    def getvalue(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode("utf-8")


@contextlib.contextmanager
def _streams() -> Iterator[tuple[_Stream, _Stream]]:
    out, err = _Stream(), _Stream()
    before = sys.stdin, sys.stdout, sys.stderr
    with open(os.devnull, encoding="utf-8") as nothing:
        sys.stdin, sys.stdout, sys.stderr = nothing, out, err
        try:
            yield out, err
        finally:
            sys.stdin, sys.stdout, sys.stderr = before


@contextlib.contextmanager
def _place(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """The folder and exactly this environment; and no session of an earlier command."""
    before, where = dict(os.environ), Path.cwd()
    _replace_environment(environment)
    os.chdir(folder)
    Session._current = None
    try:
        yield
    finally:
        Session._current = None
        os.chdir(where)
        _replace_environment(before)


def _replace_environment(environment: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


@contextlib.contextmanager
def _handlers() -> Iterator[None]:
    signals = {number: signal.getsignal(number) for number in _SIGNALS}
    logs = list(logging.getLogger().handlers)
    try:
        yield
    finally:
        logging.getLogger().handlers[:] = logs
        for number, handler in signals.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def unforced() -> Iterator[None]:
    """Nothing is forced to the disk: no test pulls a plug, and a busy disk makes each command wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@contextlib.contextmanager
def forking() -> Iterator[None]:
    """What starts a sandbox forks one (tests/forked.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandboxes, "launch", _launch)
        yield


def _launch(
    state: Path,
    seeds: Sequence[Path],
    *,
    lag: float | None = None,
    output: IO[bytes] | None,
    detach: bool = False,
    listening: sandboxes.Listening = sandboxes.LOOPBACK_ONLY,
) -> Forked:
    """`sandboxes.launch`, by a fork."""
    assert output is not None, "in the foreground it is a program's: run that instead"
    arguments = ["serve", "--state", str(state), *(f"--seed={seed}" for seed in seeds), *listening.arguments()]
    return Forked(arguments + (["--lag", str(lag)] if lag is not None else []), Path(output.name))


@contextlib.contextmanager
def _limit(arguments: Sequence[str], limit_s: int) -> Iterator[None]:
    """End what hangs, as the time limit of a child process would, and what computes for too long by itself."""

    def hangs(*_: Any) -> None:
        raise Hanging(f"provisioner {' '.join(arguments)} computed for {limit_s} s, or waited for {_WAIT_S} s")

    before = {number: signal.signal(number, hangs) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    signal.alarm(_WAIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
