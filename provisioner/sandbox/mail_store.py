"""Delivered mail, the newest thousand messages, kept in the state folder."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from pathlib import Path
from typing import Any

_KEPT = 1000


class MailStore:
    """What was delivered, newest last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mails: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        with contextlib.suppress(OSError):
            self._mails.extend(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())

    def add(self, mail: dict[str, Any]) -> None:
        self._mails.append(mail)
        self._path.write_text("".join(json.dumps(m) + "\n" for m in self._mails), encoding="utf-8")

    def all(self) -> list[dict[str, Any]]:
        return list(self._mails)

    def clear(self) -> None:
        self._mails.clear()
        self._path.unlink(missing_ok=True)
