"""Files: opened without waiting, replaced whole, removed, and the folders of a user."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

WINDOWS = os.name == "nt"

_BYTES = getattr(os, "O_BINARY", 0)  # Windows would turn line ends otherwise
_ALONE = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer would block

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)

_IN_USE = frozenset({5, 32, 33})
"""ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION (learn.microsoft.com, "System Error Codes")."""

_LOOKS, _LOOK_S = 40, 0.05


def descriptor(path: Path, flags: int, mode: int = 0o600, *, follow: bool = True) -> int:
    """`os.open` for bytes as they are, that no program started later inherits and that never waits. Raises OSError.

    Without `follow` a link is an error, where the system can tell.
    """
    return os.open(path, flags | _BYTES | _ALONE | _AT_ONCE | (0 if follow else _NO_LINK), mode)


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


def write_new(path: Path, content: bytes) -> None:
    """Write a file whole, and to the disk, under a name that must be free. Raises FileExistsError, OSError."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if WINDOWS or not hasattr(os, "link"):
            draft.rename(path)  # refused on Windows where the name is taken (Python, "os.rename")
        else:
            os.link(draft, path)
    finally:
        remove(draft)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def wait_for_readers(file: int) -> None:
    """Let writes to a pipe that was opened by `descriptor` wait for its reader. Windows has only such pipes."""
    if _AT_ONCE and sys.platform != "win32":
        os.set_blocking(file, True)


def on_other_drive(path: PurePath, roots: Sequence[PurePath]) -> bool:
    r"""Whether a whole path lies on none of the drives of some folders. POSIX has one drive.

    To look at `\\server\share` is to sign in there: Windows sends the user's hashed password to whatever server a path
    names (support.microsoft.com, KB3185535, "Preventing SMB traffic from lateral connections").
    """
    return path.drive.casefold() not in {root.drive.casefold() for root in roots}


def state_base() -> Path:
    """The folder of this user for what programs remember: XDG Base Directory, on Windows %LOCALAPPDATA%."""
    return _base("XDG_STATE_HOME", "LOCALAPPDATA", Path(".local") / "state")


def settings_base() -> Path:
    """The folder of this user for settings: XDG Base Directory, on Windows %APPDATA%."""
    return _base("XDG_CONFIG_HOME", "APPDATA", Path(".config"))


def _base(standard: str, windows: str, otherwise: Path) -> Path:
    named = os.environ.get(standard) or (os.environ.get(windows) if WINDOWS else None)
    return Path(named) if named else Path.home() / otherwise
