"""The git checkout that a plan lies in, if it does."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


def commit_of(path: Path, files: Sequence[str] = ()) -> str:
    """The commit of a plan: 40 hexadecimal digits, with " (modified)" where what lies there is not what it holds.

    `files` are all that the plan was read from, wherever they lie. "" outside of a checkout, before the first commit,
    and where there is no git.
    """
    folder = path if path.is_dir() else path.parent
    head = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head:
        return ""
    places = {str(path.resolve()), *(str(Path(file).resolve()) for file in files)}
    changed = _git(folder, "status", "--porcelain", "--", *sorted(places))
    return f"{head} (modified)" if changed else head


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments and a path of the user's
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
