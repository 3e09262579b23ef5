"""Takes from the program what Windows does not have, and lets the rest behave as Windows does.

Python imports this module before anything else in every process that has its folder on PYTHONPATH, so that a sandbox
started by a command is bereft too. Only modules of `provisioner` are: libraries have their own code for Windows, which
is not ours to test, and would not look for it here. Sources: the Python documentation ("Availability", "os.open",
"os.kill", "os.replace", asyncio "Platform Support", "subprocess.Popen"), and learn.microsoft.com, "MoveFileExW" and
"DeleteFile".
"""

from __future__ import annotations

import asyncio
import builtins
import errno
import getpass
import os
import pathlib
import signal
import socket
import subprocess
import sys
import types
import warnings
from typing import Any

OURS = "provisioner"
WITHHELD_MODULES = frozenset({"_posixsubprocess", "crypt", "curses", "fcntl", "grp", "posix", "pty", "pwd", "resource",
                              "spwd", "syslog", "termios", "tty"})  # fmt: skip
WITHHELD = {
    "os": {
        "O_ASYNC", "O_CLOEXEC", "O_DIRECT", "O_DIRECTORY", "O_DSYNC", "O_NOATIME", "O_NOCTTY", "O_NOFOLLOW",
        "O_NONBLOCK", "O_PATH", "O_RSYNC", "O_SYNC", "WEXITSTATUS", "WNOHANG", "WIFEXITED", "WIFSIGNALED", "chown",
        "chroot", "fchdir", "fchmod", "fchown", "fdatasync", "fork", "forkpty", "getegid", "geteuid", "getgid",
        "getgroups", "getpgid", "getpgrp", "getresuid", "getsid", "getuid", "initgroups", "killpg", "lchown", "lockf",
        "major", "mkfifo", "mknod", "nice", "openpty", "pipe2", "posix_fallocate", "posix_spawn", "pread", "pwrite",
        "register_at_fork", "sched_getaffinity", "sendfile", "setgid", "setpgid", "setsid", "setuid", "statvfs",
        "sync", "uname", "wait", "wait3", "wait4", "waitid",
    },
    "signal": {
        "ITIMER_REAL", "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP",
        "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIG_BLOCK", "alarm", "pause", "pthread_kill",
        "pthread_sigmask", "setitimer", "sigpending", "sigtimedwait", "sigwait", "sigwaitinfo",
    },
    "socket": {"AF_UNIX", "SO_REUSEPORT", "recv_fds", "send_fds", "socketpair"},
}  # fmt: skip
SHARING_VIOLATION = 32
BINARY = 1 << 30

_real_open, _real_write, _real_close = os.open, os.write, os.close
_as_text: set[int] = set()


# --- files -----------------------------------------------------------------------------------------------------------


def _open(path: Any, flags: int, mode: int = 0o777, **rest: Any) -> int:
    """Without O_BINARY line ends are turned; a folder cannot be opened; an inherited descriptor is asked for."""
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
    found = _real_open(path, flags & ~BINARY, mode, **rest)
    (_as_text.discard if flags & BINARY else _as_text.add)(found)
    return found


def _write(file: int, content: bytes) -> int:
    if file not in _as_text:
        return _real_write(file, content)
    _real_write(file, bytes(content).replace(b"\n", b"\r\n"))
    return len(content)


def _in_use(path: Any) -> OSError:
    error = PermissionError(errno.EACCES, "The process cannot access the file because another process uses it", path)
    error.winerror = SHARING_VIOLATION  # type: ignore[attr-defined]
    return error


def _is_open(path: Any) -> bool:
    """Whether this process has the file open, as a file that is not shared for deletion."""
    try:
        wanted = os.stat(path)
    except OSError:
        return False
    for number in os.listdir("/proc/self/fd"):
        try:
            found = os.stat(int(number))
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def _guarded(real: Any, *, scanned: bool) -> Any:
    """A function that takes the place of a file or its name away. `scanned`: a scanner has it open the first time."""
    looked_at: set[str] = set()

    def guarded(path: Any, *others: Any, **rest: Any) -> Any:
        for place in (path, *others):
            name = os.path.abspath(os.fspath(place))
            if _is_open(name):
                raise _in_use(name)
            if scanned and os.path.lexists(name) and not os.path.isdir(name) and place is not path:
                if name not in looked_at:
                    looked_at.add(name)
                    raise _in_use(name)
                looked_at.discard(name)
        return real(path, *others, **rest)

    return guarded


def _rename(real: Any) -> Any:
    def rename(path: Any, other: Any) -> Any:
        if os.path.lexists(other):
            raise FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", os.fspath(other))
        return real(path, other)

    return rename


os.replace = _guarded(os.replace, scanned=True)
os.rename = _rename(_guarded(os.rename, scanned=False))
os.unlink = _guarded(os.unlink, scanned=False)
os.remove = os.unlink

_SLASHED = tuple(f"{OURS}.{part}" for part in ("plan", "changes", "rules", "devices", "render", "operations", "cli"))
_real_text = pathlib.PurePath.__str__


def _text(path: pathlib.PurePath) -> str:
    r"""A path with `\`, where a module of ours that reports or records makes a text of it."""
    text = _real_text(path)
    caller = str(sys._getframe(1).f_globals.get("__name__"))
    return text.replace("/", "\\") if caller.startswith(_SLASHED) and caller != f"{OURS}.operations.sandboxes" else text


if sys.version_info < (3, 12):  # later ones parse paths elsewhere
    _path: Any = pathlib.PurePath
    _modules: Any = pathlib
    _path.__str__, _path.as_posix, _flavour = _text, lambda path: _real_text(path), _modules._posix_flavour
    _parse = _flavour.parse_parts
    _flavour.parse_parts = lambda parts: _parse([p.replace("\\", "/") if isinstance(p, str) else p for p in parts])


# --- processes, event loops ------------------------------------------------------------------------------------------


def _kill(pid: int, number: int) -> None:
    if number not in (signal.SIGTERM, signal.SIGKILL):
        raise AssertionError(f"os.kill({pid}, {number}): 0 would send Ctrl-C on Windows, others end the process")
    os.kill(pid, signal.SIGKILL)


class _Popen(subprocess.Popen[Any]):
    """`terminate` ends a process at once, and what makes sessions and forks is not there."""

    def __init__(self, *arguments: Any, **rest: Any) -> None:
        refused = {"start_new_session", "preexec_fn", "process_group", "pass_fds"} & {k for k, v in rest.items() if v}
        if refused:
            raise ValueError(f"{sorted(refused)}: not supported on Windows")
        own_group = rest.pop("creationflags", 0)
        words = [str(word).replace("\\", "/") for word in arguments[0]]
        super().__init__(words, *arguments[1:], start_new_session=bool(own_group), **rest)

    def terminate(self) -> None:
        self.kill()


subprocess.Popen = _Popen  # type: ignore[misc]  # `subprocess.run` uses it too


def _not_there(*_: Any, **__: Any) -> Any:
    raise NotImplementedError


for _name in ("add_signal_handler", "remove_signal_handler", "add_reader", "remove_reader", "add_writer",
              "remove_writer", "create_unix_connection", "create_unix_server"):  # fmt: skip
    setattr(asyncio.SelectorEventLoop, _name, _not_there)


# --- what a module of ours gets when it imports ----------------------------------------------------------------------


def _without(module: types.ModuleType, **instead: Any) -> types.ModuleType:
    left = types.ModuleType(module.__name__, module.__doc__)
    withheld = WITHHELD.get(module.__name__, set())
    left.__dict__.update({n: v for n, v in vars(module).items() if n not in withheld})
    left.__dict__.update(instead)
    return left


def _nobody(*_: Any) -> str:
    """`getpass.getuser` asks the environment, and then the module pwd (Python 3.11)."""
    raise ModuleNotFoundError("No module named 'pwd'")


_LEFT = {
    "os": _without(
        os, name="nt", linesep="\r\n", open=_open, write=_write, kill=_kill, O_BINARY=BINARY, O_NOINHERIT=os.O_CLOEXEC
    ),
    "signal": _without(signal, SIGBREAK=signal.SIGUSR2),
    "socket": _without(socket),
    "subprocess": _without(subprocess, CREATE_NEW_PROCESS_GROUP=0x200, CREATE_NO_WINDOW=0x08000000),
    "getpass": _without(getpass, getuser=_nobody),
}
_import = builtins.__import__


def _importing(name: str, importing: Any = None, local: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    """What `import` gives: to a module of ours only what Windows has."""
    importer = str((importing or {}).get("__name__", ""))
    if level == 0 and (importer == OURS or importer.startswith(f"{OURS}.")):
        if name.partition(".")[0] in WITHHELD_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}: it is withheld", name=name)
        if name in _LEFT:
            return _LEFT[name]
    return _import(name, importing, local, fromlist, level)


builtins.__import__ = _importing  # type: ignore[assignment]
warnings.filterwarnings("error", category=EncodingWarning, module=OURS)
