"""What differs between Windows and the POSIX systems, and nothing else. A test bans these names everywhere else.

Each function asks whether the system has what it uses, so that a test can take it away. Windows has neither
`O_NONBLOCK` nor signals between processes, refuses to replace a file that is open (docs.microsoft.com, "MoveFileExW";
Python, "os.replace"), and encodes what goes into a pipe in a code page that lacks most characters (Python,
"sys.stdout"). Modes such as 0600 mean nothing there: a file is as private as its folder (docs/windows.md).
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import io
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

WINDOWS = os.name == "nt"

# --- files -----------------------------------------------------------------------------------------------------------

_BYTES = getattr(os, "O_BINARY", 0)  # Windows would turn line ends otherwise
_ALONE = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer would block

_IN_USE = frozenset({5, 32, 33})
"""ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION (learn.microsoft.com, "System Error Codes")."""

_LOOKS, _LOOK_S = 40, 0.05


def descriptor(path: Path, flags: int, mode: int = 0o600) -> int:
    """`os.open` for bytes as they are, that no program started later inherits and that never waits. Raises OSError."""
    return os.open(path, flags | _BYTES | _ALONE | _AT_ONCE, mode)


def replace(draft: Path, path: Path, pause: Callable[[float], None] = time.sleep) -> None:
    """Put a file in the place of another. Raises OSError."""
    _patiently(lambda: draft.replace(path), pause)


def remove(path: Path, pause: Callable[[float], None] = time.sleep) -> None:
    """Remove a file if it is there. Raises OSError."""
    _patiently(lambda: path.unlink(missing_ok=True), pause)


def _patiently(act: Callable[[], object], pause: Callable[[float], None]) -> None:
    """Windows refuses both while a program has the file open: readers and virus scanners do so for moments."""
    for look in range(1, _LOOKS + 1):
        try:
            act()
        except OSError as error:
            if look == _LOOKS or getattr(error, "winerror", None) not in _IN_USE:
                raise
            pause(_LOOK_S)
        else:
            return


def write_whole(path: Path, content: str | bytes, *, private: bool = True) -> None:
    """Write a file whole or not at all, text as UTF-8 and as it is, and readable by its owner only where `private`.

    A link is replaced and not followed. Raises OSError.
    """
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent or ".")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            if not private:
                Path(name).chmod(0o666 & ~_umask())
            file.flush()
            os.fsync(file.fileno())
        replace(Path(name), path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def wait_for_readers(file: int) -> None:
    """Let writes to a pipe that was opened by `descriptor` wait for its reader. Windows has only such pipes."""
    if _AT_ONCE:
        os.set_blocking(file, True)


def state_base() -> Path:
    """The folder of this user for what programs remember: XDG Base Directory, on Windows %LOCALAPPDATA%."""
    return _base("XDG_STATE_HOME", "LOCALAPPDATA", Path(".local") / "state")


def settings_base() -> Path:
    """The folder of this user for settings: XDG Base Directory, on Windows %APPDATA%."""
    return _base("XDG_CONFIG_HOME", "APPDATA", Path(".config"))


def _base(standard: str, windows: str, otherwise: Path) -> Path:
    named = os.environ.get(standard) or (os.environ.get(windows) if WINDOWS else None)
    return Path(named) if named else Path.home() / otherwise


# --- output ----------------------------------------------------------------------------------------------------------


def lenient(*streams: Any) -> None:
    """Let text streams print `?` for a character that their encoding lacks, where it is not Unicode, and not fail."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper) and not unicode(stream):
            stream.reconfigure(errors="replace")


def unicode(stream: Any) -> bool:
    """Whether every character has a code in a stream's encoding."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def reader_gone(error: OSError, *, windows: bool = WINDOWS) -> bool:
    """Whether a write to a pipe failed because nobody reads it: EPIPE, and EINVAL on Windows (Python issue 35754)."""
    return error.filename is None and error.errno in ({errno.EPIPE, errno.EINVAL} if windows else {errno.EPIPE})


# --- processes -------------------------------------------------------------------------------------------------------

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
