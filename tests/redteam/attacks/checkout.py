"""The checkout itself: its `.git`, its programs, and files that lead out of it or are none."""

from __future__ import annotations

import json
import os
import socket
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.redteam.attacks.base import ESCAPES, LINES, Made, Make, sparse, wrote
from tests.redteam.world import CANARY, PLAN, World

# --- the checkout's .git, and programs --------------------------------------------------------------------------------


def git_configuration(marker: Path, worktree: str = "") -> str:
    """What names a program in git-config and is obeyed by commands that only read."""
    touch = f"touch {marker}"
    return (
        f'[core]\n\trepositoryformatversion = 0\n\tbare = false\n{worktree}\tfsmonitor = "{touch}; false"\n'
        f'\thooksPath = hooks\n\tpager = "{touch}"\n\tsshCommand = "{touch}"\n[diff]\n\texternal = "{touch}"\n'
        f'[filter "x"]\n\tclean = "{touch}; cat"\n\tprocess = "{touch}"\n\trequired = true\n'
        f'[diff "x"]\n\ttextconv = "{touch}; cat"\n[include]\n\tpath = ../outside/far.yaml\n'
    )


def repositories() -> Made:
    zeros = "0" * 40

    def bare(w: World) -> None:
        (w.plans / "HEAD").write_text("ref: refs/heads/main\n")
        (w.plans / "config").write_text(git_configuration(w.marker, "\tworktree = .\n"))
        (w.plans / "objects").mkdir()
        (w.plans / "refs" / "heads").mkdir(parents=True)
        (w.plans / "refs" / "heads" / "main").write_text(f"{zeros}\n")

    def configured(w: World) -> None:
        _repository(w)
        (w.checkout / ".git" / "config").write_text(git_configuration(w.marker))
        (w.checkout / ".gitattributes").write_text("* filter=x diff=x\n")
        hooks = w.checkout / "hooks"
        hooks.mkdir()
        for name in ("post-index-change", "pre-push", "fsmonitor-watchman", "reference-transaction"):
            _program(hooks / name, w.marker)

    def other_repository(w: World) -> None:
        (w.outside / "HEAD").write_text(f"{CANARY}\n")
        (w.checkout / ".git").rmdir()
        (w.checkout / ".git").write_text(f"gitdir: {w.outside}\n")

    def git_file(name: str, make: Callable[[Path, World], None]) -> tuple[str, Make]:
        def put(w: World) -> None:
            _repository(w)
            path = w.checkout / ".git" / name
            path.unlink(missing_ok=True)
            make(path, w)

        return f".git/{name}", put

    def link(target: str) -> Callable[[Path, World], None]:
        return lambda path, w: path.symlink_to(target.replace("OUTSIDE", str(w.outside)))

    def holding(content: bytes) -> Callable[[Path, World], None]:
        return lambda path, w: wrote(path.write_bytes(content.replace(b"OUTSIDE", str(w.outside).encode())))

    def special(make: Callable[[Path], None]) -> Make:
        def put(w: World) -> None:
            (w.checkout / ".git").rmdir()
            make(w.checkout / ".git")

        return put

    yield "a bare repository among the plans", bare
    yield "programs in the configuration of a checkout", configured
    yield "a .git that names a folder outside", other_repository
    commit = "objects/11/" + "1" * 38
    pipe, bomb = (lambda p, _: os.mkfifo(p)), (lambda p, _: wrote(p.write_bytes(_bomb())))
    for title, (name, make) in {
        "HEAD is a link outside": git_file("HEAD", link("OUTSIDE/id_rsa")),
        "HEAD is a pipe": git_file("HEAD", pipe),
        "HEAD never ends": git_file("HEAD", link("/dev/zero")),
        "HEAD names a file outside": git_file("HEAD", holding(b"ref: ../../outside/id_rsa\n")),
        "HEAD names a file by its whole path": git_file("HEAD", holding(b"ref: OUTSIDE/id_rsa\n")),
        "HEAD is not text": git_file("HEAD", holding(bytes(range(256)))),
        "the branch is a pipe": git_file("refs/heads/main", pipe),
        "the branch names itself": git_file("refs/heads/main", holding(b"ref: refs/heads/main\n")),
        "the branch is a link outside": git_file("refs/heads/main", link("OUTSIDE/id_rsa")),
        "packed-refs never ends": git_file("packed-refs", link("/dev/zero")),
        "packed-refs is empty": git_file("packed-refs", holding(b"")),
        "packed-refs is a pipe": git_file("packed-refs", pipe),
        "packed-refs is not text": git_file("packed-refs", holding(b"\xff\x00 x\n" * 9)),
        "commondir leads to the kernel": git_file("commondir", holding(b"/proc/self\n")),
        "commondir is a pipe": git_file("commondir", pipe),
        "alternates is a pipe": git_file("objects/info/alternates", pipe),
        "alternates names itself": git_file("objects/info/alternates", holding(b".\n../objects\n")),
        "the commit is a pipe": git_file(commit, pipe),
        "the commit is a link outside": git_file(commit, link("OUTSIDE/id_rsa")),
        "the commit is not an object": git_file(commit, holding(b"no object")),
        "the commit is a bomb": git_file(commit, bomb),
        "the commit has a tree of its own making": git_file(commit, holding(zlib.compress(b"commit 5\0tree "))),
        "the commit is a tree": git_file(commit, holding(zlib.compress(b"tree 0\0"))),
        "a pack is a pipe": git_file("objects/pack/pack-1.pack", lambda p, _: _pack(p)),
        "the index is a pipe": git_file("index", pipe),
    }.items():
        yield f"{title} ({name})", make
    yield ".git is a pipe", special(os.mkfifo)
    yield ".git is a link to itself", special(lambda p: p.symlink_to(p))
    yield ".git never ends", special(lambda p: p.symlink_to("/dev/zero"))
    yield ".git is a file without sense", special(lambda p: wrote(p.write_bytes(b"gitdir: \0\n")))
    yield "programs of the working folder", _own_programs, {"environment": {"PATH": f".:{os.environ['PATH']}"}}


def _bomb() -> bytes:
    """A commit of two hundred megabytes in two hundred kilobytes."""
    return zlib.compress(b"commit 999999999\0" + b"x" * 200_000_000, 9)


def _pack(path: Path) -> None:
    os.mkfifo(path)
    os.mkfifo(path.with_suffix(".idx"))


def _repository(w: World) -> None:
    """The folders of a repository whose commit is `1111…`, which is not there."""
    git = w.checkout / ".git"
    for name in ("refs/heads", "objects/11", "objects/info", "objects/pack"):
        (git / name).mkdir(parents=True, exist_ok=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs" / "heads" / "main").write_text("1" * 40 + "\n")


def _own_programs(w: World) -> None:
    for name in ("git", "ssh", "python", "python3", "sh", "ssh-keygen", "less", "chmod"):
        _program(w.checkout / name, w.marker)
    for name in ("json.py", "provisioner.py", "sitecustomize.py", "conftest.py"):
        (w.checkout / name).write_text(f"open({str(w.marker)!r}, 'w').close()\n")


def _program(path: Path, marker: Path) -> None:
    path.write_text(f"#!/bin/sh\ntouch {marker}\n")
    path.chmod(0o755)


# --- includes, links and files that are none --------------------------------------------------------------------------


def _socket(path: Path) -> None:
    line = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        line.bind(path.name)
    finally:
        os.chdir(here)
        line.close()


def includes() -> Made:
    names = {
        "a file outside": "OUTSIDE/far.yaml",
        "a file outside from here": "../../outside/far.yaml",
        "a folder outside": "OUTSIDE",
        "a key": "OUTSIDE/id_rsa",
        "the environment": "/proc/self/environ",
        "the memory": "/proc/self/mem",
        "the kernel's log": "/proc/kmsg",
        "a device without end": "/dev/zero",
        "standard input": "/dev/stdin",
        "an open file": "/dev/fd/0",
        "the root of a process": "/proc/self/root/etc/passwd",
        "the working folder of a process": "/proc/self/cwd/plans/plan.yaml",
        "a folder of the kernel": "/proc/self",
        "a terminal": "/dev/tty",
        "a home folder": "~/.ssh/id_rsa",
        "a variable": "$HOME/.ssh/id_rsa",
        "an address": "https://example.com/x.yaml",
        "a file address": "file:///etc/passwd",
        "a pattern": "../*/*.yaml",
        "a drive": "C:\\Windows\\win.ini",
        "a share": "\\\\host\\share\\x.yaml",
        "its own settings of git": "../.git/config",
        "a name too long": "x" * 300,
        "a path too long": "x/" * 5000,
        "an empty name": "",
        "a space": " ",
        "a zero byte": "a\0b",
        "escapes": LINES,
        "itself": "plan.yaml",
        "its folder": ".",
        "a way round": "../../checkout/../outside/far.yaml",
        "a slash": "/",
        "many slashes": "//etc//passwd",
        "dots": "....//....//outside/far.yaml",
        "a user": "env:CANARY_VARIABLE",
        "a reference": "file:../../outside/id_rsa",
    }
    for title, name in names.items():
        yield f"include {title}", _including(name)
    for title, make in {
        "link to a file outside": lambda w: (w.plans / "z.yaml").symlink_to(w.outside / "far.yaml"),
        "link to a key": lambda w: (w.plans / "z.yaml").symlink_to(w.outside / "id_rsa"),
        "link to the environment": lambda w: (w.plans / "z.yaml").symlink_to("/proc/self/environ"),
        "link to a device": lambda w: (w.plans / "z.yaml").symlink_to("/dev/zero"),
        "link to itself": lambda w: (w.plans / "z.yaml").symlink_to("z.yaml"),
        "link to nothing": lambda w: (w.plans / "z.yaml").symlink_to(w.outside / "none.yaml"),
        "pipe": lambda w: os.mkfifo(w.plans / "z.yaml"),
        "socket": lambda w: _socket(w.plans / "z.yaml"),
        "folder of a plan's name": lambda w: (w.plans / "z.yaml").mkdir(),
        "name that acts on a terminal": lambda w: wrote(
            (w.plans / f"{ESCAPES.replace('/', '')}.yaml").write_text("x: 1\n")
        ),
        "name with a line end": lambda w: wrote((w.plans / "a\n::error::x.yaml").write_text("x: 1\n")),
        "name that is not text": lambda w: wrote(
            Path(os.fsdecode(bytes(w.plans) + b"/\xff\xfe.yaml")).write_text("x: 1\n")
        ),
        "big file": lambda w: sparse(w.plans / "z.yaml"),
        "name in capitals": lambda w: wrote((w.plans / "X.TEST.YAML").write_text("provisioner_test: 1\ncases: {}\n")),
    }.items():
        yield f"a {title} in the folder", make
    yield "links round in a circle", _circle
    yield "includes round in a circle", _include_circle
    yield "a chain of 3,000 includes", _chain
    yield "the plan folder is a link outside", _folder_outside
    yield "a link in the middle of a path", _middle
    yield "a folder for the plan folder's file", _only_links


def _including(name: str) -> Make:
    def make(w: World) -> None:
        (w.plans / "plan.yaml").write_text(PLAN + f"include: [{json.dumps(name.replace('OUTSIDE', str(w.outside)))}]\n")

    return make


def _circle(w: World) -> None:
    (w.plans / "a").symlink_to("b")
    (w.plans / "b").symlink_to("a")
    (w.plans / "up").symlink_to("..")
    _including("a/x.yaml, up/plans/up/plans/plan.yaml")(w)


def _include_circle(w: World) -> None:
    (w.plans / "plan.yaml").write_text(PLAN + "include: [more/x.yaml]\n")
    (w.plans / "more").mkdir()
    (w.plans / "more" / "x.yaml").write_text("include: [../plan.yaml, x.yaml, ../../plans/more/x.yaml]\n")


def _chain(w: World) -> None:
    (w.plans / "more").mkdir()
    for number in range(3000):
        (w.plans / "more" / f"{number}.yaml").write_text(f"include: [{number + 1}.yaml]\n")
    (w.plans / "more" / "3000.yaml").write_text("protect: []\n")
    _including("more/0.yaml")(w)


def _folder_outside(w: World) -> None:
    (w.plans / "plan.yaml").unlink()
    w.plans.rmdir()
    w.plans.symlink_to(w.outside)


def _middle(w: World) -> None:
    (w.plans / "inner").symlink_to(w.outside)
    _including("inner/../outside/far.yaml")(w)


def _only_links(w: World) -> None:
    (w.plans / "plan.yaml").unlink()
    (w.plans / "plan.yaml").symlink_to(w.outside / "far.yaml")
