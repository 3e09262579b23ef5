"""Output: streams whose encoding lacks characters, and readers that have gone."""

from __future__ import annotations

import errno
import io
from typing import Any

from provisioner.platforms.files import WINDOWS


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
