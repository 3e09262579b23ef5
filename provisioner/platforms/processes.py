"""Processes: signals that ask this one to end, programs that it starts, and its user."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from provisioner.platforms.files import WINDOWS

ENDINGS: Sequence[int] = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if (number := getattr(signal, name, None))
)
"""Ctrl-C, the end that a pipeline sends, that of a terminal that is closed, and Ctrl-Break of Windows."""


@contextlib.contextmanager
def on_endings(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` at the first signal that asks the process to end; a second one ends it as it ends any program.

    Handlers of the process and not of the event loop, since that of Windows has none (asyncio, "Platform Support"). It
    wakes up by `loop.call_soon_threadsafe`. Only in the main thread.
    """

    def told(_number: int, _frame: FrameType | None) -> None:
        for number in ENDINGS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        act()

    before = {number: signal.signal(number, told) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def detached() -> dict[str, Any]:
    """How `subprocess.Popen` starts a program that outlives the terminal, and that its Ctrl-C does not reach."""
    own_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    if own_group:
        return {"creationflags": own_group | getattr(subprocess, "CREATE_NO_WINDOW", 0)}
    return {"start_new_session": True}


def kill(pid: int) -> None:
    """End a process at once. Windows knows no other end of another process, by any signal (Python, "os.kill")."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def program_folders() -> Sequence[Path]:
    """The folders of PATH that are whole paths: a relative one is a folder of the checkout."""
    return [Path(folder) for folder in os.get_exec_path() if Path(folder).is_absolute()]


def program(name: str) -> Path | None:
    """A program by its name, from the folders of PATH alone.

    `shutil.which` and CreateProcess look first into the working folder on Windows, which is the checkout.
    """
    file = f"{name}.exe" if WINDOWS else name
    places = [folder / file for folder in program_folders()]
    return next((place for place in places if place.is_file() and os.access(place, os.X_OK)), None)


def user() -> str:
    """The name of this user; "unknown" where neither the environment nor the system tells it (a container's number)."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "unknown"
