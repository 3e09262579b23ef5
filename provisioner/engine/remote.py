"""A git remote as a place for small things, a lock or a journal: refs that are made, moved and deleted by pushes.

Git works in an empty repository of its own, so that no checkout is needed, and nothing in one counts.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from provisioner import platforms
from provisioner.diagnostics import Diagnostic, InputError


@contextlib.contextmanager
def scratch(use: str) -> Iterator[Git]:
    """A git that works in an empty repository of its own, which is deleted afterwards; `use` is "lock" or "journal"."""
    with tempfile.TemporaryDirectory(prefix="provisioner-git-") as folder:
        git = Git(folder, use)
        git("init", "--quiet", "--bare")
        yield git


class Rejected(InputError):
    """The remote's ref is not what the push expected."""


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git in one repository. Messages name the setting that the remote comes from, `use`."""

    folder: str
    use: str

    def __call__(self, *arguments: str, text: str = "") -> str:
        """Run git and give its output. Raises Rejected for a refused push, InputError for anything else."""
        who = {f"GIT_{r}_{w}": "provisioner" for r in ("AUTHOR", "COMMITTER") for w in ("NAME", "EMAIL")}
        kept = {name: value for name, value in os.environ.items() if name not in _REPOSITORY}
        # Neither a repository that git would look for, nor a transport that runs a command (gitremote-ext(1)).
        own = {
            "GIT_DIR": self.folder,
            "GIT_ALLOW_PROTOCOL": "https:ssh:file",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }
        program, path = self._program()
        try:
            done = subprocess.run(  # noqa: S603 - the remote is the user's own setting
                [program, *arguments],
                cwd=self.folder,
                input=text.encode(),  # as bytes: Windows would turn the line ends
                capture_output=True,
                timeout=60,
                env={**kept, **who, **own, "PATH": path},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(f"git {arguments[0]} could not be run: {error}") from error
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
        words = done.stderr.decode("utf-8", "replace").strip()
        if arguments[0] == "push" and ("stale info" in words or "rejected" in words or "already exists" in words):
            raise Rejected([Diagnostic(f"{self.use.upper()}-REJECTED", words)])
        what = f"git {arguments[0]} failed: {words.splitlines()[-1] if words else f'exit {done.returncode}'}"
        raise self._failed(what)

    def _program(self) -> tuple[str, str]:
        """The user's git, and a PATH for what it starts: no relative folder, which is one of the checkout."""
        program = platforms.program("git")
        if program is None:
            raise self._failed("git is not installed", f"install git, or configure another {self.use}")
        return str(program), os.pathsep.join(str(folder) for folder in platforms.program_folders())

    def _failed(self, what: str, hint: str = "") -> InputError:
        hint = hint or f"check the remote of the setting {self.use}, and the right to push to it"
        return InputError([Diagnostic(f"{self.use.upper()}-GIT", what, hint)])


_REPOSITORY = frozenset(
    {
        "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE",
    }
)  # fmt: skip
"""What names another repository (git rev-parse --local-env-vars): set while a git hook runs us."""
