"""The commit of the checkout that a plan lies in, read from its `.git` without starting git.

git obeys the repository that it finds: core.fsmonitor, hooks, filters and textconv name programs, and a folder with the
files of a bare repository, which anybody can commit, is a repository to it (git-config, safe.bareRepository). dulwich's
object store and refs read files and nothing else; its configuration is not asked either.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.border import read_ordinary, top_of
from provisioner.plan.files import is_plan_file
from provisioner.plan.yaml_nodes import LARGEST_BYTES

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore
    from dulwich.objects import ObjectID


def commit_of(path: Path, files: Sequence[str] = ()) -> str:
    """The commit of a plan: 40 hexadecimal digits, with " (modified)" where the plan is not what that commit holds.

    `files` are all that the plan was read from, wherever they lie. "" outside of a checkout, before the first commit,
    and for a repository in a form that cannot be read (reftable, SHA-256).
    """
    folder = path if path.is_dir() else path.parent
    top = top_of(folder) or top_of(Path(os.path.realpath(folder)))
    if top is None:
        return ""
    from dulwich.errors import NotGitRepository
    from dulwich.object_store import DiskObjectStore
    from dulwich.refs import DiskRefsContainer, Ref

    with contextlib.suppress(OSError, ValueError, KeyError, NotGitRepository):
        own, common = _repository(top)
        head = DiskRefsContainer(str(common), worktree_path=str(own))[Ref(b"HEAD")]
        store = DiskObjectStore(str(common / "objects"))
        try:
            same = _Tree(store, head, Path(os.path.realpath(top))).holds(path, files)
        finally:
            store.close()
        return head.decode() if same else f"{head.decode()} (modified)"
    return ""


def signed_commit(folder: Path, commit: str) -> tuple[bytes, bytes] | None:
    """What the signature of a commit is over, and the signature; None for a commit without one, or that is not there.

    The checkout may be a stranger's: a commit is what has its hash (gitformat-signature(5), gpgsig).
    """
    top = top_of(folder) or top_of(Path(os.path.realpath(folder)))
    if top is None:
        return None
    from dulwich.errors import NotGitRepository
    from dulwich.object_store import DiskObjectStore
    from dulwich.objects import Commit, ObjectID

    with contextlib.suppress(OSError, ValueError, KeyError, AssertionError, NotGitRepository):
        store = DiskObjectStore(str(_repository(top)[1] / "objects"))
        try:
            found = store[ObjectID(commit.encode())]
        finally:
            store.close()
        content = found.as_raw_string()
        named = hashlib.sha1(b"commit %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
        if isinstance(found, Commit) and named == commit and found.gpgsig:
            return found.raw_without_sig(), found.gpgsig
    return None


def _repository(top: Path) -> tuple[Path, Path]:
    """The folder with HEAD, and that with refs and objects: in a worktree they are two (gitrepository-layout(5))."""
    own = top / ".git"
    if own.is_file():  # a worktree or a submodule
        own = top / _line(own).removeprefix("gitdir:").strip()
    common = own / "commondir"
    return own, (own / _line(common) if common.is_file() else own)


def _line(file: Path) -> str:
    return read_ordinary(file, 4096).decode("utf-8", "surrogateescape").strip()


class _Tree:
    """What a commit holds. Raises KeyError for an object that is missing, ValueError for one of another kind."""

    def __init__(self, store: DiskObjectStore, commit: ObjectID, top: Path) -> None:
        from dulwich.objects import Commit

        found = store[commit]
        if not isinstance(found, Commit):
            raise ValueError("HEAD does not name a commit")
        self._store, self._tree, self._top = store, found.tree, top

    def holds(self, path: Path, files: Sequence[str]) -> bool:
        """Whether these files are as committed, and no plan file of the folder is missing among them."""
        real = [Path(os.path.realpath(file.parent)) / file.name for file in map(Path, files)]
        names = {self._name(file) for file in (*real, *(Path(os.path.realpath(file)) for file in files))}
        folder = self._name(Path(os.path.realpath(path)))
        if None in names or folder is None:
            return False
        return all(self._same(name) for name in names if name) and set(self._committed(folder)) <= names

    def _name(self, file: Path) -> str | None:
        """A path as the commit names it; None outside of the checkout."""
        return file.relative_to(self._top).as_posix() if file.is_relative_to(self._top) else None

    def _committed(self, folder: str) -> Iterator[str]:
        """The plan files that the commit holds in a folder; nothing for a file."""
        from dulwich.objects import Tree

        found = self._entry(folder) if folder != "." else (0, self._tree)
        tree = self._store[found[1]] if found else None
        for name, mode, _ in tree.iteritems() if isinstance(tree, Tree) else ():
            text = os.fsdecode(name)
            if not stat.S_ISDIR(mode) and is_plan_file(text):
                yield text if folder == "." else f"{folder}/{text}"

    def _same(self, name: str) -> bool:
        """Whether the commit holds this content, or link, by this name. Line ends of Windows count as none."""
        from dulwich.objects import Blob

        entry, file = self._entry(name), self._top / name
        if entry is None:
            return False
        link = file.is_symlink()
        if link != stat.S_ISLNK(entry[0]):
            return False
        content = os.fsencode(os.readlink(file)) if link else read_ordinary(file, LARGEST_BYTES + 1)  # noqa: PTH115
        return any(Blob.from_string(c).id == entry[1] for c in (content, content.replace(b"\r\n", b"\n")))

    def _entry(self, name: str) -> tuple[int, ObjectID] | None:
        from dulwich.errors import NotTreeError
        from dulwich.object_store import tree_lookup_path

        try:
            return tree_lookup_path(self._store.__getitem__, self._tree, os.fsencode(name))
        except (KeyError, NotTreeError):
            return None
