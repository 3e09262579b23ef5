"""Delivered mail, the newest thousand messages, kept in the state folder.

A delivery appends one line; the file is written anew only when it has grown to twice what is kept. A message may be
delivered later than it was taken: until its `time` nobody sees it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provisioner.sandbox.clock import Clock
from provisioner.sandbox.tls import write_private

_KEPT = 1000


class MailStore:
    """What was delivered, in the order in which it was taken. `time` of a mail is when it is delivered, ISO 8601."""

    def __init__(self, path: Path, clock: Clock, *, kept: int = _KEPT) -> None:
        self._path, self._clock, self._kept = path, clock, kept
        self._mails: deque[dict[str, Any]] = deque(maxlen=kept)
        self._lines = 0
        for mail in _read(path):
            self._mails.append(mail)
            self._lines += 1

    def add(self, mail: dict[str, Any]) -> None:
        """Take a message."""
        self._mails.append(mail)
        self._lines += 1
        if self._lines > 2 * self._kept:
            write_private(self._path, b"".join(_line(kept) for kept in self._mails))
            self._lines = len(self._mails)
            return
        with open(self._path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(_line(mail))

    def all(self) -> list[dict[str, Any]]:
        """What has been delivered by now, by the tenant's clock."""
        now = self._clock.now()
        return [mail for mail in self._mails if dt.datetime.fromisoformat(mail["time"]) <= now]

    def clear(self) -> None:
        self._mails.clear()
        self._lines = 0
        self._path.unlink(missing_ok=True)


def _line(mail: dict[str, Any]) -> bytes:
    return json.dumps(mail).encode() + b"\n"


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """The messages of a file. A process that was killed may have left half a line at its end: it is cut off."""
    try:
        raw = path.read_bytes()
    except OSError:
        return
    whole, newline, torn = raw.rpartition(b"\n")
    if torn:
        write_private(path, whole + newline)
    for line in whole.splitlines():
        yield json.loads(line)
