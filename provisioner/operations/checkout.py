"""The commit of the checkout that a plan lies in, read from its `.git` without starting git.

git obeys the repository that it finds: core.fsmonitor, hooks, filters and textconv name programs, and a folder with the
files of a bare repository, which anybody can commit, is a repository to it (git-config, safe.bareRepository). dulwich's
object store and refs read files and nothing else; its configuration is not asked either. They are given only folders
that belong to the checkout and hold ordinary files: a pipe would be waited for, a link would lead out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
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
    and for a repository in a form that cannot be read (reftable, SHA-256, --separate-git-dir).
    """
    folder = path if path.is_dir() else path.parent
    top = top_of(folder) or top_of(_real(folder))
    if top is None:
        return ""
    try:
        return _commit(top, path, files)
    except Exception:  # noqa: BLE001 - anybody may have written these files: whatever their reader meets, nothing is known
        return ""


def _commit(top: Path, path: Path, files: Sequence[str]) -> str:
    from dulwich.object_store import DiskObjectStore
    from dulwich.refs import DiskRefsContainer, Ref

    own, common = _repository(top)
    for folder in (own, common):
        _check_ordinary(folder)
    head = DiskRefsContainer(str(common), worktree_path=str(own))[Ref(b"HEAD")]
    store = DiskObjectStore(str(common / "objects"))
    try:
        same = _Tree(store, head, _real(top)).holds(path, files)
    finally:
        store.close()
    return head.decode() if same else f"{head.decode()} (modified)"


def signed_commit(folder: Path, commit: str) -> tuple[bytes, bytes] | None:
    """What the signature of a commit is over, and the signature; None for a commit without one, or that is not there.

    The checkout may be a stranger's: a commit is what has its hash (gitformat-signature(5), gpgsig).
    """
    top = top_of(folder) or top_of(_real(folder))
    if top is None:
        return None
    try:
        return _signature(top, commit)
    except Exception:  # noqa: BLE001 - as in commit_of
        return None


def _signature(top: Path, commit: str) -> tuple[bytes, bytes] | None:
    from dulwich.object_store import DiskObjectStore
    from dulwich.objects import Commit, ObjectID

    _, common = _repository(top)
    _check_ordinary(common)
    store = DiskObjectStore(str(common / "objects"))
    try:
        found = store[ObjectID(commit.encode())]
    finally:
        store.close()
    content = found.as_raw_string()
    named = hashlib.sha1(b"commit %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
    if isinstance(found, Commit) and named == commit and found.gpgsig:
        return found.raw_without_sig(), found.gpgsig
    return None


# --- the folder of the repository ------------------------------------------------------------------------------------


def _repository(top: Path) -> tuple[Path, Path]:
    """The folder with HEAD, and that with refs and objects: in a worktree they are two (gitrepository-layout(5)).

    Raises ValueError for a worktree that the repository does not know.
    """
    own = _own(top)
    if not (own / "commondir").exists():
        return own, own
    common = own / _line(own / "commondir")
    if _real(own.parent) != _real(common / "worktrees"):
        raise ValueError("commondir names another repository")
    return own, common


def _own(top: Path) -> Path:
    """`.git`, or the folder that a file `.git` names, which must know of the checkout: else it could name any.

    That of a worktree names this file (gitrepository-layout(5), worktrees/<id>/gitdir), that of a submodule lies in the
    repository of the checkout around it (gitsubmodules(7)).
    """
    entry = top / ".git"
    if not entry.is_file():
        return entry
    named = top / _line(entry).removeprefix("gitdir:").strip()
    if (named / "gitdir").exists() and _real(named / _line(named / "gitdir")) == _real(entry):
        return named
    outer = top_of(top.parent)
    if outer is None or not _real(named).is_relative_to(_real(_own(outer)) / "modules"):
        raise ValueError(".git names a repository that does not know of this checkout")
    return named


def _line(file: Path) -> str:
    return read_ordinary(file, 4096).decode("utf-8", "surrogateescape").strip()


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _check_ordinary(folder: Path) -> None:
    """Raise ValueError unless all that is read of a repository are ordinary files, those of its alternates too."""
    for name in ("HEAD", "packed-refs"):
        if os.path.lexists(folder / name) and not stat.S_ISREG((folder / name).lstat().st_mode):
            raise ValueError(f"{name} is not an ordinary file")
    if (folder / "refs").exists():
        _check_files(folder / "refs", lambda _: True)
    if (folder / "objects").exists():
        _check_objects(folder / "objects", frozenset())


def _check_objects(objects: Path, known: frozenset[str]) -> None:
    """As `_check_ordinary`, of a folder of objects. An alternate may be any folder: only names of objects count."""
    real = str(_real(objects))
    if real in known or len(known) > _MOST_ALTERNATES:
        raise ValueError("alternates that lead round in a circle")
    for name in ("pack", "info"):
        if (objects / name).exists():
            _check_files(objects / name, lambda _: False)
    _check_files(objects, _FAN_OUT.__contains__)
    alternates = objects / "info" / "alternates"
    if alternates.exists():
        for line in read_ordinary(alternates, LARGEST_BYTES).decode("utf-8", "surrogateescape").splitlines():
            if line and not line.startswith("#") and (objects / line).exists():
                _check_objects(objects / line, known | {real})


_MOST_ALTERNATES = 5
"""How deep git follows them (gitrepository-layout(5))."""

_FAN_OUT = frozenset(f"{number:02x}" for number in range(256))


def _check_files(folder: Path, below: Callable[[str], bool]) -> None:
    """Raise ValueError unless a folder holds ordinary files and folders only, and those below it that are chosen."""
    with os.scandir(folder) as entries:
        every = list(entries)
    for entry in every:
        if entry.is_dir(follow_symlinks=False):
            if below(entry.name):
                _check_files(Path(entry.path), below)
        elif not entry.is_file(follow_symlinks=False):
            raise ValueError(f"{entry.name} is not an ordinary file")


# --- what the commit holds -------------------------------------------------------------------------------------------


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
        real = [_real(file.parent) / file.name for file in map(Path, files)]
        names = {self._name(file) for file in (*real, *(_real(Path(file)) for file in files))}
        folder = self._name(_real(path))
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
