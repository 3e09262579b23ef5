"""What differs between Windows and the POSIX systems, and nothing else. A test bans these names everywhere else.

Each function asks whether the system has what it uses, so that a test can take it away. Windows has neither
`O_NONBLOCK` nor signals between processes, refuses to replace a file that is open (learn.microsoft.com, "MoveFileExW";
Python, "os.replace"), and encodes what goes into a pipe in a code page that lacks most characters (Python,
"sys.stdout"). Modes such as 0600 mean nothing there: a file is as private as its folder (docs/windows.md).
"""

from provisioner.platforms.files import (
    WINDOWS,
    descriptor,
    on_other_drive,
    remove,
    replace,
    settings_base,
    state_base,
    wait_for_readers,
    write_new,
    write_whole,
)
from provisioner.platforms.output import lenient, open_streams, reader_gone, unicode
from provisioner.platforms.processes import (
    ENDINGS,
    detached,
    interruptible,
    kill,
    on_endings,
    program,
    program_folders,
    user,
)

__all__ = [
    "ENDINGS",
    "WINDOWS",
    "descriptor",
    "detached",
    "interruptible",
    "kill",
    "lenient",
    "on_endings",
    "on_other_drive",
    "open_streams",
    "program",
    "program_folders",
    "reader_gone",
    "remove",
    "replace",
    "settings_base",
    "state_base",
    "unicode",
    "user",
    "wait_for_readers",
    "write_new",
    "write_whole",
]
