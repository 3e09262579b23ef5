"""What a run may read and write: its plan's checkout, or else the folder of the plan, and ordinary files only.

A plan, its links and the settings beside it may come from a stranger's pull request. What they name outside of the
checkout is neither read nor quoted, so that a build log never holds a file of the machine. What a person names on the
command line is theirs to name, but a link that stands in the checkout is the stranger's: none is followed out of it, to
read or to write.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from provisioner import platforms
from provisioner.diagnostics import Diagnostic, InputError

_KERNEL = tuple(Path(name) for name in ("/proc", "/sys", "/dev"))
"""Where files are not files: reading one may block, have an effect, or show the process's environment."""


class NotOrdinary(OSError):
    """A device, a pipe, a socket or a file of the kernel. `strerror` says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(0, "not an ordinary file", str(path))


def top_of(folder: Path) -> Path | None:
    """The top folder of the checkout that a folder lies in, as it is named: links are not followed.

    Only an entry `.git` makes a checkout. A folder with the files of a bare repository does not: git takes it for one
    (git-config, safe.bareRepository), and anybody can commit such files.
    """
    here = Path(os.path.abspath(folder))  # noqa: PTH100 - Path.resolve follows links
    tops = [place for place in (here, *here.parents) if os.path.lexists(place / ".git")]
    found = tops[0] if tops else None
    for outer in tops[1:]:
        if found and not _real(found).is_relative_to(_real(outer)):  # a link of the outer one leads out of it
            found = outer
    return found


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):  # too long, or with a zero byte: no file has such a name
        return Path(os.path.abspath(path))  # noqa: PTH100


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


_OF_ITS_FILE = frozenset({
    errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS,
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO,
})  # fmt: skip


def about_its_file(error: OSError) -> InputError | None:
    """What the machine says about a file: that it is locked, its name is too long, the disk is full.

    None for anything else, and where no file is named: that may be a fault of ours.
    """
    if error.filename is None or error.errno not in _OF_ITS_FILE:
        return None
    what = f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}"
    return InputError([Diagnostic("FILE-UNUSABLE", what, "name another place, or make this one accessible")])


@dataclass(frozen=True, slots=True)
class Border:
    """Inside of which folders files are read. `lifted`: outside too, and still without quoting."""

    roots: tuple[Path, ...]
    lifted: bool = False

    @classmethod
    def of(cls, path: Path, *, lifted: bool = False) -> Border:
        """The border of a plan, by the file or folder that a person named."""
        here = Path(os.path.abspath(path))  # noqa: PTH100
        named = top_of(here if _is_folder(here) and not here.is_symlink() else here.parent)
        if named:
            return cls((_real(named),), lifted)
        real = _real(here)
        folder = real if _is_folder(real) else real.parent
        return cls((_real(top_of(folder) or folder),), lifted)

    def holds(self, path: Path) -> bool:
        """Whether a file lies inside, wherever a link leads."""
        if platforms.on_other_drive(Path(os.path.abspath(path)), self.roots):  # noqa: PTH100
            return False
        real = _real(path)
        return any(real.is_relative_to(root) for root in self.roots)

    def admits(self, path: Path) -> bool:
        """Whether it may be read."""
        return self.lifted or self.holds(path)

    def with_root(self, folder: Path) -> Border:
        """The same, and one folder more."""
        return Border((*self.roots, _real(folder)), self.lifted)


def read_ordinary(path: Path, most_bytes: int) -> bytes:
    """The content of an ordinary file, at most so many bytes. Never waits. Raises NotOrdinary, OSError, ValueError."""
    real = _real(path)
    if any(real.is_relative_to(place) for place in _KERNEL):
        raise NotOrdinary(path)
    file = platforms.descriptor(path, os.O_RDONLY)
    with os.fdopen(file, "rb") as stream:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise NotOrdinary(path)
        content = stream.read(most_bytes)
    if content and status.st_size == 0:  # proc(5): files there have content and no size, wherever it is mounted
        raise NotOrdinary(path)
    return content


def read_named(path: Path, most_bytes: int) -> bytes:
    """As `read_ordinary`, of a file that a person named and whose lines may be quoted.

    Raises OSError as well where a link of the checkout leads out of it: who made it need not be who named the file.
    """
    if not Border.of(path).holds(path):
        raise OSError(0, "a link of the checkout leads out of it", str(path))
    return read_ordinary(path, most_bytes)


def write_file(path: Path, text: str, *, private: bool = True, folders: bool = False) -> None:
    """Write a file whole or not at all, readable by its owner only where `private`. Raises OSError.

    `folders`: those above it that are missing are made, inside of the checkout only.

    A link is replaced and not followed: one that the checkout holds could name any file of the user's. A device or a
    pipe that is named is written to as it is, if somebody reads it.
    """
    if leads_out(path):
        raise OSError(0, "a link of the checkout leads out of it", str(path))
    if folders:
        path.parent.mkdir(parents=True, exist_ok=True)
    if _is_special(path):
        file = platforms.descriptor(path, os.O_WRONLY)
        platforms.wait_for_readers(file)
        with os.fdopen(file, "w", encoding="utf-8", errors="surrogatepass") as stream:
            stream.write(text)
        return
    platforms.write_whole(path, text, private=private)


def write_result(path: Path, text: str, option: str = "", *, private: bool = True, folders: bool = False) -> None:
    """As `write_file`, for a result of a command (the change set apart). Raises InputError naming `option` and path."""
    try:
        write_file(path, text, private=private, folders=folders)
    except OSError as error:
        named = f"{option}: " if option else ""
        what = f"{named}{path} cannot be written: {error.strerror or error}"
        fix = "choose another place, or make it writable"
        raise InputError([Diagnostic("OUT-WRITE", what, fix)]) from error


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for its owner only. Raises OSError."""
    for missing in [place for place in (folder, *folder.parents) if not place.exists()][::-1]:
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)  # raises where it is something else


def leads_out(path: Path) -> bool:
    """Whether the folder of a path, named in a checkout, is a link that leads out of it."""
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100
    top = top_of(folder)
    return top is not None and not _real(folder).is_relative_to(_real(top))


def _is_special(path: Path) -> bool:
    """A device, a pipe, or a name of the kernel such as /dev/stdout, whatever is behind it."""
    if any(Path(os.path.abspath(path)).is_relative_to(place) for place in _KERNEL):  # noqa: PTH100
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
