"""The files of a plan: which they are, what they hold, a digest of it all, and single lines for quoting.

Sizes are looked at before anything is read, and nothing outside of the plan's border is read. What the bytes mean is
said in yaml_nodes and document.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.border import Border, read_ordinary
from provisioner.diagnostics import Diagnostic, Diagnostics
from provisioner.plan.yaml_nodes import LARGEST_BYTES

_SUFFIXES = frozenset({".yaml", ".yml"})
_AUTOMATIC = (".auto.yaml", ".auto.yml")  # values of variables
_TESTS = ".test.yaml"  # tests of plans may lie beside them


@dataclass(frozen=True, slots=True)
class PlanFile:
    """`path` as `as_seen` names it, with `/`, the name behind it for a folder; `content` without a byte order mark.

    `outside`: it lies outside of the plan's border, and nothing of it may be quoted. `identity` is the same for every
    name of a file: through a link, and in capitals where a file system knows none.
    """

    path: str
    name: str
    content: bytes
    outside: bool = False
    identity: tuple[int, int] = (0, 0)


def is_plan_file(name: str) -> bool:
    """Whether a file of a folder is a part of the plan, by its name."""
    other = is_test_file(name) or is_values_file(name)
    return Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".") and not other


def is_values_file(name: str) -> bool:
    """Whether a file of a folder holds values for the variables of its plan, by its name."""
    return name.lower().endswith(_AUTOMATIC) and not name.startswith(".")


def _wanted(name: str, *, tests: bool) -> bool:
    return is_plan_file(name) or (tests and is_test_file(name) and not name.startswith("."))


def is_test_file(name: str) -> bool:
    """Whether a file holds tests of plans, by its name; capitals count for nothing, as in the other suffixes."""
    return name.lower().endswith(_TESTS)


def find(paths: Iterable[Path], found: Diagnostics, border: Border, *, tests: bool = False) -> Iterator[PlanFile]:
    """Every file of the plan once, those of a folder by name; what the border does not admit is a mistake.

    `tests`: those that test plans too.
    """
    seen: set[tuple[int, int]] = set()
    for path in paths:
        for file in _expanded(path, found, border, tests=tests):
            try:
                if not border.admits(file):
                    found.add(outside(file, border))
                    continue
                status = file.stat()
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    yield from _content(file, status, found, border)
            except (OSError, ValueError) as error:
                found.add(_unreadable(file, error))


def values(paths: Iterable[Path], found: Diagnostics, border: Border) -> Iterator[PlanFile]:
    """The files `*.auto.yaml` of the folders that are named, by name. Folders that a plan includes are not searched."""
    for path in paths:
        try:
            searched = border.admits(path) and path.is_dir()
            named = sorted(p for p in path.iterdir() if is_values_file(p.name)) if searched else []
        except OSError:
            continue  # told when its plan is looked for
        yield from find(named, found, border)


def digest(files: Sequence[PlanFile], variables: Mapping[str, Any] | None = None) -> str:
    """SHA-256 over names, contents and variables. Line ends count as one: a checkout on Windows is the same plan."""
    sha = hashlib.sha256()
    for name, content in sorted((f.name, f.content.replace(b"\r\n", b"\n")) for f in files):
        for part in (name.encode("utf-8", "surrogateescape"), content):
            sha.update(f"{len(part)}:".encode() + part)
    if variables:
        sha.update(json.dumps(variables, sort_keys=True).encode())
    return sha.hexdigest()


def as_seen(path: Path) -> Path:
    """A path as messages name it: without detours, and relative to the working folder where it lies below that.

    Annotations of a CI system attach to paths of the checkout, where its jobs work. A detour behind a link is kept,
    since it leads elsewhere.
    """
    if not path.is_absolute() and ".." not in path.parts:
        return path
    plain, here = Path(os.path.normpath(path)), Path.cwd()
    try:
        if os.path.realpath(plain) != os.path.realpath(path):
            return path
    except (OSError, ValueError):  # a name that no file can have
        return path
    absolute = here / plain if not plain.is_absolute() else plain
    absolute = Path(os.path.normpath(absolute))
    return absolute.relative_to(here) if absolute.is_relative_to(here) else plain


def outside(file: Path, border: Border) -> Diagnostic:
    """Something that leaves the border. Whether it exists is not told."""
    root = as_seen(border.roots[0])
    where = "the checkout or folder of the plan" + ("" if root == Path() else f" ({root})")
    what = f"{as_seen(file)} is outside of {where}"
    return Diagnostic("PLAN-OUTSIDE", what, "move it into the checkout, or allow it with --allow-outside-files")


def line_reader(border: Border) -> Callable[[str, int], str | None]:
    """A reader of single lines of plan files, counted from 1, with their ends: for quoting them beside a diagnostic.

    What stands beside a word for a secret is struck out. None for what cannot be read, or lies outside of the border.
    Each file is read once.
    """

    @functools.cache
    def source(file: str) -> Sequence[str]:
        try:
            if not border.holds(Path(file)):
                return ()
            text = read_ordinary(Path(file), LARGEST_BYTES).decode("utf-8", "replace")
        except (OSError, ValueError):
            return ()
        return list(io.StringIO(text, newline=""))

    @functools.lru_cache(maxsize=100)  # a line with a thousand mistakes is asked for a thousand times
    def line(file: str, number: int) -> str | None:
        known = source(file)
        return _struck(known[number - 1]) if 0 < number <= len(known) else None

    return line


# A value beside a word for a secret, unless it is a reference: nobody should have written it there.
_SECRET = re.compile(
    r"((?:password|passwd|secret|token|api_?key|private_?key)\w*[\"']?\s*[:=]\s*)(?!env:|file:)"
    r"(\"[^\"]*\"?|'[^']*'?|[^\s,}\]#]+)",
    re.IGNORECASE,
)


def _struck(line: str) -> str:
    """A line without what may be a secret, each character struck out so that columns stay what they are."""
    return _SECRET.sub(lambda found: found[1] + "*" * len(found[2]), line)


def _expanded(path: Path, found: Diagnostics, border: Border, *, tests: bool) -> Sequence[Path]:
    """The path itself, or the plan files of a folder. Sub-folders are not read: links cannot lead round in circles."""
    try:
        if not border.admits(path):
            found.add(outside(path, border))
            return []
        if not path.is_dir():
            if path.exists() or path.is_symlink():
                return [path]
            found.add(_no_file(path, border))
            return []
        files = sorted(p for p in path.iterdir() if _wanted(p.name, tests=tests) and not p.is_dir())
    except (OSError, ValueError) as error:
        found.add(_unreadable(path, error))
        return []
    if not files:
        what = f"{as_seen(path)}: the folder holds no *.yaml or *.yml"
        found.add(Diagnostic("PLAN-FOLDER-EMPTY", what, _other_folder(path)))
    return files


def _other_folder(path: Path) -> str:
    """What to name instead of a folder without plan files."""
    if not (path / "environments").is_dir():
        return "name the folder that holds the plan (sub-folders are not read); provisioner init begins one"
    names = sorted(p.name for p in (path / "environments").iterdir() if p.name.isprintable())[:5]
    return f"choose the profile of an environment (--profile NAME or PROVISIONER_PROFILE): {', '.join(names)}"


def _content(file: Path, status: os.stat_result, found: Diagnostics, border: Border) -> Iterator[PlanFile]:
    """Its size is looked at before it is read, and no more is read than may be."""
    limit = f"{LARGEST_BYTES // 2**20} MB"
    if not stat.S_ISREG(status.st_mode):
        found.add(Diagnostic("PLAN-UNREADABLE", f"{file}: not a file", "name a file or a folder of files"))
        return
    content = b""
    if status.st_size <= LARGEST_BYTES:
        content = read_ordinary(file, LARGEST_BYTES + 1)
    if max(status.st_size, len(content)) > LARGEST_BYTES:
        what = f"{file}: {status.st_size / 2**20:,.0f} MB; a plan file is {limit} at most"
        found.add(Diagnostic("YAML-TOO-LARGE", what, "name a plan, or split it into several files"))
        return
    content = content.removeprefix(b"\xef\xbb\xbf")
    yield PlanFile(as_seen(file).as_posix(), file.name, content, not border.holds(file), (status.st_dev, status.st_ino))


def _no_file(path: Path, border: Border) -> Diagnostic:
    known = path.parent.is_dir() and border.holds(path.parent)
    names = [p.name for p in path.parent.iterdir()] if known else []
    near = difflib.get_close_matches(path.name, names, n=1)
    begin = "name a plan file, or a folder that holds some; provisioner init begins one"
    hint = f"did you mean {as_seen(path.parent / near[0])}?" if near else begin
    if path == Path("plans") and any(name.endswith((".yaml", ".yml")) for name in names):
        hint = "for the plan of this folder, name it: provisioner COMMAND . (without PATH, plans/ is read)"
    return Diagnostic("PLAN-FILE-MISSING", f"{as_seen(path)}: there is no such file or folder", hint)


def _unreadable(path: Path, error: OSError | ValueError) -> Diagnostic:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Diagnostic("PLAN-UNREADABLE", f"{as_seen(path)}: {reason}", "make it readable, or name another")
