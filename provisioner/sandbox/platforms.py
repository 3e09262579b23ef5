"""What differs between Windows and the POSIX systems, for the sandbox: locks, replacing a file, signals, ports.

A folder cannot be opened and locked on Windows, a file that is open cannot be replaced there (learn.microsoft.com,
"MoveFileExW"), and its event loop takes no signals (Python, asyncio, "Platform Support").
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import filelock

_IN_USE = frozenset({5, 32, 33})  # ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION
_LOOKS, _LOOK_S = 40, 0.05


def lock_of(file: Path) -> filelock.BaseFileLock | None:
    """A lock that ends with this process, however that ends; None where another process has it. Raises OSError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a system without locks of the kernel gets one of filelock's own
        import filelock

    lock = filelock.FileLock(file, mode=0o600, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return None
    return lock


def replace(draft: Path, path: Path) -> None:
    """Put a file in the place of another, also where a reader has that open for a moment. Raises OSError."""
    _patiently(lambda: draft.replace(path))


def remove(path: Path) -> None:
    """Remove a file if it is there, also where a reader has it open for a moment. Raises OSError."""
    _patiently(lambda: path.unlink(missing_ok=True))


def _patiently(act: Callable[[], object]) -> None:
    for look in range(1, _LOOKS + 1):
        try:
            act()
        except OSError as error:
            if look == _LOOKS or getattr(error, "winerror", None) not in _IN_USE:
                raise
            time.sleep(_LOOK_S)
        else:
            return


def on_ending(act: Callable[[], None]) -> None:
    """Call `act` in the running loop when the process is asked to end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(act))


def reusable(listener: socket.socket) -> None:
    """Let a socket be bound to a port whose last connections are still ending.

    Not on Windows, where the same option would take the port from a program that listens on it (learn.microsoft.com,
    "Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE"), and where ending connections do not hold a port.
    """
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
