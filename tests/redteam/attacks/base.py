"""What an attack is, and what several kinds of them need."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.redteam.world import World

Make = Callable[[World], None]
Made = Iterator[tuple[Any, ...]]
"""The name of an attack, what makes a world hostile, and its other fields as a mapping."""

ESCAPES = "\x1b]8;;http://x\x1b\\\u202e##[stop-commands]x##vso[task.setvariable]x"
LINES = f"{ESCAPES}\n::error::x\r::warning::y\u2028\x85"


@dataclass(frozen=True)
class Attack:
    """`make` changes a fresh world. `commands` are run besides every other, `profile` is whose settings they use."""

    kind: str
    name: str
    make: Make
    commands: tuple[tuple[str, ...], ...] = ()
    profile: str = "mine"
    environment: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()


def wrote(_: object) -> None:
    """What a write gives back."""


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 32)


_saved: dict[str, Any] = {}


def real_change_set(w: World) -> Any:
    """What `plan -o` saves of the plan of this world."""
    if str(w.base) not in _saved:
        done = w.shop.run(
            "-C", str(w.checkout), "--profile", "mine", "plan", "plans", "-o", "real.json", **w.environment
        )
        assert done.returncode in {0, 2}, done.stderr
        _saved[str(w.base)] = json.loads((w.checkout / "real.json").read_text())
    return _saved[str(w.base)]


def tenant_of(w: World) -> str:
    return str(real_change_set(w)["provisioner"]["tenant_id"])


def link_beside(path: Path, w: World) -> None:
    """The state folder is the user's: where a link of it leads is for the user to say."""
    (w.state / "elsewhere").write_text("no entry\n")
    path.symlink_to(w.state / "elsewhere")


SPECIAL: Mapping[str, Callable[[Path, World], None]] = {
    "a pipe": lambda p, _: os.mkfifo(p),
    "a folder": lambda p, _: p.mkdir(),
    "a device": lambda p, _: p.symlink_to("/dev/zero"),
    "a link outside": lambda p, w: p.symlink_to(w.outside / "far.json"),
    "a link to itself": lambda p, _: p.symlink_to(p),
}


def in_state(name: str, content: bytes | Callable[[Path, World], None], folder: str = "") -> Make:
    """A file of the tenant's state folder, or of a shared folder for locks."""

    def make(w: World) -> None:
        path = (w.base / "out" / folder if folder else w.state / tenant_of(w)) / name.replace("ID", tenant_of(w))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if callable(content):
            content(path, w)
        else:
            path.write_bytes(content)

    return make
