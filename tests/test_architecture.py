"""The map in docs/architecture.md is the source tree."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from provisioner.resources import TYPES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "provisioner"
_ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def test_the_map_names_every_package_and_top_level_module_and_nothing_else() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    modules = {p.name for p in PACKAGE.glob("*.py")}
    assert set(_ROW.findall(page)) == folders | modules


def test_the_top_of_the_package_has_at_most_six_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 6


def test_every_package_opens_with_a_paragraph() -> None:
    short = [p for p in PACKAGE.rglob("__init__.py") if not p.read_text(encoding="utf-8").startswith('"""')]
    assert short == []


_CONCRETE = {type(kind).__module__ for kind in TYPES}
_MAY_KNOW = {"resources", "devices", "diagnosis", "sandbox"}


def _imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, also for types alone and inside of functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_only_resources_devices_and_diagnosis_know_a_concrete_resource_type() -> None:
    """What knows a type by its class gives a new type no guard. The import contract leaves out imports for types."""
    others = [p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).parts[0] not in _MAY_KNOW]
    others = [p for p in others if "resources" in p.read_text(encoding="utf-8")]
    found = {(str(p.relative_to(PACKAGE)), module) for p in others for module in _CONCRETE & set(_imported(p))}
    assert found == set()


def test_the_contract_about_concrete_types_names_all_of_them() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = [c for c in contracts if "concrete resource type" in c["name"]]
    assert set(contract["forbidden_modules"]) == _CONCRETE
    packages = {f"provisioner.{p.name}" for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert packages - set(contract["source_modules"]) == {f"provisioner.{name}" for name in _MAY_KNOW}


# --- what the source tree is counted for -----------------------------------------------------------------------------


def _trees(said: str) -> Iterator[tuple[Path, ast.Module]]:
    """The modules of the package in which this pattern is found; only these are parsed."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(said, text):
            yield path, ast.parse(text)


def _imports(node: ast.AST) -> Iterator[str]:
    """The modules of ours that are imported in this node, at any depth."""
    for child in ast.walk(node):
        if isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names if child.module == "provisioner")
            yield from (child.module for _ in [0] if child.module.startswith("provisioner."))
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name.split(".")[0] == "provisioner")


def test_nothing_outside_of_cli_imports_cli() -> None:
    guilty = [
        str(path.relative_to(ROOT))
        for path, tree in _trees(r"\bcli\b")
        if "cli" not in path.relative_to(PACKAGE).parts and path.name != "__main__.py"
        if any(f"{name}.".startswith("provisioner.cli.") for name in _imports(tree))
    ]
    assert guilty == []


def test_cli_has_fewer_than_twenty_imports_of_ours_inside_of_functions() -> None:
    """Commands are loaded when they are named, so that their imports can stand at the top of their modules."""
    late = [
        f"{path.name}:{statement.lineno}"
        for path, tree in _trees("(?m)^ +(?:from|import) ")
        if path.parent == PACKAGE / "cli"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in ast.walk(function)
        if isinstance(statement, ast.Import | ast.ImportFrom) and any(_imports(statement))
    ]
    assert len(set(late)) < 20, late


def _long_functions(name: str, nodes: Sequence[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 50:
            yield f"{name}: {node.name}"


_BY_HAND = re.compile(r"^[\w{}\"]+:\n {2,}\S", re.MULTILINE)


def _yaml_writers(name: str, nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Writing YAML by a library, or by hand: a text with a key, a line end and an indented line."""
    documented = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
    texts = [n for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    if any(_BY_HAND.search(str(t.value)) for t in texts if id(t) not in documented):
        yield f"{name}: a text"
    imported = [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]
    called = {n.attr for n in nodes if isinstance(n, ast.Attribute)} & {"safe_dump", "dump_all"}
    # export reads a file that is there, and keeps ruamel's own mappings in it; editing looks at its nodes
    allowed = {"model/yaml_text.py", "plan/export.py", "plan/editing.py"}
    ruamel = any(m.startswith("ruamel") for m in imported) and name not in allowed
    if called or ruamel:
        yield f"{name}: a library"


# --- what Windows does not have --------------------------------------------------------------------------------------

PLATFORMS = ("platforms/", "sandbox/platforms.py")
"""The rooms that ask what the system has: one of the program, one of the sandbox, which shares no code with it."""

ONE_SYSTEMS = {
    "": frozenset({
        "_posixsubprocess", "crypt", "curses", "fcntl", "grp", "msvcrt", "nis", "ossaudiodev", "posix", "pty", "pwd",
        "readline", "resource", "spwd", "syslog", "termios", "tty", "winreg",
    }),
    "os": frozenset({
        "O_BINARY", "O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NOINHERIT", "O_NONBLOCK", "O_SYNC",
        "WNOHANG", "chown", "fchdir", "fchmod", "fchown", "fdatasync", "fork", "forkpty", "getegid", "geteuid",
        "getgid", "getgroups", "getlogin", "getpgid", "getsid", "getuid", "kill", "killpg", "lchmod", "link", "lockf",
        "mkfifo", "mknod", "openpty", "posix_spawn", "rename", "replace", "setpgid", "setsid", "setuid", "umask",
        "uname", "wait3", "wait4", "waitpid",
    }),
    "signal": frozenset({
        "SIGALRM", "SIGBREAK", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm",
        "pause", "pthread_sigmask", "setitimer", "sigwait",
    }),
    "socket": frozenset({"AF_UNIX", "SO_REUSEPORT"}),
    "getpass": frozenset({"getuser"}),
    "shutil": frozenset({"which"}),
    "asyncio": frozenset({"open_unix_connection", "start_unix_server"}),
}  # fmt: skip
"""By module ("" for modules): what one kind of system lacks (Python, "Availability"), or has with another meaning.

`os.kill` ends a process on Windows, `os.replace` fails there where the file is open, and `shutil.which` looks first
into the working folder.
"""

OF_LOOPS = frozenset({"add_reader", "add_signal_handler", "add_writer", "remove_reader", "remove_signal_handler"})
OF_PROCESSES = frozenset({"creationflags", "preexec_fn", "process_group", "start_new_session"})
TURNING = frozenset({"text", "universal_newlines"})
"""Text to and from a program is in a code page on Windows, with other line ends."""


def _one_systems(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Each use of what only some systems have, with its line."""
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, n.name) for n in names if n.name in ONE_SYSTEMS[""])
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((node.lineno, module) for _ in [0] if module in ONE_SYSTEMS[""])
                yield from ((node.lineno, n.name) for n in names if n.name in ONE_SYSTEMS.get(module, ()))
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner and name in ONE_SYSTEMS.get(owner, ()):
                yield node.lineno, f"{owner}.{name}"
            case ast.Attribute(attr=name) if name in OF_LOOPS:
                yield node.lineno, name
            case ast.Call(func=ast.Name(id="getattr"), args=[ast.Name(id=owner), ast.Constant(value=str(name)), *_]):
                yield from ((node.lineno, f"{owner}.{name}") for _ in [0] if name in ONE_SYSTEMS.get(owner, ()))
            case ast.Call(func=ast.Attribute(attr="replace" | "rename" as name), args=[_], keywords=[]):
                yield node.lineno, f"Path.{name}"  # str.replace takes two
            case ast.Call(func=function, keywords=keywords):
                if given := {str(k.arg) for k in keywords} & (OF_PROCESSES | TURNING):
                    allowed = frozenset() if ast.unparse(function).startswith("subprocess.") else TURNING
                    yield from ((node.lineno, name) for name in sorted(given - allowed))


def _outside_of_their_rooms(name: str, nodes: Sequence[ast.AST]) -> Iterator[str]:
    if not name.startswith(PLATFORMS):
        yield from (f"{name}:{line}: {used}" for line, used in _one_systems(nodes))


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import fcntl", ["fcntl"]),
        ("from signal import SIGHUP", ["SIGHUP"]),
        ("os.open(p, os.O_RDONLY | os.O_NONBLOCK)", ["os.O_NONBLOCK"]),
        ("Popen(a, start_new_session=True)", ["start_new_session"]),
        ("getattr(os, 'O_NOFOLLOW', 0)", ["os.O_NOFOLLOW"]),
        ("loop.add_signal_handler(n, f)", ["add_signal_handler"]),
        ("os.kill(pid, 0)", ["os.kill"]),
        ("draft.replace(path)", ["Path.replace"]),
        ("subprocess.run(a, text=True)", ["text"]),
        ("shutil.which('git')", ["shutil.which"]),
        ("process.kill(); clock.pause(1); text.replace('a', 'b'); replace(found, rows=[])", []),
    ],
)
def test_the_ban_finds_what_it_bans(code: str, names: list[str]) -> None:
    assert [name for _, name in _one_systems(ast.walk(ast.parse(code)))] == names


_NOT_FILES = {
    "os.open",
    "self.open",
    "pool.open",
    "runspace.open",
    "super().open",
    "journal.Journal.open",
    "_direct(trust).open",
}


_OPENING = ("open", "fdopen", "read_text", "write_text")


def _without_encoding(nodes: Iterable[ast.AST]) -> Iterator[int]:
    """Each file that is opened as text in the encoding of the system, which is a code page on Windows."""
    for node in nodes:
        if not isinstance(node, ast.Call) or any(k.arg in {"encoding", None} for k in node.keywords):
            continue
        if not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        last = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if last not in _OPENING or ast.unparse(node.func) in _NOT_FILES:
            continue
        values = [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
        modes = [str(v.value) for v in values if isinstance(v, ast.Constant)]
        if last.endswith("_text") or not any("b" in mode for mode in modes):
            yield node.lineno


def _in_a_code_page(name: str, nodes: Sequence[ast.AST]) -> Iterator[str]:
    yield from (f"{name}:{line}" for line in _without_encoding(nodes))


def test_a_text_file_that_is_opened_in_a_code_page_is_found() -> None:
    tree = ast.parse("path.read_text()\nopen(p)\nopen(p, 'rb')\np.open('w')")
    assert list(_without_encoding(ast.walk(tree))) == [1, 2, 4]


# --- one look at the package for all of these ------------------------------------------------------------------------

_CHECKS: Mapping[str, Callable[[str, Sequence[ast.AST]], Iterator[str]]] = {
    "functions of more than fifty lines": _long_functions,
    "writers of YAML beside the one module": _yaml_writers,
    "what only some systems have, outside of its room": _outside_of_their_rooms,
    "text files opened in no encoding of ours": _in_a_code_page,
}


def test_the_package_has_nothing_that_these_checks_look_for() -> None:
    """One test for all: to parse and walk every module takes seconds, and in each worker that has one of several."""
    found: dict[str, list[str]] = {check: [] for check in _CHECKS}
    for path in sorted(PACKAGE.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        for check, look in _CHECKS.items():
            found[check] += look(path.relative_to(PACKAGE).as_posix(), nodes)
    assert {check: what for check, what in found.items() if what} == {}
