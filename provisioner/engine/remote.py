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
        git("init", "--quiet", "--bare", "--template=")
        yield git


class Rejected(InputError):
    """The remote's ref is not what the push expected."""


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git in one repository. Messages name the setting that the remote comes from, `use`."""

    folder: str
    use: str

    def __call__(self, *arguments: str, text: str = "") -> str:
        """Run git and give its output as text. Raises Rejected for a refused push, InputError for anything else."""
        output = self.raw(*arguments, content=text.encode("utf-8", "surrogateescape"))
        return output.decode("utf-8", "surrogateescape")

    def raw(self, *arguments: str, content: bytes = b"") -> bytes:
        """The same with bytes."""
        program, path = self._program()
        try:
            done = subprocess.run(  # noqa: S603 - the remote is the user's own setting
                [program, *arguments],
                cwd=self.folder,
                input=content,
                capture_output=True,
                timeout=60,
                env={**self._environment(), "PATH": path},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(f"git {arguments[0]} could not be run: {error}") from error
        if done.returncode == 0:
            return done.stdout
        words = done.stderr.decode("utf-8", "replace").strip()
        if arguments[0] == "push" and any(reason in words for reason in _MOVED):
            raise Rejected([Diagnostic(f"{self.use.upper()}-REJECTED", words)])
        raise self._failed(f"git {arguments[0]} failed: {_reason(words) or f'exit {done.returncode}'}")

    def _environment(self) -> dict[str, str]:
        """Neither a repository that git would look for, nor a transport that runs a command (gitremote-ext(1))."""
        who = {f"GIT_{r}_{w}": "provisioner" for r in ("AUTHOR", "COMMITTER") for w in ("NAME", "EMAIL")}
        kept = {name: value for name, value in os.environ.items() if name not in _REPOSITORY}
        own = {
            "GIT_DIR": self.folder,
            "GIT_ALLOW_PROTOCOL": "https:ssh:file",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }
        return {**kept, **who, **own}

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


_MOVED = ("stale info", "fetch first", "non-fast-forward", "already exists", "cannot lock ref", "failed to update ref")
"""How git says that a ref is not what a push expected: by its own look, or when the remote locks the ref."""


def _reason(words: str) -> str:
    """The line that says why: after a refused push the last one only says that it failed."""
    lines = [line.strip() for line in words.splitlines()]
    return next((line for line in lines if line.startswith(("!", "fatal:"))), lines[-1] if lines else "")
