"""Extras: the base installation has no server library, and a command that needs an extra names it.

The libraries of the sandbox are withheld from a process, as in an installation without them. `scripts/check-wheel` does
the same with the built wheel in an empty environment.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from provisioner import __version__, extras
from provisioner.cli.main import COMMANDS
from provisioner.diagnostics import InputError
from tests.cli.shop import SEED, Shop, open_shop

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "provisioner"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HINT = f'pip install "exchange-provisioner[sandbox]=={__version__}"'
SERVERS = {
    "aiosmtpd", "bottle", "cherrypy", "fastapi", "flask", "gunicorn", "httptools", "hypercorn", "psrpcore", "starlette",
    "tornado", "trustme", "twisted", "uvicorn", "waitress", "werkzeug",
}  # fmt: skip
"""Web and SMTP servers, and what only the sandbox needs beside them."""
SERVED = {"aiosmtpd", "psrpcore", "starlette", "trustme", "uvicorn"}
OTHERWISE = {
    "azure": "azure-identity", "dns": "dnspython", "jwt": "pyjwt", "msgraph": "msgraph-sdk",
    "opentelemetry": "opentelemetry-sdk", "ruamel": "ruamel-yaml",
    "yaml": "pyyaml", **{f"kiota_{part}": f"microsoft-kiota-{part.replace('_', '-')}" for part in (
        "abstractions", "authentication_azure", "http", "serialization_json")},
}  # fmt: skip
"""Distributions with another name than their module."""


# --- what is declared ------------------------------------------------------------------------------------------------


def closure(requirements: Iterable[str]) -> set[str]:
    """Every distribution that pip installs for these requirements on this machine, by the metadata of those here."""
    found: set[str] = set()
    left = [Requirement(text) for text in requirements]
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        given = [{"extra": extra} for extra in ("", *wanted.extras)]
        if name in found and not wanted.extras:
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate(dict(extra)) for extra in given):
                left.append(needed)
    return found


@cache
def base() -> frozenset[str]:
    return frozenset(closure(PROJECT["dependencies"]))


def home(module: str) -> str:
    """The distribution that has a module of this name."""
    return OTHERWISE.get(module, canonicalize_name(module))


def locked(name: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))


def test_without_extras_no_server_library_is_installed() -> None:
    assert base() & SERVERS == set()
    assert locked("requirements.lock") & SERVERS == set()
    assert closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["sandbox"]]) & SERVERS != set()


def test_the_lock_files_are_those_of_the_base_and_of_the_sandbox() -> None:
    sandbox = {canonicalize_name(Requirement(r).name) for r in PROJECT["optional-dependencies"]["sandbox"]}
    assert base() <= locked("requirements.lock") < locked("requirements-sandbox.lock") < locked("requirements-dev.lock")
    assert locked("requirements.lock") < locked("requirements-fleet.lock") < locked("requirements-dev.lock")
    assert sandbox <= locked("requirements-sandbox.lock")


def test_the_extras_are_those_that_are_declared_and_their_modules_are_theirs() -> None:
    declared = PROJECT["optional-dependencies"]
    assert set(extras.MODULES) == set(declared)
    names = {canonicalize_name(Requirement(r).name) for r in declared["sandbox"]}
    assert {home(module) for module in extras.MODULES["sandbox"]} == names
    assert PROJECT["name"] == extras.DISTRIBUTION


def test_what_our_user_fixed_stays_a_requirement() -> None:
    names = {canonicalize_name(Requirement(r).name) for r in PROJECT["dependencies"]}
    assert {"msgraph-sdk", "azure-identity", "pypsrp", "pydantic-settings", "tenacity"} <= names


# --- what is imported ------------------------------------------------------------------------------------------------


_IMPORT = re.compile(r"^ *(?:from (\w+)[\w.]* import |import (\w+)[\w.]*(?: as \w+)?$)", re.MULTILINE)


def imported(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """The top-level modules of others that files import, at any depth."""
    for file in files:
        found = {a or b for a, b in _IMPORT.findall(file.read_text(encoding="utf-8"))}
        for name in found - {"provisioner"} - sys.stdlib_module_names:
            yield file.relative_to(ROOT), name


def strangers(files: Iterable[Path], allowed: frozenset[str] | set[str]) -> set[tuple[str, str]]:
    """The imports that none of these distributions has."""
    return {(str(file), module) for file, module in imported(files) if home(module) not in allowed}


def test_what_is_imported_is_what_the_installation_has() -> None:
    files = set(PACKAGE.rglob("*.py"))
    served = {file for file in files if "sandbox" in file.relative_to(PACKAGE).parts}
    sandbox = closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["sandbox"]])
    fleet = {file for file in files if file.parent == PACKAGE / "fleet" or file == PACKAGE / "engine" / "postgres.py"}
    zones = {PACKAGE / "tenant" / "octodns_zones.py"}
    plugin = PACKAGE / "operations" / "pytest_plugin.py"  # loaded by pytest and by nothing else
    assert strangers(files - served - fleet - zones - {plugin}, base()) == set()
    assert {module for _, module in strangers({plugin}, base())} == {"pytest"}
    assert strangers(zones, closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dns"]])) == set()
    assert strangers(fleet, closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["fleet"]])) == set()
    assert strangers(served, sandbox) == set()
    assert {home(module) for _, module in strangers(served, base())} == SERVED


# --- without the sandbox's libraries ---------------------------------------------------------------------------------

PLAN = """devices:
  erp: { from: erp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [basic] } }
smtp_auth:
  mailboxes: { erp@contoso.com: enabled }
"""
CASE = """provisioner_test: 1
cases:
  the override is set:
    given:
      tenant: { tenant: { initial_domain: contoso.onmicrosoft.com }, mailboxes: [erp@contoso.onmicrosoft.com] }
    plan: |
      provisioner: 1
      tenant: contoso.onmicrosoft.com
      smtp_auth: { mailboxes: { erp@contoso.onmicrosoft.com: disabled } }
    expect: { changes: { smtp_auth/erp@contoso.onmicrosoft.com: update } }
"""
ENVIRONMENT = {"PROVISIONER_PROFILE": "sandbox", "ERP_PASSWORD": "sandbox-only"}
LINES: tuple[tuple[str, int], ...] = (
    ("init begun --tenant contoso.com --owner us", 0),
    ("validate plan.yaml", 0),
    ("fmt plan.yaml", 0),
    ("lint plan.yaml", 0),
    ("explain IP-PRIVATE", 0),
    ("plan plan.yaml --detailed-exitcode -o changes.json", 2),
    ("graph plan.yaml", 0),
    ("show changes.json", 0),
    ("approve changes.json", 10),
    ("apply changes.json --plan plan.yaml", 0),
    ("drift plan.yaml", 0),
    ("history list", 0),
    ("rollback last -o back.json", 0),
    ("lock status", 0),
    ("export --out export.yaml", 0),
    ("doctor plan.yaml", 0),
    ("dns check plan.yaml", 0),
    ("dkim rotate contoso.com", 3),
    ("dane status contoso.com", 0),
    ("devices list plan.yaml", 0),
    ("explain device/erp plan.yaml", 0),
    ("probe erp plan.yaml --password env:ERP_PASSWORD", 0),
    ("senders discover --days 1", 0),
    ("diagnose 550", 1),
    ("fleet status --store sqlite:nothing.sqlite", 3),
    ("schema", 0),
    ("version", 0),
    ("completion bash", 0),
    ("sandbox status", 0),
    ("sandbox run Get-TransportConfig", 0),
    ("sandbox start --state other --profile-name other --detach", 3),
    ("test plan.test.yaml", 3),
)

WITHHELD = """
import json, os, sys
from pathlib import Path
for name in json.loads(sys.argv[1]):
    sys.modules[name] = None  # imports fail as they do where it is not installed
from tests.cli.in_process import run_in_process
for line in json.loads(sys.argv[2]):
    done = run_in_process(line.split(), Path.cwd(), dict(os.environ))
    print(json.dumps([done.returncode, done.stdout, done.stderr]))
"""


@contextmanager
def open_extras_shop(folder: Path) -> Iterator[Shop]:
    """A sandbox from here, and the files that the command lines name."""
    seed = {**SEED, "mailboxes": [{"address": "erp@contoso.com", "password": ENVIRONMENT["ERP_PASSWORD"]}]}
    with open_shop(folder, seed) as opened:
        opened.write(PLAN)
        (folder / "plan.test.yaml").write_text(CASE, encoding="utf-8")
        yield opened


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_extras_shop(tmp_path_factory.mktemp("extras")) as opened:
        yield opened


@pytest.fixture(scope="module")
def results(shop: Shop) -> Mapping[str, tuple[int, str, str]]:
    """Every command, in a process that cannot import what the extra brings."""
    lines = [line for line, _ in LINES]
    done = subprocess.run(
        [sys.executable, "-c", WITHHELD, json.dumps(extras.MODULES["sandbox"]), json.dumps(lines)],
        cwd=shop.folder, env={**shop.environment, **ENVIRONMENT},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    return {line: tuple(answer) for line, answer in zip(lines, answers, strict=True)}


def test_every_command_is_tried() -> None:
    assert {line.split()[0] for line, _ in LINES} == set(COMMANDS)


def test_each_command_needs_the_extra_and_names_it_or_works_without(
    shop: Shop, results: Mapping[str, tuple[int, str, str]]
) -> None:
    """One test for all: they ran in one process, which another worker would have to run again."""
    assert {line: results[line][0] for line, _ in LINES} == dict(LINES), results
    needing = [line for line, _ in LINES if line.startswith(("sandbox start", "test"))]
    assert [line for line, _ in LINES if "EXTRA-MISSING" in results[line][2]] == needing
    for line in needing:
        assert "the sandbox needs the extra [sandbox]" in results[line][2]
        assert HINT in results[line][2]
    assert not (shop.folder / "other").exists(), "what cannot start leaves no folder"


def test_the_sandbox_s_own_program_names_its_extra(shop: Shop) -> None:
    program = (
        "import sys; sys.modules['uvicorn'] = None\nfrom provisioner.sandbox.__main__ import main\nsys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", "--state", "never"],
        cwd=shop.folder, env=dict(shop.environment), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "uvicorn is not installed; the extra [sandbox] of exchange-provisioner installs it" in done.stderr


def test_a_missing_module_is_named_and_one_that_is_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(InputError) as refused:
        extras.need("sandbox", "this test")
    (found,) = refused.value.diagnostics
    assert found.id == "EXTRA-MISSING"
    assert found.summary == "this test needs the extra [sandbox], which is not installed (missing: trustme)"
    assert found.hint == f"run {HINT}"
    monkeypatch.undo()
    extras.need("sandbox", "this test")
