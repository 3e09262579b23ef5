"""Output: streams that are missing or whose encoding lacks characters, and readers that have gone."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

from provisioner.platforms.files import WINDOWS


def open_streams() -> None:
    """Connect the standard streams that the process was started without (`<&-`, some services) with the null device.

    Their numbers are taken too: else the next files that are opened get them, a journal for one, and what a program
    prints that is started here goes into it. Git does the same (setup.c, sanitize_stdfds).
    """
    missing = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    if not missing:
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name in missing:
        mode = "r" if name == "stdin" else "w"
        setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as the process


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
