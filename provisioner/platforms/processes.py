"""Processes: signals that ask this one to end, programs that it starts, and its user."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from provisioner.platforms.files import WINDOWS

ENDINGS: Sequence[int] = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if (number := getattr(signal, name, None))
)
"""Ctrl-C, the end that a pipeline sends, that of a terminal that is closed, and Ctrl-Break of Windows."""

_CLOSINGS = frozenset({2, 5, 6})
"""CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT and CTRL_SHUTDOWN_EVENT of a console (HandlerRoutine callback function)."""
_NEVER = threading.Event()


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
        with _window_closed(act):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a wait for a person within an event loop: its own handler of the first one only cancels the task
    (asyncio.Runner), which a wait for input does not notice. Only in the main thread.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


@contextlib.contextmanager
def _window_closed(act: Callable[[], object]) -> Iterator[None]:
    """On Windows, call `act` when the console's window is closed, the user signs out or the system ends.

    Windows ends the process as soon as a handler of these has returned, and some 5 s after it was called
    (HandlerRoutine callback function, "Remarks"). That of the C runtime makes them SIGBREAK and returns, before Python
    has run a handler of its own. So this one, which is asked first, never returns: it is ended with the process.
    """
    setting = _console_setting()
    if setting is None:
        yield
        return
    kind, register = setting

    def told(event: int) -> bool:
        if event not in _CLOSINGS:
            return False
        with contextlib.suppress(RuntimeError):  # the event loop has just ended
            act()
        _NEVER.wait()
        return True

    handler = kind(told)
    register(handler, True)
    try:
        yield
    finally:
        register(handler, False)


def _console_setting() -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """The type of a handler, and SetConsoleCtrlHandler; None where the system has no such thing."""
    if not WINDOWS:
        return None
    import ctypes

    kernel = getattr(ctypes, "windll", None)
    if kernel is None:
        return None
    from ctypes import wintypes

    kind: Any = getattr(ctypes, "WINFUNCTYPE")  # noqa: B009 - only Windows has it
    return kind(wintypes.BOOL, wintypes.DWORD), kernel.kernel32.SetConsoleCtrlHandler


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
